//! Spans to blobs and back: versioned, compressed, signed, bounded.
//!
//! ```text
//! blob     magic "CW" | version | identity prefix 4 | signature 64 | 0 | chunk
//!          or, for each part of a span that needs several: .. | 1 | index | count | span id 16 | chunk
//! payload  chunks in order = compression byte | noise length | compressed content | noise
//! content  header | blocks | column lengths | columns                     see `span` and `columns`
//! ```
//! Noise is the end of the content that does not compress; without compression (0) the payload is
//! that byte and the content. All blobs of a span lie in one DA block. A blob is dropped before its chunk is read unless a
//! poster in force signed it. There is one content for a span: others are refused.
//!
//! What is read is a [`PostedSpan`]: claims against the block below the span, which derivation
//! finds on its own chain.

mod amounts;
mod columns;
mod compress;
mod envelope;
mod rlp;
mod span;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};

use alloy_primitives::{Address, B256, Bytes};
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::posted::SpanError;
use causeway_chainspec::{DaEntry, PostedBlock, PostedSpan, Span};

use crate::DaBlock;
pub use compress::{Compression, MAX_CONTENT_BYTES};
use compress::{DecompressError, decompress};
pub use envelope::SignerOf;
pub(crate) use envelope::recover;
pub use envelope::{ENVELOPE_BYTES, IDENTITY_BYTES, MAGIC, PART_ENVELOPE_BYTES, VERSION};
use envelope::{Opened, Part, Refused, SpanId, poster_of};
use span::Content;
pub use span::{MAX_BLOCKS, MAX_CANDIDATES, MAX_TAKEOVER_BYTES, MAX_TAKEOVER_DEPTH};

/// Why a span cannot be encoded. All are the caller's: the same span fails again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A span without blocks.
    #[error("span has no blocks")]
    Empty,
    /// The blocks are no chain, or a field moves in a way the protocol forbids.
    #[error(transparent)]
    Unlinked(#[from] SpanError),
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
    let posted = span.posted()?;
    for block in &span.blocks {
        if !block.body.matches(&block.claim) {
            let (number, what) = (block.claim.number, "does not commit to its body");
            return Err(SpanError { number, what }.into());
        }
    }
    let payload = write_payload(&posted, vm, options)?;
    envelope::seal(&payload, span.identity, signer, max_blob_bytes)
}

/// The payload of a span: what [`encode`] cuts into blobs and signs. The roots of its blocks are
/// not written: a reader hashes the bodies.
pub fn write_payload(
    span: &PostedSpan,
    vm: &str,
    options: &EncodeOptions,
) -> Result<Vec<u8>, CodecError> {
    let mut content = Content::new(span::format_of(vm));
    for block in &span.blocks {
        content.push(block)?;
    }
    let bytes = content.finish(span)?;
    compress::compress(&bytes, content.noise_bytes(), options.compression, options.level)
}

/// Reads the payload of a span as [`decode`] does once its blobs were found whole and signed.
/// `None` for bytes that are no payload, or of more than [`MAX_CONTENT_BYTES`].
pub fn read_payload(payload: &[u8], identity: B256) -> Option<PostedSpan> {
    span_of(payload, identity).ok()
}

fn span_of(payload: &[u8], identity: B256) -> Result<PostedSpan, DecompressError> {
    let content = decompress(payload)?;
    span::parse(&content, identity).map_err(|error| {
        tracing::debug!(reason = error.0, "signed span is malformed");
        DecompressError::Malformed
    })
}

/// Reads the spans of a DA block. Total: bad bytes are dropped and counted, never an error, and
/// the cost of a blob that no poster signed does not depend on what it claims to hold. Spans
/// stand in the order of their first blobs.
pub fn decode(block: &DaBlock, context: &ReadContext<'_>) -> (DaEntry, Dropped) {
    decode_by(block, context, &poster_of)
}

/// [`decode`], with another answer to who signed: from the 64 bytes of a signature and the digest
/// they should be over. For signers whose keys a test does not have.
pub fn decode_by(
    block: &DaBlock,
    context: &ReadContext<'_>,
    signer: SignerOf<'_>,
) -> (DaEntry, Dropped) {
    let mut dropped = Dropped::default();
    let mut spans: Vec<PostedSpan> = Vec::new();
    for parts in collect(&block.blobs, context, signer, &mut dropped) {
        let blobs = parts.chunks.len() as u64;
        if parts.chunks.len() != usize::from(parts.count) {
            dropped.incomplete += blobs;
            continue;
        }
        match parts.span(context.identity) {
            // The same, posted again in blobs of another size or by another poster.
            Ok(span) if spans.contains(&span) => dropped.duplicate += blobs,
            Ok(span) => spans.push(span),
            Err(DecompressError::Malformed) => dropped.malformed += blobs,
            Err(DecompressError::Oversize) => dropped.oversize += blobs,
        }
    }
    let DaBlock { da, parent, time_ms, forced, keys, blobs: _ } = block.clone();
    let entry = DaEntry { da, parent, time_ms, spans, forced, keys };
    (entry, dropped)
}

/// The blobs of one span found so far.
struct Parts {
    id: SpanId,
    count: u16,
    /// By index, with the hash of each.
    chunks: BTreeMap<u16, (B256, Bytes)>,
}

impl Parts {
    fn span(&self, identity: B256) -> Result<PostedSpan, DecompressError> {
        if let (1, Some((_, chunk))) = (self.count, self.chunks.get(&0)) {
            return span_of(chunk, identity);
        }
        if envelope::span_id(self.chunks.values().map(|(hash, _)| *hash)) != self.id {
            return Err(DecompressError::Malformed);
        }
        let chunks: Vec<&[u8]> = self.chunks.values().map(|(_, chunk)| chunk.as_ref()).collect();
        span_of(&chunks.concat(), identity)
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
        let Opened { poster, part, hash, chunk } = match envelope::open(blob, context, signer) {
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
        // Nobody's blobs mix with another poster's. The count is part of the key: a poster that
        // signs two counts for one payload makes two groups, of which at most one is whole. One
        // that is alone is named by its hash.
        let Part { id, index, count } = part;
        let alone = (count == 1).then_some(hash);
        let at = *by_id.entry((poster, id, count, alone)).or_insert_with(|| {
            found.push(Parts { id, count, chunks: BTreeMap::new() });
            found.len() - 1
        });
        match found[at].chunks.entry(index) {
            Entry::Occupied(_) => dropped.duplicate += 1,
            Entry::Vacant(place) => {
                place.insert((hash, chunk));
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
    pub fn push(&mut self, block: &PostedBlock) -> Result<usize, CodecError> {
        self.content.push(block)?;
        let payload = 1 + self.content.size_bound(self.proof_bytes);
        if payload > MAX_CONTENT_BYTES {
            let (have, most) = (payload, MAX_CONTENT_BYTES);
            return Err(CodecError::TooLarge { what: "bytes", have, most });
        }
        let room = self.max_blob_bytes.saturating_sub(PART_ENVELOPE_BYTES).max(1);
        Ok(payload + payload.div_ceil(room) * PART_ENVELOPE_BYTES)
    }
}
