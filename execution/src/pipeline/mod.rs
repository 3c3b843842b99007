//! The only state transition: plan to executed block, committed in the log's order.

mod adopt;
mod ahead;
mod appearances;
mod build;
mod config;
mod execute;
mod journal;
mod load;
mod persist;
mod prefetch;
mod recover;
mod replay;
mod snapshot;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod testing;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod witness;

use std::sync::{Arc, OnceLock};

use alloy_primitives::{B256, Bytes, U256};
use causeway_chainspec::{
    Account, Block, BlockEnv, BlockPlan, Seal, SealTuple, SkipReason, Tx, crash,
};
use parking_lot::{Mutex, RwLock};

use crate::log::{BlockEntry, DerivedEntry, Entry, Log, UnderiveEntry, UnwindEntry};
use crate::overlay::Layer;
use crate::store::Store;
use crate::{ExecutionError, Stop, Vm, system};
pub use config::PipelineConfig;
pub(crate) use execute::prove;
pub use execute::{MESSAGE_PASSER, genesis_block};
use execute::{Parent, Rules};
pub use journal::Done;
use journal::Journal;
use persist::{Change, Persist};
pub use replay::Replay;
use snapshot::Picture;
pub use snapshot::Snapshot;
pub use witness::Witness;

/// Executed blocks that may wait to be committed; the oldest beyond are forgotten.
const MAX_EXECUTED: usize = 64;
/// The log's folder in the datadir.
const LOG_FOLDER: &str = "log";

/// What came back from the log on opening.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Accepted transactions that are in no block yet, in the order they were accepted.
    pub accepted: Vec<Arc<Tx>>,
    /// Last thing this node signed.
    pub last_signed: Option<SealTuple>,
    /// Records of the sequencer, oldest first: at least those since the last final block, and the
    /// newest 1024 however old they are.
    pub votes: Vec<Bytes>,
}

/// A block made by [`Pipeline::build`].
#[derive(Debug, Clone)]
pub struct Built {
    /// The block; its plan holds only what was included, plus all forced entries.
    pub block: Arc<Block>,
    /// Candidates that were left out, and why; those not reached are in neither list.
    pub skipped: Vec<(B256, SkipReason)>,
    /// Transactions at which clean re-execution disagreed: never to be tried again.
    pub quarantined: Vec<B256>,
}

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

/// Executes, commits and unwinds the blocks of one chain. Shared by reference between threads:
/// reads never wait for a block being executed. Dropping it without [`Pipeline::close`] loses
/// nothing that was acknowledged: the next start takes it from the log.
pub struct Pipeline {
    /// Both dropped before `core`: their threads use the store and the log.
    persist: Persist,
    journal: Journal,
    core: Arc<Core>,
    /// Held while the chain changes, so that the log's order is the order of changes.
    writer: Mutex<()>,
}

/// What the pipeline and its thread share.
struct Core {
    rules: Arc<Rules>,
    store: Store,
    log: Log,
    /// Executed and not committed, parents before children. Locked before `picture`.
    executed: Mutex<Vec<Arc<Layer>>>,
    picture: RwLock<Arc<Picture>>,
    failed: OnceLock<String>,
    /// Raised by tests to keep everything out of the store.
    #[cfg(test)]
    hold: std::sync::atomic::AtomicBool,
}

impl Core {
    fn picture(&self) -> Arc<Picture> {
        self.picture.read().clone()
    }

    fn change_picture(&self, change: impl FnOnce(&mut Picture)) {
        let mut picture = self.picture.write();
        change(Arc::make_mut(&mut picture));
    }

    fn fail(&self, reason: String) {
        // The first reason is the one that matters.
        let _ = self.failed.set(reason);
    }

    fn healthy(&self) -> Result<(), ExecutionError> {
        match self.failed.get() {
            Some(reason) => Err(ExecutionError::Storage(reason.clone())),
            None => self.log.healthy(),
        }
    }

    /// An executed block that is not committed.
    fn executed(&self, claim: B256) -> Option<Arc<Layer>> {
        self.executed.lock().iter().find(|layer| layer.id().claim == claim).cloned()
    }

    /// A block by claim hash, committed or not.
    fn known(&self, claim: B256) -> Result<Option<Arc<Block>>, ExecutionError> {
        if let Some(layer) = self.executed(claim) {
            return Ok(Some(layer.executed.block.clone()));
        }
        let picture = self.picture();
        let Some(number) = picture.number_of_claim(claim)? else { return Ok(None) };
        match picture.layer(number) {
            Some(layer) => Ok(Some(layer.executed.block.clone())),
            None => Ok(picture.view.block(number)?),
        }
    }

    /// The state a child of `claim` is executed on.
    fn parent(&self, claim: B256) -> Result<Parent, ExecutionError> {
        let executed = self.executed.lock();
        let picture = self.picture();
        let mut above = Vec::new();
        let mut at = claim;
        while let Some(layer) = executed.iter().find(|layer| layer.id().claim == at) {
            above.push(layer.clone());
            at = layer.parent();
        }
        drop(executed);
        above.reverse();
        let unknown = || ExecutionError::Unknown(format!("parent {claim}"));
        let number = picture.number_of_claim(at)?.ok_or_else(unknown)?;
        let id = match above.last() {
            Some(layer) => layer.id(),
            None => picture.id(number)?.ok_or_else(unknown)?,
        };
        let state = picture.overlay(number, &above)?.ok_or_else(|| {
            ExecutionError::Unknown(format!("state of block {number}: it is pruned"))
        })?;
        Ok(Parent { id, state })
    }

    fn remember(&self, layer: Arc<Layer>) {
        let mut executed = self.executed.lock();
        let claim = layer.id().claim;
        if executed.iter().any(|known| known.id().claim == claim) {
            return;
        }
        if executed.len() == MAX_EXECUTED {
            executed.remove(0);
        }
        executed.push(layer);
    }

    /// Changes the picture and forgets executed blocks that do not descend from `root`, at once.
    fn change_chain(&self, root: B256, change: impl FnOnce(&mut Picture)) {
        let mut executed = self.executed.lock();
        self.change_picture(change);
        let mut kept = vec![root];
        executed.retain(|layer| {
            let keep = kept.contains(&layer.parent()) && layer.id().claim != root;
            if keep {
                kept.push(layer.id().claim);
            }
            keep
        });
    }
}

impl Pipeline {
    /// Opens the datadir: creates genesis in an empty one, replays the log in another. Uses no
    /// network; compares header hashes.
    pub fn open(config: PipelineConfig) -> Result<(Self, Recovered), ExecutionError> {
        let vm = crate::open(&config.spec)?;
        let store = Store::open(config.datadir.clone(), config.store())?;
        let PipelineConfig { datadir, spec, modules, .. } = config;
        let rules = Arc::new(Rules { spec, vm, modules, metrics: Arc::default() });
        let picture = recover::first_picture(&store, &rules)?;
        recover::has_log(&datadir.folder(LOG_FOLDER), &picture)?;
        let log = Log::open(datadir.folder(LOG_FOLDER))?;
        let log = log.observed_by(rules.metrics.journal_sync.clone());
        let core = Arc::new(Core {
            rules,
            store,
            log,
            executed: Mutex::default(),
            picture: RwLock::new(Arc::new(picture)),
            failed: OnceLock::new(),
            #[cfg(test)]
            hold: Default::default(),
        });
        let in_step = datadir.disk().in_step();
        let persist = Persist::start(core.clone(), in_step)?;
        let journal = Journal::start(core.clone(), in_step)?;
        let pipeline = Self { persist, journal, core, writer: Mutex::new(()) };
        let recovered = pipeline.replay()?;
        Ok((pipeline, recovered))
    }

    /// The VM.
    pub fn vm(&self) -> &Arc<dyn Vm> {
        &self.core.rules.vm
    }

    /// Environment of a block on `parent` (claim hash of an executed block) at a time.
    pub fn env(
        &self,
        parent: B256,
        number: u64,
        time_ms: u64,
        mix_hash: B256,
    ) -> Result<BlockEnv, ExecutionError> {
        let parent = self.core.parent(parent)?;
        Ok(system::env(&self.core.rules.spec, &parent.state, number, time_ms, mix_hash)?)
    }

    /// A block by claim hash, committed or only executed.
    pub fn block(&self, claim: B256) -> Result<Option<Arc<Block>>, ExecutionError> {
        self.core.known(claim)
    }

    /// Executes a plan whose parent is committed or executed. Cached by claim hash.
    pub fn execute(&self, plan: BlockPlan) -> Result<Arc<Block>, ExecutionError> {
        self.core.healthy()?;
        if let Some(block) = self.core.known(plan.claim.hash())? {
            return Ok(block);
        }
        let parent = self.core.parent(plan.claim.parent)?;
        let layer = Arc::new(self.core.rules.execute(&parent, plan)?);
        self.core.remember(layer.clone());
        Ok(layer.executed.block.clone())
    }

    /// Executes a draft, drops candidates that were skipped or not reached from its body, fixes
    /// the claim's roots, and re-executes the result from clean state. A mismatch drops the block
    /// and tries again without the transaction at which both runs part, named in `quarantined`.
    pub fn build(&self, draft: BlockPlan, stop: &Stop) -> Result<Built, ExecutionError> {
        self.core.healthy()?;
        let parent = self.core.parent(draft.claim.parent)?;
        let rules = &self.core.rules;
        let built = rules.metrics.build.time(|| rules.build(&parent, draft, stop))?;
        let layer = Arc::new(built.layer);
        self.core.remember(layer.clone());
        Ok(Built {
            block: layer.executed.block.clone(),
            skipped: built.skipped,
            quarantined: built.quarantined,
        })
    }

    /// Makes an executed block the child of `latest`: durable in the log, then visible. Siblings
    /// are dropped. With `signed`, the last-signed record is durable with it. Idempotent. Waits
    /// while too many blocks wait for the store.
    pub fn commit(
        &self,
        claim: B256,
        seal: Option<Seal>,
        signed: Option<SealTuple>,
    ) -> Result<(), ExecutionError> {
        let _writer = self.writer.lock();
        self.core.healthy()?;
        let picture = self.core.picture();
        if picture.number_of_claim(claim)?.is_some() {
            return Ok(());
        }
        let unknown = || ExecutionError::Unknown(format!("block {claim}"));
        let layer = self.core.executed(claim).ok_or_else(unknown)?;
        let latest = picture.heads.latest;
        if layer.parent() != latest.claim {
            return Err(ExecutionError::Unknown(format!(
                "parent {}: block {} is the newest",
                layer.parent(),
                latest.number
            )));
        }
        let _timer = self.core.rules.metrics.commit.timer();
        let entry = BlockEntry::new(&layer.executed.block, seal.clone(), signed);
        crash::point("commit.before");
        let end = self.core.log.append(&[Entry::Block(Box::new(entry))])?;
        self.core.log.sync(end)?;
        crash::point("commit.durable");
        self.apply_block(layer, seal, end)
    }

    fn apply_block(
        &self,
        layer: Arc<Layer>,
        seal: Option<Seal>,
        end: u64,
    ) -> Result<(), ExecutionError> {
        let layer = Arc::new(layer.sealed(seal));
        let id = layer.id();
        self.core.change_chain(id.claim, |picture| {
            Arc::make_mut(&mut picture.layers).push(layer.clone());
            picture.heads.latest = id;
        });
        crash::point("commit.visible");
        self.persist.send(Change::Block(layer), end)
    }

    /// Goes back to a committed block; returns the dropped blocks, oldest first. Refuses to go
    /// below `finalized`.
    pub fn unwind(&self, to: u64) -> Result<Vec<Arc<Block>>, ExecutionError> {
        let _writer = self.writer.lock();
        self.core.healthy()?;
        let snapshot = self.snapshot();
        let latest = snapshot.latest().number;
        if to < snapshot.finalized().number {
            return Err(ExecutionError::Broken(format!(
                "unwind to block {to}, below the final block {}",
                snapshot.finalized().number
            )));
        }
        let unknown = |number: u64| ExecutionError::Unknown(format!("block {number}"));
        let id = snapshot.id(to)?.ok_or_else(|| unknown(to))?;
        if to == latest {
            return Ok(vec![]);
        }
        let dropped = (to + 1..=latest)
            .map(|number| snapshot.block(number)?.ok_or_else(|| unknown(number)))
            .collect::<Result<_, _>>()?;
        let entry = Entry::Unwind(UnwindEntry { to, claim: id.claim });
        let end = self.core.log.append(&[entry])?;
        self.core.log.sync(end)?;
        crash::point("unwind.logged");
        self.apply_unwind(to, end)?;
        Ok(dropped)
    }

    fn apply_unwind(&self, to: u64, end: u64) -> Result<(), ExecutionError> {
        let picture = self.core.picture();
        let missing = || ExecutionError::Broken(format!("block {to} has no id"));
        let id = picture.id(to)?.ok_or_else(missing)?;
        let safe = if picture.heads.safe.number > to { id } else { picture.heads.safe };
        self.persist.send(Change::Unwind { to, safe: safe.number }, end)?;
        // Readers keep the old picture until the store has none of the dropped blocks.
        self.persist.flush()?;
        crash::point("unwind.stored");
        self.core.change_chain(id.claim, |picture| {
            Arc::make_mut(&mut picture.layers).retain(|layer| layer.id().number <= to);
            picture.heads.latest = id;
            picture.heads.safe = safe;
        });
        Ok(())
    }

    /// Records derivation: safe and finalized block numbers (either never above `latest`, and
    /// `finalized` never moves back) and the deriver's record for a DA height. Durable at once if
    /// `finalized` moves, else with the next sync.
    pub fn derived(
        &self,
        height: u64,
        record: Bytes,
        safe: u64,
        finalized: u64,
    ) -> Result<(), ExecutionError> {
        let _writer = self.writer.lock();
        self.core.healthy()?;
        let heads = self.core.picture().heads;
        if safe > heads.latest.number || finalized > safe {
            return Err(ExecutionError::Broken(format!(
                "heads out of order: finalized {finalized}, safe {safe}, latest {}",
                heads.latest.number
            )));
        }
        let finalized = finalized.max(heads.finalized.number);
        let moves = finalized > heads.finalized.number;
        let entry = DerivedEntry { height, record, safe, finalized };
        let end = self.core.log.append(&[Entry::Derived(entry.clone())])?;
        if moves {
            // Whoever is told that a block is final must never hear less.
            self.core.log.sync(end)?;
        }
        crash::point("derive.recorded");
        self.apply_derived(entry, end)
    }

    fn apply_derived(&self, entry: DerivedEntry, end: u64) -> Result<(), ExecutionError> {
        let DerivedEntry { height, record, safe, finalized } = entry;
        let picture = self.core.picture();
        let unknown = |number: u64| ExecutionError::Unknown(format!("block {number}"));
        let safe_id = picture.id(safe)?.ok_or_else(|| unknown(safe))?;
        let final_id = picture.id(finalized)?.ok_or_else(|| unknown(finalized))?;
        self.core.change_picture(|picture| {
            picture.heads.safe = safe_id;
            picture.heads.finalized = final_id;
            picture.derived.insert(height, record.clone());
        });
        self.persist.send(Change::Derived { height, record, safe, finalized }, end)
    }

    /// Forgets derivation records above a DA height (a DA reorg). Refuses to move `safe` below
    /// `finalized` or above `latest`.
    pub fn underive(&self, height: u64, safe: u64) -> Result<(), ExecutionError> {
        let _writer = self.writer.lock();
        self.core.healthy()?;
        let heads = self.core.picture().heads;
        if safe < heads.finalized.number || safe > heads.latest.number {
            return Err(ExecutionError::Broken(format!(
                "derivation goes back to safe block {safe}, finalized is {}, latest {}",
                heads.finalized.number, heads.latest.number
            )));
        }
        let entry = UnderiveEntry { height, safe };
        let end = self.core.log.append(&[Entry::Underive(entry)])?;
        crash::point("underive.logged");
        self.apply_underive(entry, end)
    }

    fn apply_underive(&self, entry: UnderiveEntry, end: u64) -> Result<(), ExecutionError> {
        let UnderiveEntry { height, safe } = entry;
        let unknown = || ExecutionError::Unknown(format!("block {safe}"));
        let id = self.core.picture().id(safe)?.ok_or_else(unknown)?;
        self.persist.send(Change::Underive { height, safe }, end)?;
        self.persist.flush()?;
        crash::point("underive.stored");
        self.core.change_picture(|picture| picture.heads.safe = id);
        Ok(())
    }

    /// What users may see now. Cheap: taken for every request.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { picture: self.core.picture(), rules: self.core.rules.clone() }
    }

    /// Why nothing is written any more, if that is so.
    pub fn failure(&self) -> Option<String> {
        self.core.healthy().err().map(|error| error.to_string())
    }

    /// Writes everything to the store, so that a start from here replays nothing.
    pub fn flush(&self) -> Result<(), ExecutionError> {
        self.persist.flush()?;
        self.core.healthy()
    }

    /// [`Pipeline::flush`], and lets go of the datadir.
    pub fn close(self) -> Result<(), ExecutionError> {
        self.flush()
    }
}
