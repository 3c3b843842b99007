//! Compressed bodies (RFC 9110, section 8.4): requests in gzip are read, and long answers are given so
//! to who asks for it.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use jsonrpsee::MethodResponse;

/// The coding, as headers name it.
pub(super) const NAME: &str = "gzip";
/// Answers below so many bytes are sent as they are: it would take longer to compress them.
const LONG: usize = 64 << 10;

/// Why a body in gzip is not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is not gzip.
    Damaged,
    /// It inflates to more than is allowed.
    TooLarge,
}

/// Whether the value of an `Accept-Encoding` takes gzip.
pub(super) fn is_taken(accepted: &[u8]) -> bool {
    let text = std::str::from_utf8(accepted).unwrap_or_default();
    text.split(',').any(|part| {
        let (name, weight) = part.split_once(';').unwrap_or((part, ""));
        let weight: String = weight.chars().filter(|char| !char.is_whitespace()).collect();
        let none = weight.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case(NAME) && !none
    })
}

/// Inflates a body to at most so many bytes; no more memory than that is used.
pub(super) fn inflate(body: &[u8], most: usize) -> Result<Vec<u8>, Refused> {
    let mut out = Vec::new();
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let mut reader = MultiGzDecoder::new(body).take(most.saturating_add(1));
    reader.read_to_end(&mut out).map_err(|_| Refused::Damaged)?;
    if out.len() as u64 > most { Err(Refused::TooLarge) } else { Ok(out) }
}

/// The bytes of an answer, compressed if it is long and that makes it shorter. Takes about a millisecond for 100 KB, so not
/// on a thread that others wait for.
pub(super) async fn deflate(answer: MethodResponse, taken: bool) -> (Vec<u8>, bool) {
    let answer = String::from(Box::<str>::from(answer.into_json())).into_bytes();
    if !taken || answer.len() < LONG {
        return (answer, false);
    }
    let work = move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = encoder.write_all(&answer).and_then(|()| encoder.finish());
        match packed {
            Ok(packed) if packed.len() < answer.len() => (packed, true),
            _ => (answer, false),
        }
    };
    // It only fails if the process ends.
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jsonrpsee::ResponsePayload;
    use jsonrpsee::types::Id;

    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn who_takes_it() {
        for taken in ["gzip", "deflate, gzip;q=0.5, br", "GZIP", "br,gzip ; q=1"] {
            assert!(is_taken(taken.as_bytes()), "{taken}");
        }
        for not in ["", "br", "gzip;q=0", "gzip; q = 0.0", "x-gzip", "identity"] {
            assert!(!is_taken(not.as_bytes()), "{not}");
        }
        assert!(!is_taken(b"\xff"));
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let body = b"x".repeat(1000);
        assert_eq!(inflate(&pack(&body), 1000), Ok(body.clone()));
        assert_eq!(inflate(&pack(&body), 999), Err(Refused::TooLarge));
        let bomb = pack(&vec![0; 50 << 20]);
        assert!(bomb.len() < 60_000);
        assert_eq!(inflate(&bomb, 1 << 20), Err(Refused::TooLarge));
        for damaged in [&b"x"[..], b"", &pack(&body)[..20], b"\x1f\x8b\x08\0"] {
            assert_eq!(inflate(damaged, 1000), Err(Refused::Damaged), "{damaged:?}");
        }
    }

    #[tokio::test]
    async fn long_answers_are_compressed() {
        let answer = |length: usize| {
            let result = ResponsePayload::success("x".repeat(length));
            MethodResponse::response(Id::Number(1), result, 1 << 20)
        };
        let (packed, done) = deflate(answer(LONG), true).await;
        assert!(done && packed.len() < 1000);
        let plain = deflate(answer(LONG), false).await;
        assert_eq!(plain, (inflate(&packed, 1 << 20).unwrap(), false));
        let (short, done) = deflate(answer(10), true).await;
        assert!(!done && short.starts_with(b"{"));
    }
}
