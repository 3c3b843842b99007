//! Blocks that were read lately, decoded: most questions are about few blocks, and a block with a
//! thousand transactions takes longer to decode than to answer from.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256};
use causeway_chainspec::{Block, BlockEnv, BlockId, StateReader};
use causeway_execution::ExecutionError;
use causeway_execution::pipeline::{Proof, Replay, Snapshot, Witness};
use causeway_execution::store::AddressIndex;

use crate::bounded::Bounded;
use crate::rpc::backend::ChainReader;

/// Most bytes of decoded blocks, about.
const MOST_BYTES: usize = 32 << 20;

/// Decoded blocks by header hash.
pub(crate) struct Recent(Bounded<Arc<Block>>);

impl Default for Recent {
    fn default() -> Self {
        Self(Bounded::new(MOST_BYTES))
    }
}

impl Recent {
    /// The block with this header hash, read and decoded unless it was lately.
    pub(crate) fn get_or(
        &self,
        hash: B256,
        read: impl FnOnce() -> Result<Option<Arc<Block>>, ExecutionError>,
    ) -> Result<Option<Arc<Block>>, ExecutionError> {
        if let Some(block) = self.0.get(hash) {
            return Ok(Some(block));
        }
        Ok(read()?.map(|block| self.0.keep(block.hash, block.clone(), size(&block))))
    }
}

/// About the memory of a decoded block, bytes.
fn size(block: &Block) -> usize {
    let txs: usize = block.txs.iter().map(|tx| 800 + 2 * tx.raw.len()).sum();
    let logs = block.receipts.iter().flat_map(|receipt| &receipt.logs);
    let logs: usize = logs.map(|log| 200 + 32 * log.topics().len() + log.data.data.len()).sum();
    4096 + txs + logs + 100 * block.receipts.len()
}

/// A snapshot that remembers the blocks it decodes, and those of the snapshots before it.
pub(crate) struct Reader {
    pub(crate) snapshot: Snapshot,
    pub(crate) recent: Arc<Recent>,
}

impl ChainReader for Reader {
    fn latest(&self) -> BlockId {
        self.snapshot.latest()
    }

    fn safe(&self) -> BlockId {
        self.snapshot.safe()
    }

    fn finalized(&self) -> BlockId {
        self.snapshot.finalized()
    }

    fn block(&self, number: u64) -> Result<Option<Arc<Block>>, ExecutionError> {
        let Some(id) = self.snapshot.id(number)? else { return Ok(None) };
        self.recent.get_or(id.hash, || self.snapshot.block(number))
    }

    fn header(&self, number: u64) -> Result<Option<Header>, ExecutionError> {
        self.snapshot.header(number)
    }

    fn number_of_hash(&self, hash: B256) -> Result<Option<u64>, ExecutionError> {
        self.snapshot.number_of_hash(hash)
    }

    fn tx(&self, hash: B256) -> Result<Option<(Arc<Block>, usize)>, ExecutionError> {
        let Some((number, at)) = self.snapshot.place(hash)? else { return Ok(None) };
        let block = self.block(number)?.ok_or_else(|| {
            ExecutionError::Damaged(format!("block {number} of transaction {hash} is missing"))
        })?;
        Ok(Some((block, at)))
    }

    fn state(&self, number: u64) -> Result<Option<Arc<dyn StateReader>>, ExecutionError> {
        self.snapshot.state(number)
    }

    fn prove(
        &self,
        number: u64,
        address: Address,
        slots: &[U256],
    ) -> Result<Option<Proof>, ExecutionError> {
        self.snapshot.prove(number, address, slots)
    }

    fn env(&self, number: u64) -> Result<Option<BlockEnv>, ExecutionError> {
        Ok(self.block(number)?.map(|block| self.snapshot.env_of(&block)))
    }

    fn next_env(&self, time_ms: u64) -> Result<BlockEnv, ExecutionError> {
        self.snapshot.next_env(time_ms)
    }

    fn oldest_state(&self) -> Result<u64, ExecutionError> {
        self.snapshot.oldest_state()
    }

    fn oldest_proof(&self) -> Result<u64, ExecutionError> {
        Ok(self.snapshot.oldest_trie())
    }

    fn replay(&self, number: u64) -> Result<Option<Replay>, ExecutionError> {
        self.snapshot.replay(number)
    }

    fn witness(&self, number: u64) -> Result<Option<Witness>, ExecutionError> {
        self.snapshot.witness(number)
    }

    fn index(&self) -> Option<&dyn AddressIndex> {
        self.snapshot.index()
    }
}
