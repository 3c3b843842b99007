//! A node in memory as a sequencer sees it: claims only, nothing is executed.

use std::collections::HashMap;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes};
use async_trait::async_trait;
use causeway_chainspec::block::concat_hash;
use causeway_chainspec::{
    Block, BlockBody, BlockId, BlockPlan, Claim, ForcedCut, Heads, Seal, SealTuple,
};
use causeway_consensus::{BuildRequest, Chain, ChainError, DurableLog, Proposal, Verdict};
use parking_lot::Mutex;
use tokio::sync::watch;

/// A log whose records survive a restart once they are synced.
#[derive(Debug, Default)]
pub struct FakeLog {
    records: Mutex<(Vec<Bytes>, usize)>,
}

impl FakeLog {
    /// What a crash leaves: synced records.
    fn crash(&self) {
        let mut records = self.records.lock();
        let synced = records.1;
        records.0.truncate(synced);
    }
}

impl DurableLog for FakeLog {
    fn append(&self, record: Bytes) -> Result<(), ChainError> {
        self.records.lock().0.push(record);
        Ok(())
    }

    fn sync(&self) -> Result<(), ChainError> {
        let mut records = self.records.lock();
        records.1 = records.0.len();
        Ok(())
    }

    fn replay(&self) -> Result<Vec<Bytes>, ChainError> {
        Ok(self.records.lock().0.clone())
    }
}

#[derive(Default)]
struct State {
    committed: Vec<(Arc<Block>, Option<Seal>)>,
    executed: HashMap<B256, Arc<Block>>,
    pool: Vec<Bytes>,
    term: u64,
    signed: Vec<SealTuple>,
}

/// One member's node. Building takes the whole pool; equal pools and requests give equal claims.
pub struct FakeChain {
    identity: B256,
    state: Mutex<State>,
    heads: watch::Sender<Heads>,
    waiting: watch::Sender<usize>,
    log: FakeLog,
}

impl FakeChain {
    /// A chain of genesis alone, at `time_ms`.
    pub fn new(identity: B256, time_ms: u64) -> Self {
        let genesis = block(identity, 0, B256::ZERO, 0, time_ms, BlockBody::default());
        let id = id(&genesis);
        let heads =
            Heads { latest: id, safe: id, finalized: id, safe_da: Default::default(), reorgs: 0 };
        let state = State { committed: vec![(genesis, None)], ..State::default() };
        Self {
            identity,
            state: Mutex::new(state),
            heads: watch::Sender::new(heads),
            waiting: watch::Sender::new(0),
            log: FakeLog::default(),
        }
    }

    /// Adds a transaction to the pool.
    pub fn put(&self, tx: Bytes) {
        let mut state = self.state.lock();
        state.pool.push(tx);
        self.waiting.send_replace(state.pool.len());
    }

    /// Derivation replaces the newest block by an empty one of its own; what is built next has a
    /// new term. The same on every member.
    pub fn replace_head(&self) {
        let mut state = self.state.lock();
        let (old, _) = state.committed.pop().expect("there is a head");
        let claim = &old.plan.claim;
        let time_ms = claim.time_ms + 1;
        let body = BlockBody::default();
        let new = block(self.identity, claim.number, claim.parent, claim.term, time_ms, body);
        let id = id(&new);
        state.committed.push((new, None));
        state.executed.clear();
        state.term += 1;
        state.pool.splice(0..0, old.plan.body.candidates.iter().cloned());
        self.waiting.send_replace(state.pool.len());
        self.heads.send_modify(|heads| {
            (heads.latest, heads.safe) = (id, id);
            heads.reorgs += 1;
        });
    }

    /// The process died and came back: what was not durable is gone.
    pub fn restart(&self) {
        self.log.crash();
        self.state.lock().executed.clear();
    }

    /// Committed blocks with their seals, genesis first.
    pub fn committed(&self) -> Vec<(Arc<Block>, Option<Seal>)> {
        self.state.lock().committed.clone()
    }

    /// Every tuple a commit made durable, oldest first.
    pub fn signed(&self) -> Vec<SealTuple> {
        self.state.lock().signed.clone()
    }
}

#[async_trait]
impl Chain for FakeChain {
    async fn build(&self, request: BuildRequest) -> Result<Arc<Block>, ChainError> {
        // Another task may run in the middle of a build.
        tokio::task::yield_now().await;
        let mut state = self.state.lock();
        let parent = state.find(request.parent)?;
        let claim = &parent.plan.claim;
        let time_ms = request.time_ms.max(claim.time_ms + 1);
        let term = claim.term.max(state.term);
        let body = BlockBody { inbound: Vec::new(), candidates: state.pool.clone() };
        let built = block(self.identity, claim.number + 1, parent.claim_hash, term, time_ms, body);
        state.executed.insert(built.claim_hash, built.clone());
        Ok(built)
    }

    async fn verify(&self, parent: B256, proposal: &Proposal) -> Verdict {
        tokio::task::yield_now().await;
        let mut state = self.state.lock();
        let Ok(found) = state.find(parent) else {
            return Verdict::Withhold("the parent is not here".into());
        };
        let (claim, above) = (&proposal.claim, &found.plan.claim);
        let links = claim.parent == parent
            && claim.number == above.number + 1
            && claim.time_ms > above.time_ms;
        if !links || !proposal.body.matches(claim) {
            return Verdict::Invalid("breaks a rule".into());
        }
        let block = from_parts(claim.clone(), proposal.body.clone());
        state.executed.insert(block.claim_hash, block.clone());
        Verdict::Valid(block)
    }

    async fn commit(&self, claim: B256, seal: Seal) -> Result<(), ChainError> {
        tokio::task::yield_now().await;
        let mut state = self.state.lock();
        if state.committed.iter().any(|(block, _)| block.claim_hash == claim) {
            return Ok(());
        }
        let block = state.executed.get(&claim).cloned();
        let block = block.ok_or(ChainError::UnknownParent(claim))?;
        let latest = state.committed.last().map(|(block, _)| block.claim_hash);
        if latest != Some(block.plan.claim.parent) {
            return Err(ChainError::UnknownParent(block.plan.claim.parent));
        }
        let Claim { term, number, .. } = block.plan.claim;
        let identity = self.identity;
        state.signed.push(SealTuple { identity, term, view: seal.view, number, claim });
        state.executed.retain(|_, other| other.plan.claim.parent != block.plan.claim.parent);
        state.pool.retain(|tx| !block.plan.body.candidates.contains(tx));
        self.waiting.send_replace(state.pool.len());
        self.heads.send_modify(|heads| heads.latest = id(&block));
        state.committed.push((block, Some(seal)));
        Ok(())
    }

    fn last_signed(&self) -> Option<SealTuple> {
        self.state.lock().signed.last().copied()
    }

    fn heads(&self) -> watch::Receiver<Heads> {
        self.heads.subscribe()
    }

    fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    fn log(&self) -> &dyn DurableLog {
        &self.log
    }
}

impl State {
    fn find(&self, claim: B256) -> Result<Arc<Block>, ChainError> {
        let committed = self.committed.iter().map(|(block, _)| block);
        let mut all = committed.chain(self.executed.values());
        let found = all.find(|block| block.claim_hash == claim);
        found.cloned().ok_or(ChainError::UnknownParent(claim))
    }
}

fn id(block: &Block) -> BlockId {
    BlockId { number: block.plan.claim.number, claim: block.claim_hash, hash: block.hash }
}

fn block(
    identity: B256,
    number: u64,
    parent: B256,
    term: u64,
    time_ms: u64,
    body: BlockBody,
) -> Arc<Block> {
    let claim = Claim {
        identity,
        number,
        term,
        parent,
        time_ms,
        origin: None,
        cut: ForcedCut::default(),
        anchors: Vec::new(),
        inbound_root: concat_hash(std::iter::empty()),
        candidates_root: body.candidates_root(),
        takeover: None,
    };
    from_parts(claim, body)
}

fn from_parts(claim: Claim, body: BlockBody) -> Arc<Block> {
    let claim_hash = claim.hash();
    Arc::new(Block {
        plan: BlockPlan { claim, body, forced: Vec::new(), candidates: Vec::new() },
        claim_hash,
        header: Header::default(),
        hash: claim_hash,
        txs: Vec::new(),
        receipts: Vec::new(),
        skipped: Vec::new(),
        outbox: Vec::new(),
        ethereum: None,
    })
}
