//! `eth` and `personal`: signing by the node, for devnets alone. A node holds no keys of users unless
//! it is told to hold the public ones of the development mnemonic, which everybody knows anyway.

use std::sync::Arc;

use alloy_dyn_abi::TypedData;
use alloy_primitives::{Address, B256, Bytes, Signature};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::Tx;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::error::{RpcError, RpcResult};
use super::eth_fill::{Filled, filled};
use super::json;
use super::table::{Api, Args, Table};

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("eth_accounts", |api, _| Ok(addresses(api)))?;
    table.waiting("eth_sendTransaction", send)?;
    table.waiting("eth_signTransaction", sign_transaction)?;
    table.quick("eth_sign", |api, args| {
        sign_message(api, args.need(0, "address")?, &args.need::<Bytes>(1, "message")?)
    })?;
    table.quick("eth_signTypedData", sign_typed)?;
    table.quick("eth_signTypedData_v4", sign_typed)
}

pub(crate) fn register_personal(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("personal_listAccounts", |api, _| Ok(addresses(api)))?;
    table.quick("personal_sign", |api, args| {
        sign_message(api, args.need(1, "address")?, &args.need::<Bytes>(0, "message")?)
    })?;
    table.quick("personal_ecRecover", |_, args| recover(args))
}

fn addresses(api: &Api) -> Vec<Address> {
    api.config.dev_accounts.iter().map(PrivateKeySigner::address).collect()
}

/// The key of one of the node's accounts.
fn key(api: &Api, address: Address) -> RpcResult<&PrivateKeySigner> {
    let keys = &api.config.dev_accounts;
    if keys.is_empty() {
        return Err(RpcError::unsupported(
            "this node signs for nobody: sign in your wallet and use eth_sendRawTransaction; a node \
             of a devnet may hold the development accounts with --dev-accounts",
        ));
    }
    let found = keys.iter().find(|key| key.address() == address);
    found.ok_or_else(|| RpcError::server("unknown account"))
}

/// Fills in what is missing, signs, and sends.
async fn send(api: Arc<Api>, args: Args) -> RpcResult<B256> {
    // One after the other: two at once would be given the same nonce.
    let _one = api.signing.lock().await;
    let tx = signed(&api, args).await?;
    Ok(api.backend.submit(tx.raw).await?)
}

/// As `eth_sendTransaction`, without sending: bytes and transaction.
async fn sign_transaction(api: Arc<Api>, args: Args) -> RpcResult<Value> {
    let tx = signed(&api, args).await?;
    Ok(json!({ "raw": tx.raw, "tx": json::pending_transaction(&tx) }))
}

async fn signed(api: &Arc<Api>, args: Args) -> RpcResult<Tx> {
    let from: From = args.need(0, "transaction")?;
    key(api, from.from)?;
    let filled = api.clone().heavy(move |api, deadline| filled(api, &args, deadline)).await?;
    let Filled { from, unsigned } = filled;
    let signature = sign(key(api, from)?, unsigned.signature_hash())?;
    Ok(unsigned.signed(from, signature))
}

/// Whose transaction it is.
#[derive(serde::Deserialize)]
struct From {
    #[serde(default)]
    from: Address,
}

/// A message with the prefix of EIP-191, so that it is no transaction.
fn sign_message(api: &Api, address: Address, message: &[u8]) -> RpcResult<Bytes> {
    let hash = alloy_primitives::eip191_hash_message(message);
    Ok(sign(key(api, address)?, hash)?.as_bytes().to_vec().into())
}

/// EIP-712; the data as JSON or as a text of it.
fn sign_typed(api: &Api, args: &Args) -> RpcResult<Bytes> {
    let wrong = |error: &dyn std::fmt::Display| {
        RpcError::params(format!("invalid argument 1 (typed data): {error}"))
    };
    let key = key(api, args.need(0, "address")?)?;
    let data = match args.need(1, "typed data")? {
        Value::String(text) => serde_json::from_str(&text),
        other => serde_json::from_value(other),
    };
    let data: TypedData = data.map_err(|error| wrong(&error))?;
    let hash = data.eip712_signing_hash().map_err(|error| wrong(&error))?;
    Ok(sign(key, hash)?.as_bytes().to_vec().into())
}

/// Who signed a message with the prefix of EIP-191.
fn recover(args: &Args) -> RpcResult<Address> {
    let (message, signature): (Bytes, Bytes) =
        (args.need(0, "message")?, args.need(1, "signature")?);
    let signature =
        Signature::from_raw(&signature).and_then(|it| it.recover_address_from_msg(&message));
    signature.map_err(|error| RpcError::params(format!("invalid argument 1 (signature): {error}")))
}

fn sign(key: &PrivateKeySigner, hash: B256) -> RpcResult<Signature> {
    key.sign_hash_sync(&hash).map_err(RpcError::internal)
}
