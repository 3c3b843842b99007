//! Deposits: minted first, never skipped, free, and a nonce each whatever happens.

use alloy_primitives::{TxKind, U256};
use causeway_chainspec::Fork;
use revm::bytecode::opcode::*;

use super::*;

fn account(output: &BlockOutput, address: Address) -> Account {
    output.diff.accounts[&address].account.unwrap()
}

#[test]
fn a_deposit_mints_then_pays_and_returns_data() {
    let mut state = Memory::users();
    let to = addr(0x10);
    // Returns what BASEFEE and GASPRICE are.
    let code = [BASEFEE, PUSH0, MSTORE, GASPRICE, PUSH1, 32, MSTORE, PUSH1, 64, PUSH0, RETURN];
    state.contract(to, code);
    let output = advance(&mut state, Fork::Prague, &[deposit(0x20, to.into(), 100, 40, &[])]);
    assert_eq!((output.minted, output.burnt), (U256::from(100), U256::ZERO));
    let sender = account(&output, addr(0x20));
    assert_eq!((sender.balance, sender.nonce), (U256::from(60), 1));
    assert_eq!(account(&output, to).balance, U256::from(40));
    let outcome = &output.outcomes[0];
    assert!(outcome.success && output.receipts[0].success);
    assert_eq!(outcome.output[..32], U256::from(BASE_FEE).to_be_bytes::<32>());
    assert_eq!(outcome.output[32..], [0; 32]);
    assert_eq!(outcome.gas_used, output.receipts[0].gas_used);
    assert!(outcome.gas_used > 21_000 && outcome.gas_used < 22_000);
    assert!(!output.diff.accounts.contains_key(&addr(0xbe)));
}

#[test]
fn mint_and_nonce_stay_when_the_call_fails() {
    let mut state = Memory::users();
    state.contract(addr(0x10), [PUSH1, 1, PUSH0, MSTORE, PUSH1, 32, PUSH0, REVERT]);
    state.contract(addr(0x11), [INVALID]);
    let txs = [
        deposit(0x20, addr(0x10).into(), 100, 40, &[]),
        deposit(0x20, addr(0x11).into(), 100, 40, &[]),
        // more than there is, and less gas than it needs
        deposit(0x20, addr(0x12).into(), 100, 301, &[]),
        deposit(0x20, addr(0x12).into(), 100, 1, &[1; 100_000]),
        deposit(0x20, TxKind::Create, 100, 1_000, &[STOP]),
        deposit(0x20, TxKind::Create, 100, 1, &[0; 50_000]),
    ];
    let output = advance(&mut state, Fork::Prague, &txs);
    assert!(output.receipts.iter().all(|receipt| !receipt.success && receipt.logs.is_empty()));
    let sender = account(&output, addr(0x20));
    assert_eq!((sender.balance, sender.nonce), (U256::from(600), 6));
    assert_eq!(output.minted, U256::from(600));
    assert_eq!(output.outcomes[0].output.len(), 32);
    let gas: Vec<_> = output.receipts[1..].iter().map(|receipt| receipt.gas_used).collect();
    assert_eq!(gas, [1_000_000; 5]);
    let nonces: Vec<_> = output.receipts.iter().map(|receipt| receipt.deposit_nonce).collect();
    assert_eq!(nonces, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_creation_uses_the_nonce_it_reports() {
    let mut state = Memory::users();
    let txs = [
        deposit(1, addr(9).into(), 0, 0, &[]),
        deposit(1, TxKind::Create, 0, 5, &init(&[STOP])),
        deposit(1, TxKind::Create, 0, 5, &[INVALID]),
    ];
    let output = advance(&mut state, Fork::Prague, &txs);
    let created: Vec<_> = output.receipts.iter().map(|receipt| receipt.contract_address).collect();
    assert_eq!(created, [None, Some(addr(1).create(1)), Some(addr(1).create(2))]);
    assert_eq!(account(&output, addr(1)).nonce, 3);
}

#[test]
fn a_contract_can_be_the_sender_and_no_budget_holds_a_deposit_back() {
    let mut state = Memory::users();
    state.contract(addr(0x10), [STOP]);
    let mut env = env(Fork::Osaka);
    (env.gas_available, env.bytes_available) = (0, 0);
    let mut big = deposit(0x10, addr(9).into(), 1, 0, &[1; 3000]);
    if let TxEnvelope::Deposit(inner) = &big.envelope {
        let mut inner = inner.inner().clone();
        inner.gas_limit = 100_000_000;
        big = Arc::new(Tx::deposit(inner));
    }
    let output = run(&state, &env, &[big, call(1, 0, addr(9))]);
    assert!(output.receipts[0].success);
    assert_eq!((output.included.len(), output.skipped.len()), (1, 1));
    assert_eq!(account(&output, addr(0x10)).nonce, 2);
}

#[test]
fn a_mint_that_fits_no_balance_is_not_counted() {
    let mut state = Memory::default();
    let full = Account { balance: U256::MAX, ..Default::default() };
    state.accounts.insert(addr(0x20), full);
    let output = run(&state, &env(Fork::Prague), &[deposit(0x20, addr(9).into(), 1, 0, &[])]);
    assert_eq!((output.minted, account(&output, addr(0x20)).balance), (U256::ZERO, U256::MAX));
}
