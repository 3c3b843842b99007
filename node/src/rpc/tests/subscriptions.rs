//! `eth_subscribe` over WebSocket.

use jsonrpsee::core::ClientError;
use jsonrpsee::core::client::{ClientT, Subscription, SubscriptionClientT};
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee::rpc_params;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use serde_json::{Value, json};

use super::fake::FakeState;
use super::wire::{CONTRACT, TOPIC, World, alice, log, receipt, transfer};
use crate::rpc::{BlockEvent, RpcConfig, SyncStatus};

async fn connect(world: &World) -> WsClient {
    WsClientBuilder::default().build(format!("ws://{}", world.addr)).await.unwrap()
}

async fn subscribe(
    client: &WsClient,
    params: ArrayParams,
) -> Result<Subscription<Value>, ClientError> {
    client.subscribe("eth_subscribe", params, "eth_unsubscribe").await
}

async fn next(subscription: &mut Subscription<Value>) -> Value {
    subscription.next().await.unwrap().unwrap()
}

/// Puts a block with one log on the chain and tells of it, or takes it back.
fn event(world: &World, removed: bool) -> BlockEvent {
    let mut chain = world.node.chain.lock();
    let block = if removed {
        chain.states.pop();
        chain.blocks.pop().unwrap()
    } else {
        let txs = vec![(transfer(6, 1), receipt(21_000, 21_000, vec![log(4)]))];
        chain.push(txs, FakeState::default())
    };
    let event = BlockEvent { block, removed };
    world.node.blocks.send(event.clone()).unwrap();
    event
}

#[tokio::test]
async fn heads_and_logs_follow_the_chain_back_and_forth() {
    let world = World::new(RpcConfig::default()).await;
    let client = connect(&world).await;
    let mut heads = subscribe(&client, rpc_params!["newHeads"]).await.unwrap();
    let filter = json!({ "address": CONTRACT, "topics": [TOPIC] });
    let mut logs = subscribe(&client, rpc_params!["logs", filter]).await.unwrap();
    let mut others = subscribe(&client, rpc_params!["logs", json!({ "address": TOPIC[..20].iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}")) })]).await.unwrap();

    let added = event(&world, false);
    let head = next(&mut heads).await;
    let expected = world.call("eth_getHeaderByHash", json!([added.block.hash])).await;
    assert_eq!(head, expected);
    let seen = next(&mut logs).await;
    assert_eq!(seen["removed"], false);
    assert_eq!(seen["blockHash"], json!(added.block.hash));

    event(&world, true);
    let gone = next(&mut logs).await;
    assert_eq!(gone["removed"], true);
    assert_eq!(gone["transactionHash"], seen["transactionHash"]);

    // No head was told for the removal: the next one is the next block.
    let again = event(&world, false);
    assert_eq!(next(&mut heads).await["hash"], json!(again.block.hash));
    assert_eq!(next(&mut logs).await["removed"], false);

    // A filter that matches nothing stays silent; leaving it is confirmed.
    assert!(futures::FutureExt::now_or_never(others.next()).is_none());
    heads.unsubscribe().await.unwrap();
    assert_eq!(
        client.request::<Value, _>("eth_unsubscribe", rpc_params!["0x12"]).await.unwrap(),
        json!(false)
    );
}

#[tokio::test]
async fn pending_transactions_by_hash_and_whole() {
    let world = World::new(RpcConfig::default()).await;
    let client = connect(&world).await;
    let mut hashes = subscribe(&client, rpc_params!["newPendingTransactions"]).await.unwrap();
    let mut whole = subscribe(&client, rpc_params!["newPendingTransactions", true]).await.unwrap();
    let tx = transfer(6, 1);
    let sent: Value =
        client.request("eth_sendRawTransaction", rpc_params![tx.raw.clone()]).await.unwrap();
    assert_eq!(next(&mut hashes).await, sent);
    let expected = world.call("eth_getTransactionByHash", json!([tx.hash])).await;
    assert_eq!(next(&mut whole).await, expected);
}

#[tokio::test]
async fn syncing_tells_changes_only() {
    let world = World::new(RpcConfig::default()).await;
    let client = connect(&world).await;
    let mut syncing = subscribe(&client, rpc_params!["syncing"]).await.unwrap();
    assert_eq!(next(&mut syncing).await, json!(false));
    world.node.heads.send_modify(|heads| heads.reorgs += 1);
    *world.node.sync.lock() = Some(SyncStatus { starting: 0, current: 3, highest: 9 });
    world.node.heads.send_modify(|heads| heads.reorgs += 1);
    let status = json!({ "startingBlock": "0x0", "currentBlock": "0x3", "highestBlock": "0x9" });
    assert_eq!(next(&mut syncing).await, json!({ "syncing": true, "status": status }));
}

#[tokio::test]
async fn subscriptions_are_limited_and_named() {
    let world = World::new(RpcConfig { subscriptions: 2, ..RpcConfig::default() }).await;
    let client = connect(&world).await;
    let code = |result: Result<Subscription<Value>, ClientError>| match result {
        Err(ClientError::Call(error)) => (error.code(), error.message().to_owned()),
        other => panic!("{other:?}"),
    };
    let (wrong, message) = code(subscribe(&client, rpc_params!["newNothing"]).await);
    assert_eq!(wrong, -32602);
    assert!(message.contains("newNothing") && message.contains("newHeads"), "{message}");
    let _first = subscribe(&client, rpc_params!["newHeads"]).await.unwrap();
    let _second = subscribe(&client, rpc_params!["newHeads"]).await.unwrap();
    assert_eq!(code(subscribe(&client, rpc_params!["newHeads"]).await).0, -32006);
}

#[tokio::test]
async fn a_receipt_in_one_call() {
    let world = World::new(RpcConfig::default()).await;
    let client = connect(&world).await;
    let tx = transfer(6, 1);
    let mut pending = subscribe(&client, rpc_params!["newPendingTransactions"]).await.unwrap();
    let params = rpc_params![tx.raw.clone(), 10_000];
    let waiting = client.request::<Value, _>("eth_sendRawTransactionSync", params);
    let include = async {
        next(&mut pending).await;
        event(&world, false)
    };
    let (receipt, event) = futures::join!(waiting, include);
    let receipt = receipt.unwrap();
    assert_eq!(receipt["transactionHash"], json!(tx.hash));
    assert_eq!(receipt["blockHash"], json!(event.block.hash));
    // One that is in no block in time says so, with its hash.
    let next = world.call("eth_getTransactionCount", json!([alice(), "pending"])).await;
    let next = u64::from_str_radix(&next.as_str().unwrap()[2..], 16).unwrap();
    let late = transfer(next, 1);
    let params = json!([late.raw, 1]);
    let answer = world.call("eth_sendRawTransactionSync", params).await;
    assert_eq!(answer["error"]["code"], 4);
    assert_eq!(answer["error"]["data"], json!(late.hash));
    // And one that waits for another names it.
    let gap = json!([transfer(next + 10, 1).raw, 1]);
    let answer = world.call("eth_sendRawTransactionSync", gap).await;
    assert_eq!(answer["error"]["code"], 5);
}

#[tokio::test]
async fn the_feed_sends_blocks_in_order_to_nodes_of_its_chain() {
    let world = World::new(RpcConfig::default()).await;
    let client = connect(&world).await;
    let identity = crate::rpc::Backend::spec(&*world.node).identity();
    let latest = world.node.heads.borrow().latest.number;
    let feed = |identity: alloy_primitives::B256, from: u64| {
        let params = rpc_params![identity, from];
        client.subscribe::<Value, _>("rollup_subscribeFeed", params, "rollup_unsubscribeFeed")
    };
    let refused = feed(alloy_primitives::B256::ZERO, 1).await.unwrap_err().to_string();
    assert!(refused.contains("compare your chain.toml"), "{refused}");

    let mut blocks = feed(identity, 0).await.unwrap();
    for number in 1..=latest {
        let bytes = alloy_primitives::Bytes::from(number.to_be_bytes());
        assert_eq!(next(&mut blocks).await, json!(bytes));
    }
    let _listening = world.node.blocks.subscribe();
    event(&world, false);
    world.node.heads.send_modify(|heads| heads.latest.number = latest + 1);
    let bytes = alloy_primitives::Bytes::from((latest + 1).to_be_bytes());
    assert_eq!(next(&mut blocks).await, json!(bytes));
}
