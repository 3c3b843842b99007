//! The node as a value: one chain's pipeline, pool, DA and sequencer, and the rules that join them.

mod anchors;
mod backend;
mod control;
mod derivation;
mod feed;
mod port;
mod prepare;
pub(crate) mod recent;
mod span;
pub(crate) mod submit;
mod terms;
mod verified;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable};
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::{
    ChainSpec, Claim, Clock, DaRef, Heads, SealTuple, SkipReason, SystemModule, crash,
};
use causeway_consensus::Sequencer;
use causeway_consensus::derive::Cursor;
use causeway_consensus::mempool::{Limits, Mempool};
use causeway_da::{DaBackend, DaError, Runway};
use causeway_execution::disk::Folder;
use causeway_execution::{ExecutionError, Pipeline, PipelineConfig};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{broadcast, watch};

pub use anchors::Waking;
pub use control::{Control, LoopState, Posted, Publisher, Switch};
pub use derivation::Applied;
pub use feed::{Fed, FeedBlock};
pub use prepare::Prepared;
pub use submit::Submit;
pub use terms::note_abandoned;

use anchors::Anchoring;
use recent::Recent;
use verified::VerifiedHead;

use crate::config::Role;
use crate::metrics::NodeMetrics;
use crate::remote::Remotes;
use crate::rpc::backend::BlockEvent;

/// How many block events a slow subscriber may be behind before it misses some.
const EVENTS: usize = 1024;

/// Everything a node is made of.
pub struct Settings {
    /// The chain.
    pub spec: Arc<ChainSpec>,
    /// Folder of the log, the store and the identity file.
    pub datadir: Folder,
    /// What the node does.
    pub role: Role,
    /// Data availability.
    pub da: Arc<dyn DaBackend>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Seals blocks; needed by a sequencer.
    pub sequencer_key: Option<PrivateKeySigner>,
    /// Signs what is posted to DA; needed by a sequencer.
    pub poster_key: Option<PrivateKeySigner>,
    /// WebSocket URL of the sequencer; a full node without one lives from DA alone.
    pub sequencer_url: Option<String>,
    /// Protocol code inside every block beside the chain's own ([`causeway_bridge::modules`]).
    pub modules: Vec<Arc<dyn SystemModule>>,
    /// The other members of the Metalayer, as this process follows them; empty for a chain
    /// without.
    pub remotes: Arc<Remotes>,
    /// Limits of the pool.
    pub pool: Limits,
    /// Keep the state of every block.
    pub archive: bool,
    /// Keep the address index; `None` leaves a datadir as it is and begins one with it.
    pub address_index: Option<bool>,
    /// Blocks of state history below `finalized`.
    pub history_blocks: u64,
    /// Cache of the store in bytes.
    pub cache_bytes: usize,
}

/// A failure that ends the node, by what a person has to do about it.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Disk, datadir or invariant.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// DA contradicts what it said before, or refuses us.
    #[error(transparent)]
    Da(#[from] DaError),
    /// Going on could break a promise.
    #[error("stopped for safety: {0}")]
    Safety(String),
    /// A task of the node ended by itself.
    #[error("{0}")]
    Task(String),
}

/// Transactions a block left out, and why.
type Skipped = Vec<(B256, SkipReason)>;

/// Kinds of records in the sequencer's part of the durable log.
const RECORD_VOTE: u8 = 0;
const RECORD_ABANDONED: u8 = 1;

/// One chain's node. Shared between tasks; state changes go through one lock, reads through
/// snapshots that never wait.
pub struct Node {
    spec: Arc<ChainSpec>,
    role: Role,
    pipeline: Arc<Pipeline>,
    pool: Arc<Mempool>,
    da: Arc<dyn DaBackend>,
    sequencer: Arc<dyn Sequencer>,
    poster_key: Option<PrivateKeySigner>,
    clock: Arc<dyn Clock>,
    remotes: Arc<Remotes>,
    anchoring: Anchoring,
    /// None for a chain that is no member of the Metalayer.
    verified: Option<VerifiedHead>,
    verified_changes: watch::Sender<u64>,
    submit: Submit,
    /// Held by whoever executes, commits or unwinds.
    writer: tokio::sync::Mutex<()>,
    /// None until the first DA block of the chain was seen.
    cursor: RwLock<Option<Arc<Cursor>>>,
    /// Newest DA block the layer told of.
    da_head: Mutex<Option<DaRef>>,
    /// Since when the layer gives nothing (unix ms), and what it says instead.
    da_trouble: Mutex<Option<(u64, String)>>,
    control: Control,
    /// Why nothing but reading goes on any more.
    halted: OnceLock<String>,
    /// What is left of the funds that pay for posts.
    runway: Mutex<Option<Runway>>,
    /// Whether derivation reached the end of the layer and has kept up since.
    caught_up: AtomicBool,
    /// Claims this sequencer sealed and had to leave, oldest first: what a new term is justified
    /// with. Kept in the durable log.
    abandoned: Mutex<Vec<Claim>>,
    votes: Vec<Bytes>,
    last_signed: Mutex<Option<SealTuple>>,
    /// What the block built last, by claim hash, left out and why.
    skipped: Mutex<Option<(B256, Skipped)>>,
    /// Blocks that JSON-RPC read lately.
    recent: Arc<Recent>,
    heads: watch::Sender<Heads>,
    blocks: broadcast::Sender<BlockEvent>,
    dropped_blobs: AtomicU64,
    metrics: NodeMetrics,
    /// Transactions that are in the pool, or about to be, and not yet in the durable log.
    accepting: Arc<Mutex<HashSet<B256>>>,
    /// Whether there are cores to spare for what waiting transactions will touch.
    reads_ahead: bool,
    /// What transactions were checked against last.
    checks: Mutex<Option<Arc<submit::Checks>>>,
    /// Why the process must end, once something panicked.
    failed: watch::Sender<Option<String>>,
}

impl Node {
    /// Opens the datadir and puts a node together; nothing runs yet.
    pub fn open(settings: Settings) -> Result<Arc<Self>, NodeError> {
        let spec = settings.spec;
        causeway_bridge::l1::deployment(&spec).map_err(ExecutionError::Spec)?;
        let mut modules = causeway_bridge::modules(&spec);
        modules.extend(settings.modules);
        let (pipeline, recovered) = Pipeline::open(PipelineConfig {
            datadir: settings.datadir.clone(),
            spec: spec.clone(),
            modules,
            archive: settings.archive,
            address_index: settings.address_index,
            history_blocks: settings.history_blocks,
            cache_bytes: settings.cache_bytes,
        })?;
        let key = match settings.role {
            Role::Sequencer => settings.sequencer_key,
            Role::Full => None,
        };
        let sequencer = causeway_consensus::open(&spec, key)
            .map_err(|error| ExecutionError::Spec(error.to_string()))?;
        let submit = Submit::open(settings.role, settings.sequencer_url.as_deref())?;
        let cursor = open_cursor(&pipeline)?;
        let member = spec.metalayer.directory.is_some();
        let verified =
            member.then(|| VerifiedHead::open(settings.datadir, &pipeline)).transpose()?;
        let (abandoned, votes) = sort_records(&recovered.votes)?;
        let heads = watch::Sender::new(heads_of(&pipeline, cursor.as_deref(), 0));
        let node = Arc::new(Self {
            role: settings.role,
            pool: Arc::new(Mempool::new(settings.pool)),
            pipeline: Arc::new(pipeline),
            da: settings.da,
            sequencer,
            poster_key: settings.poster_key,
            clock: settings.clock,
            remotes: settings.remotes,
            anchoring: Anchoring::default(),
            verified,
            verified_changes: watch::Sender::default(),
            submit,
            writer: tokio::sync::Mutex::new(()),
            cursor: RwLock::new(cursor),
            da_head: Mutex::new(None),
            da_trouble: Mutex::default(),
            control: Control::default(),
            halted: OnceLock::new(),
            runway: Mutex::default(),
            caught_up: AtomicBool::new(false),
            abandoned: Mutex::new(abandoned),
            votes,
            last_signed: Mutex::new(recovered.last_signed),
            skipped: Mutex::new(None),
            recent: Arc::default(),
            heads,
            blocks: broadcast::channel(EVENTS).0,
            dropped_blobs: AtomicU64::new(0),
            metrics: NodeMetrics::new(settings.pool),
            accepting: Arc::default(),
            // Asked once: the answer lies in files of the kernel.
            reads_ahead: std::thread::available_parallelism().map_or(1, usize::from) > 2,
            checks: Mutex::default(),
            failed: watch::Sender::default(),
            spec,
        });
        node.refill(&recovered.accepted)?;
        Ok(node)
    }

    /// The chain.
    pub fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// What the node does.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Executes, commits, unwinds; snapshots for readers.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// Transactions that wait.
    pub fn pool(&self) -> &Arc<Mempool> {
        &self.pool
    }

    /// Data availability.
    pub fn da(&self) -> &Arc<dyn DaBackend> {
        &self.da
    }

    /// The other members of the Metalayer.
    pub fn remotes(&self) -> &Arc<Remotes> {
        &self.remotes
    }

    /// Who builds.
    pub fn sequencer(&self) -> &Arc<dyn Sequencer> {
        &self.sequencer
    }

    /// Time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Signs what is posted.
    pub fn poster_key(&self) -> Option<&PrivateKeySigner> {
        self.poster_key.as_ref()
    }

    /// The heads, and every change of them.
    pub fn heads(&self) -> watch::Receiver<Heads> {
        self.heads.subscribe()
    }

    /// Blocks as they become visible or are dropped.
    pub fn blocks(&self) -> broadcast::Receiver<BlockEvent> {
        self.blocks.subscribe()
    }

    /// Where derivation stands; `None` until the first DA block of the chain was seen.
    pub fn cursor(&self) -> Option<Arc<Cursor>> {
        self.cursor.read().clone()
    }

    /// Newest DA block the layer told of; `None` until it did.
    pub fn da_head(&self) -> Option<DaRef> {
        *self.da_head.lock()
    }

    /// Notes the newest DA block the layer told of.
    pub fn note_da_head(&self, head: DaRef) {
        *self.da_head.lock() = Some(head);
    }

    /// Notes whether the layer answers; what it says if not.
    pub fn note_da_answer(&self, answer: Result<(), &DaError>) {
        let mut trouble = self.da_trouble.lock();
        match (answer, &mut *trouble) {
            (Ok(()), _) => *trouble = None,
            (Err(error), Some((_, reason))) => *reason = error.to_string(),
            (Err(error), none) => *none = Some((self.clock.now_ms(), error.to_string())),
        }
    }

    /// Ends everything but reading, until the process starts again.
    pub fn halt(&self, reason: String) {
        // The first reason is the one that counts.
        let _later = self.halted.set(reason);
    }

    /// Why nothing but reading goes on, if so.
    pub fn halted(&self) -> Option<&str> {
        self.halted.get().map(String::as_str)
    }

    /// Notes what is left of the funds that pay for posts.
    pub fn note_runway(&self, runway: Runway) {
        *self.runway.lock() = Some(runway);
    }

    /// What is left of the funds that pay for posts; `None` where posting costs nothing.
    pub fn runway(&self) -> Option<Runway> {
        *self.runway.lock()
    }

    /// What an operator may tell its loops.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Blobs of our namespace on DA that derivation dropped since the start of the process.
    pub fn dropped_blobs(&self) -> u64 {
        self.dropped_blobs.load(Ordering::Relaxed)
    }

    /// What this node counts and times.
    pub fn metrics(&self) -> &NodeMetrics {
        &self.metrics
    }

    /// Runs a blocking piece of the pipeline off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Pipeline) -> Result<T, ExecutionError> + Send + 'static,
    ) -> Result<T, ExecutionError> {
        let pipeline = self.pipeline.clone();
        tokio::task::spawn_blocking(move || work(&pipeline)).await.map_err(|error| {
            let reason = format!("a pipeline call panicked: {error}");
            self.failed.send_replace(Some(reason.clone()));
            ExecutionError::Broken(reason)
        })?
    }

    /// Completes when the process must end though no task has: a call of the pipeline panicked,
    /// for whomever it was, and nobody knows what it left undone.
    pub async fn failed(&self) -> NodeError {
        let mut failed = self.failed.subscribe();
        let reason = failed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => ExecutionError::Broken(reason).into(),
            None => std::future::pending().await,
        }
    }

    fn publish_heads(&self, reorged: bool) {
        let cursor = self.cursor();
        crash::point("heads.before");
        self.heads.send_modify(|heads| {
            let reorgs = heads.reorgs + u64::from(reorged);
            *heads = heads_of(&self.pipeline, cursor.as_deref(), reorgs);
        });
        crash::point("heads.after");
    }
}

fn heads_of(pipeline: &Pipeline, cursor: Option<&Cursor>, reorgs: u64) -> Heads {
    let snapshot = pipeline.snapshot();
    Heads {
        latest: snapshot.latest(),
        safe: snapshot.safe(),
        finalized: snapshot.finalized(),
        safe_da: cursor.map(|cursor| cursor.da).unwrap_or_default(),
        reorgs,
    }
}

fn genesis_claim(pipeline: &Pipeline) -> Result<Claim, ExecutionError> {
    let genesis = pipeline.snapshot().block(0)?;
    let genesis = genesis.ok_or_else(|| ExecutionError::Unknown("block 0".into()))?;
    Ok(genesis.plan.claim.clone())
}

pub(crate) fn decode_cursor(record: &Bytes) -> Result<Cursor, ExecutionError> {
    Cursor::decode(&mut record.as_ref())
        .map_err(|error| ExecutionError::Damaged(format!("derivation record: {error}")))
}

/// The newest derivation record whose safe head is on the chain: an unwind may have gone below
/// the newest of all.
fn open_cursor(pipeline: &Pipeline) -> Result<Option<Arc<Cursor>>, ExecutionError> {
    let snapshot = pipeline.snapshot();
    let Some((newest, record)) = snapshot.last_derived()? else { return Ok(None) };
    let mut cursor = decode_cursor(&record)?;
    while snapshot.id(cursor.safe.number)?.map(|id| id.claim) != Some(cursor.safe.claim) {
        let below = cursor.da.height.checked_sub(1);
        let record = below.map(|height| snapshot.derived(height)).transpose()?.flatten();
        let record = record.ok_or_else(|| {
            ExecutionError::Damaged("no derivation record stands on a block of the chain".into())
        })?;
        cursor = decode_cursor(&record)?;
    }
    if cursor.da.height < newest {
        pipeline.underive(cursor.da.height, cursor.safe.number)?;
    }
    Ok(Some(Arc::new(cursor)))
}

/// Splits the sequencer's records from ours: what was abandoned.
fn sort_records(records: &[Bytes]) -> Result<(Vec<Claim>, Vec<Bytes>), ExecutionError> {
    let mut abandoned = Vec::new();
    let mut votes = Vec::new();
    for record in records {
        match record.split_first() {
            Some((&RECORD_VOTE, vote)) => votes.push(record.slice_ref(vote)),
            Some((&RECORD_ABANDONED, mut bytes)) => {
                let decoded = Claim::decode(&mut bytes).map_err(|error| {
                    ExecutionError::Damaged(format!("abandoned claim: {error}"))
                })?;
                abandoned.push(decoded);
            }
            _ => return Err(ExecutionError::Damaged("a record of unknown kind".into())),
        }
    }
    Ok((abandoned, votes))
}

fn record(kind: u8, value: &dyn Encodable) -> Bytes {
    let mut bytes = vec![kind];
    value.encode(&mut bytes);
    bytes.into()
}

/// The tuple a seal of this chain signs for a claim.
fn seal_tuple(spec: &ChainSpec, claim: &Claim, hash: B256, view: u64) -> SealTuple {
    SealTuple {
        identity: spec.identity(),
        term: claim.term,
        view,
        number: claim.number,
        claim: hash,
    }
}
