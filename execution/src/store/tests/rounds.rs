//! Commit, read, unwind, and what is refused.

use super::*;

#[test]
fn what_is_committed_is_read_back() {
    let store = memory();
    assert_eq!(store.view().unwrap().heads(), Ok(None));
    let mut chain = Chain::default();
    chain.grow(&store, 30, 4, 1);
    let view = store.view().unwrap();
    for executed in &chain.blocks {
        let block = &executed.block;
        let number = block.header.number;
        assert_block(&view.block(number).unwrap().unwrap(), block);
        assert_eq!(view.header(number), Ok(Some(block.header.clone())));
        assert_eq!(view.seal(number), Ok(executed.seal.clone()));
        assert_eq!(view.number_of_hash(block.hash), Ok(Some(number)));
        assert_eq!(view.number_of_claim(block.claim_hash), Ok(Some(number)));
        assert_eq!(view.block_hash(number), Ok(Some(block.hash)));
        for (index, tx) in block.txs.iter().enumerate() {
            assert_eq!(view.tx(tx.hash), Ok(Some((number, index as u64))));
        }
        for (hash, code) in &executed.diff.codes {
            assert_eq!(view.code(*hash), Ok(Some(code.clone())));
        }
    }
    assert_state(&view, chain.states.last().unwrap());
    assert!(view.block(30).unwrap().is_none());
    assert_eq!(view.code(B256::ZERO), Ok(None));
    assert_eq!(view.log_offset(), Ok(3000));
    assert_eq!(view.heads().unwrap().unwrap().latest.hash, chain.blocks[29].block.hash);
    let verified = store.verify().unwrap();
    assert_eq!(verified.blocks, 30);
    assert_eq!(verified.accounts, chain.states[29].len() as u64);
    let stats = store.stats().unwrap();
    let accounts = stats.iter().find(|table| table.name == "accounts").unwrap();
    assert_eq!(accounts.rows, verified.accounts);
    assert!(accounts.bytes > 20 * accounts.rows);
}

#[test]
fn a_view_never_changes() {
    let store = memory();
    let mut chain = Chain::default();
    chain.grow(&store, 5, 5, 2);
    let view = store.view().unwrap();
    chain.grow(&store, 10, 2, 2);
    assert_state(&view, &chain.states[4]);
    assert_eq!(view.heads().unwrap().unwrap().latest.number, 4);
    assert!(view.block(5).unwrap().is_none());
}

#[test]
fn an_unwound_store_is_as_if_the_blocks_had_never_been() {
    for archive in [false, true] {
        for seed in 0..12 {
            let config = StoreConfig { archive, ..config() };
            let store = Store::open(Faulty::new(0).folder("store"), config).unwrap();
            let mut chain = Chain::default();
            chain.grow(&store, 1 + seed as usize, 3, seed);
            let before = dump(&store);
            let to = chain.blocks.len() as u64 - 1;
            let state = chain.states.last().cloned().unwrap();
            chain.grow(&store, 1 + (seed as usize * 5) % 14, 1 + seed as usize % 4, seed ^ 77);
            assert_ne!(dump(&store), before);
            store.commit(&Batch { unwind_to: Some(to), ..Default::default() }).unwrap();
            assert_eq!(dump(&store), before, "seed {seed}, archive {archive}");
            chain.truncate(to);
            assert_state(&store.view().unwrap(), &state);
            store.verify().unwrap();
        }
    }
}

#[test]
fn one_batch_replaces_a_branch() {
    let (store, straight) = (memory(), memory());
    let mut chain = Chain::default();
    chain.grow(&store, 6, 6, 3);
    let first = Batch { blocks: chain.blocks[..4].to_vec(), ..Default::default() };
    straight.commit(&first).unwrap();
    chain.truncate(3);
    chain.grow(&straight, 4, 4, 999);
    let mut batch = chain.batch(4);
    batch.unwind_to = Some(3);
    (batch.safe, batch.finalized) = (Some(5), Some(2));
    store.commit(&batch).unwrap();
    let heads = Batch { safe: Some(5), finalized: Some(2), log_offset: 800, ..Default::default() };
    straight.commit(&heads).unwrap();
    assert_eq!(dump(&store), dump(&straight));
    assert_state(&store.view().unwrap(), chain.states.last().unwrap());
}

fn assert_broken(store: &Store, batch: Batch) {
    let before = dump(store);
    let result = store.commit(&batch);
    assert!(matches!(result, Err(ExecutionError::Broken(_))), "{result:?}");
    assert_eq!(dump(store), before);
}

#[test]
fn a_batch_that_contradicts_the_store_writes_nothing() {
    let store = memory();
    let mut chain = Chain::default();
    let heads = |safe, finalized| Batch { safe, finalized, ..Default::default() };
    assert_broken(&store, heads(Some(1), None));
    assert_broken(&store, Batch { unwind_to: Some(0), ..Default::default() });
    chain.grow(&store, 8, 8, 4);
    store.commit(&heads(Some(5), Some(3))).unwrap();

    assert_broken(&store, chain.batch(7));
    let mut other = Chain::default();
    other.grow(&memory(), 10, 10, 5);
    assert_broken(&store, other.batch(8));
    assert_broken(&store, other.batch(9));
    chain.extend(&store.view().unwrap(), 4);
    let mut block = (*chain.blocks[8].block).clone();
    block.plan.claim.parent = B256::ZERO;
    let odd = ExecutedBlock { block: Arc::new(block), ..chain.blocks[8].clone() };
    assert_broken(&store, Batch { blocks: vec![odd], ..Default::default() });
    let mut block = (*chain.blocks[8].block).clone();
    block.plan.candidates.pop();
    let odd = ExecutedBlock { block: Arc::new(block), ..chain.blocks[8].clone() };
    assert_broken(&store, Batch { blocks: vec![odd], ..Default::default() });

    assert_broken(&store, heads(Some(8), None));
    assert_broken(&store, heads(None, Some(6)));
    assert_broken(&store, heads(None, Some(2)));
    assert_broken(&store, heads(Some(2), None));
    assert_broken(&store, Batch { unwind_to: Some(2), ..Default::default() });
    assert_broken(&store, Batch { unwind_to: Some(8), ..Default::default() });

    // Going back below `safe` takes it along; the block then fits.
    store.commit(&Batch { unwind_to: Some(4), ..Default::default() }).unwrap();
    let heads = store.view().unwrap().heads().unwrap().unwrap();
    assert_eq!((heads.latest.number, heads.safe.number, heads.finalized.number), (4, 4, 3));
    store.commit(&Batch { blocks: chain.blocks[5..].to_vec(), ..Default::default() }).unwrap();
    store.verify().unwrap();
}

#[test]
fn derivation_records_come_and_go() {
    let store = memory();
    let mut chain = Chain::default();
    chain.grow(&store, 1, 1, 6);
    let record = |height: u64| (height, Bytes::from(height.to_be_bytes().to_vec()));
    let derived = (10..20).map(record).collect();
    store.commit(&Batch { derived, ..Default::default() }).unwrap();
    assert_eq!(store.view().unwrap().last_derived(), Ok(Some(record(19))));
    let derived = vec![(16, Bytes::from_static(b"new"))];
    let batch = Batch { drop_derived_above: Some(14), derived, ..Default::default() };
    store.commit(&batch).unwrap();
    let view = store.view().unwrap();
    assert_eq!(view.derived(14), Ok(Some(record(14).1)));
    assert_eq!(view.derived(15), Ok(None));
    assert_eq!(view.last_derived(), Ok(Some((16, Bytes::from_static(b"new")))));
    store.commit(&Batch { prune_derived_below: Some(13), ..Default::default() }).unwrap();
    let view = store.view().unwrap();
    assert_eq!((view.derived(12), view.derived(13)), (Ok(None), Ok(Some(record(13).1))));
    store.commit(&Batch { prune_derived_below: Some(999), ..Default::default() }).unwrap();
    assert!(store.view().unwrap().last_derived().unwrap().is_some());
}

#[test]
fn verify_finds_what_does_not_agree() {
    let wrong = |change: &dyn Fn(&mut tables::WriteTables<'_>)| {
        let store = memory();
        Chain::default().grow(&store, 12, 12, 7);
        store.verify().unwrap();
        let txn = store.db.begin_write().unwrap();
        let mut tables = tables::WriteTables::open(&txn).unwrap();
        change(&mut tables);
        drop(tables);
        txn.commit().unwrap();
        assert!(matches!(store.verify(), Err(ExecutionError::Damaged(_))));
    };
    use redb::ReadableTable;
    wrong(&|tables| drop(tables.accounts.pop_first().unwrap().unwrap()));
    wrong(&|tables| drop(tables.storage.pop_first().unwrap().unwrap()));
    wrong(&|tables| drop(tables.storage.insert(&[9; 52], &[1][..]).unwrap()));
    wrong(&|tables| drop(tables.account_trie.pop_last().unwrap().unwrap()));
    wrong(&|tables| drop(tables.storage_trie.pop_last().unwrap().unwrap()));
    wrong(&|tables| drop(tables.storage_trie.insert(&[9; 65], &[1][..]).unwrap()));
    wrong(&|tables| drop(tables.hashes.pop_last().unwrap().unwrap()));
    wrong(&|tables| drop(tables.txs.pop_last().unwrap().unwrap()));
    wrong(&|tables| drop(tables.sent.pop_first().unwrap().unwrap()));
    wrong(&|tables| drop(tables.seen.pop_first().unwrap().unwrap()));
    wrong(&|tables| assert!(tables.seen.insert(&[9; 32], ()).unwrap().is_none()));
    wrong(&|tables| {
        let header = tables.headers.get(3).unwrap().unwrap().value().to_vec();
        tables.headers.insert(4, &*header).unwrap();
    });
}
