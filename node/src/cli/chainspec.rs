//! `causeway chainspec`: check, show, compare and export a chain spec.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use causeway_chainspec::ChainSpec;
use causeway_chainspec::spec::diff::diff;
use causeway_chainspec::spec::export::{Format, export};
use causeway_chainspec::spec::lock::{self, Lock};
use causeway_chainspec::spec::{Inputs, Invalid, Issue, ReadFile, network, parse, schema, units};
use clap::{Args, Subcommand, ValueEnum};
use eyre::{WrapErr, eyre};
use serde_json::{Value, json};

use super::print;
use crate::exit::Exit;

/// Why a spec file gave no spec.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(
        "cannot read {0}: {1}; `causeway new DIR` makes a chain; name another file if it lies elsewhere"
    )]
    Read(PathBuf, std::io::Error),
    /// The spec in it is invalid.
    #[error("{0}: {1}")]
    Invalid(PathBuf, Invalid),
}

/// Reads and checks a spec; the files it names are relative to it. Returns it with its warnings.
pub fn load(path: &Path) -> Result<(ChainSpec, Vec<Issue>), LoadError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| LoadError::Read(path.into(), error))?;
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let read = move |name: &str| std::fs::read(base.join(name)).map_err(|error| error.to_string());
    parse_here(&text, &read).map_err(|invalid| LoadError::Invalid(path.into(), invalid))
}

/// Parses a spec for the modules of this binary.
pub(super) fn parse_here(
    text: &str,
    read: ReadFile<'_>,
) -> Result<(ChainSpec, Vec<Issue>), Invalid> {
    with_inputs(read, |inputs| parse(text, inputs))
}

/// Gives what parsing needs to know of this binary.
pub(super) fn with_inputs<T>(read: ReadFile<'_>, use_it: impl FnOnce(&Inputs<'_>) -> T) -> T {
    let vms: Vec<_> = causeway_execution::VMS.iter().map(|(name, _)| *name).collect();
    let layers: Vec<_> = causeway_da::BACKENDS.iter().map(|(name, _)| *name).collect();
    let modes: Vec<_> = causeway_consensus::SEQUENCERS.iter().map(|(name, _)| *name).collect();
    use_it(&Inputs { read, vms: &vms, layers: &layers, modes: &modes })
}

/// The lock beside a spec, or `None` if there is none yet.
pub fn read_lock(spec_path: &Path) -> eyre::Result<Option<Lock>> {
    let path = spec_path.with_file_name(lock::FILE_NAME);
    match std::fs::read_to_string(&path) {
        Ok(text) => Lock::parse(&text).map(Some).wrap_err_with(|| path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).wrap_err_with(|| format!("cannot read {}", path.display())),
    }
}

/// Writes the lock beside a spec, whole or not at all: it is renamed into place.
pub fn write_lock(spec_path: &Path, lock: &Lock) -> eyre::Result<()> {
    let path = spec_path.with_file_name(lock::FILE_NAME);
    let draft = path.with_extension("lock.tmp");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(lock.to_toml().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, &path)?;
        // The name, too, is to outlive a power cut.
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        std::fs::File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().wrap_err_with(|| format!("cannot write {}", path.display()))
}

/// Check, show, compare and export chain specs.
#[derive(Debug, Args)]
pub struct ChainspecArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find every mistake at once; exits with 3 if there is one
    Check(FileArgs),
    /// Print the spec with every default written out, as TOML or JSON
    Show(FileArgs),
    /// Print the JSON Schema of chain.toml, for editors
    Schema(SchemaArgs),
    /// Print identity, its base without the network, rules hash, and the genesis block if chain.lock knows it
    Hash(HashArgs),
    /// Compare two specs: what each change costs
    Diff(DiffArgs),
    /// Write the spec in the form of another tool
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct FileArgs {
    /// The spec
    #[arg(default_value = "chain.toml")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SchemaArgs {
    /// That of metalayer.toml instead
    #[arg(long)]
    metalayer: bool,
}

#[derive(Debug, Args)]
struct HashArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Time for which to give the rules hash, unix ms; that of genesis if not given
    #[arg(long, value_name = "MS")]
    at: Option<u64>,
}

#[derive(Debug, Args)]
struct DiffArgs {
    /// The spec before
    from: PathBuf,
    /// The spec after
    to: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The spec
    #[arg(default_value = "chain.toml")]
    file: PathBuf,
    /// Form
    #[arg(long, short)]
    format: ExportFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ExportFormat {
    /// geth's genesis.json (geth init, anvil --init)
    Genesis,
    /// Parameter of wallet_addEthereumChain
    Eip3085,
    /// TypeScript for viem (defineChain)
    Viem,
    /// A file for ethereum-lists/chains
    EthereumLists,
}

impl ChainspecArgs {
    /// Runs the command; results go to standard output, remarks to standard error. Returns the
    /// exit code. An invalid spec is an error ([`LoadError::Invalid`]) except for `check`.
    pub fn run(self) -> eyre::Result<Exit> {
        match self.command {
            Command::Check(args) => return check(&args),
            Command::Show(args) => show(&args)?,
            Command::Schema(args) => {
                let schema = if args.metalayer { network::schema() } else { schema() };
                print(&format!("{schema:#}\n"))?;
            }
            Command::Hash(args) => hash(&args)?,
            Command::Diff(args) => compare(&args)?,
            Command::Export(args) => write_export(&args)?,
        }
        Ok(Exit::Success)
    }
}

fn check(args: &FileArgs) -> eyre::Result<Exit> {
    let (spec, issues) = match load(&args.file) {
        Ok((spec, warnings)) => (Some(spec), warnings),
        Err(LoadError::Invalid(_, invalid)) => (None, invalid.issues),
        Err(error) => return Err(error.into()),
    };
    let mut out = String::new();
    if args.json {
        let identity = spec.as_ref().map(ChainSpec::identity);
        let report = json!({ "valid": spec.is_some(), "identity": identity, "issues": issues });
        writeln!(out, "{report:#}")?;
    } else {
        issues.iter().try_for_each(|issue| writeln!(out, "{issue}"))?;
        let file = args.file.display();
        match &spec {
            Some(spec) => writeln!(out, "{file}: valid, identity {}", spec.identity())?,
            None => writeln!(out, "{file}: invalid")?,
        }
    }
    print(&out)?;
    Ok(if spec.is_some() { Exit::Success } else { Exit::Spec })
}

fn show(args: &FileArgs) -> eyre::Result<()> {
    let (spec, _) = load(&args.file)?;
    print(&if args.json { format!("{:#}\n", spec.to_json()) } else { spec.to_toml() })
}

fn hash(args: &HashArgs) -> eyre::Result<()> {
    let (spec, _) = load(&args.file.file)?;
    let at = args.at.unwrap_or(spec.genesis.time_ms);
    let lock = read_lock(&args.file.file)?;
    if let Some(lock) = &lock {
        lock.check_spec(spec.identity(), spec.da.start)?;
    }
    let (identity, base, rules) = (spec.identity(), spec.base_identity(), spec.rules_hash(at));
    if args.file.json {
        let genesis = lock.map(
            |lock| json!({ "hash": lock.genesis_hash, "state_root": lock.genesis_state_root }),
        );
        let all = json!({
            "identity": identity, "base": base, "rules": rules, "rules_at_ms": at, "genesis": genesis
        });
        return print(&format!("{all:#}\n"));
    }
    let mut out = String::new();
    writeln!(out, "identity            {identity}")?;
    writeln!(out, "base                {base}  (identity without metalayer.toml)")?;
    writeln!(out, "rules hash          {rules}  (at {})", units::show_time(at))?;
    match lock {
        Some(lock) => {
            writeln!(out, "genesis block hash  {}", lock.genesis_hash)?;
            writeln!(out, "genesis state root  {}", lock.genesis_state_root)?;
        }
        None => eprintln!("no chain.lock yet: the node writes it when it makes block 0"),
    }
    print(&out)
}

fn compare(args: &DiffArgs) -> eyre::Result<()> {
    let (from, to) = (load(&args.from)?.0, load(&args.to)?.0);
    let changes = diff(&from, &to);
    if args.json {
        return print(&format!("{:#}\n", json!(changes)));
    }
    let shown = |value: &Option<Value>| match value.as_ref().map(Value::to_string) {
        Some(text) if text.len() > 60 => {
            format!("{}...", text.chars().take(57).collect::<String>())
        }
        Some(text) => text,
        None => "(nothing)".to_owned(),
    };
    let mut out = String::new();
    for change in &changes {
        let (from, to) = (shown(&change.from), shown(&change.to));
        writeln!(out, "{:<15} {}: {from} -> {to}", change.level.name(), change.path)?;
    }
    match changes.iter().map(|change| change.level).max() {
        Some(level) => writeln!(out, "{} changes; together: {}", changes.len(), level.name())?,
        None => writeln!(out, "no difference")?,
    }
    print(&out)
}

fn write_export(args: &ExportArgs) -> eyre::Result<()> {
    let (spec, _) = load(&args.file)?;
    let format = match args.format {
        ExportFormat::Genesis => Format::Genesis,
        ExportFormat::Eip3085 => Format::Eip3085,
        ExportFormat::Viem => Format::Viem,
        ExportFormat::EthereumLists => Format::EthereumLists,
    };
    let left_out = spec.genesis.preinstalls.len();
    if format == Format::Genesis && left_out > 0 {
        eprintln!("{left_out} preinstalls are left out: their code exists once block 0 was made");
    }
    if format == Format::EthereumLists && spec.public.info_url.is_none() {
        return Err(eyre!(
            "the list wants a home page: set public.info_url in {}",
            args.file.display()
        ));
    }
    print(&export(&spec, format, &BTreeMap::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ChainspecArgs,
    }

    fn run(args: &[&str]) -> eyre::Result<Exit> {
        let all = std::iter::once("chainspec").chain(args.iter().copied());
        Cli::try_parse_from(all)?.args.run()
    }

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("causeway-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory for the test");
        path
    }

    #[test]
    fn commands_read_a_spec_and_give_its_exit_code() {
        let dir = directory("chainspec");
        let file = dir.join("chain.toml");
        let path = file.to_str().unwrap();
        let keys = causeway_chainspec::spec::presets::Keys::DEV;
        let text = causeway_chainspec::spec::presets::devnet_chain(
            "A",
            901,
            "evm",
            keys,
            1_700_000_000_000,
        );
        std::fs::write(&file, &text).unwrap();
        for args in [
            &["check", path][..],
            &["check", path, "--json"],
            &["show", path],
            &["show", "--json", path],
            &["schema"],
            &["schema", "--metalayer"],
            &["hash", path],
            &["diff", path, path],
            &["export", path, "--format", "viem"],
            &["export", path, "-f", "genesis"],
        ] {
            assert_eq!(run(args).unwrap(), Exit::Success, "{args:?}");
        }
        assert!(run(&["export", path, "-f", "ethereum-lists"]).is_err(), "no info_url");
        std::fs::write(&file, text.replace("vm = \"evm\"", "vm = \"emv\"")).unwrap();
        assert_eq!(run(&["check", path]).unwrap(), Exit::Spec);
        let error = run(&["show", path]).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(LoadError::Invalid(..))), "{error}");
        assert!(error.to_string().contains("did you mean \"evm\""), "{error}");
        assert!(run(&["check", "/nowhere/chain.toml"]).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_lock_of_another_chain_is_refused() {
        let dir = directory("lock");
        let file = dir.join("chain.toml");
        let keys = causeway_chainspec::spec::presets::Keys::DEV;
        let text = causeway_chainspec::spec::presets::devnet_chain(
            "A",
            901,
            "evm",
            keys,
            1_700_000_000_000,
        );
        std::fs::write(&file, text).unwrap();
        assert_eq!(read_lock(&file).unwrap(), None);
        let (spec, _) = load(&file).unwrap();
        let lock = Lock::new(&spec, B256::repeat_byte(1), B256::repeat_byte(2));
        write_lock(&file, &lock).unwrap();
        assert_eq!(read_lock(&file).unwrap(), Some(lock.clone()));
        assert!(run(&["hash", file.to_str().unwrap(), "--json"]).is_ok());
        write_lock(&file, &Lock { identity: B256::ZERO, ..lock }).unwrap();
        assert!(run(&["hash", file.to_str().unwrap()]).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
