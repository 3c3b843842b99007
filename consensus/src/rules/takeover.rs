//! The justification of a new term: how it is checked, and how a sequencer finds one.

use causeway_chainspec::{AbandonReason, ChainSpec, Claim, DaRef, StateError, Takeover};

use super::{ClaimError, DerivedAt, History, RuleError, Rules, Tip};
use crate::derive::Cursor;

impl Rules<'_> {
    /// The term is the parent's, or a takeover justifies a new one.
    pub(super) fn term(&self, parent: &Tip, claim: &Claim) -> Result<(), RuleError> {
        let Some(takeover) = &claim.takeover else {
            if claim.term != parent.term {
                return Err(ClaimError::Term { have: claim.term, parent: parent.term }.into());
            }
            return Ok(());
        };
        let reference = takeover.reference;
        if claim.term != reference.height {
            let (have, reference) = (claim.term, reference.height);
            return Err(ClaimError::TermReference { have, reference }.into());
        }
        if claim.term <= parent.term {
            let (have, parent) = (claim.term, parent.term);
            return Err(ClaimError::TermNotHigher { have, parent }.into());
        }
        if reference.height > self.at.da.height {
            let (have, da) = (reference.height, self.at.da.height);
            return Err(ClaimError::ReferenceAbove { have, da }.into());
        }
        // The block that carries the claim has no record yet: its end cannot be the reference.
        let record = self.history.derived_at(reference.height)?;
        let Some(record) = record.filter(|record| record.hash == reference.hash) else {
            return Err(ClaimError::ReferenceGone { height: reference.height }.into());
        };
        if (record.safe_number, record.safe_claim) != (parent.number, parent.claim) {
            return Err(ClaimError::ReferenceHead { safe: record.safe_claim }.into());
        }
        self.abandoned(parent.term, takeover, &record)
    }

    fn abandoned(
        &self,
        parent_term: u64,
        takeover: &Takeover,
        record: &DerivedAt,
    ) -> Result<(), RuleError> {
        let Takeover { abandoned, reason, reference } = takeover;
        let number = abandoned.number;
        if abandoned.identity != self.identity {
            return Err(ClaimError::AbandonedIdentity { have: abandoned.identity }.into());
        }
        if !(parent_term..reference.height).contains(&abandoned.term) {
            let (have, parent, new) = (abandoned.term, parent_term, reference.height);
            return Err(ClaimError::AbandonedTerm { have, parent, new }.into());
        }
        let below = number.checked_sub(1).filter(|below| *below <= record.safe_number);
        let parent = match below {
            Some(below) => self.history.safe_claim(below)?,
            None => None,
        };
        if parent != Some(abandoned.parent) {
            return Err(ClaimError::AbandonedParent { number }.into());
        }
        let mut replaced = false;
        if number <= record.safe_number {
            if self.history.safe_claim(number)? == Some(abandoned.hash()) {
                return Err(ClaimError::AbandonedSafe { number }.into());
            }
            replaced = true;
        }
        match reason {
            AbandonReason::Replaced if !replaced => {
                Err(ClaimError::NotReplaced { number, safe: record.safe_number }.into())
            }
            AbandonReason::InputGone if !self.input_gone(abandoned)? => {
                Err(ClaimError::InputStands { height: abandoned.cut.da.height }.into())
            }
            AbandonReason::Expired if abandoned.time_ms >= record.floor_ms => {
                let (time, floor) = (abandoned.time_ms, record.floor_ms);
                Err(ClaimError::NotExpired { time, floor }.into())
            }
            _ => Ok(()),
        }
    }

    fn input_gone(&self, abandoned: &Claim) -> Result<bool, StateError> {
        for input in inputs(self.spec, abandoned) {
            let on_chain = input.height <= self.at.da.height
                && self.hash_at(input.height)? == Some(input.hash);
            if !on_chain {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The DA blocks a claim leans on: its cut, its origin and, in a new term, the reference of its
/// takeover. Below the first DA block there is only the cut of genesis, which cannot go.
fn inputs(spec: &ChainSpec, claim: &Claim) -> impl Iterator<Item = DaRef> {
    let reference = claim.takeover.as_ref().map(|takeover| takeover.reference);
    let origin = claim.origin.map(|origin| DaRef { height: origin.number, hash: origin.hash });
    let start = spec.da.start;
    [Some(claim.cut.da), origin, reference]
        .into_iter()
        .flatten()
        .filter(move |da| da.height >= start)
}

/// The takeover that lets the sequencer go on from the safe head after derivation left its own
/// blocks: `abandoned` is the first claim it sealed that is not on the chain. Keep the oldest one
/// until the safe head has a term above its own: a later one may itself carry a takeover, and
/// claims may nest only so deep. `None` while no
/// reason holds yet: its blocks may still become safe (build on them), or the DA chain has not
/// grown past its term (ask again after the next DA block). The record of `cursor` itself must
/// be in `history`. What this returns passes the rules at any later DA block, as long as the safe
/// head stays.
pub fn takeover_for(
    spec: &ChainSpec,
    cursor: &Cursor,
    history: &dyn History,
    abandoned: &Claim,
) -> Result<Option<Takeover>, StateError> {
    let (safe, number) = (&cursor.safe, abandoned.number);
    if cursor.da.height <= abandoned.term || abandoned.term < safe.term || number == 0 {
        return Ok(None);
    }
    if number > safe.number + 1 || history.safe_claim(number - 1)? != Some(abandoned.parent) {
        return Ok(None);
    }
    if number <= safe.number && history.safe_claim(number)? == Some(abandoned.hash()) {
        return Ok(None);
    }
    let gone = || -> Result<bool, StateError> {
        for input in inputs(spec, abandoned).filter(|da| da.height <= cursor.da.height) {
            // One above the newest DA block read may yet turn out to be on the chain.
            let record = history.derived_at(input.height)?;
            if record.is_none_or(|record| record.hash != input.hash) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let reason = if number <= safe.number {
        AbandonReason::Replaced
    } else if abandoned.time_ms < cursor.floor_ms {
        AbandonReason::Expired
    } else if gone()? {
        AbandonReason::InputGone
    } else {
        return Ok(None);
    };
    Ok(Some(Takeover { reference: cursor.da, abandoned: Box::new(abandoned.clone()), reason }))
}
