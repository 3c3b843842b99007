//! A DA layer that takes back what was final: the node halts, says why, and goes on reading.

use std::time::Duration;

use alloy_primitives::Address;
use causeway_node::rpc::RpcConfig;
use causeway_tests::keys;
use causeway_tests::live::{CHAIN_ID, Live, until};
use causeway_tests::txs::{Draft, Form};
use eyre::ensure;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_final_blocks_are_gone_reads_and_nothing_else() -> eyre::Result<()> {
    let live = Live::start(RpcConfig::default()).await?;
    let finalized = || live.node().heads().borrow().finalized.number;
    until("final blocks", async || Ok(finalized() > 4)).await?;
    live.da.reorg(live.da.height() as usize, |_, _| false);
    until("the halt", async || {
        let (status, answer) = live.get("/ready").await?;
        Ok(status == 503 && answer.to_string().contains("halted: "))
    })
    .await?;
    ensure!(live.get("/health").await?.0 == 200, "it lives");
    let before = (live.latest(), finalized());
    let reason = live.node().halted().unwrap_or_default().to_owned();
    ensure!(reason.contains("reorganized below its own finality"), "{reason}");

    // What is known is served, and nothing more is taken or built.
    let block = live.call("eth_getBlockByNumber", json!(["finalized", false])).await?;
    ensure!(block["result"]["number"] == format!("{:#x}", before.1), "{block}");
    let call = json!([{ "to": Address::ZERO, "input": "0x" }, "latest"]);
    ensure!(live.call("eth_call", call).await?["result"] == "0x");
    let raw = Draft::transfer(CHAIN_ID, 0, Address::repeat_byte(0xa1), 1)
        .sign(Form::Dynamic, &keys::accounts()[0]);
    let refused = live.call("eth_sendRawTransaction", json!([raw])).await?;
    ensure!(refused["error"]["code"] == -32002, "{refused}");
    let text = refused["error"]["message"].as_str().unwrap_or_default();
    ensure!(text.contains("halted") && text.contains("finality"), "{text}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(before == (live.latest(), finalized()), "it stands still");
    live.stop().await
}
