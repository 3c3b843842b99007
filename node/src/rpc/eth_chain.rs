//! `eth`: the chain and this node, in a word each.

use alloy_primitives::{Address, U64};
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::backend::SyncStatus;
use super::table::Table;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("eth_chainId", |api, _| Ok(U64::from(api.backend.spec().chain_id)))?;
    table.quick("eth_blockNumber", |api, _| Ok(U64::from(api.backend.chain().latest().number)))?;
    table.quick("eth_syncing", |api, _| {
        Ok(api.backend.sync_status().map_or(json!(false), |status| progress(&status)))
    })?;
    table.quick("eth_accounts", |_, _| Ok(Vec::<Address>::new()))?;
    table.quick("eth_coinbase", |api, _| Ok(api.backend.spec().fees.recipient))?;
    table.quick("eth_mining", |_, _| Ok(false))?;
    table.quick("eth_hashrate", |_, _| Ok(U64::ZERO))?;
    table.quick("eth_protocolVersion", |_, _| Ok(U64::from(68)))
}

/// How far a node that is behind has come.
pub(crate) fn progress(status: &SyncStatus) -> Value {
    json!({
        "startingBlock": U64::from(status.starting),
        "currentBlock": U64::from(status.current),
        "highestBlock": U64::from(status.highest),
    })
}
