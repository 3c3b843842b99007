//! Carries committed blocks from memory into the store, many at a time: a thread of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use alloy_primitives::Bytes;
use parking_lot::Mutex;

use super::recover::still_needed;
use super::{Core, snapshot::Picture};
use crate::ExecutionError;
use crate::overlay::Layer;
use crate::store::Batch;

/// Committed blocks (and other changes) that may wait; a commit beyond waits for the store.
const QUEUE: usize = 16;
/// Most changes of one store transaction.
const BATCH: usize = 32;

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
                if queue.len() < QUEUE { Ok(()) } else { write_all(core, &mut queue) }
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
        queue.drain(..queue.len().min(BATCH)).for_each(|job| gathered.add(job));
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
    jobs: Option<SyncSender<Job>>,
    /// Raised to leave what waits to the log and the next start.
    abandon: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    fn start(core: Arc<Core>) -> Result<Self, ExecutionError> {
        let (jobs, inbox) = sync_channel(QUEUE);
        let abandon = Arc::new(AtomicBool::new(false));
        let (seen, used) = (abandon.clone(), core.clone());
        let thread = std::thread::Builder::new()
            .name("persist".into())
            .spawn(move || run(&used, &inbox, &seen))
            .map_err(|error| ExecutionError::Storage(format!("persist thread: {error}")))?;
        Ok(Self { core, jobs: Some(jobs), abandon, thread: Some(thread) })
    }

    fn send(&self, job: Job) -> Result<(), ExecutionError> {
        let jobs = self.jobs.as_ref().expect("only dropping takes it");
        let metrics = &self.core.rules.metrics;
        metrics.persist_queue.add(1);
        let sent = match jobs.try_send(job) {
            Err(TrySendError::Full(job)) => {
                metrics.commit_waits.add(1);
                jobs.send(job).map_err(drop)
            }
            sent => sent.map_err(drop),
        };
        sent.map_err(|()| ended(&self.core))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.abandon.store(true, Ordering::Relaxed);
        self.jobs = None;
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
struct Ended<'a>(&'a Core);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fail(stopped().to_string());
    }
}

fn run(core: &Core, inbox: &Receiver<Job>, abandon: &AtomicBool) {
    let _ended = Ended(core);
    while let Ok(job) = inbox.recv() {
        let mut gathered = Gathered::new(core.picture().base.number);
        gathered.add(job);
        while gathered.changes < BATCH && gathered.replies.is_empty() {
            match inbox.try_recv() {
                Ok(job) => gathered.add(job),
                Err(_) => break,
            }
        }
        #[cfg(test)]
        while core.hold.load(Ordering::Relaxed) && !abandon.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        if abandon.load(Ordering::Relaxed) {
            return;
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
                picture.layers.clear();
                picture.heads = stored.heads;
            } else {
                picture.layers.retain(|layer| layer.id().number > stored.base.number);
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
