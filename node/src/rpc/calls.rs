//! From the body of a request to its answer: what lies below the layers of dispatch, without a
//! server around it.

use std::collections::BTreeMap;
use std::future::ready;

use futures::future::Either;
use jsonrpsee::core::server::helpers::prepare_error;
use jsonrpsee::server::middleware::rpc::{
    Batch, BatchEntry, BatchEntryErr, Notification, Request, RpcServiceT,
};
use jsonrpsee::types::error::reject_too_big_batch_request;
use jsonrpsee::types::{ErrorCode, ErrorObject, Id, Params};
use jsonrpsee::{
    BatchResponseBuilder, ConnectionId, Extensions, MethodCallback, MethodResponse, Methods,
};
use serde_json::value::RawValue;

/// What is said to a call whose id no answer could repeat.
const OTHER_ID: &str = "Invalid request: this server takes ids that are strings, whole numbers from 0 to 2^64-1, or null";

/// A layer of dispatch, or all of them.
pub(crate) trait Dispatch:
    RpcServiceT<
        MethodResponse = MethodResponse,
        NotificationResponse = MethodResponse,
        BatchResponse = MethodResponse,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Dispatch for S where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            NotificationResponse = MethodResponse,
            BatchResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// Calls the methods of a table. Subscriptions need a connection that stays: they are refused.
#[derive(Clone)]
pub(crate) struct Calls {
    methods: Methods,
    most_bytes: usize,
}

impl Calls {
    /// `most_bytes` is the largest answer, of a whole batch, too.
    pub(crate) fn new(methods: Methods, most_bytes: usize) -> Self {
        Self { methods, most_bytes }
    }
}

impl RpcServiceT for Calls {
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(
        &self,
        request: Request<'a>,
    ) -> impl Future<Output = Self::MethodResponse> + Send + 'a {
        let Request { id, method, params, .. } = request;
        let params = Params::new(params.as_ref().map(|params| params.get()));
        let refused = match self.methods.method(&method) {
            Some(MethodCallback::Sync(call)) => {
                let answer = call(id, params, self.most_bytes, Extensions::new());
                return Either::Right(ready(answer));
            }
            Some(MethodCallback::Async(call)) => {
                let (id, params) = (id.into_owned(), params.into_owned());
                let connection = ConnectionId(0);
                let answer = call(id, params, connection, self.most_bytes, Extensions::new());
                return Either::Left(answer);
            }
            Some(MethodCallback::Subscription(_) | MethodCallback::Unsubscription(_)) => {
                ErrorCode::InternalError
            }
            None => ErrorCode::MethodNotFound,
        };
        Either::Right(ready(MethodResponse::error(id, ErrorObject::from(refused))))
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = Self::BatchResponse> + Send + 'a {
        let calls = self.clone();
        async move {
            let mut answers = Answers::new(calls.most_bytes);
            for entry in batch {
                if let Err(too_large) = answers.dispatch(&calls, entry).await {
                    return too_large;
                }
            }
            answers.finish()
        }
    }

    fn notification<'a>(
        &self,
        _: Notification<'a>,
    ) -> impl Future<Output = Self::NotificationResponse> + Send + 'a {
        ready(MethodResponse::notification())
    }
}

/// An entry of a batch.
pub(crate) type Entry<'a> = Result<BatchEntry<'a>, BatchEntryErr<'a>>;

/// The answers to a batch, in its order. Together they are at most so long: what does not fit any
/// more is the `Err` of whoever adds it, and the answer to the whole batch.
pub(crate) struct Answers {
    built: BatchResponseBuilder,
    notified: bool,
}

impl Answers {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { built: BatchResponseBuilder::new_with_limit(most_bytes), notified: false }
    }

    /// Has one entry answered.
    pub(crate) async fn dispatch(
        &mut self,
        inner: &impl Dispatch,
        entry: Entry<'_>,
    ) -> Result<(), MethodResponse> {
        match entry {
            Ok(BatchEntry::Call(request)) => self.add(inner.call(request).await),
            Ok(BatchEntry::Notification(notification)) => {
                self.notified = true;
                inner.notification(notification).await;
                Ok(())
            }
            Err(refused) => {
                let (error, id) = refused.into_parts();
                self.add(MethodResponse::error(id, error))
            }
        }
    }

    pub(crate) fn add(&mut self, answer: MethodResponse) -> Result<(), MethodResponse> {
        self.built.append(answer)
    }

    /// Nothing is said to notifications alone; a batch of nothing is an invalid request.
    pub(crate) fn finish(self) -> MethodResponse {
        if self.built.is_empty() && self.notified {
            return MethodResponse::notification();
        }
        MethodResponse::from_batch(self.built.finish())
    }
}

/// Whether a body is JSON and yet not plainly right: no call, and no list of calls. Such bodies are
/// answered by [`answer`] wherever they come in: jsonrpsee takes a call with an id that it does not
/// know, such as -1, for a notification, and says nothing.
pub(crate) fn is_odd(body: &[u8]) -> bool {
    let right = serde_json::from_slice::<Request<'_>>(body).is_ok()
        || serde_json::from_slice::<Vec<Request<'_>>>(body).is_ok();
    !right && serde_json::from_slice::<&RawValue>(body).is_ok()
}

/// Answers a body. What it answers to a notification is not sent.
pub(crate) async fn answer(
    dispatch: &impl Dispatch,
    body: &[u8],
    most_calls: usize,
) -> MethodResponse {
    if body.trim_ascii_start().first() == Some(&b'[') {
        return batch(dispatch, body, most_calls).await;
    }
    if let Ok(request) = serde_json::from_slice(body) {
        return dispatch.call(request).await;
    }
    let Ok(json) = serde_json::from_slice::<&RawValue>(body) else {
        let (id, code) = prepare_error(body);
        return MethodResponse::error(id, ErrorObject::from(code));
    };
    match entry(json.get()) {
        Ok(BatchEntry::Call(request)) => dispatch.call(request).await,
        Ok(BatchEntry::Notification(notification)) => dispatch.notification(notification).await,
        Err(refused) => {
            let (error, id) = refused.into_parts();
            MethodResponse::error(id, error)
        }
    }
}

async fn batch(dispatch: &impl Dispatch, body: &[u8], most_calls: usize) -> MethodResponse {
    let Some(entries) = std::str::from_utf8(body).ok().and_then(entries) else {
        return MethodResponse::error(Id::Null, ErrorCode::ParseError);
    };
    if entries.len() > most_calls {
        return MethodResponse::error(Id::Null, reject_too_big_batch_request(most_calls));
    }
    dispatch.batch(Batch::from(entries)).await
}

/// The entries of a batch; `None` if it is no list.
fn entries(text: &str) -> Option<Vec<Entry<'_>>> {
    // Most batches are calls and nothing else; those are read in one go.
    if let Ok(calls) = serde_json::from_str::<Vec<Request<'_>>>(text) {
        return Some(calls.into_iter().map(|call| Ok(BatchEntry::Call(call))).collect());
    }
    let entries = serde_json::from_str::<Vec<&RawValue>>(text).ok()?;
    Some(entries.into_iter().map(|raw| entry(raw.get())).collect())
}

/// Reads JSON as a call or a notification. Only what has no id is a notification.
fn entry(text: &str) -> Entry<'_> {
    if let Ok(request) = serde_json::from_str(text) {
        return Ok(BatchEntry::Call(request));
    }
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
    let Some(id) = members.get("id") else {
        let notification = serde_json::from_str(text).map(BatchEntry::Notification);
        return notification.map_err(|_| invalid(Id::Null, ErrorCode::InvalidRequest.message()));
    };
    Err(match serde_json::from_str(id.get()) {
        Ok(id) => invalid(id, ErrorCode::InvalidRequest.message()),
        Err(_) => invalid(Id::Null, OTHER_ID),
    })
}

fn invalid<'a>(id: Id<'a>, text: &'static str) -> BatchEntryErr<'a> {
    let code = ErrorCode::InvalidRequest.code();
    BatchEntryErr::new(id, ErrorObject::borrowed(code, text, None))
}
