//! Other members of the Metalayer, re-derived from their own DA: one follower a member and process.

mod final_da;
#[cfg(test)]
mod tests;
mod truth;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_chainspec::{ChainSpec, Clock};
use causeway_consensus::mempool::Limits;
use causeway_da::{DaBackend, DaError};
use causeway_execution::ExecutionError;
use causeway_execution::disk::Folder;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub use final_da::FinalDa;
pub use truth::Truth;

use crate::config::Role;
use crate::node::{Node, NodeError, Settings};
use crate::tasks::{derive, verify};

/// Blocks of state that a follower keeps: an anchor may be of an older block than its newest, and
/// is compared with the one before. Beyond them a claim brings all lanes instead of those changed.
const HISTORY_BLOCKS: u64 = 100_000;

/// Pause before a follower reads on after an answer of its DA layer that made no sense.
const AGAIN: Duration = Duration::from_secs(5);

/// A follower takes no transactions.
const NO_POOL: Limits = Limits { queued: 0, count: 0, bytes: 0, tx_bytes: 0 };

/// What following one member takes.
pub struct RemoteSettings {
    /// Its chain.
    pub spec: Arc<ChainSpec>,
    /// Its DA layer.
    pub da: Arc<dyn DaBackend>,
    /// Directory of the follower's own data.
    pub datadir: Folder,
}

/// Followers of a process by domain, shared by its nodes. A member whose own node runs in this
/// process may be among them: the others are checked against it, and its node ignores it.
#[derive(Default)]
pub struct Remotes {
    followers: BTreeMap<u32, Follower>,
    /// Counts what followers did: new blocks, blocks verified, stops.
    changes: watch::Sender<u64>,
}

struct Follower {
    node: Arc<Node>,
    trouble: Mutex<Option<Trouble>>,
}

/// Why a follower stopped for good.
#[derive(Debug, Clone)]
struct Trouble {
    reason: String,
    /// What it would have to read next is gone.
    pruned: bool,
}

impl Remotes {
    /// Opens a follower for each; nothing runs yet.
    pub fn open(
        settings: Vec<RemoteSettings>,
        clock: Arc<dyn Clock>,
        cache_bytes: usize,
    ) -> Result<Arc<Self>, NodeError> {
        let mut followers = BTreeMap::new();
        for RemoteSettings { spec, da, datadir } in settings {
            let domain = spec.metalayer.domain;
            let node = Node::open(Settings {
                spec,
                datadir,
                role: Role::Full,
                da: Arc::new(FinalDa::new(da)),
                clock: clock.clone(),
                sequencer_key: None,
                poster_key: None,
                sequencer_url: None,
                modules: Vec::new(),
                // A follower chooses no anchors, and is verified with the whole set it is in.
                remotes: Arc::default(),
                pool: NO_POOL,
                // A block may be anchored long after it was followed, and needs its state then.
                archive: true,
                // Nobody asks a follower who sent what.
                address_index: Some(false),
                history_blocks: HISTORY_BLOCKS,
                cache_bytes,
            })?;
            followers.insert(domain, Follower { node, trouble: Mutex::default() });
        }
        Ok(Arc::new(Self { followers, changes: watch::Sender::default() }))
    }

    /// The follower of a member, which has final blocks only.
    pub fn get(&self, domain: u32) -> Option<&Arc<Node>> {
        self.followers.get(&domain).map(|follower| &follower.node)
    }

    /// Members that are followed, by ascending domain.
    pub fn domains(&self) -> impl Iterator<Item = u32> {
        self.followers.keys().copied()
    }

    /// Why a follower stopped, in words a person can act on; `None` while it goes on.
    pub fn trouble(&self, domain: u32) -> Option<String> {
        let follower = self.followers.get(&domain)?;
        follower.trouble.lock().as_ref().map(|trouble| trouble.reason.clone())
    }

    /// Changes whenever a follower has new blocks, has verified some, or stopped.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Runs all followers until `stop`. Trouble of one ends neither the others nor this; a panic
    /// or a broken invariant does.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), NodeError> {
        let mut tasks = JoinSet::new();
        for domain in self.followers.keys() {
            tasks.spawn(self.clone().follow(*domain, stop.clone()));
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                    ended.unwrap_or_else(|panicked| Err(NodeError::Task(panicked.to_string())))?;
                }
            }
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(panicked) = ended {
                error!(error = %panicked, "following a member ended while stopping");
            }
        }
        for follower in self.followers.values() {
            let pipeline = follower.node.pipeline().clone();
            let flushed = tokio::task::spawn_blocking(move || pipeline.flush()).await;
            if let Ok(Err(error)) = flushed {
                let chain = &follower.node.spec().short_name;
                error!(%error, chain, "a follower could not be closed; its log has everything");
            }
        }
        Ok(())
    }

    /// The loops of one follower, until `stop`. An error is a fault of this program, which ends
    /// the process; anything else is trouble of this follower alone.
    async fn follow(
        self: Arc<Self>,
        domain: u32,
        stop: CancellationToken,
    ) -> Result<(), NodeError> {
        let Some(follower) = self.followers.get(&domain) else { return Ok(()) };
        let node = &follower.node;
        let own = stop.child_token();
        let mut loops = JoinSet::new();
        loops.spawn(self.clone().derive(domain, own.clone()));
        loops.spawn(verify::run(node.clone(), self.clone(), own.clone()));
        loops.spawn(self.clone().tell(node.clone(), own.clone()));
        while let Some(ended) = loops.join_next().await {
            let error = match ended {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(panicked) => NodeError::Task(format!("a task panicked: {panicked}")),
            };
            if matches!(error, NodeError::Task(_) | NodeError::Execution(ExecutionError::Broken(_)))
            {
                error!(%error, chain = node.spec().short_name, "a follower failed");
                return Err(error);
            }
            // What was read before DA failed can still be verified; without its storage nothing.
            if !matches!(error, NodeError::Da(_) | NodeError::Safety(_)) {
                own.cancel();
            }
            follower.stopped(error);
            self.changed();
        }
        Ok(())
    }

    /// Reads the DA layer of a member. What its DA answers wrongly once, it may answer rightly
    /// later; what is pruned is gone.
    async fn derive(
        self: Arc<Self>,
        domain: u32,
        stop: CancellationToken,
    ) -> Result<(), NodeError> {
        let Some(follower) = self.followers.get(&domain) else { return Ok(()) };
        loop {
            let ended = tokio::select! {
                ended = derive::run(follower.node.clone(), stop.clone()) => ended,
                ended = self.forgive(follower) => ended,
            };
            let error = match ended {
                Err(NodeError::Da(error)) if !matches!(error, DaError::Pruned { .. }) => error,
                ended => return ended,
            };
            follower.stopped(error.into());
            self.changed();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Takes the trouble of a follower back once it has read more. Never ends.
    async fn forgive(&self, follower: &Follower) -> Result<(), NodeError> {
        let mut heads = follower.node.heads();
        let before = heads.borrow().safe_da;
        if heads.wait_for(|heads| heads.safe_da != before).await.is_ok()
            && follower.trouble.lock().take().is_some()
        {
            self.changed();
        }
        std::future::pending().await
    }

    /// Tells those who wait of what a follower does.
    async fn tell(
        self: Arc<Self>,
        node: Arc<Node>,
        stop: CancellationToken,
    ) -> Result<(), NodeError> {
        let (mut heads, mut verified) = (node.heads(), node.verified_changes());
        loop {
            let changed = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = heads.changed() => changed,
                changed = verified.changed() => changed,
            };
            if changed.is_err() {
                return Ok(());
            }
            self.changed();
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Follower {
    /// Keeps the first reason: it is the one that matters.
    fn stopped(&self, error: NodeError) {
        let chain = &self.node.spec().short_name;
        error!(%error, chain, "a member cannot be followed; the others are");
        let pruned = matches!(error, NodeError::Da(DaError::Pruned { .. }));
        self.trouble.lock().get_or_insert(Trouble { reason: error.to_string(), pruned });
    }
}
