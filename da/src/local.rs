//! `local`: a small DA service of signed, hash-chained blocks in files, and its client.
use crate::{DaBackend, DaError};
use causeway_chainspec::ChainSpec;
use std::sync::Arc;
/// Opens the client.
pub fn open(_spec: &ChainSpec, _settings: &toml::Table) -> Result<Arc<dyn DaBackend>, DaError> {
    todo!()
}
