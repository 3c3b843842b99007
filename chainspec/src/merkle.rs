//! The outbox tree: Hyperlane's incremental keccak tree of depth 32 (`MerkleLib`), as functions of
//! where its nodes are kept.

use std::sync::LazyLock;

use alloy_primitives::{B256, keccak256};

/// Depth of the tree.
pub const DEPTH: usize = 32;

/// Roots of trees without leaves, by height; a leaf that is not there is zero.
static ZEROES: LazyLock<[B256; DEPTH + 1]> = LazyLock::new(|| {
    let mut node = B256::ZERO;
    std::array::from_fn(|height| {
        if height > 0 {
            node = pair(node, node);
        }
        node
    })
});

/// keccak256(left || right).
pub fn pair(left: B256, right: B256) -> B256 {
    let mut bytes = [0u8; 64];
    bytes[..32].copy_from_slice(left.as_slice());
    bytes[32..].copy_from_slice(right.as_slice());
    keccak256(bytes)
}

/// Root of a tree of that height, at most [`DEPTH`], without leaves.
pub fn zero(height: usize) -> B256 {
    ZEROES[height]
}

/// The place in `branch` that a leaf fills after `count` others, and what goes there. `count` is
/// less than 2^32 - 1.
pub fn insert<E>(
    count: u32,
    leaf: B256,
    mut branch: impl FnMut(usize) -> Result<B256, E>,
) -> Result<(usize, B256), E> {
    let height = (u64::from(count) + 1).trailing_zeros() as usize;
    let mut node = leaf;
    for below in 0..height {
        node = pair(branch(below)?, node);
    }
    Ok((height, node))
}

/// Root of a tree of `count` leaves.
pub fn root<E>(count: u32, mut branch: impl FnMut(usize) -> Result<B256, E>) -> Result<B256, E> {
    let mut node = B256::ZERO;
    for height in 0..DEPTH {
        node = if count >> height & 1 == 1 {
            pair(branch(height)?, node)
        } else {
            pair(node, zero(height))
        };
    }
    Ok(node)
}

/// The root that a leaf and its siblings, from the bottom up, lead to.
pub fn branch_root(leaf: B256, siblings: &[B256], index: u32) -> B256 {
    siblings.iter().enumerate().fold(leaf, |node, (height, sibling)| {
        if (index >> height) & 1 == 1 { pair(*sibling, node) } else { pair(node, *sibling) }
    })
}
