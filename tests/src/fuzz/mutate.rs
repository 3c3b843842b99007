//! Changes inputs without knowing what they mean: bits, lengths, pieces of others, words.

use crate::txs::Rng;

/// Numbers at which lengths and counters go wrong.
const ODD: &[u64] = &[
    0,
    1,
    0x1f,
    0x20,
    0x37,
    0x38,
    0x7f,
    0x80,
    0xb7,
    0xb8,
    0xbf,
    0xc0,
    0xf7,
    0xf8,
    0xff,
    0x100,
    0x3fff,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// A new input of at most `most` bytes from one of `from`, which is not empty.
pub fn mutated(rng: &mut Rng, from: &[Vec<u8>], words: &[&str], most: usize) -> Vec<u8> {
    let mut bytes = rng.pick(from).clone();
    for _ in 0..1 + rng.below(4) {
        change(rng, &mut bytes, from, words);
    }
    bytes.truncate(most);
    bytes
}

/// A place in the bytes, or just behind them.
fn place(rng: &mut Rng, bytes: &[u8]) -> usize {
    rng.below(bytes.len() as u64 + 1) as usize
}

/// Some range of the bytes, most often a short one.
fn range(rng: &mut Rng, bytes: &[u8]) -> std::ops::Range<usize> {
    let start = place(rng, bytes);
    let most = if rng.percent(80) { 16 } else { 4096 };
    let length = rng.below(most) as usize;
    start..bytes.len().min(start + length)
}

fn insert(bytes: &mut Vec<u8>, at: usize, more: impl IntoIterator<Item = u8>) {
    bytes.splice(at..at, more);
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, from: &[Vec<u8>], words: &[&str]) {
    let at = place(rng, bytes);
    match rng.below(if words.is_empty() { 9 } else { 12 }) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.number() as u8;
            }
        }
        // A length or a count, one off.
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = if rng.percent(50) { byte.wrapping_add(1) } else { byte.wrapping_sub(1) };
            }
        }
        3 => {
            let width = 1usize << rng.below(4);
            let odd = rng.pick(ODD).to_be_bytes();
            let mut number = odd[8 - width..].to_vec();
            if rng.percent(50) {
                number.reverse();
            }
            let end = bytes.len().min(at + width);
            bytes.splice(at..end, number);
        }
        4 => {
            let count = 1 + rng.below(8) as usize;
            let more = rng.bytes(count);
            insert(bytes, at, more);
        }
        5 => drop(bytes.drain(range(rng, bytes))),
        6 => {
            let piece = bytes[range(rng, bytes)].to_vec();
            let times = if rng.percent(90) { 1 } else { 1 + rng.below(64) as usize };
            insert(bytes, at, piece.repeat(times));
        }
        7 => {
            let other = rng.pick(from);
            let piece = other[range(rng, other)].to_vec();
            insert(bytes, at, piece);
        }
        // The beginning of this and the end of another.
        8 => {
            let other = rng.pick(from);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[place(rng, other)..]);
        }
        9 | 10 => insert(bytes, at, rng.pick(words).bytes()),
        _ => {
            let end = range(rng, bytes);
            bytes.splice(end, rng.pick(words).bytes());
        }
    }
}
