//! Spans to blobs and back: versioned, compressed, signed, bounded.
//!
//! ```text
//! blob     magic "CWSP" | version | identity prefix 8 | span id 32 | index u16 | count u16
//!          | signature 65 | chunk                                          one poster signature each
//! payload  chunks in order = compression byte | compressed content         span id = keccak256
//! content  header | column lengths | columns                               see `span` and `columns`
//! ```
//! All blobs of a span lie in one DA block. A blob is dropped before its chunk is read unless a
//! poster in force signed it. There is one content for a span: others are refused.

mod columns;
mod compress;
mod envelope;
mod span;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{HashMap, HashSet};

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::{DaEntry, Span, SpanBlock};

use crate::DaBlock;
pub use compress::{Compression, MAX_CONTENT_BYTES};
use compress::{DecompressError, decompress};
pub use envelope::SignerOf;
pub(crate) use envelope::recover;
pub use envelope::{ENVELOPE_BYTES, MAGIC, VERSION};
use envelope::{Opened, Refused};
use span::Content;
pub use span::{MAX_BLOCKS, MAX_CANDIDATES, MAX_TAKEOVER_BYTES, MAX_TAKEOVER_DEPTH};

/// Why a span cannot be encoded. All are the caller's: the same span fails again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A span without blocks.
    #[error("span has no blocks")]
    Empty,
    /// The blocks are no chain, or a field moves in a way the protocol forbids.
    #[error("block {number} of the span: {what}")]
    Unlinked {
        /// Number in its claim.
        number: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// More than one span may hold: cut it into several.
    #[error("span is too large: {what} {have}, most {most}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How much there is.
        have: usize,
        /// How much is allowed.
        most: usize,
    },
    /// The blob limit leaves no room.
    #[error("{payload_bytes} bytes do not fit 65,535 blobs of {max_blob_bytes} bytes")]
    BlobTooSmall {
        /// Limit of one blob.
        max_blob_bytes: usize,
        /// Bytes to carry.
        payload_bytes: usize,
    },
    /// The level does not exist, or the library failed.
    #[error("compression: {0}")]
    Compression(String),
    /// The poster's key did not sign.
    #[error("poster key: {0}")]
    Signer(String),
}

/// How to compress. The reader needs none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Compression.
    pub compression: Compression,
    /// Its level.
    pub level: i32,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { compression: Compression::Zstd, level: 3 }
    }
}

/// What blobs are checked against.
#[derive(Debug, Clone, Copy)]
pub struct ReadContext<'a> {
    /// Chain identity.
    pub identity: B256,
    /// Poster keys in force at the DA block.
    pub posters: &'a [Address],
}

/// How many blobs of a DA block were dropped, by reason. For metrics and the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Not ours: another magic or identity.
    pub foreign: u64,
    /// Ours by its first bytes, in a version this binary does not know: a hint to upgrade.
    pub version: u64,
    /// Signed by nobody who may post.
    pub unsigned: u64,
    /// Signed, and not a canonical span.
    pub malformed: u64,
    /// Others of the span are not in this DA block.
    pub incomplete: u64,
    /// Content above [`MAX_CONTENT_BYTES`].
    pub oversize: u64,
    /// Repeats of a blob of this DA block; the span stands once, at its first blob.
    pub duplicate: u64,
}

impl Dropped {
    /// Blobs dropped for any reason.
    pub fn total(&self) -> u64 {
        let Self { foreign, version, unsigned, malformed, incomplete, oversize, duplicate } = self;
        foreign + version + unsigned + malformed + incomplete + oversize + duplicate
    }
}

/// Encodes a span into blobs of at most `max_blob_bytes`, in order, to be submitted together.
/// `vm` chooses how transactions are written: in columns where they are Ethereum's, else opaque.
/// The same arguments give the same blobs.
pub fn encode(
    span: &Span,
    vm: &str,
    signer: &PrivateKeySigner,
    options: &EncodeOptions,
    max_blob_bytes: usize,
) -> Result<Vec<Bytes>, CodecError> {
    let payload = write_payload(span, vm, options)?;
    envelope::seal(&payload, span.identity, signer, max_blob_bytes)
}

/// The payload of a span: what [`encode`] cuts into blobs and signs.
pub fn write_payload(
    span: &Span,
    vm: &str,
    options: &EncodeOptions,
) -> Result<Vec<u8>, CodecError> {
    check_links(span)?;
    let mut content = Content::new(span::format_of(vm));
    for block in &span.blocks {
        content.push(block)?;
    }
    let bytes = content.finish(span)?;
    compress::compress(&bytes, options.compression, options.level)
}

/// Reads the payload of a span as [`decode`] does once its blobs were found whole and signed.
/// `None` for bytes that are no payload, or of more than [`MAX_CONTENT_BYTES`].
pub fn read_payload(payload: &[u8], identity: B256) -> Option<Span> {
    span_of(payload, identity).ok()
}

fn span_of(payload: &[u8], identity: B256) -> Result<Span, DecompressError> {
    let content = decompress(payload)?;
    span::parse(&content, identity).map_err(|error| {
        tracing::debug!(reason = error.0, "signed span is malformed");
        DecompressError::Malformed
    })
}

/// What only hashes show: each claim is the parent of the next and commits to its body.
fn check_links(span: &Span) -> Result<(), CodecError> {
    let mut parent = None;
    for block in &span.blocks {
        let unlinked = |what| CodecError::Unlinked { number: block.claim.number, what };
        if block.claim.identity != span.identity {
            return Err(unlinked("is of another chain"));
        }
        if parent.is_some_and(|parent| parent != block.claim.parent) {
            return Err(unlinked("does not follow the block before it"));
        }
        if !block.body.matches(&block.claim) {
            return Err(unlinked("does not commit to its body"));
        }
        parent = Some(block.claim.hash());
    }
    Ok(())
}

/// Reads the spans of a DA block. Total: bad bytes are dropped and counted, never an error, and
/// the cost of a blob that no poster signed does not depend on what it claims to hold. Spans
/// stand in the order of their first blobs.
pub fn decode(block: &DaBlock, context: &ReadContext<'_>) -> (DaEntry, Dropped) {
    decode_by(block, context, &recover)
}

/// [`decode`], with another answer to who signed: from the 65 bytes of a signature and the digest
/// they should be over. For signers whose keys a test does not have.
pub fn decode_by(
    block: &DaBlock,
    context: &ReadContext<'_>,
    signer: SignerOf<'_>,
) -> (DaEntry, Dropped) {
    let mut dropped = Dropped::default();
    let mut spans = Vec::new();
    let mut whole = HashSet::new();
    for parts in collect(&block.blobs, context, signer, &mut dropped) {
        let blobs = parts.chunks.len() as u64;
        if parts.chunks.len() != usize::from(parts.count) {
            dropped.incomplete += blobs;
            continue;
        }
        // The same payload, posted again in blobs of another size.
        if !whole.insert(parts.id) {
            dropped.duplicate += blobs;
            continue;
        }
        match parts.span(context.identity) {
            Ok(span) => spans.push(span),
            Err(DecompressError::Malformed) => dropped.malformed += blobs,
            Err(DecompressError::Oversize) => dropped.oversize += blobs,
        }
    }
    let DaBlock { da, parent, time_ms, forced, .. } = block;
    let entry =
        DaEntry { da: *da, parent: *parent, time_ms: *time_ms, spans, forced: forced.clone() };
    (entry, dropped)
}

/// The blobs of one span found so far.
struct Parts {
    id: B256,
    count: u16,
    chunks: BTreeMap<u16, Bytes>,
}

impl Parts {
    fn span(&self, identity: B256) -> Result<Span, DecompressError> {
        let payload = self.chunks.values().map(AsRef::as_ref).collect::<Vec<&[u8]>>().concat();
        if keccak256(&payload) != self.id {
            return Err(DecompressError::Malformed);
        }
        span_of(&payload, identity)
    }
}

fn collect(
    blobs: &[Bytes],
    context: &ReadContext<'_>,
    signer: SignerOf<'_>,
    dropped: &mut Dropped,
) -> Vec<Parts> {
    let mut found: Vec<Parts> = Vec::new();
    let mut by_id = HashMap::new();
    for blob in blobs {
        let Opened { id, index, count, chunk } = match envelope::open(blob, context, signer) {
            Ok(opened) => opened,
            Err(reason) => {
                *match reason {
                    Refused::Foreign => &mut dropped.foreign,
                    Refused::Version => &mut dropped.version,
                    Refused::Unsigned => &mut dropped.unsigned,
                    Refused::Malformed => &mut dropped.malformed,
                } += 1;
                continue;
            }
        };
        // The count is part of the key: a poster that signs two counts for one payload makes two
        // groups, of which at most one is whole.
        let at = *by_id.entry((id, count)).or_insert_with(|| {
            found.push(Parts { id, count, chunks: BTreeMap::new() });
            found.len() - 1
        });
        match found[at].chunks.entry(index) {
            Entry::Occupied(_) => dropped.duplicate += 1,
            Entry::Vacant(place) => {
                place.insert(chunk);
            }
        }
    }
    found
}

/// Measures a span while blocks are added, so that a publisher can stop before a limit.
pub struct SpanBuilder {
    content: Content,
    proof_bytes: usize,
    max_blob_bytes: usize,
}

impl SpanBuilder {
    /// An empty span for `vm`, whose seal will have `proof_bytes` of proof.
    pub fn new(vm: &str, proof_bytes: usize, max_blob_bytes: usize) -> Self {
        Self { content: Content::new(span::format_of(vm)), proof_bytes, max_blob_bytes }
    }

    /// Adds the next block and returns an upper bound of what [`encode`] makes of all so far: the
    /// bytes of all blobs together. It counts no compression, so the truth is lower. An error
    /// means that the block cannot join this span; what was added before it can be encoded.
    pub fn push(&mut self, block: &SpanBlock) -> Result<usize, CodecError> {
        self.content.push(block)?;
        let payload = 1 + self.content.size_bound(self.proof_bytes);
        if payload > MAX_CONTENT_BYTES {
            let (have, most) = (payload, MAX_CONTENT_BYTES);
            return Err(CodecError::TooLarge { what: "bytes", have, most });
        }
        let room = self.max_blob_bytes.saturating_sub(ENVELOPE_BYTES).max(1);
        Ok(payload + payload.div_ceil(room) * ENVELOPE_BYTES)
    }
}
