//! Whole chains from a seed: every fault the catalogue knows of one chain, every invariant after each
//! step. `CAUSEWAY_SEED=n CAUSEWAY_CASES=1` replays one; `CAUSEWAY_STEPS` ends its runs early.

use causeway_tests::drive::{seeds, steps};
use causeway_tests::sim::{run, run_all, watch};
use eyre::ensure;

/// Threads of a campaign.
const THREADS: usize = 2;
/// Seeds of CI.
const CASES: u64 = 80;

#[test]
fn chains_keep_their_promises_whatever_happens() -> eyre::Result<()> {
    watch::begin();
    let seeds = seeds(CASES);
    let count = seeds.end - seeds.start;
    let whole = count >= CASES;
    let seen = run_all(seeds, steps(u64::MAX), THREADS)?;
    let lines = watch::inv12_no_secret_logged()?;
    ensure!(lines > 0, "nothing was read of the log, so nothing is known of it");
    println!("{count} seeds: {seen:?}, {lines} lines of the log");
    if whole {
        // A random test that meets nothing proves nothing.
        let counts = [
            seen.blocks / 1_000,
            seen.acked / 1_000,
            seen.takeovers,
            seen.rollbacks,
            seen.restarts / 100,
            seen.fed / 100,
            seen.forced / 10,
            seen.refused,
        ];
        ensure!(counts.iter().all(|count| *count > 0), "too little happened: {seen:?}");
    }
    Ok(())
}

#[test]
fn a_seed_gives_one_run() -> eyre::Result<()> {
    for seed in seeds(6).map(|seed| 1_000_000 + seed) {
        let (first, second) = (run(seed, u64::MAX)?, run(seed, u64::MAX)?);
        ensure!(first == second, "seed {seed} runs in two ways: {first:?} and {second:?}");
    }
    Ok(())
}
