//! Path-keyed Merkle Patricia trie: the state root at the cost of what a block touches.
//!
//! Every node is stored as its RLP under its own path (the nibbles that lead to it), nodes below
//! 32 bytes too; those stand inline in their parent besides, as the yellow paper's appendix D
//! wants it. So a node is always found by path alone, and replacing a node overwrites it. An empty
//! trie has no node.

mod check;
mod prove;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod update;

use std::collections::BTreeMap;

use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, Nibbles, TrieAccount};
use causeway_chainspec::{Account, AccountDiff, StateDiff, StateError};
use parking_lot::Mutex;
use rayon::prelude::*;

pub(crate) use check::check;
use update::update;

/// From how many keys on work is spread over threads: below it, handing over costs more.
const PARALLEL_KEYS: usize = 64;

/// Trie nodes by path: what is on disk, or an overlay over it.
pub trait TrieReader: Send + Sync {
    /// RLP of the account-trie node at a path of the hashed key; `None` if there is none.
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError>;
    /// RLP of the storage-trie node at a path, of the account with this hashed address.
    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError>;
}

/// Nodes of one trie by path; `None` for one that is gone.
pub type NodeMap = HashMap<Nibbles, Option<Bytes>>;

/// Trie nodes that differ after a block; `None` removes the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrieDiff {
    /// Account trie, by path.
    pub accounts: NodeMap,
    /// Storage tries, by hashed address.
    pub storages: BTreeMap<B256, StorageTrieDiff>,
}

/// Nodes of one storage trie that differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageTrieDiff {
    /// All earlier nodes are gone first.
    pub wiped: bool,
    /// By path.
    pub nodes: NodeMap,
}

impl TrieDiff {
    /// Puts `later` on top of this diff.
    pub fn merge(&mut self, later: &TrieDiff) {
        self.accounts.extend(later.accounts.iter().map(|(path, node)| (*path, node.clone())));
        for (account, diff) in &later.storages {
            let entry = self.storages.entry(*account).or_default();
            if diff.wiped {
                entry.wiped = true;
                entry.nodes.clear();
            }
            entry.nodes.extend(diff.nodes.iter().map(|(path, node)| (*path, node.clone())));
        }
    }
}

/// Reads a node by path, from one trie.
pub type Load<'a> = dyn Fn(&Nibbles) -> Result<Option<Bytes>, StateError> + Sync + 'a;

/// State root after `diff`, and the nodes that change. Loads only the paths that `diff` touches
/// (and a sibling where a branch collapses). An account that is `None` afterwards loses its leaf
/// and its whole storage trie; whether an empty account exists is the VM's matter.
pub fn state_root(
    reader: &dyn TrieReader,
    diff: &StateDiff,
) -> Result<(B256, TrieDiff), StateError> {
    let accounts: Vec<_> = diff.accounts.iter().collect();
    let mut changes: Vec<(B256, &AccountDiff)> = accounts
        .into_par_iter()
        .with_min_len(PARALLEL_KEYS)
        .map(|(address, diff)| (keccak256(address), diff))
        .collect();
    changes.sort_unstable_by_key(|(hashed, _)| *hashed);
    let keys: Vec<Nibbles> = changes.iter().map(|(hashed, _)| Nibbles::unpack(hashed)).collect();
    let storages = Mutex::new(BTreeMap::new());
    let leaf = |index: usize, old: Option<&[u8]>| {
        let (hashed, diff) = changes[index];
        let (value, storage) = account_leaf(reader, hashed, diff, old)?;
        if let Some(storage) = storage {
            storages.lock().insert(hashed, storage);
        }
        Ok(value)
    };
    let load = |path: &Nibbles| reader.account_node(path);
    let root = load(&Nibbles::new())?.map_or(EMPTY_ROOT_HASH, keccak256);
    let (root, accounts) = update(&load, root, &keys, &leaf)?;
    Ok((root, TrieDiff { accounts, storages: storages.into_inner() }))
}

/// Root of any one trie, and the nodes that change, after some keys got new values (`None`
/// deletes): the update that state and storage roots are made with. Keys are of up to 64 nibbles,
/// and none may be the beginning of another, also of one that the trie holds: no trie of Ethereum
/// has such keys (they are hashes, or RLP), so a branch of ours holds no value.
pub fn trie_root(
    load: &Load<'_>,
    root: B256,
    changes: &BTreeMap<Nibbles, Option<Vec<u8>>>,
) -> Result<(B256, BTreeMap<Nibbles, Option<Bytes>>), StateError> {
    let (keys, values): (Vec<Nibbles>, Vec<_>) = changes.iter().unzip();
    if let Some(pair) = keys.windows(2).find(|pair| pair[1].starts_with(&pair[0])) {
        return Err(StateError(format!("trie key {:?} is the beginning of another", pair[0])));
    }
    let (root, nodes) = update(load, root, &keys, &|index, _| Ok(values[index].clone()))?;
    Ok((root, nodes.into_iter().collect()))
}

/// The leaf of an account after `diff` (none if it is gone), and what its storage trie changes.
fn account_leaf(
    reader: &dyn TrieReader,
    hashed: B256,
    diff: &AccountDiff,
    old: Option<&[u8]>,
) -> Result<(Option<Vec<u8>>, Option<StorageTrieDiff>), StateError> {
    let old_root =
        old.map_or(Ok(EMPTY_ROOT_HASH), |leaf| Ok(decode_account(leaf)?.storage_root))?;
    let had_storage = old_root != EMPTY_ROOT_HASH;
    let Some(account) = diff.account else {
        let gone = StorageTrieDiff { wiped: true, nodes: NodeMap::default() };
        return Ok((None, had_storage.then_some(gone)));
    };
    let wiped = diff.wiped && had_storage;
    let (root, nodes) = if diff.storage.is_empty() {
        (if wiped { EMPTY_ROOT_HASH } else { old_root }, NodeMap::default())
    } else {
        let root = if wiped { EMPTY_ROOT_HASH } else { old_root };
        storage_update(&diff.storage, root, &|path| reader.storage_node(hashed, path))?
    };
    let storage = (wiped || !nodes.is_empty()).then_some(StorageTrieDiff { wiped, nodes });
    Ok((Some(alloy_rlp::encode(trie_account(&account, root))), storage))
}

/// Root and changed nodes of a storage trie after some slots were set.
fn storage_update(
    slots: &BTreeMap<U256, U256>,
    root: B256,
    load: &Load<'_>,
) -> Result<(B256, NodeMap), StateError> {
    let slots: Vec<_> = slots.iter().collect();
    let mut changes: Vec<_> = slots
        .into_par_iter()
        .with_min_len(PARALLEL_KEYS)
        .map(|(slot, value)| (keccak256(B256::from(*slot)), value))
        .collect();
    changes.sort_unstable_by_key(|(hashed, _)| *hashed);
    let keys: Vec<Nibbles> = changes.iter().map(|(hashed, _)| Nibbles::unpack(hashed)).collect();
    let leaf = |index: usize, _: Option<&[u8]>| {
        let value = changes[index].1;
        Ok((!value.is_zero()).then(|| alloy_rlp::encode(value)))
    };
    update(load, root, &keys, &leaf)
}

/// Storage root of an account as the account trie has it; the empty root if it has none.
pub fn storage_root(reader: &dyn TrieReader, address: Address) -> Result<B256, StateError> {
    let key = Nibbles::unpack(keccak256(address));
    let (_, leaf) = prove::walk(&|path| reader.account_node(path), &key)?;
    leaf.map_or(Ok(EMPTY_ROOT_HASH), |leaf| Ok(decode_account(&leaf)?.storage_root))
}

/// Merkle proof nodes, root first, of an account and of some of its slots (EIP-1186). Proofs of
/// absence end at the node that shows it; a proof in an empty trie has no nodes. Nodes that stand
/// inline in their parent are not listed again.
pub fn prove(
    reader: &dyn TrieReader,
    address: Address,
    slots: &[B256],
) -> Result<(Vec<Bytes>, Vec<Vec<Bytes>>), StateError> {
    let hashed = keccak256(address);
    let key = Nibbles::unpack(hashed);
    let (account, leaf) = prove::walk(&|path| reader.account_node(path), &key)?;
    let root = leaf.map_or(Ok(EMPTY_ROOT_HASH), |leaf| Ok(decode_account(&leaf)?.storage_root))?;
    if root == EMPTY_ROOT_HASH {
        return Ok((account, vec![Vec::new(); slots.len()]));
    }
    let load = |path: &Nibbles| match reader.storage_node(hashed, path)? {
        None => Err(missing(path)),
        node => Ok(node),
    };
    let slots = slots
        .iter()
        .map(|slot| Ok(prove::walk(&load, &Nibbles::unpack(keccak256(slot)))?.0))
        .collect::<Result<_, StateError>>()?;
    Ok((account, slots))
}

/// An account as its leaf holds it.
pub(crate) fn trie_account(account: &Account, storage_root: B256) -> TrieAccount {
    let code = account.bytecode_hash.unwrap_or(KECCAK_EMPTY);
    TrieAccount::new(account.nonce, account.balance, storage_root, code)
}

pub(crate) fn decode_account(leaf: &[u8]) -> Result<TrieAccount, StateError> {
    TrieAccount::decode(&mut &*leaf)
        .map_err(|error| StateError(format!("account leaf does not decode: {error}")))
}

fn missing(path: &Nibbles) -> StateError {
    StateError(format!("trie node at path {path:?} is missing"))
}

fn undecodable(path: &Nibbles, error: alloy_rlp::Error) -> StateError {
    StateError(format!("trie node at path {path:?} does not decode: {error}"))
}
