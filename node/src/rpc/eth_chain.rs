//! `eth`: the chain and this node, in a word each.

use alloy_primitives::U64;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::backend::SyncStatus;
use super::error::RpcResult;
use super::table::{Api, Table};

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("eth_chainId", |api, _| Ok(U64::from(api.backend.spec().chain_id)))?;
    table.quick("eth_blockNumber", |api, _| Ok(U64::from(api.backend.chain().latest().number)))?;
    table.quick("eth_syncing", |api, _| {
        Ok(api.backend.sync_status().map_or(json!(false), |status| progress(&status)))
    })?;
    table.quick("eth_coinbase", |api, _| Ok(api.backend.spec().fees.recipient))?;
    table.quick("eth_mining", |_, _| Ok(false))?;
    table.quick("eth_hashrate", |_, _| Ok(U64::ZERO))?;
    table.quick("eth_capabilities", |api, _| capabilities(api))?;
    table.quick("eth_protocolVersion", |_, _| Ok(U64::from(68)))
}

/// What of the history this node serves, and from which block on: for who sends each question to a
/// node that can answer it.
fn capabilities(api: &Api) -> RpcResult<Value> {
    let chain = api.backend.chain();
    let latest = chain.latest();
    let from = |oldest: u64| json!({ "disabled": false, "oldestBlock": U64::from(oldest) });
    Ok(json!({
        "head": { "number": U64::from(latest.number), "hash": latest.hash },
        "state": from(chain.oldest_state()?),
        "stateproofs": from(chain.oldest_proof()?),
        "tx": from(0),
        "logs": from(0),
        "receipts": from(0),
        "blocks": from(0),
    }))
}

/// How far a node that is behind has come.
pub(crate) fn progress(status: &SyncStatus) -> Value {
    json!({
        "startingBlock": U64::from(status.starting),
        "currentBlock": U64::from(status.current),
        "highestBlock": U64::from(status.highest),
    })
}
