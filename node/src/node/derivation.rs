//! The node as its DA layer sees it: each DA block moves the safe head, and what DA says wins.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use alloy_primitives::{B256, Bytes};
use causeway_chainspec::posted::tag;
use causeway_chainspec::{BlockPlan, DaEntry, PostedSpan, StateError, crash};
use causeway_consensus::derive::{self, Cursor, Step};
use causeway_consensus::rules::{DerivedAt, History, Tip};
use causeway_da::DaBlock;
use causeway_execution::ExecutionError;
use tracing::{debug, error, info, warn};

use super::prepare::{Prepared, Recovered, decode};
use super::submit::{Submit, facts_of};
use super::{Node, NodeError, decode_cursor, genesis_claim};
use crate::rpc::backend::BlockEvent;

/// Most blocks that are executed before they are made durable together.
const GROUP_BLOCKS: usize = 16;
/// Most candidates of such blocks, if there are several.
const GROUP_CANDIDATES: usize = 10_000;

/// What became of a DA block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Derivation went past it.
    Advanced,
    /// It does not build on the one before: the layer reorganized, derivation went back.
    RolledBack,
}

impl History for Node {
    fn derived_at(&self, height: u64) -> Result<Option<DerivedAt>, StateError> {
        let record = self.pipeline.snapshot().derived(height).map_err(state_error)?;
        record
            .map(|record| decode_cursor(&record).map(|cursor| cursor.derived_at()))
            .transpose()
            .map_err(state_error)
    }

    fn safe_claim(&self, number: u64) -> Result<Option<B256>, StateError> {
        let snapshot = self.pipeline.snapshot();
        if number > snapshot.safe().number {
            return Ok(None);
        }
        Ok(snapshot.id(number).map_err(state_error)?.map(|id| id.claim))
    }

    fn safe_tip(&self, number: u64) -> Result<Option<Tip>, StateError> {
        let snapshot = self.pipeline.snapshot();
        if number > snapshot.safe().number {
            return Ok(None);
        }
        let block = snapshot.block(number).map_err(state_error)?;
        Ok(block.map(|block| Tip::of(&block.plan.claim)))
    }
}

fn state_error(error: ExecutionError) -> StateError {
    StateError(error.to_string())
}

impl Node {
    /// Derives from the DA block after the cursor. `final_height` is the newest final DA height.
    pub async fn derive(&self, block: DaBlock, final_height: u64) -> Result<Applied, NodeError> {
        self.derive_prepared(self.prepare(block).await?, final_height).await
    }

    /// [`Node::derive`] of a block that was decoded before.
    pub async fn derive_prepared(
        &self,
        prepared: Prepared,
        final_height: u64,
    ) -> Result<Applied, NodeError> {
        let Prepared { block, posters, mut entry, mut dropped, txs } = prepared;
        let _writer = self.writer.lock().await;
        let _timer = self.metrics.derive.timer();
        let start = self.spec.da.start.max(1);
        let cursor = match self.cursor().filter(|cursor| cursor.da.height >= start) {
            Some(cursor) if block.parent != cursor.da.hash => {
                self.roll_back(&cursor).await?;
                return Ok(Applied::RolledBack);
            }
            Some(cursor) => cursor,
            // Also after a reorg of the first DA block: where derivation starts follows from it.
            None => self.first_cursor(&block).await?,
        };
        let in_force = cursor.posters(&self.spec, block.time_ms.max(cursor.time_ms));
        if in_force != posters {
            (entry, dropped) = decode(&self.spec, &block, &in_force);
        }
        if dropped.total() > 0 {
            self.dropped_blobs.fetch_add(dropped.total(), Ordering::Relaxed);
            debug!(height = block.da.height, ?dropped, "dropped bytes on da");
        }
        let sequencer = self.sequencer.clone();
        let verify = |context: &_, claim: &_, seal: &_| sequencer.verify(context, claim, seal);
        let derived = derive::derive(&self.spec, &cursor, &entry, self, &verify)
            .map_err(|error| ExecutionError::Broken(error.to_string()))?;
        for reason in &derived.dropped {
            warn!(height = block.da.height, %reason, "span dropped");
        }

        crash::point("derive.decoded");
        let ends: Vec<_> = derived
            .steps
            .iter()
            .filter_map(|step| Some((step.claim.number, step.claim.time_ms, step.seal.clone()?)))
            .collect();
        let reorged = self.apply(derived.steps, Arc::new(txs)).await?;
        for (number, time_ms, seal) in ends {
            let ends = |span: &&PostedSpan| span.last() == Some(number) && span.seal == seal;
            if let Some(span) = entry.spans.iter().find(ends) {
                self.compare(span, number, time_ms)?;
            }
        }
        crash::point("derive.applied");
        self.record_derivation(derived.cursor, final_height).await?;
        self.publish_heads(reorged);
        Ok(Applied::Advanced)
    }

    /// Makes derived claims the blocks of their numbers. Returns whether they replaced others.
    async fn apply(&self, steps: Vec<Step>, txs: Arc<Recovered>) -> Result<bool, NodeError> {
        let mut reorged = false;
        let snapshot = self.pipeline.snapshot();
        let mut new = steps.into_iter();
        let mut group = Vec::new();
        // A block has one parent: from the first that is not ours on, none is.
        for step in new.by_ref() {
            let number = step.claim.number;
            if snapshot.id(number)?.is_some_and(|id| id.claim == step.hash) {
                continue;
            }
            if snapshot.latest().number >= number {
                self.leave(number - 1, "the da layer has another block").await?;
                reorged = true;
            }
            group.push(step);
            break;
        }
        drop(snapshot);
        let mut candidates = group.first().map_or(0, |step: &Step| step.body.candidates.len());
        for step in new {
            candidates += step.body.candidates.len();
            if group.len() == GROUP_BLOCKS || candidates > GROUP_CANDIDATES {
                self.adopt(std::mem::take(&mut group), txs.clone()).await?;
                candidates = step.body.candidates.len();
            }
            group.push(step);
        }
        self.adopt(group, txs).await?;
        Ok(reorged)
    }

    /// Executes and commits claims, the first of which is a child of the newest block, all with
    /// one fdatasync.
    async fn adopt(&self, steps: Vec<Step>, txs: Arc<Recovered>) -> Result<(), NodeError> {
        if steps.is_empty() {
            return Ok(());
        }
        let pool = self.pool.clone();
        let blocks = self
            .blocking(move |pipeline| {
                let known = |hash| txs.get(&hash).cloned().or_else(|| pool.get(hash));
                let plan = |step: Step| {
                    let Step { claim, body, forced, seal, .. } = step;
                    (BlockPlan::new(claim, body, forced, &known), seal)
                };
                pipeline.adopt(steps.into_iter().map(plan).collect())
            })
            .await?;
        blocks.into_iter().for_each(|block| self.committed(block));
        Ok(())
    }

    /// Unwinds to a block. A sequencer first writes down which claims of its own it leaves;
    /// dropped transactions go back to the pool, first in line.
    pub(super) async fn leave(&self, to: u64, why: &'static str) -> Result<(), NodeError> {
        // In any role: a sequencer's datadir may run as a full node for a while.
        if self.last_signed.lock().is_some() {
            self.abandon(to)?;
        }
        crash::point("unwind.before");
        let dropped = self.blocking(move |pipeline| pipeline.unwind(to)).await?;
        crash::point("unwind.visible");
        info!(to, blocks = dropped.len(), why, "blocks dropped");
        let txs: Vec<_> = dropped
            .iter()
            .flat_map(|block| block.txs.iter().filter(|tx| !tx.is_deposit()).cloned())
            .collect();
        // Of all accounts: a block changes others than its senders.
        let mut accounts = self.pool.accounts();
        accounts.extend(txs.iter().map(|tx| tx.sender));
        let accepts = matches!(self.submit, Submit::Here);
        let (txs, facts) = self
            .blocking(move |pipeline| {
                // Who sends one of them again is told that it is known: then it is kept.
                if accepts {
                    pipeline.accept(&txs)?;
                }
                let facts = facts_of(pipeline, accounts)?;
                Ok((txs, facts))
            })
            .await?;
        self.pool.reinsert(txs, &facts);
        for block in dropped.into_iter().rev() {
            if self.blocks.send(BlockEvent { block, removed: true }).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Writes down where derivation stands, with the safe and final heads that follow from it.
    async fn record_derivation(&self, cursor: Cursor, final_height: u64) -> Result<(), NodeError> {
        let finalized = self.final_number(&cursor, final_height)?;
        let (height, safe) = (cursor.da.height, cursor.safe.number);
        let record = Bytes::from(alloy_rlp::encode(&cursor));
        self.blocking(move |pipeline| pipeline.derived(height, record, safe, finalized)).await?;
        *self.cursor.write() = Some(Arc::new(cursor));
        Ok(())
    }

    /// Where derivation starts, once the first DA block of the chain is seen.
    async fn first_cursor(&self, block: &DaBlock) -> Result<Arc<Cursor>, NodeError> {
        let first = DaEntry {
            da: block.da,
            parent: block.parent,
            time_ms: block.time_ms,
            spans: Vec::new(),
            forced: Vec::new(),
            keys: Vec::new(),
        };
        let cursor = Cursor::start(&self.spec, &genesis_claim(&self.pipeline)?, &first);
        self.record_derivation(cursor.clone(), 0).await?;
        Ok(Arc::new(cursor))
    }

    /// Newest block that is final once DA is final up to a height.
    fn final_number(&self, cursor: &Cursor, final_height: u64) -> Result<u64, NodeError> {
        let snapshot = self.pipeline.snapshot();
        let before = snapshot.finalized().number;
        if final_height >= cursor.da.height {
            return Ok(cursor.safe.number.max(before));
        }
        let record = snapshot.derived(final_height)?;
        let number = record.map(|record| decode_cursor(&record)).transpose()?;
        Ok(number.map_or(before, |cursor| cursor.safe.number.max(before)))
    }

    /// What the poster thinks of the last block of its span: alarms, never believed.
    fn compare(&self, span: &PostedSpan, number: u64, time_ms: u64) -> Result<(), NodeError> {
        let rules = tag(self.spec.rules_hash(time_ms));
        if span.rules != rules {
            error!(number, ours = %rules, theirs = %span.rules, "the poster follows other rules");
        }
        let id = self.pipeline.snapshot().id(number)?;
        if let Some(id) = id.filter(|id| tag(id.hash) != span.last_header) {
            error!(
                number, ours = %id.hash, theirs = %span.last_header,
                "divergence: the poster computed another block from the same inputs; \
                 one of the two programs is wrong, compare versions",
            );
        }
        Ok(())
    }

    /// The layer reorganized: derivation goes back to the newest DA block both chains share, and
    /// blocks that lean on a DA block that is gone are dropped.
    async fn roll_back(&self, cursor: &Cursor) -> Result<(), NodeError> {
        let common = self.common_cursor(cursor).await?;
        let snapshot = self.pipeline.snapshot();
        if common.safe.number < snapshot.finalized().number {
            return Err(NodeError::Safety(format!(
                "the da layer reorganized below its own finality: block {} was final and DA height \
                 {} on which it stands is gone; the chain's operators must decide which DA chain counts",
                snapshot.finalized().number,
                cursor.da.height,
            )));
        }
        warn!(from = cursor.da.height, to = common.da.height, "the da layer reorganized");
        let mut number = common.safe.number;
        while let Some(block) = snapshot.block(number + 1)? {
            let claim = &block.plan.claim;
            let reference = claim.takeover.as_ref().map_or(0, |takeover| takeover.reference.height);
            let origin = claim.origin.map_or(0, |origin| origin.number);
            if claim.cut.da.height.max(reference).max(origin) > common.da.height {
                break;
            }
            number += 1;
        }
        let reorged = number < snapshot.latest().number;
        if reorged {
            self.leave(number, "a da block they lean on is gone").await?;
        }
        let (height, safe) = (common.da.height, common.safe.number);
        crash::point("underive.before");
        self.blocking(move |pipeline| pipeline.underive(height, safe)).await?;
        *self.cursor.write() = Some(Arc::new(common));
        self.publish_heads(reorged);
        Ok(())
    }

    /// The newest recorded cursor whose DA block is still on the layer.
    async fn common_cursor(&self, cursor: &Cursor) -> Result<Cursor, NodeError> {
        let mut height = cursor.da.height;
        while height > 0 {
            height -= 1;
            let Some(record) = self.pipeline.snapshot().derived(height)? else { break };
            let earlier = decode_cursor(&record)?;
            // The record below the first height is where derivation started: nothing to compare.
            let start = height + 1 == self.spec.da.start.max(1);
            if start || self.da.read(height).await?.da == earlier.da {
                return Ok(earlier);
            }
        }
        Err(ExecutionError::Damaged("the record of the first DA block is missing".into()).into())
    }
}
