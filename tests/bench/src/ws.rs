//! A WebSocket client (RFC 6455) as cheap as it gets. The mask of a frame may be any value; here it
//! is zero, so that frames are rendered before and masking them costs nothing.

use std::net::SocketAddr;

use eyre::{WrapErr, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::find;

/// An open connection.
#[derive(Debug)]
pub struct Ws {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are done with.
    done: usize,
}

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    opcode: u8,
    fin: bool,
    /// Where its payload begins, behind the start of the frame.
    payload: usize,
    /// Bytes of the payload.
    length: usize,
}

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A masked text frame.
pub fn text(message: &str) -> Vec<u8> {
    frame(TEXT, message.as_bytes())
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        middle @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The first frame in some bytes, once all of it is there.
fn parse(bytes: &[u8]) -> eyre::Result<Option<Frame>> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    ensure!(second & 0x80 == 0, "a server masks nothing");
    let (payload, length) = match second {
        126 => (
            4,
            bytes.get(2..4).and_then(|two| Some(u16::from_be_bytes(two.try_into().ok()?) as usize)),
        ),
        127 => (
            10,
            bytes
                .get(2..10)
                .and_then(|eight| usize::try_from(u64::from_be_bytes(eight.try_into().ok()?)).ok()),
        ),
        short => (2, Some(usize::from(short))),
    };
    let length = length.filter(|length| bytes.len() - payload.min(bytes.len()) >= *length);
    let frame = |length| Frame { opcode: first & 0x0f, fin: first & 0x80 != 0, payload, length };
    Ok(length.map(frame))
}

impl Ws {
    /// Connects and upgrades.
    pub async fn connect(host: SocketAddr) -> eyre::Result<Self> {
        let mut stream = TcpStream::connect(host).await.wrap_err_with(|| format!("no {host}"))?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: Y2F1c2V3YXktYmVuY2g0Mg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = Vec::with_capacity(64 << 10);
        let end = loop {
            if let Some(end) = find(&buffer, b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(stream.read_buf(&mut buffer).await? > 0, "closed instead of upgraded");
        };
        ensure!(
            buffer.starts_with(b"HTTP/1.1 101"),
            "not upgraded: {}",
            String::from_utf8_lossy(&buffer[..end])
        );
        Ok(Self { stream, buffer, done: end })
    }

    /// Sends frames rendered by [`text`].
    pub async fn send(&mut self, frames: &[u8]) -> eyre::Result<()> {
        Ok(self.stream.write_all(frames).await?)
    }

    /// The next message, which must come whole in one frame. Safe to cancel.
    pub async fn next(&mut self) -> eyre::Result<&[u8]> {
        let (from, to) = loop {
            let Some(Frame { opcode, fin, payload, length }) = parse(&self.buffer[self.done..])?
            else {
                self.read().await?;
                continue;
            };
            let from = self.done + payload;
            self.done = from + length;
            match opcode {
                TEXT if fin => break (from, from + length),
                PING => {
                    let pong = frame(PONG, &self.buffer[from..from + length]);
                    self.stream.write_all(&pong).await?;
                }
                PONG => {}
                CLOSE => bail!("the server closed the connection"),
                other => bail!("frame of opcode {other}, whole: {fin}"),
            }
        };
        Ok(&self.buffer[from..to])
    }

    /// Whether a whole frame has been read already.
    pub fn has_next(&self) -> bool {
        matches!(parse(&self.buffer[self.done..]), Ok(Some(_)))
    }

    async fn read(&mut self) -> eyre::Result<()> {
        // What was handed out is done with by now.
        self.buffer.drain(..self.done);
        self.done = 0;
        ensure!(
            self.stream.read_buf(&mut self.buffer).await? > 0,
            "the server closed the connection"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server would send it.
    fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = frame(opcode, payload);
        bytes[1] &= 0x7f;
        let at = bytes.len() - payload.len();
        bytes.drain(at - 4..at);
        bytes
    }

    #[test]
    fn frames_of_all_lengths_are_read_once_they_are_whole() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let bytes = unmasked(TEXT, &vec![b'x'; length]);
            let payload = bytes.len() - length;
            assert_eq!(
                parse(&bytes).unwrap(),
                Some(Frame { opcode: TEXT, fin: true, payload, length })
            );
            assert_eq!(parse(&bytes[..bytes.len() - 1]).unwrap(), None, "{length}");
            assert_eq!(parse(&bytes[..1]).unwrap(), None);
        }
        assert!(parse(&text("masked")).is_err());
    }

    #[tokio::test]
    async fn messages_come_one_by_one_and_pings_are_answered() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while find(&request, b"\r\n\r\n").is_none() {
                stream.read_buf(&mut request).await.unwrap();
            }
            let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
            bytes.extend(unmasked(TEXT, b"one"));
            bytes.extend(unmasked(PING, b"p"));
            bytes.extend(unmasked(TEXT, b"two"));
            stream.write_all(&bytes).await.unwrap();
            let mut answer = vec![0; frame(PONG, b"p").len()];
            stream.read_exact(&mut answer).await.unwrap();
            stream.write_all(&unmasked(CLOSE, b"")).await.unwrap();
            answer
        });
        let mut ws = Ws::connect(host).await.unwrap();
        assert_eq!(ws.next().await.unwrap(), b"one");
        assert_eq!(ws.next().await.unwrap(), b"two");
        assert!(ws.next().await.is_err());
        assert_eq!(server.await.unwrap(), frame(PONG, b"p"));
    }
}
