//! One simulated node: its process, its disk, its clock and its line to the DA layer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use alloy_primitives::Bytes;
use async_trait::async_trait;
use causeway_chainspec::{BlockId, ChainSpec, Clock, DaRef};
use causeway_consensus::ChainError;
use causeway_consensus::mempool::Limits;
use causeway_da::memory::MemoryDa;
use causeway_da::{DaBackend, DaBlock, DaError, DaFee, DaHeads, DaLimits};
use causeway_execution::ExecutionError;
use causeway_node::config::Role;
use causeway_node::node::{Node, NodeError, Settings};
use causeway_node::rpc::backend::SubmitError;
use parking_lot::Mutex;

use super::storage::{CACHE_BYTES, Storage};
use crate::clock::ManualClock;
use crate::keys;

/// A clock that is wrong by some ms.
#[derive(Debug)]
pub(super) struct SkewedClock {
    right: Arc<ManualClock>,
    off_ms: AtomicI64,
}

impl SkewedClock {
    pub(super) fn set(&self, off_ms: i64) {
        self.off_ms.store(off_ms, Ordering::Relaxed);
    }

    fn off_ms(&self) -> i64 {
        self.off_ms.load(Ordering::Relaxed)
    }
}

impl Clock for SkewedClock {
    fn now_ms(&self) -> u64 {
        self.right.now_ms().saturating_add_signed(self.off_ms())
    }

    fn sleep_until(&self, time_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.right.sleep_until(time_ms.saturating_add_signed(-self.off_ms()))
    }
}

/// How a node's line to the DA layer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LineState {
    /// No call is answered.
    pub(super) down: bool,
    /// So many further calls are answered before one is not.
    pub(super) cut_after: Option<u64>,
    /// So many of the layer's newest blocks are not seen.
    pub(super) lag: u64,
}

/// A node's line to the DA layer.
#[derive(Debug)]
pub(super) struct Line {
    da: Arc<MemoryDa>,
    pub(super) state: Mutex<LineState>,
}

impl Line {
    fn answering(&self) -> Result<LineState, DaError> {
        let mut state = self.state.lock();
        match state.cut_after {
            Some(0) => {
                state.cut_after = None;
                return Err(DaError::Unavailable("the line broke".into()));
            }
            Some(left) => state.cut_after = Some(left - 1),
            None => {}
        }
        if state.down {
            return Err(DaError::Unavailable("the line is down".into()));
        }
        Ok(*state)
    }
}

#[async_trait]
impl DaBackend for Line {
    async fn limits(&self) -> Result<DaLimits, DaError> {
        self.answering()?;
        self.da.limits().await
    }

    async fn submit(&self, blobs: &[Bytes]) -> Result<DaRef, DaError> {
        self.answering()?;
        self.da.submit(blobs).await
    }

    async fn read(&self, height: u64) -> Result<DaBlock, DaError> {
        let state = self.answering()?;
        let latest = self.da.heads().await?.latest.height.saturating_sub(state.lag);
        if height > latest {
            return Err(DaError::NotYet { height, latest });
        }
        self.da.read(height).await
    }

    async fn heads(&self) -> Result<DaHeads, DaError> {
        let state = self.answering()?;
        let heads = self.da.heads().await?;
        let back = |da: DaRef| self.da.read(da.height.saturating_sub(state.lag));
        Ok(DaHeads {
            latest: back(heads.latest).await?.da,
            finalized: back(heads.finalized).await?.da,
        })
    }

    async fn fee(&self) -> Result<DaFee, DaError> {
        self.answering()?;
        self.da.fee().await
    }

    async fn force(&self, entry: Bytes) -> Result<(), DaError> {
        self.answering()?;
        self.da.force(entry).await
    }
}

/// What became of an operation of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was done, or refused in the documented way.
    Fine,
    /// What it needs outside is not there now.
    Later,
    /// Our own failure: the process ends.
    Dead(String),
}

/// What all nodes of a run share.
pub(super) struct Common {
    pub(super) spec: Arc<ChainSpec>,
    pub(super) da: Arc<MemoryDa>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) pool: Limits,
}

impl Common {
    /// The right time, ms.
    pub(super) fn clock_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}

/// One simulated node.
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) role: Role,
    /// Whether it follows the feed.
    pub(super) feed: bool,
    pub(super) clock: Arc<SkewedClock>,
    pub(super) line: Arc<Line>,
    pub(super) storage: Storage,
    pub(super) pool: Limits,
    /// None while the process is down.
    pub(super) node: Option<Arc<Node>>,
    /// Its chain as it was after the last step, by number.
    pub(super) chain: Vec<BlockId>,
    /// Its last final block, whatever happened since.
    pub(super) finalized: Option<BlockId>,
    /// Steps until it is started again.
    pub(super) down_for: u64,
}

impl Peer {
    pub(super) fn new(name: &str, role: Role, feed: bool, common: &Common, seed: u64) -> Self {
        let clock = SkewedClock { right: common.clock.clone(), off_ms: AtomicI64::new(0) };
        let line = Line { da: common.da.clone(), state: Mutex::default() };
        Self {
            name: name.to_owned(),
            role,
            feed,
            clock: Arc::new(clock),
            line: Arc::new(line),
            storage: Storage::new(seed),
            pool: common.pool,
            node: None,
            chain: Vec::new(),
            finalized: None,
            down_for: 0,
        }
    }

    /// Whether it makes blocks.
    pub(super) fn sequences(&self) -> bool {
        self.role == Role::Sequencer
    }

    /// Starts the process.
    pub(super) fn open(&mut self, common: &Common) -> Result<(), NodeError> {
        let keys = self.sequences();
        let node = Node::open(Settings {
            spec: common.spec.clone(),
            datadir: self.storage.datadir(),
            role: self.role,
            da: self.line.clone(),
            clock: self.clock.clone(),
            sequencer_key: keys.then(keys::sequencer),
            poster_key: keys.then(keys::poster),
            sequencer_url: None,
            modules: Vec::new(),
            remotes: Arc::default(),
            pool: common.pool,
            archive: false,
            address_index: None,
            history_blocks: 1024,
            cache_bytes: CACHE_BYTES,
        })?;
        self.node = Some(node);
        self.down_for = 0;
        Ok(())
    }

    /// Ends the process at once.
    pub(super) fn kill(&mut self) -> eyre::Result<()> {
        if let Some(node) = self.node.take() {
            eyre::ensure!(Arc::strong_count(&node) == 1, "{} is still in use", self.name);
        }
        Ok(())
    }

    /// Whether the disk gave an error or lost its power since it was set right.
    pub(super) fn hurt(&self) -> bool {
        self.storage.hurt()
    }

    /// INV-10 for failures: each is of a documented kind, and our own failures have a cause.
    pub(super) fn fate(&self, error: &NodeError) -> eyre::Result<Fate> {
        match error {
            NodeError::Da(error) if error.is_temporary() => Ok(Fate::Later),
            NodeError::Execution(ExecutionError::Storage(_) | ExecutionError::State(_))
                if self.hurt() =>
            {
                Ok(Fate::Dead(error.to_string()))
            }
            error => eyre::bail!("INV-10: {} failed: {error}", self.name),
        }
    }

    /// As [`Peer::fate`], for what a sequencer's loop sees.
    pub(super) fn fate_of_chain(&self, error: &ChainError) -> eyre::Result<Fate> {
        match error {
            ChainError::Paused(_) => Ok(Fate::Later),
            ChainError::Fatal(text) if self.hurt() => Ok(Fate::Dead(text.clone())),
            error => eyre::bail!("INV-10: {} failed: {error}", self.name),
        }
    }

    /// As [`Peer::fate`], for what a user sees.
    pub(super) fn fate_of_submit(&self, error: &SubmitError) -> eyre::Result<Fate> {
        match error {
            SubmitError::Failed(text) if self.hurt() => Ok(Fate::Dead(text.clone())),
            SubmitError::Failed(_) | SubmitError::Remote { .. } | SubmitError::Unreachable(_) => {
                eyre::bail!("INV-10: {} failed: {error:?}", self.name)
            }
            _ => Ok(Fate::Fine),
        }
    }
}
