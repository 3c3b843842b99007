//! `admin`, `sequencer` and `batcher`: what an operator asks of a node, and tells it.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, timeout};

use super::super::error::{RpcError, RpcResult};
use super::super::table::{Api, Args, Table};
use crate::node::{Control, LoopState, Switch};

/// Longest that an answer waits for a loop to stop, or for blocks to be posted.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at what was posted.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn register_admin(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("admin_nodeInfo", |api, _| Ok(node_info(api)))?;
    // Nodes meet on the DA layer; there is no network of peers.
    table.quick("admin_peers", |_, _| Ok(Vec::<Value>::new()))
}

pub(super) fn register_sequencer(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("sequencer_status", |api, _| sequencer(api))?;
    table.quick("sequencer_start", |api, args| {
        let switch = &control(api)?.sequencer;
        if let Some(expected) = args.option::<B256>(0, "latest hash")? {
            let latest = api.backend.chain().latest();
            if latest.hash != expected {
                return Err(RpcError::server(format!(
                    "not started: the newest block is {} ({}), not {expected}",
                    latest.hash, latest.number
                )));
            }
        }
        tracing::warn!("sequencer_start: block production goes on");
        switch.start();
        sequencer(api)
    })?;
    table.waiting("sequencer_stop", |api: Arc<Api>, _| async move {
        stop(&control(&api)?.sequencer).await;
        sequencer(&api)
    })
}

pub(super) fn register_batcher(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("batcher_status", |api, _| batcher(api))?;
    table.quick("batcher_start", |api, _| {
        tracing::warn!("batcher_start: posting goes on");
        control(api)?.publisher.switch.start();
        batcher(api)
    })?;
    table.waiting("batcher_stop", |api: Arc<Api>, _| async move {
        stop(&control(&api)?.publisher.switch).await;
        batcher(&api)
    })?;
    table.waiting("batcher_flush", |api: Arc<Api>, _: Args| flush(api))
}

/// Nothing of a full node can be stopped.
fn control(api: &Api) -> RpcResult<&Control> {
    api.backend.control().ok_or_else(|| {
        RpcError::unsupported("this node builds and posts no blocks: run it with --role sequencer")
    })
}

/// Until it stands still, or has been waited for long enough: the answer says which.
async fn stop(switch: &Switch) {
    switch.stop();
    let _ = timeout(PATIENCE, switch.stopped()).await;
}

fn sequencer(api: &Api) -> RpcResult<Value> {
    let state = control(api)?.sequencer.state();
    let status = api.backend.status().sequencer;
    let latest = api.backend.chain().latest();
    Ok(json!({
        "state": state.as_str(),
        "mode": status.mode,
        "leader": status.leader,
        "paused": status.paused,
        "latest": { "number": latest.number, "hash": latest.hash },
    }))
}

fn batcher(api: &Api) -> RpcResult<Value> {
    let publisher = &control(api)?.publisher;
    let chain = api.backend.chain();
    let (latest, safe, posted) = (chain.latest(), chain.safe(), publisher.posted());
    Ok(json!({
        "state": publisher.switch.state().as_str(),
        "latest": latest.number,
        "safe": safe.number,
        "posted": posted.map(|posted| json!({
            "number": posted.last.number,
            "hash": posted.last.hash,
            "da": { "height": posted.da.height, "hash": posted.da.hash },
        })),
        "waiting": latest.number - posted_up_to(api)?.min(latest.number),
    }))
}

/// Number up to which blocks are on DA, or on their way there.
fn posted_up_to(api: &Api) -> RpcResult<u64> {
    let safe = api.backend.chain().safe().number;
    let posted = control(api)?.publisher.posted();
    Ok(posted.map_or(safe, |posted| posted.last.number.max(safe)))
}

/// Posts at once what is sealed now; answers when the layer took it.
async fn flush(api: Arc<Api>) -> RpcResult<Value> {
    let publisher = &control(&api)?.publisher;
    let goal = api.backend.chain().latest().number;
    let deadline = Instant::now() + PATIENCE;
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        if posted_up_to(&api)? >= goal {
            return batcher(&api);
        }
        if publisher.switch.state() != LoopState::Running {
            return Err(RpcError::server("posting is stopped: batcher_start starts it"));
        }
        if Instant::now() >= deadline {
            return Err(RpcError::server(format!(
                "posted up to block {} of {goal} within {} s; the rest waits for the DA layer, see \
                 rollup_health",
                posted_up_to(&api)?,
                PATIENCE.as_secs(),
            )));
        }
        publisher.hurry();
    }
}

/// In geth's shape, as far as a node without peers has it.
fn node_info(api: &Api) -> Value {
    let (spec, chain) = (api.backend.spec(), api.backend.chain());
    let genesis = chain.header(0).ok().flatten().map(|header| header.hash_slow());
    json!({
        "id": spec.identity(),
        "name": api.config.client_version,
        "enode": null,
        "ip": null,
        "listenAddr": null,
        "ports": {},
        "protocols": { "rollup": {
            "network": spec.chain_id,
            "genesis": genesis,
            "head": chain.latest().hash,
            "identity": spec.identity(),
            "rulesHash": spec.rules_hash(api.backend.now_ms()),
        } },
    })
}
