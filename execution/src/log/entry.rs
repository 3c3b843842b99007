//! What the log remembers, and how it is encoded: version, kind, RLP.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use causeway_chainspec::plan::Candidate;
use causeway_chainspec::{Block, BlockBody, BlockPlan, Claim, ForcedEntry, Seal, SealTuple, Tx};

use crate::ExecutionError;

/// First byte of every entry.
const VERSION: u8 = 1;
/// Kind of an entry that truncation carried forward: its first offset, then the entry itself.
const COPIED: u8 = 0xff;

/// One thing a node must not forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A transaction this node has acknowledged.
    Accepted(Accepted),
    /// What this node signed last, carried forward without its block by truncation.
    Signed(SealTuple),
    /// A record of the sequencer, in its own format.
    Vote(Bytes),
    /// A block became the newest.
    Block(Box<BlockEntry>),
    /// Blocks above this one were dropped.
    Unwind(UnwindEntry),
    /// A DA height was derived.
    Derived(DerivedEntry),
    /// Derivation went back.
    Underive(UnderiveEntry),
    /// An intent to publish, in the publisher's own format.
    Publish(Bytes),
}

/// An acknowledged transaction.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Accepted {
    /// EIP-2718 bytes.
    pub raw: Bytes,
    /// Recovered before; never again.
    pub sender: Address,
}

impl Accepted {
    /// The transaction again.
    pub fn tx(&self) -> Result<Tx, ExecutionError> {
        Tx::stored(self.raw.clone(), self.sender)
            .map_err(|error| ExecutionError::Damaged(format!("a logged transaction: {error}")))
    }
}

/// A committed block as the input it is made from, and the hash that execution must give again.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct BlockEntry {
    /// The claim.
    pub claim: Claim,
    /// Its body.
    pub body: BlockBody,
    /// Forced entries it takes.
    pub forced: Vec<ForcedEntry>,
    /// None or one.
    pub seal: Vec<Seal>,
    /// Header hash.
    pub hash: B256,
    /// One a candidate (forced first); zero where the bytes are no transaction.
    pub senders: Vec<Address>,
    /// None or one: what this node signed with it. In the same frame, so that no torn tail can
    /// leave a signature without its block.
    pub signed: Vec<SealTuple>,
}

impl BlockEntry {
    /// What must be logged of a block, and of this node's signature for it.
    pub fn new(block: &Block, seal: Option<Seal>, signed: Option<SealTuple>) -> Self {
        let plan = &block.plan;
        Self {
            claim: plan.claim.clone(),
            body: plan.body.clone(),
            forced: plan.forced.clone(),
            seal: seal.into_iter().collect(),
            hash: block.hash,
            senders: plan
                .candidates
                .iter()
                .map(|candidate| match candidate {
                    Candidate::Tx(tx) => tx.sender,
                    Candidate::Invalid(..) => Address::ZERO,
                })
                .collect(),
            signed: signed.into_iter().collect(),
        }
    }

    /// The plan again, recovering no sender twice.
    pub fn plan(&self) -> Result<BlockPlan, ExecutionError> {
        let bytes = self.forced.iter().map(|entry| &entry.bytes).chain(&self.body.candidates);
        let mut candidates = Vec::with_capacity(self.senders.len());
        for (bytes, sender) in bytes.zip(&self.senders) {
            let in_lane = candidates.len() < self.forced.len();
            candidates.push(match sender.is_zero() {
                true if in_lane => Candidate::forced(bytes),
                true => Candidate::decode(bytes),
                false => {
                    let accepted = Accepted { raw: bytes.clone(), sender: *sender };
                    Candidate::Tx(Arc::new(accepted.tx()?))
                }
            });
        }
        if candidates.len() != self.forced.len() + self.body.candidates.len() {
            let number = self.claim.number;
            return Err(ExecutionError::Damaged(format!("logged block {number} lacks senders")));
        }
        Ok(BlockPlan {
            claim: self.claim.clone(),
            body: self.body.clone(),
            forced: self.forced.clone(),
            candidates,
        })
    }
}

/// See [`Entry::Unwind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct UnwindEntry {
    /// Number of the newest block afterwards.
    pub to: u64,
    /// Its claim hash.
    pub claim: B256,
}

/// See [`Entry::Derived`].
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct DerivedEntry {
    /// DA height.
    pub height: u64,
    /// The deriver's own format.
    pub record: Bytes,
    /// Safe block number afterwards.
    pub safe: u64,
    /// Finalized block number afterwards.
    pub finalized: u64,
}

/// See [`Entry::Underive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct UnderiveEntry {
    /// Newest DA height that stays derived.
    pub height: u64,
    /// Safe block number afterwards.
    pub safe: u64,
}

impl Entry {
    /// Version, kind, RLP.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.kind()];
        match self {
            Self::Accepted(entry) => entry.encode(&mut out),
            Self::Signed(entry) => entry.encode(&mut out),
            Self::Vote(bytes) | Self::Publish(bytes) => bytes.encode(&mut out),
            Self::Block(entry) => entry.encode(&mut out),
            Self::Unwind(entry) => entry.encode(&mut out),
            Self::Derived(entry) => entry.encode(&mut out),
            Self::Underive(entry) => entry.encode(&mut out),
        }
        out
    }

    /// The entry as a copy of one that stood at `offset` first.
    pub(super) fn encode_copy(&self, offset: u64) -> Vec<u8> {
        let mut out = vec![VERSION, COPIED];
        out.extend_from_slice(&offset.to_be_bytes());
        out.extend(self.encode());
        out
    }

    /// Reads what [`Entry::encode`] wrote, and for a copy where it stood first.
    pub fn decode(payload: &[u8]) -> Result<(Option<u64>, Self), ExecutionError> {
        let damaged = |what: String| ExecutionError::Damaged(format!("log entry: {what}"));
        let [version, kind, rest @ ..] = payload else {
            return Err(damaged("too short".into()));
        };
        if *version != VERSION {
            return Err(ExecutionError::Datadir(format!(
                "the log has entries of version {version}, this binary reads {VERSION}: use the \
                 binary that wrote it"
            )));
        }
        if *kind == COPIED {
            let (offset, inner) =
                rest.split_first_chunk::<8>().ok_or_else(|| damaged("too short".into()))?;
            // A copy is made of an entry, never of a copy: no file can make this recurse.
            if inner.get(1) == Some(&COPIED) {
                return Err(damaged("a copy of a copy".into()));
            }
            return Ok((Some(u64::from_be_bytes(*offset)), Self::decode(inner)?.1));
        }
        let mut buf = rest;
        let entry = Self::decode_kind(*kind, &mut buf).map_err(|e| damaged(e.to_string()))?;
        if buf.is_empty() { Ok((None, entry)) } else { Err(damaged("trailing bytes".into())) }
    }

    fn decode_kind(kind: u8, buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        Ok(match kind {
            1 => Self::Accepted(Decodable::decode(buf)?),
            2 => Self::Signed(Decodable::decode(buf)?),
            3 => Self::Vote(Decodable::decode(buf)?),
            4 => Self::Block(Box::new(Decodable::decode(buf)?)),
            5 => Self::Unwind(Decodable::decode(buf)?),
            6 => Self::Derived(Decodable::decode(buf)?),
            7 => Self::Underive(Decodable::decode(buf)?),
            8 => Self::Publish(Decodable::decode(buf)?),
            _ => return Err(alloy_rlp::Error::Custom("unknown kind")),
        })
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Accepted(_) => 1,
            Self::Signed(_) => 2,
            Self::Vote(_) => 3,
            Self::Block(_) => 4,
            Self::Unwind(_) => 5,
            Self::Derived(_) => 6,
            Self::Underive(_) => 7,
            Self::Publish(_) => 8,
        }
    }
}
