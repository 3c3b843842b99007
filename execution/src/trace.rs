//! What a VM is asked to trace and what it answers, in the words of geth's and of Parity's JSON-RPC.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::B256;
use alloy_primitives::map::HashSet;
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace};
use alloy_rpc_types_trace::parity::{TraceResults, TraceType};
use causeway_chainspec::Tx;

use crate::Call;

/// What is executed, in order, each on the state that the one before left.
#[derive(Debug, Clone)]
pub enum Traced {
    /// A transaction of a block, as [`Vm::execute`](crate::Vm::execute) executes it. One that
    /// would be skipped is [`VmError::Invalid`](crate::VmError).
    Tx(Arc<Tx>, TxPlace),
    /// A call, as [`Vm::call`](crate::Vm::call) makes it; what it changes stays for the next.
    Call(Box<Call>),
}

/// Where a transaction is, for tracers that tell it.
#[derive(Debug, Clone, Copy, Default)]
pub struct TxPlace {
    /// Header hash of its block.
    pub block: Option<B256>,
    /// Index in the block.
    pub index: Option<u64>,
}

/// What is written down while something is executed.
#[derive(Debug, Clone)]
pub enum Tracer {
    /// A tracer of geth's `debug_*`, with its settings.
    Geth(Box<GethDebugTracingOptions>),
    /// The kinds of traces that Parity's `trace_*` gives.
    Parity(HashSet<TraceType>),
}

/// What a tracer wrote.
#[derive(Debug, Clone)]
pub enum Trace {
    /// Of [`Tracer::Geth`].
    Geth(Box<GethTrace>),
    /// Of [`Tracer::Parity`]; `transactionHash` is left to who knows it.
    Parity(Box<TraceResults>),
}

/// When to give up tracing.
#[derive(Clone, Copy)]
pub struct TraceLimits<'a> {
    /// Whether time is up: asked at every call, and at least once in 1024 instructions.
    pub expired: &'a (dyn Fn() -> bool + Sync),
    /// Most bytes of memory, about, that what is written down may take.
    pub most_bytes: usize,
}

impl fmt::Debug for TraceLimits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceLimits").field("most_bytes", &self.most_bytes).finish_non_exhaustive()
    }
}
