//! `causeway devnet`: of each chain DA, a sequencer and a full node, in one process; they share
//! nothing but sockets. Several chains are members of one Metalayer and share their followers.

mod banner;
mod endpoints;
mod funds;
mod network;
mod parent;
mod world;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use eyre::{WrapErr, bail, eyre};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use self::network::{Choices, CoinChoice};
use super::preset::Preset;
use crate::exit::{CommandResult, Exit};
use crate::logging::{self, LogFormat};

/// How long a running devnet may take to go down.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a detached one may take to get ready: it gives up on its own before, unless its parent chain
/// is slow.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// The same with a parent chain, which has to take in contracts and funds first.
const PARENT_PATIENCE: Duration = Duration::from_secs(900);

/// Run a whole chain on this machine, or several that talk to each other.
#[derive(Debug, Args)]
pub struct Devnet {
    #[command(subcommand)]
    command: Option<DevnetCommand>,
    /// Where its data lies; running again with the same directory goes on where it stopped.
    #[arg(long, env = "CAUSEWAY_DEVNET", global = true)]
    datadir: Option<PathBuf>,
    /// Delete the data first.
    #[arg(long)]
    fresh: bool,
    /// Go on in the background once it is ready.
    #[arg(long)]
    detach: bool,
    /// Address of the sequencer's JSON-RPC; the full node takes the next port, and each further
    /// chain the next two. If one is taken, a free one is used and printed.
    #[arg(long, default_value = "127.0.0.1:8545")]
    http: SocketAddr,
    /// Chains of a new devnet, 1 to 16: alpha, beta, gamma and so on. Several are one Metalayer,
    /// and alpha is its hub. 1 if not given.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16))]
    chains: Option<u8>,
    /// VM of each chain of a new devnet, in order, as evm,evm,ledger; the last is that of all
    /// further chains. evm if not given.
    #[arg(long, value_delimiter = ',')]
    vm: Vec<String>,
    /// DA layer of each chain of a new devnet, likewise: local or ethereum. With --l1 that is
    /// ethereum if not given, else local.
    #[arg(long, value_delimiter = ',')]
    da: Vec<String>,
    /// Parent chain that carries blobs: anvil, which is started and stopped with the devnet, or the
    /// URL of an execution node, with --l1-beacon and --l1-key unless it is an anvil.
    #[arg(long, value_name = "anvil|URL")]
    l1: Option<String>,
    /// Consensus node of the parent chain; anvil has none.
    #[arg(long, value_name = "URL", requires = "l1")]
    l1_beacon: Option<String>,
    /// Key file of an account with funds on the parent chain; on anvil the first development account if
    /// not given.
    #[arg(long, value_name = "FILE", requires = "l1")]
    l1_key: Option<PathBuf>,
    /// Whose coin pays for gas on each chain after the hub, in order; the last holds for all
    /// further chains. hub if not given.
    #[arg(long, value_enum, value_delimiter = ',')]
    coin: Vec<CoinChoice>,
    /// Chain id of a new devnet: 901 if not given; further chains have the next ones.
    #[arg(long)]
    chain_id: Option<u64>,
    /// What a new devnet is tuned for; `--block-time` changes that of it.
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Block time of a new devnet: 250ms if not given.
    #[arg(long)]
    block_time: Option<String>,
    /// Form of log lines.
    #[arg(long, value_enum, default_value_t)]
    log: LogFormat,
    /// What to log, as in RUST_LOG.
    #[arg(long, env = "CAUSEWAY_LOG", default_value = "warn")]
    log_filter: String,
}

#[derive(Debug, Subcommand)]
enum DevnetCommand {
    /// Stop a devnet that runs in the background.
    Down,
}

impl Devnet {
    /// Runs the command.
    pub fn run(self) -> CommandResult {
        let dir = match &self.datadir {
            Some(dir) => dir.clone(),
            None => default_dir()?,
        };
        match (&self.command, self.detach) {
            (Some(DevnetCommand::Down), _) => down(&dir)?,
            (None, true) => self.detach(&dir)?,
            (None, false) => {
                logging::install(self.log, &self.log_filter)?;
                return self.attached(&dir);
            }
        }
        Ok(Exit::Success)
    }

    fn attached(&self, dir: &Path) -> CommandResult {
        std::fs::create_dir_all(dir)
            .wrap_err_with(|| format!("cannot create {}", dir.display()))?;
        let lock = Lock::take(dir)?.ok_or_else(|| {
            eyre!("a devnet runs on {} already; stop it with `causeway devnet down`", dir.display())
        })?;
        // It names a process that has ended.
        endpoints::remove(dir)?;
        if self.fresh {
            network::clear(dir)?;
        }
        let options = world::Options {
            dir: dir.to_path_buf(),
            http: self.http,
            choices: Choices {
                chains: self.chains,
                vms: self.vm.clone(),
                das: self.da.clone(),
                l1: self.l1.is_some(),
                coins: self.coin.clone(),
                chain_id: self.chain_id,
                preset: self.preset,
                block_time: self.block_time.clone(),
            },
        };
        let l1 = parent::Choice {
            l1: self.l1.clone(),
            beacon: self.l1_beacon.clone(),
            key: self.l1_key.clone(),
        };
        let exit = super::block_on(world::run(options, l1))?;
        drop(lock);
        exit
    }

    /// Starts itself in the background and waits until it is ready.
    fn detach(&self, dir: &Path) -> eyre::Result<()> {
        std::fs::create_dir_all(dir)?;
        if Lock::take(dir)?.is_none() {
            bail!(
                "a devnet runs on {} already; stop it with `causeway devnet down`",
                dir.display()
            );
        }
        let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--detach");
        let path = dir.join("devnet.log");
        let log = std::fs::File::create(&path)?;
        let mut child = {
            use std::os::unix::process::CommandExt;
            Command::new(std::env::current_exe()?)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .process_group(0)
                .spawn()?
        };
        let on_parent = self.l1.is_some() || !self.da.is_empty() || dir.join(parent::DIR).exists();
        let patience = if on_parent { PARENT_PATIENCE } else { START_PATIENCE };
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(&path).unwrap_or_default();
                bail!("the devnet ended with {status}:\n{log}");
            }
            if let Some(endpoints) = endpoints::read(dir).filter(|found| found.pid == child.id()) {
                banner::print(&endpoints);
                println!("\nRuns in the background; log {}", path.display());
                return Ok(());
            }
            if started.elapsed() > patience {
                // In order, so that what it started ends with it.
                let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                pid.map(|pid| kill_process(pid, Signal::TERM)).transpose()?;
                bail!(
                    "the devnet was not ready in {} s and is stopped; see {}",
                    patience.as_secs(),
                    path.display()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Stops the devnet of a directory and waits for its end.
fn down(dir: &Path) -> eyre::Result<()> {
    if !dir.join(LOCK).exists() || Lock::take(dir)?.is_some() {
        // One that was killed may have left its parent chain.
        parent::end_orphan(&dir.join(parent::DIR));
        println!("no devnet runs on {}", dir.display());
        return Ok(());
    }
    let endpoints = endpoints::read(dir).ok_or_else(|| {
        eyre!("{} is not there yet; try again", dir.join(endpoints::FILE).display())
    })?;
    let pid = i32::try_from(endpoints.pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| eyre!("devnet.json names no process"))?;
    kill_process(pid, Signal::TERM).wrap_err("cannot signal the devnet")?;
    let started = Instant::now();
    while Lock::take(dir)?.is_none() {
        if started.elapsed() > PATIENCE {
            bail!("process {} did not end in {} s", endpoints.pid, PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("stopped");
    Ok(())
}

const LOCK: &str = "devnet.lock";

/// Held while a devnet runs; the kernel lets go of it however the process ends.
struct Lock(#[expect(dead_code, reason = "held, not read")] std::fs::File);

impl Lock {
    fn take(dir: &Path) -> eyre::Result<Option<Self>> {
        let path = dir.join(LOCK);
        let file = std::fs::File::options().create(true).append(true).open(&path);
        let file = file.wrap_err_with(|| format!("cannot open {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).wrap_err_with(|| format!("cannot lock {}", path.display())),
        }
    }
}

/// Where a devnet lies if nobody says otherwise.
pub(super) fn default_dir() -> eyre::Result<PathBuf> {
    if let Some(data) = std::env::var_os("XDG_DATA_HOME") {
        return Ok(PathBuf::from(data).join("causeway/devnet"));
    }
    let home = std::env::var_os("HOME").ok_or_else(|| eyre!("no HOME: give --datadir"))?;
    Ok(PathBuf::from(home).join(".local/share/causeway/devnet"))
}
