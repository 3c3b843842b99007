//! The real binary as a child process: started on free ports, stopped by its own handle.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use eyre::{WrapErr, bail, ensure, eyre};
use serde_json::Value;

/// How long a process may take to get ready or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Path of the binary that this build made.
pub fn causeway() -> eyre::Result<PathBuf> {
    // target/<profile>/deps/it-... -> target/<profile>/causeway
    let test = std::env::current_exe()?;
    let path = test.parent().and_then(Path::parent).map(|profile| profile.join("causeway"));
    let path = path.ok_or_else(|| eyre!("{} lies in no target directory", test.display()))?;
    ensure!(path.exists(), "no {}: run `cargo test --workspace --all-targets`", path.display());
    Ok(path)
}

/// A running `causeway devnet`.
pub struct Devnet {
    child: Child,
    /// Its `devnet.json`.
    pub endpoints: Value,
    /// From start to ready.
    pub ready_after: Duration,
}

impl Devnet {
    /// Starts a devnet on a directory and waits until it is ready.
    pub fn start(dir: &Path, arguments: &[&str]) -> eyre::Result<Self> {
        let started = Instant::now();
        let log = dir.with_extension("log");
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        let mut child = Command::new(causeway()?)
            .args(["devnet", "--http", "127.0.0.1:0", "--datadir"])
            .arg(dir)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .wrap_err("cannot start the devnet")?;
        let file = dir.join("devnet.json");
        loop {
            let endpoints = std::fs::read_to_string(&file)
                .ok()
                .and_then(|text| serde_json::from_str::<Value>(&text).ok())
                .filter(|found| found["pid"].as_u64() == Some(u64::from(child.id())));
            if let Some(endpoints) = endpoints {
                return Ok(Self { child, endpoints, ready_after: started.elapsed() });
            }
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(dir.with_extension("log")).unwrap_or_default();
                bail!("the devnet ended with {status}:\n{log}");
            }
            if started.elapsed() > PATIENCE {
                child.kill()?;
                bail!("the devnet was not ready in {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A value of the first chain in `devnet.json`: `rpc`, `ws`, `full_rpc`, `da`.
    pub fn endpoint(&self, name: &str) -> String {
        self.endpoints["chains"][0][name].as_str().unwrap_or_default().to_string()
    }

    /// `kill -9`.
    pub fn kill(mut self) -> eyre::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM; returns how it ended and how long that took.
    pub fn stop(mut self) -> eyre::Result<(ExitStatus, Duration)> {
        let started = Instant::now();
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status()?;
        ensure!(sent.success(), "cannot signal the devnet");
        let status = self.child.wait()?;
        Ok((status, started.elapsed()))
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        // Nothing to do if it has ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
