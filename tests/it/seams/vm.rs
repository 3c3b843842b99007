//! What every VM promises: one suite, run over the table of VMs.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use causeway_chainspec::spec::{
    DaSpec, Fees, Gas, GenesisSpec, Kind, MetalayerSpec, Public, SequencerSpec, Token,
};
use causeway_chainspec::{
    Account, BlockEnv, ChainSpec, Fork, SkipReason, StateDiff, StateError, StateReader, Tx,
    TxEnvelope,
};
use causeway_execution::vm::CallResult;
use causeway_execution::{BlockOutput, Call, Stop, VMS, Vm, VmError};
use op_alloy_consensus::TxDeposit;
use proptest::prelude::*;

const CHAIN: u64 = 4242;
const BASE_FEE: u64 = 7;
const RICH: u64 = 1_000_000_000_000;

/// Runs a test on every VM.
fn on_all(test: impl Fn(&dyn Vm)) {
    let spec = spec();
    for (name, open) in VMS {
        println!("vm {name}");
        test(&*open(&spec).unwrap());
    }
}

pub(crate) fn spec() -> ChainSpec {
    ChainSpec {
        name: "seam".into(),
        short_name: "seam".into(),
        chain_id: CHAIN,
        kind: Kind::Devnet,
        vm: String::new(),
        gas: Gas {
            limit: 30_000_000,
            rate: 1_000,
            burst: 30_000_000,
            target: 500,
            rate_bytes: 1_000,
            burst_bytes: 1 << 20,
            limit_bytes: 1 << 20,
            limit_candidates: 1_000,
        },
        fees: Fees { min_base_fee: 1, floor: 0, denominator: 1 << 30, recipient: addr(0xbe) },
        token: Token { name: "Ether".into(), symbol: "ETH".into(), decimals: 18 },
        forks: vec![(Fork::Prague, 0)],
        da: DaSpec {
            layer: "memory".into(),
            interval_ms: 1_000,
            start: 0,
            options: Default::default(),
        },
        sequencer: SequencerSpec {
            mode: "single".into(),
            keys: Vec::new(),
            posters: Vec::new(),
            window_ms: 60_000,
            drift_ms: 10_000,
            forced_delay_ms: 10_000,
            lane_rate: 1_000,
            block_time_ms: 100,
            idle_ms: 1_000,
            options: Default::default(),
        },
        genesis: GenesisSpec { time_ms: 0, alloc: BTreeMap::new(), preinstalls: Vec::new() },
        metalayer: MetalayerSpec::none(4242),
        public: Public::default(),
        memo: Default::default(),
    }
}

/// Accounts in memory; no VM needs more for what all of them can do.
#[derive(Debug, Clone, Default, PartialEq)]
struct Memory(BTreeMap<Address, Account>);

impl Memory {
    /// Four users with a trillion wei each, and one contract.
    fn new() -> Self {
        let rich = Account { balance: U256::from(RICH), ..Default::default() };
        let mut accounts: BTreeMap<_, _> = (1..=4).map(|user| (addr(user), rich)).collect();
        let bytecode_hash = Some(keccak256([0]));
        accounts.insert(addr(0xcc), Account { nonce: 1, bytecode_hash, ..Default::default() });
        Self(accounts)
    }

    fn balance(&self, address: Address) -> u64 {
        self.0.get(&address).map_or(0, |account| account.balance.to())
    }

    fn supply(&self) -> U256 {
        self.0.values().map(|account| account.balance).sum()
    }

    fn after(&self, diff: &StateDiff) -> Self {
        let mut next = self.clone();
        for (address, change) in &diff.accounts {
            assert_ne!(self.0.get(address), change.account.as_ref(), "{address} did not change");
            match change.account {
                Some(account) => drop(next.0.insert(*address, account)),
                None => drop(next.0.remove(address)),
            }
        }
        next
    }
}

impl StateReader for Memory {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match address == addr(0xdd) {
            true => Err(StateError("this page is gone".into())),
            false => Ok(self.0.get(&address).copied()),
        }
    }
    fn slot(&self, _address: Address, _slot: U256) -> Result<U256, StateError> {
        Ok(U256::ZERO)
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        Ok((hash == keccak256([0])).then(|| Bytes::from([0])))
    }
    fn block_hash(&self, _number: u64) -> Result<Option<B256>, StateError> {
        Ok(None)
    }
}

fn addr(last: u8) -> Address {
    Address::with_last_byte(last).create(0)
}

fn env() -> BlockEnv {
    BlockEnv {
        chain_id: CHAIN,
        number: 1,
        time_ms: 1_700_000_000_000,
        fork: Fork::Prague,
        beneficiary: addr(0xbe),
        gas_limit: 30_000_000,
        gas_available: 30_000_000,
        bytes_available: 1 << 20,
        base_fee: BASE_FEE,
        mix_hash: B256::ZERO,
        difficulty: U256::ZERO,
        blob_base_fee: 1,
    }
}

fn unsigned(sender: Address, envelope: TxEnvelope) -> Arc<Tx> {
    let raw = Bytes::from(envelope.encoded_2718());
    Arc::new(Tx { hash: keccak256(&raw), raw, sender, envelope })
}

/// A transfer of `value` with a fee of 10 and a tip of 1.
fn transfer(from: u8, nonce: u64, to: u8, value: u64) -> Arc<Tx> {
    edit(from, nonce, |tx| (tx.to, tx.value) = (addr(to).into(), U256::from(value)))
}

fn edit<T>(from: u8, nonce: u64, edit: impl FnOnce(&mut TxEip1559) -> T) -> Arc<Tx> {
    let mut tx = TxEip1559 {
        chain_id: CHAIN,
        nonce,
        gas_limit: 30_000,
        max_fee_per_gas: 10,
        max_priority_fee_per_gas: 1,
        to: addr(9).into(),
        ..Default::default()
    };
    edit(&mut tx);
    let signed = tx.into_signed(Signature::test_signature());
    unsigned(addr(from), TxEnvelope::Eip1559(signed))
}

fn deposit(from: u8, to: u8, mint: u64, value: u64) -> Arc<Tx> {
    Arc::new(Tx::deposit(TxDeposit {
        source_hash: B256::ZERO,
        from: addr(from),
        to: addr(to).into(),
        mint: mint.into(),
        value: U256::from(value),
        gas_limit: 100_000,
        is_system_transaction: false,
        input: Bytes::new(),
    }))
}

fn run(vm: &dyn Vm, env: &BlockEnv, txs: &[Arc<Tx>]) -> BlockOutput {
    let state = Memory::new();
    let output = vm.execute(&state, env, txs, &Stop::never()).unwrap();
    let again = vm.execute(&state, env, txs, &Stop::never()).unwrap();
    assert_eq!(format!("{output:?}"), format!("{again:?}"), "the same twice");
    consistent(&output, txs);
    let supply = state.after(&output.diff).supply();
    assert_eq!(supply, state.supply() + output.minted - output.burnt);
    output
}

/// What holds for every output.
fn consistent(output: &BlockOutput, txs: &[Arc<Tx>]) {
    assert_eq!(output.included.len(), output.receipts.len());
    assert_eq!(output.attempted, output.included.len() + output.skipped.len());
    assert!(output.included.is_sorted() && output.skipped.is_sorted_by_key(|(index, _)| *index));
    let mut gas = 0;
    for receipt in &output.receipts {
        gas += receipt.gas_used;
        assert_eq!(receipt.cumulative_gas_used, gas);
    }
    assert_eq!(output.gas_used, gas);
    let deposits = output.included.iter().filter(|index| txs[**index].is_deposit()).count();
    assert_eq!(output.outcomes.len(), deposits);
    assert_eq!(txs[..output.attempted].iter().filter(|tx| tx.is_deposit()).count(), deposits);
}

#[test]
fn a_transfer_moves_value_burns_the_base_fee_and_tips() {
    on_all(|vm| {
        let output = run(vm, &env(), &[transfer(1, 0, 9, 500)]);
        let after = Memory::new().after(&output.diff);
        assert_eq!(output.receipts[0].gas_used, 21_000);
        assert!(output.receipts[0].success);
        assert_eq!(after.balance(addr(1)), RICH - 500 - 21_000 * 8);
        assert_eq!((after.balance(addr(9)), after.balance(addr(0xbe))), (500, 21_000));
        assert_eq!(output.burnt, U256::from(21_000 * BASE_FEE));
        assert_eq!(after.0[&addr(1)].nonce, 1);
    });
}

#[test]
fn calldata_costs_the_floor() {
    on_all(|vm| {
        let tx = edit(1, 0, |tx| tx.input = vec![0, 1, 2].into());
        let output = run(vm, &env(), std::slice::from_ref(&tx));
        assert_eq!(output.receipts[0].gas_used, 21_000 + 10 + 40 + 40);
        let facts = vm.check(&tx, &env()).unwrap();
        assert_eq!(facts.intrinsic_gas, 21_000 + 10 + 40 + 40);
        assert_eq!(facts.max_cost, U256::from(300_000));
    });
}

/// Transactions that no block takes from a user whose next nonce is 0, and how the reason begins.
/// The first ones are known without state.
fn invalid() -> Vec<(Arc<Tx>, bool, &'static str)> {
    let legacy = |chain_id| {
        let (gas_limit, to) = (21_000, addr(9).into());
        let tx = TxLegacy { chain_id, gas_price: 10, gas_limit, to, ..Default::default() };
        unsigned(addr(2), TxEnvelope::Legacy(tx.into_signed(Signature::test_signature())))
    };
    vec![
        (edit(2, 0, |tx| tx.chain_id = 1), true, "invalid chain id for signer: have 1 want 4242"),
        (legacy(Some(9)), true, "invalid chain id for signer: have 9 want 4242"),
        (
            edit(2, 0, |tx| tx.max_priority_fee_per_gas = 11),
            true,
            "max priority fee per gas higher than max fee per gas",
        ),
        (
            edit(2, 0, |tx| tx.gas_limit = 20_999),
            true,
            "intrinsic gas too low: have 20999, want 21000",
        ),
        (
            edit(2, 0, |tx| tx.gas_limit = 30_000_001),
            true,
            "exceeds block gas limit: gas limit 30000001, most 30000000",
        ),
        (
            edit(2, 0, |tx| (tx.max_fee_per_gas, tx.max_priority_fee_per_gas) = (6, 0)),
            false,
            "max fee per gas less than block base fee: maxFeePerGas: 6, baseFee: 7",
        ),
        (transfer(2, 1, 9, 1), false, "nonce too high: next nonce 0, tx nonce 1"),
        (transfer(2, 0, 9, RICH), false, "insufficient funds for gas * price + value: have 1000"),
        (transfer(0x70, 0, 9, 0), false, "insufficient funds for gas * price + value: have 0 want"),
        (edit(2, 0, |tx| tx.gas_limit = 30_000_000), false, "gas limit reached: the block has"),
        (edit(0xcc, 1, |_| ()), false, "sender not an eoa"),
    ]
}

#[test]
fn an_invalid_transaction_is_skipped_with_geths_words_and_changes_nothing() {
    on_all(|vm| {
        let good: Vec<_> = (0..3).map(|nonce| transfer(1, nonce, 9, 5)).collect();
        let clean = run(vm, &env(), &good);
        for (bad, stateless, text) in invalid() {
            assert_eq!(vm.check(&bad, &env()).is_err(), stateless, "{text}");
            for position in 1..=good.len() {
                let mut txs = good.clone();
                txs.insert(position, bad.clone());
                let output = run(vm, &env(), &txs);
                let (index, reason) = &output.skipped[0];
                assert_eq!((output.skipped.len(), *index), (1, position));
                assert!(reason.to_string().starts_with(text), "{reason}");
                assert_eq!((&output.diff, &output.receipts), (&clean.diff, &clean.receipts));
            }
        }
    });
}

#[test]
fn order_decides_and_nothing_is_tried_twice() {
    on_all(|vm| {
        let txs = [transfer(1, 1, 9, 1), transfer(1, 0, 9, 2), transfer(1, 0, 9, 3)];
        let output = run(vm, &env(), &txs);
        assert_eq!(output.included, [1]);
        let reasons = [
            (0, SkipReason::NonceTooHigh { state: 0, tx: 1 }),
            (2, SkipReason::NonceTooLow { state: 1, tx: 0 }),
        ];
        assert_eq!(output.skipped, reasons);
        // What came in before can be spent after.
        let txs = [transfer(0x70, 0, 9, 1), transfer(1, 0, 0x70, 900_000), transfer(0x70, 0, 9, 1)];
        assert_eq!(run(vm, &env(), &txs).included, [1, 2]);
    });
}

#[test]
fn a_full_block_skips_and_says_how_full_it_is() {
    on_all(|vm| {
        let txs: Vec<_> = (0..4).map(|nonce| transfer(1, nonce, 9, 1)).collect();
        let mut small = env();
        small.gas_available = 2 * 21_000 + 29_999;
        let output = run(vm, &small, &txs);
        assert_eq!(output.included, [0, 1]);
        assert_eq!(output.skipped[0].1, SkipReason::BlockFull { have: 30_000, left: 29_999 });
        small.gas_available = u64::MAX;
        small.bytes_available = 3 * txs[0].raw.len() as u64 + 1;
        let output = run(vm, &small, &txs);
        assert_eq!(output.included, [0, 1, 2]);
        assert!(output.skipped[0].1.to_string().starts_with("byte limit reached"));
        // Deposits ask nobody.
        (small.gas_available, small.bytes_available) = (0, 0);
        assert_eq!(run(vm, &small, &[deposit(8, 9, 5, 5)]).included, [0]);
    });
}

#[test]
fn a_deposit_is_never_skipped_and_keeps_mint_and_nonce() {
    on_all(|vm| {
        let txs = [
            deposit(8, 9, 100, 60),
            transfer(1, 5, 9, 1),
            // more than there is left
            deposit(8, 9, 1, 1_000),
            deposit(1, 9, 0, 1),
            transfer(1, 1, 9, 1),
        ];
        let output = run(vm, &env(), &txs);
        assert_eq!(output.included, [0, 2, 3, 4]);
        let success: Vec<_> = output.receipts.iter().map(|receipt| receipt.success).collect();
        assert_eq!(success, [true, false, true, true]);
        let nonces: Vec<_> = output.receipts.iter().map(|receipt| receipt.deposit_nonce).collect();
        assert_eq!(nonces, [0, 1, 0, 0]);
        let gas: Vec<_> = output.outcomes.iter().map(|outcome| outcome.gas_used).collect();
        assert_eq!(gas, [21_000, 100_000, 21_000]);
        let after = Memory::new().after(&output.diff);
        assert_eq!((after.balance(addr(8)), after.0[&addr(8)].nonce), (41, 2));
        assert_eq!(after.balance(addr(9)), 62);
        assert_eq!(output.minted, U256::from(101));
        assert!(vm.check(&txs[2], &env()).is_ok());
    });
}

#[test]
fn stop_is_looked_at_between_transactions() {
    on_all(|vm| {
        let stop = Stop::on(Arc::new(AtomicBool::new(true)));
        let txs = [deposit(8, 9, 5, 5), transfer(1, 0, 9, 1)];
        let output = vm.execute(&Memory::new(), &env(), &txs, &stop).unwrap();
        consistent(&output, &txs);
        assert_eq!((output.attempted, output.included.as_slice()), (1, &[0][..]));
    });
}

#[test]
fn state_that_cannot_be_read_is_an_error() {
    on_all(|vm| {
        let gone = VmError::State(StateError("this page is gone".into()));
        for tx in [transfer(1, 0, 0xdd, 1), transfer(0xdd, 0, 9, 1), deposit(1, 0xdd, 0, 1)] {
            let result = vm.execute(&Memory::new(), &env(), &[tx], &Stop::never());
            assert_eq!(result.err(), Some(gone.clone()));
        }
        let call = Call { to: addr(0xdd).into(), gas_limit: 21_000, ..Default::default() };
        assert_eq!(vm.call(&Memory::new(), &env(), &call).err(), Some(gone));
    });
}

#[test]
fn a_call_is_forgotten_and_costs_what_a_transfer_costs() {
    on_all(|vm| {
        let state = Memory::new();
        let mut call = Call {
            from: addr(1),
            to: TxKind::Call(addr(9)),
            value: U256::from(RICH),
            gas_limit: 50_000,
            ..Default::default()
        };
        let output = vm.call(&state, &env(), &call).unwrap();
        assert_eq!((output.result, output.gas_used), (CallResult::Success, 21_000));
        assert_eq!(state, Memory::new());
        call.gas_price = 10;
        let (have, want) = (U256::from(RICH), U256::from(RICH + 500_000));
        let invalid = |reason| Err(VmError::Invalid(reason));
        assert_eq!(vm.call(&state, &env(), &call), invalid(SkipReason::Funds { have, want }));
        let rich = Account { balance: want, ..Default::default() };
        call.overrides.accounts.entry(addr(1)).or_default().account = Some(rich);
        assert!(vm.call(&state, &env(), &call).is_ok());
        call.gas_limit = 20_000;
        let reason = SkipReason::IntrinsicGas { have: 20_000, want: 21_000 };
        assert_eq!(vm.call(&state, &env(), &call), invalid(reason));
    });
}

#[test]
fn what_a_vm_does_not_do_it_names() {
    // Calls of contracts and creations: done, or refused in so many words.
    on_all(|vm| {
        for tx in [
            edit(1, 0, |tx| tx.to = addr(0xcc).into()),
            edit(1, 0, |tx| {
                (tx.to, tx.gas_limit) = (TxKind::Create, 100_000);
            }),
        ] {
            let output = run(vm, &env(), &[tx]);
            match output.skipped.first() {
                Some((_, reason)) => assert!(matches!(reason, SkipReason::Unsupported(_))),
                None => assert!(output.receipts[0].success),
            }
        }
        let code = Bytes::from([0]);
        match vm.preinstall(&Memory::new(), &env(), addr(0x90), &code) {
            Ok(diff) => assert!(diff.accounts.contains_key(&addr(0x90))),
            Err(error) => assert!(matches!(error, VmError::Invalid(SkipReason::Unsupported(_)))),
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// On transfers and deposits all VMs agree, to the bit, and any block is the same as the
    /// blocks of its two halves one after the other.
    #[test]
    fn vms_agree_on_what_all_of_them_do(
        picks in prop::collection::vec((0..3u8, 1..6u8, 0..3u64, 1..6u8, 0..RICH), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let txs: Vec<_> = picks.into_iter().map(|(kind, from, nonce, to, value)| match kind {
            0 => deposit(from, to, value / 2, value),
            1 => transfer(from, nonce, to, value),
            _ => transfer(from, nonce, to, value % 1_000),
        }).collect();
        let mut all: Vec<BlockOutput> = Vec::new();
        for (_, open) in VMS {
            let vm = open(&spec()).unwrap();
            let output = run(&*vm, &env(), &txs);
            let (first, second) = txs.split_at(cut.index(txs.len()));
            let state = Memory::new();
            let one = vm.execute(&state, &env(), first, &Stop::never()).unwrap();
            let middle = state.after(&one.diff);
            let two = vm.execute(&middle, &env(), second, &Stop::never()).unwrap();
            prop_assert_eq!(middle.after(&two.diff), state.after(&output.diff));
            prop_assert_eq!(one.burnt + two.burnt, output.burnt);
            all.push(output);
        }
        for pair in all.windows(2) {
            prop_assert_eq!(format!("{:?}", pair[0]), format!("{:?}", pair[1]));
        }
    }
}
