//! Who is delivered in this block: from the queues alone, in lane order, lanes taking turns, within
//! a budget of gas. Nobody chooses.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_chainspec::mailbox::{
    self, COURIER, Coin, DEPLOY_GAS, MAILBOX, TransferBody, deliverCall, layout,
};
use causeway_chainspec::{
    BlockEnv, ChainSpec, DeliveryStatus, LaneItem, Message, StateError, SystemCall, SystemState,
};

use super::state::{self, MemberEntry, Queue, ReceivedEntry, Slots};
use super::{hub_asset, lanes, members};

/// Part of a block's gas limit that deliveries may use.
const BUDGET_PART: u64 = 4;
/// Messages that are looked at in one block.
const MOST_LOOKED_AT: usize = 256;
/// Messages of one lane that may be set aside.
pub const MAX_PARKED: usize = 64;
/// Messages set aside that are looked at again in one block.
const MOST_LOOKED_AGAIN: usize = 128;
/// Most wei that one transfer moves, and a shared coin has: far from where sums overflow.
const MAX_WEI: U256 = U256::from_limbs([0, 0, 1, 0]);
/// Gas of a delivery beside the recipient's and that of its call data.
const CALL_GAS: u64 = 150_000;

/// A message that is delivered in this block.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) origin: u32,
    pub(super) id: B256,
    pub(super) gas_limit: u64,
    /// Wei of the hub's coin it brings.
    pub(super) amount: U256,
    pub(super) call: SystemCall,
}

/// What becomes of a message whose turn it is.
enum Judgement {
    Deliver(Box<Delivery>),
    /// It ends here, without running anything.
    Fail(DeliveryStatus),
    /// It is set aside, and the lane goes on: it pays less than the base fee.
    Underpriced,
    /// The same: what it moves is not covered.
    Uncovered,
    /// The lane waits for the next block.
    Wait,
}

/// The deliveries of one block while they are chosen.
pub(super) struct Turn<'a> {
    spec: &'a ChainSpec,
    env: &'a BlockEnv,
    /// Gas that deliveries may use in a block, and what is left of it.
    budget: u64,
    left: u64,
    looked: usize,
    again: usize,
    /// Wei of each member's transfers chosen so far, and of all.
    claimed: BTreeMap<u32, U256>,
    pub(super) chosen: Vec<Delivery>,
    /// Receipts of messages that ended without running.
    pub(super) receipts: Vec<LaneItem>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(spec: &'a ChainSpec, env: &'a BlockEnv) -> Self {
        let budget = spec.gas.limit / BUDGET_PART;
        Self {
            spec,
            env,
            budget,
            left: budget.min(env.gas_available / BUDGET_PART),
            looked: 0,
            again: 0,
            claimed: BTreeMap::new(),
            chosen: Vec::new(),
            receipts: Vec::new(),
        }
    }

    /// Goes through the lanes, beginning with the one whose turn it is: first each within its
    /// share, then all with what is left. The first may use everything for its first message, so
    /// that one which fits a block's budget is never starved by the others.
    pub(super) fn run(&mut self, state: &mut SystemState<'_>) -> Result<(), StateError> {
        let mut lanes = members::all(state)?;
        lanes.retain(|entry| entry.member.domain != self.spec.metalayer.domain);
        let mut busy = Vec::new();
        for entry in lanes {
            let queue: Queue = state::queue(entry.member.domain).load(state)?.unwrap_or_default();
            if queue.head < queue.tail || !queue.parked.is_empty() {
                busy.push(entry);
            }
        }
        if busy.is_empty() {
            return Ok(());
        }
        let pointer = state::count(state::pointer(), state)?;
        let turn = usize::try_from(pointer % busy.len() as u64).unwrap_or_default();
        busy.rotate_left(turn);
        let share = self.left / busy.len() as u64;
        for (at, entry) in busy.iter().enumerate() {
            let floor = self.left.saturating_sub(share);
            // Whatever is left in the chain's bucket, one message fits.
            let first = if at == 0 { self.budget } else { self.left - floor };
            self.lane(state, entry, first, floor)?;
            self.parked(state, entry, floor)?;
        }
        for entry in &busy {
            self.lane(state, entry, self.left, 0)?;
            self.parked(state, entry, 0)?;
        }
        state::pointer().store(state, &pointer.wrapping_add(1))
    }

    /// Looks again at the messages of a lane that were set aside, beginning with another one in
    /// each block.
    fn parked(
        &mut self,
        state: &mut SystemState<'_>,
        entry: &MemberEntry,
        floor: u64,
    ) -> Result<(), StateError> {
        let domain = entry.member.domain;
        let mut queue: Queue = state::queue(domain).load(state)?.unwrap_or_default();
        let before = queue.parked.len();
        let mut kept = Vec::with_capacity(before);
        for &at in &queue.parked {
            if self.again == MOST_LOOKED_AGAIN {
                kept.push(at);
                continue;
            }
            self.again += 1;
            let message = state::queued_message(state, domain, at)?;
            match self.judge(state, entry, &message, self.left.saturating_sub(floor))? {
                Judgement::Underpriced | Judgement::Uncovered | Judgement::Wait => kept.push(at),
                Judgement::Fail(DeliveryStatus::Expired) if !self.covered(state, &message)? => {
                    self.fail(state, (domain, at), &message, DeliveryStatus::Refused)?;
                }
                Judgement::Fail(status) => self.fail(state, (domain, at), &message, status)?,
                Judgement::Deliver(delivery) => self.choose(state, (domain, at), *delivery)?,
            }
        }
        if kept.len() != before || self.again == MOST_LOOKED_AGAIN {
            let turn = self.again % kept.len().max(1);
            kept.rotate_left(turn);
            queue.parked = kept;
            state::queue(domain).store(state, &queue)?;
        }
        Ok(())
    }

    /// Takes messages from the front of a lane while more than `floor` gas is left; the first one
    /// if it needs at most `first`.
    fn lane(
        &mut self,
        state: &mut SystemState<'_>,
        entry: &MemberEntry,
        first: u64,
        floor: u64,
    ) -> Result<(), StateError> {
        let domain = entry.member.domain;
        let mut queue: Queue = state::queue(domain).load(state)?.unwrap_or_default();
        let before = queue.head;
        let mut room = first;
        while queue.head < queue.tail && self.looked < MOST_LOOKED_AT {
            let at = queue.head;
            let message = state::queued_message(state, domain, at)?;
            let full = queue.parked.len() == MAX_PARKED;
            match self.judge(state, entry, &message, room)? {
                Judgement::Wait => break,
                // A fee that rose for a while must not cost messages that can wait.
                Judgement::Underpriced if full => break,
                Judgement::Fail(status) => self.fail(state, (domain, at), &message, status)?,
                Judgement::Deliver(delivery) => self.choose(state, (domain, at), *delivery)?,
                Judgement::Underpriced | Judgement::Uncovered => {
                    if full {
                        let oldest = queue.parked.remove(0);
                        let message = state::queued_message(state, domain, oldest)?;
                        let crowded = DeliveryStatus::Crowded;
                        self.fail(state, (domain, oldest), &message, crowded)?;
                    }
                    queue.parked.push(at);
                }
            }
            self.looked += 1;
            queue.head += 1;
            room = self.left.saturating_sub(floor);
        }
        if queue.head != before {
            state::queue(domain).store(state, &queue)?;
        }
        Ok(())
    }

    /// What happens to a message now, if its delivery may use so much gas.
    fn judge(
        &self,
        state: &SystemState<'_>,
        entry: &MemberEntry,
        message: &Message,
        room: u64,
    ) -> Result<Judgement, StateError> {
        if self.env.time_ms >= message.terms.expiry_ms {
            return Ok(Judgement::Fail(DeliveryStatus::Expired));
        }
        if entry.paused {
            return Ok(Judgement::Wait);
        }
        let transfer = match self.transfer(message) {
            Ok(transfer) => transfer,
            Err(status) => return Ok(Judgement::Fail(status)),
        };
        let call = self.call(state, message, transfer.is_some())?;
        if call.gas_limit > self.budget {
            return Ok(Judgement::Fail(DeliveryStatus::GasLimit));
        }
        if message.terms.gas_price < self.env.base_fee {
            return Ok(Judgement::Underpriced);
        }
        if !self.covered(state, message)? {
            return Ok(Judgement::Uncovered);
        }
        if call.gas_limit > room {
            return Ok(Judgement::Wait);
        }
        Ok(Judgement::Deliver(Box::new(Delivery {
            origin: message.origin,
            id: message.id(),
            gas_limit: message.terms.gas_limit,
            amount: transfer.map_or(U256::ZERO, |body| body.amount),
            call,
        })))
    }

    /// The transfer that a message is, if it is one; a status if nobody can take it.
    fn transfer(&self, message: &Message) -> Result<Option<TransferBody>, DeliveryStatus> {
        if !mailbox::is_transfer(message) {
            return match mailbox::address_of(message.recipient) {
                Some(_) => Ok(None),
                None => Err(DeliveryStatus::NoRecipient),
            };
        }
        let body = mailbox::transfer_body(&message.body)
            .filter(|body| body.asset == hub_asset(self.spec))
            .filter(|body| !body.amount.is_zero() && body.amount < MAX_WEI)
            .filter(|body| mailbox::address_of(body.recipient).is_some());
        body.map(Some).ok_or(DeliveryStatus::Malformed)
    }

    /// Whether the ledger lets a transfer through: its source holds what it moves. The asset's
    /// home issues it and needs no cover; at home itself the coins must be locked, too.
    fn covered(&self, state: &SystemState<'_>, message: &Message) -> Result<bool, StateError> {
        let Ok(Some(body)) = self.transfer(message) else { return Ok(true) };
        let Some(seed) = &self.spec.metalayer.directory else { return Ok(false) };
        if self.spec.metalayer.coin == Coin::Home {
            let all = self.claimed.values().fold(body.amount, |sum, wei| sum.saturating_add(*wei));
            if all > state::amount(state::locked(), state)? {
                return Ok(false);
            }
        }
        let claimed = self.claimed.get(&message.origin).copied().unwrap_or_default();
        let more = claimed.saturating_add(body.amount);
        if message.origin == seed.hub {
            // The issuer needs no cover, but nobody can issue what sums cannot hold.
            let ours = state::our_lane(state, message.origin)?;
            let came = lanes::flow(&ours, body.asset).received;
            return Ok(came.saturating_add(more) < MAX_WEI);
        }
        lanes::covers(state, self.spec.metalayer.domain, message.origin, body.asset, more)
    }

    /// The system call that delivers a message.
    fn call(
        &self,
        state: &SystemState<'_>,
        message: &Message,
        transfer: bool,
    ) -> Result<SystemCall, StateError> {
        let packed: Bytes = message.encode_packed().into();
        let gas = message.terms.gas_limit;
        let input = deliverCall { message: packed, gasLimit: gas }.abi_encode();
        let token = layout::entry(hub_asset(self.spec), layout::TOKENS);
        let deploys =
            transfer && self.spec.metalayer.coin == Coin::Own && state.get(token)?.is_zero();
        // 40 is what a byte of call data costs at most (EIP-7623).
        let gas_limit = gas
            .saturating_add(gas / 63)
            .saturating_add(21_000 + 40 * input.len() as u64 + CALL_GAS)
            .saturating_add(if deploys { DEPLOY_GAS } else { 0 });
        Ok(SystemCall {
            from: COURIER,
            to: MAILBOX,
            mint: 0,
            value: U256::ZERO,
            gas_limit,
            input: input.into(),
        })
    }

    /// Takes a message into this block's deliveries. Coins that are minted here when they arrive
    /// are minted to the Mailbox, which pays them out.
    fn choose(
        &mut self,
        state: &mut SystemState<'_>,
        (domain, at): (u32, u64),
        delivery: Delivery,
    ) -> Result<(), StateError> {
        state::queued(domain, at).clear(state)?;
        self.left = self.left.saturating_sub(delivery.call.gas_limit);
        if !delivery.amount.is_zero() {
            let claimed = self.claimed.entry(domain).or_default();
            *claimed = claimed.saturating_add(delivery.amount);
            if self.spec.metalayer.coin == Coin::Hub {
                state.mint(MAILBOX, delivery.amount)?;
            }
        }
        self.chosen.push(delivery);
        Ok(())
    }

    fn fail(
        &mut self,
        state: &mut SystemState<'_>,
        (domain, at): (u32, u64),
        message: &Message,
        status: DeliveryStatus,
    ) -> Result<(), StateError> {
        state::queued(domain, at).clear(state)?;
        let own = self.spec.metalayer.domain;
        let (id, block) = (message.id(), self.env.number);
        self.receipts.push(finish(state, (own, block), (domain, id), status, 0)?);
        Ok(())
    }
}

/// Writes down how a message ended; returns the receipt for its source.
pub(super) fn finish(
    state: &mut SystemState<'_>,
    (own, block): (u32, u64),
    (origin, id): (u32, B256),
    status: DeliveryStatus,
    gas_used: u64,
) -> Result<LaneItem, StateError> {
    let missing = || StateError(format!("message {id} was never taken in"));
    let entry: ReceivedEntry = state::received(id).load(state)?.ok_or_else(missing)?;
    if let Some(status) = DeliveryStatus::from_code(entry.status) {
        // It ended before; that stays.
        return Ok(lanes::receipt(own, origin, id, status, entry.gas_used));
    }
    let done = ReceivedEntry { status: status as u8, done: block, gas_used, ..entry };
    state::received(id).store(state, &done)?;
    let word = U256::from(status as u8) | U256::from(block) << 8;
    state.set_slot(MAILBOX, layout::entry(id, layout::RECEIVED), word)?;
    Ok(lanes::receipt(own, origin, id, status, gas_used))
}
