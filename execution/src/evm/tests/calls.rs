//! `call` and `preinstall`.

use alloy_primitives::{TxKind, U256};
use causeway_chainspec::{AccountDiff, Fork, SkipReason};
use revm::bytecode::opcode::*;

use super::*;
use crate::vm::CallResult;
use crate::{Call, CallOutput, VmError};

fn try_call(state: &Memory, call: &Call) -> Result<CallOutput, VmError> {
    Evm::default().call(state, &env(Fork::Prague), call)
}

fn ask(state: &Memory, to: Address) -> CallOutput {
    try_call(state, &Call { to: to.into(), gas_limit: 200_000, ..Default::default() }).unwrap()
}

fn returning(opcodes: &[u8]) -> Vec<u8> {
    [opcodes, &[PUSH0, MSTORE, PUSH1, 32, PUSH0, RETURN]].concat()
}

#[test]
fn endings_have_geths_names() {
    let mut state = Memory::users();
    for (code, text) in [
        (vec![JUMPDEST, PUSH0, JUMP], "out of gas"),
        (vec![INVALID], "invalid opcode: INVALID"),
        (vec![PUSH0, 0x0c], "invalid opcode: opcode 0xc not defined"),
        (vec![ADD], "stack underflow"),
        (vec![PUSH0, JUMP], "invalid jump destination"),
        (
            [[JUMPDEST, PUSH0, PUSH0].as_slice(), &[PUSH0, JUMP]].concat(),
            "stack limit reached 1024",
        ),
        (vec![PUSH1, 1, PUSH0, PUSH0, RETURNDATACOPY], "return data out of bounds"),
    ] {
        state.contract(addr(0x10), code);
        let output = ask(&state, addr(0x10));
        assert_eq!(output.result, CallResult::Halt(text.into()));
        assert_eq!(output.gas_used, 200_000);
    }
    state.contract(addr(0x10), [PUSH1, 7, PUSH0, MSTORE8, PUSH1, 1, PUSH0, REVERT]);
    let output = ask(&state, addr(0x10));
    assert_eq!((output.result, output.output), (CallResult::Revert, Bytes::from([7])));
}

#[test]
fn without_a_price_nothing_is_charged_and_nobody_must_exist() {
    let mut state = Memory::users();
    state.contract(addr(0x10), returning(&[BASEFEE, GASPRICE, ADD]));
    state.contract(addr(0x11), [STOP]);
    let mut call = Call {
        from: addr(0x70),
        to: addr(0x10).into(),
        gas_limit: 50_000_000,
        ..Default::default()
    };
    let output = try_call(&state, &call).unwrap();
    assert_eq!((output.result, &output.output[..]), (CallResult::Success, &[0; 32][..]));
    // A contract may call, over Osaka's cap too.
    call.from = addr(0x11);
    assert!(Evm::default().call(&state, &env(Fork::Osaka), &call).is_ok());
    // Value must be there all the same.
    call.value = U256::from(1);
    let reason = SkipReason::Funds { have: U256::ZERO, want: U256::from(1) };
    assert_eq!(try_call(&state, &call), Err(VmError::Invalid(reason)));
    (call.from, call.value) = (addr(1), U256::from(1));
    assert_eq!(try_call(&state, &call).unwrap().result, CallResult::Success);
}

#[test]
fn with_a_price_fees_are_as_in_a_block() {
    let mut state = Memory::users();
    state.contract(addr(0x10), returning(&[BASEFEE, GASPRICE, PUSH1, 100, MUL, ADD]));
    let mut call = Call {
        from: addr(1),
        to: addr(0x10).into(),
        gas_limit: 100_000,
        gas_price: 6,
        ..Default::default()
    };
    let reason = SkipReason::FeeTooLow { max_fee: 6, base_fee: BASE_FEE };
    assert_eq!(try_call(&state, &call), Err(VmError::Invalid(reason)));
    call.gas_price = 9;
    assert_eq!(try_call(&state, &call).unwrap().output[..], U256::from(907).to_be_bytes::<32>());
    call.from = addr(0x70);
    let reason = SkipReason::Funds { have: U256::ZERO, want: U256::from(900_000) };
    assert_eq!(try_call(&state, &call), Err(VmError::Invalid(reason)));
    call.gas_limit = 20_000;
    let reason = SkipReason::IntrinsicGas { have: 20_000, want: 21_000 };
    assert_eq!(try_call(&state, &call), Err(VmError::Invalid(reason)));
}

#[test]
fn refunds_are_told_before_their_cap() {
    let mut state = Memory::users();
    let to = addr(0x10);
    let clear = [PUSH0, PUSH0, SSTORE, PUSH0, PUSH1, 1, SSTORE, PUSH0, PUSH1, 2, SSTORE];
    state.contract(to, clear);
    (0..3).for_each(|key| state.set(to, key, 1));
    let output = ask(&state, to);
    assert_eq!(output.gas_refunded, 3 * 4_800);
    let spent = 21_000 + 3 * (5_000 + 2 + 2) + 2;
    assert_eq!(output.gas_used, spent - spent / 5);
}

#[test]
fn overrides_lie_over_the_snapshot() {
    let mut state = Memory::users();
    let to = addr(0x10);
    let read = returning(&[PUSH0, SLOAD, PUSH1, 1, SLOAD, PUSH1, 100, MUL, ADD]);
    state.contract(to, read.clone());
    state.set(to, 0, 3);
    state.set(to, 1, 4);
    let value = |state: &Memory, overrides: StateDiff| {
        let call = Call { to: to.into(), gas_limit: 100_000, overrides, ..Default::default() };
        U256::from_be_slice(&try_call(state, &call).unwrap().output).to::<u64>()
    };
    let account = state.accounts.get(&to).copied();
    let slot = |key, value| BTreeMap::from([(U256::from(key), U256::from(value))]);
    let diff = |wiped, storage| StateDiff {
        accounts: BTreeMap::from([(to, AccountDiff { account, wiped, storage })]),
        codes: BTreeMap::new(),
    };
    assert_eq!(value(&state, StateDiff::default()), 403);
    assert_eq!(value(&state, diff(false, slot(0, 9))), 409);
    assert_eq!(value(&state, diff(true, slot(0, 9))), 9);
    // Code at an address that has none, and a balance.
    let mut with_code = diff(true, slot(1, 1));
    with_code.codes.insert(keccak256(&read), read.into());
    state.accounts.remove(&to);
    state.codes.clear();
    assert_eq!(value(&state, with_code), 100);
}

#[test]
fn a_creation_tells_its_address_by_the_nonce_asked_for() {
    let state = Memory::users();
    let mut call = Call {
        from: addr(1),
        to: TxKind::Create,
        gas_limit: 100_000,
        input: init(&[STOP]).into(),
        ..Default::default()
    };
    assert_eq!(try_call(&state, &call).unwrap().created, Some(addr(1).create(0)));
    call.nonce = Some(7);
    let output = try_call(&state, &call).unwrap();
    assert_eq!(output.created, Some(addr(1).create(7)));
    assert_eq!(output.output, [STOP][..]);
}

#[test]
fn a_preinstall_ends_at_its_address_with_the_chain_id_in_it() {
    let mut state = Memory::users();
    let at = addr(0xcc);
    state.fund(at, 5);
    // Stores 1 in slot 2, then returns runtime code PUSH2 chain id: an immutable.
    let mut code = vec![PUSH1, 1, PUSH1, 2, SSTORE, PUSH1, PUSH2, PUSH0, MSTORE8];
    code.extend([CHAINID, PUSH1, 240, SHL, PUSH1, 1, MSTORE, PUSH1, 3, PUSH0, RETURN]);
    let code = Bytes::from(code);
    let evm = Evm::default();
    let diff = evm.preinstall(&state, &env(Fork::Prague), at, &code).unwrap();
    assert_eq!(diff.accounts.keys().collect::<Vec<_>>(), [&at]);
    state.apply(&diff);
    let account = state.accounts[&at];
    assert_eq!((account.nonce, account.balance), (1, U256::from(5)));
    let [high, low] = (CHAIN as u16).to_be_bytes();
    assert_eq!(state.codes[&account.bytecode_hash.unwrap()], [PUSH2, high, low][..]);
    assert_eq!(state.get(at, 2), 1);
    // There is something already; and a constructor that fails.
    for (at, code) in [(at, code), (addr(0xcd), Bytes::from([INVALID]))] {
        let error = evm.preinstall(&state, &env(Fork::Prague), at, &code).unwrap_err();
        assert!(error.to_string().starts_with("preinstall at"), "{error}");
    }
}
