//! State as values: accounts, the difference a block makes, and a snapshot one can read.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
pub use reth_primitives_traits::Account;

/// Reading state failed: the store is damaged or gone. Never "not found", which is `Ok(None)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("state cannot be read: {0}")]
pub struct StateError(pub String);

/// A consistent snapshot: equal questions get equal answers for its whole life. Every read can
/// fail, and says so.
pub trait StateReader: Send + Sync {
    /// The account, or `None` if it does not exist (EIP-161).
    fn account(&self, address: Address) -> Result<Option<Account>, StateError>;
    /// A storage slot; zero if unset.
    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError>;
    /// Code by its Keccak-256 hash; `None` if unknown.
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError>;
    /// Hash of an ancestor block by number; `None` above the snapshot or beyond retention
    /// (at least the last 8191 blocks are kept).
    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError>;
}

/// How one account differs after a block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountDiff {
    /// The account afterwards; `None` if it no longer exists.
    pub account: Option<Account>,
    /// Its storage was cleared before `storage` applies (self-destruct, re-creation).
    pub wiped: bool,
    /// Slots that differ, with their new value; zero deletes.
    pub storage: BTreeMap<U256, U256>,
}

/// What a block changes. Sorted, so that encoding and hashing are the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StateDiff {
    /// Touched accounts.
    pub accounts: BTreeMap<Address, AccountDiff>,
    /// New code by hash.
    pub codes: BTreeMap<B256, Bytes>,
}

impl StateDiff {
    /// Puts `later` on top of this diff.
    pub fn merge(&mut self, later: &StateDiff) {
        for (address, diff) in &later.accounts {
            let entry = self.accounts.entry(*address).or_default();
            entry.account = diff.account;
            if diff.wiped {
                entry.wiped = true;
                entry.storage.clear();
            }
            entry.storage.extend(diff.storage.iter().map(|(slot, value)| (*slot, *value)));
        }
        self.codes.extend(later.codes.iter().map(|(hash, code)| (*hash, code.clone())));
    }

    /// True if nothing changed.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.codes.is_empty()
    }
}
