//! Waiting until a network has begun: its coins have arrived, and every lane is open.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use causeway_bridge::metalayer::view;
use causeway_chainspec::mailbox::LaneStatus;
use causeway_chainspec::{Account, ChainSpec, StateReader};
use eyre::{bail, eyre};

use crate::node::Node;

/// How long the coins may take.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until everybody to whom the hub's block 0 sends coins has them, on every node, and no lane
/// waits for its first anchor. Tells on standard error how far that is.
pub(super) async fn arrive(nodes: &[(String, Arc<Node>)]) -> eyre::Result<()> {
    let mut told = String::new();
    let waiting = async {
        loop {
            let missing = missing(nodes)?;
            if missing.iter().all(Lacking::nothing) {
                return Ok::<_, eyre::Report>(());
            }
            let now = progress(nodes, &missing);
            if now != told {
                eprintln!("waiting for the network to begin: {now}");
                told = now;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(done) => done,
        Err(_) => {
            let lacking = report(&missing(nodes)?);
            bail!("the network did not begin in {} s:{lacking}", PATIENCE.as_secs())
        }
    }
}

/// What a node lacks.
struct Lacking<'a> {
    label: &'a str,
    /// Accounts without their coins.
    funds: Vec<Address>,
    /// Members to which nothing can be sent yet.
    lanes: Vec<String>,
}

impl Lacking<'_> {
    fn nothing(&self) -> bool {
        self.funds.is_empty() && self.lanes.is_empty()
    }
}

fn missing(nodes: &[(String, Arc<Node>)]) -> eyre::Result<Vec<Lacking<'_>>> {
    let mut all = Vec::new();
    let here: Vec<u32> = nodes.iter().map(|(_, node)| node.spec().metalayer.domain).collect();
    for (label, node) in nodes {
        let snapshot = node.pipeline().snapshot();
        let number = snapshot.latest().number;
        let state = snapshot.state(number)?;
        let state = state.ok_or_else(|| eyre!("{label} has no state after block {number}"))?;
        let funds = without_funds(node.spec(), state.as_ref())?;
        let stalled = view::members(state.as_ref())?.into_iter();
        // A member from elsewhere may take its time.
        let stalled = stalled
            .filter(|member| member.status == LaneStatus::Stalled && here.contains(&member.domain));
        let lanes = stalled.map(|member| member.name).collect();
        all.push(Lacking { label, funds, lanes });
    }
    Ok(all)
}

/// Who got coins on a chain from block 0 of the hub.
fn recipients(spec: &ChainSpec) -> impl Iterator<Item = Address> {
    let seed = spec.metalayer.directory.iter();
    let transfers = seed.flat_map(|seed| &seed.transfers);
    let here = transfers.filter(|transfer| transfer.to == spec.metalayer.domain);
    here.map(|transfer| transfer.recipient)
}

/// Those who have nothing and never had: who sent something has spent it.
fn without_funds(spec: &ChainSpec, state: &dyn StateReader) -> eyre::Result<Vec<Address>> {
    // Where the hub's coin is a token, the accounts' funds were there from the start.
    let mut missing = Vec::new();
    for address in recipients(spec) {
        let Account { balance, nonce, .. } = state.account(address)?.unwrap_or_default();
        if balance.is_zero() && nonce == 0 {
            missing.push(address);
        }
    }
    Ok(missing)
}

fn progress(nodes: &[(String, Arc<Node>)], missing: &[Lacking<'_>]) -> String {
    let mut out = Vec::new();
    for ((label, node), lacking) in nodes.iter().zip(missing) {
        let all = recipients(node.spec()).count();
        if all > 0 && !lacking.funds.is_empty() {
            out.push(format!("{label} has funds for {} of {all}", all - lacking.funds.len()));
        }
    }
    let closed: usize = missing.iter().map(|lacking| lacking.lanes.len()).sum();
    if closed > 0 {
        out.push(format!("{closed} lanes to open"));
    }
    out.join(", ")
}

fn report(missing: &[Lacking<'_>]) -> String {
    let mut out = String::new();
    for Lacking { label, funds, lanes } in missing.iter().filter(|lacking| !lacking.nothing()) {
        if !funds.is_empty() {
            let funds: Vec<_> = funds.iter().map(Address::to_string).collect();
            let _ = write!(out, "\n  {label}: nothing for {}", funds.join(", "));
        }
        if !lanes.is_empty() {
            let _ = write!(out, "\n  {label}: no lane to {}", lanes.join(", "));
        }
    }
    out
}
