//! A chain of Ethereum's own kind, run from blocks that others made. Its file is its log: nothing is
//! built here and nothing unwound, so blocks go straight into the store, many with one commit, and
//! what is committed is final.

mod build;
mod requests;
mod run;
mod snapshot;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::sync::Arc;

use alloy_primitives::B256;
use causeway_chainspec::ethereum::{EthereumChain, EthereumParts, RawBlock, Schedule};
use causeway_chainspec::{
    Block, BlockBody, BlockPlan, Claim, ForcedCut, NO_BLOBS, StateError, Tx, plan::Candidate,
};
use parking_lot::{Mutex, RwLock};

use crate::disk::Folder;
use crate::evm::Evm;
use crate::overlay::{Empty, Layer, Overlay};
use crate::store::{Batch, ExecutedBlock, Store, StoreConfig};
use crate::{ExecutionError, Vm, trie};
pub use build::{Attributes, BuildError, BuiltBlock};
pub use snapshot::Snapshot;

/// Bytes of memory of executed blocks from which on they are committed.
const BATCH_BYTES: usize = 48 << 20;

/// Why blocks were not imported. All before the one it names are.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A block breaks a rule, or is not what execution gives.
    #[error("block {number}: {reason}")]
    Invalid {
        /// Its number, as its header has it.
        number: u64,
        /// Which field or transaction, and why.
        reason: String,
    },
    /// Our own failure.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
}

impl From<StateError> for ImportError {
    fn from(error: StateError) -> Self {
        Self::Execution(error.into())
    }
}

/// What [`Chain::import`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Blocks that are new, and durable.
    pub new: u64,
    /// Blocks that were there.
    pub known: u64,
}

/// An imported chain: blocks, state after each of them, and what executes more.
pub struct Chain {
    store: Store,
    evm: Arc<Evm>,
    /// The same, as others see it.
    vm: Arc<dyn Vm>,
    schedule: Arc<Schedule>,
    identity: B256,
    /// Held while blocks are executed and committed.
    writer: Mutex<()>,
    newest: RwLock<Snapshot>,
}

impl Chain {
    /// Opens a datadir of a chain, an archive; writes block 0 into an empty one. Refuses the datadir
    /// of another chain, or of the same with other rules. `cache_bytes` as in [`StoreConfig`];
    /// proofs reach back `history_blocks`.
    pub fn open(
        datadir: impl Into<Folder>,
        chain: &EthereumChain,
        history_blocks: u64,
        cache_bytes: usize,
    ) -> Result<Self, ExecutionError> {
        let (state_root, trie) = trie::state_root(&Empty, &chain.state)?;
        let header = chain.header(state_root);
        let hash = header.hash_slow();
        let identity = chain.identity(hash);
        let config = StoreConfig {
            identity,
            archive: true,
            address_index: None,
            history_blocks,
            cache_bytes,
        };
        let store = Store::open(datadir, config)?;
        if store.view()?.heads()?.is_none() {
            let parts = EthereumParts {
                total_difficulty: header.difficulty,
                blob_base_fee: NO_BLOBS,
                uncles: vec![],
                post_states: vec![],
                withdrawals: header.withdrawals_root.map(|_| vec![]),
            };
            let plan = plan(identity, (0, B256::ZERO), header.timestamp, &[]);
            let block = Block {
                claim_hash: plan.claim.hash(),
                plan,
                hash,
                header,
                txs: vec![],
                receipts: vec![],
                skipped: vec![],
                outbox: vec![],
                ethereum: Some(Arc::new(parts)),
            };
            let (block, diff) = (Arc::new(block), Arc::new(chain.state.clone()));
            let genesis = ExecutedBlock { block, seal: None, diff, trie: Arc::new(trie) };
            let (safe, finalized) = (Some(0), Some(0));
            store.commit(&Batch { blocks: vec![genesis], safe, finalized, ..Batch::default() })?;
        }
        let evm = Arc::new(Evm::default());
        let schedule = chain.schedule.clone();
        let newest = Snapshot::new(store.view()?, schedule.clone(), evm.clone())?;
        let (newest, writer) = (RwLock::new(newest), Mutex::default());
        Ok(Self { store, vm: evm.clone(), evm, schedule, identity, writer, newest })
    }

    /// Its forks.
    pub fn schedule(&self) -> &Arc<Schedule> {
        &self.schedule
    }

    /// What executes its calls.
    pub fn vm(&self) -> &Arc<dyn Vm> {
        &self.vm
    }

    /// The chain as it is now.
    pub fn snapshot(&self) -> Snapshot {
        self.newest.read().clone()
    }

    /// Executes blocks, each the child of the one before, and commits those that are what execution
    /// gives; durable when this returns, with an error too: then they are those before the block it
    /// names. Blocks that are there already are passed over, if they are the same.
    pub fn import(&self, blocks: &[RawBlock]) -> Result<Imported, ImportError> {
        let _writer = self.writer.lock();
        let mut done = Imported::default();
        let mut layers: Vec<Arc<Layer>> = Vec::new();
        let mut failed = None;
        for raw in blocks {
            match self.execute(&layers, raw) {
                Ok(Some(layer)) => layers.push(Arc::new(layer)),
                Ok(None) => done.known += 1,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            if layers.iter().map(|layer| layer.weight()).sum::<usize>() >= BATCH_BYTES {
                done.new += self.commit(std::mem::take(&mut layers))?;
            }
        }
        done.new += self.commit(layers)?;
        failed.map_or(Ok(done), Err)
    }

    /// Executes a block on top of what is committed and some layers; `None` if it is there already.
    fn execute(&self, layers: &[Arc<Layer>], raw: &RawBlock) -> Result<Option<Layer>, ImportError> {
        let number = raw.header.number;
        let invalid = |reason: String| ImportError::Invalid { number, reason };
        let snapshot = self.snapshot();
        let (view, committed) = (&snapshot.view, snapshot.latest().number);
        let latest = committed + layers.len() as u64;
        if number <= committed {
            let (here, there) = (view.id(number)?.map(|id| id.hash), raw.header.hash_slow());
            if here == Some(there) {
                return Ok(None);
            }
            let here = here.unwrap_or_default();
            return Err(invalid(format!("it is {there} in the file and {here} in the datadir")));
        }
        if number != latest + 1 {
            return Err(invalid(format!("it does not follow block {latest}, the newest")));
        }
        let block = |number: u64| -> Result<Arc<Block>, StateError> {
            let above = number.checked_sub(committed + 1);
            match above.and_then(|at| layers.get(at as usize)) {
                Some(layer) => Ok(layer.executed.block.clone()),
                None => view.block(number)?.ok_or_else(|| lost(number)),
            }
        };
        let parent = block(latest)?;
        if !raw.uncles.is_empty() {
            let first = latest.saturating_sub(run::ANCESTORS - 1);
            let blocks = (first..=latest).rev().map(block).collect::<Result<Vec<_>, _>>()?;
            run::check_uncles(&self.schedule, raw, &blocks).map_err(invalid)?;
        }
        let state = Overlay::new(view.clone(), layers.to_vec());
        let run = run::Run { evm: &self.evm, schedule: &self.schedule, state: &state };
        let executed = run.block(self.identity, &parent, raw).map_err(|error| match error {
            run::Failure::Invalid(reason) => invalid(reason),
            run::Failure::Execution(error) => error.into(),
        })?;
        Ok(Some(Layer::new(executed)))
    }

    fn commit(&self, layers: Vec<Arc<Layer>>) -> Result<u64, ExecutionError> {
        let Some(newest) = layers.last().map(|layer| layer.id().number) else { return Ok(0) };
        let blocks: Vec<_> = layers.iter().map(|layer| layer.executed.clone()).collect();
        let (count, newest) = (blocks.len() as u64, Some(newest));
        let batch = Batch { blocks, safe: newest, finalized: newest, ..Batch::default() };
        self.store.commit(&batch)?;
        let view = self.store.view()?;
        *self.newest.write() = Snapshot::new(view, self.schedule.clone(), self.evm.clone())?;
        Ok(count)
    }
}

fn lost(number: u64) -> StateError {
    StateError(format!("block {number} is missing"))
}

/// A plan of such a block. Its claim names it in the store and nowhere else: nobody seals it.
fn plan(
    identity: B256,
    (number, parent): (u64, B256),
    timestamp: u64,
    txs: &[Arc<Tx>],
) -> BlockPlan {
    let candidates = txs.iter().map(|tx| tx.raw.clone()).collect();
    let body = BlockBody { inbound: vec![], candidates };
    let claim = Claim {
        identity,
        number,
        term: 0,
        parent,
        time_ms: timestamp.saturating_mul(1000),
        origin: None,
        cut: ForcedCut::default(),
        anchors: vec![],
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        takeover: None,
    };
    let candidates = txs.iter().map(|tx| Candidate::Tx(tx.clone())).collect();
    BlockPlan { claim, body, forced: vec![], candidates }
}
