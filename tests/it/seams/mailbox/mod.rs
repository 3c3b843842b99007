//! What every VM with a Mailbox promises: the same events, messages, slots and wei for the same
//! calls.
#![allow(clippy::unwrap_used)]

mod delivery;
mod sending;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Log, Signature, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent, sol};
use causeway_chainspec::mailbox::{
    self as abi, COURIER, Coin, DEFAULT_GAS, LANE_BYTES, LaneStatus, LaneWord, MAILBOX,
    TRANSFER_GAS, layout, word_of,
};
use causeway_chainspec::message::{DELIVERY_GAS, MAX_BODY_BYTES};
use causeway_chainspec::metalayer::asset_id;
use causeway_chainspec::{
    Account, BlockEnv, DeliveryStatus, Fork, Message, StateDiff, StateError, StateReader, Terms,
    Tx, TxEnvelope,
};
use causeway_execution::vm::CallResult;
use causeway_execution::{BlockOutput, Call, CallOutput, Stop, VMS, Vm};
use op_alloy_consensus::TxDeposit;

/// VMs whose chains can be members.
const HOSTS: &[&str] = &["evm", "ledger"];

const HERE: u32 = 4242;
const THERE: u32 = 77;
const PAUSED: u32 = 78;
const STALLED: u32 = 79;
/// Wei of a unit of gas at `THERE`.
const PRICE: u64 = 3;
const TTL: u64 = 3_600;
const SECONDS: u64 = 1_700_000_000;
/// Base fee and tip.
const GAS_PRICE: u64 = 8;
const RICH: u64 = 1 << 60;
const USER: Address = Address::repeat_byte(0x11);
const OTHER: Address = Address::repeat_byte(0x22);
/// Has code that does nothing.
const CONTRACT: Address = Address::repeat_byte(0x33);

sol! {
    function localDomain() view returns (uint32);
    function nonce() view returns (uint32);
    function latestDispatchedId() view returns (bytes32);
    function delivered(bytes32 messageId) view returns (bool);
    function processedAt(bytes32 messageId) view returns (uint48);
    function count() view returns (uint32);
    function root() view returns (bytes32);
}

fn on_all(coins: &[Coin], test: impl Fn(&mut Chain)) {
    for name in HOSTS {
        for coin in coins {
            println!("vm {name}, coin {coin:?}");
            test(&mut Chain::new(name, *coin));
        }
    }
}

const ALL: &[Coin] = &[Coin::Own, Coin::Hub, Coin::Home];
const HUB: &[Coin] = &[Coin::Hub, Coin::Home];

/// A member in memory, and the block being made.
struct Chain {
    vm: Arc<dyn Vm>,
    /// Whether accounts with code take messages, and those without do not.
    contracts: bool,
    accounts: BTreeMap<Address, Account>,
    slots: BTreeMap<U256, U256>,
    codes: BTreeMap<B256, Bytes>,
    env: BlockEnv,
}

/// What one transaction did.
#[derive(Debug)]
struct Done {
    success: bool,
    output: Bytes,
    logs: Vec<Log>,
    outbox: Vec<Message>,
    /// Slots of the Mailbox that changed.
    slots: BTreeMap<U256, U256>,
    /// Wei the user has less, beside what the gas cost.
    paid: u64,
}

impl StateReader for Chain {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.accounts.get(&address).copied())
    }
    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let found = self.slots.get(&slot).filter(|_| address == MAILBOX);
        Ok(found.copied().unwrap_or_default())
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.codes.get(&hash).cloned())
    }
    fn block_hash(&self, _number: u64) -> Result<Option<B256>, StateError> {
        Ok(None)
    }
}

impl Chain {
    fn new(name: &str, coin: Coin) -> Self {
        let (_, open) = VMS.iter().find(|(vm, _)| *vm == name).unwrap();
        let rich = Account { balance: U256::from(RICH), ..Default::default() };
        let mut chain = Self {
            vm: open(&super::vm::spec()).unwrap(),
            contracts: name != "ledger",
            accounts: [USER, OTHER].map(|user| (user, rich)).into(),
            slots: BTreeMap::from([
                (layout::LOCAL_DOMAIN, U256::from(HERE)),
                (layout::TTL, U256::from(TTL)),
                (layout::COIN, U256::from(coin as u8)),
                (layout::HUB_ASSET, asset().into()),
            ]),
            codes: BTreeMap::new(),
            env: BlockEnv {
                chain_id: HERE.into(),
                number: 10,
                time_ms: SECONDS * 1_000 + 777,
                fork: Fork::Prague,
                beneficiary: Address::repeat_byte(0xbe),
                gas_limit: 100_000_000,
                gas_available: 100_000_000,
                bytes_available: 1 << 20,
                base_fee: 7,
                mix_hash: B256::ZERO,
                difficulty: U256::ZERO,
                blob_base_fee: 1,
            },
        };
        for (address, code) in [(MAILBOX, abi::CODE), (CONTRACT, &[0])] {
            let code = Bytes::from_static(code);
            let account = chain.accounts.entry(address).or_default();
            (account.nonce, account.bytecode_hash) = (1, Some(keccak256(&code)));
            chain.codes.insert(keccak256(&code), code);
        }
        for (domain, status) in [
            (THERE, LaneStatus::Active),
            (PAUSED, LaneStatus::Paused),
            (STALLED, LaneStatus::Stalled),
        ] {
            let word = LaneWord { status, gas_price: PRICE, ..Default::default() };
            chain.slots.insert(layout::lane(domain), word.to_slot());
        }
        chain
    }

    fn balance(&self, address: Address) -> u64 {
        self.accounts.get(&address).map_or(0, |account| account.balance.to())
    }

    fn set_balance(&mut self, address: Address, wei: u64) {
        self.accounts.entry(address).or_default().balance = U256::from(wei);
    }

    fn supply(&self) -> U256 {
        self.accounts.values().map(|account| account.balance).sum()
    }

    /// Runs one transaction and keeps what it changed.
    fn run(&mut self, tx: Arc<Tx>) -> (BlockOutput, BTreeMap<U256, U256>) {
        let before = self.supply();
        let output = self.vm.execute(self, &self.env, &[tx], &Stop::never()).unwrap();
        assert_eq!(output.skipped, [], "included, whatever it does");
        let slots = self.apply(&output.diff);
        assert_eq!(self.supply() + output.burnt, before + output.minted);
        let logs = output.receipts.iter().flat_map(|receipt| &receipt.logs);
        assert_eq!(output.outbox, abi::dispatched(logs));
        (output, slots)
    }

    fn apply(&mut self, diff: &StateDiff) -> BTreeMap<U256, U256> {
        let mut slots = BTreeMap::new();
        for (address, change) in &diff.accounts {
            let same = self.accounts.get(address) == change.account.as_ref();
            assert!(!same || !change.storage.is_empty(), "{address} did not change");
            assert!(!change.wiped && (*address == MAILBOX || change.storage.is_empty()));
            self.accounts.insert(*address, change.account.unwrap());
            for (slot, value) in &change.storage {
                let old = self.slots.insert(*slot, *value).unwrap_or_default();
                assert_ne!(old, *value, "slot {slot} did not change");
                slots.insert(*slot, *value);
            }
        }
        slots
    }

    /// A transaction of the user, which is also asked as a call first.
    fn send(&mut self, value: u64, call: &impl SolCall) -> Done {
        let input = Bytes::from(call.abi_encode());
        let asked = self.call(USER, value, input.clone());
        let (before, nonce) = (self.balance(USER), self.accounts[&USER].nonce);
        let tx = TxEip1559 {
            chain_id: HERE.into(),
            nonce,
            gas_limit: 12_000_000,
            max_fee_per_gas: 10,
            max_priority_fee_per_gas: 1,
            to: MAILBOX.into(),
            value: U256::from(value),
            input,
            ..Default::default()
        };
        let envelope = TxEnvelope::Eip1559(tx.into_signed(Signature::test_signature()));
        let raw = Bytes::from(envelope.encoded_2718());
        let hash = keccak256(&raw);
        let (output, slots) = self.run(Arc::new(Tx { raw, hash, sender: USER, envelope }));
        let receipt = &output.receipts[0];
        assert_eq!(receipt.success, asked.result == CallResult::Success);
        assert_eq!(receipt.logs, asked.logs);
        assert_eq!(self.accounts[&USER].nonce, nonce + 1);
        let paid = before - self.balance(USER) - receipt.gas_used * GAS_PRICE;
        let (success, logs, outbox) = (receipt.success, receipt.logs.clone(), output.outbox);
        Done { success, output: asked.output, logs, outbox, slots, paid }
    }

    /// A call that changes nothing.
    fn call(&self, from: Address, value: u64, input: Bytes) -> CallOutput {
        let (to, value) = (TxKind::Call(MAILBOX), U256::from(value));
        let call = Call { from, to, value, gas_limit: 12_000_000, input, ..Default::default() };
        self.vm.call(self, &self.env, &call).unwrap()
    }

    fn ask<C: SolCall>(&self, call: &C) -> C::Return {
        let output = self.call(OTHER, 0, call.abi_encode().into());
        assert_eq!(output.result, CallResult::Success, "{}", C::SIGNATURE);
        C::abi_decode_returns_validate(&output.output).unwrap()
    }

    /// A system call; `None` if it reverted.
    fn deliver(&mut self, from: Address, message: &Message) -> (Option<DeliveryStatus>, Done) {
        let call =
            abi::deliverCall { message: message.encode_packed().into(), gasLimit: TRANSFER_GAS };
        let (output, slots) = self.run(Arc::new(Tx::deposit(TxDeposit {
            from,
            to: MAILBOX.into(),
            gas_limit: 1_000_000,
            input: call.abi_encode().into(),
            ..Default::default()
        })));
        let outcome = &output.outcomes[0];
        let logs = output.receipts[0].logs.clone();
        let (success, returned) = (outcome.success, outcome.output.clone());
        let status = success.then(|| {
            let ended = abi::deliverCall::abi_decode_returns_validate(&returned).unwrap();
            assert!(ended.gasUsed <= TRANSFER_GAS);
            DeliveryStatus::from_code(ended.status).unwrap()
        });
        assert_eq!(output.outbox, []);
        (status, Done { success, output: returned, logs, outbox: vec![], slots, paid: 0 })
    }
}

fn asset() -> B256 {
    asset_id(1, Address::ZERO)
}

fn fee(gas_limit: u64, body_bytes: usize) -> u64 {
    (gas_limit + DELIVERY_GAS + 40 * body_bytes as u64) * PRICE
}

fn dispatch(destination: u32, body_bytes: usize) -> abi::dispatchCall {
    abi::dispatchCall {
        destinationDomain: destination,
        recipientAddress: B256::repeat_byte(9),
        messageBody: vec![0; body_bytes].into(),
    }
}

fn transfer(amount: u64) -> abi::transferRemoteCall {
    let (destination, recipient) = (THERE, word_of(OTHER));
    abi::transferRemoteCall { destination, recipient, amount: U256::from(amount) }
}

fn arriving(sender: Address, recipient: B256, body: Bytes) -> Message {
    Message {
        nonce: 5,
        origin: THERE,
        sender: word_of(sender),
        destination: HERE,
        recipient,
        body,
        terms: Terms::default(),
    }
}

fn coins(recipient: B256, amount: u64, asset: B256) -> Message {
    let words = [recipient, U256::from(amount).into(), asset, word_of(USER)];
    arriving(MAILBOX, word_of(MAILBOX), words.concat().into())
}
