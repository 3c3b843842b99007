//! Reads the DA layer block by block and derives the chain from it, on every node alike.

use std::sync::Arc;
use std::time::Duration;

use causeway_chainspec::crash;
use causeway_da::DaError;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{longer, pause};
use crate::node::{Node, NodeError};

const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// Lines of progress while a node catches up are this many DA blocks apart.
const PROGRESS: u64 = 1000;

/// Runs until `stop`. Trouble with the layer is retried; what it contradicts itself in is not.
pub(crate) async fn run(node: Arc<Node>, stop: CancellationToken) -> Result<(), NodeError> {
    let poll = Duration::from_millis((node.spec().da.interval_ms / 4).clamp(10, 1000));
    let mut backoff = FIRST_BACKOFF;
    let mut final_height = 0;
    let mut latest = 0;
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
                }
                Err(error) => {
                    backoff = retry(&stop, error, backoff).await?;
                    continue;
                }
            }
        }
        if height > latest {
            pause(&stop, poll).await;
            continue;
        }
        let read = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            read = node.da().read(height) => read,
        };
        match read {
            Ok(block) => {
                crash::point("derive.read");
                match node.derive(block, final_height).await {
                    Ok(_) => backoff = FIRST_BACKOFF,
                    // Going back in a reorg reads the layer, too.
                    Err(NodeError::Da(error)) => {
                        backoff = retry(&stop, error, backoff).await?;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                if latest > height + PROGRESS && height.is_multiple_of(PROGRESS) {
                    info!(height, latest, "reading the da layer");
                }
            }
            Err(DaError::NotYet { .. }) => {
                pause(&stop, poll).await;
            }
            Err(error) => backoff = retry(&stop, error, backoff).await?,
        }
    }
    Ok(())
}

/// Waits before the next attempt if one can help; otherwise the error ends the node.
async fn retry(
    stop: &CancellationToken,
    error: DaError,
    backoff: Duration,
) -> Result<Duration, NodeError> {
    match error {
        DaError::Unavailable(_) | DaError::NotYet { .. } => {
            warn!(%error, retry_ms = backoff.as_millis() as u64, "the da layer does not answer");
            pause(stop, backoff).await;
            Ok(longer(backoff))
        }
        error => Err(error.into()),
    }
}
