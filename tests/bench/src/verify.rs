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

/// Every transaction has one receipt in these blocks, with status 1.
async fn receipts(rpc: &Rpc, txs: &[Signed], blocks: (u64, u64)) -> eyre::Result<u64> {
    let mut missing: HashSet<B256> = txs.iter().map(|tx| tx.hash).collect();
    ensure!(missing.len() == txs.len(), "a transaction was made twice");
    let mut gas = 0;
    for block in blocks.0..=blocks.1 {
        let receipts = rpc.call("eth_getBlockReceipts", json!([format!("{block:#x}")])).await?;
        for receipt in receipts.as_array().into_iter().flatten() {
            let hash: B256 = serde_json::from_value(receipt["transactionHash"].clone())
                .wrap_err_with(|| format!("block {block}: {receipt}"))?;
            if missing.remove(&hash) {
                ensure!(receipt["status"] == "0x1", "{hash} failed: {receipt}");
                gas += number(&receipt["gasUsed"])?.to::<u64>();
            }
        }
    }
    ensure!(missing.is_empty(), "{} transactions are in no block", missing.len());
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
