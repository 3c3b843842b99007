//! After a run: what was sent is in blocks, once, and succeeded; balances and nonces are what follows.

use std::collections::HashSet;

use alloy_primitives::{Address, B256, Bytes, U256};
use eyre::{WrapErr, ensure};
use serde_json::json;

use crate::load::Outcome;
use crate::rpc::{Rpc, number};
use crate::sign::Signed;

/// Receipts that are looked at.
const RECEIPTS: usize = 500;

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

/// Every transaction stands once in these blocks, and every so many has a receipt with status 1;
/// that the others succeeded, balances and nonces tell. Anvil takes minutes for all receipts of
/// blocks of ten thousand. Returns the gas of all, by that of those.
async fn receipts(rpc: &Rpc, txs: &[Signed], blocks: (u64, u64)) -> eyre::Result<u64> {
    let mut missing: HashSet<B256> = txs.iter().map(|tx| tx.hash).collect();
    ensure!(missing.len() == txs.len(), "a transaction was made twice");
    for number in blocks.0..=blocks.1 {
        let block =
            rpc.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await?;
        let hashes: Vec<B256> = serde_json::from_value(block["transactions"].clone())
            .wrap_err_with(|| format!("block {number}"))?;
        for hash in hashes {
            missing.remove(&hash);
        }
    }
    ensure!(missing.is_empty(), "{} transactions are in no block", missing.len());
    let step = txs.len().div_ceil(RECEIPTS).max(1);
    let asked: Vec<_> = txs.iter().step_by(step).map(|tx| json!([tx.hash])).collect();
    let mut gas = 0;
    for receipt in rpc.calls("eth_getTransactionReceipt", &asked).await? {
        ensure!(receipt["status"] == "0x1", "a transaction failed: {receipt}");
        gas += number(&receipt["gasUsed"])?.to::<u64>();
    }
    Ok((gas as f64 / asked.len() as f64 * txs.len() as f64) as u64)
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
