//! The parent chain does not answer for longer than blocks may wait.

use std::time::Duration;

use causeway_tests::drive::seeds;
use causeway_tests::load::client;
use causeway_tests::process::signal;
use eyre::ensure;
use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use rustix::process::Signal;
use serde_json::Value;

use super::chain::{Chain, balance, receipt, submit, transfer};

/// The parent is away for so long, in seconds: half of the window is 20. A campaign says how long.
const AWAY: u64 = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn building_pauses_before_blocks_expire_and_goes_on_after() -> eyre::Result<()> {
    let mut chain = Chain::start().await?;
    let sequencer = chain.run("sequencer", false).await?;
    let full = chain.run("full", true).await?;
    let mut sent = vec![submit(&sequencer, transfer(0, 0)).await?];
    chain.is_safe(&full, sent[0]).await?;

    signal(chain.anvil.id(), Signal::STOP)?;
    let away = async {
        sent.push(submit(&full, transfer(0, 1)).await?);
        let in_a_block = async || Ok(receipt(&full, sent[1]).await?["status"] == "0x1");
        chain.until("a block without the parent", in_a_block).await?;
        chain
            .until("building pauses", async || {
                let health: Value =
                    client(&sequencer)?.request("rollup_health", rpc_params![]).await?;
                Ok(health["problems"].to_string().contains("paused"))
            })
            .await?;
        // Taken, and in no block.
        sent.push(submit(&full, transfer(0, 2)).await?);
        let seconds = seeds(AWAY).count() as u64;
        tokio::time::sleep(Duration::from_secs(seconds.saturating_sub(20))).await;
        ensure!(receipt(&sequencer, sent[2]).await?.is_null(), "built although it is paused");
        Ok(())
    }
    .await;
    signal(chain.anvil.id(), Signal::CONT)?;
    away?;
    for tx in &sent {
        let block = chain.is_safe(&full, *tx).await?;
        ensure!(chain.is_safe(&sequencer, *tx).await? == block);
    }
    ensure!(balance(&full).await? == alloy_primitives::U256::from(3));
    Ok(())
}
