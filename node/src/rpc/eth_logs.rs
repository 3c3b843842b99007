//! `eth_getLogs`: header blooms first, bodies only where they may match, and limits that say how
//! to ask again.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use alloy_rpc_types_eth::{BlockNumberOrTag, BloomFilter, Filter, FilterBlockOption, Log};
use causeway_chainspec::Block;
use jsonrpsee::core::RegisterMethodError;
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::backend::ChainReader;
use super::error::{RpcError, RpcResult};
use super::json;
use super::rendered::LogText;
use super::table::{Api, Table};
use super::target;

/// Most addresses, and most topics in one position.
const MAX_VALUES: usize = 1000;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("eth_getLogs", |api, args, deadline| {
        let filter: LogFilter = args.need(0, "filter")?;
        check(&filter)?;
        get(api, &filter, deadline)
    })
}

/// All logs a filter matches, oldest first.
pub(crate) fn get(api: &Api, filter: &LogFilter, deadline: Instant) -> RpcResult<Vec<LogText>> {
    let chain = api.backend.chain();
    let Some((from, to)) = range(&*chain, filter)? else { return Ok(Vec::new()) };
    let (max_blocks, max_logs) = (api.config.log_blocks, api.config.log_results);
    if to - from >= max_blocks {
        return Err(RpcError::params(format!("query exceeds max block range {max_blocks}")));
    }
    let search = Search::new(filter);
    let mut found = Vec::new();
    for number in from..=to {
        if Instant::now() > deadline {
            let retry = retry(from, number);
            return Err(RpcError::params(format!("query exceeds max time, {retry}")));
        }
        search.texts(api, &*chain, number, &mut found)?;
        // One block is always answered whole: there is no smaller range to ask for.
        if found.len() > max_logs && from < to {
            let retry = retry(from, number);
            return Err(RpcError::params(format!("query exceeds max results {max_logs}, {retry}")));
        }
    }
    Ok(found)
}

/// A filter as it was written. A log with fewer topics than it has places matches in none of them,
/// though nothing is asked of those places (geth does so).
#[derive(Debug, Clone, Default)]
pub(crate) struct LogFilter {
    filter: Filter,
    places: usize,
}

impl LogFilter {
    /// Whether a log matches, wherever it stands.
    pub(crate) fn matches(&self, log: &alloy_primitives::Log) -> bool {
        log.topics().len() >= self.places && self.filter.matches(log)
    }
}

impl Deref for LogFilter {
    type Target = Filter;

    fn deref(&self) -> &Filter {
        &self.filter
    }
}

impl<'de> Deserialize<'de> for LogFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Places {
            topics: Option<Vec<IgnoredAny>>,
        }
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let filter = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        let places: Places = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        Ok(Self { filter, places: places.topics.map_or(0, |topics| topics.len()) })
    }
}

/// A filter with its blooms, which are costly to make.
pub(crate) struct Search<'a> {
    filter: &'a LogFilter,
    addresses: Cow<'a, BloomFilter>,
    topics: [Cow<'a, BloomFilter>; 4],
}

impl<'a> Search<'a> {
    pub(crate) fn new(filter: &'a LogFilter) -> Self {
        let (addresses, topics) = (filter.address_bloom_filter(), filter.topics_bloom_filter());
        Self { filter, addresses, topics }
    }

    /// A block, if its bloom says that it may have a log that matches.
    fn candidate(&self, chain: &dyn ChainReader, number: u64) -> RpcResult<Option<Arc<Block>>> {
        let bloom = chain.header(number)?.ok_or_else(RpcError::pruned)?.logs_bloom;
        if !self.addresses.matches(bloom) || !self.topics.iter().all(|topic| topic.matches(bloom)) {
            return Ok(None);
        }
        chain.block(number)?.ok_or_else(RpcError::pruned).map(Some)
    }

    /// Logs of one block that match, whatever range the filter names.
    pub(crate) fn block(&self, chain: &dyn ChainReader, number: u64) -> RpcResult<Vec<Log>> {
        let Some(block) = self.candidate(chain, number)? else { return Ok(Vec::new()) };
        Ok(json::logs(&block, false).filter(|log| self.filter.matches(&log.inner)).collect())
    }

    /// The same, as they stand in an answer.
    fn texts(
        &self,
        api: &Api,
        chain: &dyn ChainReader,
        number: u64,
        found: &mut Vec<LogText>,
    ) -> RpcResult<()> {
        let Some(block) = self.candidate(chain, number)? else { return Ok(()) };
        let texts = api.rendered.logs_of(&block);
        let mut at = 0;
        for (index, receipt) in block.receipts.iter().enumerate() {
            let first = at;
            for log in &receipt.logs {
                if self.filter.matches(log) {
                    let place = json::LogPlace { tx: index, first, at: at - first };
                    found.push(texts.text(at, || json::log_at(&block, place, log, false))?);
                }
                at += 1;
            }
        }
        Ok(())
    }
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
