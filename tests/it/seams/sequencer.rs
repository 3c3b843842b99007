//! What every way to agree on blocks must do through the port, whatever it is inside.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::spec::{
    DaSpec, Fees, Gas, GenesisSpec, KeyChange, Kind, MetalayerSpec, Public, SequencerSpec, Token,
};
use causeway_chainspec::{ChainSpec, Clock, Fork, SealContext, SealTuple};
use causeway_consensus::{BuildRequest, Chain, ConsensusError, Sequencer};
use causeway_tests::clock::ManualClock;
use causeway_tests::fake_chain::FakeChain;
use causeway_tests::toy_bft::{Network, ToyBft, votes};
use causeway_tests::toy_ordered::{Order, ToyOrdered};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Opens one member's sequencer; called again for a restart.
type Open = Box<dyn Fn(usize) -> Arc<dyn Sequencer>>;

/// A mode, ready for a suite: how many members, and how each is opened.
struct Mode {
    name: &'static str,
    members: usize,
    open: Open,
    order: Option<Arc<Order>>,
}

/// Every mode. To add one: a line here.
fn modes() -> Vec<Mode> {
    vec![single(), toy_bft(4), toy_ordered()]
}

fn key(member: usize) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::with_last_byte(member as u8 + 1)).unwrap()
}

fn keys(members: usize) -> Vec<Address> {
    (0..members).map(|member| key(member).address()).collect()
}

fn single() -> Mode {
    let spec = spec();
    let open = move |member| causeway_consensus::single::open(&spec, Some(key(member))).unwrap();
    Mode { name: "single", members: 1, open: Box::new(open), order: None }
}

fn toy_bft(members: usize) -> Mode {
    let network = Arc::new(Network::new(keys(members)));
    let open =
        move |member| -> Arc<dyn Sequencer> { Arc::new(ToyBft::new(network.clone(), key(member))) };
    Mode { name: "toy-bft", members, open: Box::new(open), order: None }
}

fn toy_ordered() -> Mode {
    let order = Arc::new(Order::new(Vec::new()));
    let shared = order.clone();
    let open = move |_| -> Arc<dyn Sequencer> { Arc::new(ToyOrdered::new(shared.clone())) };
    Mode { name: "toy-ordered", members: 3, open: Box::new(open), order: Some(order) }
}

/// A member's run, to be stopped.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), ConsensusError>>,
}

/// All members of a mode in one process, on one clock.
struct Cluster {
    mode: Mode,
    clock: Arc<ManualClock>,
    chains: Vec<Arc<FakeChain>>,
    running: Vec<Option<Running>>,
    sent: u64,
}

impl Cluster {
    fn new(mode: Mode) -> Self {
        let identity = spec().identity();
        let chains = (0..mode.members).map(|_| Arc::new(FakeChain::new(identity, 1_000))).collect();
        let running = (0..mode.members).map(|_| None).collect();
        Self { mode, clock: Arc::new(ManualClock::new(10_000)), chains, running, sent: 0 }
    }

    fn started(mode: Mode) -> Self {
        let mut cluster = Self::new(mode);
        (0..cluster.mode.members).for_each(|member| cluster.start(member));
        cluster
    }

    fn start(&mut self, member: usize) {
        let sequencer = (self.mode.open)(member);
        let chain: Arc<dyn Chain> = self.chains[member].clone();
        let (clock, stop) = (self.clock.clone(), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move { sequencer.run(chain, clock, stopped).await });
        self.running[member] = Some(Running { stop, task });
    }

    async fn stop(&mut self, member: usize) {
        let running = self.running[member].take().expect("it runs");
        running.stop.cancel();
        assert_eq!(running.task.await.expect("no panic"), Ok(()), "{}", self.mode.name);
    }

    /// The process dies wherever it is, and comes back with what was durable.
    async fn crash(&mut self, member: usize) {
        let running = self.running[member].take().expect("it runs");
        running.task.abort();
        let ended = running.task.await;
        assert!(ended.is_err_and(|error| error.is_cancelled()));
        self.chains[member].restart();
    }

    /// Gives everybody something to build.
    fn demand(&mut self) {
        self.sent += 1;
        let tx = Bytes::from(self.sent.to_be_bytes());
        self.chains.iter().for_each(|chain| chain.put(tx.clone()));
        if let Some(order) = &self.mode.order {
            order.send_modify(|order| order.push((self.clock.now_ms(), vec![tx.clone()])));
        }
    }

    /// Lets so many things happen without time passing.
    async fn settle(&self, steps: usize) {
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
    }

    /// Lets time pass and everything happen.
    async fn pass(&self, ms: u64) {
        for _ in 0..ms.div_ceil(50) {
            self.clock.advance(50);
            self.settle(100).await;
        }
    }

    fn height(&self, member: usize) -> u64 {
        self.chains[member].committed().len() as u64 - 1
    }

    /// What must hold at any moment, whatever happened.
    fn check(&self) {
        let name = self.mode.name;
        let identity = spec().identity();
        let context = SealContext { identity, keys: keys(self.mode.members) };
        let verifier = (self.mode.open)(0);
        for (member, chain) in self.chains.iter().enumerate() {
            let blocks = chain.committed();
            for (parent, child) in blocks.iter().zip(&blocks[1..]) {
                let claim = &child.0.plan.claim;
                assert_eq!(claim.parent, parent.0.claim_hash, "{name}: blocks chain up");
                assert!(claim.time_ms > parent.0.plan.claim.time_ms, "{name}: time increases");
                let Some(seal) = &child.1 else { continue };
                assert_eq!(verifier.verify(&context, claim, seal), Ok(()), "{name}");
                let other = &parent.0.plan.claim;
                assert!(verifier.verify(&context, other, seal).is_err(), "{name}: another claim");
            }
            self.check_signatures(member, &chain.signed());
        }
        let shortest = (0..self.mode.members).map(|member| self.height(member)).min();
        let shortest = shortest.expect("there are members") as usize;
        let first = self.chains[0].committed();
        for chain in &self.chains {
            let same = chain.committed()[shortest].0.claim_hash == first[shortest].0.claim_hash;
            assert!(same, "{name}: members agree");
        }
    }

    /// One claim for each (term, view, number): in what was committed and in what was voted.
    fn check_signatures(&self, member: usize, signed: &[SealTuple]) {
        let mut seen = BTreeMap::new();
        let voted = match self.mode.name {
            "toy-bft" => votes(self.chains[member].as_ref()).expect("its own format"),
            _ => Vec::new(),
        };
        for tuple in voted.iter().map(|vote| &vote.tuple).chain(signed) {
            let slot = (tuple.term, tuple.view, tuple.number);
            let before = *seen.entry(slot).or_insert(tuple.claim);
            assert_eq!(before, tuple.claim, "{}: two claims at {slot:?}", self.mode.name);
        }
    }
}

#[tokio::test]
async fn blocks_chain_up_and_heads_are_equal() {
    for mode in modes() {
        let mut cluster = Cluster::started(mode);
        for _ in 0..6 {
            cluster.demand();
            cluster.pass(1_000).await;
            cluster.check();
        }
        let heights: Vec<_> = (0..cluster.mode.members).map(|m| cluster.height(m)).collect();
        assert!(heights[0] >= 6, "{}: {heights:?}", cluster.mode.name);
        assert!(heights.iter().all(|height| *height == heights[0]), "{heights:?}");
    }
}

#[tokio::test]
async fn a_commit_drops_siblings_and_may_come_twice() {
    for mode in modes() {
        let name = mode.name;
        let mut cluster = Cluster::new(mode);
        let chain = cluster.chains[0].clone();
        let parent = chain.heads().borrow().latest.claim;
        let request = BuildRequest { parent, time_ms: 2_000, budget_ms: 1_000 };
        let sibling = chain.build(request).await.unwrap();
        (0..cluster.mode.members).for_each(|member| cluster.start(member));
        cluster.demand();
        cluster.pass(1_000).await;
        let (first, seal) = chain.committed()[1].clone();
        assert_ne!(first.claim_hash, sibling.claim_hash, "{name}");
        let seal = seal.expect("a sequencer made it");
        let height = cluster.height(0);
        assert!(chain.commit(sibling.claim_hash, seal.clone()).await.is_err(), "{name}");
        assert_eq!(chain.commit(first.claim_hash, seal).await, Ok(()), "{name}");
        assert_eq!(cluster.height(0), height, "{name}");
    }
}

#[tokio::test]
async fn stopping_anywhere_leaves_whole_blocks() {
    for steps in 0..40 {
        for mode in modes() {
            let mut cluster = Cluster::started(mode);
            cluster.demand();
            cluster.settle(steps).await;
            for member in 0..cluster.mode.members {
                cluster.stop(member).await;
            }
            cluster.check();
            let before = cluster.height(0);
            (0..cluster.mode.members).for_each(|member| cluster.start(member));
            cluster.demand();
            // How many views fail before one succeeds depends on where the members stopped.
            for _ in 0..10 {
                cluster.pass(3_000).await;
                cluster.check();
                if cluster.height(0) > before {
                    break;
                }
            }
            assert!(cluster.height(0) > before, "{} after {steps}", cluster.mode.name);
        }
    }
}

#[tokio::test]
async fn crashes_never_make_a_member_sign_twice() {
    for steps in 0..60 {
        for mode in modes() {
            let mut cluster = Cluster::started(mode);
            for round in 0..3 {
                let member = round % cluster.mode.members;
                cluster.demand();
                cluster.settle(steps + round).await;
                cluster.crash(member).await;
                cluster.settle(steps / 2).await;
                cluster.start(member);
                cluster.check();
            }
            cluster.pass(4_000).await;
            cluster.check();
            assert!(cluster.height(0) > 0, "{} after {steps}", cluster.mode.name);
        }
    }
}

#[tokio::test]
async fn a_head_that_derivation_replaced_is_followed() {
    for mode in modes() {
        let name = mode.name;
        let mut cluster = Cluster::started(mode);
        cluster.demand();
        cluster.pass(1_000).await;
        cluster.chains.iter().for_each(|chain| chain.replace_head());
        let derived = cluster.chains[0].committed().len() - 1;
        cluster.demand();
        cluster.pass(3_000).await;
        cluster.check();
        for chain in &cluster.chains {
            let blocks = chain.committed();
            assert!(blocks[derived].1.is_none(), "{name}: the derived block stays");
            assert!(blocks.len() > derived + 1, "{name}: and is built upon");
            assert_eq!(blocks[derived + 1].0.plan.claim.term, 1, "{name}: in a new term");
        }
    }
}

#[tokio::test]
async fn votes_go_on_without_the_leader_of_a_view() {
    let mut cluster = Cluster::new(toy_bft(4));
    // Member 1 leads view 0 of block 1, and is not there.
    for member in [0, 2, 3] {
        cluster.start(member);
    }
    cluster.demand();
    cluster.pass(2_000).await;
    assert!(cluster.height(0) >= 1);
    let seal = cluster.chains[0].committed()[1].1.clone().expect("it was voted for");
    assert!(seal.view > 0, "view 0 failed");
    // It catches up once it is back.
    cluster.start(1);
    cluster.pass(1_000).await;
    cluster.check();
    assert_eq!(cluster.height(1), cluster.height(0));
    // Two of four are no quorum: nothing is decided, and nothing is lost.
    cluster.stop(2).await;
    cluster.stop(3).await;
    let height = cluster.height(0);
    cluster.demand();
    cluster.pass(5_000).await;
    assert_eq!(cluster.height(0), height);
    cluster.start(2);
    cluster.pass(10_000).await;
    cluster.check();
    assert!(cluster.height(0) > height);
}

/// What `single` asks of a spec; the rest is filler.
fn spec() -> ChainSpec {
    let keys = vec![KeyChange { from_ms: 0, keys: vec![key(0).address()] }];
    ChainSpec {
        name: "suite".into(),
        short_name: "suite".into(),
        chain_id: 7,
        kind: Kind::Devnet,
        vm: "ledger".into(),
        gas: Gas {
            limit: 1,
            rate: 1,
            burst: 1,
            target: 1,
            rate_bytes: 1,
            burst_bytes: 1,
            limit_bytes: 1,
            limit_candidates: 1,
        },
        fees: Fees { min_base_fee: 1, floor: 0, denominator: 1, recipient: Address::ZERO },
        token: Token { name: "Ether".into(), symbol: "ETH".into(), decimals: 18 },
        forks: vec![(Fork::Prague, 0)],
        da: DaSpec {
            layer: "memory".into(),
            interval_ms: 100,
            start: 1,
            options: Default::default(),
        },
        sequencer: SequencerSpec {
            mode: "single".into(),
            keys: keys.clone(),
            posters: keys,
            window_ms: 8_000,
            drift_ms: 400,
            forced_delay_ms: 800,
            lane_rate: 1,
            block_time_ms: 100,
            idle_ms: 1_000,
            options: Default::default(),
        },
        genesis: GenesisSpec { time_ms: 1_000, alloc: BTreeMap::new(), preinstalls: Vec::new() },
        metalayer: MetalayerSpec::none(7),
        public: Public::default(),
        memo: Default::default(),
    }
}
