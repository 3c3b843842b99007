//! The nodes of a devnet, from their directories to their sockets.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use causeway_chainspec::spec::presets::{Keys, Template};
use causeway_chainspec::{ChainSpec, Clock};
use causeway_consensus::mempool::Limits;
use causeway_da::local::{LocalConfig, LocalDa, serve};
use eyre::{WrapErr, eyre};
use tokio_util::sync::CancellationToken;

use super::super::load_spec;
use super::super::run::{DaTask, interrupted, node_error};
use super::{Account, ChainEndpoints, Endpoints, print_banner, write_endpoints};
use crate::clock::SystemClock;
use crate::config::{DEFAULT_CACHE_MIB, DEFAULT_HISTORY, Role};
use crate::devkeys;
use crate::exit::{CommandResult, Exit, ExitError};
use crate::node::Settings;
use crate::rpc::RpcConfig;
use crate::tasks::{self, Running};

/// What a devnet is made from.
pub(super) struct Options {
    pub(super) dir: PathBuf,
    pub(super) http: SocketAddr,
    pub(super) vm: Option<String>,
    pub(super) chain_id: Option<u64>,
    pub(super) block_time: Option<String>,
}

/// Runs a devnet until a signal or a failure.
pub(super) async fn run(options: Options) -> CommandResult {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let spec = open_spec(&options, clock.now_ms())?;
    let (da_url, (da_stop, da_server)) = start_da(&options, &spec, clock.clone()).await?;

    let sequencer = start_node(&options, &spec, &clock, &da_url, None).await?;
    let feed = format!("ws://{}", sequencer.addr());
    let full = start_node(&options, &spec, &clock, &da_url, Some(feed)).await?;

    let endpoints = endpoints(&options, &spec, &sequencer, &full, da_url);
    write_endpoints(&options.dir, &endpoints)?;
    print_banner(&endpoints);

    let (mut sequencer, mut full) = (sequencer, full);
    let failed = tokio::select! {
        () = interrupted() => None,
        error = sequencer.failed() => Some(error),
        error = full.failed() => Some(error),
    };
    eprintln!("stopping");
    let stopped = (full.stop().await, sequencer.stop().await);
    da_stop.cancel();
    da_server.await??;
    match (failed, stopped) {
        (Some(error), _) | (None, (Err(error), _) | (_, Err(error))) => Err(node_error(error)),
        (None, (Ok(()), Ok(()))) => Ok(Exit::Success),
    }
}

/// The spec of the directory; written first if it is new. What was chosen for a new devnet must
/// hold for an old one, too.
fn open_spec(options: &Options, now_ms: u64) -> Result<Arc<ChainSpec>, ExitError> {
    let path = options.dir.join("chain.toml");
    let new = !path.exists();
    if new {
        let (id, vm) = (options.chain_id.unwrap_or(901), options.vm.as_deref().unwrap_or("evm"));
        let mut template = Template::devnet("alpha", id, vm, Keys::DEV, now_ms);
        if let Some(block_time) = &options.block_time {
            template.block_time.clone_from(block_time);
        }
        std::fs::write(&path, template.to_toml())
            .wrap_err_with(|| format!("cannot write {}", path.display()))?;
    }
    let spec = load_spec(&path)?;
    let other_vm = options.vm.as_ref().is_some_and(|vm| *vm != spec.vm);
    let other_id = options.chain_id.is_some_and(|id| id != spec.chain_id);
    if other_vm || other_id || (!new && options.block_time.is_some()) {
        let (dir, vm, id) = (options.dir.display(), &spec.vm, spec.chain_id);
        let report = eyre!(
            "the devnet in {dir} has vm {vm}, chain id {id} and its own block time; leave the flags \
             out to go on with it, or add --fresh to start over"
        );
        return Err(ExitError::new(Exit::Spec, report));
    }
    Ok(Arc::new(spec))
}

async fn start_da(
    options: &Options,
    spec: &ChainSpec,
    clock: Arc<dyn Clock>,
) -> Result<(String, DaTask), ExitError> {
    let key = devkeys::da();
    let config = LocalConfig {
        genesis_time_ms: spec.genesis.time_ms,
        interval_ms: spec.da.interval_ms,
        ..LocalConfig::default()
    };
    let da = Arc::new(LocalDa::open(&options.dir.join("da"), key, config)?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let stop = CancellationToken::new();
    Ok((url, (stop.clone(), tokio::spawn(serve(listener, da, clock, stop)))))
}

/// Starts the sequencer, or with a feed to follow, the full node. Neither sees the other's files.
async fn start_node(
    options: &Options,
    spec: &Arc<ChainSpec>,
    clock: &Arc<dyn Clock>,
    da_url: &str,
    feed: Option<String>,
) -> Result<Running, ExitError> {
    let port = options.http.port();
    let (role, name, port) = match feed {
        None => (Role::Sequencer, "sequencer", port),
        // Port 0 asks for any free one, for both.
        Some(_) if port == 0 => (Role::Full, "full", 0),
        Some(_) => (Role::Full, "full", port.saturating_add(1)),
    };
    let is_sequencer = role == Role::Sequencer;
    let mut da = toml::Table::new();
    da.insert("url".into(), da_url.into());
    let settings = Settings {
        spec: spec.clone(),
        datadir: options.dir.join(name),
        role,
        da: causeway_da::open(spec, &da)?,
        clock: clock.clone(),
        sequencer_key: is_sequencer.then(devkeys::sequencer),
        poster_key: is_sequencer.then(devkeys::poster),
        sequencer_url: feed,
        modules: Vec::new(),
        remotes: Arc::default(),
        pool: Limits::default(),
        archive: false,
        history_blocks: DEFAULT_HISTORY,
        cache_bytes: DEFAULT_CACHE_MIB << 20,
    };
    let listener = listen(SocketAddr::new(options.http.ip(), port))?;
    let rpc = RpcConfig { origins: vec!["*".into()], ..RpcConfig::default() };
    tasks::start(settings, listener, rpc).await.map_err(node_error)
}

/// The address wanted, or a free port of it if somebody else has it.
fn listen(wanted: SocketAddr) -> eyre::Result<TcpListener> {
    TcpListener::bind(wanted)
        .or_else(|_| TcpListener::bind(SocketAddr::new(wanted.ip(), 0)))
        .map_err(|error| eyre!("cannot listen on {wanted} nor on any port of it: {error}"))
}

fn endpoints(
    options: &Options,
    spec: &ChainSpec,
    sequencer: &Running,
    full: &Running,
    da: String,
) -> Endpoints {
    let accounts = devkeys::accounts()
        .into_iter()
        .map(|signer| Account {
            address: signer.address().to_string(),
            key: signer.to_bytes().to_string(),
        })
        .collect();
    let chain = ChainEndpoints {
        name: spec.short_name.clone(),
        chain_id: spec.chain_id,
        rpc: format!("http://{}", sequencer.addr()),
        ws: format!("ws://{}", sequencer.addr()),
        full_rpc: format!("http://{}", full.addr()),
        da,
        spec: options.dir.join("chain.toml"),
    };
    Endpoints { pid: std::process::id(), chains: vec![chain], accounts }
}
