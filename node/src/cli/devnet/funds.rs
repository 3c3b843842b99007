//! Waiting for the coins that were on their way when the network began.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use causeway_chainspec::{Account, ChainSpec, StateReader};
use eyre::{bail, eyre};

use crate::node::Node;

/// How long the coins may take.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until everybody to whom the hub's block 0 sends coins has them, on every node. Tells on
/// standard error how far that is.
pub(super) async fn arrive(nodes: &[(String, Arc<Node>)]) -> eyre::Result<()> {
    let mut told = String::new();
    let waiting = async {
        loop {
            let missing = missing(nodes)?;
            if missing.iter().all(|(_, addresses)| addresses.is_empty()) {
                return Ok::<_, eyre::Report>(());
            }
            let now = progress(nodes, &missing);
            if now != told {
                eprintln!("waiting for funds from the hub: {now}");
                told = now;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(done) => done,
        Err(_) => {
            let lacking = report(&missing(nodes)?);
            bail!("the funds from the hub did not arrive in {} s:{lacking}", PATIENCE.as_secs())
        }
    }
}

type Missing<'a> = Vec<(&'a str, Vec<Address>)>;

fn missing(nodes: &[(String, Arc<Node>)]) -> eyre::Result<Missing<'_>> {
    let mut all = Vec::new();
    for (label, node) in nodes {
        let snapshot = node.pipeline().snapshot();
        let number = snapshot.latest().number;
        let state = snapshot.state(number)?;
        let state = state.ok_or_else(|| eyre!("{label} has no state after block {number}"))?;
        all.push((label.as_str(), without_funds(node.spec(), state.as_ref())?));
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

fn progress(nodes: &[(String, Arc<Node>)], missing: &Missing<'_>) -> String {
    let mut out = Vec::new();
    for ((label, node), (_, lacking)) in nodes.iter().zip(missing) {
        let all = recipients(node.spec()).count();
        if all > 0 {
            out.push(format!("{label} {} of {all}", all - lacking.len()));
        }
    }
    out.join(", ")
}

fn report(missing: &Missing<'_>) -> String {
    let mut out = String::new();
    for (label, addresses) in missing.iter().filter(|(_, addresses)| !addresses.is_empty()) {
        let addresses: Vec<_> = addresses.iter().map(Address::to_string).collect();
        let _ = write!(out, "\n  {label}: nothing for {}", addresses.join(", "));
    }
    out
}
