//! The log: torn, damaged, failing, truncated.

use std::path::PathBuf;
use std::sync::Barrier;

use alloy_primitives::{Address, B256, Bytes, hex};
use causeway_chainspec::{BlockBody, Claim, ForcedCut, ForcedEntry, Seal, SealTuple};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn vote(n: u64) -> Entry {
    Entry::Vote(Bytes::from(n.to_be_bytes().to_vec()))
}

fn read(log: &Log, from: u64) -> Vec<Record> {
    let mut records = Vec::new();
    log.replay(from, &mut |record| {
        records.push(record);
        Ok(())
    })
    .unwrap();
    records
}

fn entries(log: &Log) -> Vec<Entry> {
    read(log, 0).into_iter().map(|record| record.entry).collect()
}

/// A log of `count` votes, each synced by itself, in segments of about three.
fn filled(count: u64) -> TempDir {
    let dir = TempDir::new().unwrap();
    let log = Log::open_with(dir.path(), 100).unwrap();
    for n in 0..count {
        let end = log.append(&[vote(n)]).unwrap();
        log.sync(end).unwrap();
    }
    dir
}

fn segments(dir: &TempDir) -> Vec<PathBuf> {
    let folder = Folder::from(dir.path());
    let starts = segment::list(&folder).unwrap();
    starts.into_iter().map(|start| segment::path(&folder, start)).collect()
}

fn claim() -> Claim {
    Claim {
        identity: B256::repeat_byte(1),
        number: 7,
        term: 2,
        parent: B256::repeat_byte(3),
        time_ms: 1_700_000_000_123,
        origin: None,
        cut: ForcedCut::default(),
        anchors: vec![],
        inbound_root: B256::repeat_byte(4),
        candidates_root: B256::repeat_byte(5),
        takeover: None,
    }
}

/// One entry of each kind, with the bytes it must have for ever.
fn golden() -> Vec<(Entry, String)> {
    let (byte32, address) = (|n| B256::repeat_byte(n), Address::repeat_byte(0xaa));
    let raw = Bytes::from_static(&[0x02, 0xff]);
    let tuple = SealTuple { identity: byte32(1), term: 2, view: 0, number: 7, claim: byte32(3) };
    let seal = Seal { view: 0, proof: Bytes::from_static(&[9, 9]) };
    let body = BlockBody { inbound: vec![], candidates: vec![raw.clone()] };
    let block = BlockEntry {
        claim: claim(),
        body,
        forced: Vec::<ForcedEntry>::new(),
        seal: vec![seal],
        hash: byte32(6),
        senders: vec![address],
        signed: vec![tuple],
    };
    let derived =
        DerivedEntry { height: 300, record: Bytes::from_static(b"r"), safe: 4, finalized: 2 };
    let (w1, w3, w6, a) = ("01".repeat(32), "03".repeat(32), "06".repeat(32), "aa".repeat(20));
    let claim = hex::encode(alloy_rlp::encode(self::claim()));
    let signed = format!("f847f845a0{w1}028007a0{w3}");
    let block_fields = format!("{claim}c5c0c38202ffc0c5c480820909a0{w6}d594{a}{signed}");
    let block_head = format!("f9{:04x}", block_fields.len() / 2);
    vec![
        (
            Entry::Accepted(Accepted { raw: raw.clone(), sender: address }),
            format!("0101d88202ff94{a}"),
        ),
        (Entry::Signed(tuple), format!("0102f845a0{w1}028007a0{w3}")),
        (Entry::Vote(Bytes::from_static(b"vote")), "010384766f7465".into()),
        (Entry::Block(Box::new(block)), format!("0104{block_head}{block_fields}")),
        (Entry::Unwind(UnwindEntry { to: 5, claim: byte32(3) }), format!("0105e205a0{w3}")),
        (Entry::Derived(derived), "0106c682012c720402".into()),
        (Entry::Underive(UnderiveEntry { height: 300, safe: 4 }), "0107c482012c04".into()),
        (Entry::Publish(raw), "01088202ff".into()),
    ]
}

#[test]
fn entries_have_their_golden_bytes() {
    for (entry, bytes) in golden() {
        assert_eq!(hex::encode(entry.encode()), bytes, "{entry:?}");
        assert_eq!(Entry::decode(&entry.encode()).unwrap(), (None, entry.clone()));
        assert_eq!(Entry::decode(&entry.encode_copy(77)).unwrap(), (Some(77), entry));
    }
}

#[test]
fn a_frame_has_its_golden_bytes() {
    const HEAD: &str = "ff435741594c4f4700000003";
    let dir = TempDir::new().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let end = log.append(&[Entry::Vote(Bytes::from_static(b"v"))]).unwrap();
    log.sync(end).unwrap();
    log.append(&[Entry::Vote(Bytes::from_static(b"w"))]).unwrap();
    let file = hex::encode(std::fs::read(&segments(&dir)[0]).unwrap());
    let header = ["43574159 4c4f4702", "0000000000000000", "0000000000000000", "00000000"];
    assert!(file.starts_with(&header.concat().replace(' ', "")), "{file}");
    let frames = &file[64..];
    // Marker, length, crc, sequence, crc before, durable before, payload.
    let first_crc = &frames[24..32];
    assert_eq!(&frames[..24], HEAD);
    assert_eq!(&frames[32..78], format!("{}{}", "0".repeat(16 + 8 + 16), "010376"));
    let second = &frames[78..];
    assert_eq!(&second[..24], HEAD);
    let durable = format!("{end:016x}");
    assert_eq!(&second[32..], format!("0000000000000001{first_crc}{durable}010377"));
}

#[test]
fn what_was_appended_is_read_again_across_segments_and_restarts() {
    let dir = filled(10);
    assert!(segments(&dir).len() > 2);
    let log = Log::open_with(dir.path(), 100).unwrap();
    log.append(&[vote(10), vote(11)]).unwrap();
    assert_eq!(entries(&log), (0..12).map(vote).collect::<Vec<_>>());
    let records = read(&log, 0);
    let tail = read(&log, records[6].offset);
    assert_eq!(tail, records[6..]);
    assert!(records.windows(2).all(|pair| pair[0].end == pair[1].offset));
    drop(log);
    assert_eq!(entries(&Log::open(dir.path()).unwrap()).len(), 12);
}

#[test]
fn any_cut_of_the_tail_leaves_a_prefix_and_the_log_goes_on() {
    let template = filled(5);
    let last = segments(&template).pop().unwrap();
    let before = segments(&template).len() - 1;
    let bytes = std::fs::read(&last).unwrap();
    let whole = entries(&Log::open(template.path()).unwrap());
    for cut in 0..bytes.len() {
        let dir = TempDir::new().unwrap();
        for path in &segments(&template)[..before] {
            std::fs::copy(path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
        std::fs::write(dir.path().join(last.file_name().unwrap()), &bytes[..cut]).unwrap();
        let log = Log::open_with(dir.path(), 100).unwrap();
        let kept = entries(&log);
        assert!(whole.starts_with(&kept), "cut at {cut}");
        log.append(&[vote(99)]).unwrap();
        drop(log);
        let again = entries(&Log::open_with(dir.path(), 100).unwrap());
        assert_eq!(again, [kept, vec![vote(99)]].concat(), "cut at {cut}");
    }
}

#[test]
fn a_hole_in_what_was_durable_is_damage_in_any_segment() {
    let template = filled(6);
    for (index, path) in segments(&template).iter().enumerate() {
        let bytes = std::fs::read(path).unwrap();
        let last = index + 1 == segments(&template).len();
        // Every byte of the segment's first frame (a later one was written after its sync).
        for at in 0..SEGMENT_HEADER as usize + segment::FRAME_HEADER + 10 {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            std::fs::write(path, &bad).unwrap();
            let result = Log::open_with(template.path(), 100);
            assert!(matches!(result, Err(ExecutionError::Damaged(_))), "segment {index} byte {at}");
        }
        std::fs::write(path, &bytes).unwrap();
        if !last {
            std::fs::rename(path, template.path().join("away")).unwrap();
            let result = Log::open_with(template.path(), 100);
            assert_eq!(result.is_err(), index > 0, "a missing segment {index}");
            std::fs::rename(template.path().join("away"), path).unwrap();
        }
    }
}

#[test]
fn pages_of_one_unsynced_group_may_be_lost_in_any_order() {
    let dir = TempDir::new().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let end = log.append(&[vote(0)]).unwrap();
    log.sync(end).unwrap();
    log.append(&[vote(1), vote(2), vote(3)]).unwrap();
    drop(log);
    let path = &segments(&dir)[0];
    let mut bytes = std::fs::read(path).unwrap();
    let second = SEGMENT_HEADER as usize + end as usize;
    bytes[second..second + 10].fill(0);
    std::fs::write(path, bytes).unwrap();
    assert_eq!(entries(&Log::open(dir.path()).unwrap()), vec![vote(0)]);
}

#[test]
fn a_payload_that_looks_like_frames_is_kept_and_is_no_damage_when_it_tears() {
    let dir = TempDir::new().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let mut forged = Vec::new();
    for seq in 0..9 {
        let mut at = Cursor { offset: 0, seq, prev: 0 };
        encode_frame(&mut at, u64::MAX, &[1, 3, 0x80], &mut forged);
    }
    // Also cut short, escaped already, and at the very end.
    forged.extend_from_slice(b"\xffCWAYLO\xffCWAYLO\0\xffCWAYLOGG\xffCWAYLO");
    let whole = [vote(0), Entry::Vote(forged.into()), vote(2)];
    log.append(&whole).unwrap();
    drop(log);
    assert_eq!(entries(&Log::open(dir.path()).unwrap()), whole);
    let path = &segments(&dir)[0];
    let bytes = std::fs::read(path).unwrap();
    let second = bytes.len() - 2 * (segment::FRAME_HEADER + 11);
    std::fs::write(path, &bytes[..second]).unwrap();
    assert_eq!(entries(&Log::open(dir.path()).unwrap()), whole[..1]);
}

#[test]
fn a_failed_sync_is_for_ever() {
    let dir = TempDir::new().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let end = log.append(&[vote(0)]).unwrap();
    log.state.lock().fail_next_sync = true;
    assert!(matches!(log.sync(end), Err(ExecutionError::Storage(_))));
    // The disk would answer now, but what it holds is unknown.
    assert!(matches!(log.sync(end), Err(ExecutionError::Storage(_))));
    assert!(matches!(log.sync(0), Err(ExecutionError::Storage(_))));
    assert!(matches!(log.append(&[vote(1)]), Err(ExecutionError::Storage(_))));
}

#[test]
fn many_threads_append_and_sync_without_losing_an_entry() {
    let dir = TempDir::new().unwrap();
    let log = Log::open_with(dir.path(), 2_000).unwrap();
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (log, start) = (&log, &start);
            scope.spawn(move || {
                start.wait();
                for n in 0..25 {
                    let end = log.append(&[vote(thread * 100 + n)]).unwrap();
                    log.sync(end).unwrap();
                    assert!(log.state.lock().durable >= end);
                }
            });
        }
    });
    drop(log);
    let found = entries(&Log::open(dir.path()).unwrap());
    assert_eq!(found.len(), 200);
    for thread in 0..8 {
        let own = |entry: &&Entry| (0..25).any(|n| **entry == vote(thread * 100 + n));
        let order: Vec<_> = found.iter().filter(own).cloned().collect();
        assert_eq!(order, (0..25).map(|n| vote(thread * 100 + n)).collect::<Vec<_>>());
    }
}

#[test]
fn truncation_carries_forward_what_is_chosen() {
    let dir = filled(10);
    let log = Log::open_with(dir.path(), 100).unwrap();
    let all = read(&log, 0);
    let below = all[7].offset;
    log.truncate(below, &mut |records| {
        Ok(records.into_iter().filter(|record| record.entry == vote(1)).collect())
    })
    .unwrap();
    assert!(log.start() > 0 && log.start() <= below);
    drop(log);
    let log = Log::open_with(dir.path(), 100).unwrap();
    let records = read(&log, 0);
    let copy = records.last().unwrap();
    assert_eq!((copy.first, &copy.entry), (all[1].offset, &vote(1)));
    assert!(copy.offset >= all[9].end);
    // Carried again, it still tells where it stood first.
    log.append(&(0..6).map(vote).collect::<Vec<_>>()).unwrap();
    log.append(&[vote(6)]).unwrap();
    log.truncate(log.end(), &mut Ok).unwrap();
    assert!(read(&log, 0).iter().any(|record| record.first == all[1].offset));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn decoding_strange_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Entry::decode(&bytes);
        if let Ok((None, entry)) = Entry::decode(&bytes) {
            prop_assert_eq!(entry.encode(), bytes);
        }
    }
}
