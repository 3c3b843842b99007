//! The durable log: everything a node must not forget, in order, before it acts on it.

mod entry;
mod segment;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use causeway_chainspec::crash;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::ExecutionError;
use crate::disk::{DiskFile, Folder, failed};
use crate::metrics::Histogram;
pub use entry::{Accepted, BlockEntry, DerivedEntry, Entry, UnderiveEntry, UnwindEntry};
use segment::{Cursor, SEGMENT_HEADER, encode_frame};

/// One append-only log in a directory of segment files. Shared by reference between threads.
///
/// Offsets count the bytes of frames since the beginning of the log and never repeat. After a
/// failed write or sync every call fails until the process is restarted: what the disk holds is
/// unknown, and asking again could answer "durable" for pages the kernel has thrown away.
#[derive(Debug)]
pub struct Log {
    folder: Folder,
    segment_bytes: u64,
    state: Mutex<State>,
    synced: Condvar,
    sync_seconds: Arc<Histogram>,
}

#[derive(Debug)]
struct State {
    /// The last segment.
    file: Arc<dyn DiskFile>,
    /// Start offsets of all segments, ascending; the last is that of `file`.
    starts: Vec<u64>,
    cursor: Cursor,
    /// Everything below this offset is on disk.
    durable: u64,
    syncing: bool,
    failed: Option<String>,
}

/// An entry and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Offset of its frame.
    pub offset: u64,
    /// Offset behind its frame.
    pub end: u64,
    /// Offset at which it was appended first: differs from `offset` only for entries that
    /// truncation carried forward. Orders entries by age; copies of one entry share it.
    pub first: u64,
    /// The entry.
    pub entry: Entry,
}

impl Log {
    /// Opens or creates the log in a folder. A torn tail of the last segment is cut off; anything
    /// else that cannot be read is [`ExecutionError::Damaged`].
    pub fn open(folder: impl Into<Folder>) -> Result<Self, ExecutionError> {
        let folder = folder.into();
        let segment_bytes = folder.disk().segment_bytes();
        Self::open_with(folder, segment_bytes)
    }

    /// Whether a folder has a log.
    pub fn is_in(folder: &Folder) -> Result<bool, ExecutionError> {
        match folder.disk().list(folder.path()) {
            Ok(names) => Ok(names.iter().any(|name| name.ends_with(".log"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(folder.path(), &error)),
        }
    }

    /// [`Log::open`] with another segment size.
    pub fn open_with(
        folder: impl Into<Folder>,
        segment_bytes: u64,
    ) -> Result<Self, ExecutionError> {
        let folder = folder.into();
        let disk = folder.disk();
        disk.create_dir(folder.path()).map_err(|error| failed(folder.path(), &error))?;
        let mut starts = segment::list(&folder)?;
        let mut cursor: Option<Cursor> = None;
        let mut durable = 0;
        for (at, start) in starts.clone().into_iter().enumerate() {
            let last = at + 1 == starts.len();
            match check(&folder, start, cursor, last)? {
                Some((end, known)) => (cursor, durable) = (Some(end), known),
                None => {
                    let path = segment::path(&folder, start);
                    disk.remove(&path).map_err(|error| failed(&path, &error))?;
                    starts.pop();
                }
            }
        }
        let cursor = cursor.unwrap_or_default();
        let file = match starts.last() {
            Some(start) => {
                let path = segment::path(&folder, *start);
                let file = disk.open(&path).map_err(|error| failed(&path, &error))?;
                let end = SEGMENT_HEADER + cursor.offset - start;
                let from = if durable > *start { SEGMENT_HEADER + durable - start } else { 0 };
                settle(&*file, from, end).map_err(|error| failed(&path, &error))?;
                // A process killed between making or removing a segment and this left it undone.
                segment::sync_names(&folder)?;
                file
            }
            None => {
                starts.push(cursor.offset);
                segment::create(&folder, cursor)?
            }
        };
        let state =
            State { file, starts, cursor, durable: cursor.offset, syncing: false, failed: None };
        Ok(Self {
            folder,
            segment_bytes,
            state: Mutex::new(state),
            synced: Condvar::new(),
            sync_seconds: Arc::new(Histogram::seconds()),
        })
    }

    /// Appends entries side by side and returns the offset behind them. Not durable before
    /// [`Log::sync`] has returned for that offset.
    pub fn append(&self, entries: &[Entry]) -> Result<u64, ExecutionError> {
        let payloads: Vec<_> = entries.iter().map(Entry::encode).collect();
        self.append_payloads(&payloads)
    }

    fn append_payloads(&self, payloads: &[Vec<u8>]) -> Result<u64, ExecutionError> {
        let mut state = self.state.lock();
        if state.cursor.offset - state.start() >= self.segment_bytes {
            self.rotate(&mut state)?;
        }
        state.healthy()?;
        let mut cursor = state.cursor;
        let mut bytes = Vec::new();
        for payload in payloads {
            encode_frame(&mut cursor, state.durable, payload, &mut bytes);
        }
        let at = SEGMENT_HEADER + state.cursor.offset - state.start();
        crash::point("log.append.before");
        if let Err(error) = state.file.write_at(&bytes, at) {
            return Err(state.fail(format!("the log cannot be written: {error}")));
        }
        crash::point("log.append.written");
        state.cursor = cursor;
        Ok(cursor.offset)
    }

    /// Returns once everything below `up_to` is durable. Callers that wait at the same time share
    /// one fdatasync: one of them makes it, for all that is appended by then.
    pub fn sync(&self, up_to: u64) -> Result<(), ExecutionError> {
        let mut state = self.state.lock();
        loop {
            state.healthy()?;
            if state.durable >= up_to {
                return Ok(());
            }
            if state.syncing {
                self.synced.wait(&mut state);
                continue;
            }
            crash::point("log.sync.before");
            state.syncing = true;
            let (file, target) = (state.file.clone(), state.cursor.offset);
            let result =
                MutexGuard::unlocked(&mut state, || self.sync_seconds.time(|| file.sync_data()));
            state.syncing = false;
            match result {
                Ok(()) => state.durable = state.durable.max(target),
                Err(error) => {
                    let _ = state.fail(format!("the log cannot be synced: {error}"));
                }
            }
            self.synced.notify_all();
            crash::point("log.sync.after");
        }
    }

    /// An error if a write or a sync failed.
    pub fn healthy(&self) -> Result<(), ExecutionError> {
        self.state.lock().healthy()
    }

    /// Offset behind the last entry appended.
    pub fn end(&self) -> u64 {
        self.state.lock().cursor.offset
    }

    /// Has the duration of each grouped fdatasync taken in by a histogram.
    #[must_use]
    pub fn observed_by(mut self, sync_seconds: Arc<Histogram>) -> Self {
        self.sync_seconds = sync_seconds;
        self
    }

    /// Bytes appended that are not durable yet.
    pub fn undurable(&self) -> u64 {
        let state = self.state.lock();
        state.cursor.offset - state.durable
    }

    /// Offset of the oldest entry kept.
    pub fn start(&self) -> u64 {
        self.state.lock().starts[0]
    }

    /// Visits the entries whose frames begin at or after `from`, in order.
    pub fn replay(
        &self,
        from: u64,
        visit: &mut dyn FnMut(Record) -> Result<(), ExecutionError>,
    ) -> Result<(), ExecutionError> {
        let (starts, end) = {
            let state = self.state.lock();
            (state.starts.clone(), state.cursor.offset)
        };
        for (at, start) in starts.iter().enumerate() {
            if starts.get(at + 1).is_none_or(|next| *next > from) {
                self.visit_segment(*start, end, &mut |record| {
                    if record.offset >= from { visit(record) } else { Ok(()) }
                })?;
            }
        }
        Ok(())
    }

    /// Drops whole segments below `below`. `select` gets their entries in order and returns those
    /// to carry forward: they are appended and made durable before anything is dropped.
    pub fn truncate(
        &self,
        below: u64,
        select: &mut dyn FnMut(Vec<Record>) -> Result<Vec<Record>, ExecutionError>,
    ) -> Result<(), ExecutionError> {
        let starts = self.state.lock().starts.clone();
        let drop = starts.windows(2).take_while(|pair| pair[1] <= below).count();
        if drop == 0 {
            return Ok(());
        }
        let mut records = Vec::new();
        for start in &starts[..drop] {
            self.visit_segment(*start, starts[drop], &mut |record| {
                records.push(record);
                Ok(())
            })?;
        }
        let kept = select(records)?;
        crash::point("log.truncate.before");
        let payloads: Vec<_> = kept.iter().map(|kept| kept.entry.encode_copy(kept.first)).collect();
        let end = self.append_payloads(&payloads)?;
        self.sync(end)?;
        crash::point("log.truncate.carried");
        // Oldest first and one by one, so that what a crash leaves is still one piece.
        for start in &starts[..drop] {
            let path = segment::path(&self.folder, *start);
            self.folder.disk().remove(&path).map_err(|error| failed(&path, &error))?;
            crash::point("log.truncate.removed");
            segment::sync_names(&self.folder)?;
        }
        crash::point("log.truncate.after");
        self.state.lock().starts.drain(..drop);
        Ok(())
    }

    fn visit_segment(
        &self,
        start: u64,
        end: u64,
        visit: &mut dyn FnMut(Record) -> Result<(), ExecutionError>,
    ) -> Result<(), ExecutionError> {
        let path = segment::path(&self.folder, start);
        let (cursor, frames) =
            segment::read(&self.folder, &path)?.ok_or_else(|| damaged(&path, "its header"))?;
        // Another thread may be appending behind `end`: what stands there is not asked for.
        let most = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let frames = &frames[..frames.len().min(most)];
        segment::scan(frames, cursor, &mut |at, frame| {
            let (first, entry) = Entry::decode(&frame.payload)?;
            let end = at.offset + frame.size as u64;
            visit(Record { offset: at.offset, end, first: first.unwrap_or(at.offset), entry })
        })?;
        Ok(())
    }

    fn rotate(&self, state: &mut MutexGuard<'_, State>) -> Result<(), ExecutionError> {
        while state.syncing {
            self.synced.wait(state);
        }
        state.healthy()?;
        crash::point("log.rotate.before");
        // Only the last segment may have a tail that is not durable.
        if let Err(error) = state.file.sync_data() {
            return Err(state.fail(format!("the log cannot be synced: {error}")));
        }
        state.durable = state.cursor.offset;
        crash::point("log.rotate.synced");
        match segment::create(&self.folder, state.cursor) {
            Ok(file) => {
                let start = state.cursor.offset;
                state.file = file;
                state.starts.push(start);
                Ok(())
            }
            Err(error) => Err(state.fail(error.to_string())),
        }
    }
}

impl State {
    fn start(&self) -> u64 {
        *self.starts.last().expect("there is always a last segment")
    }

    fn healthy(&self) -> Result<(), ExecutionError> {
        match &self.failed {
            Some(reason) => Err(ExecutionError::Storage(reason.clone())),
            None => Ok(()),
        }
    }

    fn fail(&mut self, reason: String) -> ExecutionError {
        self.failed.get_or_insert_with(|| reason.clone());
        ExecutionError::Storage(reason)
    }
}

/// Cuts the last segment off at its end, and makes it durable. What was read may be in the kernel's
/// memory alone: after a failed sync it keeps bytes that it will never write, unless they are
/// written again.
fn settle(file: &dyn DiskFile, from: u64, end: u64) -> std::io::Result<()> {
    file.set_len(end)?;
    let mut doubtful = vec![0; usize::try_from(end - from).map_err(std::io::Error::other)?];
    file.read_at(&mut doubtful, from)?;
    file.write_at(&doubtful, from)?;
    file.sync_data()
}

/// Checks a segment against the end of the one before; returns its own end, and the offset below
/// which its frames say that all was durable. `None` for a last segment that a crash left before
/// its header was whole.
fn check(
    folder: &Folder,
    start: u64,
    before: Option<Cursor>,
    last: bool,
) -> Result<Option<(Cursor, u64)>, ExecutionError> {
    let path = segment::path(folder, start);
    let Some((first, frames)) = segment::read(folder, &path)? else {
        let size = folder.disk().len(&path).map_err(|error| failed(&path, &error))?.unwrap_or(0);
        if last && size <= SEGMENT_HEADER && before.is_none_or(|end| end.offset == start) {
            return Ok(None);
        }
        return Err(damaged(&path, "its header"));
    };
    if first.offset != start || before.is_some_and(|end| end != first) {
        return Err(damaged(&path, "its place after the segment before it"));
    }
    let mut durable = 0;
    let end = segment::scan(&frames, first, &mut |_, frame| {
        durable = frame.durable;
        Ok(())
    })?;
    let tail = &frames[(end.offset - start) as usize..];
    if !tail.is_empty() && (!last || segment::was_durable(tail, end)) {
        return Err(damaged(&path, &format!("the entry at offset {}", end.offset)));
    }
    Ok(Some((end, durable)))
}

fn damaged(path: &Path, what: &str) -> ExecutionError {
    ExecutionError::Damaged(format!(
        "{}: {what} cannot be read, though it was durable once; restore the datadir from a backup, \
         or move it away and derive the chain again from DA",
        path.display()
    ))
}
