//! What was measured, as values: rows with samples, goals and verdicts, latency curves, notes.

mod curve;
mod html;
mod svg;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

use eyre::WrapErr;
use serde::{Serialize, Serializer, ser::SerializeStruct};

pub use curve::Curve;

/// What a row's median has to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// This much or more.
    AtLeast(f64),
    /// This much or less.
    AtMost(f64),
}

/// Whether a goal was reached by the median.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was.
    Met,
    /// It was not.
    NotMet,
}

/// One figure: a sample for each run (or pair of runs), and what it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was measured, with everything that tells it from other rows.
    pub what: String,
    /// Unit of the samples: "tx/s", "ms", "x" for ratios, "%".
    pub unit: String,
    /// In the order in which they were measured; at least one.
    pub samples: Vec<f64>,
    /// What the issue asks for, if it asks.
    pub goal: Option<Goal>,
}

/// Everything a workload has to say.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Section {
    /// Name of the workload, as on the command line.
    pub workload: String,
    /// One sentence: what it does.
    pub title: String,
    /// Figures.
    pub rows: Vec<Row>,
    /// Distributions of latency.
    pub curves: Vec<Curve>,
    /// What a reader must know to judge the figures.
    pub notes: Vec<String>,
    /// Runs that gave no figure, and why.
    pub failures: Vec<String>,
}

/// A whole run of the program.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// The machine, the size, the number of pairs: (name, value).
    pub facts: Vec<(String, String)>,
    /// One for each workload.
    pub sections: Vec<Section>,
}

impl Goal {
    /// Judges a figure.
    pub fn judge(self, value: f64) -> Verdict {
        let met = match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        };
        if met { Verdict::Met } else { Verdict::NotMet }
    }
}

impl Row {
    /// A figure without a goal.
    pub fn new(what: impl Into<String>, unit: &str, samples: Vec<f64>) -> Self {
        Self { what: what.into(), unit: unit.to_owned(), samples, goal: None }
    }

    /// The ratio of interleaved pairs, each by itself: sample i is `ours[i] / theirs[i]`.
    pub fn ratio(what: impl Into<String>, ours: &[f64], theirs: &[f64]) -> Self {
        let samples = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Self::new(what, "x", samples)
    }

    /// The same with a goal.
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// Median; the mean of the middle two if their number is even. NaN without samples.
    pub fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        }
    }

    /// The least sample. NaN without samples.
    pub fn min(&self) -> f64 {
        self.samples.iter().copied().reduce(f64::min).unwrap_or(f64::NAN)
    }

    /// The largest sample. NaN without samples.
    pub fn max(&self) -> f64 {
        self.samples.iter().copied().reduce(f64::max).unwrap_or(f64::NAN)
    }

    /// Whether the median reaches the goal, if there is one. Without samples no goal is reached.
    pub fn verdict(&self) -> Option<Verdict> {
        self.goal.map(|goal| goal.judge(self.median()))
    }
}

/// With the statistics that follow from the samples, for readers of the JSON.
impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Row", 8)?;
        row.serialize_field("what", &self.what)?;
        row.serialize_field("unit", &self.unit)?;
        row.serialize_field("median", &self.median())?;
        row.serialize_field("min", &self.min())?;
        row.serialize_field("max", &self.max())?;
        row.serialize_field("goal", &self.goal)?;
        row.serialize_field("verdict", &self.verdict())?;
        row.serialize_field("samples", &self.samples)?;
        row.end()
    }
}

impl Section {
    /// Adds a row.
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a note.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a run that gave no figure.
    pub fn failed(&mut self, what: &str, why: &eyre::Report) {
        self.failures.push(format!("{what}: {why:#}"));
    }
}

impl Report {
    /// For a terminal.
    pub fn table(&self) -> String {
        table::render(self)
    }

    /// One file that needs no other, with plots.
    pub fn html(&self) -> String {
        html::render(self)
    }

    /// Writes `report.json`, `report.html` and `report.txt` into a directory, which is made.
    pub fn write(&self, dir: &Path) -> eyre::Result<()> {
        std::fs::create_dir_all(dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
        let json = serde_json::to_string_pretty(self)?;
        for (name, text) in
            [("report.json", json), ("report.html", self.html()), ("report.txt", self.table())]
        {
            let path = dir.join(name);
            std::fs::write(&path, text)
                .wrap_err_with(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Whether every run gave its figure. Goals that are not met are no failure.
    pub fn is_whole(&self) -> bool {
        self.sections.iter().all(|section| section.failures.is_empty())
    }
}

/// A figure for people: three to four digits that count.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => {
            let digits = format!("{value:.0}");
            let (sign, digits) = digits.strip_prefix('-').map_or(("", &*digits), |d| ("-", d));
            let head = digits.len() % 3;
            let mut parts: Vec<&str> = Vec::new();
            if head > 0 {
                parts.push(&digits[..head]);
            }
            parts.extend((head..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
            format!("{sign}{}", parts.join(","))
        }
        middle if middle >= 100.0 => format!("{value:.0}"),
        small if small >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, ">= {}", number(*least)),
            Self::AtMost(most) => write!(f, "<= {}", number(*most)),
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::NotMet => "not met",
        })
    }
}
