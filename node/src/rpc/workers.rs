//! Calls that may take long: on worker threads, few at a time, each within a time limit; the ones
//! of a batch that follow each other share a worker.

use std::collections::{HashMap, VecDeque};
use std::mem::take;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::Either;
use jsonrpsee::MethodResponse;
use jsonrpsee::server::middleware::rpc::{Batch, BatchEntry, Notification, Request, RpcServiceT};
use jsonrpsee::types::{ErrorObjectOwned, Id, Params};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{timeout, timeout_at};

use super::calls::{Answers, Dispatch, Entry};
use super::error::RpcError;
use super::table::Api;

/// How long a batch may have a worker before others get a turn.
const TURN: Duration = Duration::from_millis(50);

/// Runs one call and writes its answer: parameters, id, when to give up, most bytes.
pub(crate) type Work =
    Arc<dyn Fn(&Api, &Params<'_>, Id<'_>, Instant, usize) -> MethodResponse + Send + Sync>;

/// A call that waits for a worker.
pub(crate) struct Waiting {
    pub(crate) work: Work,
    pub(crate) id: Id<'static>,
    pub(crate) params: Params<'static>,
}

/// Calls that one worker makes, one after the other.
#[derive(Default)]
struct Turn {
    waiting: VecDeque<Waiting>,
    /// Which call runs, and since when.
    running: Option<(Id<'static>, Instant)>,
    done: Vec<MethodResponse>,
    bytes: usize,
    /// Nobody waits for it any more.
    left: bool,
}

/// Makes one call.
pub(crate) async fn one(api: &Arc<Api>, call: Waiting, most_bytes: usize) -> MethodResponse {
    let id = call.id.clone();
    let answer = run(api, [call].into(), most_bytes).await.pop();
    answer.unwrap_or_else(|| failed(id, RpcError::busy()))
}

/// Makes calls in their order. Each is answered within the time limit once the one before it is; a
/// call that does not look at its deadline keeps its worker, never the client. Answers that are
/// together longer than `most_bytes` are cut off: a batch cannot use the rest.
pub(crate) async fn run(
    api: &Arc<Api>,
    mut waiting: VecDeque<Waiting>,
    most_bytes: usize,
) -> Vec<MethodResponse> {
    let limit = api.config.call_timeout;
    let mut answers = Vec::with_capacity(waiting.len());
    let mut bytes = 0;
    while !waiting.is_empty() && bytes <= most_bytes {
        let Ok(Ok(permit)) = timeout(limit, api.workers.clone().acquire_owned()).await else {
            let refused = waiting.pop_front().map(|call| failed(call.id, RpcError::busy()));
            answers.extend(refused);
            continue;
        };
        let turn = Arc::new(Mutex::new(Turn { waiting, bytes, ..Turn::default() }));
        let late = wait(api, &turn, permit, most_bytes).await;
        let mut turn = turn.lock();
        turn.left = true;
        answers.append(&mut turn.done);
        if let Some((id, _)) = turn.running.take() {
            let panicked = || RpcError::internal("a call panicked");
            answers.push(failed(id, if late { RpcError::timeout(limit) } else { panicked() }));
        }
        (waiting, bytes) = (take(&mut turn.waiting), turn.bytes);
    }
    answers
}

/// Waits until the turn is over, or its running call has had its time: then true.
async fn wait(
    api: &Arc<Api>,
    turn: &Arc<Mutex<Turn>>,
    permit: OwnedSemaphorePermit,
    most_bytes: usize,
) -> bool {
    let limit = api.config.call_timeout;
    let (ended, mut end) = oneshot::channel::<()>();
    let (worker, on) = (api.clone(), turn.clone());
    tokio::task::spawn_blocking(move || {
        work(&worker, &on, &ended, most_bytes);
        drop(permit);
    });
    let mut deadline = Instant::now() + limit;
    loop {
        // Nothing is sent: it ends when the worker lets go of the other side.
        if timeout_at(deadline.into(), &mut end).await.is_ok() {
            return false;
        }
        let since = turn.lock().running.as_ref().map(|(_, since)| *since);
        deadline = since.unwrap_or_else(Instant::now) + limit;
        if deadline <= Instant::now() {
            return true;
        }
    }
}

fn work(api: &Api, turn: &Mutex<Turn>, ended: &oneshot::Sender<()>, most_bytes: usize) {
    let begun = Instant::now();
    loop {
        let mut state = turn.lock();
        let over = state.left || ended.is_closed() || state.bytes > most_bytes;
        if over || (begun.elapsed() > TURN && !state.done.is_empty()) {
            return;
        }
        let Some(Waiting { work, id, params }) = state.waiting.pop_front() else { return };
        let now = Instant::now();
        state.running = Some((id.clone(), now));
        drop(state);
        let answer = work(api, &params, id, now + api.config.call_timeout, most_bytes);
        let mut state = turn.lock();
        if state.left {
            return;
        }
        state.running = None;
        state.bytes += answer.as_ref().len();
        state.done.push(answer);
    }
}

fn failed(id: Id<'_>, error: RpcError) -> MethodResponse {
    MethodResponse::error(id, ErrorObjectOwned::from(error))
}

/// Gives the calls of a batch that follow each other one worker.
#[derive(Clone)]
pub(crate) struct WorkersLayer {
    api: Arc<Api>,
    works: Arc<HashMap<&'static str, Work>>,
    most_bytes: usize,
}

impl WorkersLayer {
    pub(crate) fn new(api: Arc<Api>, works: HashMap<&'static str, Work>) -> Self {
        let most_bytes = api.config.response_bytes as usize;
        Self { api, works: Arc::new(works), most_bytes }
    }

    fn waiting(&self, request: &Request<'_>) -> Option<Waiting> {
        let work = self.works.get(&*request.method)?.clone();
        let params = request.params().into_owned();
        Some(Waiting { work, id: request.id.clone().into_owned(), params })
    }
}

impl<S> tower::Layer<S> for WorkersLayer {
    type Service = Workers<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Workers { inner, layer: self.clone() }
    }
}

/// See [`WorkersLayer`].
#[derive(Clone)]
pub(crate) struct Workers<S> {
    inner: S,
    layer: WorkersLayer,
}

impl<S: Dispatch> RpcServiceT for Workers<S> {
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
        let long = |entry: &Entry<'_>| match entry {
            Ok(BatchEntry::Call(request)) => self.layer.works.contains_key(&*request.method),
            _ => false,
        };
        if !batch.iter().any(long) {
            return Either::Left(self.inner.batch(batch));
        }
        let (inner, layer) = (self.inner.clone(), self.layer.clone());
        Either::Right(async move {
            let mut answers = Answers::new(layer.most_bytes);
            let mut waiting = VecDeque::new();
            for entry in batch.into_iter().map(Some).chain([None]) {
                if let Some(Ok(BatchEntry::Call(request))) = &entry
                    && let Some(call) = layer.waiting(request)
                {
                    waiting.push_back(call);
                    continue;
                }
                for answer in run(&layer.api, take(&mut waiting), layer.most_bytes).await {
                    if let Err(too_large) = answers.add(answer) {
                        return too_large;
                    }
                }
                if let Some(entry) = entry
                    && let Err(too_large) = answers.dispatch(&inner, entry).await
                {
                    return too_large;
                }
            }
            answers.finish()
        })
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = Self::NotificationResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}
