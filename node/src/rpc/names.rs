//! Answers to calls of methods that are not there, in the words client libraries look for.

use std::collections::HashSet;
use std::future::ready;
use std::sync::Arc;

use futures::future::Either;
use jsonrpsee::MethodResponse;
use jsonrpsee::server::middleware::rpc::{
    Batch, BatchEntry, BatchEntryErr, Notification, Request, RpcServiceT,
};
use jsonrpsee::types::{ErrorCode, ErrorObjectOwned};

use super::admin;
use super::calls::Dispatch;
use crate::metrics::{MethodMetrics, Outcome};

/// Code of a method or namespace that is not there.
const NOT_FOUND: i32 = -32601;
/// Code of a method that this node could offer, but does not.
const NOT_ENABLED: i32 = -32004;

/// Methods that only a connection can have: over HTTP, dispatch calls them an internal error.
const SUBSCRIBING: &[&str] =
    &["eth_subscribe", "eth_unsubscribe", "rollup_subscribeFeed", "rollup_unsubscribeFeed"];

/// Wraps the server's own dispatch.
#[derive(Clone)]
pub(crate) struct NamesLayer {
    known: Arc<HashSet<&'static str>>,
    off: Arc<[&'static str]>,
    unknown: Arc<MethodMetrics>,
}

impl NamesLayer {
    /// `known` are the methods that answer, `off` the namespaces that are left out; `unknown`
    /// counts calls of all others.
    pub(crate) fn new(
        known: HashSet<&'static str>,
        off: Vec<&'static str>,
        unknown: Arc<MethodMetrics>,
    ) -> Self {
        Self { known: Arc::new(known), off: off.into(), unknown }
    }

    /// Whether this is the admin listener.
    fn administers(&self) -> bool {
        self.known.contains("admin_nodeInfo")
    }

    fn refusal(&self, method: &str) -> Option<ErrorObjectOwned> {
        if self.known.contains(method) {
            return None;
        }
        self.unknown.ended(Outcome::Refused);
        let namespace = method.split_once(['_', '.']).map_or("", |(namespace, _)| namespace);
        let (code, message) = if self.off.contains(&namespace) {
            (NOT_ENABLED, format!("Method not supported: enable it with --rpc-api {namespace}"))
        } else if admin::NAMESPACES.contains(&namespace) && !self.administers() {
            let message = "Method not supported: it is on the admin listener alone, which \
                           `causeway run --admin 127.0.0.1:8550` opens";
            (NOT_ENABLED, message.to_owned())
        } else {
            let method: String = method.chars().take(100).collect();
            (NOT_FOUND, format!("the method {method} does not exist/is not available"))
        };
        Some(ErrorObjectOwned::owned(code, message, None::<()>))
    }
}

impl<S> tower::Layer<S> for NamesLayer {
    type Service = Names<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Names { inner, names: self.clone() }
    }
}

/// See [`NamesLayer`].
#[derive(Clone)]
pub(crate) struct Names<S> {
    inner: S,
    names: NamesLayer,
}

impl<S: Dispatch> RpcServiceT for Names<S> {
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(
        &self,
        request: Request<'a>,
    ) -> impl Future<Output = Self::MethodResponse> + Send + 'a {
        if let Some(error) = self.names.refusal(&request.method) {
            return Either::Left(ready(MethodResponse::error(request.id, error)));
        }
        let subscribing = SUBSCRIBING.contains(&&*request.method);
        let id = subscribing.then(|| request.id.clone().into_owned());
        let answer = self.inner.call(request);
        Either::Right(async move {
            let answer = answer.await;
            let internal = Some(ErrorCode::InternalError.code());
            match id {
                // What dispatch says of a subscription over HTTP.
                Some(id) if answer.as_error_code() == internal => {
                    let text = "notifications not supported: subscribe over WebSocket";
                    let error = ErrorObjectOwned::owned(NOT_FOUND, text, None::<()>);
                    MethodResponse::error(id, error)
                }
                _ => answer,
            }
        })
    }

    fn batch<'a>(
        &self,
        mut batch: Batch<'a>,
    ) -> impl Future<Output = Self::BatchResponse> + Send + 'a {
        for entry in batch.iter_mut() {
            let refused = match entry {
                Ok(BatchEntry::Call(request)) => self
                    .names
                    .refusal(&request.method)
                    .map(|error| BatchEntryErr::new(request.id.clone(), error)),
                _ => None,
            };
            if let Some(refused) = refused {
                *entry = Err(refused);
            }
        }
        self.inner.batch(batch)
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = Self::NotificationResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}
