//! The transactions of one block, one after the other.

use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::{Bytes, Log, U256};
use causeway_chainspec::{BlockEnv, CallOutcome, Receipt, SkipReason, Tx, TxEnvelope, mailbox};
use revm::context_interface::result::{EVMError, ExecutionResult, ResultAndState};

use super::frames::{self, Driver, Engine, Failure};
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
    let mut block = Block::new(db, env, ());
    for (index, tx) in txs.iter().enumerate() {
        if stop.is_raised() && !tx.is_deposit() {
            break;
        }
        block.output.attempted = index + 1;
        match block.transact(tx) {
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

/// Who looks on while transactions run.
pub(super) trait Observer<'a>: Sized {
    /// Runs the transaction that is set in the engine. Its changes stay in the journal.
    fn run(driver: &mut Driver<'a, Self>, engine: &mut Engine<'a, Self>) -> Ran;

    /// Told what a transaction did, before the state below takes it over.
    fn ran(engine: &mut Engine<'a, Self>, done: &ResultAndState) -> Result<(), VmError>;

    /// Told that a deposit could not begin, and why.
    fn refused(engine: &mut Engine<'a, Self>, why: String) -> Result<(), VmError>;
}

/// Nobody.
impl<'a> Observer<'a> for () {
    fn run(driver: &mut Driver<'a>, engine: &mut Engine<'a>) -> Ran {
        driver.transact(engine)
    }

    fn ran(_: &mut Engine<'a>, _: &ResultAndState) -> Result<(), VmError> {
        Ok(())
    }

    fn refused(_: &mut Engine<'a>, _: String) -> Result<(), VmError> {
        Ok(())
    }
}

/// How a transaction ended, if it could begin.
pub(super) type Ran = Result<ExecutionResult, Failure>;

/// A block while its transactions run.
pub(super) struct Block<'a, 'e, I = ()> {
    pub(super) engine: Engine<'a, I>,
    env: &'e BlockEnv,
    room: Room,
    output: BlockOutput,
}

/// What an executed transaction leaves behind besides state.
pub(super) struct Effect {
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

impl<'a, 'e, I: Observer<'a>> Block<'a, 'e, I> {
    pub(super) fn new(db: Db<'a>, env: &'e BlockEnv, observer: I) -> Self {
        let engine = frames::watched(db, env, observer);
        Self { engine, env, room: Room::new(env), output: BlockOutput::default() }
    }

    /// Executes one transaction; its changes are in the state below afterwards.
    pub(super) fn transact(&mut self, tx: &Tx) -> Result<Effect, VmError> {
        match &tx.envelope {
            TxEnvelope::Deposit(deposit) => self.deposit(tx, deposit.mint),
            _ => self.signed(tx),
        }
    }

    fn signed(&mut self, tx: &Tx) -> Result<Effect, VmError> {
        rules::check(tx, self.env)?;
        self.room.fits(tx)?;
        self.engine.ctx.tx = rules::tx_env(tx);
        let (result, flow) = match self.run(Driver::default())? {
            Ok(ran) => ran,
            Err(error) => {
                let db = frames::db(&mut self.engine);
                let have = db.account(tx.sender).map_err(|error| error.0)?;
                let have = have.map_or(U256::ZERO, |info| info.balance);
                return Err(rules::failure(error, |invalid, _| {
                    rules::invalid_tx(invalid, tx, self.env, have)
                }));
            }
        };
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
        match self.run(Driver::deposit(mint))? {
            Ok((result, flow)) => {
                self.account_for(flow, mint, U256::ZERO)?;
                Ok(Effect::new(result, nonce))
            }
            Err(EVMError::Transaction(why)) => {
                I::refused(&mut self.engine, why.to_string())?;
                frames::db(&mut self.engine).update(tx.sender, |sender| {
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

    /// Runs the transaction that is set in the engine, tells the observer, and commits it.
    pub(super) fn run(
        &mut self,
        mut driver: Driver<'a, I>,
    ) -> Result<Result<(ExecutionResult, Flow), Failure>, VmError> {
        let result = I::run(&mut driver, &mut self.engine);
        let state = frames::take_state(&mut self.engine);
        let result = match result {
            Ok(result) => result,
            Err(error) => return Ok(Err(error)),
        };
        let done = ResultAndState::new(result, state);
        I::ran(&mut self.engine, &done)?;
        let flow = frames::db(&mut self.engine).commit(done.state);
        Ok(Ok((done.result, flow)))
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
