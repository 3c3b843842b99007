//! What a block must be before anything is executed, and how what execution gives is compared.

use std::fmt::Debug;

use alloy_consensus::proofs::{calculate_ommers_root, calculate_withdrawals_root};
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_eips::eip1559::{BaseFeeParams, INITIAL_BASE_FEE};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{B64, B256, Bytes, U256};

use super::{EthereumParts, Schedule, difficulty};
use crate::spec::Fork;

/// Most a gas limit moves from block to block: less than this part of the parent's.
const GAS_LIMIT_DIVISOR: u64 = 1024;
/// Least gas limit.
const LEAST_GAS_LIMIT: u64 = 5000;
/// Most bytes of `extraData`.
const MOST_EXTRA_DATA: usize = 32;
/// By how much London's first block may multiply the gas limit (EIP-1559).
const ELASTICITY: u64 = 2;
/// Most bytes of a block since Osaka (EIP-7934): 10 MiB, less 2 MiB for the beacon block.
const MOST_BYTES: usize = 8 << 20;

/// A block as it comes from a file: nothing of it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBlock {
    /// Its header.
    pub header: Header,
    /// Its transactions, EIP-2718 bytes.
    pub txs: Vec<Bytes>,
    /// Its uncles.
    pub uncles: Vec<Header>,
    /// Its withdrawals, if it has the field.
    pub withdrawals: Option<Vec<Withdrawal>>,
    /// Bytes of its RLP.
    pub size: usize,
}

/// A field that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}, {what} {expected}")]
pub struct Mismatch {
    /// Its name, as JSON-RPC has it.
    pub field: &'static str,
    /// What the block says.
    pub found: String,
    /// Who says otherwise: the rules, or execution.
    pub what: &'static str,
    /// What it should be.
    pub expected: String,
}

/// Compares a field with what a rule asks for.
fn rule<T: PartialEq + Debug>(field: &'static str, found: T, expected: T) -> Result<(), Mismatch> {
    matches(field, found, "the rules ask for", expected)
}

/// Compares a field with what execution gives.
pub fn compare<T: PartialEq + Debug>(
    field: &'static str,
    found: T,
    expected: T,
) -> Result<(), Mismatch> {
    matches(field, found, "execution gives", expected)
}

fn matches<T: PartialEq + Debug>(
    field: &'static str,
    found: T,
    what: &'static str,
    expected: T,
) -> Result<(), Mismatch> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
    Err(Mismatch { field, found, what, expected })
}

fn bound(
    field: &'static str,
    holds: bool,
    found: impl Debug,
    expected: String,
) -> Result<(), Mismatch> {
    let what = "the rules ask for";
    let found = format!("{found:?}");
    if holds { Ok(()) } else { Err(Mismatch { field, found, what, expected }) }
}

/// Checks everything of a block that needs no state: each header field that is no result of
/// execution, and that the body is the one the header names. The seal of proof of work (`nonce` and
/// `mixHash`) is not checked.
pub fn check(
    schedule: &Schedule,
    (parent, parts): (&Header, &EthereumParts),
    parent_hash: B256,
    block: &RawBlock,
) -> Result<(), Mismatch> {
    let header = &block.header;
    rule("number", header.number, parent.number + 1)?;
    rule("parentHash", header.parent_hash, parent_hash)?;
    let later = header.timestamp > parent.timestamp;
    bound("timestamp", later, header.timestamp, format!("more than {}", parent.timestamp))?;
    let extra = header.extra_data.len();
    let most = format!("at most {MOST_EXTRA_DATA} bytes");
    bound("extraData", extra <= MOST_EXTRA_DATA, &header.extra_data, most)?;
    let merged = schedule.merged_after(parts.total_difficulty);
    let fork = schedule.fork(header.number, header.timestamp, merged);
    if merged {
        rule("difficulty", header.difficulty, U256::ZERO)?;
        rule("nonce", header.nonce, B64::ZERO)?;
        rule("sha3Uncles", header.ommers_hash, EMPTY_OMMER_ROOT_HASH)?;
    } else {
        let expected = difficulty::of_child(schedule, parent, header.timestamp);
        rule("difficulty", header.difficulty, expected)?;
    }
    gas(schedule, parent, header, fork)?;
    blobs(schedule, parent, header, fork)?;
    body(block, fork)
}

fn gas(schedule: &Schedule, parent: &Header, header: &Header, fork: Fork) -> Result<(), Mismatch> {
    let first = fork >= Fork::London && schedule.fork_of(parent) < Fork::London;
    let before = if first { parent.gas_limit.saturating_mul(ELASTICITY) } else { parent.gas_limit };
    let range = before / GAS_LIMIT_DIVISOR;
    let near = header.gas_limit.abs_diff(before) < range && header.gas_limit >= LEAST_GAS_LIMIT;
    let expected = format!("less than {range} from {before}, and {LEAST_GAS_LIMIT} at least");
    bound("gasLimit", near, header.gas_limit, expected)?;
    let most = format!("at most the gas limit {}", header.gas_limit);
    bound("gasUsed", header.gas_used <= header.gas_limit, header.gas_used, most)?;
    let expected = match fork >= Fork::London {
        false => None,
        true if first => Some(INITIAL_BASE_FEE),
        true => parent.next_block_base_fee(BaseFeeParams::ethereum()),
    };
    rule("baseFeePerGas", header.base_fee_per_gas, expected)
}

fn blobs(
    schedule: &Schedule,
    parent: &Header,
    header: &Header,
    fork: Fork,
) -> Result<(), Mismatch> {
    let there = |field, has: bool, since: Fork| rule(field, has, fork >= since);
    there("withdrawalsRoot", header.withdrawals_root.is_some(), Fork::Shanghai)?;
    there("parentBeaconBlockRoot", header.parent_beacon_block_root.is_some(), Fork::Cancun)?;
    there("blobGasUsed", header.blob_gas_used.is_some(), Fork::Cancun)?;
    there("excessBlobGas", header.excess_blob_gas.is_some(), Fork::Cancun)?;
    there("requestsHash", header.requests_hash.is_some(), Fork::Prague)?;
    rule("blockAccessListHash", header.block_access_list_hash, None)?;
    rule("slotNumber", header.slot_number, None)?;
    let (Some(used), Some(params)) = (header.blob_gas_used, schedule.blobs(header.timestamp))
    else {
        return Ok(());
    };
    let most = params.max_blob_gas_per_block();
    bound("blobGasUsed", used <= most, used, format!("at most {most}"))?;
    let expected = parent.next_block_excess_blob_gas(params).unwrap_or(0);
    rule("excessBlobGas", header.excess_blob_gas, Some(expected))
}

/// That the body is the header's. The root of the transactions is compared where they are decoded.
fn body(block: &RawBlock, fork: Fork) -> Result<(), Mismatch> {
    let header = &block.header;
    rule("sha3Uncles", header.ommers_hash, calculate_ommers_root(&block.uncles))?;
    let withdrawals = block.withdrawals.as_deref().map(calculate_withdrawals_root);
    rule("withdrawalsRoot", header.withdrawals_root, withdrawals)?;
    let small = fork < Fork::Osaka || block.size <= MOST_BYTES;
    bound("size", small, block.size, format!("at most {MOST_BYTES} bytes"))
}
