//! Transactions that wait for a block: per-sender nonce order, fee order, bounded.

mod account;
mod error;
mod inner;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use causeway_chainspec::{SkipReason, Tx};
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

pub use account::{AccountFacts, bid};
pub use error::{DropReason, PoolError};
use inner::Inner;

/// How many transactions a slow subscriber may lag behind before it loses some.
const ADDED_BUFFER: usize = 4096;

/// Bounds of the pool. Transactions of replaced blocks come back outside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most transactions of an account behind a gap of nonces (or of funds). All accounts together
    /// may have a quarter of `count` there.
    pub queued: usize,
    /// Most transactions in all.
    pub count: usize,
    /// Most bytes in all.
    pub bytes: usize,
    /// Most bytes of one transaction.
    pub tx_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queued: 64, count: 20_000, bytes: 64 << 20, tx_bytes: 128 << 10 }
    }
}

/// How many transactions wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Executable now, one after the other.
    pub pending: usize,
    /// Behind a gap of nonces or of funds.
    pub queued: usize,
}

/// Transactions by sender and nonce.
pub type ByNonce = BTreeMap<Address, BTreeMap<u64, Arc<Tx>>>;

/// Everything that waits.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// Executable now.
    pub pending: ByNonce,
    /// Behind a gap.
    pub queued: ByNonce,
}

/// The pool. Shared by reference; every method locks it for microseconds and never waits for
/// anything else. It holds nothing durable: the node makes a transaction durable before it
/// acknowledges it, and puts it back after a restart.
pub struct Mempool {
    inner: Mutex<Inner>,
    waiting: watch::Sender<usize>,
    added: broadcast::Sender<Arc<Tx>>,
}

impl Mempool {
    /// An empty pool.
    pub fn new(limits: Limits) -> Self {
        let (waiting, _) = watch::channel(0);
        let (added, _) = broadcast::channel(ADDED_BUFFER);
        Self { inner: Mutex::new(Inner::new(limits)), waiting, added }
    }

    /// Takes a transaction in. The caller has checked what needs no pool (chain id, intrinsic
    /// gas, block limits) and says what the newest state knows of the sender.
    /// If there is no room, evicts what bids a lower priority fee cap, and only that;
    /// [`Mempool::dropped`] remembers it.
    pub fn add(&self, tx: Arc<Tx>, facts: AccountFacts) -> Result<(), PoolError> {
        self.change(|inner| inner.add(tx, facts))
    }

    /// Whether a transaction that bids so much (its priority fee cap, wei per gas) may find room:
    /// what can be asked before its sender is known. False only if the pool is full and all in it
    /// are worth at least as much.
    pub fn may_fit(&self, bid: u128, bytes: usize) -> bool {
        self.inner.lock().may_fit(bid, bytes)
    }

    /// Tells subscribers of a transaction that was added, once it is durable.
    pub fn announce(&self, tx: Arc<Tx>) {
        // Nobody listening is no error.
        let _ = self.added.send(tx);
    }

    /// What a block should try, best first: transactions of replaced blocks in their old order,
    /// then by what they pay above `base_fee` (wei per gas), then by arrival; always in nonce
    /// order within a sender. Whoever cannot pay `base_fee`, or does not fit, holds back only
    /// its own sender.
    ///
    /// `max_gas` bounds the sum of gas limits. A block takes what they use, which may be far less:
    /// whoever wants it full of transactions that ask for too much gives a small multiple of the
    /// gas the block has.
    pub fn best(
        &self,
        base_fee: u64,
        max_gas: u64,
        max_bytes: u64,
        max_count: usize,
    ) -> Vec<Arc<Tx>> {
        self.inner.lock().best(base_fee, max_gas, max_bytes, max_count)
    }

    /// Accounts with transactions that cannot be executed now, for a gap of nonces or for want of
    /// funds. Blocks may have changed both without a transaction of theirs (a transfer to them, a
    /// forced entry): read their facts after a block and tell [`Mempool::learn`].
    pub fn accounts_waiting(&self) -> Vec<Address> {
        self.inner.lock().accounts_waiting()
    }

    /// Accounts of which something is here, or was until its nonce was used. A replaced block may
    /// have changed any of them (an EIP-7702 authorization uses its author's nonce, too): read their
    /// facts after an unwind and tell [`Mempool::reinsert`].
    pub fn accounts(&self) -> Vec<Address> {
        self.inner.lock().accounts()
    }

    /// Takes in what the newest state knows of accounts, whatever was known before; others than
    /// those that have something here are ignored.
    pub fn learn(&self, facts: &[(Address, AccountFacts)]) {
        self.on_block(&[], facts);
    }

    /// A block became part of the chain: forgets what it included and what can no longer be
    /// included, and learns the new facts of every sender it touched.
    pub fn on_block(&self, included: &[B256], facts: &[(Address, AccountFacts)]) {
        self.change(|inner| inner.on_block(included, facts));
    }

    /// Blocks were replaced: their transactions come back in the order given, ahead of all others,
    /// outside the pool's limits, and stay until included or their nonce is used. `facts` are
    /// those of their senders after the unwind, and of [`Mempool::accounts`]: who left because one
    /// of those blocks used its nonce comes back, too, unless who used it waits again.
    ///
    /// After a restart the acknowledged transactions of the log come back the same way, in the
    /// order in which they were accepted, with the facts of the newest block: their authors hold
    /// an acknowledgement, so no limit may put them out.
    pub fn reinsert(&self, txs: Vec<Arc<Tx>>, facts: &[(Address, AccountFacts)]) {
        self.change(|inner| inner.reinsert(txs, facts));
    }

    /// A block left these out. Forgets those that can never become valid; the others stay. What
    /// it says of a sender's nonce is learned: a block that is then not committed must be followed
    /// by [`Mempool::learn`] or [`Mempool::reinsert`] with the facts that hold.
    pub fn skipped(&self, skipped: &[(B256, SkipReason)]) {
        self.change(|inner| inner.skipped(skipped));
    }

    /// Forgets a transaction and never takes or offers it again.
    pub fn quarantine(&self, hash: B256) {
        self.change(|inner| inner.quarantine(hash));
    }

    /// First nonce from `state_nonce` on that no waiting transaction of the account has.
    pub fn pending_nonce(&self, address: Address, state_nonce: u64) -> u64 {
        self.inner.lock().pending_nonce(address, state_nonce)
    }

    /// A waiting transaction.
    pub fn get(&self, hash: B256) -> Option<Arc<Tx>> {
        self.inner.lock().get(hash)
    }

    /// Why a transaction left without being included, if that was not long ago.
    pub fn dropped(&self, hash: B256) -> Option<DropReason> {
        self.inner.lock().dropped(hash)
    }

    /// Everything that waits.
    pub fn content(&self) -> Content {
        self.inner.lock().content(None)
    }

    /// What waits of one account.
    pub fn content_of(&self, address: Address) -> Content {
        self.inner.lock().content(Some(address))
    }

    /// All waiting transactions in order of arrival: what the node's log must carry forward when
    /// it is truncated, because their authors hold an acknowledgement.
    pub fn acknowledged(&self) -> Vec<Arc<Tx>> {
        self.inner.lock().acknowledged()
    }

    /// How many wait.
    pub fn status(&self) -> Status {
        self.inner.lock().status()
    }

    /// Bytes of what waits, without what came back from replaced blocks or a restart.
    pub fn bytes(&self) -> usize {
        self.inner.lock().bytes()
    }

    /// Number of executable transactions, as it changes.
    pub fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    /// Hashes of transactions as they enter.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Tx>> {
        self.added.subscribe()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner.lock();
        let result = change(&mut inner);
        // Under the lock, so that the numbers arrive in order.
        let pending = inner.status().pending;
        self.waiting.send_if_modified(|waiting| std::mem::replace(waiting, pending) != pending);
        result
    }
}
