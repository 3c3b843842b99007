//! What members of the Metalayer say to each other: lanes, the commitment in the header, and what
//! a claim brings along to open it (protocol, section 8).

use alloy_primitives::{Address, B256, U256, b256, keccak256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};

use crate::block::LanePosition;
use crate::message::LaneItem;

/// Version of the commitment's layout.
const COMMITMENT: &[u8] = b"causeway/metalayer/1";

/// Most anchors of a claim.
pub const MAX_ANCHORS: usize = 64;
/// Most lanes that an [`Inbound`] opens.
pub const MAX_LANES: usize = 64;
/// Most assets of a lane.
pub const MAX_FLOWS: usize = 16;
/// Most items of an [`Inbound`].
pub const MAX_ITEMS: usize = 1024;

/// How much of one asset has moved between this chain and one other, since both exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Flow {
    /// The asset.
    pub asset: B256,
    /// Sent to the other chain.
    pub sent: U256,
    /// Of what the other chain sent: delivered here.
    pub received: U256,
    /// Of what was sent: paid back here, because it was not delivered.
    pub refunded: U256,
}

/// One chain's side of what is between it and one other: what it sent, and what it took.
#[derive(Debug, Clone, PartialEq, Eq, Default, RlpEncodable)]
pub struct LaneState {
    /// Hyperlane domain of the other chain.
    pub domain: u32,
    /// Items sent to it, and their accumulator.
    pub sent: LanePosition,
    /// Items of it that were taken in.
    pub taken: u64,
    /// Assets that have moved, by ascending id.
    pub flows: Vec<Flow>,
}

impl LaneState {
    /// keccak256(rlp(lane)).
    pub fn hash(&self) -> B256 {
        keccak256(alloy_rlp::encode(self))
    }
}

/// What a header's Metalayer commitment is the hash of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Commitment {
    /// Root of the outbox tree: Hyperlane's MerkleTreeHook.
    pub root: B256,
    /// Leaves of the tree.
    pub count: u32,
    /// keccak256 of the concatenated hashes of all lanes, by ascending domain.
    pub lanes: B256,
    /// Newest record of the directory that was taken in.
    pub directory: u64,
}

impl Commitment {
    /// keccak256("causeway/metalayer/1" || rlp(commitment)).
    pub fn hash(&self) -> B256 {
        let mut bytes = COMMITMENT.to_vec();
        self.encode(&mut bytes);
        keccak256(bytes)
    }
}

/// What a claim brings along for one of its anchors: the opening of its commitment, and
/// everything between the last anchor and this one that is for this chain.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable)]
pub struct Inbound {
    /// Root of the remote's outbox tree.
    pub root: B256,
    /// Leaves of that tree.
    pub count: u32,
    /// The remote's lanes that changed since the last anchor taken here, by ascending domain.
    pub lanes: Vec<LaneState>,
    /// Items of the remote for this chain, in lane order.
    pub items: Vec<LaneItem>,
}

impl Inbound {
    /// keccak256(rlp(inbound)).
    pub fn hash(&self) -> B256 {
        keccak256(alloy_rlp::encode(self))
    }

    /// Bytes that count towards a block's limit.
    pub fn size(&self) -> usize {
        let lanes: usize = self.lanes.iter().map(|lane| 64 + 100 * lane.flows.len()).sum();
        36 + lanes + self.items.iter().map(LaneItem::size).sum::<usize>()
    }
}

// Both come from strangers, so what they hold is counted while it is read.
impl Decodable for LaneState {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut fields = alloy_rlp::Header::decode_bytes(buf, true)?;
        let fields = &mut fields;
        let lane = Self {
            domain: Decodable::decode(fields)?,
            sent: Decodable::decode(fields)?,
            taken: Decodable::decode(fields)?,
            flows: at_most(fields, MAX_FLOWS)?,
        };
        if fields.is_empty() { Ok(lane) } else { Err(alloy_rlp::Error::UnexpectedLength) }
    }
}

impl Decodable for Inbound {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut fields = alloy_rlp::Header::decode_bytes(buf, true)?;
        let fields = &mut fields;
        let inbound = Self {
            root: Decodable::decode(fields)?,
            count: Decodable::decode(fields)?,
            lanes: at_most(fields, MAX_LANES)?,
            items: at_most(fields, MAX_ITEMS)?,
        };
        if fields.is_empty() { Ok(inbound) } else { Err(alloy_rlp::Error::UnexpectedLength) }
    }
}

/// A list of at most so many.
fn at_most<T: Decodable>(buf: &mut &[u8], most: usize) -> alloy_rlp::Result<Vec<T>> {
    let mut payload = alloy_rlp::Header::decode_bytes(buf, true)?;
    let mut list = Vec::new();
    while !payload.is_empty() {
        if list.len() == most {
            return Err(alloy_rlp::Error::Custom("list is too long"));
        }
        list.push(T::decode(&mut payload)?);
    }
    Ok(list)
}

/// Names an asset by where it is at home: keccak256(u32 domain || 28 zero bytes || token), the
/// token being zero for the chain's gas coin.
pub fn asset_id(home: u32, token: Address) -> B256 {
    let mut bytes = [0u8; 64];
    bytes[..4].copy_from_slice(&home.to_be_bytes());
    bytes[44..].copy_from_slice(token.as_slice());
    keccak256(bytes)
}

/// keccak256 of nothing: the lanes of a chain that has none.
pub const NO_LANES: B256 =
    b256!("0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
