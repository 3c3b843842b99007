//! `metalayer.toml`: the network a member begins in. Every member has the same file, and each is
//! in it with hashes that do not depend on the file.

mod member;
#[cfg(test)]
pub(in crate::spec) mod tests;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use alloy_primitives::{Address, U256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{Addr, CoinFile, Digest, MetalayerFile, Ms, Wei, tidy};
use super::issue::Report;
use super::parse::{self, Inputs};
use super::resolve::missing;
use super::shape::{self, did_you_mean, inside};
use super::units::show_duration;
use super::{Invalid, MetalayerSpec};
use crate::directory::{Directory, SeedMember, SeedTransfer};
use crate::mailbox::Coin;

pub(super) use member::{arriving, check_listed, check_member};

/// Name of the file if a spec names no other.
pub const FILE_NAME: &str = "metalayer.toml";
/// Most members from the start.
pub const MAX_MEMBERS: usize = 64;
/// Most transfers from the start: block 0 of the hub sends them all.
pub const MAX_TRANSFERS: usize = 256;
/// Least `max_lag`: the sources' finality and a few blocks fit into it.
pub const LEAST_LAG_MS: u64 = 30_000;
/// Least lifetime of messages.
pub const LEAST_TTL_MS: u64 = 60_000;
/// Where the seed lies if it is in the spec itself.
const INLINE: &str = "metalayer.seed";

/// `metalayer.toml`: the network that its members begin in; the same file for all of them.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "metalayer.toml", deny_unknown_fields)]
pub(super) struct NetworkFile {
    /// Version of this file's layout: 1.
    version: Option<u64>,
    /// Name of the network: 1 to 31 of a-z, 0-9 and -.
    network: Option<String>,
    /// Address of the key that signs changes of the directory.
    governance: Option<Addr>,
    /// Name of the member at which the shared coin is at home.
    hub: Option<String>,
    /// A member of which nothing was taken in for so long is stalled; at least 30s. Default 1h.
    max_lag: Option<Ms>,
    /// Members by ascending domain, at most 64.
    members: Vec<MemberFile>,
    /// Coins that the hub's block 0 sends to other members, at most 256.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transfers: Vec<TransferFile>,
}

/// A member from the start. `causeway chainspec hash` prints both hashes.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
struct MemberFile {
    /// Name: 1 to 31 of a-z, 0-9 and -.
    name: Option<String>,
    /// Hyperlane domain, 1 to 2^32 - 1.
    domain: Option<u64>,
    /// Hash of the genesis part of its spec, without this file.
    base: Option<Digest>,
    /// Its rules hash at genesis.
    rules: Option<Digest>,
}

/// Coins of the hub on their way to a member.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
struct TransferFile {
    /// Name of the member.
    to: Option<String>,
    /// Who gets them.
    recipient: Option<Addr>,
    /// How much.
    amount: Option<Wei>,
}

/// JSON Schema (2020-12) of `metalayer.toml`.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(NetworkFile).to_value();
    tidy(&mut schema);
    schema["required"] = serde_json::json!(["version", "network", "governance", "hub", "members"]);
    schema["$defs"]["MemberFile"]["required"] =
        serde_json::json!(["name", "domain", "base", "rules"]);
    schema["$defs"]["TransferFile"]["required"] = serde_json::json!(["to", "recipient", "amount"]);
    schema
}

/// [`schema`], made once.
static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(schema);

/// Reads a `metalayer.toml` by itself: whether its members are as it says takes their specs.
pub fn parse(text: &str) -> Result<Directory, Invalid> {
    let mut report = Report::default();
    let seed = read(text, "", &mut report);
    let failed = report.failed();
    match seed {
        Some(seed) if !failed => Ok(seed),
        _ => Err(Invalid { issues: report.finish(text) }),
    }
}

impl Directory {
    /// The text of a `metalayer.toml` that reads back as this seed.
    pub fn to_toml(&self) -> String {
        let fields =
            toml::to_string(&file(self)).expect("the fields of a file are texts, numbers, tables");
        format!(
            "# The network that its members begin in: the same file for each of them. Fixed for ever:\n\
             # later changes are records signed by governance.\n{fields}"
        )
    }
}

/// The seed as a file.
pub(super) fn file(seed: &Directory) -> NetworkFile {
    let name = |domain| seed.member(domain).map(|member| member.name.clone());
    NetworkFile {
        version: Some(1),
        network: Some(seed.network.clone()),
        governance: Some(Addr(seed.governance)),
        hub: name(seed.hub),
        max_lag: Some(Ms(seed.max_lag_ms)),
        members: seed
            .members
            .iter()
            .map(|member| MemberFile {
                name: Some(member.name.clone()),
                domain: Some(member.domain.into()),
                base: Some(Digest(member.base)),
                rules: Some(Digest(member.rules)),
            })
            .collect(),
        transfers: seed
            .transfers
            .iter()
            .map(|transfer| TransferFile {
                to: name(transfer.to),
                recipient: Some(Addr(transfer.recipient)),
                amount: Some(Wei(transfer.amount)),
            })
            .collect(),
    }
}

/// Where the seed of a spec lies, as findings name it.
pub(super) fn place(file: &MetalayerFile) -> String {
    match &file.seed {
        Some(_) => INLINE.to_owned(),
        None => format!("{}:", file.directory.as_deref().unwrap_or(FILE_NAME)),
    }
}

/// Resolves `[metalayer]`.
pub(super) fn membership(
    file: MetalayerFile,
    chain_id: u64,
    inputs: &Inputs<'_>,
    report: &mut Report,
) -> MetalayerSpec {
    let domain = file.domain.unwrap_or(chain_id);
    let domain = u32::try_from(domain).ok().filter(|domain| *domain > 0).unwrap_or_else(|| {
        if file.domain.is_some() {
            let reason = format!("{domain} is no Hyperlane domain");
            report.error("CS0070", "metalayer.domain", reason, "use 1 to 4294967295");
        }
        1
    });
    if !file.enabled.unwrap_or(false) {
        idle(&file, report);
        return MetalayerSpec::none(domain);
    }
    let directory = match (file.seed, file.directory) {
        (Some(_), Some(_)) => {
            let reason = "directory and seed say the same thing";
            report.error("CS0070", "metalayer.directory", reason, "keep one of them");
            None
        }
        (Some(seed), None) => Some(resolve(seed, INLINE, report)),
        (None, name) => open(name.as_deref().unwrap_or(FILE_NAME), inputs, report),
    };
    let is_hub = directory.as_ref().is_some_and(|seed| seed.hub == domain);
    let coin = match file.coin.unwrap_or(CoinFile::Own) {
        CoinFile::Own if is_hub => Coin::Home,
        CoinFile::Own => Coin::Own,
        CoinFile::Hub if is_hub => {
            let reason = "this chain is the hub: the coin is its own";
            report.error(
                "CS0070",
                "metalayer.coin",
                reason,
                "write coin = \"own\", or leave it out",
            );
            Coin::Home
        }
        CoinFile::Hub => Coin::Hub,
    };
    let ttl_ms = file.ttl.map_or(24 * 3_600_000, |ttl| ttl.0);
    if ttl_ms < LEAST_TTL_MS || !ttl_ms.is_multiple_of(1000) {
        let reason = format!("{} is no lifetime of messages", show_duration(&ttl_ms));
        report.error("CS0070", "metalayer.ttl", reason, "use whole seconds, 1m or more");
    }
    MetalayerSpec { enabled: true, domain, coin, ttl_ms, directory }
}

/// Refuses what does nothing because the chain is no member.
fn idle(file: &MetalayerFile, report: &mut Report) {
    let given = [
        ("coin", file.coin.is_some()),
        ("ttl", file.ttl.is_some()),
        ("directory", file.directory.is_some()),
        ("seed", file.seed.is_some()),
    ];
    for (field, _) in given.into_iter().filter(|(_, given)| *given) {
        let reason = "this does nothing: the chain is no member of the Metalayer";
        let fix = "write enabled = true in [metalayer], or remove this";
        report.error("CS0070", format!("metalayer.{field}"), reason, fix);
    }
}

/// Reads the file that a spec names.
fn open(name: &str, inputs: &Inputs<'_>, report: &mut Report) -> Option<Directory> {
    let text = (inputs.read)(name)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is no text".to_owned()));
    match text {
        Ok(text) => {
            report.source(name, &text);
            read(&text, &format!("{name}:"), report)
        }
        Err(reason) => {
            let fix = "put the network's metalayer.toml there, or name it in metalayer.directory, \
                       relative to chain.toml";
            report.error("CS0006", "metalayer.directory", format!("{name}: {reason}"), fix);
            None
        }
    }
}

fn read(text: &str, place: &str, report: &mut Report) -> Option<Directory> {
    let mut table = parse::table(text, place, report)?;
    shape::check(&mut table, &SCHEMA, place, report);
    match table.try_into::<NetworkFile>() {
        Ok(file) => Some(resolve(file, place, report)),
        Err(error) => {
            report.error("CS0004", place, error.to_string(), "see `causeway chainspec schema`");
            None
        }
    }
}

/// Builds the seed. What is missing or wrong is reported and stands as a placeholder.
fn resolve(file: NetworkFile, place: &str, report: &mut Report) -> Directory {
    let at = |field: &str| inside(place, field);
    match file.version {
        Some(1) => {}
        None if report.speaks_of(&at("version")) => {}
        None => {
            report.error("CS0005", at("version"), "the version is missing", "write version = 1");
        }
        Some(other) => {
            let reason = format!("this binary reads version 1, the file has {other}");
            report.error("CS0009", at("version"), reason, "write version = 1, or upgrade causeway");
        }
    }
    let network =
        file.network.unwrap_or_else(|| missing(report, &at("network"), "network = \"mynet\""));
    name(&network, &at("network"), report);
    let governance = file.governance.map_or_else(
        || missing(report, &at("governance"), "governance = \"0x...\""),
        |address| address.0,
    );
    if governance.is_zero() && !report.speaks_of(&at("governance")) {
        let fix = "write the address of the key that is to sign changes";
        report.error("CS0061", at("governance"), "the zero address is nobody's key", fix);
    }
    let max_lag_ms = file.max_lag.map_or(3_600_000, |lag| lag.0);
    if max_lag_ms < LEAST_LAG_MS {
        let reason = format!("{} is too short", show_duration(&max_lag_ms));
        report.error("CS0071", at("max_lag"), reason, "use 30s or more");
    }
    let members = members(file.members, &at("members"), report);
    let hub = file.hub.unwrap_or_else(|| missing(report, &at("hub"), "hub = \"alpha\""));
    let unnamed =
        (0..members.len()).any(|index| report.speaks_of(&at(&format!("members[{index}].name"))));
    let names = Names { members: &members, complete: !unnamed };
    let hub = names.find(&hub, &at("hub"), report);
    let transfers = transfers(file.transfers, (&names, hub), &at("transfers"), report);
    Directory { network, governance, hub, max_lag_ms, members, transfers }
}

fn name(text: &str, path: &str, report: &mut Report) {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let fits = (1..=31).contains(&text.len()) && text.bytes().all(plain);
    if !fits && !report.speaks_of(path) {
        let reason = format!("{text:?} is no name");
        report.error("CS0071", path, reason, "write 1 to 31 of a-z, 0-9 and -");
    }
}

fn members(files: Vec<MemberFile>, path: &str, report: &mut Report) -> Vec<SeedMember> {
    if (files.is_empty() || files.len() > MAX_MEMBERS) && !report.speaks_of(path) {
        let reason = format!("{} members", files.len());
        report.error("CS0071", path, reason, format!("list 1 to {MAX_MEMBERS}"));
    }
    let (mut names, mut last) = (BTreeSet::new(), 0);
    let mut members = Vec::with_capacity(files.len());
    for (index, file) in files.into_iter().enumerate() {
        let at = |field: &str| format!("{path}[{index}].{field}");
        let called = file.name.unwrap_or_else(|| missing(report, &at("name"), "name = \"alpha\""));
        name(&called, &at("name"), report);
        if !names.insert(called.clone()) && !report.speaks_of(&at("name")) {
            let reason = format!("{called:?} is there twice");
            report.error("CS0071", at("name"), reason, "give each member a name of its own");
        }
        let domain = file.domain.unwrap_or_else(|| missing(report, &at("domain"), "domain = 901"));
        let fits = u32::try_from(domain).ok().filter(|domain| *domain > 0);
        if fits.is_none() && !report.speaks_of(&at("domain")) {
            let reason = format!("{domain} is no Hyperlane domain");
            report.error("CS0071", at("domain"), reason, "use 1 to 4294967295");
        }
        let domain = fits.unwrap_or_default();
        if fits.is_some() && domain <= last {
            let reason = format!("domain {domain} comes after {last}");
            let fix = "give each member a domain of its own, and order them by it";
            report.error("CS0071", at("domain"), reason, fix);
        }
        last = last.max(domain);
        let mut hash = |file: Option<Digest>, field: &str| {
            let example = format!(
                "{field} = \"0x...\"; with 64 zeros there, `causeway chainspec check` of that chain \
                 says what it is"
            );
            file.map_or_else(|| missing(report, &at(field), &example), |hash| hash.0)
        };
        let (base, rules) = (hash(file.base, "base"), hash(file.rules, "rules"));
        members.push(SeedMember { name: called, domain, base, rules });
    }
    members
}

/// Members to look up by name.
struct Names<'a> {
    members: &'a [SeedMember],
    /// Whether each has the name it should have: otherwise one that is not there says nothing.
    complete: bool,
}

impl Names<'_> {
    /// Domain of a member; 0 if there is none, which is reported.
    fn find(&self, name: &str, path: &str, report: &mut Report) -> u32 {
        let found = self.members.iter().find(|member| member.name == name);
        if found.is_none() && self.complete && !report.speaks_of(path) {
            let names: Vec<_> = self.members.iter().map(|member| member.name.as_str()).collect();
            let reason = format!("{name:?} is no member{}", did_you_mean(name, &names));
            report.error("CS0071", path, reason, format!("write one of {}", names.join(", ")));
        }
        found.map_or(0, |member| member.domain)
    }
}

fn transfers(
    files: Vec<TransferFile>,
    (names, hub): (&Names<'_>, u32),
    path: &str,
    report: &mut Report,
) -> Vec<SeedTransfer> {
    if files.len() > MAX_TRANSFERS {
        let reason = format!("{} transfers do not fit into the hub's block 0", files.len());
        report.error("CS0072", path, reason, format!("list at most {MAX_TRANSFERS}"));
    }
    let mut total = U256::ZERO;
    let mut transfers = Vec::with_capacity(files.len());
    for (index, file) in files.into_iter().enumerate() {
        let at = |field: &str| format!("{path}[{index}].{field}");
        let to = file.to.unwrap_or_else(|| missing(report, &at("to"), "to = \"beta\""));
        let to = names.find(&to, &at("to"), report);
        if to == hub && to != 0 {
            let fix = "give it funds in genesis.alloc of its chain.toml, or name another member";
            report.error("CS0072", at("to"), "the hub sends nothing to itself", fix);
        }
        let recipient: Address = file.recipient.map_or_else(
            || missing(report, &at("recipient"), "recipient = \"0x...\""),
            |address| address.0,
        );
        if recipient.is_zero() && !report.speaks_of(&at("recipient")) {
            let fix = "write the address of somebody who is to own this";
            report.error("CS0061", at("recipient"), "the zero address is nobody's", fix);
        }
        let amount = file
            .amount
            .map_or_else(|| missing(report, &at("amount"), "amount = \"1000 ether\""), |wei| wei.0);
        if amount.is_zero() && !report.speaks_of(&at("amount")) {
            report.error("CS0072", at("amount"), "nothing is sent", "write an amount or remove it");
        }
        total = total.saturating_add(amount);
        transfers.push(SeedTransfer { to, recipient, amount });
    }
    if total > U256::from(u128::MAX) {
        let reason = "together the transfers are 2^128 wei or more";
        report.error("CS0072", path, reason, "send less");
    }
    transfers
}
