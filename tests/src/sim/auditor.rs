//! Somebody who believes nobody: executes every block once more, from its bytes and clean state.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use causeway_chainspec::{Block, BlockPlan, ChainSpec, StateReader};
use causeway_execution::{Pipeline, system};
use eyre::{ContextCompat, ensure};

use super::storage::Storage;
use crate::keys;

/// A pipeline beside the nodes, and every block any of them ever had.
pub(super) struct Auditor {
    pipeline: Pipeline,
    blocks: HashMap<B256, Arc<Block>>,
    genesis: BTreeSet<Address>,
}

impl Auditor {
    pub(super) fn new(spec: &Arc<ChainSpec>) -> eyre::Result<Self> {
        let (pipeline, _) = Storage::new(0).pipeline(spec)?;
        let genesis = pipeline.snapshot().block(0)?.context("genesis")?;
        let blocks = HashMap::from([(genesis.claim_hash, genesis)]);
        let alloc = spec.genesis.alloc.keys().copied();
        // A contract that is called without data takes address 0 from it.
        let others = [spec.fees.recipient, Address::ZERO];
        Ok(Self { pipeline, blocks, genesis: alloc.chain(others).collect() })
    }

    /// A block by claim hash, if any node ever had it.
    pub(super) fn block(&self, claim: B256) -> Option<&Arc<Block>> {
        self.blocks.get(&claim)
    }

    /// Looks at a block a node has. Its parent was looked at before.
    pub(super) fn audit(
        &mut self,
        block: &Arc<Block>,
        touched: &BTreeSet<Address>,
    ) -> eyre::Result<()> {
        if let Some(known) = self.blocks.get(&block.claim_hash) {
            return inv3_re_execution(known, block);
        }
        self.go_to(block.plan.claim.parent)?;
        let again = self.execute(block)?;
        inv3_re_execution(block, &again)?;
        self.blocks.insert(block.claim_hash, block.clone());
        let before = self.pipeline.state_of(block.plan.claim.parent)?;
        let after = self.pipeline.state_of(block.claim_hash)?;
        inv11_nonces(&*before, &*after)?;
        if !block.txs.is_empty() {
            let holders = touched.union(&self.genesis).copied();
            inv11_supply(&*after, holders, block)?;
        }
        Ok(())
    }

    /// Makes a block the newest one.
    fn go_to(&mut self, claim: B256) -> eyre::Result<()> {
        let mut missing = Vec::new();
        let mut at = claim;
        let number = loop {
            match self.pipeline.snapshot().number_of_claim(at)? {
                Some(number) => break number,
                None => {
                    let block = self.blocks.get(&at).context("a parent was never seen")?.clone();
                    at = block.plan.claim.parent;
                    missing.push(block);
                }
            }
        };
        self.pipeline.unwind(number)?;
        for block in missing.iter().rev() {
            self.execute(block)?;
        }
        Ok(())
    }

    fn execute(&self, block: &Block) -> eyre::Result<Arc<Block>> {
        let BlockPlan { claim, body, forced, .. } = block.plan.clone();
        let plan = BlockPlan::new(claim, body, forced, &|_| None);
        let again = self.pipeline.execute(plan)?;
        self.pipeline.commit(again.claim_hash, None, None)?;
        Ok(again)
    }
}

/// INV-3: a block executed from clean state gives the same header and the same receipts.
fn inv3_re_execution(block: &Block, again: &Block) -> eyre::Result<()> {
    let number = block.header.number;
    ensure!(block.hash == again.hash, "INV-3: block {number} {} / {}", block.hash, again.hash);
    ensure!(block.txs == again.txs, "INV-3: transactions of block {number} differ");
    ensure!(block.receipts == again.receipts, "INV-3: receipts of block {number} differ");
    ensure!(block.outbox == again.outbox, "INV-3: outbox of block {number} differs");
    Ok(())
}

/// INV-11: nonces never go back.
fn inv11_nonces(before: &dyn StateReader, after: &dyn StateReader) -> eyre::Result<()> {
    for key in keys::accounts() {
        let nonce = |state: &dyn StateReader| -> eyre::Result<u64> {
            Ok(state.account(key.address())?.unwrap_or_default().nonce)
        };
        let (before, after) = (nonce(before)?, nonce(after)?);
        ensure!(before <= after, "INV-11: nonce of {} from {before} to {after}", key.address());
    }
    Ok(())
}

/// INV-11: all accounts together hold the supply.
fn inv11_supply(
    state: &dyn StateReader,
    holders: impl Iterator<Item = Address>,
    block: &Block,
) -> eyre::Result<()> {
    let mut held = U256::ZERO;
    for holder in holders {
        held += state.account(holder)?.map_or(U256::ZERO, |account| account.balance);
    }
    let supply = system::supply(state)?;
    ensure!(
        held == supply,
        "INV-11: after block {} accounts hold {held} of {supply} wei: {:?}",
        block.header.number,
        block.txs
    );
    Ok(())
}
