//! Chains made of the module alone: a map for state, recipients that answer by their address, and
//! a book of what every message did, kept apart from the module's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolValue};
use causeway_chainspec::directory::{Directory, MetalayerSpec, SeedMember, SeedTransfer};
use causeway_chainspec::mailbox::{
    self, COURIER, Coin, LaneStatus, MAILBOX, TransferBody, deliverCall, layout, refundCall,
};
use causeway_chainspec::plan::{SUPPLY_SLOT, SYSTEM_ACCOUNT};
use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_chainspec::spec::{Inputs, parse};
use causeway_chainspec::{
    Account, Anchor, BlockBody, BlockEnv, BlockPlan, CallOutcome, ChainSpec, Claim, DaRef,
    DeliveryStatus, ForcedCut, ForcedEntry, Inbound, LaneItem, Message, StateDiff, StateError,
    StateReader, SystemModule, SystemState, Terms,
};

use super::super::{Metalayer, view};

pub(super) const START_MS: u64 = 1_750_000_000_000;
pub(super) const MAX_LAG_MS: u64 = 600_000;
/// Takes everything.
pub(super) const GOOD: Address = Address::repeat_byte(0x11);
/// Reverts always.
pub(super) const BAD: Address = Address::repeat_byte(0x22);
/// Who sends and has coins.
pub(super) const USER: Address = Address::repeat_byte(0x55);
pub(super) const WEALTH: u64 = 1_000_000_000_000_000_000;

/// A state that is all in memory.
#[derive(Clone, Default)]
pub(super) struct Memory(pub(super) StateDiff);

impl StateReader for Memory {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.0.accounts.get(&address).and_then(|diff| diff.account))
    }
    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let diff = self.0.accounts.get(&address);
        Ok(diff.and_then(|diff| diff.storage.get(&slot)).copied().unwrap_or_default())
    }
    fn code(&self, _: B256) -> Result<Option<alloy_primitives::Bytes>, StateError> {
        Ok(None)
    }
    fn block_hash(&self, _: u64) -> Result<Option<B256>, StateError> {
        Ok(None)
    }
}

/// One block as remotes see it.
#[derive(Clone)]
pub(super) struct Done {
    pub(super) state: Memory,
    pub(super) time_ms: u64,
    pub(super) outbox: Vec<LaneItem>,
}

/// What the book holds of a message.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate {
    pub(super) amount: U256,
    pub(super) delivered: u32,
    pub(super) refunded: u32,
}

pub(super) struct Chain {
    pub(super) spec: Arc<ChainSpec>,
    module: Metalayer,
    pub(super) blocks: Vec<Done>,
    /// The hub's coin as ERC-20 (coin `Own` only).
    pub(super) tokens: BTreeMap<Address, U256>,
}

/// Chains and the independent book.
pub(super) struct Mesh {
    pub(super) chains: Vec<Chain>,
    pub(super) book: BTreeMap<B256, Fate>,
}

/// What a user wants sent.
pub(super) struct Send {
    pub(super) to: usize,
    pub(super) recipient: Address,
    /// Wei of the hub's coin; 0 for a plain message.
    pub(super) amount: u64,
    pub(super) gas: u64,
    pub(super) ttl_ms: u64,
}

pub(super) fn domain(at: usize) -> u32 {
    901 + at as u32
}

fn specs(coins: &[Coin]) -> Vec<Arc<ChainSpec>> {
    let read = |at: usize| {
        let id = u64::from(domain(at));
        let text = devnet_chain(&format!("chain{at}"), id, "ledger", Keys::DEV, START_MS);
        parse(&text, &Inputs::NONE).unwrap().0
    };
    let members = (0..coins.len())
        .map(|at| SeedMember {
            name: format!("chain{at}"),
            domain: domain(at),
            base: B256::repeat_byte(at as u8),
            rules: B256::repeat_byte(0x70 + at as u8),
        })
        .collect();
    let transfers = (1..coins.len()).map(|at| SeedTransfer {
        to: domain(at),
        recipient: USER,
        amount: U256::from(WEALTH),
    });
    let seed = Directory {
        network: "test".into(),
        governance: causeway_chainspec::spec::presets::DEV_ACCOUNTS[6],
        hub: domain(0),
        max_lag_ms: MAX_LAG_MS,
        members,
        transfers: transfers.collect(),
    };
    let coins = coins.iter().enumerate();
    coins
        .map(|(at, coin)| {
            let mut spec = read(at);
            spec.metalayer = MetalayerSpec {
                enabled: true,
                domain: domain(at),
                coin: *coin,
                ttl_ms: 3_600_000,
                directory: Some(seed.clone()),
            };
            Arc::new(spec)
        })
        .collect()
}

impl Mesh {
    pub(super) fn new(coins: &[Coin]) -> Self {
        let mut mesh = Self { chains: Vec::new(), book: BTreeMap::new() };
        for spec in specs(coins) {
            let module = Metalayer::open(&spec).unwrap();
            let mut diff = StateDiff::default();
            let empty = Memory::default();
            let mut state = SystemState::new(&empty, &mut diff);
            let rich = Account { nonce: 1, balance: U256::ZERO, bytecode_hash: None };
            state.set_account(MAILBOX, rich).unwrap();
            state.set_account(SYSTEM_ACCOUNT, rich).unwrap();
            if spec.metalayer.coin != Coin::Hub {
                state.mint(USER, U256::from(WEALTH) * U256::from(100)).unwrap();
            }
            let closed = module.genesis(&mut state).unwrap().unwrap();
            let (minted, _) = state.moved();
            state.set_slot(SYSTEM_ACCOUNT, SUPPLY_SLOT, minted).unwrap();
            mesh.note_sent(&closed.outbox);
            let done = Done { state: Memory(diff), time_ms: START_MS, outbox: closed.outbox };
            let (blocks, tokens) = (vec![done], BTreeMap::new());
            mesh.chains.push(Chain { spec, module, blocks, tokens });
        }
        mesh
    }

    fn note_sent(&mut self, outbox: &[LaneItem]) {
        for item in outbox {
            if let LaneItem::Message(message) = item {
                let amount = mailbox::is_transfer(message)
                    .then(|| mailbox::transfer_body(&message.body).unwrap().amount);
                let fate = Fate { amount: amount.unwrap_or_default(), ..Fate::default() };
                assert!(self.book.insert(message.id(), fate).is_none(), "an id twice");
            }
        }
    }

    pub(super) fn state(&self, at: usize) -> &Memory {
        &self.chains[at].blocks.last().unwrap().state
    }

    /// The anchor and inbound by which `at` takes in `remote` up to a block.
    pub(super) fn inbound(&self, at: usize, remote: usize, number: usize) -> (Anchor, Inbound) {
        let (theirs, done) = (&self.chains[remote], &self.chains[remote].blocks[number]);
        let last = view::anchor(self.state(at), domain(remote)).unwrap();
        let from = last.as_ref().map_or(0, |(anchor, _)| anchor.number as usize + 1);
        let known = last.as_ref().map(|(anchor, _)| &theirs.blocks[anchor.number as usize].state);
        let known = known.map(|state| view::lanes(state).unwrap()).unwrap_or_default();
        let mut lanes = view::lanes(&done.state).unwrap();
        lanes.retain(|lane| !known.contains(lane));
        let covered = theirs.blocks.get(from..=number).unwrap_or_default();
        let items = covered.iter().flat_map(|block| &block.outbox);
        let items = items.filter(|item| item.destination() == domain(at)).cloned().collect();
        let commitment = view::commitment(&done.state).unwrap();
        let seed = theirs.spec.metalayer.directory.as_ref().unwrap();
        let member = seed.member(domain(remote)).unwrap();
        let anchor = Anchor {
            domain: domain(remote),
            identity: seed.identity(member.base),
            rules_hash: member.rules,
            directory: commitment.directory,
            da: DaRef {
                height: last.map_or(1, |(anchor, _)| anchor.da.height + 1),
                hash: B256::ZERO,
            },
            number: number as u64,
            hash: B256::repeat_byte(number as u8),
            commitment: commitment.hash(),
            base_fee: 8,
            time_ms: done.time_ms,
        };
        (anchor, Inbound { root: commitment.root, count: commitment.count, lanes, items })
    }

    /// One more block of a chain. Every delivery and refund goes into the book.
    pub(super) fn block(
        &mut self,
        at: usize,
        time_ms: u64,
        inbound: Vec<(Anchor, Inbound)>,
        forced: Vec<ForcedEntry>,
        sends: &[Send],
    ) {
        let chain = &mut self.chains[at];
        let (number, parent) = (chain.blocks.len() as u64, chain.blocks.last().unwrap());
        let before = parent.state.clone();
        let mut diff = before.0.clone();
        let (anchors, inbound) = inbound.into_iter().unzip();
        let plan = plan(number, time_ms, anchors, inbound, forced);
        let env = env(&chain.spec, number, time_ms);
        let mut state = SystemState::new(&before, &mut diff);
        let open = chain.module.open(&mut state, &env, &plan).unwrap();
        let mut results = Vec::new();
        for call in open.calls() {
            assert_eq!((call.from, call.to), (COURIER, MAILBOX));
            results.push(run(&mut state, &mut chain.tokens, &mut self.book, &call.input));
        }
        let emitted: Vec<_> =
            sends.iter().filter_map(|send| dispatch(chain, &mut state, &env, send)).collect();
        let closed = open.close(&mut state, &results, &emitted).unwrap().unwrap();
        let (minted, burnt) = state.moved();
        let supply = state.slot(SYSTEM_ACCOUNT, SUPPLY_SLOT).unwrap() + minted - burnt;
        state.set_slot(SYSTEM_ACCOUNT, SUPPLY_SLOT, supply).unwrap();
        let state = Memory(diff);
        assert_eq!(view::commitment(&state).unwrap().hash(), closed.commitment);
        chain.blocks.push(Done { state, time_ms, outbox: closed.outbox.clone() });
        self.note_sent(&closed.outbox);
        self.note_refunds(at);
    }

    /// A message that its source calls settled and not delivered was paid back.
    fn note_refunds(&mut self, at: usize) {
        let chain = &self.chains[at];
        let (now, before) = (chain.blocks.len() - 1, chain.blocks.len() - 2);
        let (now, before) = (&chain.blocks[now].state, &chain.blocks[before].state);
        for (id, fate) in &mut self.book {
            let settled = |state: &Memory| view::sent(state, *id).unwrap()?.settled;
            if let (None, Some(settled)) = (settled(before), settled(now))
                && settled.status != DeliveryStatus::Delivered
            {
                fate.refunded += 1;
            }
        }
    }

    /// Wei of the hub's coin wherever they are. Every message at most once delivered, at most once
    /// paid back, never both.
    pub(super) fn total(&self) -> U256 {
        let mut total = U256::ZERO;
        for (at, chain) in self.chains.iter().enumerate() {
            let state = self.state(at);
            let supply = view::supply(state).unwrap();
            let held = state.account(MAILBOX).unwrap().unwrap_or_default().balance;
            assert_eq!(held, supply.escrow + supply.locked, "the mailbox of chain {at}");
            total += match chain.spec.metalayer.coin {
                Coin::Own => chain.tokens.values().copied().sum(),
                _ => supply.circulating + supply.escrow,
            };
        }
        for (id, fate) in &self.book {
            assert!(fate.delivered + fate.refunded <= 1, "{id}: {fate:?}");
            if fate.delivered + fate.refunded == 0 {
                total += fate.amount;
            }
        }
        total
    }
}

fn plan(
    number: u64,
    time_ms: u64,
    anchors: Vec<Anchor>,
    inbound: Vec<Inbound>,
    forced: Vec<ForcedEntry>,
) -> BlockPlan {
    let body = BlockBody { inbound, candidates: vec![] };
    let claim = Claim {
        identity: B256::ZERO,
        number,
        term: 0,
        parent: B256::ZERO,
        time_ms,
        origin: None,
        cut: ForcedCut::default(),
        anchors,
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        takeover: None,
    };
    BlockPlan { claim, body, forced, candidates: vec![] }
}

fn env(spec: &ChainSpec, number: u64, time_ms: u64) -> BlockEnv {
    BlockEnv {
        chain_id: spec.chain_id,
        number,
        time_ms,
        fork: spec.fork_at(time_ms),
        beneficiary: spec.fees.recipient,
        gas_limit: spec.gas.limit,
        gas_available: spec.gas.limit,
        bytes_available: spec.gas.limit_bytes,
        base_fee: 8,
        mix_hash: B256::ZERO,
        difficulty: U256::ZERO,
        blob_base_fee: 1,
    }
}

/// What the Mailbox's code would do with a call of the courier.
fn run(
    state: &mut SystemState<'_>,
    tokens: &mut BTreeMap<Address, U256>,
    book: &mut BTreeMap<B256, Fate>,
    input: &[u8],
) -> CallOutcome {
    if let Ok(refund) = refundCall::abi_decode(input) {
        *tokens.entry(refund.to).or_default() += refund.amount;
        return CallOutcome { success: true, gas_used: 1, output: Default::default() };
    }
    let call = deliverCall::abi_decode(input).unwrap();
    let message = Message::decode_packed(&call.message, Terms::default()).unwrap();
    let mut status = DeliveryStatus::Delivered;
    if mailbox::is_transfer(&message) {
        let body: TransferBody = mailbox::transfer_body(&message.body).unwrap();
        let to = mailbox::address_of(body.recipient).unwrap();
        let own = state.slot(MAILBOX, layout::COIN).unwrap() == U256::from(Coin::Own as u8);
        if to == BAD {
            status = DeliveryStatus::Reverted;
        } else if own {
            *tokens.entry(to).or_default() += body.amount;
        } else {
            state.pay(MAILBOX, to, body.amount).unwrap();
        }
    } else if mailbox::address_of(message.recipient) == Some(BAD) {
        status = DeliveryStatus::Reverted;
    }
    if status == DeliveryStatus::Delivered {
        book.get_mut(&message.id()).unwrap().delivered += 1;
    }
    let gas_used = call.gasLimit / 2;
    let output = (U256::from(status as u8), U256::from(gas_used)).abi_encode().into();
    CallOutcome { success: true, gas_used, output }
}

/// What the Mailbox's code would do with a user's call; `None` if it would revert.
fn dispatch(
    chain: &mut Chain,
    state: &mut SystemState<'_>,
    env: &BlockEnv,
    send: &Send,
) -> Option<Message> {
    let destination = domain(send.to);
    let word = state.slot(MAILBOX, layout::lane(destination)).unwrap();
    let word = mailbox::LaneWord::from_slot(word);
    if word.status != LaneStatus::Active {
        return None;
    }
    let nonce = state.slot(MAILBOX, layout::NONCE).unwrap();
    let asset: B256 = state.slot(MAILBOX, layout::HUB_ASSET).unwrap().into();
    let (amount, mail) = (U256::from(send.amount), mailbox::word_of(MAILBOX));
    let recipient = mailbox::word_of(send.recipient);
    let transfer = send.amount > 0;
    let body = TransferBody { recipient, amount, asset, from: mailbox::word_of(USER) };
    let message = Message {
        nonce: nonce.to(),
        origin: chain.spec.metalayer.domain,
        sender: if transfer { mail } else { mailbox::word_of(USER) },
        destination,
        recipient: if transfer { mail } else { recipient },
        body: if transfer { body.abi_encode().into() } else { vec![7; 40].into() },
        terms: Terms {
            gas_limit: send.gas,
            gas_price: word.gas_price,
            expiry_ms: env.time_ms + send.ttl_ms,
            refund_to: USER,
        },
    };
    let native = transfer && chain.spec.metalayer.coin != Coin::Own;
    let fee = message.terms.fee(message.body.len());
    let due = if native { fee + amount } else { fee };
    if state.account(USER).unwrap().unwrap_or_default().balance < due {
        return None;
    }
    if transfer && !native {
        let held = chain.tokens.entry(USER).or_default();
        *held = held.checked_sub(amount)?;
    }
    state.pay(USER, MAILBOX, due).unwrap();
    state.set_slot(MAILBOX, layout::NONCE, nonce + U256::from(1)).unwrap();
    Some(message)
}
