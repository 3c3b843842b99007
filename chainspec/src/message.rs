//! A cross-chain message in the Hyperlane v3 envelope, so that its contracts and agents understand
//! ours; the terms of its delivery; and the receipt that goes back.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};

/// Bytes before the body: version 1, nonce 4, origin 4, sender 32, destination 4, recipient 32.
pub const HEADER_BYTES: usize = 77;
/// Hyperlane's message version.
pub const VERSION: u8 = 3;
/// Most bytes of a body.
pub const MAX_BODY_BYTES: usize = 16 * 1024;
/// Gas that delivering any message costs beside what its recipient uses.
pub const DELIVERY_GAS: u64 = 60_000;
/// Gas that each byte of a body costs the destination: what it pays for call data at most (EIP-7623).
pub const BYTE_GAS: u64 = 40;

/// One message from a sender on `origin` to a recipient on `destination`.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Message {
    /// Position in the origin's outbox, from 0.
    pub nonce: u32,
    /// Hyperlane domain of the source (its chain id).
    pub origin: u32,
    /// Sender, left-padded to 32 bytes.
    pub sender: B256,
    /// Hyperlane domain of the destination.
    pub destination: u32,
    /// Recipient, left-padded to 32 bytes.
    pub recipient: B256,
    /// Opaque to the protocol.
    pub body: Bytes,
    /// How it is to be delivered. Not in the id, which is Hyperlane's; the lane commits to both.
    pub terms: Terms,
}

/// What the sender paid for and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, RlpEncodable, RlpDecodable)]
pub struct Terms {
    /// Gas the recipient may use.
    pub gas_limit: u64,
    /// Wei of the source's gas coin paid for a unit of the destination's gas; the message waits
    /// while the destination's base fee is higher.
    pub gas_price: u64,
    /// Destination time in ms at and after which it is not delivered any more.
    pub expiry_ms: u64,
    /// Account on the source that gets back what is not used.
    pub refund_to: Address,
}

impl Terms {
    /// Wei in escrow for a message with a body of so many bytes.
    pub fn fee(&self, body_bytes: usize) -> U256 {
        self.cost(self.gas_limit, body_bytes)
    }

    /// Wei that delivery cost if the recipient used so much gas.
    pub fn cost(&self, gas_used: u64, body_bytes: usize) -> U256 {
        let gas = U256::from(gas_used.min(self.gas_limit))
            + U256::from(DELIVERY_GAS)
            + U256::from(BYTE_GAS) * U256::from(body_bytes);
        gas * U256::from(self.gas_price)
    }
}

impl Message {
    /// The packed Hyperlane v3 form: 77 bytes of header, then the body.
    pub fn encode_packed(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.body.len());
        out.push(VERSION);
        out.extend_from_slice(&self.nonce.to_be_bytes());
        out.extend_from_slice(&self.origin.to_be_bytes());
        out.extend_from_slice(self.sender.as_slice());
        out.extend_from_slice(&self.destination.to_be_bytes());
        out.extend_from_slice(self.recipient.as_slice());
        out.extend_from_slice(&self.body);
        out
    }

    /// Reads the packed form, which carries no terms; `None` if shorter than the header or of
    /// another version.
    pub fn decode_packed(bytes: &[u8], terms: Terms) -> Option<Self> {
        if bytes.len() < HEADER_BYTES || bytes[0] != VERSION {
            return None;
        }
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Some(Self {
            nonce: word(1),
            origin: word(5),
            sender: B256::from_slice(&bytes[9..41]),
            destination: word(41),
            recipient: B256::from_slice(&bytes[45..77]),
            body: Bytes::copy_from_slice(&bytes[HEADER_BYTES..]),
            terms,
        })
    }

    /// Message id: Keccak-256 of the packed form, as Hyperlane's `Message.id`.
    pub fn id(&self) -> B256 {
        keccak256(self.encode_packed())
    }
}

/// How a message ended on its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DeliveryStatus {
    /// The recipient took it.
    Delivered = 1,
    /// The recipient reverted or ran out of gas.
    Reverted = 2,
    /// Nobody can take it: an account without code (EVM), or with code (ledger).
    NoRecipient = 3,
    /// It asks for more gas than deliveries of a block may use.
    GasLimit = 4,
    /// Its time was over before its turn came.
    Expired = 5,
    /// Its recipient is the protocol, and its body is nothing the protocol knows.
    Malformed = 6,
    /// It moves more of an asset than its source legitimately holds, until it expired.
    Refused = 7,
    /// Too many messages of its lane wait already for fees to fall or funds to be covered.
    Crowded = 8,
}

impl DeliveryStatus {
    /// Every status, in the order of their codes from 1.
    pub const ALL: [Self; 8] = [
        Self::Delivered,
        Self::Reverted,
        Self::NoRecipient,
        Self::GasLimit,
        Self::Expired,
        Self::Malformed,
        Self::Refused,
        Self::Crowded,
    ];

    /// The status of a code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// Name, as the JSON-RPC gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Reverted => "reverted",
            Self::NoRecipient => "no-recipient",
            Self::GasLimit => "gas-limit",
            Self::Expired => "expired",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::Crowded => "crowded",
        }
    }
}

impl Encodable for DeliveryStatus {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        (*self as u8).encode(out);
    }
    fn length(&self) -> usize {
        1
    }
}

impl Decodable for DeliveryStatus {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        Self::from_code(u8::decode(buf)?).ok_or(alloy_rlp::Error::Custom("unknown delivery status"))
    }
}

/// What the destination tells the source about one message, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct DeliveryReceipt {
    /// Chain that tells it: the message's destination.
    pub from: u32,
    /// Chain it is for: the message's origin.
    pub to: u32,
    /// The message.
    pub id: B256,
    /// How it ended.
    pub status: DeliveryStatus,
    /// Gas the recipient used; at most the message's limit.
    pub gas_used: u64,
}

/// What travels in a lane from one chain to another, in one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneItem {
    /// A message.
    Message(Message),
    /// How a message of the other direction ended.
    Receipt(DeliveryReceipt),
}

impl LaneItem {
    /// Chain it goes to.
    pub fn destination(&self) -> u32 {
        match self {
            Self::Message(message) => message.destination,
            Self::Receipt(receipt) => receipt.to,
        }
    }

    /// Chain it comes from.
    pub fn origin(&self) -> u32 {
        match self {
            Self::Message(message) => message.origin,
            Self::Receipt(receipt) => receipt.from,
        }
    }

    /// What the lane's accumulator takes in: keccak256(0x00 || id || rlp(terms)) of a message,
    /// keccak256(0x01 || rlp(receipt)) of a receipt.
    pub fn hash(&self) -> B256 {
        let mut bytes = Vec::with_capacity(128);
        match self {
            Self::Message(message) => {
                bytes.push(0);
                bytes.extend_from_slice(message.id().as_slice());
                message.terms.encode(&mut bytes);
            }
            Self::Receipt(receipt) => {
                bytes.push(1);
                receipt.encode(&mut bytes);
            }
        }
        keccak256(bytes)
    }

    /// Bytes it adds to a block that takes it in.
    pub fn size(&self) -> usize {
        match self {
            Self::Message(message) => HEADER_BYTES + 40 + message.body.len(),
            Self::Receipt(_) => 56,
        }
    }
}

impl Encodable for LaneItem {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        let kind = matches!(self, Self::Receipt(_));
        let payload_length = 1 + match self {
            Self::Message(message) => message.length(),
            Self::Receipt(receipt) => receipt.length(),
        };
        alloy_rlp::Header { list: true, payload_length }.encode(out);
        kind.encode(out);
        match self {
            Self::Message(message) => message.encode(out),
            Self::Receipt(receipt) => receipt.encode(out),
        }
    }
}

impl Decodable for LaneItem {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut payload = alloy_rlp::Header::decode_bytes(buf, true)?;
        let item = if bool::decode(&mut payload)? {
            Self::Receipt(DeliveryReceipt::decode(&mut payload)?)
        } else {
            Self::Message(Message::decode(&mut payload)?)
        };
        if payload.is_empty() { Ok(item) } else { Err(alloy_rlp::Error::UnexpectedLength) }
    }
}
