//! Compression of a span's payload, and decompression that stops at a cap.

use std::io::Read;

use brotli::enc::BrotliEncoderParams;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};

use super::CodecError;
use super::wire::{Reader, put};

/// Most bytes a payload may have before compression; more is refused on both sides.
pub const MAX_CONTENT_BYTES: usize = 16 << 20;
/// No decoder keeps a window above 16 MiB, whatever a frame claims.
const WINDOW_LOG: u32 = 24;

/// How a payload is compressed; its number is the first byte of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Compression {
    /// Not at all. Also what an encoder falls back to when compression does not make it smaller.
    None = 0,
    /// RFC 8878, levels 1 to 19.
    #[default]
    Zstd = 1,
    /// RFC 7932, levels 0 to 11, window up to 4 MiB.
    Brotli = 2,
}

/// Why a payload was not decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecompressError {
    Malformed,
    Oversize,
}

/// The payload: a byte that names the compression; if there is any, how many bytes at the end of the
/// content are `noise`, which is known not to compress; the rest compressed; the noise.
pub(super) fn compress(
    content: &[u8],
    noise: usize,
    compression: Compression,
    level: i32,
) -> Result<Vec<u8>, CodecError> {
    let failed = |error: std::io::Error| CodecError::Compression(error.to_string());
    let (all, noise) = (content, &content[content.len().saturating_sub(noise)..]);
    let content = &all[..all.len() - noise.len()];
    let mut out = Vec::with_capacity(all.len() + 1);
    out.push(compression as u8);
    put(&mut out, noise.len() as u64);
    match compression {
        Compression::None => {}
        Compression::Zstd => {
            if !(1..=19).contains(&level) {
                return Err(CodecError::Compression(format!("zstd has no level {level}")));
            }
            out.extend(zstd::bulk::compress(content, level).map_err(failed)?);
        }
        Compression::Brotli => {
            if !(0..=11).contains(&level) {
                return Err(CodecError::Compression(format!("brotli has no level {level}")));
            }
            let params = BrotliEncoderParams { quality: level, lgwin: 22, ..Default::default() };
            brotli::BrotliCompress(&mut &content[..], &mut out, &params).map_err(failed)?;
        }
    }
    if compression == Compression::None || out.len() + noise.len() > all.len() {
        out.clear();
        out.push(Compression::None as u8);
        out.extend_from_slice(all);
    } else {
        out.extend_from_slice(noise);
    }
    Ok(out)
}

/// The content of a payload: at most [`MAX_CONTENT_BYTES`], and nothing between the compressed frame
/// and the noise.
pub(super) fn decompress(payload: &[u8]) -> Result<Vec<u8>, DecompressError> {
    let (kind, mut body) = payload.split_first().ok_or(DecompressError::Malformed)?;
    if *kind == Compression::None as u8 {
        let fits = body.len() <= MAX_CONTENT_BYTES;
        return if fits { Ok(body.to_vec()) } else { Err(DecompressError::Oversize) };
    }
    let mut reader = Reader::new(body);
    let noise = reader.length().map_err(|_| DecompressError::Malformed)?;
    body = reader.rest();
    let rest = body.len().checked_sub(noise).ok_or(DecompressError::Malformed)?;
    let (body, noise) = body.split_at(rest);
    let most = MAX_CONTENT_BYTES.checked_sub(noise.len()).ok_or(DecompressError::Oversize)?;
    let mut out = match kind {
        1 => unzstd(body, most),
        2 => unbrotli(body, most),
        _ => Err(DecompressError::Malformed),
    }?;
    out.extend_from_slice(noise);
    Ok(out)
}

fn unzstd(body: &[u8], most: usize) -> Result<Vec<u8>, DecompressError> {
    let malformed = |_| DecompressError::Malformed;
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(body).map_err(malformed)?.single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(malformed)?;
    let mut out = Vec::new();
    decoder.by_ref().take(most as u64 + 1).read_to_end(&mut out).map_err(malformed)?;
    if out.len() > most {
        return Err(DecompressError::Oversize);
    }
    if decoder.finish().is_empty() { Ok(out) } else { Err(DecompressError::Malformed) }
}

fn unbrotli(body: &[u8], most: usize) -> Result<Vec<u8>, DecompressError> {
    let alloc = brotli::enc::StandardAlloc::default();
    let words = brotli::enc::StandardAlloc::default();
    let trees = brotli::enc::StandardAlloc::default();
    // Strict: the large-window extension is refused, so a window is at most 16 MiB.
    let mut state = BrotliState::new_strict(alloc, words, trees);
    let (mut left, mut at, mut total) = (body.len(), 0, 0);
    let mut out = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (mut room, mut filled) = (buffer.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut at,
            body,
            &mut room,
            &mut filled,
            &mut buffer,
            &mut total,
            &mut state,
        );
        out.extend_from_slice(&buffer[..filled]);
        if out.len() > most {
            return Err(DecompressError::Oversize);
        }
        match result {
            BrotliResult::ResultSuccess if left == 0 => return Ok(out),
            BrotliResult::NeedsMoreOutput => {}
            _ => return Err(DecompressError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed() -> Vec<u8> {
        (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> (i % 29)) as u8 & 0x1f).collect()
    }

    #[test]
    fn every_compression_gives_back_what_it_took() {
        for content in [Vec::new(), vec![7; 3], mixed()] {
            for (kind, level) in [
                (Compression::None, 0),
                (Compression::Zstd, 1),
                (Compression::Zstd, 19),
                (Compression::Brotli, 0),
                (Compression::Brotli, 9),
            ] {
                for noise in [0, 2, content.len()] {
                    let payload = compress(&content, noise, kind, level).unwrap();
                    assert!(payload.len() <= content.len() + 1);
                    assert_eq!(decompress(&payload).unwrap(), content);
                }
            }
        }
        assert!(compress(&[1], 0, Compression::Zstd, 22).is_err());
        assert!(compress(&[1], 0, Compression::Brotli, 12).is_err());
    }

    #[test]
    fn trailing_bytes_and_truncations_are_refused() {
        for kind in [Compression::Zstd, Compression::Brotli] {
            let payload = compress(&mixed(), 0, kind, 3).unwrap();
            assert_eq!(payload[0], kind as u8);
            let mut longer = payload.clone();
            longer.push(0);
            assert_eq!(decompress(&longer), Err(DecompressError::Malformed));
            let twice = [&payload[..], &payload[2..]].concat();
            assert_eq!(decompress(&twice), Err(DecompressError::Malformed));
            for cut in [1, 2, payload.len() / 2, payload.len() - 1] {
                assert_eq!(decompress(&payload[..cut]), Err(DecompressError::Malformed));
            }
        }
        assert_eq!(decompress(&[]), Err(DecompressError::Malformed));
        assert_eq!(decompress(&[9, 1]), Err(DecompressError::Malformed));
    }

    #[test]
    fn bombs_stop_at_the_cap() {
        let bomb = vec![0; MAX_CONTENT_BYTES + 1];
        let zstd = [&[1, 0], &zstd::bulk::compress(&bomb, 1).unwrap()[..]].concat();
        assert!(zstd.len() < 4096);
        assert_eq!(decompress(&zstd), Err(DecompressError::Oversize));
        let mut brotli = vec![2, 0];
        let params = BrotliEncoderParams { quality: 9, ..Default::default() };
        brotli::BrotliCompress(&mut &bomb[..], &mut brotli, &params).unwrap();
        assert!(brotli.len() < 64 << 10);
        assert_eq!(decompress(&brotli), Err(DecompressError::Oversize));
        // Exactly the cap is allowed.
        let most = compress(&bomb[1..], 0, Compression::Zstd, 1).unwrap();
        assert_eq!(decompress(&most).map(|out| out.len()), Ok(MAX_CONTENT_BYTES));
        // With noise, too, and no more of it than there is.
        let with = [&[1, 1], &most[2..], &[7]].concat();
        assert_eq!(decompress(&with), Err(DecompressError::Oversize));
        assert_eq!(decompress(&[1, 3, 0, 0]), Err(DecompressError::Malformed));
    }

    #[test]
    fn a_gigabyte_of_zeros_costs_no_more_than_the_cap() {
        // Built by repeating one run-length block of 128 KiB: header, then 8,192 blocks.
        let mut frame = vec![1, 0, 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x70];
        for last in (0..8192).map(|i| u32::from(i == 8191)) {
            let header = last | 1 << 1 | (128 << 10) << 3;
            frame.extend_from_slice(&header.to_le_bytes()[..3]);
            frame.push(0);
        }
        assert_eq!(decompress(&frame), Err(DecompressError::Oversize));
    }

    #[test]
    fn a_frame_that_claims_a_huge_window_is_refused() {
        // Window descriptor 0xa8: 2^31 bytes.
        let frame = [1, 0, 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        assert_eq!(decompress(&frame), Err(DecompressError::Malformed));
    }
}
