//! Comparisons between a node and the model, and what a failure shows.

use std::collections::BTreeSet;
use std::fmt::Write;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_trie::Nibbles;
use alloy_trie::proof::verify_proof;
use causeway_chainspec::{AccountDiff, Block, Fork, StateReader, Tx};
use causeway_execution::pipeline::{MESSAGE_PASSER, Snapshot};
use causeway_execution::vm::CallResult;
use causeway_execution::{Call, Stop};
use eyre::{ContextCompat, Report, ensure};

use super::chain::{Chain, Known, Seen};
use super::predict::{self, Predicted, Skipped};
use super::state::{Entry, Places, State};

/// A failure with everything one needs to see what happened: the candidates and whom they call.
pub(super) fn told(error: Report, parent: &Known, candidates: &[Bytes]) -> Report {
    let mut text = format!("block {} on {}\n", parent.head.number + 1, parent.block.hash);
    for (at, bytes) in candidates.iter().enumerate() {
        let _ = writeln!(text, "candidate {at}: {bytes}");
        let Ok(tx) = Tx::decode(bytes.clone()) else { continue };
        let (from, gas, input) = (tx.sender, tx.envelope.gas_limit(), tx.envelope.input());
        let _ = writeln!(text, "  {} from {from} with {gas} gas, input {input}", tx.hash);
        let Some(to) = tx.envelope.to() else { continue };
        let code = parent.state.0.get(&to).map(|entry| entry.code.clone()).unwrap_or_default();
        let _ = writeln!(text, "  to {to} with code {code}");
    }
    error.wrap_err(text)
}

/// Header, transactions and receipts of a block, and what was left out.
pub(super) fn block(
    block: &Block,
    parent: &Known,
    predicted: &Predicted,
    reported: &Skipped,
    built: bool,
) -> eyre::Result<()> {
    let Predicted { head, state, txs, receipts, skipped, .. } = predicted;
    ensure!(&block.txs == txs, "{} transactions, the model has {}", block.txs.len(), txs.len());
    for ((ours, theirs), tx) in block.receipts.iter().zip(receipts).zip(txs) {
        ensure!(ours == theirs, "{}:\n  node  {ours:?}\n  model {theirs:?}", tx.hash);
    }
    let told: Vec<_> = reported.iter().map(|(hash, _)| *hash).collect();
    if built {
        let sets = [&told, skipped].map(|list| list.iter().copied().collect::<BTreeSet<_>>());
        ensure!(sets[0] == sets[1], "left out {told:?}, the model {skipped:?}");
        ensure!(block.skipped.is_empty(), "a built block keeps nothing it skips");
    } else {
        ensure!(told == *skipped, "left out {told:?}, the model {skipped:?}");
    }
    let header = &block.header;
    let used = receipts.iter().map(|receipt| receipt.gas_used).sum::<u64>();
    let logs = receipts.iter().flat_map(|receipt| &receipt.logs);
    ensure!(header.gas_used == used, "gas {}, the model {used}", header.gas_used);
    ensure!(
        header.base_fee_per_gas == Some(head.base_fee),
        "{header:?}, base fee {}",
        head.base_fee
    );
    ensure!(header.logs_bloom == predict::bloom(logs), "another bloom");
    ensure!(header.transactions_root == predict::transactions_root(txs), "transactions root");
    ensure!(header.receipts_root == predict::receipts_root(txs, receipts), "receipts root");
    let withdrawals = state.0.get(&MESSAGE_PASSER).cloned().unwrap_or_default().storage_root();
    ensure!(header.withdrawals_root == Some(withdrawals), "withdrawals root");
    ensure!(header.number == head.number && header.timestamp == head.time_ms / 1000, "{header:?}");
    ensure!(header.parent_hash == parent.block.hash && header.mix_hash == head.mix_hash);
    ensure!(header.beneficiary == head.beneficiary && header.gas_limit == head.gas_limit);
    ensure!(header.state_root == state.root(), "another state root: {}", difference(block, parent));
    ensure!(block.hash == header.hash_slow(), "the hash is not the header's");
    Ok(())
}

/// Says that only the root differs, and where the block stands.
fn difference(block: &Block, parent: &Known) -> String {
    format!("{} on {}", block.header.state_root, parent.block.header.state_root)
}

/// Every account and slot that ever was.
pub(super) fn state(ours: &dyn StateReader, model: &State, places: &Places) -> eyre::Result<()> {
    let none = BTreeSet::new();
    let all: BTreeSet<_> = model.0.keys().chain(places.keys()).collect();
    for address in all {
        let want = model.0.get(address);
        let have = ours.account(*address)?;
        for key in places.get(address).unwrap_or(&none) {
            let (have, want) = (ours.slot(*address, *key)?, model.slot(*address, *key));
            ensure!(have == want, "{address} slot {key}: {have}, the model {want}");
        }
        let (Some(want), Some(have)) = (want, have) else {
            ensure!(want.is_none() && have.is_none(), "{address}: {have:?}, the model {want:?}");
            continue;
        };
        let code = match have.bytecode_hash {
            Some(hash) => ours.code(hash)?.with_context(|| format!("code of {address}"))?,
            None => Bytes::new(),
        };
        ensure!(
            (have.nonce, have.balance, &code) == (want.nonce, want.balance, &want.code),
            "{address}: {have:?} with code {code}, the model {want:?}"
        );
        ensure!(want.storage.keys().all(|key| places[address].contains(key)), "{address}: a place");
    }
    let supply = causeway_execution::system::supply(ours)?;
    ensure!(supply == model.supply(), "supply {supply}, accounts hold {}", model.supply());
    Ok(())
}

/// What our VM alone makes of a block's transactions on the bare parent: the same twice, and a
/// difference that says nothing that is already so.
pub(super) fn vm(chain: &mut Chain<'_>, parent: &Known, known: &Known) -> eyre::Result<()> {
    if !chain.rng.percent(25) {
        return Ok(());
    }
    let (pipeline, claim) = (chain.pipeline(), parent.block.claim_hash);
    let state = pipeline.state_of(claim)?;
    let head = &known.head;
    let env = pipeline.env(claim, head.number, head.time_ms, head.mix_hash)?;
    let run = || pipeline.vm().execute(&*state, &env, &known.block.txs, &Stop::never());
    let (first, second) = (run()?, run()?);
    ensure!(first.diff == second.diff && first.receipts == second.receipts, "not the same twice");
    let (mut had, mut has) = (first.minted, first.burnt);
    for (address, diff) in &first.diff.accounts {
        let before = state.account(*address)?;
        had = had.wrapping_add(before.unwrap_or_default().balance);
        has = has.wrapping_add(diff.account.unwrap_or_default().balance);
        let AccountDiff { account, wiped, storage } = diff;
        ensure!(
            before != *account || *wiped || !storage.is_empty(),
            "{address} is in the difference and did not change"
        );
        for (key, value) in storage {
            let old = if *wiped { U256::ZERO } else { state.slot(*address, *key)? };
            ensure!(old != *value, "{address} slot {key} did not change");
        }
    }
    ensure!(had == has, "{had} wei came to {has}");
    chain.count("differences");
    Ok(())
}

/// A call on a past state.
pub(super) fn call(chain: &mut Chain<'_>, snapshot: &Snapshot, known: &Known) -> eyre::Result<()> {
    let number = known.head.number;
    let env = snapshot.env(number)?.context("the block is there")?;
    let state = snapshot.state(number)?.context("the state is there")?;
    for _ in 0..4 {
        let call = random_call(chain, known);
        let ours = chain.pipeline().vm().call(&*state, &env, &call);
        let theirs = chain.model.call(&known.state, &known.head, &call);
        let text = format!("call {call:?}:\n  node  {ours:?}\n  model {theirs:?}");
        let (Ok(ours), Some(theirs)) = (&ours, &theirs) else {
            ensure!(ours.is_err() && theirs.is_none(), text);
            chain.count("calls refused");
            continue;
        };
        let same = ours.gas_used == theirs.gas_used
            && (ours.output == theirs.output || said(chain, &ours.result))
            && ours.logs == theirs.logs
            && ours.created == theirs.created
            && alike(&ours.result, &theirs.result);
        ensure!(same, text);
        chain.count("calls");
    }
    Ok(())
}

/// The ledger tells a client why it reverts; its model does not.
fn said(chain: &Chain<'_>, result: &CallResult) -> bool {
    chain.model.vm() == "ledger" && *result == CallResult::Revert
}

/// A halt has words of its own in both.
fn alike(ours: &CallResult, theirs: &CallResult) -> bool {
    match (ours, theirs) {
        (CallResult::Halt(ours), CallResult::Halt(theirs)) => {
            (ours == "out of gas") == (theirs == "out of gas")
        }
        _ => ours == theirs,
    }
}

fn random_call(chain: &mut Chain<'_>, known: &Known) -> Call {
    let people = chain.world.people.clone();
    let rng = &mut chain.rng;
    let size = rng.below(50) as usize;
    let input: Bytes = rng.bytes(size).into();
    let to = if rng.percent(10) { TxKind::Create } else { TxKind::Call(*rng.pick(&people)) };
    Call {
        from: *rng.pick(&people),
        to,
        value: U256::from(*rng.pick(&[0, 0, 0, 1])),
        gas_limit: 20_000 + rng.below(900_000),
        gas_price: if rng.percent(20) { known.head.base_fee.into() } else { 0 },
        input,
        ..Default::default()
    }
}

/// Proofs of accounts and slots, there and not there, against the root in the header.
pub(super) fn proofs(
    chain: &mut Chain<'_>,
    snapshot: &Snapshot,
    known: &Known,
) -> eyre::Result<()> {
    let (number, root) = (known.head.number, known.block.header.state_root);
    let all: Vec<_> = chain.places.keys().copied().chain([Address::repeat_byte(0x5a)]).collect();
    for _ in 0..4 {
        let address = *chain.rng.pick(&all);
        let mut slots: Vec<_> = chain.places.get(&address).into_iter().flatten().copied().collect();
        slots.truncate(6);
        slots.push(U256::from(chain.rng.below(1_000)));
        let proof = snapshot.prove(number, address, &slots)?;
        let proof = proof.with_context(|| format!("no proof in block {number}"))?;
        let entry = known.state.0.get(&address);
        let key = |bytes: &[u8]| Nibbles::unpack(keccak256(bytes));
        verify_proof(root, key(address.as_slice()), entry.map(Entry::rlp), &proof.account_proof)?;
        let storage = entry.map_or_else(|| Entry::default().storage_root(), Entry::storage_root);
        ensure!(proof.storage_root == storage, "storage root of {address}");
        for (slot, value, nodes) in &proof.slots {
            ensure!(*value == known.state.slot(address, *slot), "{address} slot {slot}: {value}");
            let leaf = (!value.is_zero()).then(|| alloy_rlp::encode(value));
            verify_proof(storage, key(B256::from(*slot).as_slice()), leaf, nodes)?;
        }
        chain.count(if entry.is_some() { "proofs" } else { "proofs of absence" });
    }
    Ok(())
}

/// Counts what a block held.
pub(super) fn tally(
    seen: &mut Seen,
    block: &Block,
    predicted: &Predicted,
    reported: &Skipped,
    before: &State,
) {
    let mut count = |what: &'static str, times: usize| {
        *seen.entry(what).or_default() += times as u64;
    };
    count("blocks", 1);
    count(
        match predicted.head.fork {
            Fork::Osaka => "blocks on Osaka",
            Fork::Prague => "blocks on Prague",
            _ => "blocks on older forks",
        },
        1,
    );
    for (tx, receipt) in block.txs.iter().zip(&block.receipts) {
        const TYPES: [&str; 5] = ["legacy", "listed", "dynamic", "blob", "delegating"];
        count(TYPES.get(tx.envelope.tx_type() as usize).unwrap_or(&"deposits"), 1);
        count("logs", receipt.logs.len());
        let burnt = receipt.gas_used == tx.envelope.gas_limit();
        match (receipt.success, burnt) {
            (true, _) => count("successes", 1),
            (false, true) => count("halts", 1),
            (false, false) => count("reverts", 1),
        }
        if receipt.success && receipt.contract_address.is_some() {
            count("creations", 1);
        }
    }
    let after = &predicted.state.0;
    let code = |entry: &Entry| !entry.code.is_empty();
    let born = after.iter().filter(|(at, entry)| code(entry) && !before.0.contains_key(*at));
    count("contracts born", born.count());
    count("contracts destroyed", predicted.destroyed as usize);
    count("accounts gone", before.0.keys().filter(|at| !after.contains_key(*at)).count());
    let delegated = after.values().filter(|entry| entry.code.starts_with(&[0xef, 0x01, 0x00]));
    count("delegations", delegated.count());
    for (_, reason) in reported {
        count(name(reason), 1);
    }
}

fn name(reason: &causeway_chainspec::SkipReason) -> &'static str {
    use causeway_chainspec::SkipReason as Skip;
    match reason {
        Skip::Undecodable(_) => "skip: undecodable",
        Skip::ChainId { .. } => "skip: chain id",
        Skip::NonceTooLow { .. } => "skip: nonce low",
        Skip::NonceTooHigh { .. } => "skip: nonce high",
        Skip::Funds { .. } => "skip: funds",
        Skip::FeeTooLow { .. } => "skip: fee",
        Skip::TipAboveFee => "skip: tip",
        Skip::IntrinsicGas { .. } => "skip: intrinsic gas",
        Skip::GasLimit { .. } => "skip: gas limit",
        Skip::BlockFull { .. } => "skip: block full",
        Skip::BytesFull { .. } => "skip: bytes full",
        Skip::SenderNotEoa => "skip: sender",
        Skip::InitCode { .. } => "skip: initcode",
        Skip::Unsupported(_) => "skip: unsupported",
        Skip::Other(_) => "skip: other",
    }
}
