//! Bodies that are not plainly right, on their way to the whole server: answered here, as on the way
//! of plain requests.

use std::task::{Context, Poll};

use axum::body::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jsonrpsee::core::BoxError;
use jsonrpsee::server::http::{content_type_is_json, response};
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};

use crate::rpc::calls::{self, Dispatch};

/// Answers what [`calls::is_odd`], and lets the rest through.
#[derive(Clone)]
pub(in crate::rpc) struct OddLayer<D> {
    /// Calls of methods.
    pub(in crate::rpc) dispatch: D,
    /// Longest body, bytes.
    pub(in crate::rpc) most_body: u32,
    /// Most calls of a batch.
    pub(in crate::rpc) most_calls: usize,
}

impl<D: Clone, S> tower::Layer<S> for OddLayer<D> {
    type Service = Odd<D, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Odd { inner, layer: self.clone() }
    }
}

/// See [`OddLayer`].
#[derive(Clone)]
pub(in crate::rpc) struct Odd<D, S> {
    inner: S,
    layer: OddLayer<D>,
}

impl<D, S, B> tower::Service<HttpRequest<B>> for Odd<D, S>
where
    D: Dispatch,
    S: tower::Service<HttpRequest, Response = HttpResponse> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<HttpResponse, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let judged = request.method() == "POST" && content_type_is_json(&request);
        if !judged {
            return self.inner.call(request.map(HttpBody::new)).boxed();
        }
        // The one that is ready stays with the request.
        let next = self.inner.clone();
        let (mut inner, layer) = (std::mem::replace(&mut self.inner, next), self.layer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = match Limited::new(body, layer.most_body as usize).collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) if error.is::<LengthLimitError>() => {
                    return Ok(response::too_large(layer.most_body));
                }
                Err(_) => return Ok(response::internal_error()),
            };
            if calls::is_odd(&body) {
                let answer = calls::answer(&layer.dispatch, &body, layer.most_calls).await;
                return Ok(response::from_method_response(answer));
            }
            inner.call(HttpRequest::from_parts(parts, HttpBody::from(body.to_vec()))).await
        }
        .boxed()
    }
}
