//! JSON-RPC over HTTP and WebSocket on one port: the table of namespaces, limits, and the server.

pub mod admin;
pub mod backend;

mod batch;
mod call;
mod calls;
mod debug;
mod dev_accounts;
mod error;
mod eth_access_list;
mod eth_accounts;
mod eth_blocks;
mod eth_call;
mod eth_chain;
mod eth_conditional;
mod eth_fees;
mod eth_fill;
mod eth_filters;
mod eth_logs;
mod eth_simulate;
mod eth_state;
mod eth_submit;
mod eth_subscribe;
mod ethereum_config;
mod feed;
mod finality;
pub mod health;
mod http;
mod json;
mod metalayer;
mod names;
mod net;
mod openrpc;
mod origin;
mod ots;
mod parity;
pub mod portless;
mod rendered;
mod replays;
mod rollup;
mod table;
mod target;
mod testing;
#[cfg(test)]
mod tests;
mod txpool;
mod web3;
mod withdrawals;
mod workers;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use alloy_signer_local::PrivateKeySigner;
use eyre::{WrapErr, bail};
use jsonrpsee::Methods;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::middleware::http::HostFilterLayer;
use jsonrpsee::server::middleware::rpc::RpcServiceBuilder;
use jsonrpsee::server::{
    BatchRequestConfig, ConnectionGuard, HttpResponse, PingConfig, RandomStringIdProvider,
    ServerBuilder, ServerConfig, ServerHandle, serve_with_graceful_shutdown, stop_channel,
};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tower::Service;
use tower::layer::util::{Identity, Stack};

use crate::metrics::RpcMetrics;
use crate::version;
pub use backend::{
    Backend, BlockEvent, ChainReader, NodeStatus, PoolContent, SubmitError, SyncStatus, Verified,
};
use batch::BatchLayer;
use calls::{Calls, Dispatch};
pub(crate) use error::revert_reason;
use health::HealthLayer;
use http::{AdmissionLayer, Full, Port, PostLayer};
use names::NamesLayer;
use origin::OriginLayer;
use table::{Api, Table};
use workers::WorkersLayer;

/// Between a request and its method, the first sees it first.
type Layers =
    RpcServiceBuilder<Stack<WorkersLayer, Stack<BatchLayer, Stack<NamesLayer, Identity>>>>;

type Register = fn(&mut Table) -> Result<(), RegisterMethodError>;

/// Every namespace and what adds its methods. A new one is a file and a line here; a namespace
/// may have several lines.
const MODULES: &[(&str, Register)] = &[
    ("eth", eth_chain::register),
    ("eth", eth_blocks::register),
    ("eth", eth_state::register),
    ("eth", eth_accounts::register),
    ("eth", eth_fees::register),
    ("eth", eth_call::register),
    ("eth", eth_access_list::register),
    ("eth", eth_simulate::register),
    ("eth", eth_fill::register),
    ("eth", dev_accounts::register),
    ("personal", dev_accounts::register_personal),
    ("eth", eth_logs::register),
    ("eth", eth_filters::register),
    ("eth", eth_submit::register),
    ("eth", eth_conditional::register),
    ("eth", eth_subscribe::register),
    ("eth", ethereum_config::register),
    ("eth", ots::register_eth),
    ("net", net::register),
    ("web3", web3::register),
    ("rpc", web3::register_rpc),
    ("txpool", txpool::register),
    ("rollup", rollup::register),
    ("rollup", finality::register),
    ("rollup", withdrawals::register),
    ("rollup", feed::register),
    ("metalayer", metalayer::register),
    ("testing", testing::register),
    ("debug", debug::register),
    ("trace", parity::register),
    ("ots", ots::register),
    ("erigon", ots::register_erigon),
    // The last, because it tells of all before it.
    ("rpc", openrpc::register),
];

/// Namespaces that answer only where they are named.
const NAMED: &[&str] = &["testing"];

/// Limits and manners of one RPC server.
#[derive(Debug, Clone)]
pub struct RpcConfig {
    /// Namespaces that answer; empty means all.
    pub namespaces: Vec<String>,
    /// What `web3_clientVersion` says: name/version/platform.
    pub client_version: String,
    /// Origins of web pages that may call; "*" is every origin.
    pub origins: Vec<String>,
    /// `Host` values let in, such as "localhost:*"; `None` lets in all.
    pub hosts: Option<Vec<String>>,
    /// Largest request, bytes.
    pub request_bytes: u32,
    /// Largest response (of a whole batch, too), bytes.
    pub response_bytes: u32,
    /// Most calls of a batch.
    pub batch: u32,
    /// Most connections at a time.
    pub connections: u32,
    /// Most subscriptions of one connection.
    pub subscriptions: u32,
    /// Most gas of `eth_call` and `eth_estimateGas`.
    pub call_gas: u64,
    /// Whether `eth_sendRawTransactionConditional` takes transactions.
    pub conditional: bool,
    /// Keys of accounts that the node signs for; of devnets alone.
    pub dev_accounts: Vec<PrivateKeySigner>,
    /// Longest a call or a search is waited for.
    pub call_timeout: Duration,
    /// Longest a whole HTTP request may take, its body included.
    pub request_timeout: Duration,
    /// Polled filters kept at a time.
    pub filters: usize,
    /// Calls and searches that run at the same time.
    pub workers: usize,
    /// Most blocks of one `eth_getLogs`.
    pub log_blocks: u64,
    /// Most logs of one `eth_getLogs` over several blocks.
    pub log_results: usize,
    /// Most blocks of one `trace_filter`, each of which is executed again.
    pub trace_blocks: u64,
    /// Most traces of one `trace_filter` over several blocks.
    pub trace_results: usize,
    /// What the server counts. Copies of a config share it: one server, one config.
    pub metrics: Arc<RpcMetrics>,
}

impl Default for RpcConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            namespaces: Vec::new(),
            client_version: version::client(),
            origins: Vec::new(),
            hosts: None,
            request_bytes: 2 << 20,
            response_bytes: 25 << 20,
            batch: 1000,
            connections: 500,
            subscriptions: 64,
            call_gas: 50_000_000,
            conditional: false,
            dev_accounts: Vec::new(),
            call_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(60),
            filters: 1000,
            workers: cores,
            log_blocks: 10_000,
            log_results: 10_000,
            trace_blocks: 100,
            trace_results: 10_000,
            metrics: Arc::default(),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct RpcServer {
    /// Address it listens on.
    pub local_addr: SocketAddr,
    handle: ServerHandle,
}

impl RpcServer {
    /// Completes when the server has stopped and every connection is closed.
    pub async fn stopped(self) {
        self.handle.stopped().await;
    }
}

/// Serves on a bound listener until `stop`; requests that have begun are answered first.
pub async fn serve(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    config: RpcConfig,
    stop: CancellationToken,
) -> eyre::Result<RpcServer> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let local_addr = listener.local_addr()?;
    let (port, handle) = port(backend, config, stop.clone())?;
    tokio::spawn(Arc::new(port).accept(listener));
    let stopping = handle.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => { let _ = stopping.stop(); }
            () = stopping.clone().stopped() => {}
        }
    });
    Ok(RpcServer { local_addr, handle })
}

/// What a connection needs. The handle completes when the port and all its connections are gone.
fn port(
    backend: Arc<dyn Backend>,
    config: RpcConfig,
    stop: CancellationToken,
) -> eyre::Result<(Port<impl Dispatch>, ServerHandle)> {
    let origins = OriginLayer::new(&config.origins);
    let hosts = match &config.hosts {
        Some(hosts) => HostFilterLayer::new(hosts.iter().map(String::as_str))
            .wrap_err("rpc: a host that may call is no host")?,
        None => HostFilterLayer::disable(),
    };
    let guard = ConnectionGuard::new(config.connections as usize);
    config.metrics.admit(guard.clone());
    let (most_body, most_calls) = (config.request_bytes as usize, config.batch as usize);
    let (most_bytes, request_timeout) = (config.response_bytes as usize, config.request_timeout);
    // Counted by `AdmissionLayer`.
    let server_config = server_config(&config, u32::MAX);
    let health = backend.clone();
    let (methods, layers) = table(backend.clone(), config)?;
    let dispatch = layers.service(Calls::new(methods.clone(), most_bytes));
    let http = tower::ServiceBuilder::new()
        .timeout(request_timeout)
        .layer(origins.cors())
        .map_response(error::crowded as fn(HttpResponse) -> HttpResponse)
        .layer(hosts)
        .layer(origins)
        .layer(AdmissionLayer(guard.clone()))
        .layer(HealthLayer(health))
        .layer(PostLayer { dispatch: dispatch.clone(), most_body, most_calls });
    let (stop_handle, handle) = stop_channel();
    let builder = ServerBuilder::with_config(server_config)
        .set_rpc_middleware(layers)
        .set_http_middleware(http)
        .to_service_builder();
    // A service for each connection, because subscriptions are told apart by it.
    let stopped = stop_handle.clone();
    let service = Arc::new(move || builder.clone().build(methods.clone(), stop_handle.clone()));
    let one = service.clone();
    let full = Full {
        serve: Box::new(move |io| {
            let (service, stopped) = (service(), stopped.clone().shutdown());
            Box::pin(async move {
                if let Err(error) = serve_with_graceful_shutdown(io, service, stopped).await {
                    tracing::debug!(target: "rpc", %error, "a connection failed");
                }
            })
        }),
        ask: Box::new(move |request| {
            let mut service = one();
            Box::pin(async move { service.call(request).await.ok() })
        }),
    };
    let port = Port {
        backend,
        dispatch,
        full,
        guard,
        most_body,
        most_calls,
        request_timeout,
        stop,
        openings: Mutex::default(),
    };
    Ok((port, handle))
}

/// The methods that answer, and the layers above them.
fn table(backend: Arc<dyn Backend>, config: RpcConfig) -> eyre::Result<(Methods, Layers)> {
    table_of(MODULES, backend, config)
}

/// As [`table`], of these namespaces.
fn table_of(
    modules: &[(&'static str, Register)],
    backend: Arc<dyn Backend>,
    config: RpcConfig,
) -> eyre::Result<(Methods, Layers)> {
    let (enabled, off) = namespaces(modules, &config.namespaces)?;
    let metrics = config.metrics.clone();
    let batches = BatchLayer::new(backend.clone(), &config);
    let mut table = Table::new(Arc::new(Api::new(backend, config, enabled.clone())));
    for (_, register) in modules.iter().filter(|(name, _)| enabled.contains(name)) {
        register(&mut table)?;
    }
    let unknown = metrics.method(RpcMetrics::UNKNOWN);
    let names = NamesLayer::new(table.module.method_names().collect(), off, unknown);
    let workers = WorkersLayer::new(table.api().clone(), table.works);
    let layers = RpcServiceBuilder::new().layer(names).layer(batches).layer(workers);
    Ok((table.module.into(), layers))
}

/// Namespaces of chains that are no rollup: all but those that are about one.
pub fn namespaces_of_ethereum() -> Vec<String> {
    let rollup = ["rollup", "metalayer"];
    let names = all_namespaces(MODULES).into_iter().filter(|name| !rollup.contains(name));
    names.map(str::to_owned).collect()
}

/// Every namespace once, in the order of a table.
fn all_namespaces(modules: &[(&'static str, Register)]) -> Vec<&'static str> {
    let mut all = Vec::new();
    for (name, _) in modules {
        if !all.contains(name) {
            all.push(*name);
        }
    }
    all
}

/// The namespaces that answer, and those that do not, each once and in the order of the table.
fn namespaces(
    modules: &[(&'static str, Register)],
    wanted: &[String],
) -> eyre::Result<(Vec<&'static str>, Vec<&'static str>)> {
    let all = all_namespaces(modules);
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(&name.as_str())) {
        bail!("rpc: unknown namespace {unknown:?}: this binary has {all:?}");
    }
    let by_default = |name: &str| wanted.is_empty() && !NAMED.contains(&name);
    Ok(all.into_iter().partition(|name| by_default(name) || wanted.iter().any(|w| w == name)))
}

fn server_config(config: &RpcConfig, connections: u32) -> ServerConfig {
    ServerConfig::builder()
        .max_request_body_size(config.request_bytes)
        .max_response_body_size(config.response_bytes)
        .max_connections(connections)
        .max_subscriptions_per_connection(config.subscriptions)
        .set_batch_request_config(BatchRequestConfig::Limit(config.batch))
        .set_first_request_timeout(Some(Duration::from_secs(10)))
        .enable_ws_ping(PingConfig::new())
        .set_id_provider(RandomStringIdProvider::new(32))
        .set_tcp_no_delay(true)
        .build()
}
