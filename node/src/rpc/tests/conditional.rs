//! `eth_sendRawTransactionConditional`, `eth_config` of a chain of ours, and filters by topics, over
//! blocks that were really executed.

use serde_json::{Value, json};

use super::real::{Real, STORER};
use super::wire::{World, transfer};
use crate::rpc::RpcConfig;

#[tokio::test]
async fn a_condition_must_hold_on_the_newest_block() {
    let mut real = Real::new(RpcConfig { conditional: true, ..RpcConfig::default() }).await;
    real.grow();
    let latest = real.ask("eth_getBlockByNumber", json!(["latest", false])).await;
    let (number, time) = (latest["number"].clone(), latest["timestamp"].clone());
    let root = real.ask("eth_getProof", json!([STORER, [], "latest"])).await["storageHash"].clone();
    let slot = real.ask("eth_getStorageAt", json!([STORER, "0x1", "latest"])).await;
    let one = format!("0x{:064x}", 1);
    let known = |known: Value| json!({ "knownAccounts": { STORER.to_string(): known } });
    let past = "0x0";
    let refused = [
        (json!({ "blockNumberMax": past }), -32003, "block number maximum"),
        (json!({ "blockNumberMin": "0xffffff" }), -32003, "block number minimum"),
        (json!({ "timestampMax": past }), -32003, "timestamp maximum"),
        (json!({ "timestampMin": "0xffffffffff" }), -32003, "timestamp minimum"),
        (known(json!(one)), -32003, "storage of"),
        (known(json!({ one.clone(): one.replace('1', "9") })), -32003, "storage of"),
        (json!({ "blockNumber": number }), -32602, "blockNumberMin"),
        (known(json!("0x1")), -32602, "condition"),
    ];
    for (condition, code, words) in refused {
        let params = json!([transfer(40, 1).raw, condition]);
        let answer = real.ask("eth_sendRawTransactionConditional", params).await;
        assert_eq!(answer["error"]["code"], code, "{condition}: {answer}");
        let text = answer["error"]["message"].as_str().unwrap();
        assert!(text.contains(words), "{condition}: {text}");
    }
    let many: serde_json::Map<_, _> =
        (0..1001).map(|slot| (format!("0x{slot:064x}"), json!(one))).collect();
    let params = json!([transfer(40, 1).raw, known(many.into())]);
    let answer = real.ask("eth_sendRawTransactionConditional", params).await;
    assert_eq!(answer["error"]["code"], -32005, "{answer}");
    for (nonce, condition) in [
        (40, json!({ "blockNumberMin": number, "blockNumberMax": number })),
        (41, json!({ "timestampMin": time, "timestampMax": time })),
        (42, known(root)),
        (43, known(json!({ one: slot }))),
        (44, Value::Null),
    ] {
        let tx = transfer(nonce, 1);
        let answer =
            real.ask("eth_sendRawTransactionConditional", json!([tx.raw, condition])).await;
        assert_eq!(answer, json!(tx.hash), "{condition}");
    }
}

#[tokio::test]
async fn conditions_are_off_unless_turned_on() {
    let real = Real::new(RpcConfig::default()).await;
    let answer = real.ask("eth_sendRawTransactionConditional", json!([transfer(40, 1).raw])).await;
    assert_eq!(answer["error"]["code"], -32004, "{answer}");
}

#[tokio::test]
async fn rules_of_a_chain_of_ours() {
    let real = Real::new(RpcConfig::default()).await;
    let config = real.ask("eth_config", json!([])).await;
    let current = &config["current"];
    assert_eq!(current["chainId"], real.ask("eth_chainId", json!([])).await);
    assert_eq!(current["blobSchedule"]["max"], 0, "no blobs");
    assert_eq!(current["systemContracts"].as_object().unwrap().len(), 2, "{current}");
    assert_eq!(current["precompiles"]["ECREC"], "0x0000000000000000000000000000000000000001");
    assert_eq!(current["forkId"].as_str().unwrap().len(), 10);
}

/// What geth does: a log with fewer topics than the filter has places matches in none.
#[tokio::test]
async fn a_filter_has_as_many_places_as_topics() {
    let world = World::new(RpcConfig::default()).await;
    let topics = async |filter: Value| {
        let logs = world.call("eth_getLogs", json!([filter])).await;
        let logs = logs.as_array().unwrap_or_else(|| panic!("{logs}")).clone();
        logs.iter().map(|log| log["topics"].as_array().unwrap().len()).collect::<Vec<_>>()
    };
    let all = topics(json!({ "fromBlock": "0x0" })).await;
    assert!(!all.is_empty(), "there are logs");
    for places in 0..=4 {
        let filter = json!({ "fromBlock": "0x0", "topics": vec![Value::Null; places] });
        let mut expected = all.clone();
        expected.retain(|topics| *topics >= places);
        assert_eq!(topics(filter).await, expected, "{places} places");
    }
}
