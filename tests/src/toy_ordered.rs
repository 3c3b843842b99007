//! A toy sequencer without a leader: the DA layer's order says when the next block is.

use std::sync::Arc;

use async_trait::async_trait;
use causeway_chainspec::{Claim, Clock, Seal, SealContext};
use causeway_consensus::{
    BuildRequest, Chain, ChainError, ConsensusError, SealError, Sequencer, SequencerStatus,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Times of the DA blocks that carry something, in order: one block each.
pub type Order = watch::Sender<Vec<u64>>;

/// Follows an [`Order`]. Nobody signs: a seal is the claim's own hash.
pub struct ToyOrdered {
    order: Arc<Order>,
}

impl ToyOrdered {
    /// One member.
    pub fn new(order: Arc<Order>) -> Self {
        Self { order }
    }
}

#[async_trait]
impl Sequencer for ToyOrdered {
    async fn run(
        &self,
        chain: Arc<dyn Chain>,
        _: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Result<(), ConsensusError> {
        let mut order = self.order.subscribe();
        let heads = chain.heads();
        loop {
            let latest = heads.borrow().latest;
            let next = order.borrow_and_update().get(latest.number as usize).copied();
            let Some(time_ms) = next else {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    _ = order.changed() => continue,
                }
            };
            if stop.is_cancelled() {
                return Ok(());
            }
            let request = BuildRequest { parent: latest.claim, time_ms, deadline_ms: u64::MAX };
            let made = async {
                let block = chain.build(request).await?;
                let proof = block.claim_hash.to_vec().into();
                chain.commit(block.claim_hash, Seal { view: 0, proof }).await
            };
            match made.await {
                // Derivation moved the head in between: read it again.
                Ok(()) | Err(ChainError::UnknownParent(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn verify(&self, _: &SealContext, claim: &Claim, seal: &Seal) -> Result<(), SealError> {
        let good = seal.view == 0 && seal.proof.as_ref() == claim.hash().as_slice();
        if good { Ok(()) } else { Err(SealError::Malformed("not the claim's hash")) }
    }

    fn status(&self) -> SequencerStatus {
        SequencerStatus { mode: "toy-ordered", leader: false, paused: None }
    }
}
