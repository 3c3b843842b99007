//! What the admin listener tells a running sequencer is what becomes of it.

use std::time::Duration;

use alloy_primitives::B256;
use causeway_node::rpc::RpcConfig;
use causeway_tests::keys;
use causeway_tests::live::{BLOCK_MS, CHAIN_ID, Live, until};
use causeway_tests::txs::{Draft, Form};
use eyre::ensure;
use serde_json::{Value, json};

/// Several blocks long.
const WHILE: Duration = Duration::from_millis(6 * BLOCK_MS);

/// Whether `/ready` answers with a status and a reason that contains a text.
async fn is_ready(live: &Live, status: u16, reason: &str) -> eyre::Result<bool> {
    let (found, answer) = live.get("/ready").await?;
    let reasons = answer["reasons"].as_array().cloned().unwrap_or_default();
    let named = reasons.iter().any(|one| one.as_str().is_some_and(|one| one.contains(reason)));
    Ok(found == status && (named || reason.is_empty()) && answer["ready"] == (status == 200))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_sequencer_builds_nothing_until_it_is_started() -> eyre::Result<()> {
    let live = Live::start(RpcConfig::default()).await?;
    until("ready", async || is_ready(&live, 200, "").await).await?;
    until("blocks", async || Ok(live.latest() > 2)).await?;
    let stopped = live.administer("sequencer_stop", json!([])).await?;
    let result = &stopped["result"];
    ensure!(result["state"] == "stopped" && result["leader"] == false, "{stopped}");
    let number = live.latest();
    ensure!(result["latest"]["number"] == number, "{stopped}");
    ensure!(is_ready(&live, 503, "sequencer_start").await?, "{:?}", live.get("/ready").await?);
    ensure!(live.get("/health").await?.0 == 200, "it lives");

    // What is sent meanwhile is taken, and waits.
    let key = &keys::accounts()[0];
    let raw = Draft::transfer(CHAIN_ID, 0, key.address(), 1).sign(Form::Dynamic, key);
    let sent = live.call("eth_sendRawTransaction", json!([raw])).await?;
    let hash = sent["result"].clone();
    ensure!(hash.is_string(), "{sent}");
    tokio::time::sleep(WHILE).await;
    ensure!(live.latest() == number, "{} blocks while it was stopped", live.latest() - number);

    let wrong = live.administer("sequencer_start", json!([B256::ZERO])).await?;
    ensure!(wrong["error"]["code"] == -32000, "{wrong}");
    ensure!(live.administer("sequencer_status", json!([])).await?["result"]["state"] == "stopped");
    let newest = result["latest"]["hash"].clone();
    let started = live.administer("sequencer_start", json!([newest])).await?;
    ensure!(started["result"]["state"] == "running", "{started}");
    until("the transaction in a block", async || {
        let receipt = live.call("eth_getTransactionReceipt", json!([hash])).await?;
        Ok(receipt["result"]["status"] == "0x1")
    })
    .await?;
    until("ready again", async || is_ready(&live, 200, "").await).await?;
    live.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_publisher_posts_nothing_and_a_flush_posts_all() -> eyre::Result<()> {
    let live = Live::start(RpcConfig::default()).await?;
    until("safe blocks", async || Ok(live.safe() > 1)).await?;
    let stopped = live.administer("batcher_stop", json!([])).await?;
    ensure!(stopped["result"]["state"] == "stopped", "{stopped}");
    let posted = stopped["result"]["posted"]["number"].as_u64();
    ensure!(posted.is_some() && stopped["result"]["posted"]["da"]["height"].is_u64(), "{stopped}");
    // What was on its way is derived; then nothing more.
    until("what was posted is safe", async || Ok(Some(live.safe()) >= posted)).await?;
    let safe = live.safe();
    tokio::time::sleep(WHILE).await;
    ensure!(live.safe() == safe && live.latest() > safe, "{} after {safe}", live.safe());
    ensure!(is_ready(&live, 503, "batcher_start").await?, "{:?}", live.get("/ready").await?);
    let refused = live.administer("batcher_flush", json!([])).await?;
    let text = refused["error"]["message"].as_str().unwrap_or_default();
    ensure!(text.contains("batcher_start"), "{refused}");

    live.administer("batcher_start", json!([])).await?;
    let goal = live.latest();
    let flushed = live.administer("batcher_flush", json!([])).await?;
    let up_to = |status: &Value| {
        let posted = status["posted"]["number"].as_u64();
        posted.max(status["safe"].as_u64())
    };
    ensure!(up_to(&flushed["result"]) >= Some(goal), "{flushed}, goal {goal}");
    until("it is safe", async || Ok(live.safe() >= goal)).await?;
    live.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_da_layer_makes_a_node_unready_and_its_return_ready() -> eyre::Result<()> {
    let live = Live::start(RpcConfig::default()).await?;
    until("ready", async || is_ready(&live, 200, "").await).await?;
    live.da.fail(1_000_000);
    until("the layer's silence", async || is_ready(&live, 503, "the da layer").await).await?;
    ensure!(live.get("/health").await?.1["status"] == "degraded");
    live.da.fail(0);
    until("ready again", async || is_ready(&live, 200, "").await).await?;
    live.stop().await
}
