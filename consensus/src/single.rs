//! `single`: one key builds every block.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, Signature};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use async_trait::async_trait;
use causeway_chainspec::{Block, ChainSpec, Claim, Clock, Seal, SealContext, SealTuple, crash};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    BuildRequest, Chain, ChainError, ConsensusError, SealError, Sequencer, SequencerStatus,
};

#[cfg(test)]
mod tests;

/// Shortest time between two blocks, ms.
pub const MIN_BLOCK_TIME_MS: u64 = 10;
/// First and longest wait after a refusal, ms; each is twice the one before.
const RETRY_MS: (u64, u64) = (50, 1_600);

/// Opens it. `[sequencer.single]` has no options. Without a key it verifies only; a key that is
/// in none of the chain's key sets is an error.
pub fn open(
    spec: &ChainSpec,
    key: Option<PrivateKeySigner>,
) -> Result<Arc<dyn Sequencer>, ConsensusError> {
    if let Some(option) = spec.sequencer.options.keys().next() {
        return Err(ConsensusError::Config(format!(
            "[sequencer.single] has no option {option:?}: remove it"
        )));
    }
    if let Some(key) = &key {
        let address = key.address();
        let known: Vec<_> = spec.sequencer.keys.iter().flat_map(|change| &change.keys).collect();
        if !known.contains(&&address) {
            return Err(ConsensusError::Config(format!(
                "the key given is of {address}, but the chain's sequencer keys are {known:?}: \
                 give the key of one of them, or none to follow the chain"
            )));
        }
    }
    let status = SequencerStatus { mode: "single", leader: key.is_some(), paused: None };
    Ok(Arc::new(Single {
        identity: spec.identity(),
        block_time_ms: spec.sequencer.block_time_ms.max(MIN_BLOCK_TIME_MS),
        idle_ms: spec.sequencer.idle_ms,
        key,
        status: Mutex::new(status),
    }))
}

struct Single {
    identity: B256,
    block_time_ms: u64,
    idle_ms: u64,
    key: Option<PrivateKeySigner>,
    status: Mutex<SequencerStatus>,
}

/// What the loop carries from block to block.
struct Pace {
    /// When the last attempt began, ms.
    last_ms: u64,
    /// Something waits that the last block had no room or no time for.
    hungry: bool,
    /// Wait after the next refusal, ms.
    retry_ms: u64,
}

#[async_trait]
impl Sequencer for Single {
    async fn run(
        &self,
        chain: Arc<dyn Chain>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Result<(), ConsensusError> {
        let Some(key) = &self.key else {
            return Err(ConsensusError::Config("no key: this node can only verify".to_owned()));
        };
        let mut waiting = chain.waiting();
        let mut heads = chain.heads();
        let mut pace = Pace {
            last_ms: clock.now_ms().saturating_sub(self.idle_ms.max(self.block_time_ms)),
            hungry: *waiting.borrow_and_update() > 0,
            retry_ms: RETRY_MS.0,
        };
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.turn(clock.as_ref(), &mut waiting, &mut pace) => {}
            }
            heads.mark_unchanged();
            pace.last_ms = clock.now_ms();
            // Never dropped half-way: a block that is built is committed, or never signed.
            match self.block(key, chain.as_ref(), clock.as_ref()).await {
                Ok(block) => {
                    let empty =
                        block.plan.body.candidates.is_empty() && block.plan.forced.is_empty();
                    // One that took all its time may have been cut short, however little is in it.
                    let cut = clock.now_ms().saturating_sub(pace.last_ms) >= self.block_time_ms;
                    pace.hungry = (cut || !empty) && *waiting.borrow() > 0;
                    pace.retry_ms = RETRY_MS.0;
                    self.status.lock().paused = None;
                }
                Err(error @ ChainError::Fatal(_)) => return Err(error.into()),
                Err(error) => {
                    self.status.lock().paused = Some(error.to_string());
                    let until = clock.now_ms().saturating_add(pace.retry_ms);
                    pace.retry_ms = (pace.retry_ms * 2).min(RETRY_MS.1);
                    pace.hungry = true;
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ok(()),
                        () = clock.sleep_until(until) => {}
                        _ = heads.changed() => {}
                    }
                }
            }
        }
    }

    fn verify(&self, context: &SealContext, claim: &Claim, seal: &Seal) -> Result<(), SealError> {
        if seal.view != 0 {
            return Err(SealError::Malformed("view is not 0"));
        }
        let bytes: &[u8; 65] = seal
            .proof
            .as_ref()
            .try_into()
            .map_err(|_| SealError::Malformed("proof is not 65 bytes"))?;
        if !matches!(bytes[64], 27 | 28) {
            return Err(SealError::Malformed("v is not 27 or 28"));
        }
        let signature = Signature::from_raw_array(bytes)
            .map_err(|_| SealError::Malformed("proof is no signature"))?;
        if signature.normalize_s().is_some() {
            return Err(SealError::Malformed("s is in the upper half"));
        }
        let digest = tuple(context.identity, claim).digest();
        let signer: Address = signature
            .recover_address_from_prehash(&digest)
            .map_err(|_| SealError::Malformed("signature recovers to no address"))?;
        if context.keys.contains(&signer) { Ok(()) } else { Err(SealError::WrongKey(signer)) }
    }

    fn status(&self) -> SequencerStatus {
        self.status.lock().clone()
    }
}

impl Single {
    /// Completes when the next block is due: at once if something waits and the block time has
    /// passed, after the idle time otherwise (never, if that is 0). Ticks missed are not made up.
    async fn turn(&self, clock: &dyn Clock, waiting: &mut watch::Receiver<usize>, pace: &mut Pace) {
        // A clock that was turned back starts a new interval.
        pace.last_ms = pace.last_ms.min(clock.now_ms());
        let soonest = pace.last_ms.saturating_add(self.block_time_ms);
        let idle = async {
            match self.idle_ms {
                0 => std::future::pending().await,
                idle => {
                    clock
                        .sleep_until(pace.last_ms.saturating_add(idle.max(self.block_time_ms)))
                        .await;
                }
            }
        };
        let hungry = pace.hungry;
        let demand = async {
            if !hungry {
                wait_for_more(waiting).await;
            }
            clock.sleep_until(soonest).await;
        };
        tokio::select! {
            biased;
            () = idle => {}
            () = demand => {}
        }
    }

    /// Builds on the head, signs, commits.
    async fn block(
        &self,
        key: &PrivateKeySigner,
        chain: &dyn Chain,
        clock: &dyn Clock,
    ) -> Result<Arc<Block>, ChainError> {
        let parent = chain.heads().borrow().latest.claim;
        let time_ms = clock.now_ms();
        let budget_ms = self.block_time_ms;
        let block = chain.build(BuildRequest { parent, time_ms, budget_ms }).await?;
        let tuple = tuple(self.identity, &block.plan.claim);
        if let Some(signed) = chain.last_signed()
            && contradicts(&signed, &tuple, block.plan.claim.parent)
        {
            return Err(ChainError::Paused(format!(
                "block {} of term {} would contradict block {} of term {}, which this key has \
                 signed; the node needs a takeover, which waits for the next DA block",
                tuple.number, tuple.term, signed.number, signed.term
            )));
        }
        let signature = key
            .sign_hash_sync(&tuple.digest())
            .map_err(|error| ChainError::Fatal(format!("signing failed: {error}")))?;
        let seal = Seal { view: 0, proof: Bytes::copy_from_slice(&signature.as_bytes()) };
        crash::point("seal.signed");
        chain.commit(block.claim_hash, seal).await?;
        Ok(block)
    }
}

/// Completes when the number of waiting transactions changes to something above 0.
async fn wait_for_more(waiting: &mut watch::Receiver<usize>) {
    loop {
        if waiting.changed().await.is_err() {
            // The node is going down: nothing more will wait.
            std::future::pending::<()>().await;
        }
        if *waiting.borrow_and_update() > 0 {
            return;
        }
    }
}

fn tuple(identity: B256, claim: &Claim) -> SealTuple {
    SealTuple { identity, term: claim.term, view: 0, number: claim.number, claim: claim.hash() }
}

/// Whether signing `next`, a block on `parent`, after `signed` is equivocation as far as one
/// block shows it: at or below a number signed in the same term, or on top of another sibling.
/// Older terms are over once a newer one is signed.
fn contradicts(signed: &SealTuple, next: &SealTuple, parent: B256) -> bool {
    if next == signed || next.term > signed.term {
        return false;
    }
    next.term < signed.term
        || next.number <= signed.number
        || (next.number == signed.number + 1 && parent != signed.claim)
}
