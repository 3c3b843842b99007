//! The codec, fed with what is ours and with what is not.

mod fixtures;
mod random;

use fixtures::*;

pub(in crate::codec) use fixtures::assorted;

#[test]
fn a_span_with_everything_comes_back_in_every_compression_and_blob_size() {
    let span = rich();
    for (compression, level) in
        [(Compression::None, 0), (Compression::Zstd, 3), (Compression::Brotli, 5)]
    {
        let options = EncodeOptions { compression, level };
        for (vm, most) in
            [("evm", BLOB), ("evm", 300), ("other", PART_ENVELOPE_BYTES + 1), ("other", BLOB)]
        {
            let blobs = encode(&span, vm, &key(), &options, most).unwrap();
            assert!(blobs.iter().all(|blob| blob.len() <= most));
            assert_eq!(blobs, encode(&span, vm, &key(), &options, most).unwrap());
            assert_eq!(read(blobs), (vec![posted(&span)], Dropped::default()));
        }
    }
}

#[test]
fn ten_thousand_transfers_to_fresh_recipients_are_small() {
    let noise = &mut Noise(0);
    let bodies = (0..40u64).map(|block| BlockBody {
        inbound: vec![],
        candidates: (0..250).map(|tx| transfer(noise, (block * 250 + tx) / 200)).collect(),
    });
    let span = chain(bodies.collect(), |_, _| {});
    let blobs = write(&span, &EncodeOptions::default(), BLOB);
    let total: usize = blobs.iter().map(|blob| blob.len()).sum();
    assert!(total <= 925_000, "{total} bytes for 10,000 transfers");
    assert_eq!(read(blobs).0, vec![posted(&span)]);
}

#[test]
fn fixed_costs_are_small() {
    let plain = EncodeOptions { compression: Compression::None, level: 0 };
    let empty = |count| chain(vec![BlockBody::default(); count], |_, _| {});
    let size = |count| write(&empty(count), &plain, BLOB)[0].len();
    // Of these, 128 are two signatures.
    assert!(size(1) <= 165, "{}", size(1));
    // A sequencer reads a new DA block for each of its spans: one more hash.
    let cut = chain(vec![BlockBody::default()], |_, claim| {
        claim.cut.da = DaRef { height: claim.cut.da.height + 1, hash: B256::repeat_byte(1) };
    });
    let cut = write(&cut, &plain, BLOB)[0].len();
    assert!(cut <= 200, "{cut}");
    let per_block = (size(1001) - size(1)).div_ceil(1000);
    assert!(per_block <= 6, "{per_block}");
    assert!(write(&empty(1001), &EncodeOptions::default(), BLOB)[0].len() < size(1) + 40);
}

#[test]
fn claims_come_out_of_the_block_below() {
    let span = rich();
    let read = read(write(&span, &EncodeOptions::default(), BLOB)).0.remove(0);
    let claims: Vec<_> = span.blocks.iter().map(|block| block.claim.clone()).collect();
    let found = read.claims(&span.parent).unwrap();
    assert!(found.iter().all(|(hash, claim)| *hash == claim.hash()));
    assert_eq!(found.into_iter().map(|(_, claim)| claim).collect::<Vec<_>>(), claims);
    // Another block of that number, another number, a time that runs over.
    let below = |change: &dyn Fn(&mut Tip)| {
        let mut tip = span.parent.clone();
        change(&mut tip);
        read.claims(&tip)
    };
    assert_eq!(below(&|tip| tip.claim = B256::repeat_byte(1)), None);
    assert_eq!(below(&|tip| tip.number += 1), None);
    assert_eq!(below(&|tip| tip.time_ms = u64::MAX), None);
    assert_eq!(below(&|tip| tip.cut.da.height = u64::MAX), None);
    // One whose tag is the same gives claims with other hashes: the seal is not over these.
    let others = below(&|tip| tip.claim[31] ^= 1).unwrap();
    assert!(others.iter().zip(&claims).all(|((hash, _), claim)| *hash != claim.hash()));
}

#[test]
fn order_of_blobs_does_not_matter_and_repeats_count_once() {
    let span = rich();
    let mut blobs = write(&span, &EncodeOptions::default(), 400);
    assert!(blobs.len() > 3);
    let all = blobs.len() as u64;
    blobs.reverse();
    assert_eq!(read(blobs.clone()), (vec![posted(&span)], Dropped::default()));
    let thrice = [&blobs[..], &blobs[..], &blobs[..]].concat();
    let repeats = Dropped { duplicate: 2 * all, ..Default::default() };
    assert_eq!(read(thrice), (vec![posted(&span)], repeats));
    let other_cut = write(&span, &EncodeOptions::default(), 500);
    let again = Dropped { duplicate: other_cut.len() as u64, ..Default::default() };
    assert_eq!(read([&blobs[..], &other_cut].concat()), (vec![posted(&span)], again));
    let lost = blobs.remove(1);
    let missing = Dropped { incomplete: all - 1, ..Default::default() };
    assert_eq!(read(blobs), (vec![], missing));
    assert_eq!(read(vec![lost]), (vec![], Dropped { incomplete: 1, ..Default::default() }));
}

#[test]
fn spans_stand_in_the_order_of_their_first_blobs() {
    let one = rich();
    let two = chain(vec![BlockBody::default()], |_, _| {});
    let (a, b) =
        (write(&one, &EncodeOptions::default(), 700), write(&two, &Default::default(), 200));
    let mixed = vec![b[0].clone(), a.concat().into(), a[0].clone()];
    let mixed = [mixed, a[1..].to_vec(), b[1..].to_vec()].concat();
    let (spans, dropped) = read(mixed);
    assert_eq!(spans, vec![posted(&two), posted(&one)]);
    assert_eq!((dropped.total(), dropped.unsigned), (1, 1));
}

#[test]
fn only_posters_of_this_chain_are_heard() {
    let span = rich();
    let other = PrivateKeySigner::from_bytes(&B256::with_last_byte(8)).unwrap();
    let unsigned = encode(&span, "evm", &other, &EncodeOptions::default(), BLOB).unwrap();
    assert_eq!(read(unsigned), (vec![], Dropped { unsigned: 1, ..Default::default() }));

    let good = write(&span, &EncodeOptions::default(), BLOB)[0].clone();
    let change = |at: usize, byte: u8| {
        let mut blob = good.to_vec();
        blob[at] = byte;
        read(vec![blob.into()]).1
    };
    assert_eq!(change(0, 0).foreign, 1);
    assert_eq!(change(3, 0).foreign, 1);
    assert_eq!(change(2, 2).version, 1);
    assert_eq!(change(20, 0).unsigned, 1, "another signature");
    assert_eq!(change(71, 2).malformed, 1, "neither alone nor a part");
    let part = write(&span, &EncodeOptions::default(), 500)[0].clone();
    let change_part = |at: usize, byte: u8| {
        let mut blob = part.to_vec();
        blob[at] = byte;
        read(vec![blob.into()]).1
    };
    assert_eq!(change_part(72, 1).malformed, 1, "an index above the count");
    assert_eq!(change_part(80, 0).unsigned, 1, "another span id");

    // The prefix is the same, the identity is not: the signature covers all of it.
    let mut identity = IDENTITY;
    identity[31] ^= 1;
    let payload = [0u8, 1, 2];
    let blobs = envelope::seal(&payload, identity, &key(), BLOB).unwrap();
    assert_eq!(read(blobs).1.unsigned, 1);
}

#[test]
fn what_another_encoder_would_write_differently_is_refused() {
    let span = chain(vec![BlockBody { candidates: assorted(), inbound: vec![] }], |_, _| {});
    let good = content(&span, span::Format::Ethereum);
    assert_eq!(read(signed(&good)).0, vec![posted(&span)]);
    // Transactions that belong in columns, written as they are.
    let mut opaque = content(&span, span::Format::Opaque);
    opaque[0] = span::Format::Ethereum as u8;
    let longer = [&good[..], &[0]].concat();
    for bad in [opaque, longer, good[..good.len() - 1].to_vec(), vec![], vec![2; 50]] {
        let malformed = Dropped { malformed: 1, ..Default::default() };
        assert_eq!(read(signed(&bad)), (vec![], malformed));
    }
}

#[test]
fn calls_come_back_and_repeat_cheaply() {
    let noise = &mut Noise(3);
    let address = |byte| [&[0; 12][..], &[byte; 20]].concat();
    let mut words: Vec<Vec<u8>> = vec![vec![0; 32], vec![0xff; 32], address(9), address(0)];
    words.extend((0..32).map(|at| [vec![0; at], vec![7; 32 - at]].concat()));
    words.push(U256::from(123_000_000_000_000_000_000_u128).to_be_bytes_vec());
    let input = [vec![1, 2, 3, 4], words.concat()].concat();
    let mut call = |input: &[u8], to: Address| {
        let (to, input) = (TxKind::Call(to), input.to_vec().into());
        let tx =
            TxEip1559 { chain_id: 5, to, input, value: U256::from(7_000), ..Default::default() };
        raw(tx.into_signed(noise.signature()))
    };
    let cuts = [0, 3, 4, 5, 35, 36, 37, input.len()];
    let mut candidates: Vec<_> =
        cuts.iter().map(|cut| call(&input[..*cut], Address::repeat_byte(9))).collect();
    // A recipient that begins with a zero is none in a word.
    let zero = Address::left_padding_from(&[5; 19]);
    candidates.push(call(&[&[0; 16][..], zero.as_slice()].concat(), zero));
    let span = chain(vec![BlockBody { candidates, inbound: vec![] }], |_, _| {});
    let plain = EncodeOptions { compression: Compression::None, level: 0 };
    for options in [plain, EncodeOptions::default()] {
        assert_eq!(read(write(&span, &options, BLOB)).0, vec![posted(&span)]);
    }
    // Tokens to somebody known: a signature, a few bytes of amount, and little else.
    let transfer = [vec![1, 2, 3, 4], address(9), words[36].clone()].concat();
    let size = |calls: &[Bytes]| {
        let body = BlockBody { candidates: calls.to_vec(), inbound: vec![] };
        write(&chain(vec![body], |_, _| {}), &EncodeOptions::default(), BLOB)[0].len()
    };
    let calls: Vec<_> = (0..1001).map(|_| call(&transfer, Address::repeat_byte(8))).collect();
    let each = (size(&calls) - size(&calls[..1])).div_ceil(1000);
    assert!(each <= 66, "{each} bytes for a call");
}

#[test]
fn signatures_out_of_the_common_range_come_back() {
    let tx = TxEip1559 { chain_id: 5, nonce: 1, ..Default::default() };
    let top = U256::from(1) << 255;
    let mut candidates = Vec::new();
    for (r, s) in [(U256::MAX, top), (U256::from(1), top - U256::from(1)), (top, U256::MAX)] {
        for parity in [false, true] {
            candidates.push(raw(tx.clone().into_signed(Signature::new(r, s, parity))));
        }
    }
    let span = chain(vec![BlockBody { candidates, inbound: vec![] }], |_, _| {});
    assert_eq!(read(write(&span, &EncodeOptions::default(), BLOB)).0, vec![posted(&span)]);
}

#[test]
fn columns_that_say_too_much_are_refused() {
    // One call of nothing but zero words, a byte each, as often as fits.
    let words = columns::MAX_BYTES / 32;
    let length = 4 + 32 * words;
    let of = |body: Vec<u8>| vec![BlockBody { candidates: vec![body.into()], inbound: vec![] }];
    let tx = TxEip1559 { chain_id: 5, input: vec![0; length].into(), ..Default::default() };
    let big = raw(tx.into_signed(Signature::new(U256::from(1), U256::from(1), false)));
    let span = chain(of(big.to_vec()), |_, _| {});
    let error = encode(&span, "evm", &key(), &EncodeOptions::default(), BLOB).unwrap_err();
    assert!(error.to_string().contains("transaction bytes"), "{error}");
    let mut numbers = Vec::new();
    wire::put(&mut numbers, length as u64);
    let symbols = vec![0; words];
    let none = Vec::new();
    // Kind, nonce, gas limit, fee, tip, recipient, length, list, value, words, selector, signature.
    let filled = [
        (0, vec![2 | 1 << 3]),
        (2, vec![0]),
        (3, vec![0]),
        (4, vec![0]),
        (5, vec![0]),
        (7, numbers),
        (8, vec![0xc0]),
        (11, vec![0]),
        (12, symbols),
        (14, vec![0; 4]),
        (17, vec![1; 64]),
    ];
    let all: Vec<_> = (0..columns::COUNT)
        .map(|at| filled.iter().find(|(column, _)| *column == at).map_or(&none, |(_, bytes)| bytes))
        .map(|bytes| wire::Reader::new(bytes))
        .collect();
    let mut reader = columns::TxReader::new(all.try_into().unwrap(), true);
    let mut out = Vec::new();
    assert_eq!(reader.next(&mut out), Err(wire::Malformed("too many bytes")));
    assert!(out.is_empty());
}

#[test]
fn signed_bombs_are_oversize_and_the_next_span_is_read() {
    let bomb = vec![0; MAX_CONTENT_BYTES + 1];
    let payload = [&[1, 0], &zstd::bulk::compress(&bomb, 3).unwrap()[..]].concat();
    let mut blobs = envelope::seal(&payload, IDENTITY, &key(), BLOB).unwrap();
    blobs.extend(write(&rich(), &EncodeOptions::default(), BLOB));
    assert_eq!(read(blobs), (vec![posted(&rich())], Dropped { oversize: 1, ..Default::default() }));
}

#[test]
fn encode_refuses_what_decode_would_refuse() {
    let refuse =
        |span: &Span| encode(span, "evm", &key(), &EncodeOptions::default(), BLOB).unwrap_err();
    let blocks = || vec![BlockBody::default(); 3];
    assert_eq!(refuse(&chain(vec![], |_, _| {})), CodecError::Empty);
    type Edit = fn(&mut Claim);
    let edits: [(Edit, &str); 7] = [
        (|claim| claim.identity = B256::ZERO, "another chain"),
        (|claim| claim.parent = B256::ZERO, "does not follow"),
        (|claim| claim.number += 1, "not the next"),
        (|claim| claim.time_ms -= 250, "no later time"),
        (|claim| claim.term -= 1, "lower term"),
        (|claim| claim.cut.da.height -= 1, "lower cut"),
        (|claim| claim.takeover = Some(takeover(MAX_TAKEOVER_DEPTH + 1)), "too large"),
    ];
    for (edit, text) in edits {
        let span = chain(blocks(), |index, claim| {
            if index == 2 {
                edit(claim);
            }
        });
        assert!(refuse(&span).to_string().contains(text), "{} has no {text:?}", refuse(&span));
    }
    let mut span = chain(blocks(), |_, _| {});
    span.blocks[2].body.candidates.push(Bytes::new());
    assert!(refuse(&span).to_string().contains("does not commit"));
    let no_room = encode(&rich(), "evm", &key(), &EncodeOptions::default(), PART_ENVELOPE_BYTES);
    assert!(matches!(no_room, Err(CodecError::BlobTooSmall { .. })));
    let huge = vec![BlockBody { candidates: vec![vec![0; 17 << 20].into()], inbound: vec![] }];
    assert!(matches!(refuse(&chain(huge, |_, _| {})), CodecError::TooLarge { .. }));
    let many =
        vec![BlockBody { candidates: vec![Bytes::new(); MAX_CANDIDATES + 1], inbound: vec![] }];
    assert!(matches!(refuse(&chain(many, |_, _| {})), CodecError::TooLarge { .. }));
}

#[test]
fn what_members_say_is_bounded_while_it_is_read() {
    let span_of = |inbound: Vec<Inbound>, anchors: Vec<Anchor>| {
        chain(vec![BlockBody { candidates: vec![], inbound }], |_, claim| {
            claim.anchors.clone_from(&anchors);
        })
    };
    let plain = inbound(0..0);
    let lanes =
        |count| Inbound { lanes: (0..count).map(|at| lane(at, 0)).collect(), ..inbound(0..0) };
    let flows = |count| Inbound { lanes: vec![lane(1, count)], ..inbound(0..0) };
    let items = |count| Inbound { items: (0..count).map(receipt).collect(), ..inbound(0..0) };
    let most = vec![lanes(64), flows(16), items(1024)];
    let most = [most, vec![plain.clone(); 61]].concat();
    let span = span_of(most, (0..64).map(anchor).collect());
    assert_eq!(read(write(&span, &EncodeOptions::default(), BLOB)).0, vec![posted(&span)]);
    for (what, span) in [
        ("anchors", span_of(vec![], (0..65).map(anchor).collect())),
        ("inbound parts", span_of(vec![plain; 65], vec![])),
        ("lanes", span_of(vec![lanes(65)], vec![])),
        ("assets", span_of(vec![flows(17)], vec![])),
        ("items", span_of(vec![items(1025)], vec![])),
    ] {
        let error = encode(&span, "evm", &key(), &EncodeOptions::default(), BLOB).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        // As somebody without these bounds would write it.
        let refused = span::parse(&unbounded(&span), IDENTITY).unwrap_err();
        assert!(refused.0 != "not the canonical encoding", "{what}: {}", refused.0);
    }
}

/// The content of a span of one block without candidates, up to its flags.
fn head() -> Vec<u8> {
    let bare = content(&chain(vec![BlockBody::default()], |_, _| {}), span::Format::Opaque);
    // Format, tags, view, proof, tag, number (3), one block.
    bare[..1 + 8 + 1 + 65 + 4 + 3 + 1].to_vec()
}

/// The rest of such a content, from its flags on.
fn tail(flags: u8, rare: &[u8], inbound: &[u8]) -> Vec<u8> {
    let mut out = vec![flags, 1, 0];
    let filled = [rare, inbound].into_iter().filter(|column| !column.is_empty());
    out.push(u8::from(!rare.is_empty()) | u8::from(!inbound.is_empty()) << 1);
    filled.clone().for_each(|column| wire::put(&mut out, column.len() as u64));
    filled.for_each(|column| out.extend_from_slice(column));
    out
}

/// The content of a span of one block that has nothing but anchors and inbound parts.
fn unbounded(span: &Span) -> Vec<u8> {
    let counted = |bytes: &[u8]| {
        let mut out = Vec::new();
        wire::put(&mut out, bytes.len() as u64);
        [&out[..], bytes].concat()
    };
    let SpanBlock { claim, body } = &span.blocks[0];
    let (mut flags, mut rare, mut inbound) = (0, Vec::new(), Vec::new());
    if !claim.anchors.is_empty() {
        flags |= 1 << 3;
        rare = counted(&alloy_rlp::encode(&claim.anchors));
    }
    if !body.inbound.is_empty() {
        flags |= 1 << 6;
        wire::put(&mut inbound, body.inbound.len() as u64);
        body.inbound.iter().for_each(|part| inbound.extend(counted(&alloy_rlp::encode(part))));
    }
    [head(), tail(flags, &rare, &inbound)].concat()
}

#[test]
fn a_takeover_nested_as_deep_as_bytes_allow_costs_nothing() {
    let span = chain(vec![BlockBody::default(); 2], |index, claim| {
        if index == 1 {
            claim.takeover = Some(takeover(2));
        }
    });
    let good = content(&span, span::Format::Ethereum);
    assert_eq!(span::parse(&good, IDENTITY), Ok(posted(&span)));
    // Nest by hand, since encoding so deep a claim takes for ever: replace the empty option at the
    // end of the claim (0xc0) by a takeover with the same claim.
    let claim = alloy_rlp::encode(first_claim());
    let fields =
        &claim[claim.len() - alloy_rlp::Header::decode(&mut &claim[..]).unwrap().payload_length..];
    let list = |payload: &[u8]| {
        let mut out = Vec::new();
        alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut out);
        [out, payload.to_vec()].concat()
    };
    let reference = alloy_rlp::encode(DaRef::default());
    let mut nested = claim.clone();
    for _ in 0..60 {
        let takeover = list(&[&reference[..], &nested, &[1]].concat());
        nested = list(&[&fields[..fields.len() - 1], &list(&takeover)].concat());
    }
    let takeover = list(&[&reference[..], &nested, &[1]].concat());
    assert!(takeover.len() < 2 * MAX_TAKEOVER_BYTES);
    let mut rare = Vec::new();
    wire::put(&mut rare, takeover.len() as u64);
    rare.extend_from_slice(&takeover);
    let bytes = [head(), tail(1 << 4, &rare, &[])].concat();
    let error = span::parse(&bytes, IDENTITY).unwrap_err();
    assert!(error.0.starts_with("takeover too"), "{}", error.0);
}

#[test]
fn the_builder_is_never_below_the_truth() {
    let plain = EncodeOptions { compression: Compression::None, level: 0 };
    for span in
        [rich(), chain(vec![BlockBody { candidates: assorted(), inbound: vec![] }; 9], |_, _| {})]
    {
        let whole = posted(&span);
        for most in [200, 1000, BLOB] {
            let mut builder = SpanBuilder::new("evm", 65, most);
            let bound =
                whole.blocks.iter().map(|block| builder.push(block).unwrap()).max().unwrap();
            for options in [plain, EncodeOptions::default()] {
                let total: usize = write(&span, &options, most).iter().map(|blob| blob.len()).sum();
                assert!(total <= bound, "{total} > {bound}");
            }
            let truth: usize = write(&span, &plain, most).iter().map(|blob| blob.len()).sum();
            assert!(
                bound
                    < truth
                        + 300
                        + truth.div_ceil(most - PART_ENVELOPE_BYTES) * PART_ENVELOPE_BYTES
            );
        }
    }
}

/// Frozen: a released encoding never changes. If this fails on purpose, the version must change.
/// `CAUSEWAY_BLESS=1` writes the file instead.
#[test]
fn golden_vectors_hold() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/codec.json");
    let plain = EncodeOptions { compression: Compression::None, level: 0 };
    let minimal = chain(vec![BlockBody::default()], |_, _| {});
    let cases = [
        ("minimal", minimal, "evm", BLOB),
        ("rich", rich(), "evm", 2000),
        ("opaque", rich(), "other", BLOB),
    ];
    if std::env::var_os("CAUSEWAY_BLESS").is_some_and(|value| value == "1") {
        let forms = [
            ("blobs", plain),
            ("zstd", EncodeOptions::default()),
            ("brotli", EncodeOptions { compression: Compression::Brotli, level: 5 }),
        ];
        let mut vectors = serde_json::json!({});
        for (name, span, vm, most) in &cases {
            for (form, options) in &forms {
                let blobs = encode(span, vm, &key(), options, *most).unwrap();
                vectors[name][form] = serde_json::to_value(blobs).unwrap();
            }
        }
        std::fs::write(path, format!("{vectors:#}\n")).unwrap();
        return;
    }
    let vectors: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (name, span, vm, most) in cases {
        let case = &vectors[name];
        let blobs = encode(&span, vm, &key(), &plain, most).unwrap();
        assert_eq!(serde_json::to_value(&blobs).unwrap(), case["blobs"], "{name}: encode");
        // Compressors may improve; what they wrote once must stay readable.
        for form in ["blobs", "zstd", "brotli"] {
            let blobs = serde_json::from_value(case[form].clone()).unwrap();
            assert_eq!(read(blobs).0, vec![posted(&span)], "{name}: decode {form}");
        }
    }
}
