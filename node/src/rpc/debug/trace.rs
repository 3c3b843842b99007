//! `debug_trace*`: transactions, blocks and calls under geth's tracers.

use std::ops::Range;
use std::time::{Duration, Instant};

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Header as RlpHeader};
use alloy_rpc_types_eth::{BlockId as Target, BlockNumberOrTag, TransactionRequest};
use alloy_rpc_types_trace::geth::{
    GethDebugTracerType, GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace,
    TraceResult,
};
use causeway_execution::pipeline::Replay;
use causeway_execution::trace::{Trace, Traced, Tracer};
use jsonrpsee::core::RegisterMethodError;

use crate::rpc::call::Prepared;
use crate::rpc::error::{RpcError, RpcResult};
use crate::rpc::replays::{self, Tracing};
use crate::rpc::table::{Api, Args, Table};
use crate::rpc::target;

pub(super) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("debug_traceTransaction", |api, args, deadline| {
        let hash: B256 = args.need(0, "transaction hash")?;
        let options = options(args, 1)?;
        let found = replays::tx(&*api.backend.chain(), hash)?;
        let (replay, at) = found.ok_or_else(|| RpcError::server("transaction not found"))?;
        let mut traces = txs(api, &replay, at..at + 1, options, deadline)?;
        traces.pop().ok_or_else(|| RpcError::internal("a trace is missing"))
    })?;
    table.heavy("debug_traceBlockByNumber", |api, args, deadline| {
        let tag: BlockNumberOrTag = args.need(0, "block number")?;
        block(api, tag.into(), args, deadline)
    })?;
    table.heavy("debug_traceBlockByHash", |api, args, deadline| {
        let hash: B256 = args.need(0, "block hash")?;
        block(api, hash.into(), args, deadline)
    })?;
    table.heavy("debug_traceBlock", |api, args, deadline| {
        let raw: Bytes = args.need(0, "block")?;
        block(api, known(api, &raw)?.into(), args, deadline)
    })?;
    table.heavy("debug_traceCall", call)
}

/// The tracer and its settings; struct logs if there are none.
fn options(args: &Args, at: usize) -> RpcResult<GethDebugTracingOptions> {
    let options: GethDebugTracingOptions = args.option(at, "tracer")?.unwrap_or_default();
    check(&options)?;
    Ok(options)
}

fn check(options: &GethDebugTracingOptions) -> RpcResult<()> {
    match &options.tracer {
        Some(GethDebugTracerType::JsTracer(_)) => Err(RpcError::params(
            "tracer not found: this node has callTracer, flatCallTracer, prestateTracer, \
             4byteTracer, noopTracer, muxTracer and erc7562Tracer, and runs no JavaScript",
        )),
        _ => Ok(()),
    }
}

/// How long the client is ready to wait, as Go writes durations: "500ms", "5s", "1m".
fn timeout(options: &GethDebugTracingOptions) -> RpcResult<Option<Duration>> {
    let Some(text) = &options.timeout else { return Ok(None) };
    let wrong = || RpcError::params(format!("timeout: {text:?} is no duration, as \"5s\" is"));
    let split = text.find(|found: char| found.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).map(Some).map_err(|_| wrong())
}

fn txs(
    api: &Api,
    replay: &Replay,
    which: Range<usize>,
    options: GethDebugTracingOptions,
    deadline: Instant,
) -> RpcResult<Vec<GethTrace>> {
    let asked = timeout(&options)?;
    let tracer = Tracer::Geth(Box::new(options));
    let traces = Tracing::new(api, deadline, asked).txs(replay, which, &tracer)?;
    traces.into_iter().map(geth).collect()
}

fn geth(trace: Trace) -> RpcResult<GethTrace> {
    match trace {
        Trace::Geth(trace) => Ok(*trace),
        Trace::Parity(_) => Err(RpcError::internal("a trace of another form")),
    }
}

fn block(api: &Api, target: Target, args: &Args, deadline: Instant) -> RpcResult<Vec<TraceResult>> {
    let options = options(args, 1)?;
    let replay = replays::block(&*api.backend.chain(), target)?;
    let traces = txs(api, &replay, 0..replay.block.txs.len(), options, deadline)?;
    let hashes = replay.block.txs.iter().map(|tx| tx.hash);
    let result = |(trace, hash)| TraceResult::new_success(trace, Some(hash));
    Ok(traces.into_iter().zip(hashes).map(result).collect())
}

/// Hash of a block given by its RLP, which must be one of this chain: what the protocol does
/// inside a block is not in its RLP.
fn known(api: &Api, raw: &[u8]) -> RpcResult<B256> {
    let wrong = |error| RpcError::params(format!("invalid argument 0 (block): {error}"));
    let mut fields = RlpHeader::decode_bytes(&mut &*raw, true).map_err(wrong)?;
    let hash = Header::decode(&mut fields).map_err(wrong)?.hash_slow();
    match api.backend.chain().number_of_hash(hash)? {
        Some(_) => Ok(hash),
        None => Err(RpcError::server(format!(
            "block {hash} not found: only blocks of this chain can be traced"
        ))),
    }
}

/// A call on the state after a block, or before one of its transactions (`txIndex`).
fn call(api: &Api, args: &Args, deadline: Instant) -> RpcResult<GethTrace> {
    let request: TransactionRequest = args.need(0, "transaction")?;
    let at: Option<Target> = args.option(1, "block")?;
    let options: GethDebugTracingCallOptions = args.option(2, "tracer")?.unwrap_or_default();
    check(&options.tracing_options)?;
    let tracing = Tracing::new(api, deadline, timeout(&options.tracing_options)?);
    let base = match options.tx_index {
        Some(index) => {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let replay = replays::block(&*api.backend.chain(), at.unwrap_or_default())?;
            let count = replay.block.txs.len();
            if index > count {
                return Err(RpcError::params(format!(
                    "txIndex {index} is out of range: the block has {count} transactions"
                )));
            }
            (tracing.before(&replay, index)?, replay.env.clone())
        }
        None => target::base(api, at)?,
    };
    let overrides = options.state_overrides.unwrap_or_default();
    let prepared = Prepared::on(api, base, request, overrides, options.block_overrides)?;
    let tracer = Tracer::Geth(Box::new(options.tracing_options));
    let step = (Traced::Call(Box::new(prepared.call)), tracer);
    let mut traces = tracing.run(&*prepared.state, &prepared.env, &[step])?;
    traces.pop().ok_or_else(|| RpcError::internal("a trace is missing")).and_then(geth)
}
