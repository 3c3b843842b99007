//! Power cuts and failing disks under the store alone; under the whole pipeline: `tests/it/crash`.

use super::*;
use crate::disk::Fault;

type Rows = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

fn open(disk: &Faulty) -> Result<Store, ExecutionError> {
    Store::open(disk.folder("store"), config())
}

/// A store with some blocks, the batches that follow, and its rows before and after each.
fn workload() -> (Faulty, Vec<Batch>, Vec<Rows>) {
    let disk = Faulty::new(0);
    let mut chain = Chain::default();
    chain.grow(&open(&disk).unwrap(), 6, 3, 50);
    let start = disk.copy(0);
    let store = open(&disk).unwrap();
    let mut rows = vec![dump(&store)];
    let mut batches = Vec::new();
    for round in 0..8u64 {
        // Every third batch leaves the last two blocks for others.
        let latest = chain.blocks.len() as u64 - 1;
        let unwind_to = (round % 3 == 2).then(|| latest - 2);
        if let Some(to) = unwind_to {
            chain.truncate(to);
            store.commit(&Batch { unwind_to, ..Default::default() }).unwrap();
        }
        let from = chain.blocks.len();
        chain.grow(&store, 2, 2, 51 + round);
        let derived = vec![(round, Bytes::from_static(b"derived"))];
        let safe = Some(from as u64 - 1);
        let rest = Batch { derived: derived.clone(), safe, ..Default::default() };
        store.commit(&rest).unwrap();
        batches.push(Batch { unwind_to, derived, safe, ..chain.batch(from) });
        rows.push(dump(&store));
    }
    (start, batches, rows)
}

/// Runs the batches until one fails; returns how many were acknowledged.
fn run(disk: &Faulty, batches: &[Batch]) -> usize {
    let Ok(store) = open(disk) else { return 0 };
    let done = batches.iter().take_while(|batch| store.commit(batch).is_ok()).count();
    if done < batches.len() {
        // It does not try again, whatever the disk says now.
        let ops = disk.ops();
        assert!(matches!(store.commit(&batches[done]), Err(ExecutionError::Storage(_))));
        assert_eq!(disk.ops(), ops);
    }
    done
}

#[test]
fn after_a_power_cut_the_store_is_before_or_after_the_batch() {
    let (start, batches, rows) = workload();
    start.record();
    let store = open(&start).unwrap();
    let mut acked = vec![start.ops()];
    for batch in &batches {
        store.commit(batch).unwrap();
        acked.push(start.ops());
    }
    drop(store);
    assert!(start.ops() > 30, "{} operations", start.ops());
    let (mut before, mut after) = (0, 0);
    for cut in 0..=start.ops() {
        let done = acked.iter().rposition(|ops| *ops < cut).unwrap_or(0);
        for variant in 0..3 {
            let left = start.cut_at(cut, cut * 3 + variant).unwrap();
            let store =
                open(&left).unwrap_or_else(|error| panic!("cut {cut}, variant {variant}: {error}"));
            let found = dump(&store);
            if found == rows[done] {
                before += 1;
            } else {
                assert!(
                    rows.get(done + 1) == Some(&found),
                    "cut {cut}, variant {variant}: neither state {done} nor {}",
                    done + 1
                );
                after += 1;
            }
        }
    }
    assert!(before > 0 && after > 0, "{before} before, {after} after");
}

#[test]
fn after_one_failed_write_or_sync_nothing_is_written_any_more() {
    let (start, batches, rows) = workload();
    let whole = start.copy(0);
    assert_eq!(run(&whole, &batches), batches.len());
    for op in 1..=whole.ops() {
        for fault in [Fault::ErrorOnce, Fault::Full, Fault::Short] {
            let disk = start.copy(op);
            disk.fail_at(op, fault);
            let done = run(&disk, &batches);
            let found = dump(&open(&disk.after_cut(op)).unwrap());
            assert!(found == rows[done] || rows.get(done + 1) == Some(&found), "{fault:?} at {op}");
        }
    }
}

#[test]
fn a_flipped_bit_is_found_or_harmless() {
    let (start, _, rows) = workload();
    let file = std::path::Path::new("store/state.redb");
    let mut found = 0;
    for seed in 0..120 {
        let mut chance = Chance::new(seed);
        let disk = start.copy(seed);
        let mut flipped = 0;
        disk.alter(file, |bytes| {
            flipped = chance.below(bytes.len() as u64);
            bytes[flipped as usize] ^= 1 << chance.below(8);
        })
        .unwrap();
        let checked = open(&disk).and_then(|mut store| Ok((store.check_pages()?, store)));
        match checked {
            // Repaired from the other commit slot, or in a place that says nothing.
            Ok((_, store)) => assert_eq!(dump(&store), rows[0], "bit flipped at {flipped}"),
            Err(ExecutionError::Damaged(_)) => found += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(found > 10, "{found}");
}
