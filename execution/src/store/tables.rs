//! Every table of the store: name, key, value, and who writes it.
//!
//! Keys have a fixed width and sort as bytes (numbers big-endian inside compound keys), values are
//! encoded by [`super::codec`]. All of them are written by [`Store::commit`](super::Store::commit)
//! only. To add a table: a line here, and raise [`SCHEMA`].

use alloy_primitives::{Address, B256, U256};
use alloy_trie::Nibbles;
use redb::{ReadTransaction, ReadableTableMetadata, TableDefinition, WriteTransaction};

/// Version of the tables and of what is in them.
pub const SCHEMA: u64 = 3;

pub(super) type Slice = &'static [u8];
pub(super) type Key<const N: usize> = &'static [u8; N];

/// Declares tables: constants, all of them opened for reading, all of them opened for writing.
macro_rules! tables {
    ($($(#[$doc:meta])* $field:ident: $key:ty => $value:ty;)*) => {
        /// All tables of one snapshot.
        pub(super) struct ReadTables {
            $($(#[$doc])* pub(super) $field: redb::ReadOnlyTable<$key, $value>,)*
        }

        /// All tables of one write transaction.
        pub(super) struct WriteTables<'txn> {
            $($(#[$doc])* pub(super) $field: redb::Table<'txn, $key, $value>,)*
        }

        impl ReadTables {
            pub(super) fn open(txn: &ReadTransaction) -> Result<Self, redb::TableError> {
                Ok(Self { $($field: txn.open_table(definition(stringify!($field)))?,)* })
            }

            /// Name, rows and stored bytes of each table.
            pub(super) fn stats(&self) -> Result<Vec<(&'static str, u64, u64)>, redb::StorageError> {
                Ok(vec![$({
                    let stats = self.$field.stats()?;
                    (stringify!($field), self.$field.len()?, stats.stored_bytes())
                },)*])
            }

            /// Every row of every table, as bytes.
            #[cfg(test)]
            #[allow(clippy::unwrap_used)]
            pub(super) fn dump(&self) -> std::collections::BTreeMap<(&'static str, Vec<u8>), Vec<u8>> {
                use redb::ReadableTable as _;
                let mut rows = std::collections::BTreeMap::new();
                $(for row in self.$field.iter().unwrap() {
                    let (key, value) = row.unwrap();
                    let key = bytes::<$key>(&key.value());
                    let value = bytes::<$value>(&value.value());
                    rows.insert((stringify!($field), key), value);
                })*
                rows
            }
        }

        impl<'txn> WriteTables<'txn> {
            /// Opens every table, creating those that are not there.
            pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::TableError> {
                Ok(Self { $($field: txn.open_table(definition(stringify!($field)))?,)* })
            }
        }
    };
}

const fn definition<K: redb::Key + 'static, V: redb::Value + 'static>(
    name: &'static str,
) -> TableDefinition<'static, K, V> {
    TableDefinition::new(name)
}

#[cfg(test)]
fn bytes<V: redb::Value>(value: &V::SelfType<'_>) -> Vec<u8> {
    V::as_bytes(value).as_ref().to_vec()
}

tables! {
    /// Facts about the store itself, by name (see [`super::meta`]).
    meta: &'static str => Slice;

    // Blocks. Never pruned; removed by an unwind.
    /// number => claim hash, header hash.
    ids: u64 => Key<64>;
    /// number => RLP of the header.
    headers: u64 => Slice;
    /// number => plan, senders, included transactions.
    blocks: u64 => Slice;
    /// number => receipts, skipped candidates, outbox.
    results: u64 => Slice;
    /// number => RLP of the seal, if there is one.
    seals: u64 => Slice;
    /// header hash => number.
    hashes: Key<32> => u64;
    /// claim hash => number.
    claims: Key<32> => u64;
    /// transaction hash => number, index in the block.
    txs: Key<32> => (u64, u64);

    // State after the newest block.
    /// address => nonce, balance, code hash. An account that does not exist has no row.
    accounts: Key<20> => Slice;
    /// address, slot => value, big-endian without leading zeros, never zero.
    storage: Key<52> => Slice;
    /// code hash => code.
    codes: Key<32> => Slice;
    /// path => RLP of the node.
    account_trie: Key<33> => Slice;
    /// hashed address, path => RLP of the node.
    storage_trie: Key<65> => Slice;

    // Undo: what each row that a block changed was before it, as one row a block and table (see
    // [`super::rows`]); none for genesis. Kept for the window, pruned from the front.
    /// number => rows of `accounts`.
    undo_accounts: u64 => Slice;
    /// number => rows of `storage`.
    undo_storage: u64 => Slice;
    /// number => hashes of codes that were new in this block, one after the other.
    undo_codes: u64 => Slice;
    /// number => rows of `account_trie`.
    undo_account_trie: u64 => Slice;
    /// number => rows of `storage_trie`.
    undo_storage_trie: u64 => Slice;

    // Flat history, in archive mode only: the rows before each change, sorted by what they are
    // about; an empty value if there was none.
    /// address, number => row of `accounts`.
    account_history: Key<28> => Slice;
    /// address, slot, number => row of `storage`.
    storage_history: Key<60> => Slice;

    // The address index (see [`super::index`]), empty where it is off. Never pruned; an unwind
    // removes what its blocks wrote.
    /// sender, nonce => number, index in the block.
    sent: Key<28> => (u64, u64);
    /// address, number, index in the block (u32): transactions it appears in and did not send.
    seen: Key<32> => ();
    /// address => number of the block in which it got code.
    created: Key<20> => u64;

    /// DA height => the deriver's record. Removed by DA reorgs, pruned when the batch says so.
    derived: u64 => Slice;
}

impl WriteTables<'_> {
    /// Removes the tables of the address index, with all they hold.
    pub(super) fn delete_index(txn: &WriteTransaction) -> Result<(), redb::TableError> {
        txn.delete_table(definition::<Key<28>, (u64, u64)>("sent"))?;
        txn.delete_table(definition::<Key<32>, ()>("seen"))?;
        txn.delete_table(definition::<Key<20>, u64>("created"))?;
        Ok(())
    }
}

/// Puts parts one after the other.
pub(super) fn join<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let mut at = 0;
    for part in parts {
        key[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    debug_assert_eq!(at, N);
    key
}

pub(super) fn slot_key(address: Address, slot: U256) -> [u8; 52] {
    join(&[address.as_slice(), &slot.to_be_bytes::<32>()])
}

/// Packed nibbles, zeros up to 32 bytes, count of nibbles: sorts as the paths do, parents first.
pub(super) fn path_key(path: &Nibbles) -> [u8; 33] {
    let mut key = [0; 33];
    path.pack_to(&mut key[..32]);
    key[32] = path.len() as u8;
    key
}

pub(super) fn storage_path_key(account: B256, path: &Nibbles) -> [u8; 65] {
    join(&[account.as_slice(), &path_key(path)])
}

/// Key of a history row: the number after the row's own key.
pub(super) fn history_key<const N: usize>(key: &[u8], number: u64) -> [u8; N] {
    join(&[key, &number.to_be_bytes()])
}
