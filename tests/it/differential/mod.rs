//! Random chains through the whole pipeline, with siblings, unwinds and restarts, against models
//! that share nothing with it: plain revm in memory, and a table for the ledger. After every block
//! receipts, skips, the whole state's root and the other roots are equal; now and then so are
//! history, proofs and calls. `CAUSEWAY_SEED` and `CAUSEWAY_CASES` choose the seeds.

mod check;
mod evm;
mod ledger;
mod model;
mod traffic;

use std::sync::Arc;

use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_chainspec::spec::{Inputs, parse};
use causeway_chainspec::{
    Block, BlockBody, BlockPlan, ChainSpec, Claim, Fork, SkipReason, SystemModule, Tx,
};
use causeway_execution::{Pipeline, PipelineConfig, Stop, genesis};
use causeway_tests::drive::seeds;
use causeway_tests::txs::Rng;
use causeway_tests::world::GENESIS_MS;
use eyre::{ContextCompat, WrapErr, ensure, eyre};
use tempfile::TempDir;

use check::Seen;
use model::{After, FeeBook, Model};
use traffic::{Depositor, Traffic};

/// Blocks of one seed.
const BLOCKS: u64 = 40;
/// When Osaka begins, ms after genesis.
const OSAKA_MS: u64 = 25_000;

/// One chain, as the pipeline has it and as a model has it.
struct Chain<M> {
    spec: Arc<ChainSpec>,
    dir: TempDir,
    pipeline: Option<Pipeline>,
    /// After each block.
    states: Vec<After<M>>,
    rng: Rng,
    traffic: Traffic,
    safe: u64,
    finalized: u64,
    derived: u64,
    seen: Seen,
}

fn spec(vm: &str) -> eyre::Result<Arc<ChainSpec>> {
    let text = devnet_chain("differential", 901, vm, Keys::DEV, GENESIS_MS);
    let (mut spec, _) = parse(&text, &Inputs::NONE).map_err(|invalid| eyre!("{invalid}"))?;
    spec.forks = vec![(Fork::Prague, 0), (Fork::Osaka, (GENESIS_MS + OSAKA_MS) / 1000)];
    Ok(Arc::new(spec))
}

fn modules() -> Vec<Arc<dyn SystemModule>> {
    vec![Arc::new(Depositor)]
}

impl<M: Model> Chain<M> {
    fn new(vm: &str, seed: u64) -> eyre::Result<Self> {
        let (spec, dir) = (spec(vm)?, TempDir::new()?);
        let pipeline = open(&spec, &dir)?;
        let (diff, _) = genesis::state(&spec, pipeline.vm().as_ref(), &modules())?;
        let block = pipeline.snapshot().block(0)?.context("genesis")?;
        let vm = M::genesis(&diff);
        let whole = model::root(&vm.everything());
        ensure!(whole == block.header.state_root, "genesis has another state root");
        let first = After { vm, fees: FeeBook::genesis(&spec), hash: block.hash };
        Ok(Self {
            traffic: Traffic::new(&spec),
            spec,
            dir,
            pipeline: Some(pipeline),
            states: vec![first],
            rng: Rng::new(seed),
            safe: 0,
            finalized: 0,
            derived: 0,
            seen: Seen::default(),
        })
    }

    fn pipeline(&self) -> &Pipeline {
        self.pipeline.as_ref().expect("it is only gone during a restart")
    }

    fn latest(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    fn run(mut self) -> eyre::Result<Seen> {
        while self.latest() < BLOCKS {
            match self.rng.below(100) {
                0..62 => self.grow()?,
                62..68 => self.unwind()?,
                68..73 => self.restart()?,
                73..85 => self.derive()?,
                _ => {
                    let number = self.rng.below(self.latest() + 1);
                    let pipeline = self.pipeline.as_ref().expect("no restart is under way");
                    check::history(pipeline, &self.states, number, &mut self.rng)?;
                    self.seen.looks += 1;
                }
            }
        }
        Ok(self.seen)
    }

    /// A block or two siblings, of which one is committed.
    fn grow(&mut self) -> eyre::Result<()> {
        let before = self.states.last().context("there is genesis")?.clone();
        let parent = self.pipeline().snapshot().block(self.latest())?.context("the newest")?;
        let mut made = Vec::new();
        for _ in 0..1 + self.rng.below(2) {
            let time_ms = parent.plan.claim.time_ms + 1 + self.rng.below(2_500);
            let base_fee = before.fees.at(&self.spec, time_ms).base_fee(&self.spec);
            let txs = self.traffic.next(&before.vm, base_fee, &mut self.rng);
            let (block, skipped) = self.make(&parent, time_ms, &txs)?;
            let claim = &block.plan.claim;
            let calls = traffic::deposits(claim.parent, claim.number);
            let expected = model::block(&self.spec, &before, &block, &calls, &txs);
            check::same::<M>(&block, &skipped, &expected, &mut self.seen)
                .wrap_err_with(|| check::dump(&block, &txs))?;
            made.push((block, expected.after));
        }
        let chosen = self.rng.below(made.len() as u64) as usize;
        let (block, after) = made.swap_remove(chosen);
        self.pipeline().commit(block.claim_hash, None, None)?;
        self.states.push(after);
        Ok(())
    }

    /// By the builder, or as a follower that is told to try everything.
    fn make(
        &mut self,
        parent: &Block,
        time_ms: u64,
        txs: &[Arc<Tx>],
    ) -> eyre::Result<(Arc<Block>, Vec<(alloy_primitives::B256, SkipReason)>)> {
        let plan = plan(parent, time_ms, txs);
        if self.rng.percent(50) {
            let built = self.pipeline().build(plan, &Stop::never())?;
            ensure!(built.quarantined.is_empty(), "two executions of a block differ");
            return Ok((built.block, built.skipped));
        }
        let block = self.pipeline().execute(plan)?;
        let skipped = block.skipped.clone();
        Ok((block, skipped))
    }

    fn unwind(&mut self) -> eyre::Result<()> {
        let to = self.finalized + self.rng.below(self.latest() - self.finalized + 1);
        let dropped = self.pipeline().unwind(to)?;
        ensure!(dropped.len() as u64 == self.latest() - to, "unwound to {to}");
        self.states.truncate(to as usize + 1);
        self.safe = self.safe.min(to);
        self.seen.unwinds += u64::from(!dropped.is_empty());
        Ok(())
    }

    fn restart(&mut self) -> eyre::Result<()> {
        let latest = self.pipeline().snapshot().latest();
        drop(self.pipeline.take());
        self.pipeline = Some(open(&self.spec, &self.dir)?);
        ensure!(self.pipeline().snapshot().latest() == latest, "a restart changed the newest");
        self.seen.restarts += 1;
        Ok(())
    }

    fn derive(&mut self) -> eyre::Result<()> {
        self.derived += 1;
        self.safe += self.rng.below(self.latest() - self.safe + 1);
        // Far enough behind for unwinds of some depth.
        self.finalized = self.finalized.max(self.safe.saturating_sub(12));
        let record = self.derived.to_be_bytes().to_vec().into();
        self.pipeline().derived(self.derived, record, self.safe, self.finalized)?;
        Ok(())
    }
}

fn open(spec: &Arc<ChainSpec>, dir: &TempDir) -> eyre::Result<Pipeline> {
    let (pipeline, _) = Pipeline::open(PipelineConfig {
        datadir: dir.path().into(),
        spec: spec.clone(),
        modules: modules(),
        archive: false,
        history_blocks: 128,
        cache_bytes: 8 << 20,
    })?;
    Ok(pipeline)
}

fn plan(parent: &Block, time_ms: u64, txs: &[Arc<Tx>]) -> BlockPlan {
    let candidates = txs.iter().map(|tx| tx.raw.clone()).collect();
    let body = BlockBody { inbound: vec![], candidates };
    let claim = Claim {
        number: parent.header.number + 1,
        parent: parent.claim_hash,
        time_ms,
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        ..parent.plan.claim.clone()
    };
    BlockPlan::new(claim, body, vec![], &|_| None)
}

fn compare<M: Model>(vm: &str, usual: u64) -> eyre::Result<Seen> {
    let mut all = Seen::default();
    for seed in seeds(usual) {
        let chain = Chain::<M>::new(vm, seed)?;
        let seen = chain.run().wrap_err_with(|| format!("vm {vm} seed {seed}"))?;
        all.add(seen);
    }
    println!("{vm}: {all:?}");
    Ok(all)
}

#[test]
fn the_evm_is_plain_revm() -> eyre::Result<()> {
    compare::<evm::Stock>("evm", 12)?.of_the_evm()
}

#[test]
fn the_ledger_is_its_model() -> eyre::Result<()> {
    compare::<ledger::Table>("ledger", 12)?.of_any()
}
