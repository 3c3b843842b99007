//! The parent chain reorganizes under whole nodes: they follow above what is final, and halt below.

use alloy_primitives::{B256, U256};
use causeway_tests::drive::seeds;
use causeway_tests::load::client;
use eyre::{ContextCompat, WrapErr, bail, ensure};
use jsonrpsee::core::client::{ClientT, Error};
use jsonrpsee::rpc_params;
use serde_json::{Value, json};

use super::chain::{Chain, balance, head, submit, transfer};

/// Why a node halts, in its own words.
const WHY: &str = "the da layer reorganized below its own finality";

/// A chain with a sequencer and a full node, and their URLs. Its parent is final 80 blocks late,
/// and what a reorg puts out can be posted again in time.
async fn deep() -> eyre::Result<(Chain, String, String)> {
    let mut chain = Chain::with("4m", &["--slots-in-an-epoch", "40"]).await?;
    let sequencer = chain.run("sequencer", false).await?;
    let full = chain.run("full", true).await?;
    Ok((chain, sequencer, full))
}

/// Sends the next transfer of account 0, which sent all those before.
async fn send(url: &str, sent: &mut Vec<B256>) -> eyre::Result<B256> {
    let tx = submit(url, transfer(0, sent.len() as u64)).await?;
    sent.push(tx);
    Ok(tx)
}

/// Sends the first transfer and waits until it is safe; the parent's height then.
async fn first_post(chain: &Chain, url: &str, sent: &mut Vec<B256>) -> eyre::Result<u64> {
    let tx = send(url, sent).await?;
    chain.is_safe(url, tx).await?;
    chain.anvil.height().await
}

/// Waits until the parent has a block of this height.
async fn grows(chain: &Chain, height: u64) -> eyre::Result<()> {
    let what = format!("block {height} of the parent");
    chain.until(&what, async || Ok(chain.anvil.height().await? >= height)).await
}

/// Heights of the parent's blocks that carry blobs, from one on.
async fn posts(chain: &Chain, from: u64) -> eyre::Result<Vec<u64>> {
    let mut heights = Vec::new();
    for height in from..=chain.anvil.height().await? {
        let at = json!([format!("{height:#x}"), false]);
        let block = chain.anvil.call("eth_getBlockByNumber", at).await?;
        if block["blobGasUsed"].as_str().is_some_and(|gas| gas != "0x0") {
            heights.push(height);
        }
    }
    Ok(heights)
}

/// Waits until all nodes have followed the parent and all transfers are in safe blocks: each once,
/// and in the same block on every node.
async fn settles(chain: &Chain, sent: &[B256]) -> eyre::Result<()> {
    chain.derived().await?;
    for tx in sent {
        let mut blocks = Vec::new();
        for (_, url, _) in &chain.nodes {
            blocks.push(chain.is_safe(url, *tx).await?);
        }
        ensure!(blocks.windows(2).all(|pair| pair[0] == pair[1]), "{tx} is in {blocks:?}");
    }
    let mut safe = Vec::new();
    for (name, url, _) in &chain.nodes {
        let paid = balance(url).await?;
        ensure!(paid == U256::from(sent.len()), "{name} has {paid} of {}", sent.len());
        safe.push(head(url, "safe").await?.0);
    }
    let at = format!("{:#x}", safe.into_iter().min().unwrap_or_default());
    let mut hashes = Vec::new();
    for (_, url, _) in &chain.nodes {
        hashes.push(head(url, &at).await?);
    }
    ensure!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "safe are {hashes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reorgs_of_many_depths_put_posts_out_and_back() -> eyre::Result<()> {
    let (mut chain, sequencer, full) = deep().await?;
    let mut sent = Vec::new();
    let first = first_post(&chain, &sequencer, &mut sent).await?;
    let depths: Vec<u64> = if seeds(0).count() >= 64 { (1..=64).collect() } else { vec![2, 7, 20] };
    let mut put_out = 0;
    for (round, depth) in depths.into_iter().enumerate() {
        grows(&chain, first + depth).await?;
        let tx = send(&sequencer, &mut sent).await?;
        // In the other rounds the reorg may come before its post, or while that is under way.
        if round % 2 == 0 {
            chain.is_safe(&full, tx).await?;
        }
        let height = chain.anvil.height().await?;
        put_out += posts(&chain, height + 1 - depth).await?.len();
        chain.reorg(depth).await?;
        send(&sequencer, &mut sent).await?;
        settles(&chain, &sent).await.wrap_err_with(|| format!("after a reorg of {depth}"))?;
    }
    ensure!(put_out > 0, "no reorg put a post out");
    // Who reads the parent only now sees the same chain.
    chain.run("fresh", false).await?;
    settles(&chain, &sent).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flip_flop_of_the_parent_is_followed() -> eyre::Result<()> {
    let (chain, sequencer, _) = deep().await?;
    let mut sent = Vec::new();
    let first = first_post(&chain, &sequencer, &mut sent).await?;
    grows(&chain, first + 5).await?;
    for depth in [3, 1, 5] {
        send(&sequencer, &mut sent).await?;
        let height = chain.anvil.height().await?;
        chain.reorg(depth).await?;
        // One block more, and the nodes see this branch; they cannot settle on it.
        grows(&chain, height + 1).await?;
    }
    send(&sequencer, &mut sent).await?;
    settles(&chain, &sent).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reorg_across_a_large_batch() -> eyre::Result<()> {
    let (chain, sequencer, full) = deep().await?;
    let mut sent = Vec::new();
    let first = first_post(&chain, &sequencer, &mut sent).await?;
    grows(&chain, first + 5).await?;
    let height = chain.anvil.height().await?;
    for nonce in 0..60 {
        for sender in 1..=5 {
            sent.push(submit(&sequencer, transfer(sender, nonce)).await?);
        }
    }
    chain.is_safe(&full, sent[1]).await?;
    // From the last post before the batch on, also if the parent makes one more block meanwhile.
    let heights = posts(&chain, 0).await?;
    let before = *heights.iter().rfind(|post| **post <= height).context("no post before")?;
    let put_out = heights.iter().filter(|post| **post >= before).count();
    ensure!(put_out > 1, "posts at {heights:?}, and the batch came after {height}");
    chain.reorg(chain.anvil.height().await? + 2 - before).await?;
    settles(&chain, &sent).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reorg_below_what_is_final_halts_and_reads_go_on() -> eyre::Result<()> {
    let mut chain = Chain::start().await?;
    let sequencer = chain.run("sequencer", false).await?;
    let full = chain.run("full", true).await?;
    let mut sent = Vec::new();
    let first = first_post(&chain, &full, &mut sent).await?;
    grows(&chain, first + 12).await?;
    // Final is more than what the parent's blocks up to this height made safe.
    let height = chain.anvil.height().await?;
    chain.derived().await?;
    let safe = head(&full, "safe").await?.0;
    for url in [&sequencer, &full] {
        let is_final = async || Ok(head(url, "finalized").await?.0 > safe);
        chain.until("more final blocks", is_final).await?;
    }
    let depth = chain.anvil.height().await? + 1 - height;
    chain.reorg(depth.max(12)).await?;
    for (name, url, _) in &chain.nodes {
        chain
            .until(&format!("{name} halts"), async || {
                let health: Value = client(url)?.request("rollup_health", rpc_params![]).await?;
                Ok(health["problems"].to_string().contains(&format!("halted: {WHY}")))
            })
            .await?;
    }

    let heads = async || eyre::Ok((head(&full, "safe").await?, head(&full, "finalized").await?));
    let before = heads().await?;
    for url in [&sequencer, &full] {
        ensure!(balance(url).await? == U256::ONE, "what is known is served");
        let raw = transfer(0, 1);
        let refused: Result<B256, Error> =
            client(url)?.request("eth_sendRawTransaction", rpc_params![raw]).await;
        let Err(Error::Call(error)) = &refused else { bail!("not refused: {refused:?}") };
        let text = error.message();
        ensure!(error.code() == -32002 && text.contains("halted") && text.contains(WHY), "{error}");
    }
    let height = chain.anvil.height().await?;
    grows(&chain, height + 3).await?;
    ensure!(heads().await? == before, "it stands still");
    for (name, _, process) in chain.nodes {
        // The processes were there until now.
        let (status, _) = process.stop()?;
        ensure!(status.success(), "{name} ended with {status}");
    }
    Ok(())
}
