//! Load on a running chain, and what its users were told: after a crash all of it must be true.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256};
use eyre::{ContextCompat, ensure};
use jsonrpsee::core::client::{ClientT, Error};
use jsonrpsee::core::params::BatchRequestBuilder;
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use jsonrpsee::rpc_params;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::txs::{Draft, Form};

/// Accounts that send at the same time; the account after them uses the forced lane.
const SENDERS: usize = 3;
/// Every so many transactions a sender waits for the receipt instead of the hash.
const SYNC_EVERY: u64 = 8;
/// Pause between two looks at the heads.
const LOOK: Duration = Duration::from_millis(40);
/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long what is there may seem not to be.
const MOMENT: Duration = Duration::from_secs(2);
/// Calls of one batch, as the node allows.
const BATCH: usize = 100;

/// Where a chain is reached.
#[derive(Debug, Clone)]
pub struct Place {
    /// JSON-RPC of the sequencer.
    pub rpc: String,
    /// JSON-RPC of the full node.
    pub full_rpc: String,
    /// The DA service.
    pub da: String,
    /// Identity of the chain: its namespace on DA.
    pub identity: B256,
}

/// A client that does not wait for ever.
pub fn client(url: &str) -> eyre::Result<HttpClient> {
    Ok(HttpClientBuilder::default().request_timeout(Duration::from_secs(5)).build(url)?)
}

/// Heads a node told of, as (number, hash).
#[derive(Debug, Default)]
struct Heads {
    safe: BTreeMap<u64, B256>,
    finalized: BTreeMap<u64, B256>,
}

/// What users were told so far.
#[derive(Debug, Default)]
struct Told {
    /// Acknowledged since the last look.
    fresh: Vec<B256>,
    acknowledged: Vec<B256>,
    /// On the forced lane, durable on DA.
    forced: Vec<B256>,
    sequencer: Heads,
    full: Heads,
    /// Answers nobody expects.
    strange: Vec<String>,
}

/// Remembers what users were told, over any number of crashes.
#[derive(Debug, Default, Clone)]
pub struct Witness(Arc<Mutex<Told>>);

/// Users at work, until their node dies or they are told to stop.
pub struct Load {
    stop: CancellationToken,
    users: JoinSet<()>,
}

impl Load {
    /// Sends and watches.
    pub fn start(place: &Place, witness: &Witness) -> Self {
        let stop = CancellationToken::new();
        let mut users = JoinSet::new();
        let stopped = |stop: &CancellationToken, user: tokio::task::JoinHandle<()>| {
            let stop = stop.clone();
            async move {
                let abort = user.abort_handle();
                tokio::select! {
                    () = stop.cancelled() => abort.abort(),
                    _ = user => {}
                }
            }
        };
        for sender in 0..SENDERS {
            let user = tokio::spawn(send(place.rpc.clone(), sender, witness.clone()));
            users.spawn(stopped(&stop, user));
        }
        users.spawn(stopped(&stop, tokio::spawn(force(place.clone(), witness.clone()))));
        for (url, full) in [(place.rpc.clone(), false), (place.full_rpc.clone(), true)] {
            users.spawn(stopped(&stop, tokio::spawn(watch(url, full, witness.clone()))));
        }
        Self { stop, users }
    }

    /// Waits for all of them: they end when their node is gone.
    pub async fn ends(mut self) {
        while self.users.join_next().await.is_some() {}
    }

    /// Sends them home.
    pub async fn stop(self) {
        self.stop.cancel();
        self.ends().await;
    }
}

fn transfer(chain_id: u64, sender: usize, nonce: u64) -> Bytes {
    let mut draft = Draft::transfer(chain_id, nonce, Address::with_last_byte(0xaa), 1);
    draft.max_fee = 100_000_000_000;
    draft.sign(Form::Dynamic, &crate::keys::accounts()[sender])
}

async fn nonce(client: &HttpClient, sender: usize, tag: &str) -> Result<u64, Error> {
    let address = crate::keys::accounts()[sender].address();
    let count: U256 = client.request("eth_getTransactionCount", rpc_params![address, tag]).await?;
    Ok(count.to())
}

/// Sends one transaction after the other and writes down every answer.
async fn send(rpc: String, sender: usize, witness: Witness) {
    let Ok(client) = client(&rpc) else { return };
    let Ok(mut nonce) = nonce(&client, sender, "pending").await else { return };
    loop {
        let raw = transfer(901, sender, nonce);
        let hash = alloy_primitives::keccak256(&raw);
        let answer = if (nonce + sender as u64).is_multiple_of(SYNC_EVERY) {
            client.request("eth_sendRawTransactionSync", rpc_params![raw]).await.map(|_: Value| ())
        } else {
            client.request("eth_sendRawTransaction", rpc_params![raw]).await.map(|_: B256| ())
        };
        match answer {
            Ok(()) => witness.0.lock().fresh.push(hash),
            // Sent and not in a block yet.
            Err(Error::Call(error)) if error.message().contains("added to the mempool") => {
                witness.0.lock().fresh.push(hash);
            }
            Err(Error::Call(error)) => {
                return witness.0.lock().strange.push(format!("{hash}: {error}"));
            }
            Err(_) => return,
        }
        nonce += 1;
    }
}

/// Puts transactions on the forced lane, each once the one before is in a block.
async fn force(place: Place, witness: Witness) {
    let sender = SENDERS;
    let Ok(client) = client(&place.rpc) else { return };
    let url = format!("{}/v1/forced?namespace={}", place.da, place.identity);
    let Ok(http) = causeway_da::http::client(Duration::from_secs(10), false) else { return };
    let mut next = 0;
    while let Ok(nonce) = nonce(&client, sender, "latest").await {
        if nonce >= next {
            let raw = transfer(901, sender, nonce);
            let hash = alloy_primitives::keccak256(&raw);
            match http.post(&url).body(raw.to_vec()).send().await {
                Ok(answer) if answer.status().is_success() => {
                    witness.0.lock().forced.push(hash);
                    next = nonce + 1;
                }
                _ => return,
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A block by number or tag: its number and hash.
async fn block(client: &HttpClient, which: &Value) -> Result<Option<(u64, B256)>, Error> {
    let block: Value = client.request("eth_getBlockByNumber", rpc_params![which, false]).await?;
    let field = |name: &str| serde_json::from_value::<U256>(block[name].clone()).ok();
    let number = field("number").map(|number| number.to());
    Ok(number.zip(field("hash").map(B256::from)))
}

/// Looks at the safe and the final head of a node.
async fn watch(url: String, full: bool, witness: Witness) {
    let Ok(client) = client(&url) else { return };
    loop {
        for tag in ["safe", "finalized"] {
            let Ok(Some((number, hash))) = block(&client, &tag.into()).await else { return };
            let mut told = witness.0.lock();
            let Told { sequencer, full: follower, .. } = &mut *told;
            let heads = if full { follower } else { sequencer };
            let seen = if tag == "safe" { &mut heads.safe } else { &mut heads.finalized };
            if let Some(before) = seen.insert(number, hash).filter(|before| *before != hash) {
                let text = format!("{tag} block {number} was {before} and is {hash}");
                told.strange.push(text);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Witness {
    /// Transactions acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        let told = self.0.lock();
        told.acknowledged.len() + told.fresh.len()
    }

    /// Forgets what was safe and not final: the DA layer was put back behind it.
    pub fn da_was_put_back(&self) {
        let mut told = self.0.lock();
        let Told { sequencer, full, .. } = &mut *told;
        for heads in [sequencer, full] {
            heads.safe.clone_from(&heads.finalized);
        }
    }

    /// Right after a start: what was acknowledged since the last look is in a block or waits for
    /// one, and no head of the two nodes is behind or beside what they told. Returns how many
    /// transactions were looked at.
    pub async fn still_true(&self, place: &Place) -> eyre::Result<usize> {
        self.nothing_strange()?;
        let fresh = std::mem::take(&mut self.0.lock().fresh);
        let sequencer = client(&place.rpc)?;
        for hashes in fresh.chunks(BATCH) {
            // A block being replaced is gone a moment before its transactions wait again.
            all_there(&sequencer, "eth_getTransactionByHash", hashes, MOMENT).await?;
        }
        self.0.lock().acknowledged.extend(&fresh);
        for (url, full) in [(&place.rpc, false), (&place.full_rpc, true)] {
            let (safe, finalized) = {
                let told = self.0.lock();
                let heads = if full { &told.full } else { &told.sequencer };
                let last = |seen: &BTreeMap<u64, B256>| seen.iter().next_back().map(own);
                (last(&heads.safe), last(&heads.finalized))
            };
            let client = client(url)?;
            if let Some((number, hash)) = finalized {
                let now = block(&client, &"finalized".into()).await?.context("a final block")?;
                ensure!(now.0 >= number, "{url}: finalized went back from {number} to {}", now.0);
                same(&client, number, hash).await?;
            }
            if let Some((number, hash)) = safe.filter(|_| !full) {
                same(&client, number, hash).await?;
            }
        }
        Ok(fresh.len())
    }

    /// In the end: every transaction acknowledged is in a block, the full node has the block the
    /// sequencer has, and both have every block that was ever told to be safe or final.
    pub async fn all_true(&self, place: &Place) -> eyre::Result<()> {
        self.nothing_strange()?;
        let (sequencer, full) = (client(&place.rpc)?, client(&place.full_rpc)?);
        let hashes = {
            let told = self.0.lock();
            [&told.acknowledged[..], &told.fresh, &told.forced].concat()
        };
        for hashes in hashes.chunks(BATCH) {
            all_there(&sequencer, "eth_getTransactionReceipt", hashes, PATIENCE).await?;
        }
        let (number, hash) = block(&sequencer, &"latest".into()).await?.context("a block")?;
        let deadline = Instant::now() + PATIENCE;
        while block(&full, &"safe".into()).await?.is_none_or(|(safe, _)| safe < number) {
            ensure!(Instant::now() < deadline, "the full node does not get to block {number}");
            tokio::time::sleep(LOOK).await;
        }
        same(&full, number, hash).await?;
        let promised: BTreeMap<u64, B256> = {
            let told = self.0.lock();
            let heads = [&told.sequencer, &told.full];
            let all = heads.iter().flat_map(|heads| heads.safe.iter().chain(&heads.finalized));
            all.map(own).collect()
        };
        let promised: Vec<_> = promised.into_iter().collect();
        for client in [&sequencer, &full] {
            for some in promised.chunks(BATCH) {
                let numbers: Vec<_> = some.iter().map(|(number, _)| U256::from(*number)).collect();
                let blocks = batch(client, "eth_getHeaderByNumber", &numbers).await?;
                for ((number, hash), header) in some.iter().zip(blocks) {
                    ensure!(
                        header["hash"] == hash.to_string(),
                        "block {number} was {hash}: {header}"
                    );
                }
            }
        }
        Ok(())
    }

    /// Forgets that a node said it had failed: the test made it fail.
    pub fn node_failed(&self) {
        self.0.lock().strange.retain(|answer| !answer.contains("internal error"));
    }

    fn nothing_strange(&self) -> eyre::Result<()> {
        let told = self.0.lock();
        ensure!(told.strange.is_empty(), "unexpected: {:#?}", told.strange);
        Ok(())
    }
}

fn own((number, hash): (&u64, &B256)) -> (u64, B256) {
    (*number, *hash)
}

async fn same(client: &HttpClient, number: u64, hash: B256) -> eyre::Result<()> {
    let found = block(client, &format!("{number:#x}").into()).await?;
    ensure!(found == Some((number, hash)), "block {number} was {hash}, now {found:?}");
    Ok(())
}

/// Waits until a node has an answer for every transaction.
async fn all_there(
    client: &HttpClient,
    method: &str,
    hashes: &[B256],
    patience: Duration,
) -> eyre::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let answers = batch(client, method, hashes).await?;
        let missing = hashes.iter().zip(&answers).find(|(_, answer)| answer.is_null());
        let Some((hash, _)) = missing else { return Ok(()) };
        ensure!(Instant::now() < deadline, "{hash} was acknowledged: no {method}");
        tokio::time::sleep(LOOK).await;
    }
}

/// One call for each parameter.
async fn batch<P: serde::Serialize>(
    client: &HttpClient,
    method: &str,
    parameters: &[P],
) -> eyre::Result<Vec<Value>> {
    let mut calls = BatchRequestBuilder::new();
    for parameter in parameters {
        calls.insert(method, rpc_params![parameter])?;
    }
    let answers = client.batch_request::<Value>(calls).await?;
    let all =
        answers.into_iter().map(|answer| answer.map_err(|error| eyre::eyre!("{method}: {error}")));
    all.collect()
}
