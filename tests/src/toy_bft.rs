//! A toy sequencer with votes: n members, two phases, views that fail, in one process.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use alloy_primitives::{Address, B256, Signature};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use async_trait::async_trait;
use causeway_chainspec::{Claim, Clock, Seal, SealContext, SealTuple, SpanBlock};
use causeway_consensus::{
    BuildRequest, Chain, ChainError, ConsensusError, Proposal, SealError, Sequencer,
    SequencerStatus, Verdict,
};
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

/// A view that decided nothing ends after this, ms.
pub const VIEW_MS: u64 = 500;

/// What a member votes. Phase 1: "valid, and I vote for nothing else in
/// this view". Phase 2: "a quorum says so, I am locked".
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Vote {
    /// 1 or 2.
    pub phase: u64,
    /// For what.
    pub tuple: SealTuple,
}

/// What the log holds: a vote and the block it is for, so that a member that comes back locked
/// can propose the block again.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct Record {
    vote: Vote,
    block: SpanBlock,
}

#[derive(Debug, Clone)]
enum Message {
    Propose { view: u64, proposal: Box<Proposal> },
    Vote { vote: Vote, from: Address, signature: Signature },
}

/// What members share: messages to all, and decided blocks for who missed them.
pub struct Network {
    members: Vec<Address>,
    messages: broadcast::Sender<Message>,
    decided: Mutex<HashMap<B256, (Proposal, Seal)>>,
    news: watch::Sender<u64>,
}

impl Network {
    /// A network of these members; who leads follows their order.
    pub fn new(members: Vec<Address>) -> Self {
        let (messages, _) = broadcast::channel(1024);
        Self { members, messages, decided: Mutex::default(), news: watch::Sender::new(0) }
    }

    fn quorum(&self) -> usize {
        self.members.len() * 2 / 3 + 1
    }

    /// Publishes a decision. Two different ones on one parent are what voting must prevent.
    fn decide(&self, proposal: Proposal, seal: Seal) {
        let mut decided = self.decided.lock();
        let (parent, claim) = (proposal.claim.parent, proposal.claim.hash());
        let kept = decided.entry(parent).or_insert((proposal, seal));
        assert_eq!(kept.0.claim.hash(), claim, "two decisions on one parent");
        self.news.send_modify(|news| *news += 1);
    }
}

/// One member.
pub struct ToyBft {
    network: Arc<Network>,
    key: PrivateKeySigner,
}

/// The round about one block: everything a member knows of it.
struct Round {
    parent: B256,
    number: u64,
    view: u64,
    ends_ms: u64,
    proposed: bool,
    proposals: HashMap<B256, Proposal>,
    votes: BTreeMap<(u64, u64, B256), BTreeMap<Address, Signature>>,
    /// In which view a quorum was last seen for what.
    locked: Option<(u64, B256)>,
}

impl ToyBft {
    /// A member of a network, by its key.
    pub fn new(network: Arc<Network>, key: PrivateKeySigner) -> Self {
        Self { network, key }
    }

    /// A fresh round on the head. What was voted for in it before, the log knows.
    fn round(&self, chain: &dyn Chain, now_ms: u64) -> Result<Round, ChainError> {
        let latest = chain.heads().borrow().latest;
        let number = latest.number + 1;
        // What stood on a head that derivation replaced is over.
        let mut own = records(chain)?;
        own.retain(|record| record.block.claim.parent == latest.claim);
        let view = own.iter().map(|record| record.vote.tuple.view).max().unwrap_or(0);
        let locks = own.iter().map(|record| record.vote).filter(|vote| vote.phase == 2);
        let locked = locks.map(|vote| (vote.tuple.view, vote.tuple.claim)).max();
        Ok(Round {
            parent: latest.claim,
            number,
            view,
            ends_ms: now_ms + VIEW_MS,
            proposed: false,
            proposals: own
                .into_iter()
                .map(|Record { block: SpanBlock { claim, body }, .. }| {
                    (claim.hash(), Proposal { claim, body })
                })
                .collect(),
            votes: BTreeMap::new(),
            locked,
        })
    }

    fn leads(&self, round: &Round) -> bool {
        let index = (round.number + round.view) as usize % self.network.members.len();
        self.network.members[index] == self.key.address()
    }

    /// Proposes, once a view: the block it is locked on, or a new one.
    async fn propose(
        &self,
        chain: &dyn Chain,
        round: &mut Round,
        now_ms: u64,
    ) -> Result<(), ChainError> {
        if round.proposed || !self.leads(round) || *chain.waiting().borrow() == 0 {
            return Ok(());
        }
        let locked = round.locked.map(|(_, claim)| round.proposals.get(&claim).cloned());
        let proposal = match locked {
            Some(Some(proposal)) => proposal,
            // Locked on a block whose bytes it lost: somebody else will lead.
            Some(None) => return Ok(()),
            None => {
                let (parent, budget_ms) = (round.parent, VIEW_MS);
                let request = BuildRequest { parent, time_ms: now_ms, budget_ms };
                let block = chain.build(request).await?;
                Proposal { claim: block.plan.claim.clone(), body: block.plan.body.clone() }
            }
        };
        round.proposed = true;
        // Nobody listening is no error: the view will fail.
        let (view, proposal) = (round.view, Box::new(proposal));
        let _ = self.network.messages.send(Message::Propose { view, proposal });
        Ok(())
    }

    async fn on_message(
        &self,
        chain: &dyn Chain,
        round: &mut Round,
        message: Message,
        now_ms: u64,
    ) -> Result<(), ChainError> {
        match message {
            Message::Propose { view, proposal } => {
                if proposal.claim.parent != round.parent || view < round.view {
                    return Ok(());
                }
                if view > round.view {
                    round.turn(view, now_ms);
                }
                let Verdict::Valid(block) = chain.verify(round.parent, &proposal).await else {
                    return Ok(());
                };
                round.proposals.insert(block.claim_hash, (*proposal).clone());
                if round.locked.is_none_or(|(_, locked)| locked == block.claim_hash) {
                    let tuple = tuple(&proposal.claim, view);
                    self.vote(chain, Vote { phase: 1, tuple }, &proposal)?;
                }
            }
            Message::Vote { vote, from, signature } => {
                let tuple = vote.tuple;
                let votes = round.votes.entry((vote.phase, tuple.view, tuple.claim)).or_default();
                votes.insert(from, signature);
                let quorum = votes.len() >= self.network.quorum();
                let Some(proposal) = round.proposals.get(&tuple.claim) else { return Ok(()) };
                if !quorum || proposal.claim.parent != round.parent {
                    return Ok(());
                }
                let lock = (tuple.view, tuple.claim);
                if vote.phase == 1 && tuple.view == round.view && round.locked != Some(lock) {
                    self.vote(chain, Vote { phase: 2, tuple }, proposal)?;
                    round.locked = Some(lock);
                } else if vote.phase == 2 {
                    let proof: Vec<u8> =
                        votes.values().flat_map(|signature| signature.as_bytes()).collect();
                    let seal = Seal { view: tuple.view, proof: proof.into() };
                    self.network.decide(proposal.clone(), seal);
                }
            }
        }
        Ok(())
    }

    /// Votes, unless it voted otherwise before: the log is asked, then written, then synced.
    fn vote(&self, chain: &dyn Chain, vote: Vote, proposal: &Proposal) -> Result<(), ChainError> {
        let slot = |tuple: &SealTuple| (tuple.term, tuple.view, tuple.number);
        let before = votes(chain)?;
        let mut same = before.iter().filter(|old| slot(&old.tuple) == slot(&vote.tuple));
        if same.any(|old| old.tuple != vote.tuple) {
            return Ok(());
        }
        if !before.contains(&vote) {
            let Proposal { claim, body } = proposal.clone();
            let record = Record { vote, block: SpanBlock { claim, body } };
            chain.log().append(alloy_rlp::encode(record).into())?;
            chain.log().sync()?;
        }
        let signature = self
            .key
            .sign_hash_sync(&vote.tuple.digest())
            .map_err(|error| ChainError::Fatal(error.to_string()))?;
        let from = self.key.address();
        let _ = self.network.messages.send(Message::Vote { vote, from, signature });
        Ok(())
    }

    /// Commits what was decided on the head, however it learned of it.
    async fn follow(&self, chain: &dyn Chain) -> Result<(), ChainError> {
        loop {
            let parent = chain.heads().borrow().latest.claim;
            let Some((proposal, seal)) = self.network.decided.lock().get(&parent).cloned() else {
                return Ok(());
            };
            let Verdict::Valid(block) = chain.verify(parent, &proposal).await else {
                return Ok(());
            };
            match chain.commit(block.claim_hash, seal).await {
                // Derivation moved the head in between: look again.
                Ok(()) | Err(ChainError::UnknownParent(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Round {
    fn turn(&mut self, view: u64, now_ms: u64) {
        (self.view, self.ends_ms, self.proposed) = (view, now_ms + VIEW_MS, false);
    }
}

#[async_trait]
impl Sequencer for ToyBft {
    async fn run(
        &self,
        chain: Arc<dyn Chain>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Result<(), ConsensusError> {
        let chain = chain.as_ref();
        let mut messages = self.network.messages.subscribe();
        let mut news = self.network.news.subscribe();
        let (mut heads, mut waiting) = (chain.heads(), chain.waiting());
        let mut round = self.round(chain, clock.now_ms())?;
        loop {
            self.follow(chain).await?;
            if heads.borrow_and_update().latest.claim != round.parent {
                round = self.round(chain, clock.now_ms())?;
            }
            self.propose(chain, &mut round, clock.now_ms()).await?;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                message = messages.recv() => {
                    if let Ok(message) = message {
                        self.on_message(chain, &mut round, message, clock.now_ms()).await?;
                    }
                }
                () = clock.sleep_until(round.ends_ms) => {
                    round.turn(round.view + 1, clock.now_ms());
                }
                _ = news.changed() => {}
                _ = heads.changed() => {}
                _ = waiting.changed() => {}
            }
        }
    }

    fn verify(&self, context: &SealContext, claim: &Claim, seal: &Seal) -> Result<(), SealError> {
        if !seal.proof.len().is_multiple_of(65) {
            return Err(SealError::Malformed("not whole signatures"));
        }
        let digest = tuple(claim, seal.view).digest();
        let mut signers = Vec::new();
        for bytes in seal.proof.chunks(65) {
            let signature = Signature::from_raw(bytes);
            let signer = signature.and_then(|s| s.recover_address_from_prehash(&digest));
            let signer = signer.map_err(|_| SealError::Malformed("no signature"))?;
            if !context.keys.contains(&signer) {
                return Err(SealError::WrongKey(signer));
            }
            if !signers.contains(&signer) {
                signers.push(signer);
            }
        }
        let (have, want) = (signers.len(), context.keys.len() * 2 / 3 + 1);
        if have >= want { Ok(()) } else { Err(SealError::Quorum { have, want }) }
    }

    fn status(&self) -> SequencerStatus {
        SequencerStatus { mode: "toy-bft", leader: true, paused: None }
    }
}

fn tuple(claim: &Claim, view: u64) -> SealTuple {
    let Claim { identity, term, number, .. } = *claim;
    SealTuple { identity, term, view, number, claim: claim.hash() }
}

/// Every vote in a member's log, oldest first.
pub fn votes(chain: &dyn Chain) -> Result<Vec<Vote>, ChainError> {
    Ok(records(chain)?.into_iter().map(|record| record.vote).collect())
}

fn records(chain: &dyn Chain) -> Result<Vec<Record>, ChainError> {
    let records = chain.log().replay()?;
    let records = records.iter().map(|record| Record::decode(&mut record.as_ref()));
    records.collect::<Result<_, _>>().map_err(|error| ChainError::Fatal(error.to_string()))
}
