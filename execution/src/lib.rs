//! The state transition. Synchronous, no tokio; the only crate that knows revm and redb.

pub mod disk;
mod envelope;
pub mod ethereum;
pub mod evm;
pub mod genesis;
pub mod ledger;
pub mod log;
pub mod metrics;
pub mod overlay;
pub mod pipeline;
pub mod store;
pub mod system;
pub mod trace;
pub mod trie;
pub mod vm;

use std::sync::Arc;

use causeway_chainspec::{ChainSpec, StateError};

pub use pipeline::{Pipeline, PipelineConfig, genesis_block};
pub use vm::{Applied, BlockOutput, Call, CallOutput, Stop, TxFacts, Vm, VmError};

/// Our own failure: the process stops, with an exit code of its own. Bad input is never one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExecutionError {
    /// State or blocks cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A write or a sync failed. Nothing that was acknowledged is lost; the process must end,
    /// since what the disk holds is unknown until it is read again.
    #[error("storage failed: {0}")]
    Storage(String),
    /// Files contradict themselves: what, where, and what to do.
    #[error("datadir is damaged: {0}")]
    Damaged(String),
    /// The datadir is of another chain, another schema, or another process uses it.
    #[error("datadir cannot be used: {0}")]
    Datadir(String),
    /// An invariant of this program broke.
    #[error("invariant broken: {0}")]
    Broken(String),
    /// The spec asks for something this binary or VM does not have.
    #[error("chain spec: {0}")]
    Spec(String),
    /// A block, parent or height this node does not have.
    #[error("unknown {0}")]
    Unknown(String),
}

/// Opens a VM for a chain.
pub type Open = fn(&ChainSpec) -> Result<Arc<dyn Vm>, ExecutionError>;

/// Every VM by name. To add one: a file beside this one, and a line here.
pub const VMS: &[(&str, Open)] = &[("evm", evm::open), ("ledger", ledger::open)];

/// Opens the VM the spec names.
pub fn open(spec: &ChainSpec) -> Result<Arc<dyn Vm>, ExecutionError> {
    let (_, open) = VMS.iter().find(|(name, _)| *name == spec.vm).ok_or_else(|| {
        let known: Vec<_> = VMS.iter().map(|(name, _)| *name).collect();
        ExecutionError::Spec(format!("unknown vm {:?}: this binary has {known:?}", spec.vm))
    })?;
    open(spec)
}
