//! A tiny native VM: transfers (and messages) only.
use crate::{ExecutionError, Vm};
use causeway_chainspec::ChainSpec;
use std::sync::Arc;
/// Opens it.
pub fn open(_spec: &ChainSpec) -> Result<Arc<dyn Vm>, ExecutionError> {
    todo!()
}
