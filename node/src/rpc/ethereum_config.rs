//! `eth_config` (EIP-7910): the rules in force, the next, and the last.

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy_eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use alloy_eips::eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS;
use alloy_primitives::{Address, FixedBytes, U64, U256};
use causeway_chainspec::ethereum::Schedule;
use causeway_chainspec::spec::export;
use causeway_chainspec::{ChainSpec, Fork};
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::backend::ChainReader;
use super::error::{RpcError, RpcResult};
use super::table::Table;

/// Precompiles by EIP-7910's names: number of the address, and the fork that brought them.
const PRECOMPILES: &[(&str, u64, Fork)] = &[
    ("ECREC", 0x01, Fork::Frontier),
    ("SHA256", 0x02, Fork::Frontier),
    ("RIPEMD160", 0x03, Fork::Frontier),
    ("ID", 0x04, Fork::Frontier),
    ("MODEXP", 0x05, Fork::Byzantium),
    ("BN254_ADD", 0x06, Fork::Byzantium),
    ("BN254_MUL", 0x07, Fork::Byzantium),
    ("BN254_PAIRING", 0x08, Fork::Byzantium),
    ("BLAKE2F", 0x09, Fork::Istanbul),
    ("KZG_POINT_EVALUATION", 0x0a, Fork::Cancun),
    ("BLS12_G1ADD", 0x0b, Fork::Prague),
    ("BLS12_G1MSM", 0x0c, Fork::Prague),
    ("BLS12_G2ADD", 0x0d, Fork::Prague),
    ("BLS12_G2MSM", 0x0e, Fork::Prague),
    ("BLS12_PAIRING_CHECK", 0x0f, Fork::Prague),
    ("BLS12_MAP_FP_TO_G1", 0x10, Fork::Prague),
    ("BLS12_MAP_FP2_TO_G2", 0x11, Fork::Prague),
    ("P256VERIFY", 0x100, Fork::Osaka),
];

/// System contracts that chains of ours have, too.
const OWN_CONTRACTS: [&str; 2] = ["BEACON_ROOTS_ADDRESS", "HISTORY_STORAGE_ADDRESS"];

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("eth_config", |api, _| match api.backend.ethereum() {
        Some(ethereum) => config(ethereum.schedule(), &*api.backend.chain()),
        None => own(api.backend.spec(), &*api.backend.chain()),
    })
}

/// Of a chain of ours: no blobs, and none of the contracts that only a parent chain has.
fn own(spec: &ChainSpec, chain: &dyn ChainReader) -> RpcResult<Value> {
    let rules = serde_json::from_value(export::chain_config(spec)).map_err(RpcError::internal)?;
    let schedule = Schedule::new(&rules).map_err(RpcError::internal)?;
    let mut answer = config(&schedule, chain)?;
    for rules in ["current", "next", "last"] {
        let Some(rules) = answer[rules].as_object_mut() else { continue };
        let none = json!({ "target": 0, "max": 0, "baseFeeUpdateFraction": 5_007_716 });
        rules.insert("blobSchedule".to_owned(), none);
        if let Some(contracts) = rules.get_mut("systemContracts").and_then(Value::as_object_mut) {
            contracts.retain(|name, _| OWN_CONTRACTS.contains(&name.as_str()));
        }
    }
    Ok(answer)
}

/// What holds at the newest block, what comes next, and what comes last; the latter are null if
/// nothing more is scheduled.
pub(crate) fn config(schedule: &Schedule, chain: &dyn ChainReader) -> RpcResult<Value> {
    let header = |number| chain.header(number)?.ok_or_else(RpcError::pruned);
    let (genesis, newest) = (header(0)?, header(chain.latest().number)?);
    let (begun, coming): (Vec<u64>, Vec<u64>) =
        schedule.times().iter().partition(|time| **time <= newest.timestamp);
    let of = |time: u64| one(schedule, &genesis, newest.number, time);
    Ok(json!({
        "current": of(begun.last().copied().unwrap_or(0)),
        "next": coming.first().map(|time| of(*time)),
        "last": coming.last().map(|time| of(*time)),
    }))
}

/// The rules that hold from a second on.
fn one(schedule: &Schedule, genesis: &Header, number: u64, time: u64) -> Value {
    let fork = schedule.fork(number, time, true);
    let blobs = schedule.blobs(time).map(|it| {
        json!({
            "target": it.target_blob_count,
            "max": it.max_blob_count,
            "baseFeeUpdateFraction": it.update_fraction as u64,
        })
    });
    let precompiles = PRECOMPILES.iter().filter(|(.., since)| *since <= fork);
    let precompiles: BTreeMap<&str, Address> = precompiles
        .map(|(name, at, _)| (*name, Address::from_word(U256::from(*at).into())))
        .collect();
    let contracts = [
        ("BEACON_ROOTS_ADDRESS", BEACON_ROOTS_ADDRESS, Fork::Cancun),
        ("HISTORY_STORAGE_ADDRESS", HISTORY_STORAGE_ADDRESS, Fork::Prague),
        ("DEPOSIT_CONTRACT_ADDRESS", schedule.deposit_contract, Fork::Prague),
        (
            "WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS",
            WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
            Fork::Prague,
        ),
        (
            "CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS",
            CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            Fork::Prague,
        ),
    ];
    let contracts = contracts.iter().filter(|(.., since)| *since <= fork);
    let contracts: BTreeMap<&str, Address> =
        contracts.map(|(name, address, _)| (*name, *address)).collect();
    json!({
        "activationTime": time,
        "blobSchedule": blobs,
        "chainId": U64::from(schedule.chain_id),
        "forkId": FixedBytes(schedule.fork_hash(genesis, genesis.hash_slow(), time)),
        "precompiles": precompiles,
        "systemContracts": contracts,
    })
}
