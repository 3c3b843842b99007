//! Whole nodes on a real parent chain: posted, read back, rebuilt from it alone.

use std::time::Duration;

use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_bridge::l1;
use causeway_tests::keys;
use causeway_tests::load::client;
use causeway_tests::process::signal;
use eyre::ensure;
use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::chain::{Chain, RECEIVER, balance, head, receipt, submit, transfer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_on_blobs_is_posted_read_back_and_rebuilt() -> eyre::Result<()> {
    let mut chain = Chain::start().await?;
    let sequencer = chain.run("sequencer", false).await?;
    let full = chain.run("full", true).await?;
    let first = submit(&full, transfer(0, 0)).await?;
    let block = chain.is_safe(&full, first).await?;
    ensure!(chain.is_safe(&sequencer, first).await? == block, "both have it in one block");

    // A message of an account and an entry anybody wrote, by the portal.
    let from = keys::accounts()[5].address();
    let message = l1::depositTransactionCall {
        to: RECEIVER,
        value: U256::ZERO,
        gasLimit: 100_000,
        isCreation: false,
        data: Bytes::from_static(b"hello"),
    };
    let portal = chain.deployment.portal.address;
    chain.send(from, portal, message.abi_encode().into()).await?;
    let forced = chain.force(&transfer(6, 0)).await?;
    let block = chain.is_safe(&full, forced).await?;
    let in_block = async |url: &str| -> eyre::Result<Vec<Value>> {
        // It came before the entry, so it is in this block or one before.
        let mut found = Vec::new();
        for number in 0..=head(url, "safe").await?.0 {
            let at = format!("{number:#x}");
            let block: Value =
                client(url)?.request("eth_getBlockByNumber", rpc_params![at, true]).await?;
            let txs = block["transactions"].as_array().cloned().unwrap_or_default();
            found.extend(txs.into_iter().filter(|tx| tx["type"] == "0x7e"));
        }
        Ok(found)
    };
    let messages = in_block(&full).await?;
    ensure!(messages.len() == 1, "derived once: {messages:?}");
    ensure!(messages[0]["from"] == json!(from) && messages[0]["input"] == "0x68656c6c6f");
    ensure!(chain.is_safe(&sequencer, forced).await? == block);

    // The parent reorganizes; what was posted is posted again if it is gone.
    for depth in [1, 3] {
        chain.anvil.reorg(depth).await?;
        let sent = submit(&sequencer, transfer(0, depth.min(2))).await?;
        let block = chain.is_safe(&full, sent).await?;
        ensure!(chain.is_safe(&sequencer, sent).await? == block, "after a reorg of {depth}");
    }

    // The parent is away for a while; blocks go on, and become safe when it is back.
    signal(chain.anvil.id(), Signal::STOP)?;
    let sent = submit(&sequencer, transfer(0, 3)).await?;
    let on_the_feed = async || Ok(receipt(&full, sent).await?["status"] == "0x1");
    let went_on = chain.until("a block without the parent", on_the_feed).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    signal(chain.anvil.id(), Signal::CONT)?;
    went_on?;
    chain.is_safe(&full, sent).await?;

    // From the parent alone: the same chain.
    let fresh = chain.run("fresh", false).await?;
    chain.is_safe(&fresh, sent).await?;
    ensure!(balance(&fresh).await? >= U256::from(5), "all transfers");
    let number = head(&fresh, "safe").await?.0;
    let at = format!("{number:#x}");
    let mut hashes = Vec::new();
    for url in [&sequencer, &full, &fresh] {
        hashes.push(head(url, &at).await?);
    }
    ensure!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{hashes:?}");
    chain.until("final blocks", async || Ok(head(&fresh, "finalized").await?.0 > 0)).await?;
    for (name, _, process) in chain.nodes {
        let (status, _) = process.stop()?;
        ensure!(status.success(), "{name} ended with {status}");
    }
    Ok(())
}
