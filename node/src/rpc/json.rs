//! Blocks, transactions, receipts and logs in the shapes of the Ethereum execution API.

use alloy_consensus::{Transaction, Typed2718};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bloom, U64, U128, logs_bloom};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{Header, Log};
use causeway_chainspec::{Block, BlockEnv, BlockId, Tx};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A value as a JSON object.
fn object(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map,
        other => unreachable!("chain values serialise to objects: {other:?}"),
    }
}

/// A header, as `newHeads` and `eth_getHeaderBy*` give it.
pub(crate) fn header(block: &Block) -> Header {
    Header { hash: block.hash, inner: block.header.clone(), total_difficulty: None, size: None }
}

/// A block, with its transactions whole or as hashes.
pub(crate) fn block(block: &Block, full: bool) -> Value {
    let mut map = object(&header(block));
    let txs: Vec<Value> = if full {
        (0..block.txs.len()).map(|index| transaction(block, index)).collect()
    } else {
        block.txs.iter().map(|tx| json!(tx.hash)).collect()
    };
    map.insert("size".into(), json!(U64::from(size_bytes(block))));
    map.insert("transactions".into(), Value::Array(txs));
    let uncles: Vec<B256> = uncles(block).iter().map(|uncle| uncle.hash_slow()).collect();
    map.insert("uncles".into(), json!(uncles));
    if let Some(withdrawals) = withdrawals(block) {
        map.insert("withdrawals".into(), json!(withdrawals));
    }
    Value::Object(map)
}

/// Headers of a block's uncles; only blocks of Ethereum chains have any.
pub(crate) fn uncles(block: &Block) -> &[alloy_consensus::Header] {
    block.ethereum.as_deref().map_or(&[], |parts| &parts.uncles)
}

/// An uncle, as a block without transactions.
pub(crate) fn uncle(uncle: &alloy_consensus::Header) -> Value {
    let header = Header {
        hash: uncle.hash_slow(),
        inner: uncle.clone(),
        total_difficulty: None,
        size: None,
    };
    let mut map = object(&header);
    let size = list_bytes(uncle.length() + list_bytes(0) * 2);
    map.insert("size".into(), json!(U64::from(size)));
    map.insert("uncles".into(), json!([]));
    Value::Object(map)
}

/// Withdrawals of a block, of which ours have none; `None` before there were any (EIP-4895).
fn withdrawals(block: &Block) -> Option<&[Withdrawal]> {
    match block.ethereum.as_deref() {
        Some(parts) => parts.withdrawals.as_deref(),
        None => Some(&[]),
    }
}

/// The block that would come next, as far as it is known: no hash, no nonce, no transactions.
pub(crate) fn pending_block(parent: BlockId, env: &BlockEnv) -> Value {
    let inner = alloy_consensus::Header {
        parent_hash: parent.hash,
        number: env.number,
        timestamp: env.time_ms / 1000,
        gas_limit: env.gas_limit,
        base_fee_per_gas: Some(env.base_fee),
        beneficiary: env.beneficiary,
        mix_hash: env.mix_hash,
        withdrawals_root: Some(alloy_consensus::constants::EMPTY_ROOT_HASH),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        ..Default::default()
    };
    let size = inner.length();
    let mut map = object(&Header { hash: B256::ZERO, inner, total_difficulty: None, size: None });
    for unknown in ["hash", "nonce", "logsBloom"] {
        map.insert(unknown.into(), Value::Null);
    }
    map.insert("size".into(), json!(U64::from(size)));
    map.insert("transactions".into(), json!([]));
    map.insert("uncles".into(), json!([]));
    map.insert("withdrawals".into(), json!([]));
    Value::Object(map)
}

/// Bytes of the block in its RLP form: header, transactions, uncles, withdrawals.
fn size_bytes(block: &Block) -> usize {
    let txs: usize = block
        .txs
        .iter()
        .map(|tx| if tx.envelope.is_legacy() { tx.raw.len() } else { tx.raw.length() })
        .sum();
    let uncles = list_bytes(uncles(block).iter().map(Encodable::length).sum());
    let withdrawals =
        withdrawals(block).map_or(0, |list| list_bytes(list.iter().map(Encodable::length).sum()));
    list_bytes(block.header.length() + list_bytes(txs) + uncles + withdrawals)
}

fn list_bytes(payload: usize) -> usize {
    payload + alloy_rlp::length_of_length(payload)
}

/// A transaction of a block.
pub(crate) fn transaction(block: &Block, index: usize) -> Value {
    let tx = &block.txs[index];
    let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
    let mut map = object(&tx.envelope);
    if tx.is_deposit() {
        map.insert("nonce".into(), json!(U64::from(block.receipts[index].deposit_nonce)));
        map.insert("depositReceiptVersion".into(), json!("0x1"));
    }
    map.insert("gasPrice".into(), json!(U128::from(tx.effective_gas_price(base_fee))));
    map.insert("blockHash".into(), json!(block.hash));
    map.insert("blockNumber".into(), json!(U64::from(block.header.number)));
    map.insert("blockTimestamp".into(), json!(U64::from(block.header.timestamp)));
    map.insert("transactionIndex".into(), json!(U64::from(index)));
    finish(tx, map)
}

/// A transaction that waits in the pool.
pub(crate) fn pending_transaction(tx: &Tx) -> Value {
    let mut map = object(&tx.envelope);
    map.insert("gasPrice".into(), json!(U128::from(tx.envelope.max_fee_per_gas())));
    for unknown in ["blockHash", "blockNumber", "blockTimestamp", "transactionIndex"] {
        map.insert(unknown.into(), Value::Null);
    }
    finish(tx, map)
}

fn finish(tx: &Tx, mut map: Map<String, Value>) -> Value {
    map.insert("hash".into(), json!(tx.hash));
    map.insert("from".into(), json!(tx.sender));
    map.insert("to".into(), json!(tx.envelope.to()));
    Value::Object(map)
}

/// `eth_getTransactionReceipt`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReceiptJson {
    block_hash: B256,
    block_number: U64,
    contract_address: Option<Address>,
    cumulative_gas_used: U64,
    effective_gas_price: U128,
    from: Address,
    gas_used: U64,
    logs: Vec<Log>,
    logs_bloom: Bloom,
    /// Before Byzantium, a receipt holds the state root instead (EIP-658).
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<U64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<B256>,
    to: Option<Address>,
    transaction_hash: B256,
    transaction_index: U64,
    #[serde(rename = "type")]
    tx_type: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_gas_used: Option<U64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_gas_price: Option<U128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deposit_nonce: Option<U64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deposit_receipt_version: Option<U64>,
}

/// The receipts of a block, in order.
pub(crate) fn receipts(block: &Block) -> Vec<ReceiptJson> {
    let mut first_log = 0;
    (0..block.txs.len())
        .map(|index| {
            let json = receipt_with(block, index, first_log);
            first_log += json.logs.len();
            json
        })
        .collect()
}

/// The receipt of one transaction of a block.
pub(crate) fn receipt(block: &Block, index: usize) -> ReceiptJson {
    let first_log = block.receipts[..index].iter().map(|receipt| receipt.logs.len()).sum();
    receipt_with(block, index, first_log)
}

fn receipt_with(block: &Block, index: usize, first_log: usize) -> ReceiptJson {
    let (tx, receipt) = (&block.txs[index], &block.receipts[index]);
    let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
    let deposit = tx.is_deposit();
    let ethereum = block.ethereum.as_deref();
    let root = ethereum.and_then(|parts| parts.post_states.get(index).copied());
    let blob_gas_used = tx.envelope.blob_gas_used();
    let blob_gas_price = blob_gas_used.and(ethereum).map(|parts| parts.blob_base_fee);
    ReceiptJson {
        block_hash: block.hash,
        block_number: U64::from(block.header.number),
        contract_address: receipt.contract_address,
        cumulative_gas_used: U64::from(receipt.cumulative_gas_used),
        effective_gas_price: U128::from(tx.effective_gas_price(base_fee)),
        from: tx.sender,
        gas_used: U64::from(receipt.gas_used),
        logs: logs_of(block, index, first_log, false).collect(),
        logs_bloom: logs_bloom(&receipt.logs),
        status: root.is_none().then(|| U64::from(u8::from(receipt.success))),
        root,
        to: tx.envelope.to(),
        transaction_hash: tx.hash,
        transaction_index: U64::from(index),
        tx_type: U64::from(tx.envelope.ty()),
        blob_gas_used: blob_gas_used.map(U64::from),
        blob_gas_price: blob_gas_price.map(U128::from),
        deposit_nonce: deposit.then(|| U64::from(receipt.deposit_nonce)),
        deposit_receipt_version: deposit.then(|| U64::from(1)),
    }
}

/// The logs of a block, in order.
pub(crate) fn logs(block: &Block, removed: bool) -> impl Iterator<Item = Log> + '_ {
    let mut first_log = 0;
    (0..block.txs.len()).flat_map(move |index| {
        let first = first_log;
        first_log += block.receipts[index].logs.len();
        logs_of(block, index, first, removed)
    })
}

fn logs_of(
    block: &Block,
    index: usize,
    first_log: usize,
    removed: bool,
) -> impl Iterator<Item = Log> + '_ {
    let place = move |at| LogPlace { tx: index, first: first_log, at };
    let logs = block.receipts[index].logs.iter().enumerate();
    logs.map(move |(at, log)| log_at(block, place(at), log, removed))
}

/// Where a log stands in a block.
#[derive(Clone, Copy)]
pub(crate) struct LogPlace {
    /// Index of its transaction.
    pub(crate) tx: usize,
    /// Logs of the block before those of its transaction.
    pub(crate) first: usize,
    /// Index among those.
    pub(crate) at: usize,
}

/// A log with where it stands.
pub(crate) fn log_at(
    block: &Block,
    place: LogPlace,
    log: &alloy_primitives::Log,
    removed: bool,
) -> Log {
    Log {
        inner: log.clone(),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: Some(block.txs[place.tx].hash),
        transaction_index: Some(place.tx as u64),
        log_index: Some((place.first + place.at) as u64),
        removed,
    }
}
