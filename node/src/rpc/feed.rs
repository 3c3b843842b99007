//! The feed of sealed blocks that full nodes follow for the unsafe head.

use std::sync::Arc;

use alloy_primitives::B256;
use causeway_chainspec::crash;
use jsonrpsee::core::{RegisterMethodError, SubscriptionResult};
use jsonrpsee::{PendingSubscriptionSink, SubscriptionSink};
use serde_json::value::to_raw_value;

use super::backend::Backend;
use super::error::{RpcError, RpcResult};
use super::table::{Api, Args, Table};

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.module.register_subscription(
        "rollup_subscribeFeed",
        "rollup_feed",
        "rollup_unsubscribeFeed",
        |params, pending, api: Arc<Api>, _| async move {
            match Args::new(&params).and_then(|args| start(&api, &args)) {
                Ok(from) => run(api.backend.clone(), from, pending).await,
                Err(error) => {
                    pending.reject(error).await;
                    Ok(())
                }
            }
        },
    )?;
    Ok(())
}

/// The first block wanted, of this chain and no other.
fn start(api: &Api, args: &Args) -> RpcResult<u64> {
    let (theirs, ours): (B256, B256) = (args.need(0, "identity")?, api.backend.spec().identity());
    if theirs != ours {
        return Err(RpcError::server(format!(
            "this is the feed of chain {ours}, you follow {theirs}: compare your chain.toml"
        )));
    }
    args.need(1, "from")
}

/// Sends blocks in order as they become visible; goes back to the safe head if one was dropped.
async fn run(
    backend: Arc<dyn Backend>,
    from: u64,
    pending: PendingSubscriptionSink,
) -> SubscriptionResult {
    let sink = pending.accept().await?;
    let mut heads = backend.heads();
    let mut next = from.max(1);
    let mut reorgs = heads.borrow_and_update().reorgs;
    loop {
        let now = *heads.borrow_and_update();
        if now.reorgs != reorgs {
            reorgs = now.reorgs;
            next = next.min(now.safe.number + 1);
        }
        while next <= now.latest.number {
            if !send(&*backend, &sink, next).await? {
                break;
            }
            next += 1;
        }
        tokio::select! {
            () = sink.closed() => return Ok(()),
            changed = heads.changed() => changed?,
        }
    }
}

/// Sends one block. A block without a seal is not sent: its readers derive it themselves. False
/// if the block has gone meanwhile.
async fn send(
    backend: &dyn Backend,
    sink: &SubscriptionSink,
    number: u64,
) -> Result<bool, jsonrpsee::core::SubscriptionError> {
    if backend.chain().header(number)?.is_none() {
        return Ok(false);
    }
    if let Some(bytes) = backend.feed_block(number)? {
        sink.send(to_raw_value(&bytes)?).await?;
        crash::point("feed.sent");
    }
    Ok(true)
}
