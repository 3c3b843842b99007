//! `debug_getRaw*`: headers, blocks, receipts and transactions as the chain hashes them.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::BlockId as Target;
use causeway_chainspec::Block;
use jsonrpsee::core::RegisterMethodError;

use crate::rpc::error::{RpcError, RpcResult};
use crate::rpc::table::{Api, Args, Table};
use crate::rpc::target;

pub(super) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("debug_getRawHeader", |api, args| {
        Ok(Bytes::from(alloy_rlp::encode(&block(api, args)?.header)))
    })?;
    table.heavy("debug_getRawBlock", |api, args, _| Ok(block(api, args)?.encoded()))?;
    table.heavy("debug_getRawReceipts", |api, args, _| Ok(block(api, args)?.encoded_receipts()))?;
    table.heavy("debug_getRawTransactions", |api, args, _| {
        Ok(block(api, args)?.txs.iter().map(|tx| tx.raw.clone()).collect::<Vec<_>>())
    })?;
    table.quick("debug_getRawTransaction", |api, args| {
        let hash = hash(args, 0)?;
        let found = api.backend.chain().tx(hash)?;
        let included = found.map(|(block, index)| block.txs[index].raw.clone());
        // None is no bytes, as geth has it.
        let waiting = || api.backend.pending_tx(hash).map(|tx| tx.raw.clone());
        Ok(included.or_else(waiting).unwrap_or_default())
    })
}

fn block(api: &Api, args: &Args) -> RpcResult<Arc<Block>> {
    let at: Target = args.need(0, "block")?;
    target::block(&*api.backend.chain(), at)?.ok_or_else(RpcError::no_header)
}

/// A hash that says so: with 0x, which the Ethereum JSON-RPC asks for.
fn hash(args: &Args, at: usize) -> RpcResult<B256> {
    let text: String = args.need(at, "hash")?;
    let wrong = |why: &str| RpcError::params(format!("invalid argument {at} (hash): {why}"));
    let digits = text.strip_prefix("0x").ok_or_else(|| wrong("hex string without 0x prefix"))?;
    digits.parse().map_err(|_| wrong("want 64 hex digits after 0x"))
}
