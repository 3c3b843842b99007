//! The fuzz targets in the CI: every kept input again, then mutations from fixed seeds.

use std::panic::catch_unwind;

use alloy_primitives::{hex, keccak256};
use causeway_tests::drive::seeds;
use causeway_tests::fuzz::mutate::mutated;
use causeway_tests::fuzz::{TARGETS, Target};
use causeway_tests::txs::Rng;

/// Runs one input; what fails is told with all it takes to run it again.
fn run(target: &Target, bytes: &[u8], origin: &str) {
    let run = target.run;
    if catch_unwind(|| run(bytes)).is_err() {
        panic!("fuzz target {}, {origin}: {}", target.name, hex::encode_prefixed(bytes));
    }
}

/// With `CAUSEWAY_BLESS=1` the seeds are kept first, to begin a campaign with.
#[test]
fn kept_inputs_find_nothing() {
    for target in TARGETS {
        if std::env::var_os("CAUSEWAY_BLESS").is_some_and(|value| value == "1") {
            target.keep_seeds().unwrap();
        }
        let kept = target.kept();
        assert!(!kept.is_empty(), "{} has no kept inputs", target.folder().display());
        for (name, bytes) in &kept {
            run(target, bytes, name);
        }
    }
}

#[test]
fn mutated_inputs_find_nothing() {
    for target in TARGETS {
        let mut from = (target.seeds)();
        assert!(!from.is_empty(), "{} has no seeds", target.name);
        for (at, bytes) in from.iter().enumerate() {
            run(target, bytes, &format!("its own seed {at}"));
        }
        from.extend(target.kept().into_iter().map(|(_, bytes)| bytes));
        let name = u64::from_be_bytes(keccak256(target.name)[..8].try_into().unwrap());
        for seed in seeds(target.cases) {
            let mut rng = Rng::new(seed ^ name);
            let bytes = mutated(&mut rng, &from, target.words, target.most_bytes);
            run(target, &bytes, &format!("CAUSEWAY_SEED={seed} CAUSEWAY_CASES=1"));
        }
    }
}

/// Every target can be run by `cargo fuzz` under its name.
#[test]
fn every_target_has_a_binary() {
    let manifest = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml"),
    )
    .unwrap();
    for target in TARGETS {
        let line = format!("name = \"{}\"", target.name);
        assert!(manifest.contains(&line), "tests/fuzz/Cargo.toml lacks {}", target.name);
    }
}
