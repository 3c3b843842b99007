//! Entries of the forced lane, sent to the portal from this node's account.
//!
//! Any user can do the same with any wallet: `forceTransaction(bytes)` of the portal.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U64};
use alloy_signer::SignerSync;
use alloy_sol_types::SolCall;
use causeway_chainspec::l1::forceTransactionCall;
use serde_json::json;
use tokio::time::Instant;

use super::fees::Bid;
use super::poster::{Poster, is_known};
use crate::DaError;

/// Most bytes of an entry: pools take transactions of 128 KiB.
const MOST_BYTES: usize = 120_000;

impl Poster {
    /// Calls the portal with an entry, and waits until it is in a block.
    pub(super) async fn force(&self, portal: Address, entry: Bytes) -> Result<(), DaError> {
        if entry.len() > MOST_BYTES {
            return Err(DaError::TooLarge { bytes: entry.len(), most: MOST_BYTES });
        }
        // Pools take no other transaction of an account that has one with blobs waiting.
        let (_alone, nonce) = self.free_nonce().await?;
        let input: Bytes = forceTransactionCall { data: entry }.abi_encode().into();
        let call = json!([{ "from": self.address(), "to": portal, "input": input }]);
        let gas: U64 = self.rpc.ask("eth_estimateGas", call).await?;
        let quote = self.rpc.quote().await?;
        let bid = Bid::first(&quote, &self.caps).map_err(DaError::Unavailable)?;
        let tx = TxEip1559 {
            chain_id: self.rpc.chain_id(),
            nonce,
            gas_limit: gas.to::<u64>().saturating_mul(5) / 4,
            max_fee_per_gas: bid.max_fee,
            max_priority_fee_per_gas: bid.tip,
            to: TxKind::Call(portal),
            input,
            ..TxEip1559::default()
        };
        let signature = self
            .key
            .sign_hash_sync(&tx.signature_hash())
            .map_err(|error| DaError::Refused(format!("signing: {error}")))?;
        let signed = tx.into_signed(signature);
        let (hash, began) = (*signed.hash(), Instant::now());
        match self.rpc.publish(&signed.encoded_2718().into()).await? {
            Err(message) if !is_known(&message) => return Err(DaError::Unavailable(message)),
            _ => {}
        }
        loop {
            match self.rpc.landed(hash).await? {
                Some(receipt) if receipt.status == U64::from(1) => return Ok(()),
                Some(_) => {
                    let text = format!("the portal {portal} refused the entry in {hash}");
                    return Err(DaError::Refused(text));
                }
                None if began.elapsed() > self.caps.patience => {
                    let text = format!("{hash} is in no block yet");
                    return Err(DaError::Unavailable(text));
                }
                None => tokio::time::sleep(self.poll).await,
            }
        }
    }
}
