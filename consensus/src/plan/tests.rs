//! What is planned is accepted, whenever it is posted in time.

use alloy_primitives::{B256, Bytes};
use causeway_chainspec::{LaneItem, Message, SpanBlock, Terms};
use proptest::prelude::*;

use super::*;
use crate::testkit::{INTERVAL, Node, T0, spec, tx};

/// Nothing but transactions.
fn of(candidates: Vec<Arc<Tx>>) -> Offer {
    Offer { candidates, ..Offer::default() }
}

/// A remote that brings so many bytes of messages.
fn remote(domain: u32, bytes: usize) -> (Anchor, Inbound) {
    let anchor = Anchor {
        domain,
        identity: B256::ZERO,
        rules_hash: B256::ZERO,
        directory: 0,
        da: Default::default(),
        number: 1,
        hash: B256::ZERO,
        commitment: B256::ZERO,
        base_fee: 1,
        time_ms: 1,
    };
    let message = Message {
        nonce: 0,
        origin: domain,
        sender: B256::ZERO,
        destination: 7,
        recipient: B256::ZERO,
        body: vec![1; bytes].into(),
        terms: Terms::default(),
    };
    let items = vec![LaneItem::Message(message)];
    (anchor, Inbound { root: B256::ZERO, count: 1, lanes: vec![], items })
}

#[test]
fn remotes_come_before_candidates_and_only_whole() {
    let mut node = Node::new(spec());
    node.spec.metalayer.enabled = true;
    node.da(T0 + 100, vec![], vec![vec![1; 3_000].into()]);
    node.idle_until(T0 + 2_000);
    let remotes = vec![remote(8, 3_000), remote(9, 3_000), remote(10, 3_000)];
    let size = remotes[0].1.size() as u64;
    let txs: Vec<_> = (0..9).map(|nonce| tx(1, nonce, 1, 1, 900)).collect();
    let each = txs[0].raw.len() as u64;
    let offer = Offer { remotes: remotes.clone(), candidates: txs, takeover: None, origin: None };
    let plan = plan(&node.spec, &node.cursor().safe, node.cursor(), T0 + 2_001, offer).unwrap();
    assert_eq!(plan.forced.len(), 1, "forced entries come first");
    let kept = 7_000 / size;
    assert_eq!(kept, 2);
    assert_eq!(plan.claim.anchors, [remotes[0].0.clone(), remotes[1].0.clone()]);
    assert_eq!(plan.body.inbound, [remotes[0].1.clone(), remotes[1].1.clone()]);
    assert_eq!(plan.body.candidates.len() as u64, (7_000 - kept * size) / each);
    assert!(plan.body.matches(&plan.claim));
    let parent = node.cursor().safe.clone();
    node.knows(&parent);
    let block = SpanBlock { claim: plan.claim, body: plan.body };
    node.da(T0 + 2_100, vec![node.span(&[block])], vec![]);
    assert_eq!(node.cursor().safe.number, parent.number + 1, "{:?}", node.last_error());
}

#[test]
fn time_is_raised_above_the_parent() {
    let node = Node::new(spec());
    let parent = &node.cursor().safe;
    let plan = plan(&node.spec, parent, node.cursor(), 5, Offer::default()).unwrap();
    assert_eq!(plan.claim.time_ms, parent.time_ms + 1);
    assert_eq!(plan.claim.number, 1);
}

#[test]
fn candidates_fill_what_forced_entries_leave() {
    let mut node = Node::new(spec());
    node.da(T0 + 100, vec![], vec![vec![1; 3_000].into(), vec![2; 3_000].into()]);
    node.idle_until(T0 + 2_000);
    let txs: Vec<_> = (0..9).map(|nonce| tx(1, nonce, 1, 1, 900)).collect();
    let size = txs[0].raw.len() as u64;
    let plan = plan(&node.spec, &node.cursor().safe, node.cursor(), T0 + 2_001, of(txs)).unwrap();
    assert_eq!(plan.forced.len(), 2);
    assert_eq!(plan.body.candidates.len() as u64, 4_000 / size);
    assert_eq!(plan.candidates.len(), plan.forced.len() + plan.body.candidates.len());
    assert!(plan.body.matches(&plan.claim));
}

#[test]
fn a_parent_of_another_lane_is_refused() {
    let mut node = Node::new(spec());
    let before = node.cursor().clone();
    node.da(T0 + 100, vec![], vec![vec![1; 10].into()]);
    node.idle_until(T0 + 1_000);
    let block = node.build(&node.cursor().safe, T0 + 1_000, None);
    let tip = Tip::of(&block.claim);
    assert_eq!(tip.cut.lane.count, 1);
    let result = plan(&node.spec, &tip, &before, T0 + 1_001, Offer::default());
    assert_eq!(result.unwrap_err(), PlanError::LaneGone(1));
}

#[test]
fn building_pauses_half_a_window_before_the_floor() {
    let mut node = Node::new(spec());
    let half = node.spec.sequencer.window_ms / 2;
    node.idle_until(T0 + 1_000);
    let floor = node.cursor().floor_ms;
    let at = |node: &Node, oldest, time_ms| may_build(&node.spec, node.cursor(), oldest, time_ms);
    assert_eq!(at(&node, None, T0 + 1_000), Ok(()));
    assert_eq!(at(&node, Some(floor + half), T0 + 1_000), Ok(()));
    let is_paused =
        |result, text| matches!(result, Err(ChainError::Paused(why)) if why.contains(text));
    assert!(is_paused(at(&node, Some(floor + half - 1), T0 + 1_000), "expires in 3999 ms"));
    // A layer that stands still lets nothing expire; a parent chain goes on unseen.
    assert_eq!(at(&node, Some(floor + half), T0 + 9_000), Ok(()));
    let mut spec = node.spec.clone();
    spec.da.layer = "ethereum".into();
    let parent = |time_ms| may_build(&spec, node.cursor(), Some(T0 + 1_000), time_ms);
    assert_eq!(parent(T0 + 1_000 + half), Ok(()));
    assert!(is_paused(parent(T0 + 1_001 + half), "expires in 3999 ms"));
}

#[derive(Debug, Clone)]
enum Event {
    /// So much later a DA block comes, with forced entries of these sizes; the poster's newest
    /// `post` of 4 of the backlog is in it, from so many safe blocks back.
    Da { gap: u64, forced: Vec<u16>, post: usize, overlap: usize },
    /// So much later a block is built, on a view of DA so many blocks old.
    Build { gap: u64, lag: usize, sizes: Vec<u16> },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let sizes = || prop::collection::vec(0..4_000u16, 0..4);
    let da = (1..400u64, sizes(), 0..=4usize, 0..3usize)
        .prop_map(|(gap, forced, post, overlap)| Event::Da { gap, forced, post, overlap });
    let build = (0..200u64, 0..4usize, sizes()).prop_map(|(gap, lag, sizes)| Event::Build {
        gap,
        lag,
        sizes,
    });
    prop::collection::vec(prop_oneof![da, build], 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Random DA times and forced entries, also between planning and posting.
    #[test]
    fn what_is_planned_is_accepted(events in events()) {
        let mut node = Node::new(spec());
        let mut built: Vec<SpanBlock> = Vec::new();
        let mut posted = 0;
        let mut now = T0;
        for (index, event) in events.into_iter().enumerate() {
            match event {
                Event::Build { gap, lag, sizes } => {
                    now += gap;
                    let newest = node.cursors.len() - 1;
                    let cursor = &node.cursors[newest.saturating_sub(lag)];
                    let parent = built.last().map_or_else(
                        || node.cursors[0].safe.clone(),
                        |block| Tip::of(&block.claim),
                    );
                    let known = lane_is_known(&node.spec, cursor, now.max(parent.time_ms + 1));
                    let cursor = if known { cursor } else { node.cursor() };
                    let txs: Vec<_> = sizes
                        .iter()
                        .map(|size| tx(1, index as u64, 1, 1, usize::from(*size)))
                        .collect();
                    // A view that is older than the parent's own is not used twice.
                    let plan = plan(&node.spec, &parent, cursor, now, of(txs.clone()))
                        .or_else(|_| plan(&node.spec, &parent, node.cursor(), now, of(txs)));
                    let plan = plan.unwrap();
                    node.knows(&parent);
                    built.push(SpanBlock { claim: plan.claim, body: plan.body });
                }
                Event::Da { gap, forced, post, overlap } => {
                    now += gap;
                    let stale = built
                        .get(posted)
                        .is_some_and(|block| now - block.claim.time_ms > 3_000);
                    let waiting = built.len() - posted;
                    let count = if stale { waiting } else { waiting * post / 4 };
                    let from = posted.saturating_sub(overlap);
                    let spans = match &built[from..posted + count] {
                        [] => vec![],
                        blocks => vec![node.span(blocks)],
                    };
                    posted += count;
                    let forced: Vec<Bytes> = forced
                        .iter()
                        .map(|size| vec![index as u8; usize::from(*size)].into())
                        .collect();
                    node.da(now, spans, forced);
                    prop_assert_eq!(node.last_error(), None);
                }
            }
        }
        if posted < built.len() {
            let rest = node.span(&built[posted..]);
            node.da(now + INTERVAL, vec![rest], vec![]);
            prop_assert_eq!(node.last_error(), None);
        }
        let ends: Vec<_> = built.iter().map(|block| block.claim.hash()).collect();
        let sealed: Vec<_> =
            node.steps.iter().filter(|step| !step.derived).map(|step| step.hash).collect();
        prop_assert_eq!(sealed, ends);
    }
}
