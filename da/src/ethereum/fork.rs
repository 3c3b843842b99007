//! What the parent chain's fork lets in, and what it asks for, read from the chain.

use std::time::Duration;

use alloy_consensus::Header;
use alloy_eips::eip1559::BaseFeeParams;
use alloy_eips::eip7594::MAX_BLOBS_PER_TX_FUSAKA;
use alloy_primitives::{B256, U128};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fees::Quote;
use super::kzg::Proofs;
use super::rpc::{Node, Rpc};
use super::sources::Fault;
use crate::DaError;

/// A fork is announced long before: asked again after this.
const FRESH: Duration = Duration::from_secs(60);
/// A tip where the node does not say what proposers want, in wei.
const TIP: u128 = 1_000_000_000;

/// Rules for blob transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rules {
    proofs: Proofs,
    /// Most blobs of a transaction.
    blobs: u64,
}

impl Default for Rules {
    /// Osaka: the rules where a node does not tell them.
    fn default() -> Self {
        Self { proofs: Proofs::Cells, blobs: MAX_BLOBS_PER_TX_FUSAKA }
    }
}

impl Rules {
    /// By the answer to `eth_config` (EIP-7910).
    fn of(config: &Value) -> Self {
        let current = &config["current"];
        let default = Self::default();
        // EIP-7951, which came with EIP-7594 in Osaka.
        let osaka = current["precompiles"]["P256VERIFY"].is_string();
        let most = current["blobSchedule"]["max"].as_u64().unwrap_or(default.blobs);
        match osaka {
            true => Self { blobs: most.min(MAX_BLOBS_PER_TX_FUSAKA), ..default },
            false => Self { proofs: Proofs::Blob, blobs: most },
        }
    }
}

/// The rules, asked for now and then; settings go before them.
#[derive(Debug)]
pub(super) struct Fork {
    proofs: Option<Proofs>,
    max_blobs: Option<u64>,
    known: Mutex<Option<(Instant, Rules)>>,
}

impl Fork {
    /// With what the settings fix.
    pub(super) fn new(proofs: Option<Proofs>, max_blobs: Option<u64>) -> Self {
        Self { proofs, max_blobs, known: Mutex::new(None) }
    }

    async fn rules(&self, rpc: &Rpc) -> Result<Rules, DaError> {
        let known = *self.known.lock();
        if let Some((at, rules)) = known
            && at.elapsed() < FRESH
        {
            return Ok(rules);
        }
        let ask = |node| {
            Box::pin(async move {
                match rpc.call::<Value>(node, "eth_config", json!([])).await {
                    Ok(config) => Ok(Rules::of(&config)),
                    // Nodes from before EIP-7910.
                    Err(Fault::Refused { .. }) => Ok(Rules::default()),
                    Err(fault) => Err(fault),
                }
            }) as _
        };
        let rules = rpc.nodes.first(ask).await?;
        *self.known.lock() = Some((Instant::now(), rules));
        Ok(rules)
    }

    /// Which proofs go with blobs.
    pub(super) async fn proofs(&self, rpc: &Rpc) -> Result<Proofs, DaError> {
        match self.proofs {
            Some(proofs) => Ok(proofs),
            None => Ok(self.rules(rpc).await?.proofs),
        }
    }

    /// Most blobs of a transaction.
    pub(super) async fn max_blobs(&self, rpc: &Rpc) -> Result<usize, DaError> {
        let most = self.rules(rpc).await?.blobs;
        let most = self.max_blobs.map_or(most, |set| set.min(most));
        Ok(usize::try_from(most).unwrap_or(usize::MAX))
    }
}

impl Rpc {
    /// Prices now.
    pub(super) async fn quote(&self) -> Result<Quote, DaError> {
        self.nodes.first(|node| Box::pin(self.quote_of(node))).await
    }

    async fn quote_of(&self, node: &Node) -> Result<Quote, Fault> {
        let header = self.header(node, json!("latest")).await?;
        let (_, header) = header.ok_or_else(|| Fault::Wrong("there is no newest block".into()))?;
        let base_fee = header.next_block_base_fee(BaseFeeParams::ethereum()).unwrap_or_default();
        let blob_fee: U128 = self.call(node, "eth_blobBaseFee", json!([])).await?;
        let tip = match self.call::<U128>(node, "eth_maxPriorityFeePerGas", json!([])).await {
            Ok(tip) => tip.to(),
            Err(Fault::Refused { .. }) => TIP,
            Err(fault) => return Err(fault),
        };
        Ok(Quote {
            height: header.number,
            time: header.timestamp,
            base_fee: base_fee.into(),
            tip,
            blob_fee: blob_fee.to(),
        })
    }

    /// The newest header.
    pub(super) async fn newest(&self) -> Result<Option<(B256, Header)>, DaError> {
        self.nodes.first(|node| Box::pin(self.header(node, json!("latest")))).await
    }

    /// The header at a height, as far as any node has it.
    pub(super) async fn at(&self, height: u64) -> Result<Option<(B256, Header)>, DaError> {
        let at = json!(format!("{height:#x}"));
        let at = &at;
        self.nodes.first(move |node| Box::pin(self.header(node, at.clone()))).await
    }

    /// The hash of the block at a height.
    pub(super) async fn hash_at(&self, height: u64) -> Result<Option<B256>, DaError> {
        Ok(self.at(height).await?.map(|(hash, _)| hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fork_decides_proofs_and_blobs() {
        let config = |max: u64, precompiles: Value| {
            Rules::of(&json!({
                "current": { "blobSchedule": { "max": max, "target": 6 }, "precompiles": precompiles }
            }))
        };
        let osaka = json!({ "P256VERIFY": "0x0000000000000000000000000000000000000100" });
        assert_eq!(config(21, osaka.clone()), Rules { proofs: Proofs::Cells, blobs: 6 });
        assert_eq!(config(3, osaka), Rules { proofs: Proofs::Cells, blobs: 3 });
        assert_eq!(config(9, json!({})), Rules { proofs: Proofs::Blob, blobs: 9 });
    }
}
