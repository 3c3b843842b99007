//! A proof that a chain sent a message, checkable from a header alone.

use std::time::Instant;

use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::BlockId as Target;
use causeway_bridge::metalayer::view;
use causeway_chainspec::block::requests_hash;
use causeway_chainspec::merkle::branch_root;
use causeway_chainspec::{Block, Commitment, LaneItem, LaneState};
use serde_json::{Value, json};

use super::super::error::{RpcError, RpcResult};
use super::super::table::{Api, Args};
use super::super::target;
use super::gather::source;
use super::network::{Known, Network};

/// `metalayer_getMessageProof(id, block?)`: against the newest final block of the source that
/// holds the message unless a block is named, else against its newest.
///
/// Who trusts a block hash of the source checks, from the bottom up:
/// 1. `branchRoot(id, proof, index) == commitment.root` (Hyperlane's `MerkleLib`);
/// 2. `commitment.lanes == keccak256(keccak256(rlp(lane)) of all lanes, one after the other)`,
///    if the lanes matter to him;
/// 3. `commitment.hash == keccak256("causeway/metalayer/1" || rlp([root, count, lanes,
///    directory]))`;
/// 4. `requestsHash == sha256(sha256(0xca || claimHash || commitment.hash))` (EIP-7685);
/// 5. `requestsHash` is the last field of `header` (RLP), and `keccak256(header) == blockHash`.
pub(super) fn message_proof(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Value> {
    let id: B256 = args.need(0, "message id")?;
    let wanted: Option<Target> = args.option(1, "block")?;
    let network = Network::open(api)?;
    let Some((known, sent)) = source(&network, id)? else {
        return Err(proof_elsewhere(&network, id)?);
    };
    let chain = &*known.chain;
    let target = wanted.unwrap_or_else(|| {
        let finalized = chain.finalized().number;
        if sent.block <= finalized { Target::number(finalized) } else { Target::latest() }
    });
    let (number, state) = target::state(chain, Some(target))?;
    if sent.block > number {
        return Err(RpcError::server(format!(
            "block {number} does not hold the message yet: it was sent in block {}",
            sent.block
        )));
    }
    let index = leaf_index(known, sent.block, id)?;
    let block = chain.block(number)?.ok_or_else(RpcError::pruned)?;
    let commitment = view::commitment(&*state)?;
    let (root, count) = (commitment.root, commitment.count);
    let reader = (known.domain, chain);
    let (found, branch) = api.outboxes.prove(reader, number, (index, count), deadline)?;
    if found != root {
        return Err(RpcError::internal(format!(
            "the messages of blocks up to {number} make root {found}, its state says {root}"
        )));
    }
    let mut answer = proof_json(&block, &commitment, (id, index), &branch)?;
    answer["origin"] = known.domain.into();
    answer["final"] = (number <= chain.finalized().number).into();
    answer["lanes"] = view::lanes(&*state)?.iter().map(lane_json).collect();
    Ok(answer)
}

/// Why there is no proof here, of a message that may well be known.
fn proof_elsewhere(network: &Network, id: B256) -> RpcResult<RpcError> {
    for known in &network.known {
        if let Some(received) = view::received(&*known.state, id)? {
            let name = network.name(received.origin);
            return Ok(RpcError::server(format!(
                "the message comes from {name}, which is not followed here: ask a node of {name}"
            )));
        }
    }
    Ok(network.not_found(id))
}

/// Place of a message in its chain's tree: its nonce.
fn leaf_index(known: &Known, block: u64, id: B256) -> RpcResult<u32> {
    let block = known.chain.block(block)?.ok_or_else(RpcError::pruned)?;
    let nonce = block.outbox.iter().find_map(|item| match item {
        LaneItem::Message(message) if message.id() == id => Some(message.nonce),
        _ => None,
    });
    nonce.ok_or_else(|| RpcError::internal(format!("message {id} is not where state says")))
}

/// The proof, after checking it as its reader would.
pub(super) fn proof_json(
    block: &Block,
    commitment: &Commitment,
    (id, index): (B256, u32),
    branch: &[B256],
) -> RpcResult<Value> {
    let (claim_hash, hash) = (block.claim_hash, commitment.hash());
    let requests = requests_hash(claim_hash, hash);
    if branch_root(id, branch, index) != commitment.root {
        return Err(RpcError::internal("a proof does not lead to its root"));
    }
    if block.header.requests_hash != Some(requests) {
        let number = block.header.number;
        return Err(RpcError::internal(format!("block {number} commits to another metalayer")));
    }
    Ok(json!({
        "id": id,
        "leaf": id,
        "index": index,
        "root": commitment.root,
        "count": commitment.count,
        "proof": branch,
        "block": block.header.number,
        "blockHash": block.hash,
        "header": Bytes::from(alloy_rlp::encode(&block.header)),
        "claimHash": claim_hash,
        "requestsHash": requests,
        "commitment": {
            "hash": hash,
            "root": commitment.root,
            "count": commitment.count,
            "lanes": commitment.lanes,
            "directory": commitment.directory,
        },
    }))
}

/// A lane as the commitment holds it: its RLP, and what that says.
fn lane_json(lane: &LaneState) -> Value {
    json!({
        "domain": lane.domain,
        "hash": lane.hash(),
        "rlp": Bytes::from(alloy_rlp::encode(lane)),
        "sent": lane.sent.count,
        "accumulator": lane.sent.accumulator,
        "taken": lane.taken,
    })
}
