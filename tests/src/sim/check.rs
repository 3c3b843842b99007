//! The invariants, each a function of its own, and what must be remembered of a run to judge them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256, Bytes};
use causeway_chainspec::l1;
use causeway_chainspec::{Block, BlockId, ChainSpec, Claim, DaRef, SealTuple, Tx};
use causeway_consensus::derive::Cursor;
use causeway_consensus::lane;
use causeway_consensus::mempool::DropReason;
use causeway_consensus::rules::History;
use causeway_da::DaBackend;
use causeway_da::memory::MemoryDa;
use causeway_node::node::Node;
use eyre::{ContextCompat, bail, ensure};

use super::auditor::Auditor;
use super::peer::Peer;

/// What one DA block makes safe, by everything a node says of it.
type SafeHead = (BlockId, B256, B256, Cursor);

/// What happened so far, as far as an invariant asks for it.
pub(super) struct Checker {
    pub(super) spec: Arc<ChainSpec>,
    pub(super) auditor: Auditor,
    /// Acknowledged, and neither in a final block nor overtaken by one.
    pub(super) acked: BTreeMap<B256, Arc<Tx>>,
    /// Claims sealed by (term, view), then number: all that ever left the sequencer.
    seals: BTreeMap<(u64, u64), BTreeMap<u64, B256>>,
    /// Safe head after a DA block, by the block's hash.
    derived: HashMap<B256, SafeHead>,
}

impl Checker {
    pub(super) fn new(spec: &Arc<ChainSpec>) -> eyre::Result<Self> {
        Ok(Self {
            spec: spec.clone(),
            auditor: Auditor::new(spec)?,
            acked: BTreeMap::new(),
            seals: BTreeMap::new(),
            derived: HashMap::new(),
        })
    }

    /// Everything that can be asked of one node after a step. Returns its new blocks.
    pub(super) fn after(
        &mut self,
        peer: &mut Peer,
        touched: &dyn Fn() -> BTreeSet<Address>,
    ) -> eyre::Result<Vec<Arc<Block>>> {
        let Some(node) = peer.node.clone() else { return Ok(Vec::new()) };
        inv4_monotone_heads(peer, &node)?;
        let news = new_blocks(peer, &node)?;
        if !news.is_empty() {
            let touched = touched();
            for block in &news {
                self.auditor.audit(block, &touched)?;
                self.inv5_one_seal(peer, &node, block)?;
            }
        }
        self.inv2_same_safe_head(&node)?;
        if peer.sequences() {
            self.inv1_no_acknowledged_loss(&node)?;
        }
        self.inv9_bounded(peer, &node)?;
        Ok(news)
    }

    /// INV-1: what was acknowledged is in a block, waits, or there is a true reason why not.
    fn inv1_no_acknowledged_loss(&mut self, node: &Node) -> eyre::Result<()> {
        let snapshot = node.pipeline().snapshot();
        let (latest, finalized) = (snapshot.latest().number, snapshot.finalized().number);
        let state = snapshot.state(latest)?.context("the newest state")?;
        let final_state = snapshot.state(finalized)?.context("the final state")?;
        let mut settled = Vec::new();
        for (hash, tx) in &self.acked {
            let used = |state: &dyn causeway_chainspec::StateReader| -> eyre::Result<bool> {
                let account = state.account(tx.sender)?.unwrap_or_default();
                Ok(account.nonce > tx.envelope.nonce())
            };
            if let Some((block, _)) = snapshot.tx(*hash)? {
                if block.header.number <= finalized {
                    settled.push(*hash);
                }
                continue;
            }
            if used(&*final_state)? {
                settled.push(*hash);
                continue;
            }
            if node.pool().get(*hash).is_some() {
                continue;
            }
            match node.pool().dropped(*hash) {
                Some(DropReason::Replaced(_) | DropReason::Evicted | DropReason::Invalid(_)) => {}
                Some(DropReason::NonceUsed) if used(&*state)? => {}
                // The block that used it was replaced, and who used it comes first.
                Some(DropReason::NonceUsed) if waits(node, tx) => {}
                reason => bail!(
                    "INV-1: acknowledged transaction {hash} (nonce {} of {}) is nowhere, the reason \
                     given is {reason:?}",
                    tx.envelope.nonce(),
                    tx.sender
                ),
            }
        }
        for hash in settled {
            self.acked.remove(&hash);
        }
        Ok(())
    }

    /// INV-2: whoever derives a DA block gets the same safe head, in every hash and root.
    pub(super) fn inv2_same_safe_head(&mut self, node: &Node) -> eyre::Result<()> {
        let Some(cursor) = node.cursor() else { return Ok(()) };
        let snapshot = node.pipeline().snapshot();
        let id = snapshot.id(cursor.safe.number)?.context("the safe head")?;
        ensure!(id.claim == cursor.safe.claim, "INV-2: the safe head is another block");
        ensure!(id == snapshot.safe(), "INV-2: {:?} is safe, derived {id:?}", snapshot.safe());
        if cursor.da.height == 0 {
            // Where derivation starts is settled by the first DA block, whichever that will be.
            return Ok(());
        }
        let header = snapshot.header(id.number)?.context("the safe header")?;
        let head = (id, header.state_root, header.receipts_root, (*cursor).clone());
        let before = self.derived.entry(cursor.da.hash).or_insert_with(|| head.clone());
        ensure!(
            *before == head,
            "INV-2: after DA block {} {} one node has {before:?}, another {head:?}",
            cursor.da.height,
            cursor.da.hash
        );
        Ok(())
    }

    /// INV-5: what leaves the sequencer never contradicts what left before; and others hold no
    /// seals than those.
    fn inv5_one_seal(&mut self, peer: &Peer, node: &Node, block: &Block) -> eyre::Result<()> {
        let claim = &block.plan.claim;
        let Some(seal) = node.pipeline().snapshot().seal(claim.number)? else { return Ok(()) };
        if peer.sequences() {
            return self.sealed(claim, seal.view);
        }
        let of_term = self.seals.get(&(claim.term, seal.view));
        let known = of_term.and_then(|of_term| of_term.get(&claim.number));
        ensure!(
            known == Some(&block.claim_hash),
            "INV-5: {} holds a sealed block {} that no sequencer sent",
            peer.name,
            claim.number
        );
        Ok(())
    }

    /// INV-5: a seal left the sequencer.
    pub(super) fn sealed(&mut self, claim: &Claim, view: u64) -> eyre::Result<()> {
        let (number, hash) = (claim.number, claim.hash());
        let of_term = self.seals.entry((claim.term, view)).or_default();
        let before = *of_term.entry(number).or_insert(hash);
        ensure!(
            before == hash,
            "INV-5: two blocks {number} of term {} are sealed: {before} and {hash}",
            claim.term
        );
        let below = of_term.range(..number).next_back().map(|(number, hash)| (*number, *hash));
        let above = of_term.range(number + 1..).next_back().map(|(number, hash)| (*number, *hash));
        if let Some((below, sealed)) = below {
            let ancestor = self.ancestor(hash, below)?;
            ensure!(ancestor == sealed, "INV-5: sealed block {number} is not on sealed {below}");
        }
        if let Some((above, sealed)) = above {
            let ancestor = self.ancestor(sealed, number)?;
            ensure!(ancestor == hash, "INV-5: sealed block {above} is not on sealed {number}");
        }
        Ok(())
    }

    fn ancestor(&self, of: B256, number: u64) -> eyre::Result<B256> {
        let mut at = self.auditor.block(of).context("a sealed block was never seen")?;
        while at.plan.claim.number > number {
            at = self.auditor.block(at.plan.claim.parent).context("an ancestor is unknown")?;
        }
        Ok(at.claim_hash)
    }

    /// Whether a tuple is one the sequencer made.
    pub(super) fn knows_seal(&self, tuple: &SealTuple) -> bool {
        let of_term = self.seals.get(&(tuple.term, tuple.view));
        of_term.and_then(|of_term| of_term.get(&tuple.number)) == Some(&tuple.claim)
    }

    /// INV-9: nothing grows without bound.
    fn inv9_bounded(&self, peer: &Peer, node: &Node) -> eyre::Result<()> {
        let waiting = node.pool().status();
        let most = peer.pool.count + self.acked.len();
        let have = waiting.pending + waiting.queued;
        ensure!(have <= most, "INV-9: {have} transactions wait, at most {most} may");
        if let Some(cursor) = node.cursor() {
            let clocks = &self.spec.sequencer;
            // What the lane carries in the time an entry may wait in it.
            let waits = 2 * clocks.window_ms + clocks.forced_delay_ms;
            let most = (waits * clocks.lane_rate / lane::MIN_COST) as usize;
            ensure!(cursor.lane.pending.len() <= most, "INV-9: the forced lane is too long");
        }
        Ok(())
    }

    /// INV-9: once everything is in the store, the log holds little more than what only it knows:
    /// transactions that are acknowledged and not final.
    pub(super) fn inv9_log_is_truncated(&self, peer: &Peer) -> eyre::Result<()> {
        let (segments, segment_bytes) = peer.storage.log_segments()?;
        let live: usize = self.acked.values().map(|tx| tx.raw.len()).sum();
        // Some segments of the newest entries, and copies of what is live beside the originals.
        let most = 6 + 3 * live as u64 / segment_bytes;
        let name = &peer.name;
        ensure!(segments <= most, "INV-9: the log of {name} has {segments} segments, most {most}");
        Ok(())
    }

    /// INV-6, INV-7 and INV-8 over the safe chain of a node: every block follows its parent, no
    /// transaction is in it twice, and it took the forced entries of its DA chain, each once and
    /// in lane order. Returns how many entries it has not taken.
    pub(super) async fn whole_chain(&self, node: &Node, da: &MemoryDa) -> eyre::Result<usize> {
        let cursor = node.cursor().context("derivation began")?;
        let expected = self.lane_of(da, cursor.da.height).await?;
        let snapshot = node.pipeline().snapshot();
        let mut taken = expected.iter();
        let mut seen = BTreeSet::new();
        let mut parent = snapshot.id(0)?.context("genesis")?;
        for number in 1..=snapshot.safe().number {
            let block = snapshot.block(number)?.context("a safe block")?;
            inv6_exactly_once(&block, parent, &mut seen)?;
            for entry in &block.plan.forced {
                let next = taken.next();
                ensure!(
                    next == Some(&(entry.da, entry.bytes.clone())),
                    "INV-7: block {number} takes a forced entry of {:?}, the next is {:?}",
                    entry.da,
                    next.map(|(da, _)| da)
                );
            }
            parent = BlockId { number, claim: block.claim_hash, hash: block.hash };
        }
        self.inv2_in_time(node, da).await?;
        Ok(taken.len())
    }

    /// INV-2 by a model of the clocks: what a DA block made safe was in time there, or derivation
    /// made it; and nothing safe is older than the floor.
    async fn inv2_in_time(&self, node: &Node, da: &MemoryDa) -> eyre::Result<()> {
        let clocks = &self.spec.sequencer;
        let snapshot = node.pipeline().snapshot();
        let to = node.cursor().context("derivation began")?.da.height;
        let mut time_ms = da.read(1).await?.time_ms;
        let (mut floor_ms, mut safe) = (time_ms.saturating_sub(clocks.window_ms), 0);
        for height in 1..=to {
            let block = da.read(height).await?;
            let gap = block.time_ms.saturating_sub(time_ms);
            time_ms = time_ms.max(block.time_ms);
            let raised = floor_ms + 2 * gap.min(clocks.window_ms / 8);
            floor_ms = raised.min(time_ms.saturating_sub(clocks.window_ms));
            let record = node.derived_at(height)?.context("a record of each DA block")?;
            let mut last_ms = 0;
            for number in safe + 1..=record.safe_number {
                let claim = snapshot.block(number)?.context("a safe block")?.plan.claim.clone();
                let derived = claim.cut.da == block.da && snapshot.seal(number)?.is_none();
                let in_time = (floor_ms..=time_ms + clocks.drift_ms).contains(&claim.time_ms);
                ensure!(derived || in_time, "INV-2: block {number} is not in time at {height}");
                last_ms = claim.time_ms;
            }
            if record.safe_number == safe {
                let head = snapshot.block(safe)?.context("the safe head")?;
                last_ms = head.plan.claim.time_ms;
            }
            ensure!(last_ms >= floor_ms, "INV-2: at {height} block {safe} is below the floor");
            safe = record.safe_number;
        }
        Ok(())
    }

    /// The lane by a model of its own: every entry that fits, unless those before it fill a window.
    /// One of type 0x7E does not: the layer has no messages.
    async fn lane_of(&self, da: &MemoryDa, to: u64) -> eyre::Result<Vec<(DaRef, Bytes)>> {
        let clocks = &self.spec.sequencer;
        let (mut free_ms, mut time_ms, mut lane) = (0u64, 0, Vec::new());
        for height in 1..=to {
            let block = da.read(height).await?;
            time_ms = block.time_ms.max(time_ms);
            for bytes in block.forced {
                let fits = bytes.len() as u64 <= self.spec.gas.limit_bytes
                    && bytes.first() != Some(&l1::MESSAGE_TYPE);
                if fits && free_ms.saturating_sub(time_ms) <= clocks.window_ms {
                    let cost = lane::cost(&self.spec, &bytes);
                    free_ms = free_ms.max(time_ms) + cost.div_ceil(clocks.lane_rate);
                    lane.push((block.da, bytes));
                }
            }
        }
        Ok(lane)
    }
}

/// INV-4: finalized <= safe <= latest, all on the chain; what was final stays as it was.
fn inv4_monotone_heads(peer: &mut Peer, node: &Node) -> eyre::Result<()> {
    let snapshot = node.pipeline().snapshot();
    let heads = *node.heads().borrow();
    let have = [heads.finalized, heads.safe, heads.latest];
    let shown = [snapshot.finalized(), snapshot.safe(), snapshot.latest()];
    ensure!(have == shown, "INV-4: {} publishes {have:?} and shows {shown:?}", peer.name);
    let numbers = have.map(|head| head.number);
    ensure!(numbers.is_sorted(), "INV-4: {} has heads {numbers:?}", peer.name);
    for head in have {
        let id = snapshot.id(head.number)?;
        ensure!(id == Some(head), "INV-4: head {head:?} of {} is not its block {id:?}", peer.name);
    }
    if let Some(before) = peer.finalized {
        ensure!(
            before.number <= heads.finalized.number,
            "INV-4: {} had block {} final, now {}",
            peer.name,
            before.number,
            heads.finalized.number
        );
        let now = snapshot.id(before.number)?;
        ensure!(now == Some(before), "INV-4: {} replaced the final {before:?}", peer.name);
    }
    peer.finalized = Some(heads.finalized);
    Ok(())
}

/// INV-6 and INV-8 of one block: it follows its parent, and nothing in it was there before.
fn inv6_exactly_once(
    block: &Block,
    parent: BlockId,
    seen: &mut BTreeSet<B256>,
) -> eyre::Result<()> {
    let number = block.header.number;
    let linked = block.plan.claim.parent == parent.claim && block.header.parent_hash == parent.hash;
    ensure!(linked && number == parent.number + 1, "INV-6: block {number} is not on its parent");
    for tx in &block.txs {
        ensure!(seen.insert(tx.hash), "INV-8: {} is in two blocks, again in {number}", tx.hash);
    }
    Ok(())
}

/// Whether the nonce of a transaction is that of another one that waits.
fn waits(node: &Node, tx: &Tx) -> bool {
    let content = node.pool().content_of(tx.sender);
    let mut waiting = content.pending.values().chain(content.queued.values());
    waiting.any(|by_nonce| by_nonce.contains_key(&tx.envelope.nonce()))
}

/// The blocks a node has that it had not after the step before, oldest first.
fn new_blocks(peer: &mut Peer, node: &Node) -> eyre::Result<Vec<Arc<Block>>> {
    let snapshot = node.pipeline().snapshot();
    while let Some(last) = peer.chain.last() {
        if snapshot.id(last.number)? == Some(*last) {
            break;
        }
        peer.chain.pop();
    }
    let mut news = Vec::new();
    for number in peer.chain.len() as u64..=snapshot.latest().number {
        peer.chain.push(snapshot.id(number)?.context("an id")?);
        if number > 0 {
            news.push(snapshot.block(number)?.context("a block")?);
        }
    }
    Ok(news)
}
