//! `eth_subscribe`: heads, logs, pending transactions and sync state over WebSocket.

use std::sync::Arc;

use alloy_primitives::B256;
use causeway_chainspec::Block;
use jsonrpsee::core::{RegisterMethodError, SubscriptionResult};
use jsonrpsee::{PendingSubscriptionSink, SubscriptionSink};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::to_raw_value};
use tokio::sync::broadcast;

use super::backend::Backend;
use super::error::{RpcError, RpcResult};
use super::eth_logs::LogFilter;
use super::table::{Api, Args, Table};
use super::{eth_chain, eth_logs, json};

/// Most transactions that one `transactionReceipts` may be narrowed to, as geth has it.
const MAX_WANTED: usize = 200;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.module.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, pending, api, _| async move {
            match Args::new(&params).and_then(|args| Topic::parse(&args)) {
                Ok(topic) => run(api, topic, pending).await,
                Err(error) => {
                    pending.reject(error).await;
                    Ok(())
                }
            }
        },
    )?;
    Ok(())
}

/// What one can subscribe to.
enum Topic {
    Heads,
    Logs(Box<LogFilter>),
    Pending { full: bool },
    Receipts(Option<Vec<B256>>),
    Syncing,
}

/// What `transactionReceipts` may be narrowed to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    transaction_hashes: Option<Vec<B256>>,
}

impl Topic {
    fn parse(args: &Args) -> RpcResult<Self> {
        let name: String = args.need(0, "subscription")?;
        match name.as_str() {
            "newHeads" => Ok(Self::Heads),
            "logs" => {
                let filter: LogFilter = args.option(1, "filter")?.unwrap_or_default();
                eth_logs::check(&filter)?;
                Ok(Self::Logs(Box::new(filter)))
            }
            "newPendingTransactions" => {
                let full = args.option(1, "full transactions")?.unwrap_or(false);
                Ok(Self::Pending { full })
            }
            "transactionReceipts" => {
                let wanted: Wanted = args.option(1, "filter")?.unwrap_or_default();
                let hashes = wanted.transaction_hashes.filter(|hashes| !hashes.is_empty());
                if hashes.as_ref().is_some_and(|hashes| hashes.len() > MAX_WANTED) {
                    return Err(RpcError::params(format!(
                        "invalid argument 1 (filter): more than {MAX_WANTED} transaction hashes"
                    )));
                }
                Ok(Self::Receipts(hashes))
            }
            "syncing" => Ok(Self::Syncing),
            other => Err(RpcError::params(format!(
                "invalid argument 0 (subscription): no {other:?} subscription in eth namespace; \
                 there are newHeads, logs, newPendingTransactions, \
                 transactionReceipts, syncing"
            ))),
        }
    }
}

async fn run(api: Arc<Api>, topic: Topic, pending: PendingSubscriptionSink) -> SubscriptionResult {
    // Events start before the client knows its subscription, so that none is lost in between.
    let backend = &api.backend;
    match topic {
        Topic::Heads => {
            let events = backend.new_blocks();
            let sink = pending.accept().await?;
            pump(sink, events, |event| {
                if event.removed { Vec::new() } else { vec![json!(json::header(&event.block))] }
            })
            .await
        }
        Topic::Logs(filter) => {
            let events = backend.new_blocks();
            let sink = pending.accept().await?;
            pump(sink, events, move |event| {
                json::logs(&event.block, event.removed)
                    .filter(|log| filter.matches(&log.inner))
                    .map(|log| json!(log))
                    .collect()
            })
            .await
        }
        Topic::Pending { full } => {
            let events = backend.new_pending();
            let sink = pending.accept().await?;
            pump(sink, events, move |tx| {
                vec![if full { json::pending_transaction(&tx) } else { json!(tx.hash) }]
            })
            .await
        }
        Topic::Receipts(wanted) => {
            let events = backend.new_blocks();
            let sink = pending.accept().await?;
            pump(sink, events, move |event| {
                if event.removed { Vec::new() } else { receipts(&event.block, wanted.as_deref()) }
            })
            .await
        }
        Topic::Syncing => syncing(&**backend, pending.accept().await?).await,
    }
}

/// One message a block: all its receipts, or those that are wanted, if there are any.
fn receipts(block: &Block, wanted: Option<&[B256]>) -> Vec<Value> {
    let is_wanted = |hash| wanted.is_none_or(|wanted| wanted.contains(&hash));
    let receipts: Vec<_> = json::receipts(block)
        .into_iter()
        .zip(&block.txs)
        .filter(|(_, tx)| is_wanted(tx.hash))
        .map(|(receipt, _)| receipt)
        .collect();
    if receipts.is_empty() { Vec::new() } else { vec![json!(receipts)] }
}

/// Sends what events become until the client leaves. A client that cannot keep up loses its
/// subscription, with a reason, rather than events in the middle of it.
async fn pump<E: Clone>(
    sink: SubscriptionSink,
    mut events: broadcast::Receiver<E>,
    messages: impl Fn(E) -> Vec<Value>,
) -> SubscriptionResult {
    loop {
        let event = tokio::select! {
            () = sink.closed() => return Ok(()),
            event = events.recv() => event,
        };
        match event {
            Ok(event) => {
                for message in messages(event) {
                    send(&sink, &message).await?;
                }
            }
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                return Err(
                    format!("subscription closed: client too slow, {missed} events lost").into()
                );
            }
        }
    }
}

/// Tells whether the node is behind, at once and whenever that changes.
async fn syncing(backend: &dyn Backend, sink: SubscriptionSink) -> SubscriptionResult {
    let mut heads = backend.heads();
    let mut told = None;
    loop {
        let status = backend.sync_status();
        if told != Some(status.is_some()) {
            told = Some(status.is_some());
            let message = status.map_or(
                json!(false),
                |status| json!({ "syncing": true, "status": eth_chain::progress(&status) }),
            );
            send(&sink, &message).await?;
        }
        tokio::select! {
            () = sink.closed() => return Ok(()),
            changed = heads.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

async fn send(sink: &SubscriptionSink, message: &impl Serialize) -> SubscriptionResult {
    sink.send(to_raw_value(message)?).await?;
    Ok(())
}
