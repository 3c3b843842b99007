//! Execution ahead of hashing: a block runs while the roots of its parent are still computed.
//!
//! A block depends on its parent's state, which is there as soon as the parent ran, and on its
//! parent's hash, which only `BLOCKHASH` and the ring of EIP-2935 show. So the hash is a value that
//! comes late: who asks for it waits, and hardly any transaction asks.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_chainspec::{Account, BlockPlan, StateDiff, StateError, StateReader};

use super::execute::Run;
use super::{Core, Pipeline};
use crate::overlay::StateOver;
use crate::{ExecutionError, system};

/// Hash of a block that may still be on its way; `None` once it is known that it never comes.
#[derive(Clone, Default)]
pub(super) struct LateHash(Arc<OnceLock<Option<B256>>>);

impl LateHash {
    /// One that is there.
    pub(super) fn known(hash: B256) -> Self {
        Self(Arc::new(OnceLock::from(Some(hash))))
    }

    /// Waits for it. An error if its block could not be hashed.
    pub(super) fn wait(&self) -> Result<B256, StateError> {
        self.0.wait().ok_or_else(|| StateError("the parent could not be hashed".to_owned()))
    }
}

/// The duty to tell a hash: who drops it unkept tells those who wait that there is none.
struct Promise(LateHash);

impl Promise {
    fn keep(self, hash: B256) {
        // Nobody else sets it.
        let _ = self.0.0.set(Some(hash));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        // Fails if the promise was kept.
        let _ = self.0.0.set(None);
    }
}

/// What a block runs on: its parent, and the state after it.
pub(super) struct Ground<'a> {
    /// Number of the parent.
    pub(super) number: u64,
    /// Claim hash of the parent.
    pub(super) claim: B256,
    /// Hash of the parent.
    pub(super) hash: LateHash,
    /// State after the parent, without what its child's ring of EIP-2935 says of it.
    pub(super) state: &'a dyn StateReader,
}

/// The state a block sees: the parent's hash is in the ring already.
impl StateReader for Ground<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.state.account(address)
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        if address == HISTORY_STORAGE_ADDRESS && slot == system::history_slot(self.number) {
            return Ok(self.hash.wait()?.into());
        }
        self.state.slot(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        self.state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        if number == self.number {
            return self.hash.wait().map(Some);
        }
        self.state.block_hash(number)
    }
}

/// A block that ran and waits to be hashed.
struct Ran {
    plan: BlockPlan,
    run: Run,
    took: Duration,
    promise: Promise,
}

/// The newest block that ran, as its child needs it.
struct Newest {
    number: u64,
    claim: B256,
    parent: B256,
    hash: LateHash,
    diff: Arc<StateDiff>,
}

impl Pipeline {
    /// Executes plans, each the parent of the next, as [`Pipeline::execute`] does one by one; while
    /// a block is hashed the next one runs. On an error those before the one that failed may be
    /// executed, and none after it.
    pub(super) fn execute_all(&self, plans: Vec<BlockPlan>) -> Result<(), ExecutionError> {
        if plans.len() < 2 {
            return plans.into_iter().try_for_each(|plan| self.execute(plan).map(drop));
        }
        self.core.healthy()?;
        let core = &self.core;
        thread::scope(|scope| {
            // Without room: what can be sent has nothing but one block before it that is not hashed.
            let (send, receive) = sync_channel(0);
            let hasher =
                scope.spawn(move || receive.into_iter().try_for_each(|ran| core.hash(ran)));
            let ran = core.run_all(plans, &send);
            drop(send);
            match hasher.join() {
                // If hashing failed, running did because of it.
                Ok(hashed) => hashed.and(ran),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl Core {
    /// Runs plans, each on what the one before did, and sends them on to be hashed.
    fn run_all(
        &self,
        plans: Vec<BlockPlan>,
        hasher: &SyncSender<Ran>,
    ) -> Result<(), ExecutionError> {
        let mut newest: Option<Newest> = None;
        for plan in plans {
            let claim = plan.claim.hash();
            if self.known(claim)?.is_some() {
                newest = None;
                continue;
            }
            let started = Instant::now();
            let run = match newest.take().filter(|newest| newest.claim == plan.claim.parent) {
                Some(Newest { number, claim, parent, hash, diff }) => {
                    let below = self.parent(parent)?.state;
                    let state = &StateOver { diff: &diff, below: &below };
                    self.rules.follow(&Ground { number, claim, hash, state }, &plan)?
                }
                None => self.rules.follow(&self.parent(plan.claim.parent)?.ground(), &plan)?,
            };
            let took = started.elapsed();
            let (number, parent) = (plan.claim.number, plan.claim.parent);
            let (hash, diff) = (LateHash::default(), run.diff.clone());
            let promise = Promise(hash.clone());
            newest = Some(Newest { number, claim, parent, hash, diff });
            if hasher.send(Ran { plan, run, took, promise }).is_err() {
                return Err(ExecutionError::Broken("nobody hashes blocks any more".into()));
            }
        }
        Ok(())
    }

    /// Makes a block of what ran, and tells its child the hash.
    fn hash(&self, ran: Ran) -> Result<(), ExecutionError> {
        let Ran { plan, run, took, promise } = ran;
        let parent = self.parent(plan.claim.parent)?;
        let layer = Arc::new(self.rules.seal_followed(&parent, plan, run, took)?);
        let hash = layer.id().hash;
        self.remember(layer);
        promise.keep(hash);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_hash_is_told_when_there_will_be_none() {
        let late = LateHash::default();
        let waiting = late.clone();
        let waiter = thread::spawn(move || waiting.wait());
        drop(Promise(late));
        assert!(waiter.join().unwrap().is_err());

        let late = LateHash::default();
        Promise(late.clone()).keep(B256::repeat_byte(7));
        assert_eq!(late.wait().unwrap(), B256::repeat_byte(7));
        assert_eq!(LateHash::known(B256::ZERO).wait().unwrap(), B256::ZERO);
    }
}
