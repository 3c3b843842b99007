//! What all workloads share: the binary that is measured, the size, the number of pairs.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use eyre::{ContextCompat, WrapErr, ensure};
use tokio::runtime::Runtime;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// Some seconds a workload: whether it works, not how fast it is.
    Small,
    /// What is published.
    Full,
}

/// The setting of a run.
#[derive(Debug)]
pub struct Bench {
    /// The node's binary.
    pub causeway: PathBuf,
    /// This program, which starts itself again as a peer.
    pub own: PathBuf,
    /// Size.
    pub size: Size,
    /// Interleaved pairs, at least 1.
    pub pairs: usize,
    /// For set-up and checks; generators of load have a thread and a runtime of their own.
    pub runtime: Runtime,
}

impl Size {
    /// Pairs unless the user says otherwise.
    pub fn pairs(self) -> usize {
        match self {
            Self::Small => 1,
            Self::Full => 5,
        }
    }

    /// One of two, by size.
    pub fn pick<T>(self, small: T, full: T) -> T {
        match self {
            Self::Small => small,
            Self::Full => full,
        }
    }
}

impl Bench {
    /// Finds the node's binary beside this one, and refuses one with crash points.
    pub fn open(size: Size, pairs: usize) -> eyre::Result<Self> {
        let own = std::env::current_exe()?;
        let causeway = own.parent().wrap_err("a program lies in a directory")?.join("causeway");
        ensure!(
            causeway.exists(),
            "no {}: run `cargo build --release -p causeway-node -p causeway-bench`",
            causeway.display()
        );
        ensure!(
            !has_crash_points(&causeway)?,
            "{} has crash points, which cost time: build it as `just bench` does",
            causeway.display()
        );
        let runtime = Runtime::new()?;
        Ok(Self { causeway, own, size, pairs, runtime })
    }

    /// What a reader of the report must know of the machine and the run.
    pub fn facts(&self) -> Vec<(String, String)> {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |path: &str, name: &str| {
            let text = text(path);
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let load = text("/proc/loadavg");
        let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
        let fact = |name: &str, value: String| (name.to_owned(), value);
        vec![
            fact("processor", field("/proc/cpuinfo", "model name")),
            fact("cores", format!("{cores}, shared by server and load generator")),
            fact("memory", field("/proc/meminfo", "MemTotal")),
            fact("kernel", text("/proc/sys/kernel/osrelease").trim().to_owned()),
            fact("load before", load),
            fact("size", format!("{:?}, {} pairs", self.size, self.pairs)),
        ]
    }
}

/// A binary with crash points refuses a point it does not know; one without never looks.
fn has_crash_points(binary: &Path) -> eyre::Result<bool> {
    let output = Command::new(binary)
        .arg("--version")
        .env("CAUSEWAY_CRASH_AT", "no.such.point:1")
        .output()
        .wrap_err_with(|| format!("cannot run {}", binary.display()))?;
    Ok(!output.status.success())
}
