//! Random spans, random bytes: what goes in comes out, and the rest is dropped.

use proptest::prelude::*;

use super::fixtures::*;

fn any_bytes(most: usize) -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..most).prop_map(Into::into)
}

prop_compose! {
    fn any_inbound()(
        items in proptest::collection::vec((any::<bool>(), any::<u16>()), 0..8),
        lanes in proptest::collection::vec((any::<u32>(), 0..4u8), 0..3),
        root: [u8; 32],
        count: u32,
    ) -> Inbound {
        let items = items.into_iter().map(|(message, index)| match message {
            true => LaneItem::Message(self::message(index.into())),
            false => receipt(index.into()),
        });
        let lanes = lanes.into_iter().map(|(domain, flows)| lane(domain, flows)).collect();
        Inbound { root: root.into(), count, lanes, items: items.collect() }
    }
}

prop_compose! {
    fn any_body()(
        kinds in proptest::collection::vec((0..14usize, any::<u64>()), 0..6),
        opaque in any_bytes(60),
        inbound in proptest::collection::vec(any_inbound(), 0..4),
    ) -> BlockBody {
        let known = assorted();
        let mut candidates: Vec<_> = kinds.into_iter().map(|(kind, seed)| match kind {
            0..12 => known[kind].clone(),
            _ => transfer(&mut Noise(seed >> 1), seed),
        }).collect();
        candidates.push(opaque);
        BlockBody { candidates, inbound }
    }
}

prop_compose! {
    fn any_span()(
        bodies in proptest::collection::vec(any_body(), 1..5),
        steps in proptest::collection::vec(any::<(u8, u32)>(), 5),
        view: u64,
        proof in any_bytes(200),
    ) -> Span {
        let mut span = chain(bodies, |index, claim| {
            let (flags, step) = steps[index];
            let hash = keccak256(step.to_be_bytes());
            if flags & 1 != 0 { claim.origin = Some(Origin { number: u64::from(step), hash }); }
            if flags & 2 != 0 { claim.cut.da = DaRef { height: claim.cut.da.height + u64::from(step), hash }; }
            if flags & 4 != 0 { claim.cut.lane = claim.cut.lane.after(hash); }
            if flags & 8 != 0 { claim.anchors = vec![anchor(step)]; }
            if flags & 16 != 0 { claim.takeover = Some(takeover(1 + step as usize % 2)); }
            if flags & 32 != 0 { claim.term += u64::from(step); }
            claim.time_ms += u64::from(step);
        });
        span.seal = Seal { view, proof };
        span
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_span_comes_back(span in any_span(), opaque: bool, most in 150..5000usize) {
        let vm = if opaque { "other" } else { "evm" };
        let blobs = encode(&span, vm, &key(), &EncodeOptions::default(), most).unwrap();
        prop_assert_eq!(read(blobs), (vec![posted(&span)], Dropped::default()));
    }

    #[test]
    fn random_blobs_are_dropped(noise in any_bytes(300), prefix in 0..=ENVELOPE_BYTES) {
        let good = write(&rich(), &EncodeOptions::default(), BLOB)[0].clone();
        let blob = [&good[..prefix], &noise[..]].concat();
        prop_assert_eq!(read(vec![blob.into()]).1.total(), 1);
    }

    #[test]
    fn flipped_and_cut_blobs_are_dropped(at: prop::sample::Index, bit in 0..8u8, cut: bool) {
        let mut blobs = write(&rich(), &EncodeOptions::default(), 700);
        let which = at.index(blobs.len());
        let mut blob = blobs[which].to_vec();
        let place = at.index(blob.len());
        if cut { blob.truncate(place) } else { blob[place] ^= 1 << bit }
        blobs[which] = blob.into();
        let (spans, dropped) = read(blobs.clone());
        prop_assert!(spans.is_empty());
        prop_assert_eq!(dropped.total(), blobs.len() as u64);
    }

    #[test]
    fn signed_garbage_never_panics(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        insert: bool,
    ) {
        let mut bytes = content(&rich(), span::Format::Ethereum);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        }
        // Whatever still parses is canonical.
        if let Ok(span) = span::parse(&bytes, IDENTITY) {
            prop_assert_eq!(content_of(&span, span::Format::Ethereum), bytes);
        }
    }

    #[test]
    fn signed_noise_never_panics(bytes in any_bytes(400)) {
        let head = content(&rich(), span::Format::Ethereum);
        let bytes = [&head[..head.len().min(170)], &bytes[..]].concat();
        prop_assert!(span::parse(&bytes, IDENTITY).is_err());
        let payload = [&[bytes[0] % 3], &bytes[..]].concat();
        let blobs = envelope::seal(&payload, IDENTITY, &key(), BLOB).unwrap();
        prop_assert_eq!(read(blobs).1.malformed, 1);
    }
}
