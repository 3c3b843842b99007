//! Plan to executed block: run the transactions, close the block, hash it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256, U256, address};
use causeway_chainspec::block::{Outcome, concat_hash, header, requests_hash};
use causeway_chainspec::plan::Candidate;
use causeway_chainspec::{
    Block, BlockEnv, BlockId, BlockPlan, ChainSpec, LaneItem, Receipt, SkipReason, StateDiff,
    StateReader, SystemModule, Tx, TxEnvelope, TxError, roots,
};

use super::ahead::{Ground, LateHash};
use crate::metrics::Metrics;
use crate::overlay::{Empty, Layer, Overlay, StateOver, TrieOver};
use crate::store::ExecutedBlock;
use crate::system::{self, Closing};
use crate::trie::{self, TrieReader};
use crate::{BlockOutput, ExecutionError, Stop, Vm, VmError, genesis};

/// The L2-to-L1 message passer: its storage root stands in every header.
pub const MESSAGE_PASSER: Address = address!("0x4200000000000000000000000000000000000016");
/// What a candidate that has no intrinsic gas (bytes that are no transaction) costs, in gas.
const JUNK_GAS: u64 = 21_000;

impl From<VmError> for ExecutionError {
    fn from(error: VmError) -> Self {
        match error {
            VmError::State(error) => Self::State(error),
            VmError::Invalid(reason) => Self::Broken(format!("the vm refused a block: {reason}")),
            VmError::Broken(what) => Self::Broken(what),
            other => Self::Broken(format!("the vm failed a block: {other}")),
        }
    }
}

/// A parent that is hashed: what its child is executed and hashed on.
pub(super) struct Parent {
    pub(super) id: BlockId,
    pub(super) state: Overlay,
}

impl Parent {
    /// What a child runs on.
    pub(super) fn ground(&self) -> Ground<'_> {
        let BlockId { number, claim, hash } = self.id;
        Ground { number, claim, hash: LateHash::known(hash), state: &self.state }
    }
}

/// The rules of one chain: everything execution needs besides a parent and a plan.
pub(super) struct Rules {
    pub(super) spec: Arc<ChainSpec>,
    pub(super) vm: Arc<dyn Vm>,
    pub(super) modules: Vec<Arc<dyn SystemModule>>,
    pub(super) metrics: Arc<Metrics>,
}

/// A block that ran, before it is hashed.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) env: BlockEnv,
    pub(super) txs: Vec<Arc<Tx>>,
    pub(super) receipts: Vec<Receipt>,
    /// Index into the plan's candidates of each included transaction that is one.
    pub(super) included: Vec<usize>,
    /// Index into the plan's candidates of each that was left out, and why.
    pub(super) skipped: Vec<(usize, SkipReason)>,
    pub(super) diff: Arc<StateDiff>,
    outbox: Vec<LaneItem>,
    gas_used: u64,
    commitment: B256,
}

impl Run {
    /// Whether a block made from another run of the same plan is what this run would make.
    /// Transactions and receipts are compared by the caller.
    pub(super) fn agrees(&self, executed: &ExecutedBlock) -> bool {
        let block = &executed.block;
        executed.diff == self.diff
            && block.outbox == self.outbox
            && block.skipped.iter().map(|(_, why)| why).eq(self.skipped.iter().map(|(_, why)| why))
            && block.header.gas_used == self.gas_used
            && block.header.requests_hash == Some(requests_hash(block.claim_hash, self.commitment))
    }
}

/// Candidates that may be tried: transactions, and the index of each in the plan.
#[derive(Default)]
struct Admitted {
    txs: Vec<Arc<Tx>>,
    at: Vec<usize>,
    skipped: Vec<(usize, SkipReason)>,
}

/// Forced entries are taken out of the lane by the claim, so the block has room for them whatever
/// earlier blocks used of the buckets, and after the protocol's own calls. Only for those the VM
/// would try, and for no more than a block's limit: nobody buys room by asking for it.
fn make_room(vm: &dyn Vm, env: &mut BlockEnv, plan: &BlockPlan, calls: &[Arc<Tx>]) {
    let forced = plan.candidates.iter().take(plan.forced.len());
    let forced: Vec<_> = forced
        .filter_map(|candidate| match candidate {
            Candidate::Tx(tx) => vm.check(tx, env).is_ok().then_some(tx),
            Candidate::Invalid(..) => None,
        })
        .collect();
    if forced.is_empty() {
        return;
    }
    let sum = |gas: u64, tx: &Arc<Tx>| gas.saturating_add(tx.envelope.gas_limit());
    let gas = forced.iter().copied().fold(0, sum).min(env.gas_limit);
    let bytes = forced.iter().map(|tx| tx.raw.len() as u64).sum();
    env.gas_available = env.gas_available.max(calls.iter().fold(gas, sum));
    env.bytes_available = env.bytes_available.max(bytes);
}

impl Rules {
    /// Runs a plan on its parent's state. Reads nothing else, so that equal plans give equal runs.
    pub(super) fn run(
        &self,
        ground: &Ground<'_>,
        plan: &BlockPlan,
        stop: &Stop,
    ) -> Result<Run, ExecutionError> {
        let claim = &plan.claim;
        if claim.number != ground.number + 1 || claim.parent != ground.claim {
            let number = claim.number;
            return Err(ExecutionError::Broken(format!("plan {number} is not on its parent")));
        }
        let state = ground;
        let mut env =
            system::env(&self.spec, state, claim.number, claim.time_ms, claim.mix_hash())?;
        let opened = system::open(&self.modules, state, &env, plan)?;
        make_room(self.vm.as_ref(), &mut env, plan, &opened.calls);
        let mut admitted = self.admit(plan, &env);
        let calls = opened.calls.len();
        let mut txs = [opened.calls.as_slice(), admitted.txs.as_slice()].concat();
        let over = StateOver { diff: &opened.diff, below: state };
        let mut output = self.vm.execute(&over, &env, &txs, stop)?;
        let forced = admitted.at.iter().filter(|at| **at < plan.forced.len()).count();
        if output.attempted < calls + forced {
            // Stopped before what nobody may leave out: a block of that alone.
            txs.truncate(calls + forced);
            output = self.vm.execute(&over, &env, &txs, &Stop::never())?;
        }
        let messages = txs[calls..].iter().filter(|tx| tx.is_deposit()).count();
        check_output(&output, txs.len(), (calls, messages), stop)?;

        let mut skipped = std::mem::take(&mut admitted.skipped);
        for (at, reason) in &output.skipped {
            skipped.push((admitted.at[at - calls], reason.clone()));
        }
        skipped.sort_by_key(|(at, _)| *at);
        let included: Vec<_> =
            output.included[calls..].iter().map(|at| admitted.at[at - calls]).collect();
        let included_txs: Vec<_> = output.included.iter().map(|at| txs[*at].clone()).collect();
        let bytes = included_txs[calls..].iter().map(|tx| tx.raw.len() as u64).sum();
        let mut diff = opened.diff.clone();
        diff.merge(&output.diff);
        let closing = Closing {
            plan,
            opened,
            outcomes: &output.outcomes[..calls],
            emitted: &output.outbox,
            gas_used: output.gas_used,
            bytes,
            minted: output.minted,
            burnt: output.burnt,
        };
        let closed = system::close(&self.spec, state, closing, &mut diff)?;
        system::remember_parent(ground.number, ground.hash.wait()?, state, &mut diff)?;
        Ok(Run {
            env,
            txs: included_txs,
            receipts: output.receipts,
            included,
            skipped,
            diff: Arc::new(diff),
            outbox: closed.outbox,
            gas_used: output.gas_used,
            commitment: closed.commitment,
        })
    }

    /// Bounds the work a plan can ask for before anything runs: candidates are tried in order
    /// while their intrinsic gas fits twice into the block's gas limit, once for those that are
    /// included (the limit bounds them by itself) and once for those that are skipped.
    fn admit(&self, plan: &BlockPlan, env: &BlockEnv) -> Admitted {
        let mut admitted = Admitted::default();
        let mut left = env.gas_limit.saturating_mul(2);
        for (at, candidate) in plan.candidates.iter().enumerate() {
            let cost = match candidate {
                // The VM runs them in blocks of other chains; ours have no blobs.
                Candidate::Tx(tx) if matches!(tx.envelope, TxEnvelope::Eip4844(_)) => {
                    admitted.skipped.push((at, TxError::Blob.into()));
                    continue;
                }
                Candidate::Tx(tx) => {
                    self.vm.check(tx, env).map_or(JUNK_GAS, |facts| facts.intrinsic_gas)
                }
                Candidate::Invalid(..) => JUNK_GAS,
            };
            // A message is never left out: the lane bounds what those of a block ask for.
            let is_message = matches!(candidate, Candidate::Tx(tx) if tx.is_deposit());
            if cost > left && !is_message {
                let full = |at| (at, SkipReason::BlockFull { have: cost, left });
                admitted.skipped.extend((at..plan.candidates.len()).map(full));
                break;
            }
            left = left.saturating_sub(cost);
            match candidate {
                Candidate::Tx(tx) => {
                    admitted.txs.push(tx.clone());
                    admitted.at.push(at);
                }
                Candidate::Invalid(_, reason) => admitted.skipped.push((at, reason.clone())),
            }
        }
        admitted
    }

    /// Hashes what ran into a block of `plan`.
    pub(super) fn seal(
        &self,
        parent: &Parent,
        plan: BlockPlan,
        run: Run,
    ) -> Result<Layer, ExecutionError> {
        self.metrics.root.time(|| hash_block(&parent.state, parent.id.hash, plan, run))
    }

    /// Executes and hashes a plan whose claim is final.
    pub(super) fn execute(
        &self,
        parent: &Parent,
        plan: BlockPlan,
    ) -> Result<Layer, ExecutionError> {
        let started = Instant::now();
        let run = self.follow(&parent.ground(), &plan)?;
        self.seal_followed(parent, plan, run, started.elapsed())
    }

    /// Runs a plan whose claim is final.
    pub(super) fn follow(
        &self,
        ground: &Ground<'_>,
        plan: &BlockPlan,
    ) -> Result<Run, ExecutionError> {
        if !roots_match(plan) {
            let number = plan.claim.number;
            return Err(ExecutionError::Broken(format!("claim {number} is of another body")));
        }
        self.metrics.execute_follow.time(|| self.run(ground, plan, &Stop::never()))
    }

    /// Hashes what [`Rules::follow`] gave, which took so long.
    pub(super) fn seal_followed(
        &self,
        parent: &Parent,
        plan: BlockPlan,
        run: Run,
        took: Duration,
    ) -> Result<Layer, ExecutionError> {
        let started = Instant::now();
        let layer = self.seal(parent, plan, run)?;
        let block = &layer.executed.block;
        tracing::debug!(
            number = block.header.number,
            txs = block.txs.len(),
            gas = block.header.gas_used,
            run_us = took.as_micros() as u64,
            hash_us = started.elapsed().as_micros() as u64,
            "executed"
        );
        Ok(layer)
    }

    /// Block 0.
    pub(super) fn genesis(&self) -> Result<Layer, ExecutionError> {
        genesis_layer(&self.spec, self.vm.as_ref(), &self.modules)
    }
}

fn genesis_layer(
    spec: &ChainSpec,
    vm: &dyn Vm,
    modules: &[Arc<dyn SystemModule>],
) -> Result<Layer, ExecutionError> {
    let (diff, closed) = genesis::state(spec, vm, modules)?;
    let run = Run {
        env: genesis::env(spec),
        txs: vec![],
        receipts: vec![],
        included: vec![],
        skipped: vec![],
        diff: Arc::new(diff),
        outbox: closed.outbox,
        gas_used: 0,
        commitment: closed.commitment,
    };
    hash_block(&Empty, B256::ZERO, genesis::plan(spec), run)
}

/// Block 0 of a chain, without a datadir.
pub fn genesis_block(
    spec: &ChainSpec,
    modules: &[Arc<dyn SystemModule>],
) -> Result<Arc<Block>, ExecutionError> {
    let vm = crate::open(spec)?;
    Ok(genesis_layer(spec, vm.as_ref(), modules)?.executed.block)
}

pub(super) fn hash_block(
    below: &dyn TrieReader,
    parent_hash: B256,
    plan: BlockPlan,
    run: Run,
) -> Result<Layer, ExecutionError> {
    let (state, (transactions_root, receipts_root)) = rayon::join(
        || trie::state_root(below, &run.diff),
        || {
            let (txs, receipts) = (&run.txs, &run.receipts);
            (roots::transactions_root(txs), roots::receipts_root(txs, receipts, &[]))
        },
    );
    let (state_root, trie) = state?;
    let over = TrieOver { diff: &trie, below };
    let outcome = Outcome {
        parent_hash,
        state_root,
        transactions_root,
        receipts_root,
        logs_bloom: roots::bloom(&run.receipts),
        gas_used: run.gas_used,
        withdrawals_root: trie::storage_root(&over, MESSAGE_PASSER)?,
        commitment: run.commitment,
    };
    let header = header(&plan.claim, &run.env, &outcome);
    let skipped = run.skipped.into_iter().map(|(at, why)| (hash_of(&plan, at), why)).collect();
    let block = Block {
        claim_hash: plan.claim.hash(),
        plan,
        hash: header.hash_slow(),
        header,
        txs: run.txs,
        receipts: run.receipts,
        skipped,
        outbox: run.outbox,
        ethereum: None,
    };
    Ok(Layer::new(ExecutedBlock {
        block: Arc::new(block),
        seal: None,
        diff: run.diff,
        trie: Arc::new(trie),
    }))
}

/// Hash of the bytes of a candidate.
pub(super) fn hash_of(plan: &BlockPlan, at: usize) -> B256 {
    match &plan.candidates[at] {
        Candidate::Tx(tx) => tx.hash,
        Candidate::Invalid(hash, _) => *hash,
    }
}

/// Whether the claim commits to this body, from hashes that are known already.
fn roots_match(plan: &BlockPlan) -> bool {
    let first = plan.forced.len();
    plan.candidates.len() == first + plan.body.candidates.len()
        && plan.claim.inbound_root == plan.body.inbound_root()
        && plan.claim.candidates_root == candidates_root(plan)
}

/// Root of the body's candidates, from hashes that are known already.
pub(super) fn candidates_root(plan: &BlockPlan) -> B256 {
    concat_hash((plan.forced.len()..plan.candidates.len()).map(|at| hash_of(plan, at)))
}

/// Checks a VM against its contract where breaking it would corrupt a block.
fn check_output(
    output: &BlockOutput,
    txs: usize,
    (calls, messages): (usize, usize),
    stop: &Stop,
) -> Result<(), ExecutionError> {
    let ascending = output.included.windows(2).all(|pair| pair[0] < pair[1]);
    let in_range = output.included.last().is_none_or(|last| *last < txs);
    let calls_ran = output.included.len() >= calls
        && output.included[..calls].iter().copied().eq(0..calls)
        && output.outcomes.len() == calls + messages;
    let skipped_ok = output.skipped.iter().all(|(at, _)| (calls..txs).contains(at));
    let one_each = output.receipts.len() == output.included.len()
        && output.included.len() + output.skipped.len() == output.attempted
        && (output.attempted == txs || (output.attempted < txs && stop.is_raised()));
    if ascending && in_range && calls_ran && skipped_ok && one_each {
        return Ok(());
    }
    Err(ExecutionError::Broken(format!(
        "the vm gave {} receipts for {} included, {} skipped, {} attempted of {txs} transactions \
         ({calls} system calls)",
        output.receipts.len(),
        output.included.len(),
        output.skipped.len(),
        output.attempted,
    )))
}

/// Account and slots with their proofs, in a state whose trie is still known.
pub(crate) fn prove(
    state: &(impl StateReader + TrieReader),
    address: Address,
    slots: &[U256],
) -> Result<super::Proof, ExecutionError> {
    let keys: Vec<B256> = slots.iter().map(|slot| B256::from(*slot)).collect();
    let (account_proof, slot_proofs) = trie::prove(state, address, &keys)?;
    let mut proven = Vec::with_capacity(slots.len());
    for (slot, proof) in slots.iter().zip(slot_proofs) {
        proven.push((*slot, state.slot(address, *slot)?, proof));
    }
    Ok(super::Proof {
        account: state.account(address)?,
        storage_root: trie::storage_root(state, address)?,
        account_proof,
        slots: proven,
    })
}
