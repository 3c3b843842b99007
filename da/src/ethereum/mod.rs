//! `ethereum`: blobs of a parent chain (EIP-4844), and the forced lane of its portal contract.
//!
//! A DA block is a block of the parent chain: its number, its hash, its timestamp. Blobs are those of
//! transactions to the *inbox* address, in their order; who sent them does not matter, the codec's
//! signatures do. Entries of the forced lane and messages are events of the *portal*, changes of keys those
//! of the *system config*.
//!
//! Servers are believed nothing: headers are hashed, transactions and receipts hash to the header's
//! roots, and a blob is used if it hashes to its name in the transaction. What a chain of headers
//! cannot show is which chain the parent's validators are on: use execution nodes that you trust for
//! that, as every rollup does.

mod account;
mod archive;
mod beacon;
mod block;
mod fees;
mod fork;
mod kzg;
pub mod packing;
mod poster;
mod rpc;
mod settings;
mod sources;

use std::sync::Arc;
use std::time::Duration;

use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolEvent;
use async_trait::async_trait;
use causeway_chainspec::l1::{self, ConfigUpdate, ForcedTransaction, TransactionDeposited};
use causeway_chainspec::{ChainSpec, DaRef, KeyUpdate};
use parking_lot::Mutex;
use serde_json::json;
use tracing::{debug, info};

pub use account::{Account, Call, ParentChain, ParentFacts, Price, Whereabouts};
pub use archive::{Archive, serve as serve_archive};
use beacon::{Beacon, Found, Place};
use block::{Block, Roots};
use fees::TX_GAS;
use fork::Fork;
pub use kzg::versioned_hash;
use poster::Poster;
use rpc::{Node, Rpc};
pub use settings::{Options, Settings};
use sources::Fault;

use crate::{DaBackend, DaBlock, DaError, DaFee, DaHeads, DaLimits, Runway};

/// Blobs of a parent chain.
#[derive(Debug)]
pub struct EthereumDa {
    rpc: Arc<Rpc>,
    fork: Arc<Fork>,
    beacon: Beacon,
    roots: Roots,
    inbox: Address,
    portal: Option<Address>,
    system_config: Option<Address>,
    /// What a message may bring.
    bounds: l1::Bounds,
    interval: Duration,
    poster: Option<Poster>,
    /// Block 0, where a young chain's finality begins; known once it was needed.
    first: Mutex<Option<DaRef>>,
}

/// Opens the backend: `[da.ethereum]` of the spec, `[da]` of the node's settings. Nothing is sent yet.
pub fn open(spec: &ChainSpec, settings: &toml::Table) -> Result<Arc<dyn DaBackend>, DaError> {
    let (options, settings) = (Options::of(spec)?, Settings::of(spec, settings)?);
    let interval = Duration::from_millis(spec.da.interval_ms);
    let coins = l1::bridge::Bridge::of(spec).is_some_and(|bridge| bridge.takes_coins);
    let chain = (spec.identity(), l1::Bounds { gas: spec.gas.limit, coins });
    Ok(Arc::new(EthereumDa::new(chain, interval, &options, &settings)?))
}

impl EthereumDa {
    /// For the chain of an identity, with what messages may bring, over a parent with a block each
    /// `interval`.
    pub fn new(
        (identity, bounds): (B256, l1::Bounds),
        interval: Duration,
        options: &Options,
        settings: &Settings,
    ) -> Result<Self, DaError> {
        let rpc = Arc::new(Rpc::new(&settings.rpc, options.chain_id)?);
        let fork = Arc::new(Fork::new(settings.proofs.fixed(), settings.max_blobs));
        let own = settings.archive.as_deref().map(Archive::open).transpose()?;
        let inbox = options.inbox(identity);
        let poll = (interval / 4).clamp(Duration::from_millis(50), Duration::from_secs(3));
        let account = |key| Account::new(rpc.clone(), key, settings.caps(), poll);
        let poster =
            settings.key()?.map(|key| Poster::new(account(key), fork.clone(), inbox, own.clone()));
        Ok(Self {
            beacon: Beacon::new(&settings.beacon, &settings.archives, own)?,
            roots: settings.roots(),
            portal: options.portal,
            system_config: options.system_config,
            bounds,
            first: Mutex::new(None),
            rpc,
            fork,
            inbox,
            interval,
            poster,
        })
    }

    /// Where blob transactions go.
    pub fn inbox(&self) -> Address {
        self.inbox
    }

    fn poster(&self) -> Result<&Poster, DaError> {
        let text = "this node has no key for the parent chain; set key = \"FILE\" in [da]";
        self.poster.as_ref().ok_or_else(|| DaError::Refused(text.into()))
    }

    async fn block(&self, height: u64) -> Result<Block, DaError> {
        let (mut faults, mut lacking) = (Vec::new(), false);
        for node in self.rpc.nodes.in_turn() {
            let answer = self.rpc.block(node, height, self.roots).await;
            node.note(answer.as_ref().err());
            match answer {
                Ok(Some(block)) => return Ok(block),
                Ok(None) => lacking = true,
                Err(fault) => faults.push(format!("{}: {fault}", node.name)),
            }
        }
        if lacking {
            let latest = self.heads().await?.latest.height;
            if latest < height {
                return Err(DaError::NotYet { height, latest });
            }
            faults.push(format!("a node has no block {height}, and its chain is at {latest}"));
        }
        Err(DaError::Unavailable(format!("no l1 rpc is of use: {}", faults.join("; "))))
    }

    /// Blobs of a block, each right, in the order of their hashes.
    async fn blobs(&self, block: &Block, hashes: &[B256]) -> Result<Vec<Bytes>, DaError> {
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        let (height, time) = (block.header.number, block.header.timestamp);
        let place = Place { height, hash: block.hash, time };
        let found = self.beacon.find(place, hashes).await?;
        let missing = found.missing(hashes).len();
        if missing > 0 {
            return Err(self.lack(place, &found, missing).await?);
        }
        let unpack = |hash: &B256| {
            let content = packing::unpack(found.blobs.get(hash)?);
            if content.is_none() {
                debug!(height, blob = %hash, "a blob of the inbox is not packed as ours are");
            }
            content
        };
        Ok(hashes.iter().filter_map(unpack).collect())
    }

    /// What the portal and the system config say in a block.
    async fn said(&self, block: &Block) -> Result<(Vec<Bytes>, Vec<KeyUpdate>), DaError> {
        let portal = [ForcedTransaction::SIGNATURE_HASH, TransactionDeposited::SIGNATURE_HASH];
        let config = [ConfigUpdate::SIGNATURE_HASH];
        let watched: Vec<(Address, &[B256])> = [
            self.portal.map(|address| (address, portal.as_slice())),
            self.system_config.map(|address| (address, config.as_slice())),
        ]
        .into_iter()
        .flatten()
        .collect();
        let (mut forced, mut keys) = (Vec::new(), Vec::new());
        for (index, log) in self.rpc.logs(block, &watched, self.roots).await? {
            if Some(log.address) == self.portal {
                forced.extend(l1::entry(&log, block.hash, index, self.bounds));
            }
            if Some(log.address) == self.system_config {
                keys.extend(KeyUpdate::read(&log));
            }
        }
        Ok((forced, keys))
    }

    /// Why blobs are missing: nobody answers, they are too old, or they are withheld.
    async fn lack(&self, place: Place, found: &Found, missing: usize) -> Result<DaError, DaError> {
        let height = place.height;
        if found.without.is_empty() {
            return Ok(DaError::Unavailable(format!(
                "{missing} blobs of height {height}: no server of blobs answers: {}",
                found.silent.join("; ")
            )));
        }
        let latest = self.rpc.quote().await?;
        let age = latest.time.saturating_sub(place.time);
        if age > found.retention && found.silent.is_empty() {
            let kept =
                found.retention.saturating_mul(1000) / self.interval.as_millis().max(1) as u64;
            let oldest = latest.height.saturating_sub(kept).max(height + 1);
            return Ok(DaError::Pruned { height, oldest });
        }
        let asked = [&found.without[..], &found.silent[..]].concat().join("; ");
        Ok(DaError::Withheld { height, missing, asked })
    }

    async fn heads_of(&self, node: &Node) -> Result<DaHeads, Fault> {
        // In this order, so that the newest block is never below the final one.
        let finalized = match self.rpc.header(node, json!("finalized")).await {
            Ok(finalized) => finalized,
            // Geth says so where no block is final yet.
            Err(Fault::Refused { .. }) => None,
            Err(fault) => return Err(fault),
        };
        let latest = self.rpc.header(node, json!("latest")).await?;
        let (hash, latest) = latest.ok_or_else(|| Fault::Wrong("has no newest block".into()))?;
        let latest = DaRef { height: latest.number, hash };
        let finalized = match finalized {
            Some((hash, header)) => DaRef { height: header.number, hash },
            None => self.first(node).await?,
        };
        Ok(DaHeads { latest, finalized })
    }

    /// Block 0, on a chain that has no final block yet.
    async fn first(&self, node: &Node) -> Result<DaRef, Fault> {
        let known = *self.first.lock();
        if let Some(first) = known {
            return Ok(first);
        }
        let header = self.rpc.header(node, json!("0x0")).await?;
        let (hash, _) = header.ok_or_else(|| Fault::Wrong("has no block 0".into()))?;
        info!("the parent chain has no final block yet: only its block 0 counts as final");
        Ok(*self.first.lock().insert(DaRef { height: 0, hash }))
    }
}

#[async_trait]
impl DaBackend for EthereumDa {
    async fn limits(&self) -> Result<DaLimits, DaError> {
        let blobs = self.fork.max_blobs(&self.rpc).await?;
        Ok(DaLimits {
            max_blob_bytes: packing::CAPACITY,
            max_submission_bytes: blobs.saturating_mul(packing::CAPACITY),
        })
    }

    async fn submit(&self, blobs: &[Bytes]) -> Result<DaRef, DaError> {
        self.submit_after(blobs, None).await
    }

    async fn submit_after(
        &self,
        blobs: &[Bytes],
        derived: Option<DaRef>,
    ) -> Result<DaRef, DaError> {
        let poster = self.poster()?;
        if blobs.is_empty() {
            return Err(DaError::Refused("a submission without blobs".into()));
        }
        let most = self.fork.max_blobs(&self.rpc).await?;
        let largest = blobs.iter().map(|blob| blob.len()).max().unwrap_or_default();
        if largest > packing::CAPACITY {
            return Err(DaError::TooLarge { bytes: largest, most: packing::CAPACITY });
        }
        if blobs.len() > most {
            let full = |blobs: usize| blobs.saturating_mul(packing::CAPACITY);
            return Err(DaError::TooLarge { bytes: full(blobs.len()), most: full(most) });
        }
        poster.submit(blobs, derived).await
    }

    async fn read(&self, height: u64) -> Result<DaBlock, DaError> {
        let block = self.block(height).await?;
        let blobs = self.blobs(&block, &block.blobs_to(self.inbox)).await?;
        let (forced, keys) = self.said(&block).await?;
        Ok(DaBlock {
            da: DaRef { height, hash: block.hash },
            parent: block.header.parent_hash,
            time_ms: block.header.timestamp.saturating_mul(1000),
            blobs,
            forced,
            keys,
        })
    }

    async fn heads(&self) -> Result<DaHeads, DaError> {
        self.rpc.nodes.first(|node| Box::pin(self.heads_of(node))).await
    }

    /// Of a transaction with one full blob: blob gas, and the gas of the transaction itself.
    async fn fee(&self) -> Result<DaFee, DaError> {
        let quote = self.rpc.quote().await?;
        let gas = u128::from(TX_GAS).saturating_mul(quote.base_fee.saturating_add(quote.tip));
        let blob = u128::from(DATA_GAS_PER_BLOB).saturating_mul(quote.blob_fee);
        Ok(DaFee { wei_per_byte: gas.saturating_add(blob).div_ceil(packing::CAPACITY as u128) })
    }

    async fn runway(&self) -> Result<Option<Runway>, DaError> {
        match &self.poster {
            Some(poster) => poster.runway().await.map(Some),
            None => Ok(None),
        }
    }

    async fn force(&self, entry: Bytes) -> Result<(), DaError> {
        let Some(portal) = self.portal else {
            let text = "this chain has no portal: the spec names none in [da.ethereum]";
            return Err(DaError::Refused(text.into()));
        };
        self.poster()?.force(portal, entry).await
    }
}
