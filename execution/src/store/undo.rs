//! Going back: every block's undo, used to unwind, pruned behind the window.

use causeway_chainspec::Block;
use redb::{ReadableTable, StorageError, Table};

use super::codec;
use super::commit::Step;
use super::open::storage;
use super::rows::OldRows;
use super::tables::{Key, Slice, history_key};
use crate::ExecutionError;

/// Least blocks whose undo is pruned in one commit, if so many are due; besides, twice as many as
/// it adds.
const PRUNE_BLOCKS: usize = 32;

/// Puts the rows of all blocks above `to` back, newest first, and forgets their undo.
fn restore<const K: usize, const U: usize>(
    to: u64,
    undo: &mut Table<'_, u64, Slice>,
    table: &mut Table<'_, Key<K>, Slice>,
    mut history: Option<&mut Table<'_, Key<U>, Slice>>,
) -> Result<(), StorageError> {
    while let Some(number) = last_above(undo, to)? {
        let Some(rows) = undo.remove(number)? else { break };
        for (key, old) in OldRows::<K>::read(rows.value())?.iter() {
            match old {
                [] => table.remove(key)?,
                value => table.insert(key, value)?,
            };
            if let Some(history) = &mut history {
                history.remove(&history_key::<U>(key, number))?;
            }
        }
    }
    Ok(())
}

/// The newest block of an undo table, if it is above `to`.
fn last_above(undo: &Table<'_, u64, Slice>, to: u64) -> Result<Option<u64>, StorageError> {
    Ok(undo.last()?.map(|(number, _)| number.value()).filter(|number| *number > to))
}

/// Removes undo of up to `most` blocks below `from`.
fn prune(undo: &mut Table<'_, u64, Slice>, from: u64, most: usize) -> Result<(), StorageError> {
    for _ in 0..most {
        if undo.first()?.is_none_or(|(number, _)| number.value() >= from) {
            break;
        }
        undo.pop_first()?;
    }
    Ok(())
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
        self.uncreate(to).map_err(storage)?;
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
        let none = None::<&mut Table<'_, Key<1>, Slice>>;
        restore(to, &mut tables.undo_account_trie, &mut tables.account_trie, none)?;
        let none = None::<&mut Table<'_, Key<1>, Slice>>;
        restore(to, &mut tables.undo_storage_trie, &mut tables.storage_trie, none)?;
        while let Some(number) = last_above(&tables.undo_codes, to)? {
            let Some(hashes) = tables.undo_codes.remove(number)? else { break };
            for hash in hashes.value().as_chunks::<32>().0 {
                tables.codes.remove(hash)?;
            }
        }
        Ok(())
    }

    fn remove_block(&mut self, number: u64) -> Result<(), ExecutionError> {
        let block = self.stored(number)?;
        let mut remove = || {
            let tables = &mut self.tables;
            tables.ids.remove(number)?;
            tables.headers.remove(number)?;
            tables.blocks.remove(number)?;
            tables.results.remove(number)?;
            tables.seals.remove(number)?;
            tables.hashes.remove(&block.hash.0)?;
            tables.claims.remove(&block.claim_hash.0)?;
            for tx in &block.txs {
                let hash = tx.hash;
                let here = tables.txs.get(&hash.0)?.is_some_and(|row| row.value().0 == number);
                if here {
                    tables.txs.remove(&hash.0)?;
                }
            }
            self.unindex(&block)
        };
        remove().map_err(storage)
    }

    /// A block as the tables have it.
    fn stored(&self, number: u64) -> Result<Block, ExecutionError> {
        let damaged = |what: &str| ExecutionError::Damaged(format!("block {number}: {what}"));
        let tables = &self.tables;
        let id = tables.ids.get(number).map_err(storage)?;
        let id = id.map(|row| codec::decode_id(number, row.value()));
        let id = id.ok_or_else(|| damaged("no id"))?;
        let header = tables.headers.get(number).map_err(storage)?;
        let header = header.ok_or_else(|| damaged("no header"))?;
        let body = tables.blocks.get(number).map_err(storage)?;
        let body = body.ok_or_else(|| damaged("no body"))?;
        let results = tables.results.get(number).map_err(storage)?;
        let results = results.ok_or_else(|| damaged("no results"))?;
        alloy_rlp::decode_exact(header.value())
            .and_then(|header| codec::decode_block(id, header, body.value(), results.value()))
            .map_err(|error| damaged(&error.to_string()))
    }

    /// Gives up undo of blocks behind the window, and removes a bounded part of it.
    pub(super) fn prune(&mut self, history: u64) -> Result<(), StorageError> {
        let from = self.facts.finalized.saturating_sub(history) + 1;
        if from > self.facts.undo_from && self.facts.next > 0 {
            self.facts.undo_from = from;
        }
        let from = self.facts.undo_from;
        let most = PRUNE_BLOCKS.max(2 * self.added);
        let tables = &mut self.tables;
        prune(&mut tables.undo_accounts, from, most)?;
        prune(&mut tables.undo_storage, from, most)?;
        prune(&mut tables.undo_codes, from, most)?;
        prune(&mut tables.undo_account_trie, from, most)?;
        prune(&mut tables.undo_storage_trie, from, most)
    }
}
