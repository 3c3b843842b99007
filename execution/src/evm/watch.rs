//! What bounds a trace: time, and the memory of what is written down.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;

use alloy_primitives::{Address, Log, U256};
use revm::bytecode::opcode;
use revm::context_interface::ContextTr;
use revm::context_interface::context::ContextError;
use revm::handler::FrameResult;
use revm::inspector::JournalExt;
use revm::interpreter::interpreter_types::{InputsTr, Jumps, MemoryTr};
use revm::interpreter::{
    CallInputs, CallOutcome, CreateInputs, CreateOutcome, FrameInput, Interpreter,
};
use revm::{DatabaseRef, Inspector};
use revm_inspectors::tracing::{DebugInspector, TracingInspectorConfig};

use super::trace::{Recorder, Tool};
use crate::VmError;
use crate::trace::TraceLimits;

/// Instructions between two looks at the time.
const ASK_EVERY: u32 = 1024;
/// Memory, about, of what is written down of a step, of a call, of a slot and of a word of the
/// stack, in bytes.
const STEP_BYTES: usize = 240;
const CALL_BYTES: usize = 1000;
const SLOT_BYTES: usize = 100;
const WORD_BYTES: usize = 32;

/// Bounds of one trace after the other.
pub(super) struct Watch<'w> {
    limits: TraceLimits<'w>,
    /// Why it was stopped.
    pub(super) stopped: Option<VmError>,
    /// Instructions since the time was looked at.
    unasked: u32,
    /// Written down so far, by all traces.
    bytes: usize,
    writes: Writes,
    /// Steps written down in this trace.
    written: u64,
    /// Slots that each contract touched, in this trace: those of one are told again with each step
    /// that touches another.
    slots: HashMap<Address, HashSet<U256>>,
}

/// What is written down of a step.
#[derive(Debug, Clone, Copy, Default)]
struct Writes {
    /// Calls, with what goes in and comes out.
    calls: bool,
    steps: bool,
    stack: bool,
    memory: bool,
    slots: bool,
    /// After how many steps no more are.
    most: Option<NonZeroU64>,
}

impl Writes {
    fn of(tool: &Tool) -> Self {
        match tool {
            Tool::None => Self::default(),
            Tool::Parity(inspector, _) => Self::by(inspector.config()),
            Tool::Geth(inspector) => match &**inspector {
                DebugInspector::Default(inspector, options) => {
                    let slots = !options.disable_storage.unwrap_or(false);
                    Self { slots, ..Self::by(inspector.config()) }
                }
                DebugInspector::CallTracer(inspector, _)
                | DebugInspector::PreStateTracer(inspector, _)
                | DebugInspector::FlatCallTracer(inspector)
                | DebugInspector::Erc7562Tracer(inspector, _) => Self::by(inspector.config()),
                DebugInspector::Mux(..) => Self { calls: true, ..Self::default() },
                _ => Self::default(),
            },
        }
    }

    fn by(config: &TracingInspectorConfig) -> Self {
        Self {
            calls: true,
            steps: config.record_steps,
            stack: config.record_stack_snapshots.is_full(),
            memory: config.record_memory_snapshots,
            slots: false,
            most: config.step_limit,
        }
    }
}

impl<'w> Watch<'w> {
    pub(super) fn new(limits: TraceLimits<'w>) -> Self {
        let (stopped, unasked, bytes, writes, written, slots) = Default::default();
        Self { limits, stopped, unasked, bytes, writes, written, slots }
    }

    /// Another trace begins.
    pub(super) fn begin(&mut self, tool: &Tool) {
        self.writes = Writes::of(tool);
        self.slots.clear();
        self.written = 0;
    }

    fn wrote(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.most_bytes && self.stopped.is_none() {
            self.stopped = Some(VmError::TooLarge(self.limits.most_bytes));
        }
    }

    fn ask(&mut self) {
        self.unasked = 0;
        if (self.limits.expired)() && self.stopped.is_none() {
            self.stopped = Some(VmError::Expired);
        }
    }

    /// Before each instruction. True if there should be no other.
    fn step(&mut self, interp: &Interpreter) -> bool {
        self.unasked += 1;
        if self.unasked >= ASK_EVERY {
            self.ask();
        }
        if self.writes.steps && self.writes.most.is_none_or(|most| self.written < most.get()) {
            self.written += 1;
            let stack = if self.writes.stack { interp.stack.len() * WORD_BYTES } else { 0 };
            let memory = if self.writes.memory { interp.memory.size() } else { 0 };
            let slots = if self.writes.slots { self.slots(interp) * SLOT_BYTES } else { 0 };
            self.wrote(STEP_BYTES + stack + memory + slots);
        }
        self.stopped.is_some()
    }

    /// How many slots this step tells of.
    fn slots(&mut self, interp: &Interpreter) -> usize {
        if !matches!(interp.bytecode.opcode(), opcode::SLOAD | opcode::SSTORE) {
            return 0;
        }
        let slots = self.slots.entry(interp.input.target_address()).or_default();
        slots.extend(interp.stack.data().last());
        slots.len()
    }

    /// Before each call or creation, with so much input. True if there should be no other.
    fn enter(&mut self, input: usize) -> bool {
        self.ask();
        self.passed(CALL_BYTES + input);
        self.stopped.is_some()
    }

    /// Bytes that went into a call or came out of it, or that it logged.
    fn passed(&mut self, bytes: usize) {
        if self.writes.calls {
            self.wrote(bytes);
        }
    }
}

/// Has revm give up what it runs.
fn give_up<C: ContextTr>(context: &mut C) {
    *context.error() = Err(ContextError::Custom("the trace was stopped".into()));
}

macro_rules! told {
    ($tool:expr, $method:ident($($arg:expr),*)) => {
        match $tool {
            Tool::None => Default::default(),
            Tool::Geth(inspector) => Inspector::<C>::$method(&mut **inspector, $($arg),*),
            Tool::Parity(inspector, _) => Inspector::<C>::$method(&mut **inspector, $($arg),*),
        }
    };
}

impl<C> Inspector<C> for Recorder<'_>
where
    C: ContextTr<Journal: JournalExt, Db: DatabaseRef>,
{
    fn initialize_interp(&mut self, interp: &mut Interpreter, context: &mut C) {
        told!(&mut self.tool, initialize_interp(interp, context));
    }

    fn step(&mut self, interp: &mut Interpreter, context: &mut C) {
        if self.watch.step(interp) {
            give_up(context);
            interp.halt_fatal();
            return;
        }
        told!(&mut self.tool, step(interp, context));
    }

    fn step_end(&mut self, interp: &mut Interpreter, context: &mut C) {
        told!(&mut self.tool, step_end(interp, context));
    }

    fn log(&mut self, context: &mut C, log: Log) {
        self.watch.passed(log.data.data.len());
        told!(&mut self.tool, log(context, log));
    }

    fn log_full(&mut self, interp: &mut Interpreter, context: &mut C, log: Log) {
        self.watch.passed(log.data.data.len());
        told!(&mut self.tool, log_full(interp, context, log));
    }

    fn frame_start(&mut self, context: &mut C, input: &mut FrameInput) -> Option<FrameResult> {
        told!(&mut self.tool, frame_start(context, input))
    }

    fn frame_end(&mut self, context: &mut C, input: &FrameInput, result: &mut FrameResult) {
        told!(&mut self.tool, frame_end(context, input, result));
    }

    fn call(&mut self, context: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        if self.watch.enter(inputs.input.len()) {
            give_up(context);
        }
        told!(&mut self.tool, call(context, inputs))
    }

    fn call_end(&mut self, context: &mut C, inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.watch.passed(outcome.result.output.len());
        told!(&mut self.tool, call_end(context, inputs, outcome));
    }

    fn create(&mut self, context: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        if self.watch.enter(inputs.init_code().len()) {
            give_up(context);
        }
        told!(&mut self.tool, create(context, inputs))
    }

    fn create_end(&mut self, context: &mut C, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        self.watch.passed(outcome.result.output.len());
        told!(&mut self.tool, create_end(context, inputs, outcome));
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        told!(&mut self.tool, selfdestruct(contract, target, value));
    }
}
