//! Anchors and lanes: how far this chain has taken in the others, and what is on its way.

use alloy_primitives::U256;
use causeway_bridge::metalayer::view::{self, LaneView, MemberView};
use causeway_chainspec::mailbox::{LaneStatus, LaneWord, MAILBOX, layout};
use causeway_chainspec::{Anchor, LanePosition};
use serde_json::{Value, json};

use super::super::backend::Verified;
use super::super::error::{RpcError, RpcResult};
use super::super::table::{Api, Args};
use super::network::Network;

/// `metalayer_getAnchors()`.
pub(super) fn anchors(api: &Api) -> RpcResult<Value> {
    let network = Network::open(api)?;
    let own = network.own();
    let mut anchors = Vec::new();
    for member in network.members.iter().filter(|member| member.domain != own.domain) {
        let anchor = view::anchor(&*own.state, member.domain)?;
        let followed = network.reader(member.domain).map(|known| known.chain.latest().number);
        anchors.push(anchor_json(
            member,
            anchor.as_ref(),
            network.verified.as_ref(),
            network.now_ms,
            followed,
        ));
    }
    let verified = network.verified.as_ref().map(|verified| {
        json!({
            "block": verified.head.number,
            "blockHash": verified.head.hash,
            "waiting": verified.waiting,
            "alarm": verified.alarm,
        })
    });
    Ok(json!({
        "domain": own.domain,
        "block": own.chain.latest().number,
        "verified": verified,
        "anchors": anchors,
    }))
}

/// The newest anchor of a member here. `followed` is the newest final block of it that this
/// process has re-derived.
pub(super) fn anchor_json(
    member: &MemberView,
    anchor: Option<&(Anchor, u64)>,
    verified: Option<&Verified>,
    now_ms: u64,
    followed: Option<u64>,
) -> Value {
    let mut answer = json!({
        "domain": member.domain,
        "name": member.name,
        "status": status_name(member.status),
        "followedBlock": followed,
    });
    let Some((anchor, block)) = anchor else {
        answer["block"] = Value::Null;
        answer["why"] = "nothing of it was taken in yet".into();
        return answer;
    };
    let good = verified.map(|verified| verified.head.number >= *block);
    let why = match verified {
        _ if good == Some(true) => None,
        Some(Verified { alarm: Some(alarm), .. }) => Some(alarm.clone()),
        Some(Verified { waiting: Some(waiting), .. }) => Some(waiting.clone()),
        Some(verified) => Some(format!("checked up to block {} so far", verified.head.number)),
        None => Some("this node does not check anchors".to_owned()),
    };
    let more = json!({
        "block": block,
        "number": anchor.number,
        "hash": anchor.hash,
        "time": anchor.time_ms,
        "ageMs": now_ms.saturating_sub(anchor.time_ms),
        "daHeight": anchor.da.height,
        "daHash": anchor.da.hash,
        "commitment": anchor.commitment,
        "directory": anchor.directory,
        "baseFee": U256::from(anchor.base_fee),
        "verified": good,
        "why": why,
    });
    if let (Some(fields), Value::Object(more)) = (answer.as_object_mut(), more) {
        fields.extend(more);
    }
    answer
}

/// `metalayer_getLane(domain)`.
pub(super) fn lane(api: &Api, args: &Args) -> RpcResult<Value> {
    let network = Network::open(api)?;
    let member = network.member(args, 0)?;
    let own = network.own();
    if member.domain == own.domain {
        return Err(RpcError::params("a chain has no lane to itself: name another member"));
    }
    let lane = view::lane(&*own.state, member.domain)?
        .ok_or_else(|| RpcError::internal("a member has no lane"))?;
    let word = own.state.slot(MAILBOX, layout::lane(member.domain))?;
    let anchor = view::anchor(&*own.state, member.domain)?;
    let age = anchor.map(|(anchor, _)| network.now_ms.saturating_sub(anchor.time_ms));
    let mut answer = lane_json(member, &lane, age);
    answer["gasPrice"] = json!(U256::from(LaneWord::from_slot(word).gas_price));
    Ok(answer)
}

/// Both directions of a lane.
pub(super) fn lane_json(member: &MemberView, lane: &LaneView, age_ms: Option<u64>) -> Value {
    let position = |position: &LanePosition| json!({ "count": position.count, "accumulator": position.accumulator });
    let flows: Vec<_> = lane
        .ours
        .flows
        .iter()
        .map(|flow| {
            json!({
                "asset": flow.asset,
                "sent": flow.sent,
                "received": flow.received,
                "refunded": flow.refunded,
            })
        })
        .collect();
    json!({
        "domain": member.domain,
        "name": member.name,
        "status": status_name(lane.status),
        "why": why(lane.status, &member.name, age_ms),
        "out": {
            "sent": position(&lane.ours.sent),
            "takenThere": lane.theirs.taken,
            "onTheWay": lane.ours.sent.count.saturating_sub(lane.theirs.taken),
            "unsettled": lane.unsettled,
        },
        "in": {
            "sentThere": position(&lane.theirs.sent),
            "taken": lane.ours.taken,
            "queued": lane.queued,
            "parked": lane.parked,
        },
        "flows": flows,
    })
}

/// A status as the JSON-RPC gives it.
pub(super) fn status_name(status: LaneStatus) -> &'static str {
    match status {
        LaneStatus::Unknown => "unknown",
        LaneStatus::Active => "active",
        LaneStatus::Stalled => "stalled",
        LaneStatus::Paused => "paused",
    }
}

fn why(status: LaneStatus, name: &str, age_ms: Option<u64>) -> Option<String> {
    match status {
        LaneStatus::Active => None,
        LaneStatus::Unknown => Some(format!("{name} is not active in the directory yet")),
        LaneStatus::Paused => Some(format!(
            "a record of the directory paused {name}: no sends, no deliveries until it is resumed"
        )),
        LaneStatus::Stalled => Some(match age_ms {
            None => format!("nothing of {name} was taken in yet: sends are refused until it is"),
            Some(age) => format!(
                "the newest block of {name} taken in is {} s old, or {name} knows records of the \
                 directory that this chain does not: sends are refused until it moves again",
                age / 1000
            ),
        }),
    }
}
