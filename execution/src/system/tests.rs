//! What the protocol does in every block.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes};
use causeway_chainspec::plan::SystemState;
use causeway_chainspec::{Account, AccountDiff, BlockBody, Origin};

use super::*;
use crate::genesis;
use crate::overlay::{Empty, StateOver};
use crate::pipeline::testing::{Refuser, spec};

fn genesis_state() -> StateDiff {
    genesis::state(&spec("ledger"), &Refuser, &[]).unwrap().0
}

fn plan(number: u64, time_ms: u64) -> BlockPlan {
    let mut plan = genesis::plan(&spec("ledger"));
    plan.claim.number = number;
    plan.claim.time_ms = time_ms;
    plan.claim.origin = Some(Origin { number: 1, hash: B256::repeat_byte(0xbe) });
    plan
}

fn env_of(plan: &BlockPlan) -> BlockEnv {
    BlockEnv { time_ms: plan.claim.time_ms, ..genesis::env(&spec("ledger")) }
}

fn closing(plan: &BlockPlan, opened: Opened) -> Closing<'_> {
    let (minted, burnt) = (U256::ZERO, U256::ZERO);
    Closing { plan, opened, outcomes: &[], emitted: &[], gas_used: 0, bytes: 0, minted, burnt }
}

/// Mints one call and answers with a commitment made from how it ended.
struct Minter(u8);

impl SystemModule for Minter {
    fn genesis(&self, _: &mut SystemState<'_>) -> Result<Option<Closed>, StateError> {
        Ok(None)
    }

    fn open(
        &self,
        _: &mut SystemState<'_>,
        _: &BlockEnv,
        _: &BlockPlan,
    ) -> Result<Box<dyn SystemBlock>, StateError> {
        Ok(Box::new(Minter(self.0)))
    }
}

impl SystemBlock for Minter {
    fn calls(&self) -> Vec<SystemCall> {
        let call = SystemCall {
            from: Address::repeat_byte(self.0),
            to: Address::repeat_byte(self.0),
            mint: 5,
            value: U256::ZERO,
            gas_limit: 50_000,
            input: Bytes::new(),
        };
        vec![call; usize::from(self.0)]
    }

    fn close(
        self: Box<Self>,
        state: &mut SystemState<'_>,
        results: &[CallOutcome],
        _: &[Message],
    ) -> Result<Option<Closed>, StateError> {
        state.set_slot(SYSTEM_ACCOUNT, U256::from(100 + self.0), U256::from(results.len()))?;
        let all = results.iter().all(|result| result.gas_used == u64::from(self.0));
        let commitment = B256::with_last_byte(u8::from(all));
        Ok((self.0 == 2).then_some(Closed { commitment, outbox: vec![] }))
    }
}

#[test]
fn rings_hold_parent_hash_and_origin() {
    let below = genesis_state();
    let state = StateOver { diff: &below, below: &Empty };
    let plan = plan(8192 + 5, 9_000_123);
    let mut opened = open(&[], &state, &env_of(&plan), &plan).unwrap();
    remember_parent(8192 + 4, B256::repeat_byte(2), &state, &mut opened.diff).unwrap();
    let ring = &opened.diff.accounts[&HISTORY_STORAGE_ADDRESS].storage;
    // (8196 - 0) % 8191 = 5: the parent's number, not the block's own.
    assert_eq!(ring, &BTreeMap::from([(U256::from(5), B256::repeat_byte(2).into())]));
    let roots = &opened.diff.accounts[&BEACON_ROOTS_ADDRESS].storage;
    let at = 9_000 % 8191;
    assert_eq!(roots[&U256::from(at)], U256::from(9_000));
    assert_eq!(roots[&U256::from(at + 8191)], U256::from_be_bytes([0xbe; 32]));
}

#[test]
fn calls_become_deposits_with_distinct_stable_hashes() {
    let below = genesis_state();
    let state = StateOver { diff: &below, below: &Empty };
    let modules: [Arc<dyn SystemModule>; 2] = [Arc::new(Minter(1)), Arc::new(Minter(2))];
    let plan = plan(1, 1_000);
    let opened = open(&modules, &state, &env_of(&plan), &plan).unwrap();
    assert_eq!(opened.calls.len(), 3);
    assert!(opened.calls.iter().all(|tx| tx.is_deposit()));
    assert_ne!(opened.calls[1].hash, opened.calls[2].hash);
    let again = open(&modules, &state, &env_of(&plan), &plan).unwrap();
    assert_eq!(again.calls, opened.calls);

    let outcome = |gas_used| CallOutcome { success: true, gas_used, output: Bytes::new() };
    let outcomes = [outcome(1), outcome(2), outcome(2)];
    let mut diff = opened.diff.clone();
    let closing = Closing { outcomes: &outcomes, ..closing(&plan, opened) };
    let spec = spec("ledger");
    let commitment = close(&spec, &state, closing, &mut diff).unwrap();
    assert_eq!(commitment.commitment, B256::with_last_byte(1), "each module sees its own results");
    let slots = &diff.accounts[&SYSTEM_ACCOUNT].storage;
    assert_eq!(slots[&U256::from(101)], U256::from(1));
    assert_eq!(slots[&U256::from(102)], U256::from(2));
}

#[test]
fn fees_move_with_time_and_gas_and_the_next_block_sees_them() {
    let spec = spec("ledger");
    let mut below = genesis_state();
    let plan = plan(1, spec.genesis.time_ms + 1_000);
    {
        let state = StateOver { diff: &below, below: &Empty };
        let opened = open(&[], &state, &env_of(&plan), &plan).unwrap();
        let mut diff = opened.diff.clone();
        let closing = Closing { gas_used: 50_000_000, bytes: 1_000, ..closing(&plan, opened) };
        close(&spec, &state, closing, &mut diff).unwrap();
        below.merge(&diff);
    }
    let state = StateOver { diff: &below, below: &Empty };
    let fees = fee_state(&state).unwrap();
    assert_eq!(fees.bucket_gas, spec.gas.burst - 50_000_000);
    assert_eq!(fees.bucket_bytes, spec.gas.burst_bytes - 1_000);
    assert_eq!(fees.excess_gas, 50_000_000);
    let soon = env(&spec, &state, 2, plan.claim.time_ms + 1, B256::ZERO).unwrap();
    let late = env(&spec, &state, 2, plan.claim.time_ms + 3_600_000, B256::ZERO).unwrap();
    assert!(soon.gas_available < late.gas_available);
    assert_eq!(late.gas_available, spec.gas.limit);
    assert!(soon.base_fee > late.base_fee);
}

#[test]
fn wei_out_of_nothing_stop_the_node() {
    let spec = spec("ledger");
    let below = genesis_state();
    let state = StateOver { diff: &below, below: &Empty };
    let plan = plan(1, spec.genesis.time_ms + 1);
    let opened = open(&[], &state, &env_of(&plan), &plan).unwrap();
    let mut diff = opened.diff.clone();
    let rich = Account { balance: U256::from(7), ..Default::default() };
    let made = AccountDiff { account: Some(rich), ..Default::default() };
    diff.accounts.insert(Address::repeat_byte(0x77), made);
    let error = close(&spec, &state, closing(&plan, opened), &mut diff.clone());
    assert!(matches!(error, Err(ExecutionError::Broken(_))), "{error:?}");
    let opened = open(&[], &state, &env_of(&plan), &plan).unwrap();
    let minted = Closing { minted: U256::from(7), ..closing(&plan, opened) };
    close(&spec, &state, minted, &mut diff).unwrap();
    let after = StateOver { diff: &diff, below: &state };
    assert_eq!(supply(&after).unwrap(), supply(&state).unwrap() + U256::from(7));
}

#[test]
fn genesis_has_the_system_accounts_and_refuses_to_lose_one() {
    let state = genesis_state();
    for address in [SYSTEM_ACCOUNT, HISTORY_STORAGE_ADDRESS, BEACON_ROOTS_ADDRESS] {
        let account = state.accounts[&address].account.unwrap();
        assert_eq!(account.nonce, 1);
        assert!(state.codes.contains_key(&account.bytecode_hash.unwrap()));
    }
    let reader = StateOver { diff: &state, below: &Empty };
    let mut spec = (*spec("ledger")).clone();
    let total = spec.genesis.alloc.values().map(|account| account.balance).sum::<U256>();
    assert_eq!(supply(&reader).unwrap(), total);
    assert!(BlockBody::default().matches(&genesis::claim(&spec)));
    spec.genesis.alloc.insert(SYSTEM_ACCOUNT, Default::default());
    assert!(matches!(genesis::state(&spec, &Refuser, &[]), Err(ExecutionError::Spec(_))));
}
