//! Where the module's own state lies in the Mailbox's storage: typed values at hashed slots.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use causeway_chainspec::directory::Member;
use causeway_chainspec::mailbox::{LaneWord, MAILBOX, layout};
use causeway_chainspec::{
    Anchor, LanePosition, LaneState, Message, StateError, StateReader, SystemState,
};

/// Storage of the Mailbox, to read.
pub(super) trait Slots {
    fn get(&self, slot: U256) -> Result<U256, StateError>;
}

impl Slots for SystemState<'_> {
    fn get(&self, slot: U256) -> Result<U256, StateError> {
        self.slot(MAILBOX, slot)
    }
}

/// A snapshot's.
pub(super) struct Snapshot<'a>(pub(super) &'a dyn StateReader);

impl Slots for Snapshot<'_> {
    fn get(&self, slot: U256) -> Result<U256, StateError> {
        self.0.slot(MAILBOX, slot)
    }
}

/// A place of a value that takes as many slots as its RLP needs: the length in bytes, then words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(U256);

impl Place {
    /// keccak256("causeway/metalayer/state/1" || field || key): disjoint from what Solidity uses.
    fn new(field: &str, key: &[&[u8]]) -> Self {
        let mut bytes = b"causeway/metalayer/state/1/".to_vec();
        bytes.extend_from_slice(field.as_bytes());
        bytes.push(0);
        key.iter().for_each(|part| bytes.extend_from_slice(part));
        Self(keccak256(bytes).into())
    }

    fn word(self, at: usize) -> U256 {
        self.0.wrapping_add(U256::from(at + 1))
    }

    /// The value; `None` if there is none.
    pub(super) fn load<T: Decodable>(self, slots: &dyn Slots) -> Result<Option<T>, StateError> {
        let length = usize::try_from(slots.get(self.0)?).unwrap_or(usize::MAX);
        if length == 0 {
            return Ok(None);
        }
        if length > MAX_VALUE_BYTES {
            return Err(StateError(format!("a metalayer value of {length} bytes")));
        }
        let mut bytes = Vec::with_capacity(length.next_multiple_of(32));
        for at in 0..length.div_ceil(32) {
            bytes.extend_from_slice(&slots.get(self.word(at))?.to_be_bytes::<32>());
        }
        let value = alloy_rlp::decode_exact(&bytes[..length]);
        value.map(Some).map_err(|error| StateError(format!("a metalayer value: {error}")))
    }

    /// Writes a value over whatever was there.
    pub(super) fn store(
        self,
        state: &mut SystemState<'_>,
        value: &dyn Encodable,
    ) -> Result<(), StateError> {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(StateError(format!("a metalayer value of {} bytes", bytes.len())));
        }
        self.put(state, &bytes)
    }

    /// Removes the value.
    pub(super) fn clear(self, state: &mut SystemState<'_>) -> Result<(), StateError> {
        self.put(state, &[])
    }

    fn put(self, state: &mut SystemState<'_>, bytes: &[u8]) -> Result<(), StateError> {
        let before = usize::try_from(state.get(self.0)?).unwrap_or_default();
        state.set_slot(MAILBOX, self.0, U256::from(bytes.len()))?;
        let words = bytes.chunks(32).map(|chunk| {
            let mut word = [0u8; 32];
            word[..chunk.len()].copy_from_slice(chunk);
            U256::from_be_bytes(word)
        });
        let zeros = std::iter::repeat(U256::ZERO);
        let count = before.max(bytes.len()).div_ceil(32);
        for (at, word) in words.chain(zeros).take(count).enumerate() {
            state.set_slot(MAILBOX, self.word(at), word)?;
        }
        Ok(())
    }
}

/// Longest value: a message of the largest body, with room to spare.
const MAX_VALUE_BYTES: usize = 64 * 1024;

/// A member, since when, and whether it is paused.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct MemberEntry {
    pub(super) member: Member,
    pub(super) active_ms: u64,
    pub(super) paused: bool,
}

/// The newest anchor taken of a member.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct AnchorEntry {
    pub(super) anchor: Anchor,
    /// Block that took it.
    pub(super) block: u64,
    /// Its time, ms.
    pub(super) time_ms: u64,
}

/// Messages of a member that wait: numbers `head..tail`, and those set aside.
#[derive(Debug, Clone, PartialEq, Eq, Default, RlpEncodable, RlpDecodable)]
pub(super) struct Queue {
    pub(super) head: u64,
    pub(super) tail: u64,
    pub(super) parked: Vec<u64>,
}

/// A message this chain sent, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct SentEntry {
    pub(super) destination: u32,
    pub(super) index: u64,
    pub(super) block: u64,
    pub(super) expiry_ms: u64,
    /// Code of how it ended; 0 while it is not settled.
    pub(super) status: u8,
    pub(super) settled: u64,
    pub(super) fee_refund: u128,
}

/// What settling a message needs; gone once it is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct PendingEntry {
    pub(super) gas_limit: u64,
    pub(super) gas_price: u64,
    pub(super) refund_to: Address,
    pub(super) body_bytes: u64,
    /// Wei of the hub's coin it moves; 0 for a plain message.
    pub(super) amount: U256,
}

/// A message this chain took in, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct ReceivedEntry {
    pub(super) origin: u32,
    pub(super) taken: u64,
    /// Code of how it ended; 0 while it waits.
    pub(super) status: u8,
    pub(super) done: u64,
    pub(super) gas_used: u64,
}

/// A demand that a member be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct DemandEntry {
    pub(super) domain: u32,
    pub(super) height: u64,
    /// Time of the DA block that brought it, ms.
    pub(super) time_ms: u64,
}

/// ERC-20 to be minted back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct RefundEntry {
    pub(super) id: B256,
    pub(super) to: Address,
    pub(super) amount: U256,
}

/// A member by its place in the order of joining.
pub(super) fn member(at: u64) -> Place {
    Place::new("member", &[&at.to_be_bytes()])
}
/// Number of members.
pub(super) fn member_count() -> Place {
    Place::new("members", &[])
}
/// Sequence of the newest record.
pub(super) fn directory() -> Place {
    Place::new("directory", &[])
}
/// Our side of a lane.
pub(super) fn ours(domain: u32) -> Place {
    Place::new("ours", &[&domain.to_be_bytes()])
}
/// Accumulator over what was taken of a member's lane to us.
pub(super) fn taken(domain: u32) -> Place {
    Place::new("taken", &[&domain.to_be_bytes()])
}
/// A member's side of its lane to `other`, as of its newest anchor.
pub(super) fn theirs(domain: u32, other: u32) -> Place {
    Place::new("theirs", &[&domain.to_be_bytes(), &other.to_be_bytes()])
}
/// Domains to which a member has lanes, ascending.
pub(super) fn their_domains(domain: u32) -> Place {
    Place::new("domains", &[&domain.to_be_bytes()])
}
/// Newest anchor of a member.
pub(super) fn anchor(domain: u32) -> Place {
    Place::new("anchor", &[&domain.to_be_bytes()])
}
/// Highest directory sequence a member's anchor named that we did not hold.
pub(super) fn ahead(domain: u32) -> Place {
    Place::new("ahead", &[&domain.to_be_bytes()])
}
/// Queue of a member's messages.
pub(super) fn queue(domain: u32) -> Place {
    Place::new("queue", &[&domain.to_be_bytes()])
}
/// A message of the queue.
pub(super) fn queued(domain: u32, at: u64) -> Place {
    Place::new("queued", &[&domain.to_be_bytes(), &at.to_be_bytes()])
}
/// Place, in the order of joining, of the member whose turn it is.
pub(super) fn pointer() -> Place {
    Place::new("pointer", &[])
}
/// A message sent.
pub(super) fn sent(id: B256) -> Place {
    Place::new("sent", &[id.as_slice()])
}
/// What settling it needs.
pub(super) fn pending(id: B256) -> Place {
    Place::new("pending", &[id.as_slice()])
}
/// Id of an unsettled message by its place in a lane.
pub(super) fn message_at(domain: u32, index: u64) -> Place {
    Place::new("at", &[&domain.to_be_bytes(), &index.to_be_bytes()])
}
/// Place in a lane at which the search for expired messages goes on.
pub(super) fn sweep(domain: u32) -> Place {
    Place::new("sweep", &[&domain.to_be_bytes()])
}
/// Unsettled messages of a lane.
pub(super) fn unsettled(domain: u32) -> Place {
    Place::new("unsettled", &[&domain.to_be_bytes()])
}
/// A message taken in.
pub(super) fn received(id: B256) -> Place {
    Place::new("received", &[id.as_slice()])
}
/// Open demands.
pub(super) fn demands() -> Place {
    Place::new("demands", &[])
}
/// Numbers of the ERC-20 refunds that wait: the first, and the one after the last.
pub(super) fn refunds() -> Place {
    Place::new("refunds", &[])
}
/// An ERC-20 refund that waits.
pub(super) fn refund(at: u64) -> Place {
    Place::new("refund", &[&at.to_be_bytes()])
}
/// Wei of the hub's coin locked here because it is elsewhere (at home only).
pub(super) fn locked() -> Place {
    Place::new("locked", &[])
}
/// Wei of the hub's coin sent and not settled.
pub(super) fn in_flight() -> Place {
    Place::new("in flight", &[])
}
/// Wei of fees held for unsettled messages.
pub(super) fn escrow() -> Place {
    Place::new("escrow", &[])
}

/// A counter that is zero where nothing was stored.
pub(super) fn count(place: Place, slots: &dyn Slots) -> Result<u64, StateError> {
    Ok(place.load(slots)?.unwrap_or_default())
}

/// An amount that is zero where nothing was stored.
pub(super) fn amount(place: Place, slots: &dyn Slots) -> Result<U256, StateError> {
    Ok(place.load(slots)?.unwrap_or_default())
}

/// Adds to an amount.
pub(super) fn add(state: &mut SystemState<'_>, place: Place, wei: U256) -> Result<(), StateError> {
    let sum = amount(place, state)?.checked_add(wei);
    let sum = sum.ok_or_else(|| StateError("a metalayer amount overflows".into()))?;
    place.store(state, &sum)
}

/// Takes from an amount, which must be there.
pub(super) fn take(state: &mut SystemState<'_>, place: Place, wei: U256) -> Result<(), StateError> {
    let rest = amount(place, state)?.checked_sub(wei);
    let rest = rest.ok_or_else(|| StateError("a metalayer amount underflows".into()))?;
    place.store(state, &rest)
}

/// Our side of a lane; empty if nothing has happened in it.
pub(super) fn our_lane(slots: &dyn Slots, domain: u32) -> Result<LaneState, StateError> {
    let empty = || LaneState { domain, ..LaneState::default() };
    Ok(ours(domain).load(slots)?.unwrap_or_else(empty))
}

/// How far a member's lane to us was taken.
pub(super) fn taken_position(slots: &dyn Slots, domain: u32) -> Result<LanePosition, StateError> {
    Ok(taken(domain).load(slots)?.unwrap_or_default())
}

/// A member's side of a lane; empty if it never named it.
pub(super) fn their_lane(
    slots: &dyn Slots,
    domain: u32,
    other: u32,
) -> Result<LaneState, StateError> {
    let empty = || LaneState { domain: other, ..LaneState::default() };
    Ok(theirs(domain, other).load(slots)?.unwrap_or_else(empty))
}

/// The word that the Mailbox reads before it sends.
pub(super) fn lane_word(slots: &dyn Slots, domain: u32) -> Result<LaneWord, StateError> {
    Ok(LaneWord::from_slot(slots.get(layout::lane(domain))?))
}

/// Changes that word; writes it if it then differs.
pub(super) fn change_lane_word(
    state: &mut SystemState<'_>,
    domain: u32,
    change: impl FnOnce(&mut LaneWord),
) -> Result<(), StateError> {
    let before = lane_word(state, domain)?;
    let mut word = before;
    change(&mut word);
    if word == before {
        return Ok(());
    }
    state.set_slot(MAILBOX, layout::lane(domain), word.to_slot())
}

/// Appends an ERC-20 refund.
pub(super) fn push_refund(
    state: &mut SystemState<'_>,
    entry: &RefundEntry,
) -> Result<(), StateError> {
    let (head, tail): (u64, u64) = refund_range(state)?;
    refund(tail).store(state, entry)?;
    set_refund_range(state, head, tail + 1)
}

/// Numbers of the refunds that wait.
pub(super) fn refund_range(slots: &dyn Slots) -> Result<(u64, u64), StateError> {
    let range: Vec<u64> = refunds().load(slots)?.unwrap_or_default();
    Ok((range.first().copied().unwrap_or_default(), range.get(1).copied().unwrap_or_default()))
}

/// Writes them.
pub(super) fn set_refund_range(
    state: &mut SystemState<'_>,
    head: u64,
    tail: u64,
) -> Result<(), StateError> {
    refunds().store(state, &vec![head, tail])
}

/// A message of a queue, which must be there.
pub(super) fn queued_message(
    slots: &dyn Slots,
    domain: u32,
    at: u64,
) -> Result<Message, StateError> {
    let missing = || StateError(format!("message {at} of the queue of {domain} is missing"));
    queued(domain, at).load(slots)?.ok_or_else(missing)
}
