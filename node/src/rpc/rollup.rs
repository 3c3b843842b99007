//! `rollup`: what a rollup node knows beyond Ethereum. Plain numbers, as rollup APIs use.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes, keccak256};
use causeway_chainspec::{BlockId, DaRef};
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::error::{RpcError, RpcResult};
use super::health;
use super::table::{Api, Args, Table};

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("rollup_syncStatus", |api, _| sync_status(api))?;
    table.quick("rollup_chainSpec", |api, _| Ok(chain_spec(api)))?;
    table.quick("rollup_health", |api, _| Ok(health::health(&*api.backend)))?;
    table.quick("rollup_version", |api, _| Ok(api.config.client_version.clone()))?;
    table.quick("rollup_modules", |api, _| Ok(modules(api)))?;
    table.quick("rollup_featureFlags", |api, _| feature_flags(api))?;
    table.waiting("rollup_sendForced", send_forced)
}

/// Puts bytes into the DA layer's forced lane: a transaction nobody can leave out, a record of the
/// directory, a demand. Returns their keccak256 once the layer took them; what becomes of them is
/// seen in the blocks.
async fn send_forced(api: Arc<Api>, args: Args) -> RpcResult<B256> {
    let entry: Bytes = args.need(0, "bytes")?;
    if entry.is_empty() {
        return Err(RpcError::params("invalid argument 0 (bytes): nothing to send"));
    }
    let hash = keccak256(&entry);
    api.backend.force(entry).await?;
    Ok(hash)
}

fn sync_status(api: &Api) -> RpcResult<Value> {
    let (chain, status) = (api.backend.chain(), api.backend.status());
    let heads = *api.backend.heads().borrow();
    let head = |id: BlockId| -> RpcResult<Value> {
        let timestamp = chain.header(id.number)?.map(|header| header.timestamp);
        Ok(json!({
            "number": id.number, "hash": id.hash, "claim": id.claim, "timestamp": timestamp,
        }))
    };
    Ok(json!({
        "latest": head(chain.latest())?,
        "safe": head(chain.safe())?,
        "finalized": head(chain.finalized())?,
        "safeDa": da(heads.safe_da),
        "daHead": status.da_head.map(da),
        "reorgs": heads.reorgs,
        "syncing": api.backend.sync_status().is_some(),
        "verified": api.backend.verified().map(verified),
        "sequencer": {
            "mode": status.sequencer.mode,
            "leader": status.sequencer.leader,
            "paused": status.sequencer.paused,
        },
    }))
}

fn verified(at: super::backend::Verified) -> Value {
    json!({
        "number": at.head.number, "hash": at.head.hash, "claim": at.head.claim,
        "waiting": at.waiting, "alarm": at.alarm,
    })
}

fn da(at: DaRef) -> Value {
    json!({ "height": at.height, "hash": at.hash })
}

fn chain_spec(api: &Api) -> Value {
    let spec = api.backend.spec();
    let forks: Vec<_> = spec
        .forks
        .iter()
        .map(|(fork, time)| json!({ "fork": format!("{fork:?}").to_lowercase(), "time": time }))
        .collect();
    json!({
        "name": spec.name,
        "shortName": spec.short_name,
        "chainId": spec.chain_id,
        "kind": format!("{:?}", spec.kind).to_lowercase(),
        "identity": spec.identity(),
        "rulesHash": spec.rules_hash(api.backend.now_ms()),
        "vm": spec.vm,
        "da": spec.da.layer,
        "sequencer": spec.sequencer.mode,
        "blockTimeMs": spec.sequencer.block_time_ms,
        "gasLimit": spec.gas.limit,
        "genesisTimeMs": spec.genesis.time_ms,
        "forks": forks,
        "token": {
            "name": spec.token.name,
            "symbol": spec.token.symbol,
            "decimals": spec.token.decimals,
        },
        "metalayer": { "enabled": spec.metalayer.enabled, "domain": spec.metalayer.domain },
    })
}

/// What the chain and this node have.
fn feature_flags(api: &Api) -> RpcResult<Value> {
    let (spec, chain) = (api.backend.spec(), api.backend.chain());
    Ok(json!({
        "evm": spec.vm == "evm",
        "parentChain": spec.da.is_parent_chain(),
        "metalayer": spec.metalayer.enabled,
        "hubCoin": spec.metalayer.keeps_fees(),
        "addressIndex": chain.index().is_some(),
        "archive": chain.oldest_state()? == 0,
        "devAccounts": !api.config.dev_accounts.is_empty(),
    }))
}

/// What the chain is made of, by name.
fn modules(api: &Api) -> Value {
    let spec = api.backend.spec();
    json!({
        "vm": spec.vm,
        "da": spec.da.layer,
        "sequencer": spec.sequencer.mode,
        "metalayer": spec.metalayer.enabled,
        "namespaces": api.enabled,
    })
}
