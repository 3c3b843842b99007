//! Everything a stateless client needs to execute one block again: what the block read of its
//! parent's state, with the trie nodes that prove it and those that its own root needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::Nibbles;
use causeway_chainspec::{Account, StateError, StateReader};
use parking_lot::Mutex;
use serde::Serialize;

use super::Snapshot;
use super::ahead::{Ground, LateHash};
use super::execute::{Parent, Rules, hash_block};
use crate::overlay::Overlay;
use crate::trie::{self, TrieReader};
use crate::{ExecutionError, Stop};

/// Shortest RLP of a node that its parent names by hash; shorter ones stand inside their parent.
const HASHED_BYTES: usize = 32;

/// The witness of a block, as `debug_executionWitness` gives it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// RLP of nodes of the parent's tries, in no order: each is found by its Keccak-256.
    pub state: Vec<Bytes>,
    /// Codes that were read.
    pub codes: Vec<Bytes>,
    /// Preimages of the tries' keys: addresses of 20 bytes and slots of 32.
    pub keys: Vec<Bytes>,
    /// RLP of the parent's header and of those before it whose hashes were read, oldest first.
    pub headers: Vec<Bytes>,
}

/// The parent's state, which writes down what is read of it.
struct Recorder {
    below: Overlay,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    slots: BTreeMap<Address, BTreeSet<U256>>,
    codes: BTreeMap<B256, Bytes>,
    nodes: BTreeSet<Bytes>,
    /// The oldest block whose hash was read.
    oldest: Option<u64>,
}

impl StateReader for Recorder {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.seen.lock().slots.entry(address).or_default();
        self.below.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.seen.lock().slots.entry(address).or_default().insert(slot);
        self.below.slot(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        let code = self.below.code(hash)?;
        if let Some(code) = &code {
            self.seen.lock().codes.insert(hash, code.clone());
        }
        Ok(code)
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        let oldest = &mut self.seen.lock().oldest;
        *oldest = Some(oldest.map_or(number, |oldest| oldest.min(number)));
        self.below.block_hash(number)
    }
}

impl Recorder {
    fn keep(&self, path: &Nibbles, node: Option<Bytes>) -> Option<Bytes> {
        let hashed = |node: &&Bytes| path.is_empty() || node.len() >= HASHED_BYTES;
        if let Some(node) = node.as_ref().filter(hashed) {
            self.seen.lock().nodes.insert(node.clone());
        }
        node
    }
}

impl TrieReader for Recorder {
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        Ok(self.keep(path, self.below.account_node(path)?))
    }

    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        Ok(self.keep(path, self.below.storage_node(account, path)?))
    }
}

impl Snapshot {
    /// The witness of a block, found by executing it once more, roots included. `None` for
    /// genesis, and outside the window in which the parent's trie is known.
    pub fn witness(&self, number: u64) -> Result<Option<Witness>, ExecutionError> {
        if number <= self.oldest_trie() {
            return Ok(None);
        }
        let Some(Parent { id, state }) = self.parent_of(number)? else { return Ok(None) };
        let Some(block) = self.block(number)? else { return Ok(None) };
        let recorder = Recorder { below: state, seen: Mutex::default() };
        let hash = LateHash::known(id.hash);
        let ground = Ground { number: id.number, claim: id.claim, hash, state: &recorder };
        // A VM of its own: one that has run before may know codes by heart.
        let rules = Rules {
            spec: self.rules.spec.clone(),
            vm: crate::open(&self.rules.spec)?,
            modules: self.rules.modules.clone(),
            metrics: Arc::default(),
        };
        let run = rules.run(&ground, &block.plan, &Stop::never())?;
        let layer = hash_block(&recorder, id.hash, block.plan.clone(), run)?;
        if layer.id().hash != block.hash {
            return Err(ExecutionError::Broken(format!(
                "block {number} is {}, and {} when it is executed again",
                block.hash,
                layer.id().hash
            )));
        }
        let mut keys = Vec::new();
        let read = std::mem::take(&mut recorder.seen.lock().slots);
        for (address, slots) in read {
            let slots: Vec<B256> = slots.into_iter().map(B256::from).collect();
            trie::prove(&recorder, address, &slots)?;
            keys.push(Bytes::copy_from_slice(address.as_slice()));
            keys.extend(slots.into_iter().map(Bytes::from));
        }
        let Seen { codes, nodes, oldest, .. } = recorder.seen.into_inner();
        let mut headers = Vec::new();
        for number in oldest.map_or(id.number, |oldest| oldest.min(id.number))..=id.number {
            let header = self.header(number)?;
            headers.extend(header.map(|header| Bytes::from(alloy_rlp::encode(header))));
        }
        let (state, codes) = (nodes.into_iter().collect(), codes.into_values().collect());
        Ok(Some(Witness { state, codes, keys, headers }))
    }

    /// Oldest block whose trie is known.
    pub fn oldest_trie(&self) -> u64 {
        self.picture.view.oldest_trie()
    }
}
