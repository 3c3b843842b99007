//! What JSON-RPC asks of an imported chain.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use causeway_chainspec::ethereum::Schedule;
use causeway_chainspec::{ChainSpec, Heads, Tx, TxEnvelope};
use causeway_consensus::SequencerStatus;
use causeway_consensus::mempool::PoolError;
use causeway_da::DaError;
use causeway_execution::ethereum::{Attributes, BuildError, BuiltBlock};
use causeway_execution::{ExecutionError, Vm};
use tokio::sync::{broadcast, watch};

use super::reader::Reader;
use super::{ImportedChain, sidecar};
use crate::node::submit::{account_facts, refused};
use crate::rpc::backend::{
    Backend, BlockEvent, ChainReader, Ethereum, NodeStatus, PoolContent, SubmitError, SyncStatus,
    Verified,
};

/// Most gas of transactions from the pool that are tried for a block, and most of them.
const MOST_GAS: u64 = 1 << 30;
const MOST_TRIED: usize = 10_000;
/// What stands where our chains name a sequencer.
const MODE: &str = "import";

impl ImportedChain {
    /// Checks a transaction as the block after the newest would, and puts it into the pool.
    async fn take(&self, raw: Bytes) -> Result<B256, SubmitError> {
        let failed = |error: ExecutionError| SubmitError::Failed(error.to_string());
        let snapshot = self.chain.snapshot();
        let env = snapshot.next_env(self.clock.now_ms()).map_err(failed)?;
        let raw = match sidecar::has_blobs(&raw) {
            true => self.sidecars.strip(raw, env.fork).await?,
            false => raw,
        };
        let tx = Tx::foreign(raw)?;
        let (hash, tx) = (tx.hash, Arc::new(tx));
        self.chain.vm().check(&tx, &env)?;
        let latest = snapshot.latest().number;
        let state = snapshot.state(latest).map_err(failed)?;
        let state = state.ok_or_else(|| SubmitError::Failed("the newest state is gone".into()))?;
        let facts = account_facts(&*state, tx.sender)
            .map_err(|error| SubmitError::Failed(error.to_string()))?;
        match self.pool.add(tx.clone(), facts) {
            Ok(()) => self.pool.announce(tx),
            Err(PoolError::AlreadyKnown) => return Err(SubmitError::AlreadyKnown),
            Err(error) => return Err(refused(error)),
        }
        Ok(hash)
    }
}

impl Ethereum for ImportedChain {
    fn schedule(&self) -> &Schedule {
        self.chain.schedule()
    }

    fn build(
        &self,
        parent: B256,
        attributes: Attributes,
        txs: Option<Vec<Bytes>>,
    ) -> Result<BuiltBlock, BuildError> {
        let has_blobs = |tx: &Tx| matches!(tx.envelope, TxEnvelope::Eip4844(_));
        let Some(raws) = txs else {
            // The block decides what fits; this only bounds what is tried.
            let mut best = self.pool.best(0, MOST_GAS, u64::MAX, MOST_TRIED);
            best.retain(|tx| !has_blobs(tx));
            return self.chain.build(parent, attributes, best, true);
        };
        let mut txs = Vec::with_capacity(raws.len());
        for (at, raw) in raws.into_iter().enumerate() {
            let tx = Tx::foreign(raw)
                .map_err(|error| BuildError::Invalid(format!("transaction {at}: {error}")))?;
            if has_blobs(&tx) {
                let reason = format!("transaction {at}: no blobs are kept to build it with");
                return Err(BuildError::Invalid(reason));
            }
            txs.push(Arc::new(tx));
        }
        self.chain.build(parent, attributes, txs, false)
    }
}

#[async_trait]
impl Backend for ImportedChain {
    fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    fn ethereum(&self) -> Option<&dyn Ethereum> {
        Some(self)
    }

    fn chain(&self) -> Arc<dyn ChainReader> {
        Arc::new(Reader { snapshot: self.chain.snapshot(), recent: self.recent.clone() })
    }

    fn vm(&self) -> &Arc<dyn Vm> {
        self.chain.vm()
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Not durable: no block takes what is sent to an imported chain.
    async fn submit_all(&self, raws: Vec<Bytes>) -> Vec<Result<B256, SubmitError>> {
        let mut answers = Vec::with_capacity(raws.len());
        for raw in raws {
            answers.push(self.take(raw).await);
        }
        answers
    }

    async fn force(&self, _: Bytes) -> Result<(), DaError> {
        Err(DaError::Config("an imported chain has no DA layer".into()))
    }

    fn pending_tx(&self, hash: B256) -> Option<Arc<Tx>> {
        self.pool.get(hash)
    }

    fn pending_nonce(&self, address: Address, state_nonce: u64) -> u64 {
        self.pool.pending_nonce(address, state_nonce)
    }

    fn pool_status(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.pending, status.queued)
    }

    fn pool_content(&self) -> PoolContent {
        self.pool.content().into()
    }

    fn heads(&self) -> watch::Receiver<Heads> {
        self.heads.subscribe()
    }

    fn new_pending(&self) -> broadcast::Receiver<Arc<Tx>> {
        self.pool.subscribe()
    }

    fn new_blocks(&self) -> broadcast::Receiver<BlockEvent> {
        self.blocks.subscribe()
    }

    fn feed_block(&self, _: u64) -> Result<Option<Bytes>, ExecutionError> {
        Ok(None)
    }

    fn sync_status(&self) -> Option<SyncStatus> {
        None
    }

    fn status(&self) -> NodeStatus {
        let sequencer = SequencerStatus { mode: MODE, leader: false, paused: None };
        NodeStatus { sequencer, da_head: None, problems: vec![] }
    }

    fn remote(&self, _: u32) -> Option<Arc<dyn ChainReader>> {
        None
    }

    fn remote_verified(&self, _: u32) -> Option<u64> {
        None
    }

    fn verified(&self) -> Option<Verified> {
        None
    }
}
