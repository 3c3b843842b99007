//! Undo rows: written beside every change, used to unwind, pruned behind the window.

use redb::{ReadableTable, StorageError, Table};

use super::codec;
use super::commit::Step;
use super::open::storage;
use super::tables::{Key, Slice, history_key, split_undo, undo_key};
use crate::ExecutionError;

/// Least undo rows pruned in one commit, if so many are due; besides, twice what it writes.
const PRUNE_ROWS: usize = 4096;

/// A table being changed by a block, with where its old rows go.
pub(super) struct Changed<'a, 'txn, const K: usize, const U: usize> {
    pub(super) table: &'a mut Table<'txn, Key<K>, Slice>,
    pub(super) undo: Option<&'a mut Table<'txn, Key<U>, Slice>>,
    pub(super) history: Option<&'a mut Table<'txn, Key<U>, Slice>>,
    pub(super) number: u64,
    pub(super) rows: &'a mut usize,
}

/// Sets a row (an empty value removes it) and keeps the old one. With `keep`, the old row of a
/// key that this block removed before stays as it was noted then.
pub(super) fn put<const K: usize, const U: usize>(
    changed: &mut Changed<'_, '_, K, U>,
    key: &[u8; K],
    value: &[u8],
    keep: bool,
) -> Result<(), StorageError> {
    let old = if value.is_empty() {
        changed.table.remove(key)?
    } else {
        changed.table.insert(key, value)?
    };
    let Some(undo) = &mut changed.undo else { return Ok(()) };
    let undo_key = undo_key::<U>(changed.number, key);
    if keep && undo.get(&undo_key)?.is_some() {
        return Ok(());
    }
    let old = old.as_ref().map_or(&[][..], |row| row.value());
    undo.insert(&undo_key, old)?;
    if let Some(history) = &mut changed.history {
        history.insert(&history_key::<U>(key, changed.number), old)?;
    }
    *changed.rows += 1;
    Ok(())
}

/// Removes every row from `first` on that shares its first `prefix` bytes.
pub(super) fn wipe<const K: usize, const U: usize>(
    changed: &mut Changed<'_, '_, K, U>,
    first: [u8; K],
    mut last: [u8; K],
    prefix: usize,
) -> Result<(), StorageError> {
    last[..prefix].copy_from_slice(&first[..prefix]);
    let keys: Vec<[u8; K]> = changed
        .table
        .range::<&[u8; K]>(&first..=&last)?
        .map(|row| row.map(|(key, _)| *key.value()))
        .collect::<Result<_, _>>()?;
    keys.iter().try_for_each(|key| put(changed, key, &[], false))
}

/// Puts the rows of all blocks above `to` back, newest first, and forgets the undo rows.
fn restore<const K: usize, const U: usize>(
    to: u64,
    undo: &mut Table<'_, Key<U>, Slice>,
    table: &mut Table<'_, Key<K>, Slice>,
    mut history: Option<&mut Table<'_, Key<U>, Slice>>,
) -> Result<(), StorageError> {
    while let Some(undo_key) = last_key(undo)? {
        let (number, key) = split_undo::<U, K>(&undo_key);
        if number <= to {
            break;
        }
        let old = undo.remove(&undo_key)?;
        match old.as_ref().map_or(&[][..], |row| row.value()) {
            [] => table.remove(&key)?,
            value => table.insert(&key, value)?,
        };
        if let Some(history) = &mut history {
            history.remove(&history_key::<U>(&key, number))?;
        }
    }
    Ok(())
}

fn last_key<const U: usize, V: redb::Value + 'static>(
    table: &Table<'_, Key<U>, V>,
) -> Result<Option<[u8; U]>, StorageError> {
    Ok(table.last()?.map(|(key, _)| *key.value()))
}

/// Removes up to `budget` rows of blocks below `from`; returns how many may still be removed.
fn prune<const U: usize, V: redb::Value + 'static>(
    undo: &mut Table<'_, Key<U>, V>,
    from: u64,
    mut budget: usize,
) -> Result<usize, StorageError> {
    let from = from.to_be_bytes();
    while budget > 0 && undo.first()?.is_some_and(|(key, _)| key.value()[..8] < from[..]) {
        undo.pop_first()?;
        budget -= 1;
    }
    Ok(budget)
}

impl Step<'_> {
    /// Goes back to a block: everything is as if later ones had never been.
    pub(super) fn unwind(&mut self, to: u64) -> Result<(), ExecutionError> {
        let broken = |what: &str| {
            Err(ExecutionError::Broken(format!("cannot unwind to block {to}: {what}")))
        };
        let Some(latest) = self.facts.latest() else { return broken("the store is empty") };
        if to == latest {
            return Ok(());
        }
        if to > latest {
            return broken(&format!("the newest block is {latest}"));
        }
        if to < self.facts.finalized {
            return broken(&format!("block {} is final", self.facts.finalized));
        }
        if to + 1 < self.facts.undo_from {
            return broken(&format!("undo begins at block {}", self.facts.undo_from));
        }
        self.unwind_state(to).map_err(storage)?;
        for number in to + 1..=latest {
            self.remove_block(number)?;
        }
        self.facts.next = to + 1;
        self.facts.safe = self.facts.safe.min(to);
        if let Some(from) = self.facts.archive_from.first_mut() {
            *from = to.min(*from);
        }
        Ok(())
    }

    fn unwind_state(&mut self, to: u64) -> Result<(), StorageError> {
        let tables = &mut self.tables;
        let archive = self.facts.archive_from().is_some();
        let history = archive.then_some(&mut tables.account_history);
        restore(to, &mut tables.undo_accounts, &mut tables.accounts, history)?;
        let history = archive.then_some(&mut tables.storage_history);
        restore(to, &mut tables.undo_storage, &mut tables.storage, history)?;
        restore(to, &mut tables.undo_account_trie, &mut tables.account_trie, None)?;
        restore(to, &mut tables.undo_storage_trie, &mut tables.storage_trie, None)?;
        while let Some(key) = last_key(&tables.undo_codes)? {
            let (number, hash) = split_undo::<40, 32>(&key);
            if number <= to {
                break;
            }
            tables.undo_codes.remove(&key)?;
            tables.codes.remove(&hash)?;
        }
        Ok(())
    }

    fn remove_block(&mut self, number: u64) -> Result<(), ExecutionError> {
        let tables = &mut self.tables;
        let damaged = |what: String| ExecutionError::Damaged(format!("block {number}: {what}"));
        let id = tables.ids.remove(number).map_err(storage)?;
        let id = id.map(|row| codec::decode_id(number, row.value()));
        let id = id.ok_or_else(|| damaged("no id".into()))?;
        let txs = match tables.blocks.remove(number).map_err(storage)? {
            Some(row) => {
                codec::tx_hashes(row.value()).map_err(|error| damaged(error.to_string()))?
            }
            None => return Err(damaged("no body".into())),
        };
        let remove = || {
            tables.headers.remove(number)?;
            tables.results.remove(number)?;
            tables.seals.remove(number)?;
            tables.hashes.remove(&id.hash.0)?;
            tables.claims.remove(&id.claim.0)?;
            for hash in txs {
                let here = tables.txs.get(&hash.0)?.is_some_and(|row| row.value().0 == number);
                if here {
                    tables.txs.remove(&hash.0)?;
                }
            }
            Ok::<_, StorageError>(())
        };
        remove().map_err(storage)
    }

    /// Gives up undo of blocks behind the window, and removes a bounded number of their rows.
    pub(super) fn prune(&mut self, history: u64) -> Result<(), StorageError> {
        let from = self.facts.finalized.saturating_sub(history) + 1;
        if from > self.facts.undo_from && self.facts.next > 0 {
            self.facts.undo_from = from;
        }
        let from = self.facts.undo_from;
        let budget = PRUNE_ROWS.max(2 * self.rows);
        let tables = &mut self.tables;
        let budget = prune(&mut tables.undo_accounts, from, budget)?;
        let budget = prune(&mut tables.undo_storage, from, budget)?;
        let budget = prune(&mut tables.undo_codes, from, budget)?;
        let budget = prune(&mut tables.undo_account_trie, from, budget)?;
        prune(&mut tables.undo_storage_trie, from, budget)?;
        Ok(())
    }
}
