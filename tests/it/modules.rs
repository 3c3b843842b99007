//! Protocol code inside every block, on every VM: a module that counts blocks and makes a call.

use std::sync::Arc;

use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use causeway_chainspec::block::REQUEST_TYPE;
use causeway_chainspec::{
    Account, BlockEnv, BlockPlan, CallOutcome, Closed, Message, StateError, SystemBlock,
    SystemCall, SystemModule, SystemState,
};
use causeway_da::DaBackend;
use causeway_tests::drive::{WINDOW_MS, account, holds};
use causeway_tests::world::{World, chain_of};
use eyre::{ContextCompat, ensure};

const COUNTER: Address = address!("0xca000000000000000000000000000000000000cc");
const PAID: Address = address!("0x00000000000000000000000000000000000c0de5");
const MINT: u128 = 1_000;

/// Counts blocks in slot 0 of its own account, and mints to somebody in each.
struct Counter;

impl SystemModule for Counter {
    fn genesis(&self, _state: &mut SystemState<'_>) -> Result<Option<Closed>, StateError> {
        Ok(None)
    }

    fn open(
        &self,
        state: &mut SystemState<'_>,
        _env: &BlockEnv,
        plan: &BlockPlan,
    ) -> Result<Box<dyn SystemBlock>, StateError> {
        let account = state.account(COUNTER)?.unwrap_or_default();
        // A nonce keeps the account from being empty.
        state.set_account(COUNTER, Account { nonce: account.nonce.max(1), ..account })?;
        let count = state.slot(COUNTER, U256::ZERO)? + U256::ONE;
        state.set_slot(COUNTER, U256::ZERO, count)?;
        assert_eq!(count, U256::from(plan.claim.number), "a block was counted twice or not at all");
        Ok(Box::new(Counting))
    }
}

/// One block of it.
struct Counting;

impl SystemBlock for Counting {
    fn calls(&self) -> Vec<SystemCall> {
        vec![SystemCall {
            from: COUNTER,
            to: PAID,
            mint: MINT,
            value: U256::from(MINT),
            gas_limit: 50_000,
            input: Bytes::new(),
        }]
    }

    fn close(
        self: Box<Self>,
        state: &mut SystemState<'_>,
        results: &[CallOutcome],
        _emitted: &[Message],
    ) -> Result<Option<Closed>, StateError> {
        assert!(results.len() == 1 && results[0].success, "{results:?}");
        let count = state.slot(COUNTER, U256::ZERO)?;
        Ok(Some(Closed { commitment: commitment(count), outbox: Vec::new() }))
    }
}

fn commitment(count: U256) -> B256 {
    keccak256(count.to_be_bytes::<32>())
}

async fn counts(vm: &str) -> eyre::Result<()> {
    let mut world = World::quick(vm, 2)?;
    world.modules = vec![Arc::new(Counter)];
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    let all = [&sequencer, &full];
    world.tick(&all).await?;
    for nonce in 0..3 {
        sequencer.submit(world.transfer(0, nonce, 1)).await?;
        world.builds(&sequencer, 2).await?;
        world.follow(&sequencer, &full).await?;
        world.publish(&sequencer, &all).await?;
    }
    // Derived blocks have it too.
    world.da.force(world.transfer(0, 3, 1)).await?;
    world.ticks(&all, WINDOW_MS / world.spec.da.interval_ms + 2).await?;
    let latest = holds(&full).latest.number;
    assert_eq!(latest, 7);

    let snapshot = full.pipeline().snapshot();
    for number in 1..=latest {
        let block = snapshot.block(number)?.context("block")?;
        let (call, receipt) = (&block.txs[0], &block.receipts[0]);
        assert_eq!(call.raw[0], 0x7e);
        assert_eq!(call.sender, COUNTER);
        assert!(receipt.success && receipt.gas_used > 0);
        assert_eq!(receipt.deposit_nonce, number);
        assert_eq!(block.receipts.len(), block.txs.len());
        ensure!(
            snapshot.tx(call.hash)?.is_some_and(|(at, index)| at.hash == block.hash && index == 0)
        );
        let mut request = vec![REQUEST_TYPE];
        request.extend_from_slice(block.claim_hash.as_slice());
        request.extend_from_slice(commitment(U256::from(number)).as_slice());
        let want = Requests::from(vec![Bytes::from(request)]).requests_hash();
        assert_eq!(block.header.requests_hash, Some(want));
    }
    assert_eq!(account(&full, PAID)?.balance, U256::from(MINT) * U256::from(latest));
    let fresh = world.full("fresh")?;
    world.sync(&fresh).await?;
    assert_eq!(chain_of(&fresh)?, chain_of(&sequencer)?);
    assert_eq!(chain_of(&fresh)?, chain_of(&full)?);
    Ok(())
}

#[tokio::test]
async fn modules_run_in_every_block_of_the_evm() -> eyre::Result<()> {
    counts("evm").await
}

#[tokio::test]
async fn modules_run_in_every_block_of_the_ledger() -> eyre::Result<()> {
    counts("ledger").await
}
