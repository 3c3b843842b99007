//! The seam between the node and what executes transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, Bytes, Log, TxKind, U256};
use causeway_chainspec::{
    BlockEnv, CallOutcome, Message, Receipt, SkipReason, StateDiff, StateError, StateReader, Tx,
};

use crate::trace::{Trace, TraceLimits, Traced, Tracer};

/// When to stop taking transactions. Honoured only when building: a block that is derived or
/// verified is always executed whole.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    flag: Option<Arc<AtomicBool>>,
}

impl Stop {
    /// Never stops.
    pub fn never() -> Self {
        Self::default()
    }

    /// Stops when the flag is raised.
    pub fn on(flag: Arc<AtomicBool>) -> Self {
        Self { flag: Some(flag) }
    }

    /// Whether to stop now.
    pub fn is_raised(&self) -> bool {
        self.flag.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

/// What can be known of a transaction without state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxFacts {
    /// Gas it needs before anything runs (the larger of intrinsic cost and EIP-7623 floor).
    pub intrinsic_gas: u64,
    /// Most it can cost its sender: gas limit * max fee + value, wei.
    pub max_cost: U256,
}

/// What a block's transactions did.
#[derive(Debug, Clone, Default)]
pub struct BlockOutput {
    /// Indices into the transactions given, of those that were executed, in order.
    pub included: Vec<usize>,
    /// One receipt an executed transaction.
    pub receipts: Vec<Receipt>,
    /// Outcome of each executed transaction of type 0x7E, in order (return data included).
    pub outcomes: Vec<CallOutcome>,
    /// Indices of those that were skipped, and why.
    pub skipped: Vec<(usize, SkipReason)>,
    /// How many transactions were looked at; fewer than given only if `Stop` was raised.
    pub attempted: usize,
    /// What changed.
    pub diff: StateDiff,
    /// Messages dispatched through the Mailbox, in order.
    pub outbox: Vec<Message>,
    /// Gas used by all of them.
    pub gas_used: u64,
    /// Wei minted by deposits.
    pub minted: U256,
    /// Wei that ceased to exist (base fees not paid to anybody, self-destructs to self).
    pub burnt: U256,
}

/// A message call without a transaction: `eth_call`, `eth_estimateGas`.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// Caller; need not exist.
    pub from: Address,
    /// Callee, or creation.
    pub to: TxKind,
    /// Wei sent along.
    pub value: U256,
    /// Gas limit.
    pub gas_limit: u64,
    /// Price the caller pays, wei per gas: 0 charges nothing and sees `BASEFEE` = 0 checks off.
    pub gas_price: u128,
    /// Nonce; the account's own if `None`.
    pub nonce: Option<u64>,
    /// Call data or creation code.
    pub input: Bytes,
    /// EIP-2930 access list.
    pub access_list: AccessList,
    /// Versioned hashes of its blobs (EIP-4844); only on chains that carry any.
    pub blob_hashes: Vec<alloy_primitives::B256>,
    /// Most it pays for blob gas, wei; 0 charges nothing and is no limit.
    pub max_blob_fee: u128,
    /// EIP-7702 authorizations, signed.
    pub authorizations: Vec<alloy_eips::eip7702::SignedAuthorization>,
    /// State laid over the snapshot first (`stateOverrides`).
    pub overrides: StateDiff,
}

/// How [`Vm::apply`] makes a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Nonce and base fee are checked, as of a transaction.
    pub validate: bool,
    /// Moves of the coin are logged, too, as ERC-20 transfers of address 0xee..ee.
    pub transfers: bool,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOutput {
    /// How it ended.
    pub result: CallResult,
    /// Gas used, refunds taken off.
    pub gas_used: u64,
    /// Refund in gas, before its cap of a fifth.
    pub gas_refunded: u64,
    /// Returned data, or revert data.
    pub output: Bytes,
    /// Logs; empty unless it succeeded.
    pub logs: Vec<Log>,
    /// Address created, if it was a creation that succeeded.
    pub created: Option<Address>,
}

/// The three ways a call can end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallResult {
    /// Ran to its end.
    Success,
    /// Reverted, with data.
    Revert,
    /// Halted: out of gas, bad opcode... all gas is used.
    Halt(String),
}

/// Why a VM could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VmError {
    /// State cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The call is invalid as it stands (funds, gas): a client's mistake.
    #[error(transparent)]
    Invalid(#[from] SkipReason),
    /// This VM does not do that.
    #[error("not supported by this chain's vm: {0}")]
    Unsupported(String),
    /// The tracer asked for is unknown, or its settings are wrong: a client's mistake.
    #[error("{0}")]
    Tracer(String),
    /// A trace did not end in its time.
    #[error("the trace took too long")]
    Expired,
    /// A trace takes more memory than it may, in bytes.
    #[error("the trace takes more than {0} bytes")]
    TooLarge(usize),
    /// The VM broke a rule of its own.
    #[error("vm failed: {0}")]
    Broken(String),
}

/// A virtual machine: total and deterministic. Every VM keeps Ethereum's envelope, accounts and
/// trie, so that `eth_*` works on all.
pub trait Vm: Send + Sync + 'static {
    /// What the mempool and the forced lane ask before state is known: chain id, type, intrinsic
    /// gas, size limits. Deposits always pass.
    fn check(&self, tx: &Tx, env: &BlockEnv) -> Result<TxFacts, SkipReason>;

    /// Executes transactions in order on a snapshot. An invalid signed transaction is skipped and
    /// listed, never an error, and leaves nothing in the journal of the next. A deposit is never
    /// skipped: if its call fails, its mint and its nonce stay. The same input gives the same
    /// output on every machine, unless `stop` is raised.
    fn execute(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        txs: &[Arc<Tx>],
        stop: &Stop,
    ) -> Result<BlockOutput, VmError>;

    /// Executes one call on a snapshot and forgets its changes.
    fn call(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        call: &Call,
    ) -> Result<CallOutput, VmError>;

    /// Executes one call on a snapshot and says what it changed, its overrides left out: what
    /// `eth_simulateV1` puts one on the other. `Unsupported` on a VM that cannot.
    fn apply(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        call: &Call,
        how: Applied,
    ) -> Result<(CallOutput, StateDiff), VmError> {
        let _ = (state, env, call, how);
        Err(VmError::Unsupported("it cannot simulate".into()))
    }

    /// Executes on a snapshot one thing after the other, says of each what its tracer wrote down,
    /// and forgets all changes. Transactions and calls do exactly what they do in [`Vm::execute`]
    /// and [`Vm::call`], on any fork. To trace a later transaction of a block, give the state that
    /// executing the earlier ones leaves. `Unsupported` on a VM without tracers.
    fn trace(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        steps: &[(Traced, Tracer)],
        limits: TraceLimits<'_>,
    ) -> Result<Vec<Trace>, VmError> {
        let _ = (state, env, steps, limits);
        Err(VmError::Unsupported("it has no tracers".into()))
    }

    /// Runs creation code as a preinstall at `address` on an empty-handed deployer; returns what
    /// changes (runtime code and storage of `address`). `Unsupported` on a VM without contracts.
    fn preinstall(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        address: Address,
        creation_code: &Bytes,
    ) -> Result<StateDiff, VmError>;
}
