//! A chain made for differential tests: its spec, who lives on it, and protocol code inside its
//! blocks.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::mailbox::{Coin, LaneStatus, LaneWord, MAILBOX, layout};
use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_chainspec::spec::{GenesisAccount, Inputs, parse};
use causeway_chainspec::{
    Account, BlockEnv, BlockPlan, CallOutcome, ChainSpec, Closed, Fork, Message, StateError,
    SystemBlock, SystemCall, SystemModule, SystemState,
};
use causeway_tests::bytecode::{Coder, rebirth};
use causeway_tests::txs::{ETHER, Rng};
use causeway_tests::world::GENESIS_MS;

use super::mailbox;
use super::stock::FORKS;

/// The module's own account.
pub(super) const TICKER: Address = address!("0xca000000000000000000000000000000000000dd");
/// Wei it makes at the start of a block, and unmakes of them at the end.
pub(super) const TICK: (u64, u64) = (1_000, 400);
/// The slot of [`contract`] 0 that the module writes at the end of a block.
pub(super) const NOTE: U256 = U256::from_limbs([77, 0, 0, 0]);
/// The slot of it that the module writes at the start of a block.
pub(super) const BEGUN: U256 = U256::from_limbs([78, 0, 0, 0]);
/// Domains of other members: one may send to the first only.
pub(super) const DOMAINS: [(u32, LaneStatus); 3] =
    [(71, LaneStatus::Active), (72, LaneStatus::Paused), (73, LaneStatus::Stalled)];
/// Domain of the chain itself.
pub(super) const DOMAIN: u32 = 70;
/// Price of the lanes, wei per gas.
pub(super) const LANE_PRICE: u64 = 3;
/// Default lifetime of a message, seconds.
pub(super) const TTL: u64 = 3_600;
/// The hub's coin.
pub(super) const ASSET: U256 = U256::from_limbs([9, 0, 0, 0]);
/// Contracts of block 0.
const CONTRACTS: u64 = 7;

/// The chain of a seed.
pub(super) struct World {
    pub(super) spec: Arc<ChainSpec>,
    pub(super) keys: Vec<PrivateKeySigner>,
    /// Whom transactions and code speak of.
    pub(super) people: Arc<Vec<Address>>,
}

/// The `n`th key: 0 to 3 are rich, 4 is poor, 5 has nothing, 6 has code.
fn key(n: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x30 + n)).expect("a small scalar")
}

/// The `n`th contract of block 0.
pub(super) fn contract(n: u64) -> Address {
    Address::left_padding_from(&(0xc000 + n).to_be_bytes())
}

impl World {
    pub(super) fn new(seed: u64, vm: &str) -> Self {
        let mut rng = Rng::new(seed ^ 0x0057_a7e0);
        let text = devnet_chain("differential", 901, vm, Keys::DEV, GENESIS_MS);
        let (mut spec, _) = parse(&text, &Inputs::NONE).expect("the devnet's spec is valid");
        let keys: Vec<_> = (0..7).map(key).collect();
        let people = people(&keys, spec.fees.recipient);
        (spec.memo, spec.genesis.preinstalls) = Default::default();
        // Above and below the cap of one transaction since Osaka (EIP-7825).
        spec.gas.limit = *rng.pick(&[8_000_000, 20_000_000]);
        let burst = spec.gas.limit / 2 * 3;
        (spec.gas.rate, spec.gas.burst, spec.gas.target) = (4_000, burst, 1_500);
        (spec.gas.limit_bytes, spec.gas.burst_bytes, spec.gas.rate_bytes) = (6_000, 12_000, 6);
        spec.fees.min_base_fee = 1_000 + rng.below(1_000_000);
        (spec.fees.floor, spec.fees.denominator) = (1 + rng.below(1_000), 3_000_000);
        spec.fees.recipient = *rng.pick(&people);
        spec.forks = schedule(&mut rng);
        let coin = *rng.pick(&[Coin::Own, Coin::Hub, Coin::Home]);
        spec.metalayer.enabled = rng.percent(if vm == "ledger" { 80 } else { 50 });
        (spec.metalayer.coin, spec.metalayer.directory) = (coin, None);
        populate(&mut spec, &mut rng, &keys, &people);
        Self { spec: Arc::new(spec), keys, people: Arc::new(people) }
    }

    pub(super) fn module(&self) -> Arc<dyn SystemModule> {
        let member = self.spec.metalayer.enabled.then_some(self.spec.metalayer.coin);
        Arc::new(Ticker { people: self.people.clone(), member })
    }
}

/// Mostly Prague, then Osaka; sometimes from older rules on.
fn schedule(rng: &mut Rng) -> Vec<(Fork, u64)> {
    let first = *rng.pick(&[3, 3, 3, 3, 3, 4, 2, 1, 1, 0]);
    let mut at = GENESIS_MS / 1000;
    let later = FORKS[first + 1..].iter().map(|(fork, _)| {
        at += 4 + rng.below(50);
        (*fork, at)
    });
    [(FORKS[first].0, 0)].into_iter().chain(later).collect()
}

fn people(keys: &[PrivateKeySigner], recipient: Address) -> Vec<Address> {
    let mut people: Vec<_> = keys.iter().map(PrivateKeySigner::address).collect();
    people.extend((0..CONTRACTS).map(contract));
    people.extend(
        (1..=0x12).chain([0x100]).map(|n: u64| Address::left_padding_from(&n.to_be_bytes())),
    );
    // What the first users create first, somebody who never was, and the protocol's accounts.
    people.extend((0..3).flat_map(|at| (0..3).map(move |nonce| key(at).address().create(nonce))));
    people.extend([Address::repeat_byte(0x77), Address::ZERO, recipient, MAILBOX, TICKER]);
    people.push(causeway_execution::system::SYSTEM_ACCOUNT);
    people.push(alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS);
    people.push(alloy_eips::eip4788::BEACON_ROOTS_ADDRESS);
    // Contracts are what things happen in.
    people.extend((0..3).flat_map(|_| (0..CONTRACTS).map(contract)));
    people
}

fn populate(spec: &mut ChainSpec, rng: &mut Rng, keys: &[PrivateKeySigner], people: &[Address]) {
    let delegates = spec.forks[0].0 >= Fork::Prague;
    spec.genesis.alloc.clear();
    let mut put = |address, nonce, balance: u128, code: Vec<u8>, storage| {
        let balance = U256::from(balance);
        let account = GenesisAccount { balance, nonce, code: code.into(), storage };
        spec.genesis.alloc.insert(address, account);
    };
    for key in &keys[..4] {
        put(key.address(), 0, 1_000 * ETHER, Vec::new(), Default::default());
    }
    put(keys[4].address(), 0, ETHER / 1_000_000, Vec::new(), Default::default());
    put(keys[6].address(), 3, ETHER, vec![0x00], Default::default());
    for n in 0..CONTRACTS {
        let mut coder = Coder::new(rng, people);
        // revm follows a delegation on any fork; before Prague none can come to be.
        coder.delegates = delegates;
        let code = if n == 1 { rebirth() } else { coder.runtime() };
        let slots = (1..4).map(|slot| (U256::from(slot), U256::from(1 + rng.below(9))));
        put(contract(n), 1, 20, code, slots.collect());
    }
}

/// Protocol code that counts, makes and unmakes wei, and calls whomever it likes.
struct Ticker {
    people: Arc<Vec<Address>>,
    member: Option<Coin>,
}

/// What the Mailbox of a member starts with.
pub(super) fn mailbox_slots(coin: Coin) -> Vec<(U256, U256)> {
    let mut slots = vec![
        (layout::LOCAL_DOMAIN, U256::from(DOMAIN)),
        (layout::TTL, U256::from(TTL)),
        (layout::COIN, U256::from(coin as u8)),
        (layout::HUB_ASSET, ASSET),
    ];
    for (domain, status) in DOMAINS {
        let word = LaneWord { status, gas_price: LANE_PRICE, ..Default::default() };
        slots.push((layout::lane(domain), word.to_slot()));
    }
    slots
}

/// Calls of a block: known from its number and its parent, so that a trimmed draft has the same.
pub(super) fn calls(people: &[Address], number: u64, parent: B256) -> Vec<SystemCall> {
    let seed = keccak256([&number.to_be_bytes()[..], parent.as_slice()].concat());
    let mut rng = Rng::new(u64::from_be_bytes(seed[..8].try_into().expect("8 bytes")));
    let count = rng.below(4).saturating_sub(1);
    let one = |rng: &mut Rng| {
        if rng.percent(25) { mailbox::delivery(rng, people) } else { call(rng, people) }
    };
    (0..count).map(|_| one(&mut rng)).collect()
}

fn call(rng: &mut Rng, people: &[Address]) -> SystemCall {
    let from = if rng.percent(40) { TICKER } else { *rng.pick(people) };
    let mint = u128::from(*rng.pick(&[0u64, 1, 5_000, 1 << 50]));
    let value = U256::from(*rng.pick(&[0u64, 1, 3_000, 1 << 51]));
    let size = rng.below(60) as usize;
    let input = if rng.percent(50) { Bytes::new() } else { rng.bytes(size).into() };
    let gas_limit = if rng.percent(12) { rng.below(22_000) } else { 40_000 + rng.below(400_000) };
    SystemCall { from, to: *rng.pick(people), mint, value, gas_limit, input }
}

impl SystemModule for Ticker {
    fn genesis(&self, state: &mut SystemState<'_>) -> Result<Option<Closed>, StateError> {
        state.set_account(TICKER, Account { nonce: 1, ..Default::default() })?;
        let Some(coin) = self.member else { return Ok(None) };
        for (slot, value) in mailbox_slots(coin) {
            state.set_slot(MAILBOX, slot, value)?;
        }
        Ok(None)
    }

    fn open(
        &self,
        state: &mut SystemState<'_>,
        env: &BlockEnv,
        plan: &BlockPlan,
    ) -> Result<Box<dyn SystemBlock>, StateError> {
        state.mint(TICKER, U256::from(TICK.0))?;
        let count = state.slot(TICKER, U256::ZERO)? + U256::ONE;
        state.set_slot(TICKER, U256::ZERO, count)?;
        if state.account(contract(0))?.is_some_and(|account| account.has_bytecode()) {
            state.set_slot(contract(0), BEGUN, U256::from(env.number))?;
        }
        let calls = calls(&self.people, plan.claim.number, plan.claim.parent);
        Ok(Box::new(Ticking { calls, number: env.number }))
    }
}

struct Ticking {
    calls: Vec<SystemCall>,
    number: u64,
}

impl SystemBlock for Ticking {
    fn calls(&self) -> Vec<SystemCall> {
        self.calls.clone()
    }

    fn close(
        self: Box<Self>,
        state: &mut SystemState<'_>,
        results: &[CallOutcome],
        _emitted: &[Message],
    ) -> Result<Option<Closed>, StateError> {
        let had = state.account(TICKER)?.unwrap_or_default().balance;
        state.burn(TICKER, U256::from(TICK.1).min(had))?;
        let known = state.account(contract(0))?;
        if known.is_some_and(|account| account.has_bytecode()) {
            state.set_slot(contract(0), NOTE, note(self.number, results))?;
        }
        Ok(None)
    }
}

/// What the module writes down: how its calls ended.
pub(super) fn note(number: u64, results: &[CallOutcome]) -> U256 {
    let mut text = number.to_be_bytes().to_vec();
    for result in results {
        text.push(result.success.into());
        text.extend_from_slice(&result.gas_used.to_be_bytes());
        // What a failure returns is for people to read.
        text.extend_from_slice(if result.success { &result.output } else { &[] });
    }
    keccak256(text).into()
}
