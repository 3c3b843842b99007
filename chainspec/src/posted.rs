//! A span as DA carries it: what a reader can find out by itself is left out.
//!
//! Each claim is written as what it changes against the claim before it, the first against the
//! block below the span. That block is on the reader's own derived chain, or the span does not
//! connect to it and nothing of the span counts. So parents, the first claim's term and time, and
//! hashes that did not change are not carried. Nothing of this is believed: the claims that come
//! out are hashed, the seal is over the last of these hashes, and every rule judges them whole.

use alloy_primitives::{B256, FixedBytes};

use crate::batch::{DaRef, Span, SpanBlock, Tip};
use crate::block::{Anchor, BlockBody, Claim, ForcedCut, LanePosition, Origin, Takeover};
use crate::seal::Seal;

/// The first bytes of a hash: enough for an alarm, and to tell parents apart.
pub type Tag = FixedBytes<4>;

/// The tag of a hash.
pub fn tag(hash: B256) -> Tag {
    Tag::from_slice(&hash[..Tag::len_bytes()])
}

/// A step up from the block before, and the hash it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// How far: DA heights, or entries of the lane.
    pub by: u64,
    /// Hash of the DA block, or accumulator of the lane.
    pub hash: B256,
}

/// What a claim changes against the block before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// Time since that block, ms; at least 1.
    pub elapsed_ms: u64,
    /// Step of the term; 0 if it is the same.
    pub term: u64,
    /// Another block of the parent chain.
    pub origin: Option<Origin>,
    /// Another DA block up to which the forced lane was read.
    pub cut: Option<Moved>,
    /// What was taken from the lane.
    pub lane: Option<Moved>,
}

/// One block of a [`PostedSpan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedBlock {
    /// Its claim, as far as it follows from the one before.
    pub changes: Changes,
    /// The claim's anchors.
    pub anchors: Vec<Anchor>,
    /// Its takeover.
    pub takeover: Option<Takeover>,
    /// Its root of `body.inbound`: a reader of bytes hashes what it read.
    pub inbound_root: B256,
    /// Its root of `body.candidates`, likewise.
    pub candidates_root: B256,
    /// What the claim commits to.
    pub body: BlockBody,
}

/// Consecutive claims posted together, with one seal over the last, before it is known which block
/// they follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedSpan {
    /// Chain identity: a span of another chain is dropped.
    pub identity: B256,
    /// Of the poster's rules hash: an alarm, never a rule.
    pub rules: Tag,
    /// Of the claim hash of the block below the first.
    pub parent: Tag,
    /// Number of the first block; at least 1.
    pub number: u64,
    /// At least one block.
    pub blocks: Vec<PostedBlock>,
    /// Seal over the last claim.
    pub seal: Seal,
    /// Of the header hash the poster computed for the last block: an alarm, never believed.
    pub last_header: Tag,
}

/// Blocks that are no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block {number} of the span {what}")]
pub struct SpanError {
    /// Number in its claim.
    pub number: u64,
    /// What is wrong with it.
    pub what: &'static str,
}

impl SpanBlock {
    /// This block as it is posted after `before`. Refuses what the protocol forbids and the form
    /// cannot say: another number or parent, no later time, a lower term or cut, a lost origin.
    pub fn posted(&self, before: &Tip) -> Result<PostedBlock, SpanError> {
        let Self { claim, body } = self;
        let wrong = |what| SpanError { number: claim.number, what };
        if before.number.checked_add(1) != Some(claim.number) {
            return Err(wrong("is not the next number"));
        }
        if claim.parent != before.claim {
            return Err(wrong("does not follow the block before it"));
        }
        let up = |to: u64, from: u64, what| to.checked_sub(from).ok_or(wrong(what));
        let elapsed_ms = up(claim.time_ms, before.time_ms, "has no later time")?;
        if elapsed_ms == 0 {
            return Err(wrong("has no later time"));
        }
        let mut changes = Changes {
            elapsed_ms,
            term: up(claim.term, before.term, "has a lower term")?,
            origin: None,
            cut: None,
            lane: None,
        };
        if claim.origin != before.origin {
            changes.origin = Some(claim.origin.ok_or(wrong("drops the origin"))?);
        }
        let (cut, last) = (claim.cut, before.cut);
        if cut.da != last.da {
            let by = up(cut.da.height, last.da.height, "has a lower cut")?;
            changes.cut = Some(Moved { by, hash: cut.da.hash });
        }
        if cut.lane != last.lane {
            let by = up(cut.lane.count, last.lane.count, "has a lower lane count")?;
            changes.lane = Some(Moved { by, hash: cut.lane.accumulator });
        }
        Ok(PostedBlock {
            changes,
            anchors: claim.anchors.clone(),
            takeover: claim.takeover.clone(),
            inbound_root: claim.inbound_root,
            candidates_root: claim.candidates_root,
            body: body.clone(),
        })
    }
}

impl Span {
    /// The span as it is posted. Whether claims commit to their bodies is not checked.
    pub fn posted(&self) -> Result<PostedSpan, SpanError> {
        let mut before = self.parent.clone();
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            if block.claim.identity != self.identity {
                let (number, what) = (block.claim.number, "is of another chain");
                return Err(SpanError { number, what });
            }
            blocks.push(block.posted(&before)?);
            before = Tip::of(&block.claim);
        }
        Ok(PostedSpan {
            identity: self.identity,
            rules: tag(self.rules_hash),
            parent: tag(self.parent.claim),
            number: self.parent.number.saturating_add(1),
            blocks,
            seal: self.seal.clone(),
            last_header: tag(self.last_header),
        })
    }
}

impl PostedSpan {
    /// Number of its last block; `None` without blocks, or if it is above 2^64.
    pub fn last(&self) -> Option<u64> {
        let above = u64::try_from(self.blocks.len()).ok()?.checked_sub(1)?;
        self.number.checked_add(above)
    }

    /// The claims if they follow `parent`, each with its hash. `None` if they follow another block,
    /// or if a number of theirs runs over.
    pub fn claims(&self, parent: &Tip) -> Option<Vec<(B256, Claim)>> {
        if parent.number.checked_add(1) != Some(self.number) || tag(parent.claim) != self.parent {
            return None;
        }
        let mut before = parent.clone();
        let mut claims = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let claim = block.claim(self.identity, &before)?;
            before = Tip::of(&claim);
            claims.push((before.claim, claim));
        }
        Some(claims)
    }
}

impl PostedBlock {
    fn claim(&self, identity: B256, before: &Tip) -> Option<Claim> {
        let Changes { elapsed_ms, term, origin, cut, lane } = self.changes;
        let last = before.cut;
        let da = cut.map_or(Some(last.da), |moved| {
            Some(DaRef { height: last.da.height.checked_add(moved.by)?, hash: moved.hash })
        })?;
        let lane = lane.map_or(Some(last.lane), |moved| {
            let count = last.lane.count.checked_add(moved.by)?;
            Some(LanePosition { count, accumulator: moved.hash })
        })?;
        Some(Claim {
            identity,
            number: before.number.checked_add(1)?,
            term: before.term.checked_add(term)?,
            parent: before.claim,
            time_ms: before.time_ms.checked_add(elapsed_ms)?,
            origin: origin.or(before.origin),
            cut: ForcedCut { da, lane },
            anchors: self.anchors.clone(),
            inbound_root: self.inbound_root,
            candidates_root: self.candidates_root,
            takeover: self.takeover.clone(),
        })
    }
}
