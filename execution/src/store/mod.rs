//! redb: the state of a chain after a prefix of the log, in one file, one transaction a commit.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use alloy_primitives::{B256, Bytes};
use alloy_trie::Nibbles;
use causeway_chainspec::{Account, Block, BlockId, Seal, StateDiff, StateError, StateReader};

use crate::ExecutionError;
use crate::trie::{TrieDiff, TrieReader};

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Chain identity; pinned in the store.
    pub identity: B256,
    /// Keep flat history of every block, not only of the window.
    pub archive: bool,
    /// Blocks of undo (and so of history and proofs) kept below `finalized`; at least 128.
    pub history_blocks: u64,
    /// redb cache.
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
    /// Undo blocks above this number first.
    pub unwind_to: Option<u64>,
    /// Blocks to add, each the child of the one before.
    pub blocks: Vec<ExecutedBlock>,
    /// Derivation records above this DA height are removed first.
    pub drop_derived_above: Option<u64>,
    /// Derivation records to add: (DA height, bytes of the deriver's own format).
    pub derived: Vec<(u64, Bytes)>,
    /// Derivation records below this DA height may be pruned.
    pub prune_derived_below: Option<u64>,
    /// Safe and finalized block numbers afterwards, if they move.
    pub safe: Option<u64>,
    /// As above.
    pub finalized: Option<u64>,
    /// Log offset: the store holds everything of the log below it.
    pub log_offset: u64,
}

/// The store of one chain. One process at a time; a second is refused.
#[derive(Debug)]
pub struct Store {}

impl Store {
    /// Opens or creates `path`; see the module's documentation for what is refused.
    pub fn open(path: &Path, config: StoreConfig) -> Result<Self, ExecutionError> {
        let _ = (path, config);
        todo!()
    }
    /// A consistent snapshot.
    pub fn view(&self) -> Result<View, ExecutionError> {
        todo!()
    }
    /// Applies a batch durably, in one transaction.
    pub fn commit(&self, batch: &Batch) -> Result<(), ExecutionError> {
        let _ = batch;
        todo!()
    }
}

/// A consistent snapshot of a [`Store`]: never changes, never blocks the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct View {}

impl View {
    /// Heads, or `None` before the genesis block is committed.
    pub fn heads(&self) -> Result<Option<StoredHeads>, StateError> {
        todo!()
    }
    /// Everything of the log below this offset is in the store.
    pub fn log_offset(&self) -> Result<u64, StateError> {
        todo!()
    }
    /// A block by number.
    pub fn block(&self, number: u64) -> Result<Option<Arc<Block>>, StateError> {
        let _ = number;
        todo!()
    }
    /// Its seal.
    pub fn seal(&self, number: u64) -> Result<Option<Seal>, StateError> {
        let _ = number;
        todo!()
    }
    /// Number of the block with this header hash.
    pub fn number_of_hash(&self, hash: B256) -> Result<Option<u64>, StateError> {
        let _ = hash;
        todo!()
    }
    /// Number of the block with this claim hash.
    pub fn number_of_claim(&self, claim: B256) -> Result<Option<u64>, StateError> {
        let _ = claim;
        todo!()
    }
    /// Claim hash and header hash of a block by number, without its body.
    pub fn id(&self, number: u64) -> Result<Option<BlockId>, StateError> {
        let _ = number;
        todo!()
    }
    /// Where a transaction is: block number and index in it.
    pub fn tx(&self, hash: B256) -> Result<Option<(u64, u64)>, StateError> {
        let _ = hash;
        todo!()
    }
    /// Header and logs bloom only, for log search.
    pub fn header(&self, number: u64) -> Result<Option<alloy_consensus::Header>, StateError> {
        let _ = number;
        todo!()
    }
    /// Derivation record of a DA height.
    pub fn derived(&self, height: u64) -> Result<Option<Bytes>, StateError> {
        let _ = height;
        todo!()
    }
    /// The newest derivation record.
    pub fn last_derived(&self) -> Result<Option<(u64, Bytes)>, StateError> {
        todo!()
    }
    /// Oldest block whose state can still be read.
    pub fn oldest_state(&self) -> Result<u64, StateError> {
        todo!()
    }
    /// State and trie as after an earlier block, within the undo window (state also in archive).
    pub fn at(&self, number: u64) -> Result<Option<HistoricView>, StateError> {
        let _ = number;
        todo!()
    }
}

impl StateReader for View {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let _ = address;
        todo!()
    }
    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let _ = (address, slot);
        todo!()
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        let _ = hash;
        todo!()
    }
    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        let _ = number;
        todo!()
    }
}

impl TrieReader for View {
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        let _ = path;
        todo!()
    }
    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        let _ = (account, path);
        todo!()
    }
}

/// The state as after an earlier block.
#[derive(Debug, Clone)]
pub struct HistoricView {}

impl StateReader for HistoricView {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let _ = address;
        todo!()
    }
    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let _ = (address, slot);
        todo!()
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        let _ = hash;
        todo!()
    }
    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        let _ = number;
        todo!()
    }
}

impl TrieReader for HistoricView {
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        let _ = path;
        todo!()
    }
    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        let _ = (account, path);
        todo!()
    }
}
