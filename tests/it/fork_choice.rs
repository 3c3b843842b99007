//! Sections 3 and 4 of the protocol, one case a test, through real nodes: what DA says wins, and
//! whatever happened, nodes that read the same DA end equal.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes, keccak256};
use causeway_chainspec::{AbandonReason, SpanBlock};
use causeway_consensus::ChainError;
use causeway_da::DaBackend;
use causeway_node::config::Role;
use causeway_node::node::Node;
use causeway_node::rpc::backend::BlockEvent;
use causeway_tests::drive::{FORCED_DELAY_MS, WINDOW_MS, holds, reopen};
use causeway_tests::keys;
use causeway_tests::txs::{Draft, Form};
use causeway_tests::world::{World, chain_of};
use eyre::{ContextCompat, bail, ensure};

/// A final depth that no reorg of these tests reaches.
const DEEP: u64 = 1_000;

/// All of these hold the chain of the first.
fn agree(nodes: &[&Arc<Node>]) -> eyre::Result<()> {
    let first = chain_of(nodes[0])?;
    for node in nodes {
        holds(node);
        ensure!(chain_of(node)? == first, "nodes part: {:?}", nodes[0].heads().borrow());
    }
    Ok(())
}

/// A fresh node that reads DA alone must have the chain of these.
async fn agree_with_fresh(world: &World, nodes: &[&Arc<Node>]) -> eyre::Result<()> {
    let fresh = world.full("fresh")?;
    world.sync(&fresh).await?;
    agree(&[&[&fresh], nodes].concat())
}

/// Lets the sequencer build, post and derive until all it has is safe.
async fn settle(world: &World, sequencer: &Arc<Node>, all: &[&Arc<Node>]) -> eyre::Result<()> {
    for _ in 0..2 * WINDOW_MS / world.spec.da.interval_ms {
        let built = match world.build(sequencer).await {
            Ok(_) => true,
            Err(ChainError::Paused(_)) => false,
            Err(error) => bail!(error),
        };
        let heads = *sequencer.heads().borrow();
        if heads.latest.number > heads.safe.number {
            world.post(sequencer).await?;
        }
        world.tick(all).await?;
        let heads = *sequencer.heads().borrow();
        if built && heads.latest == heads.safe {
            return agree(all);
        }
    }
    bail!("nothing becomes safe: {:?}", sequencer.heads().borrow())
}

fn txs_of(node: &Node, number: u64) -> eyre::Result<Vec<B256>> {
    let block = node.pipeline().snapshot().block(number)?.context("no such block")?;
    Ok(block.txs.iter().map(|tx| tx.hash).collect())
}

#[tokio::test]
async fn an_equal_claim_is_promoted_without_an_event() -> eyre::Result<()> {
    let world = World::quick("evm", DEEP)?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    world.tick(&[&sequencer, &full]).await?;
    sequencer.submit(world.transfer(0, 0, 5)).await?;
    world.builds(&sequencer, 3).await?;
    world.follow(&sequencer, &full).await?;
    let (mut events, before) = (full.blocks(), holds(&full));
    assert_eq!((before.latest.number, before.safe.number), (3, 0));

    world.publish(&sequencer, &[&sequencer, &full]).await?;
    let after = holds(&full);
    assert_eq!((after.latest, after.safe), (before.latest, before.latest));
    assert_eq!(after.reorgs, before.reorgs);
    assert!(events.try_recv().is_err(), "a promoted block was announced again");
    agree(&[&sequencer, &full])?;
    let full = reopen(&world, full, "full")?;
    agree_with_fresh(&world, &[&sequencer, &full]).await
}

#[tokio::test]
async fn another_claim_replaces_ours_and_its_transactions_come_first() -> eyre::Result<()> {
    let world = World::quick("ledger", DEEP)?;
    let (ours, full) = (world.sequencer()?, world.full("full")?);
    let rival = world.open("rival", Role::Sequencer)?;
    world.tick(&[&ours, &rival, &full]).await?;
    let mut order = Vec::new();
    for from in 0..3 {
        order.push(ours.submit(world.transfer(from, 0, 1)).await?);
        let block = world.build(&ours).await?;
        assert_eq!(block.txs[0].hash, order[from]);
    }
    let mut rich = Draft::transfer(world.spec.chain_id, 0, Default::default(), 1);
    rich.tip = 900_000_000;
    let rich = rich.sign(Form::Dynamic, &keys::accounts()[3]);
    order.push(ours.submit(rich).await?);
    world.follow(&ours, &full).await?;

    let theirs = world.build(&rival).await?;
    let mut events = ours.blocks();
    world.publish(&rival, &[&ours, &rival, &full]).await?;
    agree(&[&ours, &rival, &full])?;
    let heads = holds(&ours);
    assert_eq!((heads.latest.number, heads.latest.hash, heads.reorgs), (1, theirs.hash, 1));
    let mut seen = Vec::new();
    while let Ok(BlockEvent { block, removed }) = events.try_recv() {
        seen.push((block.header.number, removed));
    }
    assert_eq!(seen, [(3, true), (2, true), (1, true), (1, false)]);
    let best = |node: &Node| -> Vec<B256> {
        node.pool().best(0, u64::MAX, u64::MAX, 10).iter().map(|tx| tx.hash).collect()
    };
    assert_eq!(best(&ours), order, "dropped transactions are not first in line, in their order");

    // What was acknowledged survives a restart in between, and so does the duty to take over.
    let ours = reopen(&world, ours, "sequencer")?;
    world.sync(&ours).await?;
    let mut kept = best(&ours);
    kept.sort();
    let mut sorted = order.clone();
    sorted.sort();
    assert_eq!(kept, sorted);
    let block = world.build(&ours).await?;
    let takeover = block.plan.claim.takeover.as_ref().context("no takeover")?;
    assert_eq!(takeover.reason, AbandonReason::Replaced);
    assert_eq!(takeover.abandoned.number, 1);
    assert_eq!(block.txs.len(), 4);
    world.follow(&ours, &full).await?;
    assert_eq!(holds(&full).latest.hash, block.hash, "the feed of a new term was not adopted");
    world.publish(&ours, &[&ours, &rival, &full]).await?;
    assert_eq!(holds(&full).safe.hash, block.hash);
    agree_with_fresh(&world, &[&ours, &rival, &full]).await
}

#[tokio::test]
async fn without_a_sequencer_forced_entries_get_in_after_the_window() -> eyre::Result<()> {
    let world = World::quick("evm", 2)?;
    let (a, b) = (world.full("a")?, world.full("b")?);
    world.tick(&[&a, &b]).await?;
    let raw = world.transfer(0, 0, 7);
    for entry in [Bytes::from_static(b"no transaction"), raw.clone()] {
        world.da.force(entry).await?;
    }
    world.tick(&[&a, &b]).await?;
    let due = world.now();
    while holds(&a).latest.number == 0 {
        world.tick(&[&a, &b]).await?;
        let most = due + FORCED_DELAY_MS + WINDOW_MS + world.spec.da.interval_ms;
        ensure!(world.now() <= most, "the entry did not get in within the bound");
    }
    assert_eq!(txs_of(&a, 1)?, [keccak256(&raw)]);
    let block = a.pipeline().snapshot().block(1)?.context("block 1")?;
    assert!(block.receipts[0].success);
    assert_eq!(block.skipped.len(), 1, "the undecodable entry is taken and skipped");
    assert_eq!(block.plan.claim.cut.lane.count, 2);
    agree(&[&a, &b])?;

    // It goes on like that, and over restarts.
    let a = reopen(&world, a, "a")?;
    world.da.force(world.transfer(0, 1, 8)).await?;
    world.ticks(&[&a, &b], 2 * WINDOW_MS / world.spec.da.interval_ms).await?;
    assert_eq!(txs_of(&a, 2)?.len(), 1);
    assert!(holds(&a).finalized.number >= 2);
    agree_with_fresh(&world, &[&a, &b]).await
}

#[tokio::test]
async fn a_silent_sequencer_comes_back_in_a_new_term() -> eyre::Result<()> {
    let world = World::quick("evm", DEEP)?;
    let (mut sequencer, full) = (world.sequencer()?, world.full("full")?);
    world.tick(&[&sequencer, &full]).await?;
    let mut terms = vec![0];
    for round in 0..3 {
        let hash = sequencer.submit(world.transfer(0, round, 1)).await?;
        let lost = world.builds(&sequencer, 2).await?;
        world.follow(&sequencer, &full).await?;
        // The sequencer reads nothing and posts nothing until after the window.
        let silent = WINDOW_MS / world.spec.da.interval_ms + 2;
        world.ticks(&[&full], silent).await?;
        sequencer = reopen(&world, sequencer, "sequencer")?;
        world.sync(&sequencer).await?;
        agree(&[&sequencer, &full])?;
        ensure!(sequencer.pipeline().snapshot().number_of_claim(lost[0].claim_hash)?.is_none());
        assert!(sequencer.pool().get(hash).is_some(), "an acknowledged transaction is gone");

        let block = world.build(&sequencer).await?;
        let claim = &block.plan.claim;
        let takeover = claim.takeover.as_ref().context("no takeover")?;
        assert_eq!(takeover.abandoned.hash(), lost[0].claim_hash);
        assert!(claim.term > terms[terms.len() - 1]);
        terms.push(claim.term);
        assert_eq!(block.txs[0].hash, hash);
        let next = world.build(&sequencer).await?;
        assert_eq!((next.plan.claim.term, next.plan.claim.takeover.is_none()), (claim.term, true));
        world.publish(&sequencer, &[&sequencer, &full]).await?;
        assert_eq!(holds(&full).safe.hash, next.hash);
        agree(&[&sequencer, &full])?;
    }
    agree_with_fresh(&world, &[&sequencer, &full]).await
}

#[tokio::test]
async fn a_span_counts_to_the_last_moment_and_not_after() -> eyre::Result<()> {
    // The floor first passes genesis in a DA block whose floor is a second above it. A claim of
    // exactly that time is in time there; one ms older is not, and a block later nothing is.
    for (after_ms, blocks_late, counts) in [(1_000, 0, true), (999, 0, false), (1_000, 1, false)] {
        let world = World::quick("ledger", DEEP)?;
        let (sequencer, full) = (world.sequencer()?, world.full("full")?);
        world.tick(&[&full, &sequencer]).await?;
        let genesis = full.pipeline().snapshot().block(0)?.context("genesis")?.plan.claim.clone();
        let time_ms = genesis.time_ms + after_ms;
        let claim = world.claim_on(&genesis, time_ms, vec![world.transfer(0, 0, 1)]);
        let hash = claim.claim.hash();
        let span = world.span_by(&genesis, vec![claim], &keys::sequencer())?;
        let blobs = world.encode_by(&span, &keys::poster())?;
        while world.now() + world.spec.da.interval_ms - WINDOW_MS <= genesis.time_ms {
            world.tick(&[&full]).await?;
        }
        world.ticks(&[&full], blocks_late).await?;
        assert_eq!(holds(&full).latest.number, blocks_late);
        world.da.submit(&blobs).await?;
        world.tick(&[&full]).await?;
        let heads = holds(&full);
        assert_eq!(heads.safe.number, 1);
        assert_eq!(heads.safe.claim == hash, counts, "{after_ms} ms, {blocks_late} blocks late");
        // Posting it again changes nothing.
        world.da.submit(&blobs).await?;
        world.tick(&[&full, &sequencer]).await?;
        assert_eq!(full.pipeline().snapshot().id(1)?, Some(heads.safe));
        settle(&world, &sequencer, &[&sequencer, &full]).await?;
        agree_with_fresh(&world, &[&sequencer, &full]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_outage_of_the_layer_expires_nothing() -> eyre::Result<()> {
    let world = World::quick("ledger", DEEP)?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    world.tick(&[&sequencer, &full]).await?;
    // Five windows without a DA block.
    let until = world.now() + 5 * WINDOW_MS;
    let mut nonce = 0;
    while world.now() < until {
        sequencer.submit(world.transfer(0, nonce, 1)).await?;
        nonce += 1;
        world.clock.advance(1_750);
        world.build(&sequencer).await?;
    }
    let promised = chain_of(&sequencer)?;
    let sequencer = reopen(&world, sequencer, "sequencer")?;
    // The layer is back, and takes ten blocks of ours in each of its own.
    while holds(&sequencer).safe.number < promised.len() as u64 - 1 {
        let first = holds(&sequencer).safe.number + 1;
        let last = (first + 9).min(promised.len() as u64 - 1);
        let blobs = blobs_of(&world, &sequencer, first, last)?;
        world.da.submit(&blobs).await?;
        world.tick(&[&sequencer, &full]).await?;
        assert_eq!(holds(&full).safe.number, last, "the backlog does not drain");
    }
    assert_eq!(chain_of(&full)?, promised, "an acknowledged block expired");
    settle(&world, &sequencer, &[&sequencer, &full]).await?;
    agree_with_fresh(&world, &[&sequencer, &full]).await
}

/// Blobs of some of a node's blocks, sealed as they are.
fn blobs_of(world: &World, node: &Node, first: u64, last: u64) -> eyre::Result<Vec<Bytes>> {
    let mut blocks = Vec::new();
    let below = node.pipeline().snapshot().block(first - 1)?.context("no such block")?;
    for number in first..=last {
        let block = node.pipeline().snapshot().block(number)?.context("no such block")?;
        let (claim, body) = (block.plan.claim.clone(), block.plan.body.clone());
        blocks.push(SpanBlock { claim, body });
    }
    let span = world.span_by(&below.plan.claim, blocks, &keys::sequencer())?;
    world.encode_by(&span, &keys::poster())
}

#[tokio::test]
async fn a_censored_forced_entry_ends_the_span() -> eyre::Result<()> {
    let world = World::quick("evm", DEEP)?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    world.tick(&[&sequencer, &full]).await?;
    let raw = world.transfer(1, 0, 3);
    world.da.force(raw.clone()).await?;
    world.tick(&[&full]).await?;
    let must = world.now() + FORCED_DELAY_MS;
    // The sequencer does not look at DA: its blocks do without the entry even when it is due.
    let mut last_valid = 0;
    while world.now() < must + 1_000 {
        let block = world.build(&sequencer).await?;
        if block.plan.claim.time_ms < must {
            last_valid = block.header.number;
        }
    }
    world.publish(&sequencer, &[&full]).await?;
    let heads = holds(&full);
    assert_eq!(heads.safe.number, last_valid, "a claim that leaves a due entry out was taken");
    assert!(holds(&sequencer).latest.number > last_valid);

    // It reads DA again: what it built on its censoring blocks never counts, the entry gets in.
    settle(&world, &sequencer, &[&sequencer, &full]).await?;
    assert!(full.pipeline().snapshot().tx(keccak256(&raw))?.is_some());
    agree_with_fresh(&world, &[&sequencer, &full]).await
}

#[tokio::test]
async fn an_honest_sequencer_takes_forced_entries_in_time() -> eyre::Result<()> {
    let world = World::quick("evm", DEEP)?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    world.tick(&[&sequencer, &full]).await?;
    let raw = world.transfer(1, 0, 3);
    world.da.force(raw.clone()).await?;
    world.tick(&[&sequencer, &full]).await?;
    let must = world.now() + FORCED_DELAY_MS;
    while sequencer.pipeline().snapshot().tx(keccak256(&raw))?.is_none() {
        world.build(&sequencer).await?;
        ensure!(world.now() <= must + 250, "the sequencer missed the entry");
        world.follow(&sequencer, &full).await?;
        world.publish(&sequencer, &[&sequencer, &full]).await?;
    }
    world.publish(&sequencer, &[&sequencer, &full]).await.ok();
    let heads = holds(&full);
    assert_eq!(heads.latest, holds(&sequencer).latest);
    assert_eq!((heads.reorgs, heads.safe), (0, heads.latest));
    agree_with_fresh(&world, &[&sequencer, &full]).await
}

#[tokio::test]
async fn building_pauses_before_blocks_expire_and_resumes() -> eyre::Result<()> {
    let world = World::quick("ledger", DEEP)?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    let all = [&sequencer, &full];
    world.tick(&all).await?;
    let first = world.build(&sequencer).await?;
    let reason = loop {
        world.tick(&all).await?;
        match world.build(&sequencer).await {
            Ok(_) => {}
            Err(ChainError::Paused(reason)) => break reason,
            Err(error) => bail!(error),
        }
    };
    assert!(reason.contains("poster"), "{reason:?} does not say what to do");
    let left = first.plan.claim.time_ms - sequencer.cursor().context("cursor")?.floor_ms;
    assert!(left < WINDOW_MS / 2 && left + 2_000 >= WINDOW_MS / 2, "{left} ms left");
    let promised = chain_of(&sequencer)?;
    world.publish(&sequencer, &all).await?;
    assert_eq!(chain_of(&full)?, promised);
    world.build(&sequencer).await?;
    settle(&world, &sequencer, &all).await
}
