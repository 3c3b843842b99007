//! Rows of the newest state and trie in memory, in front of the database.
//!
//! Rows are those after one commit, the newest: a view of an older one passes the cache by. What a
//! commit writes is put in, so that a hot row is never read from the database again. Each part
//! keeps its rows in two halves, young and old: what is found in the old half becomes young again,
//! and when the young half is full, the old one is dropped whole.

use std::fmt;
use std::hash::BuildHasher;
use std::mem::size_of;

use alloy_primitives::Bytes;
use alloy_primitives::map::{DefaultHashBuilder, HashMap};
use parking_lot::RwLock;

/// Parts of a table's cache, each with its own lock.
const SHARDS: usize = 16;
/// Share of the budget of each table, in sixteenths: trie nodes are the most and the largest.
const SHARES: [usize; 4] = [3, 3, 7, 3];
/// Bytes that a row takes besides key and value: the map's slot, the allocation and its count.
const ROW_BYTES: usize = 64;

/// Rows as a batch leaves them, by table; an empty value for none. Later ones count.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) accounts: Vec<([u8; 20], Bytes)>,
    pub(super) storage: Vec<([u8; 52], Bytes)>,
    pub(super) account_trie: Vec<([u8; 33], Bytes)>,
    pub(super) storage_trie: Vec<([u8; 65], Bytes)>,
}

/// Caches of the tables that execution reads.
pub(super) struct Cache {
    pub(super) accounts: Part<20>,
    pub(super) storage: Part<52>,
    pub(super) account_trie: Part<33>,
    pub(super) storage_trie: Part<65>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl Cache {
    /// Of at most about so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let [accounts, storage, account_trie, storage_trie] =
            SHARES.map(|share| bytes / 16 * share);
        Self {
            accounts: Part::new(accounts),
            storage: Part::new(storage),
            account_trie: Part::new(account_trie),
            storage_trie: Part::new(storage_trie),
        }
    }

    /// Bytes it holds, about.
    pub(super) fn bytes(&self) -> usize {
        let Self { accounts, storage, account_trie, storage_trie } = self;
        accounts.bytes() + storage.bytes() + account_trie.bytes() + storage_trie.bytes()
    }

    /// Takes over what a commit changed; `None` forgets everything. Views of `generation` may use
    /// the cache from now on, no others.
    pub(super) fn advance(&self, generation: u64, changed: Option<Changed>) {
        let forget = changed.is_none();
        let Changed { accounts, storage, account_trie, storage_trie } = changed.unwrap_or_default();
        self.accounts.advance(generation, forget, accounts);
        self.storage.advance(generation, forget, storage);
        self.account_trie.advance(generation, forget, account_trie);
        self.storage_trie.advance(generation, forget, storage_trie);
    }
}

/// Rows of one table.
pub(super) struct Part<const K: usize> {
    hasher: DefaultHashBuilder,
    shards: [RwLock<Shard<K>>; SHARDS],
    /// Most bytes of a young half.
    half: usize,
}

#[derive(Default)]
struct Shard<const K: usize> {
    generation: u64,
    young: HashMap<[u8; K], Bytes>,
    old: HashMap<[u8; K], Bytes>,
    /// Bytes of the young half.
    bytes: usize,
    /// Bytes that the old half had when it was young.
    old_bytes: usize,
}

impl<const K: usize> Part<K> {
    fn new(bytes: usize) -> Self {
        let (hasher, shards) = Default::default();
        Self { hasher, shards, half: bytes / SHARDS / 2 }
    }

    fn bytes(&self) -> usize {
        let shards = self.shards.iter().map(RwLock::read);
        shards.map(|shard| shard.bytes + shard.old_bytes).sum()
    }

    fn shard(&self, key: &[u8; K]) -> usize {
        // The maps use other bits of another hash.
        (self.hasher.hash_one(key) >> 57) as usize % SHARDS
    }

    /// The row of a key after the commit `generation` (empty if there is none), from the cache or
    /// read by `load` and kept.
    pub(super) fn get<E>(
        &self,
        generation: u64,
        key: &[u8; K],
        load: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let shard = &self.shards[self.shard(key)];
        {
            let shard = shard.read();
            if shard.generation != generation {
                drop(shard);
                return load();
            }
            if let Some(row) = shard.young.get(key) {
                return Ok(row.clone());
            }
        }
        let old = {
            let mut shard = shard.write();
            let old = (shard.generation == generation).then(|| shard.old.remove(key)).flatten();
            if let Some(row) = &old {
                shard.put(*key, row.clone(), self.half);
            }
            old
        };
        if let Some(row) = old {
            return Ok(row);
        }
        let row = load()?;
        let mut shard = shard.write();
        if shard.generation == generation {
            shard.put(*key, row.clone(), self.half);
        }
        Ok(row)
    }

    /// Whether a row is there, as after the commit `generation`.
    pub(super) fn holds(&self, generation: u64, key: &[u8; K]) -> bool {
        let shard = self.shards[self.shard(key)].read();
        let held = shard.young.contains_key(key) || shard.old.contains_key(key);
        shard.generation == generation && held
    }

    fn advance(&self, generation: u64, forget: bool, changed: Vec<([u8; K], Bytes)>) {
        let mut parts: [Vec<([u8; K], Bytes)>; SHARDS] = Default::default();
        for row in changed {
            parts[self.shard(&row.0)].push(row);
        }
        for (shard, rows) in self.shards.iter().zip(parts) {
            let mut shard = shard.write();
            if forget {
                *shard = Shard::default();
            }
            for (key, row) in rows {
                shard.old.remove(&key);
                shard.put(key, row, self.half);
            }
            shard.generation = generation;
        }
    }
}

impl<const K: usize> Shard<K> {
    fn put(&mut self, key: [u8; K], row: Bytes, half: usize) {
        let fixed = size_of::<([u8; K], Bytes)>() + ROW_BYTES;
        self.bytes += fixed + row.len();
        if let Some(before) = self.young.insert(key, row) {
            self.bytes = self.bytes.saturating_sub(fixed + before.len());
        }
        if self.bytes > half {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.bytes);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn row(byte: u8) -> Bytes {
        Bytes::from(vec![byte; 100])
    }

    fn read(part: &Part<20>, generation: u64, key: u8, row: &Bytes) -> (Bytes, bool) {
        let loaded = Cell::new(false);
        let load = || {
            loaded.set(true);
            Ok::<_, ()>(row.clone())
        };
        (part.get(generation, &[key; 20], load).unwrap(), loaded.get())
    }

    #[test]
    fn rows_are_of_the_newest_commit_and_older_views_pass_by() {
        let part = Part::new(1 << 20);
        assert_eq!(read(&part, 0, 1, &row(1)), (row(1), true));
        assert_eq!(read(&part, 0, 1, &row(9)), (row(1), false));
        part.advance(1, false, vec![([1; 20], row(2)), ([3; 20], row(3))]);
        assert_eq!(read(&part, 1, 1, &row(9)), (row(2), false));
        assert_eq!(read(&part, 1, 3, &row(9)), (row(3), false));
        // An older view reads for itself, and what it reads is not kept.
        assert_eq!(read(&part, 0, 1, &row(1)), (row(1), true));
        assert_eq!(read(&part, 0, 4, &row(4)), (row(4), true));
        assert_eq!(read(&part, 1, 4, &row(5)), (row(5), true));
        part.advance(2, true, vec![]);
        assert_eq!(read(&part, 2, 1, &row(7)), (row(7), true));
    }

    #[test]
    fn it_stays_within_its_budget_and_keeps_what_is_used() {
        let budget = 256 << 10;
        let part = Part::<20>::new(budget);
        for index in 0..100_000u32 {
            let mut key = [0; 20];
            key[..4].copy_from_slice(&index.to_be_bytes());
            part.get(0, &key, || Ok::<_, ()>(row(1))).unwrap();
            if index % 16 == 0 {
                read(&part, 0, 0xff, &row(2));
            }
        }
        let held: usize = part
            .shards
            .iter()
            .map(|shard| {
                let shard = shard.read();
                let rows = shard.young.values().chain(shard.old.values());
                rows.map(|row| 20 + size_of::<Bytes>() + ROW_BYTES + row.len()).sum::<usize>()
            })
            .sum();
        assert!(held <= budget + SHARDS * 400, "{held}");
        assert!(held > budget / 4, "{held}");
        assert_eq!(read(&part, 0, 0xff, &row(9)), (row(2), false));
    }

    #[test]
    fn a_cache_of_no_bytes_holds_nothing() {
        let part = Part::<20>::new(0);
        for _ in 0..3 {
            read(&part, 0, 1, &row(1));
            read(&part, 0, 2, &row(1));
        }
        let rows = part.shards.iter().map(|it| it.read().young.len() + it.read().old.len());
        assert!(rows.sum::<usize>() <= SHARDS);
    }
}
