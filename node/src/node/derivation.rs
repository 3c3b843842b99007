//! The node as its DA layer sees it: each DA block moves the safe head, and what DA says wins.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use alloy_primitives::{B256, Bytes};
use causeway_chainspec::{
    BlockBody, BlockPlan, Claim, DaEntry, ForcedEntry, Seal, StateError, crash,
};
use causeway_consensus::derive::{self, Cursor, Step};
use causeway_consensus::rules::{DerivedAt, History};
use causeway_da::{DaBlock, codec};
use causeway_execution::ExecutionError;
use tracing::{debug, error, info, warn};

use super::submit::{Submit, facts_of};
use super::{Node, NodeError, decode_cursor, genesis_claim};
use crate::rpc::backend::BlockEvent;

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
}

fn state_error(error: ExecutionError) -> StateError {
    StateError(error.to_string())
}

impl Node {
    /// Derives from the DA block after the cursor. `final_height` is the newest final DA height.
    pub async fn derive(&self, block: DaBlock, final_height: u64) -> Result<Applied, NodeError> {
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
        let posters = self.spec.sequencer.posters_at(block.time_ms.max(cursor.time_ms));
        let context = codec::ReadContext { identity: self.spec.identity(), posters };
        let (entry, dropped) = codec::decode(&block, &context);
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
        let mut reorged = false;
        for step in derived.steps {
            reorged |= self.apply(step).await?;
        }
        for span in &entry.spans {
            self.compare_header(span)?;
        }
        crash::point("derive.applied");
        self.record_derivation(derived.cursor, final_height).await?;
        self.publish_heads(reorged);
        Ok(Applied::Advanced)
    }

    /// Makes one derived claim the block of its number. Returns whether it replaced another.
    async fn apply(&self, step: Step) -> Result<bool, NodeError> {
        let Step { claim, hash, body, forced, seal, .. } = step;
        let snapshot = self.pipeline.snapshot();
        if snapshot.id(claim.number)?.is_some_and(|id| id.claim == hash) {
            return Ok(false);
        }
        let replaces = snapshot.latest().number >= claim.number;
        if replaces {
            self.leave(claim.number - 1, "the da layer has another block").await?;
        }
        self.adopt(claim, body, forced, seal).await?;
        Ok(replaces)
    }

    /// Executes and commits a claim whose parent is the newest block.
    pub(super) async fn adopt(
        &self,
        claim: Claim,
        body: BlockBody,
        forced: Vec<ForcedEntry>,
        seal: Option<Seal>,
    ) -> Result<(), NodeError> {
        let pool = self.pool.clone();
        let block = self
            .blocking(move |pipeline| {
                let plan = BlockPlan::new(claim, body, forced, &|hash| pool.get(hash));
                let block = pipeline.execute(plan)?;
                pipeline.commit(block.claim_hash, seal, None)?;
                Ok(block)
            })
            .await?;
        self.committed(block);
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

    /// The poster's own header hash for the last block of a span: an alarm, never believed.
    fn compare_header(&self, span: &causeway_chainspec::Span) -> Result<(), NodeError> {
        let Some(last) = span.blocks.last() else { return Ok(()) };
        let id = self.pipeline.snapshot().id(last.claim.number)?;
        if let Some(id) =
            id.filter(|id| id.claim == last.claim.hash() && id.hash != span.last_header)
        {
            error!(
                number = id.number, ours = %id.hash, theirs = %span.last_header,
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
            if claim.cut.da.height.max(reference) > common.da.height {
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
