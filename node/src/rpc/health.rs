//! `GET /health` and `GET /ready`: whether the node lives, and whether it should get requests.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode};
use futures::future::{Either, Ready, ready};
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::backend::Backend;

/// Where a node says whether it lives: 200 as long as it answers, whatever is wrong.
pub const HEALTH: &str = "/health";
/// Where it says whether it should get requests: 503 while something is wrong or it is behind.
pub const READY: &str = "/ready";

/// What is wrong, in words, and how far the node is.
pub(crate) fn health(backend: &dyn Backend) -> Value {
    let (chain, status) = (backend.chain(), backend.status());
    json!({
        "status": if status.problems.is_empty() { "ok" } else { "degraded" },
        "problems": status.problems,
        "chainId": backend.spec().chain_id,
        "latest": chain.latest().number,
        "safe": chain.safe().number,
        "finalized": chain.finalized().number,
        "syncing": backend.sync_status().is_some(),
    })
}

/// The answer to a `GET` of a path, as status and JSON; `None` if the path is another.
pub fn answer(backend: &dyn Backend, path: &str) -> Option<(u16, String)> {
    match path {
        HEALTH => Some((200, health(backend).to_string())),
        READY => {
            let mut reasons = backend.status().problems;
            if let Some(sync) = backend.sync_status() {
                reasons.push(format!("syncing: at block {}, the DA layer is ahead", sync.current));
            }
            let ready = reasons.is_empty();
            let answer = json!({ "ready": ready, "reasons": reasons });
            Some((if ready { 200 } else { 503 }, answer.to_string()))
        }
        _ => None,
    }
}

/// Answers [`HEALTH`] and [`READY`] before anything else is asked.
#[derive(Clone)]
pub(super) struct HealthLayer(pub(super) Arc<dyn Backend>);

impl<S> tower::Layer<S> for HealthLayer {
    type Service = Health<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Health { inner, backend: self.0.clone() }
    }
}

/// See [`HealthLayer`].
#[derive(Clone)]
pub(super) struct Health<S> {
    inner: S,
    backend: Arc<dyn Backend>,
}

impl<S, B> tower::Service<HttpRequest<B>> for Health<S>
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
        let asked = request.method() == Method::GET;
        match asked.then(|| answer(&*self.backend, request.uri().path())).flatten() {
            Some((status, body)) => Either::Right(ready(Ok(response(status, body)))),
            None => Either::Left(self.inner.call(request)),
        }
    }
}

fn response(status: u16, body: String) -> HttpResponse {
    let mut response = HttpResponse::new(HttpBody::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
