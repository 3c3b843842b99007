//! Blocks, transactions, receipts and logs: every field, over HTTP.

use alloy_primitives::{Address, B256};
use alloy_rlp::Encodable;
use serde_json::{Value, json};

use super::fake::{CHAIN_ID, START_MS};
use super::wire::{
    CONTRACT, FRIEND, TOPIC, World, access_list, alice, deposit, legacy, quantity, set_code,
    transfer,
};
use crate::rpc::RpcConfig;

/// A transaction without its signature, which is checked to be there.
fn unsigned(mut tx: Value) -> Value {
    let fields = tx.as_object_mut().unwrap();
    for part in ["r", "s", "v"] {
        let value = fields.remove(part).unwrap_or_else(|| panic!("no {part}"));
        assert!(value.as_str().unwrap().starts_with("0x"));
    }
    tx
}

#[tokio::test]
async fn a_block_with_all_its_fields() {
    let world = World::new(RpcConfig::default()).await;
    let block = world.node.chain.lock().blocks[2].clone();
    let header = &block.header;
    let body_bytes: usize = block.txs.iter().map(|tx| tx.raw.length()).sum();
    let inner = header.length() + body_bytes + alloy_rlp::length_of_length(body_bytes) + 2;
    let hashes: Vec<B256> = block.txs.iter().map(|tx| tx.hash).collect();
    let expected = json!({
        "number": "0x2",
        "hash": block.hash,
        "parentHash": header.parent_hash,
        "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
        "miner": Address::repeat_byte(0xfe),
        "stateRoot": B256::repeat_byte(0x51),
        "transactionsRoot": B256::repeat_byte(0x52),
        "receiptsRoot": B256::repeat_byte(0x53),
        "logsBloom": header.logs_bloom,
        "difficulty": "0x0",
        "gasLimit": "0x1c9c380",
        "gasUsed": quantity(84_000),
        "timestamp": quantity(START_MS / 1000 + 2),
        "extraData": header.extra_data,
        "mixHash": header.mix_hash,
        "nonce": "0x0000000000000000",
        "baseFeePerGas": "0x3e8",
        "withdrawalsRoot": B256::repeat_byte(0x54),
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "parentBeaconBlockRoot": B256::ZERO,
        "requestsHash": header.requests_hash,
        "size": quantity((inner + alloy_rlp::length_of_length(inner)) as u64),
        "transactions": hashes,
        "uncles": [],
        "withdrawals": [],
    });
    assert_eq!(world.call("eth_getBlockByNumber", json!(["0x2", false])).await, expected);
    assert_eq!(world.call("eth_getBlockByNumber", json!(["safe"])).await, expected);
    assert_eq!(world.call("eth_getBlockByHash", json!([block.hash, false])).await, expected);
    let mut head = expected.clone();
    for body in ["size", "transactions", "uncles", "withdrawals"] {
        head.as_object_mut().unwrap().remove(body);
    }
    assert_eq!(world.call("eth_getHeaderByNumber", json!(["0x2"])).await, head);
    assert_eq!(world.call("eth_getHeaderByHash", json!([block.hash])).await, head);
    // The hash can be recomputed from the fields by any Ethereum library.
    let typed: alloy_rpc_types_eth::Block = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(typed.header.inner.hash_slow(), block.hash);
    // Whole transactions are what eth_getTransactionByHash says.
    let full = world.call("eth_getBlockByNumber", json!(["0x2", true])).await;
    for (index, hash) in hashes.iter().enumerate() {
        let tx = world.call("eth_getTransactionByHash", json!([hash])).await;
        assert_eq!(full["transactions"][index], tx);
        assert_eq!(tx["transactionIndex"], quantity(index as u64));
    }
}

#[tokio::test]
async fn blocks_by_tag_and_blocks_that_are_not_there() {
    let world = World::new(RpcConfig::default()).await;
    for (tag, number) in
        [("latest", "0x3"), ("safe", "0x2"), ("finalized", "0x1"), ("earliest", "0x0")]
    {
        let block = world.call("eth_getBlockByNumber", json!([tag, false])).await;
        assert_eq!(block["number"], number, "{tag}");
    }
    let pending = world.call("eth_getBlockByNumber", json!(["pending", true])).await;
    assert_eq!(pending["number"], "0x4");
    assert_eq!(pending["parentHash"], json!(world.node.chain.lock().blocks[3].hash));
    assert_eq!(pending["transactions"], json!([]));
    for unknown in ["hash", "nonce", "logsBloom"] {
        assert_eq!(pending[unknown], Value::Null, "{unknown}");
    }
    let nothing = B256::repeat_byte(0xbd);
    for (method, params) in [
        ("eth_getBlockByNumber", json!(["0x3e8", true])),
        ("eth_getBlockByHash", json!([nothing, true])),
        ("eth_getHeaderByNumber", json!(["0x3e8"])),
        ("eth_getHeaderByHash", json!([nothing])),
        ("eth_getBlockReceipts", json!(["0x3e8"])),
        ("eth_getBlockReceipts", json!([nothing])),
        ("eth_getBlockTransactionCountByNumber", json!(["0x3e8"])),
        ("eth_getBlockTransactionCountByHash", json!([nothing])),
        ("eth_getUncleCountByBlockNumber", json!(["0x3e8"])),
        ("eth_getUncleCountByBlockHash", json!([nothing])),
        ("eth_getUncleByBlockNumberAndIndex", json!(["0x1", "0x0"])),
        ("eth_getUncleByBlockHashAndIndex", json!([nothing, "0x0"])),
        ("eth_getTransactionByHash", json!([nothing])),
        ("eth_getRawTransactionByHash", json!([nothing])),
        ("eth_getTransactionReceipt", json!([nothing])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x9"])),
        ("eth_getTransactionByBlockHashAndIndex", json!([nothing, "0x0"])),
    ] {
        assert_eq!(world.call(method, params).await, Value::Null, "{method}");
    }
}

#[tokio::test]
async fn counts() {
    let world = World::new(RpcConfig::default()).await;
    let hash = world.node.chain.lock().blocks[1].hash;
    for (method, params, expected) in [
        ("eth_getBlockTransactionCountByNumber", json!(["0x1"]), "0x4"),
        ("eth_getBlockTransactionCountByNumber", json!(["pending"]), "0x0"),
        ("eth_getBlockTransactionCountByHash", json!([hash]), "0x4"),
        ("eth_getUncleCountByBlockNumber", json!(["latest"]), "0x0"),
        ("eth_getUncleCountByBlockHash", json!([hash]), "0x0"),
    ] {
        assert_eq!(world.call(method, params).await, json!(expected), "{method}");
    }
}

#[tokio::test]
async fn every_type_of_transaction() {
    let world = World::new(RpcConfig::default()).await;
    let block = world.node.chain.lock().blocks[1].clone();
    let get = async |index: usize| {
        let at = json!(["0x1", quantity(index as u64)]);
        let tx = world.call("eth_getTransactionByBlockNumberAndIndex", at).await;
        let at = json!([block.hash, index]);
        assert_eq!(world.call("eth_getTransactionByBlockHashAndIndex", at).await, tx);
        let hash = json!([block.txs[index].hash]);
        assert_eq!(world.call("eth_getTransactionByHash", hash).await, tx);
        unsigned(tx)
    };
    let with_place = |index: u64, mut fields: Value| {
        let place = json!({
            "blockHash": block.hash, "blockNumber": "0x1", "transactionIndex": quantity(index),
            "blockTimestamp": quantity(START_MS / 1000 + 1),
        });
        let fields_map = fields.as_object_mut().unwrap();
        fields_map.extend(place.as_object().unwrap().clone());
        fields
    };
    assert_eq!(
        get(0).await,
        with_place(
            0,
            json!({
                "type": "0x7e", "hash": deposit().hash, "from": Address::repeat_byte(0xde),
                "to": FRIEND, "sourceHash": B256::repeat_byte(0x5e), "mint": "0xc", "value": "0xc",
                "gas": "0x186a0", "input": "0xab", "nonce": "0x9", "gasPrice": "0x0",
                "yParity": "0x0", "depositReceiptVersion": "0x1",
            })
        )
    );
    assert_eq!(
        get(1).await,
        with_place(
            1,
            json!({
                "type": "0x0", "hash": legacy(0, Some(CHAIN_ID)).hash, "from": alice(), "to": null,
                "chainId": quantity(CHAIN_ID), "nonce": "0x0", "gas": "0xea60", "gasPrice": "0xbb8",
                "value": "0x0", "input": "0x6000",
            })
        )
    );
    let list = json!([{ "address": CONTRACT, "storageKeys": [B256::with_last_byte(1)] }]);
    assert_eq!(
        without(get(2).await, "yParity"),
        with_place(
            2,
            json!({
                "type": "0x1", "hash": access_list(1).hash, "from": alice(), "to": CONTRACT,
                "chainId": quantity(CHAIN_ID), "nonce": "0x1", "gas": "0xc350", "gasPrice": "0x7d0",
                "value": "0x0", "input": "0x0e", "accessList": list,
            })
        )
    );
    let mut delegating = without(get(3).await, "yParity");
    let authorization = &mut delegating["authorizationList"][0];
    assert!(authorization["r"].is_string() && authorization["yParity"].is_string());
    *authorization = json!({ "address": authorization["address"], "chainId":
        authorization["chainId"], "nonce": authorization["nonce"] });
    assert_eq!(
        delegating,
        with_place(
            3,
            json!({
                "type": "0x4", "hash": set_code(2).hash, "from": alice(), "to": alice(),
                "chainId": quantity(CHAIN_ID), "nonce": "0x2", "gas": "0x13880", "gasPrice": "0x3ef",
                "maxFeePerGas": "0xfa0", "maxPriorityFeePerGas": "0x7", "value": "0x0", "input": "0x",
                "accessList": [], "authorizationList": [
                    { "address": CONTRACT, "chainId": quantity(CHAIN_ID), "nonce": "0x3" }],
            })
        )
    );
}

fn without(mut value: Value, field: &str) -> Value {
    assert!(value.as_object_mut().unwrap().remove(field).is_some(), "no {field}");
    value
}

#[tokio::test]
async fn a_pending_transaction() {
    let world = World::new(RpcConfig::default()).await;
    let tx = transfer(6, 3);
    world.call("eth_sendRawTransaction", json!([tx.raw])).await;
    let answer = world.call("eth_getTransactionByHash", json!([tx.hash])).await;
    assert_eq!(
        without(unsigned(answer), "yParity"),
        json!({
            "type": "0x2", "hash": tx.hash, "from": alice(), "to": FRIEND,
            "chainId": quantity(CHAIN_ID), "nonce": "0x6", "gas": "0x5208", "gasPrice": "0x2710",
            "maxFeePerGas": "0x2710", "maxPriorityFeePerGas": "0x3", "value": "0x5",
            "input": "0x", "accessList": [], "blockHash": null, "blockNumber": null,
            "blockTimestamp": null, "transactionIndex": null,
        })
    );
    assert_eq!(world.call("eth_getTransactionReceipt", json!([tx.hash])).await, Value::Null);
}

#[tokio::test]
async fn receipts() {
    let world = World::new(RpcConfig::default()).await;
    let block = world.node.chain.lock().blocks[1].clone();
    let all = world.call("eth_getBlockReceipts", json!(["0x1"])).await;
    assert_eq!(world.call("eth_getBlockReceipts", json!([block.hash])).await, all);
    assert_eq!(world.call("eth_getBlockReceipts", json!(["earliest"])).await, json!([]));
    for (index, tx) in block.txs.iter().enumerate() {
        let one = world.call("eth_getTransactionReceipt", json!([tx.hash])).await;
        assert_eq!(all[index], one);
    }
    let emitted = |index: u64, data: u8| {
        json!({
            "address": CONTRACT, "topics": [TOPIC, B256::with_last_byte(data)],
            "data": format!("0x{data:02x}"), "blockHash": block.hash, "blockNumber": "0x1",
            "blockTimestamp": quantity(START_MS / 1000 + 1), "transactionHash": access_list(1).hash,
            "transactionIndex": "0x2", "logIndex": quantity(index), "removed": false,
        })
    };
    assert_eq!(
        without(all[2].clone(), "logsBloom"),
        json!({
            "type": "0x1", "status": "0x1", "transactionHash": access_list(1).hash,
            "transactionIndex": "0x2", "blockHash": block.hash, "blockNumber": "0x1",
            "from": alice(), "to": CONTRACT, "contractAddress": null, "gasUsed": "0x7d00",
            "cumulativeGasUsed": quantity(185_000), "effectiveGasPrice": "0x7d0",
            "logs": [emitted(0, 1), emitted(1, 2)],
        })
    );
    assert_eq!(all[0]["depositNonce"], "0x9");
    assert_eq!(all[0]["depositReceiptVersion"], "0x1");
    assert_eq!(all[0]["effectiveGasPrice"], "0x0");
    assert_eq!(all[1]["contractAddress"], json!(Address::repeat_byte(0xcc)));
    assert_eq!(all[1]["to"], Value::Null);
    assert_eq!(all[3]["status"], "0x0");
    assert_eq!(all[3]["effectiveGasPrice"], "0x3ef");
    let bloom = all[2]["logsBloom"].as_str().unwrap();
    assert!(bloom.len() == 514 && bloom.contains(|digit| digit != '0' && digit != 'x'));
    // Log indices run through the block.
    let second = world.call("eth_getBlockReceipts", json!(["0x2"])).await;
    assert_eq!(second[0]["logs"][0]["logIndex"], "0x0");
}

#[tokio::test]
async fn logs() {
    let world = World::new(RpcConfig::default()).await;
    let hash = world.node.chain.lock().blocks[1].hash;
    let last = |data: u8| B256::with_last_byte(data);
    let found = async |filter: Value| -> Vec<String> {
        let answer = world.call("eth_getLogs", json!([filter])).await;
        let logs = answer.as_array().unwrap_or_else(|| panic!("{filter}: {answer}"));
        logs.iter().map(|log| log["data"].as_str().unwrap().to_owned()).collect()
    };
    for (filter, expected) in [
        (json!({ "fromBlock": "earliest" }), vec!["0x01", "0x02", "0x03"]),
        (json!({ "fromBlock": "0x0", "toBlock": "0x64" }), vec!["0x01", "0x02", "0x03"]),
        (json!({ "fromBlock": "0x2", "toBlock": "pending" }), vec!["0x03"]),
        (json!({ "fromBlock": "0x2", "toBlock": "0x2", "address": CONTRACT }), vec!["0x03"]),
        (json!({ "blockHash": hash }), vec!["0x01", "0x02"]),
        (json!({ "blockHash": hash, "topics": [null, last(2)] }), vec!["0x02"]),
        (
            json!({ "fromBlock": "0x0", "topics": [TOPIC, [last(1), last(3)]] }),
            vec!["0x01", "0x03"],
        ),
        (json!({ "fromBlock": "0x0", "topics": [last(9)] }), vec![]),
        (json!({ "fromBlock": "0x0", "topics": [TOPIC, null, last(9)] }), vec![]),
        (json!({ "fromBlock": "0x0", "address": [FRIEND] }), vec![]),
        (
            json!({ "fromBlock": "0x0", "address": [FRIEND, CONTRACT], "topics": [] }),
            vec!["0x01", "0x02", "0x03"],
        ),
        (json!({ "fromBlock": "0x64", "toBlock": "0xc8" }), vec![]),
        (json!({}), vec![]),
    ] {
        assert_eq!(found(filter.clone()).await, expected, "{filter}");
    }
    let one = world.call("eth_getLogs", json!([{ "fromBlock": "0x2" }])).await;
    assert_eq!(
        one,
        json!([{
            "address": CONTRACT, "topics": [TOPIC, last(3)], "data": "0x03",
            "blockHash": world.node.chain.lock().blocks[2].hash, "blockNumber": "0x2",
            "blockTimestamp": quantity(START_MS / 1000 + 2), "transactionHash": transfer(4, 9).hash,
            "transactionIndex": "0x0", "logIndex": "0x0", "removed": false,
        }])
    );
}
