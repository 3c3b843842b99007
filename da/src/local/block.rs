//! Blocks of the local service: header, entries, hash and signature, and what a reader of one
//! namespace gets of them.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_rlp::{Encodable, RlpDecodable, RlpEncodable};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::DaRef;
use serde::{Deserialize, Serialize};

use crate::codec::recover;
use crate::{DaBlock, DaError};

/// What is signed of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable, Serialize, Deserialize)]
pub struct BlockHeader {
    /// Height, from 0.
    pub height: u64,
    /// Hash of the block before; zero for block 0.
    pub parent: B256,
    /// Time in ms; never below the parent's.
    pub time_ms: u64,
    /// keccak256 of the concatenated hashes of the entries.
    pub entries: B256,
}

impl BlockHeader {
    /// keccak256("causeway/da/1" || rlp(header)).
    pub fn hash(&self) -> B256 {
        let mut bytes = b"causeway/da/1".to_vec();
        self.encode(&mut bytes);
        keccak256(bytes)
    }

    /// Height and hash.
    pub fn da(&self) -> DaRef {
        DaRef { height: self.height, hash: self.hash() }
    }
}

/// A header and the service's signature (r, s, v) over its hash.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable, Serialize, Deserialize)]
pub struct SignedHeader {
    /// The header.
    #[serde(flatten)]
    pub header: BlockHeader,
    /// 65 bytes.
    pub signature: Bytes,
}

impl SignedHeader {
    /// Signs.
    pub fn new(header: BlockHeader, key: &PrivateKeySigner) -> Result<Self, DaError> {
        let signature = key
            .sign_hash_sync(&header.hash())
            .map_err(|error| DaError::Config(format!("key of the local service: {error}")))?;
        Ok(Self { header, signature: signature.as_bytes().into() })
    }

    /// Who signed, if anybody did.
    pub fn signer(&self) -> Option<Address> {
        if self.signature.len() == 65 { recover(&self.signature, self.header.hash()) } else { None }
    }
}

/// One blob or one forced entry.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Entry {
    /// Identity of the chain it is for.
    pub namespace: B256,
    /// True in the forced lane.
    pub forced: bool,
    /// The bytes.
    pub bytes: Bytes,
}

impl Entry {
    /// keccak256(namespace || lane || keccak256(bytes)).
    pub fn hash(&self) -> B256 {
        entry_hash(self.namespace, self.forced, keccak256(&self.bytes))
    }
}

fn entry_hash(namespace: B256, forced: bool, content: B256) -> B256 {
    let mut bytes = [0; 65];
    bytes[..32].copy_from_slice(namespace.as_slice());
    bytes[32] = u8::from(forced);
    bytes[33..].copy_from_slice(content.as_slice());
    keccak256(bytes)
}

/// keccak256 of the concatenated entry hashes.
pub fn entries_root(hashes: impl Iterator<Item = B256>) -> B256 {
    keccak256(hashes.flat_map(|hash| hash.0).collect::<Vec<u8>>())
}

/// A whole block, as stored.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Block {
    /// Header and signature.
    pub signed: SignedHeader,
    /// Entries in order.
    pub entries: Vec<Entry>,
}

/// An entry as a reader of one namespace gets it. Others' entries come as namespace and hash, so
/// that the reader can check the block and see that none of its own was held back.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Part {
    /// Namespace.
    pub namespace: B256,
    /// True in the forced lane.
    pub forced: bool,
    /// The bytes; of another namespace, the 32 bytes of their keccak256.
    pub bytes: Bytes,
}

/// A block for a reader of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct BlockAnswer {
    /// Header and signature.
    pub signed: SignedHeader,
    /// Every entry of the block, in order.
    pub parts: Vec<Part>,
}

impl Block {
    /// What a reader of `namespace` gets.
    pub fn answer(self, namespace: B256) -> BlockAnswer {
        let part = |entry: Entry| {
            let own = entry.namespace == namespace;
            let bytes = if own { entry.bytes } else { keccak256(&entry.bytes).into() };
            Part { namespace: entry.namespace, forced: entry.forced, bytes }
        };
        BlockAnswer { signed: self.signed, parts: self.entries.into_iter().map(part).collect() }
    }
}

impl BlockAnswer {
    /// The block as derivation sees it, if all of it is what `signer` signed at `height`.
    pub fn verify(self, signer: Address, height: u64, namespace: B256) -> Result<DaBlock, DaError> {
        let header = self.signed.header;
        if header.height != height {
            let text = format!("asked for height {height}, got {}", header.height);
            return Err(DaError::Damaged(text));
        }
        if self.signed.signer() != Some(signer) {
            let text = format!("height {height} is not signed by {signer}");
            return Err(DaError::Damaged(text));
        }
        let mut hashes = Vec::with_capacity(self.parts.len());
        let (mut blobs, mut forced) = (Vec::new(), Vec::new());
        for part in self.parts {
            let content = if part.namespace == namespace {
                keccak256(&part.bytes)
            } else {
                B256::try_from(part.bytes.as_ref())
                    .map_err(|_| DaError::Damaged(format!("height {height}: no hash")))?
            };
            hashes.push(entry_hash(part.namespace, part.forced, content));
            if part.namespace == namespace {
                if part.forced { &mut forced } else { &mut blobs }.push(part.bytes);
            }
        }
        if entries_root(hashes.into_iter()) != header.entries {
            let text = format!("height {height}: entries are not those that were signed");
            return Err(DaError::Damaged(text));
        }
        let BlockHeader { parent, time_ms, .. } = header;
        let keys = Vec::new();
        Ok(DaBlock { da: header.da(), parent, time_ms, blobs, forced, keys })
    }
}
