//! One chain in one process: a sequencer and full nodes that share nothing but the DA layer, on a
//! clock turned by hand. Every step is taken by the test, so the same seed gives the same run.

use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_chainspec::spec::{Inputs, parse};
use causeway_chainspec::{Block, ChainSpec, Clock, SystemModule};
use causeway_consensus::mempool::Limits;
use causeway_consensus::{BuildRequest, Chain, ChainError};
use causeway_da::codec::{self, EncodeOptions};
use causeway_da::memory::{MemoryConfig, MemoryDa};
use causeway_da::{DaBackend, DaError};
use causeway_node::config::Role;
use causeway_node::node::{Fed, FeedBlock, Node, NodeError, Settings};
use causeway_node::remote::Remotes;
use eyre::{ContextCompat, eyre};
use tempfile::TempDir;

use crate::clock::ManualClock;
use crate::drive::{holds, moved, seal_by};
use crate::keys;

/// Time of the genesis block of every world, ms.
pub const GENESIS_MS: u64 = 1_750_000_000_000;

/// One chain and its surroundings.
pub struct World {
    /// The chain.
    pub spec: Arc<ChainSpec>,
    /// The DA layer all nodes read.
    pub da: Arc<MemoryDa>,
    /// Time.
    pub clock: Arc<ManualClock>,
    /// Protocol code inside every block beside the chain's own.
    pub modules: Vec<Arc<dyn SystemModule>>,
    /// Other members of the Metalayer, as the nodes opened next follow them.
    pub remotes: Arc<Remotes>,
    /// A DA block is final under so many others.
    pub final_depth: u64,
    dir: TempDir,
}

impl World {
    /// A chain on a VM, from the devnet's spec.
    pub fn new(vm: &str) -> eyre::Result<Self> {
        Self::with_spec(vm, |text| text)
    }

    /// As [`World::new`], with changes to the text of the spec.
    pub fn with_spec(vm: &str, change: impl FnOnce(String) -> String) -> eyre::Result<Self> {
        let text = devnet_chain("world", 901, vm, Keys::DEV, GENESIS_MS);
        let (spec, _warnings) =
            parse(&change(text), &Inputs::NONE).map_err(|invalid| eyre!("spec: {invalid}"))?;
        Self::of(Arc::new(spec), Arc::new(ManualClock::new(GENESIS_MS + 1000)), 2)
    }

    /// A chain on a clock, on a layer where a block is final under so many others.
    pub fn of(
        spec: Arc<ChainSpec>,
        clock: Arc<ManualClock>,
        final_depth: u64,
    ) -> eyre::Result<Self> {
        let config =
            MemoryConfig { genesis_time_ms: GENESIS_MS, final_depth, ..MemoryConfig::default() };
        Ok(Self {
            da: Arc::new(MemoryDa::new(config)),
            clock,
            modules: Vec::new(),
            remotes: Arc::default(),
            final_depth,
            dir: TempDir::new()?,
            spec,
        })
    }

    /// Directory of a node.
    pub fn datadir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Opens a node on its own directory; again after it was dropped, as a restart.
    pub fn open(&self, name: &str, role: Role) -> Result<Arc<Node>, NodeError> {
        let keys = role == Role::Sequencer;
        Node::open(Settings {
            spec: self.spec.clone(),
            datadir: self.datadir(name).into(),
            role,
            da: self.da.clone(),
            clock: self.clock.clone(),
            sequencer_key: keys.then(keys::sequencer),
            poster_key: keys.then(keys::poster),
            sequencer_url: None,
            modules: self.modules.clone(),
            remotes: self.remotes.clone(),
            pool: Limits::default(),
            archive: false,
            address_index: None,
            history_blocks: 1024,
            cache_bytes: 16 << 20,
        })
    }

    /// Opens the sequencer.
    pub fn sequencer(&self) -> Result<Arc<Node>, NodeError> {
        self.open("sequencer", Role::Sequencer)
    }

    /// Opens a full node.
    pub fn full(&self, name: &str) -> Result<Arc<Node>, NodeError> {
        self.open(name, Role::Full)
    }

    /// Makes a DA block at the present time, and moves the clock by one DA interval.
    pub fn da_block(&self) {
        self.clock.advance(self.spec.da.interval_ms);
        self.da.produce(self.clock.now_ms());
    }

    /// Derives everything the layer has.
    pub async fn sync(&self, node: &Node) -> Result<(), NodeError> {
        loop {
            let heads = node.da().heads().await?;
            node.note_da_head(heads.latest);
            let next = node.cursor().map_or(1, |cursor| cursor.da.height + 1);
            // A reorg may have left the layer lower than the cursor: the block below shows it.
            let height = next.min(heads.latest.height + 1);
            match node.da().read(height).await {
                Ok(block) => {
                    let before = *node.heads().borrow();
                    let applied = node.derive(block, heads.finalized.height).await?;
                    moved(&before, &holds(node), applied);
                }
                Err(DaError::NotYet { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Builds and commits one block on the newest, as `single` does, one block time later.
    pub async fn build(&self, node: &Arc<Node>) -> Result<Arc<Block>, ChainError> {
        self.clock.advance(self.spec.sequencer.block_time_ms);
        let parent = node.heads().borrow().latest.claim;
        let now = self.clock.now_ms();
        let request = BuildRequest { parent, time_ms: now, budget_ms: u64::MAX };
        let block = node.build(request).await?;
        let claim = &block.plan.claim;
        if let Some(signed) = node.last_signed() {
            // The rule of `single`: whoever signs against it equivocates.
            let later = claim.term > signed.term;
            let above = claim.number > signed.number + 1 || claim.parent == signed.claim;
            let grown = claim.number > signed.number && above;
            if !later && (claim.term < signed.term || !grown) {
                return Err(ChainError::Paused(format!("{claim:?} contradicts {signed:?}")));
            }
        }
        let seal = seal_by(self, &block.plan.claim, &keys::sequencer());
        node.commit(block.claim_hash, seal).await?;
        Ok(block)
    }

    /// The blobs of everything above the safe head.
    pub fn blobs(&self, node: &Node) -> eyre::Result<Vec<Bytes>> {
        let from = node.heads().borrow().safe.number + 1;
        let span = node.span_from(from, 4 << 20)?.context("nothing to post")?;
        let key = keys::poster();
        Ok(codec::encode(&span, &self.spec.vm, &key, &EncodeOptions::default(), 128 * 1024)?)
    }

    /// Posts everything above the safe head; it is in the next DA block.
    pub async fn post(&self, node: &Node) -> eyre::Result<()> {
        self.da.submit(&self.blobs(node)?).await?;
        Ok(())
    }

    /// Gives a block of one node to another, as the feed does.
    pub async fn feed(&self, from: &Node, to: &Node, number: u64) -> eyre::Result<Fed> {
        use alloy_rlp::Decodable;
        let bytes = from.feed_block(number)?.context("no sealed block of this number")?;
        Ok(to.feed(FeedBlock::decode(&mut bytes.as_ref())?).await?)
    }
}

/// Heads of a node by header hash: what two nodes that agree have in common.
pub fn chain_of(node: &Node) -> eyre::Result<Vec<(B256, B256)>> {
    let snapshot = node.pipeline().snapshot();
    (0..=snapshot.latest().number)
        .map(|number| {
            let header = snapshot.header(number)?.context("every block has a header")?;
            let id = snapshot.id(number)?.context("every block has an id")?;
            Ok((id.hash, header.state_root))
        })
        .collect()
}
