//! A cross-chain message in the Hyperlane v3 envelope, so that its contracts and agents understand ours.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// Bytes before the body: version 1, nonce 4, origin 4, sender 32, destination 4, recipient 32.
pub const HEADER_BYTES: usize = 77;
/// Hyperlane's message version.
pub const VERSION: u8 = 3;

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

    /// Reads the packed form; `None` if shorter than the header or of another version.
    pub fn decode_packed(bytes: &[u8]) -> Option<Self> {
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
        })
    }

    /// Message id: Keccak-256 of the packed form, as Hyperlane's `Message.id`.
    pub fn id(&self) -> B256 {
        keccak256(self.encode_packed())
    }
}
