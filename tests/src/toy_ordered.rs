//! A toy sequencer without a leader: the DA layer's order says when a block is and what it tries.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use async_trait::async_trait;
use causeway_chainspec::{Claim, Clock, Seal, SealContext};
use causeway_consensus::{
    BuildRequest, Chain, ChainError, ConsensusError, Proposal, SealError, Sequencer,
    SequencerStatus, Verdict,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// DA blocks that carry something, in order: their time and their candidates. One block each.
pub type Order = watch::Sender<Vec<(u64, Vec<Bytes>)>>;

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
        let mut heads = chain.heads();
        loop {
            let latest = heads.borrow_and_update().latest;
            let next = order.borrow_and_update().get(latest.number as usize).cloned();
            let Some((time_ms, candidates)) = next else {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(()),
                    _ = order.changed() => continue,
                    _ = heads.changed() => continue,
                }
            };
            if stop.is_cancelled() {
                return Ok(());
            }
            match make(chain.as_ref(), latest.claim, time_ms, candidates).await {
                // Derivation moved the head in between: read it again.
                Ok(()) | Err(ChainError::UnknownParent(_) | ChainError::Paused(_)) => {}
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

/// Makes the block of one DA block on `parent`. The node's own draft says all that does not come
/// from DA (number, term, cut); the candidates are put in, and the result is judged like
/// anybody's.
async fn make(
    chain: &dyn Chain,
    parent: B256,
    time_ms: u64,
    candidates: Vec<Bytes>,
) -> Result<(), ChainError> {
    let request = BuildRequest { parent, time_ms, budget_ms: u64::MAX };
    let draft = chain.build(request).await?;
    let (mut claim, mut body) = (draft.plan.claim.clone(), draft.plan.body.clone());
    body.candidates = candidates;
    claim.candidates_root = body.candidates_root();
    match chain.verify(parent, &Proposal { claim, body }).await {
        Verdict::Valid(block) => {
            let proof = block.claim_hash.to_vec().into();
            chain.commit(block.claim_hash, Seal { view: 0, proof }).await
        }
        Verdict::Withhold(reason) => Err(ChainError::Paused(reason)),
        Verdict::Invalid(reason) => Err(ChainError::Fatal(reason)),
    }
}
