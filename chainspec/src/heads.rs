//! Where a chain stands: `latest` (sealed and durable), `safe` (derived from DA), `finalized`.

use alloy_primitives::B256;
use alloy_rlp::{RlpDecodable, RlpEncodable};

use crate::batch::DaRef;

/// A block by both its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, RlpEncodable, RlpDecodable)]
pub struct BlockId {
    /// Block number.
    pub number: u64,
    /// Claim hash: the key of a block before it is executed.
    pub claim: B256,
    /// Header hash: the hash users see.
    pub hash: B256,
}

/// The three heads, and why they last moved. Invariant: finalized <= safe <= latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Sealed and durable on this node.
    pub latest: BlockId,
    /// Derived from DA by this node.
    pub safe: BlockId,
    /// DA block, origin and forced cut final, and so is its parent.
    pub finalized: BlockId,
    /// DA block after which `safe` is the safe head.
    pub safe_da: DaRef,
    /// Counts how often derivation replaced blocks: a change means `latest` may have moved back.
    pub reorgs: u64,
}
