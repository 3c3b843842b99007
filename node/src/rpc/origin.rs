//! Which web pages may speak to this node: browsers check CORS for HTTP, but not for WebSocket.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::Either;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// How long a browser need not ask again whether a page may call; Chromium's most is 2 hours.
const PREFLIGHT: Duration = Duration::from_secs(7200);

/// Origins that are let in; "*" is all.
#[derive(Debug, Clone)]
pub(crate) struct OriginLayer(Arc<[String]>);

impl OriginLayer {
    pub(crate) fn new(allowed: &[String]) -> Self {
        Self(allowed.into())
    }

    fn allows(&self, origin: &[u8]) -> bool {
        self.0.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin)
    }

    /// The CORS side of the same list; preflights are always answered.
    pub(crate) fn cors(&self) -> CorsLayer {
        let layer = CorsLayer::new().allow_headers(Any).allow_methods(Any).max_age(PREFLIGHT);
        if self.0.iter().any(|allowed| allowed == "*") {
            return layer.allow_origin(Any);
        }
        let list: Vec<_> = self.0.iter().filter_map(|origin| origin.parse().ok()).collect();
        layer.allow_origin(AllowOrigin::list(list))
    }
}

impl<S> tower::Layer<S> for OriginLayer {
    type Service = OriginFilter<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OriginFilter { inner, origins: self.clone() }
    }
}

/// Refuses WebSocket upgrades from pages of other origins. A program sends no `Origin`.
#[derive(Debug, Clone)]
pub(crate) struct OriginFilter<S> {
    inner: S,
    origins: OriginLayer,
}

impl<S, B> tower::Service<HttpRequest<B>> for OriginFilter<S>
where
    S: tower::Service<HttpRequest<B>, Response = HttpResponse>,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Either<S::Future, std::future::Ready<Result<HttpResponse, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let headers = request.headers();
        let foreign =
            headers.get("origin").is_some_and(|origin| !self.origins.allows(origin.as_bytes()));
        if foreign && headers.contains_key("upgrade") {
            let mut refusal = HttpResponse::new(HttpBody::from("origin not allowed"));
            *refusal.status_mut() = 403_u16.try_into().expect("403 is a status code");
            return Either::Right(std::future::ready(Ok(refusal)));
        }
        Either::Left(self.inner.call(request))
    }
}
