//! Reads of earlier blocks: within the window, at its edge, and in an archive.

use super::*;
use crate::trie::{prove, storage_root};

fn assert_proofs(view: &HistoricView, executed: &ExecutedBlock) {
    let root = executed.block.header.state_root;
    for index in 0..ACCOUNTS {
        let address = address(index);
        let (proof, _) = prove(view, address, &[]).unwrap();
        let account = view.account(address).unwrap();
        let storage = storage_root(view, address).unwrap();
        let leaf =
            account.map(|account| alloy_rlp::encode(crate::trie::trie_account(&account, storage)));
        let key = alloy_trie::Nibbles::unpack(keccak256(address));
        alloy_trie::proof::verify_proof(root, key, leaf, &proof).unwrap();
        let slot = B256::from(U256::from(3));
        let value = view.slot(address, U256::from(3)).unwrap();
        let (_, proofs) = prove(view, address, &[slot]).unwrap();
        let key = alloy_trie::Nibbles::unpack(keccak256(slot));
        let value = (!value.is_zero()).then(|| alloy_rlp::encode(value));
        alloy_trie::proof::verify_proof(storage, key, value, &proofs[0]).unwrap();
    }
}

#[test]
fn earlier_states_are_as_they_were() {
    let store = memory();
    let mut chain = Chain::default();
    chain.grow(&store, 40, 7, 20);
    let view = store.view().unwrap();
    assert_eq!(view.oldest_state(), Ok(0));
    for (number, state) in chain.states.iter().enumerate() {
        let historic = view.at(number as u64).unwrap().unwrap();
        assert_state(&historic, state);
        assert_proofs(&historic, &chain.blocks[number]);
        let hash = chain.blocks[number].block.hash;
        assert_eq!(historic.block_hash(number as u64), Ok(Some(hash)));
        assert_eq!(historic.block_hash(number as u64 + 1), Ok(None));
    }
    assert!(view.at(40).unwrap().is_none());
}

#[test]
fn history_is_pruned_behind_the_window_a_little_at_a_time() {
    let store = memory();
    let mut chain = Chain::default();
    chain.grow(&store, 260, 20, 21);
    let view = store.view().unwrap();
    assert_eq!(view.oldest_state(), Ok(0), "nothing is final yet");
    let heads = Batch { safe: Some(250), finalized: Some(240), ..Default::default() };
    store.commit(&heads).unwrap();
    let view = store.view().unwrap();
    let oldest = 240 - MIN_HISTORY_BLOCKS;
    assert_eq!(view.oldest_state(), Ok(oldest));
    assert!(view.at(oldest - 1).unwrap().is_none());
    for number in [oldest, oldest + 1, 200, 258] {
        let historic = view.at(number).unwrap().unwrap();
        assert_state(&historic, &chain.states[number as usize]);
        assert_proofs(&historic, &chain.blocks[number as usize]);
    }
    let garbage = |store: &Store| {
        let from = oldest + 1;
        let old = |key: &[u8]| u64::from_le_bytes(key.try_into().unwrap()) < from;
        let rows = dump(store);
        rows.keys().filter(|(table, key)| table.starts_with("undo") && old(key)).count()
    };
    let mut before = garbage(&store);
    let mut rounds = 0;
    while before > 0 {
        store.commit(&Batch::default()).unwrap();
        let after = garbage(&store);
        assert!(after < before && before - after <= 5 * 32);
        (before, rounds) = (after, rounds + 1);
    }
    assert!(rounds < 20);
    // Undo still reaches down to `finalized`.
    store.commit(&Batch { unwind_to: Some(240), ..Default::default() }).unwrap();
    assert_state(&store.view().unwrap(), &chain.states[240]);
    store.verify().unwrap();
}

#[test]
fn an_archive_tells_every_state_but_proves_only_the_window() {
    let config = StoreConfig { archive: true, ..config() };
    let store = Store::open(Faulty::new(0).folder("store"), config).unwrap();
    let mut chain = Chain::default();
    chain.grow(&store, 220, 20, 22);
    let heads = Batch { safe: Some(219), finalized: Some(219), ..Default::default() };
    store.commit(&heads).unwrap();
    let view = store.view().unwrap();
    assert_eq!(view.oldest_state(), Ok(0));
    for number in (0..220).step_by(9) {
        let historic = view.at(number).unwrap().unwrap();
        assert_state(&historic, &chain.states[number as usize]);
        let proof = prove(&historic, address(0), &[]);
        if number >= 219 - MIN_HISTORY_BLOCKS {
            assert_proofs(&historic, &chain.blocks[number as usize]);
        } else {
            assert!(proof.unwrap_err().0.contains("outside the proof window"));
        }
    }
}

#[test]
fn a_store_becomes_an_archive_from_then_on_and_stays_one() {
    let file = tempfile::tempdir().unwrap();
    let open = |archive| Store::open(file.path(), StoreConfig { archive, ..config() }).unwrap();
    let mut chain = Chain::default();
    let store = open(false);
    chain.grow(&store, 150, 50, 23);
    drop(store);
    let store = open(true);
    chain.grow(&store, 10, 10, 23);
    drop(store);
    let store = open(false);
    chain.grow(&store, 190, 95, 23);
    let finalized = Batch { safe: Some(349), finalized: Some(349), ..Default::default() };
    store.commit(&finalized).unwrap();
    let view = store.view().unwrap();
    assert_eq!(view.oldest_state(), Ok(149));
    assert!(view.at(148).unwrap().is_none());
    for number in [149, 150, 159, 160, 250, 349] {
        assert_state(&view.at(number).unwrap().unwrap(), &chain.states[number as usize]);
    }
}
