//! A disk in memory whose power can be cut and whose operations can be made to fail, from a seed.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Builder, Database, DatabaseError, StorageBackend};

use super::platter::{Dice, Op, Platter};
use super::{Disk, DiskFile, Folder, Lock};

/// Small, so that short runs see files begin and end.
const SEGMENT_BYTES: u64 = 8 << 10;

/// What goes wrong at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The power goes while it is under way: it and all later ones fail, reads too.
    Cut,
    /// It fails with EIO; later ones work again. A failed sync makes some of what it was asked
    /// for durable and loses the rest, though that can still be read.
    ErrorOnce,
    /// It and all later ones fail with EIO.
    ErrorForEver,
    /// From here on whatever takes space fails with ENOSPC, until [`Faulty::free_space`].
    Full,
    /// A write is done in part and fails with ENOSPC, once; anything else works.
    Short,
}

#[derive(Debug)]
struct State {
    platter: Platter,
    dice: Dice,
    /// Operations so far that change something or sync.
    ops: u64,
    fault: Option<(u64, Fault)>,
    dead: bool,
    broken: bool,
    full: bool,
    in_step: bool,
    locks: BTreeSet<PathBuf>,
    /// What it began with, and everything since.
    history: Option<(Platter, Vec<Arc<Op>>)>,
}

/// A simulated disk. Clones are the same disk.
///
/// What was written and not synced is kept or lost at random by a power cut: none of it, all, a
/// prefix, or any part, torn at sectors of 512 bytes, lengths apart from bytes, and each file for
/// itself. Names likewise, whole changes at a time. Operations are counted from 1.
#[derive(Clone)]
pub struct Faulty(Arc<Mutex<State>>);

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("ops", &self.ops()).finish_non_exhaustive()
    }
}

impl Faulty {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        Self::holding(Platter::default(), seed)
    }

    /// An empty disk for runs that must be the same each time ([`Disk::in_step`]).
    pub fn in_step(seed: u64) -> Self {
        Self::new(seed).stepping(true)
    }

    fn stepping(self, in_step: bool) -> Self {
        self.0.lock().in_step = in_step;
        self
    }

    fn holding(platter: Platter, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            platter,
            dice: Dice(seed),
            ops: 0,
            fault: None,
            dead: false,
            broken: false,
            full: false,
            in_step: false,
            locks: BTreeSet::new(),
            history: None,
        })))
    }

    /// A folder on this disk.
    pub fn folder(&self, path: impl Into<PathBuf>) -> Folder {
        Folder::new(Arc::new(self.clone()), path)
    }

    /// Operations so far that change something or sync; reads do not count.
    pub fn ops(&self) -> u64 {
        self.0.lock().ops
    }

    /// Lets the operation with this number fail; the last call counts.
    pub fn fail_at(&self, op: u64, fault: Fault) {
        self.0.lock().fault = Some((op, fault));
    }

    /// Whether the fault of [`Faulty::fail_at`] has come about.
    pub fn failed(&self) -> bool {
        let state = self.0.lock();
        state.fault.is_some_and(|(at, _)| state.ops >= at)
    }

    /// There is space again.
    pub fn free_space(&self) {
        let mut state = self.0.lock();
        state.full = false;
        state.fault = None;
    }

    /// Cuts the power now: every later operation fails.
    pub fn cut(&self) {
        self.0.lock().dead = true;
    }

    /// Cuts the power, and returns the disk that is found when it comes back. The same seed gives
    /// the same disk.
    pub fn after_cut(&self, seed: u64) -> Self {
        let mut state = self.0.lock();
        state.dead = true;
        let mut dice = Dice(seed);
        let found = state.platter.clone().after_cut(&mut dice);
        Self::holding(found, dice.0).stepping(state.in_step)
    }

    /// Ends the process that uses this disk, and returns the disk as the next one finds it:
    /// healthy, with everything that was written.
    pub fn after_kill(&self, seed: u64) -> Self {
        let mut state = self.0.lock();
        state.dead = true;
        Self::holding(state.platter.clone(), seed).stepping(state.in_step)
    }

    /// From here on remembers everything, for [`Faulty::cut_at`].
    pub fn record(&self) {
        let mut state = self.0.lock();
        state.ops = 0;
        state.history = Some((state.platter.clone(), Vec::new()));
    }

    /// The disk as found after the power was cut in the middle of operation `op`, counted from
    /// [`Faulty::record`]; before the first of them with 0. `None` if there was no such operation.
    pub fn cut_at(&self, op: u64, seed: u64) -> Option<Self> {
        let mut dice = Dice(seed);
        Some(Self::holding(self.stopped_at(op)?.after_cut(&mut dice), dice.0))
    }

    /// As [`Faulty::cut_at`], but the process was killed there and the machine went on: everything
    /// it wrote can be seen.
    pub fn kill_at(&self, op: u64, seed: u64) -> Option<Self> {
        Some(Self::holding(self.stopped_at(op)?, seed))
    }

    fn stopped_at(&self, op: u64) -> Option<Platter> {
        let (mut platter, ops) = {
            let state = self.0.lock();
            let (start, history) = state.history.as_ref()?;
            (start.clone(), history.get(..op as usize)?.to_vec())
        };
        if let Some((last, before)) = ops.split_last() {
            for op in before {
                platter.apply(op).ok()?;
            }
            in_flight(&mut platter, last);
        }
        Some(platter)
    }

    /// A copy of the disk, healthy and with everything written durable.
    pub fn copy(&self, seed: u64) -> Self {
        Self::holding(self.0.lock().platter.clone().settled(), seed)
    }

    /// Changes the bytes of a file behind its user's back.
    pub fn alter(&self, path: &Path, alter: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.0.lock().platter.alter(path, alter)
    }

    fn perform(&self, op: Op) -> io::Result<()> {
        let state = &mut *self.0.lock();
        state.alive()?;
        state.ops += 1;
        if let Some((at, fault)) = state.fault
            && state.ops == at
        {
            match fault {
                Fault::Cut => {
                    in_flight(&mut state.platter, &op);
                    state.dead = true;
                    return Err(no_power());
                }
                Fault::ErrorOnce => return state.refuse(&op, os_error(EIO)),
                Fault::ErrorForEver => state.broken = true,
                Fault::Full => state.full = true,
                Fault::Short => {
                    if let Op::Write { .. } = op {
                        return state.refuse(&op, os_error(ENOSPC));
                    }
                }
            }
        }
        if state.broken {
            return state.refuse(&op, os_error(EIO));
        }
        if state.full && state.takes_space(&op) {
            return state.refuse(&op, os_error(ENOSPC));
        }
        state.platter.apply(&op)?;
        if let Some((_, history)) = &mut state.history {
            history.push(Arc::new(op));
        }
        Ok(())
    }

    fn read<T>(&self, read: impl FnOnce(&Platter) -> io::Result<T>) -> io::Result<T> {
        let state = self.0.lock();
        state.alive()?;
        read(&state.platter)
    }

    fn handle(&self, path: &Path) -> io::Result<FaultyFile> {
        let file = self.read(|platter| platter.file(path))?;
        Ok(FaultyFile { disk: self.clone(), file })
    }
}

/// An operation that the power left in the middle: it may come about whole, in part or not at
/// all, but nothing is durable by it.
fn in_flight(platter: &mut Platter, op: &Op) {
    if !matches!(op, Op::Sync { .. } | Op::SyncDir { .. }) {
        // What cannot be done is not done.
        let _ = platter.apply(op);
    }
}

// As in errno.h of every Unix.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn os_error(code: i32) -> Error {
    Error::from_raw_os_error(code)
}

fn no_power() -> Error {
    Error::other("the power is cut")
}

impl State {
    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(no_power()) } else { Ok(()) }
    }

    fn takes_space(&self, op: &Op) -> bool {
        match op {
            Op::Write { file, at, data } => {
                at + data.len() as u64 > self.platter.bytes(*file).len() as u64
            }
            Op::Resize { file, len } => *len > self.platter.bytes(*file).len() as u64,
            Op::Create { .. } | Op::CreateDir { .. } => true,
            Op::Sync { .. } | Op::Rename { .. } | Op::Remove { .. } | Op::SyncDir { .. } => false,
        }
    }

    /// Fails an operation; a part of a write is done.
    fn refuse(&mut self, op: &Op, error: Error) -> io::Result<()> {
        if let Op::Write { file, at, data } = op {
            let done = self.dice.below(data.len() as u64 + 1) as usize;
            let part = Op::Write { file: *file, at: *at, data: data[..done].to_vec() };
            self.platter.apply(&part)?;
        }
        self.platter.fail_sync(op, &mut self.dice);
        Err(error)
    }
}

impl Disk for Faulty {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if self.read(|platter| Ok(platter.has_dir(dir)))? {
            return Ok(());
        }
        self.perform(Op::CreateDir { dir: dir.into() })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.read(|platter| platter.list(dir))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read(|platter| Ok(platter.bytes(platter.file(path)?).to_vec()))
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        self.read(|platter| {
            Ok(platter.file(path).ok().map(|file| platter.bytes(file).len() as u64))
        })
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(self.handle(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let there = |platter: &Platter| Ok(path.parent().is_some_and(|dir| platter.has_dir(dir)));
        if !self.read(there)? {
            return Err(ErrorKind::NotFound.into());
        }
        self.perform(Op::Create { path: path.into() })?;
        Ok(Arc::new(self.handle(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.perform(Op::Rename { from: from.into(), to: to.into() })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.perform(Op::Remove { path: path.into() })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.perform(Op::SyncDir { dir: dir.into() })
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let mut state = self.0.lock();
        state.alive()?;
        let free = state.locks.insert(path.into());
        drop(state);
        Ok(free.then(|| Box::new(Held { disk: self.clone(), path: path.into() }) as Lock))
    }

    fn segment_bytes(&self) -> u64 {
        SEGMENT_BYTES
    }

    fn in_step(&self) -> bool {
        self.0.lock().in_step
    }

    fn database(
        &self,
        path: &Path,
        builder: &Builder,
        create: bool,
    ) -> Result<Database, DatabaseError> {
        let file = match self.handle(path) {
            Err(error) if create && error.kind() == ErrorKind::NotFound => {
                self.perform(Op::Create { path: path.into() })?;
                self.handle(path)?
            }
            file => file?,
        };
        builder.create_with_backend(file)
    }
}

/// A lock, until it is dropped.
struct Held {
    disk: Faulty,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.disk.0.lock().locks.remove(&self.path);
    }
}

#[derive(Debug, Clone)]
struct FaultyFile {
    disk: Faulty,
    file: u64,
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.read(|platter| Ok(platter.bytes(self.file).len() as u64))
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.read(|platter| {
            let bytes = platter.bytes(self.file).get(offset as usize..);
            let part = bytes.and_then(|bytes| bytes.get(..out.len()));
            out.copy_from_slice(part.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?);
            Ok(())
        })
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.disk.perform(Op::Write { file: self.file, at: offset, data: data.to_vec() })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.perform(Op::Resize { file: self.file, len })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.perform(Op::Sync { file: self.file })
    }
}

impl StorageBackend for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        DiskFile::len(self)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        DiskFile::set_len(self, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        DiskFile::sync_data(self)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_at(data, offset)
    }
}
