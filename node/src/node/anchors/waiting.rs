//! What waits for a block: transactions of the pool, and items of other members.

use causeway_chainspec::StateError;
use causeway_chainspec::mailbox::LaneStatus;
use tokio::sync::watch;
use tracing::debug;

use super::{Node, Unready};

/// What may have changed of what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waking {
    /// Transactions.
    Pool,
    /// A follower.
    Remote,
    /// A block was committed.
    Block,
}

/// Lane items that wait for a block.
#[derive(Debug, Clone, Copy, Default)]
struct Items {
    /// Final on their chain, and not taken in here.
    coming: u64,
    /// Taken in, and waiting for their turn.
    queued: u64,
}

impl Node {
    /// What waits for a block of this chain. Of a member, kept up by [`Node::count_waiting`].
    pub(in crate::node) fn waiting_for_blocks(&self) -> watch::Receiver<usize> {
        if self.spec.metalayer.directory.is_none() {
            return self.pool.waiting();
        }
        self.count_waiting(Waking::Remote);
        self.anchoring.waiting.subscribe()
    }

    /// Counts what waits, and wakes the sequencer if there is reason to build: something new, or
    /// something that the last block had no room for. Reads state unless only the pool changed.
    pub fn count_waiting(&self, waking: Waking) {
        if self.spec.metalayer.directory.is_none() {
            return;
        }
        let mut known = self.anchoring.items.lock();
        let mut anew = waking == Waking::Pool;
        if waking != Waking::Pool {
            let items = self.items().unwrap_or_else(|error| {
                debug!(%error, "items of other members cannot be counted");
                Items::default()
            });
            *known = usize::try_from(items.coming + items.queued).unwrap_or(usize::MAX);
            // Without a change nobody builds, and what could not be taken is not tried again.
            anew = match waking {
                Waking::Remote => items.coming > 0,
                _ => items.queued > 0,
            };
        }
        let waiting = known.saturating_add(self.pool.status().pending);
        self.anchoring.waiting.send_if_modified(|before| {
            let changed = anew || *before != waiting;
            *before = waiting;
            changed
        });
    }

    fn items(&self) -> Result<Items, StateError> {
        let snapshot = self.pipeline.snapshot();
        let state = snapshot.state(snapshot.latest().number);
        let state = state.map_err(|error| StateError(error.to_string()))?;
        let state = state.ok_or_else(|| StateError("the newest block has no state".into()))?;
        let mut items = Items::default();
        for lane in self.lanes(state.as_ref(), self.clock.now_ms())? {
            // What a paused lane holds waits for its resume, not for a block.
            if lane.member.status != LaneStatus::Paused {
                items.queued += lane.queued;
            }
            let sent = self.ahead(&lane).and_then(|ahead| match ahead {
                Some(ahead) => self.sent(&ahead),
                None => Ok(0),
            });
            match sent {
                Ok(sent) => items.coming += sent.saturating_sub(lane.taken),
                Err(Unready(reason)) => debug!(domain = lane.member.domain, %reason, "not counted"),
            }
        }
        Ok(items)
    }
}
