//! Reads along in the log of every node of this process: no line may hold a private key.

use std::fmt::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::trace::{holds_secret, secrets};

static LINES: AtomicU64 = AtomicU64::new(0);
static LEAK: Mutex<Option<String>> = Mutex::new(None);
static SECRETS: OnceLock<Vec<String>> = OnceLock::new();

/// Looks at every line of the log, and keeps none.
struct Watch;

impl Subscriber for Watch {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG && metadata.target().starts_with("causeway")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.fetch_add(1, Ordering::Relaxed);
        if holds_secret(&line.0, SECRETS.get_or_init(secrets)) {
            LEAK.lock().get_or_insert(line.0);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // A String takes everything.
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

/// Begins to read along. A process has one log: if another reads it already, nothing is seen.
pub fn begin() {
    let _ = tracing::subscriber::set_global_default(Watch);
}

/// INV-12: lines read so far, or the one that held a private key.
pub fn inv12_no_secret_logged() -> eyre::Result<u64> {
    let leak = LEAK.lock().clone();
    eyre::ensure!(leak.is_none(), "INV-12: a private key is in the log: {leak:?}");
    Ok(LINES.load(Ordering::Relaxed))
}
