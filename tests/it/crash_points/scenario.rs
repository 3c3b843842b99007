//! What a devnet must go through to get to a point.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use causeway_chainspec::crash::POINTS;
use causeway_tests::crashing::{Crashing, stopped};
use causeway_tests::load::{Load, Place};
use causeway_tests::process::{Begun, Devnet, signal, was_killed};
use causeway_tests::rival::overtake;
use causeway_tests::txs::Rng;
use eyre::{bail, ensure};
use rustix::process::Signal;

/// The point at which a process dies, when it is reached for the count-th time.
pub(super) struct Trap {
    pub(super) point: &'static str,
    pub(super) count: u64,
}

/// What it takes to get to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// An empty directory.
    Fresh,
    /// Users at work.
    Load,
    /// A start after a crash.
    Restart,
    /// Somebody whose block is on DA before the sequencer's.
    Rival,
    /// A DA layer that has lost its newest block.
    OlderDa,
    /// SIGTERM.
    Stop,
    /// Two chains that follow each other.
    Members,
}

/// Size of the log's segments: a second of load makes several, and final blocks let them go.
const SEGMENT: u64 = 8 << 10;
/// A point is reached within this time, once what it needs is there.
const PATIENCE: Duration = Duration::from_secs(30);
/// Attempts at something that depends on the moment of a kill.
const ATTEMPTS: usize = 20;

pub(super) fn needs(point: &str) -> Needs {
    match point.split('.').next().unwrap_or_default() {
        "store" if point.starts_with("store.create") => Needs::Fresh,
        "identity" | "replace" | "genesis" => Needs::Fresh,
        "replay" => Needs::Restart,
        "abandon" | "unwind" | "takeover" | "adopt" => Needs::Rival,
        "underive" => Needs::OlderDa,
        "stop" => Needs::Stop,
        "verified" => Needs::Members,
        _ => Needs::Load,
    }
}

/// Whether one devnet may die at both, one after the other: what is new is so only once.
pub(super) fn share_a_chain(a: &Trap, b: &Trap) -> bool {
    needs(a.point) == needs(b.point) && needs(a.point) != Needs::Fresh
}

/// A devnet for points that need something. A third or later hit of what a node does once takes
/// more than two nodes.
pub(super) fn chain(needs: Needs, count: u64) -> eyre::Result<Crashing> {
    let once = matches!(needs, Needs::Fresh);
    match needs {
        Needs::Members => Crashing::with(&["--chains", "2", "--block-time", "50ms"]),
        _ if once && count > 2 => Crashing::with(&["--chains", "2"]),
        _ => Crashing::new(),
    }
}

/// A random hit count above 2 that is reached.
pub(super) fn third(point: &str, dice: &mut Rng) -> u64 {
    match needs(point) {
        // Six nodes open a directory where there are two chains.
        Needs::Fresh => 3 + dice.below(4),
        // The nodes of one chain are two.
        Needs::Stop => 1 + dice.below(2),
        Needs::Restart | Needs::OlderDa => 1 + dice.below(2),
        _ => 3 + dice.below(6),
    }
}

/// Lets the process die at the point.
pub(super) async fn spring(
    chain: &mut Crashing,
    needs: Needs,
    trap: &Trap,
    dice: &mut Rng,
) -> eyre::Result<()> {
    let environment = [
        ("CAUSEWAY_CRASH_AT", format!("{}:{}", trap.point, trap.count)),
        ("CAUSEWAY_CRASH_SEGMENT", SEGMENT.to_string()),
    ];
    for _ in 0..ATTEMPTS {
        match needs {
            Needs::Restart => behind(chain, dice).await?,
            Needs::OlderDa => {
                let (devnet, place) = chain.recover().await?;
                let time = Duration::from_millis(500 + dice.below(300));
                worked(chain, devnet, &place, time).await?;
                chain.put_da_back()?;
            }
            _ => {}
        }
        let mut devnet = match chain.begin(&environment)? {
            Begun::Ready(devnet) => devnet,
            Begun::Ended(status) => {
                ensure!(was_killed(status), "it ended with {status}:\n{}", chain.said());
                return Ok(());
            }
        };
        let place = chain.place(&devnet)?;
        let (ws, id) = (devnet.endpoint("ws"), devnet.process.id());
        let load = Load::start(&place, &chain.witness);
        let patience = match needs {
            Needs::Restart => Duration::ZERO,
            Needs::OlderDa => Duration::from_secs(2),
            _ => PATIENCE,
        };
        let ended = tokio::select! {
            ended = devnet.process.ends_within(patience) => ended?,
            error = provoke(chain, needs, &place, &ws, id) => return Err(error),
        };
        let died = ended.is_some();
        devnet.kill()?;
        load.ends().await;
        if let Some(status) = ended {
            ensure!(was_killed(status), "it ended with {status}:\n{}", chain.said());
        }
        if died {
            return Ok(());
        }
        ensure!(patience < PATIENCE, "not reached in {PATIENCE:?}");
    }
    bail!("not reached in {ATTEMPTS} attempts")
}

/// Users at work, and a crash that leaves a store behind the log: there is something to replay.
async fn behind(chain: &Crashing, dice: &mut Rng) -> eyre::Result<()> {
    let point = format!("store.commit.ready:{}", 4 + dice.below(12));
    let Begun::Ready(mut devnet) = chain.begin(&[("CAUSEWAY_CRASH_AT", point)])? else {
        return Ok(());
    };
    let load = Load::start(&chain.place(&devnet)?, &chain.witness);
    let ended = devnet.process.ends_within(PATIENCE).await?;
    devnet.kill()?;
    load.ends().await;
    ensure!(ended.is_some_and(was_killed), "it ended with {ended:?}");
    Ok(())
}

/// Users at work for a while, and a kill.
async fn worked(
    chain: &Crashing,
    devnet: Devnet,
    place: &Place,
    time: Duration,
) -> eyre::Result<()> {
    let load = Load::start(place, &chain.witness);
    // Not a wait for anything: the moment of the kill is what varies.
    tokio::time::sleep(time).await;
    devnet.kill()?;
    load.ends().await;
    Ok(())
}

/// Does what others do to a devnet, as long as it lives. Ends only if it cannot.
async fn provoke(chain: &Crashing, needs: Needs, place: &Place, ws: &str, id: u32) -> eyre::Report {
    let spec = match chain.spec() {
        Ok(spec) => spec,
        Err(error) => return error,
    };
    // Users have sent something by then, and a rival has not won yet or has been answered.
    let mut pause = tokio::time::interval(Duration::from_millis(500));
    pause.tick().await;
    loop {
        pause.tick().await;
        match needs {
            // Lost races and a node that is dying are no failure: the point decides.
            Needs::Rival => drop(overtake(&spec, ws, &place.da).await),
            Needs::Stop => match signal(id, Signal::TERM) {
                Ok(()) => std::future::pending().await,
                Err(error) => return error,
            },
            _ => std::future::pending().await,
        }
    }
}

/// Goes through all of it without dying and returns which points were reached.
pub(super) async fn trace() -> eyre::Result<BTreeSet<String>> {
    let mut chain = Crashing::new()?;
    let file = chain.dir().with_extension("trace");
    let environment = [
        ("CAUSEWAY_CRASH_TRACE", file.to_string_lossy().into_owned()),
        ("CAUSEWAY_CRASH_SEGMENT", SEGMENT.to_string()),
    ];
    let reached = || -> eyre::Result<BTreeSet<String>> {
        Ok(std::fs::read_to_string(&file)?.lines().map(str::to_owned).collect())
    };
    let all = |those: &[Needs]| -> eyre::Result<bool> {
        let reached = reached()?;
        let mut points = POINTS.iter().filter(|point| those.contains(&needs(point)));
        Ok(points.all(|point| reached.contains(*point)))
    };
    for attempt in 0..ATTEMPTS {
        let Begun::Ready(devnet) = chain.begin(&environment)? else {
            bail!("it ended by itself:\n{}", chain.said());
        };
        let (place, ws) = (chain.place(&devnet)?, devnet.endpoint("ws"));
        let load = Load::start(&place, &chain.witness);
        let first = [Needs::Fresh, Needs::Load, Needs::Rival];
        let done = async {
            while !all(&first)? {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            eyre::Ok(())
        };
        if attempt == 0 {
            tokio::select! {
                done = tokio::time::timeout(PATIENCE, done) => done.unwrap_or(Ok(()))?,
                error = provoke(&chain, Needs::Rival, &place, &ws, 0) => return Err(error),
            }
            stopped(devnet)?;
            load.ends().await;
            continue;
        }
        load.stop().await;
        worked(&chain, devnet, &place, Duration::from_millis(500)).await?;
        if all(&[Needs::Restart, Needs::OlderDa])? {
            break;
        }
        chain.put_da_back()?;
    }
    chain.prove().await?;

    let members = self::chain(Needs::Members, 1)?;
    let Begun::Ready(devnet) = members.begin(&environment)? else {
        bail!("it ended by itself:\n{}", members.said());
    };
    let deadline = Instant::now() + PATIENCE;
    while !all(&[Needs::Members])? && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stopped(devnet)?;
    reached()
}
