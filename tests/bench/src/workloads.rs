//! The table of workloads: a new one is a file and a line here.

mod compute;
mod costs;
mod da_bytes;
mod derivation;
mod growth;
mod lifetime;
mod runs;
mod transfers;

use eyre::bail;

use crate::bench::Bench;
use crate::report::Section;

/// Measures and fills the section; what fails as a whole is told as a failure of the section.
pub type Run = fn(&Bench, &mut Section) -> eyre::Result<()>;

/// Every workload, in the order in which they run.
pub const WORKLOADS: &[(&str, Run)] = &[
    ("limits", costs::run),
    ("transfers", transfers::run),
    ("compute", compute::run),
    ("growth", growth::run),
    ("derivation", derivation::run),
    ("da-bytes", da_bytes::run),
    ("lifetime", lifetime::run),
];

/// Those named, in the order of the table; all if none is.
pub fn choose(names: &[String]) -> eyre::Result<Vec<(&'static str, Run)>> {
    let known: Vec<_> = WORKLOADS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no workload {unknown}: choose from {}", known.join(", "));
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    Ok(WORKLOADS.iter().copied().filter(|(name, _)| wanted(name)).collect())
}

/// A section with what was measured, or why it was not.
pub fn measured(name: &str, run: Run, bench: &Bench) -> Section {
    let mut section = Section { workload: name.to_owned(), ..Section::default() };
    if let Err(error) = run(bench, &mut section) {
        section.failed("the workload", &error);
    }
    section
}
