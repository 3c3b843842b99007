//! revm behind [`Vm`]; every generic of it stays inside.

mod apply;
mod block;
mod frames;
mod rules;
mod state;
#[cfg(test)]
mod tests;
mod trace;
mod watch;

use std::sync::Arc;

use alloy_eips::eip7002::SYSTEM_ADDRESS;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use causeway_chainspec::{BlockEnv, ChainSpec, SkipReason, StateDiff, StateReader, Tx};
use revm::context::TxEnv;
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::either::Either;
use revm::context_interface::result::{ExecutionResult, HaltReason};

use crate::trace::{Trace, TraceLimits, Traced, Tracer};
use crate::{
    Applied, BlockOutput, Call, CallOutput, ExecutionError, Stop, TxFacts, Vm, VmError,
    vm::CallResult,
};
use frames::{Driver, Engine};
use state::{CodeCache, Db};

/// Gas of a preinstall's constructor: more than any needs, and an end to one that loops.
const PREINSTALL_GAS: u64 = 1 << 30;
/// Gas of a system call, by its EIPs.
const SYSTEM_CALL_GAS: u64 = 30_000_000;

/// The Ethereum virtual machine, Frontier to Osaka.
#[derive(Debug, Default)]
pub(crate) struct Evm {
    codes: CodeCache,
}

/// Opens the EVM.
pub fn open(_spec: &ChainSpec) -> Result<Arc<dyn Vm>, ExecutionError> {
    Ok(Arc::new(Evm::default()))
}

impl Evm {
    /// A call that Ethereum's protocol makes besides the transactions of a block (EIP-4788, EIP-2935,
    /// EIP-7002, EIP-7251): 30 million gas of its own, no fees, no nonce. What it returned, unless it
    /// failed, and what it changed.
    pub(crate) fn system_call(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        contract: Address,
        input: Bytes,
    ) -> Result<(Option<Bytes>, StateDiff), VmError> {
        let mut engine = frames::engine(Db::new(state, &self.codes), env);
        engine.ctx.tx = TxEnv {
            caller: SYSTEM_ADDRESS,
            kind: TxKind::Call(contract),
            gas_limit: SYSTEM_CALL_GAS,
            data: input,
            ..TxEnv::default()
        };
        let result = Driver::default().system_call(&mut engine);
        let result = result.map_err(|error| {
            rules::failure(error, |invalid, _| SkipReason::Other(invalid.to_string()))
        })?;
        let mut changes = frames::take_state(&mut engine);
        changes.remove(&SYSTEM_ADDRESS);
        let db = frames::db(&mut engine);
        match result {
            ExecutionResult::Success { output, .. } => {
                db.commit(changes);
                Ok((Some(output.into_data()), db.diff()?))
            }
            _ => Ok((None, StateDiff::default())),
        }
    }
}

impl Vm for Evm {
    fn check(&self, tx: &Tx, env: &BlockEnv) -> Result<TxFacts, SkipReason> {
        rules::check(tx, env)
    }

    fn execute(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        txs: &[Arc<Tx>],
        stop: &Stop,
    ) -> Result<BlockOutput, VmError> {
        block::execute(Db::new(state, &self.codes), env, txs, stop)
    }

    fn call(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        call: &Call,
    ) -> Result<CallOutput, VmError> {
        let mut db = Db::new(state, &self.codes);
        db.overlay(&call.overrides);
        if let Some(nonce) = call.nonce {
            db.update(call.from, |info| info.nonce = nonce)?;
        }
        let mut engine = frames::engine(db, env);
        set_call(&mut engine, env, call);
        let mut driver = Driver::default();
        match driver.transact(&mut engine) {
            Ok(result) => Ok(call_output(result, driver.refund.get(), driver.bad_opcode)),
            Err(error) => Err(rules::failure(error, |invalid, have| {
                rules::invalid_call(invalid, call, env, have)
            })),
        }
    }

    fn apply(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        call: &Call,
        how: Applied,
    ) -> Result<(CallOutput, StateDiff), VmError> {
        apply::apply(Db::new(state, &self.codes), env, call, how)
    }

    fn trace(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        steps: &[(Traced, Tracer)],
        limits: TraceLimits<'_>,
    ) -> Result<Vec<Trace>, VmError> {
        trace::trace(Db::new(state, &self.codes), env, steps, limits)
    }

    fn preinstall(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        address: Address,
        creation_code: &Bytes,
    ) -> Result<StateDiff, VmError> {
        let mut engine = frames::engine(Db::new(state, &self.codes), env);
        let result = frames::create_at(&mut engine, address, creation_code, PREINSTALL_GAS)?;
        if !result.is_ok() {
            let text = format!("preinstall at {address} failed: {result:?}");
            return Err(SkipReason::Other(text).into());
        }
        let mut changes = frames::take_state(&mut engine);
        changes.remove(&frames::DEPLOYER);
        let db = frames::db(&mut engine);
        db.commit(changes);
        db.diff()
    }
}

/// Sets up an engine as `eth_call` wants it: any nonce, any sender, any gas limit. Without a price
/// the base fee is 0 too, so that contracts that compare both do not fail.
fn set_call<I>(engine: &mut Engine<'_, I>, env: &BlockEnv, call: &Call) {
    engine.ctx.cfg.disable_nonce_check = true;
    engine.ctx.cfg.disable_eip3607 = true;
    engine.ctx.cfg.tx_gas_limit_cap = Some(u64::MAX);
    if call.gas_price == 0 {
        engine.ctx.block.basefee = 0;
    }
    let tx_type = match (call.authorizations.is_empty(), call.access_list.is_empty()) {
        (false, _) => 4,
        _ if !call.blob_hashes.is_empty() => 3,
        (true, false) => 1,
        (true, true) => 0,
    };
    if tx_type == 3 && call.max_blob_fee == 0 {
        engine.ctx.block.blob_excess_gas_and_price =
            Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 0 });
    }
    engine.ctx.tx = TxEnv {
        tx_type,
        caller: call.from,
        gas_limit: call.gas_limit,
        gas_price: call.gas_price,
        kind: call.to,
        value: call.value,
        data: call.input.clone(),
        nonce: 0,
        chain_id: Some(env.chain_id),
        access_list: call.access_list.clone(),
        gas_priority_fee: (tx_type >= 3).then_some(call.gas_price),
        blob_hashes: call.blob_hashes.clone(),
        max_fee_per_blob_gas: call.max_blob_fee,
        authorization_list: call.authorizations.iter().cloned().map(Either::Left).collect(),
    };
}

fn call_output(result: ExecutionResult, gas_refunded: u64, bad_opcode: Option<u8>) -> CallOutput {
    let gas_used = result.tx_gas_used();
    let (result, output, logs, created) = match result {
        ExecutionResult::Success { logs, output, .. } => {
            let created = output.address().copied();
            (CallResult::Success, output.into_data(), logs, created)
        }
        ExecutionResult::Revert { output, .. } => (CallResult::Revert, output, Vec::new(), None),
        ExecutionResult::Halt { reason, .. } => {
            let text = halt_text(&reason, bad_opcode);
            (CallResult::Halt(text), Bytes::new(), Vec::new(), None)
        }
    };
    CallOutput { result, gas_used, gas_refunded, output, logs, created }
}

/// The words geth uses, because client libraries show and match them.
fn halt_text(reason: &HaltReason, bad_opcode: Option<u8>) -> String {
    let text = match reason {
        HaltReason::OutOfGas(_) => "out of gas",
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID",
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => {
            return match bad_opcode {
                Some(opcode) => format!("invalid opcode: opcode {opcode:#x} not defined"),
                None => "invalid opcode: not defined".into(),
            };
        }
        HaltReason::InvalidJump => "invalid jump destination",
        HaltReason::StackUnderflow => "stack underflow",
        HaltReason::StackOverflow => "stack limit reached 1024",
        HaltReason::OutOfOffset => "return data out of bounds",
        HaltReason::CreateCollision => "contract address collision",
        HaltReason::NonceOverflow => "nonce uint64 overflow",
        HaltReason::CreateContractSizeLimit => "max code size exceeded",
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded",
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection"
        }
        HaltReason::OutOfFunds => "insufficient balance for transfer",
        HaltReason::CallTooDeep => "max call depth exceeded",
        other => return other.to_string(),
    };
    text.into()
}

/// Wei as geth counts it in `insufficient funds`: gas at its price, and the value.
fn call_cost(call: &Call) -> U256 {
    (U256::from(call.gas_limit) * U256::from(call.gas_price)).saturating_add(call.value)
}
