//! HTTP/1.1 as cheap as it gets: bytes rendered before, one exchange at a time on a connection that
//! is kept, and of the answer only the status and the body.

use std::net::SocketAddr;

use eyre::{WrapErr, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that is kept alive.
#[derive(Debug)]
pub struct Http {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Where the body begins.
    body: usize,
    /// Bytes of the body.
    length: usize,
}

/// A whole request with a JSON body.
pub fn post(host: SocketAddr, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

impl Http {
    /// Connects, without delay of small segments.
    pub async fn connect(host: SocketAddr) -> eyre::Result<Self> {
        let stream = TcpStream::connect(host).await.wrap_err_with(|| format!("no {host}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 << 10) })
    }

    /// Sends a request and returns the body of its answer. Any status but 200 is an error.
    pub async fn exchange(&mut self, request: &[u8]) -> eyre::Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut head = None;
        loop {
            if head.is_none() {
                head = parse(&self.buffer)?;
            }
            if let Some(Head { status, body, length }) = head
                && self.buffer.len() >= body + length
            {
                let body = &self.buffer[body..body + length];
                ensure!(status == 200, "status {status}: {}", String::from_utf8_lossy(body));
                return Ok(body);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
        }
    }
}

/// The head, once all of it is there.
fn parse(bytes: &[u8]) -> eyre::Result<Option<Head>> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).wrap_err("an HTTP head that is no text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|status| status.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    match (status, length) {
        (Some(status), Some(length)) => Ok(Some(Head { status, body: end + 4, length })),
        _ => bail!("an answer without status or content-length:\n{text}"),
    }
}

/// Where a pattern is first.
pub fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    let first = *pattern.first()?;
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(pattern) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn heads_are_read_once_they_are_whole() {
        let text = b"HTTP/1.1 200 OK\r\nserver: x\r\nContent-LENGTH:  12\r\n\r\n{\"a\":1}";
        for cut in 0..text.len() - 7 {
            assert_eq!(parse(&text[..cut]).unwrap(), None, "{cut}");
        }
        let head = Head { status: 200, body: text.len() - 7, length: 12 };
        assert_eq!(parse(text).unwrap(), Some(head));
        let error = parse(b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n").unwrap();
        assert_eq!(error.map(|head| head.status), Some(429));
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[test]
    fn patterns_are_found_where_they_are_first() {
        assert_eq!(find(b"a\"er\"error\"", b"\"error\""), Some(4));
        assert_eq!(find(b"\"erro", b"\"error\""), None);
        assert_eq!(find(b"", b"x"), None);
    }

    #[tokio::test]
    async fn an_answer_in_pieces_is_one_answer_and_an_error_status_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; post(host, "[1]").len()];
            for pieces in [
                &["HTTP/1.1 200 OK\r\ncontent-le", "ngth: 5\r\n\r\n[", "1,2]"][..],
                &["HTTP/1.1 503 No\r\ncontent-length: 3\r\n\r\noff"],
            ] {
                stream.read_exact(&mut request).await.unwrap();
                for piece in pieces {
                    stream.write_all(piece.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
            String::from_utf8(request).unwrap()
        });
        let mut http = Http::connect(host).await.unwrap();
        assert_eq!(http.exchange(&post(host, "[1]")).await.unwrap(), b"[1,2]");
        let error = http.exchange(&post(host, "[1]")).await.unwrap_err();
        assert!(error.to_string().contains("503: off"), "{error}");
        assert!(http.exchange(&post(host, "[1]")).await.is_err(), "closed");
        let request = server.await.unwrap();
        assert!(
            request.ends_with("content-length: 3\r\n\r\n[1]")
                || request.ends_with("Content-Length: 3\r\n\r\n[1]")
        );
    }
}
