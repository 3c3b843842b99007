//! The Mailbox, natively: what its contract does on the EVM, with the same slots and events.

use alloy_primitives::{Address, B256, Bytes, Log, U256};
use alloy_sol_types::{Revert, SolCall, SolError, SolEvent, sol};
use causeway_chainspec::mailbox::{
    self as abi, COURIER, Coin, DEFAULT_GAS, LANE_BYTES, LaneStatus, LaneWord, MAILBOX,
    TRANSFER_GAS, address_of, layout, word_of,
};
use causeway_chainspec::message::MAX_BODY_BYTES;
use causeway_chainspec::{BlockEnv, DeliveryStatus, LaneItem, Message, StateError, Terms, merkle};

use super::book::Book;

/// Gas of a call beside what any transaction costs: three new slots at 22,100 (EIP-2929). A
/// message leaves about so much in state, and costs about so much on the EVM. Views and calls
/// that fail pay it too.
pub(super) const CALL_GAS: u64 = 3 * 22_100;
/// Gas of a delivery beside that: one new slot, events, a transfer. The sender of the message has
/// paid for more, `DELIVERY_GAS`.
pub(super) const DELIVER_GAS: u64 = 35_000;

sol! {
    function VERSION() view returns (uint8);
    function localDomain() view returns (uint32);
    function nonce() view returns (uint32);
    function latestDispatchedId() view returns (bytes32);
    function delivered(bytes32 messageId) view returns (bool);
    function processedAt(bytes32 messageId) view returns (uint48);
    function count() view returns (uint32);
    function root() view returns (bytes32);
}

/// Why a call left everything as it was.
#[derive(Debug)]
pub(super) enum Failure {
    /// State cannot be read.
    State(StateError),
    /// The caller's mistake, in words.
    Revert(String),
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl Failure {
    /// What a Solidity contract would return: `Error(string)`.
    pub(super) fn revert_data(reason: &str) -> Bytes {
        Revert::from(reason).abi_encode().into()
    }
}

fn revert<T>(reason: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Revert(reason.into()))
}

/// What a call returned and logged.
#[derive(Debug)]
pub(super) struct Done {
    /// ABI-encoded return values.
    pub(super) output: Bytes,
    /// Events, in order.
    pub(super) logs: Vec<Log>,
}

/// Whether a call is for it: with calldata, to the Mailbox, on a member. Everywhere else the
/// address is an account as any other.
pub(super) fn answers(book: &mut Book<'_>, to: Address, input: &[u8]) -> Result<bool, StateError> {
    Ok(to == MAILBOX && !input.is_empty() && book.has_code(MAILBOX)?)
}

/// Gas of a call beside what its calldata costs.
pub(super) fn gas(input: &[u8]) -> u64 {
    if input.starts_with(&abi::deliverCall::SELECTOR) { DELIVER_GAS } else { CALL_GAS }
}

/// Answers one call. The caller holds `value`; what is not kept of it stays there.
pub(super) fn call(
    book: &mut Book<'_>,
    env: &BlockEnv,
    caller: Address,
    value: U256,
    input: &[u8],
) -> Result<Done, Failure> {
    let Some((selector, args)) = input.split_first_chunk::<4>() else {
        return revert("no function is named");
    };
    let mut mailbox = Mailbox { book, env, caller, value, logs: Vec::new() };
    let output = match mailbox.send(*selector, args)? {
        Some(id) => id.to_vec(),
        None if !value.is_zero() => return revert("this function takes no value"),
        None => match mailbox.quote(*selector, args)? {
            Some(fee) => fee.to_be_bytes_vec(),
            None => mailbox.rest(*selector, args)?,
        },
    };
    Ok(Done { output: output.into(), logs: mailbox.logs })
}

struct Mailbox<'b, 'a> {
    book: &'b mut Book<'a>,
    env: &'b BlockEnv,
    caller: Address,
    value: U256,
    logs: Vec<Log>,
}

/// A message as its sender wants it.
struct Outgoing {
    destination: u32,
    sender: Address,
    recipient: B256,
    body: Bytes,
    gas_limit: u64,
    /// Seconds; 0 is the chain's default.
    ttl: u64,
    /// Zero is the caller.
    refund_to: Address,
}

impl Mailbox<'_, '_> {
    /// The functions that send, and the id of what they sent.
    fn send(&mut self, selector: [u8; 4], args: &[u8]) -> Result<Option<B256>, Failure> {
        match selector {
            abi::dispatchCall::SELECTOR => {
                let call: abi::dispatchCall = decode(args)?;
                self.dispatch(
                    Outgoing {
                        destination: call.destinationDomain,
                        sender: self.caller,
                        recipient: call.recipientAddress,
                        body: call.messageBody,
                        gas_limit: DEFAULT_GAS,
                        ttl: 0,
                        refund_to: Address::ZERO,
                    },
                    U256::ZERO,
                )
            }
            abi::dispatchWithCall::SELECTOR => {
                let call: abi::dispatchWithCall = decode(args)?;
                self.dispatch(
                    Outgoing {
                        destination: call.destinationDomain,
                        sender: self.caller,
                        recipient: call.recipientAddress,
                        body: call.messageBody,
                        gas_limit: call.gasLimit,
                        ttl: call.ttlSeconds,
                        refund_to: call.refundTo,
                    },
                    U256::ZERO,
                )
            }
            abi::transferRemoteCall::SELECTOR => {
                let call: abi::transferRemoteCall = decode(args)?;
                self.transfer(abi::transferRemoteWithCall {
                    destination: call.destination,
                    recipient: call.recipient,
                    amount: call.amount,
                    ttlSeconds: 0,
                    refundTo: Address::ZERO,
                })
            }
            abi::transferRemoteWithCall::SELECTOR => self.transfer(decode(args)?),
            _ => return Ok(None),
        }
        .map(Some)
    }

    fn transfer(&mut self, call: abi::transferRemoteWithCall) -> Result<B256, Failure> {
        if !self.holds_hub_coin()? {
            return revert("the hub's coin is not this chain's gas coin, and it has no tokens");
        }
        if call.amount.is_zero() {
            return revert("nothing to transfer");
        }
        if payable(call.recipient).is_none() {
            return revert("the recipient is no account that can hold coins");
        }
        let asset = B256::from(self.book.slot(layout::HUB_ASSET)?);
        let from = word_of(self.caller);
        let words = [call.recipient, call.amount.into(), asset, from];
        let id = self.dispatch(
            Outgoing {
                destination: call.destination,
                sender: MAILBOX,
                recipient: word_of(MAILBOX),
                body: words.concat().into(),
                gas_limit: TRANSFER_GAS,
                ttl: call.ttlSeconds,
                refund_to: call.refundTo,
            },
            call.amount,
        )?;
        let (destination, recipient, amount) = (call.destination, call.recipient, call.amount);
        self.log(&abi::SentTransferRemote { destination, recipient, amount });
        Ok(id)
    }

    /// Checks everything, then takes fee and amount, and leaves the message for the end of the
    /// block, where the protocol finds it by its events.
    fn dispatch(&mut self, out: Outgoing, amount: U256) -> Result<B256, Failure> {
        let refund_to = if out.refund_to.is_zero() { self.caller } else { out.refund_to };
        if self.caller == MAILBOX || refund_to == MAILBOX {
            return revert("the Mailbox neither sends for itself nor takes refunds");
        }
        let lane = self.open_lane(out.destination)?;
        let body_bytes = bounded(out.body.len())?;
        let nonce = u32::try_from(self.book.slot(layout::NONCE)?).unwrap_or(u32::MAX);
        if nonce == u32::MAX {
            return revert("the outbox is full");
        }
        let terms = Terms {
            gas_limit: out.gas_limit,
            gas_price: lane.gas_price,
            expiry_ms: self.expiry_ms(out.ttl)?,
            refund_to,
        };
        let message = Message {
            nonce,
            origin: self.local_domain()?,
            sender: word_of(out.sender),
            destination: out.destination,
            recipient: out.recipient,
            body: out.body,
            terms,
        };
        let lane = self.spend(lane, &message)?;
        let fee = terms.fee(body_bytes);
        let want = fee.saturating_add(amount);
        if self.value < want {
            return revert(format!("{} wei sent where {want} are needed", self.value));
        }
        if !self.book.shift(self.caller, MAILBOX, want)? {
            return revert("the caller lacks the value it sends");
        }
        let id = message.id();
        self.book.set_slot(layout::lane(out.destination), lane.to_slot())?;
        self.book.set_slot(layout::NONCE, U256::from(nonce + 1))?;
        self.book.set_slot(layout::LATEST_ID, id.into())?;
        self.announce(out.sender, &message, id, fee);
        Ok(id)
    }

    /// The lane after one more message in this block.
    fn spend(&self, lane: LaneWord, message: &Message) -> Result<LaneWord, Failure> {
        let before = if lane.block == self.env.number { lane.used } else { 0 };
        let size = LaneItem::Message(message.clone()).size();
        let used = u32::try_from(size).ok().and_then(|size| before.checked_add(size));
        match used.filter(|used| *used <= LANE_BYTES) {
            Some(used) => Ok(LaneWord { block: self.env.number, used, ..lane }),
            None => revert(format!("the lane to {} is full in this block", message.destination)),
        }
    }

    fn announce(&mut self, sender: Address, message: &Message, id: B256, fee: U256) {
        let terms = message.terms;
        self.log(&abi::Dispatch {
            sender,
            destination: message.destination,
            recipient: message.recipient,
            message: message.encode_packed().into(),
        });
        self.log(&abi::DispatchId { messageId: id });
        self.log(&abi::DispatchTerms {
            messageId: id,
            gasLimit: terms.gas_limit,
            gasPrice: terms.gas_price,
            expiryMs: terms.expiry_ms,
            refundTo: terms.refund_to,
        });
        self.log(&abi::InsertedIntoTree { messageId: id, index: message.nonce });
        self.log(&abi::GasPayment {
            messageId: id,
            destinationDomain: message.destination,
            gasAmount: U256::from(terms.gas_limit),
            payment: fee,
        });
    }

    /// End of a life of so many seconds, counted as the EVM does: from the block's whole second.
    fn expiry_ms(&mut self, ttl: u64) -> Result<u64, Failure> {
        let ttl = match ttl {
            0 => u64::try_from(self.book.slot(layout::TTL)?).unwrap_or(u64::MAX),
            seconds => seconds,
        };
        let end = (self.env.time_ms / 1000).checked_add(ttl).and_then(|end| end.checked_mul(1000));
        end.map_or_else(|| revert("the lifetime is too long"), Ok)
    }

    /// The word of a lane that takes messages.
    fn open_lane(&mut self, domain: u32) -> Result<LaneWord, Failure> {
        let lane = self.lane(domain)?;
        match lane.status {
            LaneStatus::Stalled => revert(format!("the lane to {domain} is stalled")),
            LaneStatus::Paused => revert(format!("the lane to {domain} is paused")),
            LaneStatus::Active | LaneStatus::Unknown => Ok(lane),
        }
    }

    /// The word of a lane, which has a price even while it is closed.
    fn lane(&mut self, domain: u32) -> Result<LaneWord, Failure> {
        let lane = LaneWord::from_slot(self.book.slot(layout::lane(domain))?);
        match lane.status {
            LaneStatus::Unknown => revert(format!("no other member has the domain {domain}")),
            _ => Ok(lane),
        }
    }

    /// The functions that tell a price.
    fn quote(&mut self, selector: [u8; 4], args: &[u8]) -> Result<Option<U256>, Failure> {
        let (domain, gas_limit, body_bytes) = match selector {
            abi::quoteDispatchCall::SELECTOR => {
                let call: abi::quoteDispatchCall = decode(args)?;
                (call.destinationDomain, DEFAULT_GAS, call.messageBody.len())
            }
            abi::quoteDispatchWithCall::SELECTOR => {
                let call: abi::quoteDispatchWithCall = decode(args)?;
                let body_bytes = usize::try_from(call.bodyBytes).unwrap_or(usize::MAX);
                (call.destinationDomain, call.gasLimit, body_bytes)
            }
            abi::quoteTransferCall::SELECTOR => {
                let call: abi::quoteTransferCall = decode(args)?;
                (call.destination, TRANSFER_GAS, 128)
            }
            _ => return Ok(None),
        };
        let gas_price = self.lane(domain)?.gas_price;
        let terms = Terms { gas_limit, gas_price, ..Terms::default() };
        Ok(Some(terms.fee(bounded(body_bytes)?)))
    }

    /// Delivery, and the views of state.
    fn rest(&mut self, selector: [u8; 4], args: &[u8]) -> Result<Vec<u8>, Failure> {
        Ok(match selector {
            abi::deliverCall::SELECTOR => {
                let call: abi::deliverCall = decode(args)?;
                // Nothing of the recipient runs here, so nothing of its gas is used.
                let status = self.deliver(&call.message)? as u8;
                let ended = abi::deliverReturn { status, gasUsed: 0 };
                abi::deliverCall::abi_encode_returns(&ended)
            }
            VERSIONCall::SELECTOR => number(causeway_chainspec::message::VERSION),
            localDomainCall::SELECTOR => number(self.local_domain()?),
            nonceCall::SELECTOR => self.book.slot(layout::NONCE)?.to_be_bytes_vec(),
            latestDispatchedIdCall::SELECTOR => {
                self.book.slot(layout::LATEST_ID)?.to_be_bytes_vec()
            }
            deliveredCall::SELECTOR => {
                let block = self.delivered(decode::<deliveredCall>(args)?.messageId)?;
                number(u8::from(block.is_some()))
            }
            processedAtCall::SELECTOR => {
                let block = self.delivered(decode::<processedAtCall>(args)?.messageId)?;
                block.unwrap_or_default().to_be_bytes_vec()
            }
            countCall::SELECTOR => self.book.slot(layout::TREE_COUNT)?.to_be_bytes_vec(),
            rootCall::SELECTOR => self.root()?.to_vec(),
            _ => return revert("the Mailbox has no such function on this chain"),
        })
    }

    /// How a message ends here. One that cannot be delivered leaves everything as it was.
    fn deliver(&mut self, packed: &[u8]) -> Result<DeliveryStatus, Failure> {
        if self.caller != COURIER {
            return revert("only the courier delivers");
        }
        let domain = self.local_domain()?;
        let Some(message) = Message::decode_packed(packed, Terms::default())
            .filter(|message| message.destination == domain)
        else {
            return revert("this is no message for this chain");
        };
        let id = message.id();
        if self.delivered(id)?.is_some() {
            return revert("the message was delivered before");
        }
        let arrived = if abi::is_transfer(&message) {
            match self.pay_out(&message)? {
                Ok(arrived) => Some(arrived),
                Err(status) => return Ok(status),
            }
        } else if message.recipient == word_of(MAILBOX) {
            return Ok(DeliveryStatus::Malformed);
        } else if self.plain_account(message.recipient)?.is_some() {
            None
        } else {
            return Ok(DeliveryStatus::NoRecipient);
        };
        let word = U256::from(self.env.number) << 8 | U256::from(DeliveryStatus::Delivered as u8);
        self.book.set_slot(layout::entry(id, layout::RECEIVED), word)?;
        let recipient = Address::from_word(message.recipient);
        self.log(&abi::Process { origin: message.origin, sender: message.sender, recipient });
        self.log(&abi::ProcessId { messageId: id });
        if let Some(arrived) = arrived {
            self.log(&arrived);
        }
        Ok(DeliveryStatus::Delivered)
    }

    /// Pays the recipient of a transfer, or says why not. Where the gas coin is not the hub's, the
    /// hub's coin would be a token, and there are none here: such a body is nothing this chain
    /// knows.
    fn pay_out(
        &mut self,
        message: &Message,
    ) -> Result<Result<abi::ReceivedTransferRemote, DeliveryStatus>, Failure> {
        let asset = B256::from(self.book.slot(layout::HUB_ASSET)?);
        let body = abi::transfer_body(&message.body).filter(|body| body.asset == asset);
        let body = body.filter(|body| !body.amount.is_zero() && payable(body.recipient).is_some());
        let (Some(body), true) = (body, self.holds_hub_coin()?) else {
            return Ok(Err(DeliveryStatus::Malformed));
        };
        let Some(recipient) = self.plain_account(body.recipient)? else {
            return Ok(Err(DeliveryStatus::NoRecipient));
        };
        if !self.book.shift(MAILBOX, recipient, body.amount)? {
            return Ok(Err(DeliveryStatus::Reverted));
        }
        Ok(Ok(abi::ReceivedTransferRemote {
            origin: message.origin,
            recipient: body.recipient,
            amount: body.amount,
        }))
    }

    /// The account a word names, if it is one without code.
    fn plain_account(&mut self, word: B256) -> Result<Option<Address>, StateError> {
        match address_of(word) {
            Some(address) if !self.book.has_code(address)? => Ok(Some(address)),
            _ => Ok(None),
        }
    }

    /// The block that delivered a message, if one did.
    fn delivered(&mut self, id: B256) -> Result<Option<U256>, StateError> {
        let word = self.book.slot(layout::entry(id, layout::RECEIVED))?;
        Ok((word.byte(0) == DeliveryStatus::Delivered as u8).then(|| word >> 8usize))
    }

    fn local_domain(&mut self) -> Result<u32, StateError> {
        let domain = self.book.slot(layout::LOCAL_DOMAIN)?;
        u32::try_from(domain).map_err(|_| StateError("the Mailbox's domain is no domain".into()))
    }

    fn holds_hub_coin(&mut self) -> Result<bool, StateError> {
        let coin = self.book.slot(layout::COIN)?;
        Ok(coin == U256::from(Coin::Hub as u8) || coin == U256::from(Coin::Home as u8))
    }

    /// Root of the outbox tree as of the last block's end, as Hyperlane's `MerkleLib` computes it.
    fn root(&mut self) -> Result<B256, StateError> {
        let count = u32::try_from(self.book.slot(layout::TREE_COUNT)?)
            .map_err(|_| StateError("the outbox tree's count is damaged".into()))?;
        merkle::root(count, |height| {
            let place = U256::from(layout::BRANCH) + U256::from(height);
            self.book.slot(place).map(B256::from)
        })
    }

    fn log(&mut self, event: &impl SolEvent) {
        self.logs.push(Log { address: MAILBOX, data: event.encode_log_data() });
    }
}

/// The account of a word to which coins can go.
fn payable(word: B256) -> Option<Address> {
    address_of(word).filter(|to| !to.is_zero() && *to != MAILBOX)
}

/// Arguments without a selector, by Solidity's rules: dirty words are refused, more bytes are not.
fn decode<C: SolCall>(args: &[u8]) -> Result<C, Failure> {
    C::abi_decode_raw_validate(args)
        .or_else(|_| revert(format!("these are no arguments of {}", C::SIGNATURE)))
}

fn bounded(body_bytes: usize) -> Result<usize, Failure> {
    if body_bytes <= MAX_BODY_BYTES {
        return Ok(body_bytes);
    }
    revert(format!("a body of {body_bytes} bytes, where {MAX_BODY_BYTES} are the most"))
}

fn number(value: impl Into<u64>) -> Vec<u8> {
    U256::from(value.into()).to_be_bytes_vec()
}
