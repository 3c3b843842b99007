//! The Metalayer inside every block: what other members sent comes in, is delivered and answered,
//! and what is sent goes out. A pure state machine over the storage of the Mailbox.

pub mod view;

use std::sync::Arc;

use causeway_chainspec::{
    BlockEnv, BlockPlan, ChainSpec, Closed, StateError, SystemBlock, SystemModule, SystemState,
};

/// The Metalayer of one chain.
pub struct Metalayer {
    spec: Arc<ChainSpec>,
}

impl Metalayer {
    /// Of a member; `None` for a chain that is none.
    pub fn open(spec: &Arc<ChainSpec>) -> Option<Self> {
        spec.metalayer.directory.as_ref()?;
        Some(Self { spec: spec.clone() })
    }
}

impl SystemModule for Metalayer {
    fn genesis(&self, _state: &mut SystemState<'_>) -> Result<Option<Closed>, StateError> {
        Err(StateError(format!("chain {} has no metalayer yet", self.spec.name)))
    }

    fn open(
        &self,
        _state: &mut SystemState<'_>,
        _env: &BlockEnv,
        _plan: &BlockPlan,
    ) -> Result<Box<dyn SystemBlock>, StateError> {
        Err(StateError(format!("chain {} has no metalayer yet", self.spec.name)))
    }
}
