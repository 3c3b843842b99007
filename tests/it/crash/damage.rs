//! Bits that a disk turned: found, or harmless. Never another root, never another receipt.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use causeway_chainspec::Block;
use causeway_execution::disk::Disk;

use super::*;

/// The files of a datadir that bits are turned in: the database more often, the log, the identity.
fn targets(disk: &Faulty) -> Vec<PathBuf> {
    let log = Path::new("node/log");
    let mut files = vec![PathBuf::from("node/state.redb"); 12];
    files.extend(disk.list(log).unwrap().into_iter().map(|name| log.join(name)));
    files.push("node/identity".into());
    files
}

fn blocks(pipeline: &Pipeline) -> Vec<Arc<Block>> {
    let snapshot = pipeline.snapshot();
    let numbers = 0..=snapshot.latest().number;
    numbers.map(|number| snapshot.block(number).unwrap().unwrap()).collect()
}

#[test]
fn a_turned_bit_is_found_or_harmless() {
    let found = AtomicU64::new(0);
    for seed in seeds(1) {
        let (spec, disk, _) = recorded(seed);
        let (pipeline, _) = open(&disk.after_kill(seed), &spec).unwrap();
        let whole = blocks(&pipeline);
        drop(pipeline);
        let files = targets(&disk.copy(seed));
        each(1_000, |case| {
            let mut rng = Rng::new(seed << 32 | case);
            let file = rng.pick(&files);
            let damaged = disk.copy(case);
            let mut at = 0;
            damaged
                .alter(file, |bytes| {
                    at = rng.below(bytes.len() as u64);
                    bytes[at as usize] ^= 1 << rng.below(8);
                })
                .unwrap();
            let what = format!("seed {seed}, case {case}: {} at {at}", file.display());
            match open(&damaged, &spec) {
                Ok((pipeline, _)) => {
                    let found = blocks(&pipeline);
                    // The newest frame of the log may be taken for one that was torn.
                    let in_log = file.parent().is_some_and(|folder| folder.ends_with("log"));
                    assert!(found.len() == whole.len() || in_log, "{what}: blocks are gone");
                    for (block, right) in found.iter().zip(&whole) {
                        assert_eq!(block.header, right.header, "{what}");
                        assert_eq!(block.hash, right.hash, "{what}");
                        assert_eq!(block.receipts, right.receipts, "{what}");
                    }
                    verifies(pipeline, &damaged, &spec, &what);
                }
                Err(ExecutionError::Damaged(_) | ExecutionError::Datadir(_)) => {
                    found.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => panic!("{what}: {error}"),
            }
        });
    }
    let found = found.into_inner();
    assert!(found > 100, "{found} of a thousand were found");
}
