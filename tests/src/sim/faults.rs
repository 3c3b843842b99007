//! What goes wrong: the DA layer, lines, clocks, processes and disks.

use alloy_primitives::Bytes;
use causeway_da::codec::{self, EncodeOptions};
use causeway_node::config::Role;
use eyre::ContextCompat;

use super::Sim;
use super::peer::{LineState, Peer};
use super::setup::Action;
use crate::keys;

/// Times a start is tried while power fails again in the middle of it.
const STARTS: u64 = 3;

impl Sim {
    pub(super) async fn fault(&mut self, action: Action) -> eyre::Result<()> {
        self.note(format!("{action:?}"));
        match action {
            Action::Skew => self.skew(1_500),
            Action::Jump => self.skew(90_000),
            Action::Line => self.line(),
            Action::Unreliable => self.unreliable(),
            Action::Reorg => self.reorg(),
            Action::Garbage => self.garbage()?,
            Action::Again => {
                for _ in 0..self.rng.below(4) {
                    if !self.posted.is_empty() {
                        let blob = self.rng.pick(&self.posted).clone();
                        self.common.da.inject(blob);
                    }
                }
            }
            Action::Impostor => self.impostor().await?,
            Action::Kill => {
                let at = self.anybody();
                self.fall(at)?;
            }
            Action::Cut => self.cut().await?,
            Action::Disk => self.disk_error().await?,
            Action::Silence => self.silence().await?,
            Action::Fresh => self.fresh().await?,
            other => eyre::bail!("{other:?} is no fault"),
        }
        Ok(())
    }

    fn skew(&mut self, most_ms: i64) {
        let at = self.anybody();
        let off = if self.rng.percent(40) {
            0
        } else {
            self.rng.below(2 * most_ms as u64) as i64 - most_ms
        };
        self.note(format!("the clock of {} is off by {off} ms", self.peers[at].name));
        self.peers[at].clock.set(off);
    }

    fn line(&mut self) {
        let at = self.anybody();
        let state = match self.rng.below(6) {
            0 | 1 => LineState { down: true, ..LineState::default() },
            2 => LineState { lag: 1 + self.rng.below(3), ..LineState::default() },
            3 => LineState { cut_after: Some(self.rng.below(12)), ..LineState::default() },
            _ => LineState::default(),
        };
        self.note(format!("the line of {}: {state:?}", self.peers[at].name));
        *self.peers[at].line.state.lock() = state;
    }

    fn unreliable(&mut self) {
        let calls = 1 + self.rng.below(2);
        match self.rng.below(4) {
            0 => self.common.da.fail(calls),
            1 => self.common.da.lose_answers(calls),
            2 => self.common.da.drop_submissions(calls),
            _ => self.common.da.duplicate_submissions(calls),
        }
    }

    /// Blocks that are not final are replaced: what they held stays, goes, moves or comes twice.
    fn reorg(&mut self) {
        let latest = self.da_height();
        let most = latest.saturating_sub(self.final_height).min(self.setup.final_depth);
        if most == 0 {
            return;
        }
        let depth = 1 + self.rng.below(most);
        let kind = self.rng.below(6);
        let rng = &mut self.rng;
        let mut late: Vec<Bytes> = Vec::new();
        self.common.da.rewrite(depth as usize, |block| {
            match kind {
                0 => {}
                1 => block.blobs.clear(),
                2 => {
                    block.blobs.retain(|_| rng.percent(50));
                    block.forced.retain(|_| rng.percent(50));
                }
                3 => {
                    block.blobs.reverse();
                    block.forced.reverse();
                }
                4 => block.time_ms += rng.below(1_500),
                // What was in a block comes one later.
                _ => std::mem::swap(&mut late, &mut block.blobs),
            }
            !rng.percent(3)
        });
        self.note(format!("{depth} blocks replaced, kind {kind}"));
        // Nobody reads a layer that has become shorter: it goes on at once.
        while self.da_height() < latest {
            self.da_block(0);
        }
        self.da_block(self.common.spec.da.interval_ms);
    }

    fn da_height(&self) -> u64 {
        self.common.da.height()
    }

    fn garbage(&mut self) -> eyre::Result<()> {
        for _ in 0..1 + self.rng.below(4) {
            let old = (!self.posted.is_empty()).then(|| self.rng.pick(&self.posted).clone());
            let blob: Bytes = match (self.rng.below(5), old) {
                (0 | 1, Some(old)) => self.damage(&old),
                (2, _) => self.foreign_span()?.unwrap_or_default(),
                (3, _) => {
                    let mut bytes = codec::MAGIC.to_vec();
                    bytes.push(codec::VERSION);
                    let count = self.rng.below(300) as usize;
                    bytes.extend(self.rng.bytes(count));
                    bytes.into()
                }
                _ => {
                    let count = self.rng.below(300) as usize;
                    self.rng.bytes(count).into()
                }
            };
            self.common.da.inject(blob);
        }
        Ok(())
    }

    /// A good span that somebody else posts, or one that the poster posts with another's seal.
    fn foreign_span(&mut self) -> eyre::Result<Option<Bytes>> {
        let Some(node) = self.peers[0].node.clone() else { return Ok(None) };
        let from = node.heads().borrow().safe.number + 1;
        let Some(mut span) = node.span_from(from, 4 << 20)? else { return Ok(None) };
        let stranger = keys::accounts()[2].clone();
        let key = if self.rng.percent(50) {
            stranger
        } else {
            let mut proof = span.seal.proof.to_vec();
            proof[3] ^= 1;
            span.seal.proof = proof.into();
            keys::poster()
        };
        let vm = &self.common.spec.vm;
        let blobs = codec::encode(&span, vm, &key, &EncodeOptions::default(), 128 << 10)?;
        Ok(blobs.into_iter().next())
    }

    /// A process ends, and comes back now or after some steps.
    pub(super) fn fall(&mut self, at: usize) -> eyre::Result<()> {
        let rests = if self.rng.percent(60) { 0 } else { 1 + self.rng.below(25) };
        self.wires[at].clear();
        let peer = &mut self.peers[at];
        peer.kill()?;
        peer.down_for = rests;
        self.trace.lock().note(format!("{} is down for {rests} steps", peer.name));
        if rests == 0 { self.start(at) } else { Ok(()) }
    }

    /// Starts a process; power may fail again while it recovers.
    pub(super) fn start(&mut self, at: usize) -> eyre::Result<()> {
        if self.peers[at].node.is_some() {
            return Ok(());
        }
        for left in (0..STARTS).rev() {
            let again = left > 0 && !self.healed && self.rng.percent(self.setup.cuts);
            let ops = self.rng.below(30);
            let peer = &mut self.peers[at];
            peer.storage.right();
            if again {
                peer.storage.cut_after(ops);
            }
            match peer.open(&self.common) {
                Ok(()) if !peer.hurt() => {
                    peer.storage.right();
                    self.seen.restarts += 1;
                    self.trace.lock().note(format!("{} is up", peer.name));
                    return Ok(());
                }
                Ok(()) => {
                    peer.kill()?;
                    self.trace.lock().note(format!("{} lost power once it was up", peer.name));
                }
                Err(error) => {
                    let fate = peer.fate(&error)?;
                    let text = format!("{} did not start: {fate:?}", peer.name);
                    self.trace.lock().note(text);
                }
            }
            self.seen.hurts += 1;
        }
        eyre::bail!("INV-10: {} does not start", self.peers[at].name)
    }

    /// Power fails in the middle of what a node does next.
    async fn cut(&mut self) -> eyre::Result<()> {
        let at = self.busy();
        if self.rng.percent(20) {
            self.peers[at].kill()?;
            self.peers[at].storage.lose_power();
            self.seen.hurts += 1;
            return self.fall(at);
        }
        if self.peers[at].node.is_none() {
            return Ok(());
        }
        let ops = self.rng.below(12);
        self.peers[at].storage.cut_after(ops);
        self.works(at).await?;
        self.ends(at)
    }

    /// The disk gives an error, once, in the middle of what a node does next.
    async fn disk_error(&mut self) -> eyre::Result<()> {
        let at = self.busy();
        if self.peers[at].node.is_none() {
            return Ok(());
        }
        let ops = self.rng.below(12);
        self.peers[at].storage.fail_after(ops);
        self.works(at).await?;
        self.ends(at)
    }

    /// After an armed fault: a node that it met is ended.
    fn ends(&mut self, at: usize) -> eyre::Result<()> {
        let peer = &mut self.peers[at];
        if peer.node.is_some() && peer.hurt() {
            self.trace.lock().note(format!("{} is hurt", peer.name));
            self.seen.hurts += 1;
            return self.fall(at);
        }
        // The fault did not come: it must not come later.
        peer.storage.right();
        Ok(())
    }

    fn busy(&mut self) -> usize {
        if self.rng.percent(60) { 0 } else { self.anybody() }
    }

    /// Something that writes.
    async fn works(&mut self, at: usize) -> eyre::Result<()> {
        match (at, self.rng.below(4)) {
            (0, 0) => self.submit().await,
            (0, 1) => self.build().await,
            (_, 2) => self.flush(at),
            _ => {
                self.da_block(1_000);
                self.sync(at, u64::MAX).await
            }
        }
    }

    /// Nobody posts for more than a window, while DA time goes on in large steps.
    async fn silence(&mut self) -> eyre::Result<()> {
        for _ in 0..5 + self.rng.below(8) {
            self.da_block(5_000);
            for at in 0..self.peers.len() {
                if self.rng.percent(40) {
                    self.sync(at, u64::MAX).await?;
                }
            }
        }
        Ok(())
    }

    /// A node that has nothing but DA comes to the same chain.
    pub(super) async fn fresh(&mut self) -> eyre::Result<()> {
        self.fresh += 1;
        let name = format!("fresh-{}", self.fresh);
        let seed = self.rng.number();
        self.peers.push(Peer::new(&name, Role::Full, false, &self.common, seed));
        self.wires.push(<_>::default());
        let at = self.peers.len() - 1;
        self.start(at)?;
        self.sync(at, u64::MAX).await?;
        let touched = self.txs.touched();
        self.checker.after(&mut self.peers[at], &|| touched.clone())?;
        let node = self.peers[at].node.as_ref();
        // Its line may have been down.
        if let Some(node) = node.filter(|node| node.cursor().is_some()) {
            self.checker.whole_chain(node, &self.common.da).await?;
        }
        let mut peer = self.peers.pop().context("it was just added")?;
        self.wires.pop();
        peer.kill()
    }
}
