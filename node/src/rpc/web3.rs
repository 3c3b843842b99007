//! `web3` and `rpc`: what answers here.

use std::collections::BTreeMap;

use alloy_primitives::{Bytes, keccak256};
use jsonrpsee::core::RegisterMethodError;

use super::table::Table;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("web3_clientVersion", |api, _| Ok(api.config.client_version.clone()))?;
    table.quick("web3_sha3", |_, args| Ok(keccak256(args.need::<Bytes>(0, "data")?)))
}

pub(crate) fn register_rpc(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("rpc_modules", |api, _| {
        Ok(api.enabled.iter().map(|name| (*name, "1.0")).collect::<BTreeMap<_, _>>())
    })
}
