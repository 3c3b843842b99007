//! Batches: transactions that stand next to each other are taken in together, so that a hundred of
//! them share one look at the state, one write and one fdatasync.

use std::iter::Peekable;
use std::sync::Arc;

use alloy_primitives::Bytes;
use jsonrpsee::server::middleware::rpc::{Batch, BatchEntry, Notification, Request, RpcServiceT};
use jsonrpsee::types::{ErrorObjectOwned, Id};
use jsonrpsee::{MethodResponse, ResponsePayload};

use super::RpcConfig;
use super::backend::Backend;
use super::calls::{Answers, Dispatch, Entry};
use super::error::{RpcError, RpcResult};
use super::table::Args;
use crate::metrics::{CallGuard, MethodMetrics, Outcome, RpcMetrics};

/// The method whose calls are gathered.
const SEND: &str = "eth_sendRawTransaction";

/// Wraps the server's own dispatch. Entries are answered in the order of the request, and each
/// sees what those before it did.
#[derive(Clone)]
pub(crate) struct BatchLayer {
    backend: Arc<dyn Backend>,
    response_bytes: usize,
    metrics: Arc<RpcMetrics>,
    sends: Arc<MethodMetrics>,
}

impl BatchLayer {
    pub(crate) fn new(backend: Arc<dyn Backend>, config: &RpcConfig) -> Self {
        let (response_bytes, metrics) = (config.response_bytes as usize, config.metrics.clone());
        Self { backend, response_bytes, sends: metrics.method(SEND), metrics }
    }

    /// Answers of some calls of [`SEND`], in their order.
    async fn send(&self, calls: Vec<Request<'_>>) -> Vec<MethodResponse> {
        if calls.is_empty() {
            return Vec::new();
        }
        let (mut begun, mut raws) = (Vec::with_capacity(calls.len()), Vec::new());
        for call in calls {
            let raw = raw_of(&call);
            let guard = self.metrics.begin(&self.sends);
            begun.push((call.id, raw.as_ref().err().cloned(), guard));
            raws.extend(raw);
        }
        let mut answers = self.backend.submit_all(raws).await.into_iter();
        let mut answer = |id: Id<'_>, malformed: Option<ErrorObjectOwned>| {
            if let Some(error) = malformed {
                return MethodResponse::error(id, error);
            }
            let missing = || RpcError::internal("a transaction got no answer");
            match answers.next().ok_or_else(missing).and_then(|answer| Ok(answer?)) {
                Ok(hash) => {
                    let payload = ResponsePayload::success(hash);
                    MethodResponse::response(id, payload, self.response_bytes)
                }
                Err(error) => MethodResponse::error(id, ErrorObjectOwned::from(error)),
            }
        };
        let answer = |(id, malformed, call): (Id<'_>, _, CallGuard<'_>)| {
            let answer = answer(id, malformed);
            call.end(Outcome::of(answer.as_error_code()));
            answer
        };
        begun.into_iter().map(answer).collect()
    }
}

fn raw_of(call: &Request<'_>) -> Result<Bytes, ErrorObjectOwned> {
    let raw: RpcResult<Bytes> =
        Args::new(&call.params()).and_then(|args| args.need(0, "transaction"));
    raw.map_err(ErrorObjectOwned::from)
}

impl<S> tower::Layer<S> for BatchLayer {
    type Service = Batches<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Batches { inner, layer: self.clone() }
    }
}

/// See [`BatchLayer`].
#[derive(Clone)]
pub(crate) struct Batches<S> {
    inner: S,
    layer: BatchLayer,
}

fn sends(entry: &Entry<'_>) -> bool {
    matches!(entry, Ok(BatchEntry::Call(call)) if call.method == SEND)
}

/// The next entry, if it is a call of [`SEND`].
fn next_send<'a>(entries: &mut Peekable<impl Iterator<Item = Entry<'a>>>) -> Option<Request<'a>> {
    match entries.next_if(sends)? {
        Ok(BatchEntry::Call(call)) => Some(call),
        _ => None,
    }
}

impl<S: Dispatch> RpcServiceT for Batches<S> {
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(
        &self,
        request: Request<'a>,
    ) -> impl Future<Output = Self::MethodResponse> + Send + 'a {
        self.inner.call(request)
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = Self::BatchResponse> + Send + 'a {
        let Self { inner, layer } = self.clone();
        async move {
            if !batch.iter().any(sends) {
                return inner.batch(batch).await;
            }
            let mut answers = Answers::new(layer.response_bytes);
            let mut entries = batch.into_iter().peekable();
            while entries.peek().is_some() {
                let sends: Vec<_> = std::iter::from_fn(|| next_send(&mut entries)).collect();
                for answer in layer.send(sends).await {
                    if let Err(too_large) = answers.add(answer) {
                        return too_large;
                    }
                }
                if let Some(entry) = entries.next()
                    && let Err(too_large) = answers.dispatch(&inner, entry).await
                {
                    return too_large;
                }
            }
            answers.finish()
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = Self::NotificationResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}
