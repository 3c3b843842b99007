//! The limit of connections, kept in one place for plain requests and for the whole server.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use jsonrpsee::server::http::response::too_many_requests;
use jsonrpsee::server::{ConnectionGuard, HttpRequest, HttpResponse};

/// Lets in as many requests and WebSocket connections at a time as the guard allows.
#[derive(Debug, Clone)]
pub(in crate::rpc) struct AdmissionLayer(pub(in crate::rpc) ConnectionGuard);

impl<S> tower::Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admission { inner, guard: self.0.clone() }
    }
}

/// See [`AdmissionLayer`].
#[derive(Debug, Clone)]
pub(in crate::rpc) struct Admission<S> {
    inner: S,
    guard: ConnectionGuard,
}

impl<S, B> tower::Service<HttpRequest<B>> for Admission<S>
where
    S: tower::Service<HttpRequest<B>, Response = HttpResponse>,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<HttpResponse, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: HttpRequest<B>) -> Self::Future {
        let Some(permit) = self.guard.try_acquire() else {
            return Either::Right(ready(Ok(too_many_requests())));
        };
        // The server keeps the extensions until it has answered, those of a WebSocket until it
        // closes.
        request.extensions_mut().insert(Arc::new(permit));
        Either::Left(self.inner.call(request))
    }
}
