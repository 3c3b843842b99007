//! The outbox tree: Hyperlane's incremental Merkle tree of depth 32 over message ids, kept in the
//! slots that the Mailbox's own views read.

use alloy_primitives::{B256, U256, keccak256};
use causeway_chainspec::mailbox::{MAILBOX, layout};
use causeway_chainspec::{StateError, SystemState};

use super::state::Slots;

/// Depth of the tree.
pub const DEPTH: usize = 32;

/// keccak256(left || right).
pub fn node(left: B256, right: B256) -> B256 {
    let mut bytes = [0u8; 64];
    bytes[..32].copy_from_slice(left.as_slice());
    bytes[32..].copy_from_slice(right.as_slice());
    keccak256(bytes)
}

/// Roots of empty trees by height; a leaf that is not there is zero.
pub fn zero_hashes() -> [B256; DEPTH] {
    let mut zeros = [B256::ZERO; DEPTH];
    for height in 1..DEPTH {
        zeros[height] = node(zeros[height - 1], zeros[height - 1]);
    }
    zeros
}

fn branch(height: usize) -> U256 {
    U256::from(layout::BRANCH) + U256::from(height)
}

/// Leaves so far.
pub(super) fn count(slots: &dyn Slots) -> Result<u32, StateError> {
    let count = slots.get(layout::TREE_COUNT)?;
    u32::try_from(count).map_err(|_| StateError("the outbox tree's count is damaged".into()))
}

/// Adds a leaf; returns its index.
pub(super) fn insert(state: &mut SystemState<'_>, leaf: B256) -> Result<u32, StateError> {
    let index = count(state)?;
    let next = index.checked_add(1).ok_or_else(|| StateError("the outbox is full".into()))?;
    let mut hash = leaf;
    let mut size = next;
    for height in 0..DEPTH {
        if size & 1 == 1 {
            state.set_slot(MAILBOX, branch(height), hash.into())?;
            break;
        }
        hash = node(state.get(branch(height))?.into(), hash);
        size >>= 1;
    }
    state.set_slot(MAILBOX, layout::TREE_COUNT, U256::from(next))?;
    Ok(index)
}

/// Root of the tree.
pub(super) fn root(slots: &dyn Slots) -> Result<B256, StateError> {
    let (count, zeros) = (count(slots)?, zero_hashes());
    let mut hash = B256::ZERO;
    for (height, zero) in zeros.into_iter().enumerate() {
        hash = if count >> height & 1 == 1 {
            node(slots.get(branch(height))?.into(), hash)
        } else {
            node(hash, zero)
        };
    }
    Ok(hash)
}

/// Siblings of a leaf, from the bottom up, in the tree of these leaves.
pub fn prove(leaves: &[B256], index: usize) -> [B256; DEPTH] {
    let zeros = zero_hashes();
    let mut level = leaves.to_vec();
    let mut at = index;
    std::array::from_fn(|height| {
        let sibling = level.get(at ^ 1).copied().unwrap_or(zeros[height]);
        level = level
            .chunks(2)
            .map(|pair| node(pair[0], pair.get(1).copied().unwrap_or(zeros[height])))
            .collect();
        at >>= 1;
        sibling
    })
}

/// Root that a leaf and its siblings give.
pub fn root_of(leaf: B256, index: u32, siblings: &[B256; DEPTH]) -> B256 {
    siblings.iter().enumerate().fold(leaf, |hash, (height, sibling)| {
        if index >> height & 1 == 1 { node(*sibling, hash) } else { node(hash, *sibling) }
    })
}
