//! Blocks this sequencer sealed and had to leave, and the new term that justifies going on.

use causeway_chainspec::{Claim, Takeover, crash};
use causeway_consensus::ChainError;
use causeway_consensus::derive::Cursor;
use causeway_consensus::rules::{Tip, takeover_for};
use causeway_execution::{ExecutionError, Pipeline};

use super::{Node, RECORD_ABANDONED, record};

/// Writes down durably which claims above a block are about to be left: all up to the last sealed
/// one, or all. A sequencer that goes on from there needs them to justify its new term.
pub fn note_abandoned(
    pipeline: &Pipeline,
    to: u64,
    all: bool,
) -> Result<Vec<Claim>, ExecutionError> {
    let snapshot = pipeline.snapshot();
    let (mut left, mut count) = (Vec::new(), 0);
    for number in to + 1..=snapshot.latest().number {
        let Some(block) = snapshot.block(number)? else { break };
        left.push(block.plan.claim.clone());
        if all || snapshot.seal(number)?.is_some() {
            count = left.len();
        }
    }
    left.truncate(count);
    crash::point("abandon.before");
    for claim in &left {
        pipeline.append_vote(record(RECORD_ABANDONED, claim))?;
    }
    pipeline.sync()?;
    crash::point("abandon.durable");
    Ok(left)
}

impl Node {
    /// Notes which claims above a block are about to be left. While others are left already, all:
    /// one of those may stand on them.
    pub(super) fn abandon(&self, to: u64) -> Result<(), ExecutionError> {
        let others = !self.abandoned.lock().is_empty();
        let left = note_abandoned(&self.pipeline, to, others)?;
        self.abandoned.lock().extend(left);
        Ok(())
    }

    /// The justification of a new term, if claims of the parent's term or a later one were left
    /// and are not on the chain (again): signing a block in the parent's term would contradict
    /// them.
    pub(super) fn takeover(
        &self,
        parent: &Tip,
        cursor: &Cursor,
    ) -> Result<Option<Takeover>, ChainError> {
        let gone = self.gone(parent.term).map_err(|error| ChainError::Fatal(error.to_string()))?;
        let Some(last) = gone.iter().map(|claim| claim.term).max() else { return Ok(None) };
        if cursor.safe.claim == parent.claim && cursor.da.height > last {
            // The oldest that serves: later ones hold takeovers themselves.
            for claim in &gone {
                let takeover = takeover_for(&self.spec, cursor, self, claim)
                    .map_err(|error| ChainError::Fatal(error.to_string()))?;
                if takeover.is_some() {
                    crash::point("takeover.planned");
                    return Ok(takeover);
                }
            }
        }
        Err(ChainError::Paused(format!(
            "block {} of this sequencer was left; a new term begins once the da layer has gone on \
             and every block before it is safe",
            gone[0].number
        )))
    }

    /// Claims that were left in a term or later and are not on the chain, oldest first. Forgets
    /// those that can matter no more.
    fn gone(&self, term: u64) -> Result<Vec<Claim>, ExecutionError> {
        let mut abandoned = self.abandoned.lock();
        if abandoned.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.pipeline.snapshot();
        let finalized = snapshot.finalized().number;
        let final_term = snapshot.block(finalized)?.map_or(0, |block| block.plan.claim.term);
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for claim in abandoned.drain(..) {
            let on_chain = snapshot.number_of_claim(claim.hash())?.is_some();
            if claim.term < final_term || (on_chain && claim.number <= finalized) {
                continue;
            }
            if !on_chain && claim.term >= term {
                gone.push(claim.clone());
            }
            kept.push(claim);
        }
        *abandoned = kept;
        Ok(gone)
    }
}
