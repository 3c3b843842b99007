//! A state in memory, with its trie.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::Nibbles;
use causeway_chainspec::{Account, AccountDiff, StateDiff, StateError, StateReader};
use causeway_execution::trie::{TrieDiff, TrieReader, state_root};
use serde::Deserialize;

/// An account as suites write it.
#[derive(Debug, Deserialize)]
pub(crate) struct Given {
    pub(crate) balance: U256,
    pub(crate) nonce: U256,
    #[serde(default)]
    pub(crate) code: Bytes,
    #[serde(default)]
    pub(crate) storage: BTreeMap<U256, U256>,
}

/// Accounts, slots and codes, and how hashes of earlier blocks are found.
pub(crate) struct Memory {
    state: StateDiff,
    trie: TrieDiff,
    root: B256,
    hashes: fn(u64) -> Option<B256>,
}

struct Nothing;

impl TrieReader for Nothing {
    fn account_node(&self, _: &Nibbles) -> Result<Option<Bytes>, StateError> {
        Ok(None)
    }
    fn storage_node(&self, _: B256, _: &Nibbles) -> Result<Option<Bytes>, StateError> {
        Ok(None)
    }
}

impl Memory {
    pub(crate) fn new(
        given: BTreeMap<Address, Given>,
        hashes: fn(u64) -> Option<B256>,
    ) -> Result<Self, StateError> {
        let mut state = StateDiff::default();
        for (address, given) in given {
            let hash = (!given.code.is_empty()).then(|| keccak256(&given.code));
            state.codes.extend(hash.map(|hash| (hash, given.code)));
            let nonce = given.nonce.saturating_to();
            let account = Account { nonce, balance: given.balance, bytecode_hash: hash };
            let storage = given.storage.into_iter().filter(|(_, value)| !value.is_zero());
            let (account, storage) = (Some(account), storage.collect());
            state.accounts.insert(address, AccountDiff { account, wiped: false, storage });
        }
        let (root, trie) = state_root(&Nothing, &state)?;
        Ok(Self { state, trie, root, hashes })
    }

    /// State root before.
    pub(crate) fn root(&self) -> B256 {
        self.root
    }

    /// State root after a block.
    pub(crate) fn root_after(&self, diff: &StateDiff) -> Result<B256, StateError> {
        Ok(state_root(self, diff)?.0)
    }

    /// Wei that came and went by a block: sums of the accounts it changed, before and after.
    pub(crate) fn moved(&self, diff: &StateDiff) -> Result<(U256, U256), StateError> {
        let (mut before, mut after) = (U256::ZERO, U256::ZERO);
        for (address, change) in &diff.accounts {
            let wei = |account: Option<Account>| account.map_or(U256::ZERO, |it| it.balance);
            before = before.wrapping_add(wei(self.account(*address)?));
            after = after.wrapping_add(wei(change.account));
        }
        Ok((before, after))
    }
}

impl StateReader for Memory {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.state.accounts.get(&address).and_then(|it| it.account))
    }
    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let slots = self.state.accounts.get(&address).map(|it| &it.storage);
        Ok(slots.and_then(|slots| slots.get(&slot)).copied().unwrap_or_default())
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.state.codes.get(&hash).cloned())
    }
    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        Ok((self.hashes)(number))
    }
}

impl TrieReader for Memory {
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        Ok(self.trie.accounts.get(path).cloned().flatten())
    }
    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        let nodes = self.trie.storages.get(&account).map(|it| &it.nodes);
        Ok(nodes.and_then(|nodes| nodes.get(path)).cloned().flatten())
    }
}
