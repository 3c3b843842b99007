//! The table of workloads: a new one is a file and a line here.

mod compute;
mod confirm;
mod costs;
mod da_bytes;
mod derivation;
mod growth;
mod lifetime;
mod reads;
mod runs;
mod swaps;
mod tokens;
mod transfers;

use eyre::bail;

use crate::bench::Bench;
use crate::report::Section;

/// Measures and fills the section; what fails as a whole is told as a failure of the section.
pub type Run = fn(&Bench, &mut Section) -> eyre::Result<()>;

/// Every workload, in the order in which they run.
pub const WORKLOADS: &[(&str, Run)] = &[
    ("limits", costs::run),
    ("w1-batched", transfers::batched),
    ("w1-unbatched", transfers::unbatched),
    ("w1-ws", transfers::ws),
    ("w2-tokens", tokens::run),
    ("w3-swaps", swaps::run),
    ("w4-compute", compute::run),
    ("w5-growth", growth::run),
    ("w6-derivation", derivation::run),
    ("w7-reads", reads::run),
    ("w8-da-bytes", da_bytes::run),
    ("w9-lifetime", lifetime::run),
    ("confirm", confirm::run),
];

/// Those whose name begins with one of these, or has it behind its number, in the order of the table:
/// `w1` is three of them, `reads` is `w7-reads`. All if nothing is named.
pub fn choose(names: &[String]) -> eyre::Result<Vec<(&'static str, Run)>> {
    let answers_to = |name: &str, wanted: &str| {
        let behind = name.split_once('-').map(|(_, behind)| behind);
        name.starts_with(wanted) || behind.is_some_and(|behind| behind.starts_with(wanted))
    };
    let known = || WORKLOADS.iter().copied();
    for wanted in names {
        if !known().any(|(name, _)| answers_to(name, wanted)) {
            let known: Vec<_> = known().map(|(name, _)| name).collect();
            bail!("no workload {wanted}: choose from {}", known.join(", "));
        }
    }
    let chosen = |name: &str| names.iter().any(|wanted| answers_to(name, wanted));
    Ok(known().filter(|(name, _)| names.is_empty() || chosen(name)).collect())
}

/// A section with what was measured, or why it was not.
pub fn measured(name: &str, run: Run, bench: &Bench) -> Section {
    let mut section = Section { workload: name.to_owned(), ..Section::default() };
    if let Err(error) = run(bench, &mut section) {
        section.failed("the workload", &error);
    }
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> eyre::Result<Vec<&'static str>> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Ok(choose(&names)?.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn workloads_are_chosen_by_number_or_name() {
        assert_eq!(chosen(&["w1"]).unwrap(), ["w1-batched", "w1-unbatched", "w1-ws"]);
        assert_eq!(chosen(&["confirm", "reads"]).unwrap(), ["w7-reads", "confirm"]);
        assert_eq!(chosen(&[]).unwrap().len(), WORKLOADS.len());
        let error = chosen(&["w1", "reeds"]).unwrap_err().to_string();
        assert!(error.contains("no workload reeds: choose from limits, w1-batched"), "{error}");
    }
}
