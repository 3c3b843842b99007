//! Blocks of the past executed once more: under tracers, for their witness; and found by address.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};
use alloy_rpc_types_trace::geth::{
    CallFrame, GethDebugBuiltInTracerType, GethDebugTracerType, GethDebugTracingOptions,
};
use causeway_execution::pipeline::{Replay, Snapshot};
use causeway_execution::store::Search;
use causeway_execution::trace::{Trace, TraceLimits, Traced, Tracer, TxPlace};
use causeway_execution::{Stop, VmError};
use eyre::{ContextCompat, bail, ensure};

use super::chain::{Chain, Known};

/// A block executed again gives its receipts, and a trace of each transaction says the same.
pub(super) fn executed(
    chain: &mut Chain<'_>,
    snapshot: &Snapshot,
    known: &Known,
) -> eyre::Result<()> {
    let Some(replay) = snapshot.replay(known.head.number)? else {
        ensure!(known.head.number <= snapshot.oldest_state()?, "its parent's state is there");
        return Ok(());
    };
    let Replay { block, state, env } = &replay;
    ensure!(block.hash == known.block.hash, "another block");
    let vm = chain.pipeline().vm().clone();
    let again = vm.execute(&**state, env, &block.txs, &Stop::never())?;
    ensure!(again.receipts == block.receipts, "other receipts the second time");
    let tracer = GethDebugTracerType::BuiltInTracer(GethDebugBuiltInTracerType::CallTracer);
    let options = GethDebugTracingOptions { tracer: Some(tracer), ..Default::default() };
    let tracer = Tracer::Geth(Box::new(options));
    let step = |tx| (Traced::Tx(tx, TxPlace::default()), tracer.clone());
    let steps: Vec<_> = block.txs.iter().cloned().map(step).collect();
    let limits = TraceLimits { expired: &|| false, most_bytes: usize::MAX };
    let traces = match vm.trace(&**state, env, &steps, limits) {
        Err(VmError::Unsupported(_)) if chain.model.vm() == "ledger" => return Ok(()),
        traces => traces?,
    };
    ensure!(traces.len() == block.txs.len(), "{} traces", traces.len());
    for ((trace, tx), receipt) in traces.into_iter().zip(&block.txs).zip(&block.receipts) {
        let Trace::Geth(trace) = trace else { bail!("a trace of another form") };
        let frame: CallFrame = trace.try_into_call_frame()?;
        ensure!(
            frame.gas_used == U256::from(receipt.gas_used)
                && frame.error.is_none() == receipt.success
                && frame.from == tx.sender,
            "{}: {receipt:?}, traced {frame:?}",
            tx.hash
        );
        chain.count("traces");
    }
    Ok(())
}

/// The witness of a block: executing it from what was recorded gives the block's own hash, or it
/// is an error.
pub(super) fn witness(
    chain: &mut Chain<'_>,
    snapshot: &Snapshot,
    known: &Known,
) -> eyre::Result<()> {
    let number = known.head.number;
    let Some(parent) = number.checked_sub(1) else { return Ok(()) };
    let Some(witness) = snapshot.witness(number)? else { return Ok(()) };
    let header = snapshot.header(parent)?.context("every header is kept")?;
    let newest = witness.headers.last().context("the parent's header")?;
    ensure!(*newest == alloy_rlp::encode(&header), "another parent");
    let root =
        |node: &&alloy_primitives::Bytes| alloy_primitives::keccak256(node) == header.state_root;
    ensure!(witness.state.iter().any(|node| root(&node)), "the root is missing");
    chain.count("witnesses");
    Ok(())
}

/// Histories of accounts, against reading the chain.
pub(super) fn histories(chain: &mut Chain<'_>, snapshot: &Snapshot) -> eyre::Result<()> {
    let index = snapshot.index().context("the index is on")?;
    let people = chain.world.people.clone();
    for _ in 0..3 {
        let address = *chain.rng.pick(&people);
        let mut expected = BTreeSet::new();
        for known in &chain.chain {
            for (at, (tx, receipt)) in known.block.txs.iter().zip(&known.block.receipts).enumerate()
            {
                let place = (known.head.number, at);
                if tx.sender == address {
                    let nonce = match tx.is_deposit() {
                        true => receipt.deposit_nonce,
                        false => alloy_consensus::Transaction::nonce(&tx.envelope),
                    };
                    let found = index.sent(address, nonce)?;
                    ensure!(found == Some(place), "{address} {nonce} is at {found:?}");
                }
                if tx.sender == address || about(tx, receipt, address) {
                    expected.insert(place);
                }
            }
        }
        let found = index.appearances(address, Search::Above(0), usize::MAX)?;
        ensure!(found.iter().eq(&expected), "{address}: {found:?}, not {expected:?}");
        let some = 1 + chain.rng.below(6) as usize;
        let page = index.appearances(address, Search::Below(u64::MAX), some)?;
        let newest: Vec<_> = expected.iter().rev().copied().take(page.len()).collect();
        ensure!(page == newest && page.len() >= some.min(expected.len()), "{address}: {page:?}");
        chain.count("histories");
    }
    Ok(())
}

/// Whether a transaction is about somebody who did not send it.
fn about(
    tx: &causeway_chainspec::Tx,
    receipt: &causeway_chainspec::Receipt,
    address: Address,
) -> bool {
    alloy_consensus::Transaction::to(&tx.envelope) == Some(address)
        || receipt.contract_address == Some(address)
        || receipt.logs.iter().any(|log| log.address == address)
}
