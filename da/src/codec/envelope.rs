//! The envelope of one blob: who signed it, which span it belongs to, and where in it.

use alloy_primitives::{Address, B256, Bytes, Signature, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;

use super::{CodecError, ReadContext};

/// First bytes of every blob.
pub const MAGIC: [u8; 4] = *b"CWSP";
/// Version of envelope and content.
pub const VERSION: u8 = 1;
/// Bytes before the chunk: magic 4, version 1, identity prefix 8, span id 32, index 2, count 2,
/// signature 65. Integers are big-endian.
pub const ENVELOPE_BYTES: usize = 114;

/// A blob whose signature is good: chunk `index` of `count` of a span's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) id: B256,
    pub(super) index: u16,
    pub(super) count: u16,
    pub(super) chunk: Bytes,
}

/// Why a blob was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Foreign,
    Version,
    Unsigned,
    Malformed,
}

/// Who made the 65 bytes of a signature over a digest, if anybody did.
pub type SignerOf<'a> = &'a dyn Fn(&[u8], B256) -> Option<Address>;

/// What the poster signs: keccak256("causeway/blob/1" || identity || span id || index || count ||
/// keccak256(chunk)).
fn digest(identity: B256, id: B256, index: u16, count: u16, chunk: &[u8]) -> B256 {
    let mut bytes = b"causeway/blob/1".to_vec();
    bytes.extend_from_slice(identity.as_slice());
    bytes.extend_from_slice(id.as_slice());
    bytes.extend_from_slice(&index.to_be_bytes());
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes.extend_from_slice(keccak256(chunk).as_slice());
    keccak256(bytes)
}

/// Cuts a payload into signed blobs of at most `max_blob_bytes`. The span id is its hash.
pub(super) fn seal(
    payload: &[u8],
    identity: B256,
    signer: &PrivateKeySigner,
    max_blob_bytes: usize,
) -> Result<Vec<Bytes>, CodecError> {
    let room = max_blob_bytes.saturating_sub(ENVELOPE_BYTES);
    let chunks = if room == 0 { usize::MAX } else { payload.len().div_ceil(room) };
    let count = u16::try_from(chunks)
        .map_err(|_| CodecError::BlobTooSmall { max_blob_bytes, payload_bytes: payload.len() })?;
    let id = keccak256(payload);
    let mut blobs = Vec::with_capacity(chunks);
    for (index, chunk) in (0..count).zip(payload.chunks(room)) {
        let signature = signer
            .sign_hash_sync(&digest(identity, id, index, count, chunk))
            .map_err(|error| CodecError::Signer(error.to_string()))?;
        let mut blob = Vec::with_capacity(ENVELOPE_BYTES + chunk.len());
        blob.extend_from_slice(&MAGIC);
        blob.push(VERSION);
        blob.extend_from_slice(&identity[..8]);
        blob.extend_from_slice(id.as_slice());
        blob.extend_from_slice(&index.to_be_bytes());
        blob.extend_from_slice(&count.to_be_bytes());
        blob.extend_from_slice(&signature.as_bytes());
        blob.extend_from_slice(chunk);
        blobs.push(blob.into());
    }
    Ok(blobs)
}

/// Checks where a blob belongs and who signed it, before anything of its chunk is read. A blob of
/// somebody else costs a comparison; one that pretends to be ours costs a hash and a recovery.
pub(super) fn open(
    blob: &Bytes,
    context: &ReadContext<'_>,
    signer: SignerOf<'_>,
) -> Result<Opened, Refused> {
    if !blob.starts_with(&MAGIC) || blob.get(5..13) != Some(&context.identity[..8]) {
        return Err(Refused::Foreign);
    }
    if blob[4] != VERSION {
        return Err(Refused::Version);
    }
    if blob.len() <= ENVELOPE_BYTES {
        return Err(Refused::Malformed);
    }
    let id = B256::from_slice(&blob[13..45]);
    let index = u16::from_be_bytes([blob[45], blob[46]]);
    let count = u16::from_be_bytes([blob[47], blob[48]]);
    if index >= count {
        return Err(Refused::Malformed);
    }
    let chunk = blob.slice(ENVELOPE_BYTES..);
    let digest = digest(context.identity, id, index, count, &chunk);
    match signer(&blob[49..ENVELOPE_BYTES], digest) {
        Some(poster) if context.posters.contains(&poster) => Ok(Opened { id, index, count, chunk }),
        _ => Err(Refused::Unsigned),
    }
}

/// The address behind 65 bytes r, s, v (27 or 28) over a digest.
pub(crate) fn recover(signature: &[u8], digest: B256) -> Option<Address> {
    if !matches!(signature.get(64), Some(27 | 28)) {
        return None;
    }
    Signature::from_raw(signature).ok()?.recover_address_from_prehash(&digest).ok()
}
