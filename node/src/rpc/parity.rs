//! `trace`: traces in Parity's forms.

use std::sync::Arc;
use std::time::Instant;

use alloy_consensus::constants::EMPTY_ROOT_HASH;
use alloy_primitives::map::HashSet;
use alloy_primitives::{B256, Bytes, U64};
use alloy_rpc_types_eth::{BlockId as Target, BlockNumberOrTag, Index, TransactionRequest};
use alloy_rpc_types_trace::filter::TraceFilter;
use alloy_rpc_types_trace::parity::{
    LocalizedTransactionTrace, TraceResults, TraceResultsWithTransactionHash, TraceType,
};
use causeway_chainspec::{BlockEnv, StateReader, Tx};
use causeway_execution::pipeline::Replay;
use causeway_execution::trace::{Trace, Traced, Tracer, TxPlace};
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::backend::ChainReader;
use super::call::Prepared;
use super::error::{RpcError, RpcResult};
use super::replays::{self, Tracing};
use super::table::{Api, Args, Table};
use super::target;

/// Most calls of one `trace_callMany`.
const MAX_CALLS: usize = 1000;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("trace_transaction", |api, args, deadline| {
        transaction(api, args.need(0, "transaction hash")?, deadline)
    })?;
    table.heavy("trace_get", get)?;
    table.heavy("trace_block", |api, args, deadline| {
        let chain = api.backend.chain();
        let at: Target = args.need(0, "block")?;
        let Some(block) = target::block(&*chain, at)? else { return Ok(None) };
        let tracing = Tracing::new(api, deadline, None);
        localized(&tracing, &*chain, block.header.number).map(Some)
    })?;
    table.heavy("trace_filter", filter)?;
    table.heavy("trace_replayTransaction", |api, args, deadline| {
        let hash: B256 = args.need(0, "transaction hash")?;
        let kinds = kinds(args, 1)?;
        let found = replays::tx(&*api.backend.chain(), hash)?;
        let (replay, at) = found.ok_or_else(|| RpcError::server("transaction not found"))?;
        let tracing = Tracing::new(api, deadline, None);
        one(tracing.txs(&replay, at..at + 1, &Tracer::Parity(kinds))?)
    })?;
    table.heavy("trace_replayBlockTransactions", |api, args, deadline| {
        let replay = replays::block(&*api.backend.chain(), args.need(0, "block")?)?;
        let tracing = Tracing::new(api, deadline, None);
        let tracer = Tracer::Parity(kinds(args, 1)?);
        let traces = tracing.txs(&replay, 0..replay.block.txs.len(), &tracer)?;
        let with_hash = |(trace, tx): (Trace, &Arc<Tx>)| {
            let (full_trace, transaction_hash) = (parity(trace)?, tx.hash);
            Ok(TraceResultsWithTransactionHash { full_trace, transaction_hash })
        };
        traces.into_iter().zip(&replay.block.txs).map(with_hash).collect::<RpcResult<Vec<_>>>()
    })?;
    table.heavy("trace_call", |api, args, deadline| {
        let request: TransactionRequest = args.need(0, "transaction")?;
        let base = target::base(api, args.option(2, "block")?)?;
        let step = step(api, &base, request, kinds(args, 1)?)?;
        one(Tracing::new(api, deadline, None).run(&*base.0, &base.1, &[step])?)
    })?;
    table.heavy("trace_callMany", call_many)?;
    table.heavy("trace_rawTransaction", |api, args, deadline| {
        let raw: Bytes = args.need(0, "transaction")?;
        let (state, env) = target::base(api, args.option(2, "block")?)?;
        let tx = Traced::Tx(Arc::new(Tx::decode(raw)?), TxPlace::default());
        let steps = [(tx, Tracer::Parity(kinds(args, 1)?))];
        one(Tracing::new(api, deadline, None).run(&*state, &env, &steps)?)
    })
}

/// Which traces are asked for.
fn kinds(args: &Args, at: usize) -> RpcResult<HashSet<TraceType>> {
    args.need(at, "trace types")
}

fn calls_only() -> Tracer {
    Tracer::Parity(HashSet::from_iter([TraceType::Trace]))
}

fn parity(trace: Trace) -> RpcResult<TraceResults> {
    match trace {
        Trace::Parity(results) => Ok(*results),
        Trace::Geth(_) => Err(RpcError::internal("a trace of another form")),
    }
}

fn one(mut traces: Vec<Trace>) -> RpcResult<TraceResults> {
    traces.pop().ok_or_else(|| RpcError::internal("a trace is missing")).and_then(parity)
}

fn step(
    api: &Api,
    (state, env): &(Arc<dyn StateReader>, BlockEnv),
    request: TransactionRequest,
    kinds: HashSet<TraceType>,
) -> RpcResult<(Traced, Tracer)> {
    let base = (state.clone(), env.clone());
    let prepared = Prepared::on(api, base, request, Default::default(), None)?;
    Ok((Traced::Call(Box::new(prepared.call)), Tracer::Parity(kinds)))
}

/// Calls one after the other, each on what the ones before left.
fn call_many(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Vec<TraceResults>> {
    let calls: Vec<(TransactionRequest, HashSet<TraceType>)> = args.need(0, "calls")?;
    if calls.len() > MAX_CALLS {
        return Err(RpcError::params(format!("{} calls, most {MAX_CALLS}", calls.len())));
    }
    let base = target::base(api, args.option(1, "block")?)?;
    let steps = calls
        .into_iter()
        .map(|(request, kinds)| step(api, &base, request, kinds))
        .collect::<RpcResult<Vec<_>>>()?;
    let traces = Tracing::new(api, deadline, None).run(&*base.0, &base.1, &steps)?;
    traces.into_iter().map(parity).collect()
}

/// The traces of one transaction, with where it is.
fn with_place(
    replay: &Replay,
    index: usize,
    results: TraceResults,
) -> impl Iterator<Item = LocalizedTransactionTrace> + use<> {
    let (hash, number) = (replay.block.hash, replay.block.header.number);
    let tx = replay.block.txs[index].hash;
    results.trace.into_iter().map(move |trace| LocalizedTransactionTrace {
        trace,
        block_hash: Some(hash),
        block_number: Some(number),
        transaction_hash: Some(tx),
        transaction_position: Some(index as u64),
    })
}

fn transaction(
    api: &Api,
    hash: B256,
    deadline: Instant,
) -> RpcResult<Option<Vec<LocalizedTransactionTrace>>> {
    let found = replays::tx(&*api.backend.chain(), hash)?;
    let Some((replay, at)) = found else { return Ok(None) };
    let tracing = Tracing::new(api, deadline, None);
    let results = one(tracing.txs(&replay, at..at + 1, &calls_only())?)?;
    Ok(Some(with_place(&replay, at, results).collect()))
}

/// The trace at an address inside a transaction: `[]` is the whole, `[0]` its first call.
fn get(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Option<LocalizedTransactionTrace>> {
    let path: Vec<Index> = args.need(1, "trace address")?;
    let path: Vec<usize> = path.into_iter().map(|index| index.0).collect();
    let traces = transaction(api, args.need(0, "transaction hash")?, deadline)?;
    let mut traces = traces.unwrap_or_default().into_iter();
    Ok(traces.find(|found| found.trace.trace_address == path))
}

/// All traces of a block; of genesis, none.
fn localized(
    tracing: &Tracing<'_>,
    chain: &dyn ChainReader,
    number: u64,
) -> RpcResult<Vec<LocalizedTransactionTrace>> {
    if number == 0 {
        return Ok(Vec::new());
    }
    let replay = replays::at(chain, number)?;
    let traces = tracing.txs(&replay, 0..replay.block.txs.len(), &calls_only())?;
    let mut found = Vec::new();
    for (index, trace) in traces.into_iter().enumerate() {
        found.extend(with_place(&replay, index, parity(trace)?));
    }
    Ok(found)
}

/// Traces of a range of blocks by sender and recipient; each block is executed again.
fn filter(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Vec<LocalizedTransactionTrace>> {
    let chain = api.backend.chain();
    let latest = chain.latest().number;
    let filter = read_filter(&*chain, args.need(0, "filter")?)?;
    let (from, to) = (filter.from_block.unwrap_or(latest), filter.to_block.unwrap_or(latest));
    if from > to {
        return Err(RpcError::params("invalid block range params"));
    }
    let to = to.min(latest);
    let (most_blocks, most) = (api.config.trace_blocks, api.config.trace_results);
    if to.saturating_sub(from) >= most_blocks {
        return Err(RpcError::params(format!("query exceeds max block range {most_blocks}")));
    }
    let (mut skip, count) = (filter.after.unwrap_or(0), filter.count.unwrap_or(u64::MAX));
    let matcher = filter.matcher();
    let tracing = Tracing::new(api, deadline, None);
    let mut found = Vec::new();
    for number in from..=to {
        let header = chain.header(number)?.ok_or_else(RpcError::pruned)?;
        if header.transactions_root == EMPTY_ROOT_HASH {
            continue;
        }
        let retry = || format!("retry with the range {from}-{}", (number.max(1) - 1).max(from));
        if tracing.expired() && number > from {
            return Err(RpcError::params(format!("query exceeds max time, {}", retry())));
        }
        let matching = localized(&tracing, &*chain, number)?;
        for trace in matching.into_iter().filter(|found| matcher.matches(&found.trace)) {
            if skip > 0 {
                skip -= 1;
            } else {
                found.push(trace);
            }
            if found.len() as u64 >= count {
                return Ok(found);
            }
        }
        // One block is always answered whole: there is no smaller range to ask for.
        if found.len() > most && from < to {
            return Err(RpcError::params(format!("query exceeds max results {most}, {}", retry())));
        }
    }
    Ok(found)
}

/// A filter; unlike in Parity's own words, its blocks may be tags.
fn read_filter(chain: &dyn ChainReader, mut filter: Value) -> RpcResult<TraceFilter> {
    let wrong = |error| RpcError::argument(0, "filter", &error);
    for field in ["fromBlock", "toBlock"] {
        if let Some(block) = filter.get_mut(field).filter(|block| block.is_string()) {
            let tag: BlockNumberOrTag = serde_json::from_value(block.take()).map_err(wrong)?;
            *block = json!(U64::from(target::number(chain, tag)));
        }
    }
    serde_json::from_value(filter).map_err(wrong)
}
