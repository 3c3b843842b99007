//! The admin listener: methods that act on the node, for those alone who hold its secret.

mod jwt;
mod methods;

use std::future::{Ready, ready};
use std::net::TcpListener;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use eyre::ensure;
use futures::future::Either;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse, ServerBuilder};
use tokio_util::sync::CancellationToken;

pub use jwt::{Refusal, Secret};

use super::backend::Backend;
use super::{Register, RpcConfig, RpcServer, openrpc, server_config, table_of, web3};

/// What answers there, and nowhere else; `rpc` tells what it is.
pub(super) const MODULES: &[(&str, Register)] = &[
    ("admin", methods::register_admin),
    ("sequencer", methods::register_sequencer),
    ("batcher", methods::register_batcher),
    ("rpc", web3::register_rpc),
    ("rpc", openrpc::register),
];

/// Namespaces of the admin listener alone.
pub(super) const NAMESPACES: &[&str] = &["admin", "sequencer", "batcher"];

/// Most connections at a time.
const CONNECTIONS: u32 = 16;

/// Serves on a bound listener of loopback until `stop`; every request needs a token.
pub async fn serve(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    secret: Secret,
    stop: CancellationToken,
) -> eyre::Result<RpcServer> {
    let local_addr = listener.local_addr()?;
    ensure!(
        local_addr.ip().is_loopback(),
        "the admin listener speaks plain HTTP and must be on loopback, as 127.0.0.1:8550, not on \
         {local_addr}; reach it from elsewhere through SSH"
    );
    listener.set_nonblocking(true)?;
    let config = RpcConfig { connections: CONNECTIONS, ..RpcConfig::default() };
    let server_config = server_config(&config, CONNECTIONS);
    let (methods, layers) = table_of(MODULES, backend.clone(), config)?;
    let http = tower::ServiceBuilder::new().layer(AuthLayer { backend, secret });
    let handle = ServerBuilder::with_config(server_config)
        .set_rpc_middleware(layers)
        .set_http_middleware(http)
        .build_from_tcp(listener)?
        .start(methods);
    let stopping = handle.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => { let _ = stopping.stop(); }
            () = stopping.clone().stopped() => {}
        }
    });
    Ok(RpcServer { local_addr, handle })
}

/// Lets in who has a token.
#[derive(Clone)]
struct AuthLayer {
    backend: Arc<dyn Backend>,
    secret: Secret,
}

impl<S> tower::Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Auth { inner, layer: self.clone() }
    }
}

/// See [`AuthLayer`].
#[derive(Clone)]
struct Auth<S> {
    inner: S,
    layer: AuthLayer,
}

impl<S, B> tower::Service<HttpRequest<B>> for Auth<S>
where
    S: tower::Service<HttpRequest<B>, Response = HttpResponse>,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<HttpResponse, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let now_s = self.layer.backend.now_ms() / 1000;
        match self.layer.secret.check(header, now_s) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(refusal) => Either::Right(ready(Ok(refused(&refusal)))),
        }
    }
}

fn refused(refusal: &Refusal) -> HttpResponse {
    let mut response = HttpResponse::new(HttpBody::from(format!("{refusal}\n")));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}
