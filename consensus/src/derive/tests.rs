//! Fork choice and window, order only: what a list of DA blocks means.

use alloy_primitives::{B256, Bytes};
use alloy_rlp::Decodable;
use causeway_chainspec::{AbandonReason, SpanBlock, Takeover};
use proptest::prelude::*;

use super::*;
use crate::rules::takeover_for;
use crate::testkit::{INTERVAL, Node, T0, entry, seal, spec};

const WINDOW: u64 = 8_000;
const DELAY: u64 = 800;

fn node() -> Node {
    Node::new(spec())
}

fn forced(byte: u8) -> Bytes {
    vec![byte; 10].into()
}

/// Blocks ready to be posted on the safe head, from now on.
fn backlog(node: &Node, count: u64) -> Vec<SpanBlock> {
    node.chain(&node.cursor().safe, node.cursor().time_ms + 1, count)
}

#[test]
fn a_forced_entry_gets_in_without_a_sequencer() {
    let mut node = node();
    node.da(T0 + 100, vec![], vec![forced(1)]);
    let due = T0 + 100;
    node.idle_until(due + WINDOW + DELAY + 2 * INTERVAL);
    // The first derived block comes a window after genesis, and takes what is due by then.
    let step = node.steps.iter().find(|step| !step.forced.is_empty()).expect("it is in");
    assert!(step.derived && step.seal.is_none());
    assert_eq!(step.forced[0].bytes, forced(1));
    assert!(step.claim.time_ms <= due + DELAY + WINDOW + INTERVAL);
    assert_eq!(node.steps.iter().filter(|step| !step.forced.is_empty()).count(), 1);
    assert!(node.cursor().lane.pending.is_empty());
}

#[test]
fn derived_runs_take_all_due_entries_in_as_many_blocks_as_needed() {
    let mut node = node();
    node.da(T0 + 100, vec![], (0..11).map(forced).collect());
    node.idle_until(T0 + WINDOW);
    assert!(node.steps.is_empty());
    let derived = node.da(T0 + WINDOW + 200, vec![], vec![]);
    let counts: Vec<_> = derived.steps.iter().map(|step| step.forced.len()).collect();
    assert_eq!(counts, [4, 4, 3]);
    for (index, step) in derived.steps.iter().enumerate() {
        assert_eq!(step.claim.time_ms, T0 + WINDOW + 200 + index as u64);
        assert_eq!(step.claim.cut.da, derived.cursor.da);
        assert_eq!((step.claim.term, &step.claim.takeover), (0, &None));
    }
    assert_eq!(derived.cursor.safe.cut.lane.count, 11);
    // And one empty block a window later.
    node.idle_until(T0 + 2 * WINDOW + 200);
    let empty = node.da(T0 + 2 * WINDOW + 300, vec![], vec![]);
    assert_eq!(empty.steps.iter().map(|step| step.forced.len()).collect::<Vec<_>>(), [0]);
}

#[test]
fn a_silent_sequencer_comes_back_in_a_new_term() {
    let mut node = node();
    let lost = backlog(&node, 3);
    node.idle_until(T0 + WINDOW + 200);
    assert!(node.steps[0].derived);
    // What it built is replaced; posting it late changes nothing.
    node.da(node.cursor().time_ms + INTERVAL, vec![node.span(&lost)], vec![]);
    assert!(matches!(node.dropped.last(), Some(Dropped::Unconnected { .. })));
    // In the old term it would contradict itself; a takeover gives it a new one.
    let takeover = takeover_for(&node.spec, node.cursor(), &node, &lost[0].claim).unwrap().unwrap();
    assert_eq!(takeover.reason, AbandonReason::Replaced);
    let term = node.cursor().da.height;
    let safe = node.cursor().safe.clone();
    let first = node.build(&safe, node.cursor().time_ms + 50, Some(takeover));
    let second = node.build(&Tip::of(&first.claim), first.claim.time_ms + 50, None);
    let derived = node.da(
        node.cursor().time_ms + INTERVAL,
        vec![node.span(&[first.clone(), second.clone()])],
        vec![],
    );
    assert_eq!(derived.steps.len(), 2);
    assert_eq!((first.claim.term, second.claim.term), (term, term));
    assert_eq!(derived.cursor.safe, Tip::of(&second.claim));
}

#[test]
fn a_takeover_serves_once() {
    let mut node = node();
    let lost = backlog(&node, 1);
    node.idle_until(T0 + WINDOW + 200);
    let takeover = takeover_for(&node.spec, node.cursor(), &node, &lost[0].claim).unwrap().unwrap();
    let first = node.build(&node.cursor().safe, node.cursor().time_ms + 1, Some(takeover.clone()));
    node.da(node.cursor().time_ms + INTERVAL, vec![node.span(&[first])], vec![]);
    assert_eq!(node.cursor().safe.term, takeover.reference.height);
    // The same again; and the same abandoned claim with a newer reference.
    let newer = Takeover { reference: node.cursor().da, ..takeover.clone() };
    let cases = [takeover, newer];
    for takeover in cases {
        let safe = node.cursor().safe.clone();
        let again = node.build(&safe, node.cursor().time_ms + 1, Some(takeover));
        let derived = node.da(node.cursor().time_ms + INTERVAL, vec![node.span(&[again])], vec![]);
        assert!(derived.steps.is_empty());
    }
    assert!(matches!(node.last_error(), Some(ClaimError::AbandonedTerm { .. })));
    assert_eq!(takeover_for(&node.spec, node.cursor(), &node, &lost[0].claim), Ok(None));
}

#[test]
fn a_term_that_never_became_safe_needs_no_nesting() {
    let mut node = node();
    let lost = backlog(&node, 1);
    node.idle_until(T0 + WINDOW + 200);
    let takeover = takeover_for(&node.spec, node.cursor(), &node, &lost[0].claim).unwrap().unwrap();
    let unposted = node.build(&node.cursor().safe, node.cursor().time_ms + 1, Some(takeover));
    node.idle_until(T0 + 2 * WINDOW + 500);
    // The block of the new term was replaced too: the first abandoned claim still says why.
    assert_eq!(node.cursor().safe.term, 0);
    for claim in [&lost[0].claim, &unposted.claim] {
        let takeover = takeover_for(&node.spec, node.cursor(), &node, claim).unwrap();
        assert!(takeover.is_some_and(|takeover| takeover.reference == node.cursor().da));
    }
    let takeover = takeover_for(&node.spec, node.cursor(), &node, &lost[0].claim).unwrap();
    let block = node.build(&node.cursor().safe, node.cursor().time_ms + 1, takeover);
    let derived = node.da(node.cursor().time_ms + INTERVAL, vec![node.span(&[block])], vec![]);
    assert_eq!(derived.steps.len(), 1, "{:?}", node.dropped);
}

#[test]
fn a_block_whose_input_is_gone_justifies_a_takeover() {
    // It took its cut, or the reference of its own takeover, from a DA block that a reorg removed;
    // whether it did shows once the height is there again.
    let input = DaRef { height: 12, hash: B256::repeat_byte(9) };
    let cut: &dyn Fn(&mut Claim) = &|claim| claim.cut.da = input;
    let reference: &dyn Fn(&mut Claim) = &|claim| {
        let abandoned = Box::new(claim.clone());
        let reason = AbandonReason::Replaced;
        claim.takeover = Some(Takeover { reference: input, abandoned, reason });
    };
    for lean in [cut, reference] {
        let mut node = node();
        let good = node.build(&node.cursor().safe, T0 + 10, None);
        let mut gone = node.build(&Tip::of(&good.claim), T0 + 20, None);
        node.da(T0 + 100, vec![node.span(&[good])], vec![]);
        // While it may still become safe there is nothing to justify.
        assert_eq!(takeover_for(&node.spec, node.cursor(), &node, &gone.claim), Ok(None));
        lean(&mut gone.claim);
        assert_eq!(takeover_for(&node.spec, node.cursor(), &node, &gone.claim), Ok(None));
        node.idle_until(T0 + 600);
        let takeover = takeover_for(&node.spec, node.cursor(), &node, &gone.claim);
        let takeover = takeover.unwrap().unwrap();
        assert_eq!(takeover.reason, AbandonReason::InputGone);
        let block = node.build(&node.cursor().safe, T0 + 610, Some(takeover));
        let derived = node.da(T0 + 700, vec![node.span(&[block])], vec![]);
        assert_eq!(derived.steps.len(), 1, "{:?}", node.dropped);
    }
}

#[test]
fn an_expired_block_on_a_young_safe_head_justifies_a_takeover() {
    let mut node = node();
    let good = node.build(&node.cursor().safe, T0 + 10, None);
    // The safe head stands exactly on the floor when the block above it is a claim of the past
    // that no rule let in: derivation adds nothing, and the claim has expired.
    let mut late = node.build(&Tip::of(&good.claim), T0 + 20, None);
    node.da(T0 + 100, vec![node.span(&[good])], vec![]);
    late.claim.time_ms = T0 + 5;
    node.idle_until(T0 + WINDOW);
    let time = T0 + WINDOW + 10;
    node.da(time, vec![], vec![]);
    assert_eq!(node.cursor().floor_ms, node.cursor().safe.time_ms);
    let takeover = takeover_for(&node.spec, node.cursor(), &node, &late.claim).unwrap().unwrap();
    assert_eq!(takeover.reason, AbandonReason::Expired);
    let block = node.build(&node.cursor().safe, time + 10, Some(takeover));
    let derived = node.da(time + INTERVAL, vec![node.span(&[block])], vec![]);
    assert_eq!(derived.steps.len(), 1, "{:?}", node.dropped);
}

#[test]
fn after_an_outage_of_many_windows_the_backlog_drains() {
    let mut node = node();
    // One block a second for five windows, and no DA at all meanwhile.
    let mut blocks = Vec::new();
    let mut tip = node.cursor().safe.clone();
    for second in 1..=40 {
        let block = node.build(&tip, T0 + second * 1_000, None);
        tip = Tip::of(&block.claim);
        blocks.push(block);
    }
    let back = T0 + 41_000;
    // DA comes back; the poster needs a quarter of a window to get its first span in, and then
    // posts four blocks a DA block.
    node.da(back, vec![], vec![]);
    node.idle_until(back + WINDOW / 4);
    assert!(node.steps.is_empty(), "floor {} is past the oldest block", node.cursor().floor_ms);
    for blocks in blocks.chunks(4) {
        node.da(node.cursor().time_ms + INTERVAL, vec![node.span(blocks)], vec![]);
    }
    assert_eq!(node.dropped, []);
    assert_eq!(node.cursor().safe, tip);
    // The floor catches up afterwards.
    node.idle_until(back + 6 * WINDOW);
    assert_eq!(node.cursor().floor_ms, node.cursor().time_ms - WINDOW);
}

#[test]
fn an_outage_does_not_excuse_silence_for_ever() {
    let mut node = node();
    let late = backlog(&node, 1);
    node.da(T0 + 50_000, vec![], vec![]);
    node.idle_until(T0 + 50_000 + WINDOW / 2);
    assert!(node.steps[0].derived);
    node.da(node.cursor().time_ms + INTERVAL, vec![node.span(&late)], vec![]);
    assert!(matches!(node.dropped.last(), Some(Dropped::Unconnected { .. })));
}

#[test]
fn spans_may_come_twice_overlap_and_not_out_of_order() {
    let mut node = node();
    let blocks = backlog(&node, 6);
    let (a, b) = (node.span(&blocks[..3]), node.span(&blocks[2..]));
    let late = node.span(&blocks[4..]);
    let derived = node.da(T0 + 700, vec![late, a.clone(), a.clone(), b.clone(), a, b], vec![]);
    let hashes: Vec<_> = derived.steps.iter().map(|step| step.hash).collect();
    assert_eq!(hashes, blocks.iter().map(|block| block.claim.hash()).collect::<Vec<_>>());
    // The seal goes with the last claim of the span that brought it.
    let sealed: Vec<_> = derived.steps.iter().map(|step| step.seal.is_some()).collect();
    assert_eq!(sealed, [false, false, true, false, false, true]);
    assert!(matches!(
        derived.dropped[..],
        [
            Dropped::Unconnected { .. },
            Dropped::Known(3),
            Dropped::Unconnected { .. },
            Dropped::Known(6)
        ]
    ));
}

#[test]
fn an_invalid_claim_ends_its_span_and_earlier_ones_stand() {
    let mut node = node();
    let mut blocks = backlog(&node, 4);
    blocks[2].body.candidates.clear();
    let derived = node.da(T0 + 500, vec![node.span(&blocks)], vec![]);
    assert_eq!(derived.steps.len(), 2);
    assert!(derived.steps.iter().all(|step| step.seal.is_none()));
    assert_eq!(derived.dropped, [Dropped::Claim { number: 3, error: ClaimError::Body }]);
    // In DA the first valid connecting claim wins.
    let other = node.build(&node.cursor().safe, T0 + 450, None);
    let third = blocks[2].claim.hash();
    let derived = node.da(T0 + 600, vec![node.span(std::slice::from_ref(&other))], vec![]);
    assert_eq!(derived.steps[0].hash, other.claim.hash());
    assert_ne!(derived.steps[0].hash, third);
}

#[test]
fn nothing_of_a_span_counts_before_its_seal_does() {
    let mut node = node();
    let blocks = backlog(&node, 2);
    let mut forged = node.span(&blocks);
    forged.seal = seal(&blocks[0].claim);
    let mut foreign = node.span(&blocks);
    foreign.identity = B256::repeat_byte(7);
    let mut empty = foreign.clone();
    (empty.identity, empty.blocks) = (spec().identity(), Vec::new());
    let derived = node.da(T0 + 300, vec![forged, foreign, empty], vec![]);
    assert!(derived.steps.is_empty());
    assert!(matches!(
        derived.dropped[..],
        [Dropped::Seal { number: 2, .. }, Dropped::Foreign(_), Dropped::Empty]
    ));
}

#[test]
fn the_key_in_force_is_that_of_the_da_block() {
    let mut spec = spec();
    let (old, new) = (spec.sequencer.keys[0].keys.clone(), vec![]);
    let change = causeway_chainspec::spec::KeyChange { from_ms: T0 + 200, keys: new.clone() };
    spec.sequencer.keys.push(change);
    let node = Node::new(spec.clone());
    let blocks = backlog(&node, 1);
    for (time, keys) in [(T0 + 199, old), (T0 + 200, new)] {
        let seen = std::cell::RefCell::new(Vec::new());
        let verify = |context: &SealContext, _: &Claim, _: &Seal| {
            seen.borrow_mut().push(context.keys.clone());
            Ok(())
        };
        let entry = entry(node.cursor().da, time, vec![node.span(&blocks)], vec![]);
        derive(&spec, node.cursor(), &entry, &node, &verify).unwrap();
        assert_eq!(*seen.borrow(), [keys]);
    }
}

#[test]
fn an_entry_that_does_not_follow_is_refused() {
    let mut node = node();
    node.da(T0 + 100, vec![], vec![]);
    let cursor = node.cursor().clone();
    let verify = |_: &SealContext, _: &Claim, _: &Seal| Ok(());
    let skipped = entry(DaRef { height: cursor.da.height + 1, ..cursor.da }, T0, vec![], vec![]);
    let other = entry(DaRef { hash: B256::repeat_byte(3), ..cursor.da }, T0, vec![], vec![]);
    for entry in [skipped, other] {
        let result = derive(&node.spec, &cursor, &entry, &node, &verify);
        assert!(matches!(result, Err(DeriveError::NotNext { .. })));
    }
}

#[test]
fn da_time_never_goes_back() {
    let mut node = node();
    node.da(T0 + 500, vec![], vec![]);
    let derived = node.da(T0 + 100, vec![], vec![forced(1)]);
    assert_eq!(derived.cursor.time_ms, T0 + 500);
    assert_eq!(derived.cursor.lane.pending[0].due_ms, T0 + 500);
}

/// What may happen at one DA block of a random history.
#[derive(Debug, Clone)]
struct Event {
    gap: u64,
    built: u64,
    post: u8,
    forced: Vec<u8>,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let gap = prop_oneof![8 => 1..300u64, 1 => 1_000..20_000u64];
    let event = (gap, 0..4u64, any::<u8>(), prop::collection::vec(any::<u8>(), 0..3))
        .prop_map(|(gap, built, post, forced)| Event { gap, built, post, forced });
    prop::collection::vec(event, 1..40)
}

/// A sequencer that posts late, early, damaged, twice or never, and starts over when replaced.
fn play(events: &[Event]) -> Node {
    let mut node = node();
    let mut backlog: Vec<SpanBlock> = Vec::new();
    for event in events {
        let now = node.cursor().time_ms + event.gap;
        let safe = node.cursor().safe.clone();
        match backlog.iter().position(|block| block.claim.hash() == safe.claim) {
            Some(index) => drop(backlog.drain(..=index)),
            None if backlog.first().is_some_and(|block| block.claim.parent != safe.claim) => {
                backlog.clear();
            }
            None => {}
        }
        for index in 0..event.built {
            let tip = backlog.last().map_or(safe.clone(), |block| Tip::of(&block.claim));
            let time = now.saturating_sub(event.gap / (index + 1));
            backlog.push(node.build(&tip, time, None));
        }
        let mut blocks = backlog.clone();
        match event.post % 8 {
            0 => blocks.clear(),
            1 => blocks.truncate(1),
            2 => blocks.iter_mut().skip(1).for_each(|block| block.body.candidates.clear()),
            _ => {}
        }
        let mut spans: Vec<_> = Some(blocks)
            .filter(|blocks| !blocks.is_empty())
            .map(|blocks| node.span(&blocks))
            .into_iter()
            .collect();
        if event.post % 8 == 3 {
            spans.extend_from_within(..);
        }
        let forced = event.forced.iter().map(|byte| vec![*byte; usize::from(*byte) * 5].into());
        node.da(now, spans, forced.collect());
    }
    node
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_restart_gives_the_same_steps(events in events(), at in any::<prop::sample::Index>()) {
        let node = play(&events);
        let mut again = Node::new(spec());
        let stop = at.index(node.entries.len());
        for entry in &node.entries[..stop] {
            again.read(entry.clone());
        }
        // What a restart keeps of the cursor is its encoding.
        let bytes = alloy_rlp::encode(again.cursor());
        let cursor = Cursor::decode(&mut bytes.as_slice()).unwrap();
        prop_assert_eq!(&cursor, again.cursor());
        *again.cursors.last_mut().unwrap() = cursor;
        for entry in &node.entries[stop..] {
            again.read(entry.clone());
        }
        prop_assert_eq!(&again.steps, &node.steps);
        prop_assert_eq!(&again.dropped, &node.dropped);
        prop_assert_eq!(again.cursor(), node.cursor());
    }

    #[test]
    fn a_derived_chain_is_well_formed(events in events()) {
        let node = play(&events);
        let mut tip = Tip::of(&crate::testkit::genesis(&node.spec));
        let mut lane = tip.cut.lane;
        for step in &node.steps {
            prop_assert_eq!((step.claim.number, step.claim.parent), (tip.number + 1, tip.claim));
            prop_assert!(step.claim.time_ms > tip.time_ms && step.claim.term >= tip.term);
            prop_assert!(step.claim.cut.da.height >= tip.cut.da.height);
            prop_assert!(step.body.matches(&step.claim));
            lane = step.forced.iter().fold(lane, |lane, entry| lane.after(entry.hash()));
            prop_assert_eq!(step.claim.cut.lane, lane);
            tip = Tip::of(&step.claim);
        }
        for pair in node.cursors.windows(2) {
            prop_assert!(pair[0].floor_ms <= pair[1].floor_ms);
            prop_assert!(pair[1].floor_ms <= pair[1].time_ms - WINDOW);
            // After a DA block the safe head is never below the floor.
            prop_assert!(pair[1].safe.time_ms >= pair[1].floor_ms);
        }
    }

    /// The same blocks posted in other DA blocks: wherever a claim appears, its inputs are the
    /// same.
    #[test]
    fn equal_claim_hash_implies_equal_inputs(
        forced in prop::collection::vec(0..200u8, 0..10),
        count in 1..12u64,
        first in 0..6usize,
        second in 0..6usize,
    ) {
        let mut trunk = node();
        trunk.da(T0 + 100, vec![], forced.iter().map(|byte| self::forced(*byte)).collect());
        trunk.idle_until(T0 + 1_500);
        let blocks = backlog(&trunk, count);
        let now = blocks.last().unwrap().claim.time_ms;
        let mut inputs = Vec::new();
        for delay in [first, second] {
            let mut node = trunk.clone();
            node.idle_until(now + delay as u64 * INTERVAL);
            let late = node.cursor().time_ms + INTERVAL;
            let split = blocks.len().min(delay + 1);
            node.da(late, vec![node.span(&blocks[..split])], vec![self::forced(250)]);
            if split < blocks.len() {
                node.da(late + INTERVAL, vec![node.span(&blocks[split..])], vec![]);
            }
            let own: Vec<_> =
                node.steps.iter().map(|step| (step.hash, step.body.clone(), step.forced.clone())).collect();
            inputs.push(own);
        }
        prop_assert_eq!(inputs[0].len(), blocks.len());
        prop_assert_eq!(&inputs[0], &inputs[1]);
    }
}
