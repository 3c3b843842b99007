//! A devnet's node signs and sends for the development accounts.

use causeway_node::rpc::RpcConfig;
use causeway_tests::keys;
use causeway_tests::live::Live;
use eyre::ensure;
use futures::future::try_join_all;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_get_a_nonce_each() -> eyre::Result<()> {
    let dev_accounts = keys::accounts().to_vec();
    let live = Live::start(RpcConfig { dev_accounts, ..RpcConfig::default() }).await?;
    let from = keys::accounts()[2].address();
    let transfer = json!([{ "from": from, "to": "0x00000000000000000000000000000000000000aa",
        "value": "0x1" }]);
    let sends = (0..20).map(|_| live.call("eth_sendTransaction", transfer.clone()));
    for answer in try_join_all(sends).await? {
        ensure!(answer["result"].is_string(), "{answer}");
    }
    let signed = live.call("eth_signTransaction", transfer).await?;
    ensure!(signed["result"]["tx"]["nonce"] == "0x14", "{signed}");
    // The first nonce after them waits for nothing, one above it for that; both in no block in time.
    let raw = signed["result"]["raw"].clone();
    let gap = json!([{ "from": from, "to": from, "nonce": "0x30", "gas": "0x5208" }]);
    let gap = live.call("eth_signTransaction", gap).await?["result"]["raw"].clone();
    let answer = live.call("eth_sendRawTransactionSync", json!([gap, "0x1"])).await?;
    ensure!(answer["error"]["code"] == 5, "{answer}");
    ensure!(answer["error"]["data"] == "0x14", "the nonce that is missing: {answer}");
    let answer = live.call("eth_sendRawTransactionSync", json!([raw, "0x7530"])).await?;
    ensure!(answer["result"]["status"] == "0x1", "{answer}");
    let count = live.call("eth_getTransactionCount", json!([from, "latest"])).await?;
    ensure!(count["result"] == "0x15", "each was sent once: {count}");
    live.stop().await
}
