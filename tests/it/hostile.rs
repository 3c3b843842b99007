//! Hostile calls against a running sequencer (docs/testing.md): a few here, 10^6 by
//! `just campaign rpc`.

use std::time::Duration;

use causeway_tests::drive::seeds;
use causeway_tests::hostile::campaign;
use causeway_tests::live::BLOCK_MS;
use eyre::ensure;

/// Calls in the CI.
const CALLS: u64 = 4_000;
/// Honest reads of a campaign take no longer, 99 of 100.
const MOST_P99: Duration = Duration::from_millis(100);
/// Two turns: at twice the block time a block was missed.
const MOST_GAP: Duration = Duration::from_millis(2 * BLOCK_MS);

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_answered_and_nobody_waits() -> eyre::Result<()> {
    let seeds = seeds(CALLS);
    let calls = seeds.end - seeds.start;
    let figures = campaign(seeds).await?;
    println!(
        "figures: {} calls answered, {} too large; {} honest reads, p99 {:.1} ms; {} blocks, longest \
         gap {} ms",
        figures.answered,
        figures.refused,
        figures.reads,
        figures.p99.as_secs_f64() * 1000.0,
        figures.blocks,
        figures.longest_gap.as_millis()
    );
    ensure!(figures.answered + figures.refused == calls, "{figures:?}");
    ensure!(figures.answered > calls / 2, "most are refused before they are read: {figures:?}");
    ensure!(figures.blocks > 0, "no block: {figures:?}");
    // Other tests run beside those of the CI.
    if std::env::var_os("CAUSEWAY_CASES").is_some() {
        ensure!(figures.p99 < MOST_P99, "honest reads wait: {figures:?}");
        ensure!(figures.longest_gap < MOST_GAP, "a block was missed: {figures:?}");
    }
    Ok(())
}
