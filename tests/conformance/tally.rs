//! What became of the cases of a suite.

use std::collections::BTreeMap;
use std::fmt;

use crate::exceptions;

/// Failures that are printed one by one.
const SHOWN: usize = 40;

/// Counts of cases, and what failed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    /// Name of a case, and what was wrong.
    pub(crate) failed: Vec<(String, String)>,
    /// Cases by the reason they are excepted for.
    pub(crate) excepted: BTreeMap<&'static str, usize>,
    /// Suites that are absent.
    pub(crate) skipped: usize,
    /// Cases by fork, where a suite tells forks apart.
    pub(crate) forks: BTreeMap<String, usize>,
}

impl Tally {
    /// Counts one case. What fails is an exception only if the table names it.
    pub(crate) fn count(&mut self, name: String, result: eyre::Result<()>) {
        match (result, exceptions::reason(&name)) {
            (Ok(()), _) => self.passed += 1,
            (Err(_), Some(reason)) => *self.excepted.entry(reason).or_default() += 1,
            (Err(error), None) => self.failed.push((name, format!("{error:#}"))),
        }
    }

    /// Whether files were there, and no case in them.
    pub(crate) fn is_empty(&self) -> bool {
        self.skipped == 0 && self.passed == 0 && self.failed.is_empty() && self.excepted.is_empty()
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.passed += other.passed;
        self.skipped += other.skipped;
        self.failed.extend(other.failed);
        for (fork, count) in other.forks {
            *self.forks.entry(fork).or_default() += count;
        }
        for (reason, count) in other.excepted {
            *self.excepted.entry(reason).or_default() += count;
        }
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, error) in self.failed.iter().take(SHOWN) {
            writeln!(f, "FAILED {name}: {error}")?;
        }
        if self.skipped > 0 {
            write!(f, "absent, ")?;
        }
        let excepted: usize = self.excepted.values().sum();
        write!(f, "{} passed, {} failed, {excepted} excepted", self.passed, self.failed.len())?;
        if excepted > 0 {
            let reasons = self.excepted.iter().map(|(reason, count)| format!("{count} {reason}"));
            write!(f, " ({})", reasons.collect::<Vec<_>>().join("; "))?;
        }
        write!(f, ", {} skipped", self.skipped)?;
        for (fork, count) in &self.forks {
            write!(f, ", {fork} {count}")?;
        }
        Ok(())
    }
}
