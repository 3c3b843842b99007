//! The state machine: exactly once, refund never together with delivery, value conserved.

mod mesh;
mod random;

use alloy_primitives::{B256, U256};
use alloy_signer::SignerSync;
use causeway_chainspec::block::concat_hash;
use causeway_chainspec::directory::{Change, ForcedMessage, Record, SignedRecord};
use causeway_chainspec::mailbox::{Coin, LaneStatus};
use causeway_chainspec::merkle::{DEPTH, branch_root, pair, zero};
use causeway_chainspec::{
    Anchor, Commitment, DaRef, DeliveryStatus, ForcedEntry, Inbound, LaneItem, LaneState,
};

use super::view;
use mesh::{BAD, GOOD, MAX_LAG_MS, Mesh, START_MS, Send, USER, WEALTH, domain};

/// Keys of dev accounts 5 and 6, which everybody knows; 6 is governance.
const KEYS: [&str; 2] = [
    "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
];
const COINS: [Coin; 3] = [Coin::Home, Coin::Hub, Coin::Own];

fn send(to: usize, recipient: alloy_primitives::Address, amount: u64) -> Send {
    Send { to, recipient, amount, gas: 50_000, ttl_ms: 60_000 }
}

/// A mesh in which what the seed sends has arrived and is settled.
fn started() -> Mesh {
    let mut mesh = Mesh::new(&COINS);
    for round in 0..2 {
        for at in 0..3 {
            let others = (0..3).filter(|other| *other != at);
            let inbound = others.map(|other| mesh.inbound(at, other, round)).collect();
            mesh.block(at, START_MS + 500 * (1 + round as u64), inbound, vec![], &[]);
        }
    }
    mesh
}

/// `at` takes in all that `remote` has done.
fn take(mesh: &mut Mesh, at: usize, remote: usize, time_ms: u64) {
    let newest = mesh.chains[remote].blocks.len() - 1;
    let inbound = vec![mesh.inbound(at, remote, newest)];
    mesh.block(at, time_ms, inbound, vec![], &[]);
}

fn id_of(mesh: &Mesh, at: usize) -> B256 {
    let outbox = &mesh.chains[at].blocks.last().unwrap().outbox;
    match outbox.last() {
        Some(LaneItem::Message(message)) => message.id(),
        other => panic!("{other:?} is no message"),
    }
}

fn balance(mesh: &Mesh, at: usize) -> U256 {
    use causeway_chainspec::StateReader;
    mesh.state(at).account(USER).unwrap().unwrap_or_default().balance
}

#[test]
fn coins_of_the_seed_arrive_on_every_kind_of_chain() {
    let mesh = started();
    assert_eq!(balance(&mesh, 1), U256::from(WEALTH));
    assert_eq!(mesh.chains[2].tokens[&USER], U256::from(WEALTH));
    let locked = view::supply(mesh.state(0)).unwrap().locked;
    assert_eq!(locked, U256::from(2 * WEALTH));
    for at in 0..3 {
        for member in view::members(mesh.state(at)).unwrap() {
            let open = member.domain != domain(at);
            let want = if open { LaneStatus::Active } else { LaneStatus::Unknown };
            assert_eq!(member.status, want);
        }
    }
}

#[test]
fn a_transfer_goes_there_and_back_and_settles() {
    let mut mesh = started();
    let total = mesh.total();
    mesh.block(1, START_MS + 2_000, vec![], vec![], &[send(2, GOOD, 500)]);
    let id = id_of(&mesh, 1);
    assert_eq!(view::sent(mesh.state(1), id).unwrap().unwrap().settled, None);
    take(&mut mesh, 2, 1, START_MS + 3_000);
    assert_eq!(mesh.chains[2].tokens[&GOOD], U256::from(500));
    let before = balance(&mesh, 1);
    take(&mut mesh, 1, 2, START_MS + 4_000);
    let sent = view::sent(mesh.state(1), id).unwrap().unwrap();
    let settled = sent.settled.unwrap();
    assert_eq!(settled.status, DeliveryStatus::Delivered);
    // Half the gas was used; the price is the base fee and a quarter.
    assert_eq!(settled.fee_refund, 25_000 * 10);
    assert_eq!(balance(&mesh, 1), before + U256::from(250_000));
    assert_eq!(mesh.total(), total);
}

#[test]
fn a_transfer_waits_until_its_cover_is_known() {
    let mut mesh = Mesh::new(&COINS);
    let total = mesh.total();
    let first = vec![mesh.inbound(1, 0, 0), mesh.inbound(1, 2, 0)];
    mesh.block(1, START_MS + 1_000, first, vec![], &[]);
    mesh.block(1, START_MS + 2_000, vec![], vec![], &[send(2, GOOD, 500)]);
    // Gamma does not know yet that alpha gave beta what beta sends.
    take(&mut mesh, 2, 1, START_MS + 3_000);
    let lane = |mesh: &Mesh| view::lane(mesh.state(2), domain(1)).unwrap().unwrap();
    assert_eq!((lane(&mesh).queued, lane(&mesh).parked), (0, 1));
    take(&mut mesh, 2, 0, START_MS + 3_500);
    assert_eq!(lane(&mesh).parked, 0);
    assert_eq!(mesh.chains[2].tokens[&GOOD], U256::from(500));
    assert_eq!(mesh.total(), total);
}

#[test]
fn what_fails_comes_back_with_its_reason() {
    let mut mesh = started();
    let total = mesh.total();
    mesh.block(0, START_MS + 2_000, vec![], vec![], &[send(1, BAD, 500)]);
    let (id, before) = (id_of(&mesh, 0), balance(&mesh, 0));
    take(&mut mesh, 1, 0, START_MS + 3_000);
    take(&mut mesh, 0, 1, START_MS + 4_000);
    let settled = view::sent(mesh.state(0), id).unwrap().unwrap().settled.unwrap();
    assert_eq!(settled.status, DeliveryStatus::Reverted);
    let refund = U256::from(500) + U256::from(settled.fee_refund);
    assert_eq!(balance(&mesh, 0), before + refund);
    assert_eq!(mesh.total(), total);
    // The ERC-20 of a chain with its own coin is minted back in the block after.
    mesh.block(2, START_MS + 2_000, vec![], vec![], &[send(0, BAD, 70)]);
    assert_eq!(mesh.chains[2].tokens[&USER], U256::from(WEALTH - 70));
    take(&mut mesh, 0, 2, START_MS + 5_000);
    take(&mut mesh, 2, 0, START_MS + 6_000);
    assert_eq!(mesh.chains[2].tokens[&USER], U256::from(WEALTH));
    assert_eq!(mesh.total(), total);
}

#[test]
fn a_message_that_is_never_taken_in_is_paid_back_and_never_delivered() {
    let mut mesh = started();
    let total = mesh.total();
    mesh.block(0, START_MS + 2_000, vec![], vec![], &[send(1, GOOD, 500)]);
    let id = id_of(&mesh, 0);
    // Beta goes on without taking alpha in, until after the expiry.
    mesh.block(1, START_MS + 62_000, vec![], vec![], &[]);
    take(&mut mesh, 0, 1, START_MS + 63_000);
    let settled = view::sent(mesh.state(0), id).unwrap().unwrap().settled.unwrap();
    assert_eq!(settled.status, DeliveryStatus::Expired);
    assert_eq!(mesh.total(), total);
    // Later beta takes it in: too late, and its receipt changes nothing.
    take(&mut mesh, 1, 0, START_MS + 64_000);
    let done = view::received(mesh.state(1), id).unwrap().unwrap().done.unwrap();
    assert_eq!(done.0, DeliveryStatus::Expired);
    take(&mut mesh, 0, 1, START_MS + 65_000);
    assert_eq!(view::sent(mesh.state(0), id).unwrap().unwrap().settled, Some(settled));
    assert_eq!(mesh.total(), total);
}

/// What `at` would take in of `remote`, changed by somebody who keeps its commitment consistent.
fn forge(
    mesh: &Mesh,
    (at, remote): (usize, usize),
    change: impl FnOnce(&mut Inbound),
) -> (Anchor, Inbound) {
    let newest = mesh.chains[remote].blocks.len() - 1;
    let (mut anchor, mut inbound) = mesh.inbound(at, remote, newest);
    change(&mut inbound);
    let known = view::lane(mesh.state(at), domain(remote)).unwrap().unwrap();
    let sent = inbound.items.iter().fold(known.theirs.sent, |sent, item| sent.after(item.hash()));
    let ours = inbound.lanes.iter_mut().find(|lane| lane.domain == domain(at)).unwrap();
    ours.sent = sent;
    let mut lanes = view::lanes(&mesh.chains[remote].blocks[newest].state).unwrap();
    for lane in &mut lanes {
        let changed = inbound.lanes.iter().find(|changed| changed.domain == lane.domain);
        lane.clone_from(changed.unwrap_or(&lane.clone()));
    }
    let lanes = concat_hash(lanes.iter().map(LaneState::hash));
    let (root, count, directory) = (inbound.root, inbound.count, anchor.directory);
    anchor.commitment = Commitment { root, count, lanes, directory }.hash();
    (anchor, inbound)
}

#[test]
fn a_member_cannot_send_what_it_does_not_hold() {
    let mut mesh = started();
    let total = mesh.total();
    mesh.block(1, START_MS + 2_000, vec![], vec![], &[send(0, GOOD, 500)]);
    // A beta whose machine is broken: it says it sent more than it ever received.
    let mut forged = None;
    let lie = forge(&mesh, (0, 1), |inbound| {
        let LaneItem::Message(message) = inbound.items.last_mut().unwrap() else { panic!() };
        let mut body = message.body.to_vec();
        body[32..64].copy_from_slice(&U256::from(2 * WEALTH).to_be_bytes::<32>());
        message.body = body.into();
        forged = Some(message.id());
        let lane = inbound.lanes.iter_mut().find(|lane| lane.domain == domain(0)).unwrap();
        lane.flows[0].sent = U256::from(2 * WEALTH);
    });
    let forged = forged.unwrap();
    mesh.book.insert(forged, mesh::Fate::default());
    mesh.block(0, START_MS + 3_000, vec![lie], vec![], &[]);
    let lane = view::lane(mesh.state(0), domain(1)).unwrap().unwrap();
    assert_eq!((lane.queued, lane.parked), (0, 1), "set aside, and the lane goes on");
    let asset = view::supply(mesh.state(0)).unwrap().asset;
    assert_eq!(view::row(mesh.state(0), domain(1), asset).unwrap(), Some(U256::ZERO));
    // At its expiry it is refused with a receipt.
    mesh.block(0, START_MS + 70_000, vec![], vec![], &[]);
    let done = view::received(mesh.state(0), forged).unwrap().unwrap().done;
    assert_eq!(done.map(|(status, _)| status), Some(DeliveryStatus::Refused));
    mesh.book.remove(&forged);
    assert_eq!(mesh.total(), total, "nothing of it was paid");
}

#[test]
fn a_member_that_says_delivered_and_failed_gets_nothing_paid_twice() {
    let mut mesh = started();
    mesh.block(0, START_MS + 2_000, vec![], vec![], &[send(1, GOOD, 500)]);
    let (id, before) = (id_of(&mesh, 0), balance(&mesh, 0));
    take(&mut mesh, 1, 0, START_MS + 3_000);
    // Beta's flow says delivered, its receipt says reverted.
    let lie = forge(&mesh, (0, 1), |inbound| {
        let LaneItem::Receipt(receipt) = inbound.items.last_mut().unwrap() else { panic!() };
        receipt.status = DeliveryStatus::Reverted;
    });
    mesh.block(0, START_MS + 4_000, vec![lie], vec![], &[]);
    assert_eq!(view::sent(mesh.state(0), id).unwrap().unwrap().settled, None);
    assert_eq!(balance(&mesh, 0), before);
    // Nor does its expiry pay: beta says it took the message.
    mesh.block(0, START_MS + 90_000, vec![], vec![], &[]);
    assert_eq!(view::sent(mesh.state(0), id).unwrap().unwrap().settled, None);
}

#[test]
fn one_message_twice_in_a_lane_is_no_anchor() {
    let mut mesh = started();
    mesh.block(0, START_MS + 2_000, vec![], vec![], &[send(1, GOOD, 500)]);
    let id = id_of(&mesh, 0);
    let twice = forge(&mesh, (1, 0), |inbound| {
        let last = inbound.items.last().unwrap().clone();
        inbound.items.push(last);
    });
    mesh.block(1, START_MS + 3_000, vec![twice], vec![], &[]);
    assert_eq!(view::received(mesh.state(1), id).unwrap(), None);
    take(&mut mesh, 1, 0, START_MS + 4_000);
    let done = view::received(mesh.state(1), id).unwrap().unwrap().done;
    assert_eq!(done.map(|(status, _)| status), Some(DeliveryStatus::Delivered));
}

#[test]
fn a_block_is_anchored_once_and_one_da_block_as_often_as_needed() {
    let mut mesh = started();
    let number = |mesh: &Mesh| view::anchor(mesh.state(1), domain(0)).unwrap().unwrap().0.number;
    mesh.block(0, START_MS + 2_000, vec![], vec![], &[send(1, GOOD, 500)]);
    take(&mut mesh, 1, 0, START_MS + 3_000);
    let before = number(&mesh);
    // The same block again, in a later DA block: nothing new.
    let newest = mesh.chains[0].blocks.len() - 1;
    let (mut again, inbound) = mesh.inbound(1, 0, newest);
    again.base_fee = 77;
    mesh.block(1, START_MS + 4_000, vec![(again, inbound)], vec![], &[]);
    let (anchor, _) = view::anchor(mesh.state(1), domain(0)).unwrap().unwrap();
    assert_eq!((anchor.number, anchor.base_fee), (before, 8));
    // The next block, in the same DA block.
    mesh.block(0, START_MS + 5_000, vec![], vec![], &[send(1, GOOD, 600)]);
    let (mut next, inbound) = mesh.inbound(1, 0, newest + 1);
    next.da = anchor.da;
    mesh.block(1, START_MS + 6_000, vec![(next, inbound)], vec![], &[]);
    assert_eq!(number(&mesh), before + 1);
}

#[test]
fn a_flood_of_failing_transfers_stops_nobody() {
    let mut mesh = started();
    let total = mesh.total();
    let mut time_ms = START_MS + 2_000;
    let flood = |ttl_ms| (0..280).map(move |_| Send { ttl_ms, ..send(0, GOOD, 1 << 40) });
    for _ in 0..2 {
        for _ in 0..3 {
            mesh.block(2, time_ms, vec![], vec![], &flood(1).collect::<Vec<_>>());
            time_ms += 1_000;
        }
        take(&mut mesh, 0, 2, time_ms);
        for _ in 0..6 {
            time_ms += 1_000;
            mesh.block(0, time_ms, vec![], vec![], &[]);
        }
    }
    // All of them come back at once, and are minted back a few a block.
    take(&mut mesh, 2, 0, time_ms + 1_000);
    for more in 0..60 {
        mesh.block(2, time_ms + 2_000 + more, vec![], vec![], &[]);
    }
    assert_eq!(mesh.chains[2].tokens[&USER], U256::from(WEALTH));
    assert_eq!(mesh.total(), total);
}

#[test]
fn lanes_stall_and_open_again() {
    let mut mesh = started();
    let status = |mesh: &Mesh| view::lane(mesh.state(0), domain(1)).unwrap().unwrap().status;
    assert_eq!(status(&mesh), LaneStatus::Active);
    // Alpha knows beta's block 1.
    let late = START_MS + 500 + MAX_LAG_MS;
    mesh.block(0, late, vec![], vec![], &[]);
    assert_eq!(status(&mesh), LaneStatus::Active);
    mesh.block(0, late + 1, vec![], vec![], &[send(1, GOOD, 500)]);
    assert_eq!(status(&mesh), LaneStatus::Stalled);
    assert!(mesh.chains[0].blocks.last().unwrap().outbox.is_empty(), "sends are refused");
    mesh.block(1, late + 2, vec![], vec![], &[]);
    take(&mut mesh, 0, 1, late + 3);
    assert_eq!(status(&mesh), LaneStatus::Active);
    // A demand halves the patience; one that names no height there is stalls nobody for long.
    let demand = ForcedMessage::Demand { domain: domain(1), height: u64::MAX };
    let forced = vec![forced(&demand, late + 4)];
    mesh.block(0, late + 4, vec![], forced, &[]);
    mesh.block(0, late + 5 + MAX_LAG_MS / 2, vec![], vec![], &[]);
    assert_eq!(status(&mesh), LaneStatus::Stalled);
    mesh.block(1, late + 6 + MAX_LAG_MS / 2, vec![], vec![], &[]);
    take(&mut mesh, 0, 1, late + 7 + MAX_LAG_MS / 2);
    assert_eq!(status(&mesh), LaneStatus::Active);
}

fn forced(message: &ForcedMessage, time_ms: u64) -> ForcedEntry {
    ForcedEntry { da: DaRef::default(), time_ms, bytes: message.encode() }
}

fn record(mesh: &Mesh, sequence: u64, change: Change, key: usize) -> ForcedMessage {
    let seed = mesh.chains[0].spec.metalayer.directory.as_ref().unwrap();
    let record = Record { network: seed.hash(), sequence, active_ms: 0, change };
    let signer: alloy_signer_local::PrivateKeySigner = KEYS[key - 5].parse().unwrap();
    let signature = signer.sign_hash_sync(&record.digest()).unwrap();
    let signature = signature.as_bytes().to_vec().into();
    ForcedMessage::Record(SignedRecord { record, signature })
}

#[test]
fn the_directory_takes_signed_records_in_order() {
    let mut mesh = started();
    let status = |mesh: &Mesh| view::lane(mesh.state(0), domain(1)).unwrap().unwrap().status;
    let forged = record(&mesh, 1, Change::Pause(domain(1)), 5);
    let skipped = record(&mesh, 2, Change::Pause(domain(1)), 6);
    for bad in [forged, skipped] {
        mesh.block(0, START_MS + 2_000, vec![], vec![forced(&bad, START_MS)], &[]);
        assert_eq!(view::directory_sequence(mesh.state(0)).unwrap(), 0);
    }
    let pause = record(&mesh, 1, Change::Pause(domain(1)), 6);
    mesh.block(0, START_MS + 3_000, vec![], vec![forced(&pause, START_MS)], &[]);
    assert_eq!(status(&mesh), LaneStatus::Paused);
    // Whoever does not have the record cannot judge an anchor that names it.
    take(&mut mesh, 2, 0, START_MS + 4_000);
    let lane = view::lane(mesh.state(2), domain(0)).unwrap().unwrap();
    assert_eq!(lane.status, LaneStatus::Stalled);
    mesh.block(2, START_MS + 5_000, vec![], vec![forced(&pause, START_MS)], &[]);
    take(&mut mesh, 2, 0, START_MS + 6_000);
    let lane = view::lane(mesh.state(2), domain(0)).unwrap().unwrap();
    assert_eq!(lane.status, LaneStatus::Active);
    let resume = record(&mesh, 2, Change::Resume(domain(1)), 6);
    mesh.block(0, START_MS + 7_000, vec![], vec![forced(&resume, START_MS)], &[]);
    assert_eq!(status(&mesh), LaneStatus::Active);
    let member = causeway_chainspec::directory::Member {
        name: "delta".into(),
        domain: 77,
        identity: B256::repeat_byte(7),
        rules: B256::repeat_byte(8),
    };
    let add = record(&mesh, 3, Change::Add(member), 6);
    mesh.block(0, START_MS + 8_000, vec![], vec![forced(&add, START_MS)], &[]);
    let members = view::members(mesh.state(0)).unwrap();
    assert_eq!(members.last().map(|member| member.domain), Some(77));
    assert_eq!(view::lanes(mesh.state(0)).unwrap()[0].domain, 77);
}

/// Siblings of a leaf, from the bottom up, found level by level.
fn prove(leaves: &[B256], index: usize) -> [B256; DEPTH] {
    let (mut level, mut at) = (leaves.to_vec(), index);
    std::array::from_fn(|height| {
        let sibling = level.get(at ^ 1).copied().unwrap_or(zero(height));
        let right = |nodes: &[B256]| nodes.get(1).copied().unwrap_or(zero(height));
        level = level.chunks(2).map(|nodes| pair(nodes[0], right(nodes))).collect();
        at >>= 1;
        sibling
    })
}

#[test]
fn the_tree_proves_what_it_holds() {
    let mut mesh = started();
    for _ in 0..5 {
        let time_ms = mesh.chains[0].blocks.last().unwrap().time_ms + 1;
        mesh.block(0, time_ms, vec![], vec![], &[send(1, GOOD, 1), send(2, GOOD, 0)]);
    }
    let ids: Vec<B256> = mesh.chains[0]
        .blocks
        .iter()
        .flat_map(|block| &block.outbox)
        .filter_map(|item| match item {
            LaneItem::Message(message) => Some(message.id()),
            LaneItem::Receipt(_) => None,
        })
        .collect();
    let (root, count) = view::tree(mesh.state(0)).unwrap();
    assert_eq!(count as usize, ids.len());
    for (index, id) in ids.iter().enumerate() {
        let proof = prove(&ids, index);
        assert_eq!(branch_root(*id, &proof, index as u32), root);
        assert_ne!(branch_root(*id, &proof, index as u32 + 1), root);
    }
}
