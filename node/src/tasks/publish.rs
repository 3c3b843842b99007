//! Posts sealed blocks to DA. Its cursor is the derived safe head, never an inclusion receipt.

use std::sync::Arc;
use std::time::Duration;

use causeway_chainspec::{DaRef, Span, crash};
use causeway_da::DaError;
use causeway_da::codec::{self, EncodeOptions};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::{MOST_BACKOFF, longer, pause};
use crate::node::{Node, NodeError, Posted};

const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// Longest pause between two looks at derivation.
const LOOK: Duration = Duration::from_millis(100);

/// Claims and bodies of one span, before compression.
const SPAN_BYTES: usize = 4 * 1024 * 1024;

/// Runs until `stop`. Nothing is posted that is expired, and no range twice in one term as long as
/// the layer puts what it was given into its next block: after a start, and after a submission that
/// nobody answered, the DA block after the newest is derived first. If the layer is slower, the range
/// is posted again, which is harmless. Stopped by an operator it ends the post under way; started again
/// it does as after a start.
pub(super) async fn run(node: Arc<Node>, stop: CancellationToken) -> Result<(), NodeError> {
    let Some(key) = node.poster_key().cloned() else {
        return Err(NodeError::Task(
            "a sequencer needs the poster's key: give --poster-key FILE".into(),
        ));
    };
    let interval = Duration::from_millis(node.spec().da.interval_ms.clamp(10, 60_000) / 2);
    let mut posted: Option<Posted> = None;
    // The DA height below which something of ours may be that we do not know of; None: not asked yet.
    let mut unknown: Option<u64> = None;
    let mut most_bytes = SPAN_BYTES;
    let mut backoff = FIRST_BACKOFF;
    let publisher = &node.control().publisher;
    let mut busy = publisher.switch.busy();
    while !stop.is_cancelled() {
        if node.halted().is_some() {
            drop(busy);
            stop.cancelled().await;
            return Ok(());
        }
        if !publisher.switch.is_on() {
            drop(busy);
            warn!("posting to the da layer was stopped by its operator; blocks wait");
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = publisher.switch.turned(true) => {}
            }
            busy = publisher.switch.busy();
            unknown = None;
        }
        let derived = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            derived = is_derived(&node, &mut unknown) => derived,
        };
        if !derived {
            rest(&node, &stop, interval.min(LOOK)).await;
            continue;
        }
        posted = posted.filter(|posted| still_ahead(&node, posted));
        // Before the snapshot: what is made of it is made of no less than was derived up to here.
        let derived = node.cursor().map(|cursor| cursor.da);
        // Of the pipeline, which learns of it before the cursor moves: the heads lag behind both.
        let safe = node.pipeline().snapshot().safe().number;
        let from = posted.map_or(safe, |posted| posted.last.number) + 1;
        let Some(span) = node.span_from(from, most_bytes)? else {
            rest(&node, &stop, interval).await;
            continue;
        };
        crash::point("publish.encode");
        let last = span.blocks.last().map(|block| block.claim.number).unwrap_or_default();
        let submitted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = outdated(&node, &span) => {
                debug!(from, to = last, "a span is not worth its post any more");
                continue;
            }
            submitted = submit(&node, &span, &key, derived) => submitted,
        };
        let metrics = node.metrics();
        if submitted.is_ok() { &metrics.posts } else { &metrics.failed_posts }.add(1);
        match submitted {
            Ok(da) => {
                debug!(from, to = last, height = da.height, "posted a span");
                let id = node.pipeline().snapshot().id(last)?;
                posted = id.map(|last| Posted { last, da });
                publisher.note(posted);
                crash::point("publish.noted");
                backoff = FIRST_BACKOFF;
                most_bytes = (most_bytes * 2).min(SPAN_BYTES);
                rest(&node, &stop, interval).await;
            }
            Err(error) if error.is_temporary() => {
                warn!(%error, retry_ms = backoff.as_millis() as u64, "posting failed; blocks wait");
                unknown = None;
                rest(&node, &stop, backoff).await;
                backoff = longer(backoff);
            }
            Err(DaError::TooLarge { bytes, most }) if span.blocks.len() > 1 => {
                debug!(bytes, most, "a span is too large; cutting it in two");
                most_bytes = (most_bytes / 2).max(1);
            }
            Err(error) => {
                // Blocks wait and building pauses before they expire: a person has that long.
                error!(%error, from, "the da layer does not take our blocks");
                rest(&node, &stop, MOST_BACKOFF).await;
            }
        }
    }
    Ok(())
}

/// Pauses, unless an operator wants something.
async fn rest(node: &Node, stop: &CancellationToken, duration: Duration) {
    let publisher = &node.control().publisher;
    tokio::select! {
        _ = pause(stop, duration) => {}
        () = publisher.hurried() => {}
        () = publisher.switch.turned(false) => {}
    }
}

/// Whether the DA block after the one that is the newest when this is asked first has been derived:
/// what was submitted before is in it, or below, or lost.
async fn is_derived(node: &Node, height: &mut Option<u64>) -> bool {
    if height.is_none() {
        // Derivation retries and warns while the layer does not answer.
        *height = node.da().heads().await.ok().map(|heads| heads.latest.height + 1);
    }
    let derived = node.cursor().map_or(0, |cursor| cursor.da.height);
    height.is_some_and(|height| derived >= height)
}

/// Whether the next span may follow what was posted: it is still our chain, and derivation has
/// not passed its DA block without making it safe.
fn still_ahead(node: &Node, posted: &Posted) -> bool {
    let snapshot = node.pipeline().snapshot();
    let ours = snapshot.id(posted.last.number).ok().flatten() == Some(posted.last);
    let safe = snapshot.safe().number;
    ours && safe < posted.last.number
        && node.cursor().is_some_and(|cursor| cursor.da.height < posted.da.height)
}

/// Waits until a post would be paid for nothing: the blocks left our chain, all are derived already,
/// or the first comes too late.
async fn outdated(node: &Node, span: &Span) {
    let (Some(first), Some(last)) = (span.blocks.first(), span.blocks.last()) else { return };
    let (number, hash) = (last.claim.number, last.claim.hash());
    loop {
        tokio::time::sleep(LOOK).await;
        let snapshot = node.pipeline().snapshot();
        let id = snapshot.id(number).ok().flatten();
        let ours = id.is_some_and(|id| id.claim == hash);
        let late = node.cursor().is_some_and(|cursor| first.claim.time_ms < cursor.floor_ms);
        if !ours || late || snapshot.safe().number >= number {
            return;
        }
    }
}

async fn submit(
    node: &Node,
    span: &Span,
    key: &alloy_signer_local::PrivateKeySigner,
    derived: Option<DaRef>,
) -> Result<DaRef, DaError> {
    let metrics = node.metrics();
    let _timer = metrics.publish.timer();
    let limits = node.da().limits().await?;
    let vm = &node.spec().vm;
    let options = EncodeOptions::default();
    let blobs = codec::encode(span, vm, key, &options, limits.max_blob_bytes)
        .map_err(|error| DaError::Refused(format!("encoding a span: {error}")))?;
    crash::point("publish.submit");
    let submitted = node.da().submit_after(&blobs, derived).await;
    crash::point("publish.submitted");
    if submitted.is_ok() {
        metrics.posted_bytes.add(blobs.iter().map(|blob| blob.len() as u64).sum());
    }
    submitted
}
