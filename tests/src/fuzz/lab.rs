//! What seeds are made of: the golden vectors, and a small network that has done a bit of everything.

use std::sync::{Arc, LazyLock};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, b256, hex};
use alloy_rlp::Encodable;
use alloy_signer::SignerSync;
use alloy_sol_types::SolEvent;
use causeway_chainspec::directory::{Change, Member, Record, SignedRecord};
use causeway_chainspec::mailbox;
use causeway_chainspec::{
    AbandonReason, Claim, DaRef, ForcedEntry, PostedSpan, SealTuple, SpanBlock, Takeover, Tip,
};
use causeway_consensus::Sequencer;
use causeway_da::DaBlock;
use causeway_da::codec::{self, ReadContext};
use causeway_execution::log::{Accepted, BlockEntry, DerivedEntry, Entry, UnderiveEntry};
use causeway_node::node::{FeedBlock, Node};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::contracts::Asm;
use crate::keys;
use crate::mesh::{Mesh, THREE, Transfer, specs};
use crate::txs::{Draft, Form};

/// Chain identity of the golden vectors.
pub(super) const IDENTITY: B256 =
    b256!("0x1111111122222222333333334444444455555555666666667777777788888888");
/// Whoever a stored transaction is said to be of.
pub(super) const SENDER: Address = Address::repeat_byte(0x5e);
/// First topics of what the Mailbox logs of a message, in their order.
pub(super) const DISPATCH: [B256; 3] = [
    mailbox::Dispatch::SIGNATURE_HASH,
    mailbox::DispatchId::SIGNATURE_HASH,
    mailbox::DispatchTerms::SIGNATURE_HASH,
];

/// The network and the runtime its nodes live in.
pub(super) struct Lab {
    pub(super) runtime: Runtime,
    pub(super) mesh: Mesh,
}

static LAB: LazyLock<Lab> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let mesh = runtime.block_on(busy()).expect("a network of three runs");
    Lab { runtime, mesh }
});

/// Three members with transactions of every form, contracts, messages, and something in the pool.
async fn busy() -> eyre::Result<Mesh> {
    let mesh = Mesh::started(&THREE, 0).await?;
    for raw in every_form(901) {
        mesh.members[0].sequencer.submit(raw).await?;
    }
    let runtime = Asm::new().ops(&[0x60, 0x01, 0x60, 0x00, 0x60, 0x00, 0xa1, 0x00]).code();
    mesh.submit(0, 6, TxKind::Create, U256::ZERO, Asm::new().deploy(&runtime)).await?;
    let (recipient, refund_to) = (keys::accounts()[1].address(), Address::repeat_byte(7));
    let amount = U256::from(1000);
    let transfer = Transfer { from: 0, to: 2, recipient, amount, ttl_s: 0, refund_to };
    mesh.transfer(7, transfer).await?;
    mesh.rounds(4).await?;
    let node = &mesh.members[0].sequencer;
    node.submit(Draft::transfer(901, 0, recipient, 1).sign(Form::Dynamic, &keys::accounts()[8]))
        .await?;
    Ok(mesh)
}

/// A transfer in each envelope, by accounts that send nothing else.
fn every_form(chain_id: u64) -> Vec<Bytes> {
    let forms = [Form::Legacy, Form::Old, Form::Listed, Form::Dynamic];
    forms
        .iter()
        .zip(&keys::accounts()[2..])
        .map(|(form, key)| Draft::transfer(chain_id, 0, SENDER, 5).sign(*form, key))
        .collect()
}

pub(super) fn lab() -> &'static Lab {
    &LAB
}

/// The hub's sequencer.
pub(super) fn node() -> &'static Arc<Node> {
    &LAB.mesh.members[0].sequencer
}

fn vectors(text: &str) -> Value {
    serde_json::from_str(text).expect("vectors are JSON")
}

fn bytes_of(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("a vector is hex")).expect("a vector is hex")
}

/// The golden blobs: each list is one span.
pub(super) fn vector_blobs() -> Vec<Vec<Bytes>> {
    let vectors = vectors(include_str!("../../vectors/codec.json"));
    let named = vectors.as_object().expect("spans by name").values();
    let lists = named.flat_map(|span| span.as_object().expect("blobs by compression").values());
    lists
        .map(|blobs| {
            let blobs = blobs.as_array().expect("a list of blobs").iter();
            blobs.map(|blob| bytes_of(blob).into()).collect()
        })
        .collect()
}

pub(super) fn vector_claims() -> Vec<Vec<u8>> {
    let vectors = vectors(include_str!("../../vectors/values.json"));
    let claims = vectors["claims"].as_array().expect("a list of claims");
    claims.iter().map(|claim| bytes_of(&claim["rlp"])).collect()
}

pub(super) fn vector_specs() -> Vec<String> {
    let vectors = vectors(include_str!("../../vectors/spec.json"));
    let named = vectors.as_object().expect("specs by name").values();
    named.map(|spec| spec["toml"].as_str().expect("a text").to_owned()).collect()
}

/// The golden spans, and those that the network's members posted.
pub(super) fn spans() -> Vec<PostedSpan> {
    let mut spans = Vec::new();
    for blobs in vector_blobs() {
        spans.extend(spans_of(&blobs, IDENTITY));
    }
    spans.dedup();
    for member in &LAB.mesh.members {
        let node = &member.sequencer;
        let newest = node.heads().borrow().latest.number;
        let from = [1, newest.saturating_sub(1)];
        for from in from {
            let span = node.span_from(from, 1 << 20).expect("blocks are readable");
            spans.extend(span.map(|span| span.posted().expect("a chain")));
        }
    }
    spans
}

/// Their blocks, on a block that never was where they are of no chain of ours.
pub(super) fn blocks() -> Vec<SpanBlock> {
    let mut blocks = Vec::new();
    for span in spans() {
        let mut claim = B256::ZERO;
        claim[..4].copy_from_slice(span.parent.as_slice());
        let (cut, number) = (Default::default(), span.number - 1);
        let parent = Tip { claim, number, time_ms: 5, term: 0, cut, origin: None };
        let claims = span.claims(&parent).expect("they follow");
        blocks.extend(claims.into_iter().zip(span.blocks).map(|((_, claim), block)| {
            let body = block.body;
            SpanBlock { claim, body }
        }));
    }
    blocks
}

fn spans_of(blobs: &[Bytes], identity: B256) -> Vec<PostedSpan> {
    let block = DaBlock {
        da: DaRef::default(),
        parent: B256::ZERO,
        time_ms: 0,
        blobs: blobs.to_vec(),
        forced: Vec::new(),
        keys: Vec::new(),
    };
    let posters = [Address::ZERO];
    let context = ReadContext { identity, posters: &posters };
    codec::decode_by(&block, &context, &|_, _| Some(Address::ZERO)).0.spans
}

/// A claim so deep in others.
pub(super) fn nested(claim: &Claim, depth: usize) -> Claim {
    (0..depth).fold(claim.clone(), |inner, _| {
        let (reference, reason) = (DaRef::default(), AbandonReason::Replaced);
        Claim {
            takeover: Some(Takeover { reference, abandoned: Box::new(inner), reason }),
            ..claim.clone()
        }
    })
}

/// Judges seals as full nodes do.
pub(super) fn sequencer() -> &'static Arc<dyn Sequencer> {
    static SEQUENCER: LazyLock<Arc<dyn Sequencer>> = LazyLock::new(|| {
        let specs = specs(&THREE).expect("the network's specs are right");
        causeway_consensus::open(&specs[0], None).expect("the spec names a sequencer")
    });
    &SEQUENCER
}

/// A claim, and the address that seals of it are judged by.
pub(super) fn sealed_claim() -> &'static (Claim, Address) {
    static CLAIM: LazyLock<(Claim, Address)> = LazyLock::new(|| {
        let bytes = &vector_claims()[0];
        let claim = alloy_rlp::Decodable::decode(&mut bytes.as_slice()).expect("a vector");
        (claim, keys::sequencer().address())
    });
    &CLAIM
}

/// The one good seal of [`sealed_claim`].
pub(super) fn good_seal() -> Bytes {
    let (claim, _) = sealed_claim();
    let Claim { identity, term, number, .. } = *claim;
    let tuple = SealTuple { identity, term, view: 0, number, claim: claim.hash() };
    let signature = keys::sequencer().sign_hash_sync(&tuple.digest()).expect("a key signs");
    Bytes::copy_from_slice(&signature.as_bytes())
}

/// Blocks of all members as their feeds carry them.
pub(super) fn feed_blocks() -> Vec<FeedBlock> {
    let mut blocks = Vec::new();
    for member in &LAB.mesh.members {
        let newest = member.sequencer.heads().borrow().latest.number;
        for number in newest.saturating_sub(3)..=newest {
            let bytes = member.sequencer.feed_block(number).expect("blocks are readable");
            blocks.extend(bytes.map(|bytes| {
                alloy_rlp::Decodable::decode(&mut bytes.as_ref()).expect("a block of our feed")
            }));
        }
    }
    blocks
}

pub(super) fn signed_records() -> Vec<SignedRecord> {
    let member = Member {
        name: "delta".into(),
        domain: 904,
        identity: B256::repeat_byte(1),
        rules: B256::repeat_byte(2),
    };
    let changes = [Change::Add(member), Change::Pause(902), Change::Resume(902)];
    changes
        .into_iter()
        .zip(1..)
        .map(|(change, sequence)| {
            let network = B256::repeat_byte(3);
            let record = Record { network, sequence, active_ms: 1_750_000_000_000, change };
            let signature = keys::sequencer().sign_hash_sync(&record.digest());
            let signature = signature.expect("a key signs").as_bytes().into();
            SignedRecord { record, signature }
        })
        .collect()
}

/// Signed transactions of every form, valid ones and others.
pub(super) fn transactions() -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = every_form(1).into_iter().map(|raw| raw.to_vec()).collect();
    for span in spans() {
        let blocks = span.blocks.iter().flat_map(|block| &block.body.candidates);
        found.extend(blocks.map(|raw| raw.to_vec()));
    }
    found
}

/// Records of files and of the log, by the kind that the target `record` gives them.
pub(super) fn records() -> Vec<(u8, Vec<u8>)> {
    let rlp = |kind: u8, value: &dyn Encodable| {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        (kind, bytes)
    };
    let mut records = Vec::new();
    for member in &LAB.mesh.members {
        let snapshot = member.sequencer.pipeline().snapshot();
        if let Some((_, cursor)) = snapshot.last_derived().expect("records are readable") {
            let entry = DerivedEntry { height: 9, record: cursor.clone(), safe: 4, finalized: 2 };
            records.push((0, cursor.to_vec()));
            records.push((4, Entry::Derived(entry).encode()));
        }
        for number in 1..=snapshot.latest().number {
            let block = snapshot.block(number).expect("readable").expect("there");
            records.extend(block.receipts.iter().map(|receipt| rlp(1, receipt)));
            let seal = snapshot.seal(number).expect("readable");
            records.push((4, Entry::Block(Box::new(BlockEntry::new(&block, seal, None))).encode()));
        }
    }
    let forced =
        ForcedEntry { da: DaRef::default(), time_ms: 5, bytes: Bytes::from_static(&[0x7c, 1]) };
    records.push(rlp(3, &forced));
    let raw = Bytes::from(transactions().swap_remove(0));
    for entry in [
        Entry::Accepted(Accepted { raw: raw.clone(), sender: SENDER }),
        Entry::Underive(UnderiveEntry { height: 3, safe: 2 }),
        Entry::Vote(raw.clone()),
        Entry::Publish(raw),
    ] {
        let copy = [&[1, 0xff][..], &[0; 8], &entry.encode()].concat();
        records.push((4, entry.encode()));
        records.push((4, copy));
    }
    records
}

/// A block of the network that has candidates.
pub(super) fn a_block() -> SpanBlock {
    let mut blocks = blocks().into_iter();
    blocks.find(|block| !block.body.candidates.is_empty()).expect("transactions were sent")
}

/// Calls of the Mailbox's views.
pub(super) fn mailbox_views() -> Vec<Vec<u8>> {
    let selector = |text: &str| alloy_primitives::keccak256(text)[..4].to_vec();
    let mut views: Vec<Vec<u8>> =
        ["VERSION()", "localDomain()", "nonce()", "latestDispatchedId()", "count()", "root()"]
            .map(selector)
            .into();
    for text in ["delivered(bytes32)", "processedAt(bytes32)"] {
        views.push([selector(text), vec![7; 32]].concat());
    }
    views
}

/// Ids of messages that the hub sent.
pub(super) fn sent() -> Vec<B256> {
    let chain = node().pipeline().snapshot();
    let numbers = 0..=chain.latest().number;
    let blocks = numbers.filter_map(|number| chain.block(number).expect("blocks are readable"));
    blocks.flat_map(|block| Mesh::ids(&block)).take(3).collect()
}
