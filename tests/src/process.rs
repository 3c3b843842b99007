//! The real binary as child processes: started on free ports, stopped by their own handles.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use eyre::{ContextCompat, WrapErr, bail, ensure, eyre};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a process may take to get ready or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a process or a file of it.
const LOOK: Duration = Duration::from_millis(3);

/// Environment of a process, besides the test's own.
pub type Environment<'a> = &'a [(&'a str, String)];

/// Path of the binary that this build made.
pub fn causeway() -> eyre::Result<PathBuf> {
    // target/<profile>/deps/it-... -> target/<profile>/causeway
    let test = std::env::current_exe()?;
    let path = test.parent().and_then(Path::parent).map(|profile| profile.join("causeway"));
    let path = path.ok_or_else(|| eyre!("{} lies in no target directory", test.display()))?;
    ensure!(path.exists(), "no {}: run `cargo test --workspace --all-targets`", path.display());
    Ok(path)
}

/// A port of this machine that nobody listens on.
pub fn free_port() -> eyre::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A running `causeway`, killed when it is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says goes to the end of a file.
    pub fn start(
        arguments: &[&str],
        environment: Environment<'_>,
        log: &Path,
    ) -> eyre::Result<Self> {
        let file = std::fs::File::options().create(true).append(true).open(log)?;
        let child = Command::new(causeway()?)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .wrap_err("cannot start causeway")?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> eyre::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it ends by itself.
    pub async fn ends_within(&mut self, patience: Duration) -> eyre::Result<Option<ExitStatus>> {
        let started = Instant::now();
        while started.elapsed() < patience {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(None)
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
        signal(self.id(), Signal::TERM)?;
        Ok((self.child.wait()?, started.elapsed()))
    }

    /// All it has said, and those before it with the same file.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing to do if it has ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Sends a signal to a process of the test's.
pub fn signal(id: u32, signal: Signal) -> eyre::Result<()> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    kill_process(id.wrap_err("a process has a number")?, signal).wrap_err("cannot signal")
}

/// Whether it was SIGKILL that ended a process.
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

/// A running `causeway devnet`.
pub struct Devnet {
    /// The process.
    pub process: Process,
    /// Its `devnet.json`.
    pub endpoints: Value,
    /// From start to ready.
    pub ready_after: Duration,
}

/// What became of a start.
pub enum Begun {
    /// It serves.
    Ready(Devnet),
    /// It ended before.
    Ended(ExitStatus),
}

impl Devnet {
    /// Starts a devnet on a directory and waits until it is ready.
    pub fn start(dir: &Path, arguments: &[&str]) -> eyre::Result<Self> {
        match Self::begin(dir, arguments, &[])? {
            Begun::Ready(devnet) => Ok(devnet),
            Begun::Ended(status) => {
                let log = std::fs::read_to_string(dir.with_extension("log")).unwrap_or_default();
                bail!("the devnet ended with {status}:\n{log}")
            }
        }
    }

    /// Starts the process of a devnet and waits for nothing.
    pub fn launch(
        dir: &Path,
        arguments: &[&str],
        environment: Environment<'_>,
    ) -> eyre::Result<Process> {
        let path = dir.to_str().wrap_err("a path of the tests is text")?;
        let mut all = vec!["devnet", "--http", "127.0.0.1:0", "--datadir", path];
        all.extend(arguments);
        Process::start(&all, environment, &dir.with_extension("log"))
    }

    /// Starts a devnet and waits until it is ready or has ended.
    pub fn begin(
        dir: &Path,
        arguments: &[&str],
        environment: Environment<'_>,
    ) -> eyre::Result<Begun> {
        let started = Instant::now();
        let mut process = Self::launch(dir, arguments, environment)?;
        let file = dir.join("devnet.json");
        loop {
            let endpoints = std::fs::read_to_string(&file)
                .ok()
                .and_then(|text| serde_json::from_str::<Value>(&text).ok())
                .filter(|found| found["pid"].as_u64() == Some(u64::from(process.id())));
            if let Some(endpoints) = endpoints {
                let ready_after = started.elapsed();
                return Ok(Begun::Ready(Self { process, endpoints, ready_after }));
            }
            if let Some(status) = process.ended()? {
                return Ok(Begun::Ended(status));
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "the devnet was not ready in {} s",
                PATIENCE.as_secs()
            );
            std::thread::sleep(LOOK);
        }
    }

    /// A value of the first chain in `devnet.json`: `rpc`, `ws`, `full_rpc`, `da`.
    pub fn endpoint(&self, name: &str) -> String {
        self.endpoints["chains"][0][name].as_str().unwrap_or_default().to_string()
    }

    /// `kill -9`.
    pub fn kill(self) -> eyre::Result<()> {
        self.process.kill()
    }

    /// SIGTERM; returns how it ended and how long that took.
    pub fn stop(self) -> eyre::Result<(ExitStatus, Duration)> {
        self.process.stop()
    }
}
