use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use alloy_primitives::Address;
use causeway_chainspec::plan::Candidate;
use causeway_chainspec::{
    BlockBody, BlockId, Claim, DaRef, ForcedEntry, Receipt, StateDiff, StateReader, Tx,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::testing::{key, spec, transfer};
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
fn a_killed_node_comes_back_with_everything_it_acknowledged() {
    for held in [true, false] {
        let dir = TempDir::new().unwrap();
        let pipeline = open(&dir);
        if held {
            hold(&pipeline);
        }
        let (included, waiting) = (transfer(0, 0, BOB, 5), transfer(1, 3, BOB, 5));
        pipeline.accept(&[included.clone(), waiting.clone()]).unwrap();
        pipeline.append_vote(Bytes::from_static(b"one")).unwrap();
        pipeline.append_vote(Bytes::from_static(b"two")).unwrap();
        let built = pipeline
            .build(draft(&newest(&pipeline), &[included, waiting.clone()]), &Stop::never())
            .unwrap();
        let id = BlockId { number: 1, claim: built.block.claim_hash, hash: built.block.hash };
        let seal = Seal { view: 0, proof: Bytes::from_static(b"seal") };
        let identity = B256::ZERO;
        let tuple = SealTuple { identity, term: 0, view: 0, number: 1, claim: id.claim };
        pipeline.commit(id.claim, Some(seal.clone()), Some(tuple)).unwrap();
        for nonce in 1..6 {
            grow(&pipeline, &[transfer(0, nonce, BOB, 1)]);
        }
        pipeline.derived(7, Bytes::from_static(b"seven"), 2, 1).unwrap();
        pipeline.sync().unwrap();
        let (before, heads) = (ids(&pipeline), pipeline.core.picture().heads);
        drop(pipeline);

        let (pipeline, recovered) = Pipeline::open(config(dir.path())).unwrap();
        assert_eq!(ids(&pipeline), before);
        assert_eq!(pipeline.core.picture().heads, heads);
        assert_eq!(recovered.accepted, vec![waiting]);
        assert_eq!(recovered.last_signed, Some(tuple));
        assert_eq!(recovered.votes, vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
        let snapshot = pipeline.snapshot();
        assert_eq!(snapshot.seal(1).unwrap(), Some(seal));
        assert_eq!(snapshot.seal(2).unwrap(), None);
        assert_eq!(snapshot.last_derived().unwrap(), Some((7, Bytes::from_static(b"seven"))));
        let block = grow(&pipeline, &[transfer(0, 6, BOB, 1)]);
        assert_eq!(block.txs.len(), 1);
        pipeline.close().unwrap();
        let (pipeline, _) = Pipeline::open(config(dir.path())).unwrap();
        assert_eq!(pipeline.snapshot().latest().hash, block.hash);
        assert!(pipeline.core.picture().layers.is_empty());
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

#[test]
fn a_torn_log_gives_a_shorter_chain_and_never_another() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    hold(&pipeline);
    for nonce in 0..6 {
        grow(&pipeline, &[transfer(0, nonce, BOB, 1)]);
    }
    let whole = ids(&pipeline);
    drop(pipeline);
    let log = std::fs::read_dir(dir.path().join("log")).unwrap().next().unwrap().unwrap();
    let size = log.metadata().unwrap().len();
    let mut lengths = std::collections::BTreeSet::new();
    for part in 0..=14 {
        let copy = TempDir::new().unwrap();
        copy_dir(dir.path(), copy.path());
        let torn = copy.path().join("log").join(log.file_name());
        std::fs::File::options().write(true).open(torn).unwrap().set_len(size * part / 14).unwrap();
        let pipeline = open(&copy);
        let kept = ids(&pipeline);
        assert!(whole.starts_with(&kept));
        lengths.insert(kept.len());
        grow(&pipeline, &[]);
        let grown = ids(&pipeline);
        drop(pipeline);
        assert_eq!(ids(&open(&copy)), grown);
    }
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), (1..=7).collect::<Vec<_>>());
}

#[test]
fn a_store_that_fails_stops_everything() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let layer = pipeline.core.rules.genesis().unwrap();
    // A second genesis is nothing the store can take.
    pipeline.persist.send(Change::Block(Arc::new(layer)), 0).unwrap();
    let fatal = |result: Result<(), ExecutionError>| {
        assert!(matches!(result, Err(ExecutionError::Storage(_))), "{result:?}");
    };
    fatal(pipeline.persist.flush());
    fatal(pipeline.sync());
    fatal(pipeline.accept(&[]));
    fatal(pipeline.execute(draft(&newest(&pipeline), &[])).map(|_| ()));
    fatal(pipeline.commit(B256::ZERO, None, None));
    fatal(pipeline.close());
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
fn a_damaged_or_foreign_datadir_is_refused() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    hold(&pipeline);
    let block = newest(&pipeline);
    let plan = draft(&block, &[transfer(0, 0, BOB, 1)]);
    let mut entry = BlockEntry::new(&pipeline.execute(plan).unwrap(), None);
    entry.hash = B256::repeat_byte(0xbb);
    let end = pipeline.core.log.append(&[Entry::Block(Box::new(entry))]).unwrap();
    pipeline.core.log.sync(end).unwrap();
    drop(pipeline);
    for _ in 0..2 {
        let error = Pipeline::open(config(dir.path())).err().unwrap();
        assert!(matches!(error, ExecutionError::Damaged(_)), "another hash: {error}");
    }
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let pipeline = open(&dir);
    grow(&pipeline, &[]);
    pipeline.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let error = Pipeline::open(config(dir.path())).err().unwrap();
    assert!(matches!(error, ExecutionError::Damaged(_)), "a lost log: {error}");

    std::fs::remove_file(dir.path().join(STORE_FILE)).unwrap();
    let error = Pipeline::open(config(dir.path())).err().unwrap();
    assert!(matches!(error, ExecutionError::Damaged(_)), "a lost store: {error}");
    assert!(!dir.path().join(STORE_FILE).exists());
    let text = std::fs::read_to_string(dir.path().join("identity")).unwrap();
    let other = text.replace(&B256::ZERO.to_string(), &B256::repeat_byte(1).to_string());
    std::fs::write(dir.path().join("identity"), other).unwrap();
    let error = Pipeline::open(config(dir.path())).err().unwrap();
    assert!(matches!(error, ExecutionError::Datadir(_)), "another chain: {error}");
}

#[test]
fn old_log_segments_go_and_waiting_transactions_stay() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let waiting = [transfer(2, 5, BOB, 1), transfer(3, 5, BOB, 1), transfer(2, 6, BOB, 1)];
    pipeline.accept(&waiting).unwrap();
    let identity = B256::ZERO;
    let tuple = SealTuple { identity, term: 0, view: 0, number: 1, claim: B256::repeat_byte(7) };
    pipeline.core.log.append(&[Entry::Signed(tuple)]).unwrap();
    for nonce in 0..60 {
        let tx = transfer(0, nonce, BOB, 1);
        pipeline.accept(std::slice::from_ref(&tx)).unwrap();
        pipeline.append_vote(Bytes::from(vec![nonce as u8; 4])).unwrap();
        grow(&pipeline, &[tx]);
        if nonce % 10 == 9 {
            pipeline.derived(nonce, Bytes::new(), nonce + 1, nonce - 5).unwrap();
        }
    }
    pipeline.persist.flush().unwrap();
    assert!(pipeline.core.log.start() > 0, "segments were dropped");
    let before = ids(&pipeline);
    drop(pipeline);
    let (pipeline, recovered) = Pipeline::open(config(dir.path())).unwrap();
    assert_eq!(recovered.accepted, waiting);
    assert_eq!(recovered.last_signed, Some(tuple));
    assert_eq!(ids(&pipeline), before);
    let votes: Vec<u8> = recovered.votes.iter().map(|vote| vote[0]).collect();
    assert!(votes.windows(2).all(|pair| pair[0] < pair[1]), "in order: {votes:?}");
    assert!(votes.ends_with(&(54..60).collect::<Vec<_>>()), "since the final block: {votes:?}");
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
fn a_stop_never_leaves_out_what_is_forced() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let parent = newest(&pipeline);
    let entry = |bytes: Bytes| ForcedEntry { da: DaRef::default(), time_ms: 0, bytes };
    let forced =
        vec![entry(Bytes::from_static(b"junk")), entry(transfer(0, 0, BOB, 4).raw.clone())];
    let claim = claim_on(&parent, parent.plan.claim.time_ms + 250);
    let stop = Stop::on(Arc::new(AtomicBool::new(true)));
    let built = pipeline.build(plan(claim, &[transfer(1, 0, BOB, 1)], forced), &stop).unwrap();
    assert_eq!(built.block.txs.len(), 1);
    assert_eq!(built.block.txs[0].sender, key(0).address());
    assert_eq!(built.block.skipped.len(), 1, "junk keeps its place in the lane");
    assert_eq!(built.block.plan.forced.len(), 2);
    assert!(built.block.plan.body.candidates.is_empty());
    let again = BlockPlan::new(
        built.block.plan.claim.clone(),
        built.block.plan.body.clone(),
        built.block.plan.forced.clone(),
        &|_| None,
    );
    let other = TempDir::new().unwrap();
    assert_eq!(open(&other).execute(again).unwrap().hash, built.block.hash);
}

/// The ledger, but the first `wrong` runs charge a sender's transactions one gas too much.
struct Leaky {
    inner: Arc<dyn Vm>,
    sender: Address,
    wrong: AtomicUsize,
}

impl Vm for Leaky {
    fn check(&self, tx: &Tx, env: &BlockEnv) -> Result<TxFacts, SkipReason> {
        self.inner.check(tx, env)
    }
    fn execute(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        txs: &[Arc<Tx>],
        stop: &Stop,
    ) -> Result<BlockOutput, VmError> {
        let mut output = self.inner.execute(state, env, txs, stop)?;
        // Only drafts see it: they come first, and with the transaction.
        let hit = output.included.iter().position(|at| txs[*at].sender == self.sender);
        let count = |left: usize| left.checked_sub(1);
        if let Some(at) = hit
            && self.wrong.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok()
        {
            let receipts: &mut Vec<Receipt> = &mut output.receipts;
            receipts[at].gas_used += 1;
        }
        Ok(output)
    }
    fn call(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        call: &Call,
    ) -> Result<CallOutput, VmError> {
        self.inner.call(state, env, call)
    }
    fn preinstall(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        address: Address,
        code: &Bytes,
    ) -> Result<StateDiff, VmError> {
        self.inner.preinstall(state, env, address, code)
    }
}

#[test]
fn a_transaction_that_comes_out_differently_is_quarantined_and_the_block_goes_on() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let sender = key(1).address();
    let vm = Arc::new(Leaky { inner: pipeline.vm().clone(), sender, wrong: AtomicUsize::new(1) });
    let rules = Rules { spec: spec("ledger"), vm, modules: vec![] };
    let genesis = newest(&pipeline);
    let parent = pipeline.core.parent(genesis.claim_hash).unwrap();
    let bad = transfer(1, 0, BOB, 1);
    let txs = [transfer(0, 0, BOB, 1), bad.clone(), transfer(2, 0, BOB, 1)];
    let built = rules.build(&parent, draft(&genesis, &txs), &Stop::never()).unwrap();
    assert_eq!(built.quarantined, vec![bad.hash]);
    let block = built.layer.executed.block;
    assert_eq!(block.txs, vec![txs[0].clone(), txs[2].clone()]);
    assert_eq!(pipeline.execute(block.plan.clone()).unwrap().hash, block.hash);
}

#[test]
fn junk_is_bounded_before_anything_runs() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let parent = newest(&pipeline);
    let claim = claim_on(&parent, parent.plan.claim.time_ms + 250);
    let good = transfer(0, 0, BOB, 1);
    let mut body = BlockBody::default();
    // 30 million gas a block: room for 2857 candidates of 21,000 before both limits are used up.
    body.candidates = vec![Bytes::from_static(b"junk"); 2857];
    body.candidates.push(good.raw.clone());
    let mut plan = BlockPlan::new(claim, body, vec![], &|_| None);
    plan.claim.candidates_root = plan.body.candidates_root();
    let block = pipeline.execute(plan.clone()).unwrap();
    assert!(block.txs.is_empty());
    assert!(
        matches!(block.skipped.last(), Some((hash, SkipReason::BlockFull { .. })) if *hash == good.hash)
    );
    plan.body.candidates.remove(0);
    plan.candidates.remove(0);
    plan.claim.candidates_root = plan.body.candidates_root();
    assert_eq!(pipeline.execute(plan).unwrap().txs, vec![good]);
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

/// What happens to a chain in the property test.
#[derive(Debug, Clone)]
enum Step {
    /// Transfers (sender, skip of the nonce, recipient) and the time since the last block, ms.
    Block(Vec<(u8, u64, u8)>, u64),
    Unwind(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let tx = (0u8..5, prop_oneof![4 => Just(0u64), 1 => 1u64..3], 0u8..8);
    prop_oneof![
        6 => (proptest::collection::vec(tx, 0..6), 1u64..2_000).prop_map(|(t, w)| Step::Block(t, w)),
        1 => (1u64..5).prop_map(Step::Unwind),
        1 => Just(Step::Restart),
    ]
}

fn txs_of(pipeline: &Pipeline, wanted: &[(u8, u64, u8)]) -> Vec<Arc<Tx>> {
    let snapshot = pipeline.snapshot();
    let state = snapshot.state(snapshot.latest().number).unwrap().unwrap();
    let mut used = [0u64; 5];
    let mut txs = Vec::new();
    for (from, gap, to) in wanted {
        let nonce = state.account(key(*from).address()).unwrap().unwrap().nonce;
        let seen = &mut used[usize::from(*from)];
        txs.push(transfer(*from, nonce + *seen + gap, key(*to).address(), 7));
        *seen += u64::from(*gap == 0);
    }
    txs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..Default::default() })]
    #[test]
    fn builders_followers_and_restarted_nodes_agree(
        vm in prop_oneof![Just("ledger"), Just("evm")],
        steps in proptest::collection::vec(step(), 1..20),
    ) {
        let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let open = |dir: &TempDir| Pipeline::open(config_of(dir.path(), vm)).unwrap().0;
        let mut builder = open(&one);
        for step in &steps {
            match step {
                Step::Block(wanted, wait) => {
                    let parent = newest(&builder);
                    let claim = claim_on(&parent, parent.plan.claim.time_ms + wait);
                    let draft = plan(claim, &txs_of(&builder, wanted), vec![]);
                    let built = builder.build(draft, &Stop::never()).unwrap();
                    prop_assert!(built.quarantined.is_empty());
                    builder.commit(built.block.claim_hash, None, None).unwrap();
                }
                Step::Unwind(count) => {
                    let latest = builder.snapshot().latest().number;
                    builder.unwind(latest.saturating_sub(*count)).unwrap();
                }
                Step::Restart => {
                    drop(builder);
                    builder = open(&one);
                }
            }
        }
        // A fresh follower gets nothing but claims and bodies.
        let follower = open(&two);
        let snapshot = builder.snapshot();
        for number in 1..=snapshot.latest().number {
            let block = snapshot.block(number).unwrap().unwrap();
            let (claim, body) = (block.plan.claim.clone(), block.plan.body.clone());
            let fresh = BlockPlan::new(claim, body, vec![], &|_| None);
            let seen = follower.execute(fresh).unwrap();
            prop_assert_eq!(seen.hash, block.hash);
            follower.commit(seen.claim_hash, None, None).unwrap();
        }
        prop_assert_eq!(ids(&follower), ids(&builder));
        let dropped = follower.unwind(snapshot.latest().number / 2).unwrap();
        for block in dropped {
            let again = follower.execute(block.plan.clone()).unwrap();
            follower.commit(again.claim_hash, None, None).unwrap();
        }
        prop_assert_eq!(ids(&follower), ids(&builder));
        builder.close().unwrap();
        prop_assert_eq!(ids(&open(&one)), ids(&follower));
    }
}

#[test]
fn candidates_decode_to_what_the_log_keeps() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let parent = newest(&pipeline);
    let claim = claim_on(&parent, parent.plan.claim.time_ms + 250);
    let body = BlockBody {
        inbound: vec![],
        candidates: vec![Bytes::from_static(b"junk"), transfer(0, 0, BOB, 1).raw.clone()],
    };
    let mut plan = BlockPlan::new(claim, body, vec![], &|_| None);
    plan.claim.candidates_root = plan.body.candidates_root();
    let block = pipeline.execute(plan).unwrap();
    let again = BlockEntry::new(&block, None).plan().unwrap();
    for (one, two) in again.candidates.iter().zip(&block.plan.candidates) {
        match (one, two) {
            (Candidate::Tx(one), Candidate::Tx(two)) => {
                assert_eq!((one.hash, one.sender), (two.hash, two.sender));
            }
            (Candidate::Invalid(one, why), Candidate::Invalid(two, reason)) => {
                assert_eq!((one, why), (two, reason));
            }
            _ => panic!("{one:?} is not {two:?}"),
        }
    }
}
