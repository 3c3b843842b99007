//! `eth_call` and `eth_estimateGas`.

use std::time::Instant;

use alloy_primitives::{Address, Bytes, KECCAK256_EMPTY, TxKind, U64, U256};
use causeway_chainspec::{Fork, SkipReason};
use causeway_execution::vm::CallResult;
use causeway_execution::{CallOutput, VmError};
use jsonrpsee::core::RegisterMethodError;

use super::call::Prepared;
use super::error::{RpcError, RpcResult};
use super::table::{Api, Args, Table};

/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// Gas a call with value hands to the callee for nothing.
const CALL_STIPEND: u64 = 2_300;
/// Most gas of one transaction since Osaka (EIP-7825).
const MAX_TX_GAS: u64 = 1 << 24;
/// The search ends when its bounds are this close, as a share of the upper one: one part in 64.
const CLOSE_SHIFT: u32 = 6;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("eth_call", |api, args, _| call(api, args))?;
    table.heavy("eth_estimateGas", estimate)
}

fn call(api: &Api, args: &Args) -> RpcResult<Bytes> {
    let output = Prepared::new(api, args)?.run(api)?;
    match output.result {
        CallResult::Success => Ok(output.output),
        CallResult::Revert => Err(RpcError::reverted(&output.output)),
        CallResult::Halt(reason) => Err(RpcError::server(halt_text(&reason))),
    }
}

/// The text clients know for the commonest halt; the VM's own for the others.
pub(crate) fn halt_text(reason: &str) -> String {
    if is_out_of_gas(reason) { "out of gas".to_owned() } else { reason.to_owned() }
}

fn is_out_of_gas(reason: &str) -> bool {
    reason.replace([' ', '_'], "").to_lowercase().contains("outofgas")
}

/// The least gas limit with which a call succeeds, never below and at most 1/64 above: a call is
/// run with the most it may have, then the limit is searched between what it used and that.
pub(crate) fn estimate(api: &Api, args: &Args, deadline: Instant) -> RpcResult<U64> {
    let mut prepared = Prepared::new(api, args)?;
    let most = most_gas(api, &prepared)?;
    if is_transfer(&prepared)? && most >= TRANSFER_GAS {
        let output = attempt(api, &mut prepared, TRANSFER_GAS)?;
        if output.is_some_and(|output| output.result == CallResult::Success) {
            return Ok(U64::from(TRANSFER_GAS));
        }
    }
    let allowance = || RpcError::server(format!("gas required exceeds allowance ({most})"));
    let output = attempt(api, &mut prepared, most)?.ok_or_else(allowance)?;
    match &output.result {
        CallResult::Success => {}
        CallResult::Revert => return Err(RpcError::reverted(&output.output)),
        CallResult::Halt(reason) if is_out_of_gas(reason) => return Err(allowance()),
        CallResult::Halt(reason) => return Err(RpcError::server(halt_text(reason))),
    }
    search(api, &mut prepared, &output, most, deadline).map(U64::from)
}

fn search(
    api: &Api,
    prepared: &mut Prepared,
    output: &CallOutput,
    most: u64,
    deadline: Instant,
) -> RpcResult<u64> {
    let (mut low, mut high) = (output.gas_used.saturating_sub(1), most);
    // Refunds come at the end, and a callee gets at most 63/64 of what is left (EIP-150): this
    // is nearly always enough, and spares most of the search.
    let spent = output.gas_used.saturating_add(output.gas_refunded).saturating_add(CALL_STIPEND);
    let likely = (u128::from(spent) * 64 / 63).min(u128::from(most)) as u64;
    let mut next = Some(likely).filter(|likely| *likely < high && *likely > low);
    while low + 1 < high {
        if high - low <= high >> CLOSE_SHIFT {
            break;
        }
        if Instant::now() > deadline {
            return Err(RpcError::timeout(api.config.call_timeout));
        }
        let middle = next.take().unwrap_or_else(|| {
            // Most calls need little above the lower bound.
            (low + (high - low) / 2).min(low.saturating_mul(2)).max(low + 1)
        });
        let succeeded = attempt(api, prepared, middle)?
            .is_some_and(|output| output.result == CallResult::Success);
        if succeeded {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}

/// Runs the call with a gas limit; `None` if that is below what it needs before it starts.
fn attempt(api: &Api, prepared: &mut Prepared, gas: u64) -> RpcResult<Option<CallOutput>> {
    prepared.call.gas_limit = gas;
    match api.backend.vm().call(&*prepared.state, &prepared.env, &prepared.call) {
        Ok(output) => Ok(Some(output)),
        Err(VmError::Invalid(SkipReason::IntrinsicGas { .. })) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The most gas the call may have: what was asked for or the block's limit, what the caller can
/// pay, what one transaction may have, and what this node runs.
fn most_gas(api: &Api, prepared: &Prepared) -> RpcResult<u64> {
    let asked = prepared.gas.filter(|gas| *gas >= TRANSFER_GAS);
    let mut most = asked.unwrap_or(prepared.env.gas_limit).min(api.config.call_gas);
    if prepared.env.fork >= Fork::Osaka {
        most = most.min(MAX_TX_GAS);
    }
    if prepared.fee_cap > 0 {
        let balance = prepared.account(prepared.call.from)?.balance;
        let left = balance
            .checked_sub(prepared.call.value)
            .ok_or_else(|| RpcError::server("insufficient funds for transfer"))?;
        let affordable = left / U256::from(prepared.fee_cap);
        most = most.min(u64::try_from(affordable).unwrap_or(u64::MAX));
    }
    Ok(most)
}

/// True if the call only moves value to an account without code.
fn is_transfer(prepared: &Prepared) -> RpcResult<bool> {
    let call = &prepared.call;
    let TxKind::Call(to) = call.to else { return Ok(false) };
    if !call.input.is_empty() || !call.authorizations.is_empty() || !call.access_list.is_empty() {
        return Ok(false);
    }
    let code = prepared.account(to)?.bytecode_hash;
    Ok(!is_precompile(to) && code.is_none_or(|hash| hash == KECCAK256_EMPTY))
}

/// True for an address in the range where VMs keep built-in code.
pub(crate) fn is_precompile(address: Address) -> bool {
    !address.is_zero()
        && address.0[..18].iter().all(|byte| *byte == 0)
        && U256::from_be_slice(address.as_slice()) <= U256::from(0x1ff)
}
