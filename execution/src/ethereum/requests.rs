//! What a block asks of the consensus layer (EIP-7685): deposits (EIP-6110), withdrawals (EIP-7002)
//! and consolidations (EIP-7251).

use alloy_eips::eip6110::DEPOSIT_REQUEST_TYPE;
use alloy_eips::eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_TYPE};
use alloy_eips::eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_TYPE};
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, B256, Bytes, Log, b256};
use causeway_chainspec::{BlockEnv, StateDiff, StateReader};

use crate::VmError;
use crate::evm::Evm;
use crate::overlay::StateOver;

/// Type of deposits.
pub(super) const DEPOSIT: u8 = DEPOSIT_REQUEST_TYPE;
/// Types of what waits in contracts, and the contracts, in the order in which they are asked.
pub(super) const QUEUES: [(u8, Address); 2] = [
    (WITHDRAWAL_REQUEST_TYPE, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS),
    (CONSOLIDATION_REQUEST_TYPE, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS),
];

/// First topic of the deposit contract's `DepositEvent(bytes,bytes,bytes,bytes,bytes)`.
const DEPOSIT_EVENT: B256 =
    b256!("0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
/// Bytes of such a log's data.
const DEPOSIT_BYTES: usize = 576;
/// Where its five parts begin, by EIP-6110, and their lengths: public key, withdrawal credentials,
/// amount, signature, index.
const DEPOSIT_PARTS: [(usize, usize); 5] = [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)];

/// Why requests could not be had.
pub(super) enum RequestError {
    /// The block is invalid by it.
    Failed(String),
    /// Our own failure.
    Vm(VmError),
}

impl From<VmError> for RequestError {
    fn from(error: VmError) -> Self {
        Self::Vm(error)
    }
}

/// Adds requests of one type, unless there are none.
pub(super) fn push(requests: &mut Requests, kind: u8, data: &[u8]) {
    if !data.is_empty() {
        requests.push_request_with_type(kind, data.iter().copied());
    }
}

/// The deposits that logs tell of, one after the other.
pub(super) fn deposits<'a>(
    contract: Address,
    logs: impl Iterator<Item = &'a Log>,
) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let event =
        |log: &&Log| log.address == contract && log.topics().first() == Some(&DEPOSIT_EVENT);
    for log in logs.filter(event) {
        deposit(&log.data.data, &mut out).ok_or("a deposit's log is not laid out by EIP-6110")?;
    }
    Ok(out)
}

fn deposit(data: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let word = |at: usize| {
        let (zeros, small) = data.get(at..at + 32)?.split_last_chunk::<8>()?;
        let value = usize::try_from(u64::from_be_bytes(*small)).ok()?;
        zeros.iter().all(|byte| *byte == 0).then_some(value)
    };
    if data.len() != DEPOSIT_BYTES {
        return None;
    }
    for (index, (at, length)) in DEPOSIT_PARTS.into_iter().enumerate() {
        if word(index * 32)? != at || word(at)? != length {
            return None;
        }
        out.extend_from_slice(&data[at + 32..at + 32 + length]);
    }
    Some(())
}

/// Takes out of a contract what waits there.
pub(super) fn dequeue(
    evm: &Evm,
    state: &dyn StateReader,
    env: &BlockEnv,
    contract: Address,
    diff: &mut StateDiff,
) -> Result<Bytes, RequestError> {
    let over = StateOver { diff, below: state };
    let account = over.account(contract).map_err(VmError::from)?;
    if account.is_none_or(|account| account.bytecode_hash.is_none()) {
        return Err(RequestError::Failed(format!("the system contract {contract} has no code")));
    }
    let (output, changed) = evm.system_call(&over, env, contract, Bytes::new())?;
    let failed = || RequestError::Failed(format!("the call of system contract {contract} failed"));
    let output = output.ok_or_else(failed)?;
    diff.merge(&changed);
    Ok(output)
}
