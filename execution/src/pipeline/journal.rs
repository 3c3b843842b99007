//! What must be durable before somebody is answered: transactions, records of the sequencer, and the
//! thread that makes them so, many at a time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alloy_primitives::Bytes;
use causeway_chainspec::{Tx, crash};

use super::{Core, Pipeline};
use crate::ExecutionError;
use crate::log::{Accepted, Entry};

/// Syncs begin this far apart, at least: on a fast disk a sync costs more of the processor than of
/// the disk, and so does waking those who wait, few at a time. Who comes after a pause waits for none.
const APART: Duration = Duration::from_millis(2);

/// Called once with what became of a request, on the journal's thread: it must not wait.
pub type Done = Box<dyn FnOnce(Result<(), ExecutionError>) + Send>;

/// Transactions to append, and whom to tell when they, and all that was appended before, are
/// durable.
struct Request {
    txs: Vec<Arc<Tx>>,
    done: Done,
}

/// What requests are handed to.
pub(super) enum Journal {
    Beside(Beside),
    /// For disks that want one order of operations: the caller writes.
    InStep(Arc<Core>),
}

impl Journal {
    pub(super) fn start(core: Arc<Core>, in_step: bool) -> Result<Self, ExecutionError> {
        if in_step {
            return Ok(Self::InStep(core));
        }
        let (requests, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || run(&core, &inbox))
            .map_err(|error| ExecutionError::Storage(format!("journal thread: {error}")))?;
        Ok(Self::Beside(Beside { requests: Some(requests), thread: Some(thread) }))
    }

    fn write(&self, request: Request) {
        match self {
            Self::InStep(core) => write(core, vec![request]),
            Self::Beside(thread) => {
                let requests = thread.requests.as_ref().expect("only dropping takes it");
                if let Err(refused) = requests.send(request) {
                    (refused.0.done)(Err(ended()));
                }
            }
        }
    }
}

/// Handle of the thread. Dropping it waits until all who asked are answered.
pub(super) struct Beside {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook; nothing more can be done here.
            let _ = thread.join();
        }
    }
}

fn ended() -> ExecutionError {
    ExecutionError::Storage("the journal is no longer written to".into())
}

/// Stops the pipeline if the thread panics: who waits is not answered, and must not be later.
struct Ended<'a>(&'a Core);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(ended().to_string());
        }
    }
}

/// One write and one fdatasync for all who wait when it begins; who comes meanwhile shares the next.
fn run(core: &Core, inbox: &Receiver<Request>) {
    let _ended = Ended(core);
    let mut next = Instant::now();
    while let Ok(first) = inbox.recv() {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next = Instant::now() + APART;
        write(core, std::iter::once(first).chain(inbox.try_iter()).collect());
    }
}

fn write(core: &Core, requests: Vec<Request>) {
    crash::point("accept.before");
    let txs = requests.iter().flat_map(|request| &request.txs);
    let durable = append(core, txs).and_then(|end| core.log.sync(end));
    crash::point("accept.durable");
    for request in requests {
        (request.done)(durable.clone());
    }
}

/// Appends transactions in one write; returns the offset behind them, or that of the log's end if
/// there are none.
fn append<'a>(core: &Core, txs: impl Iterator<Item = &'a Arc<Tx>>) -> Result<u64, ExecutionError> {
    core.healthy()?;
    let accepted = |tx: &Arc<Tx>| Accepted { raw: tx.raw.clone(), sender: tx.sender };
    let entries: Vec<_> = txs.map(|tx| Entry::Accepted(accepted(tx))).collect();
    if entries.is_empty() { Ok(core.log.end()) } else { core.log.append(&entries) }
}

impl Pipeline {
    /// Makes transactions durable before they are acknowledged: one write, one grouped fdatasync.
    pub fn accept(&self, txs: &[Arc<Tx>]) -> Result<(), ExecutionError> {
        self.core.log.sync(append(&self.core, txs.iter())?)
    }

    /// [`Pipeline::accept`] for callers that must not wait: returns at once, and calls `done` when
    /// the transactions, and everything appended before, are durable. Requests are written in the
    /// order of the calls; those that come close together share a write and an fdatasync. If the
    /// journal's thread is gone, `done` may be dropped uncalled, and the pipeline has failed.
    pub fn accept_then(&self, txs: Vec<Arc<Tx>>, done: Done) {
        self.journal.write(Request { txs, done });
    }

    /// Appends a record of the sequencer; durable after [`Pipeline::sync`].
    pub fn append_vote(&self, record: Bytes) -> Result<(), ExecutionError> {
        self.core.healthy()?;
        self.core.log.append(&[Entry::Vote(record)]).map(|_| ())
    }

    /// One grouped fdatasync of the log.
    pub fn sync(&self) -> Result<(), ExecutionError> {
        self.core.healthy()?;
        self.core.log.sync(self.core.log.end())
    }
}
