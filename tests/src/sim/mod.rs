//! A whole chain from one number: a sequencer, full nodes, the DA layer, the feed, disks and clocks,
//! every step and every fault drawn from the seed. The same seed gives the same run, event by event.

mod auditor;
mod check;
mod faults;
mod feed;
mod heal;
mod peer;
mod setup;
mod steps;
mod storage;
mod trace;
mod turn;
pub mod watch;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloy_primitives::{B256, Bytes};
use causeway_da::memory::{MemoryConfig, MemoryDa};
use causeway_node::config::Role;
use eyre::ensure;
use parking_lot::Mutex;

use crate::clock::ManualClock;
use crate::drive::quick_spec;
use crate::txs::{Rng, Txs};
use crate::world::GENESIS_MS;

use check::Checker;
use peer::{Common, Peer};
use setup::Setup;
use trace::Trace;

/// How often what happened, over all runs: a simulation that meets nothing proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Blocks the sequencer made.
    pub blocks: u64,
    /// Transactions acknowledged.
    pub acked: u64,
    /// Claims that began a new term.
    pub takeovers: u64,
    /// Times a node went back with the DA layer.
    pub rollbacks: u64,
    /// Times a process ended and began again.
    pub restarts: u64,
    /// Times power went or a disk failed in an operation.
    pub hurts: u64,
    /// Blocks adopted from the feed.
    pub fed: u64,
    /// Forced entries taken.
    pub forced: u64,
    /// Blocks of the feed that were refused.
    pub refused: u64,
}

impl Seen {
    /// Both together.
    pub fn add(&mut self, more: &Self) {
        self.blocks += more.blocks;
        self.acked += more.acked;
        self.takeovers += more.takeovers;
        self.rollbacks += more.rollbacks;
        self.restarts += more.restarts;
        self.hurts += more.hurts;
        self.fed += more.fed;
        self.forced += more.forced;
        self.refused += more.refused;
    }
}

/// A run that broke no invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Hash over every event, in order.
    pub trace: B256,
    /// What happened.
    pub seen: Seen,
}

/// A run and everything in it.
pub(crate) struct Sim {
    rng: Rng,
    txs: Txs,
    setup: Setup,
    common: Common,
    /// The sequencer first.
    peers: Vec<Peer>,
    /// Messages of the feed on their way to each.
    wires: Vec<VecDeque<Bytes>>,
    checker: Checker,
    trace: Arc<Mutex<Trace>>,
    /// Transactions sent, valid or not.
    sent: Vec<Bytes>,
    /// Blobs posted.
    posted: Vec<Bytes>,
    /// Last block that was posted.
    posted_to: u64,
    /// Newest DA height that any node may have been told is final.
    final_height: u64,
    /// Nodes opened from DA alone so far.
    fresh: u64,
    /// Faults are over.
    healed: bool,
    seen: Seen,
}

impl Sim {
    fn new(seed: u64, trace: Arc<Mutex<Trace>>) -> eyre::Result<Self> {
        let mut rng = Rng::new(seed);
        let setup = Setup::of(&mut rng);
        trace.lock().note(format!("{setup:?}"));
        let spec = Arc::new(quick_spec(setup.vm)?);
        let config = MemoryConfig {
            genesis_time_ms: GENESIS_MS,
            final_depth: setup.final_depth,
            ..MemoryConfig::default()
        };
        let common = Common {
            da: Arc::new(MemoryDa::new(config)),
            clock: Arc::new(ManualClock::new(GENESIS_MS + 1000)),
            pool: setup.pool,
            spec: spec.clone(),
        };
        let mut peers = vec![Peer::new("sequencer", Role::Sequencer, false, &common, rng.number())];
        for (at, follower) in setup.followers.iter().enumerate() {
            let name = format!("full-{at}");
            peers.push(Peer::new(&name, Role::Full, follower.feed, &common, rng.number()));
        }
        Ok(Self {
            txs: Txs::new(rng.number(), spec.chain_id, setup.vm),
            wires: peers.iter().map(|_| VecDeque::new()).collect(),
            checker: Checker::new(&spec)?,
            rng,
            setup,
            common,
            peers,
            trace,
            sent: Vec::new(),
            posted: Vec::new(),
            posted_to: 0,
            final_height: 0,
            fresh: 0,
            healed: false,
            seen: Seen::default(),
        })
    }

    fn note(&self, event: String) {
        self.trace.lock().note(event);
    }

    /// The safety phase, then the liveness phase.
    async fn run(&mut self, most_steps: u64) -> eyre::Result<()> {
        for at in 0..self.peers.len() {
            self.start(at)?;
        }
        self.da_block(1_000);
        self.sync(0, u64::MAX).await?;
        for step in 1..=self.setup.steps {
            if step > most_steps {
                return Ok(());
            }
            self.trace.lock().begin(step);
            self.step().await?;
            self.check()?;
        }
        self.heal().await
    }

    /// All invariants of all nodes; what is new goes to the feed.
    fn check(&mut self) -> eyre::Result<()> {
        for at in 0..self.peers.len() {
            let txs = &self.txs;
            let news = self.checker.after(&mut self.peers[at], &|| txs.touched())?;
            if let Some(node) = &self.peers[at].node {
                let heads = *node.heads().borrow();
                let ids =
                    [heads.latest, heads.safe, heads.finalized].map(|id| (id.number, id.hash));
                let name = &self.peers[at].name;
                if !news.is_empty() {
                    let ops = self.peers[at].storage.ops();
                    self.trace.lock().note(format!("{name} is at {ids:?} by {ops} ops"));
                }
            }
            if at == 0 {
                self.broadcast(&news)?;
            }
            for block in news.iter().filter(|_| at == 0) {
                self.seen.forced += block.plan.forced.len() as u64;
                self.seen.takeovers += u64::from(block.plan.claim.takeover.is_some());
            }
        }
        let trace = self.trace.lock();
        ensure!(trace.leaked().is_none(), "INV-12: a private key is in {:?}", trace.leaked());
        Ok(())
    }
}

/// Runs one seed, up to a number of steps of its safety phase (then it ends there). An error tells
/// the seed, the step, the invariant and the newest events.
pub fn run(seed: u64, most_steps: u64) -> eyre::Result<Outcome> {
    let trace = Arc::new(Mutex::new(Trace::new()));
    let ran = catch_unwind(AssertUnwindSafe(|| -> eyre::Result<Seen> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let mut sim = Sim::new(seed, trace.clone())?;
        runtime.block_on(sim.run(most_steps))?;
        Ok(sim.seen.clone())
    }));
    let trace = trace.lock();
    let failed = match ran {
        Ok(Ok(seen)) => return Ok(Outcome { trace: trace.hash(), seen }),
        Ok(Err(error)) => format!("{error:#}"),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("INV-10: a panic: {}", text.unwrap_or("without a text"))
        }
    };
    Err(eyre::eyre!(
        "seed {seed} failed: {failed}\n  replay with CAUSEWAY_SEED={seed} CAUSEWAY_CASES=1 (and \
         CAUSEWAY_TRACE=1 for every event); the newest events:\n  {}",
        trace.tail()
    ))
}

/// Runs seeds on so many threads, each with a runtime of its own, and stops at the first that
/// fails.
pub fn run_all(seeds: std::ops::Range<u64>, most_steps: u64, threads: usize) -> eyre::Result<Seen> {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicBool::new(false);
    let total = Mutex::new(Seen::default());
    let work = || -> eyre::Result<()> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let outcome = run(seed, most_steps).inspect_err(|_| {
                failed.store(true, Ordering::Relaxed);
            })?;
            total.lock().add(&outcome.seen);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => Err(eyre::eyre!("a thread of the simulation panicked")),
        })
    })?;
    Ok(total.into_inner())
}
