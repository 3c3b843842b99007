//! How far this node has checked what its chain says of other members: the verified head.

use alloy_primitives::B256;
use causeway_chainspec::{Anchor, BlockId, crash};
use causeway_execution::disk::{Folder, failed};
use causeway_execution::pipeline::Snapshot;
use causeway_execution::{ExecutionError, Pipeline};
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{error, warn};

use super::Node;
use crate::remote::{Remotes, Truth};

#[cfg(test)]
mod tests;

/// Its file in the datadir.
const FILE: &str = "verified";

/// Most blocks checked before what was found is written down and seen.
const BATCH: u64 = 1024;

/// The verified head and its file.
pub(super) struct VerifiedHead {
    folder: Folder,
    state: Mutex<State>,
    /// Held by whoever moves the head.
    moving: Mutex<()>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    head: BlockId,
    /// Newest block known to be both verified and final: where to go back to at most.
    floor: u64,
    /// What is wrong with the block above; `None` if nothing is, or there is none.
    held: Option<Truth>,
}

impl VerifiedHead {
    /// Reads the file of a datadir; without one nothing above block 0 is verified.
    pub(super) fn open(folder: Folder, pipeline: &Pipeline) -> Result<Self, ExecutionError> {
        let path = folder.file(FILE);
        let (head, floor) = match folder.disk().read(&path) {
            Ok(bytes) => parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
                ExecutionError::Damaged(format!(
                    "{} is not what this program writes; remove it to check all anchors again",
                    path.display()
                ))
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                (block_id(&pipeline.snapshot(), 0)?, 0)
            }
            Err(error) => return Err(failed(&path, &error)),
        };
        let state = Mutex::new(State { head, floor, held: None });
        Ok(Self { folder, state, moving: Mutex::default() })
    }

    /// Writes down where the head stands, whole or not at all: the file is renamed into place.
    fn save(&self, head: &BlockId, floor: u64) -> Result<(), ExecutionError> {
        let text = format!("{} {} {} {floor}\n", head.number, head.claim, head.hash);
        crash::point("verified.before");
        let result = self.folder.replace(FILE, text.as_bytes());
        crash::point("verified.after");
        result.map_err(|error| failed(&self.folder.file(FILE), &error))
    }
}

fn parse(text: &str) -> Option<(BlockId, u64)> {
    let mut fields = text.strip_suffix('\n')?.split(' ');
    let number = fields.next()?.parse().ok()?;
    let claim: B256 = fields.next()?.parse().ok()?;
    let hash: B256 = fields.next()?.parse().ok()?;
    let floor = fields.next()?.parse().ok()?;
    let whole = fields.next().is_none() && floor <= number;
    whole.then_some((BlockId { number, claim, hash }, floor))
}

fn block_id(snapshot: &Snapshot, number: u64) -> Result<BlockId, ExecutionError> {
    snapshot.id(number)?.ok_or_else(|| ExecutionError::Unknown(format!("block {number}")))
}

/// Where a head stands on the chain as it is now: it may have been unwound.
fn clipped(snapshot: &Snapshot, state: &State) -> Result<BlockId, ExecutionError> {
    let head = state.head;
    let safe = snapshot.safe().number;
    let ours = snapshot.id(head.number)?.map(|id| id.claim) == Some(head.claim);
    if ours && head.number <= safe {
        return Ok(head);
    }
    // On a replaced chain only what is final is sure to be the same.
    let to = if ours { safe } else { state.floor.min(safe) };
    warn!(from = head.number, to, "verified blocks were dropped");
    block_id(snapshot, to)
}

impl VerifiedHead {
    /// Checks safe blocks above the head as long as `judge` finds their anchors true, and moves it.
    fn advance(
        &self,
        snapshot: &Snapshot,
        judge: &dyn Fn(&[Anchor]) -> Truth,
    ) -> Result<Advanced, ExecutionError> {
        let _moving = self.moving.lock();
        let before = self.state.lock().clone();
        let mut head = clipped(snapshot, &before)?;
        let mut held = None;
        let last = snapshot.safe().number.min(head.number.saturating_add(BATCH));
        for number in head.number + 1..=last {
            let missing = || ExecutionError::Unknown(format!("block {number}"));
            let block = snapshot.block(number)?.ok_or_else(missing)?;
            let truth = judge(&block.plan.claim.anchors);
            if truth != Truth::True {
                held = Some(truth);
                break;
            }
            head = BlockId { number, claim: block.claim_hash, hash: block.hash };
        }
        let moved = head != before.head;
        let floor = head.number.min(snapshot.finalized().number);
        if moved {
            self.save(&head, floor)?;
        }
        let news = (held != before.held).then(|| held.clone()).flatten();
        let changed = moved || held != before.held;
        *self.state.lock() = State { head, floor, held };
        Ok(Advanced { moved, changed, news })
    }
}

/// What a pass over the chain brought.
#[derive(Debug, PartialEq, Eq)]
struct Advanced {
    /// The head moved: there may be more to check.
    moved: bool,
    /// Anything changed.
    changed: bool,
    /// What holds the head now and did not before.
    news: Option<Truth>,
}

impl Node {
    /// Checks anchors of safe blocks above the verified head, as far as `remotes` know, and moves
    /// it. Returns whether it moved; if so there may be more to check. Reads and writes files.
    pub fn advance_verified(&self, remotes: &Remotes) -> Result<bool, ExecutionError> {
        let Some(verified) = &self.verified else { return Ok(false) };
        let judge = |anchors: &[Anchor]| remotes.truths(anchors);
        let advanced = verified.advance(&self.pipeline.snapshot(), &judge)?;
        if let Some(Truth::False(what)) = &advanced.news {
            error!(
                chain = self.spec.short_name, verified = verified.state.lock().head.number, %what,
                "alarm: a block says of another member what is not so; the chain goes on, but \
                 nothing more of it is verified",
            );
        }
        if advanced.changed {
            self.verified_changes.send_modify(|count| *count = count.wrapping_add(1));
        }
        Ok(advanced.moved)
    }

    /// The verified head, and what is wrong with the block above it if something is; `None` for a
    /// chain that is no member.
    pub(crate) fn verified_head(&self) -> Option<(BlockId, Option<Truth>)> {
        let state = self.verified.as_ref()?.state.lock();
        Some((state.head, state.held.clone()))
    }

    /// Changes whenever the verified head moves, or what holds it. Never, for a chain that is no
    /// member.
    pub(crate) fn verified_changes(&self) -> watch::Receiver<u64> {
        self.verified_changes.subscribe()
    }
}
