//! Blocks that were read lately, decoded: most questions are about few blocks, and a block with a
//! thousand transactions takes longer to decode than to answer from.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256};
use causeway_chainspec::{Block, BlockEnv, BlockId, StateReader};
use causeway_execution::ExecutionError;
use causeway_execution::pipeline::{Proof, Snapshot};
use parking_lot::Mutex;

use crate::rpc::backend::ChainReader;

/// Most bytes of decoded blocks, about.
const MOST_BYTES: usize = 32 << 20;

/// Decoded blocks by header hash; the ones that came first go first.
#[derive(Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    blocks: HashMap<B256, Arc<Block>>,
    order: VecDeque<(B256, usize)>,
    bytes: usize,
}

impl Recent {
    fn get(&self, hash: B256) -> Option<Arc<Block>> {
        self.0.lock().blocks.get(&hash).cloned()
    }

    fn keep(&self, block: &Arc<Block>) {
        let bytes = size(block);
        let mut kept = self.0.lock();
        if bytes > MOST_BYTES || kept.blocks.insert(block.hash, block.clone()).is_some() {
            return;
        }
        kept.order.push_back((block.hash, bytes));
        kept.bytes += bytes;
        while kept.bytes > MOST_BYTES {
            let Some((oldest, bytes)) = kept.order.pop_front() else { return };
            kept.blocks.remove(&oldest);
            kept.bytes -= bytes;
        }
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
pub(super) struct Reader {
    pub(super) snapshot: Snapshot,
    pub(super) recent: Arc<Recent>,
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
        if let Some(block) = self.recent.get(id.hash) {
            return Ok(Some(block));
        }
        let block = self.snapshot.block(number)?;
        block.iter().for_each(|block| self.recent.keep(block));
        Ok(block)
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
}
