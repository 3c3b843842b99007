//! State and trie as after an earlier block: the first old row above it, else the row of now.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::Nibbles;
use causeway_chainspec::{Account, StateError, StateReader};
use redb::ReadOnlyTable;

use super::View;
use super::open::unreadable;
use super::rows::OldRows;
use super::tables::{Key, Slice, history_key, path_key, slot_key, storage_path_key};
use super::view::{account_row, slot_row};
use crate::trie::TrieReader;

/// The state as after an earlier block. In the undo window a read costs one look-up for each
/// block since, and no memory; where flat history reaches, one look-up. Beyond the window (in an
/// archive) there is state but no trie: [`TrieReader`] says so.
#[derive(Debug, Clone)]
pub struct HistoricView {
    view: View,
    number: u64,
}

impl HistoricView {
    /// `number` is a block whose state `view` can tell.
    pub(super) fn new(view: View, number: u64) -> Self {
        Self { view, number }
    }

    /// The row that `key` had, if it changed since; empty if there was none.
    fn undone<const K: usize>(
        &self,
        undo: &ReadOnlyTable<u64, Slice>,
        key: &[u8; K],
    ) -> Result<Option<Vec<u8>>, StateError> {
        for number in self.number + 1..self.view.facts().next {
            let Some(row) = undo.get(number).map_err(unreadable)? else { continue };
            let rows = OldRows::<K>::read(row.value()).map_err(unreadable)?;
            if let Some(old) = rows.find(key) {
                return Ok(Some(old.to_vec()));
            }
        }
        Ok(None)
    }

    /// As [`Self::undone`], for state: from flat history if it reaches back so far.
    fn changed<const K: usize, const H: usize>(
        &self,
        undo: &ReadOnlyTable<u64, Slice>,
        history: &ReadOnlyTable<Key<H>, Slice>,
        key: &[u8; K],
    ) -> Result<Option<Vec<u8>>, StateError> {
        if self.view.facts().archive_from().is_none_or(|from| self.number < from) {
            return self.undone(undo, key);
        }
        let first = history_key::<H>(key, self.number + 1);
        let last = history_key::<H>(key, u64::MAX);
        let row = history.range::<&[u8; H]>(&first..=&last).map_err(unreadable)?.next();
        let row = row.transpose().map_err(unreadable)?;
        Ok(row.map(|(_, row)| row.value().to_vec()))
    }

    fn node<const K: usize>(
        &self,
        undo: &ReadOnlyTable<u64, Slice>,
        key: &[u8; K],
    ) -> Result<Option<Option<Bytes>>, StateError> {
        let oldest = self.view.facts().undo_from.saturating_sub(1);
        if self.number < oldest {
            return Err(StateError(format!(
                "block {} is outside the proof window, which begins at block {oldest}",
                self.number
            )));
        }
        let row = self.undone(undo, key)?;
        Ok(row.map(|row| (!row.is_empty()).then(|| row.into())))
    }
}

impl StateReader for HistoricView {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let tables = self.view.tables();
        let key = &address.0.0;
        match self.changed(&tables.undo_accounts, &tables.account_history, key)? {
            Some(row) => account_row(address, &row),
            None => self.view.account(address),
        }
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let tables = self.view.tables();
        let key = slot_key(address, slot);
        match self.changed(&tables.undo_storage, &tables.storage_history, &key)? {
            Some(row) => slot_row(address, &row),
            None => self.view.slot(address, slot),
        }
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        self.view.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        if number > self.number { Ok(None) } else { self.view.block_hash(number) }
    }
}

impl TrieReader for HistoricView {
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        match self.node(&self.view.tables().undo_account_trie, &path_key(path))? {
            Some(node) => Ok(node),
            None => self.view.account_node(path),
        }
    }

    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        let key = storage_path_key(account, path);
        match self.node(&self.view.tables().undo_storage_trie, &key)? {
            Some(node) => Ok(node),
            None => self.view.storage_node(account, path),
        }
    }
}
