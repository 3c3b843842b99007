//! Longer steps of a world, forged claims, and the invariants every step keeps.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_chainspec::spec::{Inputs, parse};
use causeway_chainspec::{
    Account, Block, BlockBody, ChainSpec, Claim, Clock, Heads, Seal, SealTuple, Span, SpanBlock,
    Tip,
};
use causeway_da::codec::{self, EncodeOptions};
use causeway_node::node::{Applied, Fed, Node, NodeError};
use eyre::{ContextCompat, ensure, eyre};

use crate::clock::ManualClock;
use crate::keys;
use crate::txs::{Draft, Form};
use crate::world::{GENESIS_MS, World, chain_of};

/// Window of [`World::quick`], ms.
pub const WINDOW_MS: u64 = 40_000;
/// When a forced entry must be taken in [`World::quick`], ms.
pub const FORCED_DELAY_MS: u64 = 10_000;
/// How far a claim may be ahead of DA in [`World::quick`], ms.
pub const DRIFT_MS: u64 = 4_000;

impl World {
    /// A chain whose clocks are short, on a layer where a block is final under so many others.
    pub fn quick(vm: &str, final_depth: u64) -> eyre::Result<Self> {
        let clock = ManualClock::new(GENESIS_MS + 1000);
        Self::of(Arc::new(quick_spec(vm)?), Arc::new(clock), final_depth)
    }

    /// One DA block of what was submitted, derived by these nodes.
    pub async fn tick(&self, nodes: &[&Arc<Node>]) -> eyre::Result<()> {
        self.da_block();
        for node in nodes {
            self.sync(node).await?;
        }
        Ok(())
    }

    /// As [`World::tick`], so many times.
    pub async fn ticks(&self, nodes: &[&Arc<Node>], count: u64) -> eyre::Result<()> {
        for _ in 0..count {
            self.tick(nodes).await?;
        }
        Ok(())
    }

    /// Posts everything above the safe head of `from`, and lets these nodes derive it.
    pub async fn publish(&self, from: &Arc<Node>, nodes: &[&Arc<Node>]) -> eyre::Result<()> {
        self.post(from).await?;
        self.tick(nodes).await
    }

    /// Builds so many blocks.
    pub async fn builds(&self, node: &Arc<Node>, count: u64) -> eyre::Result<Vec<Arc<Block>>> {
        let mut blocks = Vec::new();
        for _ in 0..count {
            blocks.push(self.build(node).await?);
        }
        Ok(blocks)
    }

    /// Gives a node all blocks of another's feed above its own newest, until one is not adopted.
    pub async fn follow(&self, from: &Arc<Node>, to: &Arc<Node>) -> eyre::Result<()> {
        let newest = from.heads().borrow().latest.number;
        let next = to.heads().borrow().latest.number + 1;
        for number in next..=newest {
            if from.feed_block(number)?.is_none()
                || !matches!(self.feed(from, to, number).await?, Fed::Adopted | Fed::Known)
            {
                break;
            }
        }
        holds(to);
        Ok(())
    }

    /// A signed transfer of a dev account to an address nobody has.
    pub fn transfer(&self, from: usize, nonce: u64, wei: u128) -> Bytes {
        let to = Address::repeat_byte(0xee);
        Draft::transfer(self.spec.chain_id, nonce, to, wei)
            .sign(Form::Dynamic, &keys::accounts()[from])
    }

    /// A claim on `parent` that takes no forced entry, and its body.
    pub fn claim_on(&self, parent: &Claim, time_ms: u64, candidates: Vec<Bytes>) -> SpanBlock {
        let body = BlockBody { inbound: Vec::new(), candidates };
        let claim = Claim {
            identity: self.spec.identity(),
            number: parent.number + 1,
            term: parent.term,
            parent: parent.hash(),
            time_ms,
            origin: parent.origin,
            cut: parent.cut,
            anchors: Vec::new(),
            inbound_root: body.inbound_root(),
            candidates_root: body.candidates_root(),
            takeover: None,
        };
        SpanBlock { claim, body }
    }

    /// A span of claims on `parent` with a seal by `key` over the last.
    pub fn span_by(
        &self,
        parent: &Claim,
        blocks: Vec<SpanBlock>,
        key: &PrivateKeySigner,
    ) -> eyre::Result<Span> {
        let last = &blocks.last().context("a span has blocks")?.claim;
        let seal = seal_by(self, last, key);
        let rules_hash = self.spec.rules_hash(last.time_ms);
        let identity = self.spec.identity();
        let parent = Tip::of(parent);
        Ok(Span { identity, rules_hash, parent, blocks, seal, last_header: B256::ZERO })
    }

    /// Blobs of a span, signed by `poster`.
    pub fn encode_by(&self, span: &Span, poster: &PrivateKeySigner) -> eyre::Result<Vec<Bytes>> {
        Ok(codec::encode(span, &self.spec.vm, poster, &EncodeOptions::default(), 128 << 10)?)
    }

    /// The clock, ms.
    pub fn now(&self) -> u64 {
        self.clock.now_ms()
    }
}

/// The devnet's spec with short clocks.
pub fn quick_spec(vm: &str) -> eyre::Result<ChainSpec> {
    let text = devnet_chain("world", 901, vm, Keys::DEV, GENESIS_MS);
    let short = text
        .replace("window = \"10m\"", "window = \"40s\"")
        .replace("drift = \"1m\"", "drift = \"4s\"")
        .replace("forced_delay = \"1m\"", "forced_delay = \"10s\"");
    ensure!(short != text, "the devnet's spec has other clocks than this test knows");
    let (spec, _warnings) =
        parse(&short, &Inputs::NONE).map_err(|invalid| eyre!("spec: {invalid}"))?;
    let clocks = &spec.sequencer;
    ensure!(clocks.window_ms == WINDOW_MS, "window {}", clocks.window_ms);
    ensure!(clocks.forced_delay_ms == FORCED_DELAY_MS, "delay {}", clocks.forced_delay_ms);
    ensure!(clocks.drift_ms == DRIFT_MS, "drift {}", clocks.drift_ms);
    Ok(spec)
}

/// A seal over a claim by any key.
pub fn seal_by(world: &World, claim: &Claim, key: &PrivateKeySigner) -> Seal {
    let tuple = SealTuple {
        identity: world.spec.identity(),
        term: claim.term,
        view: 0,
        number: claim.number,
        claim: claim.hash(),
    };
    let signature = key.sign_hash_sync(&tuple.digest()).expect("a local key signs");
    Seal { view: 0, proof: Bytes::copy_from_slice(&signature.as_bytes()) }
}

/// The seeds of a random test: `CAUSEWAY_CASES` of them, or so many, from `CAUSEWAY_SEED` on.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name: &str, usual| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => usual,
    };
    let first: u64 = number("CAUSEWAY_SEED", 0);
    first..first + number("CAUSEWAY_CASES", usual)
}

/// As [`seeds`], for a limit: `CAUSEWAY_STEPS`, or so many.
pub fn steps(usual: u64) -> u64 {
    match std::env::var("CAUSEWAY_STEPS") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("CAUSEWAY_STEPS is no number: {text}")),
        Err(_) => usual,
    }
}

/// Drops a node and opens it again: what it promised before is still true.
pub fn reopen(world: &World, node: Arc<Node>, name: &str) -> eyre::Result<Arc<Node>> {
    let (before, role) = (chain_of(&node)?, node.role());
    ensure!(Arc::strong_count(&node) == 1, "{name} is still in use");
    drop(node);
    let node = world.open(name, role)?;
    holds(&node);
    ensure!(chain_of(&node)? == before, "{name} has another chain after a restart");
    Ok(node)
}

/// Heads of a node, checked: finalized <= safe <= latest, and all three are blocks it has.
pub fn holds(node: &Node) -> Heads {
    let heads = *node.heads().borrow();
    let order = [heads.finalized.number, heads.safe.number, heads.latest.number];
    assert!(order.is_sorted(), "finalized, safe, latest are {order:?}");
    let snapshot = node.pipeline().snapshot();
    for head in [heads.finalized, heads.safe, heads.latest] {
        let id = snapshot.id(head.number).expect("ids are readable");
        assert_eq!(id, Some(head), "a head is no block of the node's chain");
    }
    heads
}

/// What one derived DA block may do to the heads: `finalized` never goes back, `safe` only with
/// the layer.
pub fn moved(before: &Heads, after: &Heads, applied: Applied) {
    let gone = before.finalized.number..=after.finalized.number;
    assert!(!gone.is_empty(), "finalized went back: {before:?} to {after:?}");
    let forward = before.safe.number <= after.safe.number;
    assert!(forward || applied == Applied::RolledBack, "safe went back: {before:?} to {after:?}");
    if before.finalized.number == after.finalized.number {
        assert_eq!(before.finalized, after.finalized, "a final block was replaced");
    }
}

/// An account after the newest block.
pub fn account(node: &Node, address: Address) -> Result<Account, NodeError> {
    let snapshot = node.pipeline().snapshot();
    let state = snapshot.state(snapshot.latest().number)?.expect("the newest state is there");
    let account = state.account(address).expect("state is readable");
    Ok(account.unwrap_or_default())
}

/// Sum of the balances of these after a block, wei.
pub fn wei_of(node: &Node, number: u64, addresses: &BTreeSet<Address>) -> eyre::Result<U256> {
    let state = node.pipeline().snapshot().state(number)?.context("the state is kept")?;
    addresses.iter().try_fold(U256::ZERO, |sum, address| {
        let balance = state.account(*address)?.map_or(U256::ZERO, |account| account.balance);
        Ok(sum + balance)
    })
}
