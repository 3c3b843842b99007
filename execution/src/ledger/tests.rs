//! What only this VM does. What every VM does is in the seam suites.

use std::collections::BTreeMap;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{B256, Signature, U256, keccak256};
use alloy_sol_types::{Revert, SolCall, SolError};
use causeway_chainspec::mailbox::{
    self as abi, COURIER, Coin, LaneStatus, LaneWord, MAILBOX, layout,
};
use causeway_chainspec::{
    Account, AccountDiff, DeliveryStatus, Message, StateDiff, Terms, TxError,
};
use op_alloy_consensus::TxDeposit;

use super::*;
use crate::overlay::Empty;

const USER: Address = Address::repeat_byte(1);
const THERE: u32 = 77;

fn env(fork: Fork) -> BlockEnv {
    BlockEnv {
        chain_id: 1,
        number: 10,
        time_ms: 5_999,
        fork,
        beneficiary: Address::ZERO,
        gas_limit: 1 << 30,
        gas_available: 1 << 30,
        bytes_available: 1 << 20,
        base_fee: 1,
        mix_hash: B256::ZERO,
        difficulty: U256::ZERO,
        blob_base_fee: 1,
    }
}

fn reason(envelope: TxEnvelope, fork: Fork) -> Option<SkipReason> {
    let (raw, hash, sender) = (Bytes::new(), B256::ZERO, Address::ZERO);
    Ledger.check(&Tx { raw, hash, sender, envelope }, &env(fork)).err()
}

#[test]
fn what_needs_a_machine_is_refused_before_it_is_taken() {
    let sign = Signature::test_signature;
    let to = TxKind::Call(Address::ZERO);
    let plain = TxEip2930 { chain_id: 1, gas_limit: 50_000, to, ..Default::default() };
    let envelope = |tx: TxEip2930| TxEnvelope::Eip2930(tx.into_signed(sign()));
    assert_eq!(reason(envelope(plain.clone()), Fork::Prague), None);
    let item = AccessListItem { address: Address::ZERO, storage_keys: Vec::new() };
    let listed = TxEip2930 { access_list: AccessList(vec![item]), ..plain.clone() };
    let unsupported = |what: &str| Some(SkipReason::Unsupported(what.into()));
    assert_eq!(reason(envelope(listed), Fork::Prague), unsupported("access lists"));
    let creation = TxEip2930 { to: TxKind::Create, ..plain.clone() };
    assert_eq!(reason(envelope(creation), Fork::Prague), unsupported("creation"));
    let authorize = TxEip7702 { chain_id: 1, gas_limit: 50_000, ..Default::default() };
    let authorize = || TxEnvelope::Eip7702(authorize.clone().into_signed(sign()));
    assert_eq!(reason(authorize(), Fork::Prague), unsupported("authorizations"));
    assert_eq!(reason(authorize(), Fork::Cancun), Some(TxError::Type.into()));
    let blobs = TxEip4844 { chain_id: 1, gas_limit: 50_000, ..Default::default() };
    let blobs = TxEnvelope::Eip4844(blobs.into_signed(sign()));
    assert_eq!(reason(blobs, Fork::Prague), unsupported("blobs"));
    let big = TxEip2930 { gas_limit: (1 << 24) + 1, ..plain };
    let cap = SkipReason::GasLimit { have: (1 << 24) + 1, most: 1 << 24 };
    assert_eq!(reason(envelope(big), Fork::Osaka), Some(cap));
}

/// A member with one open lane and one rich user.
fn member(coin: Coin) -> StateDiff {
    let mailbox = Account { nonce: 1, bytecode_hash: Some(keccak256([0])), ..Default::default() };
    let lane = LaneWord { status: LaneStatus::Active, gas_price: 3, ..Default::default() };
    let storage = BTreeMap::from([
        (layout::LOCAL_DOMAIN, U256::from(5)),
        (layout::COIN, U256::from(coin as u8)),
        (layout::HUB_ASSET, U256::from(9)),
        (layout::lane(THERE), lane.to_slot()),
    ]);
    let mut state = StateDiff::default();
    let mailbox = AccountDiff { account: Some(mailbox), storage, wiped: false };
    state.accounts.insert(MAILBOX, mailbox);
    state.accounts.insert(USER, AccountDiff { account: Some(rich()), ..Default::default() });
    state
}

fn rich() -> Account {
    Account { balance: U256::from(1u64 << 60), ..Default::default() }
}

fn signed_tx(gas_limit: u64, value: u64, input: Vec<u8>) -> Arc<Tx> {
    let tx = TxEip1559 {
        chain_id: 1,
        gas_limit,
        max_fee_per_gas: 1,
        to: MAILBOX.into(),
        value: U256::from(value),
        input: input.into(),
        ..Default::default()
    };
    let envelope = TxEnvelope::Eip1559(tx.into_signed(Signature::test_signature()));
    let (raw, hash) = (Bytes::new(), B256::ZERO);
    Arc::new(Tx { raw, hash, sender: USER, envelope })
}

fn execute(below: &StateDiff, tx: Arc<Tx>) -> BlockOutput {
    let state = StateOver { diff: below, below: &Empty };
    Ledger.execute(&state, &env(Fork::Prague), &[tx], &Stop::never()).unwrap()
}

fn dispatch() -> Vec<u8> {
    abi::dispatchCall {
        destinationDomain: THERE,
        recipientAddress: B256::ZERO,
        messageBody: Bytes::new(),
    }
    .abi_encode()
}

const FEE: u64 = 260_000 * 3;

#[test]
fn a_call_costs_what_it_leaves_in_state_and_needs_gas_for_it() {
    let below = member(Coin::Own);
    let intrinsic = TRANSFER_GAS + 4 * calldata_tokens(&dispatch());
    let price = intrinsic + mailbox::CALL_GAS;
    let output = execute(&below, signed_tx(price, FEE, dispatch()));
    assert_eq!((output.receipts[0].success, output.gas_used), (true, price));
    assert_eq!(output.outbox.len(), 1);
    // One gas less, or a mistake, changes nothing but what the gas costs.
    for (gas_limit, value, used) in [(price - 1, FEE, price - 1), (1 << 20, FEE - 1, price)] {
        let output = execute(&below, signed_tx(gas_limit, value, dispatch()));
        let receipt = &output.receipts[0];
        assert_eq!((receipt.success, receipt.gas_used), (false, used));
        assert!(receipt.logs.is_empty() && output.outbox.is_empty());
        let changed: Vec<_> = output.diff.accounts.keys().collect();
        assert_eq!(changed, [&USER]);
        let balance = output.diff.accounts[&USER].account.unwrap().balance;
        assert_eq!(balance, rich().balance - U256::from(used));
    }
    // A body so long that its bytes cost more.
    let long = abi::dispatchCall {
        destinationDomain: THERE,
        recipientAddress: B256::ZERO,
        messageBody: vec![1; 9_000].into(),
    };
    let (input, value) = (long.abi_encode(), FEE + 9_000 * 40 * 3);
    let floor = transfer_gas(&input, Fork::Prague);
    assert_eq!(execute(&below, signed_tx(1 << 20, value, input)).gas_used, floor);
}

#[test]
fn only_calls_of_a_member_are_for_the_mailbox() {
    let below = member(Coin::Own);
    let output = execute(&below, signed_tx(100_000, 5, Vec::new()));
    assert_eq!(output.skipped, [(0, SkipReason::Unsupported("contract calls".into()))]);
    // Elsewhere the address is one as any other.
    let mut alone = below;
    alone.accounts.remove(&MAILBOX);
    let output = execute(&alone, signed_tx(100_000, 5, dispatch()));
    assert!(output.receipts[0].success && output.outbox.is_empty());
    assert_eq!(output.diff.accounts[&MAILBOX].account.unwrap().balance, U256::from(5));
}

fn call(input: Vec<u8>, overrides: StateDiff) -> CallOutput {
    let below = member(Coin::Own);
    let state = StateOver { diff: &below, below: &Empty };
    let (to, input) = (MAILBOX.into(), input.into());
    let call = Call { from: USER, to, gas_limit: 1 << 20, input, overrides, ..Call::default() };
    Ledger.call(&state, &env(Fork::Prague), &call).unwrap()
}

#[test]
fn clients_are_told_why_and_see_overridden_state() {
    let why = |output: &CallOutput| {
        assert_eq!(output.result, CallResult::Revert);
        Revert::abi_decode(&output.output).unwrap().reason
    };
    let none = StateDiff::default;
    assert_eq!(why(&call(dispatch(), none())), format!("0 wei sent where {FEE} are needed"));
    assert_eq!(why(&call(vec![1, 2], none())), "no function is named");
    let unknown = why(&call(vec![1, 2, 3, 4], none()));
    assert_eq!(unknown, "the Mailbox has no such function on this chain");
    let torn = why(&call(dispatch()[..40].to_vec(), none()));
    assert_eq!(torn, "these are no arguments of dispatch(uint32,bytes32,bytes)");
    let mut paused = none();
    let word = LaneWord { status: LaneStatus::Paused, ..Default::default() };
    let account = member(Coin::Own).accounts[&MAILBOX].account;
    let storage = BTreeMap::from([(layout::lane(THERE), word.to_slot())]);
    paused.accounts.insert(MAILBOX, AccountDiff { account, storage, wiped: false });
    assert_eq!(why(&call(dispatch(), paused)), "the lane to 77 is paused");
}

#[test]
fn a_chain_with_a_coin_of_its_own_cannot_hold_the_hubs() {
    let below = member(Coin::Own);
    let transfer = abi::transferRemoteCall {
        destination: THERE,
        recipient: abi::word_of(USER),
        amount: U256::ONE,
    };
    let output = execute(&below, signed_tx(1 << 20, 1 << 40, transfer.abi_encode()));
    assert!(!output.receipts[0].success);
    for (coin, want) in
        [(Coin::Own, DeliveryStatus::Malformed), (Coin::Hub, DeliveryStatus::Delivered)]
    {
        let mut below = member(coin);
        let mailbox = below.accounts.get_mut(&MAILBOX).unwrap();
        mailbox.account.as_mut().unwrap().balance = U256::ONE;
        let words = [U256::from_be_slice(USER.as_slice()), U256::ONE, U256::from(9), U256::ZERO];
        let message = Message {
            nonce: 0,
            origin: THERE,
            sender: abi::word_of(MAILBOX),
            destination: 5,
            recipient: abi::word_of(MAILBOX),
            body: words.map(B256::from).concat().into(),
            terms: Terms::default(),
        };
        let message = message.encode_packed().into();
        let input = abi::deliverCall { message, gasLimit: 150_000 }.abi_encode().into();
        let deposit = TxDeposit {
            from: COURIER,
            to: MAILBOX.into(),
            gas_limit: 200_000,
            input,
            ..Default::default()
        };
        let output = execute(&below, Arc::new(Tx::deposit(deposit)));
        let returned = &output.outcomes[0].output;
        let ended = abi::deliverCall::abi_decode_returns_validate(returned).unwrap();
        assert_eq!((ended.status, ended.gasUsed), (want as u8, 0));
        assert_eq!(output.receipts[0].gas_used, output.outcomes[0].gas_used);
    }
}
