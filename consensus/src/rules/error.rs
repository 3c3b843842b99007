//! Why a claim is invalid: one variant a rule, with the numbers.

use alloy_primitives::B256;
use causeway_chainspec::{LanePosition, StateError};

/// The rule a claim breaks. Text is for people; nothing parses it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ClaimError {
    /// It names the chain it is for.
    #[error("identity {have} is not this chain's {want}")]
    Identity { have: B256, want: B256 },
    /// Its number follows the parent's.
    #[error("number {have} where {want} is next")]
    Number { have: u64, want: u64 },
    /// It names its parent by claim hash.
    #[error("parent {have} is not the block before it, {want}")]
    Parent { have: B256, want: B256 },
    /// Time strictly increases.
    #[error("time {have} ms is not above the parent's {parent} ms")]
    Time { have: u64, parent: u64 },
    /// It was posted within the window.
    #[error("time {have} ms is below the floor {floor} ms")]
    Expired { have: u64, floor: u64 },
    /// It was not posted too early.
    #[error("time {have} ms is above {most} ms")]
    Future { have: u64, most: u64 },
    /// Without a takeover the term stays.
    #[error("term {have} without a takeover, the parent has {parent}")]
    Term { have: u64, parent: u64 },
    /// The new term is the height of the DA block that justifies it.
    #[error("term {have} is not the height {reference} of the takeover's reference")]
    TermReference { have: u64, reference: u64 },
    /// A new term is higher than the parent's.
    #[error("new term {have} is not above the parent's {parent}")]
    TermNotHigher { have: u64, parent: u64 },
    /// The reference is not above the DA block that carries the claim.
    #[error("takeover's reference {have} is above the DA block {da}")]
    ReferenceAbove { have: u64, da: u64 },
    /// The reference is on the DA chain, below the block that carries the claim.
    #[error("takeover's reference {height} is not on the chain")]
    ReferenceGone { height: u64 },
    /// The parent is the safe head at the end of the reference.
    #[error("safe head after the takeover's reference is {safe}, not the parent")]
    ReferenceHead { safe: B256 },
    /// The abandoned claim is of this chain.
    #[error("abandoned claim is of the chain {have}")]
    AbandonedIdentity { have: B256 },
    /// The abandoned claim is of a term at or above the parent's and below the new one. Once the
    /// takeover is safe the parent's term is the new one, so no claim justifies two of them.
    #[error("abandoned claim has term {have}, not within {parent}..{new}")]
    AbandonedTerm { have: u64, parent: u64, new: u64 },
    /// The parent of the abandoned claim is safe at the reference.
    #[error("parent of the abandoned claim {number} is not on the safe chain")]
    AbandonedParent { number: u64 },
    /// The abandoned claim is not itself on the safe chain.
    #[error("abandoned claim {number} is on the safe chain")]
    AbandonedSafe { number: u64 },
    /// `Replaced`: the safe chain at the reference has another claim with its number.
    #[error("abandoned claim {number} is not replaced: the safe head has number {safe}")]
    NotReplaced { number: u64, safe: u64 },
    /// `InputGone`: the DA block of its cut, or the reference of its takeover, is not on the chain,
    /// or above.
    #[error("abandoned claim's inputs, the cut at DA block {height} first, are on the chain")]
    InputStands { height: u64 },
    /// `Expired`: its time is below the floor of the reference.
    #[error("abandoned claim of {time} ms is not below the floor {floor} ms")]
    NotExpired { time: u64, floor: u64 },
    /// The cut never goes back.
    #[error("cut at DA block {have} is below the parent's {parent}")]
    CutBack { have: u64, parent: u64 },
    /// The cut is not above the DA block that carries the claim.
    #[error("cut at DA block {have} is above {da}")]
    CutAbove { have: u64, da: u64 },
    /// The cut's DA block is on the chain.
    #[error("cut's DA block {height} has another hash on the chain")]
    CutGone { height: u64 },
    /// The cut reaches the last entry taken.
    #[error("cut at DA block {have} is below its last entry's {want}")]
    CutBelowEntry { have: u64, want: u64 },
    /// The claim takes exactly the entries that are due and fit.
    #[error("forced lane at {} after the block, where the rule gives {}", have.count, want.count)]
    Forced { have: LanePosition, want: LanePosition },
    /// The parent's place in the lane is not on this DA chain.
    #[error("parent's place {count} in the forced lane is not on this DA chain")]
    LaneGone { count: u64 },
    /// A chain without a parent chain has no origins.
    #[error("origin {number} on a chain without a parent chain")]
    OriginUnexpected { number: u64 },
    /// Once some, never none; never back.
    #[error("origin {have:?} after the parent's {parent}")]
    OriginBack { have: Option<u64>, parent: u64 },
    /// The origin is on the parent chain.
    #[error("origin {number} is not on the parent chain")]
    OriginGone { number: u64 },
    /// The origin is not younger than the block.
    #[error("origin's time {origin} ms is above the block's {time} ms")]
    OriginFuture { origin: u64, time: u64 },
    /// Anchors and inbound messages only on members of the Metalayer.
    #[error("{anchors} anchors and {inbound} inbound parts on a chain outside the metalayer")]
    NotMember { anchors: usize, inbound: usize },
    /// Anchors are bounded in number.
    #[error("{have} anchors, at most {most}")]
    Anchors { have: usize, most: usize },
    /// Anchors stand by ascending domain, one for each.
    #[error("anchor of domain {have} after that of {before}")]
    AnchorOrder { have: u32, before: u32 },
    /// A chain says nothing of itself by an anchor.
    #[error("anchor of domain {domain}, which is this chain's own")]
    AnchorOwn { domain: u32 },
    /// What comes in stands beside its anchor, one for each.
    #[error("{inbound} inbound parts for {anchors} anchors")]
    Inbounds { inbound: usize, anchors: usize },
    /// Lanes that are opened are bounded in number.
    #[error("{have} lanes of domain {origin} opened, at most {most}")]
    Lanes { origin: u32, have: usize, most: usize },
    /// They stand by ascending domain, one for each.
    #[error("lane from {origin} to {have} after that to {before}")]
    LaneOrder { origin: u32, have: u32, before: u32 },
    /// Assets of a lane are bounded in number.
    #[error("{have} assets in the lane from {origin} to {to}, at most {most}")]
    Flows { origin: u32, to: u32, have: usize, most: usize },
    /// They stand by ascending id, one for each.
    #[error("asset {have} after {before} in the lane from {origin} to {to}")]
    FlowOrder { origin: u32, to: u32, have: B256, before: B256 },
    /// Items of a lane are bounded in number.
    #[error("{have} items of domain {origin}, at most {most}")]
    Items { origin: u32, have: usize, most: usize },
    /// Items are of the anchor's chain, for this one.
    #[error("item {index} beside the anchor of domain {origin} goes from {from} to {to}")]
    ItemRoute { origin: u32, index: usize, from: u32, to: u32 },
    /// Messages are bounded in bytes.
    #[error("message {index} of domain {origin} has {have} bytes, at most {most}")]
    MessageBytes { origin: u32, index: usize, have: usize, most: usize },
    /// Roots of the claim are those of the body.
    #[error("body is not the one the claim commits to")]
    Body,
    /// Candidates and forced entries are bounded in number.
    #[error("{have} candidates and forced entries, at most {most}")]
    Candidates { have: u64, most: u64 },
    /// Candidates, forced entries and inbound messages are bounded in bytes.
    #[error("{have} bytes of candidates, forced entries and messages, at most {most}")]
    Bytes { have: u64, most: u64 },
}

impl ClaimError {
    /// Whether a later DA block may judge otherwise: who votes before DA has the claim withholds
    /// instead of refusing. In derivation every error is final.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Future { .. } | Self::ReferenceAbove { .. } | Self::CutAbove { .. })
    }
}

/// What checking a claim can end with besides success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The claim is invalid: a value, whoever made it.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// This node's own records cannot be read: nothing is decided.
    #[error(transparent)]
    History(#[from] StateError),
}
