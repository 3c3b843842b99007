//! Path-keyed Merkle Patricia trie: the state root at the cost of what a block touches.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use alloy_trie::Nibbles;
use causeway_chainspec::{StateDiff, StateError};

/// Trie nodes by path: what is on disk, or an overlay over it.
pub trait TrieReader: Send + Sync {
    /// RLP of the account-trie node at a path of the hashed key; `None` if there is none.
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError>;
    /// RLP of the storage-trie node at a path, of the account with this hashed address.
    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError>;
}

/// Trie nodes that differ after a block; `None` removes the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrieDiff {
    /// Account trie, by path.
    pub accounts: BTreeMap<Nibbles, Option<Bytes>>,
    /// Storage tries, by hashed address.
    pub storages: BTreeMap<B256, StorageTrieDiff>,
}

/// Nodes of one storage trie that differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageTrieDiff {
    /// All earlier nodes are gone first.
    pub wiped: bool,
    /// By path.
    pub nodes: BTreeMap<Nibbles, Option<Bytes>>,
}

/// State root after `diff`, and the nodes that change. Loads only the paths that `diff` touches
/// (and a sibling where a branch collapses).
pub fn state_root(
    reader: &dyn TrieReader,
    diff: &StateDiff,
) -> Result<(B256, TrieDiff), StateError> {
    let _ = (reader, diff);
    todo!()
}

/// Storage root of an account as the account trie has it; the empty root if it has none.
pub fn storage_root(reader: &dyn TrieReader, address: Address) -> Result<B256, StateError> {
    let _ = (reader, address);
    todo!()
}

/// Merkle proof nodes, root first, of an account and of some of its slots (EIP-1186).
pub fn prove(
    reader: &dyn TrieReader,
    address: Address,
    slots: &[B256],
) -> Result<(Vec<Bytes>, Vec<Vec<Bytes>>), StateError> {
    let _ = (reader, address, slots);
    todo!()
}
