//! What a JSON-RPC server counts: calls by method and outcome, and what goes on now.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use causeway_execution::metrics::{Counter, Gauge};
use jsonrpsee::Extensions;
use jsonrpsee::server::ConnectionGuard;
use parking_lot::Mutex;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a result.
    Ok,
    /// With an error that is the caller's, or the state's.
    Refused,
    /// No worker became free in time (-32005).
    Busy,
    /// By a failure of the node (-32603).
    Failed,
    /// The caller went away first.
    Dropped,
}

impl Outcome {
    pub(super) const ALL: [(Self, &'static str); 5] = [
        (Self::Ok, "ok"),
        (Self::Refused, "refused"),
        (Self::Busy, "busy"),
        (Self::Failed, "failed"),
        (Self::Dropped, "dropped"),
    ];

    /// Of an error code.
    pub fn of(code: Option<i32>) -> Self {
        match code {
            None => Self::Ok,
            Some(-32005) => Self::Busy,
            Some(-32603) => Self::Failed,
            Some(_) => Self::Refused,
        }
    }
}

/// Calls of one method.
#[derive(Debug, Default)]
pub struct MethodMetrics {
    outcomes: [Counter; Outcome::ALL.len()],
}

impl MethodMetrics {
    /// Counts a call that has ended.
    pub fn ended(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].add(1);
    }

    /// Calls that ended so.
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].get()
    }
}

/// Counters of one server. The methods are those of the server's table and one for all others, so
/// that no caller can make more of them.
#[derive(Debug, Default)]
pub struct RpcMetrics {
    /// Locked when a method is registered and when the metrics are read.
    methods: Mutex<BTreeMap<&'static str, Arc<MethodMetrics>>>,
    /// Calls that are being answered.
    pub calls: Gauge,
    /// Counts connections, from the first call on.
    guard: OnceLock<ConnectionGuard>,
}

impl RpcMetrics {
    /// Label of all methods that are not there.
    pub const UNKNOWN: &'static str = "unknown";

    /// The counters of a method of the table.
    pub fn method(&self, name: &'static str) -> Arc<MethodMetrics> {
        self.methods.lock().entry(name).or_default().clone()
    }

    /// Begins a call; it is counted when what this returns is dropped, as dropped unless told
    /// otherwise.
    pub fn begin<'a>(&'a self, method: &'a MethodMetrics) -> CallGuard<'a> {
        self.calls.add(1);
        CallGuard { calls: &self.calls, method, outcome: Outcome::Dropped }
    }

    /// Learns of the server's connections from what it says of a request.
    pub(crate) fn see(&self, request: &Extensions) {
        if self.guard.get().is_none()
            && let Some(guard) = request.get::<ConnectionGuard>()
        {
            self.admit(guard.clone());
        }
    }

    /// Names what admits connections; the first one named counts.
    pub(crate) fn admit(&self, guard: ConnectionGuard) {
        // Another request may have been first: it is the same server's.
        let _ = self.guard.set(guard);
    }

    /// Requests over HTTP that are being answered, and WebSocket connections: what the limit of
    /// connections bounds. 0 before the first call.
    pub fn connections(&self) -> u64 {
        self.guard.get().map_or(0, |guard| {
            guard.max_connections().saturating_sub(guard.available_connections()) as u64
        })
    }

    /// Calls so far: method, outcome, number; none that are 0, except of results.
    pub(super) fn read(&self) -> Vec<(&'static str, &'static str, u64)> {
        let methods = self.methods.lock();
        let mut all = Vec::new();
        for (name, method) in methods.iter() {
            for (outcome, label) in Outcome::ALL {
                let count = method.get(outcome);
                if count > 0 || outcome == Outcome::Ok {
                    all.push((*name, label, count));
                }
            }
        }
        all
    }
}

/// A call that goes on.
#[derive(Debug)]
pub struct CallGuard<'a> {
    calls: &'a Gauge,
    method: &'a MethodMetrics,
    outcome: Outcome,
}

impl CallGuard<'_> {
    /// Says how it ended.
    pub fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.calls.sub(1);
        self.method.ended(self.outcome);
    }
}
