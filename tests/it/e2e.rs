//! A devnet as its users see it: cast, forge, hardhat, viem, ethers, indexers and a wallet in a
//! browser against real processes, side by side with anvil. The scenarios are in `tests/e2e`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_tests::process::Devnet;
use causeway_tests::{browser, npm};
use eyre::ensure;
use tempfile::TempDir;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e")
}

#[test]
fn users_tools_do_what_they_do_on_anvil() -> eyre::Result<()> {
    npm::install(&folder())?;
    browser::install()?;
    let dir = TempDir::new()?;
    let devnet = Devnet::start(&dir.path().join("devnet"), &[])?;
    npm::node(
        &folder(),
        &[
            "run.mjs",
            "--rpc",
            &devnet.endpoint("rpc"),
            "--ws",
            &devnet.endpoint("ws"),
            "--full-rpc",
            &devnet.endpoint("full_rpc"),
        ],
    )?;
    let (status, took) = devnet.stop()?;
    ensure!(status.success(), "the devnet ended with {status}");
    ensure!(took < Duration::from_secs(10), "stopping took {took:?}");
    Ok(())
}

#[test]
fn a_devnet_is_ready_in_five_seconds() -> eyre::Result<()> {
    let dir = TempDir::new()?;
    // The first start makes genesis; the best of three is the program's, not the machine's.
    let mut best = Duration::MAX;
    for run in 0..3 {
        let devnet = Devnet::start(&dir.path().join(run.to_string()), &[])?;
        best = best.min(devnet.ready_after);
        devnet.stop()?;
    }
    ensure!(best < Duration::from_secs(5), "ready after {best:?}");
    Ok(())
}
