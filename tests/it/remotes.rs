//! Two members of the Metalayer in one process: each follows the other from its DA, anchors what
//! is final there, and checks what its own chain says.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer::SignerSync;
use causeway_bridge::metalayer::view;
use causeway_chainspec::directory::{Directory, MetalayerSpec, SeedMember, SeedTransfer};
use causeway_chainspec::mailbox::Coin;
use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_chainspec::spec::{Inputs, parse};
use causeway_chainspec::{
    Anchor, Block, BlockPlan, ChainSpec, Claim, Clock, LaneItem, Seal, SealTuple, StateReader,
};
use causeway_consensus::mempool::Limits;
use causeway_consensus::{BuildRequest, Chain, ChainError};
use causeway_da::codec::{self, EncodeOptions};
use causeway_da::memory::{MemoryConfig, MemoryDa};
use causeway_da::{DaBackend, DaError};
use causeway_node::config::Role;
use causeway_node::node::{Node, Settings};
use causeway_node::remote::{RemoteSettings, Remotes, Truth};
use causeway_node::rpc::backend::Backend;
use causeway_tests::clock::ManualClock;
use causeway_tests::keys;
use causeway_tests::world::GENESIS_MS;
use eyre::{ContextCompat, ensure};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const ALPHA: u32 = 901;
const BETA: u32 = 902;
const INTERVAL_MS: u64 = 1_000;

/// One member.
struct Member {
    spec: Arc<ChainSpec>,
    da: MemoryDa,
    node: Arc<Node>,
}

/// Two members, and the followers their nodes share.
struct Pair {
    alpha: Member,
    beta: Member,
    remotes: Arc<Remotes>,
    clock: Arc<ManualClock>,
    dir: TempDir,
}

/// Specs of both: alpha is the hub, and its block 0 sends coins to beta.
fn specs(transfers: u64) -> [Arc<ChainSpec>; 2] {
    let mut specs =
        [("alpha", ALPHA, Coin::Home), ("beta", BETA, Coin::Hub)].map(|(name, domain, coin)| {
            let text = devnet_chain(name, u64::from(domain), "evm", Keys::DEV, GENESIS_MS);
            let (mut spec, _) = parse(&text, &Inputs::NONE).unwrap();
            if coin == Coin::Hub {
                // Coins of the hub only come from there.
                spec.genesis.alloc.values_mut().for_each(|account| account.balance = U256::ZERO);
            }
            spec.gas.limit_bytes = 300_000;
            spec.metalayer =
                MetalayerSpec { enabled: true, domain, coin, ttl_ms: 3_600_000, directory: None };
            spec
        });
    let members = specs.each_ref().map(|spec| SeedMember {
        name: spec.short_name.clone(),
        domain: spec.metalayer.domain,
        base: spec.base_identity(),
        rules: spec.rules_hash(GENESIS_MS),
    });
    let transfers = (1..=transfers).map(|amount| SeedTransfer {
        to: BETA,
        recipient: Address::repeat_byte(7),
        amount: U256::from(amount),
    });
    let directory = Directory {
        network: "test".into(),
        governance: Address::repeat_byte(1),
        hub: ALPHA,
        max_lag_ms: 600_000,
        members: members.to_vec(),
        transfers: transfers.collect(),
    };
    for spec in &mut specs {
        spec.metalayer.directory = Some(directory.clone());
    }
    specs.map(Arc::new)
}

fn open(
    spec: &Arc<ChainSpec>,
    da: &MemoryDa,
    remotes: &Arc<Remotes>,
    (dir, clock, role): (std::path::PathBuf, &Arc<ManualClock>, Role),
) -> eyre::Result<Arc<Node>> {
    let keys = role == Role::Sequencer;
    Ok(Node::open(Settings {
        spec: spec.clone(),
        datadir: dir.into(),
        role,
        da: Arc::new(da.clone()),
        clock: clock.clone(),
        sequencer_key: keys.then(keys::sequencer),
        poster_key: keys.then(keys::poster),
        sequencer_url: None,
        modules: Vec::new(),
        remotes: remotes.clone(),
        pool: Limits::default(),
        archive: false,
        address_index: None,
        history_blocks: 1024,
        cache_bytes: 8 << 20,
    })?)
}

/// Derives all that a node's DA layer shows.
async fn sync(node: &Node) -> eyre::Result<()> {
    loop {
        let heads = node.da().heads().await?;
        node.note_da_head(heads.latest);
        let height = node.cursor().map_or(1, |cursor| cursor.da.height + 1);
        match node.da().read(height).await {
            Ok(block) => drop(node.derive(block, heads.finalized.height).await?),
            Err(DaError::NotYet { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn state(node: &Node) -> eyre::Result<Arc<dyn StateReader>> {
    let snapshot = node.pipeline().snapshot();
    snapshot.state(snapshot.latest().number)?.context("the newest state is there")
}

fn seal(spec: &ChainSpec, claim: &Claim) -> Seal {
    let (identity, term, number) = (spec.identity(), claim.term, claim.number);
    let tuple = SealTuple { identity, term, view: 0, number, claim: claim.hash() };
    let signature = keys::sequencer().sign_hash_sync(&tuple.digest()).unwrap();
    Seal { view: 0, proof: Bytes::copy_from_slice(&signature.as_bytes()) }
}

impl Member {
    /// A block of this chain that is executed and not committed.
    async fn draft(&self, clock: &ManualClock) -> Result<Arc<Block>, ChainError> {
        clock.advance(self.spec.sequencer.block_time_ms);
        let parent = self.node.heads().borrow().latest.claim;
        let request = BuildRequest { parent, time_ms: clock.now_ms(), budget_ms: u64::MAX };
        self.node.build(request).await
    }

    async fn build(&self, clock: &ManualClock) -> Result<Arc<Block>, ChainError> {
        let block = self.draft(clock).await?;
        self.node.commit(block.claim_hash, seal(&self.spec, &block.plan.claim)).await?;
        Ok(block)
    }

    async fn post(&self) -> eyre::Result<()> {
        let from = self.node.heads().borrow().safe.number + 1;
        let span = self.node.span_from(from, 4 << 20)?.context("nothing to post")?;
        let options = EncodeOptions::default();
        let blobs = codec::encode(&span, &self.spec.vm, &keys::poster(), &options, 128 << 10)?;
        self.da.submit(&blobs).await?;
        Ok(())
    }
}

impl Pair {
    async fn new(transfers: u64) -> eyre::Result<Self> {
        let (dir, clock) = (TempDir::new()?, Arc::new(ManualClock::new(GENESIS_MS)));
        let config = MemoryConfig { genesis_time_ms: GENESIS_MS, ..MemoryConfig::default() };
        let chains = specs(transfers).map(|spec| (spec, MemoryDa::new(config)));
        let settings = chains.iter().map(|(spec, da)| RemoteSettings {
            spec: spec.clone(),
            da: Arc::new(da.clone()),
            datadir: dir.path().join("remotes").join(&spec.short_name).into(),
        });
        let remotes = Remotes::open(settings.collect(), clock.clone(), 8 << 20)?;
        let [alpha, beta] = chains.map(|(spec, da)| {
            let place = (dir.path().join(&spec.short_name), &clock, Role::Sequencer);
            let node = open(&spec, &da, &remotes, place).unwrap();
            Member { spec, da, node }
        });
        let pair = Self { alpha, beta, remotes, clock, dir };
        pair.ticks(4).await?;
        Ok(pair)
    }

    fn both(&self) -> [&Member; 2] {
        [&self.alpha, &self.beta]
    }

    /// DA blocks on both layers, read by everybody, and everything checked that can be.
    async fn ticks(&self, count: u64) -> eyre::Result<()> {
        for _ in 0..count {
            self.clock.advance(INTERVAL_MS);
            for member in self.both() {
                member.da.produce(self.clock.now_ms());
                sync(&member.node).await?;
                let follower = self.remotes.get(member.spec.metalayer.domain);
                sync(follower.context("followed")?).await?;
            }
            self.verify()?;
        }
        Ok(())
    }

    fn verify(&self) -> eyre::Result<()> {
        loop {
            let mut moved = false;
            for member in self.both() {
                let follower = self.remotes.get(member.spec.metalayer.domain);
                moved |= follower.context("followed")?.advance_verified(&self.remotes)?;
                moved |= member.node.advance_verified(&self.remotes)?;
            }
            if !moved {
                return Ok(());
            }
        }
    }

    /// Posts what a member has, until it is final.
    async fn settle(&self, member: &Member) -> eyre::Result<()> {
        member.post().await?;
        self.ticks(3).await
    }

    /// Block `block` of beta with its first anchor changed, signed by its sequencer all the same.
    fn forged(&self, block: &Block, change: impl Fn(&mut Anchor)) -> eyre::Result<Arc<Block>> {
        let BlockPlan { mut claim, body, forced, .. } = block.plan.clone();
        change(&mut claim.anchors[0]);
        let plan = BlockPlan::new(claim, body, forced, &|_| None);
        Ok(self.beta.node.pipeline().execute(plan)?)
    }
}

#[tokio::test]
async fn items_travel_both_ways_and_everything_is_verified() -> eyre::Result<()> {
    let pair = Pair::new(3).await?;
    let (alpha, beta) = (&pair.alpha, &pair.beta);
    ensure!(*beta.node.waiting().borrow() == 3, "block 0 of alpha is final and sends three");
    let block = beta.build(&pair.clock).await?;
    let anchor = block.plan.claim.anchors.first().context("an anchor of alpha")?;
    let latest = alpha.da.heads().await?.finalized;
    ensure!((anchor.domain, anchor.number, anchor.da) == (ALPHA, 0, latest), "{anchor:?}");
    ensure!(block.plan.body.inbound[0].items.len() == 3);
    let lane = view::lane(state(&beta.node)?.as_ref(), ALPHA)?.context("a lane")?;
    ensure!(lane.ours.taken == 3 && lane.theirs.sent.count == 3, "{lane:?}");
    let receipts = block.outbox.iter().filter(|item| matches!(item, LaneItem::Receipt(_))).count();
    ensure!(*beta.node.waiting().borrow() == lane.queued as usize, "nothing else comes");

    let quiet = beta.build(&pair.clock).await?;
    let again = quiet.plan.claim.anchors.len();
    ensure!(again == 0, "the same DA height is not named twice");
    pair.ticks(1).await?;
    ensure!(beta.build(&pair.clock).await?.plan.claim.anchors.is_empty(), "nothing new to say");

    pair.settle(beta).await?;
    let block = alpha.build(&pair.clock).await?;
    let [inbound] = &block.plan.body.inbound[..] else { eyre::bail!("one anchor of beta") };
    ensure!(inbound.items.len() >= receipts, "{inbound:?}");
    let lane = view::lane(state(&alpha.node)?.as_ref(), BETA)?.context("a lane")?;
    ensure!(lane.unsettled == 3 - inbound.items.len() as u64, "{lane:?}");
    pair.settle(alpha).await?;
    for member in pair.both() {
        let verified = member.node.verified().context("a member")?;
        let safe = member.node.heads().borrow().safe;
        ensure!(verified.head == safe && safe.number > 0, "{verified:?} {safe:?}");
        ensure!(verified.waiting.is_none() && verified.alarm.is_none());
        ensure!(member.node.status().problems.is_empty(), "{:?}", member.node.status());
    }
    Ok(())
}

#[tokio::test]
async fn what_one_block_sent_comes_whole_however_large() -> eyre::Result<()> {
    let pair = Pair::new(900).await?;
    let block = pair.beta.build(&pair.clock).await?;
    let inbound = block.plan.body.inbound.first().context("an anchor")?;
    let half = pair.beta.spec.gas.limit_bytes as usize / 2;
    ensure!(inbound.items.len() == 900 && inbound.size() > half, "{}", inbound.size());
    let lane = view::lane(state(&pair.beta.node)?.as_ref(), ALPHA)?.context("a lane")?;
    ensure!(lane.queued > 0, "a block cannot deliver so many");
    ensure!(*pair.beta.node.waiting().borrow() as u64 == lane.queued, "it builds until all are");
    Ok(())
}

#[tokio::test]
async fn a_chain_that_is_quiet_is_named_now_and_then() -> eyre::Result<()> {
    let pair = Pair::new(0).await?;
    let (alpha, beta) = (&pair.alpha, &pair.beta);
    ensure!(beta.build(&pair.clock).await?.plan.claim.anchors.len() == 1, "the first time");
    pair.ticks(1).await?;
    ensure!(beta.build(&pair.clock).await?.plan.claim.anchors.is_empty(), "nothing new");
    let lag_ms = beta.spec.metalayer.directory.as_ref().context("a member")?.max_lag_ms;
    pair.clock.advance(lag_ms / 4);
    pair.ticks(1).await?;
    alpha.build(&pair.clock).await?;
    pair.settle(alpha).await?;
    let block = beta.build(&pair.clock).await?;
    let anchor = block.plan.claim.anchors.first().context("a heartbeat")?;
    ensure!(anchor.number == alpha.node.heads().borrow().safe.number, "{anchor:?}");
    ensure!(block.plan.body.inbound[0].items.is_empty());
    Ok(())
}

#[tokio::test]
async fn every_part_of_an_anchor_is_checked() -> eyre::Result<()> {
    let pair = Pair::new(1).await?;
    let draft = pair.beta.draft(&pair.clock).await?;
    let anchor = draft.plan.claim.anchors.first().context("an anchor")?;
    ensure!(pair.remotes.truth(anchor) == Truth::True);
    type Change = fn(&mut Anchor);
    let changes: [(&str, Change); 10] = [
        ("identity", |it| it.identity = B256::ZERO),
        ("rules hash", |it| it.rules_hash = B256::ZERO),
        ("DA block", |it| it.da.hash = B256::ZERO),
        ("DA block", |it| it.da.height -= 1),
        ("newest block", |it| it.number = 7),
        ("block 0", |it| it.hash = B256::ZERO),
        ("requests hash", |it| it.commitment = B256::ZERO),
        ("base fee", |it| it.base_fee += 1),
        ("rules hash", |it| it.rules_hash = it.identity),
        ("time", |it| it.time_ms += 1),
    ];
    for (part, change) in changes {
        let mut forged = anchor.clone();
        change(&mut forged);
        let truth = pair.remotes.truth(&forged);
        ensure!(matches!(&truth, Truth::False(why) if why.contains(part)), "{part}: {truth:?}");
        // No honest node signs it, ...
        let block = pair.forged(&draft, change)?;
        let sealed = seal(&pair.beta.spec, &block.plan.claim);
        let refused = pair.beta.node.commit(block.claim_hash, sealed).await;
        ensure!(matches!(refused, Err(ChainError::Paused(_))), "{part}: {refused:?}");
    }
    let mut later = anchor.clone();
    later.da.height += 100;
    ensure!(matches!(pair.remotes.truth(&later), Truth::NotYet(_)));
    let mut unknown = anchor.clone();
    unknown.domain = 7;
    let truth = pair.remotes.truth(&unknown);
    ensure!(matches!(&truth, Truth::NotYet(why) if why.contains("not followed")), "{truth:?}");
    Ok(())
}

#[tokio::test]
async fn a_false_anchor_stops_the_verified_head_and_nothing_else() -> eyre::Result<()> {
    let pair = Pair::new(1).await?;
    let (alpha, beta) = (&pair.alpha, &pair.beta);
    beta.build(&pair.clock).await?;
    alpha.build(&pair.clock).await?;
    pair.settle(alpha).await?;
    pair.clock.advance(600_000 / 4);
    pair.ticks(1).await?;
    let draft = beta.draft(&pair.clock).await?;
    let block = pair.forged(&draft, |anchor| anchor.time_ms += 1)?;
    // ... but a dishonest one may.
    let sealed = seal(&beta.spec, &block.plan.claim);
    beta.node.pipeline().commit(block.claim_hash, Some(sealed), None)?;
    beta.post().await?;
    pair.ticks(3).await?;
    let number = block.header.number;
    let safe = pair.remotes.get(BETA).context("followed")?.heads().borrow().safe;
    ensure!(safe.hash == block.hash, "DA decides what the chain is");
    let verified = beta.node.verified().context("a member")?;
    ensure!(verified.head.number == number - 1 && verified.waiting.is_none(), "{verified:?}");
    ensure!(verified.alarm.as_ref().is_some_and(|alarm| alarm.contains("time")), "{verified:?}");
    ensure!(!beta.node.status().problems.is_empty());
    // Alpha goes on, and takes nothing of beta from there on.
    pair.ticks(1).await?;
    let block = alpha.build(&pair.clock).await?;
    let numbers: Vec<_> = block.plan.claim.anchors.iter().map(|anchor| anchor.number).collect();
    ensure!(numbers == [number - 1], "{numbers:?}");
    Ok(())
}

#[tokio::test]
async fn without_the_source_a_fresh_node_has_the_same_chain_unverified() -> eyre::Result<()> {
    let pair = Pair::new(2).await?;
    let (alpha, beta) = (&pair.alpha, &pair.beta);
    beta.build(&pair.clock).await?;
    pair.settle(beta).await?;
    alpha.da.prune(100);
    let settings = pair.both().map(|member| RemoteSettings {
        spec: member.spec.clone(),
        da: Arc::new(member.da.clone()),
        datadir: pair.dir.path().join("fresh").join(&member.spec.short_name).into(),
    });
    let remotes = Remotes::open(settings.into(), pair.clock.clone(), 8 << 20)?;
    let place = (pair.dir.path().join("full"), &pair.clock, Role::Full);
    let full = open(&beta.spec, &beta.da, &remotes, place)?;
    sync(&full).await?;
    ensure!(full.heads().borrow().safe == beta.node.heads().borrow().safe, "the same chain");

    let stop = CancellationToken::new();
    let running = tokio::spawn(remotes.clone().run(stop.clone()));
    let mut changes = remotes.changes();
    let follower = remotes.get(BETA).context("followed")?;
    while remotes.trouble(ALPHA).is_none() || follower.verified().unwrap().waiting.is_none() {
        changes.changed().await?;
    }
    ensure!(remotes.trouble(BETA).is_none(), "one follower's trouble is not the other's");
    full.advance_verified(&remotes)?;
    let verified = full.verified().context("a member")?;
    ensure!(verified.head.number == 0, "{verified:?}");
    let waiting = verified.waiting.context("a reason")?;
    ensure!(waiting.starts_with("unverified (pruned)"), "{waiting}");
    ensure!(full.status().problems.iter().any(|problem| problem.contains("pruned")));
    stop.cancel();
    running.await??;
    Ok(())
}
