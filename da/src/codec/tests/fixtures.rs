//! Spans, transactions and blobs the tests are made of.

pub(super) use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
pub(super) use alloy_eips::eip2718::Encodable2718;
pub(super) use alloy_eips::eip2930::{AccessList, AccessListItem};
pub(super) use alloy_eips::eip7702::{Authorization, SignedAuthorization};
pub(super) use alloy_primitives::{Signature, TxKind, U256, b256, keccak256};
pub(super) use causeway_chainspec::{
    AbandonReason, Anchor, BlockBody, Claim, DaRef, DeliveryReceipt, DeliveryStatus, Flow,
    ForcedCut, Inbound, LaneItem, LanePosition, LaneState, Message, Origin, Seal, SpanBlock,
    Takeover, Terms, Tip, TxEnvelope,
};

pub(super) use super::super::*;

pub(super) const IDENTITY: B256 =
    b256!("0x1111111122222222333333334444444455555555666666667777777788888888");
pub(super) const BLOB: usize = 128 << 10;

/// A stream of bytes that compress to nothing less, the same in every run.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    fn word(&mut self) -> B256 {
        self.0 += 1;
        keccak256(self.0.to_be_bytes())
    }
    fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.word()[..8].try_into().unwrap())
    }
    pub(super) fn signature(&mut self) -> Signature {
        let (r, s) = (self.word(), self.word());
        Signature::new(r.into(), s.into(), self.number().is_multiple_of(2))
    }
}

pub(super) fn key() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::with_last_byte(7)).unwrap()
}

pub(super) fn raw(tx: impl Into<TxEnvelope>) -> Bytes {
    tx.into().encoded_2718().into()
}

pub(super) fn transfer(noise: &mut Noise, nonce: u64) -> Bytes {
    let tx = TxEip1559 {
        chain_id: 42_161,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1_000_000,
        to: TxKind::Call(Address::from_slice(&noise.word()[..20])),
        value: U256::from(noise.number()),
        ..Default::default()
    };
    raw(tx.into_signed(noise.signature()))
}

/// One of every kind, and bytes that are none.
pub(in crate::codec) fn assorted() -> Vec<Bytes> {
    let noise = &mut Noise(1);
    let to = TxKind::Call(Address::repeat_byte(9));
    let access_list = AccessList(vec![AccessListItem {
        address: Address::repeat_byte(3),
        storage_keys: vec![B256::repeat_byte(1), B256::ZERO],
    }]);
    let authorization =
        Authorization { chain_id: U256::from(5), address: Address::repeat_byte(4), nonce: 1 };
    let authorization =
        SignedAuthorization::new_unchecked(authorization, 1, U256::from(7), U256::from(8));
    let call = TxLegacy { chain_id: Some(7), to, input: vec![1; 70].into(), ..Default::default() };
    let create = TxLegacy { chain_id: None, to: TxKind::Create, input: vec![0; 3].into(), ..call };
    let listed =
        TxEip2930 { chain_id: 7, to, access_list: access_list.clone(), ..Default::default() };
    let most = TxEip1559 {
        chain_id: u64::MAX,
        nonce: u64::MAX,
        gas_limit: u64::MAX,
        max_fee_per_gas: u128::MAX,
        max_priority_fee_per_gas: u128::MAX,
        to: TxKind::Create,
        value: U256::MAX,
        access_list,
        input: vec![0xff; 1000].into(),
    };
    let delegation = TxEip7702 {
        chain_id: 7,
        to: Address::repeat_byte(9),
        authorization_list: vec![authorization.clone(), authorization],
        ..Default::default()
    };
    let small = Signature::new(U256::ZERO, U256::from(1), true);
    let plain = raw(call.clone().into_signed(small));
    let mut typed_legacy = vec![0];
    typed_legacy.extend_from_slice(&plain);
    let mut trailing = plain.to_vec();
    trailing.push(0);
    vec![
        raw(call.into_signed(noise.signature())),
        raw(create.into_signed(noise.signature())),
        raw(listed.into_signed(noise.signature())),
        transfer(noise, 0),
        raw(most.into_signed(small)),
        raw(delegation.into_signed(noise.signature())),
        plain,
        Bytes::new(),
        typed_legacy.into(),
        trailing.into(),
        Bytes::from_static(&[0x03, 1, 2]),
        Bytes::from_static(&[0x7e, 0xc0]),
        Bytes::from_static(&[0xc0]),
        vec![0xff; 300].into(),
    ]
}

pub(super) fn message(nonce: u32) -> Message {
    Message {
        nonce,
        origin: 5,
        sender: B256::repeat_byte(1),
        destination: u32::MAX,
        recipient: B256::repeat_byte(2),
        body: vec![nonce as u8; nonce as usize % 40].into(),
        terms: Terms { gas_limit: nonce.into(), gas_price: 1, expiry_ms: 2, ..Terms::default() },
    }
}

pub(super) fn receipt(index: u32) -> LaneItem {
    let status = DeliveryStatus::ALL[index as usize % DeliveryStatus::ALL.len()];
    let (id, gas_used) = (B256::repeat_byte(4), u64::from(index) << 20);
    LaneItem::Receipt(DeliveryReceipt { from: 5, to: u32::MAX, id, status, gas_used })
}

pub(super) fn lane(domain: u32, flows: u8) -> LaneState {
    let flow = |asset| Flow {
        asset: B256::repeat_byte(asset),
        sent: U256::MAX,
        received: U256::from(asset),
        refunded: U256::ZERO,
    };
    let sent = LanePosition::default().after(B256::repeat_byte(5));
    LaneState { domain, sent, taken: domain.into(), flows: (0..flows).map(flow).collect() }
}

/// Every third item is a receipt.
pub(super) fn inbound(items: std::ops::Range<u32>) -> Inbound {
    let lanes = vec![LaneState { domain: 5, ..LaneState::default() }, lane(6, 2)];
    let items = items.map(|index| match index % 3 {
        2 => receipt(index),
        _ => LaneItem::Message(message(index)),
    });
    Inbound { root: B256::repeat_byte(3), count: 4, lanes, items: items.collect() }
}

/// A chain of blocks: `edit` changes a block's claim before its parent link and roots are set.
pub(super) fn chain(bodies: Vec<BlockBody>, mut edit: impl FnMut(usize, &mut Claim)) -> Span {
    let mut blocks: Vec<SpanBlock> = Vec::new();
    for (index, body) in bodies.into_iter().enumerate() {
        let mut claim = match blocks.last() {
            Some(last) => {
                let parent = last.claim.hash();
                let mut claim =
                    Claim { parent, anchors: vec![], takeover: None, ..last.claim.clone() };
                claim.number += 1;
                claim.time_ms += 250;
                claim
            }
            None => first_claim(),
        };
        edit(index, &mut claim);
        claim.inbound_root = body.inbound_root();
        claim.candidates_root = body.candidates_root();
        blocks.push(SpanBlock { claim, body });
    }
    let mut noise = Noise(99);
    Span {
        identity: IDENTITY,
        rules_hash: noise.word(),
        parent: below(),
        blocks,
        seal: Seal { view: 0, proof: noise.signature().normalized_s().as_bytes().into() },
        last_header: noise.word(),
    }
}

/// The block that all chains of these tests stand on.
pub(super) fn below() -> Tip {
    let Claim { parent, number, term, time_ms, origin, cut, .. } = first_claim();
    Tip { claim: parent, number: number - 1, time_ms: time_ms - 250, term, cut, origin }
}

pub(super) fn first_claim() -> Claim {
    let noise = &mut Noise(50);
    Claim {
        identity: IDENTITY,
        number: 1_000_000,
        term: 5_000_000,
        parent: noise.word(),
        time_ms: 1_800_000_000_123,
        origin: None,
        cut: ForcedCut {
            da: DaRef { height: 5_000_500, hash: noise.word() },
            lane: LanePosition::default(),
        },
        anchors: vec![],
        inbound_root: B256::ZERO,
        candidates_root: B256::ZERO,
        takeover: None,
    }
}

/// Every field changes somewhere.
pub(super) fn rich() -> Span {
    let body = |candidates, inbound| BlockBody { candidates, inbound };
    let bodies = vec![
        body(assorted(), vec![]),
        body(vec![], vec![inbound(0..3), inbound(0..0)]),
        body(vec![transfer(&mut Noise(7), 3)], vec![inbound(3..4)]),
        BlockBody::default(),
    ];
    chain(bodies, |index, claim| match index {
        1 => {
            claim.cut.da = DaRef { height: 5_000_501, hash: B256::repeat_byte(0xd1) };
            claim.cut.lane = claim.cut.lane.after(B256::repeat_byte(0xd2));
            claim.anchors = vec![anchor(1), anchor(2)];
        }
        2 => {
            claim.origin = Some(Origin { number: 77, hash: B256::repeat_byte(0x07) });
            claim.time_ms += 100_000;
        }
        3 => {
            claim.term += 600;
            claim.takeover = Some(takeover(1));
        }
        _ => {}
    })
}

pub(super) fn anchor(domain: u32) -> Anchor {
    Anchor {
        domain,
        identity: B256::repeat_byte(1),
        rules_hash: B256::repeat_byte(2),
        directory: 3,
        da: DaRef { height: 4, hash: B256::repeat_byte(5) },
        number: 6,
        hash: B256::repeat_byte(7),
        commitment: B256::repeat_byte(8),
        base_fee: 9,
        time_ms: 10,
    }
}

pub(super) fn takeover(depth: usize) -> Takeover {
    let mut abandoned = first_claim();
    if depth > 1 {
        abandoned.takeover = Some(takeover(depth - 1));
    }
    Takeover {
        reference: DaRef { height: 5_000_600, hash: B256::repeat_byte(0x99) },
        abandoned: Box::new(abandoned),
        reason: AbandonReason::Expired,
    }
}

pub(super) fn block_of(blobs: Vec<Bytes>) -> DaBlock {
    let da = DaRef { height: 3, hash: B256::repeat_byte(3) };
    let forced = vec![Bytes::from_static(b"forced")];
    DaBlock { da, parent: B256::repeat_byte(2), time_ms: 99, blobs, forced, keys: Vec::new() }
}

pub(super) fn posted(span: &Span) -> PostedSpan {
    span.posted().unwrap()
}

pub(super) fn read(blobs: Vec<Bytes>) -> (Vec<PostedSpan>, Dropped) {
    let posters = [Address::repeat_byte(1), key().address()];
    let (entry, dropped) =
        decode(&block_of(blobs), &ReadContext { identity: IDENTITY, posters: &posters });
    assert_eq!((entry.time_ms, entry.da.height, entry.forced.len()), (99, 3, 1));
    (entry.spans, dropped)
}

pub(super) fn write(span: &Span, options: &EncodeOptions, most: usize) -> Vec<Bytes> {
    encode(span, "evm", &key(), options, most).unwrap()
}

/// Blobs of a content of our making, signed as a poster would.
pub(super) fn signed(content: &[u8]) -> Vec<Bytes> {
    let payload = [&[0], content].concat();
    envelope::seal(&payload, IDENTITY, &key(), BLOB).unwrap()
}

pub(super) fn content(span: &Span, format: span::Format) -> Vec<u8> {
    content_of(&posted(span), format)
}

pub(super) fn content_of(span: &PostedSpan, format: span::Format) -> Vec<u8> {
    let mut content = Content::new(format);
    span.blocks.iter().for_each(|block| content.push(block).unwrap());
    content.finish(span).unwrap()
}
