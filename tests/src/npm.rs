//! Pinned npm packages of a folder, installed when they are needed.

use std::path::Path;
use std::process::Command;

use eyre::{WrapErr, ensure};
use parking_lot::Mutex;

use crate::process::Environment;

/// Two tests of one process may want the same folder.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Installs the pinned packages, unless what is installed is of the present lock file.
pub fn install(folder: &Path) -> eyre::Result<()> {
    let _alone = ONE_AT_A_TIME.lock();
    let lock = std::fs::metadata(folder.join("package-lock.json"))?.modified()?;
    let installed = std::fs::metadata(folder.join("node_modules/.package-lock.json"));
    if installed.and_then(|found| found.modified()).is_ok_and(|installed| installed >= lock) {
        return Ok(());
    }
    let status = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(folder)
        .status()
        .wrap_err("npm is needed for this test: install Node.js 20 with npm")?;
    ensure!(status.success(), "npm ci in {} ended with {status}", folder.display());
    Ok(())
}

/// Runs a script of the folder with node; what it printed if it succeeded.
pub fn node(folder: &Path, arguments: &[&str]) -> eyre::Result<String> {
    node_with(folder, arguments, &[])
}

/// As [`node`], with more environment.
pub fn node_with(
    folder: &Path,
    arguments: &[&str],
    environment: Environment<'_>,
) -> eyre::Result<String> {
    let output = Command::new("node")
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .output()
        .wrap_err("node is needed for this test: install Node.js 20")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}\n{errors}");
    Ok(text)
}
