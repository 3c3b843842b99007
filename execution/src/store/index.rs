//! The address index: which transactions an account sent, in which others it appears, and in which
//! block it got its code.
//!
//! An account *appears* in a transaction if it is its recipient or the contract it creates, the
//! emitter of one of its logs, or one of the two parties of an ERC-20 or ERC-721 `Transfer` (the
//! zero address of mints and burns left out). Its sender is found by nonce. Whom contracts only
//! call, or send wei to, is not indexed: that would take a trace of every transaction.

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256, b256};
use causeway_chainspec::{Block, Receipt, Tx};
use redb::{Database, ReadableTable, StorageError};

use super::ExecutedBlock;
use super::commit::{Step, begin};
use super::meta::Facts;
use super::open::storage;
use super::rows::OldRows;
use super::tables::{WriteTables, join};
use crate::ExecutionError;

/// keccak256("Transfer(address,address,uint256)").
const TRANSFER: B256 = b256!("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
/// How the code of a delegated account begins (EIP-7702).
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];

/// Block number, and index in the block.
pub(crate) type Place = (u64, u64);

pub(super) fn sent_key(sender: Address, nonce: u64) -> [u8; 28] {
    join(&[sender.as_slice(), &nonce.to_be_bytes()])
}

pub(super) fn seen_key(address: Address, (number, index): Place) -> [u8; 32] {
    join(&[address.as_slice(), &number.to_be_bytes(), &(index as u32).to_be_bytes()])
}

/// Nonce of the sender when the transaction ran.
pub(crate) fn nonce(tx: &Tx, receipt: &Receipt) -> u64 {
    if tx.is_deposit() { receipt.deposit_nonce } else { tx.envelope.nonce() }
}

/// Whom a transaction is about, its sender left out; each once, in order.
pub(crate) fn appearing(tx: &Tx, receipt: &Receipt) -> Vec<Address> {
    let mut found: Vec<Address> =
        tx.envelope.to().into_iter().chain(receipt.contract_address).collect();
    for log in &receipt.logs {
        found.push(log.address);
        if let [TRANSFER, from, to, ..] = log.topics() {
            let parties = [from, to].map(|topic| Address::from_word(*topic));
            found.extend(parties.into_iter().filter(|party| !party.is_zero()));
        }
    }
    found.sort_unstable();
    found.dedup();
    found.retain(|address| *address != tx.sender);
    found
}

/// Accounts that have code since a block, or had the same before it.
pub(crate) fn coded(executed: &ExecutedBlock) -> impl Iterator<Item = Address> + '_ {
    let diff = &executed.diff;
    diff.accounts.iter().filter_map(|(address, account)| {
        let hash = account.account?.bytecode_hash?;
        let code = diff.codes.get(&hash)?;
        (!code.starts_with(&DELEGATION)).then_some(*address)
    })
}

/// Sender and nonce, and where their transaction is.
type SentRow = ([u8; 28], Place);
/// Address and place in one.
type SeenRow = [u8; 32];

/// Rows of one block: of senders, and of whom else its transactions are about.
pub(super) fn rows(block: &Block) -> (Vec<SentRow>, Vec<SeenRow>) {
    let (mut sent, mut seen) = (Vec::with_capacity(block.txs.len()), Vec::new());
    for ((tx, receipt), index) in block.txs.iter().zip(&block.receipts).zip(0..) {
        let place = (block.header.number, index);
        sent.push((sent_key(tx.sender, nonce(tx, receipt)), place));
        seen.extend(appearing(tx, receipt).into_iter().map(|address| seen_key(address, place)));
    }
    (sent, seen)
}

impl Step<'_> {
    /// Indexes blocks that were just added.
    pub(super) fn index(&mut self, blocks: &[ExecutedBlock]) -> Result<(), StorageError> {
        if !self.facts.address_index {
            return Ok(());
        }
        let (mut sent, mut seen) = (Vec::new(), Vec::new());
        for executed in blocks {
            let (of_sender, of_others) = rows(&executed.block);
            sent.extend(of_sender);
            seen.extend(of_others);
            for address in coded(executed) {
                // The first block counts: a later one only has the account among its changes.
                if self.tables.created.get(&address.0.0)?.is_none() {
                    self.tables.created.insert(&address.0.0, executed.block.header.number)?;
                }
            }
        }
        // In the order of keys, which is that of the pages.
        sent.sort_unstable();
        sent.dedup_by_key(|(key, _)| *key);
        for (key, place) in sent {
            let before = self.tables.sent.insert(&key, place)?.map(|row| row.value());
            if let Some(before) = before {
                self.tables.sent.insert(&key, before)?;
            }
        }
        seen.sort_unstable();
        for key in seen {
            self.tables.seen.insert(&key, ())?;
        }
        Ok(())
    }

    /// Takes the rows of a block out again.
    pub(super) fn unindex(&mut self, block: &Block) -> Result<(), StorageError> {
        let (sent, seen) = rows(block);
        for (key, place) in sent {
            if self.tables.sent.get(&key)?.is_some_and(|row| row.value() == place) {
                self.tables.sent.remove(&key)?;
            }
        }
        for key in seen {
            self.tables.seen.remove(&key)?;
        }
        Ok(())
    }

    /// Forgets the code of accounts that got it above `to`. Reads the undo of those blocks.
    pub(super) fn uncreate(&mut self, to: u64) -> Result<(), StorageError> {
        let tables = &mut self.tables;
        for row in tables.undo_accounts.range(to + 1..)? {
            let (_, rows) = row?;
            for (address, _) in OldRows::<20>::read(rows.value())?.iter() {
                if tables.created.get(address)?.is_some_and(|row| row.value() > to) {
                    tables.created.remove(address)?;
                }
            }
        }
        Ok(())
    }
}

/// What to do about the index of a store that has blocks.
pub(super) fn admit(
    db: &Database,
    facts: &Facts,
    wanted: Option<bool>,
) -> Result<(), ExecutionError> {
    match (facts.address_index, wanted) {
        (false, Some(true)) => Err(ExecutionError::Datadir(
            "the store has no address index, and one can only be begun with the chain: set \
             [store] address_index = false, or move the datadir away and start again: the node \
             rebuilds the chain, and the index, from DA"
                .into(),
        )),
        (true, Some(false)) => forget(db),
        _ => Ok(()),
    }
}

/// Drops the index. It cannot come back: blocks added from now on are not in it.
fn forget(db: &Database) -> Result<(), ExecutionError> {
    let txn = begin(db)?;
    WriteTables::delete_index(&txn).map_err(storage)?;
    let mut tables = WriteTables::open(&txn).map_err(storage)?;
    let facts = Facts { address_index: false, ..Facts::read(&tables.meta)? };
    facts.write(&mut tables.meta).map_err(storage)?;
    drop(tables);
    txn.commit().map_err(storage)
}
