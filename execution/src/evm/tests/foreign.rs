//! Rules of blocks that our chains never make: forks before Prague, and blobs.

use alloy_consensus::{TxEip2930, TxEip4844};
use alloy_primitives::{B256, TxKind, U256};
use causeway_chainspec::{BlockEnv, Fork, TxEnvelope};
use revm::bytecode::opcode::*;

use super::*;

/// Puts DIFFICULTY, or what became of it, into its slot 0.
const DIFFICULT: &[u8] = &[DIFFICULTY, PUSH1, 0, SSTORE, STOP];
/// Gas of one blob.
const BLOB_GAS: u64 = 1 << 17;

/// A block of a fork, without a base fee where there was none.
fn old(fork: Fork) -> BlockEnv {
    let base_fee = if fork < Fork::London { 0 } else { BASE_FEE };
    BlockEnv { base_fee, difficulty: U256::from(1234), ..env(fork) }
}

fn blobs(count: usize, first_byte: u8) -> Arc<Tx> {
    let tx = TxEip4844 {
        chain_id: CHAIN,
        gas_limit: 21_000,
        max_fee_per_gas: 100,
        to: addr(0x99),
        max_fee_per_blob_gas: 9,
        blob_versioned_hashes: vec![B256::repeat_byte(first_byte); count],
        ..Default::default()
    };
    unsigned(addr(1), TxEnvelope::Eip4844(signed(tx)))
}

#[test]
fn an_empty_account_exists_until_eip_161() {
    let mut state = Memory::users();
    for fork in Fork::ALL {
        let output = run(&state, &old(fork), &[legacy(1, 0, None, 10)]);
        let touched = output.diff.accounts.get(&addr(0x99)).map(|it| it.account);
        let expected = (fork < Fork::SpuriousDragon).then(|| Some(Account::default()));
        assert_eq!(touched, expected, "{fork:?}");
    }
    // One that is there since then goes when it is touched.
    state.accounts.insert(addr(0x99), Account::default());
    for fork in Fork::ALL {
        let output = run(&state, &old(fork), &[legacy(1, 0, None, 10)]);
        let touched = output.diff.accounts.get(&addr(0x99)).map(|it| it.account);
        assert_eq!(touched, (fork >= Fork::SpuriousDragon).then_some(None), "{fork:?}");
    }
}

#[test]
fn nothing_burns_before_london() {
    let state = Memory::users();
    for fork in Fork::ALL {
        let output = run(&state, &old(fork), &[legacy(1, 0, None, 10)]);
        let burnt = if fork < Fork::London { 0 } else { 21_000 * BASE_FEE };
        assert_eq!((output.gas_used, output.burnt), (21_000, U256::from(burnt)), "{fork:?}");
    }
}

#[test]
fn difficulty_is_randomness_since_paris() {
    let mut state = Memory::users();
    state.contract(addr(0x10), DIFFICULT);
    for fork in [Fork::Frontier, Fork::London, Fork::Paris, Fork::Osaka] {
        let tx = TxLegacy {
            gas_price: 10,
            gas_limit: 100_000,
            to: addr(0x10).into(),
            ..Default::default()
        };
        let tx = unsigned(addr(1), TxEnvelope::Legacy(signed(tx)));
        let env = old(fork);
        let output = run(&state, &env, &[tx]);
        let word = if fork < Fork::Paris { env.difficulty } else { env.mix_hash.into() };
        assert_eq!(output.diff.accounts[&addr(0x10)].storage[&U256::ZERO], word, "{fork:?}");
    }
}

#[test]
fn types_and_replay_protection_begin_with_their_forks() {
    let state = Memory::users();
    let access = TxEip2930 {
        chain_id: CHAIN,
        gas_limit: 30_000,
        gas_price: 10,
        to: addr(9).into(),
        ..Default::default()
    };
    let cases = [
        (legacy(1, 0, None, 10), Fork::Frontier),
        (legacy(1, 0, Some(CHAIN), 10), Fork::SpuriousDragon),
        (unsigned(addr(1), TxEnvelope::Eip2930(signed(access))), Fork::Berlin),
        (call(1, 0, addr(9)), Fork::London),
        (blobs(1, 1), Fork::Cancun),
    ];
    for (tx, since) in cases {
        for fork in Fork::ALL {
            let env = old(fork);
            let output = run(&state, &env, std::slice::from_ref(&tx));
            assert_eq!(output.skipped.is_empty(), fork >= since, "{since:?} in {fork:?}");
            assert_eq!(Evm::default().check(&tx, &env).is_ok(), fork >= since);
        }
    }
}

#[test]
fn creations_are_cheap_and_weak_in_frontier() {
    let state = Memory::users();
    // The code would cost 200 gas a byte: Frontier leaves the contract empty, Homestead fails.
    let init = [PUSH1, 32, PUSH1, 0, RETURN];
    let create = |gas_limit| {
        let (to, input) = (TxKind::Create, init.to_vec().into());
        let tx = TxLegacy { gas_price: 10, gas_limit, to, input, ..Default::default() };
        unsigned(addr(1), TxEnvelope::Legacy(signed(tx)))
    };
    let frontier = run(&state, &old(Fork::Frontier), &[create(23_000)]);
    assert!(frontier.receipts[0].success);
    let made = frontier.diff.accounts[&addr(1).create(0)].account;
    assert_eq!(made, Some(Account::default()));
    assert_eq!(run(&state, &old(Fork::Homestead), &[create(23_000)]).skipped.len(), 1);
    let homestead = run(&state, &old(Fork::Homestead), &[create(55_000)]);
    assert!(!homestead.receipts[0].success);
    assert!(!homestead.diff.accounts.contains_key(&addr(1).create(0)));
}

#[test]
fn blobs_burn_their_fee_and_are_limited() {
    let state = Memory::users();
    let env = |fork| BlockEnv { blob_base_fee: 5, ..old(fork) };
    let output = run(&state, &env(Fork::Cancun), &[blobs(2, 1)]);
    let burnt = 21_000 * BASE_FEE + 2 * BLOB_GAS * 5;
    assert_eq!((output.gas_used, output.burnt), (21_000, U256::from(burnt)));
    for (fork, most) in [(Fork::Cancun, 6), (Fork::Prague, 9), (Fork::Osaka, 6)] {
        let fits = |tx: Arc<Tx>, env: BlockEnv| {
            let skipped = run(&state, &env, std::slice::from_ref(&tx)).skipped;
            let checked = Evm::default().check(&tx, &env);
            assert_eq!(checked.err().as_ref(), skipped.first().map(|(_, reason)| reason));
            skipped.is_empty()
        };
        assert!(fits(blobs(most, 1), env(fork)), "{fork:?}");
        assert!(!fits(blobs(most + 1, 1), env(fork)), "{fork:?}");
        assert!(!fits(blobs(0, 1), env(fork)), "no blobs");
        assert!(!fits(blobs(1, 2), env(fork)), "an unknown version");
        assert!(!fits(blobs(1, 1), BlockEnv { blob_base_fee: 10, ..env(fork) }), "too cheap");
    }
}
