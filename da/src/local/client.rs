//! The client of the local service: believes what its signer signed, and only one such history.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::Decodable;
use async_trait::async_trait;
use causeway_chainspec::DaRef;
use parking_lot::Mutex;
use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use super::block::{BlockAnswer, SignedHeader};
use super::wire::{ErrorAnswer, HeadAnswer, SubmitAnswer};
use crate::{DaBackend, DaBlock, DaError, DaFee, DaHeads, DaLimits, http};

/// A request is answered by then, or it failed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a block's answer.
const MAX_BLOCK_BYTES: usize = 64 << 20;
/// Most bytes of any other answer.
const MAX_JSON_BYTES: usize = 64 << 10;
/// How many hashes are remembered to notice another history.
const MAX_SEEN: usize = 4096;

/// A local DA service over HTTP, for one namespace.
#[derive(Debug)]
pub struct LocalClient {
    http: reqwest::Client,
    url: String,
    signer: Address,
    namespace: B256,
    seen: Mutex<Seen>,
}

/// What was believed before. The service's blocks never change, so this only grows.
#[derive(Debug, Default)]
struct Seen {
    hashes: BTreeMap<u64, B256>,
    heads: Option<DaHeads>,
}

impl Seen {
    /// Takes in a hash at a height; another one there is another history.
    fn accept(&mut self, height: u64, hash: B256) -> Result<(), DaError> {
        let known = *self.hashes.entry(height).or_insert(hash);
        if known != hash {
            return Err(DaError::Damaged(format!(
                "height {height} is {hash}, was {known}: the service shows another history (was it \
                 restored from an old copy?)"
            )));
        }
        while self.hashes.len() > MAX_SEEN {
            self.hashes.pop_first();
        }
        Ok(())
    }

    fn accept_linked(&mut self, da: DaRef, parent: B256) -> Result<(), DaError> {
        self.accept(da.height, da.hash)?;
        da.height.checked_sub(1).map_or(Ok(()), |below| self.accept(below, parent))
    }
}

impl LocalClient {
    /// A client of the service at `url` (`http://host:port`) whose blocks `signer` signs. Sends
    /// nothing yet.
    pub fn new(url: &str, signer: Address, namespace: B256) -> Result<Self, DaError> {
        if !url.starts_with("http://") {
            let text = format!("{url:?} is no address of a local service: use http://host:port");
            return Err(DaError::Config(text));
        }
        let http = http::client(TIMEOUT, false)?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { http, url, signer, namespace, seen: Mutex::default() })
    }

    fn path(&self, path: &str) -> String {
        format!("{}/v1/{path}?namespace={}", self.url, self.namespace)
    }

    async fn head(&self) -> Result<HeadAnswer, DaError> {
        json(self.http.get(format!("{}/v1/head", self.url))).await
    }

    /// A header of `/v1/head`, if the service signed it.
    fn check(&self, signed: &SignedHeader) -> Result<DaRef, DaError> {
        let header = signed.header;
        if signed.signer() != Some(self.signer) {
            let text = format!("head {} is not signed by {}", header.height, self.signer);
            return Err(DaError::Damaged(text));
        }
        self.seen.lock().accept_linked(header.da(), header.parent)?;
        Ok(header.da())
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<DaRef, DaError> {
        let request = self.http.post(self.path(path)).body(body);
        let SubmitAnswer { height, hash } = json(request).await?;
        Ok(DaRef { height, hash })
    }
}

#[async_trait]
impl DaBackend for LocalClient {
    async fn limits(&self) -> Result<DaLimits, DaError> {
        let head = self.head().await?;
        Ok(DaLimits {
            max_blob_bytes: head.max_blob_bytes,
            max_submission_bytes: head.max_submission_bytes,
        })
    }

    async fn submit(&self, blobs: &[Bytes]) -> Result<DaRef, DaError> {
        self.post("submit", alloy_rlp::encode(blobs.to_vec())).await
    }

    async fn read(&self, height: u64) -> Result<DaBlock, DaError> {
        let request = self.http.get(self.path(&format!("blocks/{height}")));
        let bytes = send(request, MAX_BLOCK_BYTES).await?;
        let mut rest = &bytes[..];
        let answer = BlockAnswer::decode(&mut rest)
            .ok()
            .filter(|_| rest.is_empty())
            .ok_or_else(|| DaError::Damaged(format!("height {height}: no block in the answer")))?;
        let block = answer.verify(self.signer, height, self.namespace)?;
        self.seen.lock().accept_linked(block.da, block.parent)?;
        Ok(block)
    }

    async fn heads(&self) -> Result<DaHeads, DaError> {
        let head = self.head().await?;
        let latest = self.check(&head.latest.signed)?;
        let finalized = self.check(&head.finalized.signed)?;
        if finalized.height > latest.height {
            return Err(DaError::Damaged("the final block is above the newest".into()));
        }
        // Two answers may overtake each other; the history is one, so the higher is the later.
        let mut seen = self.seen.lock();
        let heads = match seen.heads {
            Some(before) => DaHeads {
                latest: std::cmp::max_by_key(before.latest, latest, |da| da.height),
                finalized: std::cmp::max_by_key(before.finalized, finalized, |da| da.height),
            },
            None => DaHeads { latest, finalized },
        };
        seen.heads = Some(heads);
        Ok(heads)
    }

    async fn fee(&self) -> Result<DaFee, DaError> {
        Ok(DaFee { wei_per_byte: 0 })
    }

    async fn force(&self, entry: Bytes) -> Result<(), DaError> {
        self.post("forced", entry.to_vec()).await.map(drop)
    }
}

async fn json<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, DaError> {
    let bytes = send(request, MAX_JSON_BYTES).await?;
    serde_json::from_slice(&bytes).map_err(|error| DaError::Damaged(format!("answer: {error}")))
}

/// Sends, and reads at most `most` bytes of a good answer. Only an error that the service itself
/// states is a fact; any other trouble is "unavailable", never "nothing there".
async fn send(request: RequestBuilder, most: usize) -> Result<Vec<u8>, DaError> {
    let unavailable = |error: reqwest::Error| DaError::Unavailable(http::causes(&error));
    let mut response = request.send().await.map_err(unavailable)?;
    let status = response.status();
    let most = if status == StatusCode::OK { most } else { MAX_JSON_BYTES };
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
        if bytes.len() + chunk.len() > most {
            return Err(DaError::Damaged(format!("an answer above {most} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    if status == StatusCode::OK {
        return Ok(bytes);
    }
    match serde_json::from_slice::<ErrorAnswer>(&bytes) {
        Ok(answer) if answer.status() == status => Err(answer.into()),
        _ => Err(DaError::Unavailable(format!("answered {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn da(height: u64, byte: u8) -> DaRef {
        DaRef { height, hash: B256::repeat_byte(byte) }
    }

    #[test]
    fn another_history_is_noticed() {
        let mut seen = Seen::default();
        let hash = B256::repeat_byte;
        seen.accept_linked(da(5, 5), hash(4)).unwrap();
        seen.accept_linked(da(5, 5), hash(4)).unwrap();
        assert!(seen.accept_linked(da(5, 9), hash(4)).is_err());
        assert!(seen.accept_linked(da(6, 6), hash(9)).is_err());
        assert!(seen.accept_linked(da(4, 9), hash(3)).is_err(), "named as a parent before");
        seen.accept_linked(da(0, 1), hash(0)).unwrap();
        for height in 10..10_000 {
            seen.accept(height, hash(1)).unwrap();
        }
        assert_eq!(seen.hashes.len(), MAX_SEEN);
    }
}
