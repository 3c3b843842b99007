//! `net`.

use alloy_primitives::U64;
use jsonrpsee::core::RegisterMethodError;

use super::table::Table;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    // A decimal string, unlike every other number.
    table.quick("net_version", |api, _| Ok(api.backend.spec().chain_id.to_string()))?;
    table.quick("net_listening", |_, _| Ok(true))?;
    table.quick("net_peerCount", |_, _| Ok(U64::ZERO))
}
