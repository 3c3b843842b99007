//! `eth_newFilter` and its kin: filters that clients poll, each a cursor into the chain.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{B128, B256, U128};
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Log};
use causeway_chainspec::Tx;
use jsonrpsee::core::RegisterMethodError;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::backend::ChainReader;
use super::error::{RpcError, RpcResult};
use super::eth_logs::{self, LogFilter, Search};
use super::json;
use super::table::{Api, Args, Table};

/// A filter nobody polls for this long is gone.
const IDLE: Duration = Duration::from_secs(300);

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("eth_newFilter", |api, args| {
        let filter: LogFilter = args.need(0, "filter")?;
        eth_logs::check(&filter)?;
        let cursor = start(&*api.backend.chain(), &filter);
        add(api, Kind::Logs { filter: Box::new(filter), cursor })
    })?;
    table.quick("eth_newBlockFilter", |api, _| {
        let latest = api.backend.chain().latest();
        add(api, Kind::Blocks { cursor: (latest.number, latest.hash) })
    })?;
    table.quick("eth_newPendingTransactionFilter", |api, args| {
        let full = args.option(0, "full transactions")?.unwrap_or(false);
        add(api, Kind::Pending { full, events: api.backend.new_pending() })
    })?;
    table.quick("eth_uninstallFilter", |api, args| {
        let id: U128 = args.need(0, "filter id")?;
        Ok(api.filters.0.lock().remove(&id).is_some())
    })?;
    table.heavy("eth_getFilterChanges", changes)?;
    table.heavy("eth_getFilterLogs", |api, args, deadline| {
        let polled = find(api, args)?;
        let filter = match &polled.lock().kind {
            Kind::Logs { filter, .. } => filter.clone(),
            _ => return Err(not_found()),
        };
        eth_logs::get(api, &filter, deadline)
    })
}

/// The filters of a server, by id.
#[derive(Default)]
pub(crate) struct Filters(Mutex<HashMap<U128, Arc<Mutex<Polled>>>>);

struct Polled {
    kind: Kind,
    used: Instant,
}

/// A cursor is the number and hash of the last block that was told, or of the one below the first.
enum Kind {
    Logs { filter: Box<LogFilter>, cursor: (u64, B256) },
    Blocks { cursor: (u64, B256) },
    Pending { full: bool, events: broadcast::Receiver<Arc<Tx>> },
}

fn not_found() -> RpcError {
    RpcError::server("filter not found")
}

fn add(api: &Api, kind: Kind) -> RpcResult<U128> {
    let now = Instant::now();
    let mut filters = api.filters.0.lock();
    if filters.len() >= api.config.filters {
        // One in use is locked, and stays.
        filters.retain(|_, polled| {
            polled.try_lock().is_none_or(|polled| now.duration_since(polled.used) < IDLE)
        });
    }
    if filters.len() >= api.config.filters {
        return Err(RpcError::server("too many filters, uninstall those you do not poll"));
    }
    let id = U128::from_be_bytes(B128::random().0);
    filters.insert(id, Arc::new(Mutex::new(Polled { kind, used: now })));
    Ok(id)
}

fn find(api: &Api, args: &Args) -> RpcResult<Arc<Mutex<Polled>>> {
    let id: U128 = args.need(0, "filter id")?;
    let now = Instant::now();
    let mut filters = api.filters.0.lock();
    let polled = filters.get(&id).cloned().ok_or_else(not_found)?;
    let idle = polled.try_lock().map(|mut polled| {
        let idle = now.duration_since(polled.used);
        polled.used = now;
        idle
    });
    if idle.is_some_and(|idle| idle >= IDLE) {
        filters.remove(&id);
        return Err(not_found());
    }
    Ok(polled)
}

/// New filters tell what comes after now, unless they begin at a later block.
fn start(chain: &dyn ChainReader, filter: &Filter) -> (u64, B256) {
    let latest = chain.latest();
    match filter.block_option.get_from_block() {
        Some(BlockNumberOrTag::Number(from)) if *from > latest.number + 1 => (from - 1, B256::ZERO),
        _ => (latest.number, latest.hash),
    }
}

fn changes(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Vec<Value>> {
    let polled = find(api, args)?;
    let mut polled = polled.lock();
    match &mut polled.kind {
        Kind::Pending { full, events } => Ok(new_pending(*full, events)),
        Kind::Blocks { cursor } => {
            let chain = api.backend.chain();
            let hash = |number: u64| block_hash(&*chain, number).map(|hash| vec![json!(hash)]);
            advance(api, &*chain, cursor, u64::MAX, deadline, &hash)
        }
        Kind::Logs { filter, cursor } => {
            let chain = api.backend.chain();
            let last = match filter.block_option {
                FilterBlockOption::AtBlockHash(_) => 0,
                FilterBlockOption::Range {
                    to_block: Some(BlockNumberOrTag::Number(last)), ..
                } => last,
                FilterBlockOption::Range { .. } => u64::MAX,
            };
            let search = Search::new(filter);
            let logs = |number: u64| {
                let logs: Vec<Log> = search.block(&*chain, number)?;
                Ok(logs.iter().map(|log| json!(log)).collect())
            };
            advance(api, &*chain, cursor, last, deadline, &logs)
        }
    }
}

/// What `read` says of each block after the cursor up to `last`, as far as limits allow; the next
/// poll goes on from there. After a reorganisation it goes on from the safe head, so that blocks
/// above it may be told twice, but none is missed.
fn advance(
    api: &Api,
    chain: &dyn ChainReader,
    cursor: &mut (u64, B256),
    last: u64,
    deadline: Instant,
    read: &dyn Fn(u64) -> RpcResult<Vec<Value>>,
) -> RpcResult<Vec<Value>> {
    let latest = chain.latest().number;
    if cursor.1 != B256::ZERO && chain.number_of_hash(cursor.1)? != Some(cursor.0) {
        let number = chain.safe().number.min(cursor.0);
        *cursor = (number, block_hash(chain, number)?);
    }
    let mut found = Vec::new();
    let end = latest.min(last).min(cursor.0.saturating_add(api.config.log_blocks));
    for number in cursor.0 + 1..=end {
        found.extend(read(number)?);
        *cursor = (number, block_hash(chain, number)?);
        if found.len() >= api.config.log_results || Instant::now() > deadline {
            break;
        }
    }
    Ok(found)
}

fn block_hash(chain: &dyn ChainReader, number: u64) -> RpcResult<B256> {
    Ok(chain.header(number)?.ok_or_else(RpcError::pruned)?.hash_slow())
}

fn new_pending(full: bool, events: &mut broadcast::Receiver<Arc<Tx>>) -> Vec<Value> {
    let mut found = Vec::new();
    loop {
        match events.try_recv() {
            Ok(tx) if full => found.push(json::pending_transaction(&tx)),
            Ok(tx) => found.push(json!(tx.hash)),
            Err(broadcast::error::TryRecvError::Lagged(_)) => {}
            Err(_) => return found,
        }
    }
}
