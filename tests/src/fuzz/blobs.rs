//! What anybody can put on DA: blobs, the payload of a span, and its content.

use alloy_primitives::{Address, B256, Bytes};
use causeway_chainspec::{DaRef, PostedSpan};
use causeway_da::DaBlock;
use causeway_da::codec::{
    self, Compression, ENVELOPE_BYTES, EncodeOptions, MAX_BLOCKS, MAX_CANDIDATES,
    MAX_CONTENT_BYTES, MAX_TAKEOVER_DEPTH, ReadContext,
};

use super::lab;

/// Who may post in these tests.
const POSTER: Address = Address::repeat_byte(0x70);

/// A span's content as it stands, without compression.
pub(super) fn span(bytes: &[u8]) {
    let payload = [&[Compression::None as u8], bytes].concat();
    let Some(span) = codec::read_payload(&payload, lab::IDENTITY) else { return };
    bounded(&span);
    // The first byte says how transactions are written.
    let vm = if bytes[0] == 0 { "none" } else { "evm" };
    let options = EncodeOptions { compression: Compression::None, level: 0 };
    let again = codec::write_payload(&span, vm, &options).expect("what was read can be written");
    assert_eq!(again, payload, "two contents of one span");
}

fn bounded(span: &PostedSpan) {
    assert!((1..=MAX_BLOCKS).contains(&span.blocks.len()));
    let (mut candidates, mut size) = (0, 0);
    for block in &span.blocks {
        candidates += block.body.candidates.len();
        size += block.body.candidates.iter().map(|bytes| bytes.len()).sum::<usize>();
        let mut depth = 0;
        let mut takeover = block.takeover.as_ref();
        while let Some(inner) = takeover {
            depth += 1;
            takeover = inner.abandoned.takeover.as_ref();
        }
        assert!(depth <= MAX_TAKEOVER_DEPTH, "{depth} takeovers");
        assert_eq!(block.inbound_root, block.body.inbound_root());
        assert_eq!(block.candidates_root, block.body.candidates_root());
    }
    assert!(candidates <= MAX_CANDIDATES);
    // RLP adds to a transaction's columns no more than a few bytes a field.
    assert!(size <= 2 * MAX_CONTENT_BYTES, "{size} bytes of candidates");
}

/// A payload: compression, then content.
pub(super) fn payload(bytes: &[u8]) {
    let Some(span) = codec::read_payload(bytes, lab::IDENTITY) else { return };
    bounded(&span);
    for compression in [Compression::Zstd, Compression::Brotli] {
        let options = EncodeOptions { compression, level: 1 };
        let written = codec::write_payload(&span, "evm", &options).expect("it can be written");
        assert_eq!(codec::read_payload(&written, lab::IDENTITY), Some(span.clone()));
    }
}

/// The blobs of a DA block, in records of a kind byte, a length and as many bytes: kind 0 is a blob
/// as it stands, any other a chunk to be put into an envelope of ours. A signature is taken for the
/// poster's if it begins with a 1: what recovers addresses has tests of its own.
pub(super) fn blobs(bytes: &[u8]) {
    let signer = |signature: &[u8], _| (signature[0] == 1).then_some(POSTER);
    let block = DaBlock {
        da: DaRef::default(),
        parent: B256::ZERO,
        time_ms: 0,
        blobs: records(bytes),
        forced: Vec::new(),
        keys: Vec::new(),
    };
    let posters = [POSTER];
    let context = ReadContext { identity: lab::IDENTITY, posters: &posters };
    let (entry, dropped) = codec::decode_by(&block, &context, &signer);
    entry.spans.iter().for_each(bounded);
    // Each blob is part of a span or was dropped for one reason.
    let blobs = block.blobs.len() as u64;
    let (spans, gone) = (entry.spans.len() as u64, dropped.total());
    assert!(gone + spans <= blobs, "{spans} spans, {gone} dropped of {blobs}");
    assert!(gone == blobs || spans > 0, "{gone} dropped of {blobs}, and no span");
    // Nobody signed for whoever has no key.
    let nobody = ReadContext { posters: &[], ..context };
    let (entry, dropped) = codec::decode_by(&block, &nobody, &signer);
    assert_eq!((entry.spans.len(), dropped.total()), (0, blobs));
    assert_eq!(dropped.incomplete + dropped.oversize + dropped.duplicate, 0);
}

fn records(mut bytes: &[u8]) -> Vec<Bytes> {
    let mut blobs = Vec::new();
    while let [kind, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (piece, after) = rest.split_at(length);
        bytes = after;
        blobs.push(if *kind == 0 {
            Bytes::copy_from_slice(piece)
        } else {
            enveloped(*kind, piece)
        });
    }
    blobs
}

/// A chunk with its place in the kind byte: index in the low half, count in the high half. It is
/// alone if the count is 1.
fn enveloped(kind: u8, chunk: &[u8]) -> Bytes {
    let (count, index) = (u16::from(kind >> 4), u16::from(kind & 0xf));
    let mut blob = codec::MAGIC.to_vec();
    blob.push(codec::VERSION);
    blob.extend_from_slice(&lab::IDENTITY[..codec::IDENTITY_BYTES]);
    blob.extend_from_slice(&[1; 64]);
    blob.push(u8::from(count != 1));
    if count != 1 {
        blob.extend_from_slice(&index.to_be_bytes());
        blob.extend_from_slice(&count.to_be_bytes());
        blob.extend_from_slice(&[0; 16]);
    }
    blob.extend_from_slice(chunk);
    blob.into()
}

/// Spans of the vectors and of a chain, as payloads of each compression.
fn payloads(compression: Compression) -> Vec<Vec<u8>> {
    let options = EncodeOptions { compression, level: 3 };
    lab::spans()
        .iter()
        .map(|span| codec::write_payload(span, "evm", &options).expect("a span is written"))
        .collect()
}

pub(super) fn span_seeds() -> Vec<Vec<u8>> {
    payloads(Compression::None).into_iter().map(|payload| payload[1..].to_vec()).collect()
}

pub(super) fn payload_seeds() -> Vec<Vec<u8>> {
    let kinds = [Compression::None, Compression::Zstd, Compression::Brotli];
    kinds.into_iter().flat_map(payloads).collect()
}

pub(super) fn blobs_seeds() -> Vec<Vec<u8>> {
    let record = |kind: u8, bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).expect("seeds are short");
        [&[kind], &length.to_be_bytes()[..], bytes].concat()
    };
    let mut seeds: Vec<_> = payloads(Compression::Zstd)
        .iter()
        .filter(|payload| payload.len() < 4000)
        .map(|payload| record(0x10, payload))
        .collect();
    for blobs in lab::vector_blobs() {
        let seed: Vec<u8> = blobs
            .iter()
            .flat_map(|blob| {
                let mut blob = blob.to_vec();
                blob[ENVELOPE_BYTES - 65] = 1;
                record(0, &blob)
            })
            .collect();
        seeds.push(seed);
    }
    seeds
}
