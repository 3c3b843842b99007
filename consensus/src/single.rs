//! `single`: one key builds every block.
use crate::{ConsensusError, Sequencer};
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::ChainSpec;
use std::sync::Arc;
/// Opens it.
pub fn open(
    _spec: &ChainSpec,
    _key: Option<PrivateKeySigner>,
) -> Result<Arc<dyn Sequencer>, ConsensusError> {
    todo!()
}
