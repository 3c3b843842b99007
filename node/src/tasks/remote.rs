//! Wakes the sequencer when other members have something for its chain.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::node::{Node, NodeError, Waking};

/// Runs until `stop`: what waits is counted anew whenever the pool or a follower changes.
pub(super) async fn run(node: Arc<Node>, stop: CancellationToken) -> Result<(), NodeError> {
    let (mut pool, mut changes) = (node.pool().waiting(), node.remotes().changes());
    loop {
        let (changed, waking) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = pool.changed() => (changed, Waking::Pool),
            changed = changes.changed() => (changed, Waking::Remote),
        };
        if changed.is_err() {
            // The node is going down: nothing more will wait.
            stop.cancelled().await;
            return Ok(());
        }
        if waking == Waking::Pool {
            node.count_waiting(waking);
            continue;
        }
        let counted = node.clone();
        tokio::task::spawn_blocking(move || counted.count_waiting(waking))
            .await
            .map_err(|error| NodeError::Task(format!("counting what waits panicked: {error}")))?;
    }
}
