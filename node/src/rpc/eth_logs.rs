//! `eth_getLogs`: header blooms first, bodies only where they may match, and limits that say how
//! to ask again.

use std::time::Instant;

use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Log};
use jsonrpsee::core::RegisterMethodError;

use super::backend::ChainReader;
use super::error::{RpcError, RpcResult};
use super::json;
use super::table::{Api, Args, Table};
use super::target;

/// Most addresses, and most topics in one position.
const MAX_VALUES: usize = 1000;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("eth_getLogs", get_logs)
}

fn get_logs(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Vec<Log>> {
    let filter: Filter = args.need(0, "filter")?;
    check(&filter)?;
    let chain = api.backend.chain();
    let (from, to) = match range(&*chain, &filter)? {
        Some(range) => range,
        None => return Ok(Vec::new()),
    };
    let max_blocks = api.config.log_blocks;
    if to - from >= max_blocks {
        return Err(RpcError::params(format!("query exceeds max block range {max_blocks}")));
    }
    let (addresses, topics) = (filter.address_bloom_filter(), filter.topics_bloom_filter());
    let mut found = Vec::new();
    for number in from..=to {
        if Instant::now() > deadline {
            let retry = retry(from, number);
            return Err(RpcError::params(format!("query exceeds max time, {retry}")));
        }
        let header = chain.header(number)?.ok_or_else(RpcError::pruned)?;
        let bloom = header.logs_bloom;
        if !addresses.matches(bloom) || !topics.iter().all(|topic| topic.matches(bloom)) {
            continue;
        }
        let block = chain.block(number)?.ok_or_else(RpcError::pruned)?;
        found.extend(json::logs(&block, false).filter(|log| filter.matches(&log.inner)));
        let max_logs = api.config.log_results;
        // One block is always answered whole: there is no smaller range to ask for.
        if found.len() > max_logs && from < to {
            let retry = retry(from, number);
            return Err(RpcError::params(format!("query exceeds max results {max_logs}, {retry}")));
        }
    }
    Ok(found)
}

/// What to ask for instead, if a query got only as far as `number`.
fn retry(from: u64, number: u64) -> String {
    format!("retry with the range {from}-{}", number.saturating_sub(1).max(from))
}

/// Refuses filters with too many values.
pub(crate) fn check(filter: &Filter) -> RpcResult<()> {
    if filter.address.len() > MAX_VALUES {
        return Err(RpcError::params(format!("exceed max addresses: at most {MAX_VALUES}")));
    }
    if filter.topics.iter().any(|topic| topic.len() > MAX_VALUES) {
        return Err(RpcError::params(format!(
            "exceed max topics: at most {MAX_VALUES} a position"
        )));
    }
    Ok(())
}

/// First and last block to search, within the chain; `None` if it is all above the head.
fn range(chain: &dyn ChainReader, filter: &Filter) -> RpcResult<Option<(u64, u64)>> {
    let latest = chain.latest().number;
    let (from, to) = match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let number = chain.number_of_hash(hash)?;
            let number = number.ok_or_else(|| RpcError::server("unknown block"))?;
            return Ok(Some((number, number)));
        }
        FilterBlockOption::Range { from_block, to_block } => (from_block, to_block),
    };
    let number = |tag: Option<BlockNumberOrTag>| target::number(chain, tag.unwrap_or_default());
    let (from, to) = (number(from), number(to));
    if from > to {
        return Err(RpcError::params("invalid block range params"));
    }
    Ok((from <= latest).then_some((from, to.min(latest))))
}
