//! The only state transition: plan to executed block, committed in the log's order.

use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_chainspec::{
    Account, Block, BlockEnv, BlockId, BlockPlan, ChainSpec, Seal, SealTuple, StateReader,
    SystemModule, Tx,
};

use crate::{ExecutionError, Stop, Vm};

/// How to open a pipeline.
#[derive(Clone)]
pub struct PipelineConfig {
    /// Directory of the log, the store and the identity file.
    pub datadir: PathBuf,
    /// The chain.
    pub spec: Arc<ChainSpec>,
    /// Protocol code inside every block, in order.
    pub modules: Vec<Arc<dyn SystemModule>>,
    /// Keep flat history of every block.
    pub archive: bool,
    /// Blocks of history kept below `finalized`.
    pub history_blocks: u64,
    /// Cache of the store.
    pub cache_bytes: usize,
}

/// What came back from the log on opening.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Accepted transactions that are in no block yet, in the order they were accepted.
    pub accepted: Vec<Arc<Tx>>,
    /// Last thing this node signed.
    pub last_signed: Option<SealTuple>,
    /// Records of the sequencer.
    pub votes: Vec<Bytes>,
}

/// Executes, commits and unwinds the blocks of one chain. Shared by reference between threads:
/// reads never wait for a block being executed.
pub struct Pipeline {}

/// A consistent picture of the chain at one moment: committed blocks, whether on disk or not yet.
#[derive(Clone)]
pub struct Snapshot {}

/// A Merkle proof of an account and some slots (EIP-1186).
#[derive(Debug, Clone)]
pub struct Proof {
    /// The account, if it exists.
    pub account: Option<Account>,
    /// Its storage root.
    pub storage_root: B256,
    /// Nodes from the root down.
    pub account_proof: Vec<Bytes>,
    /// A slot, its value, its proof.
    pub slots: Vec<(U256, U256, Vec<Bytes>)>,
}

impl Pipeline {
    /// Opens the datadir: creates genesis in an empty one, replays the log in another. Uses no
    /// network; compares header hashes.
    pub fn open(config: PipelineConfig) -> Result<(Self, Recovered), ExecutionError> {
        let _ = config;
        todo!()
    }

    /// The VM.
    pub fn vm(&self) -> &Arc<dyn Vm> {
        todo!()
    }

    /// Environment of a block on `parent` (claim hash of an executed block) at a time.
    pub fn env(
        &self,
        parent: B256,
        number: u64,
        time_ms: u64,
        mix_hash: B256,
    ) -> Result<BlockEnv, ExecutionError> {
        let _ = (parent, number, time_ms, mix_hash);
        todo!()
    }

    /// Executes a plan whose parent is committed or executed. Cached by claim hash.
    pub fn execute(&self, plan: BlockPlan) -> Result<Arc<Block>, ExecutionError> {
        let _ = plan;
        todo!()
    }

    /// Executes a draft, drops candidates that were skipped or not reached from its body, fixes
    /// the claim's roots, and re-executes the result from clean state. A mismatch drops the block
    /// and names the transaction at which both runs part, in `quarantined`.
    pub fn build(&self, draft: BlockPlan, stop: &Stop) -> Result<Built, ExecutionError> {
        let _ = (draft, stop);
        todo!()
    }

    /// Makes an executed block the child of `latest`: durable in the log, then visible. Siblings
    /// are dropped. With `signed`, the last-signed record is durable with it. Idempotent.
    pub fn commit(
        &self,
        claim: B256,
        seal: Option<Seal>,
        signed: Option<SealTuple>,
    ) -> Result<(), ExecutionError> {
        let _ = (claim, seal, signed);
        todo!()
    }

    /// Goes back to a committed block; returns the dropped blocks, oldest first. Refuses to go
    /// below `finalized`.
    pub fn unwind(&self, to: u64) -> Result<Vec<Arc<Block>>, ExecutionError> {
        let _ = to;
        todo!()
    }

    /// Records derivation: safe and finalized block numbers (either never above `latest`) and
    /// the deriver's record for a DA height. Durable with the next sync, not before.
    pub fn derived(
        &self,
        height: u64,
        record: Bytes,
        safe: u64,
        finalized: u64,
    ) -> Result<(), ExecutionError> {
        let _ = (height, record, safe, finalized);
        todo!()
    }

    /// Forgets derivation records above a DA height (a DA reorg).
    pub fn underive(&self, height: u64, safe: u64) -> Result<(), ExecutionError> {
        let _ = (height, safe);
        todo!()
    }

    /// Makes transactions durable before they are acknowledged: one grouped fdatasync.
    pub fn accept(&self, txs: &[Arc<Tx>]) -> Result<(), ExecutionError> {
        let _ = txs;
        todo!()
    }

    /// Appends a record of the sequencer; durable after [`Pipeline::sync`].
    pub fn append_vote(&self, record: Bytes) -> Result<(), ExecutionError> {
        let _ = record;
        todo!()
    }

    /// One grouped fdatasync of the log.
    pub fn sync(&self) -> Result<(), ExecutionError> {
        todo!()
    }

    /// What users may see now. Cheap: taken for every request.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }

    /// Writes everything to the store, so that the next start replays nothing.
    pub fn close(self) -> Result<(), ExecutionError> {
        todo!()
    }
}

/// A block made by [`Pipeline::build`].
#[derive(Debug, Clone)]
pub struct Built {
    /// The block; its plan holds only what was included, plus all forced entries.
    pub block: Arc<Block>,
    /// Candidates that were left out, and why; those not reached are in neither list.
    pub skipped: Vec<(B256, causeway_chainspec::SkipReason)>,
    /// Transactions at which clean re-execution disagreed: never to be tried again.
    pub quarantined: Vec<B256>,
}

impl Snapshot {
    /// Newest block.
    pub fn latest(&self) -> BlockId {
        todo!()
    }
    /// Newest block derived from DA.
    pub fn safe(&self) -> BlockId {
        todo!()
    }
    /// Newest final block.
    pub fn finalized(&self) -> BlockId {
        todo!()
    }
    /// A block by number.
    pub fn block(&self, number: u64) -> Result<Option<Arc<Block>>, ExecutionError> {
        let _ = number;
        todo!()
    }
    /// Header only.
    pub fn header(&self, number: u64) -> Result<Option<alloy_consensus::Header>, ExecutionError> {
        let _ = number;
        todo!()
    }
    /// Seal of a block.
    pub fn seal(&self, number: u64) -> Result<Option<Seal>, ExecutionError> {
        let _ = number;
        todo!()
    }
    /// Number of the canonical block with this header hash.
    pub fn number_of_hash(&self, hash: B256) -> Result<Option<u64>, ExecutionError> {
        let _ = hash;
        todo!()
    }
    /// Number of the canonical block with this claim hash.
    pub fn number_of_claim(&self, claim: B256) -> Result<Option<u64>, ExecutionError> {
        let _ = claim;
        todo!()
    }
    /// Ids of a block by number.
    pub fn id(&self, number: u64) -> Result<Option<BlockId>, ExecutionError> {
        let _ = number;
        todo!()
    }
    /// Block and index of an included transaction.
    pub fn tx(&self, hash: B256) -> Result<Option<(Arc<Block>, usize)>, ExecutionError> {
        let _ = hash;
        todo!()
    }
    /// State after a block; `None` if it is pruned or not there.
    pub fn state(&self, number: u64) -> Result<Option<Arc<dyn StateReader>>, ExecutionError> {
        let _ = number;
        todo!()
    }
    /// Merkle proof after a block; `None` beyond the history window.
    pub fn prove(
        &self,
        number: u64,
        address: Address,
        slots: &[U256],
    ) -> Result<Option<Proof>, ExecutionError> {
        let _ = (number, address, slots);
        todo!()
    }
    /// Environment in which a call on top of a block runs: that block's own.
    pub fn env(&self, number: u64) -> Result<Option<BlockEnv>, ExecutionError> {
        let _ = number;
        todo!()
    }
    /// Environment of the block that would come next at a time: what `pending` means.
    pub fn next_env(&self, time_ms: u64) -> Result<BlockEnv, ExecutionError> {
        let _ = time_ms;
        todo!()
    }
    /// Oldest block whose state can be read.
    pub fn oldest_state(&self) -> Result<u64, ExecutionError> {
        todo!()
    }
    /// Derivation record of a DA height.
    pub fn derived(&self, height: u64) -> Result<Option<Bytes>, ExecutionError> {
        let _ = height;
        todo!()
    }
    /// Newest derivation record.
    pub fn last_derived(&self) -> Result<Option<(u64, Bytes)>, ExecutionError> {
        todo!()
    }
}
