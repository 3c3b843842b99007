//! Executed blocks that are not in the store yet, over a view of it.

mod filter;

use std::sync::Arc;

use alloy_primitives::map::B256Map;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::Nibbles;
use causeway_chainspec::{Account, BlockId, Seal, StateDiff, StateError, StateReader};

use crate::store::ExecutedBlock;
use crate::trie::{TrieDiff, TrieReader};
use filter::Filter;

/// What a transaction with its receipt, a changed account and a changed trie node take in memory,
/// about, in bytes.
const TX_BYTES: usize = 1000;
const ACCOUNT_BYTES: usize = 250;
const NODE_BYTES: usize = 500;

/// An executed block as a layer of state.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The block and what it changes.
    pub executed: ExecutedBlock,
    index: Arc<Index>,
}

/// What makes looking into a layer cheap.
#[derive(Debug)]
struct Index {
    /// Index of each transaction.
    txs: B256Map<usize>,
    /// Accounts that changed.
    accounts: Filter,
    /// Nodes of the account trie that changed, by path.
    nodes: Filter,
    /// Storage tries that changed, by hashed address.
    storages: Filter,
    /// Bytes of memory, about.
    weight: usize,
}

impl Layer {
    /// Indexes a block.
    pub fn new(executed: ExecutedBlock) -> Self {
        let ExecutedBlock { block, diff, trie, .. } = &executed;
        let txs = block.txs.iter().enumerate().map(|(at, tx)| (tx.hash, at)).collect();
        let accounts = Filter::new(diff.accounts.keys().map(filter::address));
        let nodes = Filter::new(trie.accounts.keys().map(filter::path));
        let storages = Filter::new(trie.storages.keys().map(filter::hash));
        let raw: usize = block.txs.iter().map(|tx| TX_BYTES + 2 * tx.raw.len()).sum();
        let below: usize = trie.storages.values().map(|storage| storage.nodes.len()).sum();
        let nodes_held = trie.accounts.len() + below;
        let weight = raw + diff.accounts.len() * ACCOUNT_BYTES + nodes_held * NODE_BYTES;
        Self { executed, index: Arc::new(Index { txs, accounts, nodes, storages, weight }) }
    }

    /// The same layer with its seal.
    pub fn sealed(&self, seal: Option<Seal>) -> Self {
        let executed = ExecutedBlock { seal, ..self.executed.clone() };
        Self { executed, index: self.index.clone() }
    }

    /// Both names and the number of its block.
    pub fn id(&self) -> BlockId {
        let block = &self.executed.block;
        BlockId { number: block.header.number, claim: block.claim_hash, hash: block.hash }
    }

    /// Claim hash of its parent.
    pub fn parent(&self) -> B256 {
        self.executed.block.plan.claim.parent
    }

    /// Index of a transaction in it.
    pub fn tx(&self, hash: B256) -> Option<usize> {
        self.index.txs.get(&hash).copied()
    }

    /// Bytes of memory it takes, about.
    pub fn weight(&self) -> usize {
        self.index.weight
    }
}

/// State and trie as after the newest of some layers, each the child of the one before, the first
/// the child of the block the base stands at. A read asks the layers newest first, and passes those
/// that cannot know by their filters.
#[derive(Clone)]
pub struct Overlay {
    state: Arc<dyn StateReader>,
    trie: Arc<dyn TrieReader>,
    /// Oldest first, of which only so many count; shared with whoever keeps them.
    shared: Arc<Vec<Arc<Layer>>>,
    count: usize,
    /// Above them, oldest first.
    above: Vec<Arc<Layer>>,
}

impl Overlay {
    /// Lays `layers`, oldest first, over a base.
    pub fn new<B>(base: B, layers: Vec<Arc<Layer>>) -> Self
    where
        B: StateReader + TrieReader + 'static,
    {
        Self::over(base, Arc::default(), 0, layers)
    }

    /// The same, with the first `count` of some layers below `above`; copies none of them.
    pub(crate) fn over<B>(
        base: B,
        shared: Arc<Vec<Arc<Layer>>>,
        count: usize,
        above: Vec<Arc<Layer>>,
    ) -> Self
    where
        B: StateReader + TrieReader + 'static,
    {
        let base = Arc::new(base);
        Self { state: base.clone(), trie: base, shared, count, above }
    }

    /// Oldest first.
    fn layers(&self) -> impl DoubleEndedIterator<Item = &Arc<Layer>> {
        self.shared.iter().take(self.count).chain(&self.above)
    }
}

impl StateReader for Overlay {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let mark = filter::address(&address);
        for layer in self.layers().rev().filter(|layer| layer.index.accounts.may_hold(mark)) {
            if let Some(diff) = layer.executed.diff.accounts.get(&address) {
                return Ok(diff.account);
            }
        }
        self.state.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let mark = filter::address(&address);
        for layer in self.layers().rev().filter(|layer| layer.index.accounts.may_hold(mark)) {
            if let Some(value) = slot_in(&layer.executed.diff, address, slot) {
                return Ok(value);
            }
        }
        self.state.slot(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        for layer in self.layers().rev() {
            if let Some(code) = layer.executed.diff.codes.get(&hash) {
                return Ok(Some(code.clone()));
            }
        }
        self.state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        let Some(first) = self.layers().next() else { return self.state.block_hash(number) };
        match number.checked_sub(first.id().number) {
            Some(at) => Ok(self.layers().nth(at as usize).map(|layer| layer.id().hash)),
            None => self.state.block_hash(number),
        }
    }
}

impl TrieReader for Overlay {
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        let mark = filter::path(path);
        for layer in self.layers().rev().filter(|layer| layer.index.nodes.may_hold(mark)) {
            if let Some(node) = layer.executed.trie.accounts.get(path) {
                return Ok(node.clone());
            }
        }
        self.trie.account_node(path)
    }

    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        let mark = filter::hash(&account);
        for layer in self.layers().rev().filter(|layer| layer.index.storages.may_hold(mark)) {
            if let Some(node) = storage_node_in(&layer.executed.trie, account, path) {
                return Ok(node);
            }
        }
        self.trie.storage_node(account, path)
    }
}

/// What a diff says of a slot, if it says anything.
fn slot_in(diff: &StateDiff, address: Address, slot: U256) -> Option<U256> {
    let account = diff.accounts.get(&address)?;
    let gone = account.wiped || account.account.is_none();
    account.storage.get(&slot).copied().or(gone.then_some(U256::ZERO))
}

/// What a diff says of a storage node, if it says anything.
fn storage_node_in(diff: &TrieDiff, account: B256, path: &Nibbles) -> Option<Option<Bytes>> {
    let storage = diff.storages.get(&account)?;
    storage.nodes.get(path).cloned().or(storage.wiped.then_some(None))
}

/// A diff that is still growing, over a snapshot.
pub struct StateOver<'a> {
    /// Asked first.
    pub diff: &'a StateDiff,
    /// Asked for what the diff does not mention.
    pub below: &'a dyn StateReader,
}

impl StateReader for StateOver<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match self.diff.accounts.get(&address) {
            Some(diff) => Ok(diff.account),
            None => self.below.account(address),
        }
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        match slot_in(self.diff, address, slot) {
            Some(value) => Ok(value),
            None => self.below.slot(address, slot),
        }
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        match self.diff.codes.get(&hash) {
            Some(code) => Ok(Some(code.clone())),
            None => self.below.code(hash),
        }
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        self.below.block_hash(number)
    }
}

/// A diff that is complete, over a state: both are its own.
pub struct Patched {
    /// Asked first.
    pub diff: StateDiff,
    /// Asked for what the diff does not mention.
    pub below: Arc<dyn StateReader>,
}

impl Patched {
    fn over(&self) -> StateOver<'_> {
        StateOver { diff: &self.diff, below: &*self.below }
    }
}

impl StateReader for Patched {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.over().account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.over().slot(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        self.over().code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        self.below.block_hash(number)
    }
}

/// Trie nodes of a block just hashed, over those of its parent.
pub struct TrieOver<'a> {
    /// Asked first.
    pub diff: &'a TrieDiff,
    /// Asked for what the diff does not mention.
    pub below: &'a dyn TrieReader,
}

impl TrieReader for TrieOver<'_> {
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        match self.diff.accounts.get(path) {
            Some(node) => Ok(node.clone()),
            None => self.below.account_node(path),
        }
    }

    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        match storage_node_in(self.diff, account, path) {
            Some(node) => Ok(node),
            None => self.below.storage_node(account, path),
        }
    }
}

/// Nothing: the state before genesis.
#[derive(Debug, Clone, Copy)]
pub struct Empty;

impl StateReader for Empty {
    fn account(&self, _: Address) -> Result<Option<Account>, StateError> {
        Ok(None)
    }
    fn slot(&self, _: Address, _: U256) -> Result<U256, StateError> {
        Ok(U256::ZERO)
    }
    fn code(&self, _: B256) -> Result<Option<Bytes>, StateError> {
        Ok(None)
    }
    fn block_hash(&self, _: u64) -> Result<Option<B256>, StateError> {
        Ok(None)
    }
}

impl TrieReader for Empty {
    fn account_node(&self, _: &Nibbles) -> Result<Option<Bytes>, StateError> {
        Ok(None)
    }
    fn storage_node(&self, _: B256, _: &Nibbles) -> Result<Option<Bytes>, StateError> {
        Ok(None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use alloy_consensus::Header;
    use causeway_chainspec::{AccountDiff, Block, BlockBody, BlockPlan, Claim, ForcedCut};

    use super::*;
    use crate::trie::StorageTrieDiff;

    const ALICE: Address = Address::repeat_byte(1);

    fn layer(number: u64, diff: StateDiff, trie: TrieDiff) -> Arc<Layer> {
        let claim = Claim {
            identity: B256::ZERO,
            number,
            term: 0,
            parent: B256::ZERO,
            time_ms: number,
            origin: None,
            cut: ForcedCut::default(),
            anchors: vec![],
            inbound_root: B256::ZERO,
            candidates_root: B256::ZERO,
            takeover: None,
        };
        let claim_hash = claim.hash();
        let plan =
            BlockPlan { claim, body: BlockBody::default(), forced: vec![], candidates: vec![] };
        let block = Arc::new(Block {
            plan,
            claim_hash,
            header: Header { number, ..Default::default() },
            hash: B256::with_last_byte(number as u8),
            txs: vec![],
            receipts: vec![],
            skipped: vec![],
            outbox: vec![],
            ethereum: None,
        });
        let executed =
            ExecutedBlock { block, seal: None, diff: Arc::new(diff), trie: Arc::new(trie) };
        Arc::new(Layer::new(executed))
    }

    fn account(nonce: u64) -> Option<Account> {
        Some(Account { nonce, ..Default::default() })
    }

    fn diff(account: Option<Account>, wiped: bool, slots: &[(u64, u64)]) -> StateDiff {
        let storage = slots.iter().map(|(k, v)| (U256::from(*k), U256::from(*v))).collect();
        let accounts = BTreeMap::from([(ALICE, AccountDiff { account, wiped, storage })]);
        StateDiff { accounts, codes: BTreeMap::new() }
    }

    #[test]
    fn the_newest_layer_wins_and_a_wiped_one_hides_what_is_below() {
        let layers = vec![
            layer(5, diff(account(1), false, &[(1, 10), (2, 20)]), TrieDiff::default()),
            layer(6, diff(account(2), false, &[(1, 11)]), TrieDiff::default()),
        ];
        let overlay = Overlay::new(Empty, layers.clone());
        assert_eq!(overlay.account(ALICE).unwrap(), account(2));
        assert_eq!(overlay.slot(ALICE, U256::from(1)).unwrap(), U256::from(11));
        assert_eq!(overlay.slot(ALICE, U256::from(2)).unwrap(), U256::from(20));
        assert_eq!(overlay.account(Address::repeat_byte(9)).unwrap(), None);

        let wiped = layer(7, diff(account(3), true, &[(3, 30)]), TrieDiff::default());
        let overlay = Overlay::new(Empty, [layers.clone(), vec![wiped]].concat());
        assert_eq!(overlay.slot(ALICE, U256::from(1)).unwrap(), U256::ZERO);
        assert_eq!(overlay.slot(ALICE, U256::from(3)).unwrap(), U256::from(30));

        let gone = layer(7, diff(None, false, &[]), TrieDiff::default());
        let overlay = Overlay::new(Empty, [layers, vec![gone]].concat());
        assert_eq!(overlay.account(ALICE).unwrap(), None);
        assert_eq!(overlay.slot(ALICE, U256::from(2)).unwrap(), U256::ZERO);
    }

    #[test]
    fn hashes_of_layers_are_found_by_number() {
        let layers: Vec<_> =
            (5..8).map(|n| layer(n, StateDiff::default(), TrieDiff::default())).collect();
        let overlay = Overlay::new(Empty, layers);
        assert_eq!(overlay.block_hash(6).unwrap(), Some(B256::with_last_byte(6)));
        assert_eq!(overlay.block_hash(8).unwrap(), None);
        assert_eq!(overlay.block_hash(4).unwrap(), None);
    }

    #[test]
    fn trie_nodes_are_removed_replaced_and_wiped() {
        let path = Nibbles::from_nibbles([1, 2]);
        let other = Nibbles::from_nibbles([1, 3]);
        let key = B256::repeat_byte(7);
        let node = |byte: u8| Some(Bytes::from(vec![byte]));
        let mut old = TrieDiff::default();
        old.accounts.insert(path, node(1));
        old.storages.insert(
            key,
            StorageTrieDiff {
                wiped: false,
                nodes: [(path, node(2)), (other, node(3))].into_iter().collect(),
            },
        );
        let mut new = TrieDiff::default();
        new.accounts.insert(path, None);
        let nodes = [(path, node(4))].into_iter().collect();
        new.storages.insert(key, StorageTrieDiff { wiped: true, nodes });
        let below = Overlay::new(Empty, vec![layer(1, StateDiff::default(), old)]);
        let over = TrieOver { diff: &new, below: &below };
        assert_eq!(below.account_node(&path).unwrap(), node(1));
        assert_eq!(over.account_node(&path).unwrap(), None);
        assert_eq!(over.storage_node(key, &path).unwrap(), node(4));
        assert_eq!(over.storage_node(key, &other).unwrap(), None);
        assert_eq!(below.storage_node(key, &other).unwrap(), node(3));
    }
}
