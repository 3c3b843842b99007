//! The Metalayer inside every block: what other members sent comes in, is delivered and answered,
//! and what is sent goes out. A pure state machine over the storage of the Mailbox.

mod deliver;
mod inbox;
mod lanes;
mod members;
mod send;
mod settle;
mod state;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod tree;
pub mod view;

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_chainspec::directory::{Directory, Member};
use causeway_chainspec::mailbox::{
    COURIER, Coin, MAILBOX, TRANSFER_GAS, deliverCall, layout, refundCall,
};
use causeway_chainspec::metalayer::asset_id;
use causeway_chainspec::{
    BlockEnv, BlockPlan, CallOutcome, ChainSpec, Closed, DeliveryStatus, LaneItem, Message,
    StateError, SystemBlock, SystemCall, SystemModule, SystemState,
};

pub use deliver::MAX_PARKED;
pub use inbox::MAX_QUEUE;
pub use members::MAX_MEMBERS;

use deliver::{Delivery, Turn};
use state::RefundEntry;

/// Most ERC-20 refunds of one block.
const MAX_REFUNDS: u64 = 32;

/// The Metalayer of one chain.
pub struct Metalayer {
    spec: Arc<ChainSpec>,
}

impl Metalayer {
    /// Of a member; `None` for a chain that is none.
    pub fn open(spec: &Arc<ChainSpec>) -> Option<Self> {
        spec.metalayer.directory.as_ref()?;
        Some(Self { spec: spec.clone() })
    }

    fn seed(&self) -> Result<&Directory, StateError> {
        let missing = || StateError("a member without a directory".into());
        self.spec.metalayer.directory.as_ref().ok_or_else(missing)
    }
}

/// The hub's gas coin.
fn hub_asset(spec: &ChainSpec) -> B256 {
    let hub = spec.metalayer.directory.as_ref().map_or(0, |seed| seed.hub);
    asset_id(hub, Address::ZERO)
}

impl SystemModule for Metalayer {
    fn genesis(&self, state: &mut SystemState<'_>) -> Result<Option<Closed>, StateError> {
        let (spec, seed) = (self.spec.as_ref(), self.seed()?);
        let metalayer = &spec.metalayer;
        let mut set = |slot, value: U256| state.set_slot(MAILBOX, slot, value);
        set(layout::LOCAL_DOMAIN, U256::from(metalayer.domain))?;
        set(layout::TTL, U256::from(metalayer.ttl_ms / 1000))?;
        set(layout::COIN, U256::from(metalayer.coin as u8))?;
        set(layout::HUB_ASSET, hub_asset(spec).into())?;
        for member in &seed.members {
            let identity = seed.identity(member.base);
            let (name, domain, rules) = (member.name.clone(), member.domain, member.rules);
            members::join(state, Member { name, domain, identity, rules }, 0)?;
        }
        let outbox =
            if metalayer.coin == Coin::Home { send::seed(spec, seed, state)? } else { Vec::new() };
        members::update_statuses(spec, state, spec.genesis.time_ms)?;
        let commitment = lanes::commitment(state, metalayer.domain)?.hash();
        Ok(Some(Closed { commitment, outbox }))
    }

    fn open(
        &self,
        state: &mut SystemState<'_>,
        env: &BlockEnv,
        plan: &BlockPlan,
    ) -> Result<Box<dyn SystemBlock>, StateError> {
        let spec = self.spec.as_ref();
        members::take_forced(spec, state, plan)?;
        inbox::take(spec, state, plan)?;
        settle::sweep(spec, state, env.number)?;
        members::update_statuses(spec, state, env.time_ms)?;
        let refunds = due_refunds(state)?;
        let mut turn = Turn::new(spec, env);
        turn.run(state)?;
        let (deliveries, receipts) = (turn.chosen, turn.receipts);
        let (spec, block) = (self.spec.clone(), env.number);
        Ok(Box::new(Open { spec, block, refunds, deliveries, receipts }))
    }
}

/// One block of it.
struct Open {
    spec: Arc<ChainSpec>,
    block: u64,
    refunds: Vec<RefundEntry>,
    deliveries: Vec<Delivery>,
    /// Of messages that ended without running.
    receipts: Vec<LaneItem>,
}

impl SystemBlock for Open {
    fn calls(&self) -> Vec<SystemCall> {
        let asset = hub_asset(&self.spec);
        let refunds = self.refunds.iter().map(|refund| {
            let RefundEntry { id, to, amount } = *refund;
            SystemCall {
                from: COURIER,
                to: MAILBOX,
                mint: 0,
                value: U256::ZERO,
                gas_limit: TRANSFER_GAS,
                input: refundCall { messageId: id, asset, to, amount }.abi_encode().into(),
            }
        });
        refunds.chain(self.deliveries.iter().map(|delivery| delivery.call.clone())).collect()
    }

    fn close(
        self: Box<Self>,
        state: &mut SystemState<'_>,
        results: &[CallOutcome],
        emitted: &[Message],
    ) -> Result<Option<Closed>, StateError> {
        let Self { spec, block, refunds, deliveries, receipts } = *self;
        let short = || StateError("a system call of the metalayer has no outcome".into());
        let (refunded, delivered) = results.split_at_checked(refunds.len()).ok_or_else(short)?;
        again_if_unpaid(state, &refunds, refunded)?;
        let mut outbox = receipts;
        for (delivery, result) in deliveries.iter().zip(delivered) {
            outbox.push(delivered_as(&spec, state, block, delivery, result)?);
        }
        for receipt in &outbox {
            lanes::append(state, receipt)?;
        }
        for message in emitted {
            outbox.push(send::take(&spec, state, message, block)?);
        }
        let commitment = lanes::commitment(state, spec.metalayer.domain)?.hash();
        Ok(Some(Closed { commitment, outbox }))
    }
}

/// Takes the refunds of this block from the front of their queue.
fn due_refunds(state: &mut SystemState<'_>) -> Result<Vec<RefundEntry>, StateError> {
    let (head, tail) = state::refund_range(state)?;
    let to = tail.min(head + MAX_REFUNDS);
    let mut due = Vec::new();
    for at in head..to {
        due.extend(state::refund(at).load::<RefundEntry>(state)?);
        state::refund(at).clear(state)?;
    }
    if to > head {
        state::set_refund_range(state, to, tail)?;
    }
    Ok(due)
}

/// Puts the refunds that failed at the end of their queue, to be tried again.
fn again_if_unpaid(
    state: &mut SystemState<'_>,
    tried: &[RefundEntry],
    results: &[CallOutcome],
) -> Result<(), StateError> {
    for (refund, result) in tried.iter().zip(results) {
        if !result.success {
            state::push_refund(state, refund)?;
        }
    }
    Ok(())
}

/// The books after a delivery was tried, and the receipt for its source.
fn delivered_as(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    block: u64,
    delivery: &Delivery,
    result: &CallOutcome,
) -> Result<LaneItem, StateError> {
    let (status, gas_used) = outcome(delivery, result);
    let (amount, origin) = (delivery.amount, delivery.origin);
    if !amount.is_zero() {
        match (spec.metalayer.coin, status) {
            (Coin::Home, DeliveryStatus::Delivered) => {
                state::take(state, state::locked(), amount)?;
            }
            (Coin::Hub, DeliveryStatus::Delivered) | (Coin::Own | Coin::Home, _) => {}
            (Coin::Hub, _) => state.burn(MAILBOX, amount)?,
        }
        if status == DeliveryStatus::Delivered {
            lanes::change_flow(state, origin, hub_asset(spec), |flow| {
                flow.received = flow.received.saturating_add(amount);
            })?;
        }
    }
    let own = spec.metalayer.domain;
    deliver::finish(state, (own, block), (origin, delivery.id), status, gas_used)
}

/// What the Mailbox says became of a message. A call of it that failed as a whole left nothing
/// behind, and has used the recipient's gas.
fn outcome(delivery: &Delivery, result: &CallOutcome) -> (DeliveryStatus, u64) {
    let decode = |output: &Bytes| deliverCall::abi_decode_returns(output).ok();
    let said = Some(result).filter(|result| result.success).and_then(|it| decode(&it.output));
    let status = said.as_ref().and_then(|said| DeliveryStatus::from_code(said.status));
    match (said, status) {
        (Some(said), Some(status)) => (status, said.gasUsed.min(delivery.gas_limit)),
        _ => (DeliveryStatus::Reverted, delivery.gas_limit),
    }
}
