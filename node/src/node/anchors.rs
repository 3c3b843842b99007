//! What the next block says of the other members: their final, verified blocks and what they sent.

mod reach;
mod waiting;

use std::collections::BTreeMap;

use causeway_bridge::metalayer::view;
use causeway_chainspec::mailbox::{LaneStatus, is_transfer};
use causeway_chainspec::{Anchor, Block, Inbound, LaneItem, StateError, StateReader};
use causeway_consensus::ChainError;
use causeway_execution::ExecutionError;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::warn;

use super::Node;
use reach::{Lane, Reached, Room};

pub use waiting::Waking;

/// Bytes that a member's lane takes of the opening of a commitment, at most.
const OPENING_BYTES: usize = 200;

/// What a node remembers of choosing anchors. Nothing of it is needed after a restart.
#[derive(Default)]
pub(super) struct Anchoring {
    /// Blocks of a remote that sent nothing here: from the first up to before the second.
    quiet: Mutex<BTreeMap<u32, (u64, u64)>>,
    /// Why a remote cannot be anchored, in words a person can act on.
    notes: Mutex<BTreeMap<u32, String>>,
    /// Lane items that wait for a block, here or on their way.
    items: Mutex<usize>,
    /// Transactions and lane items that wait for a block.
    waiting: watch::Sender<usize>,
}

/// Why a remote is not anchored now. It costs its lane time, never the chain a block.
struct Unready(String);

impl From<ExecutionError> for Unready {
    fn from(error: ExecutionError) -> Self {
        Self(format!("its follower cannot be read: {error}"))
    }
}

impl From<StateError> for Unready {
    fn from(error: StateError) -> Self {
        Self(format!("its follower cannot be read: {error}"))
    }
}

/// What moves coins waits for what others say of where they came from.
fn moves_coins(item: &LaneItem) -> bool {
    matches!(item, LaneItem::Message(message) if is_transfer(message))
}

/// Those that fit into so many bytes together.
fn fitting(mut chosen: Vec<(Anchor, Inbound)>, most: usize) -> Vec<(Anchor, Inbound)> {
    let mut left = most;
    chosen.retain(|(_, inbound)| match left.checked_sub(inbound.size()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
    chosen
}

impl Node {
    /// Anchors for a block of `time_ms` on `parent`, with all they bring, by ascending domain: at
    /// most half of what a block may hold, if they can be cut so. A remote that brings nothing is named if coins wait for
    /// what it says, and now and then, so that its lane does not stall.
    pub(super) fn anchors(
        &self,
        parent: &Block,
        time_ms: u64,
    ) -> Result<Vec<(Anchor, Inbound)>, ChainError> {
        let Some(directory) = &self.spec.metalayer.directory else { return Ok(Vec::new()) };
        let fatal = |error: StateError| ChainError::Fatal(error.to_string());
        let state = self.pipeline.state_of(parent.claim_hash).map_err(super::port::chain_error)?;
        let sequence = view::directory_sequence(state.as_ref()).map_err(fatal)?;
        let mut lanes = self.lanes(state.as_ref(), time_ms).map_err(fatal)?;
        if lanes.is_empty() {
            return Ok(Vec::new());
        }
        // Whoever comes first has the most room.
        let turn = parent.header.number % lanes.len() as u64;
        lanes.rotate_left(usize::try_from(turn).unwrap_or_default());
        let opening = OPENING_BYTES * (lanes.len() + 1);
        let most = usize::try_from(self.spec.gas.limit_bytes).unwrap_or(usize::MAX);
        let all = opening * lanes.len();
        // With many members their openings alone may take what is for all; never what is for one.
        let mut room =
            Room { bytes: (most / 2).saturating_sub(all), alone: most.saturating_sub(opening) };
        let mut moves = lanes.iter().any(|lane| lane.parked > 0);
        let mut reached: Vec<Reached> = Vec::new();
        for lane in lanes {
            let domain = lane.member.domain;
            let since_ms = lane.anchored_ms.map(|ms| time_ms.saturating_sub(ms));
            let due = since_ms.is_none_or(|ms| ms >= directory.max_lag_ms / 4);
            let found = self.reach(lane, due, &mut room);
            room.alone = 0;
            reached.extend(self.noted(domain, found).flatten());
        }
        moves |= reached.iter().any(|found| found.items.iter().any(moves_coins));
        let mut chosen = Vec::new();
        for found in reached {
            let wanted = found.due || !found.items.is_empty();
            if wanted || moves {
                let domain = found.lane.member.domain;
                let opened = self.open_commitment(found, sequence);
                let opened = self.noted(domain, opened);
                chosen.extend(opened.filter(|(_, inbound)| wanted || !inbound.lanes.is_empty()));
            }
        }
        let mut chosen = fitting(chosen, most);
        chosen.sort_by_key(|(anchor, _)| anchor.domain);
        Ok(chosen)
    }

    /// Why remotes are not anchored, by domain.
    pub(super) fn unanchored(&self) -> BTreeMap<u32, String> {
        self.anchoring.notes.lock().clone()
    }

    /// Keeps the reason if there is one.
    fn noted<T>(&self, domain: u32, result: Result<T, Unready>) -> Option<T> {
        let mut notes = self.anchoring.notes.lock();
        match result {
            Ok(value) => {
                notes.remove(&domain);
                Some(value)
            }
            Err(Unready(reason)) => {
                if notes.get(&domain) != Some(&reason) {
                    warn!(chain = self.spec.short_name, domain, %reason, "a member is not anchored");
                }
                notes.insert(domain, reason);
                None
            }
        }
    }

    /// Lanes that take anchors at a time.
    fn lanes(&self, state: &dyn StateReader, time_ms: u64) -> Result<Vec<Lane>, StateError> {
        let mut lanes = Vec::new();
        for member in view::members(state)? {
            let open = member.status != LaneStatus::Unknown;
            let domain = member.domain;
            if domain == self.spec.metalayer.domain || !open || member.active_ms > time_ms {
                continue;
            }
            let Some(lane) = view::lane(state, domain)? else { continue };
            lanes.push(Lane {
                member,
                last: view::anchor(state, domain)?.map(|(anchor, _)| anchor),
                anchored_ms: view::anchored_ms(state, domain)?,
                taken: lane.theirs.sent.count,
                queued: lane.queued,
                parked: lane.parked,
            });
        }
        Ok(lanes)
    }
}
