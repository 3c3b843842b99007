//! The head of a plain request: what is common is read here, and all else is left to the whole
//! server.

use super::gzip;

/// Most headers of a plain request.
const MOST_HEADERS: usize = 32;
/// Most bytes of the head of a plain request.
const MOST_BYTES: usize = 8 << 10;

/// What the bytes at hand begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start<'a> {
    /// A part of a head.
    Part,
    /// A plain request.
    Plain(Head<'a>),
    /// Anything else, wrong or only rare.
    Other,
}

/// The head of a plain request: HTTP/1.1, `POST`, a JSON body of a known length, and nothing that
/// asks for more than an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// Its own length, bytes.
    pub(super) bytes: usize,
    /// Length of the body, bytes; at least 1.
    pub(super) body: usize,
    /// Value of the header `Host`.
    pub(super) host: &'a [u8],
    /// True if the connection ends with the answer.
    pub(super) close: bool,
    /// True if the answer may be in gzip.
    pub(super) gzip: bool,
}

/// Reads a head; `most_body` is the longest body of a plain request.
pub(super) fn read(bytes: &[u8], most_body: usize) -> Start<'_> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => {
            plain(&request, head, most_body).map_or(Start::Other, Start::Plain)
        }
        Ok(httparse::Status::Partial) if bytes.len() < MOST_BYTES => Start::Part,
        _ => Start::Other,
    }
}

fn plain<'a>(
    request: &httparse::Request<'_, 'a>,
    bytes: usize,
    most_body: usize,
) -> Option<Head<'a>> {
    let is_path = |path: &str| {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
        path.starts_with('/') && path.bytes().all(safe)
    };
    let post = request.method == Some("POST") && request.version == Some(1);
    if !post || !request.path.is_some_and(is_path) {
        return None;
    }
    let (mut host, mut body, mut json, mut close, mut gzip) = (None, None, false, false, false);
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        // The second of a kind is for others to judge.
        if is("host") {
            host = Some(header.value).filter(|_| host.is_none());
            host?;
        } else if is("content-length") {
            body = length(header.value).filter(|_| body.is_none());
            body?;
        } else if is("content-type") {
            json = !json && is_json(header.value);
            json.then_some(())?;
        } else if is("connection") {
            let keep = header.value.eq_ignore_ascii_case(b"keep-alive");
            close = !keep && !close && header.value.eq_ignore_ascii_case(b"close");
            (keep || close).then_some(())?;
        } else if is("accept-encoding") {
            gzip |= gzip::is_taken(header.value);
        } else if is("content-encoding")
            || is("transfer-encoding")
            || is("upgrade")
            || is("expect")
            || is("origin")
        {
            return None;
        }
    }
    let body = body.filter(|body| json && (1..=most_body).contains(body))?;
    Some(Head { bytes, body, host: host?, close, gzip })
}

/// A length of up to nine digits.
fn length(value: &[u8]) -> Option<usize> {
    let digits = (1..10).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    digits.then(|| value.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')))
}

fn is_json(value: &[u8]) -> bool {
    let common: [&[u8]; 3] = [
        b"application/json",
        b"application/json; charset=utf-8",
        b"application/json;charset=utf-8",
    ];
    common.iter().any(|name| value.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(headers: &str) -> String {
        format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
    }

    const JSON: &str = "Content-Type: application/json\r\nContent-Length: 12\r\n";

    #[test]
    fn plain_heads() {
        for (more, close, gzip) in [
            ("", false, false),
            ("Connection: keep-alive\r\n", false, false),
            ("connection: Close\r\n", true, false),
            ("User-Agent: x\r\nAccept: */*\r\nAuthorization: Bearer y\r\n", false, false),
            ("Accept-Encoding: gzip, br\r\n", false, true),
        ] {
            let head = post(&format!("{JSON}{more}"));
            let plain = Head { bytes: head.len(), body: 12, host: b"a", close, gzip };
            assert_eq!(read(format!("{head}{{").as_bytes(), 12), Start::Plain(plain), "{more}");
            // Each part of it is a part.
            for cut in 0..head.len() {
                assert_eq!(read(&head.as_bytes()[..cut], 12), Start::Part, "{more} {cut}");
            }
        }
    }

    #[test]
    fn all_else_is_left_to_the_server() {
        let plain = post(JSON);
        let other = |head: &str| assert_eq!(read(head.as_bytes(), 12), Start::Other, "{head}");
        for (from, to) in [
            ("POST", "GET"),
            ("POST", "PO ST"),
            ("/ ", "http://a/ "),
            ("/ ", "* "),
            ("/ ", "/?a=b "),
            ("/ ", "/<> "),
            ("1.1", "1.0"),
            ("1.1", "2.0"),
            ("Host: a\r\n", ""),
            ("Host: a\r\n", "Host: a\r\nHost: a\r\n"),
            ("Host: a\r\n", "Host : a\r\n"),
            ("json", "xml"),
            ("Content-Type: application/json\r\n", ""),
            ("Content-Length: 12\r\n", ""),
            ("12", "0"),
            ("12", "13"),
            ("12", "-1"),
            ("12", "+1"),
            ("12", "1x"),
            ("12", "1000000000"),
            ("12", "5, 5"),
        ] {
            other(&plain.replacen(from, to, 1));
        }
        for more in [
            "Transfer-Encoding: chunked",
            "Upgrade: websocket",
            "Expect: 100-continue",
            "Origin: https://app.example",
            "Connection: Upgrade",
            "Connection: close, x",
            "Connection: close\r\nConnection: close",
            "Content-Length: 12",
            "Content-Type: application/json",
            "\u{0}: x",
        ] {
            other(&post(&format!("{JSON}{more}\r\n")));
        }
        other(&post(&format!("{JSON}{}", "a: b\r\n".repeat(MOST_HEADERS))));
        other(&format!("POST / HTTP/1.1\r\nHost: {}", "a".repeat(MOST_BYTES)));
        other("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    }
}
