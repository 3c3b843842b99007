//! State tests: one transaction on a given state, through `Vm::execute`; state root, logs, supply.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_eips::eip4844::fake_exponential;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use causeway_chainspec::{AccountDiff, BlockEnv, Fork, NO_BLOBS, StateDiff, Tx};
use causeway_execution::{BlockOutput, Stop, Vm};
use eyre::{bail, ensure, eyre};
use serde::Deserialize;

use crate::memory::{Given, Memory};
use crate::source::{File, Sources};
use crate::tally::Tally;
use crate::transactions::{self, fork_named};

#[derive(Deserialize)]
struct Test {
    env: Env,
    pre: BTreeMap<Address, Given>,
    transaction: serde_json::Value,
    post: BTreeMap<String, Vec<Case>>,
    #[serde(default)]
    config: Config,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Env {
    current_coinbase: Address,
    current_number: U256,
    current_timestamp: U256,
    current_gas_limit: U256,
    #[serde(default)]
    current_difficulty: U256,
    current_random: Option<B256>,
    current_base_fee: Option<U256>,
    current_excess_blob_gas: Option<U256>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Config {
    chainid: Option<U256>,
    #[serde(default)]
    blob_schedule: BTreeMap<String, BlobRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlobRule {
    base_fee_update_fraction: U256,
}

#[derive(Deserialize)]
struct Case {
    hash: B256,
    logs: B256,
    txbytes: Option<Bytes>,
    indexes: transactions::Indexes,
    #[serde(rename = "expectException")]
    exception: Option<String>,
}

/// Runs every case of a file.
pub(crate) fn run(file: &File, _: &Sources) -> eyre::Result<Tally> {
    let mut tally = Tally::default();
    if file.path.extension().is_none_or(|it| it != "json") {
        return Ok(tally);
    }
    let vm = transactions::vm();
    let tests: BTreeMap<String, Test> = serde_json::from_slice(&file.read()?)?;
    for (name, mut test) in tests {
        let pre = Memory::new(std::mem::take(&mut test.pre), |number| {
            Some(keccak256(number.to_string()))
        })?;
        for (fork, cases) in &test.post {
            for (index, case) in cases.iter().enumerate() {
                let result = match fork_named(fork) {
                    Some(known) => check(&*vm, &pre, &test, (fork, known), case),
                    None => Err(eyre!("unknown fork {fork}")),
                };
                *tally.forks.entry(fork.clone()).or_default() += 1;
                tally.count(format!("{}/{name}/{fork}/{index}", file.name()), result);
            }
        }
    }
    Ok(tally)
}

fn check(
    vm: &dyn Vm,
    pre: &Memory,
    test: &Test,
    (name, fork): (&str, Fork),
    case: &Case,
) -> eyre::Result<()> {
    let env = env(test, name, fork);
    let raw = match &case.txbytes {
        Some(raw) => Ok(raw.clone()),
        None => transactions::sign(&test.transaction, &case.indexes, &env),
    };
    let (output, why) = match raw.and_then(|raw| Ok(Tx::foreign(raw)?)) {
        Ok(tx) => {
            if let Some(sender) =
                test.transaction.get("sender").filter(|_| case.exception.is_none())
            {
                let sender: Address = serde_json::from_value(sender.clone())?;
                ensure!(sender == tx.sender, "sender {} is not {sender}", tx.sender);
            }
            let output = vm.execute(pre, &env, &[Arc::new(tx)], &Stop::never())?;
            let why = output.skipped.first().map(|(_, reason)| reason.to_string());
            (output, why)
        }
        Err(error) => (BlockOutput::default(), Some(error.to_string())),
    };
    match (&why, &case.exception) {
        (Some(why), None) => bail!("skipped: {why}"),
        (None, Some(exception)) => bail!("executed in spite of {exception}"),
        _ => {}
    }
    let mut diff = output.diff;
    let (before, after) = pre.moved(&diff)?;
    let (before, after) = (before.wrapping_add(output.minted), after.wrapping_add(output.burnt));
    ensure!(before == after, "supply: {before} became {after}");
    reward(pre, &env, &mut diff)?;
    let root = pre.root_after(&diff)?;
    ensure!(why.is_none() || root == pre.root() || fork < Fork::SpuriousDragon, "skipped, but");
    ensure!(root == case.hash, "state root {root} is not {}", case.hash);
    let logs: Vec<_> = output.receipts.into_iter().flat_map(|receipt| receipt.logs).collect();
    let logs = keccak256(alloy_rlp::encode(logs));
    ensure!(logs == case.logs, "logs hash {logs} is not {}", case.logs);
    Ok(())
}

/// The suites pay the miner a reward of nothing, which makes its account before EIP-161.
fn reward(pre: &Memory, env: &BlockEnv, diff: &mut StateDiff) -> eyre::Result<()> {
    use causeway_chainspec::StateReader;
    let known = diff.accounts.get(&env.beneficiary).map(|it| it.account);
    let exists = known.unwrap_or(pre.account(env.beneficiary)?).is_some();
    if env.fork < Fork::SpuriousDragon && !exists {
        let made = AccountDiff { account: Some(Default::default()), ..Default::default() };
        diff.accounts.insert(env.beneficiary, made);
    }
    Ok(())
}

fn env(test: &Test, name: &str, fork: Fork) -> BlockEnv {
    let env = &test.env;
    let gas_limit = env.current_gas_limit.saturating_to();
    let base_fee = env.current_base_fee.map_or(10, |it| it.saturating_to());
    let fraction = if fork >= Fork::Prague { 5_007_716 } else { 3_338_477 };
    let rule = test.config.blob_schedule.get(name);
    let fraction = rule.map_or(fraction, |rule| rule.base_fee_update_fraction.saturating_to());
    let excess = env.current_excess_blob_gas.unwrap_or_default();
    BlockEnv {
        chain_id: test.config.chainid.map_or(1, |it| it.saturating_to()),
        number: env.current_number.saturating_to(),
        time_ms: env.current_timestamp.saturating_to::<u64>().saturating_mul(1000),
        fork,
        beneficiary: env.current_coinbase,
        gas_limit,
        gas_available: gas_limit,
        bytes_available: u64::MAX,
        base_fee: if fork >= Fork::London { base_fee } else { 0 },
        mix_hash: env.current_random.unwrap_or_default(),
        difficulty: env.current_difficulty,
        blob_base_fee: fake_exponential(NO_BLOBS, excess.saturating_to(), fraction),
    }
}
