//! The JSON-RPC without a port: bodies or bytes in, answers out, through the same connection code,
//! table and limits.

use std::sync::Arc;

use eyre::{OptionExt, eyre};
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse, ServerHandle};
use tokio::io::{DuplexStream, duplex};
use tokio_util::sync::CancellationToken;

use super::{Backend, RpcConfig, port};

/// Bytes that either side of a connection may be ahead of the other.
const AHEAD: usize = 64 << 10;

/// Answers requests of this process.
pub struct Portless {
    ask: Box<dyn Fn(HttpRequest) -> BoxFuture<'static, Option<HttpResponse>> + Send + Sync>,
    connect: Box<dyn Fn(DuplexStream) -> BoxFuture<'static, ()> + Send + Sync>,
    // The methods end with it.
    _handle: ServerHandle,
}

impl Portless {
    /// The methods of a node.
    pub fn new(backend: Arc<dyn Backend>, config: RpcConfig) -> eyre::Result<Self> {
        let (port, handle) = port(backend, config, CancellationToken::new())?;
        let port = Arc::new(port);
        let whole = port.clone();
        let ask = Box::new(move |request| (whole.full.ask)(request));
        let connect = Box::new(move |io| -> BoxFuture<'static, ()> {
            let port = port.clone();
            Box::pin(async move { port.connection(io).await })
        });
        Ok(Self { ask, connect, _handle: handle })
    }

    /// The whole server's answer to the body of one request to `localhost`; empty if there is none
    /// to give.
    pub async fn answer(&self, body: Vec<u8>) -> eyre::Result<Vec<u8>> {
        let request = HttpRequest::post("/")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(HttpBody::from(body))?;
        let response = (self.ask)(request).await.ok_or_eyre("the request timed out")?;
        let body = response.into_body().collect().await.map_err(|error| eyre!("{error}"))?;
        Ok(body.to_bytes().to_vec())
    }

    /// A client's end of a new connection. Needs the runtime of the node.
    pub fn connect(&self) -> DuplexStream {
        let (client, server) = duplex(AHEAD);
        tokio::spawn((self.connect)(server));
        client
    }
}
