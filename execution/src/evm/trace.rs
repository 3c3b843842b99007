//! Tracing: the same transactions and calls, with the tracers of revm-inspectors looking on.

use alloy_primitives::map::HashSet;
use alloy_primitives::{B256, U256};
use alloy_rpc_types_trace::geth::{CallFrame, GethTrace};
use alloy_rpc_types_trace::parity::TraceType;
use causeway_chainspec::BlockEnv;
use revm::context::{BlockEnv as RevmBlock, TxEnv};
use revm::context_interface::result::{
    ExecutionResult, HaltReason, OutOfGasError, ResultAndState, ResultGas,
};
use revm_inspectors::tracing::{
    DebugInspector, DebugInspectorError, TracingInspector, TracingInspectorConfig,
    TransactionContext,
};

use super::block::{Block, Observer, Ran};
use super::frames::{self, Driver, Engine};
use super::state::{Db, DbError};
use super::watch::Watch;
use super::{rules, set_call};
use crate::trace::{Trace, TraceLimits, Traced, Tracer, TxPlace};
use crate::{Call, VmError};

/// Traces one thing after the other, as [`crate::Vm::trace`] promises.
pub(super) fn trace(
    db: Db<'_>,
    env: &BlockEnv,
    steps: &[(Traced, Tracer)],
    limits: TraceLimits<'_>,
) -> Result<Vec<Trace>, VmError> {
    let mut traces = Vec::with_capacity(steps.len());
    let mut block = Block::new(db, env, Recorder::new(limits));
    for (what, tracer) in steps {
        let recorder = &mut block.engine.inspector;
        recorder.begin(tracer)?;
        let ran = match what {
            Traced::Tx(tx, place) => {
                recorder.place = (Some(tx.hash), *place);
                block.transact(tx).map(drop)
            }
            Traced::Call(call) => self::call(&mut block, env, call),
        };
        let recorder = &mut block.engine.inspector;
        if let Some(stopped) = recorder.watch.stopped.take() {
            return Err(stopped);
        }
        ran?;
        let trace = recorder.trace.take();
        traces.push(trace.ok_or_else(|| VmError::Broken("a trace is missing".into()))?);
    }
    Ok(traces)
}

/// Makes a call between the transactions of a block.
fn call<'a, 'w>(
    block: &mut Block<'a, '_, Recorder<'w>>,
    env: &BlockEnv,
    call: &Call,
) -> Result<(), VmError> {
    let db = frames::db(&mut block.engine);
    db.overlay(&call.overrides);
    if let Some(nonce) = call.nonce {
        db.update(call.from, |info| info.nonce = nonce)?;
    }
    block.engine.inspector.place = Default::default();
    set_call(&mut block.engine, env, call);
    let ran = block.run(Driver::default());
    block.engine.ctx.cfg = rules::cfg(env);
    block.engine.ctx.block = rules::block(env);
    match ran? {
        Ok(_) => Ok(()),
        Err(error) => Err(rules::failure(error, |invalid, have| {
            rules::invalid_call(invalid, call, env, have)
        })),
    }
}

/// Who looks on while something is traced.
pub(super) struct Recorder<'w> {
    pub(super) watch: Watch<'w>,
    pub(super) tool: Tool,
    /// Of the transaction that runs.
    place: (Option<B256>, TxPlace),
    trace: Option<Trace>,
}

/// What writes down.
pub(super) enum Tool {
    None,
    Geth(Box<DebugInspector>),
    Parity(Box<TracingInspector>, HashSet<TraceType>),
}

impl<'w> Recorder<'w> {
    fn new(limits: TraceLimits<'w>) -> Self {
        let (place, trace) = Default::default();
        Self { watch: Watch::new(limits), tool: Tool::None, place, trace }
    }

    fn begin(&mut self, tracer: &Tracer) -> Result<(), VmError> {
        self.trace = None;
        self.tool = match tracer {
            Tracer::Geth(options) => {
                let inspector = DebugInspector::new((**options).clone()).map_err(refused)?;
                Tool::Geth(Box::new(inspector))
            }
            Tracer::Parity(kinds) => {
                let config = TracingInspectorConfig::from_parity_config(kinds);
                Tool::Parity(Box::new(TracingInspector::new(config)), kinds.clone())
            }
        };
        self.watch.begin(&self.tool);
        Ok(())
    }

    /// What the tracer wrote of something that is over.
    fn finish(
        &mut self,
        tx: &TxEnv,
        block: &RevmBlock,
        done: &ResultAndState,
        db: &mut Db<'_>,
    ) -> Result<Option<Trace>, VmError> {
        let trace = match std::mem::replace(&mut self.tool, Tool::None) {
            Tool::None => return Ok(None),
            Tool::Geth(mut inspector) => {
                let (tx_hash, place) = self.place;
                let tx_index = place.index.map(|index| index as usize);
                let context = TransactionContext { block_hash: place.block, tx_hash, tx_index };
                let trace = inspector.get_result(Some(context), tx, block, done, db);
                Trace::Geth(Box::new(trace.map_err(|error| match error {
                    DebugInspectorError::Database(error) => unreadable(error),
                    other => refused(other),
                })?))
            }
            Tool::Parity(inspector, kinds) => {
                let builder = inspector.into_parity_builder();
                let results = builder.into_trace_results_with_state(done, &kinds, &*db);
                Trace::Parity(Box::new(results.map_err(unreadable)?))
            }
        };
        Ok(Some(trace))
    }
}

/// revm's error where a tracer read state.
fn unreadable(error: DbError) -> VmError {
    VmError::State(error.0)
}

fn refused<E: std::fmt::Display>(error: DebugInspectorError<E>) -> VmError {
    VmError::Tracer(format!("tracer: {error}"))
}

impl<'a, 'w> Observer<'a> for Recorder<'w> {
    fn run(driver: &mut Driver<'a, Self>, engine: &mut Engine<'a, Self>) -> Ran {
        driver.inspect(engine)
    }

    fn ran(engine: &mut Engine<'a, Self>, done: &ResultAndState) -> Result<(), VmError> {
        let (ctx, recorder) = (&mut engine.ctx, &mut engine.inspector);
        if recorder.watch.stopped.is_none() {
            let db = &mut ctx.journaled_state.database;
            recorder.trace = recorder.finish(&ctx.tx, &ctx.block, done, db)?;
        }
        Ok(())
    }

    fn refused(engine: &mut Engine<'a, Self>, why: String) -> Result<(), VmError> {
        let tx = &engine.ctx.tx;
        // Nothing ran: tracers give what they have of nothing, but for the call itself.
        let gas = ResultGas::default().with_total_gas_spent(tx.gas_limit);
        let reason = HaltReason::OutOfGas(OutOfGasError::Basic);
        let result = ExecutionResult::Halt { reason, gas, logs: Vec::new() };
        let frame = CallFrame {
            typ: if tx.kind.is_create() { "CREATE" } else { "CALL" }.into(),
            from: tx.caller,
            to: tx.kind.to().copied(),
            gas: U256::from(tx.gas_limit),
            gas_used: U256::from(tx.gas_limit),
            value: Some(tx.value),
            input: tx.data.clone(),
            error: Some(why),
            ..Default::default()
        };
        Self::ran(engine, &ResultAndState::new(result, Default::default()))?;
        if let Some(Trace::Geth(trace)) = &mut engine.inspector.trace
            && let GethTrace::CallTracer(empty) = &mut **trace
        {
            *empty = frame;
        }
        Ok(())
    }
}
