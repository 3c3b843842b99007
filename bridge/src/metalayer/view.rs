//! The state of the Metalayer as answers: what the JSON-RPC and a sequencer ask.

use alloy_primitives::{Address, B256, U256};
use causeway_chainspec::mailbox::LaneStatus;
use causeway_chainspec::{Anchor, DeliveryStatus, LaneState, StateError, StateReader};

/// A message this chain sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Domain it goes to.
    pub destination: u32,
    /// Its place in the lane, from 0; receipts have places too.
    pub index: u64,
    /// Block that sent it.
    pub block: u64,
    /// When it expires, in destination time, ms.
    pub expiry_ms: u64,
    /// How it ended, once known here.
    pub settled: Option<Settled>,
}

/// How a message that this chain sent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// As the destination's receipt says; `Expired` if the destination never took it.
    pub status: DeliveryStatus,
    /// Block that settled it.
    pub block: u64,
    /// Wei of the fee that were paid back.
    pub fee_refund: u128,
}

/// A message this chain took in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Domain it came from.
    pub origin: u32,
    /// Block that took it in.
    pub taken: u64,
    /// How and in which block it ended; `None` while it waits.
    pub done: Option<(DeliveryStatus, u64)>,
    /// Gas its recipient used.
    pub gas_used: u64,
}

/// A member of the directory, and where its lane stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Name.
    pub name: String,
    /// Domain.
    pub domain: u32,
    /// Chain identity.
    pub identity: B256,
    /// Rules hash.
    pub rules: B256,
    /// Block time from which it is a member, ms; 0 for one from the start.
    pub active_ms: u64,
    /// Whether one may send to it.
    pub status: LaneStatus,
}

/// A lane in both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneView {
    /// What this chain sent, and took.
    pub ours: LaneState,
    /// What the other says of its side, as of its last anchor.
    pub theirs: LaneState,
    /// Whether one may send to it.
    pub status: LaneStatus,
    /// Items sent that are not settled: messages only.
    pub unsettled: u64,
    /// Messages taken that wait for their turn.
    pub queued: u64,
    /// Messages that had their turn and wait for fees to fall or for funds to be covered.
    pub parked: u64,
}

/// The newest anchor of a member, and the block that took it.
pub fn anchor(_state: &dyn StateReader, _domain: u32) -> Result<Option<(Anchor, u64)>, StateError> {
    Err(StateError("not yet".into()))
}

/// A message this chain sent.
pub fn sent(_state: &dyn StateReader, _id: B256) -> Result<Option<Sent>, StateError> {
    Err(StateError("not yet".into()))
}

/// A message this chain took in.
pub fn received(_state: &dyn StateReader, _id: B256) -> Result<Option<Received>, StateError> {
    Err(StateError("not yet".into()))
}

/// Members, this chain among them, in the order in which they joined.
pub fn members(_state: &dyn StateReader) -> Result<Vec<MemberView>, StateError> {
    Err(StateError("not yet".into()))
}

/// Sequence of the newest directory record taken in; 0 before any.
pub fn directory_sequence(_state: &dyn StateReader) -> Result<u64, StateError> {
    Err(StateError("not yet".into()))
}

/// A lane; `None` if there is no such member.
pub fn lane(_state: &dyn StateReader, _domain: u32) -> Result<Option<LaneView>, StateError> {
    Err(StateError("not yet".into()))
}

/// All lanes of this chain by ascending domain: what its commitment opens to.
pub fn lanes(_state: &dyn StateReader) -> Result<Vec<LaneState>, StateError> {
    Err(StateError("not yet".into()))
}

/// Root and number of leaves of the outbox tree.
pub fn tree(_state: &dyn StateReader) -> Result<(B256, u32), StateError> {
    Err(StateError("not yet".into()))
}

/// Id of the message with a place in a lane of this chain; `None` for a receipt's place.
pub fn message_at(
    _state: &dyn StateReader,
    _destination: u32,
    _index: u64,
) -> Result<Option<B256>, StateError> {
    Err(StateError("not yet".into()))
}

/// Wei of an asset that a member legitimately holds, as far as this chain knows; `None` for the
/// asset's home, which has no bound.
pub fn row(
    _state: &dyn StateReader,
    _domain: u32,
    _asset: B256,
) -> Result<Option<U256>, StateError> {
    Err(StateError("not yet".into()))
}

/// What this chain has of the hub's coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supply {
    /// The asset.
    pub asset: B256,
    /// In accounts, and in the fee vault, on this chain.
    pub circulating: U256,
    /// Held by the Mailbox for coins that are on other chains (at home only).
    pub locked: U256,
    /// Sent from here and not settled.
    pub in_flight: U256,
    /// Fees in escrow for messages on their way, in this chain's gas coin.
    pub escrow: U256,
    /// Its ERC-20 here, if the gas coin is another and it was deployed.
    pub token: Option<Address>,
}

/// Supply of the hub's coin on this chain.
pub fn supply(_state: &dyn StateReader) -> Result<Supply, StateError> {
    Err(StateError("not yet".into()))
}
