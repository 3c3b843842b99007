//! `eth_fillTransaction`: a transaction with what its author left out, for somebody else to sign.

use std::time::Instant;

use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, U256, keccak256};
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

/// Nonce after what waits, gas as estimated, twice the base fee and the usual tip, each unless it is
/// given. The bytes are those of the transaction with a signature of zeros.
fn fill(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Value> {
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
    let nobody = Signature::new(U256::ZERO, U256::ZERO, false);
    let envelope = match price {
        Some(gas_price) => {
            let chain_id = Some(chain_id);
            let tx = TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input };
            TxEnvelope::Legacy(tx.into_signed(nobody))
        }
        None => {
            let max_priority_fee_per_gas = own_tip.unwrap_or(tip);
            let usual = u128::from(base_fee) * 2 + max_priority_fee_per_gas;
            let max_fee_per_gas = cap.unwrap_or(usual);
            let access_list = call.access_list;
            TxEnvelope::Eip1559(
                TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list,
                    input,
                }
                .into_signed(nobody),
            )
        }
    };
    let raw = Bytes::from(envelope.encoded_2718());
    let tx = Tx { hash: keccak256(&raw), raw: raw.clone(), sender: call.from, envelope };
    Ok(json!({ "raw": raw, "tx": json::pending_transaction(&tx) }))
}

fn next_nonce(api: &Api, address: Address) -> RpcResult<u64> {
    let (_, state) = target::state(&*api.backend.chain(), None)?;
    let nonce = state.account(address)?.map_or(0, |account| account.nonce);
    Ok(api.backend.pending_nonce(address, nonce))
}
