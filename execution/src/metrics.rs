//! Where the time of a pipeline goes: counters and histograms of atomics, read whenever somebody asks.
//!
//! Observing takes a few nanoseconds and never waits. Values start at 0 when the pipeline is opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Upper bounds of a histogram of durations, in nanoseconds: 10 us to 20 s, three a decade.
const NANOS: &[u64] = &[
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    20_000_000_000,
];
/// Upper bounds of a histogram of small numbers.
const COUNTS: &[u64] = &[0, 1, 2, 4, 8, 16, 32, 64, 128, 256];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The sum since the start.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Takes from it what was added before.
    pub fn sub(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }

    /// What it is now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often values lay between fixed bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// How many of the bounds' units make one of a reading's.
    per: f64,
    /// One a bound, and one for what is above all of them.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Sum of all values: seconds, or a number.
    pub sum: f64,
    /// Number of values.
    pub count: u64,
    /// Upper bound (the last is `f64::INFINITY`) and number of values in each bucket.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    fn new(bounds: &'static [u64], per: f64) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, per, buckets, sum: AtomicU64::new(0) }
    }

    /// Of durations, read in seconds.
    pub fn seconds() -> Self {
        Self::new(NANOS, 1e9)
    }

    /// Of small numbers.
    pub fn counts() -> Self {
        Self::new(COUNTS, 1.0)
    }

    /// Takes a duration in.
    pub fn observe(&self, duration: Duration) {
        self.count(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Runs something and takes in how long it took.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let _timer = self.timer();
        work()
    }

    /// Takes in how long the timer lives.
    #[must_use = "it observes when it is dropped"]
    pub fn timer(&self) -> Timer<'_> {
        Timer { histogram: self, start: Instant::now() }
    }

    /// Takes a number in.
    pub fn count(&self, value: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// What it holds now. Values that arrive meanwhile may be in the sum and not in the buckets.
    pub fn read(&self) -> Reading {
        let sum = self.sum.load(Ordering::Relaxed) as f64 / self.per;
        let counts: Vec<u64> =
            self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / self.per);
        Reading {
            sum,
            count: counts.iter().sum(),
            buckets: bounds.chain([f64::INFINITY]).zip(counts).collect(),
        }
    }
}

/// See [`Histogram::timer`].
#[derive(Debug)]
pub struct Timer<'a> {
    histogram: &'a Histogram,
    start: Instant,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.histogram.observe(self.start.elapsed());
    }
}

/// What one pipeline observes of itself.
#[derive(Debug)]
pub struct Metrics {
    /// Building a block: both runs and its roots.
    pub build: Histogram,
    /// Running a draft, with all its candidates.
    pub execute_draft: Histogram,
    /// Running what is kept of a draft from clean state.
    pub execute_clean: Histogram,
    /// Running a block that somebody else built, or a block of the log on opening.
    pub execute_follow: Histogram,
    /// Hashing a block: state root, roots of transactions and receipts, header.
    pub root: Histogram,
    /// Committing a block: durable in the log, visible, handed to the store's thread.
    pub commit: Histogram,
    /// One fdatasync of the log.
    pub journal_sync: Arc<Histogram>,
    /// One transaction of the store.
    pub store_commit: Histogram,
    /// Blocks in one transaction of the store.
    pub store_blocks: Histogram,
    /// Times that somebody who committed had to wait for the store.
    pub commit_waits: Counter,
    /// Changes that wait for the store.
    pub persist_queue: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            build: Histogram::seconds(),
            execute_draft: Histogram::seconds(),
            execute_clean: Histogram::seconds(),
            execute_follow: Histogram::seconds(),
            root: Histogram::seconds(),
            commit: Histogram::seconds(),
            journal_sync: Arc::new(Histogram::seconds()),
            store_commit: Histogram::seconds(),
            store_blocks: Histogram::counts(),
            commit_waits: Counter::default(),
            persist_queue: Gauge::default(),
        }
    }
}

/// What a pipeline holds at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Committed blocks that are in the log and in memory, not yet in the store.
    pub unstored_blocks: u64,
    /// Bytes of the log that no fdatasync has covered yet.
    pub undurable_bytes: u64,
    /// Caches: name, bytes used, bytes it may use.
    pub caches: Vec<(&'static str, u64, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_bucket_of_the_first_bound_that_is_not_below_them() {
        let histogram = Histogram::seconds();
        for micros in [10, 11, 4_000, 60_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let read = histogram.read();
        assert_eq!(read.count, 4);
        assert!((read.sum - 60.004_021).abs() < 1e-9, "{}", read.sum);
        let filled: Vec<_> = read.buckets.iter().filter(|(_, count)| *count > 0).collect();
        let bounds: Vec<_> = filled.iter().map(|(bound, _)| *bound).collect();
        assert_eq!(bounds, [1e-5, 2e-5, 5e-3, f64::INFINITY]);
        let counts = Histogram::counts();
        [0, 3, 1_000].into_iter().for_each(|value| counts.count(value));
        let read = counts.read();
        assert_eq!((read.sum, read.buckets[0], read.buckets[3]), (1_003.0, (0.0, 1), (4.0, 1)));
        assert_eq!(read.buckets.last(), Some(&(f64::INFINITY, 1)));
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let histogram = Histogram::counts();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|value| histogram.count(value)));
            }
        });
        let read = histogram.read();
        assert_eq!((read.count, read.sum), (4000, 4.0 * 499_500.0));
    }
}
