//! `eth`: what a transaction should pay.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{U64, U128};
use alloy_rpc_types_eth::{BlockNumberOrTag, FeeHistory, Index};
use causeway_chainspec::{Block, NO_BLOBS};
use jsonrpsee::core::RegisterMethodError;
use serde_json::Value;

use super::error::{RpcError, RpcResult};
use super::table::{Api, Args, Table};
use super::target;

/// Most blocks of one `eth_feeHistory`.
const MAX_HISTORY: u64 = 1024;
/// Most percentiles of one `eth_feeHistory`.
const MAX_PERCENTILES: usize = 100;
/// Tip proposed while blocks have room, wei per gas.
const MIN_TIP: u128 = 1_000_000;
/// Blocks looked at for a tip while they have no room.
const TIP_BLOCKS: u64 = 20;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("eth_gasPrice", |api, _| {
        Ok(U128::from(u128::from(next_base_fee(api)?) + suggested_tip(api)?))
    })?;
    table.quick("eth_maxPriorityFeePerGas", |api, _| Ok(U128::from(suggested_tip(api)?)))?;
    table.quick("eth_baseFee", |api, _| Ok(U64::from(next_base_fee(api)?)))?;
    table.quick("eth_blobBaseFee", |api, _| {
        let next = api.backend.chain().next_env(api.backend.now_ms())?;
        Ok(U128::from(next.blob_base_fee))
    })?;
    table.heavy("eth_feeHistory", |api, args, _| {
        let mut history =
            serde_json::to_value(fee_history(api, args)?).map_err(RpcError::internal)?;
        // Of no blocks it is empty, and there.
        if history.get("baseFeePerGas").is_none() {
            history["baseFeePerGas"] = Value::Array(Vec::new());
        }
        Ok(history)
    })
}

pub(crate) fn next_base_fee(api: &Api) -> RpcResult<u64> {
    Ok(api.backend.chain().next_env(api.backend.now_ms())?.base_fee)
}

/// A small constant while the newest block is less than half full; else what is above three
/// fifths of the tips paid lately, so that a user who takes it gets in.
pub(crate) fn suggested_tip(api: &Api) -> RpcResult<u128> {
    let chain = api.backend.chain();
    let latest = chain.latest().number;
    let newest = chain.header(latest)?.ok_or_else(RpcError::no_header)?;
    if newest.gas_used < newest.gas_limit / 2 {
        return Ok(MIN_TIP);
    }
    let mut tips = Vec::new();
    for number in latest.saturating_sub(TIP_BLOCKS - 1)..=latest {
        if let Some(block) = chain.block(number)? {
            tips.extend(rewards(&block).into_iter().map(|(tip, _)| tip));
        }
    }
    tips.sort_unstable();
    Ok(tips.get(tips.len() * 3 / 5).copied().unwrap_or(MIN_TIP).max(MIN_TIP))
}

/// Tip per gas and gas used of the signed transactions of a block.
fn rewards(block: &Block) -> Vec<(u128, u64)> {
    let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
    let signed = block.txs.iter().zip(&block.receipts).filter(|(tx, _)| !tx.is_deposit());
    signed
        .map(|(tx, receipt)| {
            let tip = tx.effective_gas_price(base_fee).saturating_sub(u128::from(base_fee));
            (tip, receipt.gas_used)
        })
        .collect()
}

fn fee_history(api: &Api, args: &Args) -> RpcResult<FeeHistory> {
    let count = args.need::<Index>(0, "block count")?.0 as u64;
    let newest: BlockNumberOrTag = args.need(1, "newest block")?;
    let percentiles: Option<Vec<f64>> = args.option(2, "reward percentiles")?;
    check_percentiles(percentiles.as_deref().unwrap_or_default())?;
    let chain = api.backend.chain();
    let (newest, latest) = (target::number(&*chain, newest), chain.latest().number);
    if newest > latest {
        return Err(RpcError::server(format!(
            "request beyond head block: requested {newest}, head {latest}"
        )));
    }
    let count = count.min(MAX_HISTORY).min(newest + 1);
    let mut history = FeeHistory::default();
    if count == 0 {
        return Ok(history);
    }
    history.oldest_block = newest + 1 - count;
    let mut reward = Vec::new();
    for number in history.oldest_block..=newest {
        let header = chain.header(number)?.ok_or_else(RpcError::pruned)?;
        history.base_fee_per_gas.push(u128::from(header.base_fee_per_gas.unwrap_or_default()));
        let (blob_fee, used) = blobs(api, &header);
        history.base_fee_per_blob_gas.push(blob_fee);
        history.blob_gas_used_ratio.push(used);
        history.gas_used_ratio.push(header.gas_used as f64 / header.gas_limit.max(1) as f64);
        if let Some(percentiles) = &percentiles {
            let block = chain.block(number)?.ok_or_else(RpcError::pruned)?;
            reward.push(reward_at(&block, percentiles));
        }
    }
    let (next, blob_fee) = match chain.header(newest + 1)? {
        Some(header) if newest < latest => {
            (header.base_fee_per_gas.unwrap_or_default(), blobs(api, &header).0)
        }
        _ => {
            let next = chain.next_env(api.backend.now_ms())?;
            (next.base_fee, next.blob_base_fee)
        }
    };
    history.base_fee_per_gas.push(u128::from(next));
    history.base_fee_per_blob_gas.push(blob_fee);
    history.reward = percentiles.map(|_| reward);
    Ok(history)
}

/// Price of blob gas in a block, wei, and which share of the most it used. Our chains have no blobs,
/// so the excess is 0 (EIP-4844); before Cancun there is no price.
fn blobs(api: &Api, header: &Header) -> (u128, f64) {
    let Some(ethereum) = api.backend.ethereum() else { return (NO_BLOBS, 0.0) };
    let params = ethereum.schedule().blobs(header.timestamp).zip(header.excess_blob_gas);
    let Some((params, excess)) = params else { return (0, 0.0) };
    let used = header.blob_gas_used.unwrap_or_default() as f64;
    (params.calc_blob_fee(excess), used / params.max_blob_gas_per_block().max(1) as f64)
}

fn check_percentiles(percentiles: &[f64]) -> RpcResult<()> {
    if percentiles.len() > MAX_PERCENTILES {
        return Err(RpcError::params(format!(
            "invalid reward percentile: over the query limit {MAX_PERCENTILES}"
        )));
    }
    let mut last = 0.0;
    for (at, percentile) in percentiles.iter().enumerate() {
        if !(0.0..=100.0).contains(percentile) {
            return Err(RpcError::params(format!("invalid reward percentile: {percentile}")));
        }
        if *percentile < last {
            return Err(RpcError::params(format!(
                "invalid reward percentile: #{}:{last} >= #{at}:{percentile}",
                at.saturating_sub(1)
            )));
        }
        last = *percentile;
    }
    Ok(())
}

/// Tips at percentiles of a block's gas; zeros for a block without signed transactions.
fn reward_at(block: &Arc<Block>, percentiles: &[f64]) -> Vec<u128> {
    let mut rewards = rewards(block);
    rewards.sort_unstable();
    let total: u64 = rewards.iter().map(|(_, gas)| gas).sum();
    let mut txs = rewards.iter();
    let (mut tip, mut gas) = txs.next().copied().unwrap_or_default();
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = (total as f64 * percentile / 100.0) as u64;
            while gas < threshold {
                let Some((next_tip, next_gas)) = txs.next() else { break };
                tip = *next_tip;
                gas += next_gas;
            }
            tip
        })
        .collect()
}
