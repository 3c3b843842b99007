//! Processes that this program starts, and stops by their handles.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use eyre::{WrapErr, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::usage::Usage;

/// How long a process may take to get ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// A child process, killed when it is dropped. What it prints goes to a file.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command; both its outputs go to the end of `log`.
    pub fn start(command: &mut Command, log: &Path) -> eyre::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .wrap_err_with(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Waits until what it has printed gives an answer; fails if it ends before.
    pub fn wait_for<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> eyre::Result<T> {
        let started = Instant::now();
        loop {
            let said = self.said();
            if let Some(found) = find(&said) {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}:\n{said}", self.log.display());
            }
            if started.elapsed() > PATIENCE {
                bail!("{}: not ready in {} s:\n{said}", self.log.display(), PATIENCE.as_secs());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far.
    pub fn usage(&self) -> eyre::Result<Usage> {
        Usage::of(self.id())
    }

    /// All it has printed.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGTERM, and waits.
    pub fn stop(mut self) -> eyre::Result<ExitStatus> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            kill_process(id, Signal::TERM)?;
        }
        Ok(self.child.wait()?)
    }

    /// `kill -9`, and waits.
    pub fn kill(mut self) -> eyre::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
