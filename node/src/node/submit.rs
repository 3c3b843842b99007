//! How a transaction gets in: checked, pooled and durable on the sequencer; forwarded elsewhere.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use causeway_chainspec::Tx;
use causeway_consensus::mempool::{Facts, PoolError};
use causeway_execution::ExecutionError;
use jsonrpsee::core::client::{ClientT, Error as ClientError};
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use tracing::warn;

use super::{Node, NodeError};
use crate::config::Role;
use crate::rpc::backend::SubmitError;

/// How long the sequencer may take to answer a forwarded transaction.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(3);

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

impl Node {
    /// Accepts a signed transaction; once this returns it survives `kill -9`.
    pub async fn submit(&self, raw: Bytes) -> Result<B256, SubmitError> {
        match &self.submit {
            Submit::Here => self.accept(raw).await,
            Submit::Forward { url, client } => self.forward(url, client, raw).await,
            Submit::Nowhere => Err(SubmitError::Unreachable(
                "this node has no --sequencer URL to forward it to".into(),
            )),
        }
    }

    async fn accept(&self, raw: Bytes) -> Result<B256, SubmitError> {
        let tx = tokio::task::spawn_blocking(move || Tx::decode(raw))
            .await
            .map_err(|error| SubmitError::Failed(error.to_string()))??;
        let tx = Arc::new(tx);
        let facts = self.facts(&tx)?;
        self.pool.add(tx.clone(), facts)?;
        let hash = tx.hash;
        self.blocking(move |pipeline| pipeline.accept(&[tx]))
            .await
            .map_err(|error| SubmitError::Failed(error.to_string()))?;
        Ok(hash)
    }

    /// Checks a transaction against the next block's environment and its sender's account.
    fn facts(&self, tx: &Tx) -> Result<Facts, SubmitError> {
        let failed = |error: ExecutionError| SubmitError::Failed(error.to_string());
        let snapshot = self.pipeline.snapshot();
        let env = snapshot.next_env(self.clock.now_ms()).map_err(failed)?;
        let facts = self.pipeline.vm().check(tx, &env)?;
        let state = snapshot
            .state(snapshot.latest().number)
            .map_err(failed)?
            .ok_or_else(|| SubmitError::Failed("the newest state is missing".into()))?;
        let account = state
            .account(tx.sender)
            .map_err(|error| SubmitError::Failed(error.to_string()))?
            .unwrap_or_default();
        Ok(Facts { nonce: account.nonce, balance: account.balance, max_cost: facts.max_cost })
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
                    && let Ok(facts) = self.facts(&tx)
                    && let Err(error) = self.pool.add(tx, facts)
                {
                    tracing::debug!(%hash, %error, "forwarded transaction is not in the own pool");
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

    /// Puts transactions back that were acknowledged before a restart.
    pub(super) fn refill(&self, accepted: &[Arc<Tx>]) {
        let mut lost = 0;
        for tx in accepted {
            let added = self.facts(tx).and_then(|facts| Ok(self.pool.add(tx.clone(), facts)?));
            if let Err(error) = added {
                lost += 1;
                tracing::debug!(hash = %tx.hash, %error, "accepted transaction is no longer valid");
            }
        }
        if lost > 0 {
            warn!(lost, of = accepted.len(), "accepted transactions are no longer valid");
        }
    }
}
