//! What makes a claim valid: pure rules that planning and derivation share.

mod error;
mod inbound;
mod takeover;

#[cfg(test)]
mod tests;

use alloy_primitives::B256;
use causeway_chainspec::{BlockBody, ChainSpec, Claim, DaRef, Inbound, Origin, StateError};

use crate::lane::{Lane, Run};

pub use causeway_chainspec::Tip;
pub use error::{ClaimError, RuleError};
pub use takeover::takeover_for;

/// The DA block D at which claims are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaPoint {
    /// Height and hash.
    pub da: DaRef,
    /// Its time as derivation uses it, ms.
    pub time_ms: u64,
    /// Claims below this time come too late, ms.
    pub floor_ms: u64,
}

/// What derivation recorded at the end of a DA block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DerivedAt {
    /// Hash of the DA block.
    pub hash: B256,
    /// Its time as derivation uses it, ms.
    pub time_ms: u64,
    /// Its floor, ms.
    pub floor_ms: u64,
    /// Number of the safe head at its end.
    pub safe_number: u64,
    /// Claim hash of that head.
    pub safe_claim: B256,
}

/// What the node has derived so far, on the DA chain the cursor stands on. Every node must give
/// the same answers: heights are kept from the start of the chain (without pending entries, which
/// only the newest records need), and so are claim hashes.
pub trait History {
    /// The record of a DA height, from the one below `da.start`; `None` above the cursor.
    fn derived_at(&self, height: u64) -> Result<Option<DerivedAt>, StateError>;
    /// Claim hash of the safe block with a number; `None` above the safe head.
    fn safe_claim(&self, number: u64) -> Result<Option<B256>, StateError>;
    /// The safe block with a number; `None` above the safe head.
    fn safe_tip(&self, number: u64) -> Result<Option<Tip>, StateError>;
}

/// Largest step of DA time the floor follows at once, ms: an eighth of the window.
///
/// The floor rises at most twice as fast as DA time, with every gap counted as at most this, so
/// it needs half a window of so counted time to rise from a window below a fresh block to that
/// block. One outage, however long, is counted once: at least 3/8 of a window of live DA time
/// are left to post what was built before it, and a quarter with two outages. An acknowledged
/// block expires only if nothing of it could be posted for at least that long.
pub fn max_gap_ms(window_ms: u64) -> u64 {
    window_ms / 8
}

/// Floor of a DA block, from its time and its parent's time and floor, all in ms.
/// Never falls, and never rises above time - window. Saturates at 0 for times below a window.
pub fn floor_ms(spec: &ChainSpec, time_ms: u64, parent_time_ms: u64, parent_floor_ms: u64) -> u64 {
    let window = spec.sequencer.window_ms;
    let gap = time_ms.saturating_sub(parent_time_ms).min(max_gap_ms(window));
    time_ms.saturating_sub(window).min(parent_floor_ms.saturating_add(2 * gap))
}

/// The rules at one DA block. A node that judges a claim before DA has it (a vote, the feed) uses
/// its newest derived DA block, with the later of that block's time and its clock as the time.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// The chain.
    pub spec: &'a ChainSpec,
    /// Its identity, hashed once.
    pub identity: B256,
    /// Where claims are judged.
    pub at: DaPoint,
    /// What was derived before.
    pub history: &'a dyn History,
}

impl Rules<'_> {
    /// Judges a claim on `parent` by every rule, without state. `lane` holds all entries of DA
    /// blocks up to D. Returns the forced entries it takes.
    pub fn check(
        &self,
        parent: &Tip,
        lane: &Lane,
        claim: &Claim,
        body: &BlockBody,
    ) -> Result<Run, RuleError> {
        self.link(parent, claim)?;
        self.time(parent, claim)?;
        self.term(parent, claim)?;
        self.origin(parent, claim)?;
        let run = self.cut(parent, lane, claim)?;
        self.body(claim, body, &run)?;
        Ok(run)
    }

    fn link(&self, parent: &Tip, claim: &Claim) -> Result<(), ClaimError> {
        if claim.identity != self.identity {
            return Err(ClaimError::Identity { have: claim.identity, want: self.identity });
        }
        if Some(claim.number) != parent.number.checked_add(1) {
            let want = parent.number.saturating_add(1);
            return Err(ClaimError::Number { have: claim.number, want });
        }
        if claim.parent != parent.claim {
            return Err(ClaimError::Parent { have: claim.parent, want: parent.claim });
        }
        Ok(())
    }

    fn time(&self, parent: &Tip, claim: &Claim) -> Result<(), ClaimError> {
        let have = claim.time_ms;
        if have <= parent.time_ms {
            return Err(ClaimError::Time { have, parent: parent.time_ms });
        }
        if have < self.at.floor_ms {
            return Err(ClaimError::Expired { have, floor: self.at.floor_ms });
        }
        let most = self.at.time_ms.saturating_add(self.spec.sequencer.drift_ms);
        if have > most {
            return Err(ClaimError::Future { have, most });
        }
        Ok(())
    }

    fn origin(&self, parent: &Tip, claim: &Claim) -> Result<(), RuleError> {
        let Some(origin) = claim.origin else {
            return match parent.origin {
                Some(parent) => {
                    Err(ClaimError::OriginBack { have: None, parent: parent.number }.into())
                }
                None => Ok(()),
            };
        };
        let number = origin.number;
        if !self.spec.da.is_parent_chain() {
            return Err(ClaimError::OriginUnexpected { number }.into());
        }
        if let Some(parent) = parent.origin
            && parent.number > number
        {
            let parent = parent.number;
            return Err(ClaimError::OriginBack { have: Some(number), parent }.into());
        }
        match self.time_of(origin)? {
            None => Err(ClaimError::OriginGone { number }.into()),
            Some(time) if time > claim.time_ms => {
                Err(ClaimError::OriginFuture { origin: time, time: claim.time_ms }.into())
            }
            Some(_) => Ok(()),
        }
    }

    fn cut(&self, parent: &Tip, lane: &Lane, claim: &Claim) -> Result<Run, RuleError> {
        let (cut, before) = (claim.cut.da, parent.cut.da);
        if cut.height < before.height {
            let (have, parent) = (cut.height, before.height);
            return Err(ClaimError::CutBack { have, parent }.into());
        }
        if cut.height > self.at.da.height {
            let (have, da) = (cut.height, self.at.da.height);
            return Err(ClaimError::CutAbove { have, da }.into());
        }
        // The parent's cut is on the chain because the parent is.
        let on_chain = if cut.height == before.height {
            cut.hash == before.hash
        } else {
            self.hash_at(cut.height)? == Some(cut.hash)
        };
        if !on_chain {
            return Err(ClaimError::CutGone { height: cut.height }.into());
        }
        let Some(run) = lane.run(self.spec, parent.cut.lane, claim.time_ms) else {
            return Err(ClaimError::LaneGone { count: parent.cut.lane.count }.into());
        };
        if claim.cut.lane != run.position {
            let (have, want) = (claim.cut.lane, run.position);
            return Err(ClaimError::Forced { have, want }.into());
        }
        if let Some(last) = run.entries.last()
            && last.da.height > cut.height
        {
            let (have, want) = (cut.height, last.da.height);
            return Err(ClaimError::CutBelowEntry { have, want }.into());
        }
        Ok(run)
    }

    fn body(&self, claim: &Claim, body: &BlockBody, run: &Run) -> Result<(), ClaimError> {
        let foreign = !claim.anchors.is_empty() || !body.inbound.is_empty();
        if foreign && !self.spec.metalayer.enabled {
            let (anchors, inbound) = (claim.anchors.len(), body.inbound.len());
            return Err(ClaimError::NotMember { anchors, inbound });
        }
        inbound::check(self.spec.metalayer.domain, claim, body)?;
        let have = (body.candidates.len() + run.entries.len()) as u64;
        let most = self.spec.gas.limit_candidates;
        // A run alone never counts as too much: it is what the rule asks for.
        if have > most && !body.candidates.is_empty() {
            return Err(ClaimError::Candidates { have, most });
        }
        let have = run.bytes.saturating_add(body_bytes(body));
        let most = self.spec.gas.limit_bytes;
        if have > most {
            return Err(ClaimError::Bytes { have, most });
        }
        if !body.matches(claim) {
            return Err(ClaimError::Body);
        }
        Ok(())
    }

    /// Time of an origin, ms; `None` if it is no block below D on its chain. It cannot be D or above:
    /// what D carries was made before. So nobody waits for a parent block to appear.
    fn time_of(&self, origin: Origin) -> Result<Option<u64>, StateError> {
        let record = self.history.derived_at(origin.number)?;
        Ok(record.filter(|record| record.hash == origin.hash).map(|record| record.time_ms))
    }

    /// Hash of a DA block on the chain of D, up to D itself.
    fn hash_at(&self, height: u64) -> Result<Option<B256>, StateError> {
        if height == self.at.da.height {
            return Ok(Some(self.at.da.hash));
        }
        Ok(self.history.derived_at(height)?.map(|record| record.hash))
    }
}

/// Bytes of a body that count towards a block's limit.
pub fn body_bytes(body: &BlockBody) -> u64 {
    let inbound = body.inbound.iter().map(Inbound::size);
    inbound.chain(body.candidates.iter().map(|bytes| bytes.len())).sum::<usize>() as u64
}
