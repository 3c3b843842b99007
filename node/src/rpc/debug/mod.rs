//! `debug`: raw values, traces in geth's forms, and witnesses.

mod raw;
mod trace;

use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY};
use alloy_rpc_types_eth::BlockId as Target;
use jsonrpsee::core::RegisterMethodError;
use serde_json::Value;

use super::error::RpcError;
use super::table::Table;
use super::{replays, target};

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    raw::register(table)?;
    trace::register(table)?;
    table.heavy("debug_executionWitness", |api, args, _| {
        let chain = api.backend.chain();
        let number = replays::block(&*chain, args.need(0, "block")?)?.block.header.number;
        chain.witness(number)?.ok_or_else(RpcError::pruned)
    })?;
    // What is derived from DA and invalid is skipped inside a block; no block is bad.
    table.quick("debug_getBadBlocks", |_, _| Ok(Value::Array(Vec::new())))?;
    table.quick("debug_codeByHash", |api, args| {
        let hash: B256 = args.need(0, "code hash")?;
        if hash == KECCAK256_EMPTY {
            return Ok(Some(Bytes::new()));
        }
        let chain = api.backend.chain();
        let (_, state) = target::state(&*chain, args.option::<Target>(1, "block")?)?;
        Ok(state.code(hash)?)
    })
}
