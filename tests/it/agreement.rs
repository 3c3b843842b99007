//! Random chains: a sequencer, nodes that follow DA or the feed, and a fresh one end up equal in
//! every hash, root and receipt, on every VM. `CAUSEWAY_CASES` sets how many seeds are run.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use causeway_chainspec::Block;
use causeway_consensus::ChainError;
use causeway_da::DaBackend;
use causeway_execution::system;
use causeway_node::node::Node;
use causeway_tests::contracts::burning_init;
use causeway_tests::drive::{reopen, wei_of};
use causeway_tests::txs::{Outside, Rng, Txs};
use causeway_tests::world::{World, chain_of};
use eyre::{ContextCompat, WrapErr, bail, ensure};

/// Transactions of one case.
const TXS: u64 = 800;

/// Prints the seed if the case panics.
struct Seed(&'static str, u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("vm {} seed {}", self.0, self.1);
        }
    }
}

struct Case {
    rng: Rng,
    txs: Txs,
    world: World,
    sequencer: Arc<Node>,
    by_da: Arc<Node>,
    by_feed: Arc<Node>,
    sent: u64,
}

async fn cases(vm: &'static str, first_seed: u64) -> eyre::Result<()> {
    let cases: u64 = match std::env::var("CAUSEWAY_CASES") {
        Ok(text) => text.parse().wrap_err("CAUSEWAY_CASES is a number")?,
        Err(_) => 2,
    };
    for seed in first_seed..first_seed + cases {
        let _seed = Seed(vm, seed);
        let included =
            Case::run(vm, seed).await.wrap_err_with(|| format!("vm {vm} seed {seed}"))?;
        ensure!(included > TXS / 4, "vm {vm} seed {seed}: only {included} of {TXS} got in");
    }
    Ok(())
}

impl Case {
    /// Returns how many transactions the chain holds in the end.
    async fn run(vm: &str, seed: u64) -> eyre::Result<u64> {
        let world = World::quick(vm, 12)?;
        let mut case = Self {
            rng: Rng::new(seed),
            txs: Txs::new(seed, world.spec.chain_id, vm),
            sequencer: world.sequencer()?,
            by_da: world.full("by-da")?,
            by_feed: world.full("by-feed")?,
            world,
            sent: 0,
        };
        case.world.tick(&[&case.sequencer]).await?;
        while case.sent < TXS {
            case.step().await?;
        }
        case.checkpoint().await?;
        case.supply()?;
        let fresh = case.world.full("fresh")?;
        case.world.sync(&fresh).await?;
        same(&case.sequencer, &fresh)?;
        case.replay(&fresh)?;
        let snapshot = fresh.pipeline().snapshot();
        let mut included = 0;
        for number in 1..=snapshot.latest().number {
            included += snapshot.block(number)?.context("block")?.txs.len() as u64;
        }
        Ok(included)
    }

    async fn step(&mut self) -> eyre::Result<()> {
        match self.rng.below(200) {
            0..60 => self.submit().await,
            60..130 => self.build().await,
            130..140 => {
                self.world.clock.advance(self.rng.below(3_000));
                Ok(())
            }
            140..150 => self.force().await,
            150..165 => self.post().await,
            165..190 => self.da_block().await,
            190..195 => self.restart(),
            195..199 => self.checkpoint().await,
            _ => self.silence().await,
        }
    }

    async fn submit(&mut self) -> eyre::Result<()> {
        for _ in 0..self.rng.below(16) {
            let raw = self.make()?;
            // Refused or not: both happen, and neither may part the nodes.
            let _refused = self.sequencer.submit(raw).await;
        }
        Ok(())
    }

    fn make(&mut self) -> eyre::Result<alloy_primitives::Bytes> {
        let snapshot = self.sequencer.pipeline().snapshot();
        let state = snapshot.state(snapshot.latest().number)?.context("the newest state")?;
        let base_fee = snapshot.next_env(self.world.now())?.base_fee;
        let pool = self.sequencer.pool();
        let nonce = |address| {
            let account = state.account(address).expect("state is readable");
            pool.pending_nonce(address, account.unwrap_or_default().nonce)
        };
        self.sent += 1;
        Ok(self.txs.next(&Outside { nonce: &nonce, base_fee }))
    }

    async fn build(&mut self) -> eyre::Result<()> {
        match self.world.build(&self.sequencer).await {
            Ok(_) | Err(ChainError::Paused(_)) => {}
            Err(error) => bail!(error),
        }
        if self.rng.percent(60) {
            self.world.follow(&self.sequencer, &self.by_feed).await?;
        }
        Ok(())
    }

    async fn force(&mut self) -> eyre::Result<()> {
        for _ in 0..=self.rng.below(3) {
            let bytes = if self.rng.percent(25) { self.txs.junk() } else { self.make()? };
            self.world.da.force(bytes).await?;
        }
        Ok(())
    }

    async fn post(&mut self) -> eyre::Result<()> {
        let heads = *self.sequencer.heads().borrow();
        if heads.latest.number > heads.safe.number {
            self.world.post(&self.sequencer).await?;
        }
        Ok(())
    }

    async fn da_block(&mut self) -> eyre::Result<()> {
        self.world.tick(&[&self.sequencer]).await?;
        for node in [self.by_da.clone(), self.by_feed.clone()] {
            if self.rng.percent(50) {
                self.world.sync(&node).await?;
            }
        }
        Ok(())
    }

    /// Drops a node and opens it again on what its disk holds.
    fn restart(&mut self) -> eyre::Result<()> {
        let which = self.rng.below(4);
        let stand_in = if which == 0 { self.by_feed.clone() } else { self.by_da.clone() };
        let (name, slot) = match which {
            0 => ("by-da", &mut self.by_da),
            1 => ("by-feed", &mut self.by_feed),
            _ => ("sequencer", &mut self.sequencer),
        };
        let node = std::mem::replace(slot, stand_in);
        *slot = reopen(&self.world, node, name)?;
        Ok(())
    }

    /// Nobody posts for more than a window: derivation goes on alone, then the sequencer returns.
    async fn silence(&mut self) -> eyre::Result<()> {
        let blocks = 1 + self.world.spec.sequencer.window_ms / self.world.spec.da.interval_ms;
        self.world.ticks(&[&self.sequencer], blocks + self.rng.below(5)).await
    }

    /// Brings everything to DA and all nodes there; they must be equal.
    async fn checkpoint(&mut self) -> eyre::Result<()> {
        let nodes = [&self.sequencer, &self.by_da, &self.by_feed];
        // A block that rests on a forced entry not yet derived, or an abandoned one, takes a few.
        for _ in 0..4 {
            let heads = *self.sequencer.heads().borrow();
            if heads.latest.number > heads.safe.number {
                self.world.post(&self.sequencer).await?;
            }
            self.world.tick(&nodes).await?;
            let heads = *self.sequencer.heads().borrow();
            if heads.latest == heads.safe {
                same(&self.sequencer, &self.by_da)?;
                return same(&self.sequencer, &self.by_feed);
            }
        }
        bail!("the sequencer's blocks do not become safe: {:?}", self.sequencer.heads().borrow())
    }

    /// Every wei is on an account, was burnt as a base fee, or in a contract that never was.
    fn supply(&self) -> eyre::Result<()> {
        let snapshot = self.by_da.pipeline().snapshot();
        let at = |number| -> eyre::Result<U256> {
            let state = snapshot.state(number)?.context("state is kept")?;
            Ok(system::supply(state.as_ref())?)
        };
        let mut burnt = U256::ZERO;
        for number in 1..=snapshot.latest().number {
            let block = snapshot.block(number)?.context("block")?;
            burnt += burnt_by(&block);
        }
        let (first, last) = (at(0)?, at(snapshot.latest().number)?);
        ensure!(first - last == burnt, "supply fell by {}, burnt {burnt}", first - last);
        let genesis = self.world.spec.genesis.alloc.keys().copied();
        let mut holders: BTreeSet<Address> = self.txs.touched();
        holders.extend(genesis.chain([self.world.spec.fees.recipient]));
        let held = wei_of(&self.by_da, holders)?;
        ensure!(held == last, "accounts hold {held} wei, the supply is {last}");
        Ok(())
    }

    /// Unwinds a node to a block that is not final and executes what followed again.
    fn replay(&mut self, node: &Arc<Node>) -> eyre::Result<()> {
        let (pipeline, before) = (node.pipeline(), chain_of(node)?);
        let snapshot = pipeline.snapshot();
        let (low, high) = (snapshot.finalized().number, snapshot.latest().number);
        let to = low + self.rng.below(high - low + 1);
        let seals = (to + 1..=high).map(|number| snapshot.seal(number));
        let seals = seals.collect::<Result<Vec<_>, _>>()?;
        let dropped = pipeline.unwind(to)?;
        ensure!(chain_of(node)? == before[..=to as usize], "unwinding changed what is below");
        for (block, seal) in dropped.iter().zip(seals) {
            let again = pipeline.execute(block.plan.clone())?;
            ensure!(!Arc::ptr_eq(&again, block), "block {} was not executed", again.header.number);
            equal(block, &again)?;
            pipeline.commit(again.claim_hash, seal, None)?;
        }
        ensure!(chain_of(node)? == before, "replaying from block {to} gave another chain");
        Ok(())
    }
}

/// Base fees, and the value of contracts destructed while they were created.
fn burnt_by(block: &Block) -> U256 {
    let base_fee = U256::from(block.header.base_fee_per_gas.unwrap_or_default());
    let fees = base_fee * U256::from(block.header.gas_used);
    let init = burning_init();
    block.txs.iter().zip(&block.receipts).fold(fees, |sum, (tx, receipt)| {
        use alloy_consensus::Transaction;
        let gone = receipt.success && tx.envelope.is_create() && *tx.envelope.input() == init;
        if gone { sum + tx.envelope.value() } else { sum }
    })
}

fn same(a: &Node, b: &Node) -> eyre::Result<()> {
    let (left, right) = (chain_of(a)?, chain_of(b)?);
    if left != right {
        let at = left.iter().zip(&right).position(|(left, right)| left != right);
        bail!("chains of {} and {} blocks part at {at:?}", left.len(), right.len());
    }
    let (left, right) = (a.pipeline().snapshot(), b.pipeline().snapshot());
    for number in 1..=left.latest().number {
        let left = left.block(number)?.context("block")?;
        let right = right.block(number)?.context("block")?;
        equal(&left, &right)?;
    }
    Ok(())
}

fn equal(a: &Block, b: &Block) -> eyre::Result<()> {
    let number = a.header.number;
    ensure!(a.hash == b.hash && a.claim_hash == b.claim_hash, "block {number} differs");
    ensure!(a.txs == b.txs, "transactions of block {number} differ");
    ensure!(a.receipts == b.receipts, "receipts of block {number} differ");
    ensure!(a.skipped == b.skipped, "block {number}: {:?} and {:?}", a.skipped, b.skipped);
    ensure!(a.outbox == b.outbox, "outbox of block {number} differs");
    Ok(())
}

#[tokio::test]
async fn nodes_agree_on_the_evm() -> eyre::Result<()> {
    cases("evm", 1).await
}

#[tokio::test]
async fn nodes_agree_on_the_ledger() -> eyre::Result<()> {
    cases("ledger", 101).await
}
