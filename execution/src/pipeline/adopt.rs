//! Blocks whose order others already know: executed one on the other, durable together.

use std::sync::Arc;

use alloy_primitives::B256;
use causeway_chainspec::{Block, BlockPlan, Seal, crash};

use super::Pipeline;
use crate::ExecutionError;
use crate::log::{BlockEntry, Entry};

impl Pipeline {
    /// Executes plans, each the parent of the next and the first on `latest`, and makes them the
    /// newest blocks with one fdatasync for all. None of them is visible before all are durable;
    /// after a crash some may be there and later ones not. Waits while too many blocks wait for the
    /// store. At most a few dozen plans at once: all of them are kept in memory.
    pub fn adopt(
        &self,
        plans: Vec<(BlockPlan, Option<Seal>)>,
    ) -> Result<Vec<Arc<Block>>, ExecutionError> {
        let (plans, seals): (Vec<_>, Vec<_>) = plans.into_iter().unzip();
        let claims: Vec<B256> = plans.iter().map(|plan| plan.claim.hash()).collect();
        self.execute_all(plans)?;
        let _writer = self.writer.lock();
        self.core.healthy()?;
        let mut newest = self.core.picture().heads.latest;
        let mut layers = Vec::with_capacity(claims.len());
        for (claim, seal) in claims.into_iter().zip(seals) {
            let unknown = || ExecutionError::Unknown(format!("block {claim}"));
            let layer = self.core.executed(claim).ok_or_else(unknown)?;
            if layer.parent() != newest.claim {
                return Err(ExecutionError::Unknown(format!(
                    "parent {}: block {} is the newest",
                    layer.parent(),
                    newest.number
                )));
            }
            newest = layer.id();
            layers.push((layer, seal));
        }
        let _timer = self.core.rules.metrics.commit.timer();
        crash::point("adopt.before");
        let mut ends = Vec::with_capacity(layers.len());
        for (layer, seal) in &layers {
            let entry = BlockEntry::new(&layer.executed.block, seal.clone(), None);
            // Each with an end of its own: the store may take some of them and not others.
            ends.push(self.core.log.append(&[Entry::Block(Box::new(entry))])?);
        }
        if let Some(end) = ends.last() {
            self.core.log.sync(*end)?;
        }
        crash::point("adopt.durable");
        let mut blocks = Vec::with_capacity(layers.len());
        for ((layer, seal), end) in layers.into_iter().zip(ends) {
            blocks.push(layer.executed.block.clone());
            self.apply_block(layer, seal, end)?;
        }
        Ok(blocks)
    }
}
