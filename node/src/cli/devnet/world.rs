//! The nodes of a devnet, from their directories to their sockets.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::Clock;
use causeway_chainspec::mailbox::Coin;
use causeway_consensus::mempool::Limits;
use causeway_da::local::{LocalConfig, LocalDa};
use causeway_da::{DaBackend, DaError};
use eyre::eyre;
use futures::FutureExt;
use futures::future::{join_all, select_all};

use super::super::da::Service;
use super::super::deploy;
use super::super::remotes::{self, Following};
use super::super::run::interrupted;
use super::endpoints::{self, Account, ChainEndpoints, Endpoints};
use super::network::{self, Choices, Member, NETWORK_FILE, SPEC_FILE};
use super::parent::{self, Choice, Parent};
use super::{banner, funds};
use crate::clock::SystemClock;
use crate::config::{DEFAULT_CACHE_MIB, DEFAULT_HISTORY, Role};
use crate::devkeys;
use crate::exit::{CommandResult, Exit, ExitError};
use crate::metrics;
use crate::node::{NodeError, Settings};
use crate::remote::{RemoteSettings, Remotes};
use crate::rpc::RpcConfig;
use crate::tasks::{self, Running};

/// Least cache of a store; what there is, is shared by the chains.
const LEAST_CACHE_MIB: usize = 32;

/// What a devnet is made from.
pub(super) struct Options {
    pub(super) dir: PathBuf,
    pub(super) http: SocketAddr,
    pub(super) choices: Choices,
}

/// What every node of a devnet is started with.
struct World {
    http: SocketAddr,
    clock: Arc<dyn Clock>,
    remotes: Arc<Remotes>,
    cache_bytes: usize,
}

/// Where a chain's data lies.
enum Layer {
    /// A service of this process, at a URL.
    Local(String),
    /// A parent chain; with the index of the chain, which has an account there.
    Parent(Arc<Parent>, usize),
}

impl Layer {
    fn shown(&self) -> String {
        match self {
            Self::Local(url) => url.clone(),
            Self::Parent(parent, _) => parent.shown(),
        }
    }

    /// Addresses of the contracts on the parent chain, by their names.
    fn contracts(&self, member: &Member) -> BTreeMap<String, String> {
        let Self::Parent(..) = self else { return BTreeMap::new() };
        let Ok((bridge, deployment)) = deploy::deployment_of(&member.spec) else {
            return BTreeMap::new();
        };
        let contracts = deployment.contracts(&bridge).into_iter();
        contracts.map(|(name, at)| (name.to_owned(), at.address.to_string())).collect()
    }

    /// The layer as one node sees it, a sequencer or another.
    fn open(&self, member: &Member, posts: bool) -> Result<Arc<dyn DaBackend>, ExitError> {
        let table = match self {
            Self::Local(url) => [("url".to_owned(), url.clone().into())].into_iter().collect(),
            Self::Parent(parent, index) => parent.settings(posts.then_some(*index))?,
        };
        Ok(causeway_da::open(&member.spec, &table)?)
    }
}

/// The nodes of one chain.
struct Nodes {
    sequencer: Running,
    full: Running,
    /// Where they tell their metrics.
    metrics: [SocketAddr; 2],
}

/// Runs a devnet until a signal or a failure.
pub(super) async fn run(options: Options, l1: Choice) -> CommandResult {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Caught from now on, so that what is started ends with the devnet.
    let stop = pin!(interrupted());
    let mut stop = stop.shared();
    let begun = async {
        let mut parent = None;
        let mut anvil = None;
        if network::needs_parent(&options.dir, &options.choices)? {
            let (found, started) = Parent::start(&options.dir, &l1).await?;
            (parent, anvil) = (Some(found), started);
        }
        let now_ms = clock.now_ms();
        let members = network::open(&options.dir, &options.choices, parent.as_deref(), now_ms)?;
        for (index, member) in members.iter().enumerate() {
            if let Some(parent) = parent.as_ref().filter(|_| member.is_on_parent()) {
                parent.prepare(&member.spec, index).await?;
            }
        }
        Ok::<_, ExitError>((parent, anvil, members))
    };
    let (parent, mut anvil, members) = tokio::select! {
        begun = begun => begun?,
        () = stop.clone() => return Ok(Exit::Success),
    };
    let cache_bytes = (DEFAULT_CACHE_MIB / members.len()).max(LEAST_CACHE_MIB) << 20;
    let mut services = Vec::new();
    let mut layers = Vec::new();
    for (index, member) in members.iter().enumerate() {
        layers.push(match parent.clone().filter(|_| member.is_on_parent()) {
            Some(parent) => Layer::Parent(parent, index),
            None => {
                let (url, service) = start_da(member, clock.clone()).await?;
                services.push(service);
                Layer::Local(url)
            }
        });
    }
    let followed = follow(&options, &members, &layers)?;
    let (remotes, mut following) = remotes::start(followed, clock.clone(), cache_bytes).await?;
    let world = World { http: options.http, clock, remotes, cache_bytes };
    let mut chains = Vec::new();
    for (index, (member, layer)) in members.iter().zip(&layers).enumerate() {
        chains.push(start_chain(&world, index, member, layer).await?);
    }

    let described = describe(&options, &members, &chains, &layers);
    let ready = ready(&options, &members, &chains, described);
    let failed = tokio::select! {
        error = ready => Some(error.into()),
        () = &mut stop => None,
        error = failure(&mut chains, &mut following, &mut services) => Some(ExitError::from(error)),
        error = parent::ended(&mut anvil) => Some(error.into()),
    };
    eprintln!("stopping");
    let nodes = chains.into_iter().flat_map(|chain| [chain.full, chain.sequencer]);
    let stopped: Result<(), NodeError> =
        join_all(nodes.map(Running::stop)).await.into_iter().collect();
    following.stop().await;
    let served = stop_services(services).await;
    drop(anvil);
    match (failed, stopped) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(())) => Ok(served.map(|()| Exit::Success)?),
    }
}

/// Tells that the devnet is ready once it is; ends only if it cannot get so far.
fn ready(
    options: &Options,
    members: &[Member],
    chains: &[Nodes],
    described: Endpoints,
) -> impl Future<Output = eyre::Report> + use<> {
    let nodes: Vec<_> = members
        .iter()
        .zip(chains)
        .flat_map(|(member, Nodes { sequencer, full, .. })| {
            let name = member.name;
            [
                (name.to_owned(), sequencer.node().clone()),
                (format!("{name} (full node)"), full.node().clone()),
            ]
        })
        .collect();
    let dir = options.dir.clone();
    async move {
        let told = async {
            funds::arrive(&nodes).await?;
            endpoints::write(&dir, &described)
        };
        match told.await {
            Ok(()) => banner::print(&described),
            Err(error) => return error,
        }
        std::future::pending().await
    }
}

/// Waits until a node, a follower or a DA service fails.
async fn failure(
    chains: &mut [Nodes],
    following: &mut Following,
    services: &mut [Service],
) -> NodeError {
    let nodes = chains.iter_mut().flat_map(|Nodes { sequencer, full, .. }| [sequencer, full]);
    let nodes = select_all(nodes.map(|node| Box::pin(node.failed())));
    let services = async {
        match services {
            [] => std::future::pending().await,
            services => {
                let failing = services.iter_mut().map(|service| Box::pin(service.failed()));
                select_all(failing).await
            }
        }
    };
    tokio::select! {
        (error, ..) = nodes => error,
        error = following.failed() => error,
        (error, ..) = services => error.into(),
    }
}

async fn start_da(member: &Member, clock: Arc<dyn Clock>) -> Result<(String, Service), ExitError> {
    let key = devkeys::da();
    let config = LocalConfig {
        genesis_time_ms: member.spec.genesis.time_ms,
        interval_ms: member.spec.da.interval_ms,
        ..LocalConfig::default()
    };
    let da = Arc::new(LocalDa::open(&member.dir.join("da"), key, config)?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((url, Service::start(listener, da, clock)))
}

async fn stop_services(services: Vec<Service>) -> Result<(), DaError> {
    join_all(services.into_iter().map(Service::stop)).await.into_iter().collect()
}

/// One follower a chain, which all nodes share; none if there is only one chain.
fn follow(
    options: &Options,
    members: &[Member],
    layers: &[Layer],
) -> Result<Vec<RemoteSettings>, ExitError> {
    if members.len() == 1 {
        return Ok(Vec::new());
    }
    let mut all = Vec::with_capacity(members.len());
    for (member, layer) in members.iter().zip(layers) {
        all.push(RemoteSettings {
            spec: member.spec.clone(),
            da: layer.open(member, false)?,
            datadir: options.dir.join(remotes::DIR).join(member.name).into(),
        });
    }
    Ok(all)
}

/// Starts sequencer and full node of the chain with an index.
async fn start_chain(
    world: &World,
    index: usize,
    member: &Member,
    layer: &Layer,
) -> Result<Nodes, ExitError> {
    let port = |role: u16| port(world.http.port(), index, role);
    let mut sequencer = start_node(world, member, layer, (None, port(0))).await?;
    if let Layer::Parent(parent, index) = layer
        && let Some(proposer) = parent.proposes(&member.spec, *index)?
    {
        sequencer.propose(proposer);
    }
    let feed = format!("ws://{}", sequencer.addr());
    let mut full = start_node(world, member, layer, (Some(feed), port(1))).await?;
    let metrics = [tell(world, &mut sequencer)?, tell(world, &mut full)?];
    Ok(Nodes { sequencer, full, metrics })
}

/// Has a node tell its metrics on a free port.
fn tell(world: &World, node: &mut Running) -> eyre::Result<SocketAddr> {
    let listener = TcpListener::bind(SocketAddr::new(world.http.ip(), 0))?;
    let addr = listener.local_addr()?;
    node.serve_metrics(listener);
    Ok(addr)
}

/// Two ports a chain; port 0 asks for any free one, for all.
fn port(base: u16, index: usize, role: u16) -> u16 {
    let offset = u16::try_from(2 * index).unwrap_or(u16::MAX).saturating_add(role);
    if base == 0 { 0 } else { base.saturating_add(offset) }
}

/// Starts the sequencer, or with a feed to follow, the full node. Neither sees the other's files.
async fn start_node(
    world: &World,
    member: &Member,
    layer: &Layer,
    (feed, port): (Option<String>, u16),
) -> Result<Running, ExitError> {
    let is_sequencer = feed.is_none();
    let (role, name) =
        if is_sequencer { (Role::Sequencer, "sequencer") } else { (Role::Full, "full") };
    let settings = Settings {
        spec: member.spec.clone(),
        datadir: member.dir.join(name).into(),
        role,
        da: layer.open(member, is_sequencer)?,
        clock: world.clock.clone(),
        sequencer_key: is_sequencer.then(devkeys::sequencer),
        poster_key: is_sequencer.then(devkeys::poster),
        sequencer_url: feed,
        modules: Vec::new(),
        remotes: world.remotes.clone(),
        pool: Limits::default(),
        archive: false,
        address_index: None,
        history_blocks: DEFAULT_HISTORY,
        cache_bytes: world.cache_bytes,
    };
    let listener = listen(SocketAddr::new(world.http.ip(), port))?;
    let rpc = RpcConfig {
        origins: vec!["*".into()],
        dev_accounts: devkeys::accounts(),
        ..RpcConfig::default()
    };
    Ok(tasks::start(settings, listener, rpc).await?)
}

/// The address wanted, or a free port of it if somebody else has it.
fn listen(wanted: SocketAddr) -> eyre::Result<TcpListener> {
    TcpListener::bind(wanted)
        .or_else(|_| TcpListener::bind(SocketAddr::new(wanted.ip(), 0)))
        .map_err(|error| eyre!("cannot listen on {wanted} nor on any port of it: {error}"))
}

fn describe(
    options: &Options,
    members: &[Member],
    chains: &[Nodes],
    layers: &[Layer],
) -> Endpoints {
    let account = |signer: PrivateKeySigner| Account {
        address: signer.address().to_string(),
        key: signer.to_bytes().to_string(),
    };
    let chain = |((member, nodes), layer): ((&Member, &Nodes), &Layer)| ChainEndpoints {
        name: member.name.to_owned(),
        chain_id: member.spec.chain_id,
        domain: member.spec.metalayer.domain,
        vm: member.spec.vm.clone(),
        coin: network::coin_name(member.spec.metalayer.coin).to_owned(),
        hub: member.spec.metalayer.coin == Coin::Home,
        rpc: format!("http://{}", nodes.sequencer.addr()),
        ws: format!("ws://{}", nodes.sequencer.addr()),
        full_rpc: format!("http://{}", nodes.full.addr()),
        metrics: Some(metrics_url(nodes.metrics[0])),
        full_metrics: Some(metrics_url(nodes.metrics[1])),
        da: layer.shown(),
        da_layer: member.spec.da.layer.clone(),
        contracts: layer.contracts(member),
        spec: member.dir.join(SPEC_FILE),
    };
    let network = members.len() > 1;
    Endpoints {
        pid: std::process::id(),
        chains: members.iter().zip(chains).zip(layers).map(chain).collect(),
        accounts: devkeys::accounts().into_iter().map(account).collect(),
        governance: network.then(|| account(devkeys::governance())),
        metalayer: network.then(|| options.dir.join(NETWORK_FILE)),
    }
}

fn metrics_url(addr: SocketAddr) -> String {
    format!("http://{addr}{}", metrics::PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chain_has_two_ports() {
        assert_eq!([port(8545, 0, 0), port(8545, 0, 1), port(8545, 2, 1)], [8545, 8546, 8550]);
        assert_eq!([port(0, 3, 1), port(u16::MAX, 3, 1)], [0, u16::MAX]);
    }
}
