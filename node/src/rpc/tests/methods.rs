//! Every method with a short answer, once over HTTP.

use alloy_primitives::{B256, U256, hex};
use serde_json::{Value, json};

use super::fake::{BASE_FEE, CHAIN_ID, FakeState, START_MS};
use super::fake_vm::HUNGRY_GAS;
use super::wire::{
    CONTRACT, FRIEND, World, alice, base_fee, legacy, log, quantity, receipt, transfer,
};
use crate::rpc::{RpcConfig, SyncStatus};

async fn check(world: &World, cases: Vec<(&str, Value, Value)>) {
    for (method, params, expected) in cases {
        let answer = world.call(method, params.clone()).await;
        assert_eq!(answer, expected, "{method} {params}");
    }
}

#[tokio::test]
async fn the_chain_in_a_word() {
    let world = World::new(RpcConfig::default()).await;
    let version = crate::version::client();
    assert!(version.starts_with("causeway/v0") && version.contains("-x86_64/rustc1."), "{version}");
    check(
        &world,
        vec![
            ("eth_chainId", json!([]), quantity(CHAIN_ID)),
            ("eth_chainId", Value::Null, quantity(CHAIN_ID)),
            ("eth_blockNumber", json!([]), json!("0x3")),
            ("eth_syncing", json!([]), json!(false)),
            ("eth_accounts", json!([]), json!([])),
            ("eth_coinbase", json!([]), json!(format!("0x{}", "fe".repeat(20)))),
            ("eth_mining", json!([]), json!(false)),
            ("eth_hashrate", json!([]), json!("0x0")),
            ("eth_protocolVersion", json!([]), json!("0x44")),
            ("net_version", json!([]), json!(CHAIN_ID.to_string())),
            ("net_listening", json!([]), json!(true)),
            ("net_peerCount", json!([]), json!("0x0")),
            ("web3_clientVersion", json!([]), json!(version)),
            (
                "web3_sha3",
                json!(["0x68656c6c6f20776f726c64"]),
                json!("0x47173285a8d7341e5e972fc677286384f802f8ef42a5ec5f03bbfa254cb01fad"),
            ),
            (
                "rpc_modules",
                json!([]),
                json!({ "debug": "1.0", "erigon": "1.0", "ots": "1.0", "personal": "1.0", "trace": "1.0",
                        "eth": "1.0", "metalayer": "1.0", "net": "1.0", "web3": "1.0", "rpc": "1.0", "txpool": "1.0",
                        "rollup": "1.0" }),
            ),
        ],
    )
    .await;
    *world.node.sync.lock() = Some(SyncStatus { starting: 1, current: 3, highest: 20 });
    let progress = json!({ "startingBlock": "0x1", "currentBlock": "0x3", "highestBlock": "0x14" });
    assert_eq!(world.call("eth_syncing", json!([])).await, progress);
}

#[tokio::test]
async fn requests_as_lenient_clients_send_them() {
    let world = World::new(RpcConfig::default()).await;
    for (request, id) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#, json!(1)),
        (r#"{"jsonrpc":"2.0","id":"abc","method":"eth_chainId","params":null}"#, json!("abc")),
        (r#"{"jsonrpc":"2.0","id":null,"method":"eth_chainId","params":[ ]}"#, json!(null)),
    ] {
        let answer = world.post(request).await;
        assert_eq!(answer, json!({ "jsonrpc": "2.0", "id": id, "result": quantity(CHAIN_ID) }));
    }
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},
                    {"jsonrpc":"2.0","id":2,"method":"eth_nope"},
                    {"jsonrpc":"2.0","id":3,"method":"net_version","params":[]}]"#;
    let answer = world.post(batch).await;
    assert_eq!(answer[0]["result"], quantity(CHAIN_ID));
    assert_eq!(
        answer[1]["error"],
        json!({ "code": -32601, "message": "the method eth_nope does not exist/is not available" })
    );
    assert_eq!(answer[2]["result"], json!(CHAIN_ID.to_string()));
}

#[tokio::test]
async fn accounts_and_storage() {
    let world = World::new(RpcConfig::default()).await;
    let hash = world.node.chain.lock().blocks[1].hash;
    let word = format!("0x{:064x}", 0x1234);
    let zero = format!("0x{:064x}", 0);
    let long_key = format!("0x{:064x}", 1);
    let nobody = format!("0x{}", "99".repeat(20));
    check(
        &world,
        vec![
            ("eth_getBalance", json!([FRIEND, "latest"]), json!("0x4d")),
            ("eth_getBalance", json!([FRIEND]), json!("0x4d")),
            ("eth_getBalance", json!([FRIEND, null]), json!("0x4d")),
            ("eth_getBalance", json!([FRIEND, hash]), json!("0x4d")),
            ("eth_getBalance", json!([FRIEND, { "blockHash": hash }]), json!("0x4d")),
            (
                "eth_getBalance",
                json!([FRIEND, { "blockHash": hash, "requireCanonical": true }]),
                json!("0x4d"),
            ),
            ("eth_getBalance", json!([FRIEND, { "blockNumber": "0x2" }]), json!("0x4d")),
            ("eth_getBalance", json!([nobody, "pending"]), json!("0x0")),
            ("eth_getCode", json!([CONTRACT, "latest"]), json!("0x6001")),
            ("eth_getCode", json!([FRIEND, "safe"]), json!("0x")),
            ("eth_getCode", json!([nobody]), json!("0x")),
            ("eth_getStorageAt", json!([CONTRACT, "0x1", "latest"]), json!(word)),
            ("eth_getStorageAt", json!([CONTRACT, "0x01"]), json!(word)),
            ("eth_getStorageAt", json!([CONTRACT, long_key, "finalized"]), json!(word)),
            ("eth_getStorageAt", json!([CONTRACT, "0x2", "latest"]), json!(zero)),
            ("eth_getStorageAt", json!([nobody, "0x0", "latest"]), json!(zero)),
            ("eth_getTransactionCount", json!([alice(), "0x1"]), json!("0x4")),
            ("eth_getTransactionCount", json!([alice()]), json!("0x6")),
            ("eth_getTransactionCount", json!([alice(), "pending"]), json!("0x6")),
            ("eth_getTransactionCount", json!([nobody, "latest"]), json!("0x0")),
        ],
    )
    .await;
    let sent = world.call("eth_sendRawTransaction", json!([transfer(6, 1).raw])).await;
    assert_eq!(sent, json!(transfer(6, 1).hash));
    check(
        &world,
        vec![
            ("eth_getTransactionCount", json!([alice(), "latest"]), json!("0x6")),
            ("eth_getTransactionCount", json!([alice(), "pending"]), json!("0x7")),
        ],
    )
    .await;
}

#[tokio::test]
async fn proofs() {
    let world = World::new(RpcConfig::default()).await;
    let long_key = format!("0x{:064x}", 2);
    let answer = world.call("eth_getProof", json!([CONTRACT, ["0x1", long_key], "latest"])).await;
    let expected = json!({
        "address": CONTRACT,
        "accountProof": ["0xc0"],
        "balance": "0x0",
        "codeHash": alloy_primitives::keccak256([0x60, 0x01]),
        "nonce": "0x0",
        "storageHash": B256::repeat_byte(0x61),
        "storageProof": [
            { "key": "0x1", "value": "0x1234", "proof": ["0xc1"] },
            { "key": long_key, "value": "0x0", "proof": ["0xc1"] },
        ],
    });
    assert_eq!(answer, expected);
    let typed: alloy_rpc_types_eth::EIP1186AccountProofResponse =
        serde_json::from_value(answer).unwrap();
    assert_eq!(typed.storage_proof[0].value, U256::from(0x1234));
    let nobody = world.call("eth_getProof", json!([format!("0x{}", "99".repeat(20)), []])).await;
    assert_eq!(nobody["codeHash"], json!(alloy_primitives::KECCAK256_EMPTY));
}

#[tokio::test]
async fn fees() {
    let world = World::new(RpcConfig::default()).await;
    check(
        &world,
        vec![
            ("eth_gasPrice", json!([]), quantity(BASE_FEE + 1_000_000)),
            ("eth_maxPriorityFeePerGas", json!([]), quantity(1_000_000)),
            ("eth_baseFee", json!([]), base_fee()),
            ("eth_blobBaseFee", json!([]), json!("0x1")),
            (
                "eth_feeHistory",
                json!(["0x2", "0x2", [0, 25, 26, 100]]),
                json!({
                    "oldestBlock": "0x1",
                    // Block 1: tips 7 (40,000 gas), 1000 (32,000), 2000 (53,000).
                    // Block 2: tips 9 (21,000 gas), 9000 (63,000).
                    "reward": [["0x7", "0x7", "0x7", "0x7d0"], ["0x9", "0x9", "0x2328", "0x2328"]],
                    "baseFeePerGas": [base_fee(), base_fee(), base_fee()],
                    "gasUsedRatio": [225_000.0 / 30e6, 84_000.0 / 30e6],
                    "baseFeePerBlobGas": ["0x1", "0x1", "0x1"],
                    "blobGasUsedRatio": [0.0, 0.0],
                }),
            ),
            (
                "eth_feeHistory",
                json!([1, "latest", [50]]),
                json!({
                    "oldestBlock": "0x3",
                    "reward": [["0x0"]],
                    "baseFeePerGas": [base_fee(), base_fee()],
                    "gasUsedRatio": [0.0],
                    "baseFeePerBlobGas": ["0x1", "0x1"],
                    "blobGasUsedRatio": [0.0],
                }),
            ),
        ],
    )
    .await;
    // More blocks than there are: all of them; no percentiles: no rewards.
    let all = world.call("eth_feeHistory", json!(["0xffff", "pending"])).await;
    assert_eq!(all["oldestBlock"], "0x0");
    assert_eq!(all["gasUsedRatio"].as_array().unwrap().len(), 4);
    assert_eq!(all.get("reward"), None);
}

fn words(data: &Value) -> Vec<u64> {
    let bytes = hex::decode(data.as_str().unwrap()).unwrap();
    bytes.chunks(32).map(|word| U256::from_be_slice(word).to()).collect()
}

#[tokio::test]
async fn calls() {
    let world = World::new(RpcConfig::default()).await;
    let seen = async |request: Value| words(&world.call("eth_call", request).await);
    let at = |number: u64| START_MS / 1000 + number;
    let call = json!({ "to": CONTRACT, "input": "0x05" });
    assert_eq!(seen(json!([call])).await, [3, at(3), BASE_FEE, 0, 50_000_000, 0]);
    assert_eq!(seen(json!([call, "0x1"])).await[..2], [1, at(1)]);
    assert_eq!(seen(json!([call, "pending"])).await[..2], [4, at(4)]);
    let hash = world.node.chain.lock().blocks[2].hash;
    assert_eq!(seen(json!([call, { "blockHash": hash }])).await[..2], [2, at(2)]);
    // Fees: what is offered decides what is paid.
    let priced = json!({ "to": CONTRACT, "data": "0x05", "gas": "0x7530", "value": "0x3",
        "maxFeePerGas": "0x1388", "maxPriorityFeePerGas": "0x64" });
    assert_eq!(seen(json!([priced, "latest"])).await[2..], [BASE_FEE, 1100, 30_000, 3]);
    let legacy_price = json!({ "to": CONTRACT, "data": "0x05", "gasPrice": "0x1388" });
    assert_eq!(seen(json!([legacy_price, "latest"])).await[3], 5000);
    // Block overrides.
    let changed = json!([call, "latest", {}, { "number": "0x64", "time": "0xc8",
        "baseFeePerGas": "0x5" }]);
    assert_eq!(seen(changed).await[..3], [100, 200, 5]);
    // State overrides: a whole storage, a few slots, a balance.
    let read = json!({ "to": CONTRACT, "input": "0x07" });
    assert_eq!(seen(json!([read, "latest"])).await, [0x1234, 0]);
    let slot = |key: u64, value: u64| json!({ format!("0x{key:064x}"): format!("0x{value:064x}") });
    for (changes, expected) in [
        (json!({ "stateDiff": slot(1, 5) }), [5, 0]),
        (json!({ "stateDiff": slot(2, 5) }), [0x1234, 0]),
        (json!({ "state": slot(2, 5) }), [0, 0]),
        (json!({ "balance": "0x9", "nonce": "0x1", "code": "0x00" }), [0x1234, 9]),
    ] {
        assert_eq!(
            seen(json!([read, "latest", { CONTRACT.to_string(): changes }])).await,
            expected
        );
    }
    // Without a callee: creation, whose output is the code.
    let created = world.call("eth_call", json!([{ "data": "0x05" }])).await;
    assert_eq!(words(&created)[0], 3);
}

#[tokio::test]
async fn estimates() {
    let world = World::new(RpcConfig::default()).await;
    let gas = async |request: Value| {
        let answer = world.call("eth_estimateGas", request).await;
        let text = answer.as_str().unwrap_or_else(|| panic!("{answer}"));
        u64::from_str_radix(&text[2..], 16).unwrap()
    };
    assert_eq!(gas(json!([{ "from": alice(), "to": FRIEND, "value": "0x1" }])).await, 21_000);
    // A plain transfer that names a price is checked against the balance, too.
    let priced = json!({ "from": alice(), "to": FRIEND, "gasPrice": "0x3e8" });
    assert_eq!(gas(json!([priced])).await, 21_000);
    // Code needs more than it uses: the answer is enough, and close.
    let hungry = gas(json!([{ "to": CONTRACT, "data": "0x06" }, "latest"])).await;
    assert!((HUNGRY_GAS..=HUNGRY_GAS + HUNGRY_GAS / 32).contains(&hungry), "{hungry}");
    // An account that only an override gives its balance can pay.
    let rich = json!({ format!("0x{}", "99".repeat(20)): { "balance": "0xffffffffffff" } });
    let from = json!({ "from": format!("0x{}", "99".repeat(20)), "to": CONTRACT, "data": "0x06",
        "maxFeePerGas": "0x7d0" });
    let paid = gas(json!([from, "latest", rich])).await;
    assert!((HUNGRY_GAS..=HUNGRY_GAS + HUNGRY_GAS / 32).contains(&paid), "{paid}");
}

#[tokio::test]
async fn the_pool() {
    let world = World::new(RpcConfig::default()).await;
    let tx = transfer(6, 3);
    world.call("eth_sendRawTransaction", json!([tx.raw])).await;
    check(
        &world,
        vec![
            ("txpool_status", json!([]), json!({ "pending": "0x1", "queued": "0x0" })),
            ("txpool_contentFrom", json!([FRIEND]), json!({ "pending": {}, "queued": {} })),
        ],
    )
    .await;
    let pending = world.call("eth_getTransactionByHash", json!([tx.hash])).await;
    let content = world.call("txpool_content", json!([])).await;
    let alice_key = alice().to_checksum(None);
    assert_eq!(content["pending"][&alice_key]["6"], pending);
    let own = world.call("txpool_contentFrom", json!([alice()])).await;
    assert_eq!(own["pending"]["6"], pending);
    let text = world.call("txpool_inspect", json!([])).await;
    let expected = format!("{}: 5 wei + 21000 gas × 10000 wei", FRIEND.to_checksum(None));
    assert_eq!(text["pending"][&alice_key]["6"], json!(expected));
    let raw = world.call("eth_getRawTransactionByHash", json!([tx.hash])).await;
    assert_eq!(raw, json!(tx.raw));
    let unprotected = legacy(7, None);
    let sent = world.call("eth_sendRawTransaction", json!([unprotected.raw])).await;
    assert_eq!(sent, json!(unprotected.hash));
}

#[tokio::test]
async fn the_rollup() {
    let world = World::new(RpcConfig::default()).await;
    let blocks = world.node.chain.lock().blocks.clone();
    let head = |number: usize| {
        json!({ "number": number, "hash": blocks[number].hash, "claim": blocks[number].claim_hash,
                "timestamp": START_MS / 1000 + number as u64 })
    };
    let da = |height: u64, byte| json!({ "height": height, "hash": B256::repeat_byte(byte) });
    let expected = json!({
        "latest": head(3), "safe": head(2), "finalized": head(1),
        "safeDa": da(7, 0xda), "daHead": da(9, 0xdb), "reorgs": 0, "syncing": false,
        "verified": null,
        "sequencer": { "mode": "single", "leader": true, "paused": null },
    });
    assert_eq!(world.call("rollup_syncStatus", json!([])).await, expected);
    let spec = world.call("rollup_chainSpec", json!([])).await;
    assert_eq!(spec["chainId"], CHAIN_ID);
    assert_eq!(spec["forks"][1], json!({ "fork": "osaka", "time": 1_900_000_000 }));
    assert!(spec["identity"].is_string() && spec["rulesHash"].is_string());
    let health = world.call("rollup_health", json!([])).await;
    assert_eq!(health["status"], "ok");
    let (status, _, body) = world.http("GET", "/health", &[], "").await;
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), health);
    let (status, _, body) = world.http("GET", "/ready", &[], "").await;
    assert_eq!((status, body.as_str()), (200, "{\"ready\":true,\"reasons\":[]}"));
    *world.node.sync.lock() = Some(SyncStatus { starting: 1, current: 3, highest: 20 });
    let (status, _, body) = world.http("GET", "/ready", &[], "").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["ready"]), (503, &json!(false)));
    assert!(body["reasons"][0].as_str().unwrap().contains("at block 3"), "{body}");
}

#[tokio::test]
async fn filters_are_polled() {
    let world = World::new(RpcConfig { filters: 3, ..RpcConfig::default() }).await;
    let new = async |method: &str, params: Value| world.call(method, params).await;
    let logs = new("eth_newFilter", json!([{ "address": CONTRACT, "fromBlock": "0x1" }])).await;
    let blocks = new("eth_newBlockFilter", json!([])).await;
    let pending = new("eth_newPendingTransactionFilter", json!([])).await;
    let full = new("eth_newBlockFilter", json!([])).await;
    assert_eq!(full["error"]["code"], -32000, "{full}");
    let changes = async |id: &Value| world.call("eth_getFilterChanges", json!([id])).await;
    for id in [&logs, &blocks, &pending] {
        assert_eq!(changes(id).await, json!([]));
    }
    let push = |nonce: u64| {
        let txs = vec![(transfer(nonce, 1), receipt(21_000, 21_000, vec![log(nonce as u8)]))];
        world.node.chain.lock().push(txs, FakeState::default()).hash
    };
    let (first, second) = (push(6), push(7));
    assert_eq!(changes(&blocks).await, json!([first, second]));
    let found = changes(&logs).await;
    assert_eq!((&found[0]["data"], &found[1]["data"]), (&json!("0x06"), &json!("0x07")));
    assert_eq!(changes(&logs).await, json!([]));
    // What the filter has matched since its first block.
    let all = world.call("eth_getFilterLogs", json!([logs])).await;
    assert_eq!(all.as_array().unwrap().len(), 5);
    // A block replaced above the safe head (2) is told again with its successors.
    world.node.chain.lock().blocks.pop();
    let third = push(8);
    let third_block = world.node.chain.lock().blocks[3].hash;
    assert_eq!(changes(&blocks).await, json!([third_block, first, third]));
    world.call("eth_sendRawTransaction", json!([transfer(9, 1).raw])).await;
    assert_eq!(changes(&pending).await, json!([transfer(9, 1).hash]));
    assert_eq!(world.call("eth_uninstallFilter", json!([logs])).await, json!(true));
    assert_eq!(world.call("eth_uninstallFilter", json!([logs])).await, json!(false));
    let gone = json!({ "error": { "code": -32000, "message": "filter not found" } });
    assert_eq!(changes(&logs).await, gone);
    assert_eq!(world.call("eth_getFilterLogs", json!([blocks])).await, gone);
}
