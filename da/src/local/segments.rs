//! Append-only files of checksummed frames, one frame a block, synced before `append` returns.
//!
//! A file is named after the height of its first frame. A frame: magic "CWDA", length u32, crc32c
//! u32 over length and payload (little-endian), payload. A torn tail is cut off when the files are
//! opened; damage with blocks after it is an error, since those were acknowledged. Bytes that only
//! look like a frame are no block: strangers choose what stands in one.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use causeway_chainspec::crash;

use crate::DaError;

const MAGIC: [u8; 4] = *b"CWDA";
const HEAD: usize = 12;

/// Where frames begin, by height.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// First height of each file, ascending.
    starts: Vec<u64>,
    /// Offset in its file of each frame.
    offsets: Vec<u64>,
}

/// The file being written.
#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
    file: File,
    length: u64,
    segment_bytes: u64,
    failed: bool,
}

/// Where a frame was put: pushed to the index once its block counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    new_file: bool,
    offset: u64,
}

impl Index {
    /// How many frames there are.
    pub(super) fn len(&self) -> u64 {
        self.offsets.len() as u64
    }

    pub(super) fn push(&mut self, placed: Placed) {
        if placed.new_file {
            self.starts.push(self.len());
        }
        self.offsets.push(placed.offset);
    }

    /// File and offset of a frame.
    pub(super) fn find(&self, dir: &Path, height: u64) -> Option<(PathBuf, u64)> {
        let offset = *self.offsets.get(usize::try_from(height).ok()?)?;
        let after = self.starts.partition_point(|start| *start <= height);
        Some((path(dir, *self.starts.get(after.checked_sub(1)?)?), offset))
    }
}

fn path(dir: &Path, start: u64) -> PathBuf {
    dir.join(format!("{start:020}.seg"))
}

fn storage(path: &Path, error: std::io::Error) -> DaError {
    DaError::Storage(format!("{}: {error}", path.display()))
}

fn damaged(path: &Path, offset: u64, what: &str) -> DaError {
    DaError::Damaged(format!(
        "{} at byte {offset}: {what}; restore this file from a copy, or move the whole directory \
         away to begin a new service (chains that used this one will not follow)",
        path.display()
    ))
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length), payload)
}

/// The payload of the frame at the start of `bytes`.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.get(..HEAD)?;
    let length = <[u8; 4]>::try_from(&head[4..8]).ok()?;
    let sum = u32::from_le_bytes(head[8..12].try_into().ok()?);
    let end = HEAD.checked_add(u32::from_le_bytes(length) as usize)?;
    let payload = bytes.get(HEAD..end)?;
    (head[..4] == MAGIC && checksum(length, payload) == sum).then_some(payload)
}

/// Reads one frame.
pub(super) fn read(path: &Path, offset: u64) -> Result<Vec<u8>, DaError> {
    let failed = |error| storage(path, error);
    let file = File::open(path).map_err(failed)?;
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, offset).map_err(failed)?;
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    // The length is only believed as far as the file goes.
    let left = file.metadata().map_err(failed)?.len().saturating_sub(offset);
    if (HEAD + length) as u64 > left {
        return Err(damaged(path, offset, "the length of a block is wrong"));
    }
    let mut bytes = vec![0; HEAD + length];
    file.read_exact_at(&mut bytes, offset).map_err(failed)?;
    match frame(&bytes) {
        Some(payload) => Ok(payload.to_vec()),
        None => Err(damaged(path, offset, "a block does not match its checksum")),
    }
}

/// Who knows what a payload means.
pub(super) trait Reader {
    /// Takes the next payload in order; what it objects to is damage.
    fn next(&mut self, payload: &[u8]) -> Result<(), String>;

    /// Whether a payload found behind bytes that cannot be read is of a block after the one they
    /// were, written by this service itself.
    fn is_later(&self, payload: &[u8]) -> bool;
}

/// Opens the files of a directory, gives every payload in order to `reader`, cuts off a torn tail.
pub(super) fn open(
    dir: &Path,
    segment_bytes: u64,
    reader: &mut dyn Reader,
) -> Result<(Index, Writer), DaError> {
    let mut starts = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| storage(dir, error))? {
        let name = entry.map_err(|error| storage(dir, error))?.file_name();
        let start = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        starts.extend(start.and_then(|start| start.parse::<u64>().ok()));
    }
    starts.sort_unstable();
    let mut index = Index::default();
    for &start in &starts {
        if start != index.len() {
            let missing = path(dir, index.len());
            return Err(damaged(&missing, 0, "this file is missing, or blocks at its end are"));
        }
        index.starts.push(start);
        scan(&path(dir, start), Some(&start) == starts.last(), &mut index, reader)?;
    }
    if starts.is_empty() {
        index.starts.push(0);
    }
    let last = path(dir, *index.starts.last().unwrap_or(&0));
    let file = create(dir, &last)?;
    let length = file.metadata().map_err(|error| storage(&last, error))?.len();
    Ok((index, Writer { dir: dir.to_owned(), file, length, segment_bytes, failed: false }))
}

fn scan(
    path: &Path,
    last: bool,
    index: &mut Index,
    reader: &mut dyn Reader,
) -> Result<(), DaError> {
    let bytes = fs::read(path).map_err(|error| storage(path, error))?;
    let mut at = 0;
    while at < bytes.len() {
        let Some(payload) = frame(&bytes[at..]) else {
            let later = |(skip, window): (usize, &[u8])| {
                window == MAGIC
                    && frame(&bytes[at + 1 + skip..]).is_some_and(|found| reader.is_later(found))
            };
            if !last || bytes[at + 1..].windows(4).enumerate().any(later) {
                return Err(damaged(path, at as u64, "a block does not match its checksum"));
            }
            tracing::warn!(path = %path.display(), offset = at, "torn block cut off");
            let file = OpenOptions::new().write(true).open(path);
            return file
                .and_then(|file| file.set_len(at as u64).and_then(|()| file.sync_all()))
                .map_err(|error| storage(path, error));
        };
        reader.next(payload).map_err(|what| damaged(path, at as u64, &what))?;
        index.offsets.push(at as u64);
        at += HEAD + payload.len();
    }
    Ok(())
}

/// Opens a file for appending, and makes its name durable.
fn create(dir: &Path, path: &Path) -> Result<File, DaError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.map_err(|error| storage(path, error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| storage(dir, error))?;
    Ok(file)
}

impl Writer {
    /// Appends the frame of block `height` and syncs it. After a failure nothing more is written:
    /// what the disk holds is unknown until the files are opened again.
    pub(super) fn append(&mut self, height: u64, payload: &[u8]) -> Result<Placed, DaError> {
        if self.failed {
            return Err(DaError::Storage("an earlier write failed; restart".into()));
        }
        self.failed = true;
        let new_file = self.length >= self.segment_bytes;
        if new_file {
            self.file = create(&self.dir, &path(&self.dir, height))?;
            self.length = 0;
        }
        let length = u32::try_from(payload.len())
            .map_err(|_| DaError::Storage("a block above 4 GiB".into()))?
            .to_le_bytes();
        let mut bytes = Vec::with_capacity(HEAD + payload.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(&checksum(length, payload).to_le_bytes());
        bytes.extend_from_slice(payload);
        let written = self.file.write_all(&bytes).and_then(|()| {
            crash::point("da.append.written");
            self.file.sync_data()
        });
        written.map_err(|error| storage(&self.dir, error))?;
        let offset = self.length;
        self.length += bytes.len() as u64;
        self.failed = false;
        Ok(Placed { new_file, offset })
    }
}
