//! `eth_fillTransaction`: a transaction with what its author left out, for somebody else to sign.

use std::time::Instant;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip7702, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, B256, Bytes, Signature, U256, keccak256};
use alloy_rpc_types_eth::TransactionRequest;
use causeway_chainspec::{Tx, TxEnvelope};
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::call::{fees, to_call};
use super::error::{RpcError, RpcResult};
use super::eth_call::estimate;
use super::eth_fees::{next_base_fee, suggested_tip};
use super::table::{Api, Args, Table};
use super::{json, target};

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("eth_fillTransaction", fill)
}

/// What nobody signed yet.
#[derive(Debug, Clone)]
pub(crate) enum Unsigned {
    /// With one price of gas.
    Legacy(TxLegacy),
    /// With a cap and a tip.
    Dynamic(TxEip1559),
    /// With authorizations as well (EIP-7702).
    SetCode(TxEip7702),
}

impl Unsigned {
    /// What is to be signed.
    pub(crate) fn signature_hash(&self) -> B256 {
        match self {
            Self::Legacy(tx) => tx.signature_hash(),
            Self::Dynamic(tx) => tx.signature_hash(),
            Self::SetCode(tx) => tx.signature_hash(),
        }
    }

    /// With the signature of an account.
    pub(crate) fn signed(self, sender: Address, signature: Signature) -> Tx {
        let envelope = match self {
            Self::Legacy(tx) => TxEnvelope::Legacy(tx.into_signed(signature)),
            Self::Dynamic(tx) => TxEnvelope::Eip1559(tx.into_signed(signature)),
            Self::SetCode(tx) => TxEnvelope::Eip7702(tx.into_signed(signature)),
        };
        let raw = Bytes::from(envelope.encoded_2718());
        Tx { hash: keccak256(&raw), raw, sender, envelope }
    }
}

/// A transaction with all it needs but a signature.
#[derive(Debug, Clone)]
pub(crate) struct Filled {
    /// Who sends it.
    pub(crate) from: Address,
    /// The transaction.
    pub(crate) unsigned: Unsigned,
}

/// The bytes are those of the transaction with a signature of zeros.
fn fill(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Value> {
    let Filled { from, unsigned } = filled(api, args, deadline)?;
    let tx = unsigned.signed(from, Signature::new(U256::ZERO, U256::ZERO, false));
    Ok(json!({ "raw": tx.raw, "tx": json::pending_transaction(&tx) }))
}

/// Nonce after what waits, gas as estimated, twice the base fee and the usual tip, each unless it is
/// given.
pub(crate) fn filled(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Filled> {
    let request: TransactionRequest = args.need(0, "transaction")?;
    if request.has_eip4844_fields() {
        return Err(RpcError::params(
            "invalid argument 0 (transaction): with blobs, fill it yourself",
        ));
    }
    let (base_fee, tip) = (next_base_fee(api)?, suggested_tip(api)?);
    if request.authorization_list.is_some() && request.gas_price.is_some() {
        return Err(RpcError::params(
            "invalid argument 0 (transaction): with authorizations it has no gasPrice",
        ));
    }
    // What is wrong with the prices it names is told as eth_call tells it.
    fees(&request, base_fee)?;
    let gas_limit = match request.gas.filter(|gas| *gas > 0) {
        Some(gas) => gas,
        None => estimate(api, args, deadline)?.to(),
    };
    let (price, cap, own_tip) =
        (request.gas_price, request.max_fee_per_gas, request.max_priority_fee_per_gas);
    let call = to_call(request, api.backend.spec().chain_id)?;
    let nonce = match call.nonce {
        Some(nonce) => nonce,
        None => next_nonce(api, call.from)?,
    };
    let chain_id = api.backend.spec().chain_id;
    let (to, value, input, access_list) = (call.to, call.value, call.input, call.access_list);
    let unsigned = match price {
        Some(gas_price) => {
            let chain_id = Some(chain_id);
            let tx = TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input };
            Unsigned::Legacy(tx)
        }
        None => {
            let max_priority_fee_per_gas = own_tip.unwrap_or(tip);
            let usual = u128::from(base_fee) * 2 + max_priority_fee_per_gas;
            let max_fee_per_gas = cap.unwrap_or(usual);
            let tx = TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                input,
            };
            match call.authorizations.is_empty() {
                true => Unsigned::Dynamic(tx),
                false => Unsigned::SetCode(with_authorizations(tx, call.authorizations)?),
            }
        }
    };
    Ok(Filled { from: call.from, unsigned })
}

/// The same of type 4 (EIP-7702), which calls and never creates.
fn with_authorizations(tx: TxEip1559, list: Vec<SignedAuthorization>) -> RpcResult<TxEip7702> {
    let wrong =
        "invalid argument 0 (transaction): with authorizations it creates nothing: name \"to\"";
    let to = tx.to.to().copied().ok_or_else(|| RpcError::params(wrong))?;
    Ok(TxEip7702 {
        chain_id: tx.chain_id,
        nonce: tx.nonce,
        gas_limit: tx.gas_limit,
        max_fee_per_gas: tx.max_fee_per_gas,
        max_priority_fee_per_gas: tx.max_priority_fee_per_gas,
        to,
        value: tx.value,
        access_list: tx.access_list,
        authorization_list: list,
        input: tx.input,
    })
}

/// The nonce after what waits and can run.
pub(crate) fn next_nonce(api: &Api, address: Address) -> RpcResult<u64> {
    let (_, state) = target::state(&*api.backend.chain(), None)?;
    let nonce = state.account(address)?.map_or(0, |account| account.nonce);
    Ok(api.backend.pending_nonce(address, nonce))
}
