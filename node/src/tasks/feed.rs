//! Follows the sequencer's feed of sealed blocks, so that `latest` is not as old as DA.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Bytes;
use alloy_rlp::Decodable;
use jsonrpsee::core::client::{Subscription, SubscriptionClientT};
use jsonrpsee::rpc_params;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{longer, pause};
use crate::node::{Fed, FeedBlock, Node, NodeError};

const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// After this long without an answer a connection counts as lost.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest message of the feed: a block of the largest claim, in hex, with room to spare.
const MOST_MESSAGE: u32 = 64 * 1024 * 1024;

/// Runs until `stop`. The feed is a hint: losing it costs freshness, never safety.
pub(super) async fn run(
    node: Arc<Node>,
    url: String,
    stop: CancellationToken,
) -> Result<(), NodeError> {
    let mut backoff = FIRST_BACKOFF;
    let mut told = false;
    while !stop.is_cancelled() {
        match subscribe(&node, &url).await {
            Ok((_connection, blocks)) => {
                info!(%url, "following the sequencer's feed");
                told = false;
                backoff = FIRST_BACKOFF;
                follow(&node, blocks, &stop).await?;
            }
            Err(reason) if !told => {
                told = true;
                warn!(%url, %reason, "the sequencer's feed cannot be reached; following da alone");
            }
            Err(reason) => debug!(%url, %reason, "the sequencer's feed cannot be reached"),
        }
        pause(&stop, backoff).await;
        backoff = longer(backoff);
    }
    Ok(())
}

/// A subscription, and the connection it lives on.
async fn subscribe(node: &Node, url: &str) -> Result<(WsClient, Subscription<Bytes>), String> {
    let client = WsClientBuilder::default()
        .connection_timeout(TIMEOUT)
        .request_timeout(TIMEOUT)
        .max_response_size(MOST_MESSAGE)
        .build(url)
        .await
        .map_err(|error| error.to_string())?;
    let from = node.heads().borrow().latest.number + 1;
    let identity = node.spec().identity();
    let params = rpc_params![identity, from];
    let blocks = client
        .subscribe("rollup_subscribeFeed", params, "rollup_unsubscribeFeed")
        .await
        .map_err(|error| error.to_string())?;
    Ok((client, blocks))
}

/// Takes blocks until the connection ends or a block does not connect.
async fn follow(
    node: &Arc<Node>,
    mut blocks: Subscription<Bytes>,
    stop: &CancellationToken,
) -> Result<(), NodeError> {
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            next = blocks.next() => next,
        };
        let Some(Ok(bytes)) = next else { return Ok(()) };
        let Ok(fed) = FeedBlock::decode(&mut bytes.as_ref()) else {
            warn!("the sequencer's feed sent bytes that are no block; reconnecting");
            return Ok(());
        };
        let number = fed.claim.number;
        match take(node, fed, stop).await? {
            Fed::Adopted | Fed::Known => {}
            Fed::Later(reason) => {
                debug!(number, %reason, "a block of the feed does not connect");
                return Ok(());
            }
            Fed::Refused(reason) => {
                warn!(number, %reason, "refused a block of the feed; da decides");
                return Ok(());
            }
        }
    }
}

/// Takes one block, waiting for derivation as long as that is what it lacks.
async fn take(
    node: &Arc<Node>,
    fed: FeedBlock,
    stop: &CancellationToken,
) -> Result<Fed, NodeError> {
    let mut heads = node.heads();
    loop {
        let taken = node.feed(fed.clone()).await?;
        if !matches!(taken, Fed::Later(_)) {
            return Ok(taken);
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(taken),
            changed = tokio::time::timeout(TIMEOUT, heads.changed()) => {
                if !matches!(changed, Ok(Ok(()))) {
                    return Ok(taken);
                }
            }
        }
    }
}
