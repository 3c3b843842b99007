//! Carries committed blocks from memory into the store, many at a time: a thread of its own.

use std::collections::VecDeque;
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alloy_primitives::Bytes;
use parking_lot::{Condvar, Mutex};

use super::recover::still_needed;
use super::{Core, snapshot::Picture};
use crate::ExecutionError;
use crate::overlay::Layer;
use crate::store::Batch;

/// Changes that may wait; a commit beyond waits for the store.
const QUEUE: usize = 128;
/// Bytes of memory that blocks may take while they wait, about; one block may always wait.
const QUEUE_BYTES: usize = 64 << 20;
/// Most changes of one store transaction, and bytes of their blocks from which on it gets no more.
const BATCH: usize = 128;
const BATCH_BYTES: usize = 48 << 20;
/// How long a change waits for others: a row that many blocks change is then written once. This is
/// also about how much a start after a crash has to execute again.
const GATHER: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 300 });
/// Changes that wait where the caller writes them.
const IN_STEP: usize = 16;

/// One change, in the log's order.
pub(super) enum Change {
    Block(Arc<Layer>),
    Unwind {
        to: u64,
        safe: u64,
    },
    Derived {
        height: u64,
        record: Bytes,
        safe: u64,
        finalized: u64,
    },
    Underive {
        height: u64,
        safe: u64,
    },
    /// Answers once everything before it is in the store.
    Flush(SyncSender<()>),
}

/// A change, and the offset of the log behind its entry.
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) offset: u64,
}

impl Job {
    fn weight(&self) -> usize {
        match &self.change {
            Change::Block(layer) => layer.weight(),
            _ => 0,
        }
    }
}

/// What changes are handed to.
pub(super) enum Persist {
    Beside(Beside),
    /// For disks that want one order of operations: the caller writes what waits.
    InStep(Arc<Core>, Mutex<VecDeque<Job>>),
}

impl Persist {
    pub(super) fn start(core: Arc<Core>, in_step: bool) -> Result<Self, ExecutionError> {
        if in_step {
            return Ok(Self::InStep(core, Mutex::default()));
        }
        Ok(Self::Beside(Beside::start(core)?))
    }

    /// Hands a change over; waits while too many do.
    pub(super) fn send(&self, change: Change, offset: u64) -> Result<(), ExecutionError> {
        let job = Job { change, offset };
        match self {
            Self::Beside(thread) => thread.send(job),
            Self::InStep(core, queue) => {
                let mut queue = queue.lock();
                core.rules.metrics.persist_queue.add(1);
                queue.push_back(job);
                if queue.len() < IN_STEP { Ok(()) } else { write_all(core, &mut queue) }
            }
        }
    }

    /// Waits until everything handed over is in the store.
    pub(super) fn flush(&self) -> Result<(), ExecutionError> {
        match self {
            Self::Beside(thread) => {
                let (reply, answer) = sync_channel(1);
                self.send(Change::Flush(reply), 0)?;
                answer.recv().map_err(|_| ended(&thread.core))
            }
            Self::InStep(core, queue) => write_all(core, &mut queue.lock()),
        }
    }
}

fn write_all(core: &Core, queue: &mut VecDeque<Job>) -> Result<(), ExecutionError> {
    core.healthy()?;
    while !queue.is_empty() {
        let mut gathered = Gathered::new(core.picture().base.number);
        queue.drain(..queue.len().min(2 * IN_STEP)).for_each(|job| gathered.add(job));
        core.rules.metrics.persist_queue.sub(gathered.jobs);
        if let Err(error) = gathered.write(core) {
            core.fail(error.to_string());
            return Err(ended(core));
        }
    }
    Ok(())
}

/// Handle of the thread.
pub(super) struct Beside {
    core: Arc<Core>,
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

/// What waits for the thread.
#[derive(Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    /// Something came or went, or the thread is to end or has ended.
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Sum of the jobs' weights.
    bytes: usize,
    /// Whether somebody waits for a flush among them.
    flush: bool,
    /// What waits is left to the log and the next start.
    abandoned: bool,
    /// The thread is gone.
    ended: bool,
}

impl Waiting {
    /// Whether there is enough for a transaction, or somebody waits for one.
    fn is_due(&self) -> bool {
        self.flush || self.abandoned || self.jobs.len() >= BATCH || self.bytes >= BATCH_BYTES
    }
}

impl Beside {
    fn start(core: Arc<Core>) -> Result<Self, ExecutionError> {
        let inbox = Arc::new(Inbox::default());
        let (seen, used) = (inbox.clone(), core.clone());
        let thread = std::thread::Builder::new()
            .name("persist".into())
            .spawn(move || run(&used, &seen))
            .map_err(|error| ExecutionError::Storage(format!("persist thread: {error}")))?;
        Ok(Self { core, inbox, thread: Some(thread) })
    }

    fn send(&self, job: Job) -> Result<(), ExecutionError> {
        let flush = matches!(job.change, Change::Flush(_));
        let weight = job.weight();
        let metrics = &self.core.rules.metrics;
        let mut waiting = self.inbox.waiting.lock();
        let full = |waiting: &mut Waiting| {
            let many = waiting.jobs.len() >= QUEUE || waiting.bytes + weight > QUEUE_BYTES;
            many && !waiting.jobs.is_empty() && !flush && !waiting.ended
        };
        if full(&mut waiting) {
            metrics.commit_waits.add(1);
            self.inbox.changed.wait_while(&mut waiting, full);
        }
        if waiting.ended {
            return Err(ended(&self.core));
        }
        metrics.persist_queue.add(1);
        waiting.bytes += weight;
        waiting.flush |= flush;
        waiting.jobs.push_back(job);
        drop(waiting);
        self.inbox.changed.notify_all();
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.inbox.waiting.lock().abandoned = true;
        self.inbox.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook; nothing more can be done here.
            let _ = thread.join();
        }
    }
}

/// Why the store is no longer written to: what failed, if it said so.
fn ended(core: &Core) -> ExecutionError {
    core.healthy().err().unwrap_or_else(stopped)
}

fn stopped() -> ExecutionError {
    ExecutionError::Storage("the store is no longer written to".into())
}

/// Tells everybody that the thread is gone, however it went.
struct Ended<'a>(&'a Core, &'a Inbox);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fail(stopped().to_string());
        let mut waiting = self.1.waiting.lock();
        waiting.ended = true;
        // With the jobs go the answers that somebody may wait for.
        waiting.jobs.clear();
        drop(waiting);
        self.1.changed.notify_all();
    }
}

/// Waits for changes and takes those of one transaction; nothing if the thread is to end.
fn gather(core: &Core, inbox: &Inbox) -> Option<Gathered> {
    let mut waiting = inbox.waiting.lock();
    inbox.changed.wait_while(&mut waiting, |it| it.jobs.is_empty() && !it.abandoned);
    let until = Instant::now() + GATHER;
    while !waiting.is_due() && !inbox.changed.wait_until(&mut waiting, until).timed_out() {}
    if waiting.abandoned {
        return None;
    }
    let mut gathered = Gathered::new(core.picture().base.number);
    let mut bytes = 0;
    while gathered.changes < BATCH && bytes < BATCH_BYTES && gathered.replies.is_empty() {
        let Some(job) = waiting.jobs.pop_front() else { break };
        bytes += job.weight();
        gathered.add(job);
    }
    waiting.bytes -= bytes;
    waiting.flush = waiting.jobs.iter().any(|job| matches!(job.change, Change::Flush(_)));
    drop(waiting);
    inbox.changed.notify_all();
    Some(gathered)
}

fn run(core: &Core, inbox: &Inbox) {
    let _ended = Ended(core, inbox);
    while let Some(gathered) = gather(core, inbox) {
        #[cfg(test)]
        while core.hold.load(Ordering::Relaxed) {
            if inbox.waiting.lock().abandoned {
                return;
            }
            std::thread::yield_now();
        }
        core.rules.metrics.persist_queue.sub(gathered.jobs);
        if let Err(error) = gathered.write(core) {
            tracing::error!(%error, "the store failed");
            core.fail(error.to_string());
            return;
        }
    }
}

/// Changes that become one store transaction.
struct Gathered {
    /// Newest block of the store, once `batch.unwind_to` is applied.
    base: u64,
    batch: Batch,
    layers: Vec<Arc<Layer>>,
    replies: Vec<SyncSender<()>>,
    changes: usize,
    /// Changes and wishes to flush.
    jobs: u64,
}

impl Gathered {
    fn new(base: u64) -> Self {
        let (batch, layers, replies) = Default::default();
        Self { base, batch, layers, replies, changes: 0, jobs: 0 }
    }

    fn add(&mut self, job: Job) {
        self.jobs += 1;
        let batch = &mut self.batch;
        match job.change {
            Change::Block(layer) => {
                batch.blocks.push(layer.executed.clone());
                self.layers.push(layer);
            }
            Change::Unwind { to, safe } => {
                self.layers.retain(|layer| layer.id().number <= to);
                batch.blocks.truncate(self.layers.len());
                if to < self.base {
                    batch.unwind_to = Some(to);
                    self.base = to;
                }
                batch.safe = Some(safe);
            }
            Change::Derived { height, record, safe, finalized } => {
                batch.derived.push((height, record));
                batch.safe = Some(safe);
                batch.finalized = Some(finalized);
            }
            Change::Underive { height, safe } => {
                batch.derived.retain(|(derived, _)| *derived <= height);
                let above = batch.drop_derived_above.unwrap_or(height);
                batch.drop_derived_above = Some(above.min(height));
                batch.safe = Some(safe);
            }
            Change::Flush(reply) => return self.replies.push(reply),
        }
        self.changes += 1;
        batch.log_offset = batch.log_offset.max(job.offset);
    }

    fn write(&self, core: &Core) -> Result<(), ExecutionError> {
        if self.changes > 0 {
            // The store must never hold what the log may still lose.
            core.log.sync(self.batch.log_offset)?;
            let metrics = &core.rules.metrics;
            metrics.store_commit.time(|| core.store.commit(&self.batch))?;
            metrics.store_blocks.count(self.batch.blocks.len() as u64);
            self.show(core)?;
            core.log.truncate(self.batch.log_offset, &mut |records| {
                still_needed(&core.picture().view, records)
            })?;
        }
        for reply in &self.replies {
            // Nobody waits any more if the caller's thread is gone.
            let _ = reply.send(());
        }
        Ok(())
    }

    /// Puts the new view under the layers that are not in it.
    fn show(&self, core: &Core) -> Result<(), ExecutionError> {
        let missing = || ExecutionError::Damaged("the store lost its heads".into());
        let stored = Picture::of(core.store.view()?)?.ok_or_else(missing)?;
        let unwound = self.batch.unwind_to.is_some();
        core.change_picture(|picture| {
            picture.view = stored.view;
            picture.base = stored.base;
            if unwound {
                picture.layers = Arc::default();
                picture.heads = stored.heads;
            } else {
                Arc::make_mut(&mut picture.layers)
                    .retain(|layer| layer.id().number > stored.base.number);
            }
            for (height, _) in &self.batch.derived {
                picture.derived.remove(height);
            }
            if let Some(above) = self.batch.drop_derived_above {
                picture.derived.retain(|height, _| *height <= above);
            }
        });
        Ok(())
    }
}
