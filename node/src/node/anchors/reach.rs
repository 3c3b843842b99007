//! How far one remote can be anchored, and what its anchor brings.

use std::sync::Arc;

use causeway_bridge::metalayer::MAX_QUEUE;
use causeway_bridge::metalayer::view::{self, MemberView};
use causeway_chainspec::block::requests_hash;
use causeway_chainspec::mailbox::LaneStatus;
use causeway_chainspec::{Anchor, Block, DaRef, Inbound, LaneItem, StateReader};
use causeway_consensus::derive::Cursor;
use causeway_execution::pipeline::Snapshot;

use super::{Anchoring, Node, Unready};
use crate::node::decode_cursor;
use crate::remote::Truth;

/// Most items that one anchor brings.
const MOST_ITEMS: usize = 1024;
/// Most blocks of a remote that are searched for items while one block is drafted.
const MOST_BLOCKS: u64 = 1024;

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

/// Bytes that are left for items in a block.
pub(super) struct Room {
    /// For all of them together.
    pub(super) bytes: usize,
    /// For what one block of a remote sent, even if all together would get less: items of one
    /// block come together, so a lane would stop for ever at a block that never fits.
    pub(super) alone: usize,
}

/// A lane as the state of this chain has it.
pub(super) struct Lane {
    pub(super) member: MemberView,
    /// The newest anchor.
    pub(super) last: Option<Anchor>,
    /// When it was taken, ms.
    pub(super) anchored_ms: Option<u64>,
    /// Items of the remote that were taken in up to it.
    pub(super) taken: u64,
    pub(super) queued: u64,
    pub(super) parked: u64,
}

impl Lane {
    /// First block of the remote that is not covered.
    fn first(&self) -> u64 {
        self.last.as_ref().map_or(0, |anchor| anchor.number.saturating_add(1))
    }

    /// Lowest DA height that the next anchor may name: not below the last one's.
    fn lowest(&self, follower: &Node) -> u64 {
        match &self.last {
            Some(anchor) => anchor.da.height,
            None => follower.spec.da.start.max(1),
        }
    }
}

/// How far a remote can be anchored now.
pub(super) struct Ahead {
    follower: Arc<Node>,
    snapshot: Snapshot,
    /// Where derivation of the remote stands.
    cursor: Cursor,
    /// Newest block that may be anchored.
    number: u64,
}

/// A block of a remote that fits, and what it brings.
pub(super) struct Reached {
    pub(super) lane: Lane,
    ahead: Ahead,
    number: u64,
    pub(super) items: Vec<LaneItem>,
    /// Whether it is time to hear of the remote, items or not.
    pub(super) due: bool,
}

impl Node {
    /// How far a remote can be anchored beyond the last anchor: final, derived and verified.
    pub(super) fn ahead(&self, lane: &Lane) -> Result<Option<Ahead>, Unready> {
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
        let (verified, held) =
            follower.verified_head().map_or((u64::MAX, None), |(head, held)| (head.number, held));
        let number = cursor.safe.number.min(verified);
        if number < lane.first() {
            // Naming a block again says nothing new, and the lane's age is that of the block.
            return match held {
                Some(Truth::False(what)) => {
                    Err(Unready(format!("it says of another member what is not so: {what}")))
                }
                _ => Ok(None),
            };
        }
        Ok(Some(Ahead { follower: follower.clone(), snapshot, cursor, number }))
    }

    /// The newest block of a remote that fits into `room` with all it brings.
    pub(super) fn reach(
        &self,
        lane: Lane,
        due: bool,
        room: &mut Room,
    ) -> Result<Option<Reached>, Unready> {
        let Some(ahead) = self.ahead(&lane)? else { return Ok(None) };
        let (domain, first) = (lane.member.domain, lane.first());
        if self.sent(&ahead)? <= lane.taken {
            self.anchoring.note_quiet(domain, first, ahead.number.saturating_add(1));
            return Ok(Some(Reached { number: ahead.number, items: Vec::new(), lane, ahead, due }));
        }
        let start = self.anchoring.quiet_until(domain, first);
        let end = ahead.number.min(start.saturating_add(MOST_BLOCKS));
        let mut messages = MAX_QUEUE.saturating_sub(lane.queued);
        let (mut items, mut number) = (Vec::new(), start.checked_sub(1));
        for at in start..=end {
            let block = ahead.block(at)?;
            let here: Vec<_> = self.items_of(&block).cloned().collect();
            let bytes: usize = here.iter().map(LaneItem::size).sum();
            let count =
                here.iter().filter(|item| matches!(item, LaneItem::Message(_))).count() as u64;
            let most = if items.is_empty() { room.bytes.max(room.alone) } else { room.bytes };
            if items.len() + here.len() > MOST_ITEMS || bytes > most || count > messages {
                break;
            }
            (room.bytes, messages) = (room.bytes.saturating_sub(bytes), messages - count);
            items.extend(here);
            if items.is_empty() {
                self.anchoring.note_quiet(domain, first, at + 1);
            }
            number = Some(at);
        }
        Ok(number.map(|number| Reached { lane, ahead, number, items, due }))
    }

    /// Items for this chain that a remote has sent up to where it can be anchored.
    pub(super) fn sent(&self, ahead: &Ahead) -> Result<u64, Unready> {
        let state = ahead.state(ahead.number)?;
        let lane = view::lane(state.as_ref(), self.spec.metalayer.domain)?;
        Ok(lane.map_or(0, |lane| lane.ours.sent.count))
    }

    fn items_of<'a>(&self, block: &'a Block) -> impl Iterator<Item = &'a LaneItem> {
        let own = self.spec.metalayer.domain;
        block.outbox.iter().filter(move |item| item.destination() == own)
    }

    /// The anchor of a remote's block, and the opening of its commitment.
    pub(super) fn open_commitment(
        &self,
        found: Reached,
        sequence: u64,
    ) -> Result<(Anchor, Inbound), Unready> {
        let Reached { lane, ahead, number, mut items, .. } = found;
        let block = ahead.block(number)?;
        let state = ahead.state(number)?;
        let opened = view::commitment(state.as_ref())?;
        let commitment = opened.hash();
        let (header, claim) = (&block.header, &block.plan.claim);
        if header.requests_hash != Some(requests_hash(block.claim_hash, commitment)) {
            return Err(Unready(format!(
                "the commitment of its block {number} does not open to its state: this program \
                 is wrong"
            )));
        }
        let rules_hash = ahead.follower.spec.rules_hash(claim.time_ms);
        if rules_hash != lane.member.rules {
            return Err(Unready(format!(
                "its rules hash at block {number} is {rules_hash}, the directory has {}",
                lane.member.rules
            )));
        }
        let mut lanes = view::lanes(state.as_ref())?;
        // Beyond the history all lanes count as changed.
        let before = match &lane.last {
            Some(anchor) => ahead.snapshot.state(anchor.number)?,
            None => None,
        };
        if let Some(before) = before {
            let before = view::lanes(before.as_ref())?;
            lanes.retain(|lane| !before.contains(lane));
        }
        if opened.directory > sequence {
            // Naming it stalls the lane, which is all it can do before that record is here.
            if lane.member.status == LaneStatus::Stalled {
                return Err(Unready(format!(
                    "its directory has {} records, this chain's has {sequence}: the newest must \
                     come through the forced lane",
                    opened.directory
                )));
            }
            (lanes, items) = Default::default();
        }
        let anchor = Anchor {
            domain: lane.member.domain,
            identity: claim.identity,
            rules_hash,
            directory: opened.directory,
            da: ahead.final_at(number, lane.lowest(&ahead.follower))?,
            number,
            hash: block.hash,
            commitment,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            time_ms: claim.time_ms,
        };
        Ok((anchor, Inbound { root: opened.root, count: opened.count, lanes, items }))
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
