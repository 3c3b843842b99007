//! What a pipeline is opened with.

use std::sync::Arc;

use causeway_chainspec::{ChainSpec, SystemModule};

use crate::disk::Folder;
use crate::store::StoreConfig;

/// How to open a pipeline.
#[derive(Clone)]
pub struct PipelineConfig {
    /// Folder of the log, the store and the identity file.
    pub datadir: Folder,
    /// The chain.
    pub spec: Arc<ChainSpec>,
    /// Protocol code inside every block, in order.
    pub modules: Vec<Arc<dyn SystemModule>>,
    /// Keep flat history of every block.
    pub archive: bool,
    /// Keep the address index: as [`StoreConfig::address_index`] says.
    pub address_index: Option<bool>,
    /// Blocks of history kept below `finalized`.
    pub history_blocks: u64,
    /// Cache of the store.
    pub cache_bytes: usize,
}

impl PipelineConfig {
    /// What is the store's of it.
    pub(super) fn store(&self) -> StoreConfig {
        StoreConfig {
            identity: self.spec.identity(),
            archive: self.archive,
            address_index: self.address_index,
            history_blocks: self.history_blocks,
            cache_bytes: self.cache_bytes,
        }
    }
}
