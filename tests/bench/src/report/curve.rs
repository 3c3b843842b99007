//! A distribution of latencies, as what a plot of it needs.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Shares of a hundred that are kept of a histogram.
const PERCENTILES: [f64; 19] = [
    0.0, 1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 97.0, 98.0, 99.0,
    99.5, 99.9, 100.0,
];

/// A distribution: how long the fastest share of all took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// Whose latency, to what: "causeway, sealed".
    pub name: String,
    /// How many were measured.
    pub count: u64,
    /// (percent, ms), both ascending.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// Of a histogram of microseconds.
    pub fn of_us(name: impl Into<String>, histogram: &Histogram<u64>) -> Self {
        let at = |percent| (percent, histogram.value_at_percentile(percent) as f64 / 1000.0);
        let points = match histogram.is_empty() {
            true => Vec::new(),
            false => PERCENTILES.into_iter().map(at).collect(),
        };
        Self { name: name.into(), count: histogram.len(), points }
    }

    /// Milliseconds at a percentile that is kept. NaN if it is not, or nothing was measured.
    pub fn at(&self, percent: f64) -> f64 {
        let found = self.points.iter().find(|(kept, _)| *kept == percent);
        found.map_or(f64::NAN, |(_, ms)| *ms)
    }
}
