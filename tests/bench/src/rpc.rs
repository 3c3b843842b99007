//! JSON-RPC for what is not measured: set-up and checks.

use std::net::SocketAddr;
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256};
use eyre::{ContextCompat, WrapErr, ensure};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::core::params::BatchRequestBuilder;
use jsonrpsee::core::traits::ToRpcParams;
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use serde_json::{Value, json, value::RawValue};

/// Calls of a batch, as the node allows.
const BATCH: usize = 100;

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Rpc(HttpClient);

struct Params<'a>(&'a Value);

impl ToRpcParams for Params<'_> {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        RawValue::from_string(self.0.to_string()).map(Some)
    }
}

impl Rpc {
    /// A client; nothing is connected yet.
    pub fn new(server: SocketAddr) -> eyre::Result<Self> {
        let client = HttpClientBuilder::default()
            .request_timeout(Duration::from_secs(60))
            .max_response_size(200 << 20)
            .build(format!("http://{server}"))?;
        Ok(Self(client))
    }

    /// One call; `parameters` is an array.
    pub async fn call(&self, method: &str, parameters: Value) -> eyre::Result<Value> {
        let answer = self.0.request(method, Params(&parameters)).await;
        answer.wrap_err_with(|| method.to_owned())
    }

    /// A call for each list of parameters, in batches; answers in their order.
    pub async fn calls(&self, method: &str, parameters: &[Value]) -> eyre::Result<Vec<Value>> {
        let mut answers = Vec::with_capacity(parameters.len());
        for some in parameters.chunks(BATCH) {
            let mut batch = BatchRequestBuilder::new();
            for parameters in some {
                batch.insert(method, Params(parameters))?;
            }
            let batch = self.0.batch_request::<Value>(batch).await?;
            ensure!(batch.len() == some.len(), "{method}: {} answers", batch.len());
            for answer in batch {
                answers.push(answer.map_err(|error| eyre::eyre!("{method}: {error}"))?);
            }
        }
        Ok(answers)
    }

    /// Wei of accounts at the newest block.
    pub async fn balances(&self, of: &[Address]) -> eyre::Result<Vec<U256>> {
        let parameters: Vec<_> = of.iter().map(|address| json!([address, "latest"])).collect();
        self.calls("eth_getBalance", &parameters).await?.iter().map(number).collect()
    }

    /// Nonces of accounts at the newest block.
    pub async fn nonces(&self, of: &[Address]) -> eyre::Result<Vec<u64>> {
        let parameters: Vec<_> = of.iter().map(|address| json!([address, "latest"])).collect();
        let nonces = self.calls("eth_getTransactionCount", &parameters).await?;
        nonces.iter().map(|nonce| Ok(number(nonce)?.to())).collect()
    }

    /// What calls of a contract return at the newest block, as one number each.
    pub async fn asks(&self, contract: Address, inputs: Vec<Bytes>) -> eyre::Result<Vec<U256>> {
        let ask = |input| json!([{ "to": contract, "input": input }, "latest"]);
        let parameters: Vec<_> = inputs.into_iter().map(ask).collect();
        let words = self.calls("eth_call", &parameters).await?;
        let word = |word: &Value| {
            let bytes: Bytes = serde_json::from_value(word.clone())?;
            ensure!(bytes.len() >= 32, "{contract} returns {bytes}");
            Ok(U256::from_be_slice(&bytes[..32]))
        };
        words.iter().map(word).collect()
    }
}

/// A hexadecimal quantity.
pub fn number(value: &Value) -> eyre::Result<U256> {
    let text = value.as_str().with_context(|| format!("{value} is no quantity"))?;
    text.parse().wrap_err_with(|| format!("{text} is no quantity"))
}
