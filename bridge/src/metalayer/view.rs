//! The state of the Metalayer as answers: what the JSON-RPC and a sequencer ask.

use alloy_primitives::{Address, B256, U256};
use causeway_chainspec::mailbox::{Coin, LaneStatus, MAILBOX, layout};
use causeway_chainspec::metalayer::asset_id;
use causeway_chainspec::plan::{SUPPLY_SLOT, SYSTEM_ACCOUNT};
use causeway_chainspec::{Anchor, Commitment, DeliveryStatus, LaneState, StateError, StateReader};

use super::state::{self, AnchorEntry, Queue, ReceivedEntry, SentEntry, Slots, Snapshot};
use super::{lanes as books, members as directory, tree as outbox};

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
    /// Messages sent that are not settled.
    pub unsettled: u64,
    /// Messages taken that wait for their turn.
    pub queued: u64,
    /// Messages that had their turn and wait for fees to fall or for funds to be covered.
    pub parked: u64,
}

/// The newest anchor of a member, and the block that took it.
pub fn anchor(state: &dyn StateReader, domain: u32) -> Result<Option<(Anchor, u64)>, StateError> {
    let entry: Option<AnchorEntry> = state::anchor(domain).load(&Snapshot(state))?;
    Ok(entry.map(|entry| (entry.anchor, entry.block)))
}

/// Block time at which the newest anchor of a member was taken, ms; `None` before the first.
pub fn anchored_ms(state: &dyn StateReader, domain: u32) -> Result<Option<u64>, StateError> {
    let entry: Option<AnchorEntry> = state::anchor(domain).load(&Snapshot(state))?;
    Ok(entry.map(|entry| entry.time_ms))
}

/// A message this chain sent.
pub fn sent(state: &dyn StateReader, id: B256) -> Result<Option<Sent>, StateError> {
    let entry: Option<SentEntry> = state::sent(id).load(&Snapshot(state))?;
    Ok(entry.map(|entry| Sent {
        destination: entry.destination,
        index: entry.index,
        block: entry.block,
        expiry_ms: entry.expiry_ms,
        settled: DeliveryStatus::from_code(entry.status).map(|status| Settled {
            status,
            block: entry.settled,
            fee_refund: entry.fee_refund,
        }),
    }))
}

/// A message this chain took in.
pub fn received(state: &dyn StateReader, id: B256) -> Result<Option<Received>, StateError> {
    let entry: Option<ReceivedEntry> = state::received(id).load(&Snapshot(state))?;
    Ok(entry.map(|entry| Received {
        origin: entry.origin,
        taken: entry.taken,
        done: DeliveryStatus::from_code(entry.status).map(|status| (status, entry.done)),
        gas_used: entry.gas_used,
    }))
}

/// Members, this chain among them, in the order in which they joined.
pub fn members(state: &dyn StateReader) -> Result<Vec<MemberView>, StateError> {
    let slots = Snapshot(state);
    let entries = directory::all(&slots)?.into_iter();
    entries
        .map(|entry| {
            let domain = entry.member.domain;
            Ok(MemberView {
                status: state::lane_word(&slots, domain)?.status,
                name: entry.member.name,
                domain,
                identity: entry.member.identity,
                rules: entry.member.rules,
                active_ms: entry.active_ms,
            })
        })
        .collect()
}

/// Sequence of the newest directory record taken in; 0 before any.
pub fn directory_sequence(state: &dyn StateReader) -> Result<u64, StateError> {
    state::count(state::directory(), &Snapshot(state))
}

/// Domain of the chain.
fn own(state: &dyn StateReader) -> Result<u32, StateError> {
    let domain = Snapshot(state).get(layout::LOCAL_DOMAIN)?;
    u32::try_from(domain).map_err(|_| StateError("the mailbox's domain is damaged".into()))
}

/// A lane; `None` if there is no such member.
pub fn lane(state: &dyn StateReader, domain: u32) -> Result<Option<LaneView>, StateError> {
    let slots = Snapshot(state);
    let own = own(state)?;
    if domain == own || directory::all(&slots)?.iter().all(|it| it.member.domain != domain) {
        return Ok(None);
    }
    let queue: Queue = state::queue(domain).load(&slots)?.unwrap_or_default();
    Ok(Some(LaneView {
        ours: state::our_lane(&slots, domain)?,
        theirs: state::their_lane(&slots, domain, own)?,
        status: state::lane_word(&slots, domain)?.status,
        unsettled: state::count(state::unsettled(domain), &slots)?,
        queued: queue.tail - queue.head,
        parked: queue.parked.len() as u64,
    }))
}

/// All lanes of this chain by ascending domain: what its commitment opens to.
pub fn lanes(state: &dyn StateReader) -> Result<Vec<LaneState>, StateError> {
    books::all(&Snapshot(state), own(state)?)
}

/// What the header's Metalayer commitment is the hash of.
pub fn commitment(state: &dyn StateReader) -> Result<Commitment, StateError> {
    books::commitment(&Snapshot(state), own(state)?)
}

/// Root and number of leaves of the outbox tree.
pub fn tree(state: &dyn StateReader) -> Result<(B256, u32), StateError> {
    let slots = Snapshot(state);
    Ok((outbox::root(&slots)?, outbox::count(&slots)?))
}

/// Id of the unsettled message with a place in a lane of this chain; `None` for a receipt's place
/// and for a message that is settled.
pub fn message_at(
    state: &dyn StateReader,
    destination: u32,
    index: u64,
) -> Result<Option<B256>, StateError> {
    state::message_at(destination, index).load(&Snapshot(state))
}

/// Wei of an asset that a member legitimately holds, as far as this chain knows: what its ledger
/// lets it send here. `None` for the asset's home, which issues it.
pub fn row(state: &dyn StateReader, domain: u32, asset: B256) -> Result<Option<U256>, StateError> {
    if asset == asset_id(domain, Address::ZERO) {
        return Ok(None);
    }
    books::row(&Snapshot(state), own(state)?, domain, asset).map(Some)
}

/// What this chain has of the hub's coin, wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supply {
    /// The asset.
    pub asset: B256,
    /// In accounts of this chain, the fee vault among them.
    pub circulating: U256,
    /// Held by the Mailbox for coins that are on other chains (at home only).
    pub locked: U256,
    /// Sent from here and not settled here.
    pub in_flight: U256,
    /// Fees in escrow for messages on their way, in this chain's gas coin.
    pub escrow: U256,
    /// Its ERC-20 here, if the gas coin is another and it was deployed.
    pub token: Option<Address>,
}

/// Supply of the hub's coin on this chain.
pub fn supply(state: &dyn StateReader) -> Result<Supply, StateError> {
    let slots = Snapshot(state);
    let asset: B256 = slots.get(layout::HUB_ASSET)?.into();
    let coin = slots.get(layout::COIN)?;
    let own_coin = coin == U256::from(Coin::Own as u8);
    let circulating = if own_coin {
        let lanes = books::all(&slots, own(state)?)?;
        let flows = || lanes.iter().map(|lane| books::flow(lane, asset));
        let came: U256 = flows().map(|flow| flow.received + flow.refunded).sum();
        came.saturating_sub(flows().map(|flow| flow.sent).sum())
    } else {
        let held = state.account(MAILBOX)?.map_or(U256::ZERO, |account| account.balance);
        state.slot(SYSTEM_ACCOUNT, SUPPLY_SLOT)?.saturating_sub(held)
    };
    let token = slots.get(layout::entry(asset, layout::TOKENS))?;
    Ok(Supply {
        asset,
        circulating,
        locked: state::amount(state::locked(), &slots)?,
        in_flight: state::amount(state::in_flight(), &slots)?,
        escrow: state::amount(state::escrow(), &slots)?,
        token: (!token.is_zero()).then(|| Address::from_word(token.into())),
    })
}
