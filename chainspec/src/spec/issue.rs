//! What is wrong with a spec: every finding with its code, place, reason and fix.

use std::fmt;

use serde::Serialize;
use toml::de::{DeTable, DeValue};

/// Whether a finding forbids the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The spec cannot be used.
    Error,
    /// The spec can be used, but probably is not what its author wants.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// Stable code; the table is in [`super::check`].
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// File it is in, as the spec names it, if that is not the spec itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where, as `fees.token.decimals`; empty for the whole file.
    pub path: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
    /// Line in the file, from 1, if the place exists in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.severity == Severity::Error { "error" } else { "warning" };
        write!(f, "{kind}[{}]", self.code)?;
        if let Some(file) = &self.file {
            write!(f, " {file}")?;
        }
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, " line {line}:{column}")?;
        }
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        write!(f, " {path}{}\n  fix: {}", self.reason, self.fix)
    }
}

/// A spec that cannot be used: all its errors, and the warnings found on the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    /// Errors first, then warnings, each in the order of the file.
    pub issues: Vec<Issue>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.issues.iter().filter(|issue| issue.severity == Severity::Error).count();
        write!(f, "the chain spec has {errors} error{}", if errors == 1 { "" } else { "s" })?;
        self.issues.iter().try_for_each(|issue| write!(f, "\n{issue}"))
    }
}

/// Collects findings while a spec is read. A place in another file that was read for it is
/// written as the file's name, a colon, and the path in that file.
#[derive(Debug, Default)]
pub(super) struct Report {
    issues: Vec<Issue>,
    /// Name and text of those other files.
    sources: Vec<(String, String)>,
}

impl Report {
    /// Adds an error.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        path: impl Into<String>,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(code, Severity::Error, path.into(), reason.into(), fix.into());
    }

    /// Adds a warning.
    pub(super) fn warn(
        &mut self,
        code: &'static str,
        path: impl Into<String>,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(code, Severity::Warning, path.into(), reason.into(), fix.into());
    }

    fn add(
        &mut self,
        code: &'static str,
        severity: Severity,
        path: String,
        reason: String,
        fix: String,
    ) {
        let (file, line, column) = (None, None, None);
        self.issues.push(Issue { code, severity, file, path, reason, fix, line, column });
    }

    /// Lets findings point into another file than the spec.
    pub(super) fn source(&mut self, name: &str, text: &str) {
        self.sources.push((name.to_owned(), text.to_owned()));
    }

    /// Whether something was already said about a place, something in it, or what holds it: then
    /// that it is missing is a consequence.
    pub(super) fn speaks_of(&self, path: &str) -> bool {
        let inside = |inner: &str, outer: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.issues.iter().any(|issue| inside(&issue.path, path) || inside(path, &issue.path))
    }

    /// Whether any error was found.
    pub(super) fn failed(&self) -> bool {
        self.issues.iter().any(|issue| issue.severity == Severity::Error)
    }

    /// The findings with their lines: errors first, each group in the order of the file.
    pub(super) fn finish(self, text: &str) -> Vec<Issue> {
        let Self { mut issues, sources } = self;
        let (table, _) = DeTable::parse_recoverable(text);
        let sources: Vec<_> = sources
            .iter()
            .map(|(name, text)| (name, text, DeTable::parse_recoverable(text).0))
            .collect();
        for issue in &mut issues {
            let inside = sources.iter().find_map(|(name, text, table)| {
                let path = issue.path.strip_prefix(name.as_str())?.strip_prefix(':')?;
                Some(((*name).clone(), path.to_owned(), *text, table))
            });
            let (text, table) = match inside {
                None => (text, &table),
                Some((name, path, text, table)) => {
                    (issue.file, issue.path) = (Some(name), path);
                    (text.as_str(), table)
                }
            };
            if issue.line.is_none()
                && let Some(at) = find(table.get_ref(), &issue.path)
            {
                let (line, column) = line_column(text, at);
                (issue.line, issue.column) = (Some(line), Some(column));
            }
        }
        issues.sort_by_key(|issue| {
            let line = issue.line.unwrap_or(usize::MAX);
            (issue.severity == Severity::Warning, issue.file.is_some(), line, issue.column)
        });
        issues
    }

    /// Adds an error at a byte of a text; `file` is empty, or names a source and ends in a colon.
    pub(super) fn syntax(&mut self, file: &str, text: &str, at: Option<usize>, reason: &str) {
        let fix = "correct the TOML here (https://toml.io has the grammar)";
        self.error("CS0001", file, reason, fix);
        if let (Some(at), Some(issue)) = (at, self.issues.last_mut()) {
            let (line, column) = line_column(text, at);
            (issue.line, issue.column) = (Some(line), Some(column));
        }
    }
}

fn line_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

/// Byte at which the key of a path stands. Keys may hold dots themselves, so each key that fits
/// is tried.
fn find(table: &DeTable<'_>, path: &str) -> Option<usize> {
    table.iter().find_map(|(key, value)| {
        let rest = path.strip_prefix(key.get_ref().as_ref())?;
        let start = key.span().start;
        if rest.is_empty() { Some(start) } else { find_inside(value.get_ref(), rest, start) }
    })
}

fn find_inside(value: &DeValue<'_>, rest: &str, start: usize) -> Option<usize> {
    match value {
        DeValue::Table(table) => find(table, rest.strip_prefix('.')?),
        DeValue::Array(array) => {
            let (index, rest) = rest.strip_prefix('[')?.split_once(']')?;
            let item = array.get(index.parse::<usize>().ok()?)?;
            let start = item.span().start;
            if rest.is_empty() {
                return Some(start);
            }
            find_inside(item.get_ref(), rest, start)
        }
        // A place inside a value that should have been a table: the value is what to look at.
        _ => rest.starts_with(['.', '[']).then_some(start),
    }
}
