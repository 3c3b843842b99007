//! Reads the DA layer block by block and derives the chain from it, on every node alike.

use std::sync::Arc;
use std::time::Duration;

use causeway_chainspec::crash;
use causeway_da::DaError;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{longer, pause};
use crate::node::{Node, NodeError, Prepared};

const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// Lines of progress while a node catches up are this many DA blocks apart.
const PROGRESS: u64 = 1000;

/// Runs until `stop`. Trouble with the layer is retried; what it contradicts itself in is not.
pub(crate) async fn run(node: Arc<Node>, stop: CancellationToken) -> Result<(), NodeError> {
    let poll = Duration::from_millis((node.spec().da.interval_ms / 4).clamp(10, 1000));
    let mut backoff = FIRST_BACKOFF;
    let mut final_height = 0;
    let mut latest = 0;
    // The DA block after the one being derived, read and decoded meanwhile.
    let mut ahead: Option<(u64, Prepared)> = None;
    while !stop.is_cancelled() {
        let height =
            node.cursor().map_or(node.spec().da.start.max(1), |cursor| cursor.da.height + 1);
        if height > latest || final_height + 1 >= height {
            let heads = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                heads = node.da().heads() => heads,
            };
            match heads {
                Ok(heads) => {
                    latest = heads.latest.height;
                    final_height = heads.finalized.height;
                    node.note_da_head(heads.latest);
                    node.note_da_answer(Ok(()));
                }
                Err(error) => {
                    node.note_da_answer(Err(&error));
                    backoff = retry(&stop, error, backoff).await?;
                    continue;
                }
            }
        }
        if height > latest {
            pause(&stop, poll).await;
            continue;
        }
        // One that was read before a reorg is read again.
        let fits = |prepared: &Prepared| {
            node.cursor().is_some_and(|cursor| cursor.da.hash == prepared.parent())
        };
        let read = match ahead.take().filter(|(at, prepared)| *at == height && fits(prepared)) {
            Some((_, prepared)) => Ok(prepared),
            None => tokio::select! {
                () = stop.cancelled() => return Ok(()),
                read = read_block(&node, height) => read,
            },
        };
        match read {
            Ok(prepared) => {
                crash::point("derive.read");
                let next = async {
                    if height >= latest {
                        return None;
                    }
                    tokio::select! {
                        () = stop.cancelled() => None,
                        // What fails here is asked for again, and then said.
                        read = read_block(&node, height + 1) => read.ok(),
                    }
                };
                let (derived, next) =
                    tokio::join!(node.derive_prepared(prepared, final_height), next);
                match derived {
                    Ok(_) => {
                        backoff = FIRST_BACKOFF;
                        node.note_da_answer(Ok(()));
                    }
                    // Going back in a reorg reads the layer, too.
                    Err(NodeError::Da(error)) => {
                        backoff = retry(&stop, error, backoff).await?;
                        continue;
                    }
                    Err(NodeError::Safety(reason)) => return halt(&node, &stop, reason).await,
                    Err(error) => return Err(error),
                }
                ahead = next.map(|prepared| (height + 1, prepared));
                if latest > height + PROGRESS && height.is_multiple_of(PROGRESS) {
                    info!(height, latest, "reading the da layer");
                }
            }
            Err(NodeError::Da(DaError::NotYet { .. })) => {
                pause(&stop, poll).await;
            }
            Err(NodeError::Da(error)) => {
                node.note_da_answer(Err(&error));
                backoff = retry(&stop, error, backoff).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Nothing is derived, built, posted or taken any more; what is known is still served. A person must
/// decide.
async fn halt(node: &Node, stop: &CancellationToken, reason: String) -> Result<(), NodeError> {
    error!(reason, "halted: reads go on, and nothing else");
    node.halt(reason);
    stop.cancelled().await;
    Ok(())
}

/// A DA block, ready to be derived.
async fn read_block(node: &Node, height: u64) -> Result<Prepared, NodeError> {
    let block = node.da().read(height).await?;
    Ok(node.prepare(block).await?)
}

/// Waits before the next attempt if one can help; otherwise the error ends the node.
async fn retry(
    stop: &CancellationToken,
    error: DaError,
    backoff: Duration,
) -> Result<Duration, NodeError> {
    match error {
        error if error.is_temporary() => {
            warn!(%error, retry_ms = backoff.as_millis() as u64, "the da layer gives no block");
            pause(stop, backoff).await;
            Ok(longer(backoff))
        }
        error => Err(error.into()),
    }
}
