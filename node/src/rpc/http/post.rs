//! `POST` on the whole server: from the request to the same answer that a plain one gets.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use axum::http::{HeaderValue, Method, StatusCode, request};
use futures::future::{BoxFuture, Either};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jsonrpsee::MethodResponse;
use jsonrpsee::core::BoxError;
use jsonrpsee::server::http::response;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use jsonrpsee::types::{ErrorCode, Id};

use super::gzip;
use crate::rpc::calls::{self, Dispatch};

/// Answers calls; everything else (WebSocket, other methods, other types of content) goes on.
#[derive(Clone)]
pub(in crate::rpc) struct PostLayer<D> {
    /// Calls of methods.
    pub(in crate::rpc) dispatch: D,
    /// Longest body, bytes, whether it came compressed or not.
    pub(in crate::rpc) most_body: usize,
    /// Most calls of a batch.
    pub(in crate::rpc) most_calls: usize,
}

impl<S, D: Clone> tower::Layer<S> for PostLayer<D> {
    type Service = Post<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        Post { inner, rules: Arc::new(self.clone()) }
    }
}

/// See [`PostLayer`].
#[derive(Clone)]
pub(in crate::rpc) struct Post<S, D> {
    inner: S,
    rules: Arc<PostLayer<D>>,
}

impl<S, B, D> tower::Service<HttpRequest<B>> for Post<S, D>
where
    S: tower::Service<HttpRequest<B>, Response = HttpResponse>,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
    D: Dispatch,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<HttpResponse, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let is_json = jsonrpsee::server::http::content_type_is_json(&request);
        if request.method() != Method::POST || !is_json {
            return Either::Left(self.inner.call(request));
        }
        let rules = self.rules.clone();
        Either::Right(Box::pin(async move {
            let (head, body) = request.into_parts();
            let answer = rules.answer(&head, body).await;
            // What a request holds on to, as its permit, is held until it is answered.
            drop(head);
            Ok(answer)
        }))
    }
}

impl<D: Dispatch> PostLayer<D> {
    async fn answer<B>(&self, head: &request::Parts, body: B) -> HttpResponse
    where
        B: http_body::Body,
        B::Error: Into<BoxError>,
    {
        let body = match self.body(head, body).await {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        let indent = body.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let body = &body[indent..];
        if !matches!(body.first(), Some(b'{' | b'[')) {
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
            let code = if is_json { ErrorCode::InvalidRequest } else { ErrorCode::ParseError };
            let refused = MethodResponse::error(Id::Null, code);
            let mut refused = response::from_method_response(refused);
            *refused.status_mut() = StatusCode::BAD_REQUEST;
            return refused;
        }
        let answer = calls::answer(&self.dispatch, body, self.most_calls).await;
        // Nobody may answer a notification (JSON-RPC 2.0, section 4.1).
        if answer.is_notification() {
            return response::ok_response(HttpBody::empty());
        }
        let taken = head.headers.get(ACCEPT_ENCODING);
        let taken = taken.is_some_and(|value| gzip::is_taken(value.as_bytes()));
        let (answer, packed) = gzip::deflate(answer, taken).await;
        let mut response = response::ok_response(HttpBody::from(answer));
        if packed {
            let headers = response.headers_mut();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(gzip::NAME));
            headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        response
    }

    /// The body as it was meant, or the answer that refuses it.
    async fn body<B>(&self, head: &request::Parts, body: B) -> Result<Vec<u8>, HttpResponse>
    where
        B: http_body::Body,
        B::Error: Into<BoxError>,
    {
        let too_large = || response::too_large(u32::try_from(self.most_body).unwrap_or(u32::MAX));
        let said = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if said
            .and_then(|value| value.parse().ok())
            .is_some_and(|length: u64| length > self.most_body as u64)
        {
            return Err(too_large());
        }
        let body = match Limited::new(body, self.most_body).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
            Err(error) => {
                tracing::debug!(target: "rpc", %error, "a body did not come whole");
                return Err(response::malformed());
            }
        };
        match head.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Ok(body.into()),
            Some(name) if name.eq_ignore_ascii_case(gzip::NAME.as_bytes()) => {
                gzip::inflate(&body, self.most_body).map_err(|refused| match refused {
                    gzip::Refused::TooLarge => too_large(),
                    gzip::Refused::Damaged => response::malformed(),
                })
            }
            Some(_) => {
                let text = "A body may be compressed by gzip, and by nothing else\n";
                let mut response = HttpResponse::new(HttpBody::from(text));
                *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                let known = HeaderValue::from_static(gzip::NAME);
                response.headers_mut().insert(ACCEPT_ENCODING, known);
                Err(response)
            }
        }
    }
}
