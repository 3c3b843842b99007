//! One chain through its whole life: blocks, siblings, commits, unwinds, restarts, history; after
//! every step a pipeline says what the model says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use causeway_chainspec::{Block, BlockBody, BlockPlan, Claim};
use causeway_execution::pipeline::Snapshot;
use causeway_execution::store::{Store, StoreConfig};
use causeway_execution::{ExecutionError, Pipeline, PipelineConfig, Stop, genesis};
use causeway_tests::txs::Rng;
use eyre::{ContextCompat, bail, ensure};
use tempfile::TempDir;

use super::again;
use super::compare;
use super::machine::{Head, Model};
use super::make::Maker;
use super::predict::{self, Skipped};
use super::second;
use super::state::{Places, State};
use super::world::World;

/// Blocks of history kept below the final one: the fewest a store keeps.
const HISTORY: u64 = 128;
/// A chain of every tenth seed is so long that history is pruned.
const LONG: u64 = HISTORY + 32;

/// A block and what it left, by the model.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) block: Arc<Block>,
    pub(super) state: Arc<State>,
    pub(super) head: Head,
    /// Hashes of all blocks up to and with this.
    hashes: Arc<Vec<B256>>,
}

/// How often what happened.
pub(super) type Seen = BTreeMap<&'static str, u64>;

pub(super) struct Chain<'a> {
    pub(super) world: World,
    pub(super) model: &'a dyn Model,
    pub(super) rng: Rng,
    pub(super) seen: Seen,
    pub(super) places: Places,
    /// Blocks for another EVM, if anybody asks.
    pub(super) lines: Option<Vec<String>>,
    dir: TempDir,
    archive: bool,
    /// `None` between two lives only.
    pipeline: Option<Pipeline>,
    pub(super) chain: Vec<Known>,
    /// Executed and not committed.
    pending: Vec<Known>,
    /// Newest block derived, and newest that is final.
    safe: u64,
    finalized: u64,
    height: u64,
    /// What somebody still looks at, and what he must see.
    old: Option<(Snapshot, Vec<Known>)>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(seed: u64, model: &'a dyn Model) -> eyre::Result<Self> {
        let world = World::new(seed, model.vm());
        let mut rng = Rng::new(seed);
        let long = seed % 10 == 3;
        let archive = rng.percent(30) && !long;
        let (state, head) = predict::genesis(&world);
        let mut chain = Self {
            world,
            model,
            rng,
            seen: Seen::new(),
            places: Places::new(),
            lines: None,
            dir: TempDir::new()?,
            archive,
            pipeline: None,
            chain: vec![],
            pending: vec![],
            safe: 0,
            finalized: 0,
            height: 0,
            old: None,
        };
        chain.open()?;
        let block = chain.pipeline().snapshot().block(0)?.context("block 0")?;
        ensure!(block.claim_hash == genesis::claim(&chain.world.spec).hash(), "another genesis");
        let hashes = Arc::new(vec![block.hash]);
        let known = Known { block, state: Arc::new(state), head, hashes };
        chain.places = known.state.places();
        chain.chain.push(known.clone());
        chain.same_state(&known)?;
        while long && chain.chain.len() as u64 <= LONG {
            chain.commit()?;
        }
        if long {
            let latest = chain.chain.len() as u64 - 1;
            chain.derived(latest, latest - 4)?;
        }
        Ok(chain)
    }

    pub(super) fn pipeline(&self) -> &Pipeline {
        self.pipeline.as_ref().expect("it is open between steps")
    }

    fn open(&mut self) -> eyre::Result<()> {
        let (pipeline, recovered) = Pipeline::open(PipelineConfig {
            datadir: self.dir.path().into(),
            spec: self.world.spec.clone(),
            modules: vec![self.world.module()],
            archive: self.archive,
            address_index: None,
            history_blocks: HISTORY,
            cache_bytes: 8 << 20,
        })?;
        ensure!(recovered.accepted.is_empty(), "nothing was accepted");
        self.pipeline = Some(pipeline);
        Ok(())
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub(super) fn tip(&self) -> &Known {
        self.chain.last().expect("block 0 is never unwound")
    }

    /// One step of its life.
    pub(super) fn step(&mut self) -> eyre::Result<()> {
        match self.rng.below(20) {
            0..=8 => self.make(),
            9..=13 => self.commit(),
            14 => self.derive(),
            15 => self.unwind(),
            16 => self.restart(),
            17 => {
                self.old = Some((self.pipeline().snapshot(), self.chain.clone()));
                Ok(())
            }
            _ => self.look_back(),
        }?;
        self.heads()
    }

    /// A block on the newest, or on one that is not committed yet.
    fn make(&mut self) -> eyre::Result<()> {
        let on = self.rng.below(2 + self.pending.len() as u64) as usize;
        let parent = self.pending.get(on).unwrap_or_else(|| self.tip()).clone();
        if parent.block.claim_hash != self.tip().block.claim_hash {
            self.count("blocks on uncommitted ones");
        }
        let wait = if self.rng.percent(8) { 60_000 } else { 1 + self.rng.below(3_000) };
        let mut claim = claim_on(&parent.block, wait);
        let head = predict::next(&self.world.spec, &parent.state, &claim, parent.hashes.clone());
        let candidates = Maker::new(&self.world, &mut self.rng, &parent.state, &head).candidates();
        let body = BlockBody { inbound: vec![], candidates: candidates.clone() };
        claim.candidates_root = body.candidates_root();
        let plan = BlockPlan::new(claim, body, vec![], &|_| None);
        let (block, reported, built) = if self.rng.percent(50) {
            let built = self.pipeline().build(plan, &Stop::never())?;
            ensure!(built.quarantined.is_empty(), "quarantined {:?}", built.quarantined);
            (built.block, built.skipped, true)
        } else {
            let block = self.pipeline().execute(plan)?;
            let skipped = block.skipped.clone();
            (block, skipped, false)
        };
        self.check(&parent, block, &candidates, &reported, built)?;
        Ok(())
    }

    /// Compares a block that was just made with the model's.
    fn check(
        &mut self,
        parent: &Known,
        block: Arc<Block>,
        candidates: &[Bytes],
        reported: &Skipped,
        built: bool,
    ) -> eyre::Result<()> {
        let on = (&*parent.state, parent.hashes.clone());
        let claim = &block.plan.claim;
        let predicted = predict::follow(&self.world, self.model, on, claim, candidates, reported)
            .map_err(|error| compare::told(error, parent, candidates))?;
        compare::block(&block, parent, &predicted, reported, built)
            .map_err(|error| compare::told(error, parent, candidates))?;
        compare::tally(&mut self.seen, &block, &predicted, reported, &parent.state);
        if let Some(lines) = self.lines.as_mut().filter(|_| !predicted.tried.is_empty()) {
            lines.push(second::line(block.hash, &predicted));
        }
        for (address, slots) in predicted.state.places() {
            self.places.entry(address).or_default().extend(slots);
        }
        let hashes = Arc::new([&parent.hashes[..], &[block.hash]].concat());
        let (state, head) = (Arc::new(predicted.state), predicted.head);
        let known = Known { block, state, head, hashes };
        compare::vm(self, parent, &known)?;
        let again = self.pending.iter().any(|it| it.block.claim_hash == known.block.claim_hash);
        self.same_state(&known)?;
        if !again {
            self.pending.push(known);
        }
        Ok(())
    }

    /// Commits a child of the newest block, if there is one.
    fn commit(&mut self) -> eyre::Result<()> {
        let newest = self.tip().block.claim_hash;
        let children: Vec<_> = self
            .pending
            .iter()
            .filter(|known| known.block.plan.claim.parent == newest)
            .cloned()
            .collect();
        if children.is_empty() {
            return self.make();
        }
        let child = self.rng.pick(&children).clone();
        self.pipeline().commit(child.block.claim_hash, None, None)?;
        self.count("commits");
        let claim = child.block.claim_hash;
        self.chain.push(child);
        self.forget_all_but(claim)
    }

    /// Blocks that do not descend from this one are gone.
    fn forget_all_but(&mut self, root: B256) -> eyre::Result<()> {
        let mut kept = BTreeSet::from([root]);
        for known in std::mem::take(&mut self.pending) {
            let claim = known.block.claim_hash;
            if kept.contains(&known.block.plan.claim.parent) && claim != root {
                kept.insert(claim);
                self.pending.push(known);
            } else if claim != root {
                let lost = self.pipeline().commit(claim, None, None);
                ensure!(matches!(lost, Err(ExecutionError::Unknown(_))), "it was not dropped");
                self.count("siblings dropped");
            }
        }
        Ok(())
    }

    fn derive(&mut self) -> eyre::Result<()> {
        let latest = self.chain.len() as u64 - 1;
        let safe = self.safe + self.rng.below(latest - self.safe + 1);
        let more = self.rng.below(safe - self.finalized + 1);
        let finalized = self.finalized + if self.rng.percent(40) { more } else { 0 };
        self.derived(safe, finalized)
    }

    /// Derives one more DA block.
    fn derived(&mut self, safe: u64, finalized: u64) -> eyre::Result<()> {
        (self.safe, self.finalized) = (safe, finalized);
        self.height += 1;
        let record = Bytes::from(self.rng.bytes(9));
        self.pipeline().derived(self.height, record.clone(), safe, finalized)?;
        let found = self.pipeline().snapshot().derived(self.height)?;
        ensure!(found == Some(record), "a record was not kept");
        Ok(())
    }

    /// Goes back some blocks; executes the same again, or goes on with others.
    fn unwind(&mut self) -> eyre::Result<()> {
        let latest = self.chain.len() as u64 - 1;
        let to = self.finalized + self.rng.below(latest - self.finalized + 1);
        let dropped = self.pipeline().unwind(to)?;
        let gone = self.chain.split_off(to as usize + 1);
        ensure!(
            dropped.iter().map(|block| block.hash).eq(gone.iter().map(|known| known.block.hash)),
            "other blocks were dropped than committed"
        );
        self.safe = self.safe.min(to);
        let again = !gone.is_empty() && self.rng.percent(30);
        self.count(if gone.is_empty() { "unwinds of nothing" } else { "unwinds" });
        if !gone.is_empty() {
            self.pending.retain(|_| false);
        }
        self.same_state(&self.tip().clone())?;
        if !again {
            return Ok(());
        }
        for known in gone {
            let block = self.pipeline().execute(known.block.plan.clone())?;
            ensure!(block.hash == known.block.hash, "another block the second time");
            ensure!(block.receipts == known.block.receipts, "other receipts the second time");
            self.pipeline().commit(block.claim_hash, None, None)?;
            self.chain.push(known);
        }
        self.count("blocks executed again");
        self.same_state(&self.tip().clone())
    }

    /// Ends, with everything in the store or not, and starts again.
    fn restart(&mut self) -> eyre::Result<()> {
        self.look_at_old()?;
        let pipeline = self.pipeline.take().context("it is open")?;
        if self.rng.percent(30) {
            pipeline.close()?;
        } else {
            drop(pipeline);
        }
        self.open()?;
        self.pending.clear();
        self.count("restarts");
        self.same_state(&self.tip().clone())?;
        self.look_back()
    }

    /// Ends for good: the store by itself is whole, and holds what the model does, no row more.
    pub(super) fn finish(mut self) -> eyre::Result<Seen> {
        self.look_at_old()?;
        self.pipeline.take().context("it is open")?.close()?;
        let config = StoreConfig {
            identity: self.world.spec.identity(),
            archive: self.archive,
            address_index: None,
            history_blocks: HISTORY,
            cache_bytes: 8 << 20,
        };
        let verified = Store::open(self.dir.path(), config)?.verify()?;
        let (tip, blocks) = (self.tip(), self.chain.len() as u64);
        let slots: usize = tip.state.0.values().map(|entry| entry.storage.len()).sum();
        let have = (verified.blocks, verified.accounts, verified.slots, verified.state_root);
        let want = (blocks, tip.state.0.len() as u64, slots as u64, tip.state.root());
        ensure!(have == want, "the store holds {have:?}, the model {want:?}");
        Ok(self.seen)
    }

    /// What was seen once is still seen.
    fn look_at_old(&mut self) -> eyre::Result<()> {
        let Some((snapshot, chain)) = self.old.take() else { return Ok(()) };
        let newest = chain.last().context("block 0")?;
        let number = newest.block.header.number;
        ensure!(snapshot.id(number)?.map(|id| id.hash) == Some(newest.block.hash), "it changed");
        let state = snapshot.state(number)?.context("it was the newest")?;
        compare::state(&*state, &newest.state, &self.places)?;
        self.count("old snapshots");
        Ok(())
    }

    /// Looks at a block of the past. When the store prunes is its own affair, so what is drawn
    /// here must not change what comes after.
    fn look_back(&mut self) -> eyre::Result<()> {
        let later = self.rng.number();
        let done = self.look_at_past();
        self.rng = Rng::new(later);
        done
    }

    /// A block of the past: its state, a call on it, proofs of it.
    fn look_at_past(&mut self) -> eyre::Result<()> {
        if self.rng.percent(20) {
            self.look_at_old()?;
        }
        let snapshot = self.pipeline().snapshot();
        let latest = self.chain.len() as u64 - 1;
        let oldest = snapshot.oldest_state()?;
        let most = if self.archive { 0 } else { self.finalized.saturating_sub(HISTORY) };
        ensure!(oldest <= most, "history begins at {oldest}, final is {}", self.finalized);
        let number = self.rng.below(latest + 1);
        let known = self.chain[number as usize].clone();
        let block = snapshot.block(number)?.context("every block is kept")?;
        ensure!(block.hash == known.block.hash && block.receipts == known.block.receipts);
        for (at, tx) in block.txs.iter().enumerate() {
            let found = snapshot.tx(tx.hash)?.map(|(block, at)| (block.hash, at));
            ensure!(found == Some((block.hash, at)), "{} is at {found:?}", tx.hash);
        }
        let Some(state) = snapshot.state(number)? else {
            ensure!(number < oldest, "the state of block {number} is gone");
            self.count("pruned states");
            return Ok(());
        };
        if number < latest {
            self.count("past states");
        }
        compare::state(&*state, &known.state, &self.places)?;
        for (at, ancestor) in known.hashes.iter().enumerate() {
            let found = state.block_hash(at as u64)?;
            ensure!(found == Some(*ancestor), "hash of block {at} is {found:?}");
        }
        ensure!(state.block_hash(number + 1)?.is_none(), "block {number} knows what comes after");
        compare::call(self, &snapshot, &known)?;
        compare::proofs(self, &snapshot, &known)?;
        again::executed(self, &snapshot, &known)?;
        again::witness(self, &snapshot, &known)?;
        again::histories(self, &snapshot)
    }

    /// The whole state after a block, as its children see it.
    fn same_state(&self, known: &Known) -> eyre::Result<()> {
        let state = self.pipeline().state_of(known.block.claim_hash)?;
        compare::state(&*state, &known.state, &self.places)
    }

    fn heads(&self) -> eyre::Result<()> {
        let snapshot = self.pipeline().snapshot();
        let heads = [snapshot.latest(), snapshot.safe(), snapshot.finalized()];
        let numbers = [self.chain.len() as u64 - 1, self.safe, self.finalized];
        for (head, number) in heads.into_iter().zip(numbers) {
            let known = self.chain.get(number as usize).context("a block of the chain")?;
            if head.number != number || head.hash != known.block.hash {
                bail!("heads are {heads:?}, not {numbers:?}");
            }
        }
        Ok(())
    }
}

fn claim_on(parent: &Block, wait_ms: u64) -> Claim {
    let before = &parent.plan.claim;
    let body = BlockBody::default();
    Claim {
        number: before.number + 1,
        parent: parent.claim_hash,
        time_ms: before.time_ms + wait_ms,
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        ..before.clone()
    }
}
