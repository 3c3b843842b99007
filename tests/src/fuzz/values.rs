//! Values in RLP and the packed forms: claims, seals, bodies, messages, transactions, records.

use std::fmt::Debug;

use alloy_consensus::Transaction;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, Log, U256};
use alloy_rlp::{Decodable, Encodable};
use causeway_chainspec::block::MAX_NESTED_TAKEOVERS;
use causeway_chainspec::directory::{ForcedMessage, Record, SignedRecord};
use causeway_chainspec::mailbox::{self, LaneWord};
use causeway_chainspec::metalayer::{MAX_FLOWS, MAX_ITEMS, MAX_LANES};
use causeway_chainspec::{
    BlockBody, Claim, Commitment, DeliveryReceipt, ForcedEntry, Inbound, LaneItem, LaneState,
    Message, Receipt, Seal, SealContext, SealTuple, SpanBlock, Terms, Tx, TxError,
};
use causeway_consensus::derive::Cursor;
use causeway_execution::log::Entry;
use causeway_node::node::FeedBlock;

use super::lab;

/// Decodes a value that must have one encoding, and one only.
pub(super) fn canonical<T: Decodable + Encodable + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let mut rest = bytes;
    let value = T::decode(&mut rest).ok()?;
    let read = &bytes[..bytes.len() - rest.len()];
    let again = alloy_rlp::encode(&value);
    assert_eq!(again, read, "two encodings of {value:?}");
    assert_eq!(value.length(), again.len(), "{value:?} says another length");
    Some(value)
}

pub(super) fn claim(bytes: &[u8]) {
    let Some(claim) = canonical::<Claim>(bytes) else { return };
    let hash = claim.hash();
    assert_eq!(claim.extra_data().len(), 11);
    let mut depth = 0;
    let mut inner = claim.takeover.as_ref();
    while let Some(takeover) = inner {
        depth += 1;
        inner = takeover.abandoned.takeover.as_ref();
    }
    assert!(depth <= MAX_NESTED_TAKEOVERS, "{depth} takeovers");
    let next = Claim { number: claim.number ^ 1, ..claim };
    assert_ne!(next.hash(), hash);
}

pub(super) fn seal(bytes: &[u8]) {
    if let Some(tuple) = canonical::<SealTuple>(bytes) {
        assert_ne!(tuple.digest(), B256::ZERO);
    }
    let Some(seal) = canonical::<Seal>(bytes) else { return };
    // Recovering an address takes long: for few of the signatures that have the right form.
    if seal.proof.len() == 65 && bytes.last().is_some_and(|last| !last.is_multiple_of(16)) {
        return;
    }
    let (claim, key) = lab::sealed_claim();
    let context = SealContext { identity: claim.identity, keys: vec![*key] };
    let good = lab::sequencer().verify(&context, claim, &seal).is_ok();
    assert!(!good || seal.proof == lab::good_seal(), "a seal nobody made: {seal:?}");
}

pub(super) fn body(bytes: &[u8]) {
    if let Some(body) = canonical::<BlockBody>(bytes) {
        body.inbound.iter().for_each(bounded);
        assert!(body.candidates.len() <= bytes.len());
    }
    if let Some(inbound) = canonical::<Inbound>(bytes) {
        bounded(&inbound);
    }
    canonical::<LaneState>(bytes);
    canonical::<SpanBlock>(bytes);
}

fn bounded(inbound: &Inbound) {
    assert!(inbound.lanes.len() <= MAX_LANES && inbound.items.len() <= MAX_ITEMS);
    assert!(inbound.lanes.iter().all(|lane| lane.flows.len() <= MAX_FLOWS));
    // What counts towards a block's limit may be less than what it takes, but not by much.
    let length = inbound.length();
    assert!(inbound.size() * 4 + 64 >= length, "{} for {length} bytes", inbound.size());
}

pub(super) fn message(bytes: &[u8]) {
    let terms = Terms { gas_limit: 1, gas_price: 2, expiry_ms: 3, ..Terms::default() };
    if let Some(message) = Message::decode_packed(bytes, terms) {
        assert_eq!(message.encode_packed(), bytes, "two packed forms");
        assert_eq!(message.id(), alloy_primitives::keccak256(bytes));
        assert_eq!(message.terms, terms);
        if mailbox::is_transfer(&message) {
            assert!(mailbox::transfer_body(&message.body).is_none_or(|_| bytes.len() == 77 + 128));
        }
    }
    if let Some(body) = mailbox::transfer_body(bytes) {
        let again =
            [body.recipient, body.amount.into(), body.asset, body.from].map(|word| word.0).concat();
        assert_eq!(again, bytes, "two bodies of one transfer");
    }
    if let Some(item) = canonical::<LaneItem>(bytes) {
        assert!(item.size() <= alloy_rlp::encode(&item).len() + 64);
    }
    canonical::<DeliveryReceipt>(bytes);
    if let Some(word) = bytes.first_chunk::<32>() {
        let address = mailbox::address_of(B256::from(*word));
        assert!(address.is_none_or(|address| mailbox::word_of(address).0 == *word));
        let lane = LaneWord::from_slot(U256::from_be_bytes(*word));
        assert_eq!(LaneWord::from_slot(lane.to_slot()), lane);
    }
    logs(bytes);
}

/// Logs of the Mailbox as a contract in its place might write them: topics and data from the input.
fn logs(bytes: &[u8]) {
    let pieces: Vec<&[u8]> = bytes.chunks(160).take(6).collect();
    let topics = [lab::DISPATCH[0], lab::DISPATCH[1], lab::DISPATCH[2]];
    let logs: Vec<Log> = pieces
        .iter()
        .enumerate()
        .map(|(at, piece)| {
            let mut words = vec![topics[at % 3]];
            words.extend(piece.chunks_exact(32).take(at % 4).map(B256::from_slice));
            Log::new_unchecked(mailbox::MAILBOX, words, Bytes::copy_from_slice(piece))
        })
        .collect();
    assert!(mailbox::dispatched(&logs).len() <= logs.len() / 3);
}

pub(super) fn forced(bytes: &[u8]) {
    if let Some(message) = ForcedMessage::decode(bytes) {
        assert_eq!(&*message.encode(), bytes, "two forms of {message:?}");
        // No VM may take it for a transaction.
        let tx = Tx::decode(Bytes::copy_from_slice(bytes));
        assert_eq!(tx.err(), Some(TxError::Protocol));
    }
    canonical::<Record>(bytes);
    let Some(signed) = canonical::<SignedRecord>(bytes) else { return };
    if signed.signature.len() != 65 || bytes.last().is_some_and(|last| last.is_multiple_of(16)) {
        let _ = signed.signer();
    }
}

pub(super) fn tx(bytes: &[u8]) {
    let raw = Bytes::copy_from_slice(bytes);
    let stored = Tx::stored(raw.clone(), lab::SENDER);
    match Tx::decode(raw) {
        Ok(tx) => {
            let again = tx.envelope.encoded_2718();
            assert_eq!(again, bytes, "two encodings of one transaction");
            assert_eq!(tx.hash, tx.envelope.trie_hash(), "two hashes of one transaction");
            assert_eq!(stored.expect("what decodes can be stored"), tx);
            assert!(!tx.is_deposit(), "a deposit that somebody signed");
            // The JSON-RPC shows it as an object, whatever its numbers are.
            let json = serde_json::to_value(&tx.envelope).expect("a transaction has a JSON form");
            assert!(json.is_object());
            // It is what the fee cap allows, or the base fee and a tip within it.
            assert!(tx.effective_gas_price(0) <= tx.envelope.max_fee_per_gas());
        }
        // Types that may not be signed can be stored: blocks hold deposits.
        Err(TxError::Type | TxError::Signature | TxError::Protocol | TxError::Blob) => {}
        Err(TxError::Encoding) => assert!(stored.is_err(), "stored, but it does not decode"),
    }
}

pub(super) fn feed(bytes: &[u8]) {
    let Some(fed) = canonical::<FeedBlock>(bytes) else { return };
    assert_ne!(fed.claim.hash(), B256::ZERO);
    fed.body.inbound.iter().for_each(bounded);
}

/// Records of files and of the durable log; the first byte says which.
pub(super) fn record(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 6 {
        0 => drop(canonical::<Cursor>(bytes)),
        // Of the store alone, and in no hash: an address left out may also stand as an empty one.
        1 => {
            let Ok(receipt) = Receipt::decode(&mut &*bytes) else { return };
            let again = alloy_rlp::encode(&receipt);
            assert_eq!(Receipt::decode(&mut again.as_slice()), Ok(receipt));
        }
        2 => drop(canonical::<Commitment>(bytes)),
        3 => drop(canonical::<ForcedEntry>(bytes)),
        _ => {
            let Ok((copied, entry)) = Entry::decode(bytes) else { return };
            if copied.is_none() {
                assert_eq!(entry.encode(), bytes, "two records of {entry:?}");
            }
            if let Entry::Block(block) = entry
                && block.senders.iter().all(|sender| !sender.is_zero())
            {
                let _ = block.plan();
            }
        }
    }
}

fn encoded<T: Encodable>(values: impl IntoIterator<Item = T>) -> Vec<Vec<u8>> {
    values.into_iter().map(|value| alloy_rlp::encode(&value)).collect()
}

pub(super) fn claim_seeds() -> Vec<Vec<u8>> {
    let mut seeds = lab::vector_claims();
    seeds.extend(encoded(lab::blocks().iter().map(|block| &block.claim)));
    // Claims in claims, as deep as they may be and one deeper.
    let claim = Claim::decode(&mut seeds[0].as_slice()).expect("a vector is a claim");
    for depth in [1, MAX_NESTED_TAKEOVERS, MAX_NESTED_TAKEOVERS + 1] {
        seeds.push(alloy_rlp::encode(lab::nested(&claim, depth)));
    }
    seeds
}

pub(super) fn seal_seeds() -> Vec<Vec<u8>> {
    let mut seeds = encoded(lab::feed_blocks().iter().map(|fed| &fed.seal));
    seeds.push(alloy_rlp::encode(Seal { view: 0, proof: lab::good_seal() }));
    let (claim, _) = lab::sealed_claim();
    let Claim { identity, term, number, .. } = *claim;
    seeds.push(alloy_rlp::encode(SealTuple {
        identity,
        term,
        view: 0,
        number,
        claim: claim.hash(),
    }));
    seeds
}

pub(super) fn body_seeds() -> Vec<Vec<u8>> {
    let blocks = lab::blocks();
    let mut seeds = encoded(blocks.iter().map(|block| &block.body));
    let inbound: Vec<_> = blocks.iter().flat_map(|block| &block.body.inbound).collect();
    seeds.extend(encoded(inbound.iter().flat_map(|inbound| &inbound.lanes)));
    seeds.extend(encoded(inbound));
    seeds.extend(encoded(blocks));
    seeds
}

pub(super) fn message_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for span in lab::spans() {
        for inbound in span.blocks.iter().flat_map(|block| &block.body.inbound) {
            for item in &inbound.items {
                seeds.push(alloy_rlp::encode(item));
                if let LaneItem::Message(message) = item {
                    seeds.push(message.encode_packed());
                    seeds.push(message.body.to_vec());
                }
            }
        }
    }
    seeds.push([[1; 32], [2; 32], [3; 32], [0; 32]].concat());
    seeds
}

pub(super) fn forced_seeds() -> Vec<Vec<u8>> {
    let demand = ForcedMessage::Demand { domain: 902, height: 77 }.encode();
    let mut seeds = vec![demand.to_vec()];
    for record in lab::signed_records() {
        seeds.push(alloy_rlp::encode(&record));
        seeds.push(alloy_rlp::encode(&record.record));
        seeds.push(ForcedMessage::Record(record).encode().to_vec());
    }
    seeds
}

pub(super) fn tx_seeds() -> Vec<Vec<u8>> {
    lab::transactions()
}

pub(super) fn feed_seeds() -> Vec<Vec<u8>> {
    encoded(lab::feed_blocks())
}

pub(super) fn record_seeds() -> Vec<Vec<u8>> {
    let kinds = lab::records();
    kinds.into_iter().map(|(kind, bytes)| [&[kind], &bytes[..]].concat()).collect()
}
