//! What the RPC needs from the node: one trait, and the values that cross it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;
use causeway_chainspec::ethereum::Schedule;
use causeway_chainspec::{
    Block, BlockEnv, BlockId, ChainSpec, DaRef, Heads, SkipReason, StateReader, Tx, TxError,
};
use causeway_consensus::SequencerStatus;
use causeway_consensus::mempool::{ByNonce, Content};
use causeway_da::DaError;
use causeway_execution::ethereum::{Attributes, BuildError, BuiltBlock};
use causeway_execution::pipeline::{Proof, Replay, Witness};
use causeway_execution::store::AddressIndex;
use causeway_execution::{ExecutionError, Vm};
use tokio::sync::{broadcast, watch};

use crate::node::Control;

/// The node, as its RPC sees it. Implemented once by the node, and by a fake in tests.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The chain.
    fn spec(&self) -> &ChainSpec;
    /// What only an imported Ethereum chain has; `None` for a chain of ours.
    fn ethereum(&self) -> Option<&dyn Ethereum> {
        None
    }
    /// How the chain was derived from its DA layer; `None` for a chain that has none.
    fn derivation(&self) -> Option<&dyn Derivation> {
        None
    }
    /// The loops that an operator may stop and start; `None` for a node that has none.
    fn control(&self) -> Option<&Control> {
        None
    }
    /// What users may see now. Taken once a request, so that an answer never mixes two heads.
    fn chain(&self) -> Arc<dyn ChainReader>;
    /// The VM of this chain.
    fn vm(&self) -> &Arc<dyn Vm>;
    /// Now, unix ms, by the node's clock.
    fn now_ms(&self) -> u64;
    /// Takes signed transactions in order and answers for each: checked, pooled and durable when
    /// this returns; or forwarded to the sequencer, and then as durable as there. Idempotent in
    /// effect: the second time is [`SubmitError::AlreadyKnown`].
    async fn submit_all(&self, raws: Vec<Bytes>) -> Vec<Result<B256, SubmitError>>;
    /// [`Backend::submit_all`] of one.
    async fn submit(&self, raw: Bytes) -> Result<B256, SubmitError> {
        let mut answers = self.submit_all(vec![raw]).await;
        answers.pop().unwrap_or_else(|| Err(SubmitError::Failed("it got no answer".into())))
    }
    /// Puts bytes into the DA layer's forced lane, as any user may; returns once the layer took
    /// them. Every node finds them there.
    async fn force(&self, entry: Bytes) -> Result<(), DaError>;
    /// A waiting transaction.
    fn pending_tx(&self, hash: B256) -> Option<Arc<Tx>>;
    /// The nonce after the waiting transactions of an account that can run now; `state_nonce` if
    /// there are none.
    fn pending_nonce(&self, address: Address, state_nonce: u64) -> u64;
    /// Number of waiting transactions that can run now, and of those that wait for a nonce.
    fn pool_status(&self) -> (usize, usize);
    /// Everything in the pool.
    fn pool_content(&self) -> PoolContent;
    /// The heads; changes whenever one of them moves.
    fn heads(&self) -> watch::Receiver<Heads>;
    /// Transactions as they enter the pool. A reader that falls behind loses its subscription.
    fn new_pending(&self) -> broadcast::Receiver<Arc<Tx>>;
    /// Blocks in the order in which `latest` takes them, and takes them back.
    fn new_blocks(&self) -> broadcast::Receiver<BlockEvent>;
    /// A sealed block as the feed carries it; `None` if it has no seal.
    fn feed_block(&self, number: u64) -> Result<Option<Bytes>, ExecutionError>;
    /// Progress while the node is behind; `None` when it is not.
    fn sync_status(&self) -> Option<SyncStatus>;
    /// What an operator wants to know at a glance.
    fn status(&self) -> NodeStatus;
    /// Another member of the Metalayer as this process re-derives it: final blocks only. `None`
    /// if it is not followed here.
    fn remote(&self, domain: u32) -> Option<Arc<dyn ChainReader>>;
    /// Number of the newest block of another member whose anchors this process found true.
    fn remote_verified(&self, domain: u32) -> Option<u64>;
    /// How far this node has checked what its chain says of other members.
    fn verified(&self) -> Option<Verified>;
}

/// What derivation wrote down for each DA block.
pub trait Derivation: Send + Sync {
    /// DA heights of which there is a record; `None` before the first.
    fn heights(&self) -> Option<RangeInclusive<u64>>;
    /// The record of a height.
    fn at(&self, height: u64) -> Result<Option<Derived>, ExecutionError>;
}

/// Where the chain stood when a DA block had been derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived {
    /// The DA block.
    pub da: DaRef,
    /// Its time as derivation uses it, ms.
    pub time_ms: u64,
    /// Number of the safe block after it.
    pub safe: u64,
}

/// An imported Ethereum chain, beyond what any chain has.
pub trait Ethereum: Send + Sync {
    /// Its forks, and its blobs.
    fn schedule(&self) -> &Schedule;
    /// Builds a block on one of its blocks, of all of these transactions, or of the pool's best that
    /// can be in it. Nothing is kept of it. No blob transactions: the pool keeps no blobs.
    fn build(
        &self,
        parent: B256,
        attributes: Attributes,
        txs: Option<Vec<Bytes>>,
    ) -> Result<BuiltBlock, BuildError>;
}

/// How far the anchors of a chain were found true; `None` of it for a chain without Metalayer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Newest block all of whose anchors, and those of all blocks before it, are true.
    pub head: BlockId,
    /// Why it is not the newest safe block: "unverified (pruned)", or what is waited for.
    pub waiting: Option<String>,
    /// A false anchor: which, and what is true.
    pub alarm: Option<String>,
}

/// Waiting transactions; those of one sender by ascending nonce.
#[derive(Debug, Clone, Default)]
pub struct PoolContent {
    /// Can run now.
    pub pending: Vec<Arc<Tx>>,
    /// Wait for an earlier nonce.
    pub queued: Vec<Arc<Tx>>,
}

impl From<Content> for PoolContent {
    fn from(Content { pending, queued }: Content) -> Self {
        let flat =
            |by_nonce: ByNonce| by_nonce.into_values().flat_map(BTreeMap::into_values).collect();
        Self { pending: flat(pending), queued: flat(queued) }
    }
}

/// A block that became part of the visible chain, or left it.
#[derive(Debug, Clone)]
pub struct BlockEvent {
    /// The block.
    pub block: Arc<Block>,
    /// True if it left the chain; blocks leave newest first.
    pub removed: bool,
}

/// Progress of a node that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncStatus {
    /// Block at which it started.
    pub starting: u64,
    /// Block it has.
    pub current: u64,
    /// Newest block it knows of.
    pub highest: u64,
}

/// State of the node for `rollup_syncStatus` and `rollup_health`.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// The sequencer here.
    pub sequencer: SequencerStatus,
    /// Newest DA block seen, if DA answers.
    pub da_head: Option<DaRef>,
    /// What is wrong, in words a person can act on; empty if nothing is.
    pub problems: Vec<String>,
}

/// Why a transaction was not taken. Texts are those that client libraries match on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// No transaction of this chain.
    #[error(transparent)]
    Undecodable(#[from] TxError),
    /// Cannot run, now or ever.
    #[error(transparent)]
    Invalid(#[from] SkipReason),
    /// The pool or the chain has it.
    #[error("already known")]
    AlreadyKnown,
    /// Same sender and nonce as another, without the price bump that replacing it takes.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// No EIP-155 chain id, and this node asks for one.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    /// No room, and no cheaper transaction to drop.
    #[error("txpool is full")]
    PoolFull,
    /// Another limit of the pool, in the pool's words.
    #[error("{0}")]
    Rejected(String),
    /// The sequencer refused it; its own error object, passed on.
    #[error("{message}")]
    Remote {
        /// JSON-RPC error code.
        code: i32,
        /// Its text.
        message: String,
        /// Its data.
        data: Option<serde_json::Value>,
    },
    /// The sequencer does not answer: what was tried, and for how long. No secrets of URLs.
    #[error("Resource unavailable: sequencer unreachable ({0})")]
    Unreachable(String),
    /// The node takes nothing any more: why.
    #[error("Resource unavailable: this node halted, and only reads: {0}")]
    Halted(String),
    /// Our own failure; logged, not told.
    #[error("internal error")]
    Failed(String),
}

/// The visible chain at one moment: the part of a snapshot that the RPC reads.
pub trait ChainReader: Send + Sync {
    /// Newest block.
    fn latest(&self) -> BlockId;
    /// Newest block derived from DA.
    fn safe(&self) -> BlockId;
    /// Newest final block.
    fn finalized(&self) -> BlockId;
    /// A block by number.
    fn block(&self, number: u64) -> Result<Option<Arc<Block>>, ExecutionError>;
    /// Header only.
    fn header(&self, number: u64) -> Result<Option<Header>, ExecutionError>;
    /// Number of the canonical block with this header hash.
    fn number_of_hash(&self, hash: B256) -> Result<Option<u64>, ExecutionError>;
    /// Block and index of an included transaction.
    fn tx(&self, hash: B256) -> Result<Option<(Arc<Block>, usize)>, ExecutionError>;
    /// State after a block; `None` if it is pruned.
    fn state(&self, number: u64) -> Result<Option<Arc<dyn StateReader>>, ExecutionError>;
    /// Merkle proof after a block; `None` beyond the history window.
    fn prove(
        &self,
        number: u64,
        address: Address,
        slots: &[U256],
    ) -> Result<Option<Proof>, ExecutionError>;
    /// Environment of a block.
    fn env(&self, number: u64) -> Result<Option<BlockEnv>, ExecutionError>;
    /// Environment of the block that would come next at a time.
    fn next_env(&self, time_ms: u64) -> Result<BlockEnv, ExecutionError>;
    /// Oldest block whose state can be read.
    fn oldest_state(&self) -> Result<u64, ExecutionError>;
    /// Oldest block whose state can be proved.
    fn oldest_proof(&self) -> Result<u64, ExecutionError>;
    /// A block as it began, to execute its transactions again; `None` for genesis, and if the
    /// state of its parent is pruned.
    fn replay(&self, number: u64) -> Result<Option<Replay>, ExecutionError>;
    /// What a stateless client needs to execute a block; `None` for genesis, and beyond the
    /// history window.
    fn witness(&self, number: u64) -> Result<Option<Witness>, ExecutionError>;
    /// The index from addresses to transactions, if this node keeps it.
    fn index(&self) -> Option<&dyn AddressIndex>;
}
