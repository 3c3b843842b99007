//! Says on the parent chain what the state of the chain is, so that what was sent there can be proven; and
//! looks at what others said.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use causeway_bridge::l1::{
    getL2OutputCall, getL2OutputReturn, l2OracleCall, latestOutputIndexCall, nextBlockNumberCall,
    proposeL2OutputCall,
};
use causeway_chainspec::l1::bridge::output_root;
use causeway_da::DaError;
use causeway_da::ethereum::{Account, Call};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{longer, pause};
use crate::node::{Node, NodeError};

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Blocks of the parent whose hashes the oracle can look up, with a margin.
const HASHES: u64 = 200;

/// Who proposes outputs.
pub struct Proposer {
    /// Pays, and is named for it by the system config.
    pub account: Account,
    /// The portal, which knows the output oracle.
    pub portal: Address,
    /// Time from one output to the next.
    pub every: Duration,
}

/// Runs until `stop`. Only blocks are proposed that are final and verified, and the output counts only on
/// the branch of the parent that this node derived. The oracle tells what was proposed and when, so a
/// restart, or a second proposer, says nothing twice and nothing too soon. What fails is tried again.
pub(super) async fn run(
    node: Arc<Node>,
    proposer: Proposer,
    stop: CancellationToken,
) -> Result<(), NodeError> {
    let mut backoff = FIRST_BACKOFF;
    while !stop.is_cancelled() {
        let turn = tokio::select! {
            turn = turn(&node, &proposer) => turn,
            () = stop.cancelled() => break,
        };
        let rest = match turn {
            Ok(proposed) => {
                if let Some((number, root)) = proposed {
                    info!(number, %root, "proposed an output");
                }
                backoff = FIRST_BACKOFF;
                // Shorter than the time between outputs, so that one is not late by as long again.
                proposer.every / 4
            }
            Err(error) => {
                if error.is_temporary() {
                    warn!(%error, "an output waits");
                } else {
                    error!(%error, "the parent chain does not take our output");
                }
                backoff = longer(backoff);
                backoff
            }
        };
        pause(&stop, rest).await;
    }
    Ok(())
}

/// Proposes the newest block that can be, if it is time.
async fn turn(node: &Node, proposer: &Proposer) -> Result<Option<(u64, B256)>, DaError> {
    let Proposer { account, portal, every } = proposer;
    if node.halted().is_some() {
        return Ok(None);
    }
    let chain = account.chain();
    if chain.code(*portal).await?.is_empty() {
        let text = format!("the parent has no portal at {portal} yet: `causeway deploy apply`");
        return Err(DaError::Unavailable(text));
    }
    let oracle = ask(account, *portal, l2OracleCall {}).await?;
    let index = ask(account, oracle, latestOutputIndexCall {}).await?;
    let newest = ask(account, oracle, getL2OutputCall { index }).await?;
    judge(node, &newest)?;
    let said_at = u64::try_from(newest.timestamp).unwrap_or(u64::MAX);
    let soon = said_at.saturating_add(every.as_secs()) > chain.time().await?;
    if soon && !newest.outputRoot.is_zero() {
        return Ok(None);
    }
    let next = ask(account, oracle, nextBlockNumberCall {}).await?;
    let number = settled(node);
    if number == 0 || U256::from(number) < next {
        return Ok(None);
    }
    let Some(root) = root_of(node, number)? else { return Ok(None) };
    // Within reach of the oracle it counts on this branch of the parent alone.
    let derived = node.cursor().map(|cursor| cursor.da);
    let recent = chain.height().await?.saturating_sub(HASHES);
    let derived = derived.filter(|da| da.height > recent).unwrap_or_default();
    let input = proposeL2OutputCall {
        outputRoot: root,
        l2BlockNumber: U256::from(number),
        l1BlockHash: derived.hash,
        l1BlockNumber: U256::from(derived.height),
    };
    let input = input.abi_encode().into();
    let call = Call { to: oracle, value: U256::ZERO, input, most_wei: None };
    account.call(&call, |_| Ok(())).await?;
    Ok(Some((number, root)))
}

/// The newest block that is final, and of which what it says of other members was verified.
fn settled(node: &Node) -> u64 {
    let finalized = node.pipeline().snapshot().finalized().number;
    match node.verified_head() {
        Some((verified, _)) => finalized.min(verified.number),
        None => finalized,
    }
}

fn root_of(node: &Node, number: u64) -> Result<Option<B256>, DaError> {
    let header = node.pipeline().snapshot().header(number);
    let header = header.map_err(|error| DaError::Storage(error.to_string()))?;
    Ok(header.map(|header| output_root(&header, header.hash_slow())))
}

/// Cries out if an output is not what this node has: its owner can delete it as long as it is challenged.
fn judge(node: &Node, output: &getL2OutputReturn) -> Result<(), DaError> {
    let number = u64::try_from(output.l2BlockNumber).unwrap_or(u64::MAX);
    if output.outputRoot.is_zero() {
        return Ok(());
    }
    let (snapshot, root) = (node.pipeline().snapshot(), output.outputRoot);
    if number > snapshot.latest().number {
        error!(number, %root, latest = snapshot.latest().number,
            "an output on the parent chain is of a block that there is not: its owner must delete it");
    } else if number > snapshot.finalized().number {
        debug!(number, %root, "an output is of a block that is not final");
    } else if let Some(expected) = root_of(node, number)?
        && expected != root
    {
        error!(number, %root, %expected,
            "an output on the parent chain is wrong: its owner must delete it");
    }
    Ok(())
}

async fn ask<C: SolCall>(account: &Account, of: Address, call: C) -> Result<C::Return, DaError> {
    let answer = account.chain().read(of, &call.abi_encode().into()).await?;
    C::abi_decode_returns(&answer)
        .map_err(|error| DaError::Damaged(format!("{} of {of}: {error}", C::SIGNATURE)))
}
