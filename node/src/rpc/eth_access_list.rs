//! `eth_createAccessList` (EIP-2930): the accounts and slots that a call touches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, TxKind, U64};
use alloy_rpc_types_trace::geth::{
    GethDebugBuiltInTracerType, GethDebugTracerType, GethDebugTracingOptions, GethTrace,
    PreStateFrame,
};
use causeway_execution::trace::{Trace, TraceLimits, Traced, Tracer};
use causeway_execution::vm::CallResult;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::call::Prepared;
use super::error::{RpcError, RpcResult};
use super::eth_call::{halt_text, is_precompile};
use super::table::{Api, Args, Table};

/// A list may change what a call does, so it is made again until it is the same; after so many
/// times the last one is given.
const MOST_ROUNDS: usize = 8;
/// Memory that what is written down may take, bytes.
const MOST_BYTES: usize = 64 << 20;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("eth_createAccessList", create)
}

/// The list, and the gas the call uses with it; of a call that fails, why it does.
fn create(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Value> {
    let mut prepared = Prepared::new(api, args)?;
    let mut list = std::mem::take(&mut prepared.call.access_list);
    for _ in 0..MOST_ROUNDS {
        prepared.call.access_list = list.clone();
        let next = touched(api, &prepared, deadline)?;
        if next == list {
            break;
        }
        list = next;
    }
    prepared.call.access_list = list.clone();
    let output = prepared.run(api)?;
    let mut answer = json!({ "accessList": list, "gasUsed": U64::from(output.gas_used) });
    match &output.result {
        CallResult::Success => {}
        CallResult::Revert => {
            answer["error"] = json!(RpcError::reverted(&output.output).message());
        }
        CallResult::Halt(reason) => answer["error"] = json!(halt_text(reason)),
    }
    Ok(answer)
}

/// What the call touches with the access list it has. Sender, callee, precompiles and the fee
/// recipient are warm anyway, and listed only with slots.
fn touched(api: &Api, prepared: &Prepared, deadline: Instant) -> RpcResult<AccessList> {
    let call = prepared.call.clone();
    let tracer = GethDebugTracerType::from(GethDebugBuiltInTracerType::PreStateTracer);
    let options = GethDebugTracingOptions::new_tracer(tracer);
    let expired = move || Instant::now() > deadline;
    let limits = TraceLimits { expired: &expired, most_bytes: MOST_BYTES };
    let step = (Traced::Call(Box::new(call.clone())), Tracer::Geth(Box::new(options)));
    let traces = api.backend.vm().trace(&*prepared.state, &prepared.env, &[step], limits)?;
    let Some(Trace::Geth(trace)) = traces.into_iter().next() else {
        return Err(RpcError::internal("a trace is missing"));
    };
    let GethTrace::PreStateTracer(PreStateFrame::Default(accounts)) = *trace else {
        return Err(RpcError::internal("another trace than was asked for"));
    };
    let callee = match call.to {
        TxKind::Call(to) => to,
        TxKind::Create => {
            let nonce = prepared.account(call.from)?.nonce;
            call.from.create(call.nonce.unwrap_or(nonce))
        }
    };
    let warm = [call.from, callee, prepared.env.beneficiary];
    let mut list: BTreeMap<Address, BTreeSet<B256>> = BTreeMap::new();
    for (address, account) in accounts.0 {
        let slots: BTreeSet<B256> = account.storage.into_keys().collect();
        if !slots.is_empty() || !(warm.contains(&address) || is_precompile(address)) {
            list.insert(address, slots);
        }
    }
    let item = |(address, slots): (Address, BTreeSet<B256>)| AccessListItem {
        address,
        storage_keys: slots.into_iter().collect(),
    };
    Ok(AccessList(list.into_iter().map(item).collect()))
}
