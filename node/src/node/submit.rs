//! How a transaction gets in: checked, pooled and durable on the sequencer; forwarded elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes};
use causeway_chainspec::{SkipReason, StateError, StateReader, Tx, crash};
use causeway_consensus::mempool::{AccountFacts, PoolError};
use causeway_execution::{ExecutionError, Pipeline};
use jsonrpsee::core::client::{ClientT, Error as ClientError};
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};

use super::{Node, NodeError};
use crate::config::Role;
use crate::rpc::backend::SubmitError;

/// How long the sequencer may take to answer a forwarded transaction.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(3);

/// Code of an account that delegates to a contract begins with this (EIP-7702).
const EIP7702_PREFIX: [u8; 3] = [0xef, 0x01, 0x00];

/// Where transactions go.
pub enum Submit {
    /// Into this node's pool.
    Here,
    /// To the sequencer.
    Forward {
        /// HTTP URL of the sequencer.
        url: String,
        /// Client of it.
        client: HttpClient,
    },
    /// Nowhere: the node knows no sequencer.
    Nowhere,
}

impl Submit {
    /// Chooses by role. A WebSocket URL is called over HTTP on the same port.
    pub fn open(role: Role, sequencer: Option<&str>) -> Result<Self, NodeError> {
        match (role, sequencer) {
            (Role::Sequencer, _) => Ok(Self::Here),
            (Role::Full, None) => Ok(Self::Nowhere),
            (Role::Full, Some(url)) => {
                let url = url.replacen("ws://", "http://", 1).replacen("wss://", "https://", 1);
                let client = HttpClientBuilder::default()
                    .request_timeout(FORWARD_TIMEOUT)
                    .build(&url)
                    .map_err(|error| NodeError::Task(format!("sequencer url {url}: {error}")))?;
                Ok(Self::Forward { url, client })
            }
        }
    }
}

/// What the pool has to know of an account.
fn account_facts(state: &dyn StateReader, address: Address) -> Result<AccountFacts, StateError> {
    let account = state.account(address)?.unwrap_or_default();
    let code = account.bytecode_hash.map(|hash| state.code(hash)).transpose()?.flatten();
    let delegated = code.is_some_and(|code| code.starts_with(&EIP7702_PREFIX));
    Ok(AccountFacts { nonce: account.nonce, balance: account.balance, delegated })
}

/// Accounts on the newest state, each once.
pub(super) fn facts_of(
    pipeline: &Pipeline,
    mut accounts: Vec<Address>,
) -> Result<Vec<(Address, AccountFacts)>, ExecutionError> {
    let snapshot = pipeline.snapshot();
    let latest = snapshot.latest().number;
    let state = snapshot
        .state(latest)?
        .ok_or_else(|| ExecutionError::Unknown(format!("state of block {latest}")))?;
    accounts.sort_unstable();
    accounts.dedup();
    accounts.into_iter().map(|address| Ok((address, account_facts(&*state, address)?))).collect()
}

/// The pool's refusals in the words of the RPC.
fn refused(error: PoolError) -> SubmitError {
    match error {
        PoolError::AlreadyKnown => SubmitError::AlreadyKnown,
        PoolError::Underpriced => SubmitError::Underpriced,
        PoolError::Full => SubmitError::PoolFull,
        PoolError::NonceTooLow { state, tx } => SkipReason::NonceTooLow { state, tx }.into(),
        PoolError::Funds { have, want } => SkipReason::Funds { have, want }.into(),
        other => SubmitError::Rejected(other.to_string()),
    }
}

impl Node {
    /// Accepts a signed transaction; once this returns it survives `kill -9`.
    pub async fn submit(&self, raw: Bytes) -> Result<B256, SubmitError> {
        let result = match &self.submit {
            Submit::Here => self.accept(raw).await,
            Submit::Forward { url, client } => self.forward(url, client, raw).await,
            Submit::Nowhere => Err(SubmitError::Unreachable(
                "this node has no --sequencer URL to forward it to".into(),
            )),
        };
        self.metrics.submitted(&result);
        result
    }

    async fn accept(&self, raw: Bytes) -> Result<B256, SubmitError> {
        let decoded = tokio::task::spawn_blocking(move || {
            let start = Instant::now();
            (Tx::decode(raw), start.elapsed())
        });
        let (tx, took) = decoded.await.map_err(|error| SubmitError::Failed(error.to_string()))?;
        self.metrics.recover.observe(took);
        let tx = Arc::new(tx?);
        let facts = self.check(&tx)?;
        let hash = tx.hash;
        // Both at once: whoever is told that it is known can see whether it is written down yet.
        let (added, waits) = {
            let mut accepting = self.accepting.lock();
            let added = self.pool.add(tx.clone(), facts);
            if added.is_ok() {
                accepting.insert(hash);
            }
            (added, accepting.contains(&hash))
        };
        let written = match &added {
            Ok(()) => self.write_down(tx).await,
            // Clients take this for success: what they asked for is durable first. While another
            // request is still writing it down, this one does so itself.
            Err(PoolError::AlreadyKnown) if waits => self.write_down(tx).await,
            Err(PoolError::AlreadyKnown) => self.blocking(Pipeline::sync).await,
            Err(_) => Ok(()),
        };
        written.map_err(|error| SubmitError::Failed(error.to_string()))?;
        added.map(|()| hash).map_err(refused)
    }

    /// Makes a transaction durable and tells subscribers of it, whether or not somebody waits.
    async fn write_down(&self, tx: Arc<Tx>) -> Result<(), ExecutionError> {
        let (pool, accepting) = (self.pool.clone(), self.accepting.clone());
        self.blocking(move |pipeline| {
            crash::point("accept.before");
            pipeline.accept(std::slice::from_ref(&tx))?;
            crash::point("accept.durable");
            // Once, however many write it down.
            if accepting.lock().remove(&tx.hash) {
                pool.announce(tx);
            }
            Ok(())
        })
        .await
    }

    /// Checks a transaction against the next block's environment and its sender's account.
    fn check(&self, tx: &Tx) -> Result<AccountFacts, SubmitError> {
        let failed = |error: ExecutionError| SubmitError::Failed(error.to_string());
        let snapshot = self.pipeline.snapshot();
        let env = snapshot.next_env(self.clock.now_ms()).map_err(failed)?;
        self.pipeline.vm().check(tx, &env)?;
        let state = snapshot
            .state(snapshot.latest().number)
            .map_err(failed)?
            .ok_or_else(|| SubmitError::Failed("the newest state is missing".into()))?;
        account_facts(&*state, tx.sender).map_err(|error| failed(error.into()))
    }

    /// The accounts of some transactions' senders, on the newest state.
    pub(super) fn sender_facts(
        &self,
        txs: &[Arc<Tx>],
    ) -> Result<Vec<(Address, AccountFacts)>, ExecutionError> {
        facts_of(&self.pipeline, txs.iter().map(|tx| tx.sender).collect())
    }

    async fn forward(
        &self,
        url: &str,
        client: &HttpClient,
        raw: Bytes,
    ) -> Result<B256, SubmitError> {
        let answer: Result<B256, ClientError> =
            client.request("eth_sendRawTransaction", [raw.clone()]).await;
        match answer {
            Ok(hash) => {
                // Kept here too, so that this node answers for it while it waits. Not durable: the
                // sequencer holds it.
                if let Ok(tx) = Tx::decode(raw).map(Arc::new)
                    && let Ok(facts) = self.check(&tx)
                {
                    match self.pool.add(tx.clone(), facts) {
                        Ok(()) => self.pool.announce(tx),
                        Err(error) => tracing::debug!(%hash, %error, "not in the own pool"),
                    }
                }
                Ok(hash)
            }
            Err(ClientError::Call(error)) => Err(SubmitError::Remote {
                code: error.code(),
                message: error.message().to_string(),
                data: error.data().and_then(|data| serde_json::from_str(data.get()).ok()),
            }),
            Err(error) => {
                tracing::warn!(%url, %error, "a transaction could not be forwarded");
                let seconds = FORWARD_TIMEOUT.as_secs();
                Err(SubmitError::Unreachable(format!(
                    "it did not answer within {seconds} s; the transaction was not accepted here, \
                     send it again"
                )))
            }
        }
    }

    /// Puts transactions back that were acknowledged before a restart, outside the pool's limits.
    pub(super) fn refill(&self, accepted: &[Arc<Tx>]) -> Result<(), ExecutionError> {
        let facts = self.sender_facts(accepted)?;
        self.pool.reinsert(accepted.to_vec(), &facts);
        Ok(())
    }
}
