//! What the store says about itself: sizes, and whether everything in it agrees.

use alloy_primitives::{Address, B256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use causeway_chainspec::{Block, StateError};
use redb::{ReadableTable, ReadableTableMetadata};

use super::open::{storage, unreadable};
use super::tables::join;
use super::view::{account_row, slot_row};
use super::{View, index};
use crate::ExecutionError;
use crate::trie::{TrieReader, check, trie_account};

/// Size of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableStats {
    /// Name.
    pub name: &'static str,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of its keys and values.
    pub bytes: u64,
}

/// What [`Store::verify`](super::Store::verify) went through and found in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    /// Blocks.
    pub blocks: u64,
    /// Accounts.
    pub accounts: u64,
    /// Storage slots.
    pub slots: u64,
    /// Trie nodes.
    pub nodes: u64,
    /// State root, of the newest block's header and recomputed.
    pub state_root: B256,
}

pub(super) fn stats(view: &View) -> Result<Vec<TableStats>, ExecutionError> {
    let tables = view.tables().stats().map_err(storage)?;
    Ok(tables.into_iter().map(|(name, rows, bytes)| TableStats { name, rows, bytes }).collect())
}

pub(super) fn verify(view: &View) -> Result<Verified, ExecutionError> {
    let damaged = |error: StateError| ExecutionError::Damaged(error.0);
    let blocks = blocks(view).map_err(damaged)?;
    let expected = match blocks {
        0 => EMPTY_ROOT_HASH,
        count => view.header(count - 1)?.map_or(EMPTY_ROOT_HASH, |header| header.state_root),
    };
    let (accounts, slots) = flat(view, expected).map_err(damaged)?;
    let nodes = tries(view, expected).map_err(damaged)?;
    Ok(Verified { blocks, accounts, slots, nodes, state_root: expected })
}

fn differs(what: String) -> StateError {
    StateError(format!("{what}; move the datadir away and start again to rebuild it from DA"))
}

/// Reads every block: links, hashes and indexes.
fn blocks(view: &View) -> Result<u64, StateError> {
    let mut parent = None;
    let mut seen = 0;
    let next = view.facts().next;
    for number in 0..next {
        let wrong = |what: &str| Err(differs(format!("block {number}: {what}")));
        let Some(block) = view.block(number)? else { return wrong("is missing") };
        if block.header.hash_slow() != block.hash {
            return wrong("its header has another hash");
        }
        if let Some((hash, claim)) = parent {
            if block.header.parent_hash != hash || block.plan.claim.parent != claim {
                return wrong("it is not the child of the block before");
            }
            if block.plan.claim.hash() != block.claim_hash {
                return wrong("its claim has another hash");
            }
        }
        if view.number_of_hash(block.hash)? != Some(number)
            || view.number_of_claim(block.claim_hash)? != Some(number)
        {
            return wrong("an index does not lead to it");
        }
        for tx in &block.txs {
            if view.tx(tx.hash)?.is_none_or(|(first, _)| first > number) {
                return wrong("the transaction index does not lead to it");
            }
        }
        seen += indexed(view, &block)?;
        parent = Some((block.hash, block.claim_hash));
    }
    let rows = view.tables().seen.len().map_err(unreadable)?;
    if rows != seen {
        return Err(differs(format!("the address index has {rows} rows, the blocks {seen}")));
    }
    let rows = view.tables().ids.len().map_err(unreadable)?;
    if rows == next {
        Ok(next)
    } else {
        Err(differs(format!("{rows} blocks are stored, {next} are on the chain")))
    }
}

/// Finds the rows that a block has in the address index; counts those of others than senders.
fn indexed(view: &View, block: &Block) -> Result<u64, StateError> {
    if !view.has_address_index() {
        return Ok(0);
    }
    let wrong = || differs(format!("block {}: the address index lacks it", block.header.number));
    let (sent, seen) = index::rows(block);
    for (key, place) in sent {
        let row = view.tables().sent.get(&key).map_err(unreadable)?;
        if row.is_none_or(|row| row.value() > place) {
            return Err(wrong());
        }
    }
    for key in &seen {
        if view.tables().seen.get(key).map_err(unreadable)?.is_none() {
            return Err(wrong());
        }
    }
    Ok(seen.len() as u64)
}

/// Recomputes the root from the flat tables; counts accounts and slots.
fn flat(view: &View, expected: B256) -> Result<(u64, u64), StateError> {
    let tables = view.tables();
    let mut leaves: Vec<(B256, TrieAccount)> = Vec::new();
    let mut slots = 0;
    for row in tables.accounts.iter().map_err(unreadable)? {
        let (key, row) = row.map_err(unreadable)?;
        let address = Address::from(*key.value());
        let Some(account) = account_row(address, row.value())? else {
            return Err(differs(format!("account {address} has an empty row")));
        };
        let (count, root) = flat_storage(view, address)?;
        slots += count;
        leaves.push((alloy_primitives::keccak256(address), trie_account(&account, root)));
    }
    let rows = tables.storage.len().map_err(unreadable)?;
    if rows != slots {
        return Err(differs(format!("{} slots are of accounts that do not exist", rows - slots)));
    }
    let accounts = leaves.len() as u64;
    let root = alloy_trie::root::state_root_unsorted(leaves);
    if root != expected {
        return Err(differs(format!("accounts and storage have root {root}, not {expected}")));
    }
    Ok((accounts, slots))
}

fn flat_storage(view: &View, address: Address) -> Result<(u64, B256), StateError> {
    let first: [u8; 52] = join(&[address.as_slice(), &[0; 32]]);
    let last: [u8; 52] = join(&[address.as_slice(), &[0xff; 32]]);
    let rows = view.tables().storage.range::<&[u8; 52]>(&first..=&last).map_err(unreadable)?;
    let mut leaves = Vec::new();
    for row in rows {
        let (key, row) = row.map_err(unreadable)?;
        let slot = B256::from_slice(&key.value()[20..]);
        leaves.push((alloy_primitives::keccak256(slot), slot_row(address, row.value())?));
    }
    Ok((leaves.len() as u64, alloy_trie::root::storage_root_unsorted(leaves)))
}

/// Walks every trie; counts nodes, and finds those that no trie has.
fn tries(view: &View, expected: B256) -> Result<u64, StateError> {
    let tables = view.tables();
    let mut storage_nodes = 0;
    let account_nodes = check(&|path| view.account_node(path), expected, &mut |account, leaf| {
        let root = TrieAccount::decode(&mut &*leaf)
            .map_err(|error| differs(format!("account leaf {account}: {error}")))?
            .storage_root;
        if root != EMPTY_ROOT_HASH {
            let load = |path: &_| view.storage_node(account, path);
            storage_nodes += check(&load, root, &mut |_, _| Ok(()))?;
        }
        Ok(())
    })
    .map_err(|error| differs(error.0))?;
    let rows = tables.account_trie.len().map_err(unreadable)?
        + tables.storage_trie.len().map_err(unreadable)?;
    if rows != account_nodes + storage_nodes {
        return Err(differs(format!(
            "{rows} trie nodes are stored, the tries have {}",
            account_nodes + storage_nodes
        )));
    }
    Ok(rows)
}
