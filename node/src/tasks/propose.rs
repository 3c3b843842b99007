//! Says on the parent chain what the state of the chain is, so that what was sent there can be proven.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use causeway_bridge::l1::{nextBlockNumberCall, proposeL2OutputCall};
use causeway_chainspec::l1::bridge::output_root;
use causeway_da::DaError;
use causeway_da::ethereum::{Account, Call};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::pause;
use crate::node::{Node, NodeError};

/// Who proposes outputs.
pub struct Proposer {
    /// Pays, and is named for it by the system config.
    pub account: Account,
    /// The output oracle.
    pub oracle: Address,
    /// Time from one output to the next.
    pub every: Duration,
}

/// Runs until `stop`. Only final blocks are proposed, which this node derived itself: no reorg of the
/// parent makes an output wrong. What was proposed is asked of the parent, so a restart, or a second
/// proposer, says nothing twice. A failure is told and tried again at the next turn.
pub(super) async fn run(
    node: Arc<Node>,
    proposer: Proposer,
    stop: CancellationToken,
) -> Result<(), NodeError> {
    while !stop.is_cancelled() {
        let turn = tokio::select! {
            turn = turn(&node, &proposer) => turn,
            () = stop.cancelled() => break,
        };
        match turn {
            Ok(Some((number, root))) => info!(number, %root, "proposed an output"),
            Ok(None) => {}
            Err(error) if error.is_temporary() => warn!(%error, "an output waits"),
            Err(error) => error!(%error, "the parent chain does not take our output"),
        }
        pause(&stop, proposer.every).await;
    }
    Ok(())
}

/// Proposes the newest final block, if it is one that can be.
async fn turn(node: &Node, proposer: &Proposer) -> Result<Option<(u64, B256)>, DaError> {
    let Proposer { account, oracle, .. } = proposer;
    if node.halted().is_some() {
        return Ok(None);
    }
    let next = account.chain().read(*oracle, &nextBlockNumberCall {}.abi_encode().into()).await?;
    let next = nextBlockNumberCall::abi_decode_returns(&next)
        .map_err(|error| DaError::Damaged(format!("the output oracle {oracle}: {error}")))?;
    let snapshot = node.pipeline().snapshot();
    let number = snapshot.finalized().number;
    if number == 0 || U256::from(number) < next {
        return Ok(None);
    }
    let header = snapshot.header(number).map_err(|error| DaError::Storage(error.to_string()))?;
    let Some(header) = header else { return Ok(None) };
    let root = output_root(&header, header.hash_slow());
    let input = proposeL2OutputCall {
        outputRoot: root,
        l2BlockNumber: U256::from(number),
        l1BlockHash: B256::ZERO,
        l1BlockNumber: U256::ZERO,
    };
    let input = input.abi_encode().into();
    let call = Call { to: *oracle, value: U256::ZERO, input, most_wei: None };
    account.call(&call, |_| Ok(())).await?;
    Ok(Some((number, root)))
}
