//! A model of the ledger, from what it says of itself: balances and nonces, Ethereum's fees, no
//! code but the Mailbox's.

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256};
use alloy_sol_types::{SolCall, SolEvent, SolValue};
use causeway_chainspec::mailbox::{self as abi, COURIER, Coin, LaneStatus, MAILBOX, layout};
use causeway_chainspec::{DeliveryStatus, Fork, Message, Terms, Tx, TxEnvelope};
use causeway_execution::vm::CallResult;
use causeway_execution::{Call, CallOutput};

use super::machine::{Head, Machine, Model, Verdict};
use super::state::{Entry, State};
use super::world::{ASSET, DOMAIN, TTL};

pub(super) struct Ledger;

impl Model for Ledger {
    fn vm(&self) -> &'static str {
        "ledger"
    }

    fn open(&self, state: State, head: &Head) -> Box<dyn Machine> {
        Box::new(Book { state, head: head.clone() })
    }

    fn call(&self, state: &State, head: &Head, call: &Call) -> Option<CallOutput> {
        let mut book = Book { state: state.clone(), head: head.clone() };
        let TxKind::Call(to) = call.to else { return None };
        let fee = U256::from(call.gas_limit) * U256::from(call.gas_price);
        let enough = fee.saturating_add(call.value) <= book.of(call.from).balance;
        if call.gas_limit < book.calldata_gas(&call.input) || !enough {
            return None;
        }
        let ran = book.go(call.from, to, call.value, call.gas_limit, &call.input)?;
        let (gas_refunded, created) = (0, None);
        let Ran { result, gas_used, output, logs } = ran;
        Some(CallOutput { result, gas_used, gas_refunded, output, logs, created })
    }
}

struct Book {
    state: State,
    head: Head,
}

struct Ran {
    result: CallResult,
    gas_used: u64,
    output: Bytes,
    logs: Vec<Log>,
}

impl Machine for Book {
    fn account(&mut self, address: Address) -> Entry {
        self.of(address)
    }

    fn run(&mut self, tx: &Tx) -> Verdict {
        match &tx.envelope {
            TxEnvelope::Deposit(deposit) => self.deposit(tx, U256::from(deposit.mint)),
            _ => self.signed(tx).unwrap_or_else(|why| Verdict::Refused(why.into())),
        }
    }

    fn state(&self) -> State {
        let entries = self.state.0.iter().filter(|(_, entry)| !entry.is_empty());
        State(entries.map(|(address, entry)| (*address, entry.clone())).collect())
    }
}

impl Book {
    fn of(&self, address: Address) -> Entry {
        self.state.0.get(&address).cloned().unwrap_or_default()
    }

    fn change(&mut self, address: Address) -> &mut Entry {
        self.state.0.entry(address).or_default()
    }

    fn slot(&self, slot: U256) -> U256 {
        self.state.slot(MAILBOX, slot)
    }

    fn tokens(input: &[u8]) -> u64 {
        input.iter().map(|byte| if *byte == 0 { 1 } else { 4 }).sum()
    }

    /// 21,000 and calldata: 4 a token, since Prague the floor of 10.
    fn calldata_gas(&self, input: &[u8]) -> u64 {
        let token = if self.head.fork < Fork::Prague { 4 } else { 10 };
        21_000 + token * Self::tokens(input)
    }

    fn signed(&mut self, tx: &Tx) -> Result<Verdict, &'static str> {
        let (envelope, head) = (&tx.envelope, self.head.clone());
        let sender = self.of(tx.sender);
        let (max_fee, base_fee) = (envelope.max_fee_per_gas(), head.base_fee);
        let tip = envelope.max_priority_fee_per_gas();
        let cap = if head.fork < Fork::Osaka { u64::MAX } else { 1 << 24 };
        let cost = U256::from(envelope.gas_limit()) * U256::from(max_fee);
        let listed = envelope.access_list().is_some_and(|list| !list.is_empty());
        let to = envelope.to().ok_or("creation")?;
        let bad = [
            (envelope.chain_id().is_some_and(|id| id != head.chain_id), "chain"),
            (envelope.tx_type() as u8 == 4, "authorizations"),
            (listed, "access list"),
            (tip.is_some_and(|tip| tip > max_fee), "tip"),
            (max_fee < base_fee.into(), "fee"),
            (envelope.gas_limit() > head.gas_limit.min(cap), "gas limit"),
            (envelope.gas_limit() < self.calldata_gas(envelope.input()), "intrinsic gas"),
            (envelope.nonce() != sender.nonce || sender.nonce == u64::MAX, "nonce"),
            (!sender.code.is_empty(), "sender"),
            (cost.saturating_add(envelope.value()) > sender.balance, "funds"),
        ];
        if let Some((_, why)) = bad.into_iter().find(|(is, _)| *is) {
            return Err(why);
        }
        let (value, gas) = (envelope.value(), envelope.gas_limit());
        let ran = self.go(tx.sender, to, value, gas, envelope.input()).ok_or("recipient")?;
        let price = match tip {
            Some(tip) => max_fee.min(u128::from(base_fee) + tip),
            None => max_fee,
        };
        let used = U256::from(ran.gas_used);
        let account = self.change(tx.sender);
        account.nonce += 1;
        account.balance -= U256::from(price) * used;
        let tip = U256::from(price - u128::from(base_fee)) * used;
        self.state.mint(head.beneficiary, tip);
        Ok(Verdict::ran(ran.result == CallResult::Success, ran.gas_used, ran.logs, ran.output))
    }

    /// Wei and a nonce whatever happens; no fees; all gas if it cannot begin.
    fn deposit(&mut self, tx: &Tx, mint: U256) -> Verdict {
        let nonce = self.of(tx.sender).nonce;
        self.change(tx.sender).balance += mint;
        self.change(tx.sender).nonce += 1;
        let (envelope, balance) = (&tx.envelope, self.of(tx.sender).balance);
        let (gas, value) = (envelope.gas_limit(), envelope.value());
        let begins = self.calldata_gas(envelope.input()) <= gas && value <= balance;
        let to = envelope.to().filter(|_| begins);
        let ran = to.and_then(|to| self.go(tx.sender, to, value, gas, envelope.input()));
        let verdict = match ran {
            Some(ran) => {
                let success = ran.result == CallResult::Success;
                Verdict::ran(success, ran.gas_used, ran.logs, ran.output)
            }
            None => Verdict::ran(false, gas, vec![], Bytes::new()),
        };
        let Verdict::Ran(mut receipt, output) = verdict else { unreachable!("it ran") };
        receipt.deposit_nonce = nonce;
        Verdict::Ran(receipt, output)
    }

    fn shift(&mut self, from: Address, to: Address, wei: U256) {
        self.change(from).balance -= wei;
        self.change(to).balance += wei;
    }

    /// A payment to an account without code, or a call of the Mailbox; `None` for anything else.
    fn go(
        &mut self,
        from: Address,
        to: Address,
        value: U256,
        gas: u64,
        input: &Bytes,
    ) -> Option<Ran> {
        let least = self.calldata_gas(input);
        let (output, logs) = Default::default();
        let code = !self.of(to).code.is_empty();
        if !(code && to == MAILBOX && !input.is_empty()) {
            if code {
                return None;
            }
            self.shift(from, to, value);
            return Some(Ran { result: CallResult::Success, gas_used: least, output, logs });
        }
        let deliver = input.starts_with(&abi::deliverCall::SELECTOR);
        let work = if deliver { 35_000 } else { 66_300 };
        let gas_used = least.max(21_000 + 4 * Self::tokens(input) + work);
        if gas_used > gas {
            let result = CallResult::Halt("out of gas".into());
            return Some(Ran { result, gas_used: gas, output, logs });
        }
        Some(match self.mailbox(from, value, input) {
            Some((output, logs)) => Ran { result: CallResult::Success, gas_used, output, logs },
            None => Ran { result: CallResult::Revert, gas_used, output, logs },
        })
    }

    /// A function of the Mailbox; `None` if it reverts, and nothing has changed then.
    fn mailbox(&mut self, from: Address, value: U256, input: &[u8]) -> Option<(Bytes, Vec<Log>)> {
        let (selector, args) = input.split_first_chunk::<4>()?;
        let lane_gas = abi::TRANSFER_GAS;
        match *selector {
            abi::dispatchCall::SELECTOR => {
                let call = abi::dispatchCall::abi_decode_raw_validate(args).ok()?;
                let (to, body) = (call.recipientAddress, call.messageBody);
                let out = (call.destinationDomain, from, to, body);
                self.send(from, value, out, (abi::DEFAULT_GAS, 0, Address::ZERO), U256::ZERO)
            }
            abi::dispatchWithCall::SELECTOR => {
                let call = abi::dispatchWithCall::abi_decode_raw_validate(args).ok()?;
                let (to, body) = (call.recipientAddress, call.messageBody);
                let out = (call.destinationDomain, from, to, body);
                let terms = (call.gasLimit, call.ttlSeconds, call.refundTo);
                self.send(from, value, out, terms, U256::ZERO)
            }
            abi::transferRemoteCall::SELECTOR => {
                let call = abi::transferRemoteCall::abi_decode_raw_validate(args).ok()?;
                let what = (call.destination, call.recipient, call.amount);
                self.transfer(from, value, what, (lane_gas, 0, Address::ZERO))
            }
            abi::transferRemoteWithCall::SELECTOR => {
                let call = abi::transferRemoteWithCall::abi_decode_raw_validate(args).ok()?;
                let what = (call.destination, call.recipient, call.amount);
                self.transfer(from, value, what, (lane_gas, call.ttlSeconds, call.refundTo))
            }
            abi::quoteTransferCall::SELECTOR if value.is_zero() => {
                let call = abi::quoteTransferCall::abi_decode_raw_validate(args).ok()?;
                let lane = abi::LaneWord::from_slot(self.slot(layout::lane(call.destination)));
                let (gas_limit, gas_price) = (lane_gas, lane.gas_price);
                let terms = Terms { gas_limit, gas_price, ..Default::default() };
                let known = lane.status != LaneStatus::Unknown;
                known.then(|| (terms.fee(128).abi_encode().into(), vec![]))
            }
            abi::deliverCall::SELECTOR if value.is_zero() => {
                let call = abi::deliverCall::abi_decode_raw_validate(args).ok()?;
                let (status, logs) = self.deliver(from, &call.message)?;
                Some(((U256::from(status as u8), U256::ZERO).abi_encode().into(), logs))
            }
            _ => None,
        }
    }

    fn hub_coin(&self) -> bool {
        self.slot(layout::COIN) != U256::from(Coin::Own as u8)
    }

    fn transfer(
        &mut self,
        from: Address,
        value: U256,
        (domain, recipient, amount): (u32, B256, U256),
        terms: (u64, u64, Address),
    ) -> Option<(Bytes, Vec<Log>)> {
        let good = self.hub_coin() && !amount.is_zero() && payable(recipient).is_some();
        let mailbox = abi::word_of(MAILBOX);
        let body = [recipient, amount.into(), ASSET.into(), abi::word_of(from)].concat().into();
        let out = (domain, MAILBOX, mailbox, body);
        let (id, mut logs) = good.then(|| self.send(from, value, out, terms, amount)).flatten()?;
        logs.push(log(&abi::SentTransferRemote { destination: domain, recipient, amount }));
        Some((id, logs))
    }

    /// Sends a message: fee and amount go into escrow, the rest of the value stays.
    fn send(
        &mut self,
        from: Address,
        value: U256,
        (destination, sender, recipient, body): (u32, Address, B256, Bytes),
        (gas_limit, ttl, refund): (u64, u64, Address),
        amount: U256,
    ) -> Option<(Bytes, Vec<Log>)> {
        let refund_to = if refund.is_zero() { from } else { refund };
        let place = layout::lane(destination);
        let mut lane = abi::LaneWord::from_slot(self.slot(place));
        let seconds = self.head.time_ms / 1000;
        let ttl = if ttl == 0 { TTL } else { ttl };
        let expiry_ms = seconds.checked_add(ttl)?.checked_mul(1000)?;
        let used = if lane.block == self.head.number { lane.used } else { 0 };
        (lane.block, lane.used) = (self.head.number, used + 117 + body.len() as u32);
        let terms = Terms { gas_limit, gas_price: lane.gas_price, expiry_ms, refund_to };
        let fee = terms.fee(body.len());
        let good = lane.status == LaneStatus::Active
            && lane.used <= abi::LANE_BYTES
            && from != MAILBOX
            && refund_to != MAILBOX
            && body.len() <= 16 << 10
            && value >= fee + amount;
        if !good {
            return None;
        }
        let nonce = self.slot(layout::NONCE).to::<u32>();
        let sender_word = abi::word_of(sender);
        let message = Message {
            nonce,
            origin: DOMAIN,
            sender: sender_word,
            destination,
            recipient,
            body,
            terms,
        };
        let id = message.id();
        self.shift(from, MAILBOX, fee + amount);
        self.state.set(MAILBOX, place, lane.to_slot());
        self.state.set(MAILBOX, layout::NONCE, U256::from(nonce + 1));
        self.state.set(MAILBOX, layout::LATEST_ID, id.into());
        let packed = message.encode_packed().into();
        let logs = vec![
            log(&abi::Dispatch { sender, destination, recipient, message: packed }),
            log(&abi::DispatchId { messageId: id }),
            log(&abi::DispatchTerms {
                messageId: id,
                gasLimit: gas_limit,
                gasPrice: lane.gas_price,
                expiryMs: expiry_ms,
                refundTo: refund_to,
            }),
            log(&abi::InsertedIntoTree { messageId: id, index: nonce }),
            log(&abi::GasPayment {
                messageId: id,
                destinationDomain: destination,
                gasAmount: U256::from(gas_limit),
                payment: fee,
            }),
        ];
        Some((id.to_vec().into(), logs))
    }

    /// Takes a message in. One that cannot be delivered changes nothing, and that is an answer.
    fn deliver(&mut self, from: Address, packed: &Bytes) -> Option<(DeliveryStatus, Vec<Log>)> {
        let message = Message::decode_packed(packed, Terms::default())?;
        let id = message.id();
        let place = layout::entry(id, layout::RECEIVED);
        if from != COURIER || message.destination != DOMAIN || !self.slot(place).is_zero() {
            return None;
        }
        let mailbox = abi::word_of(MAILBOX);
        let plain = |book: &Self, word: B256| {
            abi::address_of(word).filter(|to| book.of(*to).code.is_empty())
        };
        let mut arrived = None;
        if message.recipient == mailbox {
            let malformed = Some((DeliveryStatus::Malformed, vec![]));
            let [recipient, amount, asset, _] = match message.body.chunks(32).collect::<Vec<_>>()[..]
            {
                [a, b, c, d] if d.len() == 32 => [a, b, c, d].map(B256::from_slice),
                _ => return malformed,
            };
            let amount = U256::from_be_bytes(amount.0);
            let known = message.sender == mailbox
                && U256::from_be_bytes(asset.0) == ASSET
                && self.hub_coin();
            if !known || amount.is_zero() || payable(recipient).is_none() {
                return malformed;
            }
            let Some(to) = plain(self, recipient) else {
                return Some((DeliveryStatus::NoRecipient, vec![]));
            };
            if self.of(MAILBOX).balance < amount {
                return Some((DeliveryStatus::Reverted, vec![]));
            }
            self.shift(MAILBOX, to, amount);
            let origin = message.origin;
            arrived = Some(log(&abi::ReceivedTransferRemote { origin, recipient, amount }));
        } else if plain(self, message.recipient).is_none() {
            return Some((DeliveryStatus::NoRecipient, vec![]));
        }
        self.state.set(MAILBOX, place, U256::from(self.head.number << 8 | 1));
        let recipient = Address::from_word(message.recipient);
        let (origin, sender) = (message.origin, message.sender);
        let mut logs = vec![
            log(&abi::Process { origin, sender, recipient }),
            log(&abi::ProcessId { messageId: id }),
        ];
        logs.extend(arrived);
        Some((DeliveryStatus::Delivered, logs))
    }
}

/// The account to which coins can go.
fn payable(word: B256) -> Option<Address> {
    abi::address_of(word).filter(|to| !to.is_zero() && *to != MAILBOX)
}

fn log(event: &impl SolEvent) -> Log {
    Log { address: MAILBOX, data: event.encode_log_data() }
}
