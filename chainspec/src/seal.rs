//! The seal: what a sequencer signs for a block, and what one needs to check it.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_rlp::{Encodable, RlpDecodable, RlpEncodable};

/// Most bytes a seal's proof may have: room for a quorum certificate of 64 signers.
pub const MAX_PROOF_BYTES: usize = 8 * 1024;

/// What is signed, and what the durable last-signed record holds. Two different tuples with the
/// same (term, view, number) are equivocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct SealTuple {
    /// Chain identity.
    pub identity: B256,
    /// Term of the claim.
    pub term: u64,
    /// Raft term or BFT view; 0 for `single`.
    pub view: u64,
    /// Block number.
    pub number: u64,
    /// Claim hash of the block.
    pub claim: B256,
}

impl SealTuple {
    /// The 32 bytes that are signed: keccak256("causeway/seal/1" || rlp(tuple)).
    pub fn digest(&self) -> B256 {
        let mut bytes = b"causeway/seal/1".to_vec();
        self.encode(&mut bytes);
        keccak256(bytes)
    }
}

/// A sequencer's signature over a [`SealTuple`]; the mode of the chain decides the proof's form
/// (`single`: 65 bytes r, s, v).
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Seal {
    /// View in which it was made.
    pub view: u64,
    /// Signature or certificate, at most [`MAX_PROOF_BYTES`].
    pub proof: Bytes,
}

/// What a seal is checked against: a pure function's whole input.
#[derive(Debug, Clone)]
pub struct SealContext {
    /// Chain identity.
    pub identity: B256,
    /// Keys in force, by the rule of the protocol (section 4, "Key in force").
    pub keys: Vec<Address>,
}
