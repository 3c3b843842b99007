//! Asking the address index of a snapshot.

use alloy_primitives::Address;
use causeway_chainspec::StateError;

use super::View;
use super::index::{Place, seen_key, sent_key};
use super::open::unreadable;
use crate::ExecutionError;

/// Which transactions an account sent or appears in.
pub trait AddressIndex {
    /// Block numbers and indexes of the transactions that an account sent or appears in, in the
    /// search's order: at least `most` if there are so many, the last block whole.
    fn appearances(
        &self,
        address: Address,
        search: Search,
        most: usize,
    ) -> Result<Vec<(u64, usize)>, ExecutionError>;
    /// Block number and index of the transaction that a sender sent with a nonce.
    fn sent(&self, sender: Address, nonce: u64) -> Result<Option<(u64, usize)>, ExecutionError>;
    /// Number of the block in which an account got code; `None` if it has none, or is delegated.
    fn created(&self, address: Address) -> Result<Option<u64>, ExecutionError>;
}

/// Which blocks to search, and in which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Blocks below this number, the newest first.
    Below(u64),
    /// Blocks above this number, the oldest first.
    Above(u64),
}

impl Search {
    /// Whether a block is among those searched.
    pub(crate) fn covers(self, number: u64) -> bool {
        match self {
            Self::Below(end) => number < end,
            Self::Above(start) => number > start,
        }
    }

    /// Puts places into the direction of the search.
    pub(crate) fn sort(self, places: &mut [(u64, usize)]) {
        match self {
            Self::Below(_) => places.sort_unstable_by(|a, b| b.cmp(a)),
            Self::Above(_) => places.sort_unstable(),
        }
    }
}

/// Takes whole blocks from places in order until there are `most` of them, or no more. The last
/// block is never cut: it is what the next search goes on from.
pub(crate) fn whole_blocks(
    places: impl Iterator<Item = Result<(u64, usize), StateError>>,
    most: usize,
) -> Result<Vec<(u64, usize)>, StateError> {
    let mut taken: Vec<(u64, usize)> = Vec::new();
    for place in places {
        let place = place?;
        let new_block = taken.last().is_some_and(|last| last.0 != place.0);
        if taken.len() >= most && new_block {
            break;
        }
        taken.push(place);
    }
    Ok(taken)
}

impl AddressIndex for View {
    fn appearances(
        &self,
        address: Address,
        search: Search,
        most: usize,
    ) -> Result<Vec<(u64, usize)>, ExecutionError> {
        let mut places = self.seen_in(address, search, most)?;
        places.extend(self.sent_in(address, search, most)?);
        search.sort(&mut places);
        Ok(whole_blocks(places.into_iter().map(Ok), most)?)
    }

    fn sent(&self, sender: Address, nonce: u64) -> Result<Option<(u64, usize)>, ExecutionError> {
        let row = self.tables().sent.get(&sent_key(sender, nonce)).map_err(unreadable)?;
        Ok(row.map(|row| place(row.value())))
    }

    fn created(&self, address: Address) -> Result<Option<u64>, ExecutionError> {
        let row = self.tables().created.get(&address.0.0).map_err(unreadable)?;
        Ok(row.map(|row| row.value()))
    }
}

impl View {
    /// Whether there is an address index; what is asked of a view without finds nothing.
    pub fn has_address_index(&self) -> bool {
        self.facts().address_index
    }

    fn seen_in(
        &self,
        address: Address,
        search: Search,
        most: usize,
    ) -> Result<Vec<(u64, usize)>, StateError> {
        let (first, last) = match search {
            Search::Below(0) => return Ok(Vec::new()),
            Search::Below(end) => (0, end - 1),
            Search::Above(start) => (start.saturating_add(1), u64::MAX),
        };
        let first = seen_key(address, (first, 0));
        let last = seen_key(address, (last, u32::MAX.into()));
        let rows = self.tables().seen.range::<&[u8; 32]>(&first..=&last).map_err(unreadable)?;
        let places = rows.map(|row| row.map(|(key, _)| place_of(key.value())).map_err(unreadable));
        match search {
            Search::Below(_) => whole_blocks(places.rev(), most),
            Search::Above(_) => whole_blocks(places, most),
        }
    }

    /// Nonces go up as blocks do, so that the place to begin at is found by halving.
    fn sent_in(
        &self,
        sender: Address,
        search: Search,
        most: usize,
    ) -> Result<Vec<(u64, usize)>, StateError> {
        // Rows before `split` are of blocks below it.
        let split = match search {
            Search::Below(end) => self.first_nonce(sender, end)?,
            Search::Above(start) => self.first_nonce(sender, start.saturating_add(1))?,
        };
        let table = &self.tables().sent;
        let key = |nonce| sent_key(sender, nonce);
        let rows = match search {
            Search::Below(_) => table.range::<&[u8; 28]>(&key(0)..&key(split)),
            Search::Above(_) => table.range::<&[u8; 28]>(&key(split)..=&key(u64::MAX)),
        };
        let places = rows.map_err(unreadable)?;
        let places = places.map(|row| row.map(|(_, at)| place(at.value())).map_err(unreadable));
        match search {
            Search::Below(_) => whole_blocks(places.rev(), most),
            Search::Above(_) => whole_blocks(places, most),
        }
    }

    /// The first nonce that a sender used in a block from `number` on, or one above all.
    fn first_nonce(&self, sender: Address, number: u64) -> Result<u64, StateError> {
        let (mut low, mut high) = (0, u64::MAX);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.sent_from(sender, middle)? {
                Some((nonce, place)) if place.0 < number => low = nonce + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The first row of a sender from a nonce on.
    fn sent_from(&self, sender: Address, nonce: u64) -> Result<Option<(u64, Place)>, StateError> {
        let (first, last) = (sent_key(sender, nonce), sent_key(sender, u64::MAX));
        let mut rows = self.tables().sent.range::<&[u8; 28]>(&first..=&last).map_err(unreadable)?;
        let row = rows.next().transpose().map_err(unreadable)?;
        Ok(row.map(|(key, place)| (tail(key.value()), place.value())))
    }
}

fn place((number, index): Place) -> (u64, usize) {
    (number, index as usize)
}

fn place_of(key: &[u8; 32]) -> (u64, usize) {
    let index: [u8; 4] = std::array::from_fn(|at| key[28 + at]);
    let number: [u8; 8] = std::array::from_fn(|at| key[20 + at]);
    (u64::from_be_bytes(number), u32::from_be_bytes(index) as usize)
}

fn tail(key: &[u8; 28]) -> u64 {
    u64::from_be_bytes(std::array::from_fn(|at| key[20 + at]))
}
