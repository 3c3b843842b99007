//! Blocks of Ethereum's mainnet, from Frontier to Petersburg: gas used, receipts root, supply.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use alloy_consensus::{SignableTransaction, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use causeway_chainspec::{BlockEnv, Fork, NO_BLOBS, Tx, TxEnvelope, roots};
use causeway_execution::Stop;
use eyre::{ensure, eyre};
use serde::Deserialize;

use crate::memory::{Given, Memory};
use crate::source::{File, Sources};
use crate::tally::Tally;
use crate::transactions::vm;

#[derive(Deserialize)]
struct Test {
    block: Block,
    pre_state: BTreeMap<Address, Pre>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    number: U256,
    miner: Address,
    difficulty: U256,
    gas_limit: U256,
    gas_used: U256,
    timestamp: U256,
    receipts_root: B256,
    transactions_root: B256,
    transactions: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    hash: B256,
    from: Address,
    nonce: U256,
    to: Option<Address>,
    value: U256,
    #[serde(rename = "gasPrice")]
    gas_price: U256,
    gas: U256,
    input: Bytes,
    r: U256,
    s: U256,
    v: U256,
}

#[derive(Deserialize)]
struct Pre {
    balance: U256,
    nonce: u64,
    code_hash: Option<B256>,
    #[serde(default)]
    storage: BTreeMap<U256, U256>,
}

static HASHES: OnceLock<BTreeMap<u64, B256>> = OnceLock::new();

/// Runs a block.
pub(crate) fn run(file: &File, sources: &Sources) -> eyre::Result<Tally> {
    let mut tally = Tally::default();
    let name = file.path.file_name().unwrap_or_default().to_string_lossy().to_string();
    if !name.ends_with(".json.gz") || name.starts_with("codes") {
        return Ok(tally);
    }
    let codes = sources.beside(file, "codes.json.gz")?;
    let codes: BTreeMap<B256, Bytes> = serde_json::from_slice(&codes)?;
    let hashes = hashes(&sources.beside(file, "block_hashes.bincode")?)?;
    HASHES.get_or_init(|| hashes);
    let test: Test = serde_json::from_slice(&file.read()?)?;
    tally.count(file.name(), check(test, &codes));
    Ok(tally)
}

/// A count, then for each block its number and its hash.
fn hashes(file: &[u8]) -> eyre::Result<BTreeMap<u64, B256>> {
    let (count, entries) = file.split_first().ok_or_else(|| eyre!("no hashes"))?;
    let entry = |entry: &[u8]| {
        let (number, hash) = (entry[1..5].try_into()?, B256::try_from(&entry[6..])?);
        ensure!(entry[0] == 0xfc && entry[5] == 0x20, "not the form of a hash: {entry:x?}");
        Ok((u64::from(u32::from_le_bytes(number)), hash))
    };
    ensure!(entries.len() == usize::from(*count) * 38, "{} bytes of hashes", entries.len());
    entries.chunks(38).map(entry).collect()
}

fn check(test: Test, codes: &BTreeMap<B256, Bytes>) -> eyre::Result<()> {
    let block = test.block;
    let env = env(&block);
    let mut pre = BTreeMap::new();
    for (address, it) in test.pre_state {
        let code = it.code_hash.map(|hash| codes.get(&hash).ok_or_else(|| eyre!("no code {hash}")));
        let code = code.transpose()?.cloned().unwrap_or_default();
        let nonce = U256::from(it.nonce);
        pre.insert(address, Given { balance: it.balance, nonce, code, storage: it.storage });
    }
    let pre = Memory::new(pre, |number| HASHES.get()?.get(&number).copied())?;
    let txs = block.transactions.iter().map(transaction).collect::<eyre::Result<Vec<_>>>()?;
    let root = roots::transactions_root(&txs);
    ensure!(root == block.transactions_root, "transactions root {root}");
    let output = vm().execute(&pre, &env, &txs, &Stop::never())?;
    ensure!(output.skipped.is_empty(), "skipped {:?}", output.skipped);
    ensure!(output.gas_used == block.gas_used.to::<u64>(), "gas used {}", output.gas_used);
    let (before, after) = pre.moved(&output.diff)?;
    ensure!(before == after + output.burnt, "supply: {before} became {after}");
    // Before Byzantium, receipts hold state roots, which need the whole state.
    if env.fork >= Fork::Byzantium {
        let root = roots::receipts_root(&txs, &output.receipts, &[]);
        ensure!(root == block.receipts_root, "receipts root {root}");
    }
    Ok(())
}

/// Forks of mainnet by the block they came into force at, the last first.
const FORKS: &[(u64, Fork)] = &[
    (12_965_000, Fork::London),
    (12_244_000, Fork::Berlin),
    (9_069_000, Fork::Istanbul),
    (7_280_000, Fork::Petersburg),
    (4_370_000, Fork::Byzantium),
    (2_675_000, Fork::SpuriousDragon),
    (2_463_000, Fork::TangerineWhistle),
    (1_150_000, Fork::Homestead),
];

fn fork_at(number: u64) -> Fork {
    let found = FORKS.iter().find(|(since, _)| *since <= number);
    found.map_or(Fork::Frontier, |(_, fork)| *fork)
}

fn env(block: &Block) -> BlockEnv {
    let number = block.number.to();
    let gas_limit = block.gas_limit.to();
    BlockEnv {
        chain_id: 1,
        number,
        time_ms: block.timestamp.to::<u64>() * 1000,
        fork: fork_at(number),
        beneficiary: block.miner,
        gas_limit,
        gas_available: gas_limit,
        bytes_available: u64::MAX,
        base_fee: 0,
        mix_hash: B256::ZERO,
        difficulty: block.difficulty,
        blob_base_fee: NO_BLOBS,
    }
}

/// A transaction from its fields, as the block holds it.
fn transaction(tx: &Transaction) -> eyre::Result<Arc<Tx>> {
    let v: u64 = tx.v.try_into()?;
    let chain_id = (v >= 35).then(|| (v - 35) / 2);
    let odd = if v >= 35 { (v - 35) % 2 == 1 } else { v == 28 };
    let legacy = TxLegacy {
        chain_id,
        nonce: tx.nonce.try_into()?,
        gas_price: tx.gas_price.try_into()?,
        gas_limit: tx.gas.try_into()?,
        to: tx.to.map_or(TxKind::Create, TxKind::Call),
        value: tx.value,
        input: tx.input.clone(),
    };
    let envelope = TxEnvelope::from(legacy.into_signed(Signature::new(tx.r, tx.s, odd)));
    let found = Tx::foreign(envelope.encoded_2718().into())?;
    ensure!(found.hash == tx.hash && found.sender == tx.from, "transaction {} differs", tx.hash);
    Ok(Arc::new(found))
}
