//! An imported chain as JSON-RPC reads it.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256};
use causeway_chainspec::{Block, BlockEnv, BlockId, StateReader};
use causeway_execution::ExecutionError;
use causeway_execution::ethereum::Snapshot;
use causeway_execution::pipeline::{Proof, Replay, Witness};
use causeway_execution::store::AddressIndex;

use crate::node::recent::Recent;
use crate::rpc::backend::ChainReader;

/// A snapshot that remembers the blocks it decodes.
pub(super) struct Reader {
    pub(super) snapshot: Snapshot,
    pub(super) recent: Arc<Recent>,
}

impl ChainReader for Reader {
    fn latest(&self) -> BlockId {
        self.snapshot.latest()
    }

    fn safe(&self) -> BlockId {
        self.snapshot.latest()
    }

    fn finalized(&self) -> BlockId {
        self.snapshot.latest()
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
        Ok(self.block(number)?.map(|block| (block, at)))
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

    /// None: the protocol's own part of such a block reads what no recorder sees.
    fn witness(&self, _: u64) -> Result<Option<Witness>, ExecutionError> {
        Ok(None)
    }

    fn index(&self) -> Option<&dyn AddressIndex> {
        self.snapshot.index()
    }
}
