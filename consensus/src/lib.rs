//! Who may build, in what order, and how to re-read that order from DA.

pub mod derive;
pub mod keys;
pub mod lane;
pub mod mempool;
pub mod plan;
pub mod rules;
pub mod single;

#[cfg(test)]
mod testkit;

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use alloy_signer_local::PrivateKeySigner;
use async_trait::async_trait;
use causeway_chainspec::{
    Block, BlockBody, ChainSpec, Claim, Clock, Heads, Seal, SealContext, SealTuple,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Asks the node for a block on `parent`.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// Claim hash of the parent; the node knows it executed, committed or not.
    pub parent: B256,
    /// Time wanted, ms; the node raises it to parent + 1 ms if it is not above the parent.
    pub time_ms: u64,
    /// How long candidates may be executed, ms. Counted from when their execution starts: not
    /// while the request waits for its turn or the block is drafted, or blocks would stay empty
    /// for ever on a node that is busy.
    pub budget_ms: u64,
}

/// A claim and its body, as they travel between voters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The claim.
    pub claim: Claim,
    /// What it commits to.
    pub body: BlockBody,
}

/// What a voter may say of a proposal.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Valid and executed.
    Valid(Arc<Block>),
    /// Breaks a rule, for ever.
    Invalid(String),
    /// Not now: an input is not seen or not verified here. Asking again may change it.
    Withhold(String),
}

/// Why the node did not do what the sequencer asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Building pauses: too much of the chain is not on DA yet, or the pipeline is full.
    #[error("block production is paused: {0}")]
    Paused(String),
    /// The parent is no block of this node (derivation replaced it, or it was never seen).
    #[error("unknown parent {0}")]
    UnknownParent(B256),
    /// The node's own failure; the process is about to stop.
    #[error("node failed: {0}")]
    Fatal(String),
}

/// What a sequencer ended with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsensusError {
    /// The chain's key set does not hold this node's key, or an option is wrong.
    #[error("sequencer settings: {0}")]
    Config(String),
    /// The node failed underneath.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// Why a seal does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No signature of the form this mode uses.
    #[error("seal is malformed: {0}")]
    Malformed(&'static str),
    /// Signed by somebody who may not.
    #[error("seal is by {0}, which is not in the key set in force")]
    WrongKey(alloy_primitives::Address),
    /// Not enough signers.
    #[error("seal has {have} of {want} signatures")]
    Quorum {
        /// Valid signatures.
        have: usize,
        /// Needed.
        want: usize,
    },
}

/// Records a sequencer must not forget: append, sync, and all of them again after a restart.
pub trait DurableLog: Send + Sync {
    /// Appends a record of the sequencer's own format. Not durable yet.
    fn append(&self, record: Bytes) -> Result<(), ChainError>;
    /// Makes everything appended durable (one grouped fdatasync). Nothing that depends on a record
    /// may leave the process before.
    fn sync(&self) -> Result<(), ChainError>;
    /// Records in order, oldest first, as far back as the last finalized block.
    fn replay(&self) -> Result<Vec<Bytes>, ChainError>;
}

/// The node, as a sequencer sees it: so narrow that a timer, a raft log, BFT votes and DA order
/// all drive it. Implemented once, by the node.
#[async_trait]
pub trait Chain: Send + Sync {
    /// Executes a new block on `parent`: candidates from the mempool, forced entries, messages.
    /// The block was re-executed from clean state; it is not committed and not visible. Two
    /// builds on one parent may both live until one is committed.
    async fn build(&self, request: BuildRequest) -> Result<Arc<Block>, ChainError>;

    /// Judges somebody else's proposal on `parent` by the header rules and by executing it.
    /// Cached by claim hash.
    async fn verify(&self, parent: B256, proposal: &Proposal) -> Verdict;

    /// Makes a built or verified block the child of its parent: durable, then visible; siblings
    /// are dropped. Idempotent for the same claim. The last-signed record (the claim's term and
    /// number, the seal's view) is durable with it, in one piece.
    async fn commit(&self, claim: B256, seal: Seal) -> Result<(), ChainError>;

    /// The newest tuple that a commit of this node made durable, in this run or before.
    fn last_signed(&self) -> Option<SealTuple>;

    /// The heads; also says when derivation replaced blocks.
    fn heads(&self) -> watch::Receiver<Heads>;

    /// How many transactions (and due forced entries) wait; a sequencer that builds on demand
    /// wakes when it changes.
    fn waiting(&self) -> watch::Receiver<usize>;

    /// Votes and other records of the sequencer.
    fn log(&self) -> &dyn DurableLog;
}

/// Where a sequencer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequencerStatus {
    /// Name of the mode.
    pub mode: &'static str,
    /// Whether this node builds now.
    pub leader: bool,
    /// Why it does not, in words a person can act on.
    pub paused: Option<String>,
}

/// A way to agree on who builds what.
#[async_trait]
pub trait Sequencer: Send + Sync + 'static {
    /// Drives the chain until `stop`. Returns early only on an error a restart may not cure.
    /// Restart: resumes from the chain's heads and its log. Cancel: leaves no half-done commit.
    async fn run(
        &self,
        chain: Arc<dyn Chain>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Result<(), ConsensusError>;

    /// Checks a seal over a claim. Pure.
    fn verify(&self, context: &SealContext, claim: &Claim, seal: &Seal) -> Result<(), SealError>;

    /// Where it stands.
    fn status(&self) -> SequencerStatus;
}

/// Opens a sequencer from `[sequencer.<mode>]` of the spec; without a key it can only verify.
pub type Open =
    fn(&ChainSpec, Option<PrivateKeySigner>) -> Result<Arc<dyn Sequencer>, ConsensusError>;

/// Every sequencer by name. To add one: a file beside this one, and a line here.
pub const SEQUENCERS: &[(&str, Open)] = &[("single", single::open)];

/// Opens the sequencer the spec names.
pub fn open(
    spec: &ChainSpec,
    key: Option<PrivateKeySigner>,
) -> Result<Arc<dyn Sequencer>, ConsensusError> {
    let mode = &spec.sequencer.mode;
    let (_, open) = SEQUENCERS.iter().find(|(name, _)| name == mode).ok_or_else(|| {
        let known: Vec<_> = SEQUENCERS.iter().map(|(name, _)| *name).collect();
        ConsensusError::Config(format!("unknown mode {mode:?}: this binary has {known:?}"))
    })?;
    open(spec, key)
}
