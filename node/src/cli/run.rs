//! `causeway run`: one node of a chain, until it is told to stop.

use std::net::{SocketAddr, TcpListener};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::spec::{Kind, Lock};
use causeway_chainspec::{ChainSpec, Clock};
use causeway_da::DaError;
use causeway_da::ethereum::{self, Account, ParentChain};
use causeway_da::local::{LocalConfig, LocalDa};
use clap::Args;
use eyre::{WrapErr, eyre};
use tracing::{error, info};

use super::da::Service;
use super::deploy::deployment_of;
use super::remotes::{self, Following};
use super::{block_on, chainspec, load_spec};
use crate::clock::SystemClock;
use crate::config::{
    AdminFile, DEFAULT_CACHE_MIB, DEFAULT_HISTORY, DEFAULT_HTTP, DaServiceFile, NodeFile,
    ProposerFile, Role, read_key,
};
use crate::devkeys;
use crate::exit::{CommandResult, Exit, ExitError};
use crate::logging::{self, LogFormat};
use crate::metrics;
use crate::node::Settings;
use crate::rpc::RpcConfig;
use crate::rpc::admin::Secret;
use crate::tasks::{self, Proposer, Running};

/// Run a node of a chain.
#[derive(Debug, Args)]
pub struct Run {
    /// Chain spec.
    #[arg(long, env = "CAUSEWAY_CHAIN", default_value = "chain.toml")]
    chain: PathBuf,
    /// Settings of this node; `node.toml` beside the chain spec if left out.
    #[arg(long, env = "CAUSEWAY_NODE")]
    node: Option<PathBuf>,
    /// Directory of the node's data.
    #[arg(long, env = "CAUSEWAY_DATADIR", default_value = "data")]
    datadir: PathBuf,
    /// What the node does.
    #[arg(long, env = "CAUSEWAY_ROLE", value_enum)]
    role: Option<Role>,
    /// Address of JSON-RPC, HTTP and WebSocket.
    #[arg(long, env = "CAUSEWAY_HTTP")]
    http: Option<SocketAddr>,
    /// WebSocket URL of the sequencer, for a full node.
    #[arg(long, env = "CAUSEWAY_SEQUENCER")]
    sequencer: Option<String>,
    /// URL of the DA layer.
    #[arg(long, env = "CAUSEWAY_DA_URL")]
    da_url: Option<String>,
    /// Key file that seals blocks.
    #[arg(long, env = "CAUSEWAY_SEQUENCER_KEY")]
    sequencer_key: Option<PathBuf>,
    /// Key file that signs what is posted to DA.
    #[arg(long, env = "CAUSEWAY_POSTER_KEY")]
    poster_key: Option<PathBuf>,
    /// Address that serves the node's metrics as OpenMetrics text, as 127.0.0.1:9101;
    /// none if not given.
    #[arg(long, env = "CAUSEWAY_METRICS", value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Address on loopback that serves `admin_*`, `sequencer_*` and `batcher_*` to who has a token,
    /// as 127.0.0.1:8550; none if not given.
    #[arg(long, env = "CAUSEWAY_ADMIN", value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Secret of its tokens, 64 hex digits, made if it is missing; `admin.jwt` beside the chain spec
    /// if not given.
    #[arg(long, env = "CAUSEWAY_ADMIN_JWT", value_name = "FILE")]
    admin_jwt: Option<PathBuf>,
    /// Keep the state of every block.
    #[arg(long)]
    archive: bool,
    /// Caches of the store, in MiB; members that are followed share them.
    #[arg(long, env = "CAUSEWAY_CACHE_MIB", value_name = "MIB")]
    cache_mib: Option<usize>,
    /// Most transactions that may wait.
    #[arg(long, env = "CAUSEWAY_POOL_COUNT", value_name = "COUNT")]
    pool_count: Option<NonZeroUsize>,
    /// Origin of web pages that may call this node (CORS); `*` for all. May be given again.
    #[arg(long)]
    origin: Vec<String>,
    /// Namespaces of JSON-RPC that answer, as eth,net; all if not given.
    #[arg(long, env = "CAUSEWAY_RPC_API", value_delimiter = ',', value_name = "NAMESPACES")]
    rpc_api: Vec<String>,
    /// Most connections of JSON-RPC at a time.
    #[arg(long, env = "CAUSEWAY_RPC_CONNECTIONS", value_name = "COUNT")]
    rpc_connections: Option<NonZeroU32>,
    /// Most calls of a batch.
    #[arg(long, env = "CAUSEWAY_RPC_BATCH", value_name = "COUNT")]
    rpc_batch: Option<NonZeroU32>,
    /// Sign for the ten public development accounts when asked by eth_sendTransaction and the like;
    /// for a spec of kind = "devnet" alone.
    #[arg(long)]
    dev_accounts: bool,
    /// Form of log lines.
    #[arg(long, value_enum, default_value_t)]
    log: LogFormat,
    /// What to log, as in RUST_LOG.
    #[arg(long, env = "CAUSEWAY_LOG", default_value = "info")]
    log_filter: String,
}

impl Run {
    /// Runs the command.
    pub fn run(self) -> CommandResult {
        logging::install(self.log, &self.log_filter)?;
        let spec = Arc::new(load_spec(&self.chain)?);
        let file = self.node.clone().unwrap_or_else(|| self.chain.with_file_name("node.toml"));
        let mut file =
            NodeFile::read(&file).map_err(|report| ExitError::new(Exit::Spec, report))?;
        if let Some(url) = &self.da_url {
            file.da.insert("url".into(), url.clone().into());
        }
        let role = self.role.or(file.role).unwrap_or(Role::Full);
        let key = |flag: &Option<PathBuf>, file: &Option<PathBuf>| {
            flag.as_ref().or(file.as_ref()).map(|path| read_key(path)).transpose()
        };
        let (sequencer_key, poster_key) = match role {
            Role::Full => (None, None),
            Role::Sequencer => (
                key(&self.sequencer_key, &file.keys.sequencer)?,
                key(&self.poster_key, &file.keys.poster)?,
            ),
        };
        if role == Role::Sequencer && (sequencer_key.is_none() || poster_key.is_none()) {
            let report = eyre!("a sequencer needs --sequencer-key FILE and --poster-key FILE");
            return Err(ExitError::new(Exit::Spec, report));
        }
        let http = self.http.or(file.http).map_or_else(|| DEFAULT_HTTP.parse(), Ok)?;
        let listener = listen(http)?;
        let metrics = self.metrics.or(file.metrics.listen).map(listen_metrics).transpose()?;
        let admin = self.admin(&file.admin)?;
        let mut rpc = self.limits(&mut file);
        if self.dev_accounts {
            rpc.dev_accounts = dev_accounts(&spec)?;
        }
        let proposer = file.proposer.as_ref().map(|own| proposer(&spec, &file.da, own));
        let proposer = proposer.transpose()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let followed = remotes::settings(&spec, &file.da, &file.remotes, &self.datadir)?;
        let mut settings = Settings {
            da: causeway_da::open(&spec, &file.da)?,
            spec,
            datadir: self.datadir.clone().into(),
            role,
            clock: clock.clone(),
            sequencer_key,
            poster_key,
            sequencer_url: self.sequencer.clone().or(file.sequencer.clone()),
            modules: Vec::new(),
            remotes: Arc::default(),
            pool: file.pool.limits(),
            archive: self.archive || file.store.archive.unwrap_or(false),
            address_index: file.store.address_index.or_else(|| lean(role, &self.datadir)),
            history_blocks: file.store.history_blocks.unwrap_or(DEFAULT_HISTORY),
            cache_bytes: file.store.cache_mib.unwrap_or(DEFAULT_CACHE_MIB) << 20,
        };
        block_on(async move {
            let interval_ms = settings.spec.da.interval_ms;
            let service = start_da(file.da_service, interval_ms, clock.clone()).await?;
            let cache_bytes = settings.cache_bytes / (followed.len() + 1);
            let (remotes, following) = remotes::start(followed, clock, cache_bytes).await?;
            settings.remotes = remotes;
            let mut running = tasks::start(settings, listener, rpc).await?;
            if let Some(listener) = metrics {
                info!(metrics = %metrics_url(&listener)?, "serving metrics");
                running.serve_metrics(listener);
            }
            if let Some((listener, secret)) = admin {
                let addr = running.serve_admin(listener, secret).await?;
                info!(admin = %format!("http://{addr}"), "serving administrative methods");
            }
            if let Some(proposer) = proposer {
                running.propose(proposer);
            }
            if let Some(file) = file.blob_archive {
                let listener = tokio::net::TcpListener::bind(file.listen)
                    .await
                    .wrap_err_with(|| format!("cannot listen on {}", file.listen))?;
                let archive = causeway_da::ethereum::Archive::open(&file.dir)?;
                info!(blobs = %format!("http://{}", listener.local_addr()?), "serving blobs");
                running.serve_blobs(listener, archive);
            }
            if let Err(error) = check_lock(&self.chain, &running) {
                running.stop().await?;
                following.stop().await;
                return Err(error);
            }
            info!(rpc = %format!("http://{}", running.addr()), "ready");
            until_stopped(running, following, service).await
        })?
    }
}

impl Run {
    /// The admin listener and its secret, if it is asked for.
    fn admin(&self, file: &AdminFile) -> eyre::Result<Option<(TcpListener, Secret)>> {
        let Some(addr) = self.admin.or(file.listen) else { return Ok(None) };
        let path = self.admin_jwt.clone().or_else(|| file.jwt.clone());
        let secret = Secret::open(&path.unwrap_or_else(|| self.chain.with_file_name("admin.jwt")))?;
        let listener = TcpListener::bind(addr).wrap_err_with(|| {
            format!("cannot serve administrative methods on {addr}; choose another with --admin")
        })?;
        Ok(Some((listener, secret)))
    }

    /// What flags say of limits goes into the file's, and those of JSON-RPC come out.
    fn limits(&self, file: &mut NodeFile) -> RpcConfig {
        let list = |flags: &[String]| (!flags.is_empty()).then(|| flags.to_vec());
        let NodeFile { store, pool, rpc, .. } = file;
        store.cache_mib = self.cache_mib.or(store.cache_mib);
        pool.count = self.pool_count.or(pool.count);
        rpc.origins = list(&self.origin).or(rpc.origins.take());
        rpc.api = list(&self.rpc_api).or(rpc.api.take());
        rpc.connections = self.rpc_connections.or(rpc.connections);
        rpc.batch = self.rpc_batch.or(rpc.batch);
        rpc.config()
    }
}

/// Who proposes outputs, by the settings of the DA layer and of its own.
fn proposer(
    spec: &ChainSpec,
    da: &toml::Table,
    file: &ProposerFile,
) -> Result<Proposer, ExitError> {
    let (bridge, _) = deployment_of(spec)?;
    let invalid = |text: &str| ExitError::new(Exit::Spec, eyre!("[proposer]: {text}"));
    if !bridge.has_contracts {
        return Err(invalid("nothing can leave a chain without contracts: remove the section"));
    }
    if file.every < Duration::from_secs(1) {
        return Err(invalid("every must be at least \"1s\""));
    }
    let settings = |key: Option<&Path>| {
        let mut table = da.clone();
        if let Some(key) = key {
            table.insert("key".into(), key.to_string_lossy().into_owned().into());
        }
        ethereum::Settings::of(spec, &table)
    };
    let own = settings(Some(&file.key))?;
    let chain = ParentChain::open(ethereum::Options::of(spec)?.chain_id, &own)?;
    let account = Account::open(chain.clone(), &own)?;
    let posts = da.contains_key("key").then(|| Account::open(chain, &settings(None)?));
    if posts.transpose()?.is_some_and(|posts| posts.address() == account.address()) {
        return Err(invalid("its key is that of [da], whose account must do nothing but post"));
    }
    Ok(Proposer { account, portal: bridge.portal, every: file.every })
}

/// The keys of the development accounts, for a chain on which nobody keeps anything with them.
fn dev_accounts(spec: &ChainSpec) -> Result<Vec<PrivateKeySigner>, ExitError> {
    if spec.kind != Kind::Devnet {
        let report = eyre!(
            "--dev-accounts signs with keys that everybody knows, and this spec is no kind = \"devnet\""
        );
        return Err(ExitError::new(Exit::Spec, report));
    }
    Ok(devkeys::accounts())
}

/// A new sequencer keeps no address index, which costs rows of its store for each transaction: full
/// nodes answer explorers. What a datadir was begun with stays.
fn lean(role: Role, datadir: &Path) -> Option<bool> {
    (role == Role::Sequencer && !datadir.exists()).then_some(false)
}

/// Binds the address of JSON-RPC.
pub(super) fn listen(http: SocketAddr) -> eyre::Result<TcpListener> {
    TcpListener::bind(http)
        .wrap_err_with(|| format!("cannot listen on {http}; choose another address with --http"))
}

fn listen_metrics(addr: SocketAddr) -> eyre::Result<TcpListener> {
    TcpListener::bind(addr).wrap_err_with(|| {
        format!("cannot serve metrics on {addr}; choose another address with --metrics")
    })
}

fn metrics_url(listener: &TcpListener) -> eyre::Result<String> {
    Ok(format!("http://{}{}", listener.local_addr()?, metrics::PATH))
}

/// Compares block 0 with `chain.lock` beside the spec, which is written if it is not there.
fn check_lock(chain: &Path, running: &Running) -> Result<(), ExitError> {
    let node = running.node();
    let genesis = node.pipeline().snapshot().header(0)?;
    let genesis = genesis.ok_or_else(|| eyre!("block 0 is missing"))?;
    let computed = Lock::new(node.spec(), genesis.hash_slow(), genesis.state_root);
    match chainspec::read_lock(chain)? {
        Some(lock) => lock.check(&computed).map_err(|error| ExitError::new(Exit::Spec, error))?,
        None => chainspec::write_lock(chain, &computed)?,
    }
    Ok(())
}

/// Starts the DA service that `[da_service]` asks for.
async fn start_da(
    file: Option<DaServiceFile>,
    interval_ms: u64,
    clock: Arc<dyn Clock>,
) -> Result<Option<Service>, ExitError> {
    let Some(file) = file else { return Ok(None) };
    let key = read_key(&file.key)?;
    let genesis_time_ms = clock.now_ms();
    let config = LocalConfig { genesis_time_ms, interval_ms, ..LocalConfig::default() };
    let da = Arc::new(LocalDa::open(&file.dir, key, config)?);
    let listener = tokio::net::TcpListener::bind(file.listen)
        .await
        .wrap_err_with(|| format!("cannot listen on {}", file.listen))?;
    Ok(Some(Service::start(listener, da, clock)))
}

/// Waits for a signal or a failure, then stops the node and its followers.
async fn until_stopped(
    mut running: Running,
    mut following: Following,
    mut service: Option<Service>,
) -> CommandResult {
    let failed = tokio::select! {
        () = interrupted() => None,
        error = running.failed() => Some(error),
        error = following.failed() => Some(error),
        error = service_failed(&mut service) => Some(error.into()),
    };
    match &failed {
        None => info!("stopping"),
        Some(error) => error!(%error, "stopping"),
    }
    let stopped = running.stop().await;
    following.stop().await;
    let served = match service {
        Some(service) => service.stop().await,
        None => Ok(()),
    };
    match failed {
        Some(error) => Err(error.into()),
        None => {
            stopped?;
            Ok(served.map(|()| Exit::Success)?)
        }
    }
}

async fn service_failed(service: &mut Option<Service>) -> DaError {
    match service {
        Some(service) => service.failed().await,
        None => std::future::pending().await,
    }
}

/// Completes on SIGINT or SIGTERM, which are caught from the call on.
pub(super) fn interrupted() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be caught");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be caught");
    async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
