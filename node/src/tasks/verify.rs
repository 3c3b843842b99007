//! Checks what the chain says of other members, block by block behind the safe head.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::node::{Node, NodeError};
use crate::remote::Remotes;

/// Runs until `stop`. What is not known yet is asked again whenever this chain or a follower moves.
pub(crate) async fn run(
    node: Arc<Node>,
    remotes: Arc<Remotes>,
    stop: CancellationToken,
) -> Result<(), NodeError> {
    let (mut heads, mut changes) = (node.heads(), remotes.changes());
    while !stop.is_cancelled() {
        heads.mark_unchanged();
        changes.mark_unchanged();
        let (checked, known) = (node.clone(), remotes.clone());
        let moved =
            tokio::task::spawn_blocking(move || checked.advance_verified(&known)).await.map_err(
                |error| NodeError::Task(format!("checking anchors panicked: {error}")),
            )??;
        if moved {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = heads.changed() => {}
            _ = changes.changed() => {}
        }
    }
    Ok(())
}
