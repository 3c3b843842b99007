//! After a run: what was sent is in blocks, once, and succeeded; balances and nonces are what follows.

use std::collections::HashSet;

use alloy_primitives::{Address, B256, Bytes, U256};
use eyre::{WrapErr, ensure};
use serde_json::json;

use crate::load::Outcome;
use crate::rpc::{Rpc, number};
use crate::sign::Signed;

/// What must be so in the end.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Accounts and their wei.
    pub balances: Vec<(Address, U256)>,
    /// Accounts and their next nonce.
    pub nonces: Vec<(Address, u64)>,
    /// Calls of contracts and what they return.
    pub calls: Vec<(Address, Vec<(Bytes, U256)>)>,
}

/// Checks all of it; gas used by what was sent.
pub async fn verify(
    rpc: &Rpc,
    txs: &[Signed],
    outcome: &Outcome,
    expected: &Expected,
) -> eyre::Result<u64> {
    let gas = receipts(rpc, txs, outcome.blocks).await?;
    let (accounts, wei): (Vec<_>, Vec<_>) = expected.balances.iter().copied().unzip();
    same("balance", &accounts, &rpc.balances(&accounts).await?, &wei)?;
    let (accounts, nonces): (Vec<_>, Vec<_>) = expected.nonces.iter().copied().unzip();
    same("nonce", &accounts, &rpc.nonces(&accounts).await?, &nonces)?;
    for (contract, asked) in &expected.calls {
        let (inputs, words): (Vec<_>, Vec<_>) = asked.iter().cloned().unzip();
        let found = rpc.asks(*contract, inputs.clone()).await?;
        same("answer to", &inputs, &found, &words)?;
    }
    Ok(gas)
}

/// Every transaction has a receipt of its own in one of these blocks, with status 1. Asked one by
/// one: anvil takes more than a minute for the receipts of a block of ten thousand.
async fn receipts(rpc: &Rpc, txs: &[Signed], blocks: (u64, u64)) -> eyre::Result<u64> {
    let mut hashes: HashSet<B256> = txs.iter().map(|tx| tx.hash).collect();
    ensure!(hashes.len() == txs.len(), "a transaction was made twice");
    let asked: Vec<_> = txs.iter().map(|tx| json!([tx.hash])).collect();
    let mut gas = 0;
    for receipt in rpc.calls("eth_getTransactionReceipt", &asked).await? {
        ensure!(!receipt.is_null(), "a transaction is in no block");
        let hash: B256 = serde_json::from_value(receipt["transactionHash"].clone())
            .wrap_err_with(|| receipt.to_string())?;
        let block = number(&receipt["blockNumber"])?.to::<u64>();
        ensure!(hashes.remove(&hash), "{hash} has two receipts");
        ensure!((blocks.0..=blocks.1).contains(&block), "{hash} is in block {block}");
        ensure!(receipt["status"] == "0x1", "{hash} failed: {receipt}");
        gas += number(&receipt["gasUsed"])?.to::<u64>();
    }
    Ok(gas)
}

fn same<K: std::fmt::Debug, V: PartialEq + std::fmt::Display>(
    what: &str,
    of: &[K],
    found: &[V],
    expected: &[V],
) -> eyre::Result<()> {
    ensure!(found.len() == expected.len(), "{what}: {} of {}", found.len(), expected.len());
    for ((of, found), expected) in of.iter().zip(found).zip(expected) {
        ensure!(found == expected, "{what} {of:?} is {found} and should be {expected}");
    }
    Ok(())
}
