//! What a simulated disk holds: what its user sees, what is durable, and what lies between.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Bytes that are written whole or not at all.
const SECTOR: usize = 512;

/// splitmix64: enough chance for a simulation, the same on every machine.
#[derive(Debug, Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// Below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// Something that changes the disk.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Write { file: u64, at: u64, data: Vec<u8> },
    Resize { file: u64, len: u64 },
    Sync { file: u64 },
    Create { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
    SyncDir { dir: PathBuf },
    CreateDir { dir: PathBuf },
}

/// A change of a file that is not durable.
#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Resize(len) => bytes.resize(*len as usize, 0),
            Self::Write(at, data) => write(bytes, *at as usize, data),
        }
    }
}

fn write(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(data);
}

/// A change of names that is not durable.
#[derive(Debug, Clone)]
enum Naming {
    Link(PathBuf, u64),
    Rename(PathBuf, PathBuf, u64),
    Unlink(PathBuf),
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let (Self::Link(path, _) | Self::Rename(_, path, _) | Self::Unlink(path)) = self;
        path.parent() == Some(dir)
    }
}

#[derive(Debug, Clone, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

/// Which of the changes that are not durable a power cut keeps.
enum Kept {
    Prefix(u64),
    Any,
}

impl Kept {
    /// Often none or all of `count`.
    fn roll(dice: &mut Dice, count: usize) -> Self {
        match dice.below(4) {
            0 => Self::Prefix(0),
            1 => Self::Prefix(count as u64),
            2 => Self::Prefix(dice.below(count as u64 + 1)),
            _ => Self::Any,
        }
    }
}

impl Content {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }

    /// Keeps a part of what is pending, and forgets the rest.
    fn settle(&mut self, dice: &mut Dice) {
        let kept = Kept::roll(dice, self.pending.len());
        for (index, change) in self.pending.drain(..).enumerate() {
            match (&kept, change) {
                (Kept::Prefix(end), change) if (index as u64) < *end => {
                    change.apply(&mut self.durable);
                }
                (Kept::Prefix(_), _) => {}
                (Kept::Any, Change::Resize(len)) => {
                    if dice.coin() {
                        Change::Resize(len).apply(&mut self.durable);
                    }
                }
                (Kept::Any, Change::Write(at, data)) => tear(&mut self.durable, at, &data, dice),
            }
        }
    }
}

/// Writes some of the sectors that a write touches. The length may grow without them.
fn tear(bytes: &mut Vec<u8>, at: u64, data: &[u8], dice: &mut Dice) {
    let end = at as usize + data.len();
    if bytes.len() < end && dice.coin() {
        bytes.resize(end, 0);
    }
    let mut from = at as usize;
    while from < end {
        let to = ((from / SECTOR + 1) * SECTOR).min(end);
        if dice.coin() {
            write(bytes, from, &data[from - at as usize..to - at as usize]);
        }
        from = to;
    }
}

/// The disk's contents.
#[derive(Debug, Clone, Default)]
pub(super) struct Platter {
    dirs: BTreeSet<PathBuf>,
    /// As seen.
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    pending_names: Vec<Naming>,
    files: BTreeMap<u64, Content>,
}

impl Platter {
    /// Does something, or says why it cannot be done.
    pub(super) fn apply(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::Write { file, at, data } => self.change(*file, Change::Write(*at, data.clone())),
            Op::Resize { file, len } => self.change(*file, Change::Resize(*len)),
            Op::Sync { file } => self.sync(*file),
            Op::Create { path } => self.create(path),
            Op::Rename { from, to } => {
                let file = self.file(from)?;
                self.name(Naming::Rename(from.clone(), to.clone(), file));
            }
            Op::Remove { path } => {
                self.file(path)?;
                self.name(Naming::Unlink(path.clone()));
            }
            Op::SyncDir { dir } => {
                for naming in self.pending_names.extract_if(.., |naming| naming.is_in(dir)) {
                    naming.apply(&mut self.durable_names);
                }
            }
            Op::CreateDir { dir } => self.dirs.extend(dir.ancestors().map(Path::to_path_buf)),
        }
        Ok(())
    }

    /// A sync that fails: some of what was not durable is, the rest never will be, though it can
    /// still be seen.
    pub(super) fn fail_sync(&mut self, op: &Op, dice: &mut Dice) {
        match op {
            Op::Sync { file } => {
                if let Some(content) = self.files.get_mut(file) {
                    content.settle(dice);
                }
            }
            Op::SyncDir { .. } => self.settle_names(dice),
            _ => {}
        }
    }

    fn change(&mut self, file: u64, change: Change) {
        self.files.entry(file).or_default().change(change);
    }

    fn sync(&mut self, file: u64) {
        if let Some(content) = self.files.get_mut(&file) {
            for change in content.pending.drain(..) {
                change.apply(&mut content.durable);
            }
        }
    }

    fn create(&mut self, path: &Path) {
        match self.names.get(path) {
            Some(file) => self.change(*file, Change::Resize(0)),
            None => {
                let file = self.files.len() as u64;
                self.files.insert(file, Content::default());
                self.name(Naming::Link(path.into(), file));
            }
        }
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.pending_names.push(naming);
    }

    fn settle_names(&mut self, dice: &mut Dice) {
        let kept = Kept::roll(dice, self.pending_names.len());
        for (index, naming) in self.pending_names.drain(..).enumerate() {
            let keep = match kept {
                Kept::Prefix(end) => (index as u64) < end,
                Kept::Any => dice.coin(),
            };
            if keep {
                naming.apply(&mut self.durable_names);
            }
        }
    }

    /// Number of the file with a name.
    pub(super) fn file(&self, path: &Path) -> Result<u64> {
        self.names.get(path).copied().ok_or_else(|| Error::from(ErrorKind::NotFound))
    }

    /// Bytes of a file as seen.
    pub(super) fn bytes(&self, file: u64) -> &[u8] {
        self.files.get(&file).map_or(&[], |content| &content.seen)
    }

    pub(super) fn has_dir(&self, dir: &Path) -> bool {
        self.dirs.contains(dir)
    }

    /// Names in a folder.
    pub(super) fn list(&self, dir: &Path) -> Result<Vec<String>> {
        if !self.has_dir(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let all = self.names.keys().chain(&self.dirs);
        let inside = all.filter(|path| path.parent() == Some(dir));
        Ok(inside
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect())
    }

    /// What is there after the power was cut and came back.
    pub(super) fn after_cut(mut self, dice: &mut Dice) -> Self {
        self.settle_names(dice);
        for content in self.files.values_mut() {
            content.settle(dice);
            content.seen = content.durable.clone();
        }
        self.names = self.durable_names.clone();
        self
    }

    /// What is there if everything seen reaches the disk.
    pub(super) fn settled(mut self) -> Self {
        for content in self.files.values_mut() {
            content.pending.clear();
            content.durable = content.seen.clone();
        }
        self.pending_names.clear();
        self.durable_names = self.names.clone();
        self
    }

    /// Changes the bytes of a file behind its user's back, durably.
    pub(super) fn alter(&mut self, path: &Path, alter: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let file = self.file(path)?;
        let content = self.files.entry(file).or_default();
        alter(&mut content.seen);
        content.durable = content.seen.clone();
        content.pending.clear();
        Ok(())
    }
}
