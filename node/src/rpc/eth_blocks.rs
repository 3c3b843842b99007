//! `eth`: blocks and what they hold.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes, U64};
use alloy_rpc_types_eth::{BlockId as Target, BlockNumberOrTag, Index};
use causeway_chainspec::Block;
use jsonrpsee::core::RegisterMethodError;
use serde_json::Value;

use super::error::RpcResult;
use super::json::{self, ReceiptJson};
use super::table::{Api, Args, Table};
use super::target;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.waiting("eth_getBlockByNumber", |api, args| async move {
        let tag: BlockNumberOrTag = args.need(0, "block number")?;
        if tag.is_pending() {
            return pending(&api).map(Some);
        }
        shown(api, tag.into(), &args).await
    })?;
    table.waiting("eth_getBlockByHash", |api, args| async move {
        let hash: B256 = args.need(0, "block hash")?;
        shown(api, hash.into(), &args).await
    })?;
    table.quick("eth_getHeaderByNumber", |api, args| {
        Ok(by_number(api, args)?.map(|block| json::header(&block)))
    })?;
    table.quick("eth_getHeaderByHash", |api, args| {
        Ok(by_hash(api, args)?.map(|block| json::header(&block)))
    })?;
    table.heavy("eth_getBlockReceipts", |api, args, _| {
        let block = by_target(api, args.need(0, "block")?)?;
        Ok(block.map(|block| json::receipts(&block)))
    })?;
    counts(table)?;
    transactions(table)
}

fn counts(table: &mut Table) -> Result<(), RegisterMethodError> {
    let count = |block: Option<Arc<Block>>| block.map(|block| U64::from(block.txs.len()));
    let uncles =
        |block: Option<Arc<Block>>| block.map(|block| U64::from(json::uncles(&block).len()));
    table.quick("eth_getBlockTransactionCountByNumber", move |api, args| {
        let tag: BlockNumberOrTag = args.need(0, "block number")?;
        if tag.is_pending() {
            return Ok(Some(U64::ZERO));
        }
        Ok(count(by_target(api, tag.into())?))
    })?;
    table.quick("eth_getBlockTransactionCountByHash", move |api, args| {
        Ok(count(by_hash(api, args)?))
    })?;
    table.quick("eth_getUncleCountByBlockNumber", move |api, args| {
        Ok(uncles(by_number(api, args)?))
    })?;
    table
        .quick("eth_getUncleCountByBlockHash", move |api, args| Ok(uncles(by_hash(api, args)?)))?;
    table.quick("eth_getUncleByBlockNumberAndIndex", |api, args| {
        Ok(uncle_at(by_number(api, args)?, args.need(1, "index")?))
    })?;
    table.quick("eth_getUncleByBlockHashAndIndex", |api, args| {
        Ok(uncle_at(by_hash(api, args)?, args.need(1, "index")?))
    })
}

fn transactions(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("eth_getTransactionByHash", |api, args| {
        let hash = args.need(0, "transaction hash")?;
        Ok(match api.backend.chain().tx(hash)? {
            Some((block, index)) => Some(json::transaction(&block, index)),
            None => api.backend.pending_tx(hash).map(|tx| json::pending_transaction(&tx)),
        })
    })?;
    table.quick("eth_getRawTransactionByHash", |api, args| {
        let hash = args.need(0, "transaction hash")?;
        Ok(match api.backend.chain().tx(hash)? {
            Some((block, index)) => Some(block.txs[index].raw.clone()),
            None => api.backend.pending_tx(hash).map(|tx| tx.raw.clone()),
        })
    })?;
    table.quick("eth_getTransactionByBlockHashAndIndex", |api, args| {
        Ok(at_index(by_hash(api, args)?, args.need(1, "index")?))
    })?;
    table.quick("eth_getTransactionByBlockNumberAndIndex", |api, args| {
        Ok(at_index(by_number(api, args)?, args.need(1, "index")?))
    })?;
    table.quick("eth_getRawTransactionByBlockHashAndIndex", |api, args| {
        Ok(raw_at_index(by_hash(api, args)?, args.need(1, "index")?))
    })?;
    table.quick("eth_getRawTransactionByBlockNumberAndIndex", |api, args| {
        Ok(raw_at_index(by_number(api, args)?, args.need(1, "index")?))
    })?;
    table.quick("eth_getTransactionReceipt", |api, args| receipt(api, args.need(0, "hash")?))
}

/// The receipt of an included transaction.
pub(crate) fn receipt(api: &Api, hash: B256) -> RpcResult<Option<ReceiptJson>> {
    Ok(api.backend.chain().tx(hash)?.map(|(block, index)| json::receipt(&block, index)))
}

/// A block as JSON: at once with hashes, on a worker with whole transactions, which may be many.
async fn shown(api: Arc<Api>, at: Target, args: &Args) -> RpcResult<Option<Value>> {
    let full = args.option(1, "full transactions")?.unwrap_or(false);
    let show = move |api: &Api| -> RpcResult<Option<Value>> {
        Ok(by_target(api, at)?.map(|block| json::block(&block, full)))
    };
    if full { api.heavy(move |api, _| show(api)).await } else { show(&api) }
}

fn at_index(block: Option<Arc<Block>>, index: Index) -> Option<Value> {
    let block = block?;
    (index.0 < block.txs.len()).then(|| json::transaction(&block, index.0))
}

fn uncle_at(block: Option<Arc<Block>>, index: Index) -> Option<Value> {
    block.and_then(|block| json::uncles(&block).get(index.0).map(json::uncle))
}

fn raw_at_index(block: Option<Arc<Block>>, index: Index) -> Option<Bytes> {
    block?.txs.get(index.0).map(|tx| tx.raw.clone())
}

fn by_target(api: &Api, at: Target) -> RpcResult<Option<Arc<Block>>> {
    target::block(&*api.backend.chain(), at)
}

fn by_number(api: &Api, args: &Args) -> RpcResult<Option<Arc<Block>>> {
    let tag: BlockNumberOrTag = args.need(0, "block number")?;
    by_target(api, tag.into())
}

fn by_hash(api: &Api, args: &Args) -> RpcResult<Option<Arc<Block>>> {
    let hash: B256 = args.need(0, "block hash")?;
    by_target(api, hash.into())
}

fn pending(api: &Api) -> RpcResult<Value> {
    let chain = api.backend.chain();
    let env = chain.next_env(api.backend.now_ms())?;
    Ok(json::pending_block(chain.latest(), &env))
}
