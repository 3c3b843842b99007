//! What the protocol itself does inside a block: fee state, EIP-2935 and EIP-4788 ring buffers, system modules.

use std::sync::Arc;

use alloy_eips::eip2935::{HISTORY_SERVE_WINDOW, HISTORY_STORAGE_ADDRESS};
use alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy_primitives::{B256, TxKind, U256, keccak256};
use causeway_chainspec::fees::FeeState;
use causeway_chainspec::mailbox::FEE_VAULT;
pub use causeway_chainspec::plan::{SUPPLY_SLOT, SYSTEM_ACCOUNT};
use causeway_chainspec::{
    BlockEnv, BlockPlan, CallOutcome, ChainSpec, Closed, Message, StateDiff, StateError,
    StateReader, SystemBlock, SystemCall, SystemModule, SystemState, Tx,
};
use op_alloy_consensus::TxDeposit;

use crate::ExecutionError;

/// Code of the system account, so that it is never empty (EIP-161). `INVALID`: nobody can call it.
pub const SYSTEM_CODE: [u8; 1] = [0xfe];
/// Slot of the [`FeeState`].
pub const FEE_SLOT: U256 = U256::ZERO;
/// Ring length of EIP-4788 (`HISTORY_BUFFER_LENGTH`).
const BEACON_ROOTS_WINDOW: u64 = 8191;

/// The fee state as the last block left it.
pub fn fee_state(state: &dyn StateReader) -> Result<FeeState, StateError> {
    Ok(FeeState::from_slot(state.slot(SYSTEM_ACCOUNT, FEE_SLOT)?))
}

/// Wei in existence.
pub fn supply(state: &dyn StateReader) -> Result<U256, StateError> {
    state.slot(SYSTEM_ACCOUNT, SUPPLY_SLOT)
}

/// Environment of a block at a time on top of a state.
pub fn env(
    spec: &ChainSpec,
    parent: &dyn StateReader,
    number: u64,
    time_ms: u64,
    mix_hash: B256,
) -> Result<BlockEnv, StateError> {
    let fees = fee_state(parent)?.advance(&spec.gas, time_ms);
    Ok(BlockEnv {
        chain_id: spec.chain_id,
        number,
        time_ms,
        fork: spec.fork_at(time_ms),
        beneficiary: spec.fees.recipient,
        gas_limit: spec.gas.limit,
        gas_available: spec.gas.limit.min(fees.bucket_gas),
        bytes_available: spec.gas.limit_bytes.min(fees.bucket_bytes),
        base_fee: fees.base_fee(&spec.fees),
        mix_hash,
        difficulty: U256::ZERO,
        blob_base_fee: causeway_chainspec::NO_BLOBS,
    })
}

/// What runs before a block's first candidate.
#[derive(Default)]
pub struct Opened {
    /// Changes the protocol made itself.
    pub diff: StateDiff,
    /// System calls as transactions, in order.
    pub calls: Vec<Arc<Tx>>,
    /// Modules at work, and how many of the calls are of each.
    blocks: Vec<(Box<dyn SystemBlock>, usize)>,
    /// Wei they made and unmade.
    moved: (U256, U256),
}

/// Writes the ring buffer of EIP-4788 and asks each module, in order, for its calls. That of
/// EIP-2935 is written at the end, see [`remember_parent`].
pub fn open(
    modules: &[Arc<dyn SystemModule>],
    state: &dyn StateReader,
    env: &BlockEnv,
    plan: &BlockPlan,
) -> Result<Opened, ExecutionError> {
    let mut opened = Opened::default();
    let mut system = SystemState::new(state, &mut opened.diff);
    write_beacon_ring(&mut system, plan)?;
    for module in modules {
        let block = module.open(&mut system, env, plan)?;
        let calls = block.calls();
        opened.blocks.push((block, calls.len()));
        for call in calls {
            let index = opened.calls.len() as u64;
            opened.calls.push(Arc::new(deposit(call, plan, index)));
        }
    }
    opened.moved = system.moved();
    Ok(opened)
}

/// Slot of the EIP-2935 contract that holds the hash of a block.
pub fn history_slot(number: u64) -> U256 {
    U256::from(number % HISTORY_SERVE_WINDOW as u64)
}

/// What the system contract of EIP-2935 stores when a block begins: the parent's hash. Written
/// natively, so that it is there on every VM, and when the block has ended: a parent's hash may come
/// late. Who runs a block shows it the slot as if it had been written before.
pub fn remember_parent(
    number: u64,
    hash: B256,
    state: &dyn StateReader,
    diff: &mut StateDiff,
) -> Result<(), StateError> {
    let at = history_slot(number);
    SystemState::new(state, diff).set_slot(HISTORY_STORAGE_ADDRESS, at, hash.into())
}

/// What the system contract of EIP-4788 would store, written natively so that it is there on every
/// VM.
fn write_beacon_ring(system: &mut SystemState<'_>, plan: &BlockPlan) -> Result<(), StateError> {
    let seconds = plan.claim.time_ms / 1000;
    let root = plan.claim.origin.map_or(B256::ZERO, |origin| origin.hash);
    let at = seconds % BEACON_ROOTS_WINDOW;
    system.set_slot(BEACON_ROOTS_ADDRESS, U256::from(at), U256::from(seconds))?;
    system.set_slot(BEACON_ROOTS_ADDRESS, U256::from(at + BEACON_ROOTS_WINDOW), root.into())
}

/// A system call as a transaction of type 0x7E. Its source hash is
/// keccak256(keccak256("causeway/system-call/1") || parent claim hash || number || index).
fn deposit(call: SystemCall, plan: &BlockPlan, index: u64) -> Tx {
    let mut source = keccak256("causeway/system-call/1").to_vec();
    source.extend_from_slice(plan.claim.parent.as_slice());
    source.extend_from_slice(&plan.claim.number.to_be_bytes());
    source.extend_from_slice(&index.to_be_bytes());
    Tx::deposit(TxDeposit {
        source_hash: keccak256(source),
        from: call.from,
        to: TxKind::Call(call.to),
        mint: call.mint,
        value: call.value,
        gas_limit: call.gas_limit,
        is_system_transaction: false,
        input: call.input,
    })
}

/// What a block did, as far as closing it needs to know.
pub struct Closing<'a> {
    /// Its plan.
    pub plan: &'a BlockPlan,
    /// What [`open`] gave.
    pub opened: Opened,
    /// Outcomes of the system calls, in order.
    pub outcomes: &'a [CallOutcome],
    /// Messages emitted.
    pub emitted: &'a [Message],
    /// Gas used by all transactions.
    pub gas_used: u64,
    /// Bytes of included transactions, system calls left out.
    pub bytes: u64,
    /// Wei minted by deposits.
    pub minted: U256,
    /// Wei that ceased to exist.
    pub burnt: U256,
}

/// Closes a block: each module in order, then the fee state and the supply, into `diff`, which
/// holds the whole block so far. Returns what the block says to other chains.
pub fn close(
    spec: &ChainSpec,
    state: &dyn StateReader,
    closing: Closing<'_>,
    diff: &mut StateDiff,
) -> Result<Closed, ExecutionError> {
    let mut system = SystemState::new(state, diff);
    let mut closed = None;
    let mut rest = closing.outcomes;
    for (block, share) in closing.opened.blocks {
        let (own, later) = rest
            .split_at_checked(share)
            .ok_or_else(|| ExecutionError::Broken("the vm skipped a system call".into()))?;
        rest = later;
        if let Some(made) = block.close(&mut system, own, closing.emitted)?
            && closed.replace(made).is_some()
        {
            return Err(ExecutionError::Broken("two modules made a commitment".into()));
        }
    }
    let fees = FeeState::from_slot(system.slot(SYSTEM_ACCOUNT, FEE_SLOT)?)
        .advance(&spec.gas, closing.plan.claim.time_ms)
        .spend(closing.gas_used, closing.bytes);
    system.set_slot(SYSTEM_ACCOUNT, FEE_SLOT, fees.to_slot())?;
    if spec.metalayer.keeps_fees() {
        system.mint(FEE_VAULT, closing.burnt)?;
    }
    let (opened, (minted, burnt)) = (closing.opened.moved, system.moved());
    let minted = closing.minted + opened.0 + minted;
    let burnt = closing.burnt + opened.1 + burnt;
    let before = system.slot(SYSTEM_ACCOUNT, SUPPLY_SLOT)?;
    let after = before
        .checked_add(minted)
        .and_then(|sum| sum.checked_sub(burnt))
        .ok_or_else(|| ExecutionError::Broken("more wei burnt than there was".into()))?;
    if after != before {
        system.set_slot(SYSTEM_ACCOUNT, SUPPLY_SLOT, after)?;
    }
    check_supply(state, diff, minted, burnt)?;
    Ok(closed.unwrap_or_default())
}

/// Checks burnt = supply before + minted - sum of balance changes over one block's diff.
fn check_supply(
    before: &dyn StateReader,
    diff: &StateDiff,
    minted: U256,
    burnt: U256,
) -> Result<(), ExecutionError> {
    // The sums are compared modulo 2^256, so that none can overflow.
    let (mut had, mut has) = (minted, burnt);
    for (address, account) in &diff.accounts {
        let old = before.account(*address)?.map_or(U256::ZERO, |account| account.balance);
        let new = account.account.map_or(U256::ZERO, |account| account.balance);
        had = had.wrapping_add(old);
        has = has.wrapping_add(new);
    }
    if had == has {
        return Ok(());
    }
    Err(ExecutionError::Broken(format!(
        "wei do not add up: {minted} minted, {burnt} burnt, balances moved from {had} to {has} \
         with both counted in"
    )))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
