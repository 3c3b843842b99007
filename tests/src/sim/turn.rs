//! One turn of the real sequencer loop: it wakes, builds a block, seals and commits it, and stops.

use std::sync::Arc;

use alloy_primitives::B256;
use async_trait::async_trait;
use causeway_chainspec::{Block, Heads, Seal, SealTuple};
use causeway_consensus::{
    BuildRequest, Chain, ChainError, ConsensusError, DurableLog, Proposal, Verdict,
};
use causeway_node::node::Node;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a turn ended with.
#[derive(Debug)]
pub(super) enum Turn {
    /// A block is committed.
    Block(Arc<Block>),
    /// None was built, or it must not be signed.
    Refused(ChainError),
}

/// The node as the sequencer sees it, for one attempt.
struct Attempt {
    node: Arc<Node>,
    /// Raised when the attempt is over: the loop finishes what it began.
    stop: CancellationToken,
    built: Mutex<Option<Result<Arc<Block>, ChainError>>>,
    committed: Mutex<Option<Result<(), ChainError>>>,
}

#[async_trait]
impl Chain for Attempt {
    async fn build(&self, request: BuildRequest) -> Result<Arc<Block>, ChainError> {
        let built = self.node.build(request).await;
        *self.built.lock() = Some(built.clone());
        self.stop.cancel();
        built
    }

    async fn verify(&self, parent: B256, proposal: &Proposal) -> Verdict {
        self.node.verify(parent, proposal).await
    }

    async fn commit(&self, claim: B256, seal: Seal) -> Result<(), ChainError> {
        let committed = self.node.commit(claim, seal).await;
        *self.committed.lock() = Some(committed.clone());
        committed
    }

    fn heads(&self) -> watch::Receiver<Heads> {
        self.node.heads()
    }

    fn last_signed(&self) -> Option<SealTuple> {
        self.node.last_signed()
    }

    fn waiting(&self) -> watch::Receiver<usize> {
        Chain::waiting(&*self.node)
    }

    fn log(&self) -> &dyn DurableLog {
        Chain::log(&*self.node)
    }
}

/// Lets the sequencer of a node take one turn at the present time.
pub(super) async fn turn(node: &Arc<Node>) -> eyre::Result<Turn> {
    let stop = CancellationToken::new();
    let attempt = Arc::new(Attempt {
        node: node.clone(),
        stop: stop.clone(),
        built: Mutex::default(),
        committed: Mutex::default(),
    });
    let (sequencer, clock) = (node.sequencer().clone(), node.clock().clone());
    let ended = sequencer.run(attempt.clone(), clock, stop).await;
    let built = attempt.built.lock().take();
    let committed = attempt.committed.lock().take();
    Ok(match (ended, built, committed) {
        (_, Some(Err(error)), _) | (_, _, Some(Err(error))) => Turn::Refused(error),
        (Err(ConsensusError::Chain(error)), ..) => Turn::Refused(error),
        (Ok(()), Some(Ok(block)), Some(Ok(()))) => Turn::Block(block),
        (Ok(()), Some(Ok(_)), None) => {
            // Built and not signed: the loop says why.
            let reason = sequencer.status().paused.unwrap_or_default();
            Turn::Refused(ChainError::Paused(reason))
        }
        (ended, ..) => eyre::bail!("INV-10: the sequencer's loop ended: {ended:?}"),
    })
}
