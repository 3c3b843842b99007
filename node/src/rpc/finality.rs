//! `rollup`: how far a block is on its way to being final, and which DA block brought it.

use alloy_primitives::B256;
use alloy_rpc_types_eth::{BlockId as Target, BlockNumberOrTag};
use causeway_chainspec::Block;
use causeway_chainspec::l1::bridge::{OUTPUT_V0, output_root};
use jsonrpsee::core::RegisterMethodError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::backend::{ChainReader, Derivation, Derived};
use super::error::{RpcError, RpcResult};
use super::table::{Api, Args, Table};
use super::target;

/// Most batches of one `rollup_listBatches`.
const MAX_BATCHES: u64 = 100;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("rollup_getFinality", |api, args, _| finality(api, args.need(0, "block")?))?;
    table.heavy("rollup_batchOf", |api, args, _| {
        let chain = api.backend.chain();
        let number = target::number(&*chain, args.need(0, "block number")?);
        batch_of(api, &*chain, number)
    })?;
    table.heavy("rollup_getBatch", |api, args, _| {
        let height = args.need(0, "da height")?;
        let derivation = derivation(api)?;
        let derived = derivation.at(height)?;
        Ok(derived.map(|derived| batch(derivation, &derived)).transpose()?.flatten())
    })?;
    table.heavy("rollup_listBatches", |api, args, _| batches(api, args))?;
    table.quick("rollup_safeHeadAtDaHeight", |api, args| {
        let height: u64 = args.need(0, "da height")?;
        let Some(derived) = derivation(api)?.at(height)? else { return Ok(Value::Null) };
        let chain = api.backend.chain();
        Ok(json!({ "da": da(&derived), "safe": head(&*chain, derived.safe)? }))
    })?;
    table.heavy("rollup_outputAtBlock", |api, args, _| output(api, args.need(0, "block number")?))
}

/// A block by number, tag or hash, or a transaction by hash.
#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Hash(B256),
    Number(BlockNumberOrTag),
}

/// The ladder of one block: sealed by the sequencer, derived from DA, final.
fn finality(api: &Api, asked: Asked) -> RpcResult<Value> {
    let chain = api.backend.chain();
    let number = match asked {
        Asked::Number(tag) => Some(target::number(&*chain, tag)),
        Asked::Hash(hash) => match chain.number_of_hash(hash)? {
            Some(number) => Some(number),
            None => chain.tx(hash)?.map(|(block, _)| block.header.number),
        },
    };
    let block = number.map(|number| chain.block(number)).transpose()?.flatten();
    let Some(block) = block else { return Ok(Value::Null) };
    let number = block.header.number;
    let posted = batch_of(api, &*chain, number)?;
    let (safe, finalized) = (number <= chain.safe().number, number <= chain.finalized().number);
    let (stage, missing) = match (finalized, safe) {
        (true, _) => ("finalized", None),
        (_, true) => ("safe", Some("the DA layer must make its block final")),
        _ => ("sequenced", Some("its span must be posted to the DA layer and read back")),
    };
    Ok(json!({
        "number": number,
        "hash": block.hash,
        "stage": stage,
        "missing": missing,
        "sequenced": { "timeMs": block.plan.claim.time_ms, "term": block.plan.claim.term },
        "batch": posted,
        "safe": safe,
        "finalized": finalized,
    }))
}

fn derivation(api: &Api) -> RpcResult<&dyn Derivation> {
    api.backend.derivation().ok_or_else(|| RpcError::server("this chain is not derived from DA"))
}

/// The batch that made a block safe: the DA block with its height, and all blocks it brought.
fn batch_of(api: &Api, chain: &dyn ChainReader, number: u64) -> RpcResult<Option<Value>> {
    let Some(derivation) = api.backend.derivation() else { return Ok(None) };
    if number == 0 || number > chain.safe().number {
        return Ok(None);
    }
    let Some(heights) = derivation.heights() else { return Ok(None) };
    // Safe numbers never fall as heights grow.
    let (mut low, mut high) = heights.into_inner();
    while low < high {
        let middle = low + (high - low) / 2;
        match derivation.at(middle)? {
            Some(derived) if derived.safe >= number => high = middle,
            _ => low = middle + 1,
        }
    }
    match derivation.at(low)? {
        Some(derived) if derived.safe >= number => batch(derivation, &derived),
        _ => Ok(None),
    }
}

/// The blocks a DA block brought; `None` if it brought none.
fn batch(derivation: &dyn Derivation, derived: &Derived) -> RpcResult<Option<Value>> {
    let below = derived.da.height.checked_sub(1);
    let before = below.map(|height| derivation.at(height)).transpose()?.flatten();
    let (first, last) = (before.map_or(0, |before| before.safe) + 1, derived.safe);
    let shown = || json!({ "da": da(derived), "firstBlock": first, "lastBlock": last });
    Ok((first <= last).then(shown))
}

fn batches(api: &Api, args: &Args) -> RpcResult<Vec<Value>> {
    let derivation = derivation(api)?;
    let Some(heights) = derivation.heights() else { return Ok(Vec::new()) };
    let newest = args.option(0, "newest da height")?.unwrap_or(*heights.end());
    let most: u64 = args.option(1, "count")?.unwrap_or(20);
    if most > MAX_BATCHES {
        return Err(RpcError::params(format!(
            "invalid argument 1 (count): at most {MAX_BATCHES}, ask again from the last height"
        )));
    }
    let mut found = Vec::new();
    for height in
        (*heights.start()..=newest.min(*heights.end())).rev().take(MAX_BATCHES as usize * 10)
    {
        let Some(derived) = derivation.at(height)? else { continue };
        found.extend(batch(derivation, &derived)?);
        if found.len() as u64 >= most {
            break;
        }
    }
    Ok(found)
}

fn da(derived: &Derived) -> Value {
    json!({ "height": derived.da.height, "hash": derived.da.hash, "timeMs": derived.time_ms })
}

fn head(chain: &dyn ChainReader, number: u64) -> RpcResult<Value> {
    let header = chain.header(number)?.ok_or_else(RpcError::pruned)?;
    Ok(json!({
        "number": number, "hash": header.hash_slow(), "parentHash": header.parent_hash,
        "timestamp": header.timestamp,
    }))
}

/// The output root of a block, and what it is made of.
fn output(api: &Api, tag: BlockNumberOrTag) -> RpcResult<Value> {
    let chain = api.backend.chain();
    let number = target::number(&*chain, tag);
    let block = target::block(&*chain, Target::from(number))?.ok_or_else(RpcError::no_header)?;
    let Block { header, hash, .. } = &*block;
    let passer = header.withdrawals_root.unwrap_or_default();
    Ok(json!({
        "version": OUTPUT_V0,
        "outputRoot": output_root(header, *hash),
        "blockRef": head(&*chain, number)?,
        "withdrawalStorageRoot": passer,
        "stateRoot": header.state_root,
    }))
}
