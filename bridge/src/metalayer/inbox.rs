//! Taking in what a claim says of other members: anchors that are valid by our own state, the
//! lanes they open, receipts (settled at once) and messages (queued).

use std::collections::BTreeSet;

use causeway_chainspec::block::concat_hash;
use causeway_chainspec::{
    Anchor, BlockPlan, ChainSpec, Commitment, Flow, Inbound, LaneItem, LanePosition, LaneState,
    Message, StateError, SystemState,
};

use super::settle;
use super::state::{self, AnchorEntry, MemberEntry, Queue, ReceivedEntry};
use super::{lanes, members};

/// Most messages of one member that may wait.
pub const MAX_QUEUE: u64 = 1024;

/// Takes in every anchor of a claim that is valid; the others change nothing.
pub(super) fn take(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    plan: &BlockPlan,
) -> Result<(), StateError> {
    for (anchor, inbound) in plan.claim.anchors.iter().zip(&plan.body.inbound) {
        if let Some(lanes) = check(spec, state, plan.claim.time_ms, (anchor, inbound))? {
            apply(spec, state, plan, anchor, inbound, lanes)?;
        }
    }
    Ok(())
}

/// All lanes of the member as the anchor has them, if it is valid here: of a member, above the
/// last one, with lanes that open its commitment, grew, and agree with the items it brings.
fn check(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    time_ms: u64,
    (anchor, inbound): (&Anchor, &Inbound),
) -> Result<Option<Vec<LaneState>>, StateError> {
    let (own, domain) = (spec.metalayer.domain, anchor.domain);
    let found = members::all(state)?.into_iter().find(|entry| entry.member.domain == domain);
    let active = |entry: &MemberEntry| domain != own && entry.active_ms <= time_ms;
    let Some(entry) = found.filter(active) else { return Ok(None) };
    if anchor.identity != entry.member.identity || anchor.rules_hash != entry.member.rules {
        return Ok(None);
    }
    let last: Option<AnchorEntry> = state::anchor(domain).load(state)?;
    if let Some(AnchorEntry { anchor: last, .. }) = &last
        && (anchor.da.height < last.da.height
            || anchor.number <= last.number
            || anchor.time_ms < last.time_ms
            || anchor.directory < last.directory)
    {
        return Ok(None);
    }
    if anchor.directory > state::count(state::directory(), state)? {
        // It knows of changes that we do not: nothing of it can be judged, and its lane stalls.
        state::ahead(domain).store(state, &anchor.directory)?;
        return Ok(None);
    }
    let Some(lanes) = merged(state, domain, inbound)? else { return Ok(None) };
    let opened = Commitment {
        root: inbound.root,
        count: inbound.count,
        lanes: concat_hash(lanes.iter().map(LaneState::hash)),
        directory: anchor.directory,
    };
    let side = lanes.iter().find(|lane| lane.domain == own);
    let none = LaneState { domain: own, ..LaneState::default() };
    if opened.hash() != anchor.commitment
        || !items_match(state, own, domain, side.unwrap_or(&none), inbound)?
    {
        return Ok(None);
    }
    Ok(Some(lanes))
}

/// The member's lanes with those that changed put in; `None` if any went back or is out of order.
fn merged(
    state: &SystemState<'_>,
    domain: u32,
    inbound: &Inbound,
) -> Result<Option<Vec<LaneState>>, StateError> {
    let known: Vec<u32> = state::their_domains(domain).load(state)?.unwrap_or_default();
    if !inbound.lanes.windows(2).all(|pair| pair[0].domain < pair[1].domain)
        || inbound.lanes.iter().any(|lane| lane.domain == domain)
    {
        return Ok(None);
    }
    let mut lanes = Vec::with_capacity(known.len() + inbound.lanes.len());
    for other in known {
        if inbound.lanes.iter().all(|lane| lane.domain != other) {
            lanes.push(state::their_lane(state, domain, other)?);
        }
    }
    for lane in &inbound.lanes {
        if !grew(&state::their_lane(state, domain, lane.domain)?, lane) {
            return Ok(None);
        }
        lanes.push(lane.clone());
    }
    lanes.sort_unstable_by_key(|lane| lane.domain);
    Ok((lanes.len() as u64 <= members::MAX_MEMBERS).then_some(lanes))
}

/// Whether a lane only went forward. Flows are in ascending order of assets, each once.
fn grew(before: &LaneState, now: &LaneState) -> bool {
    let flow_grew = |flow: &Flow| {
        let before = lanes::flow(before, flow.asset);
        flow.sent >= before.sent
            && flow.received >= before.received
            && flow.refunded >= before.refunded
            && flow.refunded <= flow.sent
    };
    now.sent.count >= before.sent.count
        && now.taken >= before.taken
        && now.flows.windows(2).all(|pair| pair[0].asset < pair[1].asset)
        && now.flows.iter().all(flow_grew)
        && before.flows.iter().all(|flow| now.flows.iter().any(|it| it.asset == flow.asset))
}

/// Whether the items are exactly what the member's lane to us holds beyond what was taken, and
/// there is room for them.
fn items_match(
    state: &SystemState<'_>,
    own: u32,
    domain: u32,
    side: &LaneState,
    inbound: &Inbound,
) -> Result<bool, StateError> {
    let mut position: LanePosition = state::taken_position(state, domain)?;
    let mut ids = BTreeSet::new();
    for item in &inbound.items {
        if item.origin() != domain || item.destination() != own {
            return Ok(false);
        }
        if let LaneItem::Message(message) = item {
            let id = message.id();
            if !ids.insert(id) || state::received(id).load::<ReceivedEntry>(state)?.is_some() {
                return Ok(false);
            }
        }
        position = position.after(item.hash());
    }
    let queue: Queue = state::queue(domain).load(state)?.unwrap_or_default();
    let room = queue.tail - queue.head + ids.len() as u64 <= MAX_QUEUE;
    let possible = side.taken <= state::our_lane(state, domain)?.sent.count;
    Ok(position == side.sent && room && possible)
}

fn apply(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    plan: &BlockPlan,
    anchor: &Anchor,
    inbound: &Inbound,
    lanes: Vec<LaneState>,
) -> Result<(), StateError> {
    let (own, domain, block) = (spec.metalayer.domain, anchor.domain, plan.claim.number);
    let entry = AnchorEntry { anchor: anchor.clone(), block, time_ms: plan.claim.time_ms };
    state::anchor(domain).store(state, &entry)?;
    // What an earlier anchor said of records that we lack was not so, or is no more.
    state::ahead(domain).clear(state)?;
    let domains: Vec<u32> = lanes.iter().map(|lane| lane.domain).collect();
    if state::their_domains(domain).load::<Vec<u32>>(state)?.as_ref() != Some(&domains) {
        state::their_domains(domain).store(state, &domains)?;
    }
    for lane in &inbound.lanes {
        state::theirs(domain, lane.domain).store(state, lane)?;
    }
    state::change_lane_word(state, domain, |word| word.gas_price = price(anchor.base_fee))?;

    let mut position = state::taken_position(state, domain)?;
    for item in &inbound.items {
        position = position.after(item.hash());
        match item {
            LaneItem::Receipt(receipt) => settle::by_receipt(spec, state, receipt, block)?,
            LaneItem::Message(message) => enqueue(state, message, block)?,
        }
    }
    if !inbound.items.is_empty() {
        state::taken(domain).store(state, &position)?;
        lanes::change(state, domain, |lane| lane.taken = position.count)?;
    }
    debug_assert!(lanes.iter().all(|lane| lane.domain != own || lane.sent == position));
    Ok(())
}

/// Wei asked here for a unit of a member's gas: its base fee and a quarter, at least 1.
pub(super) fn price(base_fee: u64) -> u64 {
    base_fee.saturating_add(base_fee / 4).max(1)
}

fn enqueue(state: &mut SystemState<'_>, message: &Message, block: u64) -> Result<(), StateError> {
    let mut queue: Queue = state::queue(message.origin).load(state)?.unwrap_or_default();
    state::queued(message.origin, queue.tail).store(state, message)?;
    queue.tail += 1;
    state::queue(message.origin).store(state, &queue)?;
    let entry =
        ReceivedEntry { origin: message.origin, taken: block, status: 0, done: 0, gas_used: 0 };
    state::received(message.id()).store(state, &entry)
}
