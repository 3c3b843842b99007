//! A tiny native VM: transfers, deposits and the Mailbox, on Ethereum's envelope, accounts and fees.

mod book;
mod mailbox;

use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, Bytes, Log, TxKind, U256};
use causeway_chainspec::{
    BlockEnv, CallOutcome, ChainSpec, Fork, Receipt, SkipReason, StateDiff, StateReader, Tx,
    TxEnvelope,
};

use crate::overlay::StateOver;
use crate::vm::{CallResult, Vm};
use crate::{BlockOutput, Call, CallOutput, ExecutionError, Stop, TxFacts, VmError, envelope};
use book::{Book, has_code};
use mailbox::Failure;

/// Gas of a transfer.
const TRANSFER_GAS: u64 = 21_000;

/// Opens it.
pub fn open(_spec: &ChainSpec) -> Result<Arc<dyn Vm>, ExecutionError> {
    Ok(Arc::new(Ledger))
}

struct Ledger;

impl Vm for Ledger {
    fn check(&self, tx: &Tx, env: &BlockEnv) -> Result<TxFacts, SkipReason> {
        let intrinsic_gas = transfer_gas(tx.envelope.input(), env.fork);
        let facts = TxFacts { intrinsic_gas, max_cost: envelope::max_cost(tx) };
        if tx.is_deposit() {
            return Ok(facts);
        }
        envelope::check(tx, env)?;
        match &tx.envelope {
            TxEnvelope::Eip4844(_) => return Err(SkipReason::Unsupported("blobs".into())),
            TxEnvelope::Eip7702(_) => return Err(SkipReason::Unsupported("authorizations".into())),
            _ if tx.envelope.is_create() => return Err(SkipReason::Unsupported("creation".into())),
            _ if tx.envelope.access_list().is_some_and(|list| !list.is_empty()) => {
                return Err(SkipReason::Unsupported("access lists".into()));
            }
            _ => {}
        }
        let (have, want) = (tx.envelope.gas_limit(), intrinsic_gas);
        if have < want { Err(SkipReason::IntrinsicGas { have, want }) } else { Ok(facts) }
    }

    fn execute(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        txs: &[Arc<Tx>],
        stop: &Stop,
    ) -> Result<BlockOutput, VmError> {
        let mut output = BlockOutput::default();
        let mut room = envelope::Room::new(env);
        let mut book = Book::new(state);
        for (index, tx) in txs.iter().enumerate() {
            if stop.is_raised() && !tx.is_deposit() {
                break;
            }
            output.attempted = index + 1;
            let done = if tx.is_deposit() {
                deposit(&mut book, tx, env, &mut output)
            } else {
                self.check(tx, env)
                    .and_then(|_| room.fits(tx))
                    .map_err(VmError::from)
                    .and_then(|()| signed(&mut book, tx, env, &mut output))
            };
            match done {
                Ok(receipt) => {
                    room.take(tx, receipt.gas_used);
                    include(&mut output, index, receipt);
                }
                Err(VmError::Invalid(reason)) => output.skipped.push((index, reason)),
                Err(error) => return Err(error),
            }
        }
        output.diff = book.diff();
        let logs = output.receipts.iter().flat_map(|receipt| &receipt.logs);
        output.outbox = causeway_chainspec::mailbox::dispatched(logs);
        Ok(output)
    }

    fn call(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        call: &Call,
    ) -> Result<CallOutput, VmError> {
        let TxKind::Call(to) = call.to else {
            return Err(SkipReason::Unsupported("creation".into()).into());
        };
        let state = StateOver { diff: &call.overrides, below: state };
        let mut book = Book::new(&state);
        let (have, want) = (call.gas_limit, transfer_gas(&call.input, env.fork));
        if have < want {
            return Err(SkipReason::IntrinsicGas { have, want }.into());
        }
        if call.gas_price != 0 && call.gas_price < u128::from(env.base_fee) {
            let (max_fee, base_fee) = (call.gas_price, env.base_fee);
            return Err(SkipReason::FeeTooLow { max_fee, base_fee }.into());
        }
        let fee = U256::from(have) * U256::from(call.gas_price);
        book.covers(call.from, fee.saturating_add(call.value))?;
        let frame = Frame {
            from: call.from,
            to,
            value: call.value,
            gas_limit: call.gas_limit,
            input: &call.input,
        };
        let Ran { result, gas_used, output, logs } = run(&mut book, env, &frame)?;
        Ok(CallOutput { result, gas_used, gas_refunded: 0, output, logs, created: None })
    }

    fn preinstall(
        &self,
        _state: &dyn StateReader,
        _env: &BlockEnv,
        _address: Address,
        _creation_code: &Bytes,
    ) -> Result<StateDiff, VmError> {
        Err(SkipReason::Unsupported("preinstalls".into()).into())
    }
}

/// 21,000 and the calldata, or the EIP-7623 floor if that is more: what the EVM charges for a
/// transfer, so that wallets estimate the same.
fn transfer_gas(input: &[u8], fork: Fork) -> u64 {
    TRANSFER_GAS + calldata_tokens(input) * if fork >= Fork::Prague { 10 } else { 4 }
}

/// Calldata as EIP-7623 counts it: a zero byte is one token, any other four.
fn calldata_tokens(input: &[u8]) -> u64 {
    let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
    zeros + 4 * (input.len() as u64 - zeros)
}

/// One call, from whatever kind of transaction.
struct Frame<'a> {
    from: Address,
    to: Address,
    value: U256,
    gas_limit: u64,
    input: &'a Bytes,
}

/// How a call ended that could begin.
struct Ran {
    result: CallResult,
    gas_used: u64,
    output: Bytes,
    logs: Vec<Log>,
}

/// Runs a call whose gas limit covers its calldata. One of the Mailbox costs as on the EVM what it
/// does beside its calldata, but never less than the floor; if it fails, its value stays.
/// `Invalid` if there is nobody to call, or too little to pay with.
fn run(book: &mut Book<'_>, env: &BlockEnv, frame: &Frame<'_>) -> Result<Ran, VmError> {
    let Frame { from, to, value, gas_limit, input } = *frame;
    let least = transfer_gas(input, env.fork);
    let (output, logs) = Default::default();
    if !mailbox::answers(book, to, input)? {
        book.pay(from, to, value)?;
        return Ok(Ran { result: CallResult::Success, gas_used: least, output, logs });
    }
    let gas_used = least.max(TRANSFER_GAS + 4 * calldata_tokens(input) + mailbox::gas(input));
    if gas_used > gas_limit {
        let result = CallResult::Halt("out of gas".into());
        return Ok(Ran { result, gas_used: gas_limit, output, logs });
    }
    match mailbox::call(book, env, from, value, input) {
        Ok(done) => {
            let (output, logs) = (done.output, done.logs);
            Ok(Ran { result: CallResult::Success, gas_used, output, logs })
        }
        Err(Failure::Revert(reason)) => {
            let output = Failure::revert_data(&reason);
            Ok(Ran { result: CallResult::Revert, gas_used, output, logs })
        }
        Err(Failure::State(error)) => Err(error.into()),
    }
}

fn include(output: &mut BlockOutput, index: usize, mut receipt: Receipt) {
    output.gas_used = output.gas_used.saturating_add(receipt.gas_used);
    receipt.cumulative_gas_used = output.gas_used;
    output.included.push(index);
    output.receipts.push(receipt);
}

fn receipt(success: bool, gas_used: u64, logs: Vec<Log>, deposit_nonce: u64) -> Receipt {
    let (cumulative_gas_used, contract_address) = (0, None);
    Receipt { success, gas_used, cumulative_gas_used, logs, deposit_nonce, contract_address }
}

fn signed(
    book: &mut Book<'_>,
    tx: &Tx,
    env: &BlockEnv,
    output: &mut BlockOutput,
) -> Result<Receipt, VmError> {
    let max_fee = tx.envelope.max_fee_per_gas();
    let base_fee = env.base_fee;
    if max_fee < u128::from(base_fee) {
        return Err(SkipReason::FeeTooLow { max_fee, base_fee }.into());
    }
    let sender = book.account(tx.sender)?.unwrap_or_default();
    let (state, nonce) = (sender.nonce, tx.envelope.nonce());
    if has_code(&sender) {
        return Err(SkipReason::SenderNotEoa.into());
    }
    if nonce < state {
        return Err(SkipReason::NonceTooLow { state, tx: nonce }.into());
    }
    if nonce > state {
        return Err(SkipReason::NonceTooHigh { state, tx: nonce }.into());
    }
    let to = tx.envelope.to().ok_or_else(|| SkipReason::Unsupported("creation".into()))?;
    book.covers(tx.sender, envelope::max_cost(tx))?;
    let frame = Frame {
        from: tx.sender,
        to,
        value: tx.envelope.value(),
        gas_limit: tx.envelope.gas_limit(),
        input: tx.envelope.input(),
    };
    let Ran { result, gas_used, logs, .. } = run(book, env, &frame)?;
    let price = U256::from(tx.effective_gas_price(base_fee));
    let (gas, burnt) = (U256::from(gas_used), U256::from(base_fee) * U256::from(gas_used));
    if let Some(sender) = book.account(tx.sender)? {
        sender.nonce += 1;
        sender.balance -= price * gas;
    }
    let tip = price * gas - burnt;
    let paid = book.credit(env.beneficiary, tip)?;
    output.burnt += if paid { burnt } else { burnt + tip };
    Ok(receipt(result == CallResult::Success, gas_used, logs, 0))
}

/// By the rules of the OP stack: mint and nonce stay whatever happens, no fees; a deposit that
/// cannot begin uses its whole gas limit.
fn deposit(
    book: &mut Book<'_>,
    tx: &Tx,
    env: &BlockEnv,
    output: &mut BlockOutput,
) -> Result<Receipt, VmError> {
    let TxEnvelope::Deposit(deposit) = &tx.envelope else {
        return Err(VmError::Broken("a signed transaction as a deposit".into()));
    };
    let mint = U256::from(deposit.mint);
    if book.credit(deposit.from, mint)? {
        output.minted += mint;
    }
    let sender = book.account(deposit.from)?.get_or_insert_default();
    let nonce = sender.nonce;
    sender.nonce = nonce.saturating_add(1);
    let (from, value, gas_limit, input) =
        (deposit.from, deposit.value, deposit.gas_limit, &deposit.input);
    let ran = match deposit.to {
        TxKind::Call(to) if transfer_gas(input, env.fork) <= gas_limit => book
            .covers(from, value)
            .and_then(|()| run(book, env, &Frame { from, to, value, gas_limit, input })),
        _ => Err(SkipReason::Unsupported("creation".into()).into()),
    };
    let (success, gas_used, returned, logs) = match ran {
        Ok(ran) => (ran.result == CallResult::Success, ran.gas_used, ran.output, ran.logs),
        Err(VmError::Invalid(_)) => (false, gas_limit, Bytes::new(), Vec::new()),
        Err(error) => return Err(error),
    };
    output.outcomes.push(CallOutcome { success, gas_used, output: returned });
    Ok(receipt(success, gas_used, logs, nonce))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
