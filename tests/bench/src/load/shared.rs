//! What the connections and the watcher of one load share, on one thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use hdrhistogram::Histogram;
use tokio::sync::{Notify, Semaphore};

use super::{Pace, Plan};

/// Which transactions a connection has, and which connection it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots {
    /// Index of its first transaction among all.
    pub(super) first: usize,
    /// Number of the connection.
    pub(super) number: usize,
    /// Of how many.
    pub(super) of: usize,
}

#[derive(Debug)]
pub(super) struct Shared {
    plan: Plan,
    started: Cell<Instant>,
    go: Semaphore,
    /// Microseconds since the start at which a transaction left or should have.
    departed: Vec<Cell<u64>>,
    /// By the first bytes of the hash; removed when seen in a block.
    open: RefCell<HashMap<u64, u32>>,
    answered: RefCell<Histogram<u64>>,
    sealed: RefCell<Histogram<u64>>,
    last_sealed: Cell<u64>,
    refused: Cell<u64>,
    room: Notify,
}

impl Shared {
    pub(super) fn new(hashes: Vec<B256>, plan: Plan) -> Self {
        let histogram = || Histogram::new_with_bounds(1, 600_000_000, 3);
        let histogram = || RefCell::new(histogram().expect("these bounds are in order"));
        Self {
            plan,
            started: Cell::new(Instant::now()),
            go: Semaphore::new(0),
            departed: vec![Cell::new(0); hashes.len()],
            open: RefCell::new(hashes.iter().map(prefix).zip(0..).collect()),
            answered: histogram(),
            sealed: histogram(),
            last_sealed: Cell::new(0),
            refused: Cell::new(0),
            room: Notify::new(),
        }
    }

    /// Lets everybody go.
    pub(super) fn begin(&self) {
        self.started.set(Instant::now());
        self.go.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Waits for the start.
    pub(super) async fn begun(&self) {
        if let Ok(permit) = self.go.acquire().await {
            permit.forget();
        }
    }

    /// Microseconds since the start.
    pub(super) fn now(&self) -> u64 {
        self.started.get().elapsed().as_micros() as u64
    }

    /// Waits until the `index`-th transaction of a connection may leave; its departure in us.
    pub(super) async fn due(&self, slots: Slots, index: usize) -> u64 {
        if let Pace::Open(per_second) = self.plan.pace {
            let place = index * slots.of + slots.number;
            let at = Duration::from_secs_f64(place as f64 / per_second);
            tokio::time::sleep_until((self.started.get() + at).into()).await;
            return at.as_micros() as u64;
        }
        while !self.has_room() {
            self.room.notified().await;
        }
        self.now()
    }

    /// Whether the server's pool has room for more, as far as is known.
    pub(super) fn has_room(&self) -> bool {
        if !self.plan.seals {
            return true;
        }
        let (answered, sealed) = (self.answered.borrow().len(), self.sealed.borrow().len());
        answered.saturating_sub(sealed) < self.plan.waiting as u64
    }

    pub(super) fn departed(&self, index: usize, at_us: u64) {
        self.departed[index].set(at_us);
    }

    pub(super) fn answered(&self, index: usize) {
        let took = self.now().saturating_sub(self.departed[index].get());
        self.answered.borrow_mut().saturating_record(took.max(1));
    }

    pub(super) fn refused_one(&self) {
        self.refused.set(self.refused.get() + 1);
    }

    /// A transaction, given by the first 16 digits of its hash, is in a block.
    pub(super) fn in_block(&self, digits: &[u8]) {
        let digits = std::str::from_utf8(digits).ok();
        let Some(prefix) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) else {
            return;
        };
        if let Some(index) = self.open.borrow_mut().remove(&prefix) {
            let now = self.now();
            let took = now.saturating_sub(self.departed[index as usize].get());
            self.sealed.borrow_mut().saturating_record(took.max(1));
            self.last_sealed.set(now);
        }
    }

    /// A block has been looked at.
    pub(super) fn block_done(&self) {
        self.room.notify_waiters();
    }

    /// Transactions that have been in no block yet.
    pub(super) fn missing(&self) -> usize {
        self.open.borrow().len()
    }

    pub(super) fn last_sealed(&self) -> u64 {
        self.last_sealed.get()
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.get()
    }

    pub(super) fn answered_histogram(&self) -> Histogram<u64> {
        self.answered.borrow().clone()
    }

    pub(super) fn sealed_histogram(&self) -> Histogram<u64> {
        self.sealed.borrow().clone()
    }
}

fn prefix(hash: &B256) -> u64 {
    u64::from_be_bytes(hash[..8].try_into().expect("8 bytes of 32"))
}
