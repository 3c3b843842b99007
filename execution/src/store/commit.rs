//! One batch, one write transaction: unwind, blocks, derivation records, heads, pruning.

use alloy_primitives::{Address, B256, Bytes};
use causeway_chainspec::{AccountDiff, Block, crash};
use redb::{Database, Durability, ReadableTable, StorageError, Table, WriteTransaction};

use super::cache::Changed;
use super::meta::Facts;
use super::open::storage;
use super::rows::{Rows, keep};
use super::tables::{Key, Slice, WriteTables, path_key, slot_key, storage_path_key};
use super::{Batch, ExecutedBlock, MIN_HISTORY_BLOCKS, StoreConfig, codec};
use crate::ExecutionError;

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

/// A batch that is written and not committed.
pub(super) struct Ready {
    pub(super) txn: WriteTransaction,
    pub(super) has_blocks: bool,
    /// Rows of state and trie as the batch leaves them; `None` if they cannot be told.
    pub(super) changed: Option<Changed>,
}

/// Writes a batch into a transaction.
pub(super) fn prepare(
    db: &Database,
    batch: &Batch,
    config: &StoreConfig,
) -> Result<Ready, ExecutionError> {
    crash::point("store.commit.before");
    let txn = begin(db)?;
    let (has_blocks, changed) = {
        let tables = WriteTables::open(&txn).map_err(storage)?;
        let facts = Facts::read(&tables.meta)?;
        let mut step = Step { tables, facts, added: 0, changed: Changed::default() };
        step.apply(batch, config)?;
        step.facts.write(&mut step.tables.meta).map_err(storage)?;
        (step.facts.next > 0, batch.unwind_to.is_none().then_some(step.changed))
    };
    Ok(Ready { txn, has_blocks, changed })
}

/// A commit under way.
pub(super) struct Step<'txn> {
    pub(super) tables: WriteTables<'txn>,
    pub(super) facts: Facts,
    /// Blocks added so far: what pruning has to keep up with.
    pub(super) added: usize,
    changed: Changed,
}

/// Whether a block takes rows away that it does not name: they have to be in the table to be found.
fn wipes(executed: &ExecutedBlock) -> bool {
    let gone = |diff: &AccountDiff| diff.wiped || diff.account.is_none();
    executed.diff.accounts.values().any(gone)
        || executed.trie.storages.values().any(|storage| storage.wiped)
}

/// Keys of a table from `first` on that share its first `prefix` bytes.
fn keys<const K: usize>(
    table: &Table<'_, Key<K>, Slice>,
    first: [u8; K],
    prefix: usize,
) -> Result<Vec<[u8; K]>, StorageError> {
    let mut last = [0xff; K];
    last[..prefix].copy_from_slice(&first[..prefix]);
    let rows = table.range::<&[u8; K]>(&first..=&last)?;
    rows.map(|row| row.map(|(key, _)| *key.value())).collect()
}

impl Step<'_> {
    fn apply(&mut self, batch: &Batch, config: &StoreConfig) -> Result<(), ExecutionError> {
        if config.archive && self.facts.archive_from().is_none() {
            self.facts.archive_from = vec![self.facts.latest().unwrap_or(0)];
        }
        if self.facts.next == 0 {
            self.facts.address_index = config.address_index.unwrap_or(true);
        }
        if let Some(to) = batch.unwind_to {
            self.unwind(to)?;
        }
        self.add(&batch.blocks)?;
        self.derived(batch).map_err(storage)?;
        self.heads(batch)?;
        self.facts.log_offset = batch.log_offset;
        self.prune(config.history_blocks.max(MIN_HISTORY_BLOCKS)).map_err(storage)
    }

    /// Adds blocks; of rows that several of them change, only the newest is written.
    fn add(&mut self, blocks: &[ExecutedBlock]) -> Result<(), ExecutionError> {
        let mut txs = Vec::new();
        for executed in blocks {
            let block = &executed.block;
            self.check_child(block)?;
            let stored = codec::block(block).ok_or_else(|| {
                ExecutionError::Broken(format!(
                    "block {}: its candidates are not its forced bytes and its body's, in order",
                    block.header.number
                ))
            })?;
            self.add_block(executed, &stored).map_err(storage)?;
            let number = block.header.number;
            txs.extend(block.txs.iter().zip(0..).map(|(tx, index)| (tx.hash, number, index)));
            if self.facts.next == 0 {
                self.facts.undo_from = 1;
            }
            self.facts.next += 1;
            self.added += 1;
        }
        self.add_txs(txs).map_err(storage)?;
        self.index(blocks).map_err(storage)?;
        let mut rest = blocks;
        while !rest.is_empty() {
            let most = rest.iter().skip(1).take_while(|block| !wipes(block)).count();
            let (run, after) = rest.split_at(1 + most);
            self.add_state(run).map_err(storage)?;
            self.add_trie(run).map_err(storage)?;
            rest = after;
        }
        Ok(())
    }

    fn add_txs(&mut self, mut txs: Vec<(B256, u64, u64)>) -> Result<(), StorageError> {
        // The first place wins, so that undoing a later one leaves it as it was.
        txs.sort_unstable();
        txs.dedup_by_key(|(hash, ..)| *hash);
        for (hash, number, index) in txs {
            let before = self.tables.txs.insert(&hash.0, (number, index))?;
            if let Some(before) = before.map(|row| row.value()) {
                self.tables.txs.insert(&hash.0, before)?;
            }
        }
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
        Ok(())
    }

    /// State of a run of blocks, of which only the first may wipe.
    fn add_state(&mut self, run: &[ExecutedBlock]) -> Result<(), StorageError> {
        let first = run[0].block.header.number;
        let archive = self.facts.archive_from().is_some();
        let (mut accounts, mut slots) = (Rows::new(), Rows::new());
        let tables = &mut self.tables;
        for (at, executed) in run.iter().enumerate() {
            for (address, diff) in &executed.diff.accounts {
                let gone = diff.account.is_none();
                if diff.wiped || gone {
                    let from = slot_key(*address, Default::default());
                    for key in keys(&tables.storage, from, Address::len_bytes())? {
                        slots.put(at, key, Bytes::new());
                    }
                }
                for (slot, value) in diff.storage.iter().filter(|_| !gone) {
                    slots.put(at, slot_key(*address, *slot), codec::word(*value).into());
                }
                let row = diff.account.as_ref().map(codec::account).unwrap_or_default();
                accounts.put(at, address.0.0, row.into());
            }
            let mut new = Vec::new();
            for (hash, code) in &executed.diff.codes {
                if tables.codes.get(&hash.0)?.is_none() {
                    tables.codes.insert(&hash.0, code.as_ref())?;
                    new.extend_from_slice(hash.as_slice());
                }
            }
            if !new.is_empty() && executed.block.header.number > 0 {
                tables.undo_codes.insert(executed.block.header.number, new.as_slice())?;
            }
        }
        let accounts = accounts.write(&mut tables.accounts, run.len())?;
        let history = archive.then_some(&mut tables.account_history);
        keep(&accounts.undo, first, &mut tables.undo_accounts, history)?;
        let slots = slots.write(&mut tables.storage, run.len())?;
        let history = archive.then_some(&mut tables.storage_history);
        keep(&slots.undo, first, &mut tables.undo_storage, history)?;
        self.changed.accounts.extend(accounts.newest);
        self.changed.storage.extend(slots.newest);
        Ok(())
    }

    /// Tries of such a run.
    fn add_trie(&mut self, run: &[ExecutedBlock]) -> Result<(), StorageError> {
        let first = run[0].block.header.number;
        let (mut accounts, mut storages) = (Rows::new(), Rows::new());
        let tables = &mut self.tables;
        for (at, executed) in run.iter().enumerate() {
            for (path, node) in &executed.trie.accounts {
                accounts.put(at, path_key(path), node.clone().unwrap_or_default());
            }
            for (account, diff) in &executed.trie.storages {
                if diff.wiped {
                    let from = storage_path_key(*account, &Default::default());
                    for key in keys(&tables.storage_trie, from, B256::len_bytes())? {
                        storages.put(at, key, Bytes::new());
                    }
                }
                for (path, node) in &diff.nodes {
                    let key = storage_path_key(*account, path);
                    storages.put(at, key, node.clone().unwrap_or_default());
                }
            }
        }
        let none = None::<&mut Table<'_, Key<1>, Slice>>;
        let accounts = accounts.write(&mut tables.account_trie, run.len())?;
        keep(&accounts.undo, first, &mut tables.undo_account_trie, none)?;
        let none = None::<&mut Table<'_, Key<1>, Slice>>;
        let storages = storages.write(&mut tables.storage_trie, run.len())?;
        keep(&storages.undo, first, &mut tables.undo_storage_trie, none)?;
        self.changed.account_trie.extend(accounts.newest);
        self.changed.storage_trie.extend(storages.newest);
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
