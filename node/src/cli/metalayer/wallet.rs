//! Signs transactions here and sends them: the key never leaves the process.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::TxEnvelope;
use clap::Args;
use eyre::{WrapErr, eyre};
use serde_json::{Value, json};

use super::client::{CallError, Chain};
use super::reverts::explain;
use crate::config::read_key;
use crate::exit::{Exit, ExitError};

/// How long a transaction may take to be in a block.
const RECEIPT_PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// Who signs.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct KeyArgs {
    /// Private key as hex. Other users of this machine may see it: prefer --key-file.
    #[arg(long, env = "CAUSEWAY_KEY", hide_env_values = true)]
    key: Option<String>,
    /// File that holds the private key as hex.
    #[arg(long)]
    key_file: Option<PathBuf>,
}

impl KeyArgs {
    /// Reads the key.
    pub(super) fn signer(&self) -> eyre::Result<PrivateKeySigner> {
        match (&self.key, &self.key_file) {
            (_, Some(path)) => read_key(path),
            (Some(key), None) => key
                .trim()
                .parse()
                .map_err(|_| eyre!("--key is no private key: it must be 64 hex digits")),
            (None, None) => Err(eyre!("no key: give --key or --key-file")),
        }
    }
}

/// A transaction to be made.
pub(super) struct Request {
    /// Callee.
    pub(super) to: Address,
    /// Wei sent along.
    pub(super) value: U256,
    /// Call data.
    pub(super) input: Bytes,
}

impl Request {
    fn json(&self, from: Address) -> Value {
        json!({ "from": from, "to": self.to, "value": self.value, "input": self.input })
    }
}

/// Calls without a transaction; what a call reverts with is explained.
pub(super) async fn view(chain: &Chain, from: Address, call: &Request) -> Result<Bytes, ExitError> {
    let answer = chain.call("eth_call", json!([call.json(from), "latest"])).await;
    let answer = answer.map_err(|error| refused(chain, error))?;
    Ok(serde_json::from_value(answer).wrap_err("eth_call gave no bytes")?)
}

/// Signs, sends, and waits until it is in a block. Returns the receipt of a success.
pub(super) async fn send(
    chain: &Chain,
    signer: &PrivateKeySigner,
    request: &Request,
) -> Result<Value, ExitError> {
    let from = signer.address();
    let call = json!([request.json(from)]);
    let gas = chain.call("eth_estimateGas", call).await.map_err(|error| refused(chain, error))?;
    let gas: u64 = quantity(&gas)?;
    let chain_id = ask(chain, "eth_chainId", json!([])).await?;
    let nonce = ask(chain, "eth_getTransactionCount", json!([from, "pending"])).await?;
    let tip = ask(chain, "eth_maxPriorityFeePerGas", json!([])).await?;
    let block = chain.call("eth_getBlockByNumber", json!(["latest", false])).await;
    let base_fee: u64 = quantity(&block.map_err(CallError::exit)?["baseFeePerGas"])?;
    let tx = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: gas + gas / 5,
        max_fee_per_gas: u128::from(base_fee) * 2 + u128::from(tip),
        max_priority_fee_per_gas: tip.into(),
        to: TxKind::Call(request.to),
        value: request.value,
        access_list: Default::default(),
        input: request.input.clone(),
    };
    let signature = signer.sign_hash_sync(&tx.signature_hash())?;
    let raw = Bytes::from(TxEnvelope::from(tx.into_signed(signature)).encoded_2718());
    let hash = keccak256(&raw);
    if let Err(error) = chain.call("eth_sendRawTransaction", json!([raw])).await {
        // The answer may be lost and the transaction taken: a second one would pay again.
        let ExitError { exit, report } = error.exit();
        let report = report.wrap_err(format!(
            "sending transaction {hash} of nonce {nonce} to {}: before you send again, see whether \
             it has a receipt",
            chain.name
        ));
        return Err(ExitError { exit, report });
    }
    let receipt = receipt(chain, hash).await?;
    if receipt["status"] == "0x1" {
        return Ok(receipt);
    }
    // It ran on another state than the estimate did: ask again why.
    let why = view(chain, from, request).await.err().map(|error| error.report.to_string());
    let why = why.unwrap_or_else(|| "it would succeed now; try again".to_owned());
    Err(ExitError::new(
        Exit::Failure,
        eyre!("transaction {hash} reverted on {}: {why}", chain.name),
    ))
}

async fn receipt(chain: &Chain, hash: B256) -> Result<Value, ExitError> {
    let started = Instant::now();
    loop {
        match chain.call("eth_getTransactionReceipt", json!([hash])).await {
            Ok(Value::Null) => {}
            Ok(receipt) => return Ok(receipt),
            // It is on its way: an outage must not look like a failure of the transaction.
            Err(CallError::Unreachable(_)) => {}
            Err(error) => return Err(error.exit()),
        }
        if started.elapsed() > RECEIPT_PATIENCE {
            let seconds = RECEIPT_PATIENCE.as_secs();
            let report = eyre!(
                "transaction {hash} is in no block of {} after {seconds} s; it may still get there",
                chain.name
            );
            return Err(ExitError::new(Exit::Unreachable, report));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn ask(chain: &Chain, method: &str, params: Value) -> Result<u64, ExitError> {
    let answer = chain.call(method, params).await.map_err(CallError::exit)?;
    Ok(quantity(&answer).wrap_err_with(|| method.to_owned())?)
}

/// A number as `eth_*` gives it.
fn quantity(value: &Value) -> eyre::Result<u64> {
    let number = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let number = number.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.ok_or_else(|| eyre!("{value} is no quantity"))
}

/// An error of a call, with what the contract said in words.
fn refused(chain: &Chain, error: CallError) -> ExitError {
    let CallError::Refused { message, data, .. } = &error else { return error.exit() };
    let data: Option<Bytes> = data.clone().and_then(|data| serde_json::from_value(data).ok());
    let words = data.and_then(|data| explain(&data)).unwrap_or_else(|| message.clone());
    ExitError::new(Exit::Failure, eyre!("{} refuses: {words}", chain.name))
}
