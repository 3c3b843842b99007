//! `eth_fillTransaction`: a transaction with what its author left out, for somebody else to sign.

use std::time::Instant;

use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
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
}

impl Unsigned {
    /// What is to be signed.
    pub(crate) fn signature_hash(&self) -> B256 {
        match self {
            Self::Legacy(tx) => tx.signature_hash(),
            Self::Dynamic(tx) => tx.signature_hash(),
        }
    }

    /// With the signature of an account.
    pub(crate) fn signed(self, sender: Address, signature: Signature) -> Tx {
        let envelope = match self {
            Self::Legacy(tx) => TxEnvelope::Legacy(tx.into_signed(signature)),
            Self::Dynamic(tx) => TxEnvelope::Eip1559(tx.into_signed(signature)),
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
    let typed = request.authorization_list.as_ref().is_some_and(|list| !list.is_empty());
    if typed || request.has_eip4844_fields() {
        return Err(RpcError::params(
            "invalid argument 0 (transaction): with blobs or authorizations, fill it yourself",
        ));
    }
    let (base_fee, tip) = (next_base_fee(api)?, suggested_tip(api)?);
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
    let (to, value, input) = (call.to, call.value, call.input);
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
            let access_list = call.access_list;
            Unsigned::Dynamic(TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                input,
            })
        }
    };
    Ok(Filled { from: call.from, unsigned })
}

/// The nonce after what waits and can run.
pub(crate) fn next_nonce(api: &Api, address: Address) -> RpcResult<u64> {
    let (_, state) = target::state(&*api.backend.chain(), None)?;
    let nonce = state.account(address)?.map_or(0, |account| account.nonce);
    Ok(api.backend.pending_nonce(address, nonce))
}
