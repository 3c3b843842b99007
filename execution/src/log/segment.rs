//! Frames in segment files: how one is laid out, and which end of a file is torn or damaged.
//!
//! Segment: 32 bytes (magic 8, start offset u64, first sequence u64, crc of the frame before u32,
//! crc32c of the 28 bytes u32), then frames. Frame: marker 8, length u32, crc32c u32, sequence u64,
//! crc of the frame before u32, offset known durable when it was written u64, payload. All
//! big-endian. The crc covers everything behind it and the length, so frames are chained through it.
//! The marker never stands inside a payload: a zero byte follows each of its first seven there, so
//! that nobody can put bytes into a transaction that look like a frame.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_chainspec::crash;

use crate::ExecutionError;
use crate::disk::{DiskFile, Folder, failed};

/// Name and version of the format.
const MAGIC: [u8; 8] = *b"CWAYLOG\x02";
/// The name alone.
const NAME: &[u8] = MAGIC.split_at(7).0;
/// Bytes before the first frame.
pub(super) const SEGMENT_HEADER: u64 = 32;
/// Begins every frame. No byte of it is 0, 1 (which begins every payload) or there twice, so it
/// cannot come about where one part of a frame meets the next.
const MARKER: [u8; 8] = *b"\xffCWAYLOG";
/// Bytes before a frame's payload.
pub(super) const FRAME_HEADER: usize = 36;

/// Where the next frame goes, and what it is chained to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cursor {
    /// Bytes of frames before it, over all segments since the beginning.
    pub(super) offset: u64,
    /// Its sequence number.
    pub(super) seq: u64,
    /// Crc of the frame before it.
    pub(super) prev: u32,
}

/// A frame that holds.
pub(super) struct Frame<'a> {
    /// What was appended.
    pub(super) payload: Cow<'a, [u8]>,
    /// Bytes it takes in the file.
    pub(super) size: usize,
    /// Everything below was durable when this frame was written.
    pub(super) durable: u64,
    seq: u64,
    prev: u32,
    crc: u32,
}

/// Appends a frame to `out` and moves the cursor behind it.
pub(super) fn encode_frame(cursor: &mut Cursor, durable: u64, payload: &[u8], out: &mut Vec<u8>) {
    let payload = &*escaped(payload);
    let len = u32::try_from(payload.len()).expect("block limits keep payloads far below 4 GiB");
    let mut chained = [0u8; 20];
    chained[..8].copy_from_slice(&cursor.seq.to_be_bytes());
    chained[8..12].copy_from_slice(&cursor.prev.to_be_bytes());
    chained[12..].copy_from_slice(&durable.to_be_bytes());
    let crc = frame_crc(len, &chained, payload);
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&crc.to_be_bytes());
    out.extend_from_slice(&chained);
    out.extend_from_slice(payload);
    cursor.offset += (FRAME_HEADER + payload.len()) as u64;
    cursor.seq += 1;
    cursor.prev = crc;
}

fn frame_crc(len: u32, chained: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&len.to_be_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, chained), payload)
}

/// Places behind each occurrence of all of the marker but its last byte.
fn stems(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let stem = &MARKER[..7];
    // Comparing one byte passes over almost all of them.
    let firsts = bytes.iter().enumerate().filter(|(_, byte)| **byte == MARKER[0]);
    let found = firsts.filter(move |(at, _)| bytes[*at..].starts_with(stem));
    found.map(move |(at, _)| at + stem.len())
}

/// Puts a zero byte behind each stem.
fn escaped(payload: &[u8]) -> Cow<'_, [u8]> {
    let (mut out, mut from) = (Vec::new(), 0);
    for at in stems(payload) {
        out.extend_from_slice(&payload[from..at]);
        out.push(0);
        from = at;
    }
    if from == 0 {
        return Cow::Borrowed(payload);
    }
    out.extend_from_slice(&payload[from..]);
    Cow::Owned(out)
}

/// Takes the byte behind each stem out again.
fn unescaped(bytes: &[u8]) -> Cow<'_, [u8]> {
    let (mut out, mut from) = (Vec::new(), 0);
    for at in stems(bytes) {
        out.extend_from_slice(&bytes[from..at]);
        from = (at + 1).min(bytes.len());
    }
    if from == 0 {
        return Cow::Borrowed(bytes);
    }
    out.extend_from_slice(&bytes[from..]);
    Cow::Owned(out)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The frame at the beginning of `bytes`, if its crc holds.
fn decode_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    if bytes.len() < FRAME_HEADER || !bytes.starts_with(&MARKER) {
        return None;
    }
    let len = u32_at(bytes, 8);
    let payload = bytes[FRAME_HEADER..].get(..len as usize)?;
    let crc = u32_at(bytes, 12);
    (frame_crc(len, &bytes[16..FRAME_HEADER], payload) == crc).then(|| Frame {
        payload: unescaped(payload),
        size: FRAME_HEADER + payload.len(),
        durable: u64_at(bytes, 28),
        seq: u64_at(bytes, 16),
        prev: u32_at(bytes, 24),
        crc,
    })
}

/// Visits the frames of a segment in order and returns the cursor behind the last that holds.
pub(super) fn scan<'a>(
    frames: &'a [u8],
    mut cursor: Cursor,
    visit: &mut dyn FnMut(Cursor, Frame<'a>) -> Result<(), ExecutionError>,
) -> Result<Cursor, ExecutionError> {
    let mut at = 0;
    while let Some(frame) = decode_frame(&frames[at..]) {
        if frame.seq != cursor.seq || frame.prev != cursor.prev {
            break;
        }
        let bytes = frame.size;
        let next =
            Cursor { offset: cursor.offset + bytes as u64, seq: cursor.seq + 1, prev: frame.crc };
        visit(cursor, frame)?;
        cursor = next;
        at += bytes;
    }
    Ok(cursor)
}

/// Whether what begins at `cursor` and cannot be read was durable once: a frame behind it says
/// so. A crash leaves only bytes that never were, in whatever order the disk took them.
pub(super) fn was_durable(tail: &[u8], cursor: Cursor) -> bool {
    let most = cursor.seq + (tail.len() / FRAME_HEADER) as u64;
    (0..tail.len().saturating_sub(FRAME_HEADER)).any(|at| {
        tail[at..].starts_with(&MARKER)
            && (cursor.seq + 1..=most).contains(&u64_at(tail, at + 16))
            && decode_frame(&tail[at..]).is_some_and(|frame| frame.durable > cursor.offset)
    })
}

/// A segment's file, named by the offset it starts at.
pub(super) fn path(folder: &Folder, start: u64) -> PathBuf {
    folder.file(&format!("{start:020}.log"))
}

/// Start offsets of the segments in a folder, ascending.
pub(super) fn list(folder: &Folder) -> Result<Vec<u64>, ExecutionError> {
    let mut starts = Vec::new();
    let dir = folder.path();
    for name in folder.disk().list(dir).map_err(|error| failed(dir, &error))? {
        let Some(stem) = name.strip_suffix(".log") else { continue };
        starts.extend(stem.parse::<u64>());
    }
    starts.sort_unstable();
    Ok(starts)
}

/// Creates a segment durably: the file, its header and its name.
pub(super) fn create(folder: &Folder, cursor: Cursor) -> Result<Arc<dyn DiskFile>, ExecutionError> {
    let path = path(folder, cursor.offset);
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&cursor.offset.to_be_bytes());
    header.extend_from_slice(&cursor.seq.to_be_bytes());
    header.extend_from_slice(&cursor.prev.to_be_bytes());
    header.extend_from_slice(&crc32c::crc32c(&header).to_be_bytes());
    let refused = |error: std::io::Error| failed(&path, &error);
    let file = folder.disk().create(&path).map_err(refused)?;
    crash::point("log.segment.created");
    file.write_at(&header, 0).and_then(|()| file.sync_data()).map_err(refused)?;
    crash::point("log.segment.written");
    sync_names(folder)?;
    Ok(file)
}

/// Reads a segment whole: the cursor of its first frame, and its frames. `None` if its header is
/// not whole or not ours, an error if it is whole and of another version.
pub(super) fn read(
    folder: &Folder,
    path: &Path,
) -> Result<Option<(Cursor, Vec<u8>)>, ExecutionError> {
    let mut bytes = folder.disk().read(path).map_err(|error| failed(path, &error))?;
    let size = SEGMENT_HEADER as usize;
    if bytes.len() < size
        || !bytes.starts_with(NAME)
        || crc32c::crc32c(&bytes[..28]) != u32_at(&bytes, 28)
    {
        return Ok(None);
    }
    if bytes[7] != MAGIC[7] {
        return Err(ExecutionError::Datadir(format!(
            "{} has version {}, this program writes version {}; use the program that wrote it, or \
             move the datadir away and start again: the node rebuilds the chain from DA",
            path.display(),
            bytes[7],
            MAGIC[7]
        )));
    }
    let cursor =
        Cursor { offset: u64_at(&bytes, 8), seq: u64_at(&bytes, 16), prev: u32_at(&bytes, 24) };
    bytes.drain(..size);
    Ok(Some((cursor, bytes)))
}

/// Makes the names of segments durable.
pub(super) fn sync_names(folder: &Folder) -> Result<(), ExecutionError> {
    let dir = folder.path();
    folder.disk().sync_dir(dir).map_err(|error| failed(dir, &error))
}
