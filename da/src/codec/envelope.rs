//! The envelope of one blob: who signed it, which span it belongs to, and where in it.

use alloy_primitives::{Address, B256, Bytes, FixedBytes, Signature, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::block::concat_hash;

use super::{CodecError, ReadContext};

/// First bytes of every blob.
pub const MAGIC: [u8; 2] = *b"CW";
/// Version of envelope and content.
pub const VERSION: u8 = 1;
/// Bytes of the chain identity in a blob: whose it is at first sight. The signature covers all 32.
pub const IDENTITY_BYTES: usize = 4;
/// Bytes before the chunk of a blob that holds its span alone: magic 2, version 1, identity prefix
/// 4, signature 64 (EIP-2098), and a zero.
pub const ENVELOPE_BYTES: usize = SIGNED + 65;
/// Bytes before the chunk of a part of a span: instead of the zero a one, then index u16, count u16
/// (at least 2; big-endian) and span id 16.
pub const PART_ENVELOPE_BYTES: usize = ENVELOPE_BYTES + 20;
/// Where the signature begins.
const SIGNED: usize = MAGIC.len() + 1 + IDENTITY_BYTES;

/// Name of a span cut into several blobs: the first bytes of keccak256 over the hashes of its
/// chunks in order. Zero where there is one blob.
pub(super) type SpanId = FixedBytes<16>;

/// Which part of a span a blob holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub(super) id: SpanId,
    pub(super) index: u16,
    pub(super) count: u16,
}

/// A blob whose signature is good: a part of a span's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) poster: Address,
    pub(super) part: Part,
    pub(super) hash: B256,
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

/// Who made the 64 bytes of a signature over a digest, if anybody did.
pub type SignerOf<'a> = &'a dyn Fn(&[u8], B256) -> Option<Address>;

/// What the poster signs: keccak256("causeway/blob/1" || identity || span id || index || count ||
/// keccak256(chunk)).
fn digest(identity: B256, part: Part, chunk: B256) -> B256 {
    let mut bytes = b"causeway/blob/1".to_vec();
    bytes.extend_from_slice(identity.as_slice());
    bytes.extend_from_slice(part.id.as_slice());
    bytes.extend_from_slice(&part.index.to_be_bytes());
    bytes.extend_from_slice(&part.count.to_be_bytes());
    bytes.extend_from_slice(chunk.as_slice());
    keccak256(bytes)
}

/// The id of a span whose chunks have these hashes.
pub(super) fn span_id(chunks: impl Iterator<Item = B256>) -> SpanId {
    SpanId::from_slice(&concat_hash(chunks)[..SpanId::len_bytes()])
}

/// Cuts a payload into signed blobs of at most `max_blob_bytes`.
pub(super) fn seal(
    payload: &[u8],
    identity: B256,
    signer: &PrivateKeySigner,
    max_blob_bytes: usize,
) -> Result<Vec<Bytes>, CodecError> {
    let one = ENVELOPE_BYTES + payload.len() <= max_blob_bytes;
    let envelope = if one { ENVELOPE_BYTES } else { PART_ENVELOPE_BYTES };
    let room = max_blob_bytes.saturating_sub(envelope);
    let chunks = if room == 0 { usize::MAX } else { payload.len().div_ceil(room) };
    let count = u16::try_from(chunks)
        .map_err(|_| CodecError::BlobTooSmall { max_blob_bytes, payload_bytes: payload.len() })?;
    let hashes: Vec<_> = payload.chunks(room).map(keccak256).collect();
    let id = if one { SpanId::ZERO } else { span_id(hashes.iter().copied()) };
    let mut blobs = Vec::with_capacity(chunks);
    for ((index, chunk), hash) in (0..count).zip(payload.chunks(room)).zip(hashes) {
        let part = Part { id, index, count };
        let signature = signer
            .sign_hash_sync(&digest(identity, part, hash))
            .map_err(|error| CodecError::Signer(error.to_string()))?;
        let mut blob = Vec::with_capacity(envelope + chunk.len());
        blob.extend_from_slice(&MAGIC);
        blob.push(VERSION);
        blob.extend_from_slice(&identity[..IDENTITY_BYTES]);
        blob.extend_from_slice(&signature.as_erc2098());
        blob.push(u8::from(!one));
        if !one {
            blob.extend_from_slice(&index.to_be_bytes());
            blob.extend_from_slice(&count.to_be_bytes());
            blob.extend_from_slice(id.as_slice());
        }
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
    let identity = &context.identity[..IDENTITY_BYTES];
    if !blob.starts_with(&MAGIC) || blob.get(MAGIC.len() + 1..SIGNED) != Some(identity) {
        return Err(Refused::Foreign);
    }
    if blob[MAGIC.len()] != VERSION {
        return Err(Refused::Version);
    }
    let (part, start) = part_of(blob).ok_or(Refused::Malformed)?;
    let chunk = blob.slice(start..);
    let hash = keccak256(&chunk);
    let signature = &blob[SIGNED..SIGNED + 64];
    match signer(signature, digest(context.identity, part, hash)) {
        Some(poster) if context.posters.contains(&poster) => {
            Ok(Opened { poster, part, hash, chunk })
        }
        _ => Err(Refused::Unsigned),
    }
}

/// Which part a blob says it is, and where its chunk begins, which is not empty.
fn part_of(blob: &[u8]) -> Option<(Part, usize)> {
    let (part, start) = match *blob.get(ENVELOPE_BYTES - 1)? {
        0 => (Part { id: SpanId::ZERO, index: 0, count: 1 }, ENVELOPE_BYTES),
        1 => {
            let place = blob.get(ENVELOPE_BYTES..PART_ENVELOPE_BYTES)?;
            let index = u16::from_be_bytes([place[0], place[1]]);
            let count = u16::from_be_bytes([place[2], place[3]]);
            if count < 2 || index >= count {
                return None;
            }
            (Part { id: SpanId::from_slice(&place[4..]), index, count }, PART_ENVELOPE_BYTES)
        }
        _ => return None,
    };
    (blob.len() > start).then_some((part, start))
}

/// The address behind a signature of a blob: EIP-2098, `s` in the lower half.
pub(super) fn poster_of(signature: &[u8], digest: B256) -> Option<Address> {
    let signature = Signature::from_erc2098(signature.get(..64)?);
    if signature.normalize_s().is_some() {
        return None;
    }
    signature.recover_address_from_prehash(&digest).ok()
}

/// The address behind 65 bytes r, s, v (27 or 28) over a digest.
pub(crate) fn recover(signature: &[u8], digest: B256) -> Option<Address> {
    if !matches!(signature.get(64), Some(27 | 28)) {
        return None;
    }
    Signature::from_raw(signature).ok()?.recover_address_from_prehash(&digest).ok()
}
