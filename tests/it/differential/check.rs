//! What must be equal, and what a run must have met.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_consensus::proofs::calculate_receipt_root;
use alloy_primitives::{B256, KECCAK256_EMPTY, U256, keccak256, logs_bloom};
use alloy_trie::proof::verify_proof;
use alloy_trie::root::{ordered_trie_root_with_encoder, storage_root_unhashed};
use alloy_trie::{Nibbles, TrieAccount};
use causeway_chainspec::{Block, SkipReason, Tx};
use causeway_execution::Pipeline;
use causeway_tests::txs::Rng;
use eyre::{ContextCompat, ensure};
use op_alloy_consensus::{OpReceiptEnvelope, OpTxType};

use super::model::{After, Expected, Full, Model, kind};

/// What happened in a run.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) txs: u64,
    pub(super) kinds: BTreeSet<u8>,
    pub(super) failed: u64,
    pub(super) logs: u64,
    pub(super) creations: u64,
    pub(super) failed_deposits: u64,
    pub(super) unwinds: u64,
    pub(super) restarts: u64,
    pub(super) looks: u64,
    /// Kinds of skips, by the first words of the reason.
    pub(super) skips: BTreeMap<String, u64>,
}

impl Seen {
    pub(super) fn add(&mut self, other: Self) {
        self.txs += other.txs;
        self.kinds.extend(other.kinds);
        self.failed += other.failed;
        self.logs += other.logs;
        self.creations += other.creations;
        self.failed_deposits += other.failed_deposits;
        self.unwinds += other.unwinds;
        self.restarts += other.restarts;
        self.looks += other.looks;
        for (reason, count) in other.skips {
            *self.skips.entry(reason).or_default() += count;
        }
    }

    /// A random test that meets nothing proves nothing.
    pub(super) fn of_any(&self) -> eyre::Result<()> {
        let rare = [self.failed_deposits, self.unwinds, self.restarts, self.looks];
        ensure!(rare.iter().all(|count| *count > 2) && self.txs > 500, "{self:?}");
        for reason in ["nonce too low", "nonce too high", "insufficient funds", "invalid chain id"]
        {
            ensure!(
                self.skips.keys().any(|found| found.starts_with(reason)),
                "no {reason}: {self:?}"
            );
        }
        Ok(())
    }

    pub(super) fn of_the_evm(&self) -> eyre::Result<()> {
        self.of_any()?;
        let all = [self.failed, self.logs, self.creations];
        ensure!(all.iter().all(|count| *count > 20), "{self:?}");
        ensure!(self.kinds.iter().eq(&[0, 1, 2, 4, 0x7e]), "{self:?}");
        Ok(())
    }
}

/// That a block is what the model says.
pub(super) fn same<M: Model>(
    block: &Block,
    skipped: &[(B256, SkipReason)],
    expected: &Expected<M>,
    seen: &mut Seen,
) -> eyre::Result<()> {
    // A builder names those it dropped before its second execution first.
    let ours: BTreeMap<_, _> = skipped.iter().map(|(hash, why)| (*hash, why.to_string())).collect();
    let theirs: BTreeMap<_, _> = expected.skipped.iter().cloned().collect();
    ensure!(ours.keys().eq(theirs.keys()), "skipped {ours:?}, not {theirs:?}");
    ensure!(!M::SAME_WORDS || ours == theirs, "skipped {ours:?}, not {theirs:?}");
    for why in ours.values() {
        let words: Vec<_> = why.split([' ', ':']).take(3).collect();
        *seen.skips.entry(words.join(" ")).or_default() += 1;
    }
    let included: Vec<_> = expected.included.iter().map(|(tx, _)| tx.hash).collect();
    let txs: Vec<_> = block.txs.iter().map(|tx| tx.hash).collect();
    ensure!(txs == included, "included {txs:?}, not {included:?}");

    let (mut gas, mut envelopes, mut all_logs) = (0, Vec::new(), Vec::new());
    for (at, (receipt, (tx, effect))) in block.receipts.iter().zip(&expected.included).enumerate() {
        gas += effect.gas_used;
        let deposit = tx.is_deposit();
        ensure!(receipt.success == effect.success, "{at}: success {}", receipt.success);
        ensure!(receipt.gas_used == effect.gas_used, "{at}: {receipt:?}, not {effect:?}");
        ensure!(receipt.cumulative_gas_used == gas, "{at}: {receipt:?}, not {gas} so far");
        ensure!(receipt.logs == effect.logs, "{at}: {receipt:?}, not {effect:?}");
        ensure!(receipt.contract_address == effect.created, "{at}: {receipt:?}, not {effect:?}");
        ensure!(!deposit || receipt.deposit_nonce == effect.nonce, "{at}: {receipt:?}");
        let number = if deposit { 0x7e } else { kind(tx) };
        let nonce = deposit.then_some(effect.nonce);
        let version = deposit.then_some(1);
        let kind = OpTxType::try_from(number)?;
        let envelope =
            OpReceiptEnvelope::from_parts(effect.success, gas, &effect.logs, kind, nonce, version);
        envelopes.push(envelope);
        all_logs.extend(effect.logs.iter().cloned());
        seen.kinds.insert(number);
        seen.failed += u64::from(!effect.success && !deposit);
        seen.failed_deposits += u64::from(!effect.success && deposit);
        seen.creations += u64::from(effect.created.is_some() && effect.success);
    }
    seen.txs += txs.len() as u64;
    seen.logs += all_logs.len() as u64;

    let header = &block.header;
    ensure!(header.base_fee_per_gas == Some(expected.base_fee), "base fee {}", expected.base_fee);
    ensure!(header.gas_used == gas, "gas {} not {gas}", header.gas_used);
    ensure!(header.logs_bloom == logs_bloom(&all_logs), "bloom");
    ensure!(header.receipts_root == calculate_receipt_root(&envelopes), "receipts root");
    let encode = |tx: &Arc<Tx>, out: &mut Vec<u8>| out.extend_from_slice(&tx.raw);
    let root = ordered_trie_root_with_encoder(&block.txs, encode);
    ensure!(header.transactions_root == root, "transactions root");
    ensure!(header.state_root == expected.state_root, "state root");
    Ok(())
}

/// That state, code and proofs after an earlier block are what the model remembers.
pub(super) fn history<M: Model>(
    pipeline: &Pipeline,
    states: &[After<M>],
    number: u64,
    rng: &mut Rng,
) -> eyre::Result<()> {
    let snapshot = pipeline.snapshot();
    let (then, now) =
        (states[number as usize].vm.everything(), states[states.len() - 1].vm.everything());
    let state = snapshot.state(number)?.context("the state is kept")?;
    let header = snapshot.header(number)?.context("a header")?;
    let known: Vec<_> = then.keys().chain(now.keys()).copied().collect();
    for _ in 0..6 {
        let address = *rng.pick(&known);
        let none = Full { code_hash: KECCAK256_EMPTY, ..Default::default() };
        let want = then.get(&address).unwrap_or(&none);
        let found = state.account(address)?;
        ensure!(found.is_some() == then.contains_key(&address), "{address} at {number}");
        let found = found.unwrap_or_default();
        ensure!(
            (found.nonce, found.balance) == (want.nonce, want.balance),
            "{address} at {number}"
        );
        ensure!(found.get_bytecode_hash() == want.code_hash, "{address} at {number}");
        if want.code_hash != KECCAK256_EMPTY {
            let code = state.code(want.code_hash)?.context("code")?;
            ensure!(keccak256(&code) == want.code_hash, "code of {address}");
        }
        let later = now.get(&address).map(|account| &account.storage);
        let slots: BTreeSet<U256> = want
            .storage
            .keys()
            .chain(later.into_iter().flat_map(BTreeMap::keys))
            .copied()
            .collect();
        let slots: Vec<_> = slots.into_iter().take(5).chain([U256::from(77)]).collect();
        for slot in &slots {
            let value = want.storage.get(slot).copied().unwrap_or_default();
            ensure!(state.slot(address, *slot)? == value, "{address} slot {slot} at {number}");
        }
        let proof = snapshot.prove(number, address, &slots)?.context("a proof")?;
        let storage = want.storage.iter().map(|(key, value)| (B256::from(*key), *value));
        let storage_root = storage_root_unhashed(storage);
        let leaf = then.contains_key(&address).then(|| {
            alloy_rlp::encode(TrieAccount {
                nonce: want.nonce,
                balance: want.balance,
                storage_root,
                code_hash: want.code_hash,
                ..Default::default()
            })
        });
        let path = Nibbles::unpack(keccak256(address));
        verify_proof(header.state_root, path, leaf, &proof.account_proof)?;
        for (slot, value, nodes) in &proof.slots {
            let path = Nibbles::unpack(keccak256(B256::from(*slot)));
            let leaf = (!value.is_zero()).then(|| alloy_rlp::encode(value));
            verify_proof(storage_root, path, leaf, nodes)?;
        }
    }
    Ok(())
}

/// A block that differs, so that a person can look at it.
pub(super) fn dump(block: &Block, txs: &[Arc<Tx>]) -> String {
    let list: Vec<_> = txs.iter().map(|tx| format!("  {} {}", tx.sender, tx.raw)).collect();
    let number = block.header.number;
    format!("block {number} at {} ms:\n{}", block.plan.claim.time_ms, list.join("\n"))
}
