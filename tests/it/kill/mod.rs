//! Real processes that die at random moments under load: nothing that was acknowledged is lost, no
//! head goes back, every start serves in time, and DA tells the same.

mod apart;
mod known;
mod panics;

use std::time::{Duration, Instant};

use causeway_tests::crashing::{Crashing, since, stopped, told};
use causeway_tests::drive::seeds;
use causeway_tests::load::Load;
use causeway_tests::process::{Devnet, signal};
use causeway_tests::txs::Rng;
use eyre::{WrapErr, ensure};
use rustix::process::Signal;

/// Kills in CI; a campaign sets more.
const KILLS: u64 = 10;
/// Kills after which everything is checked.
const ROUND: u64 = 25;

/// How many kills are asked for.
fn kills(usual: u64) -> u64 {
    std::env::var("CAUSEWAY_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What happened to the devnets of a campaign.
#[derive(Debug, Default)]
struct Count {
    kills: u64,
    /// While the process was starting, after another kill.
    double: u64,
    frozen: u64,
    stopped: u64,
}

/// Not a wait for anything: the moment of what follows is what varies.
async fn moment(rng: &mut Rng, from: u64, most: u64) {
    tokio::time::sleep(Duration::from_millis(from + rng.below(most - from))).await;
}

/// Starts, works, and dies once or twice, or goes down as it was told to.
async fn life(chain: &mut Crashing, rng: &mut Rng, count: &mut Count) -> eyre::Result<()> {
    let (devnet, place) = chain.recover().await?;
    let load = Load::start(&place, &chain.witness);
    moment(rng, 30, 500).await;
    if rng.percent(8) {
        let id = devnet.process.id();
        signal(id, Signal::STOP)?;
        moment(rng, 50, 400).await;
        signal(id, Signal::CONT)?;
        moment(rng, 50, 200).await;
        count.frozen += 1;
    }
    if rng.percent(8) {
        stopped(devnet)?;
        load.ends().await;
        count.stopped += 1;
        return Ok(());
    }
    devnet.kill()?;
    load.ends().await;
    count.kills += 1;
    // Every third at least.
    let mut again = count.kills.is_multiple_of(3);
    while again || rng.percent(20) {
        again = false;
        // Somewhere from its first instruction to a little after it serves.
        let starting = Devnet::launch(chain.dir(), &[], &[])?;
        moment(rng, 0, 300).await;
        starting.kill()?;
        count.kills += 1;
        count.double += 1;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost() -> eyre::Result<()> {
    let (seed, wanted) = (seeds(1).start, kills(KILLS));
    let (started, mut rng) = (Instant::now(), Rng::new(seed));
    let mut chain = Crashing::new()?;
    let mut count = Count::default();
    let (mut proved, mut posted) = (0, 0);
    while count.kills < wanted {
        let lived = life(&mut chain, &mut rng, &mut count).await;
        lived.wrap_err_with(|| format!("seed {seed}, {count:?}\n{}", chain.said()))?;
        if count.kills >= proved + ROUND || count.kills >= wanted {
            proved = count.kills;
            let all = chain.prove_posted_once().await;
            posted = all.wrap_err_with(|| format!("seed {seed}, {count:?}\n{}", chain.said()))?;
        }
    }
    let acknowledged = chain.witness.acknowledged();
    ensure!(acknowledged > 10, "only {acknowledged} transactions were sent");
    println!(
        "seed {seed}: {count:?} in {:?}, {acknowledged} transactions, {posted} blocks posted, {}",
        since(started),
        told(&chain.starts)
    );
    Ok(())
}
