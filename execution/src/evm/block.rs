//! The transactions of one block, one after the other.

use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::{Bytes, Log, U256};
use causeway_chainspec::{BlockEnv, CallOutcome, Receipt, SkipReason, Tx, TxEnvelope, mailbox};
use revm::context_interface::result::{EVMError, ExecutionResult};

use super::frames::{self, Driver, Engine};
use super::rules;
use super::state::{Db, Flow};
use crate::envelope::Room;
use crate::{BlockOutput, Stop, VmError};

/// Executes transactions in order, as [`crate::Vm::execute`] promises.
pub(super) fn execute(
    db: Db<'_>,
    env: &BlockEnv,
    txs: &[Arc<Tx>],
    stop: &Stop,
) -> Result<BlockOutput, VmError> {
    let mut block = Block {
        engine: frames::engine(db, env),
        env,
        room: Room::new(env),
        output: BlockOutput::default(),
    };
    for (index, tx) in txs.iter().enumerate() {
        let result = match &tx.envelope {
            TxEnvelope::Deposit(deposit) => block.deposit(tx, deposit.mint),
            _ if stop.is_raised() => break,
            _ => block.signed(tx),
        };
        block.output.attempted = index + 1;
        match result {
            Ok(effect) => block.include(index, tx, effect),
            Err(VmError::Invalid(reason)) => block.output.skipped.push((index, reason)),
            Err(error) => return Err(error),
        }
    }
    block.output.diff = frames::db(&mut block.engine).diff()?;
    let logs = block.output.receipts.iter().flat_map(|receipt| &receipt.logs);
    block.output.outbox = mailbox::dispatched(logs);
    Ok(block.output)
}

struct Block<'a> {
    engine: Engine<'a>,
    env: &'a BlockEnv,
    room: Room,
    output: BlockOutput,
}

/// What an executed transaction leaves behind besides state.
struct Effect {
    success: bool,
    gas_used: u64,
    output: Bytes,
    logs: Vec<Log>,
    /// For a deposit: the sender's nonce before.
    deposit_nonce: u64,
}

impl Effect {
    fn new(result: ExecutionResult, deposit_nonce: u64) -> Self {
        let (success, gas_used) = (result.is_success(), result.tx_gas_used());
        let (output, logs) = match result {
            ExecutionResult::Success { output, logs, .. } => (output.into_data(), logs),
            ExecutionResult::Revert { output, .. } => (output, Vec::new()),
            ExecutionResult::Halt { .. } => (Bytes::new(), Vec::new()),
        };
        Self { success, gas_used, output, logs, deposit_nonce }
    }
}

impl Block<'_> {
    fn signed(&mut self, tx: &Tx) -> Result<Effect, VmError> {
        rules::check(tx, self.env)?;
        self.room.fits(tx)?;
        self.engine.ctx.tx = rules::tx_env(tx);
        let result = Driver::default().transact(&mut self.engine);
        let changes = frames::take_state(&mut self.engine);
        let result = match result {
            Ok(result) => result,
            Err(error) => {
                let db = frames::db(&mut self.engine);
                let have = db.account(tx.sender).map_err(|error| error.0)?;
                let have = have.map_or(U256::ZERO, |info| info.balance);
                return Err(rules::failure(error, |invalid, _| {
                    rules::invalid_tx(invalid, tx, self.env, have)
                }));
            }
        };
        let flow = frames::db(&mut self.engine).commit(changes);
        let base_fee = U256::from(self.env.base_fee) * U256::from(result.tx_gas_used());
        let blob_gas = U256::from(tx.envelope.blob_gas_used().unwrap_or_default());
        let blob_fee = U256::from(self.env.blob_base_fee) * blob_gas;
        self.account_for(flow, U256::ZERO, base_fee + blob_fee)?;
        Ok(Effect::new(result, 0))
    }

    /// Executes a deposit by the rules of the OP stack: its mint and its nonce stay whatever
    /// happens, it pays no fees, and it uses its whole gas limit if it cannot even begin.
    fn deposit(&mut self, tx: &Tx, mint: u128) -> Result<Effect, VmError> {
        let sender = frames::db(&mut self.engine).account(tx.sender).map_err(|error| error.0)?;
        let (balance, nonce) =
            sender.map_or((U256::ZERO, 0), |sender| (sender.balance, sender.nonce));
        // What would not fit into a balance is not minted.
        let mint = Some(U256::from(mint)).filter(|mint| balance.checked_add(*mint).is_some());
        let mint = mint.unwrap_or_default();
        self.output.minted += mint;

        self.engine.ctx.tx = rules::tx_env(tx);
        let result = Driver::deposit(mint).transact(&mut self.engine);
        let changes = frames::take_state(&mut self.engine);
        let db = frames::db(&mut self.engine);
        match result {
            Ok(result) => {
                let flow = db.commit(changes);
                self.account_for(flow, mint, U256::ZERO)?;
                Ok(Effect::new(result, nonce))
            }
            Err(EVMError::Transaction(_)) => {
                db.update(tx.sender, |sender| {
                    sender.balance += mint;
                    sender.nonce = sender.nonce.saturating_add(1);
                })?;
                Ok(Effect {
                    success: false,
                    gas_used: self.engine.ctx.tx.gas_limit,
                    output: Bytes::new(),
                    logs: Vec::new(),
                    deposit_nonce: nonce,
                })
            }
            Err(error) => {
                Err(rules::failure(error, |invalid, _| SkipReason::Other(invalid.to_string())))
            }
        }
    }

    /// Counts what a transaction burnt: base fee and blob fee, and what went down with contracts that
    /// destroyed themselves. Wei out of nothing is a broken VM.
    fn account_for(&mut self, flow: Flow, mint: U256, fees: U256) -> Result<(), VmError> {
        let burnt = flow.before.wrapping_add(mint).wrapping_sub(flow.after);
        if burnt.bit(255) || burnt < fees {
            return Err(VmError::Broken(format!(
                "balances moved from {} to {} with {mint} minted and {fees} of fees to burn",
                flow.before, flow.after
            )));
        }
        self.output.burnt += burnt;
        Ok(())
    }

    fn include(&mut self, index: usize, tx: &Tx, effect: Effect) {
        self.room.take(tx, effect.gas_used);
        let nonce = if tx.is_deposit() { effect.deposit_nonce } else { tx.envelope.nonce() };
        let created = tx.envelope.kind().is_create().then(|| tx.sender.create(nonce));
        let output = &mut self.output;
        output.gas_used = output.gas_used.saturating_add(effect.gas_used);
        output.included.push(index);
        output.receipts.push(Receipt {
            success: effect.success,
            gas_used: effect.gas_used,
            cumulative_gas_used: output.gas_used,
            logs: effect.logs,
            deposit_nonce: effect.deposit_nonce,
            contract_address: created,
        });
        if tx.is_deposit() {
            output.outcomes.push(CallOutcome {
                success: effect.success,
                gas_used: effect.gas_used,
                output: effect.output,
            });
        }
    }
}
