//! The parent chain of a devnet: an anvil of its own, or a chain that runs already; our contracts on
//! it, and the accounts that pay for posts.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use alloy_primitives::{Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::ChainSpec;
use causeway_da::DaError;
use causeway_da::ethereum::{Account, Call, Options, ParentChain, ParentFacts, Settings};
use eyre::{WrapErr, bail, eyre};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};

use super::super::deploy;
use crate::config::read_key;
use crate::devkeys;
use crate::exit::{Exit, ExitError};
use crate::tasks::Proposer;

/// Its directory in that of the devnet.
pub(super) const DIR: &str = "l1";
/// What `--l1` says for a chain of our own.
const ANVIL: &str = "anvil";
/// Where a chain that runs already is noted.
const FILE: &str = "l1.toml";
const PID: &str = "anvil.pid";
const STATE: &str = "anvil.json";
/// Longest until anvil listens.
const START: Duration = Duration::from_secs(30);
/// Longest until it has written its state and ended.
const END: Duration = Duration::from_secs(10);
/// Seconds between two of anvil's blocks.
const ANVIL_SECONDS: &str = "1";
/// Blocks of the parent from one output to the next.
const OUTPUTS: u64 = 4;
/// What a paying account is to have, and what it gets if it has less, in wei: 1 and 10 ether.
const LEAST: u128 = 1_000_000_000_000_000_000;
const GIFT: u128 = 10 * LEAST;

/// What is asked for, and what a devnet notes of a parent that it did not start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Choice {
    /// `anvil`, or the URL of an execution node.
    pub(super) l1: Option<String>,
    /// Consensus node; anvil needs none.
    pub(super) beacon: Option<String>,
    /// Key file of an account with funds; anvil needs none.
    pub(super) key: Option<PathBuf>,
}

/// A parent chain that answers.
pub(super) struct Parent {
    pub(super) url: String,
    pub(super) facts: ParentFacts,
    choice: Choice,
    dir: PathBuf,
}

impl Choice {
    /// What is asked for, completed by what the devnet had before; anvil if nothing is said at all.
    fn complete(&self, dir: &Path) -> Result<Self, ExitError> {
        let file = dir.join(FILE);
        let noted = match std::fs::read_to_string(&file) {
            Ok(text) => Some(
                toml::from_str::<Self>(&text)
                    .wrap_err_with(|| format!("cannot read {}", file.display()))?,
            ),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                return Err(eyre!("cannot read {}: {error}", file.display()).into());
            }
        };
        let asked = self.clone();
        match noted {
            Some(_) if asked.l1.as_deref() == Some(ANVIL) => {
                let report = eyre!("this devnet is on a chain at a URL: add --fresh to start over");
                Err(ExitError::new(Exit::Spec, report))
            }
            Some(noted) => Ok(Self {
                l1: asked.l1.or(noted.l1),
                beacon: asked.beacon.or(noted.beacon),
                key: asked.key.or(noted.key),
            }),
            None => Ok(Self { l1: asked.l1.or_else(|| Some(ANVIL.to_owned())), ..asked }),
        }
    }
}

impl Parent {
    /// Starts or finds the parent that is asked for, or that the devnet had.
    pub(super) async fn start(
        devnet: &Path,
        choice: &Choice,
    ) -> Result<(Arc<Self>, Option<Anvil>), ExitError> {
        let dir = devnet.join(DIR);
        let mut choice = choice.complete(&dir)?;
        let l1 = choice.l1.clone().unwrap_or_default();
        let create = || {
            std::fs::create_dir_all(&dir)
                .wrap_err_with(|| format!("cannot create {}", dir.display()))?;
            // As it will be called from wherever the devnet is started next.
            eyre::Ok(std::fs::canonicalize(&dir)?)
        };
        if l1 == ANVIL {
            let program = find()?;
            let dir = create()?;
            let anvil = Anvil::start(&program, &dir)?;
            let (url, facts) = (anvil.url.clone(), ParentChain::facts(&anvil.url).await?);
            return Ok((Arc::new(Self { url, facts, choice, dir }), Some(anvil)));
        }
        let facts = ParentChain::facts(&l1).await?;
        let missing =
            [("--l1-beacon URL", choice.beacon.is_none()), ("--l1-key FILE", choice.key.is_none())];
        if !facts.is_anvil
            && let Some((flag, _)) = missing.iter().find(|(_, missing)| *missing)
        {
            let report = eyre!(
                "chain {} is no anvil: add {flag}, or blobs could not be read or paid for",
                facts.chain_id
            );
            return Err(ExitError::new(Exit::Spec, report));
        }
        choice.key = choice.key.map(std::path::absolute).transpose()?;
        let dir = create()?;
        secret(&dir.join(FILE), &toml::to_string(&choice).wrap_err("the devnet's l1.toml")?)?;
        Ok((Arc::new(Self { url: l1, facts, choice, dir }), None))
    }

    /// What is shown of where it is: without what may be a secret in its path, or a name with a password.
    pub(super) fn shown(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("http", &self.url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}")
    }

    /// Puts the contracts of the chain with an index there, and funds for who posts for it.
    pub(super) async fn prepare(&self, spec: &ChainSpec, index: usize) -> Result<(), ExitError> {
        let parent_id = Options::of(spec)?.chain_id;
        if parent_id != self.facts.chain_id {
            let report = eyre!(
                "{} is on chain {parent_id}, and {} is of chain {}: give --l1 of the other, or add --fresh",
                spec.name,
                self.shown(),
                self.facts.chain_id
            );
            return Err(ExitError::new(Exit::Spec, report));
        }
        let funder = match &self.choice.key {
            Some(path) => path.clone(),
            None => self.key_file("funder", || devkeys::accounts().swap_remove(0))?,
        };
        let settings = Settings::of(spec, &self.table(Some(&funder)))?;
        let account = Account::open(ParentChain::open(parent_id, &settings)?, &settings)?;
        let (bridge, deployment) = deploy::deployment_of(spec)?;
        let steps = deploy::steps_of(&bridge, &deployment);
        let (least, gift) = match self.facts.is_anvil {
            true => (LEAST, GIFT),
            false => (LEAST / 20, GIFT / 100),
        };
        let paying = [read_key(&self.payer(index)?)?, self.proposer(index)?];
        let prepared = async {
            // The parent itself tells what is there already.
            deploy::deploy_all(&account, &steps, Vec::new(), &[], &|_| Ok(())).await?;
            for to in paying.iter().map(PrivateKeySigner::address) {
                if account.chain().balance(to).await? < U256::from(least) {
                    let (value, input) = (U256::from(gift), Bytes::new());
                    let call = Call { to, value, input, most_wei: None };
                    account.call(&call, |_| Ok(())).await?;
                }
            }
            Ok::<_, DaError>(())
        };
        prepared.await.map_err(|error| {
            let from = account.address();
            ExitError::from(
                eyre::Report::new(error)
                    .wrap_err(format!("preparing {} on its parent, from {from}", spec.name)),
            )
        })
    }

    /// Settings of the DA layer for one node; the sequencer of the chain with an index has a key. All
    /// keep blobs in one folder, as consensus nodes would: anvil forgets them when it ends.
    pub(super) fn settings(&self, payer: Option<usize>) -> eyre::Result<toml::Table> {
        let key = payer.map(|index| self.payer(index)).transpose()?;
        let mut table = self.table(key.as_deref());
        let blobs = self.dir.join("blobs").to_string_lossy().into_owned();
        table.insert("archive".into(), blobs.into());
        Ok(table)
    }

    /// Key file of the account that pays for the posts of the chain with an index: one of the well-known
    /// mnemonic on anvil, else one that nobody knows.
    fn payer(&self, index: usize) -> eyre::Result<PathBuf> {
        self.key_file(&format!("payer-{index}"), || match self.facts.is_anvil {
            true => devkeys::payer(index),
            false => PrivateKeySigner::random(),
        })
    }

    /// Who proposes outputs of the chain with an index.
    pub(super) fn proposer(&self, index: usize) -> eyre::Result<PrivateKeySigner> {
        read_key(&self.proposer_file(index)?)
    }

    fn proposer_file(&self, index: usize) -> eyre::Result<PathBuf> {
        self.key_file(&format!("proposer-{index}"), || match self.facts.is_anvil {
            true => devkeys::proposer(index),
            false => PrivateKeySigner::random(),
        })
    }

    /// What proposes outputs of the chain with an index.
    pub(super) fn proposes(
        &self,
        spec: &ChainSpec,
        index: usize,
    ) -> Result<Option<Proposer>, ExitError> {
        let (bridge, _) = deploy::deployment_of(spec)?;
        if !bridge.has_contracts {
            return Ok(None);
        }

        let settings = Settings::of(spec, &self.table(Some(&self.proposer_file(index)?)))?;
        let chain = ParentChain::open(self.facts.chain_id, &settings)?;
        let every = Duration::from_secs(OUTPUTS * self.facts.interval);
        let account = Account::open(chain, &settings)?;
        Ok(Some(Proposer { account, portal: bridge.portal, every }))
    }

    fn table(&self, key: Option<&Path>) -> toml::Table {
        let mut table = toml::Table::new();
        table.insert("url".into(), self.url.clone().into());
        if let Some(beacon) = &self.choice.beacon {
            table.insert("beacon".into(), vec![beacon.clone()].into());
        }
        if self.facts.is_anvil {
            table.insert("trust_roots".into(), "development".into());
        }
        if let Some(key) = key {
            table.insert("key".into(), key.to_string_lossy().into_owned().into());
        }
        table
    }

    /// A key file of the devnet, made if it is not there.
    fn key_file(
        &self,
        name: &str,
        key: impl FnOnce() -> PrivateKeySigner,
    ) -> eyre::Result<PathBuf> {
        let path = self.dir.join(format!("{name}.key"));
        if !path.exists() {
            secret(&path, &format!("{}\n", key().to_bytes()))?;
        }
        Ok(path)
    }
}

/// Writes a file for its owner only.
fn secret(path: &Path, text: &str) -> eyre::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .wrap_err_with(|| format!("cannot write {}", path.display()))
}

/// Completes if the anvil of the devnet has ended.
pub(super) async fn ended(anvil: &mut Option<Anvil>) -> eyre::Report {
    let Some(anvil) = anvil else { return std::future::pending().await };
    loop {
        match anvil.process.try_wait() {
            Ok(None) => tokio::time::sleep(Duration::from_millis(200)).await,
            Ok(Some(status)) => return eyre!("anvil ended with {status}"),
            Err(error) => return eyre!("anvil cannot be watched: {error}"),
        }
    }
}

/// An anvil with the state of a directory. It saves its state when it ends.
pub(super) struct Anvil {
    process: Child,
    url: String,
    pid: PathBuf,
}

impl Anvil {
    fn start(program: &Path, dir: &Path) -> eyre::Result<Self> {
        end_orphan(dir);
        let log = dir.join("anvil.log");
        let errors = std::fs::File::create(&log)
            .wrap_err_with(|| format!("cannot write {}", log.display()))?;
        let process = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0", "--block-time", ANVIL_SECONDS])
            .args(["--accounts", "42", "--slots-in-an-epoch", "2", "--state-interval", "1"])
            .arg("--state")
            .arg(dir.join(STATE))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .wrap_err_with(|| format!("cannot start {}", program.display()))?;
        let mut anvil = Self { process, url: String::new(), pid: dir.join(PID) };
        std::fs::write(&anvil.pid, anvil.process.id().to_string())
            .wrap_err_with(|| format!("cannot write {}", anvil.pid.display()))?;
        let output = anvil.process.stdout.take();
        let (said, heard) = mpsc::channel();
        // It reads on, so that anvil never waits for room in the pipe.
        std::thread::spawn(move || {
            let lines = output.map(|output| BufReader::new(output).lines().map_while(Result::ok));
            for line in lines.into_iter().flatten() {
                if let Some(address) = line.strip_prefix("Listening on ") {
                    let _gone = said.send(address.trim().to_owned());
                }
            }
        });
        match heard.recv_timeout(START) {
            Ok(address) => anvil.url = format!("http://{address}"),
            Err(error) => bail!(
                "{} does not listen ({error}): see {}; --fresh starts over",
                program.display(),
                log.display()
            ),
        }
        Ok(anvil)
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // Once it was seen to have ended, its number may be another's.
        let ended = |process: &mut Child| !matches!(process.try_wait(), Ok(None));
        if !ended(&mut self.process) {
            // On SIGTERM it writes its state.
            let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
            let _asked = pid.map(|pid| kill_process(pid, Signal::TERM));
            let began = Instant::now();
            while !ended(&mut self.process) && began.elapsed() < END {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _killed = self.process.kill();
            let _ended = self.process.wait();
        }
        let _removed = std::fs::remove_file(&self.pid);
    }
}

/// Ends the anvil of a devnet that was killed: two would write one state.
pub(super) fn end_orphan(dir: &Path) {
    let Ok(text) = std::fs::read_to_string(dir.join(PID)) else { return };
    let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else { return };
    let Ok(dir) = std::fs::canonicalize(dir) else { return };
    let arguments = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
    let state = dir.join(STATE);
    let state = state.as_os_str().as_encoded_bytes();
    let is_ours = |arguments: &[u8]| arguments.split(|byte| *byte == 0).any(|part| part == state);
    if arguments.is_ok_and(|arguments| is_ours(&arguments)) {
        let _asked = kill_process(pid, Signal::TERM);
        let began = Instant::now();
        while test_kill_process(pid).is_ok() && began.elapsed() < END {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _killed = kill_process(pid, Signal::KILL);
    }
    let _removed = std::fs::remove_file(dir.join(PID));
}

/// The program on PATH, or that of npm's package in a folder here or above.
fn find() -> Result<PathBuf, ExitError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut on_path = std::env::split_paths(&path).map(|dir| dir.join("anvil"));
    let in_modules = |dir: &Path| {
        let packages = std::fs::read_dir(dir.join("node_modules/@foundry-rs")).ok()?;
        let programs = packages.filter_map(Result::ok).map(|entry| entry.path().join("bin/anvil"));
        programs.filter(|file| file.is_file()).min()
    };
    let here = std::env::current_dir().unwrap_or_default();
    let found = on_path.find(|file| file.is_file());
    found.or_else(|| here.ancestors().find_map(in_modules)).ok_or_else(|| {
        let report = eyre!(
            "no anvil: it is neither on PATH nor in a node_modules folder here or above. Get it with \
             `npm install @foundry-rs/anvil` or from https://getfoundry.sh, or give --l1 URL of a chain \
             that runs"
        );
        ExitError::new(Exit::Unreachable, report)
    })
}
