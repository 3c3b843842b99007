//! `eth_simulateV1`: calls in blocks that nobody makes, each on what the one before left.

use std::sync::Arc;
use std::time::Instant;

use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_consensus::{Header, SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, Signature, U64, U256};
use alloy_rpc_types_eth::simulate::{SimBlock, SimulatePayload};
use alloy_rpc_types_eth::{BlockId as Target, BlockOverrides, Log, TransactionRequest};
use causeway_chainspec::{
    Block, BlockEnv, Receipt, SkipReason, StateDiff, StateReader, Tx, TxEnvelope, roots,
};
use causeway_execution::overlay::StateOver;
use causeway_execution::vm::CallResult;
use causeway_execution::{Applied, Call, CallOutput, VmError};
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::call::{fees, override_block, override_state, to_call};
use super::error::{RpcError, RpcResult};
use super::table::{Api, Args, Table};
use super::{json, target};

/// Most blocks of one simulation, those between the ones asked for included, as geth has it.
const MAX_BLOCKS: u64 = 256;
/// Time from one simulated block to the next, ms, unless asked otherwise, as geth has it.
const STEP_MS: u64 = 12_000;
// Error codes of the specification of eth_simulateV1.
const NUMBER_NOT_LATER: i32 = -38020;
const TIME_NOT_LATER: i32 = -38021;
const TOO_MANY_BLOCKS: i32 = -38026;
const NO_ROOM: i32 = -38015;
/// Of a call that failed in a VM, for whatever reason but a revert.
const VM_ERROR: i32 = -32015;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("eth_simulateV1", simulate)
}

fn simulate(api: &Api, args: &Args, deadline: Instant) -> RpcResult<Vec<Value>> {
    let payload: SimulatePayload = args.need(0, "payload")?;
    let at = args.option::<Target>(1, "block")?.unwrap_or_default();
    if payload.block_state_calls.is_empty() {
        return Err(RpcError::params("invalid argument 0 (payload): no blocks to simulate"));
    }
    let chain = api.backend.chain();
    let (number, state) = target::state(&*chain, Some(at))?;
    let base = chain.block(number)?.ok_or_else(RpcError::pruned)?;
    let env = chain.env(number)?.ok_or_else(RpcError::pruned)?;
    let how = Applied { validate: payload.validation, transfers: payload.trace_transfers };
    let full = payload.return_full_transactions;
    let mut simulation = Simulation {
        api,
        deadline,
        how,
        below: state,
        diff: StateDiff::default(),
        parent: base,
        env,
        gas: api.config.call_gas,
        made: 0,
    };
    let mut shown = Vec::new();
    for block in payload.block_state_calls {
        for block in simulation.with_gaps(block)? {
            let (block, calls) = simulation.block(block)?;
            let mut value = json::block(&block, full);
            value["calls"] = Value::Array(calls);
            shown.push(value);
        }
    }
    Ok(shown)
}

struct Simulation<'a> {
    api: &'a Api,
    deadline: Instant,
    how: Applied,
    /// State at the block it begins on, and what was changed since.
    below: Arc<dyn StateReader>,
    diff: StateDiff,
    /// The block before, and its environment.
    parent: Arc<Block>,
    env: BlockEnv,
    /// Gas that all calls may still use.
    gas: u64,
    made: u64,
}

impl Simulation<'_> {
    /// A block asked for, after the empty ones that its number leaves out.
    fn with_gaps(&self, block: SimBlock) -> RpcResult<Vec<SimBlock>> {
        let next = self.parent.header.number + 1;
        let asked = block.block_overrides.as_ref().and_then(|changes| changes.number);
        let number = asked.unwrap_or(U256::from(next));
        if number < U256::from(next) {
            let text = format!("block numbers must be in order: {number} after {}", next - 1);
            return Err(RpcError::new(NUMBER_NOT_LATER, text));
        }
        let missing = number - U256::from(next);
        if missing + U256::from(self.made) >= U256::from(MAX_BLOCKS) {
            let text = format!("too many blocks: at most {MAX_BLOCKS}, those in between included");
            return Err(RpcError::new(TOO_MANY_BLOCKS, text));
        }
        let mut blocks = vec![SimBlock::default(); missing.to::<usize>()];
        blocks.push(block);
        Ok(blocks)
    }

    /// Makes a block: itself, and what each of its calls came to.
    fn block(&mut self, block: SimBlock) -> RpcResult<(Arc<Block>, Vec<Value>)> {
        self.made += 1;
        let SimBlock { block_overrides, state_overrides, calls } = block;
        self.open(block_overrides.unwrap_or_default())?;
        let changes = override_state(&self.state(), state_overrides.unwrap_or_default())?;
        self.diff.merge(&changes);
        let mut made = Made::default();
        for (at, request) in calls.into_iter().enumerate() {
            if Instant::now() > self.deadline {
                return Err(RpcError::timeout(self.api.config.call_timeout));
            }
            let place = |error: RpcError| error.within(&format!("call {at}"));
            let (call, tip) = self.call(request, &made).map_err(place)?;
            let vm = self.api.backend.vm();
            let (output, diff) = vm
                .apply(&self.state(), &self.env, &call, self.how)
                .map_err(|error| place(refused(error)))?;
            self.gas = self.gas.saturating_sub(output.gas_used);
            let nonce = match call.nonce {
                Some(nonce) => nonce,
                None => self.state().account(call.from)?.map_or(0, |account| account.nonce),
            };
            self.diff.merge(&diff);
            made.push(unsigned(&self.env, &call, nonce, tip), &call, output);
        }
        self.close(made)
    }

    fn state(&self) -> StateOver<'_> {
        StateOver { diff: &self.diff, below: &*self.below }
    }

    /// Sets up the environment of the next block.
    fn open(&mut self, changes: BlockOverrides) -> RpcResult<()> {
        let before_ms = self.env.time_ms;
        self.env.number = self.parent.header.number + 1;
        self.env.time_ms += STEP_MS;
        self.env.gas_available = self.env.gas_limit;
        self.env.mix_hash = B256::ZERO;
        if !self.how.validate {
            self.env.base_fee = 0;
        }
        let asked = changes.time.is_some();
        override_block(&mut self.env, changes)?;
        if asked && self.env.time_ms / 1000 <= before_ms / 1000 {
            let text = format!(
                "block timestamps must be in order: {} after {}",
                self.env.time_ms / 1000,
                before_ms / 1000
            );
            return Err(RpcError::new(TIME_NOT_LATER, text));
        }
        Ok(())
    }

    /// A request as a call in this block, and the tip it offers.
    fn call(&self, request: TransactionRequest, made: &Made) -> RpcResult<(Call, u128)> {
        let left = self.env.gas_limit.saturating_sub(made.gas_used);
        let gas_limit = request.gas.unwrap_or_else(|| left.min(self.gas));
        if gas_limit > left {
            let text = format!("block gas limit reached: {gas_limit} asked, {left} left");
            return Err(RpcError::new(NO_ROOM, text));
        }
        if gas_limit > self.gas {
            return Err(RpcError::server(format!(
                "all calls of a simulation may use {} gas here: {gas_limit} asked, {} left",
                self.api.config.call_gas, self.gas
            )));
        }
        let (gas_price, _) = fees(&request, self.env.base_fee)?;
        let call = Call { gas_limit, gas_price, ..to_call(request, self.env.chain_id)? };
        Ok((call, gas_price.saturating_sub(u128::from(self.env.base_fee))))
    }

    /// Ends the block. Its state root is zero: nothing is hashed for a block that nobody keeps.
    fn close(&mut self, made: Made) -> RpcResult<(Arc<Block>, Vec<Value>)> {
        let Made { txs, receipts, outputs, gas_used } = made;
        let header = Header {
            parent_hash: self.parent.hash,
            number: self.env.number,
            timestamp: self.env.time_ms / 1000,
            gas_limit: self.env.gas_limit,
            gas_used,
            base_fee_per_gas: Some(self.env.base_fee),
            beneficiary: self.env.beneficiary,
            mix_hash: self.env.mix_hash,
            logs_bloom: roots::bloom(&receipts),
            transactions_root: roots::transactions_root(&txs),
            receipts_root: roots::receipts_root(&txs, &receipts, &[]),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            ..Header::default()
        };
        let hash = header.hash_slow();
        let parent = &*self.parent;
        let mut plan = parent.plan.clone();
        (plan.body, plan.forced, plan.candidates) = Default::default();
        let block = Arc::new(Block {
            plan,
            claim_hash: B256::ZERO,
            header,
            hash,
            txs,
            receipts,
            skipped: Vec::new(),
            outbox: Vec::new(),
            ethereum: None,
        });
        self.parent = block.clone();
        let calls = all_shown(&block, outputs);
        Ok((block, calls))
    }
}

/// A block while its calls are made.
#[derive(Default)]
struct Made {
    txs: Vec<Arc<Tx>>,
    receipts: Vec<Receipt>,
    outputs: Vec<CallOutput>,
    gas_used: u64,
}

impl Made {
    fn push(&mut self, tx: Tx, call: &Call, output: CallOutput) {
        self.gas_used += output.gas_used;
        let nonce = alloy_consensus::Transaction::nonce(&tx.envelope);
        self.receipts.push(Receipt {
            success: output.result == CallResult::Success,
            gas_used: output.gas_used,
            cumulative_gas_used: self.gas_used,
            logs: output.logs.clone(),
            deposit_nonce: 0,
            contract_address: call.to.is_create().then(|| call.from.create(nonce)),
        });
        self.txs.push(Arc::new(tx));
        self.outputs.push(output);
    }
}

/// The call as a transaction that nobody signed.
fn unsigned(env: &BlockEnv, call: &Call, nonce: u64, tip: u128) -> Tx {
    let tx = TxEip1559 {
        chain_id: env.chain_id,
        nonce,
        gas_limit: call.gas_limit,
        max_fee_per_gas: call.gas_price,
        max_priority_fee_per_gas: tip,
        to: call.to,
        value: call.value,
        access_list: call.access_list.clone(),
        input: call.input.clone(),
    };
    let envelope =
        TxEnvelope::Eip1559(tx.into_signed(Signature::new(U256::ZERO, U256::ZERO, false)));
    let raw = Bytes::from(envelope.encoded_2718());
    Tx { hash: alloy_primitives::keccak256(&raw), raw, sender: call.from, envelope }
}

/// What the calls of a block came to.
fn all_shown(block: &Block, outputs: Vec<CallOutput>) -> Vec<Value> {
    let mut logs = json::logs(block, false);
    let mut own = |output: &CallOutput| logs.by_ref().take(output.logs.len()).collect();
    outputs.into_iter().map(|output| (own(&output), output)).map(shown).collect()
}

/// What a call came to, with its logs as they stand in its block.
fn shown((logs, output): (Vec<Log>, CallOutput)) -> Value {
    let success = output.result == CallResult::Success;
    let error = match &output.result {
        CallResult::Success => None,
        CallResult::Revert => {
            let error = RpcError::reverted(&output.output);
            Some(json!({ "code": 3, "message": error.message(), "data": output.output }))
        }
        CallResult::Halt(reason) => {
            let message = format!("vm execution error: {reason}");
            Some(json!({ "code": VM_ERROR, "message": message }))
        }
    };
    let mut shown = json!({
        "returnData": output.output,
        "logs": logs,
        "gasUsed": U64::from(output.gas_used),
        "status": U64::from(u8::from(success)),
    });
    if let Some(error) = error {
        shown["error"] = error;
    }
    shown
}

/// The specification's codes for calls that could not be transactions.
fn refused(error: VmError) -> RpcError {
    let VmError::Invalid(reason) = &error else { return error.into() };
    let code = match reason {
        SkipReason::NonceTooLow { .. } => -38010,
        SkipReason::NonceTooHigh { .. } => -38011,
        SkipReason::FeeTooLow { .. } => -38012,
        SkipReason::IntrinsicGas { .. } => -38013,
        SkipReason::Funds { .. } => -38014,
        SkipReason::GasLimit { .. } | SkipReason::BlockFull { .. } => NO_ROOM,
        SkipReason::SenderNotEoa => -38024,
        SkipReason::InitCode { .. } => -38025,
        _ => return error.into(),
    };
    RpcError::new(code, reason.to_string())
}
