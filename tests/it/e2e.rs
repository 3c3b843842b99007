//! A devnet as its users see it: cast, viem and ethers against real processes, side by side with
//! anvil. The scenarios are in `tests/e2e`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use causeway_tests::process::Devnet;
use eyre::{WrapErr, ensure};
use tempfile::TempDir;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e")
}

/// Installs the pinned packages, unless what is installed is of the present lock file.
fn install() -> eyre::Result<()> {
    let lock = std::fs::metadata(folder().join("package-lock.json"))?.modified()?;
    let installed = std::fs::metadata(folder().join("node_modules/.package-lock.json"));
    if installed.and_then(|found| found.modified()).is_ok_and(|installed| installed >= lock) {
        return Ok(());
    }
    let status = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(folder())
        .status()
        .wrap_err("npm is needed for the end-to-end tests: install Node.js 20 with npm")?;
    ensure!(status.success(), "npm ci ended with {status}");
    Ok(())
}

#[test]
fn users_tools_do_what_they_do_on_anvil() -> eyre::Result<()> {
    install()?;
    let dir = TempDir::new()?;
    let devnet = Devnet::start(&dir.path().join("devnet"), &[])?;
    let output = Command::new("node")
        .arg("run.mjs")
        .args(["--rpc", &devnet.endpoint("rpc")])
        .args(["--ws", &devnet.endpoint("ws")])
        .args(["--full-rpc", &devnet.endpoint("full_rpc")])
        .current_dir(folder())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}\n{errors}");
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
