//! What a pipeline holds and how long its stages take, for whoever looks after it.

use super::Pipeline;
use crate::metrics::{Load, Metrics};

impl Pipeline {
    /// What the stages observe of themselves, since the pipeline was opened.
    pub fn metrics(&self) -> &Metrics {
        &self.core.rules.metrics
    }

    /// What waits and what is cached now. Takes no lock that is held while blocks run.
    pub fn load(&self) -> Load {
        Load {
            unstored_blocks: self.core.picture().layers.len() as u64,
            undurable_bytes: self.core.log.undurable(),
            caches: self.core.store.caches(),
        }
    }
}
