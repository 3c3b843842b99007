//! `causeway deploy`: a chain's contracts on its parent chain. What is to be there follows from the
//! spec, and what is there is asked of the parent, so it goes on wherever it stopped.

mod steps;
mod text;

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use causeway_bridge::l1::{self, Deployment};
use causeway_chainspec::ChainSpec;
use causeway_chainspec::l1::MOST_KEYS;
use causeway_chainspec::l1::bridge::Bridge;
use causeway_chainspec::spec::{Deployed, Lock};
use causeway_da::DaError;
use causeway_da::ethereum::{Account, Options, ParentChain, Settings};
use clap::{Args, Subcommand};
use eyre::{WrapErr, eyre};
use rustix::fs::{FlockOperation, flock};

use self::steps::{Plan, Step};
use super::{block_on, chainspec, load_spec, print};
use crate::config::NodeFile;
use crate::exit::{CommandResult, Exit, ExitError};
use crate::logging::{self, LogFormat};

pub(super) use steps::{deploy_all, of as steps_of};

/// Put a chain's contracts on its parent chain.
#[derive(Debug, Args)]
pub struct Deploy {
    #[command(subcommand)]
    command: Command,
    /// Chain spec.
    #[arg(long, env = "CAUSEWAY_CHAIN", default_value = "chain.toml", global = true)]
    chain: PathBuf,
    /// Settings with the parent's addresses, and the key of the account that pays, in [da];
    /// `node.toml` beside the chain spec if left out.
    #[arg(long, env = "CAUSEWAY_NODE", global = true)]
    node: Option<PathBuf>,
    /// One more execution node of the parent, asked first.
    #[arg(long, value_name = "URL", global = true)]
    l1: Option<String>,
    /// Key file of the account that pays, in place of the one of the settings.
    #[arg(long, value_name = "FILE", global = true)]
    key: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what would be sent, and what it costs; sends nothing.
    Plan,
    /// Send it, once you agree to the cost.
    Apply {
        /// Agree to the cost beforehand.
        #[arg(long, short)]
        yes: bool,
    },
    /// Show what is there; exits with 1 if something is missing.
    Status,
    /// Go on with what was begun, without asking again.
    Resume,
}

impl Deploy {
    /// Runs the command.
    pub fn run(self) -> CommandResult {
        logging::install(LogFormat::default(), "warn")?;
        let spec = Arc::new(load_spec(&self.chain)?);
        let (bridge, deployment) = deployment_of(&spec)?;
        let settings = self.settings(&spec)?;
        let chain = ParentChain::open(options_of(&spec)?.chain_id, &settings)?;
        let steps = steps::of(&bridge, &deployment);
        let lock = self.lock(&spec)?;
        let begins = l1::start_seconds(&spec);
        block_on(async {
            if !matches!(self.command, Command::Status) {
                has_begun(&chain, begins).await?;
            }
            self.on_parent(chain, &settings, &steps, lock).await
        })?
    }

    async fn on_parent(
        &self,
        chain: ParentChain,
        settings: &Settings,
        steps: &[Step],
        lock: Lock,
    ) -> CommandResult {
        let standings = steps::look(&chain, steps, &lock.deployed).await?;
        let missing = standings.iter().filter(|found| !found.is_there()).count();
        if let Command::Status = self.command {
            print(&text::status(steps, &standings, self.json))?;
            return Ok(if missing == 0 { Exit::Success } else { Exit::Failure });
        }
        let begun = !lock.deployed.is_empty() || missing == 0;
        if matches!(self.command, Command::Resume) && !begun {
            let report = eyre!("nothing was begun: use `causeway deploy apply`");
            return Err(ExitError::new(Exit::Failure, report));
        }
        let account = Account::open(chain, settings)?;
        let plan = steps::price(&account, steps, &standings).await?;
        let is_plan = matches!(self.command, Command::Plan);
        // The others end with what was done, which is JSON of its own.
        if is_plan || !self.json {
            print(&text::plan(&plan, steps, &standings, self.json))?;
        }
        if is_plan {
            return Ok(Exit::Success);
        }
        if plan.most_wei() > plan.balance {
            let report = eyre!(
                "{} has {} ether, and this may cost {}: send it funds first",
                account.address(),
                text::ether(plan.balance),
                text::ether(plan.most_wei())
            );
            return Err(ExitError::new(Exit::Failure, report));
        }
        if matches!(self.command, Command::Apply { yes: false }) && missing > 0 && !agreed()? {
            eprintln!("nothing was sent");
            return Ok(Exit::Failure);
        }
        self.send(&account, steps, lock, &plan).await?;
        Ok(Exit::Success)
    }

    /// Sends what is missing; `chain.lock` has it before, and what became of it after.
    async fn send(
        &self,
        account: &Account,
        steps: &[Step],
        lock: Lock,
        plan: &Plan,
    ) -> Result<(), ExitError> {
        let spec = std::fs::File::open(&self.chain)?;
        if flock(&spec, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(eyre!("another `causeway deploy` works on {}", self.chain.display()).into());
        }
        let mut rest = lock;
        let deployed = std::mem::take(&mut rest.deployed);
        let note = |deployed: &[Deployed]| {
            let lock = Lock { deployed: deployed.to_vec(), ..rest.clone() };
            chainspec::write_lock(&self.chain, &lock)
                .map_err(|report| DaError::Storage(format!("{report:#}")))
        };
        let most: Vec<_> =
            plan.prices.iter().map(|price| price.map(|price| price.most_wei)).collect();
        let done =
            deploy_all(account, steps, deployed, &most, &note).await.map_err(
                |error| match error.is_temporary() {
                    true => ExitError::new(
                        Exit::Unreachable,
                        eyre!("{error}; `causeway deploy resume` goes on from here"),
                    ),
                    false => error.into(),
                },
            )?;
        print(&text::done(&done, self.json))?;
        Ok(())
    }

    fn settings(&self, spec: &ChainSpec) -> Result<Settings, ExitError> {
        let invalid = |report: eyre::Report| ExitError::new(Exit::Spec, report);
        let file = self.node.clone().unwrap_or_else(|| self.chain.with_file_name("node.toml"));
        let mut table = NodeFile::read(&file).map_err(invalid)?.da;
        if let Some(url) = &self.l1 {
            table.insert("url".into(), url.clone().into());
        }
        if let Some(key) = &self.key {
            table.insert("key".into(), key.to_string_lossy().into_owned().into());
        }
        Ok(Settings::of(spec, &table)?)
    }

    /// The lock beside the spec, or what would be in it.
    fn lock(&self, spec: &Arc<ChainSpec>) -> Result<Lock, ExitError> {
        let block = causeway_execution::genesis_block(spec, &causeway_bridge::modules(spec))?;
        let computed = Lock::new(spec, block.hash, block.header.state_root);
        match chainspec::read_lock(&self.chain)? {
            Some(lock) => {
                lock.check(&computed).map_err(|error| ExitError::new(Exit::Spec, error))?;
                Ok(lock)
            }
            None => Ok(computed),
        }
    }
}

/// The output oracle takes no chain of the future.
async fn has_begun(chain: &ParentChain, seconds: u64) -> Result<(), ExitError> {
    let time = chain.time().await?;
    if time < seconds {
        let report = eyre!(
            "genesis.timestamp is {} s and ten minutes after the newest block of the parent: deploy when its \
             blocks are nearer",
            seconds - time
        );
        return Err(ExitError::new(Exit::Spec, report));
    }
    Ok(())
}

fn options_of(spec: &ChainSpec) -> Result<Options, ExitError> {
    if spec.da.layer != "ethereum" {
        let report = eyre!(
            "da.layer is {:?}: only chains on the layer \"ethereum\" have contracts on a parent chain",
            spec.da.layer
        );
        return Err(ExitError::new(Exit::Spec, report));
    }
    Options::of(spec).map_err(|error| ExitError::new(Exit::Spec, error))
}

/// The contracts that belong to a spec, and what of it they are made of; an error if it names others.
pub(super) fn deployment_of(spec: &ChainSpec) -> Result<(Bridge, Deployment), ExitError> {
    let invalid = |report: eyre::Report| ExitError::new(Exit::Spec, report);
    options_of(spec)?;
    let time_ms = spec.genesis.time_ms;
    let keys = [spec.sequencer.posters_at(time_ms), spec.sequencer.keys_at(time_ms)];
    if keys.iter().any(|keys| !(1..=MOST_KEYS).contains(&keys.len())) {
        let text = format!("the contracts take 1 to {MOST_KEYS} keys of posters and of sequencers");
        return Err(invalid(eyre!(text)));
    }
    let deployment = l1::deployment(spec).map_err(|text| invalid(eyre!(text)))?;
    deployment.ok_or_else(|| {
        invalid(eyre!(
            "the spec names no owner of the contracts: add owner = \"0x..\" to [da.ethereum]; it may \
             change the keys of posters and sequencers, delete outputs and pause withdrawals, and is part \
             of the contracts' addresses"
        ))
    })
}

fn agreed() -> Result<bool, ExitError> {
    if !std::io::stdin().is_terminal() {
        let report = eyre!("nobody is here to agree to the cost: add --yes");
        return Err(ExitError::new(Exit::Failure, report));
    }
    eprint!("Send it? [y/N]: ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).wrap_err("cannot read the answer")?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
