//! Who is a member now, and whether its lane is open: the directory as state.

use causeway_chainspec::directory::{Change, ForcedMessage, Member, SignedRecord};
use causeway_chainspec::mailbox::LaneStatus;
use causeway_chainspec::{BlockPlan, ChainSpec, StateError, SystemState};

use super::state::{self, AnchorEntry, DemandEntry, MemberEntry, Slots};

/// Most members.
pub const MAX_MEMBERS: u64 = 64;
/// Longest name of a member, bytes.
const MAX_NAME_BYTES: usize = 31;

/// All members in the order of joining.
pub(super) fn all(slots: &dyn Slots) -> Result<Vec<MemberEntry>, StateError> {
    (0..state::count(state::member_count(), slots)?)
        .map(|at| {
            let missing = || StateError(format!("member {at} of the directory is missing"));
            state::member(at).load(slots)?.ok_or_else(missing)
        })
        .collect()
}

/// Domains of the other members, ascending.
pub(super) fn others(slots: &dyn Slots, own: u32) -> Result<Vec<u32>, StateError> {
    let mut domains: Vec<u32> = all(slots)?.iter().map(|entry| entry.member.domain).collect();
    domains.retain(|domain| *domain != own);
    domains.sort_unstable();
    Ok(domains)
}

/// Appends a member.
pub(super) fn join(
    state: &mut SystemState<'_>,
    member: Member,
    active_ms: u64,
) -> Result<(), StateError> {
    let at = state::count(state::member_count(), state)?;
    state::member(at).store(state, &MemberEntry { member, active_ms, paused: false })?;
    state::member_count().store(state, &(at + 1))
}

/// Takes in what the forced lane brings for the protocol. What is malformed, of another network,
/// out of sequence or not signed by governance changes nothing.
pub(super) fn take_forced(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    plan: &BlockPlan,
) -> Result<(), StateError> {
    for entry in &plan.forced {
        match ForcedMessage::decode(&entry.bytes) {
            Some(ForcedMessage::Record(record)) => take_record(spec, state, record)?,
            Some(ForcedMessage::Demand { domain, height }) => {
                take_demand(spec, state, DemandEntry { domain, height, time_ms: entry.time_ms })?;
            }
            None => {}
        }
    }
    Ok(())
}

/// Every member takes the same records in the same order, so nothing here may depend on this
/// chain's clock: the sequence moves on for any record that governance signed.
fn take_record(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    signed: SignedRecord,
) -> Result<(), StateError> {
    let Some(seed) = &spec.metalayer.directory else { return Ok(()) };
    let sequence = state::count(state::directory(), state)?;
    let record = &signed.record;
    if record.network != seed.hash()
        || record.sequence != sequence + 1
        || signed.signer() != Some(seed.governance)
    {
        return Ok(());
    }
    state::directory().store(state, &record.sequence)?;
    let entries = all(state)?;
    match &signed.record.change {
        Change::Add(member) => {
            let taken = entries.iter().any(|entry| {
                entry.member.domain == member.domain || entry.member.name == member.name
            });
            let room = (entries.len() as u64) < MAX_MEMBERS;
            let named = (1..=MAX_NAME_BYTES).contains(&member.name.len());
            if !taken && room && named && member.domain != 0 {
                join(state, member.clone(), signed.record.active_ms)?;
            }
        }
        Change::Pause(domain) => set_paused(state, &entries, *domain, true)?,
        Change::Resume(domain) => set_paused(state, &entries, *domain, false)?,
    }
    Ok(())
}

fn set_paused(
    state: &mut SystemState<'_>,
    entries: &[MemberEntry],
    domain: u32,
    paused: bool,
) -> Result<(), StateError> {
    let found = entries.iter().zip(0u64..).find(|(entry, _)| entry.member.domain == domain);
    let Some((entry, at)) = found else { return Ok(()) };
    state::member(at).store(state, &MemberEntry { paused, ..entry.clone() })
}

/// Keeps one demand of each other member, the oldest. One for a height that is taken in already
/// changes nothing.
fn take_demand(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    demand: DemandEntry,
) -> Result<(), StateError> {
    let known = all(state)?.iter().any(|entry| entry.member.domain == demand.domain);
    let anchor: Option<AnchorEntry> = state::anchor(demand.domain).load(state)?;
    let done = anchor.is_some_and(|entry| entry.anchor.da.height >= demand.height);
    if !known || done || demand.domain == spec.metalayer.domain {
        return Ok(());
    }
    let mut demands: Vec<DemandEntry> = state::demands().load(state)?.unwrap_or_default();
    if demands.iter().any(|open| open.domain == demand.domain) {
        return Ok(());
    }
    demands.push(demand);
    state::demands().store(state, &demands)
}

/// Sets the status of every lane for this block.
pub(super) fn update_statuses(
    spec: &ChainSpec,
    state: &mut SystemState<'_>,
    time_ms: u64,
) -> Result<(), StateError> {
    let Some(seed) = &spec.metalayer.directory else { return Ok(()) };
    let own_sequence = state::count(state::directory(), state)?;
    let mut demands: Vec<DemandEntry> = state::demands().load(state)?.unwrap_or_default();
    let open = demands.len();
    for entry in all(state)? {
        let domain = entry.member.domain;
        if domain == spec.metalayer.domain {
            continue;
        }
        let anchor: Option<AnchorEntry> = state::anchor(domain).load(state)?;
        demands.retain(|demand| demand.domain != domain || !is_met(demand, anchor.as_ref()));
        let demanded = demands.iter().find(|demand| demand.domain == domain);
        let overdue = |since_ms: u64, most_ms: u64| time_ms > since_ms.saturating_add(most_ms);
        let status = if entry.active_ms > time_ms {
            LaneStatus::Unknown
        } else if entry.paused {
            LaneStatus::Paused
        } else if state::count(state::ahead(domain), state)? > own_sequence
            || anchor.is_none_or(|entry| overdue(entry.anchor.time_ms, seed.max_lag_ms))
            || demanded.is_some_and(|demand| overdue(demand.time_ms, seed.max_lag_ms / 2))
        {
            LaneStatus::Stalled
        } else {
            LaneStatus::Active
        };
        state::change_lane_word(state, domain, |word| word.status = status)?;
    }
    if demands.len() != open {
        state::demands().store(state, &demands)?;
    }
    Ok(())
}

/// A demand is met by an anchor of a block that is younger than the demand. Only the member's own
/// time counts: a DA height can be named without taking in what is below it.
fn is_met(demand: &DemandEntry, anchor: Option<&AnchorEntry>) -> bool {
    anchor.is_some_and(|entry| entry.anchor.time_ms >= demand.time_ms)
}
