//! The few facts a store keeps about itself: whose it is, its heads, and how far back it can tell.

use alloy_primitives::B256;
use alloy_rlp::{RlpDecodable, RlpEncodable};
use redb::ReadableTable;

use super::tables::{SCHEMA, Slice};
use crate::ExecutionError;

/// Rows of the table `meta`.
const SCHEMA_ROW: &str = "schema";
const IDENTITY_ROW: &str = "identity";
const FACTS_ROW: &str = "facts";

/// Heads and bounds.
#[derive(Debug, Clone, PartialEq, Eq, Default, RlpEncodable, RlpDecodable)]
pub(super) struct Facts {
    /// Number of the next block; 0 before genesis.
    pub(super) next: u64,
    pub(super) safe: u64,
    pub(super) finalized: u64,
    pub(super) log_offset: u64,
    /// Oldest block that can be undone. Undo rows below it are waiting to be pruned.
    pub(super) undo_from: u64,
    /// Archive: history tables serve the state after this block and all later ones; at most one.
    pub(super) archive_from: Vec<u64>,
    /// The address index holds every block.
    pub(super) address_index: bool,
}

impl Facts {
    pub(super) fn latest(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    pub(super) fn archive_from(&self) -> Option<u64> {
        self.archive_from.first().copied()
    }

    /// Oldest block whose state can be read.
    pub(super) fn oldest_state(&self) -> u64 {
        let undo = self.undo_from.saturating_sub(1);
        self.archive_from().map_or(undo, |archive| archive.min(undo))
    }

    pub(super) fn read(
        table: &impl ReadableTable<&'static str, Slice>,
    ) -> Result<Self, ExecutionError> {
        let row = table.get(FACTS_ROW).map_err(super::open::storage)?;
        let bytes = row.ok_or_else(|| ExecutionError::Damaged("the store has no heads".into()))?;
        alloy_rlp::decode_exact(bytes.value())
            .map_err(|error| ExecutionError::Damaged(format!("heads do not decode: {error}")))
    }

    pub(super) fn write(
        &self,
        table: &mut redb::Table<'_, &'static str, Slice>,
    ) -> Result<(), redb::StorageError> {
        table.insert(FACTS_ROW, &*alloy_rlp::encode(self)).map(|_| ())
    }
}

/// Writes the rows of a new store.
pub(super) fn initialise(
    table: &mut redb::Table<'_, &'static str, Slice>,
    identity: B256,
) -> Result<(), redb::StorageError> {
    table.insert(SCHEMA_ROW, &SCHEMA.to_be_bytes()[..])?;
    table.insert(IDENTITY_ROW, identity.as_slice())?;
    Facts::default().write(table)
}

/// Schema and identity as the store has them; `None` in a database that is not a store of ours.
pub(super) fn pinned(
    table: &impl ReadableTable<&'static str, Slice>,
) -> Result<Option<(u64, B256)>, redb::StorageError> {
    let schema = table.get(SCHEMA_ROW)?.and_then(|row| row.value().try_into().ok());
    let identity = table.get(IDENTITY_ROW)?.and_then(|row| B256::try_from(row.value()).ok());
    Ok(schema.map(u64::from_be_bytes).zip(identity))
}
