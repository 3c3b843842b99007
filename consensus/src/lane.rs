//! The forced lane as a value: entries seen on DA, when each is due, and which a block must take.

use alloy_consensus::Transaction;
use alloy_primitives::Bytes;
use alloy_rlp::{RlpDecodable, RlpEncodable};
use causeway_chainspec::l1::MESSAGE_TYPE;
use causeway_chainspec::{ChainSpec, DaRef, ForcedEntry, LanePosition, Tx};

#[cfg(test)]
mod tests;

/// Least gas an entry costs the lane: what the cheapest transaction of Ethereum costs.
pub const MIN_COST: u64 = 21_000;

/// An entry no block has taken yet.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Pending {
    /// The entry.
    pub entry: ForcedEntry,
    /// When it is due, ms: max(its DA time, previous due + previous cost / lane rate).
    pub due_ms: u64,
    /// Gas it takes of the lane and of a block's limit.
    pub cost: u64,
}

/// The lane as derivation knows it after a DA block: what is taken, and what waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Lane {
    /// Where the safe chain stands in the lane.
    pub taken: LanePosition,
    /// Earliest time at which the next entry can be due, ms.
    pub free_ms: u64,
    /// Entries after `taken`, in lane order.
    pub pending: Vec<Pending>,
}

/// The entries one block takes: the longest run that is due and fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The entries, in lane order.
    pub entries: Vec<ForcedEntry>,
    /// The lane after them.
    pub position: LanePosition,
    /// Their bytes.
    pub bytes: u64,
    /// True if the block's limits left due entries for the next block.
    pub full: bool,
}

/// Why an entry on DA is not of the lane. The same on every node: it depends on DA alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It can fit no block.
    #[error("forced entry of {bytes} bytes is over the limit of {most}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// Most bytes a claim may hold.
        most: u64,
    },
    /// It says that it is a message of a parent chain (type 0x7E), and the layer is none: anybody
    /// may have written it.
    #[error("forced entry of type 0x7e on a layer that has no messages")]
    Message,
    /// Those before it fill the lane for more than a window.
    #[error(
        "the forced lane is full: the entry would be due in {wait_ms} ms, at most {most_ms} may be \
         waited; send it again later"
    )]
    Full {
        /// How long after its DA block it would be due, ms.
        wait_ms: u64,
        /// The window, ms.
        most_ms: u64,
    },
}

impl Lane {
    /// Adds what a DA block brought: entries in DA order, with that block's time as derivation
    /// uses it. An entry larger than a whole block never enters, or it would stop the lane.
    ///
    /// Nor does one that would be due more than a window after its DA block. So whatever enters is
    /// included within two windows and the forced delay, which is what can be promised of forced
    /// inclusion at all; and the lane holds at most what it carries in that time, every cost being
    /// at least [`MIN_COST`] and the entry's share of a block's bytes, however much DA brings.
    pub fn push(
        &mut self,
        spec: &ChainSpec,
        da: DaRef,
        time_ms: u64,
        bytes: Bytes,
    ) -> Result<(), NotTaken> {
        let (size, most) = (bytes.len() as u64, spec.gas.limit_bytes);
        if size > most {
            return Err(NotTaken::TooLarge { bytes: size, most });
        }
        let is_message = bytes.first() == Some(&MESSAGE_TYPE);
        if is_message && !spec.da.is_parent_chain() {
            return Err(NotTaken::Message);
        }
        let (wait_ms, most_ms) = (self.free_ms.saturating_sub(time_ms), spec.sequencer.window_ms);
        // A message is never left out; what a portal lets in, the lane carries.
        if wait_ms > most_ms && !is_message {
            return Err(NotTaken::Full { wait_ms, most_ms });
        }
        let cost = cost(spec, &bytes);
        let due_ms = time_ms.max(self.free_ms);
        self.free_ms = due_ms.saturating_add(cost.div_ceil(spec.sequencer.lane_rate.max(1)));
        self.pending.push(Pending { entry: ForcedEntry { da, time_ms, bytes }, due_ms, cost });
        Ok(())
    }

    /// What a block of `time_ms` takes if its parent stands at `from`: every entry with
    /// due <= time - forced delay, up to the limits of gas, bytes and candidates. `None` if `from`
    /// is no position of this lane (taken from another DA chain, or further than this one reaches).
    pub fn run(&self, spec: &ChainSpec, from: LanePosition, time_ms: u64) -> Option<Run> {
        let waiting = &self.pending[self.offset(from)?..];
        let delay = spec.sequencer.forced_delay_ms;
        let mut run = Run { entries: Vec::new(), position: from, bytes: 0, full: false };
        let mut gas = 0u64;
        for next in waiting.iter().take_while(|next| next.due_ms.saturating_add(delay) <= time_ms) {
            let size = next.entry.bytes.len() as u64;
            gas = gas.saturating_add(next.cost);
            let fits = gas <= spec.gas.limit
                && run.bytes + size <= spec.gas.limit_bytes
                && (run.entries.len() as u64) < spec.gas.limit_candidates;
            // The first always fits, whatever a spec says: a lane that cannot move would stop
            // the derived blocks too.
            if !fits && !run.entries.is_empty() {
                run.full = true;
                break;
            }
            run.bytes += size;
            run.position = run.position.after(next.entry.hash());
            run.entries.push(next.entry.clone());
        }
        Some(run)
    }

    /// The entries between two positions: what a block took whose parent stood at `from` and
    /// which stands at `to` itself. `None` if either is no position of this lane.
    pub fn between(&self, from: LanePosition, to: LanePosition) -> Option<Vec<ForcedEntry>> {
        let (start, end) = (self.offset(from)?, self.offset(to)?);
        let entries = self.pending.get(start..end)?;
        Some(entries.iter().map(|pending| pending.entry.clone()).collect())
    }

    /// Forgets entries up to a position the safe chain has reached. A position of another lane
    /// changes nothing; the rules let none come this far.
    pub fn take(&mut self, to: LanePosition) {
        if let Some(count) = self.offset(to) {
            self.pending.drain(..count);
            self.taken = to;
        }
    }

    /// How many entries a block of `time_ms` on a parent at `from` would take at most: what the
    /// sequencer adds to the transactions that wait.
    pub fn due(&self, spec: &ChainSpec, from: LanePosition, time_ms: u64) -> usize {
        let Some(offset) = self.offset(from) else { return 0 };
        let delay = spec.sequencer.forced_delay_ms;
        let waiting = self.pending[offset..].iter();
        waiting.take_while(|next| next.due_ms.saturating_add(delay) <= time_ms).count()
    }

    /// Index in `pending` of the first entry after a position.
    fn offset(&self, position: LanePosition) -> Option<usize> {
        let count = position.count.checked_sub(self.taken.count)?;
        let count = usize::try_from(count).ok().filter(|count| *count <= self.pending.len())?;
        let reached = self.pending[..count]
            .iter()
            .fold(self.taken, |at, pending| at.after(pending.entry.hash()));
        (reached == position).then_some(count)
    }
}

/// Gas an entry takes of the lane: the largest of its transaction's gas limit, [`MIN_COST`], and
/// its share of a block's bytes expressed in a block's gas. Bytes that no block can execute
/// (undecodable, of another chain, asking for more than a block has) count by size alone, so
/// that nobody blocks the lane by asking for much; what is skipped has cost only DA.
pub fn cost(spec: &ChainSpec, bytes: &Bytes) -> u64 {
    let limit = spec.gas.limit;
    let asked = Tx::message(bytes)
        .or_else(|| Tx::decode(bytes.clone()).ok())
        .filter(|tx| tx.envelope.chain_id().is_none_or(|id| id == spec.chain_id))
        .map(|tx| tx.envelope.gas_limit())
        .filter(|gas| *gas <= limit)
        .unwrap_or(0);
    let share = u128::from(limit) * bytes.len() as u128;
    let share = share.div_ceil(u128::from(spec.gas.limit_bytes.max(1)));
    asked.max(MIN_COST).max(u64::try_from(share).unwrap_or(u64::MAX)).min(limit)
}
