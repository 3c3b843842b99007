//! How many transactions blobs carry, what limits that, and what one of them costs to post.

use std::time::{Duration, Instant};

use alloy_primitives::{B256, Bytes, U256};
use causeway_da::ethereum::packing::CAPACITY;
use causeway_tests::drive::seeds;
use causeway_tests::keys;
use causeway_tests::load::client;
use eyre::{ContextCompat, ensure};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::core::params::BatchRequestBuilder;
use serde_json::{Value, json};

use super::amount;
use super::chain::{Chain, balance, head, receipt, transfer};

/// Seconds of load in the CI; a campaign says how many.
const SECONDS: u64 = 3;
/// Transfers that are sent in one request.
const BATCH: u64 = 100;
const SENDERS: u64 = 5;
/// Most blobs of a transaction, from Osaka on.
const BLOBS: usize = 6;
/// EIP-4844.
const BLOB_GAS: u128 = 131_072;
const PAYER: usize = 3;

/// Sends transfers of all senders as fast as the pool takes them, for so long; how many, and the last.
async fn load(url: &str, duration: Duration) -> eyre::Result<(u64, B256)> {
    let client = client(url)?;
    let began = Instant::now();
    let (mut count, mut last) = (0u64, B256::ZERO);
    while began.elapsed() < duration {
        let nonce = count / SENDERS;
        let batch = (0..BATCH).map(|at| transfer((at % SENDERS) as usize, nonce + at / SENDERS));
        let mut waiting: Vec<Bytes> = batch.collect();
        // What finds the pool full comes again, in order.
        while !waiting.is_empty() {
            let mut batch = BatchRequestBuilder::new();
            for raw in &waiting {
                batch.insert("eth_sendRawTransaction", [raw])?;
            }
            let mut refused = Vec::new();
            for (raw, answer) in waiting.into_iter().zip(client.batch_request(batch).await?) {
                match answer {
                    Ok(hash) => {
                        last = hash;
                        count += 1;
                    }
                    Err(error) if error.message().contains("txpool is full") => refused.push(raw),
                    Err(error) => eyre::bail!("refused: {error}"),
                }
            }
            if !refused.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            waiting = refused;
        }
    }
    Ok((count, last))
}

/// Of the payer's transactions above a height: how many, blobs, gas, and blob gas.
async fn posted(chain: &Chain, above: u64) -> eyre::Result<(usize, usize, u128, u128)> {
    let payer = json!(keys::accounts()[PAYER].address());
    let mut sum = (0, 0, 0, 0);
    for height in above + 1..=chain.anvil.height().await? {
        let at = json!([format!("{height:#x}"), true]);
        let block = chain.anvil.call("eth_getBlockByNumber", at).await?;
        for tx in block["transactions"].as_array().context("transactions")? {
            if tx["from"] != payer {
                continue;
            }
            let found = chain.anvil.call("eth_getTransactionReceipt", json!([tx["hash"]])).await?;
            sum.0 += 1;
            sum.1 += tx["blobVersionedHashes"].as_array().map_or(0, Vec::len);
            sum.2 += amount(&found, "gasUsed");
            sum.3 += amount(&found, "blobGasUsed");
        }
    }
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_carry_what_is_sent_at_a_cost_that_is_told() -> eyre::Result<()> {
    let mut chain = Chain::with("4m", &[]).await?;
    let sequencer = chain.run("sequencer", false).await?;
    let full = chain.run("full", true).await?;
    chain.until("a safe block", async || Ok(head(&full, "safe").await?.0 > 0)).await?;

    let start = chain.anvil.height().await?;
    let began = Instant::now();
    let seconds = seeds(SECONDS).count() as u64;
    let (count, last) = load(&sequencer, Duration::from_secs(seconds)).await?;
    let sent = began.elapsed();
    let patience = Duration::from_secs(60 + 10 * seconds);
    loop {
        let found: Value = receipt(&full, last).await?;
        let number = amount(&found, "blockNumber");
        if number > 0 && u128::from(head(&full, "safe").await?.0) >= number {
            break;
        }
        ensure!(began.elapsed() < patience, "the last of {count} is not safe");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let took = began.elapsed();
    ensure!(balance(&full).await? == U256::from(count), "not all of {count} arrived");

    let (posts, blobs, gas, blob_gas) = posted(&chain, start).await?;
    ensure!(blob_gas == blobs as u128 * BLOB_GAS && posts > 0, "{posts} posts, {blobs} blobs");
    let blocks = chain.anvil.height().await? - start;
    let (txs, blobs) = (count as f64, blobs as f64);
    // One transaction a block with so many blobs is what could be posted at most.
    let limit = blocks as f64 * BLOBS as f64;
    println!(
        "figures: {count} transfers sent in {:.1} s, safe on a full node after {:.1} s: {:.0} a second; \
         {posts} posts in {blocks} parent blocks, {blobs} blobs, {:.0} % of what {BLOBS} a block lets \
         through; at most {:.1} bytes of blob, {:.1} gas and {:.0} blob gas a transfer",
        sent.as_secs_f64(),
        took.as_secs_f64(),
        txs / took.as_secs_f64(),
        100.0 * blobs / limit,
        blobs * CAPACITY as f64 / txs,
        gas as f64 / txs,
        blob_gas as f64 / txs,
    );
    Ok(())
}
