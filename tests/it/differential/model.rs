//! What a model of a VM is, and the part of a block that is the protocol's own, written from its
//! description: ring buffers, fee state, supply.

use std::collections::BTreeMap;

use alloy_consensus::Transaction;
use alloy_eips::eip4844::fake_exponential;
use alloy_primitives::{Address, B256, Log, U256, address, keccak256};
use alloy_trie::TrieAccount;
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use causeway_chainspec::{Block, ChainSpec, Fork, StateDiff, Tx};

const SYSTEM: Address = address!("0xca00000000000000000000000000000000000001");
const HISTORY: Address = address!("0x0000f90827f1c53a10cb7a02335b175320002935");
const BEACON_ROOTS: Address = address!("0x000f3df6d732807ef1319fb7b8bb8522d0beac02");
const RING: u64 = 8191;

/// A block as its transactions see it.
#[derive(Debug, Clone)]
pub(super) struct Env {
    pub(super) chain_id: u64,
    pub(super) number: u64,
    pub(super) time_ms: u64,
    pub(super) fork: Fork,
    pub(super) beneficiary: Address,
    pub(super) gas_limit: u64,
    pub(super) base_fee: u64,
    pub(super) mix_hash: B256,
}

/// What a transaction that is included does besides changing state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) success: bool,
    pub(super) gas_used: u64,
    pub(super) logs: Vec<Log>,
    pub(super) created: Option<Address>,
    /// Of a deposit: the sender's nonce before.
    pub(super) nonce: u64,
}

/// An account with all that hangs on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Full {
    pub(super) nonce: u64,
    pub(super) balance: U256,
    pub(super) code_hash: B256,
    pub(super) storage: BTreeMap<U256, U256>,
}

/// A second opinion of a VM, with a state of its own.
pub(super) trait Model: Clone {
    /// Whether its reasons are word for word ours.
    const SAME_WORDS: bool;

    /// The state of block 0.
    fn genesis(diff: &StateDiff) -> Self;
    /// Runs a transaction; `Err` says why it is left out.
    fn run(&mut self, env: &Env, tx: &Tx) -> Result<Effect, String>;
    /// Everything there is, without what does not exist (EIP-161).
    fn everything(&self) -> BTreeMap<Address, Full>;
    /// Writes a slot for the protocol.
    fn set_slot(&mut self, address: Address, slot: U256, value: U256);
    /// `BLOCKHASH` of a number.
    fn know_block(&mut self, number: u64, hash: B256);
}

/// The root of a whole state, from its leaves alone.
pub(super) fn root(state: &BTreeMap<Address, Full>) -> B256 {
    state_root_unhashed(state.iter().map(|(address, account)| {
        let storage = account.storage.iter().map(|(key, value)| (B256::from(*key), *value));
        let trie = TrieAccount {
            nonce: account.nonce,
            balance: account.balance,
            storage_root: storage_root_unhashed(storage),
            code_hash: account.code_hash,
            ..Default::default()
        };
        (*address, trie)
    }))
}

/// Fee rules, in numbers that cannot overflow.
#[derive(Debug, Clone, Copy)]
pub(super) struct FeeBook {
    excess: u128,
    gas: u128,
    bytes: u128,
    time_ms: u64,
}

impl FeeBook {
    pub(super) fn genesis(spec: &ChainSpec) -> Self {
        let gas = &spec.gas;
        let (excess, time_ms) = (0, spec.genesis.time_ms);
        Self { excess, gas: gas.burst.into(), bytes: gas.burst_bytes.into(), time_ms }
    }

    pub(super) fn at(mut self, spec: &ChainSpec, time_ms: u64) -> Self {
        let (elapsed, gas) = (u128::from(time_ms - self.time_ms), &spec.gas);
        self.gas = (self.gas + elapsed * u128::from(gas.rate)).min(gas.burst.into());
        self.bytes =
            (self.bytes + elapsed * u128::from(gas.rate_bytes)).min(gas.burst_bytes.into());
        self.excess = self.excess.saturating_sub(elapsed * u128::from(gas.target));
        self.time_ms = time_ms;
        self
    }

    pub(super) fn base_fee(&self, spec: &ChainSpec) -> u64 {
        let fees = &spec.fees;
        let price =
            fake_exponential(fees.min_base_fee.into(), self.excess, fees.denominator.into());
        u64::try_from(price).expect("no test drives the price so high").max(fees.floor)
    }

    fn spend(mut self, gas: u64, bytes: u64) -> Self {
        self.gas = self.gas.saturating_sub(gas.into());
        self.bytes = self.bytes.saturating_sub(bytes.into());
        self.excess += u128::from(gas);
        self
    }

    fn word(&self) -> U256 {
        let low = |value: u128| u64::try_from(value).expect("it fits");
        U256::from_limbs([self.time_ms, low(self.bytes), low(self.gas), low(self.excess)])
    }
}

/// A chain as a model has it, after one of its blocks.
#[derive(Clone)]
pub(super) struct After<M> {
    pub(super) vm: M,
    pub(super) fees: FeeBook,
    /// The block.
    pub(super) hash: B256,
}

/// A block as a model has it.
pub(super) struct Expected<M> {
    pub(super) after: After<M>,
    /// Transactions included, system calls first, and what each did.
    pub(super) included: Vec<(std::sync::Arc<Tx>, Effect)>,
    /// Candidates left out, and why.
    pub(super) skipped: Vec<(B256, String)>,
    pub(super) state_root: B256,
    pub(super) base_fee: u64,
}

/// Runs a block: the protocol's writes, its calls, the candidates, and its writes again.
pub(super) fn block<M: Model>(
    spec: &ChainSpec,
    before: &After<M>,
    block: &Block,
    calls: &[std::sync::Arc<Tx>],
    candidates: &[std::sync::Arc<Tx>],
) -> Expected<M> {
    let claim = &block.plan.claim;
    let mut vm = before.vm.clone();
    vm.know_block(claim.number - 1, before.hash);
    vm.set_slot(HISTORY, U256::from((claim.number - 1) % RING), before.hash.into());
    let seconds = claim.time_ms / 1000;
    vm.set_slot(BEACON_ROOTS, U256::from(seconds % RING), U256::from(seconds));
    vm.set_slot(BEACON_ROOTS, U256::from(seconds % RING + RING), U256::ZERO);

    let fees = before.fees.at(spec, claim.time_ms);
    let mut mix = claim.parent.to_vec();
    mix.extend_from_slice(&claim.number.to_be_bytes());
    let env = Env {
        chain_id: spec.chain_id,
        number: claim.number,
        time_ms: claim.time_ms,
        fork: spec.fork_at(claim.time_ms),
        beneficiary: spec.fees.recipient,
        gas_limit: spec.gas.limit,
        base_fee: fees.base_fee(spec),
        mix_hash: keccak256(mix),
    };
    let (mut included, mut skipped, mut gas, mut bytes) = (Vec::new(), Vec::new(), 0, 0);
    for tx in calls.iter().chain(candidates) {
        match vm.run(&env, tx) {
            Ok(effect) => {
                gas += effect.gas_used;
                bytes += if tx.is_deposit() { 0 } else { tx.raw.len() as u64 };
                included.push((tx.clone(), effect));
            }
            Err(reason) => skipped.push((tx.hash, reason)),
        }
    }
    let fees = fees.spend(gas, bytes);
    vm.set_slot(SYSTEM, U256::ZERO, fees.word());
    let supply = vm.everything().values().map(|account| account.balance).sum();
    vm.set_slot(SYSTEM, U256::ONE, supply);
    let state_root = root(&vm.everything());
    let after = After { vm, fees, hash: block.hash };
    Expected { after, included, skipped, state_root, base_fee: env.base_fee }
}

/// EIP-2718 type of a transaction, from its bytes.
pub(super) fn kind(tx: &Tx) -> u8 {
    Some(tx.raw[0]).filter(|first| *first < 0x80).unwrap_or(0)
}

/// Most a unit of gas may cost, wei.
pub(super) fn max_fee(tx: &Tx) -> u128 {
    if tx.is_deposit() { 0 } else { tx.envelope.max_fee_per_gas() }
}
