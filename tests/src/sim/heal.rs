//! The liveness phase: every fault is over, and within a bound everything must be in its place.

use eyre::{ContextCompat, bail, ensure};

use super::Sim;
use super::peer::LineState;
use crate::world::chain_of;

/// DA blocks within which a healed chain must have settled everything.
const MOST_BLOCKS: u64 = 90;
/// DA blocks at the layer's own pace; after those time goes faster.
const SLOW_BLOCKS: u64 = 6;

impl Sim {
    /// Heals everything, lets the chain settle, and compares all nodes with one that has only DA.
    pub(super) async fn heal(&mut self) -> eyre::Result<()> {
        self.healed = true;
        self.note("healed".into());
        let da = &self.common.da;
        da.fail(0);
        da.lose_answers(0);
        da.drop_submissions(0);
        da.duplicate_submissions(0);
        for at in 0..self.peers.len() {
            self.peers[at].clock.set(0);
            *self.peers[at].line.state.lock() = LineState::default();
            self.wires[at].clear();
            self.start(at)?;
        }
        let mut missing = String::new();
        for block in 0..MOST_BLOCKS {
            self.trace.lock().begin(1_000 + block);
            self.build().await?;
            self.check()?;
            self.post().await?;
            let interval = self.common.spec.da.interval_ms;
            self.da_block(if block < SLOW_BLOCKS { interval } else { 3 * interval });
            for at in 0..self.peers.len() {
                self.sync(at, u64::MAX).await?;
            }
            self.check()?;
            match self.unsettled().await? {
                None => return self.compare().await,
                Some(reason) => missing = reason,
            }
        }
        bail!("liveness: {MOST_BLOCKS} DA blocks after everything was healed {missing}")
    }

    /// What is still not in its place.
    async fn unsettled(&self) -> eyre::Result<Option<String>> {
        let node = self.peers[0].node.as_ref().context("the sequencer is up")?;
        let heads = *node.heads().borrow();
        for peer in &self.peers {
            let other = *peer.node.as_ref().context("all nodes are up")?.heads().borrow();
            if (other.latest, other.safe) != (heads.latest, heads.latest) {
                return Ok(Some(format!("{} is at {other:?}", peer.name)));
            }
        }
        let snapshot = node.pipeline().snapshot();
        let env = snapshot.next_env(self.common.clock_ms())?;
        let best = node.pool().best(env.base_fee, u64::MAX, u64::MAX, usize::MAX);
        if let Some(tx) = best.first() {
            return Ok(Some(format!("transaction {} could be included and is not", tx.hash)));
        }
        let lane = &node.cursor().context("derivation began")?.lane;
        if !lane.pending.is_empty() {
            return Ok(Some(format!("{} forced entries are not taken", lane.pending.len())));
        }
        Ok(None)
    }

    /// All nodes have one chain, and it is the one that DA alone gives.
    async fn compare(&mut self) -> eyre::Result<()> {
        let node = self.peers[0].node.clone().context("the sequencer is up")?;
        let chain = chain_of(&node)?;
        let left = self.checker.whole_chain(&node, &self.common.da).await?;
        ensure!(left == 0, "INV-7: {left} forced entries were never taken");
        drop(node);
        for peer in &self.peers[1..] {
            let other = peer.node.as_ref().context("all nodes are up")?;
            ensure!(chain_of(other)? == chain, "INV-2: {} has another chain", peer.name);
        }
        self.fresh().await?;
        self.note(format!("{} blocks agreed", chain.len()));
        Ok(())
    }
}
