//! Delivery: recipients of every kind, exactly the gas that was paid for, and the courier alone.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError, SolEvent};
use causeway_chainspec::mailbox::{
    COURIER, Coin, MAILBOX, Process, ProcessId, deliverCall, dispatchCall, layout, refundCall,
    word_of,
};
use causeway_chainspec::message::{BYTE_GAS, DELIVERY_GAS, MAX_BODY_BYTES};
use causeway_chainspec::{DeliveryStatus, StateReader};
use causeway_tests::contracts::{Asm, Contract, op};

use super::*;

const GOOD: Address = Address::repeat_byte(0x60);
const DELIVERED: u8 = DeliveryStatus::Delivered as u8;
const REVERTED: u8 = DeliveryStatus::Reverted as u8;

/// Writes down the gas it began with, its caller, the value, and the first words of its input.
fn witness() -> Vec<u8> {
    use op::*;
    Asm::new()
        .ops(&[GAS, PUSH0, SSTORE, CALLER])
        .push(1)
        .ops(&[SSTORE, CALLVALUE])
        .push(2)
        .ops(&[SSTORE])
        .push(4)
        .ops(&[CALLDATALOAD])
        .push(3)
        .ops(&[SSTORE])
        .push(36)
        .ops(&[CALLDATALOAD])
        .push(4)
        .ops(&[SSTORE])
        .push(132)
        .ops(&[CALLDATALOAD])
        .push(5)
        .ops(&[SSTORE, PUSH0, CALLDATALOAD])
        .push(6)
        .ops(&[SSTORE, STOP])
        .code()
}

fn word(chain: &Chain, of: Address, slot: u64) -> U256 {
    chain.slot(of, U256::from(slot)).unwrap()
}

#[test]
fn a_recipient_gets_its_message_with_exactly_its_gas_and_no_value() {
    let mut chain = Chain::new(Coin::Own);
    chain.contract(GOOD, &witness());
    let message = message(0, word_of(GOOD), &[0xab; 32]);
    let (status, used, done) = chain.deliver(&message);
    assert_eq!(status, DELIVERED);
    // GAS tells what is left after itself.
    assert_eq!(word(&chain, GOOD, 0), U256::from(message.terms.gas_limit - 2));
    assert_eq!(word(&chain, GOOD, 1), U256::from_be_bytes(word_of(MAILBOX).0));
    assert_eq!(word(&chain, GOOD, 2), U256::ZERO);
    assert_eq!(word(&chain, GOOD, 3), U256::from(THERE));
    assert_eq!(word(&chain, GOOD, 4), U256::from_be_bytes(message.sender.0));
    assert_eq!(word(&chain, GOOD, 5), U256::from_be_bytes([0xab; 32]));
    assert_eq!(word(&chain, GOOD, 6) >> 224, U256::from(0x56d5_d475_u64));
    assert!((110_000..140_000).contains(&used), "{used}");
    let process = Process::decode_log(&done.logs[0]).unwrap();
    assert_eq!((process.origin, process.sender, process.recipient), (THERE, word_of(OTHER), GOOD));
    assert_eq!(ProcessId::decode_log(&done.logs[1]).unwrap().messageId, message.id());
    assert_eq!(done.logs.len(), 2);

    let id = message.id();
    assert!(chain.ask(MAILBOX, &Views::deliveredCall { id }));
    assert_eq!(chain.ask(MAILBOX, &Views::processedAtCall { id }).to::<u64>(), 10);
    assert_eq!(chain.ask(MAILBOX, &Views::processorCall { id }), COURIER);
    let slot = layout::entry(id, layout::RECEIVED);
    assert_eq!(chain.slot(MAILBOX, slot).unwrap(), U256::from(1 | 10 << 8));
    let twice = chain.deliver_with(&message, 1_000_000);
    assert_eq!(twice.output, Bytes::from(AlreadyDelivered { messageId: id }.abi_encode()));
}

/// Recipients that fail, each in its own way.
fn bad() -> Vec<(&'static str, Vec<u8>, bool)> {
    use op::*;
    let size = 60_000;
    vec![
        ("reverts", vec![PUSH0, PUSH0, REVERT], false),
        ("writes and reverts", Contract::Reverter.runtime(), false),
        ("burns all gas", Contract::Burner.runtime(), true),
        ("has a bad opcode", vec![0xfe], true),
        ("reverts with a bomb", Asm::new().push(size).ops(&[PUSH0, REVERT]).code(), false),
    ]
}

#[test]
fn a_failing_recipient_is_a_status_and_leaves_nothing() {
    for (what, code, burns) in bad() {
        let mut chain = Chain::new(Coin::Own);
        chain.contract(GOOD, &code);
        let message = message(0, word_of(GOOD), b"x");
        let (status, used, done) = chain.deliver(&message);
        assert_eq!(status, REVERTED, "{what}");
        assert_eq!(used == message.terms.gas_limit, burns, "{what}: {used}");
        assert!(done.logs.is_empty() && done.outbox.is_empty(), "{what}");
        let id = message.id();
        assert!(!chain.ask(MAILBOX, &Views::deliveredCall { id }), "{what}");
        assert_eq!(chain.ask(MAILBOX, &Views::processedAtCall { id }).to::<u64>(), 0);
        assert_eq!(chain.slot(MAILBOX, layout::entry(id, layout::RECEIVED)).unwrap(), U256::ZERO);
        assert_eq!(word(&chain, GOOD, 0), U256::ZERO, "{what}");
        assert!(done.gas_used <= message.terms.gas_limit + DELIVERY_GAS, "{what}");
    }
}

#[test]
fn a_long_answer_costs_the_courier_nothing() {
    let cost = |code: Vec<u8>| {
        let mut chain = Chain::new(Coin::Own);
        chain.contract(GOOD, &code);
        let (status, used, done) = chain.deliver(&message(0, word_of(GOOD), b"x"));
        assert_eq!(status, DELIVERED);
        (used, done.gas_used - used)
    };
    let (quiet, overhead) = cost(vec![op::STOP]);
    let bomb = Asm::new().push(100_000).ops(&[op::PUSH0, op::RETURN]).code();
    let (loud, same) = cost(bomb);
    assert!(loud > quiet + 25_000);
    assert_eq!(overhead, same);
}

#[test]
fn nobody_there_is_a_status() {
    let mut chain = Chain::new(Coin::Own);
    let mut wide = word_of(GOOD);
    wide.0[0] = 1;
    chain.contract(GOOD, &[op::STOP]);
    let precompile = Address::with_last_byte(4);
    for (to, status) in [
        (word_of(OTHER), DeliveryStatus::NoRecipient),
        (word_of(precompile), DeliveryStatus::NoRecipient),
        (word_of(COURIER), DeliveryStatus::NoRecipient),
        (wide, DeliveryStatus::NoRecipient),
        (B256::ZERO, DeliveryStatus::NoRecipient),
        // A user of the other chain wrote to the Mailbox: no transfer.
        (word_of(MAILBOX), DeliveryStatus::Malformed),
    ] {
        let (found, used, done) = chain.deliver(&message(0, to, b"x"));
        assert_eq!((found, used), (status as u8, 0), "{to}");
        assert!(done.logs.is_empty());
    }
}

#[test]
fn a_recipient_may_send_in_turn() {
    use op::*;
    let wei = 3 * (200_000 + 60_000 + 40 * 4);
    // Calls the Mailbox with the body of what it got, which lies behind five words and a selector.
    let code = Asm::new()
        .push(132)
        .ops(&[CALLDATASIZE, SUB])
        .push(132)
        .ops(&[PUSH0, CALLDATACOPY, PUSH0, PUSH0])
        .push(132)
        .ops(&[CALLDATASIZE, SUB, PUSH0])
        .push(wei)
        .ops(&[0x73])
        .ops(MAILBOX.as_slice())
        .ops(&[GAS, CALL, 0x60, 0, 0x57, PUSH0, PUSH0, REVERT, JUMPDEST, STOP]);
    let mut code = code.code();
    let end = code.len();
    code[end - 7] = (end - 2) as u8;
    let answer = dispatchCall {
        destinationDomain: THERE,
        recipientAddress: word_of(OTHER),
        messageBody: Bytes::from_static(b"pong"),
    };
    let mut chain = Chain::new(Coin::Own);
    chain.contract(GOOD, &code);
    chain.fund(GOOD, wei.into());
    let first = message(0, word_of(GOOD), &answer.abi_encode());
    let (status, _, done) = chain.deliver(&first);
    assert_eq!(status, DELIVERED);
    let [sent] = &done.outbox[..] else { panic!("{done:?}") };
    assert_eq!((sent.sender, &sent.body[..]), (word_of(GOOD), &b"pong"[..]));
    assert_eq!(sent.terms.refund_to, GOOD);
    assert_eq!(chain.balance(MAILBOX), wei.into());
    // Without money it fails, and what it sent is gone with it.
    let (status, _, done) = chain.deliver(&message(1, word_of(GOOD), &answer.abi_encode()));
    assert_eq!((status, done.outbox.len()), (REVERTED, 0));
    assert_eq!(chain.ask(MAILBOX, &Views::nonceCall {}), 1);
}

#[test]
fn only_the_courier_delivers_and_refunds() {
    let mut chain = Chain::new(Coin::Own);
    chain.contract(GOOD, &[op::STOP]);
    let call = deliverCall {
        message: message(0, word_of(GOOD), b"x").encode_packed().into(),
        gasLimit: 1,
    };
    let refund =
        refundCall { messageId: B256::ZERO, asset: hub_asset(), to: USER, amount: U256::from(1) };
    let error = Bytes::from(OnlyCourier {}.abi_encode());
    for from in [USER, MAILBOX, Address::ZERO] {
        assert_eq!(chain.send(from, 0, &call).output, error);
        assert_eq!(chain.send(from, 0, &refund).output, error);
    }
    assert!(chain.send(COURIER, 0, &call).success);
    assert_eq!(chain.send(COURIER, 0, &refund).output, NoToken { asset: hub_asset() }.abi_encode());
}

#[test]
fn what_is_no_message_for_this_chain_reverts() {
    let mut chain = Chain::new(Coin::Own);
    chain.contract(GOOD, &[op::STOP]);
    let good = message(0, word_of(GOOD), b"").encode_packed();
    let edit = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    for bytes in [vec![], good[..76].to_vec(), edit(0), edit(44)] {
        let call = deliverCall { message: bytes.into(), gasLimit: 100 };
        let done = chain.send(COURIER, 0, &call);
        assert_eq!(done.output, Bytes::from(MessageInvalid {}.abi_encode()));
    }
    assert!(chain.send(COURIER, 0, &deliverCall { message: good.into(), gasLimit: 100 }).success);
}

#[test]
fn with_too_little_gas_nothing_is_half_done() {
    let mut chain = Chain::new(Coin::Own);
    chain.contract(GOOD, &witness());
    let message = message(0, word_of(GOOD), &[1; 32]);
    let mut ran = None;
    for gas in (180_000..=message.terms.gas_limit * 64 / 63 + DELIVERY_GAS).step_by(500) {
        let done = chain.deliver_with(&message, gas);
        if done.success {
            ran = Some(gas);
            break;
        }
        assert_eq!(done.output, Bytes::from(OutOfGas {}.abi_encode()), "with {gas}");
    }
    assert!(ran.is_some(), "the gas that senders pay for is enough");
    assert_eq!(word(&chain, GOOD, 0), U256::from(message.terms.gas_limit - 2), "not a unit less");
}

#[test]
fn delivery_costs_at_most_what_is_charged_for_it() {
    for body in [0, 128, 1_024, MAX_BODY_BYTES] {
        for code in [vec![op::STOP], Contract::Burner.runtime()] {
            let mut chain = Chain::new(Coin::Own);
            chain.contract(GOOD, &code);
            let message = message(0, word_of(GOOD), &vec![0xff; body]);
            let (_, used, done) = chain.deliver(&message);
            let (cost, charged) = (done.gas_used - used, DELIVERY_GAS + BYTE_GAS * body as u64);
            assert!(cost <= charged, "{body} bytes: {cost} of {charged}");
        }
    }
}

#[test]
fn an_account_that_delegates_takes_messages() {
    let mut chain = Chain::new(Coin::Own);
    chain.contract(Address::repeat_byte(0x61), &witness());
    let delegation = [&[0xef, 0x01, 0x00][..], &[0x61; 20]].concat();
    chain.contract(GOOD, &delegation);
    let message = message(0, word_of(GOOD), b"");
    let (status, used, done) = chain.deliver(&message);
    assert_eq!(status, DELIVERED);
    assert_eq!(word(&chain, GOOD, 0), U256::from(message.terms.gas_limit - 2));
    assert!(done.gas_used - used <= DELIVERY_GAS);
}
