//! The whole state of a chain as plain maps, hashed by alloy's trie: no code of ours is in it.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::constants::KECCAK_EMPTY;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::TrieAccount;
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};

/// An account with everything it has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Entry {
    pub(super) nonce: u64,
    pub(super) balance: U256,
    pub(super) code: Bytes,
    /// Slots that are not zero.
    pub(super) storage: BTreeMap<U256, U256>,
}

impl Entry {
    /// Whether it does not exist (EIP-161).
    pub(super) fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code.is_empty()
    }

    pub(super) fn code_hash(&self) -> B256 {
        if self.code.is_empty() { KECCAK_EMPTY } else { keccak256(&self.code) }
    }

    pub(super) fn storage_root(&self) -> B256 {
        storage_root_unhashed(self.storage.iter().map(|(key, value)| (B256::from(*key), *value)))
    }

    pub(super) fn set(&mut self, key: U256, value: U256) {
        if value.is_zero() {
            self.storage.remove(&key);
        } else {
            self.storage.insert(key, value);
        }
    }

    fn leaf(&self) -> TrieAccount {
        TrieAccount {
            nonce: self.nonce,
            balance: self.balance,
            storage_root: self.storage_root(),
            code_hash: self.code_hash(),
        }
    }

    /// The account as it lies in the state trie.
    pub(super) fn rlp(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.leaf().encode(&mut out);
        out
    }
}

/// Slots by account.
pub(super) type Places = BTreeMap<Address, BTreeSet<U256>>;

/// Accounts that exist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct State(pub(super) BTreeMap<Address, Entry>);

impl State {
    pub(super) fn root(&self) -> B256 {
        state_root_unhashed(self.0.iter().map(|(address, entry)| (*address, entry.leaf())))
    }

    /// Every slot that is not zero.
    pub(super) fn places(&self) -> Places {
        let slots = |entry: &Entry| entry.storage.keys().copied().collect();
        self.0.iter().map(|(address, entry)| (*address, slots(entry))).collect()
    }

    pub(super) fn supply(&self) -> U256 {
        self.0.values().fold(U256::ZERO, |sum, entry| sum + entry.balance)
    }

    pub(super) fn slot(&self, address: Address, key: U256) -> U256 {
        self.0.get(&address).and_then(|entry| entry.storage.get(&key)).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, address: Address, key: U256, value: U256) {
        self.0.get_mut(&address).expect("an account of the protocol").set(key, value);
    }

    /// Makes wei, and the account if need be.
    pub(super) fn mint(&mut self, address: Address, wei: U256) {
        if !wei.is_zero() {
            self.0.entry(address).or_default().balance += wei;
        }
    }
}
