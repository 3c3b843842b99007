//! Logs as they stand in answers: those who ask, ask for the same few blocks, and writing a log as
//! JSON costs ten times what finding it does.

use std::sync::{Arc, OnceLock};

use alloy_rpc_types_eth::Log;
use causeway_chainspec::Block;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::error::{RpcError, RpcResult};
use crate::bounded::Bounded;

/// Most bytes of text, about.
const MOST_BYTES: usize = 32 << 20;
/// About what a log's JSON takes besides its data, bytes.
const LOG_BYTES: usize = 800;

/// The text of a log.
#[derive(Debug, Clone)]
pub(crate) struct LogText(Arc<RawValue>);

impl Serialize for LogText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The logs of one block, each written when it is first asked for.
#[derive(Debug, Clone)]
pub(crate) struct BlockLogs(Arc<[OnceLock<LogText>]>);

impl BlockLogs {
    /// The text of the log at a place in the block; `log` makes what is written.
    pub(crate) fn text(&self, at: usize, log: impl FnOnce() -> Log) -> RpcResult<LogText> {
        let place = self.0.get(at).ok_or_else(|| RpcError::internal("a log is out of place"))?;
        if let Some(text) = place.get() {
            return Ok(text.clone());
        }
        let text = LogText(to_raw_value(&log()).map_err(RpcError::internal)?.into());
        Ok(place.get_or_init(|| text).clone())
    }
}

/// Texts of logs by header hash.
pub(crate) struct Rendered(Bounded<BlockLogs>);

impl Default for Rendered {
    fn default() -> Self {
        Self(Bounded::new(MOST_BYTES))
    }
}

impl Rendered {
    /// Those of a block.
    pub(crate) fn logs_of(&self, block: &Block) -> BlockLogs {
        if let Some(logs) = self.0.get(block.hash) {
            return logs;
        }
        let sizes = block.receipts.iter().flat_map(|receipt| &receipt.logs);
        let sizes: Vec<usize> = sizes.map(|log| LOG_BYTES + 2 * log.data.data.len()).collect();
        let logs = BlockLogs(sizes.iter().map(|_| OnceLock::new()).collect());
        self.0.keep(block.hash, logs, sizes.iter().sum())
    }
}
