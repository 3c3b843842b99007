//! What nodes and users do when nothing is wrong.

use alloy_primitives::Bytes;
use causeway_chainspec::Clock;
use causeway_da::codec::{self, EncodeOptions};
use causeway_da::{DaBackend, DaError};
use causeway_node::node::{Applied, NodeError};
use causeway_node::rpc::backend::SubmitError;
use eyre::ContextCompat;

use super::Sim;
use super::peer::Fate;
use super::setup::Action;
use super::turn::{Turn, turn};
use crate::keys;
use crate::txs::Outside;

/// Transactions and blobs remembered, to be sent again.
const REMEMBERED: usize = 64;

impl Sim {
    /// One step: an action, then processes that were down long enough are started.
    pub(super) async fn step(&mut self) -> eyre::Result<()> {
        let action = self.setup.action(&mut self.rng);
        match action {
            Action::Submit => self.submit().await?,
            Action::Resend => self.resend().await?,
            Action::Build => self.build().await?,
            Action::Deliver => self.deliver().await?,
            Action::Follow => {
                let at = self.anybody();
                self.follow(at)?;
            }
            Action::Post => self.post().await?,
            Action::DaBlock => self.da_action().await?,
            Action::Sync => {
                let (at, most) = (self.anybody(), *self.rng.pick(&[1, 2, 5, u64::MAX]));
                self.sync(at, most).await?;
            }
            Action::Flush => {
                let at = self.anybody();
                self.flush(at)?;
            }
            Action::Force => self.force().await?,
            Action::Wait => self.common.clock.advance(self.rng.below(3_000)),
            fault => self.fault(fault).await?,
        }
        for at in 0..self.peers.len() {
            if self.peers[at].node.is_none() {
                self.peers[at].down_for = self.peers[at].down_for.saturating_sub(1);
                if self.peers[at].down_for == 0 {
                    self.start(at)?;
                }
            }
        }
        Ok(())
    }

    /// Index of any node.
    pub(super) fn anybody(&mut self) -> usize {
        self.rng.below(self.peers.len() as u64) as usize
    }

    /// Draws the consequences of what an operation of a node ended with.
    pub(super) fn settle(&mut self, at: usize, what: &str, fate: &Fate) -> eyre::Result<()> {
        match fate {
            Fate::Fine => {}
            Fate::Later => self.note(format!("{} {what}: later", self.peers[at].name)),
            Fate::Dead(error) => {
                self.note(format!("{} {what}: dead: {error}", self.peers[at].name));
                self.seen.hurts += 1;
                self.fall(at)?;
            }
        }
        Ok(())
    }

    pub(super) async fn submit(&mut self) -> eyre::Result<()> {
        for _ in 0..1 + self.rng.below(4) {
            if let Some(raw) = self.make()? {
                self.send(raw).await?;
            }
        }
        Ok(())
    }

    async fn resend(&mut self) -> eyre::Result<()> {
        if self.sent.is_empty() {
            return Ok(());
        }
        let raw = self.rng.pick(&self.sent).clone();
        self.send(raw).await
    }

    /// Sends a transaction to the sequencer, and remembers it if it was acknowledged.
    async fn send(&mut self, raw: Bytes) -> eyre::Result<()> {
        let Some(node) = self.peers[0].node.clone() else { return Ok(()) };
        if self.sent.len() == REMEMBERED {
            self.sent.remove(0);
        }
        self.sent.push(raw.clone());
        let answer = node.submit(raw.clone()).await;
        drop(node);
        match answer {
            Ok(hash) => {
                self.note(format!("accepted {hash}"));
                self.acknowledge(raw)?;
            }
            // Clients take this for success.
            Err(SubmitError::AlreadyKnown) => {
                self.note("known already".into());
                self.acknowledge(raw)?;
            }
            Err(error) => {
                self.note(format!("refused: {error}"));
                let fate = self.peers[0].fate_of_submit(&error)?;
                self.settle(0, "submit", &fate)?;
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, raw: Bytes) -> eyre::Result<()> {
        let tx = causeway_chainspec::Tx::decode(raw)?;
        self.seen.acked += 1;
        self.checker.acked.insert(tx.hash, tx.into());
        Ok(())
    }

    /// A random transaction, as its author sees the chain now.
    pub(super) fn make(&mut self) -> eyre::Result<Option<Bytes>> {
        let Some(node) = self.peers[0].node.clone() else { return Ok(None) };
        let snapshot = node.pipeline().snapshot();
        let state = snapshot.state(snapshot.latest().number)?.context("the newest state")?;
        let base_fee = snapshot.next_env(self.common.clock.now_ms())?.base_fee;
        // Some authors do not know what they have sent already: they replace it.
        let forgetful = self.rng.percent(12);
        let nonce = |address| {
            let account = state.account(address).expect("no faults are armed while reading");
            let used = account.unwrap_or_default().nonce;
            if forgetful { used } else { node.pool().pending_nonce(address, used) }
        };
        Ok(Some(self.txs.next(&Outside { nonce: &nonce, base_fee })))
    }

    /// The sequencer's turn.
    pub(super) async fn build(&mut self) -> eyre::Result<()> {
        let Some(node) = self.peers[0].node.clone() else { return Ok(()) };
        let pace = self.common.spec.sequencer.block_time_ms;
        self.common.clock.advance(pace + self.rng.below(3) * pace);
        let turned = turn(&node).await;
        drop(node);
        match turned? {
            Turn::Block(block) => {
                self.seen.blocks += 1;
                let (number, txs) = (block.header.number, block.txs.len());
                self.note(format!("built {number} {} of {txs}", block.hash));
            }
            Turn::Refused(error) => {
                self.note(format!("no block: {error}"));
                let fate = self.peers[0].fate_of_chain(&error)?;
                self.settle(0, "build", &fate)?;
            }
        }
        Ok(())
    }

    /// Posts sealed blocks, from the safe head on or from what was posted last.
    pub(super) async fn post(&mut self) -> eyre::Result<()> {
        let Some(node) = self.peers[0].node.clone() else { return Ok(()) };
        let (latest, safe) = {
            let heads = node.heads();
            let heads = heads.borrow();
            (heads.latest.number, heads.safe.number)
        };
        let follows = (safe..latest).contains(&self.posted_to) && self.rng.percent(30);
        let from = 1 + if follows && !self.healed { self.posted_to } else { safe };
        let most = *self.rng.pick(&[1, 600, 4 << 20, 4 << 20]);
        let most = if self.healed { 4 << 20 } else { most };
        let Some(span) = node.span_from(from, most)? else { return Ok(()) };
        let last = span.blocks.last().context("a span has blocks")?.claim.clone();
        self.checker.sealed(&last, span.seal.view)?;
        let blob_bytes = *self.rng.pick(&[300, 2_000, 128 << 10]);
        let options = EncodeOptions::default();
        let vm = &self.common.spec.vm;
        let blobs = codec::encode(&span, vm, &keys::poster(), &options, blob_bytes)?;
        let submitted = node.da().submit(&blobs).await;
        drop(node);
        match submitted {
            Ok(_) => {
                self.posted_to = last.number;
                self.note(format!("posted {from} to {} in {} blobs", last.number, blobs.len()));
            }
            Err(error) => {
                self.note(format!("posting {from} to {}: {error}", last.number));
                let fate = self.peers[0].fate(&error.into())?;
                self.settle(0, "post", &fate)?;
            }
        }
        self.posted.extend(blobs);
        let surplus = self.posted.len().saturating_sub(REMEMBERED);
        self.posted.drain(..surplus);
        Ok(())
    }

    async fn da_action(&mut self) -> eyre::Result<()> {
        let interval = self.common.spec.da.interval_ms;
        let gap = match self.rng.below(20) {
            0 => 0,
            1 | 2 => 8 * interval,
            _ => interval,
        };
        self.da_block(gap);
        for at in 0..self.peers.len() {
            if self.rng.percent(60) {
                self.sync(at, u64::MAX).await?;
            }
        }
        Ok(())
    }

    /// The layer makes a block, so many ms later.
    pub(super) fn da_block(&mut self, gap_ms: u64) {
        self.common.clock.advance(gap_ms);
        let da = self.common.da.produce(self.common.clock.now_ms());
        self.final_height = self.final_height.max(da.height.saturating_sub(self.setup.final_depth));
        self.note(format!("da block {} {}", da.height, da.hash));
    }

    /// A node derives up to so many DA blocks.
    pub(super) async fn sync(&mut self, at: usize, most: u64) -> eyre::Result<()> {
        let mut done = 0;
        while done < most {
            let Some(node) = self.peers[at].node.clone() else { return Ok(()) };
            let derived = derive_next(&node).await;
            match derived {
                Ok(None) => break,
                Ok(Some(applied)) => {
                    done += 1;
                    self.seen.rollbacks += u64::from(applied == Applied::RolledBack);
                    if applied == Applied::RolledBack {
                        self.note(format!("{} rolled back", self.peers[at].name));
                    }
                    self.checker.inv2_same_safe_head(&node)?;
                }
                Err(error) => {
                    drop(node);
                    let fate = self.peers[at].fate(&error)?;
                    return self.settle(at, "derive", &fate);
                }
            }
        }
        if let Some(cursor) = self.peers[at].node.as_ref().and_then(|node| node.cursor()) {
            let name = &self.peers[at].name;
            self.note(format!("{name} derived {done}: {} {}", cursor.da.height, cursor.safe.claim));
        }
        Ok(())
    }

    pub(super) fn flush(&mut self, at: usize) -> eyre::Result<()> {
        let Some(node) = self.peers[at].node.clone() else { return Ok(()) };
        let flushed = node.pipeline().flush();
        drop(node);
        self.note(format!("{} flushed: {}", self.peers[at].name, flushed.is_ok()));
        if let Err(error) = flushed {
            let fate = self.peers[at].fate(&error.into())?;
            return self.settle(at, "flush", &fate);
        }
        self.checker.inv9_log_is_truncated(&self.peers[at])
    }

    async fn force(&mut self) -> eyre::Result<()> {
        for _ in 0..=self.rng.below(3) {
            let junk = self.rng.percent(30);
            let made = if junk { None } else { self.make()? };
            let entry = made.unwrap_or_else(|| self.txs.junk());
            match self.common.da.force(entry).await {
                Ok(()) | Err(DaError::Unavailable(_)) => {}
                Err(error) => eyre::bail!("the forced lane refuses: {error}"),
            }
        }
        Ok(())
    }
}

/// One step of the loop that derives: the next DA block, if there is one.
async fn derive_next(node: &causeway_node::node::Node) -> Result<Option<Applied>, NodeError> {
    let heads = node.da().heads().await?;
    node.note_da_head(heads.latest);
    let next = node.cursor().map_or(1, |cursor| cursor.da.height + 1);
    // A reorg may have left the layer lower than the cursor: the block at its end shows it.
    let height = next.min(heads.latest.height + 1);
    match node.da().read(height).await {
        Ok(block) => Ok(Some(node.derive(block, heads.finalized.height).await?)),
        Err(DaError::NotYet { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
