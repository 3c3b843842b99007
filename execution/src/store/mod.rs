//! redb: the state of a chain after a prefix of the log, in one file, one transaction a commit.
//!
//! Beside the database lies a small file, `identity`: the schema and the chain's identity, written
//! once the genesis block is durable. From then on a database that is missing, empty, damaged or
//! without blocks is damage and is refused; it never becomes a new genesis. Refused as well: the
//! store of another chain, of a newer schema, and one that another process has open.

mod cache;
mod check;
mod codec;
mod commit;
mod historic;
mod index;
mod meta;
mod open;
mod rows;
mod search;
mod tables;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod undo;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{B256, Bytes};
use causeway_chainspec::{Block, BlockId, Seal, StateDiff, crash};
use parking_lot::{Mutex, RwLock};

use crate::ExecutionError;
use crate::disk::{Folder, Lock};
use crate::trie::TrieDiff;
use cache::Cache;
use commit::Ready;

pub use check::{TableStats, Verified};
pub use historic::HistoricView;
pub(crate) use index::{appearing, coded, nonce};
pub(crate) use search::whole_blocks;
pub use search::{AddressIndex, Search};
pub use tables::SCHEMA;
pub use view::View;

/// Least blocks of undo kept below `finalized`, whatever the config says.
pub const MIN_HISTORY_BLOCKS: u64 = 128;

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Chain identity; pinned in the store.
    pub identity: B256,
    /// Keep flat history of every block, not only of the window. Once on, a store stays an
    /// archive: turning it off would leave a hole that nothing can fill again.
    pub archive: bool,
    /// Keep the address index (see `store/index.rs`): `Some(true)` refuses a store without one,
    /// `Some(false)` drops it for good, `None` leaves a store as it is and begins one with it.
    pub address_index: Option<bool>,
    /// Blocks of undo (and so of history and proofs) kept below `finalized`; at least
    /// [`MIN_HISTORY_BLOCKS`].
    pub history_blocks: u64,
    /// Bytes of memory for what was read or written: half of it for redb's pages, half for rows
    /// of the newest state and trie.
    pub cache_bytes: usize,
}

/// An executed block with what committing it needs.
#[derive(Debug, Clone)]
pub struct ExecutedBlock {
    /// The block.
    pub block: Arc<Block>,
    /// Its seal, if it has one.
    pub seal: Option<Seal>,
    /// State it changes.
    pub diff: Arc<StateDiff>,
    /// Trie nodes it changes.
    pub trie: Arc<TrieDiff>,
}

/// The heads as the store keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredHeads {
    /// Newest block.
    pub latest: BlockId,
    /// Derived.
    pub safe: BlockId,
    /// Final.
    pub finalized: BlockId,
}

/// One atomic step of the store: applied whole or not at all, in the order of the fields.
#[derive(Debug, Default)]
pub struct Batch {
    /// Undo blocks above this number first. `safe` goes back with them if it was above.
    pub unwind_to: Option<u64>,
    /// Blocks to add, each the child of the one before.
    pub blocks: Vec<ExecutedBlock>,
    /// Derivation records above this DA height are removed first.
    pub drop_derived_above: Option<u64>,
    /// Derivation records to add: (DA height, bytes of the deriver's own format).
    pub derived: Vec<(u64, Bytes)>,
    /// Derivation records below this DA height may be pruned; the newest one always stays.
    pub prune_derived_below: Option<u64>,
    /// Safe and finalized block numbers afterwards, if they move.
    pub safe: Option<u64>,
    /// As above; never moves back.
    pub finalized: Option<u64>,
    /// Log offset: the store holds everything of the log below it.
    pub log_offset: u64,
}

/// The store of one chain. One process at a time; a second is refused.
#[derive(Debug)]
pub struct Store {
    db: redb::Database,
    config: StoreConfig,
    folder: Folder,
    /// The identity file is still to be written: there is no genesis block yet.
    unnamed: Mutex<bool>,
    /// A write or a sync failed: what is on disk is unknown until it is read again.
    failed: AtomicBool,
    cache: Arc<Cache>,
    /// Commits since it was opened. Held while one becomes visible, so that a view and the rows in
    /// the cache are of the same.
    generation: RwLock<u64>,
    /// Let go of after the database is closed.
    _lock: Lock,
}

impl Store {
    /// Opens or creates the database of a datadir, `state.redb`, with the identity file beside
    /// it; the module's documentation says what is refused.
    pub fn open(datadir: impl Into<Folder>, config: StoreConfig) -> Result<Self, ExecutionError> {
        let folder = datadir.into();
        let open::Opened { db, unnamed, lock } = open::open(&folder, &config)?;
        let (unnamed, failed) = (Mutex::new(unnamed), AtomicBool::new(false));
        let cache = Arc::new(Cache::new(config.cache_bytes / 2));
        let generation = RwLock::new(0);
        Ok(Self { db, config, folder, unnamed, failed, cache, generation, _lock: lock })
    }

    /// A consistent snapshot. Takes some tens of microseconds: keep it, and clone it.
    pub fn view(&self) -> Result<View, ExecutionError> {
        let generation = self.generation.read();
        View::open(&self.db, Some((self.cache.clone(), *generation)))
    }

    /// A snapshot that reads the database alone.
    fn uncached(&self) -> Result<View, ExecutionError> {
        View::open(&self.db, None)
    }

    /// Applies a batch durably, in one transaction. `Broken` if the batch contradicts the store:
    /// then nothing is written. After any other error the store takes no more commits; open it
    /// again to learn what is on disk (the state before the batch, or after it).
    pub fn commit(&self, batch: &Batch) -> Result<(), ExecutionError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(ExecutionError::Storage("an earlier write failed".into()));
        }
        let result = self.write(batch);
        if !matches!(result, Ok(()) | Err(ExecutionError::Broken(_))) {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    /// The database's cache of pages and the cache of hot rows: name, bytes used, bytes it may use.
    pub fn caches(&self) -> Vec<(&'static str, u64, u64)> {
        let pages = redb::ReadableDatabase::cache_stats(&self.db).used_bytes();
        let half = (self.config.cache_bytes / 2) as u64;
        vec![("pages", pages as u64, half), ("rows", self.cache.bytes() as u64, half)]
    }

    fn write(&self, batch: &Batch) -> Result<(), ExecutionError> {
        let Ready { txn, has_blocks, changed } = commit::prepare(&self.db, batch, &self.config)?;
        crash::point("store.commit.ready");
        {
            let mut generation = self.generation.write();
            txn.commit().map_err(open::storage)?;
            *generation += 1;
            self.cache.advance(*generation, changed);
        }
        crash::point("store.commit.after");
        let mut unnamed = self.unnamed.lock();
        if *unnamed && has_blocks {
            open::write_identity(&self.folder, self.config.identity)?;
            *unnamed = false;
        }
        Ok(())
    }

    /// Every table: name, rows, bytes of keys and values.
    pub fn stats(&self) -> Result<Vec<TableStats>, ExecutionError> {
        check::stats(&self.uncached()?)
    }

    /// Reads everything and compares: the blocks' links and indexes, the state root recomputed
    /// from flat accounts and storage, and every trie node. `Damaged` names the first difference.
    /// Takes as long as the store is large, and about 150 bytes of memory an account.
    pub fn verify(&self) -> Result<Verified, ExecutionError> {
        check::verify(&self.uncached()?)
    }

    /// Checks the checksum of every page of the file, and repairs what redb can repair (`false`
    /// if it had to). No view of this store may live.
    pub fn check_pages(&mut self) -> Result<bool, ExecutionError> {
        open::check_pages(&mut self.db)
    }
}
