//! `local`: a small DA service of signed, hash-chained blocks in files, and its client.
//!
//! One process writes, anybody may post within size limits, and readers believe nothing but the
//! service's signature. One service carries any number of chains: a chain's namespace is its
//! identity. The HTTP interface:
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/head` | JSON: newest and final signed header, signer, limits |
//! | `GET /v1/blocks/{height}?namespace=0x..` | RLP [`block::BlockAnswer`] |
//! | `POST /v1/submit?namespace=0x..`, RLP list of blobs | JSON height and hash, once durable |
//! | `POST /v1/forced?namespace=0x..`, bytes | JSON height and hash, once durable |
//!
//! Errors are JSON [`wire::ErrorAnswer`] with 4xx and 5xx; anything else is not an answer of ours.

pub mod block;
mod chain;
mod client;
mod segments;
mod server;
pub mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use alloy_primitives::Address;
use causeway_chainspec::ChainSpec;
use serde::{Deserialize, Serialize};

use crate::{DaBackend, DaError};
pub use chain::LocalDa;
pub use client::LocalClient;
pub use server::serve;

/// How a service runs. Nothing here is a rule of any chain: two services may differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalConfig {
    /// Time of block 0, ms; read only when the directory is new.
    pub genesis_time_ms: u64,
    /// A block at least this often, even when empty, ms; at least 1.
    pub interval_ms: u64,
    /// With something to put in, a block already this long after the last, ms.
    pub min_interval_ms: u64,
    /// A block is final when so many follow it; at most 1,024.
    pub final_depth: u64,
    /// Most bytes of one blob.
    pub max_blob_bytes: usize,
    /// Most bytes of blobs in one block, 64 counted for each blob besides its own.
    pub max_block_bytes: usize,
    /// Most bytes of one forced entry.
    pub max_forced_bytes: usize,
    /// Most forced entries in one block; more wait.
    pub forced_per_block: usize,
    /// Most bytes of blobs waiting for a block in one namespace, and an eighth of what may wait in
    /// all; more is answered "try again". Of forced entries, four blocks may wait.
    pub max_pending_bytes: usize,
    /// A segment file is closed when it reaches this size.
    pub segment_bytes: u64,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            genesis_time_ms: 0,
            interval_ms: 1_000,
            min_interval_ms: 100,
            final_depth: 2,
            max_blob_bytes: 1 << 20,
            max_block_bytes: 8 << 20,
            max_forced_bytes: 128 << 10,
            forced_per_block: 64,
            max_pending_bytes: 32 << 20,
            segment_bytes: 64 << 20,
        }
    }
}

impl LocalConfig {
    /// The first rule that is broken, with what to do.
    fn check(&self) -> Result<(), DaError> {
        let rules = [
            (self.interval_ms >= 1, "interval_ms must be at least 1"),
            (self.final_depth <= 1024, "final_depth must be at most 1024"),
            (self.max_block_bytes <= 48 << 20, "max_block_bytes must be at most 48 MiB"),
            (self.forced_bytes_per_block() <= 8 << 20, "forced entries must fit 8 MiB a block"),
            (
                self.max_blob_bytes <= self.max_block_bytes,
                "max_blob_bytes is above max_block_bytes",
            ),
            (self.max_forced_bytes >= 1, "max_forced_bytes must be at least 1"),
            (self.forced_per_block >= 1, "forced_per_block must be at least 1"),
            (self.max_pending_bytes >= self.max_block_bytes, "max_pending_bytes is below a block"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(DaError::Config(format!("local service: {broken}"))),
            None => Ok(()),
        }
    }

    fn forced_bytes_per_block(&self) -> usize {
        self.forced_per_block.saturating_mul(self.max_forced_bytes)
    }
}

/// `[da.local]` of a chain spec.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Who signs the blocks of the service.
    signer: Address,
}

/// Opens the client: the signer from `[da.local]` of the spec, `url` from the node's settings.
/// Nothing is sent yet.
pub fn open(spec: &ChainSpec, settings: &toml::Table) -> Result<Arc<dyn DaBackend>, DaError> {
    let options: Options = spec
        .da
        .options
        .clone()
        .try_into()
        .map_err(|error| DaError::Config(format!("chain spec, [da.local]: {error}")))?;
    let url = settings.get("url").and_then(toml::Value::as_str).ok_or_else(|| {
        let example = "url = \"http://127.0.0.1:7980\"";
        DaError::Config(format!("node settings, [da]: no address of the service; set {example}"))
    })?;
    Ok(Arc::new(LocalClient::new(url, options.signer, spec.identity())?))
}
