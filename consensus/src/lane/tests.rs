//! Due times, runs and positions of the forced lane.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind};
use alloy_rlp::Decodable;
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::TxEnvelope;
use causeway_chainspec::directory::ForcedMessage;

use super::*;
use crate::testkit::{T0, spec};

fn signed(chain_id: u64, gas_limit: u64) -> Bytes {
    let tx =
        TxEip1559 { chain_id, gas_limit, to: TxKind::Call(Address::ZERO), ..TxEip1559::default() };
    let key = PrivateKeySigner::from_bytes(&B256::repeat_byte(3)).unwrap();
    let signature = key.sign_hash_sync(&tx.signature_hash()).unwrap();
    TxEnvelope::Eip1559(tx.into_signed(signature)).encoded_2718().into()
}

fn at(height: u64) -> DaRef {
    DaRef { height, hash: B256::with_last_byte(height as u8) }
}

fn lane(entries: &[(u64, Bytes)]) -> Lane {
    let mut lane = Lane::default();
    for (index, (time, bytes)) in entries.iter().enumerate() {
        lane.push(&spec(), at(index as u64), *time, bytes.clone()).unwrap();
    }
    lane
}

#[test]
fn cost_is_what_can_be_executed_or_the_share_of_a_block() {
    let spec = spec();
    assert_eq!(cost(&spec, &signed(7, 60_000)), 60_000);
    assert_eq!(cost(&spec, &signed(7, 1_000)), MIN_COST);
    assert_eq!(cost(&spec, &vec![0; 20].into()), MIN_COST);
    assert_eq!(cost(&spec, &vec![0; 5_000].into()), 50_000);
    assert_eq!(cost(&spec, &vec![0; 10_000].into()), 100_000);
    let demand = ForcedMessage::Demand { domain: 9, height: u64::MAX }.encode();
    assert_eq!(cost(&spec, &demand), MIN_COST, "a message to the protocol");
    // Asking for what no block of this chain can give does not hold up the lane.
    assert_eq!(cost(&spec, &signed(8, 60_000)), MIN_COST);
    assert_eq!(cost(&spec, &signed(7, u64::MAX)), MIN_COST);
}

#[test]
fn due_times_follow_the_lane_rate() {
    // 21,000 gas at 1,000 a ms.
    let small = Bytes::from(vec![1]);
    let lane = lane(&[
        (1_000, small.clone()),
        (1_000, signed(7, 60_000)),
        (1_000, small.clone()),
        (5_000, small),
    ]);
    let due: Vec<_> = lane.pending.iter().map(|pending| pending.due_ms).collect();
    assert_eq!(due, [1_000, 1_021, 1_081, 5_000]);
    assert_eq!(lane.free_ms, 5_021);
}

#[test]
fn a_run_is_due_in_order_and_bounded() {
    let mut lane = lane(&(0..6).map(|n| (1_000, vec![n; 10].into())).collect::<Vec<_>>());
    let spec = spec();
    let start = lane.taken;
    let run = |lane: &Lane, from, time| lane.run(&spec, from, time).unwrap();
    assert_eq!(run(&lane, start, 1_799).entries.len(), 0);
    assert_eq!(run(&lane, start, 1_800).entries.len(), 1);
    let first = run(&lane, start, 1_842);
    assert_eq!((first.entries.len(), first.full, first.bytes), (3, false, 30));
    let first = run(&lane, start, 9_000);
    assert_eq!((first.entries.len(), first.full), (4, true));
    let second = run(&lane, first.position, 9_000);
    assert_eq!((second.entries.len(), second.full), (2, false));
    assert_eq!(lane.between(start, second.position).unwrap().len(), 6);
    assert_eq!(lane.between(first.position, second.position).unwrap(), second.entries);
    assert_eq!(lane.due(&spec, first.position, 9_000), 2);
    // Positions stay valid while what is safe moves on.
    lane.take(first.position);
    assert_eq!(run(&lane, first.position, 9_000), second);
    assert_eq!(lane.run(&spec, start, 9_000), None);
    let elsewhere = LanePosition { accumulator: B256::repeat_byte(1), ..second.position };
    assert_eq!(lane.run(&spec, elsewhere, 9_000), None);
    lane.take(elsewhere);
    assert_eq!(lane.taken, first.position);
}

#[test]
fn an_entry_that_fits_no_block_never_enters() {
    let mut lane = Lane::default();
    let error = lane.push(&spec(), at(1), 0, vec![0; 10_001].into()).unwrap_err();
    assert_eq!(error, NotTaken::TooLarge { bytes: 10_001, most: 10_000 });
    lane.push(&spec(), at(1), 0, vec![0; 10_000].into()).unwrap();
    let run = lane.run(&spec(), lane.taken, 9_000).unwrap();
    assert_eq!((run.entries.len(), run.full), (1, false));
}

#[test]
fn the_lane_is_bounded_by_a_window() {
    let (spec, mut lane) = (spec(), Lane::default());
    let small = Bytes::from(vec![1]);
    // 21 ms of the lane each, a window of 8 s.
    let mut push = |time_ms| lane.push(&spec, at(1), time_ms, small.clone());
    let entered = (0..10_000).filter(|_| push(1_000).is_ok()).count();
    assert_eq!(entered, 8_000 / 21 + 1);
    let full = NotTaken::Full { wait_ms: 8_001, most_ms: 8_000 };
    assert_eq!(push(1_000), Err(full));
    // As time goes on there is room again.
    push(1_001).unwrap();
    assert!(push(1_001).is_err());
    let latest = lane.pending.iter().map(|pending| pending.due_ms - pending.entry.time_ms).max();
    assert!(latest <= Some(spec.sequencer.window_ms));
}

#[test]
fn encoding_keeps_everything() {
    let lane = lane(&[(1_000, vec![1].into()), (1_000, signed(7, 60_000))]);
    let bytes = alloy_rlp::encode(&lane);
    assert_eq!(Lane::decode(&mut bytes.as_slice()), Ok(lane));
}

#[test]
fn messages_enter_where_there_is_a_parent_chain() {
    let message = |gas_limit| {
        let deposit = op_alloy_consensus::TxDeposit { gas_limit, ..Default::default() };
        causeway_chainspec::Tx::deposit(deposit).raw
    };
    let (da, mut spec) = (DaRef::default(), spec());
    let mut lane = Lane::default();
    assert_eq!(lane.push(&spec, da, T0, message(50_000)), Err(NotTaken::Message));
    assert_eq!(lane.push(&spec, da, T0, vec![0x7e].into()), Err(NotTaken::Message));
    spec.da.layer = "ethereum".into();
    // It costs what it asks for, and is never left out.
    let waits = spec.sequencer.window_ms * spec.sequencer.lane_rate / 50_000 + 2;
    for _ in 0..waits {
        lane.push(&spec, da, T0, message(50_000)).unwrap();
    }
    assert!(lane.pending.iter().all(|pending| pending.cost == 50_000));
    assert!(matches!(lane.push(&spec, da, T0, vec![1; 9].into()), Err(NotTaken::Full { .. })));
    lane.push(&spec, da, T0, message(50_000)).unwrap();
    assert_eq!(lane.pending.len() as u64, waits + 1);
}
