//! The loops of a running node. Only here are temporary failures retried, with capped backoff.

pub(crate) mod derive;
mod feed;
mod propose;
mod publish;
mod remote;
mod runway;
pub(crate) mod verify;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use causeway_chainspec::crash;
use causeway_da::ethereum::{Archive, serve_archive};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use propose::Proposer;

use crate::config::Role;
use crate::metrics::{self, RpcMetrics};
use crate::node::{Node, NodeError, Settings};
use crate::rpc::admin::{self, Secret};
use crate::rpc::backend::BlockEvent;
use crate::rpc::{self, RpcConfig};

/// Longest pause between two attempts at something that failed.
const MOST_BACKOFF: Duration = Duration::from_secs(5);

/// How long a stop may take before what is left is cut off.
const DRAIN: Duration = Duration::from_secs(10);

/// A running node: stopped by its own handle, and leaves nothing behind.
pub struct Running {
    node: Arc<Node>,
    addr: SocketAddr,
    rpc: Arc<RpcMetrics>,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), NodeError>>,
}

/// Opens a node and starts its loops and its JSON-RPC on `listener`.
pub async fn start(
    settings: Settings,
    listener: TcpListener,
    rpc: RpcConfig,
) -> Result<Running, NodeError> {
    let metrics = rpc.metrics.clone();
    let (role, sequencer_url) = (settings.role, settings.sequencer_url.clone());
    let node = tokio::task::spawn_blocking(move || Node::open(settings))
        .await
        .map_err(|error| NodeError::Task(format!("opening panicked: {error}")))??;
    let stop = CancellationToken::new();
    let addr = listener
        .local_addr()
        .map_err(|error| NodeError::Task(format!("the listener has no address: {error}")))?;
    let server = rpc::serve(listener, node.clone(), rpc, stop.clone())
        .await
        .map_err(|error| NodeError::Task(format!("json-rpc on {addr}: {error:#}")))?;

    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        server.stopped().await;
        Ok(())
    });
    tasks.spawn(log_blocks(node.clone(), stop.clone()));
    tasks.spawn(derive::run(node.clone(), stop.clone()));
    if node.spec().metalayer.directory.is_some() {
        tasks.spawn(verify::run(node.clone(), node.remotes().clone(), stop.clone()));
    }
    match (role, sequencer_url) {
        (Role::Sequencer, _) => {
            tasks.spawn(remote::run(node.clone(), stop.clone()));
            tasks.spawn(publish::run(node.clone(), stop.clone()));
            tasks.spawn(runway::run(node.clone(), stop.clone()));
            tasks.spawn(sequence(node.clone(), stop.clone()));
        }
        (Role::Full, Some(url)) => {
            tasks.spawn(feed::run(node.clone(), url, stop.clone()));
        }
        (Role::Full, None) => {}
    }
    Ok(Running { node, addr, rpc: metrics, stop, tasks })
}

impl Running {
    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Address of JSON-RPC, HTTP and WebSocket.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves the node's metrics on a listener of their own, as long as the node runs.
    pub fn serve_metrics(&mut self, listener: TcpListener) {
        let (node, rpc, stop) = (self.node.clone(), self.rpc.clone(), self.stop.clone());
        self.tasks.spawn(metrics::serve(listener, node, rpc, stop));
    }

    /// Serves the methods that act on the node on a listener of loopback, as long as the node runs;
    /// returns its address.
    pub async fn serve_admin(
        &mut self,
        listener: TcpListener,
        secret: Secret,
    ) -> eyre::Result<SocketAddr> {
        let server = admin::serve(listener, self.node.clone(), secret, self.stop.clone()).await?;
        let addr = server.local_addr;
        self.tasks.spawn(async move {
            server.stopped().await;
            Ok(())
        });
        Ok(addr)
    }

    /// Serves blobs of the parent chain to peers on a listener of their own, as long as the node runs.
    pub fn serve_blobs(&mut self, listener: tokio::net::TcpListener, archive: Archive) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { Ok(serve_archive(listener, archive, stop).await?) });
    }

    /// Says on the parent chain what the state of the chain is, as long as the node runs.
    pub fn propose(&mut self, proposer: Proposer) {
        self.tasks.spawn(propose::run(self.node.clone(), proposer, self.stop.clone()));
    }

    /// Waits until a task fails: nothing of a node runs on without the rest.
    pub async fn failed(&mut self) -> NodeError {
        loop {
            let ended = tokio::select! {
                ended = self.tasks.join_next() => ended,
                error = self.node.failed() => return error,
            };
            match ended {
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return NodeError::Task(format!("a task panicked: {error}")),
                Some(Ok(Ok(()))) if self.stop.is_cancelled() => {}
                Some(Ok(Ok(()))) => return NodeError::Task("a task ended by itself".into()),
                None => std::future::pending().await,
            }
        }
    }

    /// Stops: no new requests, blocks or posts; then everything is on disk.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        self.stop.cancel();
        let drained = tokio::time::timeout(DRAIN, async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Ok(Err(error)) = ended {
                    error!(%error, "a task failed while stopping");
                }
            }
        });
        if drained.await.is_err() {
            error!(seconds = DRAIN.as_secs(), "stopping took too long; cutting off what is left");
            self.tasks.abort_all();
            while self.tasks.join_next().await.is_some() {}
        }
        crash::point("stop.drained");
        let pipeline = self.node.pipeline().clone();
        tokio::task::spawn_blocking(move || pipeline.flush())
            .await
            .map_err(|error| NodeError::Task(format!("closing panicked: {error}")))??;
        crash::point("stop.flushed");
        Ok(())
    }
}

/// Builds blocks whenever an operator does not want otherwise.
async fn sequence(node: Arc<Node>, stop: CancellationToken) -> Result<(), NodeError> {
    let (sequencer, clock) = (node.sequencer().clone(), node.clock().clone());
    let switch = &node.control().sequencer;
    let failed = |error| NodeError::Task(format!("sequencer: {error}"));
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = switch.turned(true) => {}
        }
        let _busy = switch.busy();
        if !switch.is_on() {
            // Whoever stopped it meanwhile was told that it stands still.
            continue;
        }
        let own = stop.child_token();
        let mut run = sequencer.run(node.clone(), clock.clone(), own.clone());
        tokio::select! {
            ended = &mut run => return ended.map_err(failed),
            () = switch.turned(false) => {
                own.cancel();
                run.await.map_err(failed)?;
                warn!("block production was stopped by its operator");
            }
        }
    }
}

/// One line a block, at most.
async fn log_blocks(node: Arc<Node>, stop: CancellationToken) -> Result<(), NodeError> {
    use tokio::sync::broadcast::error::RecvError;
    let mut blocks = node.blocks();
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            event = blocks.recv() => event,
        };
        match event {
            Ok(BlockEvent { block, removed: false }) => {
                let heads = node.heads();
                let safe = heads.borrow().safe.number;
                info!(
                    chain = node.spec().short_name, role = ?node.role(),
                    number = block.header.number, txs = block.txs.len(),
                    gas = block.header.gas_used, hash = %block.hash, safe, "block",
                );
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

/// Doubles a pause up to the cap.
fn longer(backoff: Duration) -> Duration {
    (backoff * 2).min(MOST_BACKOFF)
}

/// Sleeps, unless the node stops first; returns whether it goes on.
async fn pause(stop: &CancellationToken, duration: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(duration) => true,
    }
}
