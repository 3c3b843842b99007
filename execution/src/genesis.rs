//! Block 0: allocations, system accounts and preinstalls.

use std::sync::Arc;

use alloy_eips::eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy_eips::eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use causeway_chainspec::fees::FeeState;
use causeway_chainspec::l1::bridge::{Bridge, PREDEPLOYS};
use causeway_chainspec::{
    Account, AccountDiff, BlockBody, BlockEnv, BlockPlan, ChainSpec, Claim, Closed, ForcedCut,
    StateDiff, SystemModule, SystemState, mailbox,
};

use crate::overlay::{Empty, StateOver};
use crate::system::{FEE_SLOT, SUPPLY_SLOT, SYSTEM_ACCOUNT, SYSTEM_CODE};
use crate::{ExecutionError, Vm, VmError};

/// The claim of block 0: identity, time, an empty body, nothing else. Its hash is the parent of
/// the first block's claim.
pub fn claim(spec: &ChainSpec) -> Claim {
    let body = BlockBody::default();
    Claim {
        identity: spec.identity(),
        number: 0,
        term: 0,
        parent: B256::ZERO,
        time_ms: spec.genesis.time_ms,
        origin: None,
        cut: ForcedCut::default(),
        anchors: vec![],
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        takeover: None,
    }
}

/// The plan of block 0: its claim and nothing to execute.
pub fn plan(spec: &ChainSpec) -> BlockPlan {
    let (body, forced, candidates) = Default::default();
    BlockPlan { claim: claim(spec), body, forced, candidates }
}

/// The environment of block 0.
pub fn env(spec: &ChainSpec) -> BlockEnv {
    let claim = claim(spec);
    BlockEnv {
        chain_id: spec.chain_id,
        number: 0,
        time_ms: claim.time_ms,
        fork: spec.fork_at(claim.time_ms),
        beneficiary: spec.fees.recipient,
        gas_limit: spec.gas.limit,
        gas_available: spec.gas.limit,
        bytes_available: spec.gas.limit_bytes,
        base_fee: FeeState::genesis(&spec.gas, claim.time_ms).base_fee(&spec.fees),
        mix_hash: claim.mix_hash(),
        difficulty: U256::ZERO,
        blob_base_fee: causeway_chainspec::NO_BLOBS,
    }
}

/// The whole state of block 0: the allocation, then the system accounts (an allocation cannot
/// replace one), then each preinstall, in order, on top of what is there; then what the modules
/// write, and what they say to other chains.
pub fn state(
    spec: &ChainSpec,
    vm: &dyn Vm,
    modules: &[Arc<dyn SystemModule>],
) -> Result<(StateDiff, Closed), ExecutionError> {
    let mut diff = StateDiff::default();
    let mut supply = U256::ZERO;
    for (address, account) in &spec.genesis.alloc {
        supply = supply
            .checked_add(account.balance)
            .ok_or_else(|| ExecutionError::Spec("genesis allocates more than 2^256 wei".into()))?;
        put(&mut diff, *address, account.nonce, account.balance, &account.code);
        if let Some(entry) = diff.accounts.get_mut(address) {
            entry.storage.clone_from(&account.storage);
        }
    }
    let mut accounts = vec![
        (SYSTEM_ACCOUNT, Bytes::from_static(&SYSTEM_CODE)),
        (HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE.clone()),
        (BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE.clone()),
    ];
    if spec.metalayer.enabled {
        accounts.push((mailbox::MAILBOX, Bytes::from_static(mailbox::CODE)));
    }
    if Bridge::of(spec).is_some_and(|bridge| bridge.has_contracts) {
        let predeploys = PREDEPLOYS.map(|(address, code)| (address, Bytes::from_static(code)));
        accounts.extend(predeploys);
    }
    for (address, code) in accounts {
        if spec.genesis.alloc.contains_key(&address) {
            return Err(ExecutionError::Spec(format!(
                "genesis.alloc.{address}: this account belongs to the protocol; remove it"
            )));
        }
        put(&mut diff, address, 1, U256::ZERO, &code);
    }
    let fees = FeeState::genesis(&spec.gas, spec.genesis.time_ms);
    if let Some(entry) = diff.accounts.get_mut(&SYSTEM_ACCOUNT) {
        entry.storage.insert(FEE_SLOT, fees.to_slot());
        entry.storage.insert(SUPPLY_SLOT, supply);
    }
    let env = env(spec);
    for preinstall in &spec.genesis.preinstalls {
        let reader = StateOver { diff: &diff, below: &Empty };
        let made = vm
            .preinstall(&reader, &env, preinstall.address, &preinstall.creation_code)
            .map_err(|error| match error {
                VmError::Invalid(reason) => {
                    ExecutionError::Spec(format!("preinstall {:?}: {reason}", preinstall.name))
                }
                other => other.into(),
            })?;
        diff.merge(&made);
    }
    let closed = open_modules(modules, supply, &mut diff)?;
    Ok((diff, closed))
}

/// What the modules write into block 0; wei they make are part of the supply.
fn open_modules(
    modules: &[Arc<dyn SystemModule>],
    supply: U256,
    diff: &mut StateDiff,
) -> Result<Closed, ExecutionError> {
    let mut closed = None;
    let mut system = SystemState::new(&Empty, diff);
    for module in modules {
        closed = module.genesis(&mut system)?.or(closed);
    }
    let (minted, burnt) = system.moved();
    system.set_slot(SYSTEM_ACCOUNT, SUPPLY_SLOT, supply + minted - burnt)?;
    Ok(closed.unwrap_or_default())
}

fn put(diff: &mut StateDiff, address: Address, nonce: u64, balance: U256, code: &Bytes) {
    let bytecode_hash = (!code.is_empty()).then(|| keccak256(code));
    if let Some(hash) = bytecode_hash {
        diff.codes.insert(hash, code.clone());
    }
    let account = Account { nonce, balance, bytecode_hash };
    // An account without nonce, balance and code does not exist (EIP-161).
    let exists = account != Account::default();
    diff.accounts
        .insert(address, AccountDiff { account: exists.then_some(account), ..Default::default() });
}
