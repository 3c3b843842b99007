//! The command line. Data goes to standard output, talk to standard error.

pub mod blocks;
pub mod chainspec;
pub mod da;
pub mod db;
pub mod deploy;
pub mod devnet;
mod ethereum;
pub mod metalayer;
pub mod new;
mod parent;
mod preset;
mod remotes;
pub mod run;
pub mod status;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use causeway_chainspec::{ChainSpec, Clock};
use clap::{CommandFactory, Parser, Subcommand};

use crate::clock::SystemClock;
use crate::exit::{CommandResult, Exit, ExitError};

/// How long threads may still run once a command is done.
const LEFT_OVER: Duration = Duration::from_secs(1);

/// A modular rollup node: VM, data availability and sequencer by name, one binary.
///
/// Exit codes: 0 done, 1 failure, 2 wrong usage, 3 chain spec or settings invalid, 4 something
/// needed is not reachable, 5 stopped for safety, 6 disk or datadir.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the files of a new chain.
    New(new::NewArgs),
    /// Run a node of a chain.
    Run(run::Run),
    /// Run whole chains on this machine: DA, sequencer and a full node each, with funded accounts.
    Devnet(devnet::Devnet),
    /// Put a chain's contracts on its parent chain.
    Deploy(deploy::Deploy),
    /// Check, show, hash, compare and export chain specs.
    Chainspec(chainspec::ChainspecArgs),
    /// Run the `local` DA service by itself.
    Da(da::Da),
    /// Show where a running node stands.
    Status(status::Status),
    /// Send to other chains, watch what becomes of it, look after the network.
    Metalayer(metalayer::Metalayer),
    /// Write blocks to a file.
    Export(blocks::Export),
    /// Execute and commit blocks from a file: our own, or those of an Ethereum chain.
    Import(blocks::Import),
    /// Look at, check and unwind a datadir that no node uses.
    Db(db::Db),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> CommandResult {
        match self.command {
            Command::New(command) => command.run(SystemClock.now_ms()),
            Command::Run(command) => command.run(),
            Command::Devnet(command) => command.run(),
            Command::Deploy(command) => command.run(),
            Command::Chainspec(command) => Ok(command.run()?),
            Command::Da(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Metalayer(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::Db(command) => command.run(),
            Command::Completions { shell } => {
                let mut command = Self::command();
                clap_complete::generate(shell, &mut command, "causeway", &mut std::io::stdout());
                Ok(Exit::Success)
            }
        }
    }
}

/// Reads and checks a chain spec; warnings are logged.
fn load_spec(path: &Path) -> Result<ChainSpec, ExitError> {
    let (spec, warnings) = chainspec::load(path)?;
    for warning in warnings {
        tracing::warn!("{}: {warning}", path.display());
    }
    Ok(spec)
}

/// Writes a result to standard output. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> eyre::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Runs async work of a command to its end. A thread that is stuck (a disk that does not answer)
/// does not keep the process: what must be durable is so by then.
fn block_on<T>(work: impl Future<Output = T>) -> eyre::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LEFT_OVER);
    Ok(done)
}
