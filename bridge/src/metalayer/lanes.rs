//! What lanes hold and what follows from it: the commitment, and how much of an asset a member
//! legitimately has.

use alloy_primitives::{B256, U256};
use causeway_chainspec::block::concat_hash;
use causeway_chainspec::{
    Commitment, DeliveryReceipt, Flow, LaneItem, LaneState, StateError, SystemState,
};

use super::state::{self, Slots};
use super::{members, tree};

/// The flow of one asset in a lane.
pub(super) fn flow(lane: &LaneState, asset: B256) -> Flow {
    let none = Flow { asset, sent: U256::ZERO, received: U256::ZERO, refunded: U256::ZERO };
    lane.flows.iter().find(|flow| flow.asset == asset).copied().unwrap_or(none)
}

/// Changes our side of a lane.
pub(super) fn change(
    state: &mut SystemState<'_>,
    domain: u32,
    change: impl FnOnce(&mut LaneState),
) -> Result<(), StateError> {
    let mut lane = state::our_lane(state, domain)?;
    change(&mut lane);
    state::ours(domain).store(state, &lane)
}

/// Changes the flow of an asset in our side of a lane.
pub(super) fn change_flow(
    state: &mut SystemState<'_>,
    domain: u32,
    asset: B256,
    add: impl FnOnce(&mut Flow),
) -> Result<(), StateError> {
    change(state, domain, |lane| {
        let mut changed = flow(lane, asset);
        add(&mut changed);
        match lane.flows.binary_search_by_key(&asset, |flow| flow.asset) {
            Ok(at) => lane.flows[at] = changed,
            Err(at) => lane.flows.insert(at, changed),
        }
    })
}

/// Appends an item to the lane it goes to; returns its place.
pub(super) fn append(state: &mut SystemState<'_>, item: &LaneItem) -> Result<u64, StateError> {
    let mut index = 0;
    change(state, item.destination(), |lane| {
        index = lane.sent.count;
        lane.sent = lane.sent.after(item.hash());
    })?;
    Ok(index)
}

/// All our lanes by ascending domain.
pub(super) fn all(slots: &dyn Slots, own: u32) -> Result<Vec<LaneState>, StateError> {
    members::others(slots, own)?.into_iter().map(|domain| state::our_lane(slots, domain)).collect()
}

/// What this chain commits to.
pub(super) fn commitment(slots: &dyn Slots, own: u32) -> Result<Commitment, StateError> {
    Ok(Commitment {
        root: tree::root(slots)?,
        count: tree::count(slots)?,
        lanes: concat_hash(all(slots, own)?.iter().map(LaneState::hash)),
        directory: state::count(state::directory(), slots)?,
    })
}

/// Wei of an asset a member had by what is known here: what others sent it and it says it
/// delivered, less what it sent elsewhere. `delivered_here` is what counts of its sends to us.
/// Every number only grows with what becomes known, except what lowers the result for good
/// reason; so a missing anchor makes it too small, never too large. `None`: below zero.
fn holds(
    slots: &dyn Slots,
    own: u32,
    member: u32,
    asset: B256,
    delivered_here: impl Fn(&Flow) -> U256,
) -> Result<Option<U256>, StateError> {
    let (mut received, mut gone) = (U256::ZERO, U256::ZERO);
    for other in members::all(slots)?.into_iter().map(|entry| entry.member.domain) {
        if other == member {
            continue;
        }
        let side = flow(&state::their_lane(slots, member, other)?, asset);
        let across = if other == own {
            flow(&state::our_lane(slots, member)?, asset)
        } else {
            flow(&state::their_lane(slots, other, member)?, asset)
        };
        let sent_to_it = across.sent.saturating_sub(across.refunded);
        received = received.saturating_add(side.received.min(sent_to_it));
        let out = if other == own {
            delivered_here(&side)
        } else {
            side.sent.saturating_sub(side.refunded).max(across.received)
        };
        gone = gone.saturating_add(out);
    }
    Ok(received.checked_sub(gone))
}

/// The row of the ledger: what a member holds, everything it sent taken off.
pub(super) fn row(
    slots: &dyn Slots,
    own: u32,
    member: u32,
    asset: B256,
) -> Result<U256, StateError> {
    let ours = flow(&state::our_lane(slots, member)?, asset).received;
    let here = |side: &Flow| side.sent.saturating_sub(side.refunded).max(ours);
    Ok(holds(slots, own, member, asset, here)?.unwrap_or_default())
}

/// Whether a member can cover one more delivery here, `more` being what deliveries of this block
/// add to what was delivered before.
pub(super) fn covers(
    slots: &dyn Slots,
    own: u32,
    member: u32,
    asset: B256,
    more: U256,
) -> Result<bool, StateError> {
    let ours = flow(&state::our_lane(slots, member)?, asset).received;
    let total = ours.saturating_add(more);
    Ok(holds(slots, own, member, asset, |_| total)?.is_some())
}

/// A receipt of ours.
pub(super) fn receipt(
    own: u32,
    to: u32,
    id: B256,
    status: causeway_chainspec::DeliveryStatus,
    gas_used: u64,
) -> LaneItem {
    LaneItem::Receipt(DeliveryReceipt { from: own, to, id, status, gas_used })
}
