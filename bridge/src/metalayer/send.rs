//! What this chain sends: into the tree, into the lane, and into the books.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolValue;
use causeway_chainspec::directory::Directory;
use causeway_chainspec::mailbox::{self, Coin, MAILBOX, TRANSFER_GAS, TransferBody, layout};
use causeway_chainspec::{ChainSpec, LaneItem, Message, StateError, SystemState, Terms};

use super::state::{self, PendingEntry, SentEntry};
use super::{hub_asset, lanes, tree};

/// Wei a unit of gas is paid for in messages of block 0, when nobody knows a base fee yet.
const SEED_GAS_PRICE: u64 = 1_000_000_000;
/// Messages of block 0 do not expire within a chain's life: a hundred years, in ms.
const SEED_TTL_MS: u64 = 100 * 365 * 24 * 3600 * 1000;

/// Takes a message that was dispatched in a block. Its fee and coins lie in the Mailbox already.
pub(super) fn take(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    message: &Message,
    block: u64,
) -> Result<LaneItem, StateError> {
    let id = message.id();
    let leaf = tree::insert(state, id)?;
    if leaf != message.nonce || message.origin != spec.metalayer.domain {
        let nonce = message.nonce;
        return Err(StateError(format!("message {nonce} is not the outbox's next, {leaf}")));
    }
    let amount = amount_of(spec, message)?;
    let item = LaneItem::Message(message.clone());
    let index = lanes::append(state, &item)?;
    let (destination, terms) = (message.destination, message.terms);
    let sent = SentEntry {
        destination,
        index,
        block,
        expiry_ms: terms.expiry_ms,
        status: 0,
        settled: 0,
        fee_refund: 0,
    };
    state::sent(id).store(state, &sent)?;
    state::message_at(destination, index).store(state, &id)?;
    let pending = PendingEntry {
        gas_limit: terms.gas_limit,
        gas_price: terms.gas_price,
        refund_to: terms.refund_to,
        body_bytes: message.body.len() as u64,
        amount,
    };
    state::pending(id).store(state, &pending)?;
    let unsettled = state::count(state::unsettled(destination), state)?;
    state::unsettled(destination).store(state, &(unsettled + 1))?;
    state::add(state, state::escrow(), terms.fee(message.body.len()))?;
    if !amount.is_zero() {
        state::add(state, state::in_flight(), amount)?;
        lanes::change_flow(state, destination, hub_asset(spec), |flow| flow.sent += amount)?;
        match spec.metalayer.coin {
            Coin::Home => state::add(state, state::locked(), amount)?,
            Coin::Hub => state.burn(MAILBOX, amount)?,
            // The Mailbox burnt the ERC-20 itself.
            Coin::Own => {}
        }
    }
    Ok(item)
}

/// Wei of the hub's coin that a message moves.
fn amount_of(spec: &ChainSpec, message: &Message) -> Result<U256, StateError> {
    if !mailbox::is_transfer(message) {
        return Ok(U256::ZERO);
    }
    match mailbox::transfer_body(&message.body) {
        Some(body) if body.asset == hub_asset(spec) => Ok(body.amount),
        _ => Err(StateError(format!("the mailbox sent a transfer {} of nothing", message.nonce))),
    }
}

/// What the hub's block 0 sends: coins that exist from the start, on other chains.
pub(super) fn seed(
    spec: &ChainSpec,
    seed: &Directory,
    state: &mut SystemState<'_>,
) -> Result<Vec<LaneItem>, StateError> {
    let mailbox = mailbox::word_of(MAILBOX);
    let mut items = Vec::new();
    for (nonce, transfer) in (0u32..).zip(&seed.transfers) {
        let recipient = mailbox::word_of(transfer.recipient);
        let body = TransferBody {
            recipient,
            amount: transfer.amount,
            asset: hub_asset(spec),
            from: mailbox::word_of(Address::ZERO),
        };
        let message = Message {
            nonce,
            origin: spec.metalayer.domain,
            sender: mailbox,
            destination: transfer.to,
            recipient: mailbox,
            body: body.abi_encode().into(),
            terms: Terms {
                gas_limit: TRANSFER_GAS,
                gas_price: SEED_GAS_PRICE,
                expiry_ms: spec.genesis.time_ms.saturating_add(SEED_TTL_MS),
                refund_to: transfer.recipient,
            },
        };
        state.mint(MAILBOX, transfer.amount + message.terms.fee(message.body.len()))?;
        items.push(take(spec, state, &message, 0)?);
        state.set_slot(MAILBOX, layout::NONCE, U256::from(nonce + 1))?;
        state.set_slot(MAILBOX, layout::LATEST_ID, message.id().into())?;
    }
    Ok(items)
}
