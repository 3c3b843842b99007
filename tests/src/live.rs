//! A sequencer in this process as it runs in earnest: the machine's clock, its loops, its ports; only
//! the DA layer is in memory.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use causeway_chainspec::Clock;
use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_chainspec::spec::{Inputs, parse};
use causeway_consensus::mempool::Limits;
use causeway_da::http;
use causeway_da::memory::{MemoryConfig, MemoryDa};
use causeway_node::clock::SystemClock;
use causeway_node::config::Role;
use causeway_node::node::{Node, Settings};
use causeway_node::rpc::RpcConfig;
use causeway_node::rpc::admin::Secret;
use causeway_node::tasks::{self, Running};
use eyre::{bail, ensure, eyre};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::keys;

/// Chain id of every such chain.
pub const CHAIN_ID: u64 = 901;
/// Time between two blocks, with transactions or without, ms.
pub const BLOCK_MS: u64 = 250;
/// Time between two DA blocks, ms.
const DA_MS: u64 = 250;
/// Longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running sequencer.
pub struct Live {
    /// Its loops.
    pub running: Running,
    /// Its DA layer.
    pub da: Arc<MemoryDa>,
    /// Its admin listener.
    pub admin: SocketAddr,
    secret: Secret,
    http: reqwest::Client,
    ticks: JoinHandle<()>,
    // Removed after everything else.
    _dir: TempDir,
}

impl Live {
    /// Starts one.
    pub async fn start(rpc: RpcConfig) -> eyre::Result<Self> {
        let now_ms = SystemClock.now_ms();
        // Whole seconds, as a spec has them.
        let genesis_ms = (now_ms / 1000 - 2) * 1000;
        let text = devnet_chain("live", CHAIN_ID, "evm", Keys::DEV, genesis_ms)
            .replace("idle = \"2s\"", &format!("idle = \"{BLOCK_MS}ms\""))
            .replace("interval = \"1s\"", &format!("interval = \"{DA_MS}ms\""));
        let (spec, _warnings) =
            parse(&text, &Inputs::NONE).map_err(|invalid| eyre!("spec: {invalid}"))?;
        ensure!(spec.sequencer.block_time_ms == BLOCK_MS && spec.sequencer.idle_ms == BLOCK_MS);
        ensure!(spec.da.interval_ms == DA_MS);
        let config = MemoryConfig { genesis_time_ms: genesis_ms, ..MemoryConfig::default() };
        let da = Arc::new(MemoryDa::new(config));
        let layer = da.clone();
        let ticks = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(DA_MS));
            loop {
                ticks.tick().await;
                layer.produce(SystemClock.now_ms());
            }
        });
        let dir = TempDir::new()?;
        let settings = Settings {
            spec: Arc::new(spec),
            datadir: dir.path().join("data").into(),
            role: Role::Sequencer,
            da: da.clone(),
            clock: Arc::new(SystemClock),
            sequencer_key: Some(keys::sequencer()),
            poster_key: Some(keys::poster()),
            sequencer_url: None,
            modules: Vec::new(),
            remotes: Arc::default(),
            pool: Limits::default(),
            archive: false,
            address_index: Some(true),
            history_blocks: 1024,
            cache_bytes: 64 << 20,
        };
        let mut running = tasks::start(settings, TcpListener::bind("127.0.0.1:0")?, rpc).await?;
        let secret = Secret::new(B256::repeat_byte(5));
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let admin = running.serve_admin(listener, secret.clone()).await?;
        let http = http::client(PATIENCE, false)?;
        Ok(Self { running, da, admin, secret, http, ticks, _dir: dir })
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        self.running.node()
    }

    /// Number of the newest block.
    pub fn latest(&self) -> u64 {
        self.node().heads().borrow().latest.number
    }

    /// Number of the newest safe block.
    pub fn safe(&self) -> u64 {
        self.node().heads().borrow().safe.number
    }

    /// The whole answer to a call of JSON-RPC.
    pub async fn call(&self, method: &str, params: Value) -> eyre::Result<Value> {
        let url = format!("http://{}", self.running.addr());
        Ok(self.http.post(url).json(&request(method, params)).send().await?.json().await?)
    }

    /// The whole answer to a call of the admin listener, with a token.
    pub async fn administer(&self, method: &str, params: Value) -> eyre::Result<Value> {
        let token = self.secret.token(SystemClock.now_ms() / 1000);
        let post = self.http.post(format!("http://{}", self.admin)).bearer_auth(token);
        Ok(post.json(&request(method, params)).send().await?.error_for_status()?.json().await?)
    }

    /// Status and JSON of a path.
    pub async fn get(&self, path: &str) -> eyre::Result<(u16, Value)> {
        let url = format!("http://{}{path}", self.running.addr());
        let answer = self.http.get(url).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// Stops everything.
    pub async fn stop(self) -> eyre::Result<()> {
        let stopped = self.running.stop().await;
        self.ticks.abort();
        Ok(stopped?)
    }
}

/// Longest that something may take to come.
const COMES: Duration = Duration::from_secs(30);

/// Waits until something is so.
pub async fn until(
    what: &str,
    mut done: impl AsyncFnMut() -> eyre::Result<bool>,
) -> eyre::Result<()> {
    let started = Instant::now();
    while !done().await? {
        if started.elapsed() > COMES {
            bail!("{what}: not within {COMES:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn request(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}
