//! One connection: plain requests are answered one after the other, the rest is left to the whole
//! server.

use std::io::Write;
use std::mem::take;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonrpsee::MethodResponse;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::WaitForCancellationFuture;

use super::Port;
use super::gzip;
use super::head::{self, Head, Start};
use super::replay::Replay;
use crate::rpc::calls::{self, Dispatch};

/// How long a client may take to send the head of its first request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// Bytes read at once, at least.
const ROOM: usize = 4 << 10;
/// Largest buffer that an idle connection keeps, bytes.
const KEPT: usize = 64 << 10;
/// A body begins within this many bytes of white space.
const INDENT: usize = 128;
/// Headers of an answer in gzip.
const PACKED: &str = "content-encoding: gzip\r\nvary: accept-encoding\r\n";
/// The last second of the year 9999, after which HTTP has no dates.
const LAST_SECOND: u64 = 253_402_300_799;

/// What comes next on a connection.
enum Next {
    /// A plain request, of which the head is there.
    Plain(Request),
    /// Something for the whole server.
    Other,
    /// Nothing any more.
    End,
}

/// A plain request: lengths of its parts in bytes, whether the connection ends with it, and whether
/// its answer may be in gzip.
#[derive(Clone, Copy)]
struct Request {
    head: usize,
    body: usize,
    close: bool,
    gzip: bool,
}

/// A connection that is served.
pub(super) struct Connection<'a, I, S> {
    port: &'a Port<S>,
    io: I,
    /// What was read and is not answered yet.
    input: Vec<u8>,
    output: Vec<u8>,
    /// The last `Host` that was let in, and how an answer to it begins.
    known: Option<(Vec<u8>, Arc<[u8]>)>,
    date: Date,
}

impl<'a, I, S> Connection<'a, I, S>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Dispatch,
{
    pub(super) fn new(port: &'a Port<S>, io: I) -> Self {
        let (input, output) = (Vec::new(), Vec::new());
        Self { port, io, input, output, known: None, date: Date::default() }
    }

    /// Serves until either side ends it, or until the server stops: a request that has begun by
    /// then is answered.
    pub(super) async fn run(mut self) {
        let mut stopped = pin!(self.port.stop.cancelled());
        let mut next = timeout(FIRST_REQUEST, self.next(stopped.as_mut())).await;
        loop {
            let request = match next {
                Ok(Next::Plain(request)) => request,
                Ok(Next::Other) => return self.hand_over().await,
                Ok(Next::End) | Err(_) => return,
            };
            let answered = timeout(self.port.request_timeout, self.answer(request)).await;
            let request = match answered {
                Ok(Next::Plain(request)) => request,
                Ok(Next::Other) => return self.hand_over().await,
                Ok(Next::End) | Err(_) => return,
            };
            if self.io.write_all(&self.output).await.is_err() {
                return;
            }
            if request.close {
                let _ = self.io.shutdown().await;
                return;
            }
            self.output.clear();
            self.output.shrink_to(KEPT);
            next = Ok(self.next(stopped.as_mut()).await);
        }
    }

    /// Reads the head of the next request.
    async fn next(&mut self, mut stopped: Pin<&mut WaitForCancellationFuture<'_>>) -> Next {
        loop {
            match head::read(&self.input, self.port.most_body) {
                Start::Plain(head) => {
                    let Head { bytes, body, close, gzip, .. } = head;
                    let request = Request { head: bytes, body, close, gzip };
                    if self.known.as_ref().is_some_and(|(host, _)| host == head.host) {
                        return Next::Plain(request);
                    }
                    let host = head.host.to_vec();
                    let Some(opening) = self.port.opening(&host).await else { return Next::Other };
                    self.known = Some((host, opening));
                    return Next::Plain(request);
                }
                Start::Other => return Next::Other,
                Start::Part => {}
            }
            self.input.reserve(ROOM);
            let read = tokio::select! {
                biased;
                read = self.io.read_buf(&mut self.input) => read,
                () = stopped.as_mut() => return Next::End,
            };
            if !matches!(read, Ok(1..)) {
                return Next::End;
            }
        }
    }

    /// Makes the output for a request, and takes it off the input; unless it is not one for here.
    async fn answer(&mut self, request: Request) -> Next {
        let end = request.head + request.body;
        while self.input.len() < end {
            self.input.reserve((end - self.input.len()).min(KEPT));
            if !matches!(self.io.read_buf(&mut self.input).await, Ok(1..)) {
                return Next::End;
            }
        }
        let body = &self.input[request.head..end];
        let indent = body.iter().take(INDENT).position(|byte| !byte.is_ascii_whitespace());
        let Some(indent) = indent.filter(|at| matches!(body[*at], b'{' | b'[')) else {
            return Next::Other;
        };
        let Some(_permit) = self.port.guard.try_acquire() else { return Next::Other };
        let mut bytes = take(&mut self.input);
        self.input = bytes.split_off(end);
        let body = &bytes[request.head + indent..];
        let answer = tokio::select! {
            biased;
            answer = calls::answer(&self.port.dispatch, body, self.port.most_calls) => answer,
            () = gone(&mut self.io, &mut self.input) => return Next::End,
        };
        if self.input.is_empty() {
            bytes.clear();
            bytes.shrink_to(KEPT);
            self.input = bytes;
        }
        let close = request.close || self.port.stop.is_cancelled();
        self.write(answer, close, request.gzip).await;
        Next::Plain(Request { close, ..request })
    }

    async fn write(&mut self, answer: MethodResponse, close: bool, gzip: bool) {
        // Nobody may answer a notification (JSON-RPC 2.0, section 4.1).
        let (body, packed) = match answer.is_notification() {
            true => (Vec::new(), false),
            false => gzip::deflate(answer, gzip).await,
        };
        let out = &mut self.output;
        if let Some((_, opening)) = &self.known {
            out.extend_from_slice(opening);
        }
        let end = if close { "\r\nconnection: close\r\n\r\n" } else { "\r\n\r\n" };
        let date = self.date.text(self.port.backend.now_ms());
        let packed = if packed { PACKED } else { "" };
        write!(out, "content-length: {}\r\n{packed}date: {date}{end}", body.len())
            .expect("a vector takes all bytes");
        out.extend_from_slice(&body);
    }

    /// Leaves what was not answered, and all that follows, to the whole server.
    async fn hand_over(self) {
        (self.port.full.serve)(Box::new(Replay::new(self.input, self.io))).await;
    }
}

/// Completes when the client has gone. What it sends before its answer is there is kept.
async fn gone(io: &mut (impl AsyncRead + Unpin), input: &mut Vec<u8>) {
    while input.len() < KEPT {
        input.reserve(ROOM);
        if !matches!(io.read_buf(input).await, Ok(1..)) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// A time as HTTP writes it, written once a second.
#[derive(Default)]
struct Date {
    second: u64,
    text: String,
}

impl Date {
    fn text(&mut self, now_ms: u64) -> &str {
        let second = (now_ms / 1000).min(LAST_SECOND);
        if self.second != second || self.text.is_empty() {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            (self.second, self.text) = (second, httpdate::fmt_http_date(now));
        }
        &self.text
    }
}
