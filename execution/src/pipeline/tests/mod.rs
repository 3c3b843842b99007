//! The pipeline over a real store and real VMs.

mod again;
mod agreement;
mod ahead;
mod building;
mod recovery;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use alloy_primitives::Address;
use causeway_chainspec::plan::Candidate;
use causeway_chainspec::{
    BlockBody, BlockId, CallOutcome, Claim, DaRef, ForcedEntry, Message, Receipt, StateDiff,
    StateError, StateReader, SystemCall, SystemModule, SystemState, Tx,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::testing::{key, spec, transfer, transfer_with};
use super::*;
use crate::{BlockOutput, Call, CallOutput, TxFacts, VmError};

const BOB: Address = Address::repeat_byte(0xb0);

fn config(dir: &Path) -> PipelineConfig {
    config_of(dir, "ledger")
}

fn config_of(dir: &Path, vm: &str) -> PipelineConfig {
    PipelineConfig {
        datadir: dir.into(),
        spec: spec(vm),
        modules: vec![],
        archive: false,
        address_index: None,
        history_blocks: 128,
        cache_bytes: 8 << 20,
    }
}

fn open(dir: &TempDir) -> Pipeline {
    Pipeline::open(config(dir.path())).unwrap().0
}

fn claim_on(parent: &Block, time_ms: u64) -> Claim {
    let body = BlockBody::default();
    let before = &parent.plan.claim;
    Claim {
        number: before.number + 1,
        parent: parent.claim_hash,
        time_ms,
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        ..before.clone()
    }
}

/// A draft of a block on `parent`, a quarter of a second later.
fn draft(parent: &Block, txs: &[Arc<Tx>]) -> BlockPlan {
    let claim = claim_on(parent, parent.plan.claim.time_ms + 250);
    plan(claim, txs, vec![])
}

fn plan(mut claim: Claim, txs: &[Arc<Tx>], forced: Vec<ForcedEntry>) -> BlockPlan {
    let candidates = txs.iter().map(|tx| tx.raw.clone()).collect();
    let body = BlockBody { inbound: vec![], candidates };
    claim.candidates_root = body.candidates_root();
    BlockPlan::new(claim, body, forced, &|_| None)
}

fn newest(pipeline: &Pipeline) -> Arc<Block> {
    let snapshot = pipeline.snapshot();
    snapshot.block(snapshot.latest().number).unwrap().unwrap()
}

/// Builds and commits a block on the newest one.
fn grow(pipeline: &Pipeline, txs: &[Arc<Tx>]) -> Arc<Block> {
    let built = pipeline.build(draft(&newest(pipeline), txs), &Stop::never()).unwrap();
    assert!(built.quarantined.is_empty());
    pipeline.commit(built.block.claim_hash, None, None).unwrap();
    built.block
}

fn ids(pipeline: &Pipeline) -> Vec<BlockId> {
    let snapshot = pipeline.snapshot();
    (0..=snapshot.latest().number).map(|n| snapshot.id(n).unwrap().unwrap()).collect()
}

fn hold(pipeline: &Pipeline) {
    pipeline.core.hold.store(true, Ordering::Relaxed);
}

fn balance(pipeline: &Pipeline, number: u64, address: Address) -> U256 {
    let state = pipeline.snapshot().state(number).unwrap().unwrap();
    state.account(address).unwrap().map_or(U256::ZERO, |account| account.balance)
}

#[test]
fn a_follower_executes_what_a_builder_built() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (builder, follower) = (open(&one), open(&two));
    assert_eq!(ids(&builder), ids(&follower));
    let stale = transfer(0, 9, BOB, 1);
    let txs = [transfer(0, 0, BOB, 5), stale.clone(), transfer(1, 0, BOB, 6)];
    let built = builder.build(draft(&newest(&builder), &txs), &Stop::never()).unwrap();
    assert_eq!(built.block.txs.len(), 2);
    assert_eq!(built.skipped.len(), 1);
    assert_eq!(built.skipped[0].0, stale.hash);
    assert!(built.block.skipped.is_empty() && built.block.plan.body.candidates.len() == 2);
    assert!(built.block.plan.body.matches(&built.block.plan.claim));

    let block = follower.execute(built.block.plan.clone()).unwrap();
    assert_eq!(block.header, built.block.header);
    assert_eq!(block.receipts, built.block.receipts);
    // A claim may also carry the stale one: it is skipped, and the state comes out the same.
    let full = follower.execute(draft(&newest(&follower), &txs)).unwrap();
    assert_eq!(full.header.state_root, block.header.state_root);
    assert_eq!(full.skipped.len(), 1);
    assert_ne!(full.hash, block.hash);
    // Nothing is visible before it is committed.
    assert_eq!(follower.snapshot().latest().number, 0);
    follower.commit(block.claim_hash, None, None).unwrap();
    follower.commit(block.claim_hash, None, None).unwrap();
    assert_eq!(follower.snapshot().latest().hash, block.hash);
    assert_eq!(balance(&follower, 1, BOB), U256::from(11));
    let lost = follower.commit(full.claim_hash, None, None);
    assert!(matches!(lost, Err(ExecutionError::Unknown(_))), "a sibling is dropped");
}

#[test]
fn blocks_may_be_executed_ahead_of_being_committed() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let first = pipeline.execute(draft(&newest(&pipeline), &[transfer(0, 0, BOB, 1)])).unwrap();
    let second = pipeline.execute(draft(&first, &[transfer(0, 1, BOB, 2)])).unwrap();
    let sibling = pipeline.execute(draft(&newest(&pipeline), &[])).unwrap();
    let early = pipeline.commit(second.claim_hash, None, None);
    assert!(matches!(early, Err(ExecutionError::Unknown(_))));
    pipeline.commit(first.claim_hash, None, None).unwrap();
    assert!(pipeline.core.executed(sibling.claim_hash).is_none());
    pipeline.commit(second.claim_hash, None, None).unwrap();
    assert_eq!(balance(&pipeline, 2, BOB), U256::from(3));
    assert_eq!(balance(&pipeline, 1, BOB), U256::from(1));
    let other_body = BlockPlan { body: BlockBody::default(), ..draft(&second, &[]) };
    let mut wrong = other_body;
    wrong.body.candidates.push(Bytes::from_static(&[1]));
    assert!(matches!(pipeline.execute(wrong), Err(ExecutionError::Broken(_))));
}

#[test]
fn unwound_blocks_come_out_the_same_again() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    for nonce in 0..8 {
        grow(&pipeline, &[transfer(0, nonce, BOB, 1), transfer(1, nonce, BOB, 2)]);
        if nonce == 4 {
            pipeline.persist.flush().unwrap();
            hold(&pipeline);
        }
    }
    // Five are in the store, three are not; the second unwind goes through the store.
    pipeline.core.hold.store(false, Ordering::Relaxed);
    let before = ids(&pipeline);
    for to in [6, 2, 0] {
        let dropped = pipeline.unwind(to).unwrap();
        assert_eq!(dropped.len() as u64, 8 - to);
        assert_eq!(ids(&pipeline), before[..=to as usize]);
        assert_eq!(balance(&pipeline, to, BOB), U256::from(to * 3));
        let tx = dropped[0].txs[0].hash;
        assert!(pipeline.snapshot().tx(tx).unwrap().is_none());
        for block in &dropped {
            let again = pipeline.execute(block.plan.clone()).unwrap();
            assert_eq!(again.hash, block.hash);
            pipeline.commit(again.claim_hash, None, None).unwrap();
        }
        assert_eq!(ids(&pipeline), before);
        assert_eq!(pipeline.snapshot().tx(tx).unwrap().unwrap().0.hash, dropped[0].hash);
    }
    assert!(pipeline.unwind(8).unwrap().is_empty());
    assert!(matches!(pipeline.unwind(9), Err(ExecutionError::Unknown(_))));
    // A restart repeats the whole story.
    hold(&pipeline);
    drop(pipeline);
    assert_eq!(ids(&open(&dir)), before);
}

#[test]
fn derivation_moves_heads_and_what_is_final_stays() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    for nonce in 0..4 {
        grow(&pipeline, &[transfer(0, nonce, BOB, 1)]);
    }
    let record = |n: u8| Bytes::from(vec![n]);
    pipeline.derived(10, record(10), 1, 0).unwrap();
    pipeline.derived(11, record(11), 3, 1).unwrap();
    assert!(pipeline.derived(12, record(12), 5, 1).is_err());
    assert!(pipeline.derived(12, record(12), 1, 2).is_err());
    let heads = |p: &Pipeline| {
        let snapshot = p.snapshot();
        (snapshot.latest().number, snapshot.safe().number, snapshot.finalized().number)
    };
    assert_eq!(heads(&pipeline), (4, 3, 1));
    assert_eq!(pipeline.snapshot().derived(11).unwrap(), Some(record(11)));
    pipeline.underive(10, 1).unwrap();
    assert_eq!(heads(&pipeline), (4, 1, 1));
    assert_eq!(pipeline.snapshot().last_derived().unwrap(), Some((10, record(10))));
    assert_eq!(pipeline.snapshot().derived(11).unwrap(), None);
    assert!(matches!(pipeline.unwind(0), Err(ExecutionError::Broken(_))));
    assert!(pipeline.underive(9, 0).is_err());
    pipeline.derived(11, record(12), 4, 1).unwrap();
    pipeline.unwind(2).unwrap();
    assert_eq!(heads(&pipeline), (2, 2, 1), "safe never stands above latest");
    pipeline.close().unwrap();
    let pipeline = open(&dir);
    assert_eq!(heads(&pipeline), (2, 2, 1));
    assert_eq!(pipeline.snapshot().derived(11).unwrap(), Some(record(12)));
}

#[test]
fn snapshots_answer_alike_before_and_after_the_store_has_the_block() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    hold(&pipeline);
    let blocks: Vec<_> = (0..5).map(|n| grow(&pipeline, &[transfer(0, n, BOB, 1)])).collect();
    let answers = || {
        let snapshot = pipeline.snapshot();
        let mut answers = Vec::new();
        for (block, number) in blocks.iter().zip(1..) {
            let proof = snapshot.prove(number, BOB, &[U256::ONE]).unwrap().unwrap();
            assert_eq!(snapshot.number_of_hash(block.hash).unwrap(), Some(number));
            assert_eq!(snapshot.number_of_claim(block.claim_hash).unwrap(), Some(number));
            assert_eq!(snapshot.header(number).unwrap().unwrap(), block.header);
            let (found, at) = snapshot.tx(block.txs[0].hash).unwrap().unwrap();
            assert_eq!((found.hash, at), (block.hash, 0));
            let hash = snapshot.state(number).unwrap().unwrap().block_hash(number - 1).unwrap();
            assert_eq!(hash, Some(block.header.parent_hash));
            answers.push((
                balance(&pipeline, number, BOB),
                snapshot.env(number).unwrap().unwrap(),
                snapshot.seal(number).unwrap(),
                proof.account,
                proof.account_proof,
            ));
        }
        assert!(snapshot.state(6).unwrap().is_none() && snapshot.block(6).unwrap().is_none());
        assert_eq!(snapshot.next_env(0).unwrap().number, 6);
        answers
    };
    let fresh = answers();
    pipeline.core.hold.store(false, Ordering::Relaxed);
    pipeline.persist.flush().unwrap();
    assert!(pipeline.core.picture().layers.is_empty());
    assert_eq!(answers(), fresh);
    let env = pipeline.env(blocks[4].claim_hash, 6, 0, B256::ZERO).unwrap();
    assert_eq!(env.chain_id, testing::CHAIN_ID);
}

#[test]
fn readers_see_whole_blocks_while_blocks_are_made() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) {
                let snapshot = pipeline.snapshot();
                let number = snapshot.latest().number;
                assert!(number >= seen);
                seen = number;
                let state = snapshot.state(number).unwrap().unwrap();
                let nonce = state.account(key(0).address()).unwrap().unwrap().nonce;
                assert_eq!(nonce, number, "one transaction a block");
            }
        });
        for nonce in 0..60 {
            grow(&pipeline, &[transfer(0, nonce, BOB, 1)]);
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}
