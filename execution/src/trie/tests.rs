//! The trie against alloy's hash builder, step after step, with keys chosen to make trouble.

use std::collections::BTreeMap;

use alloy_trie::HashBuilder;
use alloy_trie::proof::verify_proof;
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Nodes = BTreeMap<Nibbles, Bytes>;
type Slots = BTreeMap<U256, U256>;
type State = BTreeMap<Address, (Account, Slots)>;

#[derive(Default, Clone, PartialEq, Debug)]
struct Memory {
    accounts: Nodes,
    storages: BTreeMap<B256, Nodes>,
}

impl TrieReader for Memory {
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        Ok(self.accounts.get(path).cloned())
    }
    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        Ok(self.storages.get(&account).and_then(|nodes| nodes.get(path)).cloned())
    }
}

/// Applies changes, which must all be changes; returns those that lead back.
fn apply_nodes(nodes: &mut Nodes, changes: &NodeMap) -> NodeMap {
    let mut back = NodeMap::default();
    for (path, node) in changes {
        let old = match node {
            Some(rlp) => nodes.insert(*path, rlp.clone()),
            None => nodes.remove(path),
        };
        assert_ne!(old, *node, "no change at {path:?}");
        back.insert(*path, old);
    }
    back
}

impl Memory {
    fn apply(&mut self, diff: &TrieDiff) {
        apply_nodes(&mut self.accounts, &diff.accounts);
        for (account, storage) in &diff.storages {
            let nodes = self.storages.entry(*account).or_default();
            if storage.wiped {
                assert!(!nodes.is_empty(), "nothing to wipe");
                nodes.clear();
            }
            apply_nodes(nodes, &storage.nodes);
            if nodes.is_empty() {
                self.storages.remove(account);
            }
        }
    }
}

/// A key of few shapes: forks near the root, in the middle, and at the last nibbles.
fn key(shape: u16) -> B256 {
    let mut key = B256::ZERO;
    key[0] = ((shape >> 8) as u8 & 0x03) * 0x11;
    key[15] = (shape >> 6) as u8 & 0x03;
    key[30] = ((shape >> 4) as u8 & 0x03) << 3;
    key[31] = shape as u8 & 0x0f;
    key
}

fn builder_root(leaves: &BTreeMap<B256, Vec<u8>>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

fn change(nodes: &Nodes, changes: &BTreeMap<B256, Option<Vec<u8>>>) -> (B256, NodeMap) {
    let keys: Vec<_> = changes.keys().map(Nibbles::unpack).collect();
    let values: Vec<_> = changes.values().collect();
    let load = |path: &Nibbles| Ok(nodes.get(path).cloned());
    let root = nodes.get(&Nibbles::new()).map_or(EMPTY_ROOT_HASH, keccak256);
    update(&load, root, &keys, &|index, _| Ok(values[index].clone())).unwrap()
}

/// One batch of changes after the other on one trie, every property after each.
fn run_trie(batches: Vec<Vec<(u16, Option<Vec<u8>>)>>) {
    let mut nodes = Nodes::new();
    let mut model = BTreeMap::new();
    for batch in batches {
        let changes: BTreeMap<_, _> =
            batch.into_iter().map(|(shape, value)| (key(shape), value)).collect();
        let before = nodes.clone();
        let (root, diff) = change(&nodes, &changes);
        let back = apply_nodes(&mut nodes, &diff);
        for (key, value) in changes {
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
        assert_eq!(root, builder_root(&model));
        let mut seen = BTreeMap::new();
        let count = check(&|path| Ok(nodes.get(path).cloned()), root, &mut |key, value| {
            seen.insert(key, value.to_vec());
            Ok(())
        });
        assert_eq!(count.unwrap(), nodes.len() as u64, "stale nodes");
        assert_eq!(seen, model);
        let all = model.iter().map(|(key, value)| (*key, Some(value.clone()))).collect();
        let scratch = change(&Nodes::new(), &all).1;
        let scratch: Nodes =
            scratch.into_iter().filter_map(|(path, node)| Some((path, node?))).collect();
        assert_eq!(nodes, scratch);
        let mut undone = nodes.clone();
        apply_nodes(&mut undone, &back);
        assert_eq!(undone, before);
    }
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        3 => Just(None),
        3 => vec(1u8..0x7f, 1..3).prop_map(Some),
        2 => vec(any::<u8>(), 28..40).prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn small_batches_agree_with_the_hash_builder(
        batches in vec(vec((0u16..0x400, value()), 0..6), 1..40)
    ) {
        run_trie(batches);
    }

    #[test]
    fn crowded_keys_agree_with_the_hash_builder(
        batches in vec(vec((0u16..0x30, value()), 0..8), 1..40)
    ) {
        run_trie(batches);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn parallel_batches_agree_with_the_hash_builder(
        batches in vec(vec((0u16..0x400, value()), 100..500), 1..5)
    ) {
        run_trie(batches);
    }

    #[test]
    fn a_state_agrees_with_alloy(steps in vec(vec(account_change(), 0..8), 1..20)) {
        run_state(steps);
    }
}

#[derive(Debug, Clone)]
struct Change {
    address: u8,
    account: Option<(u64, bool)>,
    wiped: bool,
    slots: Vec<(u8, u64)>,
}

fn account_change() -> impl Strategy<Value = Change> {
    let account = prop_oneof![1 => Just(None), 4 => any::<(u64, bool)>().prop_map(Some)];
    (0u8..12, account, proptest::bool::weighted(0.15), vec((0u8..40, 0u64..4), 0..10))
        .prop_map(|(address, account, wiped, slots)| Change { address, account, wiped, slots })
}

/// The difference a step makes, and the model after it.
fn state_diff(state: &mut State, step: Vec<Change>) -> StateDiff {
    let mut diff = StateDiff::default();
    for change in step {
        let address = Address::repeat_byte(change.address);
        let account = change.account.map(|(nonce, code)| Account {
            nonce,
            balance: U256::from(nonce) << 3,
            bytecode_hash: code.then_some(B256::repeat_byte(1)),
        });
        let storage: Slots = change
            .slots
            .iter()
            .map(|(slot, value)| (U256::from(*slot), U256::from(*value)))
            .collect();
        let entry = AccountDiff { account, wiped: change.wiped, storage };
        let one = StateDiff { accounts: [(address, entry)].into(), ..Default::default() };
        let Some(account) = account else {
            state.remove(&address);
            // A deleted account that comes back in the same block has its storage wiped.
            diff.merge(&one);
            diff.accounts.entry(address).and_modify(|entry| {
                entry.wiped = true;
                entry.storage.clear();
            });
            continue;
        };
        diff.merge(&one);
        let held = state.entry(address).or_default();
        held.0 = account;
        if change.wiped {
            held.1.clear();
        }
        for (slot, value) in &one.accounts[&address].storage {
            held.1.insert(*slot, *value);
        }
        held.1.retain(|_, value| !value.is_zero());
    }
    diff
}

fn slots_root(slots: &Slots) -> B256 {
    storage_root_unhashed(slots.iter().map(|(slot, value)| (B256::from(*slot), *value)))
}

fn run_state(steps: Vec<Vec<Change>>) {
    let mut state = State::new();
    let mut memory = Memory::default();
    let mut merged = TrieDiff::default();
    for step in steps {
        let diff = state_diff(&mut state, step);
        let (root, trie) = state_root(&memory, &diff).unwrap();
        memory.apply(&trie);
        merged.merge(&trie);
        let expected = state_root_unhashed(state.iter().map(|(address, (account, slots))| {
            (*address, trie_account(account, slots_root(slots)))
        }));
        assert_eq!(root, expected);
        let whole = StateDiff {
            accounts: state
                .iter()
                .map(|(address, (account, slots))| {
                    let (account, storage) = (Some(*account), slots.clone());
                    (*address, AccountDiff { account, wiped: false, storage })
                })
                .collect(),
            ..Default::default()
        };
        let mut scratch = Memory::default();
        scratch.apply(&state_root(&Memory::default(), &whole).unwrap().1);
        assert_eq!(memory, scratch, "stale or missing nodes");
        prove_all(&memory, root, &state);
    }
    let left = |nodes: &NodeMap| {
        nodes.iter().filter_map(|(path, node)| Some((*path, node.clone()?))).collect::<Nodes>()
    };
    assert_eq!(left(&merged.accounts), memory.accounts, "merged diffs");
    for (account, diff) in &merged.storages {
        assert_eq!(left(&diff.nodes), memory.storages.get(account).cloned().unwrap_or_default());
    }
}

/// Proofs of every account and slot, of some that are not there, checked by alloy.
fn prove_all(memory: &Memory, root: B256, state: &State) {
    let slots: Vec<_> = (0..42u64).map(|slot| B256::from(U256::from(slot))).collect();
    for byte in 0..14 {
        let address = Address::repeat_byte(byte);
        let (proof, slot_proofs) = prove(memory, address, &slots).unwrap();
        let held = state.get(&address);
        let leaf = held
            .map(|(account, slots)| alloy_rlp::encode(trie_account(account, slots_root(slots))));
        verify_proof(root, Nibbles::unpack(keccak256(address)), leaf, &proof).unwrap();
        let storage = storage_root(memory, address).unwrap();
        assert_eq!(storage, held.map_or(EMPTY_ROOT_HASH, |(_, slots)| slots_root(slots)));
        for (slot, proof) in slots.iter().zip(&slot_proofs) {
            let value = held.and_then(|(_, slots)| slots.get(&U256::from_be_bytes(slot.0)));
            let key = Nibbles::unpack(keccak256(slot));
            verify_proof(storage, key, value.map(alloy_rlp::encode), proof).unwrap();
        }
    }
}

#[test]
fn proofs_hold_where_small_nodes_stand_inline() {
    let mut nodes = Nodes::new();
    let changes = (0..0x40).map(|shape| (key(shape), Some(vec![shape as u8 + 1]))).collect();
    let (root, diff) = change(&nodes, &changes);
    apply_nodes(&mut nodes, &diff);
    assert!(nodes.values().any(|rlp| rlp.len() < 32));
    let load = |path: &Nibbles| Ok(nodes.get(path).cloned());
    for shape in 0..0x400 {
        let key = key(shape);
        let (proof, value) = prove::walk(&load, &Nibbles::unpack(key)).unwrap();
        assert_eq!(value, changes.get(&key).cloned().flatten());
        assert!(proof.iter().skip(1).all(|rlp| rlp.len() >= 32));
        verify_proof(root, Nibbles::unpack(key), value, &proof).unwrap();
    }
}

#[test]
fn only_touched_paths_are_read() {
    let mut memory = Memory::default();
    let mut state = StateDiff::default();
    for index in 0..5000u64 {
        let account = Some(Account { nonce: index, ..Default::default() });
        let address = Address::from_slice(&keccak256(index.to_be_bytes())[..20]);
        state.accounts.insert(address, AccountDiff { account, ..Default::default() });
    }
    memory.apply(&state_root(&memory, &state).unwrap().1);
    let (address, mut diff) = state.accounts.pop_first().unwrap();
    diff.account = None;
    let one = StateDiff { accounts: [(address, diff)].into(), ..Default::default() };
    let reads = Counting { memory: &memory, reads: Mutex::new(0) };
    state_root(&reads, &one).unwrap();
    let depth = prove(&memory, address, &[]).unwrap().0.len();
    // The root twice (its hash, its content), the path, and a sibling if a branch collapses.
    assert!(*reads.reads.lock() <= depth + 2, "{} reads for depth {depth}", reads.reads.lock());
}

struct Counting<'a> {
    memory: &'a Memory,
    reads: Mutex<usize>,
}

impl TrieReader for Counting<'_> {
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        *self.reads.lock() += 1;
        self.memory.account_node(path)
    }
    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        *self.reads.lock() += 1;
        self.memory.storage_node(account, path)
    }
}

#[test]
fn a_missing_or_broken_node_is_an_error() {
    let mut memory = Memory::default();
    let changes = |nonce| StateDiff {
        accounts: (0..40)
            .map(|byte| {
                let account = Some(Account { nonce, ..Default::default() });
                (Address::repeat_byte(byte), AccountDiff { account, ..Default::default() })
            })
            .collect(),
        ..Default::default()
    };
    let (root, trie) = state_root(&memory, &changes(1)).unwrap();
    memory.apply(&trie);
    for path in memory.accounts.keys().skip(1) {
        let mut broken = memory.clone();
        broken.accounts.remove(path);
        assert!(state_root(&broken, &changes(2)).is_err());
        broken.accounts.insert(*path, Bytes::from_static(&[0xc1]));
        assert!(state_root(&broken, &changes(2)).is_err());
        let other = memory.accounts.values().find(|rlp| memory.accounts[path] != **rlp).unwrap();
        broken.accounts.insert(*path, other.clone());
        assert!(state_root(&broken, &changes(2)).is_err());
        let load = |path: &Nibbles| broken.account_node(path);
        assert!(check(&load, root, &mut |_, _| Ok(())).is_err());
    }
}

#[test]
fn a_storage_trie_that_is_gone_is_an_error() {
    let mut memory = Memory::default();
    let address = Address::repeat_byte(7);
    let change = |value| {
        let storage = (0..9).map(|slot| (U256::from(slot), U256::from(value))).collect();
        let diff = AccountDiff { account: Some(Account::default()), wiped: false, storage };
        StateDiff { accounts: [(address, diff)].into(), ..Default::default() }
    };
    memory.apply(&state_root(&memory, &change(1)).unwrap().1);
    memory.storages.clear();
    assert!(state_root(&memory, &change(2)).is_err());
    assert!(prove(&memory, address, &[B256::ZERO]).is_err());
}

#[test]
fn any_trie_can_be_updated_but_no_key_begins_another() {
    let key = |bytes: &[u8]| Nibbles::unpack(bytes);
    let changes = BTreeMap::from([
        (key(b"abc"), Some(vec![1])),
        (key(b"abd"), Some(vec![2; 40])),
        (key(b"x"), Some(vec![3])),
    ]);
    let (root, nodes) = trie_root(&|_| Ok(None), EMPTY_ROOT_HASH, &changes).unwrap();
    let mut builder = HashBuilder::default();
    for (key, value) in &changes {
        builder.add_leaf(*key, value.as_ref().unwrap());
    }
    assert_eq!(root, builder.root());
    let load = |path: &Nibbles| Ok(nodes.get(path).cloned().flatten());
    let gone = changes.into_keys().map(|key| (key, None)).collect();
    assert_eq!(trie_root(&load, root, &gone).unwrap().0, EMPTY_ROOT_HASH);
    let begins = BTreeMap::from([(key(b"ab"), Some(vec![1])), (key(b"abc"), Some(vec![2]))]);
    assert!(trie_root(&|_| Ok(None), EMPTY_ROOT_HASH, &begins).is_err());
}
