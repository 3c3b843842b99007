//! A consistent snapshot of the store: blocks, heads, and the state after the newest block.

use std::fmt;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::Decodable;
use alloy_trie::Nibbles;
use causeway_chainspec::{Account, Block, BlockId, Seal, StateError, StateReader};
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};

use super::cache::{Cache, Part};
use super::meta::Facts;
use super::open::{storage, unreadable};
use super::tables::{Key, ReadTables, Slice, path_key, slot_key, storage_path_key};
use super::{HistoricView, StoredHeads, codec};
use crate::ExecutionError;
use crate::trie::{self, TrieReader};

/// A consistent snapshot of a [`Store`](super::Store): never changes, never blocks the writer.
/// Cheap to clone. While one lives, the pages it sees stay in the file.
#[derive(Clone)]
pub struct View {
    inner: Arc<Inner>,
}

struct Inner {
    tables: ReadTables,
    facts: Facts,
    /// Rows in memory, and which commit's rows count; none for who wants to see the disk.
    cache: Option<(Arc<Cache>, u64)>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("View").field(&self.inner.facts).finish()
    }
}

impl View {
    pub(super) fn open(
        db: &Database,
        cache: Option<(Arc<Cache>, u64)>,
    ) -> Result<Self, ExecutionError> {
        let txn = db.begin_read().map_err(storage)?;
        let tables = ReadTables::open(&txn).map_err(storage)?;
        let facts = Facts::read(&tables.meta)?;
        Ok(Self { inner: Arc::new(Inner { tables, facts, cache }) })
    }

    /// A row of state or trie, empty if there is none.
    fn row<const K: usize>(
        &self,
        part: impl FnOnce(&Cache) -> &Part<K>,
        table: &ReadOnlyTable<Key<K>, Slice>,
        key: &[u8; K],
    ) -> Result<Bytes, StateError> {
        let load = || -> Result<Bytes, StateError> {
            let row = table.get(key).map_err(unreadable)?;
            Ok(row.map(|row| Bytes::copy_from_slice(row.value())).unwrap_or_default())
        };
        match &self.inner.cache {
            Some((cache, generation)) => part(cache).get(*generation, key, load),
            None => load(),
        }
    }

    /// Brings an account and the way to it in the trie into the cache, unless it is there.
    pub(crate) fn prefetch(&self, address: Address) {
        let Some((cache, generation)) = &self.inner.cache else { return };
        if !cache.accounts.holds(*generation, &address.0.0) {
            // Whoever needs them meets the same error.
            let _ = (self.account(address), trie::storage_root(self, address));
        }
    }

    pub(super) fn tables(&self) -> &ReadTables {
        &self.inner.tables
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.inner.facts
    }

    /// Heads, or `None` before the genesis block is committed.
    pub fn heads(&self) -> Result<Option<StoredHeads>, StateError> {
        let facts = self.facts();
        let Some(latest) = facts.latest() else { return Ok(None) };
        let id = |number| self.id(number)?.ok_or_else(|| damaged(number, "has no id"));
        Ok(Some(StoredHeads {
            latest: id(latest)?,
            safe: id(facts.safe)?,
            finalized: id(facts.finalized)?,
        }))
    }

    /// Everything of the log below this offset is in the store.
    pub fn log_offset(&self) -> Result<u64, StateError> {
        Ok(self.facts().log_offset)
    }

    /// A block by number. Senders come from the store, none is recovered again.
    pub fn block(&self, number: u64) -> Result<Option<Arc<Block>>, StateError> {
        let Some(id) = self.id(number)? else { return Ok(None) };
        let header = self.header(number)?.ok_or_else(|| damaged(number, "has no header"))?;
        let block = self.tables().blocks.get(number).map_err(unreadable)?;
        let block = block.ok_or_else(|| damaged(number, "has no body"))?;
        let results = self.tables().results.get(number).map_err(unreadable)?;
        let results = results.ok_or_else(|| damaged(number, "has no results"))?;
        codec::decode_block(id, header, block.value(), results.value())
            .map(|block| Some(Arc::new(block)))
            .map_err(|error| damaged(number, &error.to_string()))
    }

    /// Its seal.
    pub fn seal(&self, number: u64) -> Result<Option<Seal>, StateError> {
        let row = self.tables().seals.get(number).map_err(unreadable)?;
        row.map(|row| decode(number, row.value())).transpose()
    }

    /// Number of the block with this header hash.
    pub fn number_of_hash(&self, hash: B256) -> Result<Option<u64>, StateError> {
        let row = self.tables().hashes.get(&hash.0).map_err(unreadable)?;
        Ok(row.map(|row| row.value()))
    }

    /// Number of the block with this claim hash.
    pub fn number_of_claim(&self, claim: B256) -> Result<Option<u64>, StateError> {
        let row = self.tables().claims.get(&claim.0).map_err(unreadable)?;
        Ok(row.map(|row| row.value()))
    }

    /// Claim hash and header hash of a block by number, without its body.
    pub fn id(&self, number: u64) -> Result<Option<BlockId>, StateError> {
        let row = self.tables().ids.get(number).map_err(unreadable)?;
        Ok(row.map(|row| codec::decode_id(number, row.value())))
    }

    /// Where a transaction is: block number and index in it.
    pub fn tx(&self, hash: B256) -> Result<Option<(u64, u64)>, StateError> {
        let row = self.tables().txs.get(&hash.0).map_err(unreadable)?;
        Ok(row.map(|row| row.value()))
    }

    /// Header and logs bloom only, for log search.
    pub fn header(&self, number: u64) -> Result<Option<Header>, StateError> {
        let row = self.tables().headers.get(number).map_err(unreadable)?;
        row.map(|row| decode(number, row.value())).transpose()
    }

    /// Derivation record of a DA height.
    pub fn derived(&self, height: u64) -> Result<Option<Bytes>, StateError> {
        let row = self.tables().derived.get(height).map_err(unreadable)?;
        Ok(row.map(|row| Bytes::copy_from_slice(row.value())))
    }

    /// The newest derivation record.
    pub fn last_derived(&self) -> Result<Option<(u64, Bytes)>, StateError> {
        let row = self.tables().derived.last().map_err(unreadable)?;
        Ok(row.map(|(height, row)| (height.value(), Bytes::copy_from_slice(row.value()))))
    }

    /// Oldest block whose state can still be read.
    pub fn oldest_state(&self) -> Result<u64, StateError> {
        Ok(self.facts().oldest_state())
    }

    /// Oldest block whose trie can still be read.
    pub(crate) fn oldest_trie(&self) -> u64 {
        self.facts().undo_from.saturating_sub(1)
    }

    /// State and trie as after an earlier block, within the undo window (state also in archive);
    /// `None` outside of it and above the newest block.
    pub fn at(&self, number: u64) -> Result<Option<HistoricView>, StateError> {
        let facts = self.facts();
        let there = number < facts.next && number >= facts.oldest_state();
        Ok(there.then(|| HistoricView::new(self.clone(), number)))
    }
}

pub(super) fn damaged(number: u64, what: &str) -> StateError {
    StateError(format!("the store is damaged: block {number} {what}"))
}

fn decode<T: Decodable>(number: u64, bytes: &[u8]) -> Result<T, StateError> {
    alloy_rlp::decode_exact(bytes).map_err(|error| damaged(number, &error.to_string()))
}

/// An account's row; an empty one stands for no account.
pub(super) fn account_row(address: Address, row: &[u8]) -> Result<Option<Account>, StateError> {
    if row.is_empty() {
        return Ok(None);
    }
    codec::decode_account(row)
        .map(Some)
        .map_err(|error| StateError(format!("account {address} does not decode: {error}")))
}

pub(super) fn slot_row(address: Address, row: &[u8]) -> Result<U256, StateError> {
    codec::decode_word(row)
        .map_err(|error| StateError(format!("a slot of {address} does not decode: {error}")))
}

impl StateReader for View {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let row = self.row(|cache| &cache.accounts, &self.tables().accounts, &address.0.0)?;
        account_row(address, &row)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let key = slot_key(address, slot);
        let row = self.row(|cache| &cache.storage, &self.tables().storage, &key)?;
        slot_row(address, &row)
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        let row = self.tables().codes.get(&hash.0).map_err(unreadable)?;
        Ok(row.map(|row| Bytes::copy_from_slice(row.value())))
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        Ok(self.id(number)?.map(|id| id.hash))
    }
}

impl TrieReader for View {
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        let (table, key) = (&self.tables().account_trie, path_key(path));
        let row = self.row(|cache| &cache.account_trie, table, &key)?;
        Ok((!row.is_empty()).then_some(row))
    }

    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        let (table, key) = (&self.tables().storage_trie, storage_path_key(account, path));
        let row = self.row(|cache| &cache.storage_trie, table, &key)?;
        Ok((!row.is_empty()).then_some(row))
    }
}
