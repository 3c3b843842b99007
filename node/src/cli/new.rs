//! `causeway new`: makes the directory of a chain, with its spec, settings and fresh keys.

mod artifacts;
mod text;

use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::ChainSpec;
use causeway_chainspec::spec::presets::{DEV_ACCOUNTS, Keys, Template};
use causeway_chainspec::spec::{Issue, Kind};
use causeway_da::ethereum::{ParentChain, ParentFacts};
use clap::{Args, ValueEnum};
use eyre::{WrapErr, bail, eyre};
use serde_json::json;

use self::text::{LOCAL_DA, node_toml, parent_da, readme};
use super::chainspec::parse_here;
use super::parent::{Terms, put_on};
use super::preset::Preset;
use super::{block_on, print};
use crate::exit::{CommandResult, Exit};

/// Make a chain: chain.toml, node.toml and fresh keys in a new directory
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Directory to make; must not exist or be empty
    dir: PathBuf,
    /// Name of the chain; that of the directory if not given
    #[arg(long)]
    name: Option<String>,
    /// EIP-155 chain id; a random one if not given
    #[arg(long)]
    chain_id: Option<u64>,
    /// What the chain is for
    #[arg(long, value_enum, default_value = "devnet")]
    kind: KindArg,
    /// Virtual machine
    #[arg(long, default_value = "evm")]
    vm: String,
    /// Data availability layer
    #[arg(long, default_value = "local")]
    da: String,
    /// Execution node of the parent chain, for --da ethereum: its chain id and newest block go into
    /// the spec, its address into node.toml
    #[arg(long, value_name = "URL")]
    l1: Option<String>,
    /// Consensus node of the parent chain, for node.toml
    #[arg(long, value_name = "URL", requires = "l1")]
    l1_beacon: Option<String>,
    /// Sequencer mode
    #[arg(long, default_value = "single")]
    sequencer: String,
    /// What the chain is tuned for; the flags below change single choices of it
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Time between blocks while there are transactions; 1s if neither this nor a preset is given
    #[arg(long)]
    block_time: Option<String>,
    /// Time between blocks while there are none; 2s or the block time if not given
    #[arg(long)]
    idle: Option<String>,
    /// Gas limit of a block
    #[arg(long, default_value = "30M")]
    gas_limit: String,
    /// Gas a second, on average; the gas limit if not given
    #[arg(long)]
    gas_rate: Option<String>,
    /// How late a block may reach DA; 10m on a devnet, else 1h, if not given
    #[arg(long)]
    window: Option<String>,
    /// Symbol of the gas token
    #[arg(long)]
    symbol: Option<String>,
    /// Give an account funds at genesis: ADDRESS or ADDRESS=AMOUNT, as 0x...=50 ether
    #[arg(long, value_name = "ADDRESS[=AMOUNT]")]
    fund: Vec<String>,
    /// Install the well-known contracts found in this npm package or build directory
    #[arg(long, value_name = "DIR")]
    preinstalls: Vec<PathBuf>,
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
    /// Print what was made as JSON; asks nothing
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindArg {
    /// Well-known funded accounts; nothing of value
    Devnet,
    /// Public, without value
    Testnet,
    /// Real value
    Mainnet,
}

impl KindArg {
    /// How long an output stands before coins leave by it.
    fn challenge(self) -> &'static str {
        match self {
            Self::Devnet => "1m",
            Self::Testnet => "1h",
            Self::Mainnet => "7d",
        }
    }
}

/// What is written: path in the directory, content, whether it is secret.
type Files = Vec<(String, String, bool)>;

impl NewArgs {
    /// Makes the directory; `now_ms` becomes the time of block 0. Nothing is written unless the
    /// spec is valid. Returns the exit code.
    pub fn run(mut self, now_ms: u64) -> CommandResult {
        refuse_used(&self.dir)?;
        if !self.yes && !self.json && std::io::stdin().is_terminal() {
            self.ask()?;
        }
        let parent = self.parent()?;
        let [sequencer, poster, da, owner, proposer] = [(); 5].map(|()| PrivateKeySigner::random());
        let keys =
            Keys { sequencer: sequencer.address(), poster: poster.address(), da: da.address() };
        let (mut template, mut files) = self.template(keys, now_ms)?;
        if let Some(facts) = &parent {
            let terms = Terms {
                owner: owner.address(),
                proposer: proposer.address(),
                challenge: self.kind.challenge(),
            };
            put_on(&mut template, facts, &terms, &|name| file_of(name, &files))
                .wrap_err(NOTHING_WRITTEN)?;
        }
        let text = template.to_toml();
        let (spec, warnings) = check(&text, &files)?;
        files.push(("chain.toml".to_owned(), text, false));
        let settings = match &parent {
            Some(facts) => node_toml(&parent_da(
                facts,
                self.l1.as_deref().unwrap_or_default(),
                self.l1_beacon.as_deref(),
            )),
            None if self.da == "local" => node_toml(LOCAL_DA),
            None => node_toml("\n# Settings of the DA backend.\n[da]\n"),
        };
        // Addresses of nodes hold keys, often.
        files.push(("node.toml".to_owned(), settings, parent.is_some()));
        files.push(("README.md".to_owned(), readme(&spec), false));
        files.push((".gitignore".to_owned(), "keys/\ndata/\nda/\nblobs/\n".to_owned(), false));
        let mut signers = vec![("sequencer", sequencer), ("poster", poster)];
        if self.da == "local" {
            signers.push(("da", da));
        }
        let payer = PrivateKeySigner::random();
        let pays = [payer.address(), proposer.address()];
        if parent.is_some() {
            signers.extend([("owner", owner), ("proposer", proposer), ("l1", payer)]);
        }
        for (name, signer) in &signers {
            files.push((format!("keys/{name}.key"), format!("{}\n", signer.to_bytes()), true));
        }
        write_all(&self.dir, &files)?;
        self.tell(&spec, &files, parent.map(|_| pays))?;
        warnings.iter().for_each(|warning| eprintln!("{warning}"));
        Ok(Exit::Success)
    }

    /// The parent chain, asked.
    fn parent(&self) -> eyre::Result<Option<ParentFacts>> {
        match (&self.l1, self.da.as_str()) {
            (Some(url), "ethereum") => {
                let facts = block_on(ParentChain::facts(url))??;
                if facts.is_anvil && matches!(self.kind, KindArg::Mainnet) {
                    bail!("--l1 is an anvil, and --kind mainnet has value: nothing was written");
                }
                Ok(Some(facts))
            }
            (Some(_), other) => bail!("--l1 names a parent chain, and --da {other} has none"),
            (None, "ethereum") => bail!(
                "--da ethereum needs --l1 URL, an execution node of the parent chain: the spec names \
                 its chain id, and the block from which on blobs count"
            ),
            (None, _) => Ok(None),
        }
    }

    fn default_name(&self) -> String {
        let absolute = std::path::absolute(&self.dir).unwrap_or_else(|_| self.dir.clone());
        let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| "chain".to_owned())
    }

    fn ask(&mut self) -> eyre::Result<()> {
        if self.name.is_none() {
            self.name = Some(ask("Name of the chain", &self.default_name())?);
        }
        if self.chain_id.is_none() {
            let answer = ask("Chain id", &random_chain_id().to_string())?;
            let id = answer.parse().map_err(|_| eyre!("{answer:?} is no chain id"))?;
            self.chain_id = Some(id);
        }
        if self.symbol.is_none() {
            self.symbol = Some(ask("Symbol of the gas token", "ETH")?);
        }
        Ok(())
    }

    fn template(&self, keys: Keys, now_ms: u64) -> eyre::Result<(Template, Files)> {
        let kind = match self.kind {
            KindArg::Devnet => Kind::Devnet,
            KindArg::Testnet => Kind::Testnet,
            KindArg::Mainnet => Kind::Mainnet,
        };
        let window = if kind == Kind::Devnet { "10m" } else { "1h" };
        let name = self.name.clone().unwrap_or_else(|| self.default_name());
        let chain_id = self.chain_id.unwrap_or_else(random_chain_id);
        let mut template = Template::devnet(&name, chain_id, &self.vm, keys, now_ms / 1000 * 1000);
        template.kind = kind;
        template.da.clone_from(&self.da);
        template.sequencer.clone_from(&self.sequencer);
        "1s".clone_into(&mut template.block_time);
        template.idle.clear();
        if let Some(preset) = self.preset {
            preset.apply(&mut template);
        }
        let given = |flag: &Option<String>, choice: &mut String| {
            if let Some(flag) = flag {
                choice.clone_from(flag);
            }
        };
        given(&self.block_time, &mut template.block_time);
        given(&self.idle, &mut template.idle);
        template.gas_limit.clone_from(&self.gas_limit);
        template.gas_rate = self.gas_rate.clone().unwrap_or_else(|| self.gas_limit.clone());
        template.window = self.window.clone().unwrap_or_else(|| window.to_owned());
        template.symbol = self.symbol.clone().unwrap_or_else(|| "ETH".to_owned());
        template.funds = self.funds(kind)?;
        let mut files = Vec::new();
        for dir in &self.preinstalls {
            let found = artifacts::find(dir)?;
            if found.is_empty() {
                bail!("{} has no artifact of a contract this program knows", dir.display());
            }
            for contract in found {
                let file = format!("preinstalls/{}.hex", contract.name);
                files.push((file.clone(), format!("{}\n", contract.creation_code), false));
                template.preinstalls.push((contract.name, contract.address, file));
            }
        }
        Ok((template, files))
    }

    fn funds(&self, kind: Kind) -> eyre::Result<Vec<(Address, String)>> {
        let mut funds = Vec::new();
        if kind == Kind::Devnet {
            funds.extend(DEV_ACCOUNTS.map(|address| (address, "10000 ether".to_owned())));
        }
        for entry in &self.fund {
            let (address, amount) = entry.split_once('=').unwrap_or((entry, "1000 ether"));
            let address: Address =
                address.trim().parse().wrap_err_with(|| format!("--fund {entry}: no address"))?;
            funds.retain(|(other, _)| *other != address);
            funds.push((address, amount.trim().to_owned()));
        }
        Ok(funds)
    }

    fn tell(
        &self,
        spec: &ChainSpec,
        files: &Files,
        pays: Option<[Address; 2]>,
    ) -> eyre::Result<()> {
        let paths: Vec<_> = files.iter().map(|(path, ..)| path.as_str()).collect();
        if self.json {
            let made = json!({
                "dir": self.dir,
                "name": spec.name,
                "chain_id": spec.chain_id,
                "kind": spec.kind.name(),
                "identity": spec.identity(),
                "sequencer": spec.sequencer.keys_at(0),
                "poster": spec.sequencer.posters_at(0),
                "l1Payer": pays.map(|[payer, _]| payer),
                "l1Proposer": pays.map(|[_, proposer]| proposer),
                "preinstalls": spec
                    .genesis
                    .preinstalls
                    .iter()
                    .map(|contract| json!({ "name": contract.name, "address": contract.address }))
                    .collect::<Vec<_>>(),
                "files": paths,
            });
            return print(&format!("{made:#}\n"));
        }
        let (dir, name, id) = (self.dir.display(), &spec.name, spec.chain_id);
        let (paths, identity) = (paths.join(", "), spec.identity());
        let next = match pays {
            Some([pays, proposes]) => format!(
                "send funds on the parent chain to {pays} (contracts, posts) and {proposes} (outputs), then\n       cd {dir} && causeway deploy apply && causeway run"
            ),
            None => format!("cd {dir} && causeway run"),
        };
        print(&format!(
            "{name} (chain id {id}) is in {dir}: {paths}\nidentity {identity}\nnext:  {next}\n"
        ))
    }
}

const NOTHING_WRITTEN: &str = "these choices make no valid chain; nothing was written";

/// Checks the text before anything is written, with the files as they will be.
fn check(text: &str, files: &Files) -> eyre::Result<(ChainSpec, Vec<Issue>)> {
    parse_here(text, &|name| file_of(name, files)).wrap_err(NOTHING_WRITTEN)
}

fn file_of(name: &str, files: &Files) -> Result<Vec<u8>, String> {
    let file = files.iter().find(|(path, ..)| path == name);
    let content = file.map(|(_, content, _)| content.clone().into_bytes());
    content.ok_or_else(|| "no such file".to_owned())
}

/// A directory that holds anything is somebody's.
fn refuse_used(dir: &Path) -> eyre::Result<()> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(eyre!("{} is not empty: name a new directory", dir.display())),
            None => Ok(()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).wrap_err_with(|| format!("cannot use {}", dir.display())),
    }
}

fn ask(question: &str, default: &str) -> eyre::Result<String> {
    eprint!("{question} [{default}]: ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let answer = line.trim();
    Ok(if answer.is_empty() { default } else { answer }.to_owned())
}

/// An id that hardly any chain has: 10^9 to 4 x 10^9.
fn random_chain_id() -> u64 {
    let bytes = PrivateKeySigner::random().address();
    let word = u64::from_be_bytes([0, 0, 0, 0, bytes[0], bytes[1], bytes[2], bytes[3]]);
    1_000_000_000 + word % 3_000_000_000
}

/// Writes every file, secrets readable by the owner only. What exists is never written over.
fn write_all(dir: &Path, files: &Files) -> eyre::Result<()> {
    std::fs::create_dir_all(dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
    for (name, content, secret) in files {
        let path = dir.join(name);
        let write = || -> std::io::Result<()> {
            if let Some(parent) = path.parent() {
                let mode = if *secret { 0o700 } else { 0o755 };
                std::fs::DirBuilder::new().recursive(true).mode(mode).create(parent)?;
            }
            let mode = if *secret { 0o600 } else { 0o644 };
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(mode).open(&path)?;
            file.write_all(content.as_bytes())?;
            file.sync_all()
        };
        write().wrap_err_with(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::chainspec::load;
    use clap::Parser;
    use std::os::unix::fs::PermissionsExt;

    const NOW: u64 = 1_790_000_000_123;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: NewArgs,
    }

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("causeway-new-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    fn new(dir: &Path, more: &[&str]) -> eyre::Result<Exit> {
        let args = ["new", dir.to_str().unwrap(), "--yes"].into_iter().chain(more.iter().copied());
        Cli::try_parse_from(args)?.args.run(NOW).map_err(|error| error.report)
    }

    #[test]
    fn a_new_chain_is_valid_and_its_keys_are_secret() {
        let dir = scratch("plain");
        new(&dir, &["--name", "My \"own\" chain", "--chain-id", "77", "--json"]).unwrap();
        let (spec, warnings) = load(&dir.join("chain.toml")).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!((spec.name.as_str(), spec.chain_id), ("My \"own\" chain", 77));
        assert_eq!(spec.genesis.time_ms, 1_790_000_000_000);
        for (name, address) in [
            ("sequencer", spec.sequencer.keys_at(0)[0].to_string()),
            ("poster", spec.sequencer.posters_at(0)[0].to_string()),
            ("da", spec.da.options["signer"].as_str().unwrap().to_owned()),
        ] {
            let path = dir.join(format!("keys/{name}.key"));
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            let signer: PrivateKeySigner =
                std::fs::read_to_string(path).unwrap().trim().parse().unwrap();
            assert_eq!(signer.address().to_string(), address);
        }
        assert_eq!(dir.join("keys").metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let settings = std::fs::read_to_string(dir.join("node.toml")).unwrap();
        assert_eq!(settings.parse::<toml::Table>().unwrap()["role"].as_str(), Some("sequencer"));
        let error = new(&dir, &[]).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn wrong_choices_write_nothing() {
        let dir = scratch("wrong");
        for wrong in [
            &["--vm", "x"][..],
            &["--chain-id", "0"],
            &["--block-time", "soon"],
            &["--gas-limit", "5"],
            &["--fund", "0x1"],
            &["--fund", "0x00000000000000000000000000000000000000a1=lots"],
            &["--preinstalls", "/nowhere"],
            &["--da", "tape"],
            &["--kind", "moon"],
        ] {
            assert!(new(&dir, wrong).is_err(), "{wrong:?}");
            assert!(!dir.exists(), "{wrong:?}");
        }
        let known = format!("{}=1 ether", DEV_ACCOUNTS[0]);
        assert!(new(&dir, &["--kind", "testnet", "--fund", &known]).is_err(), "well-known key");
        let own = "0x00000000000000000000000000000000000000a1=5 ether";
        new(&dir, &["--kind", "testnet", "--fund", own]).unwrap();
        let (spec, _) = load(&dir.join("chain.toml")).unwrap();
        assert_eq!((spec.kind, spec.sequencer.window_ms), (Kind::Testnet, 3_600_000));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_preset_is_a_valid_chain_and_flags_change_it() {
        let dir = scratch("preset");
        let times = |more: &[&str]| {
            new(&dir, more).unwrap();
            let (spec, warnings) = load(&dir.join("chain.toml")).unwrap();
            assert!(warnings.is_empty(), "{warnings:?}");
            std::fs::remove_dir_all(&dir).unwrap();
            (spec.sequencer.block_time_ms, spec.sequencer.idle_ms, spec.da.interval_ms)
        };
        assert_eq!(times(&[]), (1000, 2000, 1000));
        assert_eq!(times(&["--preset", "low-latency"]), (10, 120_000, 250));
        let own = ["--preset", "low-latency", "--block-time", "20ms", "--idle", "1s"];
        assert_eq!(times(&own), (20, 1000, 250));
    }

    #[test]
    fn well_known_contracts_are_taken_from_a_package() {
        let (package, dir) = (scratch("package"), scratch("preinstalls"));
        let write = |name: &str, text: &str| {
            let path = package.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("package.json", r#"{"version": "0.8.3"}"#);
        write("artifacts/EntryPoint.json", r#"{"bytecode": "0x6001"}"#);
        write("artifacts/IEntryPoint.json", r#"{"bytecode": "0x"}"#);
        write("out/Permit2.sol/Permit2.json", r#"{"bytecode": {"object": "0x6002"}}"#);
        write("out/Safe.sol/Safe.json", r#"{"bytecode": "0x6003"}"#);
        new(&dir, &["--preinstalls", package.to_str().unwrap()]).unwrap();
        let (spec, _) = load(&dir.join("chain.toml")).unwrap();
        let found: Vec<_> = spec
            .genesis
            .preinstalls
            .iter()
            .map(|p| (p.name.as_str(), p.creation_code[1]))
            .collect();
        assert_eq!(found, [("Permit2", 2), ("EntryPoint-0.8", 1)]);
        assert!(dir.join("preinstalls/EntryPoint-0.8.hex").exists());
        std::fs::remove_dir_all(package).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }
}
