//! Trie tests: roots after keys were set and deleted, by the code that makes state roots.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use causeway_execution::trie::trie_root;
use eyre::{bail, ensure, eyre};
use serde::Deserialize;
use serde_json::Value;

use crate::source::{File, Sources};
use crate::tally::Tally;

#[derive(Deserialize)]
struct Test {
    #[serde(rename = "in")]
    changes: Value,
    root: Option<B256>,
}

/// Keys in the order they are set; `None` deletes.
type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Runs every test of a file. Those whose name says secure hash their keys.
pub(crate) fn run(file: &File, _: &Sources) -> eyre::Result<Tally> {
    let mut tally = Tally::default();
    if file.path.extension().is_none_or(|it| it != "json") {
        return Ok(tally);
    }
    let secure = file.name().to_lowercase().contains("secure");
    let tests: BTreeMap<String, Test> = serde_json::from_slice(&file.read()?)?;
    for (name, test) in tests {
        tally.count(format!("{}/{name}", file.name()), check(&test, secure));
    }
    Ok(tally)
}

fn check(test: &Test, secure: bool) -> eyre::Result<()> {
    let Some(expected) = test.root else { bail!("asks for the keys beside a key") };
    let changes = changes(&test.changes)?;
    let keyed = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| {
        let key = if secure { keccak256(key).to_vec() } else { key.clone() };
        (Nibbles::unpack(key), value.clone().filter(|value| !value.is_empty()))
    };
    let changes: Vec<_> = changes.iter().map(keyed).collect();
    let all: BTreeMap<_, _> = changes.iter().cloned().collect();
    // One key after the other, as the suite has it, and all at once, as a block does it.
    let mut nodes = BTreeMap::new();
    let mut root = EMPTY_ROOT_HASH;
    let keys: Vec<_> = all.keys().collect();
    if let Some(pair) = keys.windows(2).find(|pair| pair[1].starts_with(pair[0])) {
        ensure!(trie_root(&|_| Ok(None), root, &all).is_err(), "{pair:?} goes unnoticed");
        bail!("a key is the beginning of another");
    }
    for change in changes {
        root = step(&mut nodes, root, &BTreeMap::from([change]))?;
    }
    ensure!(root == expected, "root {root} is not {expected}");
    let mut fresh = BTreeMap::new();
    let at_once = step(&mut fresh, EMPTY_ROOT_HASH, &all)?;
    ensure!(at_once == expected, "at once: root {at_once} is not {expected}");
    ensure!(fresh == nodes, "the nodes depend on the way to them");
    let back = all.into_keys().map(|key| (key, None)).collect();
    let empty = step(&mut nodes, root, &back)?;
    ensure!(empty == EMPTY_ROOT_HASH && nodes.is_empty(), "something stays behind");
    Ok(())
}

fn step(
    nodes: &mut BTreeMap<Nibbles, Bytes>,
    root: B256,
    changes: &BTreeMap<Nibbles, Option<Vec<u8>>>,
) -> eyre::Result<B256> {
    let load = |path: &Nibbles| Ok(nodes.get(path).cloned());
    let (root, changed) = trie_root(&load, root, changes)?;
    for (path, node) in changed {
        match node {
            Some(node) => nodes.insert(path, node),
            None => nodes.remove(&path),
        };
    }
    Ok(root)
}

/// A list of pairs, or a map whose order does not matter.
fn changes(value: &Value) -> eyre::Result<Changes> {
    let pair = |key: &Value, value: &Value| -> eyre::Result<_> {
        let value = if value.is_null() { None } else { Some(bytes(value)?) };
        Ok((bytes(key)?, value))
    };
    match value {
        Value::Array(pairs) => pairs.iter().map(|it| pair(&it[0], &it[1])).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| pair(&Value::from(key.as_str()), value)).collect()
        }
        other => Err(eyre!("neither list nor map: {other}")),
    }
}

/// Text, or hex that begins with `0x`.
fn bytes(value: &Value) -> eyre::Result<Vec<u8>> {
    let text = value.as_str().ok_or_else(|| eyre!("not text: {value}"))?;
    match text.strip_prefix("0x") {
        Some(_) => Ok(text.parse::<Bytes>()?.to_vec()),
        None => Ok(text.as_bytes().to_vec()),
    }
}
