//! The unsafe head: sealed blocks as the sequencer's feed carries them. A hint that DA replaces.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use causeway_chainspec::{
    Block, BlockBody, BlockPlan, Claim, ForcedEntry, Seal, SealContext, crash,
};
use causeway_consensus::rules::{DaPoint, RuleError, Rules, Tip};
use causeway_execution::ExecutionError;

use super::{Node, NodeError};

/// One block of the feed.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct FeedBlock {
    /// Claim.
    pub claim: Claim,
    /// What it commits to.
    pub body: BlockBody,
    /// The sequencer's seal.
    pub seal: Seal,
    /// Header hash the sequencer computed: an alarm.
    pub hash: B256,
}

/// Why a claim was not adopted.
#[derive(Debug)]
pub(super) enum Judgement {
    /// Breaks a rule for ever.
    Invalid(String),
    /// An input is not seen here yet.
    Wait(String),
    /// Our own failure.
    Fatal(ExecutionError),
}

impl From<ExecutionError> for Judgement {
    fn from(error: ExecutionError) -> Self {
        Self::Fatal(error)
    }
}

/// What became of a block of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fed {
    /// It is the newest block now.
    Adopted,
    /// We have it, or another at its place that stays.
    Known,
    /// It does not connect, or an input of it is not on our DA yet: ask again after derivation.
    Later(String),
    /// Breaks a rule, or its seal is not by the sequencer.
    Refused(String),
}

impl Node {
    /// Takes a block of the feed. Above the safe head a node keeps blocks that connect, in the
    /// highest justified term; inside a term the first seen stays.
    pub async fn feed(&self, fed: FeedBlock) -> Result<Fed, NodeError> {
        let _writer = self.writer.lock().await;
        if let Some(reason) = self.halted() {
            return Ok(Fed::Later(format!("halted: {reason}")));
        }
        let snapshot = self.pipeline.snapshot();
        let hash = fed.claim.hash();
        if snapshot.number_of_claim(hash)?.is_some() {
            return Ok(Fed::Known);
        }
        let context = SealContext {
            identity: self.spec.identity(),
            keys: match self.cursor() {
                Some(cursor) => cursor.sequencers(&self.spec, cursor.time_ms),
                None => self.spec.sequencer.keys_at(0).to_vec(),
            },
        };
        if let Err(error) = self.sequencer.verify(&context, &fed.claim, &fed.seal) {
            return Ok(Fed::Refused(error.to_string()));
        }
        let Some(parent) = snapshot.number_of_claim(fed.claim.parent)? else {
            return Ok(Fed::Later(format!("parent {} is not here", fed.claim.parent)));
        };
        let latest = snapshot.latest().number;
        if parent < snapshot.safe().number {
            return Ok(Fed::Known);
        }
        if parent < latest {
            let ours = snapshot.block(parent + 1)?;
            if ours.is_some_and(|ours| ours.plan.claim.term >= fed.claim.term) {
                return Ok(Fed::Known);
            }
        }
        let Some(parent_block) = snapshot.block(parent)? else {
            return Ok(Fed::Later(format!("block {parent} is pruned")));
        };
        let block = match self.judge(&parent_block, fed.claim, fed.body).await {
            Ok(block) => block,
            Err(Judgement::Invalid(reason)) => return Ok(Fed::Refused(reason)),
            Err(Judgement::Wait(reason)) => return Ok(Fed::Later(reason)),
            Err(Judgement::Fatal(error)) => return Err(error.into()),
        };
        if block.hash != fed.hash {
            return Ok(Fed::Refused(format!(
                "divergence at block {}: the feed says {}, executing its claim gives {}",
                block.header.number, fed.hash, block.hash,
            )));
        }
        if parent < latest {
            self.leave(parent, "the feed is in a higher term").await?;
        }
        let (claim, seal) = (block.claim_hash, fed.seal);
        self.blocking(move |pipeline| pipeline.commit(claim, Some(seal), None)).await?;
        crash::point("feed.adopted");
        self.committed(block);
        self.publish_heads(parent < latest);
        Ok(Fed::Adopted)
    }

    /// Checks a claim by the header rules against what we know of DA, and executes it.
    pub(super) async fn judge(
        &self,
        parent: &Arc<Block>,
        claim: Claim,
        body: BlockBody,
    ) -> Result<Arc<Block>, Judgement> {
        let forced = self.forced_of(parent, &claim, &body)?;
        let pool = self.pool.clone();
        let block = self
            .blocking(move |pipeline| {
                pipeline.execute(BlockPlan::new(claim, body, forced, &|hash| pool.get(hash)))
            })
            .await?;
        Ok(block)
    }

    /// The forced entries a valid claim takes, by the newest of DA this node has read.
    fn forced_of(
        &self,
        parent: &Block,
        claim: &Claim,
        body: &BlockBody,
    ) -> Result<Vec<ForcedEntry>, Judgement> {
        let Some(cursor) = self.cursor() else {
            return Err(Judgement::Wait("this node has not seen the da layer yet".into()));
        };
        let leans_on = claim.origin.map_or(0, |origin| origin.number).max(claim.cut.da.height);
        if leans_on > cursor.da.height {
            return Err(Judgement::Wait(format!(
                "it has read the da layer up to {leans_on}, this node up to {}",
                cursor.da.height
            )));
        }
        let at = DaPoint {
            da: cursor.da,
            time_ms: cursor.time_ms.max(self.clock.now_ms()),
            floor_ms: cursor.floor_ms,
        };
        let identity = self.spec.identity();
        let rules = Rules { spec: &self.spec, identity, at, history: self };
        match rules.check(&Tip::of(&parent.plan.claim), &cursor.lane, claim, body) {
            Ok(run) => Ok(run.entries),
            Err(RuleError::Claim(error)) if error.is_temporary() => {
                Err(Judgement::Wait(error.to_string()))
            }
            Err(RuleError::Claim(error)) => Err(Judgement::Invalid(error.to_string())),
            Err(RuleError::History(error)) => Err(Judgement::Fatal(error.into())),
        }
    }

    /// The block of a number as the feed carries it; `None` if it has no seal or is not there.
    pub fn feed_block(&self, number: u64) -> Result<Option<Bytes>, ExecutionError> {
        let snapshot = self.pipeline.snapshot();
        let (Some(block), Some(seal)) = (snapshot.block(number)?, snapshot.seal(number)?) else {
            return Ok(None);
        };
        let fed = FeedBlock {
            claim: block.plan.claim.clone(),
            body: block.plan.body.clone(),
            seal,
            hash: block.hash,
        };
        Ok(Some(alloy_rlp::encode(&fed).into()))
    }
}
