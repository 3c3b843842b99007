//! `causeway metalayer record`: changes of the directory, signed by governance.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, keccak256};
use alloy_signer::SignerSync;
use causeway_chainspec::Clock;
use causeway_chainspec::directory::{Change, ForcedMessage, Member, Record, SignedRecord};
use causeway_chainspec::spec::network;
use clap::{Args, Subcommand};
use eyre::{WrapErr, bail, ensure, eyre};
use futures::future::join_all;
use serde_json::{Value, json};

use super::client::{CallError, Chains, Endpoint, member_domain};
use super::dispatch::directory;
use super::forced::force_all;
use super::wallet::KeyArgs;
use crate::cli::print;
use crate::clock::SystemClock;
use crate::exit::{CommandResult, Exit, ExitError};

/// How long the members may take to take a record in.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(200);

/// Change the directory by a record that governance signs.
///
/// The record goes into the forced lane of every member that is known, and must reach all: name
/// each of them. Its number is one more than that of the newest record they hold. Ends when all of
/// them hold it: that takes as long as the forced lane, forced_delay of their chain specs.
#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    #[command(subcommand)]
    change: ChangeArgs,
}

#[derive(Debug, Subcommand)]
enum ChangeArgs {
    /// Make a chain a member.
    Add(Add),
    /// Stop sends to a member and deliveries from it, at once.
    Pause(Subject),
    /// End a pause.
    Resume(Subject),
}

/// The new member: a running node of it tells everything, or all four values are given.
#[derive(Debug, Args)]
struct Add {
    /// JSON-RPC of a node of the new member.
    #[arg(long, value_name = "URL", required_unless_present_all = ["name", "domain", "identity", "rules"])]
    node: Option<String>,
    /// Its name.
    #[arg(long)]
    name: Option<String>,
    /// Its Hyperlane domain.
    #[arg(long)]
    domain: Option<u32>,
    /// Its chain identity (`causeway chainspec hash`).
    #[arg(long)]
    identity: Option<B256>,
    /// Its rules hash (`causeway chainspec hash`).
    #[arg(long)]
    rules: Option<B256>,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Debug, Args)]
struct Subject {
    /// The member: name or domain.
    member: String,
    #[command(flatten)]
    terms: Terms,
}

/// What every record has.
#[derive(Debug, Args)]
struct Terms {
    #[command(flatten)]
    key: KeyArgs,
    /// The network's metalayer.toml: the members must be of that network. What they say themselves
    /// is taken if it is not given.
    #[arg(long, value_name = "FILE")]
    network_file: Option<PathBuf>,
    /// Block time from which it holds, unix ms: for a new member the time a member may lag from
    /// now on, else now.
    #[arg(long, value_name = "MS")]
    at: Option<u64>,
    /// Number of the record, to send one again that did not reach every member; with the same
    /// --at, or it is another record.
    #[arg(long, requires = "at")]
    sequence: Option<u64>,
    /// End when it is in the forced lanes. Until all members hold it, no other record can follow.
    #[arg(long)]
    no_wait: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl RecordArgs {
    /// Runs the command.
    pub(super) async fn run(self, chains: &Chains) -> CommandResult {
        let directories = join_all(chains.0.iter().map(directory)).await;
        let directories = directories.into_iter().collect::<Result<Vec<_>, _>>()?;
        let names: Vec<_> = chains.0.iter().map(|chain| chain.name.as_str()).collect();
        let again = self.change.terms().sequence.is_some();
        let newest = agreed(&names, &directories, again)?;
        for member in missing(&names, newest) {
            eprintln!(
                "{member} is not among the chains asked: until it has the record, too, lanes to it stall"
            );
        }
        let now_ms = SystemClock.now_ms();
        let (change, terms, default_at) = match self.change {
            ChangeArgs::Add(add) => {
                let lag = newest["maxLagMs"].as_u64().unwrap_or_default();
                let member = add.member().await?;
                (Change::Add(member), add.terms, now_ms.saturating_add(lag))
            }
            ChangeArgs::Pause(subject) => {
                let domain = member_domain(newest, &subject.member)?;
                (Change::Pause(domain), subject.terms, now_ms)
            }
            ChangeArgs::Resume(subject) => {
                let domain = member_domain(newest, &subject.member)?;
                (Change::Resume(domain), subject.terms, now_ms)
            }
        };
        let signed = terms.sign(newest, change, default_at)?;
        let (sequence, at) = (signed.record.sequence, signed.record.active_ms);
        let bytes = ForcedMessage::Record(signed).encode();
        let hash = keccak256(&bytes);
        let text = match terms.json {
            true => json!({ "sequence": sequence, "hash": hash, "at": at }).to_string(),
            false => format!("record {sequence}  {hash}\nholds from {at} ms"),
        };
        print(&format!("{text}\n"))?;
        force_all(chains, &bytes).await?;
        if !terms.no_wait {
            held(chains, sequence).await?;
        }
        Ok(Exit::Success)
    }
}

/// Waits until every chain holds a record.
async fn held(chains: &Chains, sequence: u64) -> eyre::Result<()> {
    eprintln!("waiting until all members hold it; it is safe to interrupt this");
    let started = Instant::now();
    let mut missing: Vec<_> = chains.0.iter().collect();
    loop {
        let asked = join_all(missing.iter().map(|chain| directory(chain))).await;
        let mut asked = asked.into_iter();
        missing.retain(|chain| {
            let held = asked.next().and_then(Result::ok);
            let held = held.and_then(|directory| directory["sequence"].as_u64());
            let holds = held.is_some_and(|held| held >= sequence);
            if holds {
                eprintln!("{}: holds record {sequence}", chain.name);
            }
            !holds
        });
        if missing.is_empty() {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            let names: Vec<_> = missing.iter().map(|chain| chain.name.as_str()).collect();
            bail!(
                "record {sequence} is in the forced lanes, but after {} s {} did not take it in",
                PATIENCE.as_secs(),
                names.join(", ")
            );
        }
        tokio::time::sleep(POLL).await;
    }
}

impl ChangeArgs {
    fn terms(&self) -> &Terms {
        match self {
            Self::Add(add) => &add.terms,
            Self::Pause(subject) | Self::Resume(subject) => &subject.terms,
        }
    }
}

impl Add {
    async fn member(&self) -> Result<Member, ExitError> {
        let told = match &self.node {
            Some(url) => {
                let endpoint = Endpoint::new(url)?;
                endpoint.call("rollup_chainSpec", json!([])).await.map_err(CallError::exit)?
            }
            None => Value::Null,
        };
        let hash = |given: Option<B256>, field: &str| {
            let told = || serde_json::from_value(told[field].clone()).ok();
            given.or_else(told).ok_or_else(|| eyre!("the node tells no {field}: give it"))
        };
        let name = self.name.clone().or_else(|| told["shortName"].as_str().map(str::to_owned));
        let name = name.ok_or_else(|| eyre!("the node tells no name: give --name"))?;
        let domain = told["metalayer"]["domain"].as_u64();
        let domain = self.domain.or_else(|| domain.and_then(|domain| u32::try_from(domain).ok()));
        let domain = domain.ok_or_else(|| eyre!("the node tells no domain: give --domain"))?;
        if name.is_empty() || name.len() > 31 {
            return Err(eyre!("{name:?}: a name has 1 to 31 bytes").into());
        }
        let (identity, rules) = (hash(self.identity, "identity")?, hash(self.rules, "rulesHash")?);
        Ok(Member { name, domain, identity, rules })
    }
}

impl Terms {
    fn sign(&self, directory: &Value, change: Change, at: u64) -> eyre::Result<SignedRecord> {
        let newest = directory["sequence"]
            .as_u64()
            .ok_or_else(|| eyre!("a member tells no sequence of its directory"))?;
        let network: B256 = serde_json::from_value(directory["networkHash"].clone())?;
        if let Some(path) = &self.network_file {
            let text = std::fs::read_to_string(path)
                .wrap_err_with(|| format!("cannot read {}", path.display()))?;
            let seed = network::parse(&text).wrap_err_with(|| path.display().to_string())?;
            ensure!(
                seed.hash() == network,
                "the members are of network {network}, {} is {}",
                path.display(),
                seed.hash()
            );
        }
        let record = Record {
            network,
            sequence: self.sequence.unwrap_or(newest + 1),
            active_ms: self.at.unwrap_or(at),
            change,
        };
        let signer = self.key.signer()?;
        let governance: Address = serde_json::from_value(directory["governance"].clone())?;
        ensure!(
            signer.address() == governance,
            "the key is that of {}, but {governance} governs {}: members would ignore the record",
            signer.address(),
            directory["network"]
        );
        let signature = signer.sign_hash_sync(&record.digest())?;
        Ok(SignedRecord { record, signature: signature.as_bytes().into() })
    }
}

/// Members that a record is not sent to.
fn missing<'a>(names: &[&str], directory: &'a Value) -> Vec<&'a str> {
    let members = directory["members"].as_array().into_iter().flatten();
    let members = members.filter_map(|member| member["name"].as_str());
    members.filter(|member| !names.contains(member)).collect()
}

/// The newest directory, if all are of one network and hold the same records; they need not if a
/// record is sent again that only some have.
pub(super) fn agreed<'a>(
    names: &[&str],
    directories: &'a [Value],
    again: bool,
) -> eyre::Result<&'a Value> {
    let newest = directories
        .iter()
        .max_by_key(|directory| directory["sequence"].as_u64())
        .ok_or_else(|| eyre!("no member is known"))?;
    for (name, directory) in names.iter().zip(directories) {
        if directory["networkHash"] != newest["networkHash"] {
            bail!("{name} belongs to another network: {}", directory["networkHash"]);
        }
        if !again && directory["sequence"] != newest["sequence"] {
            bail!(
                "{name} holds record {}, others hold {}: wait until all hold the newest, or send \
                 that one again",
                directory["sequence"],
                newest["sequence"]
            );
        }
    }
    Ok(newest)
}
