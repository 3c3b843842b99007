//! The source's end of a message: once, by the destination's receipt or by proof that it can never
//! be delivered any more. Pays back what was not used.

use alloy_primitives::{Address, B256, U256};
use causeway_chainspec::mailbox::{Coin, FEE_VAULT, MAILBOX};
use causeway_chainspec::{
    ChainSpec, DeliveryReceipt, DeliveryStatus, StateError, SystemState, Terms,
};

use super::state::{self, AnchorEntry, PendingEntry, RefundEntry, SentEntry};
use super::{lanes, members};

/// Most places of one lane looked at in one block.
const SWEEP: u64 = 64;

/// Settles by a receipt. Ignores one of a message that is settled, that never was, or that went to
/// another chain.
pub(super) fn by_receipt(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    receipt: &DeliveryReceipt,
    block: u64,
) -> Result<(), StateError> {
    let Some(sent) = state::sent(receipt.id).load::<SentEntry>(state)? else { return Ok(()) };
    if sent.status != 0 || sent.destination != receipt.from {
        return Ok(());
    }
    settle(spec, state, receipt.id, sent, (receipt.status, receipt.gas_used), block)
}

/// Settles messages that expired before their destination took them in: its newest anchor is at or
/// past their expiry and has not taken their place in the lane, so that whenever it takes them it
/// must let them expire. Looks at a bounded part of each lane and goes on from there next time.
pub(super) fn sweep(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    block: u64,
) -> Result<(), StateError> {
    for domain in members::others(state, spec.metalayer.domain)? {
        if state::count(state::unsettled(domain), state)? == 0 {
            continue;
        }
        let Some(entry) = state::anchor(domain).load::<AnchorEntry>(state)? else { continue };
        let taken = state::their_lane(state, domain, spec.metalayer.domain)?.taken;
        let end = state::our_lane(state, domain)?.sent.count;
        if taken >= end {
            continue;
        }
        let from = Some(state::count(state::sweep(domain), state)?)
            .filter(|from| (taken..end).contains(from))
            .unwrap_or(taken);
        let to = end.min(from + SWEEP);
        for index in from..to {
            let Some(id) = state::message_at(domain, index).load::<B256>(state)? else { continue };
            let Some(sent) = state::sent(id).load::<SentEntry>(state)? else { continue };
            if sent.status == 0 && entry.anchor.time_ms >= sent.expiry_ms {
                settle(spec, state, id, sent, (DeliveryStatus::Expired, 0), block)?;
            }
        }
        state::sweep(domain).store(state, &to)?;
    }
    Ok(())
}

fn settle(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    id: B256,
    sent: SentEntry,
    (status, gas_used): (DeliveryStatus, u64),
    block: u64,
) -> Result<(), StateError> {
    let missing = || StateError(format!("message {id} has nothing to settle"));
    let pending: PendingEntry = state::pending(id).load(state)?.ok_or_else(missing)?;
    let terms = Terms {
        gas_limit: pending.gas_limit,
        gas_price: pending.gas_price,
        expiry_ms: sent.expiry_ms,
        refund_to: pending.refund_to,
    };
    let body_bytes = usize::try_from(pending.body_bytes).unwrap_or(usize::MAX);
    let lost = status != DeliveryStatus::Delivered && !pending.amount.is_zero();
    if lost && !may_pay_back(spec, state, sent.destination, pending.amount)? {
        return Ok(());
    }
    // Room in a lane is paid for whatever becomes of the message: it costs all who follow.
    let (fee, cost) = (terms.fee(body_bytes), terms.cost(gas_used, body_bytes));
    let back = fee - cost;
    state::take(state, state::escrow(), fee)?;
    let earner = if spec.metalayer.keeps_fees() { FEE_VAULT } else { spec.fees.recipient };
    // Nobody paid for what block 0 sent.
    let payer = if sent.block == 0 { earner } else { pending.refund_to };
    state.pay(MAILBOX, payer, back)?;
    state.pay(MAILBOX, earner, cost)?;
    if !pending.amount.is_zero() {
        state::take(state, state::in_flight(), pending.amount)?;
        if lost {
            pay_back(spec, state, id, sent.destination, &pending)?;
        }
    }

    let entry = SentEntry {
        status: status as u8,
        settled: block,
        fee_refund: u128::try_from(back).unwrap_or(u128::MAX),
        ..sent
    };
    state::sent(id).store(state, &entry)?;
    state::pending(id).clear(state)?;
    state::message_at(sent.destination, sent.index).clear(state)?;
    let left = state::count(state::unsettled(sent.destination), state)?;
    state::unsettled(sent.destination).store(state, &left.saturating_sub(1))
}

/// Whether a transfer can have failed as its destination says: not if the destination says it
/// delivered more than it was sent besides, and at home not if the coins are gone. No honest member
/// comes here; of a broken one the message stays unsettled, so that nobody is paid twice.
fn may_pay_back(
    spec: &ChainSpec,
    state: &SystemState<'_>,
    destination: u32,
    amount: U256,
) -> Result<bool, StateError> {
    let asset = super::hub_asset(spec);
    let ours = lanes::flow(&state::our_lane(state, destination)?, asset);
    let across = state::their_lane(state, destination, spec.metalayer.domain)?;
    let others = ours.sent.saturating_sub(ours.refunded).saturating_sub(amount);
    let locked =
        spec.metalayer.coin != Coin::Home || state::amount(state::locked(), state)? >= amount;
    Ok(lanes::flow(&across, asset).received <= others && locked)
}

/// Gives a transfer that was not delivered back to whom the sender named.
fn pay_back(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    id: B256,
    destination: u32,
    pending: &PendingEntry,
) -> Result<(), StateError> {
    let (to, amount): (Address, U256) = (pending.refund_to, pending.amount);
    lanes::change_flow(state, destination, super::hub_asset(spec), |flow| flow.refunded += amount)?;
    match spec.metalayer.coin {
        Coin::Home => {
            state::take(state, state::locked(), amount)?;
            state.pay(MAILBOX, to, amount)
        }
        Coin::Hub => state.mint(to, amount),
        Coin::Own => state::push_refund(state, &RefundEntry { id, to, amount }),
    }
}
