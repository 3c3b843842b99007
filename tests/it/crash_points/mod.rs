//! A real devnet dies by SIGKILL at each named point of the node, and goes on as if it had not.

mod scenario;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use causeway_chainspec::crash::POINTS;
use causeway_tests::crashing::{Crashing, longest, since, told};
use causeway_tests::drive::seeds;
use causeway_tests::txs::Rng;
use eyre::{WrapErr, ensure};

use self::scenario::{Needs, Trap};

/// Points of one run in CI.
const SAMPLE: usize = 8;
/// Crashes after which a chain is read from the beginning.
const ROUND: usize = 10;

/// The names of the points in the source, as often as they stand there.
fn in_source() -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    let mut folders: Vec<_> =
        ["execution", "da", "consensus", "node"].map(|name| root.join(name).join("src")).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let names = text.split("crash::point(\"").skip(1);
            found.extend(names.map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    found.sort();
    found
}

#[test]
fn every_point_stands_once_in_the_source_and_in_the_list() {
    let mut listed = POINTS.to_vec();
    listed.sort_unstable();
    assert_eq!(in_source(), listed);
}

/// A workload of everything the points need gets to all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_is_reached() -> eyre::Result<()> {
    let started = Instant::now();
    let reached = scenario::trace().await?;
    let missing: Vec<_> = POINTS.iter().filter(|point| !reached.contains(**point)).collect();
    ensure!(missing.is_empty(), "not reached: {missing:?}");
    let listed: BTreeSet<_> = POINTS.iter().map(ToString::to_string).collect();
    ensure!(reached.is_subset(&listed), "{reached:?}");
    println!("{} points reached in {:?}", reached.len(), since(started));
    Ok(())
}

/// What is to be done: every point at the hit counts 1, 2 and a random one if the campaign is run,
/// else some points at their first hit.
fn traps(dice: &mut Rng) -> Vec<Trap> {
    let all = std::env::var("CAUSEWAY_CASES").is_ok() || std::env::var("CAUSEWAY_KILLS").is_ok();
    if all {
        let third = |dice: &mut Rng, point| Trap { point, count: scenario::third(point, dice) };
        let mut traps: Vec<_> =
            POINTS.iter().flat_map(|point| [1, 2].map(|count| Trap { point, count })).collect();
        traps.extend(POINTS.iter().map(|point| third(dice, point)));
        return traps;
    }
    let mut points = POINTS.to_vec();
    (0..SAMPLE)
        .map(|_| points.swap_remove(dice.below(points.len() as u64) as usize))
        .map(|point| Trap { point, count: 1 })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_a_point_loses_nothing() -> eyre::Result<()> {
    let seed = seeds(1).start;
    let mut dice = Rng::new(seed);
    let (mut starts, mut acknowledged) = (Vec::new(), 0);
    let mut traps = traps(&mut dice);
    traps.sort_by_key(|trap| scenario::needs(trap.point));
    for group in traps.chunk_by(scenario::share_a_chain) {
        let needs = scenario::needs(group[0].point);
        let mut chain = scenario::chain(needs, group[0].count)?;
        for (at, trap) in group.iter().enumerate() {
            let (started, place) = (Instant::now(), format!("{}:{}", trap.point, trap.count));
            let told = |chain: &Crashing| format!("seed {seed}, {place}\n{}", chain.said());
            let survived = crash(&mut chain, needs, trap, &mut dice).await;
            survived.wrap_err_with(|| told(&chain))?;
            if (at + 1) % ROUND == 0 || at + 1 == group.len() {
                let proved = chain.prove().await;
                proved.wrap_err_with(|| told(&chain))?;
            }
            println!("{place:28} {:?}, longest start {:?}", since(started), longest(&chain.starts));
        }
        acknowledged += chain.witness.acknowledged();
        starts.append(&mut chain.starts);
    }
    let crashes = traps.len();
    println!("seed {seed}: {crashes} crashes, {acknowledged} transactions, {}", told(&starts));
    Ok(())
}

/// One crash, and the start after it.
async fn crash(
    chain: &mut Crashing,
    needs: Needs,
    trap: &Trap,
    dice: &mut Rng,
) -> eyre::Result<()> {
    scenario::spring(chain, needs, trap, dice).await?;
    let (devnet, _) = chain.recover().await?;
    // Not a wait for anything: what comes back has a moment to go on.
    tokio::time::sleep(Duration::from_millis(dice.below(100))).await;
    devnet.kill()
}
