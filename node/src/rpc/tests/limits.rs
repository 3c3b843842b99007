//! Limits: sizes, batches, logs, workers, and who may call.

use std::time::Duration;

use alloy_primitives::{Bytes, U256};
use jsonrpsee::core::client::{ClientT, SubscriptionClientT};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fake::FakeState;
use super::wire::{CONTRACT, FRIEND, World, alice, log, receipt, transfer};
use crate::rpc::RpcConfig;

#[tokio::test]
async fn batches_up_to_the_limit() {
    let world = World::new(RpcConfig { batch: 3, ..RpcConfig::default() }).await;
    let batch = |calls: usize| {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" });
        Value::Array(vec![call; calls]).to_string()
    };
    assert_eq!(world.post(&batch(3)).await.as_array().unwrap().len(), 3);
    assert_eq!(world.post(&batch(4)).await["error"]["code"], -32010);
    assert_eq!(world.post("[]").await["error"]["code"], -32600);
}

#[tokio::test]
async fn requests_and_responses_up_to_their_limits() {
    let config = RpcConfig { request_bytes: 1000, response_bytes: 2000, ..RpcConfig::default() };
    let world = World::new(config).await;
    let sized = |bytes: usize| {
        let empty = json!({ "jsonrpc": "2.0", "id": 1, "method": "web3_sha3", "params": ["0x"] });
        let room = (bytes - empty.to_string().len()) / 2 * 2;
        empty.to_string().replace("0x", &format!("0x{}", "00".repeat(room / 2)))
    };
    assert!(world.post(&sized(998)).await["result"].is_string());
    let (status, _, _) = world.http("POST", "/", &[], &sized(1100)).await;
    assert_eq!(status, 413);
    // One block fits, its receipts (with a bloom each) do not.
    let answer = world.call("eth_getBlockReceipts", json!(["0x1"])).await;
    assert_eq!(answer["error"]["code"], -32008);
    assert_eq!(world.call("eth_blockNumber", json!([])).await, "0x3");
}

#[tokio::test]
async fn malformed_bodies_are_answered() {
    let world = World::new(RpcConfig::default()).await;
    let deep = "[".repeat(100_000);
    let nested = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":{}{}}}"#,
        deep,
        "]".repeat(100_000)
    );
    for (body, code) in [
        ("{", -32700),
        ("\u{0}", -32700),
        (r#"{"jsonrpc":"2.0"}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#, -32600),
        (deep.as_str(), -32700),
    ] {
        let (_, _, answer) = world.http("POST", "/", &[], body).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["error"]["code"], code, "{:.60}", body);
    }
    let (_, _, answer) = world.http("POST", "/", &[], &nested).await;
    assert!(answer.contains("error"), "{answer:.200}");
    assert_eq!(world.call("eth_blockNumber", json!([])).await, "0x3");
}

#[tokio::test]
async fn what_is_neither_call_nor_notification_is_told_so() {
    let world = World::new(RpcConfig::default()).await;
    let invalid = |id: Value, text: &str| json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32600, "message": text } });
    let call = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_chainId"}}"#);
    let ids = "Invalid request: this server takes ids that are strings, whole numbers from 0 to \
               2^64-1, or null";
    for id in ["-1", "1.5", "true", "[]", "{}", "18446744073709551616"] {
        assert_eq!(world.post(&call(id)).await, invalid(Value::Null, ids), "{id}");
    }
    for body in ["{}", "null", " 1", r#""x""#, "true", r#"{"jsonrpc":"2.0","params":[]}"#] {
        assert_eq!(world.post(body).await, invalid(Value::Null, "Invalid request"), "{body}");
    }
    assert_eq!(world.post(r#"{"id":"a"}"#).await, invalid(json!("a"), "Invalid request"));
    for id in ["0", "18446744073709551615", "null", r#""-1""#] {
        let answer = world.post(&call(id)).await;
        assert_eq!(answer["id"], serde_json::from_str::<Value>(id).unwrap());
        assert!(answer["result"].is_string(), "{answer}");
    }
    let answers = world.post(&format!("[{},{},{{}}]", call("-1"), call("1"))).await;
    assert_eq!(answers[0], invalid(Value::Null, ids));
    assert_eq!(answers[1]["id"], 1);
    assert_eq!(answers[2], invalid(Value::Null, "Invalid request"));
    // Nobody answers a notification.
    let (status, _, answer) =
        world.http("POST", "/", &[], r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#).await;
    assert_eq!((status, answer.as_str()), (200, ""));
}

#[tokio::test]
async fn wide_log_queries_say_how_to_ask_again() {
    let config = RpcConfig { log_blocks: 10, log_results: 4, ..RpcConfig::default() };
    let world = World::new(config).await;
    {
        let mut chain = world.node.chain.lock();
        for number in 4..20 {
            let logs = vec![log(1), log(2)];
            chain.push(
                vec![(transfer(number, 1), receipt(21_000, 21_000, logs))],
                FakeState::default(),
            );
        }
        let many = (0..9).map(log).collect();
        chain.push(vec![(transfer(20, 1), receipt(21_000, 21_000, many))], FakeState::default());
        chain.push(Vec::new(), FakeState::default());
    }
    let logs = async |from: u64, to: u64| {
        let filter = json!({ "fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}") });
        world.call("eth_getLogs", json!([filter])).await
    };
    let message = |answer: Value| {
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        answer["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(message(logs(4, 14).await), "query exceeds max block range 10");
    assert_eq!(message(logs(4, 13).await), "query exceeds max results 4, retry with the range 4-5");
    // The range it names is answered, and so is a single block whatever it holds.
    assert_eq!(logs(4, 5).await.as_array().unwrap().len(), 4);
    assert_eq!(logs(20, 20).await.as_array().unwrap().len(), 9);
    assert_eq!(
        message(logs(20, 21).await),
        "query exceeds max results 4, retry with the range 20-20"
    );
    let many = vec![CONTRACT; 1]
        .into_iter()
        .chain(
            (0..1001_u64).map(|n| alloy_primitives::Address::left_padding_from(&n.to_be_bytes())),
        )
        .collect::<Vec<_>>();
    let answer = world.call("eth_getLogs", json!([{ "address": many }])).await;
    assert_eq!(message(answer), "exceed max addresses: at most 1000");
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the worker waits for it, this thread does not")]
async fn slow_calls_time_out_and_cannot_pile_up() {
    let config =
        RpcConfig { workers: 1, call_timeout: Duration::from_millis(50), ..RpcConfig::default() };
    let world = World::new(config).await;
    let slow = json!([{ "to": CONTRACT, "input": "0x0a" }]);
    let gate = world.node.gate.clone();
    let held = gate.lock();
    let first = world.call("eth_call", slow.clone()).await;
    assert_eq!(
        first,
        json!({ "error": { "code": -32000, "message": "execution aborted (timeout = 0.05s)" } })
    );
    // The only worker is still busy.
    let second = world.call("eth_call", slow.clone()).await;
    assert_eq!(second["error"]["code"], -32005);
    // What needs no worker is answered.
    assert_eq!(world.call("eth_blockNumber", json!([])).await, "0x3");
    drop(held);
    // The worker comes back as soon as the call ends; ask until it has.
    let mut answer = Value::Null;
    for _ in 0..100 {
        answer = world.call("eth_call", slow.clone()).await;
        if answer == "0x" {
            break;
        }
    }
    assert_eq!(answer, "0x");
}

#[tokio::test]
async fn connections_up_to_the_limit() {
    let world = World::new(RpcConfig { connections: 1, ..RpcConfig::default() }).await;
    let url = format!("ws://{}", world.addr);
    let client = jsonrpsee::ws_client::WsClientBuilder::default().build(url).await.unwrap();
    let number: String = client.request("eth_blockNumber", jsonrpsee::rpc_params![]).await.unwrap();
    assert_eq!(number, "0x3");
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    let (status, head, answer) = world.http("POST", "/", &[], body).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let message = "limit exceeded: too many connections, try again later";
    assert_eq!((status, &answer["error"]["code"]), (429, &json!(-32005)));
    assert_eq!(answer["error"]["message"], message);
    assert!(head.contains("retry-after: 1"), "{head}");
    drop(client);
    // The server learns of it in its own time.
    let mut status = 429;
    for _ in 0..1000 {
        (status, ..) = world.http("POST", "/", &[], body).await;
        if status == 200 {
            break;
        }
    }
    assert_eq!(status, 200);
}

#[tokio::test]
async fn subscriptions_and_filters_up_to_their_limits() {
    let config = RpcConfig { subscriptions: 1, filters: 1, ..RpcConfig::default() };
    let world = World::new(config).await;
    let url = format!("ws://{}", world.addr);
    let client = jsonrpsee::ws_client::WsClientBuilder::default().build(url).await.unwrap();
    let subscribe = async || {
        let params = jsonrpsee::rpc_params!["newHeads"];
        client.subscribe::<Value, _>("eth_subscribe", params, "eth_unsubscribe").await
    };
    let first = subscribe().await.unwrap();
    let refused = subscribe().await.unwrap_err().to_string();
    assert!(refused.contains("-32006") && refused.contains("max limit of 1"), "{refused}");
    drop(first);
    let id = world.call("eth_newBlockFilter", json!([])).await;
    let answer = world.call("eth_newBlockFilter", json!([])).await;
    let message = "too many filters, uninstall those you do not poll";
    assert_eq!(answer, json!({ "error": { "code": -32000, "message": message } }));
    assert_eq!(world.call("eth_uninstallFilter", json!([id])).await, true);
    assert!(world.call("eth_newBlockFilter", json!([])).await.is_string());
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the worker waits for it, this thread does not")]
async fn a_slow_call_of_a_batch_delays_the_others_and_does_not_fail_them() {
    let config =
        RpcConfig { workers: 2, call_timeout: Duration::from_millis(50), ..RpcConfig::default() };
    let world = World::new(config).await;
    let call = |id: u64, input: &str| {
        let params = json!([{ "to": CONTRACT, "input": input }]);
        json!({ "jsonrpc": "2.0", "id": id, "method": "eth_call", "params": params })
    };
    let number = json!({ "jsonrpc": "2.0", "id": 4, "method": "eth_blockNumber" });
    let nothing = json!({ "jsonrpc": "2.0", "id": 6, "method": "eth_nothing" });
    let notified = json!({ "jsonrpc": "2.0", "method": "eth_call", "params": [{}] });
    let batch = json!([
        call(1, "0x05"),
        call(2, "0x0a"),
        call(3, "0x05"),
        number,
        notified,
        call(5, "0x05"),
        nothing,
    ]);
    let quick = world.call("eth_call", json!([{ "to": CONTRACT, "input": "0x05" }])).await;
    assert!(quick.is_string(), "{quick}");
    let gate = world.node.gate.clone();
    let held = gate.lock();
    let answers = world.post(&batch.to_string()).await;
    drop(held);
    let answers = answers.as_array().unwrap();
    let ids: Vec<u64> = answers.iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    for at in [0, 2, 4] {
        assert_eq!(answers[at]["result"], quick);
    }
    assert_eq!(answers[1]["error"]["message"], "execution aborted (timeout = 0.05s)");
    assert_eq!(answers[3]["result"], "0x3");
    assert_eq!(answers[5]["error"]["code"], -32601);
}

#[tokio::test]
async fn a_batch_of_calls_is_cut_off_at_the_longest_answer() {
    let world = World::new(RpcConfig { response_bytes: 4000, ..RpcConfig::default() }).await;
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "eth_getBlockReceipts", "params": ["0x2"],
    });
    assert!(world.post(&json!([call]).to_string()).await[0]["result"].is_array());
    let answer = world.post(&Value::Array(vec![call; 50]).to_string()).await;
    assert_eq!(answer["error"]["code"], -32011, "{answer}");
}

#[tokio::test]
async fn overrides_and_gas_are_capped() {
    let world = World::new(RpcConfig { call_gas: 40_000, ..RpcConfig::default() }).await;
    let call = json!({ "to": CONTRACT, "input": "0x05", "gas": "0xffffffffff" });
    let seen = world.call("eth_call", json!([call])).await;
    let bytes: Bytes = seen.as_str().unwrap().parse().unwrap();
    assert_eq!(U256::from_be_slice(&bytes[128..160]), U256::from(40_000));
    let hungry = json!({ "from": alice(), "to": CONTRACT, "input": "0x06" });
    let answer = world.call("eth_estimateGas", json!([hungry])).await;
    assert_eq!(answer["error"]["message"], "gas required exceeds allowance (40000)");
    let both = json!({ FRIEND.to_string(): { "state": {}, "stateDiff": {} } });
    let answer = world.call("eth_call", json!([call, "latest", both])).await;
    assert_eq!(answer["error"]["code"], -32602);
    let keys: Vec<String> = (0..1025).map(|key| format!("{key:#x}")).collect();
    let answer = world.call("eth_getProof", json!([CONTRACT, keys])).await;
    assert_eq!(answer["error"]["message"], "too many storage keys: have 1025, most 1024");
}

#[tokio::test]
async fn pages_of_other_origins() {
    let preflight = [
        ("Origin", "https://app.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    let upgrade = [
        ("Origin", "https://evil.example"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    let allow = "access-control-allow-origin";
    for (origins, allowed) in [
        (vec![], None),
        (vec!["*".to_owned()], Some("*")),
        (vec!["https://app.example".to_owned()], Some("https://app.example")),
    ] {
        let world = World::new(RpcConfig { origins, ..RpcConfig::default() }).await;
        let (status, head, _) = world.http("OPTIONS", "/", &preflight, "").await;
        assert_eq!(status, 200);
        assert!(head.contains("access-control-max-age: 7200"), "{head}");
        match allowed {
            Some(origin) => assert!(head.contains(&format!("{allow}: {origin}")), "{head}"),
            None => assert!(!head.contains(allow), "{head}"),
        }
        let (status, _, _) = world.http("GET", "/", &upgrade, "").await;
        assert_eq!(status == 403, allowed != Some("*"), "{status}");
    }
}

#[tokio::test]
async fn foreign_host_names() {
    let hosts = Some(vec!["localhost:*".to_owned(), "127.0.0.1:*".to_owned()]);
    let world = World::new(RpcConfig { hosts, ..RpcConfig::default() }).await;
    assert_eq!(world.call("eth_blockNumber", json!([])).await, "0x3");
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    let (status, _, _) = world.http("POST", "/", &[("Host", "evil.example")], body).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn bodies_that_never_end() {
    let config = RpcConfig { request_timeout: Duration::from_millis(50), ..RpcConfig::default() };
    let world = World::new(config).await;
    let mut stream = tokio::net::TcpStream::connect(world.addr).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The server gives up; what it says then is its own affair.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.windows(6).any(|part| part == b"result"));
}

#[tokio::test]
async fn it_stops_when_told() {
    let world = World::new(RpcConfig::default()).await;
    let url = format!("ws://{}", world.addr);
    let client = jsonrpsee::ws_client::WsClientBuilder::default().build(url).await.unwrap();
    let params = jsonrpsee::rpc_params!["newHeads"];
    let mut heads: jsonrpsee::core::client::Subscription<Value> =
        client.subscribe("eth_subscribe", params, "eth_unsubscribe").await.unwrap();
    world.stop.cancel();
    world.server.stopped().await;
    assert!(heads.next().await.is_none());
    assert!(tokio::net::TcpStream::connect(world.addr).await.is_err());
}

#[tokio::test]
async fn transactions_of_a_batch_are_taken_in_together_and_in_order() {
    let world = World::new(RpcConfig::default()).await;
    let call = |id: u64, method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    let send =
        |id: u64, nonce: u64| call(id, "eth_sendRawTransaction", json!([transfer(nonce, 1).raw]));
    let batch = json!([
        send(1, 0),
        send(2, 1),
        call(3, "eth_sendRawTransaction", json!(["0xzz"])),
        call(4, "eth_chainId", json!([])),
        { "jsonrpc": "2.0", "method": "eth_chainId" },
        send(5, 2),
        call(6, "eth_nope", json!([])),
    ]);
    let answers = world.post(&batch.to_string()).await;
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|answer| &answer["id"]).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    for (at, nonce) in [(0, 0), (1, 1), (4, 2)] {
        assert_eq!(answers[at]["result"], json!(transfer(nonce, 1).hash));
    }
    assert_eq!(answers[2]["error"]["code"], -32602);
    assert_eq!(answers[3]["result"], world.call("eth_chainId", json!([])).await);
    assert_eq!(answers[5]["error"]["code"], -32601);
    assert_eq!(*world.node.submitted.lock(), [2, 1]);
}
