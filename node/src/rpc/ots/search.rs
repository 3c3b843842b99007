//! What needs the address index: histories of accounts, transactions by nonce, creators.

use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::{Address, B256};
use alloy_rpc_types_trace::geth::CallFrame;
use causeway_chainspec::Block;
use causeway_execution::store::{AddressIndex, Search};
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::{frames, number, page_size, receipt};
use crate::rpc::backend::ChainReader;
use crate::rpc::error::{RpcError, RpcResult};
use crate::rpc::json;
use crate::rpc::replays::{self, Tracing};
use crate::rpc::table::{Api, Args, Table};

pub(super) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("ots_searchTransactionsBefore", |api, args, _| {
        let below = number(args, 1, "block number")?;
        search(api, args, Search::Below(if below == 0 { u64::MAX } else { below }), below == 0)
    })?;
    table.heavy("ots_searchTransactionsAfter", |api, args, _| {
        let above = number(args, 1, "block number")?;
        search(api, args, Search::Above(above), above == 0)
    })?;
    table.quick("ots_getTransactionBySenderAndNonce", |api, args| {
        let found = sent(&*api.backend.chain(), args)?;
        Ok(found.map(|(block, index)| block.txs[index].hash))
    })?;
    table.heavy("ots_getContractCreator", creator)
}

/// `eth_getTransactionBySenderAndNonce`.
pub(crate) fn register_eth(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("eth_getTransactionBySenderAndNonce", |api, args| {
        let found = sent(&*api.backend.chain(), args)?;
        Ok(found.map(|(block, index)| json::transaction(&block, index)))
    })
}

fn index(chain: &dyn ChainReader) -> RpcResult<&dyn AddressIndex> {
    chain.index().ok_or_else(|| {
        RpcError::unsupported(
            "this node keeps no address index: set address_index = true in [store] of node.toml, \
             and let it rebuild its datadir",
        )
    })
}

/// Where a sender's transaction with a nonce is.
fn sent(chain: &dyn ChainReader, args: &Args) -> RpcResult<Option<(Arc<Block>, usize)>> {
    let (sender, nonce) = (args.need(0, "sender")?, number(args, 1, "nonce")?);
    let Some((number, at)) = index(chain)?.sent(sender, nonce)? else { return Ok(None) };
    Ok(Some((chain.block(number)?.ok_or_else(RpcError::pruned)?, at)))
}

/// A page of an account's transactions, newest first whichever way it searches. `end` says that
/// the search begins at an end of the chain: pages are told apart by that.
fn search(api: &Api, args: &Args, search: Search, end: bool) -> RpcResult<Value> {
    let (address, size): (Address, _) = (args.need(0, "address")?, page_size(args, 2)?);
    let chain = api.backend.chain();
    let index = index(&*chain)?;
    let mut places = index.appearances(address, search, size)?;
    let beyond = |number| match search {
        Search::Below(_) => Search::Below(number),
        Search::Above(_) => Search::Above(number),
    };
    let more = match places.last() {
        Some((number, _)) => !index.appearances(address, beyond(*number), 1)?.is_empty(),
        None => false,
    };
    let (first_page, last_page) = match search {
        Search::Below(_) => (end, !more),
        Search::Above(_) => (!more, end),
    };
    places.sort_unstable_by(|a, b| b.cmp(a));
    let (mut txs, mut receipts) = (Vec::new(), Vec::new());
    for (number, at) in places {
        let block = chain.block(number)?.ok_or_else(RpcError::pruned)?;
        txs.push(json::transaction(&block, at));
        receipts.push(receipt(&block, at, false)?);
    }
    Ok(json!({
        "txs": txs, "receipts": receipts, "firstPage": first_page, "lastPage": last_page,
    }))
}

/// Who made a contract, in which transaction. `None` for accounts without code, and for contracts
/// of genesis. One that another contract made is found by tracing the block in which it got code.
fn creator(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Option<Value>> {
    let address: Address = args.need(0, "address")?;
    let chain = api.backend.chain();
    let Some(number) = index(&*chain)?.created(address)? else { return Ok(None) };
    let block = chain.block(number)?.ok_or_else(RpcError::pruned)?;
    let made = |creator: Address, hash: B256| json!({ "hash": hash, "creator": creator });
    let mut pairs = block.txs.iter().zip(&block.receipts);
    let direct = pairs.find(|(_, got)| got.success && got.contract_address == Some(address));
    if let Some((tx, _)) = direct {
        return Ok(Some(made(tx.sender, tx.hash)));
    }
    if number == 0 {
        return Ok(None);
    }
    let replay = replays::at(&*chain, number)?;
    let tracing = Tracing::new(api, deadline, None);
    let frames = frames(&tracing, &replay, 0..block.txs.len())?;
    for (frame, tx) in frames.iter().zip(&block.txs) {
        if let Some(creator) = find_creator(frame, address) {
            return Ok(Some(made(creator, tx.hash)));
        }
    }
    Ok(None)
}

/// Who made a contract in a tree of calls; what was reverted made nothing.
fn find_creator(frame: &CallFrame, address: Address) -> Option<Address> {
    if frame.error.is_some() {
        return None;
    }
    if matches!(frame.typ.as_str(), "CREATE" | "CREATE2") && frame.to == Some(address) {
        return Some(frame.from);
    }
    frame.calls.iter().find_map(|inner| find_creator(inner, address))
}
