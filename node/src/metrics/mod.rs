//! What a node counts and times, and the listener that tells it in the OpenMetrics text format.
//!
//! All of it are values of one node: two nodes of a process share nothing. Observing is a few atomic
//! additions; what only has to be read (queues, heads, caches) is read when somebody asks.

mod export;
mod rpc;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_chainspec::{Block, SkipReason};
use causeway_consensus::mempool::Limits;
use causeway_execution::metrics::{Counter, Histogram};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

pub use rpc::{CallGuard, MethodMetrics, Outcome, RpcMetrics};

use crate::config::Role;
use crate::node::{Node, NodeError};
use crate::rpc::SubmitError;
use crate::rpc::health;

/// Path that is answered.
pub const PATH: &str = "/metrics";
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Scrapes answered at a time; more wait.
const SCRAPES: usize = 4;
/// Longest a scrape may take, its request included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a transaction was refused, as a label.
const REASONS: [&str; 14] = [
    "undecodable",
    "nonce_too_low",
    "funds",
    "fee_too_low",
    "invalid",
    "already_known",
    "underpriced",
    "unprotected",
    "pool_full",
    "pool_limit",
    "sequencer",
    "unreachable",
    "halted",
    "failed",
];

fn reason(error: &SubmitError) -> &'static str {
    match error {
        SubmitError::Undecodable(_) => "undecodable",
        SubmitError::Invalid(SkipReason::NonceTooLow { .. }) => "nonce_too_low",
        SubmitError::Invalid(SkipReason::Funds { .. }) => "funds",
        SubmitError::Invalid(SkipReason::FeeTooLow { .. }) => "fee_too_low",
        SubmitError::Invalid(_) => "invalid",
        SubmitError::AlreadyKnown => "already_known",
        SubmitError::Underpriced => "underpriced",
        SubmitError::Unprotected => "unprotected",
        SubmitError::PoolFull => "pool_full",
        SubmitError::Rejected(_) => "pool_limit",
        SubmitError::Remote { .. } => "sequencer",
        SubmitError::Unreachable(_) => "unreachable",
        SubmitError::Halted(_) => "halted",
        SubmitError::Failed(_) => "failed",
    }
}

/// What one node observes besides its pipeline.
#[derive(Debug)]
pub struct NodeMetrics {
    /// Recovering the sender of one transaction from its signature.
    pub recover: Histogram,
    /// Deriving from one DA block: decoding it, and executing what is new.
    pub derive: Histogram,
    /// Posting one span: encoding it, and the DA layer's answer.
    pub publish: Histogram,
    /// Transactions taken.
    pub accepted: Counter,
    refused: [Counter; REASONS.len()],
    blocks: Counter,
    txs: Counter,
    gas: Counter,
    /// Bytes of blobs that the DA layer took.
    pub posted_bytes: Counter,
    /// Spans that the DA layer took.
    pub posts: Counter,
    /// Spans that it did not take, or of which it did not say so.
    pub failed_posts: Counter,
    pool: Limits,
}

impl NodeMetrics {
    /// All at 0.
    pub fn new(pool: Limits) -> Self {
        Self {
            recover: Histogram::seconds(),
            derive: Histogram::seconds(),
            publish: Histogram::seconds(),
            accepted: Counter::default(),
            refused: Default::default(),
            blocks: Counter::default(),
            txs: Counter::default(),
            gas: Counter::default(),
            posted_bytes: Counter::default(),
            posts: Counter::default(),
            failed_posts: Counter::default(),
            pool,
        }
    }

    /// Counts what became of a transaction that somebody sent here.
    pub fn submitted<T>(&self, result: &Result<T, SubmitError>) {
        let counter = match result {
            Ok(_) => Some(&self.accepted),
            Err(error) => {
                let at = REASONS.iter().position(|name| *name == reason(error));
                at.map(|at| &self.refused[at])
            }
        };
        if let Some(counter) = counter {
            counter.add(1);
        }
    }

    /// Counts a block that became part of the chain.
    pub fn committed(&self, block: &Block) {
        self.blocks.add(1);
        self.txs.add(block.txs.len() as u64);
        self.gas.add(block.header.gas_used);
    }
}

/// Serves the metrics of a node at [`PATH`] until `stop`.
pub async fn serve(
    listener: TcpListener,
    node: Arc<Node>,
    rpc: Arc<RpcMetrics>,
    stop: CancellationToken,
) -> Result<(), NodeError> {
    let failed = |error: std::io::Error| NodeError::Task(format!("metrics: {error}"));
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    let told = node.clone();
    let health = move |uri: Uri| {
        let node = told.clone();
        async move {
            // Never `None`: only its own paths lead here.
            let (status, body) = health::answer(&*node, uri.path()).unwrap_or_default();
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
    };
    let registry = Arc::new(registry(node, rpc));
    let scrape = move || {
        let registry = registry.clone();
        async move {
            // Reading takes locks for microseconds each.
            let read = tokio::task::spawn_blocking(move || encode(&registry));
            match tokio::time::timeout(TIMEOUT, read).await {
                Ok(Ok(Ok(text))) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
                _ => failure(),
            }
        }
    };
    let router = Router::new()
        .route(PATH, get(scrape))
        .route(health::HEALTH, get(health.clone()))
        .route(health::READY, get(health))
        .layer(tower::limit::GlobalConcurrencyLimitLayer::new(SCRAPES));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .map_err(failed)
}

fn failure() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be read\n").into_response()
}

/// Everything a node tells, as a value; the labels say which node it is.
fn registry(node: Arc<Node>, rpc: Arc<RpcMetrics>) -> Registry {
    let role = match node.role() {
        Role::Sequencer => "sequencer",
        Role::Full => "full",
    };
    let chain = node.spec().short_name.clone();
    let labels = [("chain".into(), chain.into()), ("role".into(), role.into())];
    let mut registry = Registry::with_labels(labels.into_iter());
    registry.register_collector(Box::new(export::Export { node, rpc }));
    registry
}

fn encode(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    text::encode(&mut text, registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use causeway_chainspec::TxError;

    use super::*;

    #[test]
    fn every_refusal_is_counted_under_its_reason() {
        let metrics = NodeMetrics::new(Limits::default());
        let text = String::new;
        let errors = [
            SubmitError::Undecodable(TxError::Blob),
            SubmitError::Invalid(SkipReason::NonceTooLow { state: 1, tx: 0 }),
            SubmitError::Invalid(SkipReason::Funds {
                have: Default::default(),
                want: Default::default(),
            }),
            SubmitError::Invalid(SkipReason::FeeTooLow { max_fee: 0, base_fee: 1 }),
            SubmitError::Invalid(SkipReason::TipAboveFee),
            SubmitError::AlreadyKnown,
            SubmitError::Underpriced,
            SubmitError::Unprotected,
            SubmitError::PoolFull,
            SubmitError::Rejected(text()),
            SubmitError::Remote { code: 0, message: text(), data: None },
            SubmitError::Unreachable(text()),
            SubmitError::Halted(text()),
            SubmitError::Failed(text()),
        ];
        errors.into_iter().for_each(|error| metrics.submitted::<()>(&Err(error)));
        metrics.submitted(&Ok(()));
        assert_eq!(metrics.accepted.get(), 1);
        assert_eq!(metrics.refused.each_ref().map(Counter::get), [1; REASONS.len()]);
    }
}
