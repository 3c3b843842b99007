//! Seals, settings, and the loop against a node that only counts.

use std::collections::VecDeque;

use alloy_consensus::Header;
use causeway_chainspec::{BlockBody, BlockId, BlockPlan, Heads};
use parking_lot::Mutex;

use super::*;
use crate::testkit::{genesis, spec, tx};
use crate::{DurableLog, Proposal, Verdict};

fn key(byte: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(byte)).unwrap()
}

fn keyed_spec() -> ChainSpec {
    let mut spec = spec();
    spec.sequencer.keys[0].keys = vec![key(1).address()];
    spec
}

fn sealed(byte: u8, claim: &Claim) -> Seal {
    let digest = tuple(claim.identity, claim).digest();
    let signature = key(byte).sign_hash_sync(&digest).unwrap();
    Seal { view: 0, proof: Bytes::copy_from_slice(&signature.as_bytes()) }
}

#[test]
fn only_the_key_in_force_seals() {
    let spec = keyed_spec();
    let single = open(&spec, None).unwrap();
    let claim = genesis(&spec);
    let context = SealContext { identity: claim.identity, keys: vec![key(1).address()] };
    let good = sealed(1, &claim);
    assert_eq!(single.verify(&context, &claim, &good), Ok(()));
    let wrong = single.verify(&context, &claim, &sealed(2, &claim));
    assert_eq!(wrong, Err(SealError::WrongKey(key(2).address())));
    let other = Claim { number: 1, ..claim.clone() };
    assert!(matches!(single.verify(&context, &other, &good), Err(SealError::WrongKey(_))));
    let elsewhere = SealContext { identity: B256::repeat_byte(9), ..context.clone() };
    assert!(single.verify(&elsewhere, &claim, &good).is_err());
    // One signature has one form.
    let malformed = |change: &dyn Fn(&mut Seal, &mut Vec<u8>)| {
        let mut seal = good.clone();
        let mut proof = seal.proof.to_vec();
        change(&mut seal, &mut proof);
        seal.proof = proof.into();
        matches!(single.verify(&context, &claim, &seal), Err(SealError::Malformed(_)))
    };
    assert!(malformed(&|seal, _| seal.view = 1));
    assert!(malformed(&|_, proof| proof.push(0)));
    assert!(malformed(&|_, proof| proof[64] -= 27));
    assert!(malformed(&|_, proof| {
        let signature = Signature::from_raw(proof).unwrap();
        let order = alloy_primitives::uint!(
            0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256
        );
        let high = Signature::new(signature.r(), order - signature.s(), !signature.v());
        proof.copy_from_slice(&high.as_bytes());
    }));
}

#[test]
fn settings_are_checked() {
    let spec = keyed_spec();
    assert!(open(&spec, Some(key(1))).is_ok());
    let error = open(&spec, Some(key(2))).err().unwrap().to_string();
    assert!(error.contains(&key(2).address().to_string()), "{error}");
    let mut odd = keyed_spec();
    odd.sequencer.options.insert("speed".into(), 3.into());
    assert!(matches!(open(&odd, None), Err(ConsensusError::Config(_))));
}

#[test]
fn a_signature_contradicts_only_within_its_term() {
    let at = |term, number, claim: u8| SealTuple {
        identity: B256::ZERO,
        term,
        view: 0,
        number,
        claim: B256::repeat_byte(claim),
    };
    let signed = at(5, 10, 1);
    let own = B256::repeat_byte(1);
    let cases = [
        (at(5, 10, 1), B256::ZERO, false),
        (at(5, 10, 2), B256::ZERO, true),
        (at(5, 9, 2), B256::ZERO, true),
        (at(5, 11, 2), own, false),
        (at(5, 11, 2), B256::ZERO, true),
        (at(5, 12, 2), B256::ZERO, false),
        (at(6, 9, 2), B256::ZERO, false),
        (at(4, 12, 2), B256::ZERO, true),
    ];
    for (next, parent, want) in cases {
        assert_eq!(contradicts(&signed, &next, parent), want, "{next:?} on {parent}");
    }
}

/// A clock that a test turns.
struct Hand(watch::Sender<u64>);

impl Clock for Hand {
    fn now_ms(&self) -> u64 {
        *self.0.borrow()
    }

    fn sleep_until(&self, time_ms: u64) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut now = self.0.subscribe();
        Box::pin(async move {
            now.wait_for(|now| *now >= time_ms).await.expect("the clock outlives its users");
        })
    }
}

/// A node that makes a block of whatever waits, or refuses as told.
struct Counter {
    heads: watch::Sender<Heads>,
    waiting: watch::Sender<usize>,
    refusals: Mutex<VecDeque<ChainError>>,
    signed: Mutex<Option<SealTuple>>,
    built: Mutex<Vec<Arc<Block>>>,
    times: watch::Sender<Vec<u64>>,
    /// Set for a node whose clock goes on while it builds, by twice what it is given, and whose
    /// blocks stay empty.
    slow: Mutex<Option<Arc<Hand>>>,
}

impl DurableLog for Counter {
    fn append(&self, _: Bytes) -> Result<(), ChainError> {
        Ok(())
    }
    fn sync(&self) -> Result<(), ChainError> {
        Ok(())
    }
    fn replay(&self) -> Result<Vec<Bytes>, ChainError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Chain for Counter {
    async fn build(&self, request: BuildRequest) -> Result<Arc<Block>, ChainError> {
        self.times.send_modify(|times| times.push(request.time_ms));
        if let Some(error) = self.refusals.lock().pop_front() {
            return Err(error);
        }
        let head = self.heads.borrow().latest;
        let mut body = BlockBody::default();
        let slow = self.slow.lock().clone();
        if let Some(clock) = &slow {
            clock.0.send_modify(|now| *now += 2 * request.budget_ms);
        } else if *self.waiting.borrow() > 0 {
            body.candidates.push(tx(1, head.number, 1, 1, 0).raw.clone());
        }
        let mut claim = genesis(&spec());
        (claim.number, claim.parent) = (head.number + 1, request.parent);
        claim.time_ms = request.time_ms;
        claim.candidates_root = body.candidates_root();
        let block = Arc::new(Block {
            claim_hash: claim.hash(),
            plan: BlockPlan { claim, body, forced: vec![], candidates: vec![] },
            header: Header::default(),
            hash: B256::ZERO,
            txs: vec![],
            receipts: vec![],
            skipped: vec![],
            outbox: vec![],
            ethereum: None,
        });
        self.built.lock().push(block.clone());
        Ok(block)
    }

    async fn verify(&self, _: B256, _: &Proposal) -> Verdict {
        Verdict::Invalid("one builder only".into())
    }

    async fn commit(&self, claim: B256, seal: Seal) -> Result<(), ChainError> {
        let built = self.built.lock();
        let block = built.iter().find(|block| block.claim_hash == claim).unwrap();
        let claim = &block.plan.claim;
        assert_eq!(seal, sealed(1, claim));
        *self.signed.lock() = Some(tuple(claim.identity, claim));
        let latest = BlockId { number: claim.number, claim: block.claim_hash, hash: B256::ZERO };
        self.heads.send_modify(|heads| heads.latest = latest);
        if self.slow.lock().is_none() {
            self.waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
        }
        Ok(())
    }

    fn last_signed(&self) -> Option<SealTuple> {
        *self.signed.lock()
    }

    fn heads(&self) -> watch::Receiver<Heads> {
        self.heads.subscribe()
    }

    fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    fn log(&self) -> &dyn DurableLog {
        self
    }
}

struct Bench {
    chain: Arc<Counter>,
    clock: Arc<Hand>,
    sequencer: Arc<dyn Sequencer>,
    stop: CancellationToken,
    run: tokio::task::JoinHandle<Result<(), ConsensusError>>,
}

const NOW: u64 = 1_000_000;

impl Bench {
    /// Block time 100 ms, idle time 1 s.
    fn start(refusals: Vec<ChainError>) -> Self {
        let spec = keyed_spec();
        let genesis = BlockId { number: 0, claim: genesis(&spec).hash(), hash: B256::ZERO };
        let chain = Arc::new(Counter {
            heads: watch::Sender::new(Heads {
                latest: genesis,
                safe: genesis,
                finalized: genesis,
                safe_da: Default::default(),
                reorgs: 0,
            }),
            waiting: watch::Sender::new(0),
            refusals: Mutex::new(refusals.into()),
            signed: Mutex::default(),
            built: Mutex::default(),
            times: watch::Sender::new(vec![]),
            slow: Mutex::default(),
        });
        let clock = Arc::new(Hand(watch::Sender::new(NOW)));
        let sequencer = open(&spec, Some(key(1))).unwrap();
        let stop = CancellationToken::new();
        let (on, chain2, clock2, stop2) =
            (sequencer.clone(), chain.clone(), clock.clone(), stop.clone());
        let run = tokio::spawn(async move { on.run(chain2, clock2, stop2).await });
        Self { chain, clock, sequencer, stop, run }
    }

    /// Turns the clock, then lets everything happen that happens now.
    async fn at(&self, ms: u64) {
        self.clock.0.send_replace(NOW + ms);
        self.settle().await;
    }

    async fn settle(&self) {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    /// Times at which blocks were asked for, from the start.
    fn times(&self) -> Vec<u64> {
        self.chain.times.borrow().iter().map(|time| time - NOW).collect()
    }
}

#[tokio::test]
async fn blocks_come_on_demand_and_at_the_idle_time() {
    let bench = Bench::start(vec![]);
    bench.settle().await;
    // The first at once, so that the head's time catches up with the clock.
    assert_eq!(bench.times(), [0]);
    bench.at(500).await;
    assert_eq!(bench.times(), [0]);
    bench.chain.waiting.send_replace(2);
    bench.settle().await;
    // The second of two waits for the block time.
    assert_eq!(bench.times(), [0, 500]);
    bench.at(599).await;
    assert_eq!(bench.times(), [0, 500]);
    bench.at(600).await;
    assert_eq!(bench.times(), [0, 500, 600]);
    bench.at(1_599).await;
    assert_eq!(bench.times(), [0, 500, 600]);
    // Missed ticks are not made up.
    bench.at(9_000).await;
    assert_eq!(bench.times(), [0, 500, 600, 9_000]);
    assert_eq!(bench.chain.heads.borrow().latest.number, 4);
    // A clock that goes back starts a new interval.
    bench.at(8_000).await;
    bench.at(8_999).await;
    assert_eq!(bench.times().len(), 4);
    bench.stop.cancel();
    assert_eq!(bench.run.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_block_cut_short_is_followed_at_once() {
    let bench = Bench::start(vec![]);
    bench.settle().await;
    *bench.chain.slow.lock() = Some(bench.clock.clone());
    bench.chain.waiting.send_replace(1);
    bench.at(100).await;
    let times = bench.times();
    assert!(times.len() > 3, "{times:?}");
    assert_eq!(times[..4], [0, 100, 300, 500]);
    bench.stop.cancel();
    assert_eq!(bench.run.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_pause_is_told_and_ends_by_itself() {
    let bench = Bench::start(vec![ChainError::Paused("no DA".into()); 2]);
    bench.settle().await;
    let paused = bench.sequencer.status().paused.unwrap();
    assert!(paused.contains("no DA"), "{paused}");
    bench.at(1_000).await;
    bench.at(2_000).await;
    assert_eq!(bench.sequencer.status().paused, None);
    assert_eq!(bench.chain.heads.borrow().latest.number, 1);
    bench.stop.cancel();
    assert_eq!(bench.run.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_failing_node_ends_the_run() {
    let bench = Bench::start(vec![ChainError::Fatal("disk".into())]);
    let result = bench.run.await.unwrap();
    assert_eq!(result, Err(ConsensusError::Chain(ChainError::Fatal("disk".into()))));
}

#[tokio::test]
async fn it_never_signs_two_blocks_with_one_number() {
    let bench = Bench::start(vec![]);
    bench.settle().await;
    assert_eq!(bench.chain.heads.borrow().latest.number, 1);
    // Derivation replaced block 1, and the node offers no takeover.
    let safe = BlockId { number: 0, claim: B256::repeat_byte(7), hash: B256::ZERO };
    bench.chain.heads.send_modify(|heads| heads.latest = safe);
    bench.at(5_000).await;
    assert_eq!(bench.chain.heads.borrow().latest, safe);
    let paused = bench.sequencer.status().paused.unwrap();
    assert!(paused.contains("contradict block 1 of term 0"), "{paused}");
    bench.stop.cancel();
    assert_eq!(bench.run.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn without_a_key_there_is_nothing_to_run() {
    let bench = Bench::start(vec![]);
    let follower = open(&keyed_spec(), None).unwrap();
    assert!(!follower.status().leader);
    let result =
        follower.run(bench.chain.clone(), bench.clock.clone(), CancellationToken::new()).await;
    assert!(matches!(result, Err(ConsensusError::Config(_))));
}
