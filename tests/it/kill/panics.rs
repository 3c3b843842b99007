//! A panic in any task of a node ends its process with a reason: no node is half alive.

use std::time::{Duration, Instant};

use causeway_node::devkeys;
use causeway_tests::crashing::{Crashing, stopped};
use causeway_tests::load::{Load, client};
use causeway_tests::process::{Begun, Process, free_port};
use eyre::{ContextCompat, WrapErr, ensure};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use serde_json::Value;

/// A process whose task has panicked ends within this time.
const ENDS: Duration = Duration::from_secs(12);

/// One point in each task of a node, and in each thread that works for one.
const TASKS: [&str; 9] = [
    "accept.before",
    "build.drafted",
    "seal.signed",
    "log.append.written",
    "store.commit.ready",
    "publish.submit",
    "derive.applied",
    "feed.adopted",
    "da.append.synced",
];

/// Users at work until the process ends; it must do so by itself and say why.
async fn ends(chain: &mut Crashing, point: &str) -> eyre::Result<()> {
    // The first hits may be in a start.
    let trap = [("CAUSEWAY_CRASH_AT", format!("{point}:4:panic"))];
    let status = match chain.begin(&trap)? {
        Begun::Ended(status) => status,
        Begun::Ready(mut devnet) => {
            let place = chain.place(&devnet)?;
            let load = Load::start(&place, &chain.witness);
            let ended = devnet.process.ends_within(ENDS).await?;
            devnet.kill()?;
            load.ends().await;
            ended.wrap_err("it goes on half alive")?
        }
    };
    ensure!(matches!(status.code(), Some(1..)), "it ended with {status}");
    let said = chain.said();
    let reason = said.lines().rev().find(|line| line.starts_with("error: "));
    let reason = reason.wrap_err("it says no reason")?;
    println!("{point:20} {status}, {reason}");
    chain.witness.node_failed();
    let (devnet, _) = chain.recover().await?;
    devnet.kill()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_any_task_ends_the_process() -> eyre::Result<()> {
    let mut chain = Crashing::new()?;
    for point in TASKS {
        let ended = ends(&mut chain, point).await;
        ended.wrap_err_with(|| format!("{point}\n{}", chain.said()))?;
    }
    chain.prove_posted_once().await.map(drop)
}

/// A follower is a node, too, though trouble of its chain is its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_follower_ends_the_process() -> eyre::Result<()> {
    let mut chain = Crashing::with(&["--chains", "2", "--block-time", "50ms"])?;
    let devnet = chain.start()?;
    let node = client(&devnet.endpoint("rpc"))?;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let block: Value =
            node.request("eth_getBlockByNumber", rpc_params!["finalized", false]).await?;
        if block["number"] != "0x0" {
            break;
        }
        ensure!(Instant::now() < deadline, "no block becomes final");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stopped(devnet)?;
    // Followers start first, and without their directories they have something to derive.
    std::fs::remove_dir_all(chain.dir().join("remotes"))?;
    let trap = [("CAUSEWAY_CRASH_AT", "derive.applied:1:panic".to_owned())];
    let status = match chain.begin(&trap)? {
        Begun::Ended(status) => Some(status),
        Begun::Ready(mut devnet) => devnet.process.ends_within(ENDS).await?,
    };
    let status = status.wrap_err("it goes on half alive")?;
    ensure!(status.code() == Some(1), "it ended with {status}");
    let said = chain.said();
    ensure!(said.lines().any(|line| line.contains("a follower failed")), "{said}");
    let devnet = chain.start()?;
    stopped(devnet)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_da_service_that_cannot_go_on_ends() -> eyre::Result<()> {
    let dir = tempfile::TempDir::new()?;
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (key, log) = (path("da.key"), dir.path().join("da.log"));
    std::fs::write(&key, devkeys::da().to_bytes().to_string())?;
    let listen = format!("127.0.0.1:{}", free_port()?);
    let arguments = ["da", "--dir", &path("da"), "--key", &key, "--listen", &listen];
    let trap = [("CAUSEWAY_CRASH_AT", "da.append.before:2:panic".to_owned())];
    let mut process = Process::start(&arguments, &trap, &log)?;
    let status = process.ends_within(ENDS).await?.wrap_err("it goes on without making blocks")?;
    ensure!(status.code() == Some(6), "{status}: {}", process.said());
    Ok(())
}
