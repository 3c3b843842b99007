//! The disk under one simulated node.

use std::sync::Arc;

use causeway_chainspec::ChainSpec;
use causeway_execution::disk::{Disk, Fault, Faulty, Folder};
use causeway_execution::pipeline::Recovered;
use causeway_execution::{Pipeline, PipelineConfig};

use crate::txs::Rng;

/// Where the datadir lies.
const DATADIR: &str = "/datadir";
/// Cache of a simulated store, bytes.
pub(super) const CACHE_BYTES: usize = 4 << 20;

/// A disk in memory that can be told to fail.
pub(super) struct Storage {
    disk: Faulty,
    rng: Rng,
    /// After the fault that is armed, the machine starts again and not the process alone: what was
    /// not synced may be gone. So after a failed sync, too, or what the system still shows of a file
    /// and the disk never got would be a trap for the next loss of power.
    reboots: bool,
}

impl Storage {
    /// An empty disk whose faults follow from a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { disk: Faulty::in_step(seed), rng: Rng::new(seed), reboots: false }
    }

    /// Where the node's files lie.
    pub(super) fn datadir(&self) -> Folder {
        self.disk.folder(DATADIR)
    }

    /// A pipeline of a chain on it.
    pub(super) fn pipeline(&self, spec: &Arc<ChainSpec>) -> eyre::Result<(Pipeline, Recovered)> {
        Ok(Pipeline::open(PipelineConfig {
            datadir: self.datadir(),
            spec: spec.clone(),
            modules: Vec::new(),
            archive: false,
            address_index: None,
            history_blocks: 1024,
            cache_bytes: CACHE_BYTES,
        })?)
    }

    /// Power fails in the middle of an operation, after so many others.
    pub(super) fn cut_after(&mut self, ops: u64) {
        self.arm(ops, Fault::Cut);
    }

    /// The medium or its space fails at an operation, after so many others.
    pub(super) fn fail_after(&mut self, ops: u64) {
        let faults = [Fault::ErrorOnce, Fault::ErrorForEver, Fault::Full, Fault::Short];
        let fault = *self.rng.pick(&faults);
        self.arm(ops, fault);
    }

    fn arm(&mut self, ops: u64, fault: Fault) {
        self.reboots = matches!(fault, Fault::Cut | Fault::ErrorOnce | Fault::ErrorForEver);
        self.disk.fail_at(self.disk.ops() + 1 + ops, fault);
    }

    /// Whether the fault that was armed came about.
    pub(super) fn hurt(&self) -> bool {
        self.disk.failed()
    }

    /// Power fails now. Nobody may use the disk.
    pub(super) fn lose_power(&mut self) {
        self.disk = self.disk.after_cut(self.rng.number());
    }

    /// Sets everything right: no fault is armed, and after one the disk is as it is found then.
    pub(super) fn right(&mut self) {
        if !self.hurt() {
            // No run has so many operations.
            self.disk.fail_at(u64::MAX, Fault::ErrorOnce);
        } else if self.reboots || self.rng.percent(50) {
            self.lose_power();
        } else {
            self.disk = self.disk.after_kill(self.rng.number());
        }
    }

    /// Operations so far: a run that is the same does the same.
    pub(super) fn ops(&self) -> u64 {
        self.disk.ops()
    }

    /// Segments of the log, and the size at which a new one is begun.
    pub(super) fn log_segments(&self) -> std::io::Result<(u64, u64)> {
        let log = self.datadir().folder("log");
        Ok((self.disk.list(log.path())?.len() as u64, self.disk.segment_bytes()))
    }
}
