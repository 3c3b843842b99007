//! One batch, one write transaction: unwind, blocks, derivation records, heads, pruning.

use alloy_primitives::{Address, B256};
use causeway_chainspec::{AccountDiff, Block, crash};
use redb::{Database, Durability, ReadableTable, StorageError, WriteTransaction};

use super::meta::Facts;
use super::open::storage;
use super::tables::{WriteTables, path_key, slot_key, storage_path_key};
use super::undo::{Changed, put, wipe};
use super::{Batch, ExecutedBlock, MIN_HISTORY_BLOCKS, StoreConfig, codec};
use crate::ExecutionError;
use crate::trie::TrieDiff;

/// Most derivation records pruned in one commit.
const PRUNE_DERIVED: usize = 1024;

/// A write transaction that is durable when it is committed, and needs no repair after a crash.
pub(super) fn begin(db: &Database) -> Result<WriteTransaction, ExecutionError> {
    let mut txn = db.begin_write().map_err(storage)?;
    txn.set_durability(Durability::Immediate)
        .map_err(|error| ExecutionError::Storage(error.to_string()))?;
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    Ok(txn)
}

/// Applies a batch; returns whether the store has blocks now.
pub(super) fn commit(
    db: &Database,
    batch: &Batch,
    config: &StoreConfig,
) -> Result<bool, ExecutionError> {
    crash::point("store.commit.before");
    let txn = begin(db)?;
    let tables = WriteTables::open(&txn).map_err(storage)?;
    let facts = Facts::read(&tables.meta)?;
    let mut step = Step { tables, facts, rows: 0 };
    step.apply(batch, config)?;
    let has_blocks = step.facts.next > 0;
    step.facts.write(&mut step.tables.meta).map_err(storage)?;
    drop(step);
    crash::point("store.commit.ready");
    txn.commit().map_err(storage)?;
    crash::point("store.commit.after");
    Ok(has_blocks)
}

/// A commit under way.
pub(super) struct Step<'txn> {
    pub(super) tables: WriteTables<'txn>,
    pub(super) facts: Facts,
    /// Undo rows written so far: what pruning has to keep up with.
    pub(super) rows: usize,
}

impl Step<'_> {
    fn apply(&mut self, batch: &Batch, config: &StoreConfig) -> Result<(), ExecutionError> {
        if config.archive && self.facts.archive_from().is_none() {
            self.facts.archive_from = vec![self.facts.latest().unwrap_or(0)];
        }
        if let Some(to) = batch.unwind_to {
            self.unwind(to)?;
        }
        for block in &batch.blocks {
            self.add(block)?;
        }
        self.derived(batch).map_err(storage)?;
        self.heads(batch)?;
        self.facts.log_offset = batch.log_offset;
        self.prune(config.history_blocks.max(MIN_HISTORY_BLOCKS)).map_err(storage)
    }

    fn add(&mut self, executed: &ExecutedBlock) -> Result<(), ExecutionError> {
        let block = &executed.block;
        self.check_child(block)?;
        let stored = codec::block(block).ok_or_else(|| {
            ExecutionError::Broken(format!(
                "block {}: its candidates are not its forced bytes and its body's, in order",
                block.header.number
            ))
        })?;
        self.add_block(executed, &stored).map_err(storage)?;
        self.add_state(executed).map_err(storage)?;
        self.add_trie(block.header.number, &executed.trie).map_err(storage)?;
        if self.facts.next == 0 {
            self.facts.undo_from = 1;
        }
        self.facts.next += 1;
        Ok(())
    }

    fn check_child(&self, block: &Block) -> Result<(), ExecutionError> {
        let number = block.header.number;
        let broken = |what: String| Err(ExecutionError::Broken(format!("block {number}: {what}")));
        if number != self.facts.next || block.plan.claim.number != number {
            return broken(format!("the next block is number {}", self.facts.next));
        }
        let Some(latest) = self.facts.latest() else { return Ok(()) };
        let row = self.tables.ids.get(latest).map_err(storage)?;
        let Some(parent) = row.map(|row| codec::decode_id(latest, row.value())) else {
            return Err(ExecutionError::Damaged(format!("block {latest} has no id")));
        };
        if block.header.parent_hash != parent.hash {
            let named = block.header.parent_hash;
            return broken(format!("its parent is {named}, the newest block is {}", parent.hash));
        }
        if block.plan.claim.parent != parent.claim {
            let named = block.plan.claim.parent;
            return broken(format!("its claim follows {named}, the newest is {}", parent.claim));
        }
        Ok(())
    }

    fn add_block(&mut self, executed: &ExecutedBlock, stored: &[u8]) -> Result<(), StorageError> {
        let tables = &mut self.tables;
        let block = &executed.block;
        let number = block.header.number;
        tables.ids.insert(number, &codec::id(block))?;
        tables.headers.insert(number, &*alloy_rlp::encode(&block.header))?;
        tables.blocks.insert(number, stored)?;
        tables.results.insert(number, &*codec::results(block))?;
        if let Some(seal) = &executed.seal {
            tables.seals.insert(number, &*alloy_rlp::encode(seal))?;
        }
        tables.hashes.insert(&block.hash.0, number)?;
        tables.claims.insert(&block.claim_hash.0, number)?;
        for (index, tx) in block.txs.iter().enumerate() {
            // The first place wins, so that undoing a later one leaves it as it was.
            if tables.txs.get(&tx.hash.0)?.is_none() {
                tables.txs.insert(&tx.hash.0, (number, index as u64))?;
            }
        }
        Ok(())
    }

    fn add_state(&mut self, executed: &ExecutedBlock) -> Result<(), StorageError> {
        let number = executed.block.header.number;
        for (address, diff) in &executed.diff.accounts {
            self.add_account(number, *address, diff)?;
        }
        let undo = self.facts.next > 0;
        for (hash, code) in &executed.diff.codes {
            if self.tables.codes.get(&hash.0)?.is_none() {
                self.tables.codes.insert(&hash.0, code.as_ref())?;
                if undo {
                    let key = super::tables::undo_key(number, hash.as_slice());
                    self.tables.undo_codes.insert(&key, ())?;
                }
            }
        }
        Ok(())
    }

    fn add_account(
        &mut self,
        number: u64,
        address: Address,
        diff: &AccountDiff,
    ) -> Result<(), StorageError> {
        let undo = self.facts.next > 0;
        let archive = undo && self.facts.archive_from().is_some();
        let tables = &mut self.tables;
        let mut slots = Changed {
            table: &mut tables.storage,
            undo: undo.then_some(&mut tables.undo_storage),
            history: archive.then_some(&mut tables.storage_history),
            number,
            rows: &mut self.rows,
        };
        let gone = diff.account.is_none();
        let wiped = diff.wiped || gone;
        if wiped {
            let (first, last) = (slot_key(address, Default::default()), [0xff; 52]);
            wipe(&mut slots, first, last, 20)?;
        }
        for (slot, value) in diff.storage.iter().filter(|_| !gone) {
            put(&mut slots, &slot_key(address, *slot), &codec::word(*value), wiped)?;
        }
        let mut accounts = Changed {
            table: &mut tables.accounts,
            undo: undo.then_some(&mut tables.undo_accounts),
            history: archive.then_some(&mut tables.account_history),
            number,
            rows: &mut self.rows,
        };
        let row = diff.account.as_ref().map(codec::account).unwrap_or_default();
        put(&mut accounts, &address.0.0, &row, false)
    }

    fn add_trie(&mut self, number: u64, trie: &TrieDiff) -> Result<(), StorageError> {
        let undo = self.facts.next > 0;
        let tables = &mut self.tables;
        let mut nodes = Changed {
            table: &mut tables.account_trie,
            undo: undo.then_some(&mut tables.undo_account_trie),
            history: None,
            number,
            rows: &mut self.rows,
        };
        for (path, node) in &trie.accounts {
            put(&mut nodes, &path_key(path), node.as_ref().map_or(&[][..], AsRef::as_ref), false)?;
        }
        let mut nodes = Changed {
            table: &mut tables.storage_trie,
            undo: undo.then_some(&mut tables.undo_storage_trie),
            history: None,
            number,
            rows: &mut self.rows,
        };
        for (account, diff) in &trie.storages {
            if diff.wiped {
                let first = storage_path_key(*account, &Default::default());
                wipe(&mut nodes, first, [0xff; 65], B256::len_bytes())?;
            }
            for (path, node) in &diff.nodes {
                let key = storage_path_key(*account, path);
                put(&mut nodes, &key, node.as_ref().map_or(&[][..], AsRef::as_ref), diff.wiped)?;
            }
        }
        Ok(())
    }

    fn derived(&mut self, batch: &Batch) -> Result<(), StorageError> {
        let table = &mut self.tables.derived;
        if let Some(height) = batch.drop_derived_above {
            while table.last()?.is_some_and(|(key, _)| key.value() > height) {
                table.pop_last()?;
            }
        }
        for (height, record) in &batch.derived {
            table.insert(height, record.as_ref())?;
        }
        let newest = table.last()?.map(|(key, _)| key.value());
        let below = batch.prune_derived_below.unwrap_or(0).min(newest.unwrap_or(0));
        for _ in 0..PRUNE_DERIVED {
            if table.first()?.is_none_or(|(key, _)| key.value() >= below) {
                break;
            }
            table.pop_first()?;
        }
        Ok(())
    }

    fn heads(&mut self, batch: &Batch) -> Result<(), ExecutionError> {
        let facts = &mut self.facts;
        let before = facts.finalized;
        facts.safe = batch.safe.unwrap_or(facts.safe);
        facts.finalized = batch.finalized.unwrap_or(facts.finalized);
        let latest = facts.latest().unwrap_or(0);
        if facts.finalized < before || facts.finalized > facts.safe || facts.safe > latest {
            return Err(ExecutionError::Broken(format!(
                "heads: finalized {} (was {before}) <= safe {} <= latest {latest} does not hold",
                facts.finalized, facts.safe
            )));
        }
        Ok(())
    }
}
