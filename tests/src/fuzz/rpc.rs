//! JSON-RPC: raw bodies of requests, through the table of methods of a real node.

use std::sync::LazyLock;
use std::time::Duration;

use alloy_primitives::hex;
use causeway_node::rpc::RpcConfig;
use causeway_node::rpc::portless::Portless;
use serde_json::{Map, Value, json};

use super::lab;
use crate::keys;
use crate::txs::{Draft, Form};

/// Most bytes of an answer here.
const MOST: u32 = 1 << 20;

static SERVER: LazyLock<Portless> = LazyLock::new(|| {
    let config = RpcConfig {
        response_bytes: MOST,
        batch: 20,
        call_gas: 300_000,
        call_timeout: Duration::from_secs(5),
        filters: 100,
        ..RpcConfig::default()
    };
    Portless::new(lab::node().clone(), config).expect("the table of methods is right")
});

/// The JSON-RPC under test.
pub(super) fn server() -> &'static Portless {
    &SERVER
}

/// The body of one HTTP request.
pub(super) fn request(bytes: &[u8]) {
    let server = server();
    let answer = lab::lab().runtime.block_on(server.answer(bytes.to_vec()));
    let answer = answer.expect("a request is always answered");
    assert!(answer.len() <= 2 * MOST as usize, "{} bytes of answer", answer.len());
    let Ok(asked) = serde_json::from_slice::<Value>(bytes) else {
        // What the server does not read it does not check: it may be silent about a bad text where
        // it needs none of it, as behind the id of a notification, or answer each part of a batch.
        if !answer.is_empty() {
            match parsed(&answer) {
                Value::Array(answers) => answers.iter().for_each(|answer| one(answer, None)),
                answer => one(&answer, None),
            }
        }
        return;
    };
    match asked {
        Value::Object(call) => {
            if answer.is_empty() {
                assert!(call.get("id").is_none(), "no answer to a call");
            } else {
                one(&parsed(&answer), Some(&call));
            }
        }
        Value::Array(calls) => batch(&answer, &calls),
        _ => one(&parsed(&answer), None),
    }
}

fn parsed(answer: &[u8]) -> Value {
    serde_json::from_slice(answer).unwrap_or_else(|error| {
        panic!("an answer that is no JSON ({error}): {}", String::from_utf8_lossy(answer))
    })
}

fn batch(answer: &[u8], calls: &[Value]) {
    // Of notifications alone.
    if answer.is_empty() {
        let silent = |call: &Value| call.is_object() && call.get("id").is_none();
        return assert!(calls.iter().all(silent), "no answer to a batch");
    }
    match parsed(answer) {
        Value::Array(answers) => {
            assert!(answers.len() <= calls.len(), "more answers than calls");
            answers.iter().for_each(|answer| one(answer, None));
            for answer in &answers {
                let known = |call: &Value| call.get("id") == answer.get("id");
                let null = answer["id"].is_null();
                assert!(null || calls.iter().any(known), "an id nobody gave: {answer}");
            }
        }
        // Refused whole: empty, or too large.
        other => one(&other, None),
    }
}

/// An answer by the JSON-RPC 2.0 specification, section 5; of a call that has an id, with that id.
fn one(answer: &Value, call: Option<&Map<String, Value>>) {
    assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
    let id = answer.get("id").unwrap_or_else(|| panic!("no id: {answer}"));
    assert!(id.is_null() || id.is_u64() || id.is_string(), "{answer}");
    match (answer.get("result"), answer.get("error")) {
        (Some(_), None) => {}
        (None, Some(error)) => {
            assert!(error["code"].is_i64() && error["message"].is_string(), "{answer}");
            // Our own failure. Nothing that a client sends may be one.
            assert_ne!(error["code"], -32603, "{answer}");
        }
        _ => panic!("neither result nor error, or both: {answer}"),
    }
    let Some(asked) = call.and_then(|call| call.get("id")) else { return };
    // A request that is none has no id that counts, as one with the same field twice or with an id
    // that is no id.
    let none = matches!(answer["error"]["code"].as_i64(), Some(-32600 | -32700));
    assert!(id == asked || id.is_null() && none, "{answer}");
}

fn call(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// A call of every method, with parameters that mean something on the chain.
pub(super) fn request_seeds() -> Vec<Vec<u8>> {
    let chain = lab::node().pipeline().snapshot();
    let block = (1..=chain.latest().number)
        .filter_map(|number| chain.block(number).expect("blocks are readable"))
        .find(|block| block.txs.iter().any(|tx| !tx.is_deposit()))
        .expect("a block with transactions");
    let tx = block.txs.iter().find(|tx| !tx.is_deposit()).expect("it has one").hash;
    let (hash, number) = (block.hash, format!("{:#x}", block.header.number));
    let user = keys::accounts()[2].address();
    let draft = Draft::transfer(901, 5, user, 1).sign(Form::Dynamic, &keys::accounts()[9]);
    let raw = hex::encode_prefixed(draft);
    let filter = json!({ "fromBlock": "earliest", "toBlock": "latest", "topics": [null, [hash]] });
    let request = json!({
        "from": user, "to": user, "gas": "0x5208", "value": "0x1", "data": "0x", "nonce": "0x1",
        "maxFeePerGas": "0x77359400", "accessList": [{ "address": user, "storageKeys": [hash] }],
    });
    let state = json!({ user.to_string(): { "balance": "0xff", "code": "0x6001600055",
        "stateDiff": { hash.to_string(): hash } } });
    let header = json!({ "number": "0x10", "time": "0x1", "baseFeePerGas": "0x2" });
    let at = json!({ "blockHash": hash, "requireCanonical": true });
    let mut seeds: Vec<Value> = [
        ("eth_call", json!([request, "latest", state, header])),
        ("eth_estimateGas", json!([request, "pending"])),
        ("eth_feeHistory", json!(["0x4", "latest", [10, 50.5]])),
        ("eth_getBalance", json!([user, at])),
        ("eth_getBlockByHash", json!([hash, true])),
        ("eth_getBlockByNumber", json!([number, false])),
        ("eth_getBlockReceipts", json!([number])),
        ("eth_getCode", json!([user, "safe"])),
        ("eth_getFilterChanges", json!(["0x1"])),
        ("eth_getFilterLogs", json!(["0x1"])),
        ("eth_getLogs", json!([filter])),
        ("eth_getLogs", json!([{ "blockHash": hash, "address": [user] }])),
        ("eth_getProof", json!([user, ["0x0", hash], "finalized"])),
        ("eth_getRawTransactionByHash", json!([tx])),
        ("eth_getStorageAt", json!([user, "0x0", "earliest"])),
        ("eth_getTransactionByBlockNumberAndIndex", json!([number, "0x0"])),
        ("eth_getTransactionByHash", json!([tx])),
        ("eth_getTransactionCount", json!([user, "pending"])),
        ("eth_getTransactionReceipt", json!([tx])),
        ("eth_newFilter", json!([filter])),
        ("eth_newBlockFilter", json!([])),
        ("eth_newPendingTransactionFilter", json!([true])),
        ("eth_sendRawTransaction", json!([raw])),
        ("eth_subscribe", json!(["logs", filter])),
        ("eth_syncing", Value::Null),
        ("eth_uninstallFilter", json!(["0x1"])),
        ("metalayer_getAnchors", json!([])),
        ("metalayer_getDirectory", json!([])),
        ("metalayer_getLane", json!([901, "gamma"])),
        ("metalayer_getMessage", json!([hash])),
        ("metalayer_getMessageProof", json!([hash, number])),
        ("metalayer_getSupply", json!([])),
        ("net_version", json!([])),
        ("rollup_chainSpec", json!([])),
        ("rollup_health", json!([])),
        ("rollup_sendForced", json!(["0x7c01c482038601"])),
        ("rollup_subscribeFeed", json!([hash, 1])),
        ("rollup_syncStatus", json!([])),
        ("rpc_modules", json!([])),
        ("txpool_contentFrom", json!([user])),
        ("txpool_inspect", json!([])),
        ("txpool_status", json!([])),
        ("web3_sha3", json!(["0x00"])),
    ]
    .into_iter()
    .map(|(method, params)| call(method, params))
    .collect();
    for id in lab::sent() {
        seeds.push(call("metalayer_getMessage", json!([id])));
        seeds.push(call("metalayer_getMessageProof", json!([id])));
    }
    seeds.push(json!([call("eth_chainId", json!([])), call("nothing_here", json!([1])), 5]));
    seeds.push(json!({ "jsonrpc": "2.0", "method": "eth_chainId" }));
    seeds.push(json!({ "jsonrpc": "2.0", "id": "a", "method": "eth_chainId", "params": {} }));
    seeds.push(json!([]));
    let mut bytes: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_string().into_bytes()).collect();
    bytes.push(b"[".repeat(3000));
    bytes.push(format!("{{\"id\":1,\"a\":{}", "[{\"a\":".repeat(400)).into_bytes());
    bytes.push(Vec::new());
    bytes
}
