//! `ots`, version 8: what the block explorer Otterscan asks of a node, beside `eth`.
//!
//! Numbers may be JSON numbers here: Otterscan sends them so.

mod search;

pub(crate) use search::register_eth;

use std::time::Instant;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use alloy_rpc_types_eth::BlockId as Target;
use alloy_rpc_types_trace::geth::{
    CallConfig, CallFrame, GethDebugBuiltInTracerType, GethDebugTracerConfig, GethDebugTracerType,
    GethDebugTracingOptions, GethTrace,
};
use alloy_rpc_types_trace::otterscan::{InternalOperation, OperationType};
use causeway_chainspec::Block;
use causeway_execution::pipeline::Replay;
use causeway_execution::trace::{Trace, Tracer};
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Map, Value, json};

use super::error::{RpcError, RpcResult};
use super::replays::{self, Tracing};
use super::table::{Api, Args, Table};
use super::{json, target};

/// Version of this namespace.
const API_LEVEL: u64 = 8;
/// Most transactions of one page.
const MAX_PAGE: usize = 1000;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("ots_getApiLevel", |_, _| Ok(API_LEVEL))?;
    table.quick("ots_hasCode", |api, args| {
        let address: Address = args.need(0, "address")?;
        let (_, state) = target::state(&*api.backend.chain(), block_at(args, 1)?)?;
        let hash = state.account(address)?.and_then(|account| account.bytecode_hash);
        Ok(hash.is_some_and(|hash| hash != KECCAK256_EMPTY))
    })?;
    table.heavy("ots_getInternalOperations", |api, args, deadline| {
        let Some(frame) = frame(api, args, deadline)? else { return Ok(None) };
        let mut found = Vec::new();
        frame.calls.iter().for_each(|inner| operations(inner, &mut found));
        Ok(Some(found))
    })?;
    table.heavy("ots_traceTransaction", |api, args, deadline| {
        let Some(frame) = frame(api, args, deadline)? else { return Ok(None) };
        let mut entries = Vec::new();
        flatten(&frame, 0, &mut entries);
        Ok(Some(entries))
    })?;
    table.heavy("ots_getTransactionError", |api, args, deadline| {
        let failed = frame(api, args, deadline)?.filter(|frame| frame.error.is_some());
        Ok(failed.and_then(|frame| frame.output).unwrap_or_default())
    })?;
    table.quick("ots_getBlockDetails", |api, args| details(api, block_at(args, 0)?))?;
    table.quick("ots_getBlockDetailsByHash", |api, args| {
        details(api, Some(args.need::<B256>(0, "block hash")?.into()))
    })?;
    table.heavy("ots_getBlockTransactions", |api, args, _| transactions(api, args))?;
    search::register(table)
}

/// `erigon`: the one method of it that Otterscan asks for, to tell what node it talks to.
pub(crate) fn register_erigon(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("erigon_getHeaderByNumber", |api, args| {
        let at = block_at(args, 0)?.unwrap_or_default();
        Ok(target::block(&*api.backend.chain(), at)?.map(|block| json::header(&block)))
    })
}

/// A number, or text that is one.
fn number(args: &Args, at: usize, name: &str) -> RpcResult<u64> {
    let value: Value = args.need(at, name)?;
    let found = match &value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        },
        _ => None,
    };
    found.ok_or_else(|| RpcError::params(format!("invalid argument {at} ({name}): no number")))
}

/// A block by number, tag or hash; the newest by default.
fn block_at(args: &Args, at: usize) -> RpcResult<Option<Target>> {
    match args.option::<Value>(at, "block")? {
        Some(Value::Number(_)) => Ok(Some(Target::from(number(args, at, "block")?))),
        Some(_) => args.option(at, "block"),
        None => Ok(None),
    }
}

/// A page of at most so many.
fn page_size(args: &Args, at: usize) -> RpcResult<usize> {
    let size = number(args, at, "page size")?;
    match usize::try_from(size) {
        Ok(size @ 1..=MAX_PAGE) => Ok(size),
        _ => Err(RpcError::params(format!("page size {size} is not 1 to {MAX_PAGE}"))),
    }
}

/// What a transaction called; `None` if there is no such transaction.
fn frame(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Option<CallFrame>> {
    let hash: B256 = args.need(0, "transaction hash")?;
    let found = replays::tx(&*api.backend.chain(), hash)?;
    let Some((replay, index)) = found else { return Ok(None) };
    let tracing = Tracing::new(api, deadline, None);
    Ok(frames(&tracing, &replay, index..index + 1)?.pop())
}

fn frames(
    tracing: &Tracing<'_>,
    replay: &Replay,
    which: std::ops::Range<usize>,
) -> RpcResult<Vec<CallFrame>> {
    let tracer = GethDebugTracerType::BuiltInTracer(GethDebugBuiltInTracerType::CallTracer);
    let config = GethDebugTracerConfig::from(CallConfig::default());
    let options = GethDebugTracingOptions {
        tracer: Some(tracer),
        tracer_config: config,
        ..Default::default()
    };
    let traces = tracing.txs(replay, which, &Tracer::Geth(Box::new(options)))?;
    let frame = |trace| match trace {
        Trace::Geth(trace) => match *trace {
            GethTrace::CallTracer(frame) => Ok(frame),
            _ => Err(RpcError::internal("a trace of another form")),
        },
        Trace::Parity(_) => Err(RpcError::internal("a trace of another form")),
    };
    traces.into_iter().map(frame).collect()
}

/// What moves wei or makes and unmakes contracts, in the order of execution, reverted or not.
fn operations(frame: &CallFrame, found: &mut Vec<InternalOperation>) {
    let value = frame.value.unwrap_or_default();
    let kind = match frame.typ.as_str() {
        "CALL" if !value.is_zero() => Some(OperationType::OpTransfer),
        "SELFDESTRUCT" => Some(OperationType::OpSelfDestruct),
        "CREATE" => Some(OperationType::OpCreate),
        "CREATE2" => Some(OperationType::OpCreate2),
        _ => None,
    };
    if let Some(r#type) = kind {
        let to = frame.to.unwrap_or_default();
        found.push(InternalOperation { r#type, from: frame.from, to, value });
    }
    frame.calls.iter().for_each(|inner| operations(inner, found));
}

/// The tree of calls as a list, each with its depth.
fn flatten(frame: &CallFrame, depth: u64, entries: &mut Vec<Value>) {
    // Delegated and static calls move no wei: their value is not told.
    let moves = !matches!(frame.typ.as_str(), "DELEGATECALL" | "STATICCALL");
    entries.push(json!({
        "type": frame.typ,
        "depth": depth,
        "from": frame.from,
        "to": frame.to,
        "value": moves.then(|| frame.value.unwrap_or_default()),
        "input": frame.input,
        "output": frame.output.clone().unwrap_or_default(),
    }));
    frame.calls.iter().for_each(|inner| flatten(inner, depth + 1, entries));
}

/// A block's header without its bloom and list of transactions, what it paid out and took in.
fn details(api: &Api, at: Option<Target>) -> RpcResult<Option<Value>> {
    let found = target::block(&*api.backend.chain(), at.unwrap_or_default())?;
    let Some(block) = found else { return Ok(None) };
    let mut slim = object(json::block(&block, false))?;
    slim.remove("transactions");
    slim.insert("logsBloom".into(), Value::Null);
    slim.insert("transactionCount".into(), json!(block.txs.len()));
    let nothing = json!({ "blockReward": "0x0", "uncleReward": "0x0", "issuance": "0x0" });
    Ok(Some(json!({ "block": slim, "issuance": nothing, "totalFees": total_fees(&block) })))
}

fn object(value: Value) -> RpcResult<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(RpcError::internal(format!("no object: {other}"))),
    }
}

/// What senders paid, wei.
fn total_fees(block: &Block) -> U256 {
    let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
    let pairs = block.txs.iter().zip(&block.receipts).filter(|(tx, _)| !tx.is_deposit());
    let fee = |gas: u64, price: u128| U256::from(gas) * U256::from(price);
    pairs.map(|(tx, receipt)| fee(receipt.gas_used, tx.effective_gas_price(base_fee))).sum()
}

/// One page of a block's transactions, the last of the block first, as Otterscan counts pages.
fn transactions(api: &Api, args: &Args) -> RpcResult<Option<Value>> {
    let at = block_at(args, 0)?.unwrap_or_default();
    let (page, size) = (number(args, 1, "page")?, page_size(args, 2)?);
    let Some(block) = target::block(&*api.backend.chain(), at)? else { return Ok(None) };
    let count = block.txs.len();
    let skipped = usize::try_from(page).unwrap_or(usize::MAX).saturating_mul(size);
    let end = count.saturating_sub(skipped);
    let which = end.saturating_sub(size)..end;
    let mut full = object(json::block(&block, false))?;
    full.insert("transactionCount".into(), json!(count));
    full.insert("logsBloom".into(), Value::Null);
    let shown = which.clone().map(|index| short(&block, index));
    full.insert("transactions".into(), shown.collect::<RpcResult<Vec<_>>>()?.into());
    let receipts = which.map(|index| receipt(&block, index, true));
    let receipts = receipts.collect::<RpcResult<Vec<_>>>()?;
    Ok(Some(json!({ "fullblock": full, "receipts": receipts })))
}

/// A transaction with no more of its input than names the method.
fn short(block: &Block, index: usize) -> RpcResult<Value> {
    let mut map = object(json::transaction(block, index))?;
    let input = block.txs[index].envelope.input();
    let selector = Bytes::copy_from_slice(&input[..input.len().min(4)]);
    map.insert("input".into(), json!(selector));
    Ok(Value::Object(map))
}

/// A receipt with its time, and without logs if they are not wanted.
fn receipt(block: &Block, index: usize, slim: bool) -> RpcResult<Value> {
    let receipt = serde_json::to_value(json::receipt(block, index)).map_err(RpcError::internal)?;
    let mut map = object(receipt)?;
    map.insert("timestamp".into(), json!(block.header.timestamp));
    if slim {
        map.insert("logs".into(), Value::Null);
        map.insert("logsBloom".into(), Value::Null);
    }
    Ok(Value::Object(map))
}
