//! What is skipped, with which words, and that it leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use alloy_consensus::{TxEip2930, TxEip7702};
use alloy_primitives::{TxKind, U256};
use causeway_chainspec::{Fork, SkipReason, StateError, Tx, TxEnvelope};
use proptest::prelude::*;
use revm::bytecode::opcode::*;

use super::*;
use crate::VmError;

/// Adds 1 to its slot 0 and keeps the value it got.
const COUNTER: &[u8] = &[PUSH0, SLOAD, PUSH1, 1, ADD, PUSH0, SSTORE, STOP];

fn world() -> Memory {
    let mut state = Memory::users();
    state.contract(addr(0x10), COUNTER);
    state.contract(addr(0x11), [INVALID]);
    state
}

/// Every way to be left out, for a user whose next nonce is `nonce`, with the text that tells it.
fn rejected(nonce: u64) -> Vec<(Arc<Tx>, &'static str)> {
    let to = TxKind::Call(addr(0x10));
    let make = |change: fn(&mut TxEip1559)| edit(2, nonce, to, 0, &[], change);
    vec![
        (tx(2, nonce + 1, to, 0, &[]), "nonce too high: next nonce"),
        (tx(2, nonce, to, 200 * ETHER, &[]), "insufficient funds for gas * price + value: have"),
        (make(|tx| tx.max_fee_per_gas = u128::MAX), "insufficient funds for gas * price + value"),
        (
            make(|tx| (tx.max_fee_per_gas, tx.max_priority_fee_per_gas) = (6, 1)),
            "max fee per gas less than block base fee: maxFeePerGas: 6, baseFee: 7",
        ),
        (
            make(|tx| tx.max_priority_fee_per_gas = 101),
            "max priority fee per gas higher than max fee per gas",
        ),
        (make(|tx| tx.gas_limit = 20_999), "intrinsic gas too low: have 20999, want 21000"),
        (
            make(|tx| (tx.gas_limit, tx.input) = (39_999, vec![1; 475].into())),
            "intrinsic gas too low: have 39999, want 40000",
        ),
        (make(|tx| tx.chain_id = 1), "invalid chain id for signer: have 1 want 4242"),
        (
            make(|tx| tx.gas_limit = 30_000_001),
            "exceeds block gas limit: gas limit 30000001, most 30000000",
        ),
        (make(|tx| tx.gas_limit = 30_000_000), "gas limit reached: the block has"),
        (
            edit(2, nonce, TxKind::Create, 0, &[0; 49_153], |tx| tx.gas_limit = 9_000_000),
            "max initcode size exceeded: code size 49153 limit 49152",
        ),
        (legacy(2, nonce, Some(5), 10), "invalid chain id for signer: have 5 want 4242"),
        (call(4, 0, addr(0x10)), "insufficient funds for gas * price + value: have 0 want"),
    ]
}

#[test]
fn a_skip_at_every_position_leaves_nothing_behind() {
    let state = world();
    let good: Vec<_> = (0..4).map(|nonce| call(1, nonce, addr(0x10))).collect();
    let clean = run(&state, &env(Fork::Prague), &good);
    assert!(clean.skipped.is_empty());
    for position in 1..=good.len() {
        for (bad, text) in rejected(0) {
            let mut txs = good.clone();
            txs.insert(position, bad);
            let output = run(&state, &env(Fork::Prague), &txs);
            let (index, reason) = &output.skipped[0];
            assert_eq!((*index, output.skipped.len()), (position, 1), "{reason}");
            assert!(reason.to_string().starts_with(text), "{reason}");
            assert_eq!((&output.diff, &output.receipts), (&clean.diff, &clean.receipts), "{text}");
            assert_eq!((output.gas_used, output.burnt), (clean.gas_used, clean.burnt));
            assert_eq!((output.included.len(), output.attempted), (4, 5));
        }
    }
}

#[test]
fn a_halt_between_two_dependent_transactions_changes_only_its_sender() {
    let state = world();
    let txs = [call(1, 0, addr(0x10)), call(2, 0, addr(0x11)), call(1, 1, addr(0x10))];
    let output = run(&state, &env(Fork::Prague), &txs);
    let results: Vec<_> = output.receipts.iter().map(|receipt| receipt.success).collect();
    assert_eq!(results, [true, false, true]);
    assert_eq!(output.receipts[1].gas_used, 2_000_000);
    // What the first warmed or changed is cold and original again for the third.
    assert_eq!(output.receipts[0].gas_used - output.receipts[2].gas_used, 20_000 - 2_900);
    let changed: Vec<_> = output.diff.accounts.keys().copied().collect();
    let mut expected = vec![addr(1), addr(2), addr(0x10), addr(0xbe)];
    expected.sort();
    assert_eq!(changed, expected);
}

#[test]
fn transactions_that_earlier_ones_make_invalid_are_skipped() {
    let state = world();
    // The balance is drained, the nonce is used.
    let drain = 100 * ETHER - 2_000_000 * 100;
    let txs = [
        tx(1, 0, addr(5).into(), drain, &[]),
        tx(1, 1, addr(5).into(), ETHER, &[]),
        tx(1, 0, addr(5).into(), 0, &[]),
    ];
    let output = run(&state, &env(Fork::Prague), &txs);
    let texts: Vec<_> = output.skipped.iter().map(|(_, reason)| reason.to_string()).collect();
    assert!(texts[0].starts_with("insufficient funds"), "{texts:?}");
    assert_eq!(texts[1], "nonce too low: next nonce 1, tx nonce 0");
}

#[test]
fn types_belong_to_forks_and_vms() {
    let state = world();
    let authorize = TxEip7702 {
        chain_id: CHAIN,
        gas_limit: 100_000,
        max_fee_per_gas: 100,
        ..Default::default()
    };
    let authorize = unsigned(addr(1), TxEnvelope::Eip7702(signed(authorize)));
    let access = TxEip2930 {
        chain_id: CHAIN,
        gas_limit: 30_000,
        gas_price: 10,
        to: addr(9).into(),
        ..Default::default()
    };
    let access = unsigned(addr(1), TxEnvelope::Eip2930(signed(access)));
    let reason = |fork, tx: &Arc<Tx>| {
        let checked = Evm::default().check(tx, &env(fork)).err();
        let output = run(&state, &env(fork), std::slice::from_ref(tx));
        let skipped = output.skipped.into_iter().next().map(|(_, reason)| reason);
        assert_eq!(checked, skipped);
        skipped.map(|reason| reason.to_string())
    };
    let unknown = Some("transaction type not valid: transaction type not supported".to_owned());
    let empty = Some("EIP-7702 transaction with empty auth list".to_owned());
    assert_eq!(reason(Fork::Cancun, &authorize), unknown);
    assert_eq!(reason(Fork::Prague, &authorize), empty);
    assert_eq!(reason(Fork::Prague, &access), None);
    assert_eq!(reason(Fork::Prague, &legacy(1, 0, None, 10)), None);
    assert_eq!(reason(Fork::Prague, &legacy(1, 0, Some(CHAIN), 10)), None);
}

#[test]
fn osaka_caps_the_gas_of_a_transaction() {
    let state = world();
    let big = edit(1, 0, addr(0x10).into(), 0, &[], |tx| tx.gas_limit = (1 << 24) + 1);
    let reason = SkipReason::GasLimit { have: (1 << 24) + 1, most: 1 << 24 };
    assert_eq!(Evm::default().check(&big, &env(Fork::Osaka)), Err(reason.clone()));
    assert_eq!(run(&state, &env(Fork::Osaka), std::slice::from_ref(&big)).skipped, [(0, reason)]);
    assert!(run(&state, &env(Fork::Prague), &[big]).skipped.is_empty());
}

#[test]
fn check_knows_intrinsic_gas_and_cost() {
    let facts = Evm::default().check(&tx(1, 0, addr(9).into(), 5, &[1; 100]), &env(Fork::Prague));
    let facts = facts.unwrap();
    assert_eq!(facts.intrinsic_gas, 21_000 + 100 * 40);
    assert_eq!(facts.max_cost, U256::from(2_000_000 * 100 + 5));
    let facts = Evm::default().check(&tx(1, 0, TxKind::Create, 0, &[1; 100]), &env(Fork::Prague));
    assert_eq!(facts.unwrap().intrinsic_gas, 53_000 + 100 * 16 + 4 * 2);
}

#[test]
fn a_sender_with_code_is_no_eoa() {
    let mut state = world();
    state.contract(addr(1), [STOP]);
    let txs = [tx(1, 1, addr(9).into(), 0, &[])];
    assert_eq!(run(&state, &env(Fork::Prague), &txs).skipped, [(0, SkipReason::SenderNotEoa)]);
}

#[test]
fn budgets_of_the_block_bound_gas_and_bytes() {
    let state = world();
    let mut env = env(Fork::Prague);
    let txs: Vec<_> = (0..3).map(|nonce| call(1, nonce, addr(9))).collect();
    env.gas_available = 2_000_000 + 21_000;
    let output = run(&state, &env, &txs);
    assert_eq!(output.included, [0, 1]);
    let full = SkipReason::BlockFull { have: 2_000_000, left: 2_000_000 - 21_000 };
    assert_eq!(output.skipped, [(2, full)]);
    env.gas_available = u64::MAX;
    env.bytes_available = 2 * txs[0].raw.len() as u64;
    let output = run(&state, &env, &txs);
    assert_eq!(output.included, [0, 1]);
    let full = SkipReason::BytesFull { have: txs[2].raw.len() as u64, left: 0 };
    assert!(full.to_string().starts_with("byte limit reached: the block has 0"));
    assert_eq!(output.skipped, [(2, full)]);
}

#[test]
fn trouble_with_state_is_an_error_and_no_skip() {
    let mut state = world();
    state.broken = true;
    let txs = [call(1, 0, addr(0x10))];
    let result = Evm::default().execute(&state, &env(Fork::Prague), &txs, &Stop::never());
    assert_eq!(result.err(), Some(VmError::State(StateError("disk gone".into()))));
    // In the middle of a frame too: the code of the callee is gone.
    let mut state = world();
    state.codes.clear();
    let result = Evm::default().execute(&state, &env(Fork::Prague), &txs, &Stop::never());
    assert!(
        matches!(result.err(), Some(VmError::State(StateError(text))) if text.contains("missing"))
    );
}

#[test]
fn stop_ends_the_block_before_the_next_signed_transaction() {
    let stop = Stop::on(Arc::new(AtomicBool::new(true)));
    let txs = [deposit(5, addr(6).into(), 10, 4, &[]), call(1, 0, addr(9))];
    let output = Evm::default().execute(&world(), &env(Fork::Prague), &txs, &stop).unwrap();
    assert_eq!((output.attempted, output.included.as_slice()), (1, &[0][..]));
    assert!(output.skipped.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A block and the block of only what it included are the same block.
    #[test]
    fn skipped_transactions_might_as_well_not_be_there(
        picks in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..20),
    ) {
        let state = world();
        let mut nonce = 0;
        let txs: Vec<_> = picks.iter().map(|(good, index)| {
            let bad = rejected(0);
            if *good {
                nonce += 1;
                call(1, nonce - 1, addr(0x10))
            } else {
                bad[index.index(bad.len())].0.clone()
            }
        }).collect();
        let env = env(Fork::Prague);
        let output = run(&state, &env, &txs);
        let kept: Vec<_> = output.included.iter().map(|index| txs[*index].clone()).collect();
        let again = run(&state, &env, &kept);
        prop_assert_eq!(again.skipped.len(), 0);
        prop_assert_eq!(&output.diff, &again.diff);
        prop_assert_eq!(&output.receipts, &again.receipts);
    }
}
