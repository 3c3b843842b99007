//! What a datadir may be, and what is refused.

use std::fs::{self, OpenOptions};
use std::path::Path;

use super::*;

fn open(folder: &Path) -> Result<Store, ExecutionError> {
    Store::open(folder, config())
}

fn filled(folder: &Path) -> Chain {
    let mut chain = Chain::default();
    chain.grow(&open(folder).unwrap(), 12, 6, 30);
    chain
}

#[test]
fn a_store_is_the_same_after_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut chain = filled(folder.path());
    let store = open(folder.path()).unwrap();
    assert_state(&store.view().unwrap(), chain.states.last().unwrap());
    chain.grow(&store, 5, 2, 31);
    let before = dump(&store);
    drop(store);
    let mut store = open(folder.path()).unwrap();
    assert_eq!(dump(&store), before);
    store.verify().unwrap();
    assert!(store.check_pages().unwrap());
}

#[test]
fn a_store_without_blocks_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    assert!(!folder.path().join("identity").exists());
    fs::remove_file(folder.path().join("state.redb")).unwrap();
    // A crash while creating leaves any bytes under the other name.
    fs::write(folder.path().join("state.redb.new"), b"half a database").unwrap();
    filled(folder.path());
    let text = fs::read_to_string(folder.path().join("identity")).unwrap();
    assert_eq!(text, format!("schema = {SCHEMA}\nidentity = {IDENTITY}\n"));
}

#[test]
fn a_lost_identity_file_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    fs::remove_file(folder.path().join("identity")).unwrap();
    drop(open(folder.path()).unwrap());
    assert!(folder.path().join("identity").exists());
}

fn damaged(result: Result<Store, ExecutionError>) -> String {
    match result {
        Err(ExecutionError::Damaged(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn refused(result: Result<Store, ExecutionError>) -> String {
    match result {
        Err(ExecutionError::Datadir(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_or_empty_database_is_never_a_new_genesis() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let file = folder.path().join("state.redb");
    fs::write(&file, b"").unwrap();
    assert!(damaged(open(folder.path())).contains("is empty; restore the datadir"));
    fs::remove_file(&file).unwrap();
    assert!(damaged(open(folder.path())).contains("is missing; restore the datadir"));
    assert!(!file.exists());
    // Nor is a store that was begun elsewhere.
    let other = tempfile::tempdir().unwrap();
    drop(open(other.path()).unwrap());
    fs::copy(other.path().join("state.redb"), &file).unwrap();
    assert!(damaged(open(folder.path())).contains("holds no block"));
    let bare = redb::Database::create(other.path().join("bare")).unwrap();
    drop(bare);
    fs::copy(other.path().join("bare"), &file).unwrap();
    assert!(damaged(open(folder.path())).contains("holds no store"));
    fs::write(&file, vec![7; 100_000]).unwrap();
    damaged(open(folder.path()));
}

#[test]
fn a_truncated_database_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let file = folder.path().join("state.redb");
    let whole = fs::read(&file).unwrap();
    for keep in [100, 4096, whole.len() / 4, whole.len() / 2, whole.len() - 4096] {
        fs::write(&file, &whole[..keep]).unwrap();
        damaged(open(folder.path()));
    }
    fs::write(&file, &whole).unwrap();
    open(folder.path()).unwrap().verify().unwrap();
}

#[test]
fn a_damaged_identity_file_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let file = folder.path().join("identity");
    for text in ["", "schema = 1\n", "schema = one\nidentity = 0x00\n"] {
        fs::write(&file, text).unwrap();
        assert!(damaged(open(folder.path())).contains("does not say whose"));
    }
}

#[test]
fn another_chain_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let other = StoreConfig { identity: B256::repeat_byte(1), ..config() };
    let text = refused(Store::open(folder.path(), other.clone()));
    assert!(text.contains("0x0101") && text.contains("0xcaca"), "{text}");
    fs::remove_file(folder.path().join("identity")).unwrap();
    refused(Store::open(folder.path(), other));
    assert!(!folder.path().join("identity").exists());
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let file = folder.path().join("identity");
    fs::write(&file, format!("schema = {}\nidentity = {IDENTITY}\n", SCHEMA + 1)).unwrap();
    assert!(refused(open(folder.path())).contains("run the newer version"));
    fs::remove_file(&file).unwrap();
    let store = open(folder.path()).unwrap();
    let txn = store.db.begin_write().unwrap();
    let mut tables = tables::WriteTables::open(&txn).unwrap();
    tables.meta.insert("schema", &(SCHEMA + 1).to_be_bytes()[..]).unwrap();
    drop(tables);
    txn.commit().unwrap();
    drop(store);
    fs::remove_file(&file).unwrap();
    assert!(refused(open(folder.path())).contains("run the newer version"));
}

#[test]
fn a_second_opener_is_refused_and_the_first_unharmed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let mut chain = Chain::default();
    for _ in 0..2 {
        assert!(refused(open(folder.path())).contains("in use by another process"));
        chain.grow(&store, 3, 3, 32);
    }
    store.verify().unwrap();
}

#[test]
fn a_file_that_cannot_be_written_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    OpenOptions::new().create(true).truncate(true).write(true).open(&blocked).unwrap();
    let text = refused(Store::open(blocked.join("datadir"), config()));
    assert!(text.contains("file"), "{text}");
}
