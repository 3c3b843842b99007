//! `eth`: several facts of an account, or slots of several accounts, in one answer.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U64, U256};
use alloy_rpc_types_eth::BlockId as Target;
use causeway_chainspec::{Account, StateReader};
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use super::error::{RpcError, RpcResult};
use super::eth_state::storage_key;
use super::table::{Api, Args, Table};
use super::target;

/// Most slots of one `eth_getStorageValues`, as geth has it.
const MAX_SLOTS: usize = 1024;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("eth_getStorageValues", |api, args, _| storage_values(api, args))?;
    table.heavy("eth_getAccount", |api, args, _| account(api, args))?;
    table.quick("eth_getAccountInfo", account_info)
}

/// Slots of several accounts, all after the same block, in the order in which they were asked for.
fn storage_values(api: &Api, args: &Args) -> RpcResult<BTreeMap<Address, Vec<B256>>> {
    let asked: BTreeMap<Address, Vec<String>> = args.need(0, "requests")?;
    let slots: usize = asked.values().map(Vec::len).sum();
    if slots == 0 {
        return Err(RpcError::params("invalid argument 0 (requests): empty request"));
    }
    if slots > MAX_SLOTS {
        return Err(RpcError::params(format!(
            "invalid argument 0 (requests): too many slots (max {MAX_SLOTS}, got {slots})"
        )));
    }
    let (_, state) = target::state(&*api.backend.chain(), args.option(1, "block")?)?;
    let values = |(address, keys): (Address, Vec<String>)| -> RpcResult<(Address, Vec<B256>)> {
        let value = |key: &String| -> RpcResult<B256> {
            let (slot, _) = storage_key(key)?;
            Ok(state.slot(address, slot)?.into())
        };
        Ok((address, keys.iter().map(value).collect::<RpcResult<_>>()?))
    };
    asked.into_iter().map(values).collect()
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountJson {
    code_hash: B256,
    storage_root: B256,
    balance: U256,
    nonce: U64,
}

/// An account as it stands in the state trie; null if it does not exist.
fn account(api: &Api, args: &Args) -> RpcResult<Option<AccountJson>> {
    let address = args.need(0, "address")?;
    let chain = api.backend.chain();
    let (number, _) = target::state(&*chain, args.option(1, "block")?)?;
    let proof = chain.prove(number, address, &[])?.ok_or_else(RpcError::pruned)?;
    Ok(proof.account.map(|account| AccountJson {
        code_hash: account.bytecode_hash.unwrap_or(KECCAK256_EMPTY),
        storage_root: proof.storage_root,
        balance: account.balance,
        nonce: U64::from(account.nonce),
    }))
}

#[derive(Debug, Clone, Serialize)]
struct AccountInfo {
    balance: U256,
    nonce: U64,
    code: Bytes,
}

/// Balance, nonce and code; zeros for an account that does not exist.
fn account_info(api: &Api, args: &Args) -> RpcResult<AccountInfo> {
    let address = args.need(0, "address")?;
    let at: Option<Target> = args.option(1, "block")?;
    let (_, state) = target::state(&*api.backend.chain(), at)?;
    let Account { balance, nonce, .. } = state.account(address)?.unwrap_or_default();
    Ok(AccountInfo { balance, nonce: U64::from(nonce), code: code(&*state, address)? })
}

/// Code of an account; empty if it has none.
pub(crate) fn code(state: &dyn StateReader, address: Address) -> RpcResult<Bytes> {
    let hash = state.account(address)?.and_then(|account| account.bytecode_hash);
    Ok(match hash {
        Some(hash) if hash != KECCAK256_EMPTY => state.code(hash)?.unwrap_or_default(),
        _ => Bytes::new(),
    })
}
