//! HTTP/1.1 for the common request, in front of the whole server.
//!
//! A connection begins here. As long as its requests are plain (see [`head`]), they are read,
//! dispatched and answered with one read and one write each. At the first that is anything else
//! (WebSocket, HTTP/2, `GET /health`, preflights, pages of other origins, hosts that are not let
//! in, chunks, what is malformed or too large) the connection goes to the whole server, which
//! sees all bytes from the start of that request. So nothing is refused here, and what is answered
//! has the headers that the whole server would give.

mod admission;
mod connection;
mod head;
mod odd;
mod replay;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jsonrpsee::server::{ConnectionGuard, HttpBody, HttpRequest, HttpResponse};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(super) use admission::AdmissionLayer;
use connection::Connection;
pub(super) use odd::OddLayer;

use super::backend::Backend;
use super::calls::Dispatch;

/// Most values of `Host` that are remembered.
const MOST_HOSTS: usize = 64;
/// A request that has no effect and no answer.
const NOTIFICATION: &str = r#"{"jsonrpc":"2.0","method":"rpc_modules"}"#;

/// A connection, of whatever kind.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<I: AsyncRead + AsyncWrite + Unpin + Send> Io for I {}

/// The server that knows all of HTTP, and WebSocket.
pub(super) struct Full {
    /// Serves a connection until it ends.
    pub(super) serve: Box<dyn Fn(Box<dyn Io>) -> BoxFuture<'static, ()> + Send + Sync>,
    /// Answers one request; `None` if it cannot.
    pub(super) ask:
        Box<dyn Fn(HttpRequest) -> BoxFuture<'static, Option<HttpResponse>> + Send + Sync>,
}

/// A `Host`, and how answers to it begin.
type Opening = (Vec<u8>, Arc<[u8]>);

/// What all connections of a server share.
pub(super) struct Port<S> {
    /// Knows the time.
    pub(super) backend: Arc<dyn Backend>,
    /// Calls of methods.
    pub(super) dispatch: S,
    /// Whatever is not plain.
    pub(super) full: Full,
    /// Most requests at a time.
    pub(super) guard: ConnectionGuard,
    /// Longest body, bytes.
    pub(super) most_body: usize,
    /// Most calls of a batch.
    pub(super) most_calls: usize,
    /// Longest time for a whole request.
    pub(super) request_timeout: Duration,
    /// Ends all connections that have nothing to answer.
    pub(super) stop: CancellationToken,
    /// See [`Port::opening`]; begins empty.
    pub(super) openings: Mutex<Vec<Opening>>,
}

impl<S: Dispatch> Port<S> {
    /// Serves the connections of a listener until the server stops.
    pub(super) async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    // Without it answers are late, not wrong.
                    let _ = stream.set_nodelay(true);
                    let port = self.clone();
                    tokio::spawn(async move { Connection::new(&port, stream).run().await });
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(target: "rpc", %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(listener);
    }

    /// Serves one connection.
    pub(super) async fn connection(&self, io: impl Io + 'static) {
        Connection::new(self, io).run().await;
    }

    /// The first lines of an answer to plain requests for a `Host`, as the whole server writes
    /// them; `None` if it does not let that host in.
    async fn opening(&self, host: &[u8]) -> Option<Arc<[u8]>> {
        let known = self.openings.lock().iter().find(|(name, _)| name == host).cloned();
        if let Some((_, opening)) = known {
            return Some(opening);
        }
        let request = HttpRequest::post("/")
            .header("host", host)
            .header("content-type", "application/json")
            .body(HttpBody::from(NOTIFICATION))
            .ok()?;
        let response = (self.full.ask)(request).await?;
        if response.status() != 200 {
            return None;
        }
        let mut opening = b"HTTP/1.1 200 OK\r\n".to_vec();
        for (name, value) in response.headers() {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                opening.extend_from_slice(part);
            }
        }
        let opening: Arc<[u8]> = opening.into();
        let mut openings = self.openings.lock();
        if openings.len() == MOST_HOSTS {
            openings.remove(0);
        }
        openings.push((host.to_vec(), opening.clone()));
        Some(opening)
    }
}
