//! Building: stops, quarantine, system modules, junk.

use causeway_chainspec::{BlockEnv, Closed, SystemBlock};

use super::*;

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

#[test]
fn forced_entries_get_the_room_of_a_block_and_no_more() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let genesis = newest(&pipeline);
    let parent = pipeline.core.parent(genesis.claim_hash).unwrap();
    let available = |limits: &[u64]| {
        let entry = |(from, limit): (u8, &u64)| ForcedEntry {
            da: DaRef::default(),
            time_ms: 0,
            bytes: transfer_with(from, 0, BOB, 1, *limit).raw.clone(),
        };
        let forced = (0..).zip(limits).map(entry).collect();
        let claim = claim_on(&genesis, genesis.plan.claim.time_ms + 250);
        let plan = plan(claim, &[], forced);
        let run = pipeline.core.rules.run(&parent.ground(), &plan, &Stop::never());
        run.unwrap().env.gas_available
    };
    let most = spec("ledger").gas.limit;
    assert_eq!(available(&[u64::MAX]), available(&[]));
    assert_eq!(available(&[most + 1, 21_000]), most);
    assert_eq!(available(&[most, most, most]), most);
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
    let rules = Rules { spec: spec("ledger"), vm, modules: vec![], metrics: Arc::default() };
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

/// Mints to Bob in every block and commits to how often it did.
struct Faucet;

impl SystemModule for Faucet {
    fn genesis(&self, _: &mut SystemState<'_>) -> Result<Option<Closed>, StateError> {
        Ok(None)
    }

    fn open(
        &self,
        _: &mut SystemState<'_>,
        _: &BlockEnv,
        _: &BlockPlan,
    ) -> Result<Box<dyn SystemBlock>, StateError> {
        Ok(Box::new(Faucet))
    }
}

impl SystemBlock for Faucet {
    fn calls(&self) -> Vec<SystemCall> {
        let (from, to, gas_limit) = (Address::repeat_byte(0xfa), BOB, 50_000);
        let (value, input) = (U256::from(3), Bytes::new());
        vec![SystemCall { from, to, mint: 5, value, gas_limit, input }; 2]
    }

    fn close(
        self: Box<Self>,
        state: &mut SystemState<'_>,
        results: &[CallOutcome],
        _: &[Message],
    ) -> Result<Option<Closed>, StateError> {
        assert!(results.len() == 2 && results.iter().all(|result| result.success));
        let (account, slot) = (system::SYSTEM_ACCOUNT, U256::from(1_000));
        let count = state.slot(account, slot)? + U256::from(2);
        state.set_slot(account, slot, count)?;
        Ok(Some(Closed { commitment: count.into(), outbox: vec![] }))
    }
}

#[test]
fn modules_run_in_every_block_on_every_vm() {
    for vm in ["ledger", "evm"] {
        let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let modules: Vec<Arc<dyn SystemModule>> = vec![Arc::new(Faucet)];
        let config = |dir: &TempDir| PipelineConfig {
            modules: modules.clone(),
            ..config_of(dir.path(), vm)
        };
        let pipeline = Pipeline::open(config(&one)).unwrap().0;
        let follower = Pipeline::open(config(&two)).unwrap().0;
        hold(&pipeline);
        let start = system::supply(&*pipeline.snapshot().state(0).unwrap().unwrap()).unwrap();
        for nonce in 0..4 {
            let block = grow(&pipeline, &[transfer(0, nonce, BOB, 1)]);
            assert_eq!(block.txs.len(), 3);
            assert!(block.txs[0].is_deposit() && block.txs[1].is_deposit());
            let count = B256::from(U256::from(2 * (nonce + 1)));
            let requests = causeway_chainspec::block::requests_hash(block.claim_hash, count);
            assert_eq!(block.header.requests_hash, Some(requests));
            let seen = follower.execute(block.plan.clone()).unwrap();
            assert_eq!(seen.hash, block.hash);
            follower.commit(seen.claim_hash, None, None).unwrap();
        }
        assert_eq!(balance(&pipeline, 4, BOB), U256::from(4 * 7));
        let state = pipeline.snapshot().state(4).unwrap().unwrap();
        let supply = system::supply(&*state).unwrap();
        assert!(supply <= start + U256::from(40), "minted, less what fees burnt");
        let before = ids(&pipeline);
        drop((pipeline, state));
        assert_eq!(ids(&Pipeline::open(config(&one)).unwrap().0), before);
    }
}

#[test]
fn junk_is_bounded_before_anything_runs() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let parent = newest(&pipeline);
    let claim = claim_on(&parent, parent.plan.claim.time_ms + 250);
    let good = transfer(0, 0, BOB, 1);
    // 30 million gas a block: room for 2857 candidates of 21,000 before both limits are used up.
    let mut candidates = vec![Bytes::from_static(b"junk"); 2857];
    candidates.push(good.raw.clone());
    let body = BlockBody { candidates, ..BlockBody::default() };
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
