//! The outbox tree over message ids, kept in the slots that the Mailbox's own views read.

use alloy_primitives::{B256, U256};
use causeway_chainspec::mailbox::{MAILBOX, layout};
use causeway_chainspec::{StateError, SystemState, merkle};

use super::state::Slots;

fn branch(height: usize) -> U256 {
    U256::from(layout::BRANCH) + U256::from(height)
}

/// Leaves so far.
pub(super) fn count(slots: &dyn Slots) -> Result<u32, StateError> {
    let count = slots.get(layout::TREE_COUNT)?;
    u32::try_from(count).map_err(|_| StateError("the outbox tree's count is damaged".into()))
}

/// Adds a leaf; returns its index.
pub(super) fn insert(state: &mut SystemState<'_>, leaf: B256) -> Result<u32, StateError> {
    let index = count(state)?;
    let next = index.checked_add(1).ok_or_else(|| StateError("the outbox is full".into()))?;
    let (height, node) =
        merkle::insert(index, leaf, |height| state.get(branch(height)).map(B256::from))?;
    state.set_slot(MAILBOX, branch(height), node.into())?;
    state.set_slot(MAILBOX, layout::TREE_COUNT, U256::from(next))?;
    Ok(index)
}

/// Root of the tree.
pub(super) fn root(slots: &dyn Slots) -> Result<B256, StateError> {
    merkle::root(count(slots)?, |height| slots.get(branch(height)).map(B256::from))
}
