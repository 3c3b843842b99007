//! `eth`: transactions on their way in.

use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::Transaction;
use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::Index;
use causeway_chainspec::crash;
use jsonrpsee::core::RegisterMethodError;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::error::{RpcError, RpcResult};
use super::eth_blocks::receipt;
use super::eth_fill::next_nonce;
use super::json::ReceiptJson;
use super::table::{Api, Args, Table};

/// How long `eth_sendRawTransactionSync` waits unless asked otherwise (EIP-7966).
const SYNC_WAIT: Duration = Duration::from_secs(2);
/// The longest it waits.
const MAX_SYNC_WAIT: Duration = Duration::from_secs(30);

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.waiting("eth_sendRawTransaction", send)?;
    table.waiting("eth_sendRawTransactionSync", send_sync)
}

async fn send(api: Arc<Api>, args: Args) -> RpcResult<B256> {
    let hash = api.backend.submit(args.need::<Bytes>(0, "transaction")?).await?;
    crash::point("answer.send");
    Ok(hash)
}

/// EIP-7966: answers with the receipt once the transaction is in a block.
async fn send_sync(api: Arc<Api>, args: Args) -> RpcResult<ReceiptJson> {
    let raw: Bytes = args.need(0, "transaction")?;
    // The EIP has an invalid timeout fall back to the default.
    let asked = args.option::<Index>(1, "timeout in ms").ok().flatten();
    let asked = asked.map(|ms| Duration::from_millis(ms.0 as u64)).filter(|ms| !ms.is_zero());
    let limit = asked.unwrap_or(SYNC_WAIT).min(MAX_SYNC_WAIT);
    // Before it is sent, so that the block which takes it cannot be missed.
    let mut blocks = api.backend.new_blocks();
    let hash = api.backend.submit(raw).await?;
    let included = async {
        loop {
            if let Some(receipt) = receipt(&api, hash)? {
                crash::point("answer.sync");
                return Ok(receipt);
            }
            if let Err(RecvError::Closed) = blocks.recv().await {
                return Err(RpcError::internal("the node is stopping"));
            }
        }
    };
    match timeout(limit, included).await {
        Ok(result) => result,
        Err(_) => Err(late(&api, hash, limit)?),
    }
}

/// Why a transaction is in no block yet: it waits for an earlier nonce, or only for its turn.
fn late(api: &Api, hash: B256, limit: Duration) -> RpcResult<RpcError> {
    if let Some(tx) = api.backend.pending_tx(hash) {
        let next = next_nonce(api, tx.sender)?;
        if next < tx.envelope.nonce() {
            return Ok(RpcError::not_ready(next, limit));
        }
    }
    Ok(RpcError::not_in_time(hash, limit))
}
