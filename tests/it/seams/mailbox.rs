//! What every VM with a Mailbox promises: the same events, messages, slots and wei for the same
//! calls.
#![allow(clippy::unwrap_used)]

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
const HOSTS: &[&str] = &["ledger"];

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
    (gas_limit + DELIVERY_GAS + 16 * body_bytes as u64) * PRICE
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

/// What a message of the user has to look like in events and slots.
fn check_sent(done: &Done, message: &Message, fee: u64, used: u32) {
    let id = message.id();
    assert!(done.success);
    assert_eq!(done.output, Bytes::from(id.to_vec()));
    assert_eq!(done.outbox, std::slice::from_ref(message));
    let terms = message.terms;
    let events = [
        abi::Dispatch {
            sender: abi::address_of(message.sender).unwrap(),
            destination: message.destination,
            recipient: message.recipient,
            message: message.encode_packed().into(),
        }
        .encode_log_data(),
        abi::DispatchId { messageId: id }.encode_log_data(),
        abi::DispatchTerms {
            messageId: id,
            gasLimit: terms.gas_limit,
            gasPrice: terms.gas_price,
            expiryMs: terms.expiry_ms,
            refundTo: terms.refund_to,
        }
        .encode_log_data(),
        abi::InsertedIntoTree { messageId: id, index: message.nonce }.encode_log_data(),
        abi::GasPayment {
            messageId: id,
            destinationDomain: message.destination,
            gasAmount: U256::from(terms.gas_limit),
            payment: U256::from(fee),
        }
        .encode_log_data(),
    ];
    assert!(done.logs.iter().all(|log| log.address == MAILBOX));
    let logs: Vec<_> = done.logs.iter().map(|log| log.data.clone()).collect();
    assert_eq!(logs[..5], events);
    let lane = LaneWord { status: LaneStatus::Active, gas_price: PRICE, block: 10, used };
    let slots = [
        (layout::NONCE, U256::from(message.nonce + 1)),
        (layout::LATEST_ID, id.into()),
        (layout::lane(message.destination), lane.to_slot()),
    ];
    assert_eq!(done.slots, slots.into());
}

#[test]
fn a_message_leaves_events_slots_and_its_fee_and_the_rest_of_the_value_stays() {
    on_all(ALL, |chain| {
        let call = dispatch(THERE, 40);
        let price = fee(DEFAULT_GAS, 40);
        let mut message = Message {
            nonce: 0,
            origin: HERE,
            sender: word_of(USER),
            destination: THERE,
            recipient: call.recipientAddress,
            body: call.messageBody.clone(),
            terms: Terms {
                gas_limit: DEFAULT_GAS,
                gas_price: PRICE,
                expiry_ms: (SECONDS + TTL) * 1_000,
                refund_to: USER,
            },
        };
        let done = chain.send(price, &call);
        check_sent(&done, &message, price, 157);
        assert_eq!((done.paid, done.logs.len()), (price, 5));
        // The same again: another id. What is above the fee goes straight back.
        message.nonce = 1;
        let done = chain.send(price + 1_000_000, &call);
        check_sent(&done, &message, price, 2 * 157);
        assert_eq!((done.paid, chain.balance(MAILBOX)), (price, 2 * price));
        // All terms chosen.
        let call = abi::dispatchWithCall {
            destinationDomain: THERE,
            recipientAddress: call.recipientAddress,
            messageBody: Bytes::new(),
            gasLimit: 1,
            ttlSeconds: 60,
            refundTo: OTHER,
        };
        let expiry_ms = (SECONDS + 60) * 1_000;
        message.terms = Terms { gas_limit: 1, gas_price: PRICE, expiry_ms, refund_to: OTHER };
        (message.nonce, message.body) = (2, Bytes::new());
        let done = chain.send(fee(1, 0), &call);
        check_sent(&done, &message, fee(1, 0), 2 * 157 + 117);
        // Nobody named to be paid back is the sender.
        (message.nonce, message.terms.refund_to) = (3, USER);
        let call = abi::dispatchWithCall { refundTo: Address::ZERO, ..call };
        check_sent(&chain.send(fee(1, 0), &call), &message, fee(1, 0), 2 * 157 + 2 * 117);
        assert_eq!(chain.ask(&nonceCall {}), 4);
        assert_eq!(chain.ask(&latestDispatchedIdCall {}), message.id());
    });
}

#[test]
fn what_cannot_be_sent_fails_and_gives_the_value_back() {
    on_all(ALL, |chain| {
        let with = |gas_limit: u64, ttl: u64, refund_to| abi::dispatchWithCall {
            destinationDomain: THERE,
            recipientAddress: B256::ZERO,
            messageBody: Bytes::new(),
            gasLimit: gas_limit,
            ttlSeconds: ttl,
            refundTo: refund_to,
        };
        let free = fee(DEFAULT_GAS, MAX_BODY_BYTES);
        let refused = [
            (fee(DEFAULT_GAS, 40) - 1, dispatch(THERE, 40).abi_encode()),
            (free, dispatch(1, 40).abi_encode()),
            (free, dispatch(HERE, 40).abi_encode()),
            (free, dispatch(PAUSED, 40).abi_encode()),
            (free, dispatch(STALLED, 40).abi_encode()),
            (2 * free, dispatch(THERE, MAX_BODY_BYTES + 1).abi_encode()),
            (free, with(1, u64::MAX, USER).abi_encode()),
            (free, with(u64::MAX, 0, USER).abi_encode()),
            (free, with(1, 0, MAILBOX).abi_encode()),
            (free, nonceCall {}.abi_encode()),
            (0, vec![1, 2, 3, 4]),
            (0, vec![1]),
            (0, dispatch(THERE, 40).abi_encode()[..99].to_vec()),
        ];
        for (index, (value, input)) in refused.into_iter().enumerate() {
            let done = chain.send(value, &Raw(input));
            assert!(!done.success && done.logs.is_empty() && done.slots.is_empty(), "{index}");
            assert_eq!((done.paid, chain.balance(MAILBOX)), (0, 0), "{index}");
        }
        let done = chain.send(free, &dispatch(THERE, MAX_BODY_BYTES));
        assert!(done.success);
    });
}

/// Calldata that no function's type would encode.
struct Raw(Vec<u8>);

impl SolCall for Raw {
    type Parameters<'a> = ();
    type Token<'a> = ();
    type Return = ();
    type ReturnTuple<'a> = ();
    type ReturnToken<'a> = ();
    const SIGNATURE: &'static str = "raw()";
    const SELECTOR: [u8; 4] = [0; 4];

    fn new((): ()) -> Self {
        Self(Vec::new())
    }
    fn tokenize(&self) {}
    fn tokenize_returns((): &()) {}
    fn abi_encode(&self) -> Vec<u8> {
        self.0.clone()
    }
    fn abi_decode_returns(_: &[u8]) -> alloy_sol_types::Result<()> {
        Ok(())
    }
}

#[test]
fn a_block_sends_so_many_bytes_to_one_chain() {
    on_all(&[Coin::Own], |chain| {
        let free = fee(DEFAULT_GAS, MAX_BODY_BYTES);
        let (size, most) = (117 + MAX_BODY_BYTES, LANE_BYTES as usize);
        for _ in 0..most / size {
            assert!(chain.send(free, &dispatch(THERE, MAX_BODY_BYTES)).success);
        }
        let left = most % size - 117;
        assert!(!chain.send(free, &dispatch(THERE, left + 1)).success);
        assert!(chain.send(free, &dispatch(THERE, left)).success);
        assert!(!chain.send(free, &dispatch(THERE, 0)).success);
        chain.env.number += 1;
        let done = chain.send(free, &dispatch(THERE, 0));
        let lane = LaneWord::from_slot(done.slots[&layout::lane(THERE)]);
        assert_eq!((lane.block, lane.used), (11, 117));
    });
}

#[test]
fn coins_leave_with_the_fee() {
    on_all(HUB, |chain| {
        let price = fee(TRANSFER_GAS, 128);
        let done = chain.send(price + 500 + 3, &transfer(500));
        let words = [word_of(OTHER), U256::from(500).into(), asset(), word_of(USER)];
        let expiry_ms = (SECONDS + TTL) * 1_000;
        let mut message = Message {
            nonce: 0,
            origin: HERE,
            sender: word_of(MAILBOX),
            destination: THERE,
            recipient: word_of(MAILBOX),
            body: words.concat().into(),
            terms: Terms { gas_limit: TRANSFER_GAS, gas_price: PRICE, expiry_ms, refund_to: USER },
        };
        check_sent(&done, &message, price, 245);
        let (destination, recipient, amount) = (THERE, word_of(OTHER), U256::from(500));
        let sent = abi::SentTransferRemote { destination, recipient, amount }.encode_log_data();
        assert_eq!((done.logs.len(), &done.logs[5].data), (6, &sent));
        assert_eq!((done.paid, chain.balance(MAILBOX)), (price + 500, price + 500));
        let mut with = abi::transferRemoteWithCall {
            destination,
            recipient,
            amount,
            ttlSeconds: 9,
            refundTo: OTHER,
        };
        let done = chain.send(price + 500, &with);
        message.nonce = 1;
        message.terms =
            Terms { expiry_ms: (SECONDS + 9) * 1_000, refund_to: OTHER, ..message.terms };
        check_sent(&done, &message, price, 2 * 245);
        // The amount is needed too, and somebody who can hold it.
        assert!(!chain.send(price + 499, &transfer(500)).success);
        assert!(!chain.send(price, &transfer(0)).success);
        for recipient in [B256::ZERO, word_of(MAILBOX), B256::repeat_byte(1)] {
            with.recipient = recipient;
            assert!(!chain.send(price + 500, &with).success, "{recipient}");
        }
        assert_eq!(chain.balance(MAILBOX), 2 * (price + 500));
    });
}

#[test]
fn quotes_are_what_sending_costs() {
    on_all(ALL, |chain| {
        let call = dispatch(THERE, 33);
        let quote = abi::quoteDispatchCall {
            destinationDomain: THERE,
            recipientAddress: B256::ZERO,
            messageBody: call.messageBody.clone(),
        };
        let price = fee(DEFAULT_GAS, 33);
        assert_eq!(chain.ask(&quote), U256::from(price));
        let with = |destination: u32, bytes: usize| abi::quoteDispatchWithCall {
            destinationDomain: destination,
            bodyBytes: U256::from(bytes),
            gasLimit: 7,
        };
        assert_eq!(chain.ask(&with(THERE, 0)), U256::from(fee(7, 0)));
        // Closed for a while is no reason to have no price.
        assert_eq!(chain.ask(&with(PAUSED, 1)), U256::from(fee(7, 1)));
        let quote = abi::quoteTransferCall { destination: THERE };
        assert_eq!(chain.ask(&quote), U256::from(fee(TRANSFER_GAS, 128)));
        for call in [with(1, 0), with(HERE, 0), with(THERE, MAX_BODY_BYTES + 1)] {
            let output = chain.call(OTHER, 0, call.abi_encode().into());
            assert_eq!(output.result, CallResult::Revert);
        }
        assert_eq!(chain.send(price, &call).paid, price);
    });
}

fn check_delivered(done: &Done, message: &Message, more: usize) {
    let (origin, sender) = (message.origin, message.sender);
    let recipient = abi::address_of(message.recipient).unwrap();
    let process = abi::Process { origin, sender, recipient }.encode_log_data();
    let id = abi::ProcessId { messageId: message.id() }.encode_log_data();
    assert_eq!((&done.logs[0].data, &done.logs[1].data), (&process, &id));
    assert_eq!(done.logs.len(), 2 + more);
    let slot = layout::entry(message.id(), layout::RECEIVED);
    assert_eq!(done.slots, BTreeMap::from([(slot, U256::from(1 | 10 << 8))]));
}

#[test]
fn a_message_is_delivered_once_and_by_the_courier_alone() {
    on_all(ALL, |chain| {
        let (taker, other) = if chain.contracts { (CONTRACT, OTHER) } else { (OTHER, CONTRACT) };
        let message = arriving(USER, word_of(taker), Bytes::from_static(b"hello"));
        assert_eq!(chain.deliver(USER, &message).0, None);
        assert!(!chain.ask(&deliveredCall { messageId: message.id() }));
        let (status, done) = chain.deliver(COURIER, &message);
        assert_eq!(status, Some(DeliveryStatus::Delivered));
        check_delivered(&done, &message, 0);
        assert!(chain.ask(&deliveredCall { messageId: message.id() }));
        let at = chain.ask(&processedAtCall { messageId: message.id() });
        assert_eq!(u64::try_from(at).unwrap(), 10);
        assert_eq!(chain.deliver(COURIER, &message).0, None, "again");
        let elsewhere = Message { destination: THERE, ..message.clone() };
        assert_eq!(chain.deliver(COURIER, &elsewhere).0, None);
        for (recipient, want) in [
            (word_of(other), DeliveryStatus::NoRecipient),
            (B256::repeat_byte(1), DeliveryStatus::NoRecipient),
            (word_of(MAILBOX), DeliveryStatus::Malformed),
        ] {
            let message = arriving(USER, recipient, Bytes::new());
            let (status, done) = chain.deliver(COURIER, &message);
            assert_eq!(status, Some(want));
            assert!(done.logs.is_empty() && done.slots.is_empty());
        }
    });
}

#[test]
fn coins_arrive_from_what_the_mailbox_holds() {
    on_all(HUB, |chain| {
        chain.set_balance(MAILBOX, 1_000);
        let message = coins(word_of(OTHER), 600, asset());
        let (status, done) = chain.deliver(COURIER, &message);
        assert_eq!(status, Some(DeliveryStatus::Delivered));
        check_delivered(&done, &message, 1);
        let (origin, recipient, amount) = (THERE, word_of(OTHER), U256::from(600));
        let event = abi::ReceivedTransferRemote { origin, recipient, amount };
        assert_eq!(done.logs[2].data, event.encode_log_data());
        assert_eq!((chain.balance(MAILBOX), chain.balance(OTHER)), (400, RICH + 600));
        // To an account that was not there before.
        let fresh = Address::repeat_byte(0x44);
        let status = chain.deliver(COURIER, &coins(word_of(fresh), 100, asset())).0;
        assert_eq!((status, chain.balance(fresh)), (Some(DeliveryStatus::Delivered), 100));
        let mut long = coins(word_of(OTHER), 1, asset());
        long.body = [&long.body[..], &[0]].concat().into();
        for (message, want) in [
            (long, DeliveryStatus::Malformed),
            (coins(word_of(OTHER), 301, asset()), DeliveryStatus::Reverted),
            (coins(word_of(OTHER), 0, asset()), DeliveryStatus::Malformed),
            (coins(word_of(OTHER), 1, B256::ZERO), DeliveryStatus::Malformed),
            (coins(word_of(MAILBOX), 1, asset()), DeliveryStatus::Malformed),
            (coins(B256::ZERO, 1, asset()), DeliveryStatus::Malformed),
            (coins(B256::repeat_byte(1), 1, asset()), DeliveryStatus::Malformed),
        ] {
            let (status, done) = chain.deliver(COURIER, &message);
            assert_eq!(status, Some(want), "{message:?}");
            assert!(done.logs.is_empty() && done.slots.is_empty());
        }
        assert_eq!(chain.balance(MAILBOX), 300);
    });
}

#[test]
fn views_read_what_the_protocol_wrote() {
    on_all(ALL, |chain| {
        assert_eq!(chain.ask(&localDomainCall {}), HERE);
        assert_eq!((chain.ask(&nonceCall {}), chain.ask(&countCall {})), (0, 0));
        // The root of Hyperlane's empty tree.
        let empty = "0x27ae5ba08d7291c96c8cbddcc148bf48a6d68c7974b94356f53754ef6171d757";
        assert_eq!(chain.ask(&rootCall {}), empty.parse::<B256>().unwrap());
        // Three leaves: the branch holds the newest alone, and the hash of the first two.
        let (pair, third) = (B256::repeat_byte(1), B256::repeat_byte(2));
        chain.slots.insert(layout::TREE_COUNT, U256::from(3));
        chain.slots.insert(U256::from(layout::BRANCH), third.into());
        chain.slots.insert(U256::from(layout::BRANCH + 1), pair.into());
        let hash = |left: B256, right: B256| keccak256([left, right].concat());
        let mut zero = hash(B256::ZERO, B256::ZERO);
        let mut node = hash(pair, hash(third, B256::ZERO));
        for _ in 2..32 {
            zero = hash(zero, zero);
            node = hash(node, zero);
        }
        assert_eq!((chain.ask(&rootCall {}), chain.ask(&countCall {})), (node, 3));
    });
}
