//! Tests of the `metalayer` answers on values made by hand.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256, b256, keccak256};
use alloy_sol_types::SolValue;
use causeway_bridge::metalayer::view::{LaneView, MemberView, Settled, Supply};
use causeway_chainspec::directory::{Directory, SeedMember};
use causeway_chainspec::mailbox::{LaneStatus, MAILBOX, TransferBody, word_of};
use causeway_chainspec::merkle::branch_root;
use causeway_chainspec::{
    Anchor, BlockId, Commitment, DaRef, DeliveryReceipt, DeliveryStatus, Flow, LaneItem,
    LanePosition, LaneState, Message, Terms,
};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};

use super::super::backend::{ChainReader, Verified};
use super::super::error::RpcResult;
use super::super::tests::fake::{FakeChain, FakeState};
use super::directory::directory_json;
use super::lanes::{anchor_json, lane_json};
use super::leaves::{Outboxes, Tree};
use super::message::{Place, Trace};
use super::network::{find_member, not_found};
use super::proof::proof_json;
use super::supply::supply_json;

fn member(name: &str, domain: u32) -> MemberView {
    MemberView {
        name: name.into(),
        domain,
        identity: B256::repeat_byte(domain as u8),
        rules: B256::repeat_byte(0xee),
        active_ms: 0,
        status: LaneStatus::Active,
    }
}

fn members() -> Vec<MemberView> {
    vec![member("alpha", 901), member("beta", 902), member("gamma", 903)]
}

fn message(nonce: u32) -> Message {
    Message {
        nonce,
        origin: 901,
        sender: B256::repeat_byte(0xaa),
        destination: 902,
        recipient: B256::repeat_byte(0xbb),
        body: Bytes::from_static(b"hello"),
        terms: Terms {
            gas_limit: 200_000,
            gas_price: 1000,
            expiry_ms: 99_000,
            refund_to: Address::repeat_byte(0x0f),
        },
    }
}

fn place(block: u64, is_final: bool) -> Place {
    let at = Some((B256::with_last_byte(block as u8), 1000 * block));
    Place { block, at, is_final, verified: Some(true) }
}

fn trace() -> Trace {
    Trace {
        id: message(3).id(),
        origin: 901,
        destination: 902,
        message: Some(message(3)),
        dispatched: Some((place(10, false), Some(B256::repeat_byte(0x77)))),
        anchored: None,
        done: None,
        settled: None,
        lane: Some((9, LaneStatus::Active)),
    }
}

fn anchor() -> Anchor {
    Anchor {
        domain: 901,
        identity: B256::repeat_byte(1),
        rules_hash: B256::repeat_byte(2),
        directory: 4,
        da: DaRef { height: 55, hash: B256::repeat_byte(3) },
        number: 12,
        hash: B256::repeat_byte(4),
        commitment: B256::repeat_byte(5),
        base_fee: 16,
        time_ms: 40_000,
    }
}

fn error_of<T: std::fmt::Debug>(result: RpcResult<T>) -> (i32, String) {
    let error = ErrorObjectOwned::from(result.unwrap_err());
    (error.code(), error.message().to_owned())
}

#[test]
fn a_message_goes_from_one_status_to_the_next() {
    let mut trace = trace();
    let status = |trace: &Trace| {
        let answer = trace.json(&members());
        let hint = answer["hint"].as_str().unwrap().to_owned();
        (answer["status"].as_str().unwrap().to_owned(), answer["settled"] == true, hint)
    };
    let check = |trace: &Trace, name: &str, settled: bool, says: &str| {
        let (status, is_settled, hint) = status(trace);
        assert_eq!((status.as_str(), is_settled), (name, settled), "{hint}");
        assert!(hint.contains(says), "{name}: {hint}");
    };
    check(&trace, "dispatched", false, "alpha block 10 is not final");
    trace.dispatched.as_mut().unwrap().0.is_final = true;
    check(&trace, "final", false, "beta has taken in alpha's blocks up to 9");
    trace.lane = Some((9, LaneStatus::Paused));
    check(&trace, "final", false, "paused alpha on beta");
    trace.lane = None;
    check(&trace, "final", false, "ask a node of beta");
    trace.anchored = Some((place(20, false), Some(anchor())));
    check(&trace, "anchored", false, "expires at 99000 ms");
    for end in DeliveryStatus::ALL {
        trace.done = Some((place(21, false), end, 777));
        trace.settled = None;
        check(&trace, end.name(), false, "alpha pays back what is left of the fee");
        let settled = Settled { status: end, block: 30, fee_refund: 5 };
        trace.settled = Some((place(30, false), settled));
        check(&trace, end.name(), true, "not final yet");
        trace.settled = Some((place(30, true), settled));
        check(&trace, end.name(), true, "alpha paid back");
    }
    // Expired at the source: the destination never took it.
    (trace.anchored, trace.done) = (None, None);
    let settled = Settled { status: DeliveryStatus::Expired, block: 30, fee_refund: 5 };
    trace.settled = Some((place(30, true), settled));
    check(&trace, "expired", true, "longer lifetime");
}

#[test]
fn the_timeline_has_every_step() {
    let mut trace = trace();
    trace.anchored = Some((place(20, true), Some(anchor())));
    trace.done = Some((place(21, false), DeliveryStatus::Delivered, 777));
    let settled = Settled { status: DeliveryStatus::Delivered, block: 30, fee_refund: 255 };
    trace.settled = Some((place(30, false), settled));
    let answer = trace.json(&members());
    let step = |block: u64, is_final: bool| {
        json!({
            "block": block, "blockHash": B256::with_last_byte(block as u8),
            "time": 1000 * block, "final": is_final, "verified": true,
        })
    };
    let with = |mut step: Value, more: Value| {
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        step
    };
    let expected = json!({
        "dispatched": with(step(10, false), json!({ "txHash": B256::repeat_byte(0x77) })),
        "anchored": with(step(20, true), json!({ "sourceBlock": 12, "daHeight": 55 })),
        "done": with(step(21, false), json!({ "status": "delivered", "gasUsed": 777 })),
        "settled": with(step(30, false), json!({ "status": "delivered", "feeRefund": "0xff" })),
    });
    assert_eq!(answer["timeline"], expected);
    assert_eq!(answer["nonce"], 3);
    assert_eq!(answer["body"], "0x68656c6c6f");
    assert_eq!((&answer["gasLimit"], &answer["gasPrice"]), (&json!(200_000), &json!("0x3e8")));
    assert_eq!((&answer["kind"], &answer["expiry"]), (&json!("message"), &json!(99_000)));
    assert_eq!((&answer["originName"], &answer["destination"]), (&json!("alpha"), &json!(902)));
}

#[test]
fn a_transfer_tells_what_it_moves() {
    let mut trace = trace();
    let body = TransferBody {
        recipient: B256::repeat_byte(0x12),
        amount: U256::from(10).pow(U256::from(18)),
        asset: B256::repeat_byte(0x34),
        from: B256::repeat_byte(0x56),
    };
    let moved = trace.message.as_mut().unwrap();
    (moved.sender, moved.recipient) = (word_of(MAILBOX), word_of(MAILBOX));
    moved.body = body.abi_encode().into();
    let answer = trace.json(&members());
    assert_eq!(answer["kind"], "transfer");
    let expected = json!({
        "recipient": body.recipient, "amount": "0xde0b6b3a7640000",
        "asset": body.asset, "from": body.from,
    });
    assert_eq!(answer["transfer"], expected);
    // To the Mailbox, but no transfer: it moves nothing.
    trace.message.as_mut().unwrap().body = Bytes::from_static(b"no");
    let answer = trace.json(&members());
    assert_eq!((&answer["kind"], &answer["transfer"]), (&json!("message"), &Value::Null));
    // Without its content, the rest is still told.
    trace.message = None;
    let answer = trace.json(&members());
    assert_eq!((&answer["status"], &answer["kind"]), (&json!("dispatched"), &Value::Null));
}

#[test]
fn members_are_found_by_number_hex_and_name() {
    let members = members();
    for wanted in [json!(902), json!("902"), json!("0x386"), json!("beta")] {
        assert_eq!(find_member(&members, &wanted).unwrap().name, "beta", "{wanted}");
    }
    let known = "alpha (901), beta (902), gamma (903)";
    for (wanted, text) in [
        (json!("delta"), format!("no member \"delta\": members are {known}")),
        (json!(7), format!("no member \"7\": members are {known}")),
        (json!(4_294_968_198_u64), format!("no member \"4294968198\": members are {known}")),
        (json!([]), "invalid domain: give a number, hex text or a name".into()),
    ] {
        assert_eq!(error_of(find_member(&members, &wanted)), (-32602, text));
    }
    let (code, text) = error_of::<()>(Err(not_found(B256::ZERO, &members, 901, &[903])));
    assert_eq!(code, -32000);
    assert!(text.starts_with("message not found on this node: 0x0000"), "{text}");
    assert!(text.contains("at alpha, members followed here: gamma; not followed: beta"), "{text}");
}

#[test]
fn anchors_say_why_they_are_not_verified() {
    let head = BlockId { number: 8, claim: B256::ZERO, hash: B256::ZERO };
    let mut verified = Verified { head, waiting: None, alarm: None };
    let why = |verified: Option<&Verified>, block| {
        let taken = (anchor(), block);
        let answer = anchor_json(&member("alpha", 901), Some(&taken), verified, 41_500, Some(14));
        assert_eq!((&answer["ageMs"], &answer["followedBlock"]), (&json!(1500), &json!(14)));
        (answer["verified"].clone(), answer["why"].clone())
    };
    assert_eq!(why(Some(&verified), 8), (json!(true), Value::Null));
    assert_eq!(why(Some(&verified), 9), (json!(false), json!("checked up to block 8 so far")));
    verified.waiting = Some("unverified (pruned)".into());
    assert_eq!(why(Some(&verified), 9), (json!(false), json!("unverified (pruned)")));
    verified.alarm = Some("alpha lies".into());
    assert_eq!(why(Some(&verified), 9), (json!(false), json!("alpha lies")));
    assert_eq!(why(None, 9), (Value::Null, json!("this node does not check anchors")));
    let none = anchor_json(&member("alpha", 901), None, Some(&verified), 0, None);
    assert_eq!(none["block"], Value::Null);
    assert_eq!(none["why"], "nothing of it was taken in yet");
}

#[test]
fn lanes_supplies_and_directories_are_told() {
    let flow = Flow {
        asset: B256::repeat_byte(9),
        sent: U256::from(7),
        received: U256::from(5),
        refunded: U256::from(1),
    };
    let sent = LanePosition { count: 12, accumulator: B256::repeat_byte(6) };
    let mut lane = LaneView {
        ours: LaneState { domain: 902, sent, taken: 4, flows: vec![flow] },
        theirs: LaneState { domain: 901, taken: 10, ..LaneState::default() },
        status: LaneStatus::Active,
        unsettled: 3,
        queued: 2,
        parked: 1,
    };
    let beta = member("beta", 902);
    let answer = lane_json(&beta, &lane, Some(5000));
    assert_eq!(answer["out"]["onTheWay"], 2);
    assert_eq!(answer["out"]["sent"]["count"], 12);
    assert_eq!((&answer["in"]["taken"], &answer["in"]["parked"]), (&json!(4), &json!(1)));
    assert_eq!((&answer["why"], &answer["flows"][0]["sent"]), (&Value::Null, &json!("0x7")));
    lane.status = LaneStatus::Stalled;
    let why = lane_json(&beta, &lane, Some(5000))["why"].as_str().unwrap().to_owned();
    assert!(why.contains("beta taken in is 5 s old"), "{why}");
    lane.status = LaneStatus::Paused;
    assert_eq!(lane_json(&beta, &lane, None)["status"], "paused");

    let supply = Supply {
        asset: B256::repeat_byte(9),
        circulating: U256::from(100),
        locked: U256::from(16),
        in_flight: U256::ZERO,
        escrow: U256::from(3),
        token: None,
    };
    let answer = supply_json(&supply, &[(&beta, Some(U256::from(16))), (&beta, None)]);
    assert_eq!((&answer["circulating"], &answer["locked"]), (&json!("0x64"), &json!("0x10")));
    assert_eq!(answer["rows"][0], json!({ "domain": 902, "name": "beta", "holds": "0x10" }));
    assert_eq!(answer["rows"][1]["holds"], Value::Null);

    let seed = Directory {
        network: "devnet".into(),
        governance: Address::repeat_byte(1),
        hub: 901,
        max_lag_ms: 60_000,
        members: vec![SeedMember {
            name: "alpha".into(),
            domain: 901,
            base: B256::ZERO,
            rules: B256::ZERO,
        }],
        transfers: Vec::new(),
    };
    let answer = directory_json(&seed, 5, &members(), 901, &|domain| domain == 902);
    assert_eq!(answer["networkHash"], json!(seed.hash()));
    assert_eq!((&answer["sequence"], &answer["hub"]), (&json!(5), &json!(901)));
    let told: Vec<_> = answer["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| (member["status"].as_str().unwrap(), member["followed"] == true))
        .collect();
    assert_eq!(told, [("self", false), ("active", true), ("active", false)]);
}

#[test]
fn the_tree_is_hyperlanes() {
    let mut tree = Tree::default();
    // Root of the empty tree, and of one whose first leaf is zero.
    let empty = b256!("0x27ae5ba08d7291c96c8cbddcc148bf48a6d68c7974b94356f53754ef6171d757");
    assert_eq!(tree.root(0), empty);
    let leaves: Vec<B256> = (0..21u8).map(|at| keccak256([at])).collect();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    let naive = |count: usize| {
        let mut zero = B256::ZERO;
        let mut level = leaves[..count].to_vec();
        for _ in 0..32 {
            if level.len() % 2 == 1 {
                level.push(zero);
            }
            let pair = |pair: &[B256]| keccak256([pair[0].0, pair[1].0].concat());
            level = level.chunks(2).map(pair).collect();
            zero = keccak256([zero.0, zero.0].concat());
        }
        level.first().copied().unwrap_or(zero)
    };
    for count in 0..=leaves.len() {
        let root = tree.root(count as u32);
        assert_eq!(root, naive(count), "{count}");
        for (index, leaf) in leaves[..count].iter().enumerate() {
            let branch = tree.branch(index as u32, count as u32);
            assert_eq!(branch.len(), 32);
            assert_eq!(branch_root(*leaf, &branch, index as u32), root);
        }
    }
    tree.truncate(5);
    assert_eq!((tree.len(), tree.root(5)), (5, naive(5)));
    leaves[5..].iter().for_each(|leaf| tree.push(*leaf));
    assert_eq!(tree.root(21), naive(21));
}

/// A chain whose blocks send these nonces, and final up to a block.
fn chain(blocks: &[&[u32]], finalized: u64) -> FakeChain {
    let mut chain = FakeChain::default();
    for nonces in blocks {
        let mut outbox: Vec<_> = nonces.iter().map(|at| LaneItem::Message(message(*at))).collect();
        outbox.push(LaneItem::Receipt(DeliveryReceipt {
            from: 901,
            to: 903,
            id: B256::ZERO,
            status: DeliveryStatus::Delivered,
            gas_used: 0,
        }));
        // The hash of a block names what it sends.
        let commitment = keccak256(nonces.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>());
        chain.push_sending(Vec::new(), FakeState::default(), (outbox, commitment));
    }
    (chain.safe, chain.finalized) = (finalized, finalized);
    chain
}

#[test]
fn leaves_are_read_once_and_again_after_a_reorg() {
    let later = || Instant::now() + Duration::from_secs(60);
    let outboxes = Outboxes::default();
    let root = |chain: &FakeChain, count: u32| {
        let to = chain.latest().number;
        let proved = outboxes.prove((901, chain), to, (0, count), later());
        proved.map(|(root, branch)| {
            assert_eq!(branch_root(message(0).id(), &branch, 0), root);
            root
        })
    };
    let expected = |count: u32| {
        let mut tree = Tree::default();
        (0..count).for_each(|nonce| tree.push(message(nonce).id()));
        tree.root(count)
    };
    // Within a block the outbox is in lane order, the tree in order of nonces.
    let old = chain(&[&[], &[1, 0], &[], &[2, 3, 4], &[5]], 2);
    assert_eq!(root(&old, 6).unwrap(), expected(6));
    assert_eq!(root(&old, 2).unwrap(), expected(2));
    let new = chain(&[&[], &[1, 0], &[], &[2], &[], &[3, 4, 5, 6]], 4);
    assert_eq!(root(&new, 7).unwrap(), expected(7));
    assert_eq!(root(&old, 6).unwrap(), expected(6));
    // State that says more than the blocks hold, and a message out of order: our own failure.
    assert_eq!(error_of(root(&new, 8)).0, -32603);
    assert_eq!(error_of(root(&chain(&[&[], &[1]], 0), 1)).0, -32603);
    // Out of time: says so, and goes on later.
    let fresh = Outboxes::default();
    let past = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
    let (code, text) = error_of(fresh.prove((901, &new), 5, (0, 7), past));
    assert!(code == -32000 && text.contains("try again") || code == -32005, "{code} {text}");
    assert_eq!(fresh.prove((901, &new), 5, (0, 7), later()).unwrap().0, expected(7));
}

#[test]
fn a_proof_opens_the_header() {
    let mut tree = Tree::default();
    (0..3).for_each(|nonce| tree.push(message(nonce).id()));
    let commitment =
        Commitment { root: tree.root(3), count: 3, lanes: B256::repeat_byte(8), directory: 2 };
    let mut chain = FakeChain::default();
    let sent = (Vec::new(), commitment.hash());
    let block = chain.push_sending(Vec::new(), FakeState::default(), sent);
    let (id, branch) = (message(1).id(), tree.branch(1, 3));
    let answer = proof_json(&block, &commitment, (id, 1), &branch).unwrap();
    assert_eq!((&answer["leaf"], &answer["index"]), (&json!(id), &json!(1)));
    // As a stranger checks it, from the header alone.
    let header: Bytes = serde_json::from_value(answer["header"].clone()).unwrap();
    assert_eq!(json!(keccak256(&header)), answer["blockHash"]);
    let requests: B256 = serde_json::from_value(answer["requestsHash"].clone()).unwrap();
    assert!(header.ends_with(requests.as_slice()), "requestsHash is not the last field");
    let claim: B256 = serde_json::from_value(answer["claimHash"].clone()).unwrap();
    let hash: B256 = serde_json::from_value(answer["commitment"]["hash"].clone()).unwrap();
    assert_eq!(causeway_chainspec::block::requests_hash(claim, hash), requests);
    // A proof that does not hold is our own failure, never an answer.
    assert_eq!(error_of(proof_json(&block, &commitment, (id, 2), &branch)).0, -32603);
    let other = Commitment { directory: 3, ..commitment };
    assert_eq!(error_of(proof_json(&block, &other, (id, 1), &branch)).0, -32603);
}
