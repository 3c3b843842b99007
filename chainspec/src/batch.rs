//! What DA carries, decoded: spans of sealed claims and entries of the forced lane.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

use crate::block::{BlockBody, Claim, ForcedCut, Origin};
use crate::l1::KeyUpdate;
use crate::posted::PostedSpan;
use crate::seal::Seal;

/// A DA block by height and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, RlpEncodable, RlpDecodable)]
pub struct DaRef {
    /// Height in the DA layer.
    pub height: u64,
    /// Hash in the DA layer.
    pub hash: B256,
}

/// A block, as far as the claim of its child depends on it.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
pub struct Tip {
    /// Claim hash.
    pub claim: B256,
    /// Block number.
    pub number: u64,
    /// Time, ms.
    pub time_ms: u64,
    /// Term.
    pub term: u64,
    /// Forced lane.
    pub cut: ForcedCut,
    /// Parent chain block, if it has one.
    pub origin: Option<Origin>,
}

impl Tip {
    /// The tip that a claim makes.
    pub fn of(claim: &Claim) -> Self {
        Self {
            claim: claim.hash(),
            number: claim.number,
            time_ms: claim.time_ms,
            term: claim.term,
            cut: claim.cut,
            origin: claim.origin,
        }
    }
}

/// One block of a span: its claim and what the claim commits to.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct SpanBlock {
    /// The claim.
    pub claim: Claim,
    /// Candidates and inbound bodies.
    pub body: BlockBody,
}

/// Consecutive claims to be posted together, with one seal over the last. What a reader gets of it
/// is a [`PostedSpan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Chain identity: a span of another chain is dropped.
    pub identity: B256,
    /// Rules hash of the poster: an alarm, never a rule.
    pub rules_hash: B256,
    /// The block below the first.
    pub parent: Tip,
    /// At least one block, each the parent of the next.
    pub blocks: Vec<SpanBlock>,
    /// Seal over the last claim.
    pub seal: Seal,
    /// Header hash the poster computed for the last block: a divergence alarm, never believed.
    pub last_header: B256,
}

/// Bytes that somebody else than the sequencer put on DA to be included.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct ForcedEntry {
    /// DA block it came with.
    pub da: DaRef,
    /// Time of that DA block as derivation uses it, in ms.
    pub time_ms: u64,
    /// A signed EIP-2718 transaction, if its author was honest, or a message of the parent chain.
    pub bytes: Bytes,
}

impl ForcedEntry {
    /// What the lane's accumulator takes in: keccak256(da height || da hash || bytes).
    pub fn hash(&self) -> B256 {
        let mut out = Vec::with_capacity(40 + self.bytes.len());
        out.extend_from_slice(&self.da.height.to_be_bytes());
        out.extend_from_slice(self.da.hash.as_slice());
        out.extend_from_slice(&self.bytes);
        keccak256(out)
    }
}

/// One DA block as derivation sees it: authenticity checked, bad bytes dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaEntry {
    /// Height and hash.
    pub da: DaRef,
    /// Hash of the previous DA block.
    pub parent: B256,
    /// Own time of the DA block, in ms.
    pub time_ms: u64,
    /// Spans in DA order.
    pub spans: Vec<PostedSpan>,
    /// Forced bytes in DA order.
    pub forced: Vec<Bytes>,
    /// Keys that the system config of the parent chain sets, in order.
    pub keys: Vec<KeyUpdate>,
}
