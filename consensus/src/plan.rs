//! The sequencer's side of a block: from parent, lane and mempool to a plan the rules accept.

use std::sync::Arc;

use causeway_chainspec::plan::Candidate;
use causeway_chainspec::{
    Anchor, BlockBody, BlockPlan, ChainSpec, Claim, ForcedCut, Inbound, Origin, Takeover, Tx,
};

use crate::ChainError;
use crate::derive::Cursor;
use crate::rules::Tip;

#[cfg(test)]
mod tests;

/// Why no block can be planned on a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The parent took forced entries of a DA chain this node does not stand on (any more): it
    /// will not become safe. Build on the safe head instead, with a takeover.
    #[error("the parent's place {0} in the forced lane is not on this node's DA chain")]
    LaneGone(u64),
}

/// What a sequencer has for a block beside the forced lane.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    /// The justification of a new term, if one begins.
    pub takeover: Option<Takeover>,
    /// A block of the parent chain, if there is one that is not below the parent block's.
    pub origin: Option<Origin>,
    /// What other members say, and what that brings: by ascending domain.
    pub remotes: Vec<(Anchor, Inbound)>,
    /// Transactions, best first.
    pub candidates: Vec<Arc<Tx>>,
}

/// Drafts the plan of a block on `parent`: all forced entries that are due, then as many of the
/// offer's remotes as fit beside them, then as many of its candidates, each in order. `time_ms` is
/// raised to parent + 1 ms if it is not above. `cursor` is the deriver's newest; the parent is its
/// safe head or a block above it.
///
/// The draft passes the rules at any DA block that carries it in time, on one condition that only
/// the caller can see to: no DA block with a time up to `time_ms - forced_delay` and a forced
/// entry is missing from `cursor` (see [`lane_is_known`]). The cut names the DA block of the last
/// entry taken, and stays the parent's otherwise: the older it is, the fewer DA reorgs undo it.
pub fn plan(
    spec: &ChainSpec,
    parent: &Tip,
    cursor: &Cursor,
    time_ms: u64,
    offer: Offer,
) -> Result<BlockPlan, PlanError> {
    let Offer { takeover, origin, mut remotes, candidates } = offer;
    let time_ms = time_ms.max(parent.time_ms.saturating_add(1));
    let from = parent.cut.lane;
    let run = cursor.lane.run(spec, from, time_ms).ok_or(PlanError::LaneGone(from.count))?;
    let cut_da = match run.entries.last() {
        // Derived blocks cut at their own DA block, which may be above the entry's.
        Some(last) if last.da.height > parent.cut.da.height => last.da,
        _ => parent.cut.da,
    };
    let mut bytes_left = spec.gas.limit_bytes.saturating_sub(run.bytes);
    // Whole remotes only: an anchor stands with everything it covers. The rest comes later.
    let fitting = remotes
        .iter()
        .map_while(|(_, inbound)| {
            bytes_left = bytes_left.checked_sub(inbound.size() as u64)?;
            Some(())
        })
        .count();
    remotes.truncate(fitting);
    let (anchors, inbound) = remotes.into_iter().unzip();
    let count_left = spec.gas.limit_candidates.saturating_sub(run.entries.len() as u64);
    let mut taken: Vec<Arc<Tx>> = Vec::with_capacity(candidates.len());
    for tx in candidates {
        if taken.len() as u64 == count_left || tx.raw.len() as u64 > bytes_left {
            break;
        }
        bytes_left -= tx.raw.len() as u64;
        taken.push(tx);
    }
    let body = BlockBody { inbound, candidates: taken.iter().map(|tx| tx.raw.clone()).collect() };
    let claim = Claim {
        identity: spec.identity(),
        number: parent.number + 1,
        term: takeover.as_ref().map_or(parent.term, |takeover| takeover.reference.height),
        parent: parent.claim,
        time_ms,
        origin: origin.or(parent.origin),
        cut: ForcedCut { da: cut_da, lane: run.position },
        anchors,
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        takeover,
    };
    let forced = run.entries.iter().map(|entry| Candidate::forced(&entry.bytes));
    let candidates = forced.chain(taken.into_iter().map(Candidate::Tx)).collect();
    Ok(BlockPlan { claim, body, forced: run.entries, candidates })
}

/// Whether a block of `time_ms` can be sure of the forced entries it must take: no DA block that
/// `cursor` has not read can hold one. False means that the node reads DA later than the forced
/// delay; if DA goes on meanwhile (it is this node that lags), a block built now may be put out
/// by a forced entry it does not know. If DA itself stands still, building is safe.
pub fn lane_is_known(spec: &ChainSpec, cursor: &Cursor, time_ms: u64) -> bool {
    time_ms.saturating_sub(spec.sequencer.forced_delay_ms) < cursor.time_ms
}

/// Whether the sequencer may build at `time_ms`: not while its oldest own block that DA does not have
/// (`oldest_unsafe_ms`, its time) is nearer than half a window to the floor. With none it may. A parent
/// chain goes on when this node does not see it, and its floor with it.
pub fn may_build(
    spec: &ChainSpec,
    cursor: &Cursor,
    oldest_unsafe_ms: Option<u64>,
    time_ms: u64,
) -> Result<(), ChainError> {
    let half = spec.sequencer.window_ms / 2;
    let Some(oldest) = oldest_unsafe_ms else { return Ok(()) };
    let unseen = match spec.da.is_parent_chain() {
        true => time_ms.saturating_sub(spec.sequencer.window_ms),
        false => 0,
    };
    let left = oldest.saturating_sub(cursor.floor_ms.max(unseen));
    if left >= half {
        return Ok(());
    }
    Err(ChainError::Paused(format!(
        "the oldest block that DA does not have expires in {left} ms of DA time, and at {half} ms \
         no more are built; check that the poster reaches the DA layer and can pay, building \
         resumes by itself once DA has the blocks"
    )))
}
