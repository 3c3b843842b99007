//! revm's frame stack, driven by our own loop, and what a deposit does differently around it.

use std::cell::Cell;
use std::marker::PhantomData;

use alloy_primitives::{Address, Bytes, U256};
use causeway_chainspec::BlockEnv;
use revm::Inspector;
use revm::context::{ContextTr, JournalTr};
use revm::context_interface::context::{ContextError, take_error};
use revm::context_interface::journaled_state::account::JournaledAccountTr;
use revm::context_interface::result::{
    EVMError, ExecutionResult, HaltReason, InvalidTransaction as Invalid,
};
use revm::context_interface::{Cfg, CreateScheme, Transaction};
use revm::handler::{
    EvmTr, FrameResult, Handler, ItemOrResult, MainBuilder, MainnetContext, MainnetEvm,
    post_execution, pre_execution, validation,
};
use revm::inspector::InspectorHandler;
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::interpreter_types::Jumps;
use revm::interpreter::{
    CreateInputs, FrameInput, InitialAndFloorGas, InstructionResult, SharedMemory,
};
use revm::primitives::hardfork::SpecId;
use revm::state::EvmState;

use super::rules;
use super::state::{Db, DbError};
use crate::VmError;

/// What code runs in.
pub(super) type Context<'a> = MainnetContext<Db<'a>>;
/// revm over our state, with Ethereum's instructions and precompiles, and somebody who looks on.
pub(super) type Engine<'a, I = ()> = MainnetEvm<Context<'a>, I>;
/// What can go wrong with a transaction.
pub(super) type Failure = EVMError<DbError>;

/// Who runs preinstalls: nobody, with nothing.
pub(super) const DEPLOYER: Address = Address::ZERO;

/// An engine for the transactions of one block, or for one call.
pub(super) fn engine<'a>(db: Db<'a>, env: &BlockEnv) -> Engine<'a> {
    watched(db, env, ())
}

/// An engine at which an inspector looks on.
pub(super) fn watched<'a, I>(db: Db<'a>, env: &BlockEnv, inspector: I) -> Engine<'a, I> {
    Context::new(db, rules::spec_id(env.fork))
        .with_cfg(rules::cfg(env))
        .with_block(rules::block(env))
        .build_mainnet_with_inspector(inspector)
}

/// The state under an engine.
pub(super) fn db<'e, 'a, I>(engine: &'e mut Engine<'a, I>) -> &'e mut Db<'a> {
    &mut engine.ctx.journaled_state.database
}

/// Takes the journal out of an engine: what one transaction did. Nothing of it stays.
pub(super) fn take_state<I>(engine: &mut Engine<'_, I>) -> EvmState {
    engine.ctx.journaled_state.finalize()
}

/// Runs a first frame, and all that it calls, to its end. The one place where frames are entered
/// and left, so that a frame of another machine can be put between those of the EVM.
fn run_frames<I>(
    engine: &mut Engine<'_, I>,
    first: FrameInit,
    bad_opcode: &mut Option<u8>,
) -> Result<FrameResult, ContextError<DbError>> {
    enum Next {
        Enter(FrameInit),
        Resume,
        Leave(FrameResult),
    }
    let mut next = Next::Enter(first);
    loop {
        next = match next {
            Next::Enter(frame) => match engine.frame_init(frame)? {
                ItemOrResult::Item(_) => Next::Resume,
                // Over before it began (a precompile, no code, too deep): nothing was pushed.
                ItemOrResult::Result(result) => Next::Leave(result),
            },
            Next::Resume => match engine.frame_run()? {
                ItemOrResult::Item(child) => Next::Enter(child),
                ItemOrResult::Result(result) => {
                    if result.instruction_result() == InstructionResult::OpcodeNotFound {
                        *bad_opcode = last_opcode(engine);
                    }
                    Next::Leave(result)
                }
            },
            Next::Leave(result) if engine.frame_stack.index().is_none() => return Ok(result),
            Next::Leave(result) => match engine.frame_return_result(result)? {
                Some(last) => return Ok(last),
                None => Next::Resume,
            },
        };
    }
}

/// The opcode at which the running frame stopped.
fn last_opcode<I>(engine: &mut Engine<'_, I>) -> Option<u8> {
    let bytecode = &engine.frame_stack.get().interpreter.bytecode;
    let code = bytecode.bytes_slice();
    bytecode.pc().checked_sub(1).and_then(|at| code.get(at).copied())
}

/// One transaction's way through revm's phases.
pub(super) struct Driver<'a, I = ()> {
    /// Set for a deposit: wei minted to the sender first.
    deposit: Option<U256>,
    /// Refund in gas before its cap.
    pub(super) refund: Cell<u64>,
    /// The opcode that does not exist, if that is what ended a frame last.
    pub(super) bad_opcode: Option<u8>,
    engine: PhantomData<Engine<'a, I>>,
}

impl<I> Default for Driver<'_, I> {
    fn default() -> Self {
        let (deposit, refund, bad_opcode) = Default::default();
        Self { deposit, refund, bad_opcode, engine: PhantomData }
    }
}

impl<'a, I> Driver<'a, I> {
    /// For a deposit, which mints this many wei to its sender first.
    pub(super) fn deposit(mint: U256) -> Self {
        Self { deposit: Some(mint), ..Default::default() }
    }

    /// Runs the transaction that is set in the engine. Its changes stay in the journal.
    pub(super) fn transact(
        &mut self,
        engine: &mut Engine<'a, I>,
    ) -> Result<ExecutionResult, Failure> {
        self.run(engine)
    }

    /// Runs the call that is set in the engine: nobody pays for it, and nothing of it is checked.
    pub(super) fn system_call(
        &mut self,
        engine: &mut Engine<'a, I>,
    ) -> Result<ExecutionResult, Failure> {
        self.run_system_call(engine)
    }

    /// The same, with the engine's inspector looking on.
    pub(super) fn inspect(&mut self, engine: &mut Engine<'a, I>) -> Result<ExecutionResult, Failure>
    where
        I: Inspector<Context<'a>>,
    {
        self.inspect_run(engine)
    }
}

impl<'a, I: Inspector<Context<'a>>> InspectorHandler for Driver<'a, I> {
    type IT = EthInterpreter;
}

impl<'a, I> Handler for Driver<'a, I> {
    type Evm = Engine<'a, I>;
    type Error = Failure;
    type HaltReason = HaltReason;

    fn run_exec_loop(
        &mut self,
        engine: &mut Engine<'a, I>,
        first: FrameInit,
    ) -> Result<FrameResult, Failure> {
        Ok(run_frames(engine, first, &mut self.bad_opcode)?)
    }

    fn validate_env(&self, engine: &mut Engine<'a, I>) -> Result<(), Failure> {
        if self.deposit.is_none() {
            return validation::validate_env(engine.ctx());
        }
        let (tx, cfg) = (&engine.ctx.tx, &engine.ctx.cfg);
        let limited = cfg.spec().is_enabled_in(SpecId::SHANGHAI) && tx.kind().is_create();
        if limited && tx.input().len() > cfg.max_initcode_size() {
            return Err(Invalid::CreateInitCodeSizeLimit.into());
        }
        Ok(())
    }

    fn validate_against_state_and_deduct_caller(
        &self,
        engine: &mut Engine<'a, I>,
        _gas: &mut InitialAndFloorGas,
    ) -> Result<(), Failure> {
        let Some(mint) = self.deposit else {
            return pre_execution::validate_against_state_and_deduct_caller(engine.ctx());
        };
        let (tx, journal) = engine.ctx.tx_journal_mut();
        let mut sender = journal.load_account_mut(tx.caller())?;
        sender.incr_balance(mint);
        let (fee, balance) = (tx.value(), *sender.balance());
        if balance < fee {
            let (fee, balance) = (Box::new(fee), Box::new(balance));
            return Err(Invalid::LackOfFundForMaxFee { fee, balance }.into());
        }
        if tx.kind().is_call() {
            sender.bump_nonce();
        }
        Ok(())
    }

    fn refund(
        &self,
        engine: &mut Engine<'a, I>,
        result: &mut FrameResult,
        eip7702_refund: i64,
    ) -> Result<(), Failure> {
        let refund = result.gas().refunded() + eip7702_refund;
        self.refund.set(refund.try_into().unwrap_or(0));
        let params = engine.ctx.cfg().gas_params();
        post_execution::refund(params, result.gas_mut(), eip7702_refund);
        Ok(())
    }

    fn reimburse_caller(
        &self,
        engine: &mut Engine<'a, I>,
        result: &mut FrameResult,
    ) -> Result<(), Failure> {
        match self.deposit {
            Some(_) => Ok(()),
            None => Ok(post_execution::reimburse_caller(engine.ctx(), result.gas(), U256::ZERO)?),
        }
    }

    fn reward_beneficiary(
        &self,
        engine: &mut Engine<'a, I>,
        result: &mut FrameResult,
    ) -> Result<(), Failure> {
        match self.deposit {
            Some(_) => Ok(()),
            None => Ok(post_execution::reward_beneficiary(engine.ctx(), result.gas())?),
        }
    }
}

/// Runs creation code so that what it makes ends at `address`. Its changes stay in the journal.
pub(super) fn create_at(
    engine: &mut Engine<'_>,
    address: Address,
    creation_code: &Bytes,
    gas_limit: u64,
) -> Result<InstructionResult, VmError> {
    let inputs = CreateInputs::new(
        DEPLOYER,
        CreateScheme::Custom { address },
        U256::ZERO,
        creation_code.clone(),
        gas_limit,
        0,
    );
    let first = FrameInit {
        depth: 0,
        memory: SharedMemory::new(),
        frame_input: FrameInput::Create(Box::new(inputs)),
    };
    let result = run_frames(engine, first, &mut None).map_err(Failure::from);
    let result = result.and_then(|result| {
        take_error::<Failure, _>(engine.ctx.error()).map(|()| result.instruction_result())
    });
    result.map_err(|error| {
        rules::failure(error, |invalid, _| {
            causeway_chainspec::SkipReason::Other(invalid.to_string())
        })
    })
}
