//! What the next block says of the other members: their final, verified blocks and what they sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_bridge::metalayer::view::{self, MemberView};
use causeway_chainspec::mailbox::{LaneStatus, is_transfer};
use causeway_chainspec::{
    Anchor, Block, Commitment, DaRef, Inbound, LaneItem, StateError, StateReader,
    block::requests_hash,
};
use causeway_consensus::ChainError;
use causeway_consensus::derive::Cursor;
use causeway_execution::ExecutionError;
use causeway_execution::pipeline::Snapshot;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Node, decode_cursor};

mod waiting;

pub use waiting::Waking;

/// Most items that one anchor brings, and most messages of a lane that may wait here.
const MOST_ITEMS: usize = 1024;
/// Most blocks of a remote that are searched for items while one block is drafted.
const MOST_BLOCKS: u64 = 1024;
/// Bytes of an opening that brings no items, for each member: more than it has.
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

impl Anchoring {
    /// The first block from `first` on that may have sent something here.
    fn quiet_until(&self, domain: u32, first: u64) -> u64 {
        match self.quiet.lock().get(&domain) {
            Some((from, until)) if (*from..=*until).contains(&first) => *until,
            _ => first,
        }
    }

    /// Remembers that blocks from `first` up to before `until` sent nothing here.
    fn note_quiet(&self, domain: u32, first: u64, until: u64) {
        self.quiet.lock().insert(domain, (first, until));
    }
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

/// A lane as the state of this chain has it.
struct Lane {
    member: MemberView,
    /// The newest anchor, and the block that took it.
    last: Option<(Anchor, u64)>,
    /// Items of the remote that were taken in with it.
    taken: u64,
    queued: u64,
    parked: u64,
}

impl Lane {
    /// First block of the remote that is not covered.
    fn first(&self) -> u64 {
        self.last.as_ref().map_or(0, |(anchor, _)| anchor.number.saturating_add(1))
    }
}

/// How far a remote can be anchored now.
struct Ahead {
    follower: Arc<Node>,
    snapshot: Snapshot,
    /// Where derivation of the remote stands.
    cursor: Cursor,
    /// Newest block that may be anchored.
    number: u64,
}

/// A block of a remote that fits, and what it brings.
struct Reached {
    lane: Lane,
    ahead: Ahead,
    number: u64,
    items: Vec<LaneItem>,
    /// Whether it is time to hear of the remote, items or not.
    due: bool,
}

impl Node {
    /// Anchors for a block of `time_ms` on `parent`, with all they bring, by ascending domain. A
    /// remote that brings nothing is named now and then only, so that its lane does not stall.
    pub(super) fn anchors(
        &self,
        parent: &Block,
        time_ms: u64,
    ) -> Result<Vec<(Anchor, Inbound)>, ChainError> {
        let Some(directory) = &self.spec.metalayer.directory else { return Ok(Vec::new()) };
        let fatal = |error: &dyn std::fmt::Display| ChainError::Fatal(error.to_string());
        let state = self.pipeline.state_of(parent.claim_hash).map_err(|error| fatal(&error))?;
        let mut lanes = self.lanes(state.as_ref(), time_ms).map_err(|error| fatal(&error))?;
        if lanes.is_empty() {
            return Ok(Vec::new());
        }
        // Whoever comes first has the most room.
        let turn = parent.header.number % lanes.len() as u64;
        lanes.rotate_left(turn as usize);
        let opening = OPENING_BYTES * (lanes.len() + 1);
        let most = usize::try_from(self.spec.gas.limit_bytes / 2).unwrap_or(usize::MAX);
        let mut room = most;
        // Coins wait for what others say of where they came from.
        let mut moves = lanes.iter().any(|lane| lane.parked > 0);
        let mut reached = Vec::new();
        let heartbeat_ms = directory.max_lag_ms / 4;
        for lane in lanes {
            let domain = lane.member.domain;
            let due = match &lane.last {
                None => true,
                Some((_, block)) => {
                    let taken_ms = self.time_of(parent, *block).map_err(|error| fatal(&error))?;
                    time_ms.saturating_sub(taken_ms) >= heartbeat_ms
                }
            };
            room = room.saturating_sub(opening);
            let found = self.reach(lane, due, &mut room);
            if let Some(found) = self.noted(domain, found).flatten() {
                moves |= found.items.iter().any(moves_coins);
                reached.push(found);
            }
        }
        let mut chosen = Vec::new();
        for found in reached {
            let wanted = found.due || !found.items.is_empty();
            if !wanted && !moves {
                continue;
            }
            let domain = found.lane.member.domain;
            let opened = self.open_commitment(found);
            let opened = self.noted(domain, opened);
            chosen.extend(opened.filter(|(_, inbound)| wanted || !inbound.lanes.is_empty()));
        }
        let mut left = most;
        chosen.retain(|(_, inbound)| match left.checked_sub(inbound.size()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        });
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
                    tracing::warn!(domain, %reason, "a member cannot be anchored");
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
            let open = matches!(member.status, LaneStatus::Active | LaneStatus::Stalled);
            let domain = member.domain;
            if domain == self.spec.metalayer.domain || !open || member.active_ms > time_ms {
                continue;
            }
            let Some(lane) = view::lane(state, domain)? else { continue };
            lanes.push(Lane {
                member,
                last: view::anchor(state, domain)?,
                taken: lane.theirs.sent.count,
                queued: lane.queued,
                parked: lane.parked,
            });
        }
        Ok(lanes)
    }

    /// Time of a block on the chain of `parent`; 0 if it is none.
    fn time_of(&self, parent: &Block, number: u64) -> Result<u64, ExecutionError> {
        if number >= parent.header.number {
            return Ok(parent.plan.claim.time_ms);
        }
        let block = self.pipeline.snapshot().block(number)?;
        Ok(block.map_or(0, |block| block.plan.claim.time_ms))
    }

    /// How far a remote can be anchored beyond the last anchor: final, derived and verified.
    fn ahead(&self, lane: &Lane) -> Result<Option<Ahead>, Unready> {
        let member = &lane.member;
        let Some(follower) = self.remotes.get(member.domain) else {
            return Err(Unready("it is not followed by this process".into()));
        };
        if member.identity != follower.spec.identity() {
            return Err(Unready(format!(
                "the directory knows it as the chain {}, this process follows {}",
                member.identity,
                follower.spec.identity()
            )));
        }
        let snapshot = follower.pipeline.snapshot();
        let Some((height, record)) = snapshot.last_derived()? else { return Ok(None) };
        if height < lane.lowest(follower) {
            return Ok(None);
        }
        let cursor = decode_cursor(&record)?;
        let verified = follower.verified_head().map_or(u64::MAX, |(head, _)| head.number);
        let number = cursor.safe.number.min(verified);
        if number.saturating_add(1) < lane.first() {
            return Ok(None);
        }
        Ok(Some(Ahead { follower: follower.clone(), snapshot, cursor, number }))
    }

    /// The newest block of a remote that fits into `room` bytes with all it brings.
    fn reach(&self, lane: Lane, due: bool, room: &mut usize) -> Result<Option<Reached>, Unready> {
        let Some(ahead) = self.ahead(&lane)? else { return Ok(None) };
        let (domain, first) = (lane.member.domain, lane.first());
        if self.sent(&ahead)? <= lane.taken {
            self.anchoring.note_quiet(domain, first, ahead.number.saturating_add(1));
            return Ok(Some(Reached { number: ahead.number, items: Vec::new(), lane, ahead, due }));
        }
        let start = self.anchoring.quiet_until(domain, first);
        let end = ahead.number.min(start.saturating_add(MOST_BLOCKS));
        let waiting = usize::try_from(lane.queued).unwrap_or(usize::MAX);
        let mut messages = MOST_ITEMS.saturating_sub(waiting);
        let (mut items, mut number) = (Vec::new(), start.checked_sub(1));
        for at in start..=end {
            let block = ahead.block(at)?;
            let here: Vec<_> = self.items_of(&block).cloned().collect();
            let bytes: usize = here.iter().map(LaneItem::size).sum();
            let count = here.iter().filter(|item| matches!(item, LaneItem::Message(_))).count();
            if items.len() + here.len() > MOST_ITEMS || bytes > *room || count > messages {
                break;
            }
            (*room, messages) = (*room - bytes, messages - count);
            items.extend(here);
            if items.is_empty() {
                self.anchoring.note_quiet(domain, first, at + 1);
            }
            number = Some(at);
        }
        Ok(number.map(|number| Reached { lane, ahead, number, items, due }))
    }

    /// Items for this chain that a remote has sent up to where it can be anchored.
    fn sent(&self, ahead: &Ahead) -> Result<u64, Unready> {
        let state = ahead.state(ahead.number)?;
        let lane = view::lane(state.as_ref(), self.spec.metalayer.domain)?;
        Ok(lane.map_or(0, |lane| lane.ours.sent.count))
    }

    fn items_of<'a>(&self, block: &'a Block) -> impl Iterator<Item = &'a LaneItem> {
        let own = self.spec.metalayer.domain;
        block.outbox.iter().filter(move |item| item.destination() == own)
    }

    /// The anchor of a remote's block, and the opening of its commitment.
    fn open_commitment(&self, found: Reached) -> Result<(Anchor, Inbound), Unready> {
        let Reached { lane, ahead, number, items, .. } = found;
        let block = ahead.block(number)?;
        let state = ahead.state(number)?;
        let mut lanes = view::lanes(state.as_ref())?;
        let (root, count) = view::tree(state.as_ref())?;
        let directory = view::directory_sequence(state.as_ref())?;
        let hashes = causeway_chainspec::block::concat_hash(lanes.iter().map(|lane| lane.hash()));
        let commitment = Commitment { root, count, lanes: hashes, directory }.hash();
        let (header, claim) = (&block.header, &block.plan.claim);
        if header.requests_hash != Some(requests_hash(block.claim_hash, commitment)) {
            return Err(Unready(format!(
                "the commitment of its block {number} does not open to its state: this program \
                 is wrong"
            )));
        }
        // Beyond the history all lanes count as changed.
        let before = match &lane.last {
            Some((anchor, _)) => ahead.snapshot.state(anchor.number)?,
            None => None,
        };
        if let Some(before) = before {
            let before = view::lanes(before.as_ref())?;
            lanes.retain(|lane| !before.contains(lane));
        }
        let anchor = Anchor {
            domain: lane.member.domain,
            identity: claim.identity,
            rules_hash: ahead.follower.spec.rules_hash(claim.time_ms),
            directory,
            da: ahead.final_at(number, lane.lowest(&ahead.follower))?,
            number,
            hash: block.hash,
            commitment,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            time_ms: claim.time_ms,
        };
        Ok((anchor, Inbound { root, count, lanes, items }))
    }
}

impl Lane {
    /// Lowest DA height that the next anchor may name: above the last one's.
    fn lowest(&self, follower: &Node) -> u64 {
        match &self.last {
            Some((anchor, _)) => anchor.da.height.saturating_add(1),
            None => follower.spec.da.start.max(1),
        }
    }
}

impl Ahead {
    fn block(&self, number: u64) -> Result<Arc<Block>, Unready> {
        let block = self.snapshot.block(number)?;
        block.ok_or_else(|| Unready(format!("its block {number} is missing here")))
    }

    fn state(&self, number: u64) -> Result<Arc<dyn StateReader>, Unready> {
        let state = self.snapshot.state(number)?;
        state.ok_or_else(|| Unready(format!("the state of its block {number} is pruned here")))
    }

    /// The lowest DA block from a height on at which a block is final; the newest if no later one
    /// is, so that the anchor covers all that was read.
    fn final_at(&self, number: u64, lowest: u64) -> Result<DaRef, Unready> {
        if number >= self.cursor.safe.number {
            return Ok(self.cursor.da);
        }
        let (mut low, mut high) = (lowest, self.cursor.da);
        while low < high.height {
            let middle = low + (high.height - low) / 2;
            let record = self.snapshot.derived(middle)?;
            let record = record
                .ok_or_else(|| Unready(format!("DA height {middle} of it is not recorded here")))?;
            let cursor = decode_cursor(&record)?;
            if cursor.safe.number >= number {
                high = cursor.da;
            } else {
                low = middle + 1;
            }
        }
        Ok(high)
    }
}

fn moves_coins(item: &LaneItem) -> bool {
    matches!(item, LaneItem::Message(message) if is_transfer(message))
}
