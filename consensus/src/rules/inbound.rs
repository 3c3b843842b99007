//! Bounds of what a claim brings along from other members: what can be judged without state.

use causeway_chainspec::message::MAX_BODY_BYTES;
use causeway_chainspec::metalayer::{MAX_ANCHORS, MAX_FLOWS, MAX_ITEMS, MAX_LANES};
use causeway_chainspec::{BlockBody, Claim, Inbound, LaneItem, LaneState};

use super::ClaimError;

/// Judges the anchors of a claim on the member `own`, and one part of the body for each.
pub(super) fn check(own: u32, claim: &Claim, body: &BlockBody) -> Result<(), ClaimError> {
    let (have, most) = (claim.anchors.len(), MAX_ANCHORS);
    if have > most {
        return Err(ClaimError::Anchors { have, most });
    }
    let domains = || claim.anchors.iter().map(|anchor| anchor.domain);
    if domains().any(|domain| domain == own) {
        return Err(ClaimError::AnchorOwn { domain: own });
    }
    if let Some((before, have)) = unordered(domains()) {
        return Err(ClaimError::AnchorOrder { have, before });
    }
    if body.inbound.len() != have {
        return Err(ClaimError::Inbounds { inbound: body.inbound.len(), anchors: have });
    }
    domains().zip(&body.inbound).try_for_each(|(origin, inbound)| {
        lanes(origin, &inbound.lanes)?;
        items(origin, own, inbound)
    })
}

fn lanes(origin: u32, lanes: &[LaneState]) -> Result<(), ClaimError> {
    let (have, most) = (lanes.len(), MAX_LANES);
    if have > most {
        return Err(ClaimError::Lanes { origin, have, most });
    }
    if let Some((before, have)) = unordered(lanes.iter().map(|lane| lane.domain)) {
        return Err(ClaimError::LaneOrder { origin, have, before });
    }
    for lane in lanes {
        let (to, have, most) = (lane.domain, lane.flows.len(), MAX_FLOWS);
        if have > most {
            return Err(ClaimError::Flows { origin, to, have, most });
        }
        if let Some((before, have)) = unordered(lane.flows.iter().map(|flow| flow.asset)) {
            return Err(ClaimError::FlowOrder { origin, to, have, before });
        }
    }
    Ok(())
}

fn items(origin: u32, own: u32, inbound: &Inbound) -> Result<(), ClaimError> {
    let (have, most) = (inbound.items.len(), MAX_ITEMS);
    if have > most {
        return Err(ClaimError::Items { origin, have, most });
    }
    for (index, item) in inbound.items.iter().enumerate() {
        let (from, to) = (item.origin(), item.destination());
        if (from, to) != (origin, own) {
            return Err(ClaimError::ItemRoute { origin, index, from, to });
        }
        if let LaneItem::Message(message) = item
            && message.body.len() > MAX_BODY_BYTES
        {
            let (have, most) = (message.body.len(), MAX_BODY_BYTES);
            return Err(ClaimError::MessageBytes { origin, index, have, most });
        }
    }
    Ok(())
}

/// The first two neighbours that do not strictly ascend.
fn unordered<T: Ord + Copy>(mut list: impl Iterator<Item = T>) -> Option<(T, T)> {
    let mut before = list.next()?;
    for next in list {
        if next <= before {
            return Some((before, next));
        }
        before = next;
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::{B256, Bytes, U256};
    use causeway_chainspec::{
        Anchor, DaRef, DeliveryReceipt, DeliveryStatus, Flow, LanePosition, Message, Terms,
    };

    use super::*;
    use crate::testkit::{genesis, spec};

    const OWN: u32 = 7;

    fn anchor(domain: u32) -> Anchor {
        let hash = B256::ZERO;
        Anchor {
            domain,
            identity: hash,
            rules_hash: hash,
            directory: 0,
            da: DaRef { height: 1, hash },
            number: 1,
            hash,
            commitment: hash,
            base_fee: 1,
            time_ms: 1,
        }
    }

    fn lane(domain: u32) -> LaneState {
        let flows = (0..2).map(flow).collect();
        LaneState { domain, sent: LanePosition::default(), taken: 0, flows }
    }

    fn flow(asset: u8) -> Flow {
        let (sent, received, refunded) = (U256::ZERO, U256::ZERO, U256::ZERO);
        Flow { asset: B256::repeat_byte(asset), sent, received, refunded }
    }

    fn message(origin: u32, destination: u32, size: usize) -> LaneItem {
        LaneItem::Message(Message {
            nonce: 0,
            origin,
            sender: B256::ZERO,
            destination,
            recipient: B256::ZERO,
            body: Bytes::from(vec![0; size]),
            terms: Terms::default(),
        })
    }

    fn receipt(from: u32, to: u32) -> LaneItem {
        let (id, status, gas_used) = (B256::ZERO, DeliveryStatus::Delivered, 0);
        LaneItem::Receipt(DeliveryReceipt { from, to, id, status, gas_used })
    }

    fn inbound(origin: u32) -> Inbound {
        Inbound {
            root: B256::ZERO,
            count: 1,
            lanes: (1..=64).map(lane).collect(),
            items: vec![message(origin, OWN, MAX_BODY_BYTES), receipt(origin, OWN)],
        }
    }

    /// A claim at its bounds that keeps every rule, broken.
    fn broken(change: impl FnOnce(&mut Claim, &mut BlockBody)) -> Result<(), ClaimError> {
        let mut claim = genesis(&spec());
        claim.anchors = (8..72).map(anchor).collect();
        let inbound = claim.anchors.iter().map(|anchor| inbound(anchor.domain)).collect();
        let mut body = BlockBody { inbound, candidates: Vec::new() };
        assert_eq!(check(OWN, &claim, &body), Ok(()));
        change(&mut claim, &mut body);
        check(OWN, &claim, &body)
    }

    #[test]
    fn anchors_are_few_ordered_and_foreign_and_each_has_its_part() {
        let both = |claim: &mut Claim, body: &mut BlockBody, domain| {
            claim.anchors.push(anchor(domain));
            body.inbound.push(inbound(domain));
        };
        let many = ClaimError::Anchors { have: 65, most: 64 };
        assert_eq!(broken(|claim, body| both(claim, body, 72)), Err(many));
        let order = ClaimError::AnchorOrder { have: 8, before: 9 };
        assert_eq!(broken(|claim, _| claim.anchors.swap(0, 1)), Err(order));
        let twice = ClaimError::AnchorOrder { have: 8, before: 8 };
        assert_eq!(broken(|claim, _| claim.anchors[1].domain = 8), Err(twice));
        let own = ClaimError::AnchorOwn { domain: OWN };
        assert_eq!(broken(|claim, _| claim.anchors[0].domain = OWN), Err(own));
        let lacks = ClaimError::Inbounds { inbound: 63, anchors: 64 };
        assert_eq!(broken(|_, body| drop(body.inbound.pop())), Err(lacks));
        let lone = ClaimError::Inbounds { inbound: 64, anchors: 0 };
        assert_eq!(broken(|claim, _| claim.anchors.clear()), Err(lone));
        assert_eq!(broken(|claim, body| (claim.anchors.clear(), body.inbound.clear()).0), Ok(()));
    }

    #[test]
    fn lanes_and_flows_are_few_and_ordered() {
        let origin = 8;
        let lanes = ClaimError::Lanes { origin, have: 65, most: 64 };
        assert_eq!(broken(|_, body| body.inbound[0].lanes.push(lane(65))), Err(lanes));
        let order = ClaimError::LaneOrder { origin, have: 1, before: 2 };
        assert_eq!(broken(|_, body| body.inbound[0].lanes.swap(0, 1)), Err(order));
        let twice = ClaimError::LaneOrder { origin, have: 1, before: 1 };
        assert_eq!(broken(|_, body| body.inbound[0].lanes[1].domain = 1), Err(twice));
        let flows = |count: u8| {
            broken(|_, body| body.inbound[0].lanes[0].flows = (0..count).map(flow).collect())
        };
        assert_eq!(flows(16), Ok(()));
        assert_eq!(flows(17), Err(ClaimError::Flows { origin, to: 1, have: 17, most: 16 }));
        let (have, before) = (B256::ZERO, B256::repeat_byte(1));
        let order = ClaimError::FlowOrder { origin, to: 1, have, before };
        assert_eq!(broken(|_, body| body.inbound[0].lanes[0].flows.swap(0, 1)), Err(order));
    }

    #[test]
    fn items_are_few_short_and_of_their_lane() {
        let origin = 9;
        let items = |items: Vec<LaneItem>| broken(move |_, body| body.inbound[1].items = items);
        assert_eq!(items(vec![receipt(9, OWN); 1024]), Ok(()));
        let many = ClaimError::Items { origin, have: 1025, most: 1024 };
        assert_eq!(items(vec![receipt(9, OWN); 1025]), Err(many));
        for (item, from, to) in [
            (message(8, OWN, 0), 8, OWN),
            (message(9, 8, 0), 9, 8),
            (receipt(8, OWN), 8, OWN),
            (receipt(9, 10), 9, 10),
        ] {
            let error = ClaimError::ItemRoute { origin, index: 1, from, to };
            assert_eq!(items(vec![receipt(9, OWN), item]), Err(error));
        }
        let (have, most) = (MAX_BODY_BYTES + 1, MAX_BODY_BYTES);
        let long = ClaimError::MessageBytes { origin, index: 0, have, most };
        assert_eq!(items(vec![message(9, OWN, have)]), Err(long));
    }
}
