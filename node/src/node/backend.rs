//! The node as its JSON-RPC sees it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use causeway_chainspec::{ChainSpec, Heads, Tx};
use causeway_consensus::derive::Cursor;
use causeway_da::DaError;
use causeway_execution::{ExecutionError, Vm};
use tokio::sync::{broadcast, watch};

use super::recent::Reader;
use super::{Control, LoopState, Node, decode_cursor};
use crate::config::Role;
use crate::remote::Truth;
use crate::rpc::backend::{
    Backend, BlockEvent, ChainReader, Derivation, Derived, NodeStatus, PoolContent, SubmitError,
    SyncStatus, Verified,
};

/// How long the DA layer may be silent before that is a problem, ms.
const DA_PATIENCE_MS: u64 = 5_000;
/// A node is "behind" when DA is this many blocks ahead of derivation.
const BEHIND: u64 = 8;

#[async_trait]
impl Backend for Node {
    fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    fn derivation(&self) -> Option<&dyn Derivation> {
        Some(self)
    }

    fn control(&self) -> Option<&Control> {
        (self.role == Role::Sequencer).then_some(&self.control)
    }

    fn chain(&self) -> Arc<dyn ChainReader> {
        Arc::new(Reader { snapshot: self.pipeline.snapshot(), recent: self.recent.clone() })
    }

    fn vm(&self) -> &Arc<dyn Vm> {
        self.pipeline.vm()
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    async fn submit_all(&self, raws: Vec<Bytes>) -> Vec<Result<B256, SubmitError>> {
        self.submit_all(raws).await
    }

    async fn force(&self, entry: Bytes) -> Result<(), DaError> {
        self.da.force(entry).await
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
        self.heads()
    }

    fn new_pending(&self) -> broadcast::Receiver<Arc<Tx>> {
        self.pool.subscribe()
    }

    fn new_blocks(&self) -> broadcast::Receiver<BlockEvent> {
        self.blocks()
    }

    fn feed_block(&self, number: u64) -> Result<Option<Bytes>, ExecutionError> {
        self.feed_block(number)
    }

    fn sync_status(&self) -> Option<SyncStatus> {
        let da = *self.da_head.lock();
        let derived = self.cursor().map_or(0, |cursor| cursor.da.height);
        let behind = da.is_some_and(|da| da.height > derived + BEHIND);
        let current = self.pipeline.snapshot().latest().number;
        // Nobody knows the number of the newest block before its DA block is derived.
        behind.then_some(SyncStatus { starting: 0, current, highest: current })
    }

    fn status(&self) -> NodeStatus {
        let mut problems: Vec<String> =
            self.halted().map(|reason| format!("halted: {reason}")).into_iter().collect();
        let mut sequencer = self.sequencer.status();
        let stopped = |state| state != LoopState::Running;
        if self.role == Role::Sequencer && stopped(self.control.sequencer.state()) {
            sequencer.leader = false;
            sequencer.paused = Some(
                "block production was stopped by its operator: sequencer_start starts it".into(),
            );
        }
        if let (Role::Sequencer, Some(reason)) = (self.role, &sequencer.paused) {
            problems.push(reason.clone());
        }
        if self.role == Role::Sequencer && stopped(self.control.publisher.switch.state()) {
            problems.push(
                "posting to the da layer was stopped by its operator: batcher_start starts it"
                    .into(),
            );
        }
        if let Some(reason) = self.pipeline.failure() {
            problems.push(format!("the disk failed, nothing is written any more: {reason}"));
        }
        if let Some((since_ms, reason)) = &*self.da_trouble.lock() {
            let silent_ms = self.clock.now_ms().saturating_sub(*since_ms);
            if silent_ms >= DA_PATIENCE_MS {
                let seconds = silent_ms / 1000;
                problems.push(format!("the da layer gives nothing for {seconds} s: {reason}"));
            }
        }
        let da_head = *self.da_head.lock();
        match (da_head, self.cursor()) {
            (None, _) => problems.push("the da layer has not answered yet".into()),
            (Some(da), Some(cursor)) if da.height > cursor.da.height + BEHIND => problems
                .push(format!("derivation is {} DA blocks behind", da.height - cursor.da.height)),
            _ => {}
        }
        problems.extend(self.troubles());
        NodeStatus { sequencer, da_head, problems }
    }

    fn remote(&self, domain: u32) -> Option<Arc<dyn ChainReader>> {
        let follower = self.remotes.get(domain)?;
        Some(follower.chain())
    }

    fn remote_verified(&self, domain: u32) -> Option<u64> {
        let (head, _held) = self.remotes.get(domain)?.verified_head()?;
        Some(head.number)
    }

    fn verified(&self) -> Option<Verified> {
        let (head, held) = self.verified_head()?;
        let (mut waiting, mut alarm) = (None, None);
        match held {
            None | Some(Truth::True) => {}
            Some(Truth::NotYet(reason)) => waiting = Some(reason),
            Some(Truth::Pruned(reason)) => waiting = Some(format!("unverified (pruned): {reason}")),
            Some(Truth::False(reason)) => alarm = Some(reason),
        }
        Some(Verified { head, waiting, alarm })
    }
}

impl Derivation for Node {
    fn heights(&self) -> Option<RangeInclusive<u64>> {
        let cursor = self.cursor()?;
        // The record below the first height is where derivation started.
        Some(self.spec.da.start.max(1) - 1..=cursor.da.height)
    }

    fn at(&self, height: u64) -> Result<Option<Derived>, ExecutionError> {
        let record = self.pipeline.snapshot().derived(height)?;
        let cursor = record.map(|record| decode_cursor(&record)).transpose()?;
        let derived = |cursor: Cursor| Derived {
            da: cursor.da,
            time_ms: cursor.time_ms,
            safe: cursor.safe.number,
        };
        Ok(cursor.map(derived))
    }
}

impl Node {
    /// What is wrong with other members, or with what this chain says of them.
    fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        let Some((head, held)) = self.verified_head() else { return troubles };
        let above = head.number + 1;
        match held {
            Some(Truth::False(reason)) => troubles.push(format!(
                "block {above} says of another member what is not so: {reason}; nothing above the                  block before is verified"
            )),
            Some(Truth::Pruned(reason)) => {
                troubles.push(format!("blocks from {above} on are unverified (pruned): {reason}"));
            }
            _ => {}
        }
        for domain in self.remotes.domains().filter(|own| *own != self.spec.metalayer.domain) {
            if let Some(reason) = self.remotes.trouble(domain) {
                troubles.push(format!("member {domain} is not followed any more: {reason}"));
            }
        }
        let notes = self.unanchored();
        troubles.extend(
            notes.iter().map(|(domain, why)| format!("member {domain} is not anchored: {why}")),
        );
        troubles
    }
}
