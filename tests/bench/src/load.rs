//! The load generator: signed transactions to one server, paced, over some connections, on a thread
//! of its own whose CPU time is known.

mod answer;
mod http;
mod shared;
#[cfg(test)]
mod tests;
mod watch;
mod ws;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use alloy_primitives::B256;
use eyre::{WrapErr, ensure, eyre};
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use tokio::task::LocalSet;

use crate::sign::{Signed, lanes};
use shared::Shared;

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP/1.1, kept alive; so many calls a request, one request at a time on a connection.
    Http {
        /// Calls of a request; 1 is no batch.
        batch: usize,
    },
    /// WebSocket; one call a message, so many unanswered on a connection.
    Ws {
        /// Unanswered calls of a connection.
        window: usize,
    },
}

/// When requests leave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// The next one as soon as the connection has room.
    Closed,
    /// So many a second, evenly spread over the connections, whatever the server does; over HTTP.
    /// Latency counts from the moment at which a request was due.
    Open(f64),
}

/// How transactions are sent.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How requests travel.
    pub transport: Transport,
    /// Connections; all transactions of a sender use one.
    pub connections: usize,
    /// When they leave.
    pub pace: Pace,
    /// Method that takes a raw transaction.
    pub method: &'static str,
    /// Whether the server makes blocks; one that does not is only asked for answers.
    pub seals: bool,
    /// Most transactions that were answered and are in no block yet: a server's pool has an end.
    pub waiting: usize,
    /// How long no block may come, or none with any of what is missing.
    pub patience: Duration,
}

/// What came of it. Counts are of transactions.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Sent, accepted, and, if the server makes blocks, seen in one.
    pub included: usize,
    /// Refusals for want of room, each sent again.
    pub refused: u64,
    /// First departure to last answer.
    pub answered_in: Duration,
    /// First departure to the last block that was needed, fetched; without blocks, to the last answer.
    pub included_in: Duration,
    /// Microseconds to the answer.
    pub answered: Histogram<u64>,
    /// Microseconds to the block, announced and its hashes fetched.
    pub sealed: Histogram<u64>,
    /// CPU time of the generator between the first departure and the end.
    pub generator_cpu: Duration,
    /// First and last block that may hold some of them.
    pub blocks: (u64, u64),
}

impl Plan {
    /// As fast as it goes, by `eth_sendRawTransaction`, to a server that makes blocks.
    pub fn closed(transport: Transport, connections: usize) -> Self {
        let (pace, method) = (Pace::Closed, "eth_sendRawTransaction");
        let patience = Duration::from_secs(30);
        Self { transport, connections, pace, method, seals: true, waiting: 15_000, patience }
    }

    /// In words, for the report.
    pub fn describe(&self) -> String {
        let connections = self.connections;
        match self.transport {
            Transport::Http { batch: 1 } => format!("HTTP, {connections} connections"),
            Transport::Http { batch } => {
                format!("HTTP, {batch} calls a request, {connections} connections")
            }
            Transport::Ws { window } => {
                format!("WebSocket, {window} unanswered calls on each of {connections} connections")
            }
        }
    }
}

impl Outcome {
    /// Transactions a second, included and (if the server is) durable.
    pub fn per_second(&self) -> f64 {
        self.included as f64 / self.included_in.as_secs_f64()
    }

    /// Microseconds of the generator's CPU time a transaction.
    pub fn generator_us(&self) -> f64 {
        self.generator_cpu.as_secs_f64() * 1e6 / self.included as f64
    }
}

/// Sends everything and waits until all of it is included. An error is a transaction that was
/// rejected or lost, or a server that broke.
pub fn run(server: SocketAddr, txs: &[Signed], plan: Plan) -> eyre::Result<Outcome> {
    ensure!(!txs.is_empty(), "nothing to send");
    // A connection that waits for a departure reads no answers meanwhile.
    let http = matches!(plan.transport, Transport::Http { .. });
    ensure!(http || plan.pace == Pace::Closed, "a rate can be kept over HTTP only");
    let lanes = lanes(txs, plan.connections);
    let thread = std::thread::Builder::new().name("load".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, drive(server, lanes, plan))
    })?;
    thread.join().map_err(|_| eyre!("the load generator panicked"))?
}

/// CPU time of this thread.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

async fn drive(server: SocketAddr, lanes: Vec<Vec<Signed>>, plan: Plan) -> eyre::Result<Outcome> {
    let hashes: Vec<B256> = lanes.iter().flatten().map(|tx| tx.hash).collect();
    let total = hashes.len();
    let shared = Rc::new(Shared::new(hashes, plan));
    let mut watcher = match plan.seals {
        true => Some(watch::Watcher::open(server).await.wrap_err("the watcher")?),
        false => None,
    };
    let mut workers = Vec::new();
    let mut first = 0;
    for (number, lane) in lanes.iter().enumerate().filter(|(_, lane)| !lane.is_empty()) {
        let slots = shared::Slots { first, number, of: plan.connections };
        workers.push(match plan.transport {
            Transport::Http { batch } => {
                let lane = http::Lane::open(server, lane, slots, batch, plan.method).await?;
                tokio::task::spawn_local(lane.run(shared.clone()))
            }
            Transport::Ws { window } => {
                let lane = ws::Lane::open(server, lane, slots, window, plan.method).await?;
                tokio::task::spawn_local(lane.run(shared.clone()))
            }
        });
        first += lane.len();
    }
    let first_block = watcher.as_ref().map_or(0, |watcher| watcher.newest() + 1);
    let cpu = thread_cpu();
    shared.begin();
    let sending = async {
        for worker in workers {
            worker.await.map_err(|error| eyre!("a connection: {error}"))??;
        }
        Ok::<_, eyre::Report>(shared.now())
    };
    let watching = async {
        match &mut watcher {
            Some(watcher) => watcher.run(&shared, plan.patience).await.wrap_err("the watcher"),
            None => Ok(()),
        }
    };
    let (answered_us, ()) = tokio::try_join!(sending, watching)?;
    let included_us = if plan.seals { shared.last_sealed() } else { answered_us };
    Ok(Outcome {
        included: total,
        refused: shared.refused(),
        answered_in: Duration::from_micros(answered_us),
        included_in: Duration::from_micros(included_us.max(answered_us)),
        generator_cpu: thread_cpu() - cpu,
        blocks: (first_block, watcher.as_ref().map_or(0, watch::Watcher::newest)),
        answered: shared.answered_histogram(),
        sealed: shared.sealed_histogram(),
    })
}
