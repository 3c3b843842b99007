//! From the text of `chain.toml` to a checked spec, with every finding at once.

use std::sync::LazyLock;

use toml::de::DeTable;

use super::file::{self, File};
use super::issue::{Invalid, Issue, Report};
use super::{ChainSpec, check, network, resolve, shape};

/// [`file::schema`], made once: it takes far longer than what is done with it.
static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(file::schema);

/// Reads a file named in a spec, relative to it. The text of an error is shown to the user.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// What parsing needs besides the text.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// Reads `genesis.alloc_file`, the files of preinstalls and `metalayer.directory`.
    pub read: ReadFile<'a>,
    /// Names of the VMs in this binary; empty takes any name.
    pub vms: &'a [&'a str],
    /// Names of its DA backends, likewise.
    pub layers: &'a [&'a str],
    /// Names of its sequencers, likewise.
    pub modes: &'a [&'a str],
}

impl Inputs<'_> {
    /// For specs that name no files; any module name is taken.
    pub const NONE: Inputs<'static> = Inputs {
        read: &|_| Err("no files can be read here".to_owned()),
        vms: &[],
        layers: &[],
        modes: &[],
    };
}

/// Reads and checks a spec. Returns it with its warnings, or all errors and warnings; never
/// panics, whatever the text.
pub fn parse(text: &str, inputs: &Inputs<'_>) -> Result<(ChainSpec, Vec<Issue>), Invalid> {
    let mut report = Report::default();
    let spec = read(text, inputs, &mut report);
    let failed = report.failed();
    let issues = report.finish(text);
    match spec {
        Some(spec) if !failed => Ok((spec, issues)),
        _ => Err(Invalid { issues }),
    }
}

fn read(text: &str, inputs: &Inputs<'_>, report: &mut Report) -> Option<ChainSpec> {
    let (spec, seed) = draft(text, inputs, report)?;
    network::check_listed(&spec, &seed, report);
    Some(spec)
}

/// As [`parse`], but the chain need not be in the seed of its network as it is: that takes hashes
/// which are known only once the rest has been read. Also returns where the seed lies.
pub(super) fn draft(
    text: &str,
    inputs: &Inputs<'_>,
    report: &mut Report,
) -> Option<(ChainSpec, String)> {
    let mut table = table(text, "", report)?;
    shape::check(&mut table, &SCHEMA, "", report);
    let file: File = match table.try_into() {
        Ok(file) => file,
        Err(error) => {
            report.error("CS0004", "", error.to_string(), "see `causeway chainspec schema`");
            return None;
        }
    };
    let seed = network::place(&file.metalayer);
    let spec = resolve::resolve(file, inputs, report);
    check::check(&spec, report);
    network::check_member(&spec, &seed, report);
    Some((spec, seed))
}

/// Reads TOML; `file` as for [`Report::syntax`].
pub(super) fn table(text: &str, file: &str, report: &mut Report) -> Option<toml::Table> {
    let (_, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        report.syntax(file, text, error.span().map(|span| span.start), error.message());
    }
    if !errors.is_empty() {
        return None;
    }
    match toml::from_str(text) {
        Ok(table) => Some(table),
        Err(error) => {
            report.syntax(file, text, error.span().map(|span| span.start), error.message());
            None
        }
    }
}
