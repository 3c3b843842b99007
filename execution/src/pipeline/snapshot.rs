//! What readers see: committed blocks over a view of the store, at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use causeway_chainspec::{Block, BlockEnv, BlockId, Seal, StateError, StateReader};

use super::execute::{Rules, prove};
use super::{Pipeline, Proof};
use crate::overlay::{Layer, Overlay};
use crate::store::{StoredHeads, View};
use crate::{ExecutionError, system};

/// Committed blocks, those in the store and those on the way there.
#[derive(Clone)]
pub(super) struct Picture {
    pub(super) view: View,
    /// Newest block of the view.
    pub(super) base: BlockId,
    /// Committed above it, oldest first.
    pub(super) layers: Arc<Vec<Arc<Layer>>>,
    pub(super) heads: StoredHeads,
    /// Derivation records that are not in the view.
    pub(super) derived: BTreeMap<u64, Bytes>,
}

impl Picture {
    /// What a store holds, and nothing on top. `None` before genesis.
    pub(super) fn of(view: View) -> Result<Option<Self>, StateError> {
        let Some(heads) = view.heads()? else { return Ok(None) };
        let (layers, derived) = Default::default();
        Ok(Some(Self { view, base: heads.latest, layers, heads, derived }))
    }

    /// A layer by number, if the block is not in the view.
    pub(super) fn layer(&self, number: u64) -> Option<&Arc<Layer>> {
        self.layers.get(number.checked_sub(self.base.number + 1)? as usize)
    }

    /// Ids of a committed block by number.
    pub(super) fn id(&self, number: u64) -> Result<Option<BlockId>, StateError> {
        if number > self.base.number {
            return Ok(self.layer(number).map(|layer| layer.id()));
        }
        if number == self.base.number { Ok(Some(self.base)) } else { self.view.id(number) }
    }

    /// Number of a committed block by claim hash.
    pub(super) fn number_of_claim(&self, claim: B256) -> Result<Option<u64>, StateError> {
        if self.base.claim == claim {
            return Ok(Some(self.base.number));
        }
        let layer = self.layers.iter().find(|layer| layer.id().claim == claim);
        match layer {
            Some(layer) => Ok(Some(layer.id().number)),
            None => self.view.number_of_claim(claim),
        }
    }

    /// State and trie after a committed block, with layers of uncommitted ones on top; `None` if
    /// the state of that block is pruned.
    pub(super) fn overlay(
        &self,
        number: u64,
        above: &[Arc<Layer>],
    ) -> Result<Option<Overlay>, StateError> {
        if let Some(count) = number.checked_sub(self.base.number) {
            let count = count as usize;
            let there = count <= self.layers.len();
            let (view, layers) = (self.view.clone(), self.layers.clone());
            return Ok(there.then(|| Overlay::over(view, layers, count, above.to_vec())));
        }
        Ok(self.view.at(number)?.map(|view| Overlay::new(view, above.to_vec())))
    }
}

impl Pipeline {
    /// State after an executed block, committed or not: what its child is executed on.
    pub fn state_of(&self, claim: B256) -> Result<Arc<dyn StateReader>, ExecutionError> {
        Ok(Arc::new(self.core.parent(claim)?.state))
    }
}

/// A consistent picture of the chain at one moment: committed blocks, whether on disk or not yet.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) picture: Arc<Picture>,
    pub(super) rules: Arc<Rules>,
}

impl Snapshot {
    /// Newest block.
    pub fn latest(&self) -> BlockId {
        self.picture.heads.latest
    }

    /// Newest block derived from DA.
    pub fn safe(&self) -> BlockId {
        self.picture.heads.safe
    }

    /// Newest final block.
    pub fn finalized(&self) -> BlockId {
        self.picture.heads.finalized
    }

    /// A block by number.
    pub fn block(&self, number: u64) -> Result<Option<Arc<Block>>, ExecutionError> {
        if number > self.picture.base.number {
            return Ok(self.picture.layer(number).map(|layer| layer.executed.block.clone()));
        }
        Ok(self.picture.view.block(number)?)
    }

    /// Header only.
    pub fn header(&self, number: u64) -> Result<Option<Header>, ExecutionError> {
        if number > self.picture.base.number {
            let layer = self.picture.layer(number);
            return Ok(layer.map(|layer| layer.executed.block.header.clone()));
        }
        Ok(self.picture.view.header(number)?)
    }

    /// Seal of a block.
    pub fn seal(&self, number: u64) -> Result<Option<Seal>, ExecutionError> {
        if number > self.picture.base.number {
            let layer = self.picture.layer(number);
            return Ok(layer.and_then(|layer| layer.executed.seal.clone()));
        }
        Ok(self.picture.view.seal(number)?)
    }

    /// Number of the canonical block with this header hash.
    pub fn number_of_hash(&self, hash: B256) -> Result<Option<u64>, ExecutionError> {
        match self.picture.layers.iter().find(|layer| layer.id().hash == hash) {
            Some(layer) => Ok(Some(layer.id().number)),
            None => Ok(self.picture.view.number_of_hash(hash)?),
        }
    }

    /// Number of the canonical block with this claim hash.
    pub fn number_of_claim(&self, claim: B256) -> Result<Option<u64>, ExecutionError> {
        Ok(self.picture.number_of_claim(claim)?)
    }

    /// Ids of a block by number.
    pub fn id(&self, number: u64) -> Result<Option<BlockId>, ExecutionError> {
        Ok(self.picture.id(number)?)
    }

    /// Block and index of an included transaction.
    pub fn tx(&self, hash: B256) -> Result<Option<(Arc<Block>, usize)>, ExecutionError> {
        let Some((number, at)) = self.place(hash)? else { return Ok(None) };
        let block = self.block(number)?.ok_or_else(|| {
            ExecutionError::Damaged(format!("block {number} of transaction {hash} is missing"))
        })?;
        Ok(Some((block, at)))
    }

    /// Block number and index of an included transaction.
    pub fn place(&self, hash: B256) -> Result<Option<(u64, usize)>, ExecutionError> {
        for layer in self.picture.layers.iter() {
            if let Some(at) = layer.tx(hash) {
                return Ok(Some((layer.id().number, at)));
            }
        }
        Ok(self.picture.view.tx(hash)?.map(|(number, at)| (number, at as usize)))
    }

    /// Whether a transaction is in a block. Reads no block.
    pub fn has_tx(&self, hash: B256) -> Result<bool, ExecutionError> {
        let waits = self.picture.layers.iter().any(|layer| layer.tx(hash).is_some());
        Ok(waits || self.picture.view.tx(hash)?.is_some())
    }

    /// State after a block; `None` if it is pruned or not there.
    pub fn state(&self, number: u64) -> Result<Option<Arc<dyn StateReader>>, ExecutionError> {
        let overlay = self.picture.overlay(number, &[])?;
        Ok(overlay.map(|overlay| Arc::new(overlay) as Arc<dyn StateReader>))
    }

    /// Merkle proof after a block; `None` beyond the history window.
    pub fn prove(
        &self,
        number: u64,
        address: Address,
        slots: &[U256],
    ) -> Result<Option<Proof>, ExecutionError> {
        let Some(state) = self.picture.overlay(number, &[])? else { return Ok(None) };
        prove(&state, address, slots).map(Some)
    }

    /// Environment in which a call on top of a block runs: that block's own.
    pub fn env(&self, number: u64) -> Result<Option<BlockEnv>, ExecutionError> {
        Ok(self.block(number)?.map(|block| self.env_of(&block)))
    }

    /// The same of a block at hand.
    pub fn env_of(&self, block: &Block) -> BlockEnv {
        let (header, time_ms) = (&block.header, block.plan.claim.time_ms);
        BlockEnv {
            chain_id: self.rules.spec.chain_id,
            number: header.number,
            time_ms,
            fork: self.rules.spec.fork_at(time_ms),
            beneficiary: header.beneficiary,
            gas_limit: header.gas_limit,
            gas_available: header.gas_limit,
            bytes_available: self.rules.spec.gas.limit_bytes,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            mix_hash: header.mix_hash,
            difficulty: U256::ZERO,
            blob_base_fee: causeway_chainspec::NO_BLOBS,
        }
    }

    /// Environment of the block that would come next at a time (raised to the newest block's if
    /// it is older): what `pending` means.
    pub fn next_env(&self, time_ms: u64) -> Result<BlockEnv, ExecutionError> {
        let latest = self.latest();
        let state = self
            .picture
            .overlay(latest.number, &[])?
            .ok_or_else(|| ExecutionError::Broken("the newest block has no state".into()))?;
        let time_ms = time_ms.max(system::fee_state(&state)?.time_ms);
        let mut mix = latest.claim.to_vec();
        mix.extend_from_slice(&(latest.number + 1).to_be_bytes());
        Ok(system::env(&self.rules.spec, &state, latest.number + 1, time_ms, keccak256(mix))?)
    }

    /// Oldest block whose state can be read.
    pub fn oldest_state(&self) -> Result<u64, ExecutionError> {
        Ok(self.picture.view.oldest_state()?)
    }

    /// Derivation record of a DA height.
    pub fn derived(&self, height: u64) -> Result<Option<Bytes>, ExecutionError> {
        match self.picture.derived.get(&height) {
            Some(record) => Ok(Some(record.clone())),
            None => Ok(self.picture.view.derived(height)?),
        }
    }

    /// Newest derivation record.
    pub fn last_derived(&self) -> Result<Option<(u64, Bytes)>, ExecutionError> {
        match self.picture.derived.last_key_value() {
            Some((height, record)) => Ok(Some((*height, record.clone()))),
            None => Ok(self.picture.view.last_derived()?),
        }
    }
}
