//! Building: a draft run, its trimmed plan, and a second run from clean state before anybody may sign it.

use std::time::Instant;

use alloy_primitives::B256;
use causeway_chainspec::plan::Candidate;
use causeway_chainspec::{BlockPlan, SkipReason, crash};

use super::execute::{Parent, Rules, Run, candidates_root, hash_of};
use crate::overlay::Layer;
use crate::{ExecutionError, Stop};

/// How many transactions a build quarantines before it gives up on all candidates.
const MAX_QUARANTINED: usize = 8;

/// A built block, and what was left out of it.
pub(super) struct Draft {
    pub(super) layer: Layer,
    pub(super) skipped: Vec<(B256, SkipReason)>,
    pub(super) quarantined: Vec<B256>,
}

impl Rules {
    /// See [`super::Pipeline::build`].
    pub(super) fn build(
        &self,
        parent: &Parent,
        mut draft: BlockPlan,
        stop: &Stop,
    ) -> Result<Draft, ExecutionError> {
        let mut quarantined = Vec::new();
        let mut skipped = Vec::new();
        loop {
            let start = Instant::now();
            let mut run =
                self.metrics.execute_draft.time(|| self.run(&parent.ground(), &draft, stop))?;
            let drafted = start.elapsed();
            crash::point("build.drafted");
            let plan = trimmed(&draft, &run);
            // Forced entries keep their place in the plan; skipped candidates lose it.
            let (kept, gone) =
                run.skipped.into_iter().partition(|(at, _)| *at < draft.forced.len());
            run.skipped = kept;
            let gone: Vec<(usize, SkipReason)> = gone;
            skipped.extend(gone.into_iter().map(|(at, why)| (hash_of(&draft, at), why)));
            let (clean, layer) = self.both(parent, plan, run)?;
            crash::point("build.repeated");
            let block = &layer.executed.block;
            let Some(suspect) = disagreement(&layer, &clean) else {
                tracing::debug!(
                    number = block.header.number,
                    txs = block.txs.len(),
                    gas = block.header.gas_used,
                    draft_us = drafted.as_micros() as u64,
                    rerun_and_hash_us = (start.elapsed() - drafted).as_micros() as u64,
                    "built"
                );
                skipped.sort_by_key(|(hash, _)| *hash);
                skipped.dedup_by_key(|(hash, _)| *hash);
                return Ok(Draft { layer, skipped, quarantined });
            };
            let number = block.header.number;
            let candidates = &block.plan.body.candidates;
            if candidates.is_empty() {
                return Err(ExecutionError::Broken(format!(
                    "block {number} without candidates comes out differently from clean state"
                )));
            }
            let suspects = match suspect {
                Suspect::Tx(hash) if quarantined.len() < MAX_QUARANTINED => vec![hash],
                _ => candidates.iter().map(alloy_primitives::keccak256).collect(),
            };
            tracing::error!(number, ?suspects, "block dropped: clean re-execution disagrees");
            remove(&mut draft, &suspects);
            quarantined.extend(suspects);
        }
    }

    /// The clean run of `plan`, beside hashing what the draft run of it gave: one root a block.
    fn both(
        &self,
        parent: &Parent,
        plan: BlockPlan,
        draft: Run,
    ) -> Result<(Run, Layer), ExecutionError> {
        let final_plan = plan.clone();
        let (clean, layer) = rayon::join(
            || {
                self.metrics
                    .execute_clean
                    .time(|| self.run(&parent.ground(), &plan, &Stop::never()))
            },
            || self.seal(parent, final_plan, draft),
        );
        Ok((clean?, layer?))
    }
}

/// The draft's plan with only those candidates that were included (and all forced entries).
fn trimmed(draft: &BlockPlan, run: &Run) -> BlockPlan {
    let forced = draft.forced.len();
    let mut plan = BlockPlan {
        claim: draft.claim.clone(),
        body: draft.body.clone(),
        forced: draft.forced.clone(),
        candidates: draft.candidates[..forced].to_vec(),
    };
    plan.body.candidates.clear();
    for at in run.included.iter().filter(|at| **at >= forced) {
        plan.candidates.push(draft.candidates[*at].clone());
        plan.body.candidates.push(draft.body.candidates[*at - forced].clone());
    }
    plan.claim.inbound_root = plan.body.inbound_root();
    plan.claim.candidates_root = candidates_root(&plan);
    plan
}

/// Who is to blame for a difference between two runs.
enum Suspect {
    Tx(B256),
    Nobody,
}

fn disagreement(draft: &Layer, clean: &Run) -> Option<Suspect> {
    let block = &draft.executed.block;
    let forced: Vec<B256> = block.plan.candidates[..block.plan.forced.len()]
        .iter()
        .filter_map(|candidate| match candidate {
            Candidate::Tx(tx) => Some(tx.hash),
            Candidate::Invalid(..) => None,
        })
        .collect();
    let pairs = block.txs.iter().zip(&block.receipts);
    let others = clean.txs.iter().zip(&clean.receipts);
    let parted = pairs.zip(others).find(|(draft, clean)| draft != clean);
    if let Some(((tx, _), _)) = parted {
        let blamable = !tx.is_deposit() && !forced.contains(&tx.hash);
        return Some(if blamable { Suspect::Tx(tx.hash) } else { Suspect::Nobody });
    }
    let equal = block.txs.len() == clean.txs.len() && clean.agrees(&draft.executed);
    (!equal).then_some(Suspect::Nobody)
}

fn remove(draft: &mut BlockPlan, hashes: &[B256]) {
    let forced = draft.forced.len();
    let keep = |candidate: &Candidate| match candidate {
        Candidate::Tx(tx) => !hashes.contains(&tx.hash),
        Candidate::Invalid(hash, _) => !hashes.contains(hash),
    };
    let kept: Vec<bool> = draft.candidates[forced..].iter().map(keep).collect();
    let mut at = kept.iter();
    draft.body.candidates.retain(|_| *at.next().expect("one a candidate"));
    let mut at = std::iter::repeat_n(&true, forced).chain(&kept);
    draft.candidates.retain(|_| *at.next().expect("one a candidate"));
}
