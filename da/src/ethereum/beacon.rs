//! Blobs by their hashes: from consensus nodes while they keep them, then from archives of peers.
//!
//! A consensus node knows blobs by slot, which follows from the block's time, its genesis and the
//! length of a slot. Anvil has no slots and takes the hash of the block; it is known by its lack of
//! `/eth/v1/config/spec`. Nothing that anybody answers is believed: what is wanted is what hashes to
//! the name in the transaction.

use std::collections::HashMap;
use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::archive::Archive;
use super::kzg;
use super::sources::{Fault, Source, Sources};
use crate::{DaError, http};

const TIMEOUT: Duration = Duration::from_secs(20);
/// Most blobs of one answer that are looked at, above what any fork puts into a block.
const MOST_BLOBS: usize = 128;
/// Most bytes of one answer: so many blobs in hex, and some more.
const MOST_BYTES: usize = MOST_BLOBS * 300_000;
/// For how long a consensus node must keep blobs where it does not say: 4,096 epochs of 32 slots.
const EPOCHS: u64 = 4096;

/// Where a block is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) height: u64,
    pub(super) hash: B256,
    /// Unix seconds.
    pub(super) time: u64,
}

/// How a consensus node names blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// By slot.
    Slots { genesis: u64, slot_ms: u64, retention: u64 },
    /// By the hash of the execution block, as anvil does.
    Hashes,
}

impl Ids {
    fn of(self, place: Place) -> Result<String, Fault> {
        match self {
            Self::Hashes => Ok(place.hash.to_string()),
            Self::Slots { genesis, slot_ms, .. } => {
                let since = place.time.checked_sub(genesis);
                let since = since.ok_or_else(|| Fault::Wrong("its genesis is later".into()))?;
                Ok((since.saturating_mul(1000) / slot_ms).to_string())
            }
        }
    }
}

/// What became of a search.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Blobs that hash to their names.
    pub(super) blobs: HashMap<B256, Bytes>,
    /// Who answered that it does not have what is missing, or sent something else.
    pub(super) without: Vec<String>,
    /// Who did not answer, and how.
    pub(super) silent: Vec<String>,
    /// For how long the blobs of a block are kept, in seconds.
    pub(super) retention: u64,
}

/// Servers of blobs.
#[derive(Debug)]
pub(super) struct Beacon {
    http: reqwest::Client,
    nodes: Sources<Ids>,
    archives: Sources<()>,
    own: Option<Archive>,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Genesis {
    genesis_time: String,
}

#[derive(Deserialize)]
struct Sidecar {
    blob: Bytes,
}

impl Beacon {
    /// Consensus nodes, archives of peers, and our own archive if we keep one.
    pub(super) fn new(
        nodes: &[String],
        archives: &[String],
        own: Option<Archive>,
    ) -> Result<Self, DaError> {
        Ok(Self {
            http: http::client(TIMEOUT, true)?,
            nodes: Sources::new("beacon endpoint", nodes)?,
            archives: Sources::new("blob archive", archives)?,
            own,
        })
    }

    /// Looks for blobs of a block everywhere, until all are there.
    pub(super) async fn find(&self, place: Place, wanted: &[B256]) -> Result<Found, DaError> {
        let mut found = Found { retention: EPOCHS * 32 * 12, ..Found::default() };
        if let Some(own) = &self.own {
            found.blobs = own.load(wanted).await?;
        }
        let kept = found.blobs.len();
        for node in self.nodes.in_turn() {
            let missing = found.missing(wanted);
            if missing.is_empty() {
                break;
            }
            let answer = self.of_node(node, place, &missing, &mut found.retention).await;
            found.take(node, answer, missing).await?;
        }
        for peer in self.archives.in_turn() {
            let missing = found.missing(wanted);
            if missing.is_empty() {
                break;
            }
            let answer = self.of_archive(peer, &missing).await;
            found.take(peer, answer, missing).await?;
        }
        if let Some(own) = self.own.as_ref().filter(|_| found.blobs.len() > kept) {
            own.store(&found.blobs).await?;
        }
        Ok(found)
    }

    async fn of_node(
        &self,
        node: &Source<Ids>,
        place: Place,
        missing: &[B256],
        retention: &mut u64,
    ) -> Result<Vec<Bytes>, Fault> {
        let known = *node.known.lock();
        let ids = match known {
            Some(ids) => ids,
            None => {
                let ids = self.ids(node).await?;
                *node.known.lock() = Some(ids);
                ids
            }
        };
        if let Ids::Slots { retention: kept, .. } = ids {
            *retention = kept;
        }
        let id = ids.of(place)?;
        let hashes: Vec<_> = missing.iter().map(B256::to_string).collect();
        let path = format!("beacon/blobs/{id}?versioned_hashes={}", hashes.join(","));
        let blobs: Option<Data<Vec<Bytes>>> = self.get(node, &path).await?;
        if let Some(blobs) = blobs.filter(|blobs| !blobs.data.is_empty()) {
            return Ok(blobs.data);
        }
        // Consensus nodes from before Fulu have only this.
        let path = format!("beacon/blob_sidecars/{id}");
        let sidecars: Option<Data<Vec<Sidecar>>> = self.get(node, &path).await?;
        let sidecars = sidecars.map(|sidecars| sidecars.data).unwrap_or_default();
        Ok(sidecars.into_iter().map(|sidecar| sidecar.blob).collect())
    }

    /// How a consensus node names blocks.
    async fn ids(&self, node: &Source<Ids>) -> Result<Ids, Fault> {
        let genesis: Option<Data<Genesis>> = self.get(node, "beacon/genesis").await?;
        let Some(genesis) = genesis else {
            return Err(Fault::Silent("has no beacon API: is it an execution node?".into()));
        };
        let spec: Option<Data<HashMap<String, serde_json::Value>>> =
            self.get(node, "config/spec").await?;
        let Some(Data { data: spec }) = spec else { return Ok(Ids::Hashes) };
        let number = |text: &str| text.parse::<u64>().ok();
        let field = |name: &str| spec.get(name).and_then(|value| value.as_str()).and_then(number);
        let slot_ms = field("SLOT_DURATION_MS")
            .or_else(|| field("SECONDS_PER_SLOT").map(|seconds| seconds.saturating_mul(1000)))
            .filter(|slot_ms| *slot_ms > 0);
        let (Some(genesis), Some(slot_ms)) = (number(&genesis.data.genesis_time), slot_ms) else {
            return Err(Fault::Wrong("says neither genesis nor the length of a slot".into()));
        };
        let epochs = [
            "MIN_EPOCHS_FOR_DATA_COLUMN_SIDECARS_REQUESTS",
            "MIN_EPOCHS_FOR_BLOB_SIDECARS_REQUESTS",
        ]
        .into_iter()
        .find_map(field)
        .unwrap_or(EPOCHS);
        let slots = epochs.saturating_mul(field("SLOTS_PER_EPOCH").unwrap_or(32));
        let retention = slots.saturating_mul(slot_ms) / 1000;
        Ok(Ids::Slots { genesis, slot_ms, retention })
    }

    /// `None` if the node says that it does not have it, or does not know the path.
    async fn get<T: DeserializeOwned>(
        &self,
        node: &Source<Ids>,
        path: &str,
    ) -> Result<Option<T>, Fault> {
        let url = format!("{}/eth/v1/{path}", node.url);
        let Some(bytes) = self.bytes(url, MOST_BYTES).await? else { return Ok(None) };
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Some).map_err(|error| Fault::Wrong(format!("{path}: {error}")))
    }

    async fn of_archive(&self, peer: &Source<()>, missing: &[B256]) -> Result<Vec<Bytes>, Fault> {
        let mut blobs = Vec::new();
        for hash in missing {
            let url = format!("{}/blob/{hash}", peer.url);
            blobs.extend(self.bytes(url, MOST_BYTES).await?.map(Bytes::from));
        }
        Ok(blobs)
    }

    async fn bytes(&self, url: String, most: usize) -> Result<Option<Vec<u8>>, Fault> {
        let response = self.http.get(url).send().await;
        let response = response.map_err(|error| Fault::Silent(http::causes(&error)))?;
        let answer = http::body(response, most).await.map_err(Fault::Silent)?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.bytes)),
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::METHOD_NOT_ALLOWED => Ok(None),
            status => Err(Fault::Silent(format!("answered {status}"))),
        }
    }
}

impl Found {
    /// Of these, what is still missing, each once.
    pub(super) fn missing(&self, wanted: &[B256]) -> Vec<B256> {
        let mut missing: Vec<B256> = Vec::new();
        for hash in wanted {
            if !self.blobs.contains_key(hash) && !missing.contains(hash) {
                missing.push(*hash);
            }
        }
        missing
    }

    /// Takes in what is right of an answer, and notes what it lacked.
    async fn take<T>(
        &mut self,
        source: &Source<T>,
        answer: Result<Vec<Bytes>, Fault>,
        missing: Vec<B256>,
    ) -> Result<(), DaError> {
        source.note(answer.as_ref().err());
        match answer {
            Ok(candidates) => {
                let (sent, asked) = (candidates.len(), missing.len());
                let right = kzg::wanted(candidates, missing, MOST_BLOBS).await?;
                if right.len() < asked {
                    let lacks = format!("{} ({} of {sent} right)", source.name, right.len());
                    self.without.push(lacks);
                }
                self.blobs.extend(right);
            }
            Err(fault) => self.silent.push(format!("{}: {fault}", source.name)),
        }
        Ok(())
    }
}
