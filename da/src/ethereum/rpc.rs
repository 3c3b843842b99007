//! JSON-RPC of execution nodes: calls to several, each known to be of the right chain.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U64, U128, U256};
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::sources::{Fault, Source, Sources};
use crate::{DaError, http};

const TIMEOUT: Duration = Duration::from_secs(15);
/// Most bytes of an answer: a full block of transactions is below 20 MiB.
const MOST_BYTES: usize = 64 << 20;

/// An execution node; what is known of it is that its chain is ours.
pub(super) type Node = Source<()>;

/// Execution nodes of one chain.
#[derive(Debug)]
pub(super) struct Rpc {
    http: reqwest::Client,
    pub(super) nodes: Sources<()>,
    chain_id: u64,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    result: Value,
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    message: String,
}

/// A receipt, as far as the poster needs it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Landed {
    pub(super) block_number: U64,
    pub(super) block_hash: B256,
    /// 1 if it did what it was for.
    #[serde(default)]
    pub(super) status: U64,
    pub(super) gas_used: U128,
    pub(super) effective_gas_price: U128,
    #[serde(default)]
    pub(super) blob_gas_used: U128,
    #[serde(default)]
    pub(super) blob_gas_price: U128,
}

impl Landed {
    /// What the transaction cost, in wei.
    pub(super) fn cost(&self) -> u128 {
        let gas = self.gas_used.to::<u128>().saturating_mul(self.effective_gas_price.to());
        let blobs = self.blob_gas_used.to::<u128>().saturating_mul(self.blob_gas_price.to());
        gas.saturating_add(blobs)
    }
}

impl Rpc {
    /// Of the chain with this id. Sends nothing yet.
    pub(super) fn new(urls: &[String], chain_id: u64) -> Result<Self, DaError> {
        Ok(Self {
            http: http::client(TIMEOUT, true)?,
            nodes: Sources::new("l1 rpc", urls)?,
            chain_id,
        })
    }

    /// The id of the chain.
    pub(super) fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Calls a method of one node, once it is known to be of our chain.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        node: &Node,
        method: &str,
        params: Value,
    ) -> Result<T, Fault> {
        let known = node.known.lock().is_some();
        if !known {
            let id: U64 = self.send(node, "eth_chainId", json!([])).await?;
            if id.to::<u64>() != self.chain_id {
                let text = format!("is of chain {id}, and not {}", self.chain_id);
                return Err(Fault::Wrong(text));
            }
            *node.known.lock() = Some(());
        }
        self.send(node, method, params).await
    }

    /// Calls a method of whichever node answers.
    pub(super) async fn ask<T: DeserializeOwned + Send>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, DaError> {
        let params = &params;
        self.nodes
            .first(move |node| {
                let params = params.clone();
                Box::pin(async move { self.call(node, method, params).await })
            })
            .await
    }

    /// Calls a method of whichever node answers, of whatever chain it is.
    pub(super) async fn unchecked<T: DeserializeOwned + Send>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, DaError> {
        let params = &params;
        self.nodes.first(move |node| Box::pin(self.send(node, method, params.clone()))).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        node: &Node,
        method: &str,
        params: Value,
    ) -> Result<T, Fault> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let response = self.http.post(&node.url).json(&request).send().await;
        let response = response.map_err(|error| Fault::Silent(http::causes(&error)))?;
        let answer = http::body(response, MOST_BYTES).await.map_err(Fault::Silent)?;
        let Ok(reply) = serde_json::from_slice::<Reply>(&answer.bytes) else {
            return Err(Fault::Silent(match answer.status {
                StatusCode::OK => format!("{method}: the answer is no JSON-RPC"),
                status => format!("{method}: answered {status}"),
            }));
        };
        if let Some(ErrorObject { code, message }) = reply.error {
            return Err(match answer.status {
                // The server is busy, not the question wrong.
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    Fault::Silent(format!("{method}: {message}"))
                }
                _ => Fault::Refused { code, message },
            });
        }
        serde_json::from_value(reply.result)
            .map_err(|error| Fault::Wrong(format!("{method}: {error}")))
    }

    /// Transactions that an account had sent by a block: "latest", a number or a hash.
    pub(super) async fn nonce(&self, of: Address, block: Value) -> Result<u64, DaError> {
        let nonce: U64 = self.ask("eth_getTransactionCount", json!([of, block])).await?;
        Ok(nonce.to())
    }

    /// What an account has, in wei.
    pub(super) async fn balance(&self, of: Address) -> Result<U256, DaError> {
        self.ask("eth_getBalance", json!([of, "latest"])).await
    }

    /// The receipt of a transaction, if its block is on the chain.
    pub(super) async fn landed(&self, hash: B256) -> Result<Option<Landed>, DaError> {
        self.ask("eth_getTransactionReceipt", json!([hash])).await
    }

    /// Whether any node has a transaction, in a block or waiting.
    pub(super) async fn knows(&self, hash: B256) -> Result<bool, DaError> {
        let found: Value = self.ask("eth_getTransactionByHash", json!([hash])).await?;
        Ok(!found.is_null())
    }

    /// Gives a signed transaction to the first node that takes it; the last refusal if none does.
    pub(super) async fn publish(&self, raw: &Bytes) -> Result<Result<(), String>, DaError> {
        let mut refusal = None;
        let mut faults = Vec::new();
        for node in self.nodes.in_turn() {
            let sent: Result<B256, Fault> =
                self.call(node, "eth_sendRawTransaction", json!([raw])).await;
            node.note(sent.as_ref().err());
            match sent {
                Ok(_) => return Ok(Ok(())),
                Err(Fault::Refused { message, .. }) => refusal = Some(message),
                Err(fault) => faults.push(format!("{}: {fault}", node.name)),
            }
        }
        match refusal {
            Some(message) => Ok(Err(message)),
            None => {
                Err(DaError::Unavailable(format!("no l1 rpc is of use: {}", faults.join("; "))))
            }
        }
    }
}
