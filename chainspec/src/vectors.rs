//! Golden vectors of every hash that is frozen, and round trips of what travels.
//!
//! The vectors lie in `tests/vectors`, as data. A test that differs from them means that the
//! protocol changed, which forks every chain. If that is meant, write them anew with
//! `CAUSEWAY_BLESS=1 cargo test --workspace --lib vectors` and say so in the changelog.

use std::path::PathBuf;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bloom, Bytes, U256, hex, keccak256};
use alloy_rlp::{Decodable, Encodable};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::block::{self, MAX_NESTED_TAKEOVERS, Outcome};
use crate::metalayer::asset_id;
use crate::spec::{self, Inputs};
use crate::{
    AbandonReason, Anchor, BlockBody, BlockEnv, Claim, DaRef, DeliveryReceipt, DeliveryStatus,
    Flow, ForcedCut, Fork, Inbound, LaneItem, LanePosition, LaneState, Message, Origin, Seal,
    SealTuple, Takeover, Terms,
};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(name)
}

fn load(name: &str) -> Value {
    let text = std::fs::read_to_string(path(name)).unwrap_or_else(|_| "[]".to_owned());
    serde_json::from_str(&text).expect("vectors are JSON")
}

/// Compares with the file, or writes it if that was asked for.
fn check(name: &str, computed: Value) {
    if std::env::var_os("CAUSEWAY_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(path(name), format!("{computed:#}\n")).expect("vectors can be written");
        return;
    }
    let golden = load(name);
    for (key, value) in computed.as_object().expect("vectors are an object") {
        assert_eq!(value, &golden[key], "{key} in tests/vectors/{name}");
    }
    assert_eq!(computed, golden, "tests/vectors/{name}");
}

fn encoded(value: &impl Encodable) -> String {
    let mut out = Vec::new();
    value.encode(&mut out);
    hex::encode_prefixed(out)
}

fn word(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

fn plain_claim() -> Claim {
    Claim {
        identity: word(0x11),
        number: 1,
        term: 0,
        parent: word(0x12),
        time_ms: 1_700_000_000_250,
        origin: None,
        cut: ForcedCut::default(),
        anchors: Vec::new(),
        inbound_root: BlockBody::default().inbound_root(),
        candidates_root: BlockBody::default().candidates_root(),
        takeover: None,
    }
}

fn anchor(domain: u32) -> Anchor {
    Anchor {
        domain,
        identity: word(0x21),
        rules_hash: word(0x22),
        directory: 3,
        da: DaRef { height: 77, hash: word(0x23) },
        number: 1000,
        hash: word(0x24),
        commitment: word(0x25),
        base_fee: 10_000_000,
        time_ms: 1_700_000_000_001,
    }
}

fn message(body: &'static [u8]) -> Message {
    Message {
        nonce: 7,
        origin: 901,
        sender: Address::repeat_byte(0xaa).into_word(),
        destination: 902,
        recipient: Address::repeat_byte(0xbb).into_word(),
        body: Bytes::from_static(body),
        terms: Terms {
            gas_limit: 200_000,
            gas_price: 12_500_000,
            expiry_ms: 1_700_000_600_000,
            refund_to: Address::repeat_byte(0xcc),
        },
    }
}

fn receipt() -> DeliveryReceipt {
    let status = DeliveryStatus::Reverted;
    DeliveryReceipt { from: 902, to: 901, id: word(0x41), status, gas_used: 21_000 }
}

fn inbound() -> Inbound {
    let flow = Flow {
        asset: asset_id(901, Address::ZERO),
        sent: U256::from(3),
        received: U256::from(2),
        refunded: U256::from(1),
    };
    let sent = LanePosition::default().after(word(0x42));
    let lane = LaneState { domain: 902, sent, taken: 9, flows: vec![flow] };
    let items = vec![
        LaneItem::Message(message(b"")),
        LaneItem::Receipt(receipt()),
        LaneItem::Message(message(b"hello")),
    ];
    Inbound { root: word(0x43), count: 8, lanes: vec![lane], items }
}

fn full_claim() -> Claim {
    let lane = LanePosition::default().after(word(0x31)).after(word(0x32));
    let body = BlockBody {
        inbound: vec![inbound()],
        candidates: vec![Bytes::from_static(&[0x02, 0xc0]), Bytes::new()],
    };
    Claim {
        number: u64::MAX,
        term: 5,
        origin: Some(Origin { number: 20_000_000, hash: word(0x33) }),
        cut: ForcedCut { da: DaRef { height: 42, hash: word(0x34) }, lane },
        anchors: vec![anchor(902), anchor(u32::MAX)],
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        ..plain_claim()
    }
}

fn takeover_claim() -> Claim {
    let reference = DaRef { height: 43, hash: word(0x41) };
    let takeover =
        |abandoned, reason| Takeover { reference, abandoned: Box::new(abandoned), reason };
    let first = Claim {
        term: 43,
        takeover: Some(takeover(full_claim(), AbandonReason::InputGone)),
        ..plain_claim()
    };
    Claim { term: 44, takeover: Some(takeover(first, AbandonReason::Expired)), ..plain_claim() }
}

fn header_of(claim: &Claim) -> Header {
    let env = BlockEnv {
        chain_id: 901,
        number: claim.number,
        time_ms: claim.time_ms,
        fork: Fork::Osaka,
        beneficiary: Address::repeat_byte(0x51),
        gas_limit: 30_000_000,
        gas_available: 60_000_000,
        bytes_available: 2_000_000,
        base_fee: 10_000_001,
        mix_hash: claim.mix_hash(),
        difficulty: U256::ZERO,
        blob_base_fee: 1,
    };
    let outcome = Outcome {
        parent_hash: word(0x52),
        state_root: word(0x53),
        transactions_root: word(0x54),
        receipts_root: word(0x55),
        logs_bloom: Bloom::repeat_byte(0x01),
        gas_used: 21_000,
        withdrawals_root: word(0x56),
        commitment: word(0x57),
    };
    block::header(claim, &env, &outcome)
}

fn claims() -> [(&'static str, Claim); 3] {
    [("plain", plain_claim()), ("full", full_claim()), ("takeover", takeover_claim())]
}

#[test]
fn values_hash_as_ever() {
    let claim_vectors: Vec<Value> = claims()
        .iter()
        .map(|(name, claim)| {
            let header = header_of(claim);
            json!({
                "name": name,
                "rlp": encoded(claim),
                "hash": claim.hash(),
                "mix_hash": claim.mix_hash(),
                "extra_data": claim.extra_data(),
                "header_rlp": encoded(&header),
                "header_hash": header.hash_slow(),
            })
        })
        .collect();
    let seals: Vec<Value> = [(0, 0, 1), (43, 9, u64::MAX)]
        .map(|(term, view, number)| {
            let tuple = SealTuple { identity: word(0x11), term, view, number, claim: word(0x61) };
            json!({ "rlp": encoded(&tuple), "digest": tuple.digest() })
        })
        .into();
    let messages: Vec<Value> = [&b""[..], b"hello"]
        .map(|body| {
            let message = message(body);
            let packed = hex::encode_prefixed(message.encode_packed());
            json!({ "packed": packed, "id": message.id(), "rlp": encoded(&message) })
        })
        .into();
    let lane = LanePosition::default().after(word(0x31)).after(word(0x32));
    check(
        "values.json",
        json!({
            "claims": claim_vectors,
            "seals": seals,
            "messages": messages,
            "lane_after_two": lane.accumulator,
            "empty_roots": [BlockBody::default().inbound_root(), BlockBody::default().candidates_root()],
        }),
    );
}

#[test]
fn hashes_in_the_vectors_follow_from_their_bytes() {
    let golden = load("values.json");
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    for (vector, (_, claim)) in golden["claims"].as_array().unwrap().iter().zip(claims()) {
        let rlp = bytes(&vector["rlp"]);
        assert_eq!(Claim::decode(&mut rlp.as_slice()).unwrap(), claim);
        let hash = keccak256([b"causeway/claim/1", rlp.as_slice()].concat());
        assert_eq!(vector["hash"], json!(hash));
        assert_eq!(vector["header_hash"], json!(keccak256(bytes(&vector["header_rlp"]))));
    }
    for vector in golden["messages"].as_array().unwrap() {
        let packed = bytes(&vector["packed"]);
        assert_eq!(vector["id"], json!(keccak256(&packed)));
        assert_eq!(
            Message::decode_packed(&packed, Terms::default()).unwrap().encode_packed(),
            packed
        );
    }
    for vector in golden["seals"].as_array().unwrap() {
        let digest = keccak256([b"causeway/seal/1", bytes(&vector["rlp"]).as_slice()].concat());
        assert_eq!(vector["digest"], json!(digest));
    }
}

/// The specs and times are inputs, kept in the file; the rest is computed from them.
#[test]
fn specs_hash_as_ever() {
    let golden = load("spec.json");
    let mut computed = serde_json::Map::new();
    for (name, vector) in golden.as_object().expect("spec.json holds the specs to hash") {
        let text = vector["toml"].as_str().expect("each vector has its chain.toml");
        let (spec, _) = spec::parse(text, &Inputs::NONE).unwrap_or_else(|e| panic!("{name}: {e}"));
        let preimage = spec::identity_preimage(&spec);
        let base = keccak256(&preimage);
        assert_eq!(spec.base_identity(), base);
        let identity = spec.metalayer.directory.as_ref().map_or(base, |seed| seed.identity(base));
        assert_eq!(spec.identity(), identity);
        let rules: Vec<Value> = vector["rules"]
            .as_array()
            .expect("each vector has times")
            .iter()
            .map(|rules| {
                let time_ms = rules["time_ms"].as_u64().expect("a time in ms");
                let preimage = spec::rules_preimage(&spec, time_ms);
                assert_eq!(spec.rules_hash(time_ms), keccak256(&preimage));
                let preimage = hex::encode_prefixed(preimage);
                json!({ "time_ms": time_ms, "preimage": preimage, "hash": spec.rules_hash(time_ms) })
            })
            .collect();
        let mut vector = json!({
            "toml": text,
            "identity_preimage": hex::encode_prefixed(preimage),
            "identity": spec.identity(),
            "rules": rules,
        });
        if let Some(seed) = &spec.metalayer.directory {
            vector["base"] = json!(base);
            vector["network"] = json!(seed.hash());
        }
        computed.insert(name.clone(), vector);
    }
    assert!(!computed.is_empty());
    check("spec.json", computed.into());
}

#[test]
fn takeovers_nest_to_a_limit_and_no_further() {
    let nest = |depth: usize| {
        let mut claim = plain_claim();
        for _ in 0..depth {
            let reference = DaRef::default();
            let abandoned = Box::new(claim);
            let reason = AbandonReason::Replaced;
            claim = Claim {
                takeover: Some(Takeover { reference, abandoned, reason }),
                ..plain_claim()
            };
        }
        alloy_rlp::encode(&claim)
    };
    let deepest = nest(MAX_NESTED_TAKEOVERS);
    let claim = Claim::decode(&mut deepest.as_slice()).unwrap();
    assert_eq!(alloy_rlp::encode(&claim), deepest);
    assert!(Claim::decode(&mut nest(MAX_NESTED_TAKEOVERS + 1).as_slice()).is_err());
    assert!(Claim::decode(&mut nest(1000).as_slice()).is_err());
}

fn any_word() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::from)
}

fn any_da() -> impl Strategy<Value = DaRef> {
    (any::<u64>(), any_word()).prop_map(|(height, hash)| DaRef { height, hash })
}

fn any_bytes(most: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn any_anchor() -> impl Strategy<Value = Anchor> {
    ((any::<u32>(), any::<[u64; 4]>()), any_word(), any_word(), any_word(), any_word(), any_da())
        .prop_map(|((domain, n), identity, rules_hash, hash, commitment, da)| Anchor {
            domain,
            identity,
            rules_hash,
            directory: n[0],
            da,
            number: n[1],
            hash,
            commitment,
            base_fee: n[2],
            time_ms: n[3],
        })
}

fn any_flat_claim() -> impl Strategy<Value = Claim> {
    let origin = prop::option::of((any::<u64>(), any_word()));
    let words = (any_word(), any_word(), any_word(), any_word(), any_word());
    let anchors = prop::collection::vec(any_anchor(), 0..3);
    (words, any::<[u64; 4]>(), origin, any_da(), anchors).prop_map(|(w, n, origin, da, anchors)| {
        Claim {
            identity: w.0,
            number: n[0],
            term: n[1],
            parent: w.1,
            time_ms: n[2],
            origin: origin.map(|(number, hash)| Origin { number, hash }),
            cut: ForcedCut { da, lane: LanePosition { count: n[3], accumulator: w.2 } },
            anchors,
            inbound_root: w.3,
            candidates_root: w.4,
            takeover: None,
        }
    })
}

fn any_claim() -> impl Strategy<Value = Claim> {
    let reason = prop::sample::select(vec![
        AbandonReason::Replaced,
        AbandonReason::InputGone,
        AbandonReason::Expired,
    ]);
    any_flat_claim().prop_recursive(3, 4, 1, move |inner| {
        (any_flat_claim(), any_da(), inner, reason.clone()).prop_map(
            |(claim, reference, abandoned, reason)| {
                let abandoned = Box::new(abandoned);
                Claim { takeover: Some(Takeover { reference, abandoned, reason }), ..claim }
            },
        )
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    (any::<[u32; 3]>(), any_word(), any_word(), any_bytes(80)).prop_map(
        |([nonce, origin, destination], sender, recipient, body)| Message {
            nonce,
            origin,
            sender,
            destination,
            recipient,
            body,
            terms: Terms::default(),
        },
    )
}

/// Encodes to what decodes to it, alone and with bytes after it, and says its length.
fn travels<T: Encodable + Decodable + PartialEq + std::fmt::Debug>(value: &T) {
    let mut bytes = alloy_rlp::encode(value);
    assert_eq!(value.length(), bytes.len());
    bytes.push(0xff);
    let mut rest = bytes.as_slice();
    assert_eq!(&T::decode(&mut rest).unwrap(), value);
    assert_eq!(rest, [0xff]);
    for end in 0..bytes.len() - 1 {
        assert!(T::decode(&mut &bytes[..end]).is_err(), "cut off at {end}");
    }
}

/// Whatever decodes is the only encoding of what it decodes to.
fn canonical<T: Encodable + Decodable>(bytes: &[u8]) {
    let mut rest = bytes;
    if let Ok(value) = T::decode(&mut rest) {
        assert_eq!(alloy_rlp::encode(&value), bytes[..bytes.len() - rest.len()]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn values_travel(
        claim in any_claim(),
        inbound in prop::collection::vec(any_message(), 0..3),
        candidates in prop::collection::vec(any_bytes(60), 0..3),
        view: u64,
        proof in any_bytes(100),
    ) {
        travels(&claim);
        inbound.iter().for_each(travels);
        for message in &inbound {
            let packed = Message::decode_packed(&message.encode_packed(), message.terms);
            prop_assert_eq!(packed.as_ref(), Some(message));
        }
        let items = inbound.into_iter().map(LaneItem::Message);
        let items = items.chain([LaneItem::Receipt(receipt())]).collect();
        let inbound = vec![Inbound { items, ..self::inbound() }];
        travels(&BlockBody { inbound, candidates });
        travels(&Seal { view, proof });
    }

    #[test]
    fn no_bytes_have_two_readings(claim in any_claim(), at: prop::sample::Index, to: u8, noise in any_bytes(300)) {
        let mut bytes = alloy_rlp::encode(&claim);
        bytes[at.index(claim.length())] = to;
        canonical::<Claim>(&bytes);
        canonical::<Claim>(&noise);
        canonical::<BlockBody>(&noise);
        canonical::<Seal>(&noise);
        canonical::<Message>(&noise);
        if let Some(message) = Message::decode_packed(&noise, Terms::default()) {
            prop_assert_eq!(message.encode_packed(), noise.to_vec());
        }
    }

    #[test]
    fn every_field_of_a_claim_is_in_its_hash(claim in any_claim(), other in any_claim()) {
        prop_assert_eq!(claim.hash() == other.hash(), claim == other);
        let changed = [
            Claim { number: claim.number ^ 1, ..claim.clone() },
            Claim { time_ms: claim.time_ms ^ 1, ..claim.clone() },
            Claim { cut: ForcedCut { da: other.cut.da, ..claim.cut }, ..claim.clone() },
            Claim { inbound_root: other.inbound_root, ..claim.clone() },
            Claim { candidates_root: other.candidates_root, ..claim.clone() },
        ];
        let hashes: Vec<_> = changed.iter().map(Claim::hash).filter(|hash| *hash == claim.hash()).collect();
        let same = changed.iter().filter(|changed| **changed == claim).count();
        prop_assert_eq!(hashes.len(), same);
    }
}

#[test]
fn the_fee_state_packs_into_one_slot() {
    // Most significant first: excess, gas, bytes, time.
    let state = crate::fees::FeeState { excess_gas: 1, bucket_gas: 2, bucket_bytes: 3, time_ms: 4 };
    let expected = (U256::from(1) << 192) | (U256::from(2) << 128) | (U256::from(3) << 64);
    assert_eq!(state.to_slot(), expected | U256::from(4));
    assert_eq!(crate::fees::FeeState::from_slot(state.to_slot()), state);
}
