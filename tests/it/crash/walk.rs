//! A random walk of one pipeline: what it was asked, what it promised, and what must be found.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_chainspec::spec::{Inputs, parse};
use causeway_chainspec::{
    Block, BlockBody, BlockId, BlockPlan, ChainSpec, Claim, Seal, SealTuple, Tx,
};
use causeway_execution::disk::Faulty;
use causeway_execution::pipeline::Recovered;
use causeway_execution::{ExecutionError, Pipeline, PipelineConfig, Stop};
use causeway_tests::keys;
use causeway_tests::txs::{Draft, Form, Rng};
use causeway_tests::world::GENESIS_MS;

/// Senders whose transactions can be included; one more sends some that never can.
const SENDERS: usize = 4;
/// How far `finalized` stays behind `safe`, in blocks.
const FINAL_DEPTH: u64 = 4;

pub(crate) fn spec(vm: &str) -> Arc<ChainSpec> {
    let text = devnet_chain("crash", 901, vm, Keys::DEV, GENESIS_MS);
    let (spec, _warnings) = parse(&text, &Inputs::NONE).unwrap();
    Arc::new(spec)
}

pub(crate) fn open(
    disk: &Faulty,
    spec: &Arc<ChainSpec>,
) -> Result<(Pipeline, Recovered), ExecutionError> {
    Pipeline::open(PipelineConfig {
        datadir: disk.folder("node"),
        spec: spec.clone(),
        modules: Vec::new(),
        archive: false,
        address_index: None,
        history_blocks: 128,
        cache_bytes: 2 << 20,
    })
}

/// Everything that is promised of a node, as it is found when it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    pub(crate) chain: Vec<BlockId>,
    seals: Vec<Option<Seal>>,
    safe: u64,
    finalized: u64,
    derived: BTreeMap<u64, Bytes>,
    /// Accepted and in no block, oldest first.
    waiting: Vec<B256>,
    signed: Option<SealTuple>,
    votes: Vec<Bytes>,
}

impl Seen {
    /// An error if the disk fails: then the store takes no reads either.
    pub(crate) fn of(pipeline: &Pipeline, recovered: &Recovered) -> Result<Self, ExecutionError> {
        let snapshot = pipeline.snapshot();
        let mut seen = Self {
            safe: snapshot.safe().number,
            finalized: snapshot.finalized().number,
            waiting: recovered.accepted.iter().map(|tx| tx.hash).collect(),
            signed: recovered.last_signed,
            votes: recovered.votes.clone(),
            ..Self::default()
        };
        for number in 0..=snapshot.latest().number {
            seen.chain.push(snapshot.id(number)?.expect("a block has an id"));
            seen.seals.push(snapshot.seal(number)?);
        }
        let newest = snapshot.last_derived()?.map_or(0, |(height, _)| height);
        for height in 0..=newest {
            seen.derived.extend(snapshot.derived(height)?.map(|record| (height, record)));
        }
        Ok(seen)
    }

    fn latest(&self) -> u64 {
        self.chain.len() as u64 - 1
    }
}

/// What is seen, and what the walk knows besides.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) seen: Seen,
    accepted: Vec<Arc<Tx>>,
    /// Number of the block that has a transaction.
    included: BTreeMap<B256, u64>,
}

impl State {
    /// That of a new pipeline.
    pub(crate) fn genesis(pipeline: &Pipeline) -> Self {
        let seen = Seen::of(pipeline, &Recovered::default()).unwrap();
        Self { seen, ..Self::default() }
    }

    fn settle(&mut self) {
        let waits = |tx: &&Arc<Tx>| !self.included.contains_key(&tx.hash);
        self.seen.waiting = self.accepted.iter().filter(waits).map(|tx| tx.hash).collect();
    }
}

/// The walk. After each log entry that it asks for there is one state; a crash leaves one of them.
pub(crate) struct Walk {
    rng: Rng,
    identity: B256,
    pub(crate) states: Vec<State>,
    /// Operations of the disk before a state was asked for, and its index.
    asked: Vec<(u64, usize)>,
    /// Operations of the disk after a state was promised, and its index.
    acked: Vec<(u64, usize)>,
    /// Wait for the store after each step: then the order of the disk's operations is always the
    /// same.
    pub(crate) in_step: bool,
}

impl Walk {
    /// From a state.
    pub(crate) fn new(spec: &ChainSpec, state: State, seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            identity: spec.identity(),
            states: vec![state],
            asked: vec![(0, 0)],
            acked: vec![(0, 0)],
            in_step: true,
        }
    }

    /// Indexes of the states that a stop in the middle of an operation may leave.
    pub(crate) fn possible(&self, op: u64) -> (usize, usize) {
        let newest = |of: &[(u64, usize)]| {
            of.iter().rev().find(|(ops, _)| *ops < op).map_or(0, |(_, index)| *index)
        };
        (newest(&self.acked), newest(&self.asked))
    }

    fn now(&self) -> &State {
        self.states.last().unwrap()
    }

    /// Blocks so far.
    pub(crate) fn height(&self) -> u64 {
        self.now().seen.latest()
    }

    fn ask(&mut self, disk: &Faulty, state: State) {
        self.asked.push((disk.ops(), self.states.len()));
        self.states.push(state);
    }

    fn ack(&mut self, disk: &Faulty) {
        self.acked.push((disk.ops(), self.states.len() - 1));
    }

    /// One random step.
    pub(crate) fn step(
        &mut self,
        pipeline: &Pipeline,
        disk: &Faulty,
    ) -> Result<(), ExecutionError> {
        match self.rng.below(16) {
            0..4 => self.accept(pipeline, disk),
            4..10 => self.block(pipeline, disk),
            10 => self.vote(pipeline, disk),
            11..14 => self.derive(pipeline, disk),
            14 => self.underive(pipeline, disk),
            _ => self.unwind(pipeline, disk),
        }?;
        if self.in_step || self.rng.percent(20) {
            pipeline.flush()?;
        }
        Ok(())
    }

    fn accept(&mut self, pipeline: &Pipeline, disk: &Faulty) -> Result<(), ExecutionError> {
        let mut txs = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            let (sender, gap) = match self.rng.below(6) {
                0 => (SENDERS, 5),
                _ => (self.rng.below(SENDERS as u64) as usize, 0),
            };
            let key = &keys::accounts()[sender];
            let mut state = self.now().clone();
            let own = |tx: &&Arc<Tx>| tx.sender == key.address();
            let nonce = gap + state.accepted.iter().filter(own).count() as u64;
            let to = Address::repeat_byte(self.rng.below(5) as u8 + 0xa0);
            let raw = Draft::transfer(901, nonce, to, 1).sign(Form::Dynamic, key);
            let tx = Arc::new(Tx::decode(raw).unwrap());
            state.accepted.push(tx.clone());
            state.settle();
            self.ask(disk, state);
            txs.push(tx);
        }
        pipeline.accept(&txs)?;
        self.ack(disk);
        Ok(())
    }

    fn block(&mut self, pipeline: &Pipeline, disk: &Faulty) -> Result<(), ExecutionError> {
        let mut state = self.now().clone();
        let waits = |tx: &&Arc<Tx>| !state.included.contains_key(&tx.hash);
        let share = 50 + self.rng.below(51);
        let mut candidates = Vec::new();
        for tx in state.accepted.iter().filter(waits) {
            if self.rng.percent(share) {
                candidates.push(tx.raw.clone());
            }
        }
        let parent = newest(pipeline)?;
        let after = 250 * (1 + self.rng.below(4));
        let built = pipeline.build(draft(&parent, after, candidates), &Stop::never())?;
        let block = built.block;
        let number = block.header.number;
        let sealed = self.rng.percent(80);
        let seal = sealed.then(|| Seal { view: number, proof: self.rng.bytes(65).into() });
        let tuple = SealTuple {
            identity: self.identity,
            term: 0,
            view: self.states.len() as u64,
            number,
            claim: block.claim_hash,
        };
        let signed = sealed.then_some(tuple);
        state.seen.chain.push(BlockId { number, claim: block.claim_hash, hash: block.hash });
        state.seen.seals.push(seal.clone());
        state.seen.signed = signed.or(state.seen.signed);
        state.included.extend(block.txs.iter().map(|tx| (tx.hash, number)));
        state.settle();
        self.ask(disk, state);
        pipeline.commit(block.claim_hash, seal, signed)?;
        self.ack(disk);
        Ok(())
    }

    fn vote(&mut self, pipeline: &Pipeline, disk: &Faulty) -> Result<(), ExecutionError> {
        let mut state = self.now().clone();
        let size = 100 + self.rng.below(1500) as usize;
        let vote = Bytes::from(self.rng.bytes(size));
        state.seen.votes.push(vote.clone());
        self.ask(disk, state);
        pipeline.append_vote(vote)?;
        self.sometimes_sync(pipeline, disk)
    }

    fn sometimes_sync(&mut self, pipeline: &Pipeline, disk: &Faulty) -> Result<(), ExecutionError> {
        if self.rng.percent(50) {
            pipeline.sync()?;
            self.ack(disk);
        }
        Ok(())
    }

    fn derive(&mut self, pipeline: &Pipeline, disk: &Faulty) -> Result<(), ExecutionError> {
        let mut state = self.now().clone();
        let seen = &mut state.seen;
        let height = seen.derived.last_key_value().map_or(1, |(height, _)| height + 1);
        seen.safe += self.rng.below(seen.latest() - seen.safe + 1);
        seen.finalized = seen.finalized.max(seen.safe.saturating_sub(FINAL_DEPTH));
        let size = 20 + self.rng.below(200) as usize;
        let record = Bytes::from(self.rng.bytes(size));
        seen.derived.insert(height, record.clone());
        let (safe, finalized) = (seen.safe, seen.finalized);
        self.ask(disk, state);
        pipeline.derived(height, record, safe, finalized)?;
        self.sometimes_sync(pipeline, disk)
    }

    fn underive(&mut self, pipeline: &Pipeline, disk: &Faulty) -> Result<(), ExecutionError> {
        let mut state = self.now().clone();
        let seen = &mut state.seen;
        let newest = seen.derived.last_key_value().map_or(0, |(height, _)| *height);
        let height = newest.saturating_sub(self.rng.below(3));
        seen.derived.retain(|derived, _| *derived <= height);
        seen.safe = seen.finalized + self.rng.below(seen.safe - seen.finalized + 1);
        let safe = seen.safe;
        self.ask(disk, state);
        pipeline.underive(height, safe)?;
        self.sometimes_sync(pipeline, disk)
    }

    fn unwind(&mut self, pipeline: &Pipeline, disk: &Faulty) -> Result<(), ExecutionError> {
        let mut state = self.now().clone();
        let seen = &mut state.seen;
        let back = self.rng.below(4).min(seen.latest() - seen.finalized);
        if back == 0 {
            return Ok(());
        }
        let to = seen.latest() - back;
        seen.chain.truncate(to as usize + 1);
        seen.seals.truncate(to as usize + 1);
        seen.safe = seen.safe.min(to);
        state.included.retain(|_, number| *number <= to);
        state.settle();
        self.ask(disk, state);
        pipeline.unwind(to)?;
        self.ack(disk);
        Ok(())
    }
}

pub(crate) fn newest(pipeline: &Pipeline) -> Result<Arc<Block>, ExecutionError> {
    let snapshot = pipeline.snapshot();
    Ok(snapshot.block(snapshot.latest().number)?.expect("the newest block is there"))
}

/// A block on a parent, so many ms later.
pub(crate) fn draft(parent: &Block, after_ms: u64, candidates: Vec<Bytes>) -> BlockPlan {
    let body = BlockBody { inbound: Vec::new(), candidates };
    let before = &parent.plan.claim;
    let claim = Claim {
        number: before.number + 1,
        parent: parent.claim_hash,
        time_ms: before.time_ms + after_ms,
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        ..before.clone()
    };
    BlockPlan::new(claim, body, Vec::new(), &|_| None)
}

/// Asks a pipeline whose disk failed for everything it does: all of it is refused with the reason,
/// and the disk is left alone. `parent` is a block it has.
pub(crate) fn refuses(pipeline: &Pipeline, disk: &Faulty, parent: &Block, what: &str) {
    let ops = disk.ops();
    let results = [
        ("accept", pipeline.accept(&[])),
        ("sync", pipeline.sync()),
        ("execute", pipeline.execute(draft(parent, 1_000_000, Vec::new())).map(|_| ())),
        ("build", pipeline.build(draft(parent, 2_000_000, vec![]), &Stop::never()).map(|_| ())),
        ("commit", pipeline.commit(B256::ZERO, None, None)),
        ("derived", pipeline.derived(99, Bytes::new(), 0, 0)),
        ("vote", pipeline.append_vote(Bytes::new())),
        ("unwind", pipeline.unwind(0).map(|_| ())),
        ("flush", pipeline.flush()),
    ];
    for (call, result) in results {
        assert!(matches!(result, Err(ExecutionError::Storage(_))), "{what}: {call}: {result:?}");
    }
    assert_eq!(disk.ops(), ops, "{what}: the disk is asked again");
}
