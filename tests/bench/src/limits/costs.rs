//! Unit costs: each step a transaction cannot do without, done by the leanest code there is for it,
//! on one thread, in CPU time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use alloy_consensus::{Receipt, ReceiptEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_signer::k256::ecdsa::{RecoveryId, VerifyingKey};
use alloy_trie::root::ordered_trie_root_with_encoder;
use causeway_chainspec::{Account, AccountDiff, ChainSpec, StateDiff, Tx, TxEnvelope};
use causeway_execution::genesis;
use causeway_execution::overlay::{Empty, TrieOver};
use causeway_execution::trie;
use causeway_tests::txs::Rng;
use eyre::{bail, ensure};
use redb::{Database, TableDefinition};
use revm::context::TxEnv;
use rustix::time::{ClockId, clock_gettime};

use crate::made::{self, Mix, Recipients};
use crate::raw::{Raw, tx_env};

/// Rows of the store that a transfer to a fresh recipient needs at least: the recipient's account,
/// its leaf of the trie, and the transaction's place. The sender's and the branches above are shared
/// by all of a block.
pub const TRANSFER_ROWS: f64 = 3.0;
/// How much is measured: repeats, and items of each.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Repeats, of which the median counts.
    pub repeats: usize,
    /// Transactions of one repeat.
    pub txs: u64,
    /// Accounts that are there.
    pub accounts: u64,
}

/// CPU time of this thread, us.
pub fn thread_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// CPU time of this process, us.
fn process_us() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// CPU time by a clock for each of so many items, one sample a repeat. `prepare` is not counted.
fn sample<T, R>(
    (repeats, items): (usize, u64),
    now_us: fn() -> f64,
    mut prepare: impl FnMut(usize) -> eyre::Result<T>,
    mut work: impl FnMut(T) -> eyre::Result<R>,
) -> eyre::Result<Vec<f64>> {
    let once = |repeat| {
        let prepared = prepare(repeat)?;
        let before = now_us();
        let result = work(prepared)?;
        let spent = now_us() - before;
        drop(result);
        Ok(spent / items as f64)
    };
    (0..repeats).map(once).collect()
}

/// Decoding a transfer, hashing it and recovering its sender, as the node does it; and recovering
/// alone in pure Rust, beside it.
pub fn recover(effort: Effort) -> eyre::Result<(Vec<f64>, Vec<f64>)> {
    let raw = Mix::FRESH.sign(1, &made::senders(20), effort.txs.min(2_000));
    let parts: Vec<_> = raw.iter().map(signature_of).collect::<eyre::Result<_>>()?;
    let mut ours = Vec::new();
    let mut pure = Vec::new();
    let size = (1, raw.len() as u64);
    for _ in 0..effort.repeats {
        ours.extend(sample(
            size,
            thread_us,
            |_| Ok(raw.clone()),
            |raw| Ok(raw.into_iter().map(Tx::decode).collect::<Result<Vec<_>, _>>()?),
        )?);
        pure.extend(sample(
            size,
            thread_us,
            |_| Ok(()),
            |()| {
                parts
                    .iter()
                    .map(|(signature, hash)| pure_recover(signature, *hash))
                    .collect::<eyre::Result<Vec<_>>>()
            },
        )?);
    }
    for (raw, (signature, hash)) in raw.iter().zip(&parts).take(10) {
        let sender = Tx::decode(raw.clone())?.sender;
        ensure!(pure_recover(signature, *hash)? == sender, "two libraries recover two senders");
    }
    Ok((ours, pure))
}

fn signature_of(raw: &Bytes) -> eyre::Result<(alloy_primitives::Signature, B256)> {
    match Tx::decode(raw.clone())?.envelope {
        TxEnvelope::Eip1559(tx) => Ok((*tx.signature(), tx.signature_hash())),
        _ => bail!("only EIP-1559 is measured"),
    }
}

/// By the crate itself: alloy takes the C library once any crate of the build asks for it.
fn pure_recover(signature: &alloy_primitives::Signature, hash: B256) -> eyre::Result<Address> {
    let parity = RecoveryId::new(signature.v(), false);
    let signature = signature.to_k256()?;
    let key = VerifyingKey::recover_from_prehash(hash.as_slice(), &signature, parity)?;
    Ok(Address::from_public_key(&key))
}

/// Executing what a workload sends in raw revm: `setup` first, uncounted, then `txs`, all of which
/// must succeed.
pub fn execute(
    spec: &ChainSpec,
    setup: &[Bytes],
    txs: &[Bytes],
    repeats: usize,
) -> eyre::Result<Vec<f64>> {
    let envs = |raw: &[Bytes]| -> eyre::Result<Vec<TxEnv>> {
        made::decode(raw)?.iter().map(|tx| tx_env(tx)).collect()
    };
    let (setup, txs) = (envs(setup)?, envs(txs)?);
    let env = genesis::env(spec);
    let prepare = |_| {
        let mut raw = Raw::new(&env, spec.genesis.alloc.iter())?;
        raw.run_all(&setup)?;
        Ok(raw)
    };
    let work = |mut raw: Raw| {
        raw.run_all(&txs)?;
        Ok(raw)
    };
    sample((repeats, txs.len() as u64), thread_us, prepare, work)
}

/// Executing a transfer to one of many accounts in raw revm.
pub fn transfer(effort: Effort) -> eyre::Result<Vec<f64>> {
    let senders = made::senders(20);
    let spec = made::spec(0, &senders, effort.accounts, &[])?;
    let mix = Mix { recipients: Recipients::Any(effort.accounts), ..Mix::FRESH };
    execute(&spec, &[], &mix.sign(2, &senders, effort.txs), effort.repeats)
}

/// Both ordered roots of a block of transfers.
pub fn roots(effort: Effort) -> eyre::Result<Vec<f64>> {
    let raw = Mix::FRESH.sign(3, &made::senders(20), effort.txs.min(1_000));
    let receipts: Vec<_> = (1..=raw.len() as u64)
        .map(|index| {
            let receipt = Receipt {
                status: true.into(),
                cumulative_gas_used: index * 21_000,
                logs: Vec::new(),
            };
            ReceiptEnvelope::<alloy_primitives::Log>::Eip1559(receipt.with_bloom())
        })
        .collect();
    sample(
        (effort.repeats, raw.len() as u64),
        thread_us,
        |_| Ok(()),
        |()| {
            let txs = ordered_trie_root_with_encoder(&raw, |raw, out| out.extend_from_slice(raw));
            let receipts =
                ordered_trie_root_with_encoder(&receipts, |receipt, out| receipt.encode_2718(out));
            Ok((txs, receipts))
        },
    )
}

fn balances(range: std::ops::Range<u64>, wei: u64) -> StateDiff {
    let account = Some(Account::new(1, U256::from(wei), None));
    let diff = AccountDiff { account, ..AccountDiff::default() };
    let accounts: BTreeMap<_, _> =
        range.map(|index| (made::account(made::THERE, index), diff.clone())).collect();
    StateDiff { accounts, ..StateDiff::default() }
}

/// Updating the state trie for each account that a block touches, leaves and root included: the
/// node's own trie code over nodes in memory, 2,000 touched. (Rebuilding from sorted leaves, as
/// public hash builders do, costs the whole state, and is no limit of an update.)
pub fn trie_update(effort: Effort) -> eyre::Result<Vec<f64>> {
    let (_, nodes) = trie::state_root(&Empty, &balances(0..effort.accounts, 1))?;
    let nodes = TrieOver { diff: &nodes, below: &Empty };
    let touched = balances(0..2_000.min(effort.accounts), 2);
    // Hashing is shared by threads.
    let items = touched.accounts.len() as u64;
    sample(
        (effort.repeats, items),
        process_us,
        |_| Ok(()),
        |()| Ok(trie::state_root(&nodes, &touched)?),
    )
}

/// A row as the store has them: a hash, and what stands below it.
const ROWS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("rows");

/// Writing a row of a hundred bytes at a random key into raw redb, with one durable commit for all.
pub fn row(effort: Effort, dir: &Path) -> eyre::Result<Vec<f64>> {
    let db = Database::create(dir.join("rows.redb"))?;
    let write = |from: u64, count: u64| -> eyre::Result<()> {
        let mut keys: Vec<_> =
            (from..from + count).map(|number| keccak256(number.to_be_bytes())).collect();
        keys.sort_unstable();
        let txn = db.begin_write()?;
        let mut table = txn.open_table(ROWS)?;
        for key in &keys {
            table.insert(&key.0, [0x5a; 100].as_slice())?;
        }
        drop(table);
        txn.commit()?;
        Ok(())
    };
    write(0, effort.accounts)?;
    let rows = (TRANSFER_ROWS * effort.txs as f64) as u64;
    let from = |repeat: usize| Ok(effort.accounts + repeat as u64 * rows);
    sample((effort.repeats, rows), process_us, from, |from| write(from, rows))
}

/// Appending transfers to a file, a thousand at a time with one fdatasync: CPU time for each. Also
/// how long each fdatasync took, ms.
pub fn log(effort: Effort, dir: &Path) -> eyre::Result<(Vec<f64>, Vec<f64>)> {
    let mut file = File::create(dir.join("raw.log"))?;
    let mut rng = Rng::new(5);
    // A transfer is about 120 bytes, and its sender 20.
    let batch = rng.bytes(140 * 1_000);
    let mut waits = Vec::new();
    let batches = effort.txs.div_ceil(1_000).max(4);
    let costs = sample(
        (effort.repeats, batches * 1_000),
        thread_us,
        |_| Ok(()),
        |()| {
            for _ in 0..batches {
                file.write_all(&batch)?;
                let started = Instant::now();
                file.sync_data()?;
                waits.push(started.elapsed().as_secs_f64() * 1e3);
            }
            Ok(())
        },
    )?;
    Ok((costs, waits))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LITTLE: Effort = Effort { repeats: 2, txs: 20, accounts: 50 };

    #[test]
    fn every_cost_is_measured_and_some_are_known_to_be_apart() {
        let dir = tempfile::TempDir::new().unwrap();
        let (ours, pure) = recover(LITTLE).unwrap();
        assert_eq!((ours.len(), pure.len()), (2, 2));
        let all = [
            ours,
            transfer(LITTLE).unwrap(),
            roots(LITTLE).unwrap(),
            trie_update(LITTLE).unwrap(),
            row(LITTLE, dir.path()).unwrap(),
            log(LITTLE, dir.path()).unwrap().0,
        ];
        assert!(all.iter().flatten().all(|us| *us > 0.0 && us.is_finite()), "{all:?}");
    }

    #[test]
    fn what_fails_in_raw_revm_is_told() {
        let senders = made::senders(1);
        let spec = made::spec(0, &senders, 1, &[]).unwrap();
        let txs = Mix::FRESH.sign(2, &senders, 2);
        assert!(execute(&spec, &[], &txs[1..], 1).is_err(), "a nonce is missing");
        assert!(execute(&spec, &txs[..1], &txs[1..], 1).is_ok());
    }
}
