//! The node as its sequencer sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{B256, Bytes};
use async_trait::async_trait;
use causeway_chainspec::{Block, BlockPlan, Claim, Heads, Origin, Seal, SealTuple, crash};
use causeway_consensus::derive::Cursor;
use causeway_consensus::plan::{Offer, lane_is_known, may_build, plan};
use causeway_consensus::rules::{History, Tip};
use causeway_consensus::{BuildRequest, Chain, ChainError, DurableLog, Proposal, Verdict};
use causeway_execution::{ExecutionError, Stop};
use tokio::sync::watch;
use tracing::{error, warn};

use super::submit::facts_of;
use super::{Node, RECORD_VOTE, Waking, seal_tuple};
use crate::rpc::backend::BlockEvent;

/// DA blocks derivation may be behind for a moment without building being paused.
const MOST_BEHIND: u64 = 8;

/// How many blocks of the parent chain are above the one that a new block names as its origin: a
/// shorter reorg does not undo it.
const ORIGIN_DEPTH: u64 = 4;

pub(super) fn chain_error(error: ExecutionError) -> ChainError {
    match error {
        ExecutionError::Unknown(_) => ChainError::UnknownParent(B256::ZERO),
        other => ChainError::Fatal(other.to_string()),
    }
}

#[async_trait]
impl Chain for Node {
    async fn build(&self, request: BuildRequest) -> Result<Arc<Block>, ChainError> {
        let _writer = self.writer.lock().await;
        let parent = self.executed(request.parent)?;
        let draft = self.draft(&parent, request.time_ms)?;
        crash::point("build.planned");

        let flag = Arc::new(AtomicBool::new(false));
        let stop = Stop::on(flag.clone());
        let clock = self.clock.clone();
        let until = clock.now_ms().saturating_add(request.budget_ms);
        let timer = tokio::spawn(async move {
            clock.sleep_until(until).await;
            flag.store(true, Ordering::Relaxed);
        });
        let built = self.blocking(move |pipeline| pipeline.build(draft, &stop)).await;
        timer.abort();

        let built = built.map_err(chain_error)?;
        for hash in &built.quarantined {
            error!(tx = %hash, "transaction quarantined: two executions of it disagree");
            self.pool.quarantine(*hash);
        }
        *self.skipped.lock() = Some((built.block.claim_hash, built.skipped));
        Ok(built.block)
    }

    async fn verify(&self, parent: B256, proposal: &Proposal) -> Verdict {
        let _writer = self.writer.lock().await;
        let Ok(parent) = self.executed(parent) else {
            return Verdict::Withhold(format!("parent {parent} is not known here"));
        };
        match self.judge(&parent, proposal.claim.clone(), proposal.body.clone()).await {
            Ok(block) => match self.withheld(&block.plan.claim) {
                None => Verdict::Valid(block),
                Some(reason) => Verdict::Withhold(reason),
            },
            Err(super::feed::Judgement::Invalid(reason)) => Verdict::Invalid(reason),
            Err(super::feed::Judgement::Wait(reason)) => Verdict::Withhold(reason),
            Err(super::feed::Judgement::Fatal(error)) => Verdict::Withhold(error.to_string()),
        }
    }

    async fn commit(&self, claim: B256, seal: Seal) -> Result<(), ChainError> {
        let _writer = self.writer.lock().await;
        if self.pipeline.snapshot().number_of_claim(claim).map_err(chain_error)?.is_some() {
            return Ok(());
        }
        let block = self.executed(claim)?;
        if let Some(reason) = self.withheld(&block.plan.claim) {
            return Err(ChainError::Paused(reason));
        }
        let tuple = seal_tuple(&self.spec, &block.plan.claim, claim, seal.view);
        self.blocking(move |pipeline| pipeline.commit(claim, Some(seal), Some(tuple)))
            .await
            .map_err(chain_error)?;
        *self.last_signed.lock() = Some(tuple);
        // Not before: a block that is never committed proves nothing of what it left out.
        if let Some((_, skipped)) = self.skipped.lock().take_if(|(built, _)| *built == claim) {
            self.pool.skipped(&skipped);
        }
        self.committed(block);
        self.publish_heads(false);
        self.count_waiting(Waking::Block);
        Ok(())
    }

    fn heads(&self) -> watch::Receiver<Heads> {
        self.heads()
    }

    fn last_signed(&self) -> Option<SealTuple> {
        *self.last_signed.lock()
    }

    fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting_for_blocks()
    }

    fn log(&self) -> &dyn DurableLog {
        self
    }
}

impl DurableLog for Node {
    fn append(&self, record: Bytes) -> Result<(), ChainError> {
        let mut bytes = vec![RECORD_VOTE];
        bytes.extend_from_slice(&record);
        self.pipeline.append_vote(bytes.into()).map_err(chain_error)
    }

    fn sync(&self) -> Result<(), ChainError> {
        self.pipeline.sync().map_err(chain_error)
    }

    fn replay(&self) -> Result<Vec<Bytes>, ChainError> {
        Ok(self.votes.clone())
    }
}

impl Node {
    /// An executed block by claim hash, committed or not.
    pub(super) fn executed(&self, claim: B256) -> Result<Arc<Block>, ChainError> {
        self.pipeline.block(claim).map_err(chain_error)?.ok_or(ChainError::UnknownParent(claim))
    }

    /// The plan of the next block, or why there is none now.
    fn draft(&self, parent: &Arc<Block>, time_ms: u64) -> Result<BlockPlan, ChainError> {
        if let Some(reason) = self.halted() {
            return Err(ChainError::Paused(format!("halted: {reason}")));
        }
        let cursor = self.caught_up(time_ms)?;
        let snapshot = self.pipeline.snapshot();
        let oldest = snapshot.block(snapshot.safe().number + 1).map_err(chain_error)?;
        may_build(&self.spec, &cursor, oldest.map(|block| block.plan.claim.time_ms), time_ms)?;

        let tip = Tip::of(&parent.plan.claim);
        let time_ms = time_ms.max(tip.time_ms + 1);
        let env = self
            .pipeline
            .env(tip.claim, tip.number + 1, time_ms, B256::ZERO)
            .map_err(chain_error)?;
        let candidates = self.pool.best(
            env.base_fee,
            // Most transactions use less than they ask for.
            env.gas_available.saturating_mul(2),
            env.bytes_available,
            usize::try_from(self.spec.gas.limit_candidates).unwrap_or(usize::MAX),
        );
        let takeover = self.takeover(&tip, &cursor)?;
        let origin = self.origin(&tip, &cursor, time_ms)?;
        let remotes = self.anchors(parent, time_ms)?;
        let offer = Offer { takeover, origin, remotes, candidates };
        plan(&self.spec, &tip, &cursor, time_ms, offer)
            .map_err(|error| ChainError::Paused(error.to_string()))
    }

    /// A block of the parent chain that is deep enough to stay, and in the past of a block of
    /// `time_ms`; `None` if there is none above the parent's.
    fn origin(
        &self,
        tip: &Tip,
        cursor: &Cursor,
        time_ms: u64,
    ) -> Result<Option<Origin>, ChainError> {
        let number = cursor.da.height.saturating_sub(ORIGIN_DEPTH);
        let before = tip.origin.map_or(0, |origin| origin.number);
        if !self.spec.da.is_parent_chain() || number <= before {
            return Ok(None);
        }
        let record = self.derived_at(number).map_err(|error| ChainError::Fatal(error.0))?;
        let origin = record.filter(|record| record.time_ms <= time_ms);
        Ok(origin.map(|record| Origin { number, hash: record.hash }))
    }

    /// Why a block must not be sealed: an anchor of it is not known to be true.
    fn withheld(&self, claim: &Claim) -> Option<String> {
        let truth = self.remotes.truths(&claim.anchors);
        let reason = truth.reason()?;
        Some(format!(
            "block {} says of another member what is not verified: {reason}",
            claim.number
        ))
    }

    /// Where derivation stands, if it has reached the end of the DA layer and kept up since: on an
    /// older view a block might stand on a replaced head, or lack a forced entry that is due.
    fn caught_up(&self, time_ms: u64) -> Result<Arc<Cursor>, ChainError> {
        let (Some(cursor), Some(head)) = (self.cursor(), *self.da_head.lock()) else {
            return Err(ChainError::Paused("the da layer has not answered yet".into()));
        };
        let behind = head.height.saturating_sub(cursor.da.height);
        match behind {
            0 => self.caught_up.store(true, Ordering::Relaxed),
            1..=MOST_BEHIND => {}
            _ => self.caught_up.store(false, Ordering::Relaxed),
        }
        let known = behind == 0 || lane_is_known(&self.spec, &cursor, time_ms);
        if !known || !self.caught_up.load(Ordering::Relaxed) {
            return Err(ChainError::Paused(format!("derivation is {behind} DA blocks behind")));
        }
        Ok(cursor)
    }

    /// After a block is durable: the pool forgets what is in it, subscribers hear of it.
    pub(super) fn committed(&self, block: Arc<Block>) {
        self.metrics.committed(&block);
        self.settle(&block);
        if self.blocks.send(BlockEvent { block, removed: false }).is_err() {
            // Nobody listens: nothing to do.
        }
    }

    /// Tells the pool what a block changed for the senders in it, and for those who wait for funds
    /// or a nonce: a block may bring either without a transaction of theirs.
    pub(super) fn settle(&self, block: &Block) {
        let hashes: Vec<_> = block.txs.iter().map(|tx| tx.hash).collect();
        let mut senders = self.pool.accounts_waiting();
        senders.extend(block.txs.iter().map(|tx| tx.sender));
        match facts_of(&self.pipeline, senders) {
            Ok(facts) => self.pool.on_block(&hashes, &facts),
            Err(error) => warn!(%error, "the pool could not be told of a block"),
        }
    }
}
