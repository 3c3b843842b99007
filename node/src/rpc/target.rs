//! Which block a request means: tags, numbers, hashes and EIP-1898 objects.

use std::sync::Arc;

use alloy_rpc_types_eth::{BlockId as Target, BlockNumberOrTag};
use causeway_chainspec::{Block, BlockEnv, StateReader};

use super::backend::ChainReader;
use super::error::{RpcError, RpcResult};
use super::table::Api;

/// Number a tag stands for; `pending` stands for the block it is built on. May be above `latest`.
pub(crate) fn number(chain: &dyn ChainReader, tag: BlockNumberOrTag) -> u64 {
    match tag {
        BlockNumberOrTag::Latest | BlockNumberOrTag::Pending => chain.latest().number,
        BlockNumberOrTag::Safe => chain.safe().number,
        BlockNumberOrTag::Finalized => chain.finalized().number,
        BlockNumberOrTag::Earliest => 0,
        BlockNumberOrTag::Number(number) => number,
    }
}

/// Number of the block meant, or `None` if no block of the chain has that hash. Only canonical
/// blocks are kept, so `requireCanonical` always holds.
pub(crate) fn find(chain: &dyn ChainReader, target: Target) -> RpcResult<Option<u64>> {
    match target {
        Target::Number(tag) => Ok(Some(number(chain, tag))),
        Target::Hash(hash) => Ok(chain.number_of_hash(hash.block_hash)?),
    }
}

/// The block meant, or `None` if there is none.
pub(crate) fn block(chain: &dyn ChainReader, target: Target) -> RpcResult<Option<Arc<Block>>> {
    let Some(number) = find(chain, target)? else { return Ok(None) };
    if number > chain.latest().number {
        return Ok(None);
    }
    chain.block(number)?.map(Some).ok_or_else(RpcError::pruned)
}

/// Number and state after the block meant, `latest` by default.
pub(crate) fn state(
    chain: &dyn ChainReader,
    target: Option<Target>,
) -> RpcResult<(u64, Arc<dyn StateReader>)> {
    let target = target.unwrap_or_default();
    let number = find(chain, target)?.ok_or_else(|| match target {
        Target::Hash(_) => RpcError::server("header for hash not found"),
        Target::Number(_) => RpcError::no_header(),
    })?;
    if number > chain.latest().number {
        return Err(RpcError::no_header());
    }
    let state = chain.state(number)?.ok_or_else(RpcError::pruned)?;
    Ok((number, state))
}

/// State after the block meant (`latest` by default) and the environment of a call there: that of
/// the block itself, or of the one that would come next for `pending`.
pub(crate) fn base(
    api: &Api,
    target: Option<Target>,
) -> RpcResult<(Arc<dyn StateReader>, BlockEnv)> {
    let chain = api.backend.chain();
    let (number, state) = state(&*chain, target)?;
    let env = if target == Some(Target::Number(BlockNumberOrTag::Pending)) {
        chain.next_env(api.backend.now_ms())?
    } else {
        chain.env(number)?.ok_or_else(RpcError::pruned)?
    };
    Ok((state, env))
}
