//! `eth_simulateV1`, `eth_createAccessList`, `eth_fillTransaction` and finality, over blocks that were
//! really executed.

use alloy_primitives::{Bytes, U256};
use serde_json::{Value, json};

use super::real::{PAYER, REVERTER, Real, SPINNER, STORER, words};
use super::wire::{FRIEND, alice, quantity};
use crate::rpc::RpcConfig;

fn code(answer: &Value) -> &Value {
    &answer["error"]["code"]
}

#[tokio::test]
async fn simulated_calls_stand_on_each_other_and_leave_nothing() {
    let mut real = Real::new(RpcConfig::default()).await;
    real.grow();
    let before = real.ask("eth_getBalance", json!([FRIEND, "latest"])).await;
    let payload = json!({ "blockStateCalls": [
        { "calls": [
            { "from": alice(), "to": STORER, "input": words(9, 5) },
            { "from": alice(), "to": PAYER },
            { "from": alice(), "to": REVERTER },
            { "from": alice(), "to": SPINNER, "gas": "0x186a0" },
        ] },
        { "blockOverrides": { "number": "0x6" }, "calls": [{ "to": FRIEND, "value": "0x0" }] },
    ], "traceTransfers": true });
    let blocks = real.ask("eth_simulateV1", json!([payload, "latest"])).await;
    let blocks = blocks.as_array().unwrap_or_else(|| panic!("{blocks}"));
    let numbers: Vec<_> = blocks.iter().map(|block| &block["number"]).collect();
    assert_eq!(numbers, [&json!("0x4"), &json!("0x5"), &json!("0x6")], "the gap is filled");
    assert_eq!(blocks[1]["parentHash"], blocks[0]["hash"]);
    let calls = blocks[0]["calls"].as_array().unwrap();
    let statuses: Vec<_> = calls.iter().map(|call| call["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["0x1", "0x1", "0x0", "0x0"]);
    assert_eq!(calls[2]["error"]["code"], 3);
    assert_eq!(calls[2]["returnData"], json!(Bytes::from(U256::from(0xff).to_be_bytes_vec())));
    assert_eq!(calls[3]["error"]["message"], "vm execution error: out of gas");
    // The transfer of one wei that the payer makes, as a log of an address that is not there.
    let log = &calls[1]["logs"][0];
    assert_eq!(log["address"], "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
    assert_eq!(log["blockHash"], blocks[0]["hash"]);
    let used: u64 = calls.iter().map(|call| hex(&call["gasUsed"])).sum();
    assert_eq!(blocks[0]["gasUsed"], quantity(used));
    assert_eq!(real.ask("eth_getBalance", json!([FRIEND, "latest"])).await, before);
    assert_eq!(real.ask("eth_blockNumber", json!([])).await, json!("0x3"));
}

fn hex(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

#[tokio::test]
async fn simulations_are_refused_with_the_codes_of_their_specification() {
    let mut real = Real::new(RpcConfig::default()).await;
    real.grow();
    let ask = async |block: Value, validation: bool| {
        let payload = json!({ "blockStateCalls": [block], "validation": validation });
        real.ask("eth_simulateV1", json!([payload])).await
    };
    let one = |call: Value| json!({ "calls": [call] });
    let low =
        one(json!({ "from": alice(), "to": FRIEND, "nonce": "0x0", "maxFeePerGas": "0x3b9aca00" }));
    assert_eq!(*code(&ask(low, true).await), -38010);
    let high = one(
        json!({ "from": alice(), "to": FRIEND, "nonce": "0x63", "maxFeePerGas": "0x3b9aca00" }),
    );
    assert_eq!(*code(&ask(high, true).await), -38011);
    let free = one(json!({ "from": alice(), "to": FRIEND }));
    assert_eq!(*code(&ask(free, true).await), -38012);
    let poor = one(json!({ "from": alice(), "to": FRIEND, "value": "0xde0b6b3a764000000" }));
    assert_eq!(*code(&ask(poor, false).await), -38014);
    let big = one(json!({ "from": alice(), "to": FRIEND, "gas": "0x7fffffffff" }));
    assert_eq!(*code(&ask(big, false).await), -38015);
    let back = json!({ "blockOverrides": { "number": "0x1" } });
    assert_eq!(*code(&ask(back, false).await), -38020);
    let early = json!({ "blockOverrides": { "time": "0x1" } });
    assert_eq!(*code(&ask(early, false).await), -38021);
    let far = json!({ "blockOverrides": { "number": "0xffff" } });
    assert_eq!(*code(&ask(far, false).await), -38026);
    let none = json!({ "blockStateCalls": [] });
    assert_eq!(*code(&real.ask("eth_simulateV1", json!([none])).await), -32602);
    let ledger = Real::of("ledger", None, RpcConfig::default()).await;
    let payload = json!({ "blockStateCalls": [one(json!({ "from": alice(), "to": FRIEND }))] });
    assert_eq!(*code(&ledger.ask("eth_simulateV1", json!([payload])).await), -32004);
}

#[tokio::test]
async fn an_access_list_names_what_is_touched_and_makes_its_use_exact() {
    let mut real = Real::new(RpcConfig::default()).await;
    real.grow();
    let call = json!({ "from": alice(), "to": STORER, "input": words(3, 4) });
    let made = real.ask("eth_createAccessList", json!([call])).await;
    let slot = format!("0x{:064x}", 3);
    assert_eq!(made["accessList"], json!([{ "address": STORER, "storageKeys": [slot] }]));
    let pays = json!({ "from": alice(), "to": PAYER });
    let made = real.ask("eth_createAccessList", json!([pays])).await;
    assert_eq!(made["accessList"], json!([{ "address": FRIEND, "storageKeys": [] }]));
    let reverts = json!({ "from": alice(), "to": REVERTER });
    let made = real.ask("eth_createAccessList", json!([reverts])).await;
    assert_eq!(made["error"], "execution reverted");
    let ledger = Real::of("ledger", None, RpcConfig::default()).await;
    assert_eq!(*code(&ledger.ask("eth_createAccessList", json!([pays])).await), -32004);
}

#[tokio::test]
async fn what_a_transaction_leaves_out_is_filled_in() {
    let mut real = Real::new(RpcConfig::default()).await;
    real.grow();
    let request = json!({ "from": alice(), "to": FRIEND, "value": "0x1" });
    let filled = real.ask("eth_fillTransaction", json!([request])).await;
    let tx = &filled["tx"];
    assert_eq!(
        (&tx["nonce"], &tx["gas"], &tx["type"]),
        (&json!("0x8"), &json!("0x5208"), &json!("0x2"))
    );
    assert!(hex(&tx["maxFeePerGas"]) > hex(&tx["maxPriorityFeePerGas"]));
    let legacy =
        json!({ "from": alice(), "to": FRIEND, "gasPrice": "0x3b9aca00", "nonce": "0x50" });
    let filled = real.ask("eth_fillTransaction", json!([legacy])).await;
    assert_eq!((&filled["tx"]["type"], &filled["tx"]["nonce"]), (&json!("0x0"), &json!("0x50")));
}

#[tokio::test]
async fn accounts_and_slots_come_together() {
    let mut real = Real::new(RpcConfig::default()).await;
    real.grow();
    let info = real.ask("eth_getAccountInfo", json!([STORER])).await;
    assert_eq!(info["code"], "0x6020356000355500");
    let account = real.ask("eth_getAccount", json!([STORER])).await;
    let proof = real.ask("eth_getProof", json!([STORER, [], "latest"])).await;
    assert_eq!(
        (&account["storageRoot"], &account["codeHash"]),
        (&proof["storageHash"], &proof["codeHash"])
    );
    assert_eq!(
        real.ask("eth_getAccount", json!([format!("0x{}", "77".repeat(20))])).await,
        Value::Null
    );
    let values = real
        .ask("eth_getStorageValues", json!([{ STORER.to_string(): ["0x1", "0x2"] }, "0x1"]))
        .await;
    let values = values.as_object().unwrap().values().next().unwrap().clone();
    assert_eq!(values, json!([format!("0x{:064x}", 2), format!("0x{:064x}", 0)]));
    assert_eq!(*code(&real.ask("eth_getStorageValues", json!([{}])).await), -32602);
}

#[tokio::test]
async fn the_ladder_says_what_is_missing() {
    let mut real = Real::new(RpcConfig::default()).await;
    let [first, ..] = real.grow();
    let ladder = real.ask("rollup_getFinality", json!([first.txs[0].hash])).await;
    assert_eq!((&ladder["number"], &ladder["hash"]), (&json!(1), &json!(first.hash)));
    let output = real.ask("rollup_outputAtBlock", json!(["0x1"])).await;
    let words = [
        alloy_primitives::B256::ZERO,
        first.header.state_root,
        first.header.withdrawals_root.unwrap(),
        first.hash,
    ];
    assert_eq!(output["outputRoot"], json!(alloy_primitives::keccak256(words.concat())));
    assert_eq!(real.ask("rollup_getFinality", json!(["0x99"])).await, Value::Null);
}
