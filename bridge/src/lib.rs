//! Messages between chains: protocol code that runs inside every block.

pub mod l1;
pub mod metalayer;

use std::sync::Arc;

use causeway_chainspec::{ChainSpec, SystemModule};

/// The protocol modules of a chain, in the order in which they run.
pub fn modules(spec: &Arc<ChainSpec>) -> Vec<Arc<dyn SystemModule>> {
    let mut modules: Vec<Arc<dyn SystemModule>> = Vec::new();
    if let Some(module) = l1::ParentModule::of(spec) {
        modules.push(Arc::new(module));
    }
    if let Some(module) = metalayer::Metalayer::open(spec) {
        modules.push(Arc::new(module));
    }
    modules
}
