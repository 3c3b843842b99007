//! `ots`, `erigon` and what else needs the address index, over blocks that were really executed.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

use super::real::{FACTORY, PAYER, REVERTER, Real, STORER};
use super::wire::{FRIEND, alice, quantity};
use crate::rpc::RpcConfig;

fn hashes(page: &Value) -> Vec<B256> {
    let txs = page["txs"].as_array().unwrap_or_else(|| panic!("{page}"));
    txs.iter().map(|tx| tx["hash"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn what_a_transaction_did_inside() {
    let mut real = Real::new(RpcConfig::default()).await;
    let [first, second, _] = real.grow();
    assert_eq!(real.ask("ots_getApiLevel", json!([])).await, json!(8));
    let (pay, make) = (first.txs[2].hash, second.txs[2].hash);
    assert_eq!(
        real.ask("ots_getInternalOperations", json!([pay])).await,
        json!([{ "type": 0, "from": PAYER, "to": FRIEND, "value": "0x1" }])
    );
    assert_eq!(
        real.ask("ots_getInternalOperations", json!([make])).await,
        json!([{ "type": 2, "from": FACTORY, "to": FACTORY.create(0), "value": "0x0" }])
    );
    assert_eq!(real.ask("ots_getInternalOperations", json!([first.txs[0].hash])).await, json!([]));
    let entries = real.ask("ots_traceTransaction", json!([pay])).await;
    let entry = |depth: u64, from: Address, to: Address, value: &str| {
        json!({ "type": "CALL", "depth": depth, "from": from, "to": to, "value": value,
                "input": "0x", "output": "0x" })
    };
    assert_eq!(entries, json!([entry(0, alice(), PAYER, "0x0"), entry(1, PAYER, FRIEND, "0x1")]));
    let error = real.ask("ots_getTransactionError", json!([second.txs[0].hash])).await;
    assert_eq!(error, json!(Bytes::from(U256::from(0xff).to_be_bytes_vec())));
    assert_eq!(real.ask("ots_getTransactionError", json!([pay])).await, "0x");
    assert_eq!(real.ask("ots_traceTransaction", json!([B256::ZERO])).await, Value::Null);
    for (address, at, has) in
        [(STORER, json!("latest"), true), (FRIEND, json!("0x1"), false), (STORER, json!(0), true)]
    {
        assert_eq!(real.ask("ots_hasCode", json!([address, at])).await, json!(has));
    }
}

#[tokio::test]
async fn blocks_as_an_explorer_shows_them() {
    let mut real = Real::new(RpcConfig::default()).await;
    let [first, second, third] = real.grow();
    let details = real.ask("ots_getBlockDetails", json!([2])).await;
    assert_eq!(details["block"]["hash"], json!(second.hash));
    assert_eq!(details["block"]["transactionCount"], json!(5));
    assert!(details["block"].get("transactions").is_none());
    let base_fee = U256::from(second.header.base_fee_per_gas.unwrap());
    let fees = (base_fee + U256::from(1)) * U256::from(second.header.gas_used);
    assert_eq!(details["totalFees"], json!(fees));
    assert_eq!(details["issuance"]["issuance"], "0x0");
    let by_hash = real.ask("ots_getBlockDetailsByHash", json!([second.hash])).await;
    assert_eq!(by_hash, details);
    assert_eq!(real.ask("ots_getBlockDetails", json!(["0x9"])).await, Value::Null);
    let empty = real.ask("ots_getBlockDetails", json!([third.header.number])).await;
    assert_eq!(empty["totalFees"], "0x0");

    let page = async |page: u64, size: u64| {
        let found = real.ask("ots_getBlockTransactions", json!([2, page, size])).await;
        let receipts = found["receipts"].as_array().unwrap();
        assert!(receipts.iter().all(|receipt| receipt["logs"].is_null()));
        assert_eq!(found["fullblock"]["transactionCount"], json!(5));
        let of = |list: &Value, key: &str| -> Vec<Value> {
            list.as_array().unwrap().iter().map(|it| it[key].clone()).collect()
        };
        let txs = of(&found["fullblock"]["transactions"], "hash");
        assert_eq!(txs, of(&found["receipts"], "transactionHash"));
        (txs, found)
    };
    let all: Vec<Value> = second.txs.iter().map(|tx| json!(tx.hash)).collect();
    assert_eq!(page(0, 2).await.0, all[3..]);
    assert_eq!(page(1, 2).await.0, all[1..3]);
    assert_eq!(page(2, 2).await.0, all[..1]);
    assert_eq!(page(3, 2).await.0, [] as [Value; 0]);
    let (_, whole) = page(0, 25).await;
    let input = whole["fullblock"]["transactions"][4]["input"].as_str().unwrap();
    assert_eq!(input, "0x00000000", "no more than names a method");
    for size in [0, 1001] {
        let answer = real.ask("ots_getBlockTransactions", json!([2, 0, size])).await;
        assert_eq!(answer["error"]["code"], -32602);
    }
    let header = real.ask("erigon_getHeaderByNumber", json!([1])).await;
    assert_eq!(header["hash"], json!(first.hash));
    let latest = real.ask("erigon_getHeaderByNumber", json!(["latest"])).await;
    assert_eq!(latest["number"], quantity(3));
}

#[tokio::test]
async fn histories_in_pages_that_cut_no_block() {
    let mut real = Real::new(RpcConfig::default()).await;
    let [first, second, _] = real.grow();
    let all: Vec<B256> =
        second.txs.iter().rev().chain(first.txs.iter().rev()).map(|tx| tx.hash).collect();
    let before = async |at: u64, size: u64| {
        real.ask("ots_searchTransactionsBefore", json!([alice(), at, size])).await
    };
    let flags = |page: &Value| (page["firstPage"].clone(), page["lastPage"].clone());
    let page = before(0, 2).await;
    assert_eq!((hashes(&page), flags(&page)), (all[..5].to_vec(), (json!(true), json!(false))));
    let page = before(2, 2).await;
    assert_eq!((hashes(&page), flags(&page)), (all[5..].to_vec(), (json!(false), json!(true))));
    assert_eq!(page["receipts"][0]["transactionHash"], json!(all[5]));
    assert_eq!(page["receipts"][0]["timestamp"], json!(first.header.timestamp));
    let after = async |at: u64, size: u64| {
        real.ask("ots_searchTransactionsAfter", json!([alice(), at, size])).await
    };
    let page = after(0, 2).await;
    assert_eq!((hashes(&page), flags(&page)), (all[5..].to_vec(), (json!(false), json!(true))));
    let page = after(1, 100).await;
    assert_eq!((hashes(&page), flags(&page)), (all[..5].to_vec(), (json!(true), json!(false))));

    // Before the store has a block, and after; a recipient, a contract, nobody.
    let created = alice().create(6);
    for flushed in [false, true] {
        if flushed {
            real.pipeline.flush().unwrap();
        }
        let found = async |address: Address| {
            hashes(&real.ask("ots_searchTransactionsBefore", json!([address, 0, 25])).await)
        };
        assert_eq!(found(FRIEND).await, [first.txs[0].hash]);
        assert_eq!(found(STORER).await, [second.txs[4].hash, first.txs[1].hash]);
        assert_eq!(found(created).await, [second.txs[3].hash]);
        assert!(found(Address::repeat_byte(0xee)).await.is_empty());
        for (nonce, tx) in first.txs.iter().chain(&second.txs).enumerate() {
            let by_nonce = json!([alice(), nonce]);
            let hash = real.ask("ots_getTransactionBySenderAndNonce", by_nonce.clone()).await;
            assert_eq!(hash, json!(tx.hash));
            let whole = real.ask("eth_getTransactionBySenderAndNonce", by_nonce).await;
            assert_eq!(whole["hash"], json!(tx.hash));
        }
        let none = real.ask("ots_getTransactionBySenderAndNonce", json!([alice(), "0x63"])).await;
        assert_eq!(none, Value::Null);
        let creator =
            async |address: Address| real.ask("ots_getContractCreator", json!([address])).await;
        let made = |tx: usize, by: Address| json!({ "hash": second.txs[tx].hash, "creator": by });
        assert_eq!(creator(created).await, made(3, alice()));
        assert_eq!(creator(FACTORY.create(0)).await, made(2, FACTORY), "by another contract");
        assert_eq!(creator(STORER).await, Value::Null, "of genesis");
        assert_eq!(creator(alice()).await, Value::Null);
    }
}

#[tokio::test]
async fn without_the_index_the_answer_says_what_to_do() {
    let mut real = Real::of("evm", Some(false), RpcConfig::default()).await;
    let [first, ..] = real.grow();
    for (method, params) in [
        ("ots_searchTransactionsBefore", json!([alice(), 0, 25])),
        ("ots_searchTransactionsAfter", json!([alice(), 0, 25])),
        ("ots_getTransactionBySenderAndNonce", json!([alice(), 0])),
        ("eth_getTransactionBySenderAndNonce", json!([alice(), "0x0"])),
        ("ots_getContractCreator", json!([REVERTER])),
    ] {
        let answer = real.ask(method, params).await;
        assert_eq!(answer["error"]["code"], -32004, "{method}: {answer}");
        let text = answer["error"]["message"].as_str().unwrap();
        assert!(
            text.starts_with("Method not supported") && text.contains("address_index"),
            "{text}"
        );
    }
    let entries = real.ask("ots_traceTransaction", json!([first.txs[0].hash])).await;
    assert_eq!(entries.as_array().unwrap().len(), 1);
}
