//! The service on HTTP, and the task that makes its blocks.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use causeway_chainspec::{Clock, crash};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::LocalDa;
use super::chain::Included;
use super::wire::{ErrorAnswer, HeadAnswer, SubmitAnswer, read_blobs};
use crate::DaError;

/// A body must have arrived by then.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// After a stop, requests have so long to end.
const GRACE: Duration = Duration::from_secs(5);
/// Bodies read at the same time; more are answered "try again".
const UPLOADS: usize = 32;

struct Served {
    da: Arc<LocalDa>,
    uploads: Semaphore,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    namespace: B256,
}

/// Serves until `stop`, then answers what is under way and ends. Makes a block every interval, and
/// at once for a submission if the last is old enough. An error is a failed disk or socket.
pub async fn serve(
    listener: TcpListener,
    da: Arc<LocalDa>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), DaError> {
    let served = Arc::new(Served { da: da.clone(), uploads: Semaphore::new(UPLOADS) });
    let router = Router::new()
        .route("/v1/head", get(head))
        .route("/v1/blocks/{height}", get(block))
        .route("/v1/submit", post(submit))
        .route("/v1/forced", post(forced))
        .with_state(served);
    // Ends with this function, however it ends.
    let ended = CancellationToken::new();
    let _end = ended.clone().drop_guard();
    let mut blocks = tokio::spawn(make_blocks(da, clock, stop.clone(), ended.clone()));
    let server =
        axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let outcome = tokio::select! {
        result = server => result.map_err(|error| DaError::Storage(format!("http: {error}"))),
        made = &mut blocks => {
            return made.unwrap_or_else(|error| Err(DaError::Storage(error.to_string())));
        }
        () = overdue => Ok(()),
    };
    ended.cancel();
    blocks.await.unwrap_or_else(|error| Err(DaError::Storage(error.to_string())))?;
    outcome
}

/// Makes blocks until `ended`. After `stop`, what still waits gets its block at once.
async fn make_blocks(
    da: Arc<LocalDa>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    ended: CancellationToken,
) -> Result<(), DaError> {
    let mut last = clock.now_ms();
    loop {
        let now = clock.now_ms();
        // A clock that was put back must not stop the service until it is where it was.
        last = last.min(now);
        let pending = da.has_pending();
        let config = da.config();
        let wait = if pending { config.min_interval_ms } else { config.interval_ms };
        let due = last.saturating_add(wait.min(config.interval_ms));
        if now >= due || (pending && stop.is_cancelled()) {
            let da = da.clone();
            tokio::task::spawn_blocking(move || da.produce(now))
                .await
                .map_err(|error| DaError::Storage(error.to_string()))??;
            last = now;
            continue;
        }
        if ended.is_cancelled() {
            return Ok(());
        }
        tokio::select! {
            () = clock.sleep_until(due) => {}
            () = da.submitted() => {}
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            () = ended.cancelled() => {}
        }
    }
}

impl IntoResponse for ErrorAnswer {
    fn into_response(self) -> Response {
        (self.status(), Json(self)).into_response()
    }
}

async fn head(State(served): State<Arc<Served>>) -> Result<Json<HeadAnswer>, ErrorAnswer> {
    let (latest, finalized) = served.da.heads()?;
    let limits = served.da.limits();
    Ok(Json(HeadAnswer {
        latest: latest.into(),
        finalized: finalized.into(),
        signer: served.da.signer(),
        max_blob_bytes: limits.max_blob_bytes,
        max_submission_bytes: limits.max_submission_bytes,
        max_forced_bytes: served.da.config().max_forced_bytes,
    }))
}

async fn block(
    State(served): State<Arc<Served>>,
    Path(height): Path<u64>,
    Query(Wanted { namespace }): Query<Wanted>,
) -> Result<Response, ErrorAnswer> {
    let read = tokio::task::spawn_blocking(move || {
        let answer = served.da.read(height)?.answer(namespace);
        Ok::<_, DaError>(alloy_rlp::encode(&answer))
    });
    let bytes = read.await.map_err(|error| DaError::Unavailable(error.to_string()))??;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

async fn submit(
    State(served): State<Arc<Served>>,
    Query(Wanted { namespace }): Query<Wanted>,
    body: Body,
) -> Result<Json<SubmitAnswer>, ErrorAnswer> {
    // RLP adds at most four bytes a blob, and five for the list; a blob counts 64 of its own.
    let most = served.da.limits().max_submission_bytes + 64;
    let bytes = receive(&served, body, most).await?;
    let blobs = read_blobs(&bytes, served.da.limits().max_submission_bytes)?;
    included(served.da.submit(namespace, blobs)?).await
}

async fn forced(
    State(served): State<Arc<Served>>,
    Query(Wanted { namespace }): Query<Wanted>,
    body: Body,
) -> Result<Json<SubmitAnswer>, ErrorAnswer> {
    let most = served.da.config().max_forced_bytes;
    let bytes = receive(&served, body, most).await?;
    let answer = included(served.da.force(namespace, bytes)?).await;
    crash::point("da.forced");
    answer
}

/// Reads a body within its size and time.
async fn receive(served: &Served, body: Body, most: usize) -> Result<Bytes, ErrorAnswer> {
    let _upload = served
        .uploads
        .try_acquire()
        .map_err(|_| DaError::Unavailable("too many uploads; try later".into()))?;
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(Bytes(bytes)),
        Ok(Err(_)) => Err(DaError::TooLarge { bytes: most + 1, most }.into()),
        Err(_) => Err(DaError::Unavailable("the body did not arrive in time".into()).into()),
    }
}

async fn included(included: Included) -> Result<Json<SubmitAnswer>, ErrorAnswer> {
    let da = included
        .await
        .map_err(|_| DaError::Unavailable("the service stopped; it may be included".into()))?;
    Ok(Json(SubmitAnswer { height: da.height, hash: da.hash }))
}
