//! What readers see of an imported chain at one moment.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::eip1559::BaseFeeParams;
use alloy_primitives::{Address, B256, U256};
use causeway_chainspec::ethereum::Schedule;
use causeway_chainspec::{Block, BlockEnv, BlockId, StateReader};

use super::run;
use crate::ExecutionError;
use crate::evm::Evm;
use crate::overlay::{Overlay, Patched};
use crate::pipeline::{Proof, Replay, prove};
use crate::store::{AddressIndex, StoredHeads, View};

/// A consistent picture of an imported chain.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) view: View,
    heads: StoredHeads,
    schedule: Arc<Schedule>,
    evm: Arc<Evm>,
}

impl Snapshot {
    pub(super) fn new(
        view: View,
        schedule: Arc<Schedule>,
        evm: Arc<Evm>,
    ) -> Result<Self, ExecutionError> {
        let heads = view.heads()?.ok_or_else(|| super::lost(0))?;
        Ok(Self { view, heads, schedule, evm })
    }

    /// Newest block. All that is imported is safe and final.
    pub fn latest(&self) -> BlockId {
        self.heads.latest
    }

    /// Ids of a block by number.
    pub fn id(&self, number: u64) -> Result<Option<BlockId>, ExecutionError> {
        Ok(self.view.id(number)?)
    }

    /// A block by number.
    pub fn block(&self, number: u64) -> Result<Option<Arc<Block>>, ExecutionError> {
        Ok(self.view.block(number)?)
    }

    /// Header only.
    pub fn header(&self, number: u64) -> Result<Option<Header>, ExecutionError> {
        Ok(self.view.header(number)?)
    }

    /// Number of the block with this hash.
    pub fn number_of_hash(&self, hash: B256) -> Result<Option<u64>, ExecutionError> {
        Ok(self.view.number_of_hash(hash)?)
    }

    /// Block number and index of a transaction.
    pub fn place(&self, hash: B256) -> Result<Option<(u64, usize)>, ExecutionError> {
        Ok(self.view.tx(hash)?.map(|(number, at)| (number, at as usize)))
    }

    /// State after a block; `None` if it is not there.
    pub fn state(&self, number: u64) -> Result<Option<Arc<dyn StateReader>>, ExecutionError> {
        if number == self.latest().number {
            return Ok(Some(Arc::new(self.view.clone())));
        }
        Ok(self.view.at(number)?.map(|view| Arc::new(view) as Arc<dyn StateReader>))
    }

    /// State and trie after a block; `None` beyond the window of proofs.
    pub(super) fn overlay(&self, number: u64) -> Result<Option<Overlay>, ExecutionError> {
        if number == self.latest().number {
            return Ok(Some(Overlay::new(self.view.clone(), vec![])));
        }
        if number < self.oldest_trie() {
            return Ok(None);
        }
        Ok(self.view.at(number)?.map(|view| Overlay::new(view, vec![])))
    }

    /// Merkle proof after a block; `None` beyond the window of proofs.
    pub fn prove(
        &self,
        number: u64,
        address: Address,
        slots: &[U256],
    ) -> Result<Option<Proof>, ExecutionError> {
        self.overlay(number)?.map(|state| prove(&state, address, slots)).transpose()
    }

    /// Environment of a block.
    pub fn env_of(&self, block: &Block) -> BlockEnv {
        self.schedule.env(&block.header)
    }

    /// Environment of the block that would come next at a time (at least a second after the newest
    /// block): with its gas limit, and without a miner or randomness.
    pub fn next_env(&self, time_ms: u64) -> Result<BlockEnv, ExecutionError> {
        let latest = self.latest().number;
        let parent = self.header(latest)?.ok_or_else(|| super::lost(latest))?;
        let timestamp = (time_ms / 1000).max(parent.timestamp + 1);
        let blobs = self.schedule.blobs(timestamp);
        let next = Header {
            number: latest + 1,
            timestamp,
            gas_limit: parent.gas_limit,
            base_fee_per_gas: parent.next_block_base_fee(BaseFeeParams::ethereum()),
            excess_blob_gas: blobs.and_then(|it| parent.next_block_excess_blob_gas(it)),
            difficulty: parent.difficulty,
            ..Header::default()
        };
        Ok(self.schedule.env(&next))
    }

    /// Oldest block whose state can be read.
    pub fn oldest_state(&self) -> Result<u64, ExecutionError> {
        Ok(self.view.oldest_state()?)
    }

    /// Oldest block whose state can be proved.
    pub fn oldest_trie(&self) -> u64 {
        self.view.oldest_trie()
    }

    /// A block as it began; `None` for block 0, and if it is not there.
    pub fn replay(&self, number: u64) -> Result<Option<Replay>, ExecutionError> {
        let Some(parent) = number.checked_sub(1) else { return Ok(None) };
        let Some(block) = self.block(number)? else { return Ok(None) };
        let Some(below) = self.state(parent)? else { return Ok(None) };
        let env = self.env_of(&block);
        let diff = run::open(&self.evm, &*below, &env, &block.header)?;
        Ok(Some(Replay { block, state: Arc::new(Patched { diff, below }), env }))
    }

    /// The index from addresses to transactions, if it is kept.
    pub fn index(&self) -> Option<&dyn AddressIndex> {
        self.view.has_address_index().then_some(&self.view)
    }
}
