//! How a transaction gets in: checked, pooled and durable on the sequencer; forwarded elsewhere.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use causeway_chainspec::tx::Unrecovered;
use causeway_chainspec::{BlockEnv, SkipReason, StateError, StateReader, Tx};
use causeway_consensus::mempool::{AccountFacts, PoolError, bid};
use causeway_execution::{ExecutionError, Pipeline, Vm};
use jsonrpsee::core::client::{ClientT, Error as ClientError};
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use tokio::sync::watch;

use super::{Node, NodeError};
use crate::config::Role;
use crate::rpc::backend::{Backend, SubmitError};

/// How long the sequencer may take to answer a forwarded transaction.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(3);

/// Transactions of one request that are decoded without giving others a turn: about half a
/// millisecond.
const RECOVER_AT_ONCE: usize = 10;

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
pub(crate) fn account_facts(
    state: &dyn StateReader,
    address: Address,
) -> Result<AccountFacts, StateError> {
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
pub(crate) fn refused(error: PoolError) -> SubmitError {
    match error {
        PoolError::AlreadyKnown => SubmitError::AlreadyKnown,
        PoolError::Underpriced => SubmitError::Underpriced,
        PoolError::Full => SubmitError::PoolFull,
        PoolError::NonceTooLow { state, tx } => SkipReason::NonceTooLow { state, tx }.into(),
        PoolError::Funds { have, want } => SkipReason::Funds { have, want }.into(),
        other => SubmitError::Rejected(other.to_string()),
    }
}

/// The next block's environment and the newest state.
pub(super) struct Checks {
    /// Claim of the newest block, and now, ms.
    at: (B256, u64),
    vm: Arc<dyn Vm>,
    env: BlockEnv,
    state: Arc<dyn StateReader>,
}

impl Checks {
    fn check(&self, tx: &Tx) -> Result<AccountFacts, SubmitError> {
        self.vm.check(tx, &self.env)?;
        account_facts(&*self.state, tx.sender)
            .map_err(|error| SubmitError::Failed(error.to_string()))
    }
}

/// Ends the process if a panic leaves the pool with what is not written down.
struct Unfinished<'a>(&'a watch::Sender<Option<String>>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.send_replace(Some("accepting a transaction panicked".into()));
        }
    }
}

impl Node {
    /// Takes signed transactions, in order; answers for each once it survives `kill -9`.
    pub async fn submit_all(&self, raws: Vec<Bytes>) -> Vec<Result<B256, SubmitError>> {
        let answers = match &self.submit {
            Submit::Here => self.accept(raws).await,
            Submit::Forward { url, client } => {
                let forwarded = raws.into_iter().map(|raw| self.forward(url, client, raw));
                futures::future::join_all(forwarded).await
            }
            Submit::Nowhere => {
                let reason = "this node has no --sequencer URL to forward it to";
                raws.iter().map(|_| Err(SubmitError::Unreachable(reason.into()))).collect()
            }
        };
        answers.iter().for_each(|answer| self.metrics.submitted(answer));
        answers
    }

    /// [`Node::submit_all`] of one.
    pub async fn submit(&self, raw: Bytes) -> Result<B256, SubmitError> {
        Backend::submit(self, raw).await
    }

    async fn accept(&self, raws: Vec<Bytes>) -> Vec<Result<B256, SubmitError>> {
        if let Some(reason) = self.halted() {
            let refused = |_| Err(SubmitError::Halted(reason.to_owned()));
            return raws.into_iter().map(refused).collect();
        }
        let mut checked = Vec::with_capacity(raws.len());
        for (at, raw) in raws.into_iter().enumerate() {
            if at % RECOVER_AT_ONCE == RECOVER_AT_ONCE - 1 {
                // Recovering takes all of a thread, which others need, too.
                tokio::task::yield_now().await;
            }
            checked.push(self.decode(raw));
        }
        let unfinished = Unfinished(&self.failed);
        let (answers, fresh, wait) = self.pool_all(checked);
        drop(unfinished);
        self.read_ahead(&fresh);
        if !wait {
            return answers;
        }
        match self.write_down(fresh).await {
            Ok(()) => answers,
            // What needs no promise keeps its answer.
            Err(error) => answers
                .into_iter()
                .map(|answer| match answer {
                    Ok(_) | Err(SubmitError::AlreadyKnown) => {
                        Err(SubmitError::Failed(error.to_string()))
                    }
                    refused => refused,
                })
                .collect(),
        }
    }

    /// Has what waiting transactions will touch read into memory, where a core is free for it. On
    /// two cores it would take from recovering what it saves when they run.
    fn read_ahead(&self, txs: &[Arc<Tx>]) {
        if self.reads_ahead && !txs.is_empty() {
            let (pipeline, txs) = (self.pipeline.clone(), txs.to_vec());
            tokio::task::spawn_blocking(move || pipeline.prefetch(&txs));
        }
    }

    /// The sender is recovered here, once for the life of the node: not for bytes that wait
    /// already, and not for a bid that a full pool would refuse.
    fn decode(&self, raw: Bytes) -> Result<Arc<Tx>, SubmitError> {
        let bytes = raw.len();
        let tx = Unrecovered::decode(raw)?;
        if let Some(known) = self.pool.get(tx.hash()) {
            return Ok(known);
        }
        if !self.pool.may_fit(bid(tx.envelope()), bytes) {
            return Err(SubmitError::PoolFull);
        }
        Ok(Arc::new(self.metrics.recover.time(|| tx.recover())?))
    }

    /// Puts what holds into the pool, in order. Returns an answer for each, what has to be written
    /// down before they are given, and whether any of them has to wait for the log at all.
    fn pool_all(
        &self,
        txs: Vec<Result<Arc<Tx>, SubmitError>>,
    ) -> (Vec<Result<B256, SubmitError>>, Vec<Arc<Tx>>, bool) {
        let (mut fresh, mut wait) = (Vec::new(), false);
        let checks = self.checks().map_err(|error| error.to_string());
        let mut add = |tx: Arc<Tx>| {
            let checks = checks.as_ref().map_err(|error| SubmitError::Failed(error.clone()))?;
            let facts = checks.check(&tx)?;
            let hash = tx.hash;
            // Both at once: whoever is told that it is known can see whether it is written down yet.
            let mut accepting = self.accepting.lock();
            let added = self.pool.add(tx.clone(), facts);
            if added.is_ok() {
                accepting.insert(hash);
            }
            // Clients take "known" for success: what they asked for is durable first.
            if matches!(added, Ok(()) | Err(PoolError::AlreadyKnown)) {
                wait = true;
                if accepting.contains(&hash) {
                    fresh.push(tx);
                }
            }
            added.map(|()| hash).map_err(refused)
        };
        let answers = txs.into_iter().map(|tx| tx.and_then(&mut add)).collect();
        (answers, fresh, wait)
    }

    /// Makes transactions durable, with all that was appended before, and tells subscribers of
    /// them, whether or not somebody waits.
    async fn write_down(&self, txs: Vec<Arc<Tx>>) -> Result<(), ExecutionError> {
        let (pool, accepting) = (self.pool.clone(), self.accepting.clone());
        let (answer, durable) = tokio::sync::oneshot::channel();
        let written = txs.clone();
        let done = move |result: Result<(), ExecutionError>| {
            if result.is_ok() {
                let mut accepting = accepting.lock();
                // Each once, however many write it down.
                for tx in written.into_iter().filter(|tx| accepting.remove(&tx.hash)) {
                    pool.announce(tx);
                }
            }
            // Nobody waits any more if the client has gone.
            let _ = answer.send(result);
        };
        self.pipeline.accept_then(txs, Box::new(done));
        durable.await.unwrap_or_else(|_| {
            let reason = "the journal's thread panicked".to_owned();
            self.failed.send_replace(Some(reason.clone()));
            Err(ExecutionError::Broken(reason))
        })
    }

    /// What transactions are checked against now; the same for all of one millisecond.
    fn checks(&self) -> Result<Arc<Checks>, ExecutionError> {
        let snapshot = self.pipeline.snapshot();
        let (latest, now_ms) = (snapshot.latest(), self.clock.now_ms());
        let mut made = self.checks.lock();
        if let Some(checks) = made.as_ref().filter(|made| made.at == (latest.claim, now_ms)) {
            return Ok(checks.clone());
        }
        let number = latest.number;
        let state = snapshot
            .state(number)?
            .ok_or_else(|| ExecutionError::Unknown(format!("state of block {number}")))?;
        let env = snapshot.next_env(now_ms)?;
        let vm = self.pipeline.vm().clone();
        let checks = Arc::new(Checks { at: (latest.claim, now_ms), vm, env, state });
        *made = Some(checks.clone());
        Ok(checks)
    }

    /// Checks one transaction against the next block's environment and its sender's account.
    fn check(&self, tx: &Tx) -> Result<AccountFacts, SubmitError> {
        let checks = self.checks().map_err(|error| SubmitError::Failed(error.to_string()))?;
        checks.check(tx)
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
