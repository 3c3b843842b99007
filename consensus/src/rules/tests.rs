//! One case a rule: a claim that breaks it and no other.

use alloy_primitives::B256;
use causeway_chainspec::{AbandonReason, SpanBlock, Takeover};

use super::*;
use crate::testkit::{INTERVAL, Node, T0, spec, tx};

const CHILD_TIME: u64 = T0 + 1_500;

/// A node with one safe block, a lane of two entries, and DA up to T0 + 1500.
fn node() -> Node {
    let mut node = Node::new(spec());
    let block = node.build(&node.cursor().safe, T0 + 50, None);
    node.da(T0 + 100, vec![node.span(&[block])], vec![vec![1; 9].into()]);
    node.da(T0 + 800, vec![], vec![vec![2; 9].into()]);
    node.idle_until(T0 + 1_500);
    node
}

fn judge(node: &Node, block: &SpanBlock) -> Result<Run, RuleError> {
    let cursor = node.cursor();
    let at = DaPoint { da: cursor.da, time_ms: cursor.time_ms, floor_ms: cursor.floor_ms };
    let identity = node.spec.identity();
    let rules = Rules { spec: &node.spec, identity, at, history: node };
    rules.check(&cursor.safe, &cursor.lane, &block.claim, &block.body)
}

/// Builds a valid child, breaks it, and gives the rule it broke.
fn broken(node: &Node, change: impl FnOnce(&mut SpanBlock)) -> ClaimError {
    let mut block = node.build(&node.cursor().safe, CHILD_TIME, None);
    assert_eq!(judge(node, &block).expect("valid before").entries.len(), 1);
    change(&mut block);
    match judge(node, &block) {
        Err(RuleError::Claim(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

macro_rules! refused {
    ($node:expr, $change:expr, $error:pat) => {
        let error = broken($node, $change);
        assert!(matches!(error, $error), "{error}");
    };
}

#[test]
fn links_and_times() {
    let node = &node();
    let most = T0 + 1_500 + 400;
    refused!(node, |b| b.claim.identity = B256::repeat_byte(1), ClaimError::Identity { .. });
    refused!(node, |b| b.claim.number = 3, ClaimError::Number { have: 3, want: 2 });
    refused!(node, |b| b.claim.parent = B256::ZERO, ClaimError::Parent { .. });
    refused!(node, |b| b.claim.time_ms = T0 + 50, ClaimError::Time { .. });
    let error = broken(node, |b| b.claim.time_ms = most + 1);
    assert_eq!(error, ClaimError::Future { have: most + 1, most });
    assert!(error.is_temporary());
    // The floor passes the child while the safe head is kept young.
    let mut late = node.clone();
    late.cursors.last_mut().unwrap().floor_ms = CHILD_TIME + 1;
    let block = node.build(&node.cursor().safe, CHILD_TIME, None);
    let expired = ClaimError::Expired { have: CHILD_TIME, floor: CHILD_TIME + 1 };
    assert_eq!(judge(&late, &block), Err(expired.into()));
}

#[test]
fn both_ends_of_the_time_window_count() {
    let mut node = node();
    let block = node.build(&node.cursor().safe, CHILD_TIME + 400, None);
    assert!(judge(&node, &block).is_ok());
    let block = node.build(&node.cursor().safe, CHILD_TIME, None);
    node.cursors.last_mut().unwrap().floor_ms = CHILD_TIME;
    assert!(judge(&node, &block).is_ok());
}

#[test]
fn cut_and_lane() {
    let node = &node();
    let above = node.cursor().da.height + 1;
    let taken = node.cursor().safe.cut;
    refused!(node, |b| b.claim.cut.da.height = above, ClaimError::CutAbove { .. });
    refused!(node, |b| b.claim.cut.da.hash = B256::ZERO, ClaimError::CutGone { .. });
    refused!(node, |b| b.claim.cut.lane = taken.lane, ClaimError::Forced { .. });
    // It is the claim's own time that says what is due.
    refused!(node, |b| b.claim.time_ms = T0 + 899, ClaimError::Forced { .. });
    refused!(node, |b| b.claim.cut.da = taken.da, ClaimError::CutBelowEntry { .. });
    // A child must not go back behind its parent's cut, nor stand on another lane.
    let block = node.build(&node.cursor().safe, CHILD_TIME, None);
    let mut ahead = node.clone();
    let safe = &mut ahead.cursors.last_mut().unwrap().safe;
    safe.cut.da.height = node.cursor().da.height;
    assert!(matches!(judge(&ahead, &block), Err(RuleError::Claim(ClaimError::CutBack { .. }))));
    let safe = &mut ahead.cursors.last_mut().unwrap().safe;
    safe.cut = taken;
    safe.cut.lane.accumulator = B256::repeat_byte(5);
    let gone = ClaimError::LaneGone { count: 0 };
    assert_eq!(judge(&ahead, &block), Err(gone.into()));
}

#[test]
fn bodies_and_limits() {
    let node = &node();
    let (root, lanes, items) = Default::default();
    let inbound = Inbound { root, count: 0, lanes, items };
    let put = |b: &mut SpanBlock, count: u64, size: usize| {
        b.body.candidates = (0..count).map(|n| tx(1, n, 1, 1, size).raw.clone()).collect();
        b.claim.candidates_root = b.body.candidates_root();
    };
    refused!(node, |b| b.body.candidates.clear(), ClaimError::Body);
    refused!(node, |b| b.claim.inbound_root = B256::ZERO, ClaimError::Body);
    refused!(node, |b| b.body.inbound.push(inbound), ClaimError::NotMember { .. });
    // One of the eight places is the forced entry's.
    refused!(node, |b| put(b, 8, 0), ClaimError::Candidates { have: 9, most: 8 });
    refused!(node, |b| put(b, 2, 5_000), ClaimError::Bytes { most: 10_000, .. });
    let origin = Origin { number: 1, hash: B256::ZERO };
    refused!(node, |b| b.claim.origin = Some(origin), ClaimError::OriginUnexpected { .. });
}

#[test]
fn a_member_has_one_inbound_part_for_each_anchor() {
    let mut member = spec();
    member.metalayer.enabled = true;
    let node = &Node::new(member);
    let mut block = node.build(&node.cursor().safe, T0 + 50, None);
    let (root, lanes, items) = Default::default();
    block.body.inbound = vec![Inbound { root, count: 0, lanes, items }];
    block.claim.inbound_root = block.body.inbound_root();
    let error = ClaimError::Inbounds { inbound: 1, anchors: 0 };
    assert_eq!(judge(node, &block), Err(error.into()));
}

#[test]
fn origins() {
    let mut on_parent = spec();
    on_parent.da.layer = "ethereum".into();
    let mut node = Node::new(on_parent);
    node.idle_until(T0 + 1_000);
    let cursor = node.cursor();
    let judge = |parent: Option<Origin>, own: Option<Origin>| {
        let mut block = node.build(&cursor.safe, T0 + 900, None);
        let mut tip = cursor.safe.clone();
        tip.origin = parent;
        block.claim.origin = own;
        let at = DaPoint { da: cursor.da, time_ms: cursor.time_ms, floor_ms: cursor.floor_ms };
        let identity = node.spec.identity();
        let rules = Rules { spec: &node.spec, identity, at, history: &node };
        rules.check(&tip, &cursor.lane, &block.claim, &block.body).map(|_| ())
    };
    // DA block 10 + n has time T0 + 100 (n + 1).
    let at = |number: u64| {
        let record = node.derived_at(number).unwrap().unwrap();
        Some(Origin { number, hash: record.hash })
    };
    assert_eq!(judge(None, None), Ok(()));
    assert_eq!(judge(None, at(15)), Ok(()));
    assert_eq!(judge(at(15), at(15)), Ok(()));
    assert_eq!(judge(at(15), at(16)), Ok(()));
    let lost = ClaimError::OriginBack { have: None, parent: 15 };
    assert_eq!(judge(at(15), None), Err(lost.into()));
    let back = ClaimError::OriginBack { have: Some(14), parent: 15 };
    assert_eq!(judge(at(15), at(14)), Err(back.into()));
    for gone in [(15, B256::repeat_byte(1)), (15, at(14).unwrap().hash), (99, B256::ZERO)] {
        let origin = Origin { number: gone.0, hash: gone.1 };
        let error = ClaimError::OriginGone { number: gone.0 };
        assert_eq!(judge(None, Some(origin)), Err(error.into()));
    }
    let young = ClaimError::OriginFuture { origin: T0 + 1_000, time: T0 + 900 };
    assert_eq!(judge(None, at(19)), Err(young.into()));
    let without = refuse_origin();
    assert!(matches!(without, ClaimError::OriginUnexpected { number: 10 }), "{without}");
}

/// What a chain without a parent chain says of an origin.
fn refuse_origin() -> ClaimError {
    let hash = node().derived_at(10).unwrap().unwrap().hash;
    broken(&node(), |block| block.claim.origin = Some(Origin { number: 10, hash }))
}

/// A node whose second block was replaced by a derived one, the block it lost, and the takeover.
fn replaced() -> (Node, SpanBlock, Takeover) {
    let mut node = node();
    let lost = node.build(&node.cursor().safe, CHILD_TIME, None);
    node.idle_until(T0 + 8_200);
    assert!(node.steps.last().unwrap().derived);
    let takeover = takeover_for(&node.spec, node.cursor(), &node, &lost.claim).unwrap().unwrap();
    (node, lost, takeover)
}

fn taken_over(node: &Node, change: impl FnOnce(&mut Takeover, &mut u64)) -> ClaimError {
    let lost = replaced().2;
    let time = node.cursor().time_ms + INTERVAL;
    let mut block = node.build(&node.cursor().safe, time, Some(lost));
    judge(node, &block).expect("valid before");
    let SpanBlock { claim, .. } = &mut block;
    change(claim.takeover.as_mut().unwrap(), &mut claim.term);
    match judge(node, &block) {
        Err(RuleError::Claim(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn terms_change_only_with_a_reason() {
    let (node, lost, takeover) = replaced();
    let error = broken(&self::node(), |b| b.claim.term = 12);
    assert_eq!(error, ClaimError::Term { have: 12, parent: 0 });
    assert_eq!(takeover.reason, AbandonReason::Replaced);
    let height = node.cursor().da.height;
    type Edit = Box<dyn FnOnce(&mut Takeover, &mut u64)>;
    let cases: Vec<(ClaimError, Edit)> = vec![
        (
            ClaimError::TermReference { have: height - 1, reference: height },
            Box::new(|_, term| *term -= 1),
        ),
        (
            ClaimError::TermNotHigher { have: 0, parent: 0 },
            Box::new(|takeover, term| (takeover.reference.height, *term) = (0, 0)),
        ),
        (
            ClaimError::ReferenceAbove { have: height + 1, da: height },
            Box::new(|takeover, term| {
                takeover.reference.height += 1;
                *term += 1;
            }),
        ),
        (
            ClaimError::ReferenceGone { height },
            Box::new(|takeover, _| takeover.reference.hash = B256::ZERO),
        ),
        (
            ClaimError::AbandonedIdentity { have: B256::repeat_byte(1) },
            Box::new(|takeover, _| takeover.abandoned.identity = B256::repeat_byte(1)),
        ),
        (
            ClaimError::AbandonedTerm { have: height, parent: 0, new: height },
            Box::new(move |takeover, _| takeover.abandoned.term = height),
        ),
        (
            ClaimError::AbandonedParent { number: 2 },
            Box::new(|takeover, _| takeover.abandoned.parent = B256::ZERO),
        ),
        (
            ClaimError::AbandonedParent { number: 9 },
            Box::new(|takeover, _| takeover.abandoned.number = 9),
        ),
        (
            ClaimError::InputStands { height: lost.claim.cut.da.height },
            Box::new(|takeover, _| takeover.reason = AbandonReason::InputGone),
        ),
        (
            ClaimError::NotExpired { time: CHILD_TIME, floor: node.cursor().floor_ms },
            Box::new(|takeover, _| takeover.reason = AbandonReason::Expired),
        ),
    ];
    for (want, change) in cases {
        assert_eq!(taken_over(&node, change), want);
    }
    // A claim that is safe was not abandoned.
    let safe = node.steps[0].claim.clone();
    let error = taken_over(&node, |takeover, _| *takeover.abandoned = safe);
    assert_eq!(error, ClaimError::AbandonedSafe { number: 1 });
    // One that was not replaced is not.
    let mut next = lost.claim;
    (next.number, next.parent) = (3, node.cursor().safe.claim);
    let error = taken_over(&node, |takeover, _| *takeover.abandoned = next);
    assert_eq!(error, ClaimError::NotReplaced { number: 3, safe: 2 });
    // The reference is where the parent was the safe head: not before.
    let before = node.cursors[3].da;
    let error = taken_over(&node, |takeover, term| {
        (takeover.reference, *term) = (before, before.height);
    });
    assert_eq!(error, ClaimError::ReferenceHead { safe: node.steps[0].hash });
}

#[test]
fn the_floor_follows_da_time_in_bounded_steps() {
    let spec = spec();
    let window = spec.sequencer.window_ms;
    // On time: window behind.
    assert_eq!(floor_ms(&spec, 20_100, 20_000, 12_000), 20_100 - window);
    // After a gap of any length: twice an eighth of the window.
    assert_eq!(floor_ms(&spec, 900_000, 20_000, 12_000), 12_000 + window / 4);
    // Then twice as fast as time, until it has caught up.
    assert_eq!(floor_ms(&spec, 900_100, 900_000, 14_000), 14_200);
    assert_eq!(floor_ms(&spec, 900_100, 900_000, 892_050), 892_100);
    // From a fresh block to its expiry it takes half a window of live time.
    let (mut time, mut floor) = (900_000, 20_000 - window);
    let fresh = 20_000;
    let back = time;
    floor = floor_ms(&spec, time, 20_000, floor);
    while floor <= fresh {
        floor = floor_ms(&spec, time + 100, time, floor);
        time += 100;
    }
    assert!(time - back >= window / 8 * 3);
}
