//! What a block's first transaction began with, so that its transactions can be executed again.

use std::sync::Arc;

use causeway_chainspec::{Block, BlockEnv, StateReader};

use super::Snapshot;
use super::execute::Parent;
use crate::overlay::Patched;
use crate::{ExecutionError, system};

/// A block, ready to be executed again. Its transactions, system calls too, are those of the block
/// in order; candidates that were skipped are not among them and left nothing behind.
#[derive(Clone)]
pub struct Replay {
    /// The block.
    pub block: Arc<Block>,
    /// State before its first transaction: the parent's, and what the protocol wrote on opening.
    pub state: Arc<dyn StateReader>,
    /// Its environment, with room for all it holds.
    pub env: BlockEnv,
}

impl Snapshot {
    /// A block as it began. `None` for genesis, which executes nothing, for a block that is not
    /// there, and if the state of its parent is pruned.
    pub fn replay(&self, number: u64) -> Result<Option<Replay>, ExecutionError> {
        let Some(parent) = self.parent_of(number)? else { return Ok(None) };
        let Some(block) = self.block(number)? else { return Ok(None) };
        let claim = &block.plan.claim;
        let Parent { id, state } = parent;
        let rules = &self.rules;
        let mut env =
            system::env(&rules.spec, &state, claim.number, claim.time_ms, claim.mix_hash())?;
        let mut opened = system::open(&rules.modules, &state, &env, &block.plan)?;
        system::remember_parent(id.number, id.hash, &state, &mut opened.diff)?;
        // The room it had decided what it holds; all of that fits.
        (env.gas_available, env.bytes_available) = (u64::MAX, u64::MAX);
        let state = Arc::new(Patched { diff: opened.diff, below: Arc::new(state) });
        Ok(Some(Replay { block, state, env }))
    }

    /// What a block was executed on; `None` as for [`Snapshot::replay`].
    pub(super) fn parent_of(&self, number: u64) -> Result<Option<Parent>, ExecutionError> {
        if number > self.latest().number {
            return Ok(None);
        }
        let Some(parent) = number.checked_sub(1) else { return Ok(None) };
        let Some(id) = self.id(parent)? else { return Ok(None) };
        let state = self.picture.overlay(parent, &[])?;
        Ok(state.map(|state| Parent { id, state }))
    }
}
