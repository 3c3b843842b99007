//! Rows of several blocks on their way into one table: each is written once, as the newest block
//! has it, and what every block changed is kept so that each can be undone.
//!
//! Undo of a block and a table: count u32, keys in order, for each key the end of its old value
//! u32, old values one after the other (an empty one if there was no row). Big-endian.

use std::collections::BTreeMap;

use alloy_primitives::Bytes;
use redb::{StorageError, Table};

use super::tables::{Key, Slice, history_key};

/// A row that one block sets; an empty value removes it.
struct Change<const K: usize> {
    key: [u8; K],
    block: usize,
    value: Bytes,
}

/// Changes of one table by a run of blocks.
pub(super) struct Rows<const K: usize> {
    changes: Vec<Change<K>>,
}

/// What a run of blocks left in a table: the rows that are new, and the undo of each block.
pub(super) struct Written<const K: usize> {
    pub(super) newest: Vec<([u8; K], Bytes)>,
    pub(super) undo: Vec<Undo<K>>,
}

impl<const K: usize> Rows<K> {
    pub(super) fn new() -> Self {
        Self { changes: Vec::new() }
    }

    /// Sets a row in a block of the run, by its index there. What a block says last of a row counts.
    pub(super) fn put(&mut self, block: usize, key: [u8; K], value: Bytes) {
        self.changes.push(Change { key, block, value });
    }

    /// Writes the newest value of each row in the order of keys.
    pub(super) fn write(
        mut self,
        table: &mut Table<'_, Key<K>, Slice>,
        blocks: usize,
    ) -> Result<Written<K>, StorageError> {
        self.changes.sort_by(|a, b| (&a.key, a.block).cmp(&(&b.key, b.block)));
        let mut undo: Vec<Undo<K>> = std::iter::repeat_with(Undo::default).take(blocks).collect();
        let mut newest = Vec::with_capacity(self.changes.len());
        let mut changes = self.changes.into_iter().peekable();
        while let Some(Change { key, mut block, mut value }) = changes.next() {
            let first = block;
            // Undo of the first block needs what the table has, which writing the last tells.
            let mut later: Vec<(usize, Bytes)> = Vec::new();
            while let Some(next) = changes.next_if(|next| next.key == key) {
                if next.block != block {
                    later.push((next.block, value));
                    block = next.block;
                }
                value = next.value;
            }
            let old = if value.is_empty() {
                table.remove(&key)?
            } else {
                table.insert(&key, value.as_ref())?
            };
            undo[first].push(&key, old.as_ref().map_or(&[][..], |row| row.value()));
            for (block, before) in later {
                undo[block].push(&key, &before);
            }
            drop(old);
            newest.push((key, value));
        }
        Ok(Written { newest, undo })
    }
}

/// Old rows of one block, in the order of keys.
#[derive(Default)]
pub(super) struct Undo<const K: usize> {
    keys: Vec<u8>,
    ends: Vec<u32>,
    values: Vec<u8>,
}

impl<const K: usize> Undo<K> {
    fn push(&mut self, key: &[u8; K], value: &[u8]) {
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value);
        let end = u32::try_from(self.values.len()).expect("block limits keep it far below 4 GiB");
        self.ends.push(end);
    }

    /// How many rows it has.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(4 + self.keys.len() + 4 * self.ends.len() + self.values.len());
        out.extend_from_slice(&(self.ends.len() as u32).to_be_bytes());
        out.extend_from_slice(&self.keys);
        self.ends.iter().for_each(|end| out.extend_from_slice(&end.to_be_bytes()));
        out.extend_from_slice(&self.values);
        out
    }
}

/// Undo of one block as it is stored.
pub(super) struct OldRows<'a, const K: usize> {
    keys: &'a [[u8; K]],
    ends: &'a [[u8; 4]],
    values: &'a [u8],
}

impl<'a, const K: usize> OldRows<'a, K> {
    /// Reads what [`Undo::encode`] wrote; an error if it is not that.
    pub(super) fn read(row: &'a [u8]) -> Result<Self, StorageError> {
        Self::split(row).ok_or_else(|| StorageError::Corrupted("undo does not decode".into()))
    }

    fn split(row: &'a [u8]) -> Option<Self> {
        let (count, rest) = row.split_first_chunk::<4>()?;
        let count = u32::from_be_bytes(*count) as usize;
        let (keys, rest) = rest.split_at_checked(count.checked_mul(K)?)?;
        let (ends, values) = rest.split_at_checked(count.checked_mul(4)?)?;
        let (keys, ends) = (keys.as_chunks::<K>().0, ends.as_chunks::<4>().0);
        let mut before = 0;
        for end in ends {
            let end = u32::from_be_bytes(*end) as usize;
            if end < before {
                return None;
            }
            before = end;
        }
        (before == values.len()).then_some(Self { keys, ends, values })
    }

    fn end(&self, at: usize) -> usize {
        u32::from_be_bytes(self.ends[at]) as usize
    }

    fn value(&self, at: usize) -> &'a [u8] {
        let start = if at == 0 { 0 } else { self.end(at - 1) };
        &self.values[start..self.end(at)]
    }

    /// The old row of a key, if the block changed it; empty if there was none.
    pub(super) fn find(&self, key: &[u8; K]) -> Option<&'a [u8]> {
        self.keys.binary_search(key).ok().map(|at| self.value(at))
    }

    /// Keys and old rows, in the order of keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a [u8; K], &'a [u8])> {
        self.keys.iter().enumerate().map(|(at, key)| (key, self.value(at)))
    }
}

/// Keeps the undo of a run of blocks from number `first` on, and flat history if there is a table
/// for it. Nothing undoes genesis.
pub(super) fn keep<const K: usize, const H: usize>(
    blocks: &[Undo<K>],
    first: u64,
    undo: &mut Table<'_, u64, Slice>,
    mut history: Option<&mut Table<'_, Key<H>, Slice>>,
) -> Result<(), StorageError> {
    let mut flat = BTreeMap::new();
    for (number, rows) in (first..).zip(blocks) {
        if rows.len() == 0 || number == 0 {
            continue;
        }
        let encoded = rows.encode();
        undo.insert(number, encoded.as_slice())?;
        if history.is_some() {
            for (key, old) in OldRows::<K>::read(&encoded)?.iter() {
                flat.insert(history_key::<H>(key, number), old.to_vec());
            }
        }
    }
    if let Some(history) = &mut history {
        for (key, old) in flat {
            history.insert(&key, old.as_slice())?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn undo(rows: &[([u8; 2], &[u8])]) -> Undo<2> {
        let mut undo = Undo::default();
        rows.iter().for_each(|(key, value)| undo.push(key, value));
        undo
    }

    #[test]
    fn undo_is_read_back_and_searched() {
        let rows: [([u8; 2], &[u8]); 3] = [([0, 9], b"old"), ([1, 0], b""), ([1, 7], b"older")];
        let bytes = undo(&rows).encode();
        let read = OldRows::<2>::read(&bytes).unwrap();
        assert!(read.iter().eq(rows.iter().map(|(key, value)| (key, *value))));
        for (key, value) in rows {
            assert_eq!(read.find(&key), Some(value));
        }
        assert_eq!(read.find(&[0, 8]), None);
        assert_eq!(OldRows::<2>::read(&undo(&[]).encode()).unwrap().find(&[0, 0]), None);
    }

    #[test]
    fn undo_that_was_cut_or_changed_is_refused_and_never_read_past_its_end() {
        let bytes = undo(&[([0, 1], b"aa"), ([0, 2], b""), ([3, 4], b"b")]).encode();
        for end in 0..bytes.len() {
            assert!(OldRows::<2>::read(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[at / 8] ^= 1 << (at % 8);
            if let Ok(read) = OldRows::<2>::read(&other) {
                assert_eq!(read.iter().count(), read.keys.len());
            }
        }
    }
}
