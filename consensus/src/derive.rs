//! Re-reads the order of blocks from DA: a pure function from cursor and DA block to steps.

use alloy_primitives::{Address, B256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use causeway_chainspec::block::concat_hash;
use causeway_chainspec::posted::Tag;
use causeway_chainspec::{
    BlockBody, ChainSpec, Claim, DaEntry, DaRef, ForcedCut, ForcedEntry, PostedSpan, Seal,
    SealContext, StateError,
};

use crate::SealError;
use crate::keys::Keys;
use crate::lane::{Lane, NotTaken};
use crate::rules::{ClaimError, DaPoint, DerivedAt, History, RuleError, Rules, Tip, floor_ms};

#[cfg(test)]
mod tests;

/// Where derivation stands after a DA block: all it needs to go on from there. Stored as RLP, one
/// record a DA height; an unwind goes back to an earlier record.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
pub struct Cursor {
    /// The DA block read last.
    pub da: DaRef,
    /// Its time: its own or its parent's, whichever is later, ms.
    pub time_ms: u64,
    /// Claims below this time come too late, ms.
    pub floor_ms: u64,
    /// The safe head.
    pub safe: Tip,
    /// Forced entries no safe block has taken.
    pub lane: Lane,
    /// Keys that the parent chain set; `None` as long as it set none.
    pub keys: Option<Keys>,
}

impl Cursor {
    /// Where derivation starts: just before `first`, the DA block at `da.start` (at least 1).
    /// Its record belongs to the height below, and must be stored like any other.
    pub fn start(spec: &ChainSpec, genesis: &Claim, first: &DaEntry) -> Self {
        Self {
            da: DaRef { height: first.da.height.saturating_sub(1), hash: first.parent },
            time_ms: first.time_ms,
            floor_ms: first.time_ms.saturating_sub(spec.sequencer.window_ms),
            safe: Tip::of(genesis),
            lane: Lane { taken: genesis.cut.lane, ..Lane::default() },
            keys: None,
        }
    }

    /// Keys that may post in a DA block of `time_ms`, which comes after this one.
    pub fn posters(&self, spec: &ChainSpec, time_ms: u64) -> Vec<Address> {
        Keys::posters(self.keys.as_ref(), spec, time_ms)
    }

    /// Keys that may seal what a DA block of `time_ms` carries: this one, or one that comes after.
    pub fn sequencers(&self, spec: &ChainSpec, time_ms: u64) -> Vec<Address> {
        Keys::sequencers(self.keys.as_ref(), spec, time_ms)
    }

    /// What [`History::derived_at`] answers for this record.
    pub fn derived_at(&self) -> DerivedAt {
        DerivedAt {
            hash: self.da.hash,
            time_ms: self.time_ms,
            floor_ms: self.floor_ms,
            safe_number: self.safe.number,
            safe_claim: self.safe.claim,
        }
    }
}

/// One block to make safe. A node promotes the block it has if the claim hash is the same, and
/// otherwise unwinds to the parent and executes this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The claim.
    pub claim: Claim,
    /// Its hash.
    pub hash: B256,
    /// What it commits to.
    pub body: BlockBody,
    /// Forced entries it takes, in lane order.
    pub forced: Vec<ForcedEntry>,
    /// The seal, on the last claim of a span.
    pub seal: Option<Seal>,
    /// True if derivation made the block itself, because nobody posted one in time.
    pub derived: bool,
}

/// Something on DA that derivation did not use: counted and logged, never an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// A span of another chain.
    #[error("span of the chain {0}")]
    Foreign(B256),
    /// A span without blocks.
    #[error("span without blocks")]
    Empty,
    /// A span all of which is safe already.
    #[error("span up to block {0} is safe already")]
    Known(u64),
    /// Neither the span's first parent nor one of its claims is the safe head.
    #[error("span on {first_parent}.. does not connect to the safe head {safe}")]
    Unconnected {
        /// First bytes of its first claim's parent.
        first_parent: Tag,
        /// Claim hash of the safe head.
        safe: B256,
    },
    /// The seal over its last claim does not count.
    #[error("span up to block {number}: {error}")]
    Seal {
        /// Number of its last claim.
        number: u64,
        /// Why.
        error: SealError,
    },
    /// A claim is invalid: it ends its span, earlier ones stand.
    #[error("claim {number}: {error}")]
    Claim {
        /// Its number.
        number: u64,
        /// The rule it breaks.
        error: ClaimError,
    },
    /// A forced entry that did not enter the lane.
    #[error(transparent)]
    Forced(#[from] NotTaken),
}

/// Why a DA block could not be derived: the caller's mistake or its store, never the data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// The DA block is not the one after the cursor's: the DA chain changed, unwind first.
    #[error("DA block {} does not follow {} {}", have.height, want.height, want.hash)]
    NotNext {
        /// The block given.
        have: DaRef,
        /// The block the cursor stands on.
        want: DaRef,
    },
    /// This node's own records cannot be read.
    #[error(transparent)]
    History(#[from] StateError),
}

/// What one DA block means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// Blocks that become safe, in order.
    pub steps: Vec<Step>,
    /// Where derivation stands after it.
    pub cursor: Cursor,
    /// What was not used, in the order it was found.
    pub dropped: Vec<Dropped>,
}

/// Checks a seal; [`crate::Sequencer::verify`] of the chain's mode.
pub type VerifySeal<'a> = &'a dyn Fn(&SealContext, &Claim, &Seal) -> Result<(), SealError>;

/// Derives one DA block: its forced entries enter the lane, then its spans in DA order, then one
/// run of derived blocks if the safe head is below the floor. Pure: the same cursor, entry and
/// history give the same steps on every node, whatever it saw before.
pub fn derive(
    spec: &ChainSpec,
    cursor: &Cursor,
    entry: &DaEntry,
    history: &dyn History,
    verify_seal: VerifySeal<'_>,
) -> Result<Derived, DeriveError> {
    let want = cursor.da;
    if Some(entry.da.height) != want.height.checked_add(1) || entry.parent != want.hash {
        return Err(DeriveError::NotNext { have: entry.da, want });
    }
    let time_ms = entry.time_ms.max(cursor.time_ms);
    let at = DaPoint {
        da: entry.da,
        time_ms,
        floor_ms: floor_ms(spec, time_ms, cursor.time_ms, cursor.floor_ms),
    };
    let rules = Rules { spec, identity: spec.identity(), at, history };
    let keys = Keys::after(cursor.keys.as_ref(), spec, time_ms, &entry.keys);
    let context = SealContext {
        identity: rules.identity,
        keys: Keys::sequencers(keys.as_ref(), spec, time_ms),
    };
    let mut deriver = Deriver {
        rules,
        context,
        verify_seal,
        tip: cursor.safe.clone(),
        lane: cursor.lane.clone(),
        steps: Vec::new(),
        dropped: Vec::new(),
    };
    for bytes in &entry.forced {
        if let Err(error) = deriver.lane.push(spec, at.da, time_ms, bytes.clone()) {
            deriver.dropped.push(error.into());
        }
    }
    for span in &entry.spans {
        if let Some(dropped) = deriver.span(span)? {
            deriver.dropped.push(dropped);
        }
    }
    if deriver.tip.time_ms < at.floor_ms {
        deriver.run();
    }
    let Deriver { tip: safe, lane, steps, dropped, .. } = deriver;
    let cursor = Cursor { da: at.da, time_ms, floor_ms: at.floor_ms, safe, lane, keys };
    Ok(Derived { steps, cursor, dropped })
}

struct Deriver<'a> {
    rules: Rules<'a>,
    context: SealContext,
    verify_seal: VerifySeal<'a>,
    tip: Tip,
    lane: Lane,
    steps: Vec<Step>,
    dropped: Vec<Dropped>,
}

impl Deriver<'_> {
    /// Takes the claims of a span that follow the tip; says why it stopped short of the last.
    fn span(&mut self, span: &PostedSpan) -> Result<Option<Dropped>, StateError> {
        if span.identity != self.rules.identity {
            return Ok(Some(Dropped::Foreign(span.identity)));
        }
        if span.blocks.is_empty() {
            return Ok(Some(Dropped::Empty));
        }
        let safe = self.tip.claim;
        let unconnected = Dropped::Unconnected { first_parent: span.parent, safe };
        let Some(claims) = self.claims(span)? else { return Ok(Some(unconnected)) };
        let start = match claims.iter().position(|(hash, _)| *hash == safe) {
            Some(index) => index + 1,
            None if claims[0].1.parent == safe => 0,
            None => return Ok(Some(unconnected)),
        };
        let last = &claims[claims.len() - 1].1;
        let number = last.number;
        if start == claims.len() {
            return Ok(Some(Dropped::Known(number)));
        }
        if let Err(error) = (self.verify_seal)(&self.context, last, &span.seal) {
            return Ok(Some(Dropped::Seal { number, error }));
        }
        let all = claims.len();
        for (index, (_, claim)) in claims.into_iter().enumerate().skip(start) {
            let body = &span.blocks[index].body;
            let run = match self.rules.check(&self.tip, &self.lane, &claim, body) {
                Ok(run) => run,
                Err(RuleError::Claim(error)) => {
                    return Ok(Some(Dropped::Claim { number: claim.number, error }));
                }
                Err(RuleError::History(error)) => return Err(error),
            };
            let seal = (index + 1 == all).then(|| span.seal.clone());
            self.step(claim, body.clone(), run.entries, seal, false);
        }
        Ok(None)
    }

    /// The claims of a span on the block below it. `None` if that block is not on this chain, or if
    /// the span ends below the tip: then it cannot connect.
    fn claims(&self, span: &PostedSpan) -> Result<Option<Vec<(B256, Claim)>>, StateError> {
        let reaches = span.last().is_some_and(|last| last >= self.tip.number);
        let Some(below) = span.number.checked_sub(1).filter(|_| reaches) else { return Ok(None) };
        let parent = if below == self.tip.number {
            Some(self.tip.clone())
        } else {
            match self.steps.iter().find(|step| step.claim.number == below) {
                Some(step) => Some(Tip::of(&step.claim)),
                None => self.rules.history.safe_tip(below)?,
            }
        };
        Ok(parent.and_then(|parent| span.claims(&parent)))
    }

    /// The derived run: all due forced entries in as many blocks as limits need, one empty block
    /// if none is due.
    fn run(&mut self) {
        let mut time_ms = self.rules.at.time_ms.max(self.tip.time_ms.saturating_add(1));
        loop {
            let run = self
                .lane
                .run(self.rules.spec, self.tip.cut.lane, time_ms)
                .expect("the lane stands where the tip does: every step moves both");
            let claim = Claim {
                identity: self.rules.identity,
                number: self.tip.number + 1,
                term: self.tip.term,
                parent: self.tip.claim,
                time_ms,
                origin: self.tip.origin,
                cut: ForcedCut { da: self.rules.at.da, lane: run.position },
                anchors: Vec::new(),
                inbound_root: concat_hash(std::iter::empty()),
                candidates_root: concat_hash(std::iter::empty()),
                takeover: None,
            };
            self.step(claim, BlockBody::default(), run.entries, None, true);
            if !run.full {
                break;
            }
            time_ms += 1;
        }
    }

    fn step(
        &mut self,
        claim: Claim,
        body: BlockBody,
        forced: Vec<ForcedEntry>,
        seal: Option<Seal>,
        derived: bool,
    ) {
        self.tip = Tip::of(&claim);
        self.lane.take(self.tip.cut.lane);
        self.steps.push(Step { hash: self.tip.claim, claim, body, forced, seal, derived });
    }
}
