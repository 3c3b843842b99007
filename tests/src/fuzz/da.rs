//! The local DA layer: what its clients read from it, and what it reads from them.

use std::sync::LazyLock;

use alloy_primitives::{B256, Bytes};
use causeway_da::DaError;
use causeway_da::local::block::{
    Block, BlockAnswer, BlockHeader, Entry, SignedHeader, entries_root,
};
use causeway_da::local::wire::{self, ErrorAnswer, HeadAnswer, Stated, SubmitAnswer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::lab;
use super::values::canonical;
use crate::keys;

/// Most bytes of a submission in these tests.
const MOST: usize = 1 << 12;

/// Blocks as the service stores them, and as it gives them to readers.
pub(super) fn block(bytes: &[u8]) {
    if let Some(block) = canonical::<Block>(bytes) {
        let answer = block.clone().answer(lab::IDENTITY);
        assert_eq!(answer.parts.len(), block.entries.len());
    }
    let Some(answer) = canonical::<BlockAnswer>(bytes) else { return };
    let (key, height) = (keys::sequencer().address(), answer.signed.header.height);
    let damaged = |result| matches!(result, Err(DaError::Damaged(_)));
    let other = answer.clone().verify(key, height ^ 1, lab::IDENTITY);
    assert!(damaged(other), "another height than was asked for");
    // Recovering an address takes long: for few of those that have the right form.
    if answer.signed.signature.len() == 65 && !bytes[bytes.len() / 2].is_multiple_of(16) {
        return;
    }
    match answer.clone().verify(key, height, lab::IDENTITY) {
        Ok(block) => assert!(block.blobs.len() + block.forced.len() <= answer.parts.len()),
        result => assert!(damaged(result), "bad bytes are damage"),
    }
}

/// A JSON answer of the service, and what it says again once read.
fn again<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let text = serde_json::to_vec(&value).expect("an answer has a JSON form");
    assert_eq!(serde_json::from_slice::<T>(&text).expect("and reads back"), value);
    Some(value)
}

/// Every JSON answer of the service.
pub(super) fn json(bytes: &[u8]) {
    if let Some(head) = again::<HeadAnswer>(bytes) {
        // Clients compute hashes: what is stated is for people.
        assert_eq!(head.latest.signed.header.da().height, head.latest.signed.header.height);
    }
    again::<SubmitAnswer>(bytes);
    if let Some(answer) = again::<ErrorAnswer>(bytes) {
        let status = answer.status();
        assert!(status.is_client_error() || status.is_server_error());
        assert_eq!(ErrorAnswer::from(DaError::from(answer)).status(), status);
    }
}

/// The body of a submission.
pub(super) fn submit(bytes: &[u8]) {
    match wire::read_blobs(bytes, MOST) {
        Ok(blobs) => {
            assert_eq!(alloy_rlp::encode(&blobs), bytes, "two bodies of one submission");
            let cost: usize = blobs.iter().map(|blob| blob.len() + 64).sum();
            assert!(cost <= MOST, "{cost} bytes kept");
        }
        Err(DaError::TooLarge { bytes, most }) => assert!(bytes > most && most == MOST),
        Err(error) => assert!(matches!(error, DaError::Refused(_)), "{error}"),
    }
}

/// Signed once: the seeds of several targets.
pub(super) fn signed_block() -> &'static Block {
    static BLOCK: LazyLock<Block> = LazyLock::new(|| {
        let entry = |namespace, forced, bytes: &'static [u8]| Entry {
            namespace,
            forced,
            bytes: Bytes::from_static(bytes),
        };
        let entries = vec![
            entry(lab::IDENTITY, false, b"one"),
            entry(B256::repeat_byte(2), false, b"of another chain"),
            entry(lab::IDENTITY, true, b"forced"),
        ];
        let entries_hash = entries_root(entries.iter().map(Entry::hash));
        let header =
            BlockHeader { height: 7, parent: B256::ZERO, time_ms: 9, entries: entries_hash };
        let signed = SignedHeader::new(header, &keys::sequencer()).expect("a key signs");
        Block { signed, entries }
    });
    &BLOCK
}

pub(super) fn block_seeds() -> Vec<Vec<u8>> {
    let block = signed_block();
    let answers = [lab::IDENTITY, B256::ZERO].map(|namespace| block.clone().answer(namespace));
    let mut seeds: Vec<_> = answers.iter().map(alloy_rlp::encode).collect();
    seeds.push(alloy_rlp::encode(block));
    seeds
}

pub(super) fn json_seeds() -> Vec<Vec<u8>> {
    let stated = Stated::from(signed_block().signed.clone());
    let head = HeadAnswer {
        latest: stated.clone(),
        finalized: stated,
        signer: keys::sequencer().address(),
        max_blob_bytes: 1 << 20,
        max_submission_bytes: 8 << 20,
        max_forced_bytes: 128 << 10,
    };
    let errors = [
        ErrorAnswer::NotYet { height: 9, latest: 8 },
        ErrorAnswer::TooLarge { bytes: 9, most: 8 },
        ErrorAnswer::Refused { error: "no".into() },
        ErrorAnswer::Unavailable { error: "later".into() },
    ];
    let submitted = SubmitAnswer { height: 3, hash: B256::repeat_byte(4) };
    let mut seeds = vec![serde_json::to_vec(&head), serde_json::to_vec(&submitted)];
    seeds.extend(errors.iter().map(serde_json::to_vec));
    seeds.into_iter().map(|seed| seed.expect("an answer has a JSON form")).collect()
}

pub(super) fn submit_seeds() -> Vec<Vec<u8>> {
    let blobs = |sizes: &[usize]| {
        let blobs = sizes.iter().map(|size| Bytes::from(vec![7; *size]));
        alloy_rlp::encode(blobs.collect::<Vec<_>>())
    };
    vec![blobs(&[]), blobs(&[0, 1, 55, 56]), blobs(&[300, 2000]), vec![0xf9, 0x0f, 0xff]]
}
