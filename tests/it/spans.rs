//! What counts on DA and in the feed, and what does not: keys, seals, repeats, order, candidates.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Decodable;
use causeway_chainspec::SkipReason;
use causeway_da::DaBackend;
use causeway_node::config::Role;
use causeway_node::node::{Fed, FeedBlock, Node};
use causeway_tests::drive::{DRIFT_MS, FORCED_DELAY_MS, holds, seal_by};
use causeway_tests::keys;
use causeway_tests::world::{World, chain_of};
use eyre::{ContextCompat, ensure};

/// A final depth that nothing here reaches.
const DEEP: u64 = 1_000;

fn fed(node: &Node, number: u64) -> eyre::Result<FeedBlock> {
    let bytes = node.feed_block(number)?.context("no sealed block of this number")?;
    Ok(FeedBlock::decode(&mut bytes.as_ref())?)
}

#[tokio::test]
async fn other_keys_neither_post_nor_seal() -> eyre::Result<()> {
    let world = World::quick("ledger", DEEP)?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    world.tick(&[&sequencer, &full]).await?;
    let genesis = full.pipeline().snapshot().block(0)?.context("genesis")?.plan.claim.clone();
    let stranger = keys::accounts()[0].clone();
    let block = world.claim_on(&genesis, world.now(), vec![world.transfer(0, 0, 1)]);

    let right = world.span_by(&genesis, vec![block.clone()], &keys::sequencer())?;
    let posts = world.encode_by(&right, &stranger)?;
    world.da.submit(&posts).await?;
    world.tick(&[&full]).await?;
    assert_eq!(full.dropped_blobs(), posts.len() as u64);
    assert_eq!(holds(&full).latest.number, 0);

    // The poster's key seals nothing, and neither does a seal over another claim.
    for key in [stranger, keys::poster()] {
        let sealed = world.span_by(&genesis, vec![block.clone()], &key)?;
        world.da.submit(&world.encode_by(&sealed, &keys::poster())?).await?;
    }
    let next = world.claim_on(&block.claim, world.now() + 1, vec![]);
    let mut moved = right.clone();
    moved.seal = seal_by(&world, &next.claim, &keys::sequencer());
    world.da.submit(&world.encode_by(&moved, &keys::poster())?).await?;
    let mut viewed = right.clone();
    viewed.seal.view = 1;
    world.da.submit(&world.encode_by(&viewed, &keys::poster())?).await?;
    world.tick(&[&full]).await?;
    assert_eq!(full.dropped_blobs(), posts.len() as u64, "these blobs are the poster's own");
    assert_eq!(holds(&full).latest.number, 0);

    world.da.submit(&world.encode_by(&right, &keys::poster())?).await?;
    world.tick(&[&full, &sequencer]).await?;
    assert_eq!(holds(&full).safe.claim, block.claim.hash());
    assert_eq!(chain_of(&full)?, chain_of(&sequencer)?);
    Ok(())
}

#[tokio::test]
async fn invalid_candidates_are_skipped_on_every_path() -> eyre::Result<()> {
    let world = World::quick("evm", DEEP)?;
    let (sequencer, full, fed_node) = (world.sequencer()?, world.full("full")?, world.full("fed")?);
    world.tick(&[&sequencer, &full, &fed_node]).await?;
    let genesis = full.pipeline().snapshot().block(0)?.context("genesis")?.plan.claim.clone();
    let good = world.transfer(0, 0, 1);
    let candidates = vec![
        Bytes::from_static(b"no transaction"),
        Bytes::new(),
        world.transfer(1, 5, 1),
        good.clone(),
        good.clone(),
        world.transfer(2, 0, u128::MAX),
        world.transfer(0, 1, 2),
    ];
    let block = world.claim_on(&genesis, world.now(), candidates.clone());
    let span = world.span_by(&genesis, vec![block.clone()], &keys::sequencer())?;
    world.da.submit(&world.encode_by(&span, &keys::poster())?).await?;
    world.tick(&[&sequencer, &full]).await?;

    let made = full.pipeline().snapshot().block(1)?.context("the block was not taken")?;
    assert_eq!(made.claim_hash, block.claim.hash());
    let included: Vec<_> = made.txs.iter().map(|tx| tx.raw.clone()).collect();
    assert_eq!(included, [good, candidates[6].clone()]);
    assert_eq!(made.skipped.len(), 5);
    assert!(matches!(made.skipped[2].1, SkipReason::NonceTooHigh { state: 0, tx: 5 }));
    assert!(matches!(made.skipped[3].1, SkipReason::NonceTooLow { state: 1, tx: 0 }));
    assert!(matches!(made.skipped[4].1, SkipReason::Funds { .. }));
    assert_eq!(chain_of(&full)?, chain_of(&sequencer)?);
    // The same through the feed, before DA.
    let seal = seal_by(&world, &block.claim, &keys::sequencer());
    let (claim, body) = (block.claim, block.body);
    let fed = fed_node.feed(FeedBlock { claim, body, seal, hash: made.hash }).await?;
    assert_eq!(fed, Fed::Adopted);
    assert_eq!(chain_of(&full)?, chain_of(&fed_node)?);
    Ok(())
}

#[tokio::test]
async fn a_span_connects_anywhere_and_its_known_claims_are_dropped() -> eyre::Result<()> {
    let world = World::quick("ledger", DEEP)?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    world.tick(&[&sequencer, &full]).await?;
    world.builds(&sequencer, 3).await?;
    let first = world.blobs(&sequencer)?;
    world.builds(&sequencer, 2).await?;
    let both = world.blobs(&sequencer)?;

    // The longer one repeats the shorter, in one DA block, and each of them comes again.
    for blobs in [&first, &both, &first, &both] {
        world.da.submit(blobs).await?;
    }
    world.tick(&[&sequencer, &full]).await?;
    assert_eq!(holds(&full).safe.number, 5);
    let after = chain_of(&full)?;
    for blobs in [&first, &both] {
        world.da.submit(blobs).await?;
        world.tick(&[&sequencer, &full]).await?;
    }
    assert_eq!(chain_of(&full)?, after);
    assert_eq!(holds(&sequencer).reorgs, 0);

    // What follows comes before what it follows: it does not connect, and counts when it comes
    // again.
    world.builds(&sequencer, 1).await?;
    let sixth = world.blobs(&sequencer)?;
    let below = sequencer.pipeline().snapshot().block(6)?.context("block 6")?;
    let stale = world.span_by(
        &below.plan.claim,
        vec![{
            let block = world.build(&sequencer).await?;
            let (claim, body) = (block.plan.claim.clone(), block.plan.body.clone());
            causeway_chainspec::SpanBlock { claim, body }
        }],
        &keys::sequencer(),
    )?;
    let seventh = world.encode_by(&stale, &keys::poster())?;
    world.da.submit(&seventh).await?;
    world.da.submit(&sixth).await?;
    world.tick(&[&sequencer, &full]).await?;
    assert_eq!(holds(&full).safe.number, 6);
    world.publish(&sequencer, &[&sequencer, &full]).await?;
    assert_eq!(holds(&full).safe.number, 7);
    assert_eq!(chain_of(&full)?, chain_of(&sequencer)?);
    Ok(())
}

#[tokio::test]
async fn of_two_spans_on_one_parent_the_first_on_da_wins() -> eyre::Result<()> {
    for swapped in [false, true] {
        let world = World::quick("ledger", DEEP)?;
        let (a, b) = (world.sequencer()?, world.open("rival", Role::Sequencer)?);
        let full = world.full("full")?;
        world.tick(&[&a, &b, &full]).await?;
        world.builds(&a, 2).await?;
        world.builds(&b, 3).await?;
        // The feed had it the other way round.
        world.follow(if swapped { &a } else { &b }, &full).await?;
        let order = if swapped { [&b, &a] } else { [&a, &b] };
        for node in order {
            world.post(node).await?;
        }
        let winner = chain_of(order[0])?;
        world.tick(&[&a, &b, &full]).await?;
        for node in [&a, &b, &full] {
            ensure!(chain_of(node)? == winner, "swapped {swapped}: another chain won");
            assert_eq!(holds(node).safe, holds(node).latest);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_feed_is_a_hint_that_is_checked() -> eyre::Result<()> {
    let world = World::quick("evm", DEEP)?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    let rival = world.open("rival", Role::Sequencer)?;
    sequencer.submit(world.transfer(0, 0, 1)).await?;
    world.tick(&[&sequencer, &rival]).await?;
    world.builds(&sequencer, 2).await?;
    let good = fed(&sequencer, 1)?;

    // Before it has seen DA a node waits.
    assert!(matches!(full.feed(good.clone()).await?, Fed::Later(_)));
    world.sync(&full).await?;
    let refused = async |block: FeedBlock| -> eyre::Result<bool> {
        let answer = full.feed(block).await?;
        assert_eq!(holds(&full).latest.number, 0);
        Ok(matches!(answer, Fed::Refused(_)))
    };
    let seal = seal_by(&world, &good.claim, &keys::poster());
    assert!(refused(FeedBlock { seal, ..good.clone() }).await?, "another key's seal");
    let hash = B256::repeat_byte(3);
    assert!(refused(FeedBlock { hash, ..good.clone() }).await?, "another header hash");
    let mut body = good.body.clone();
    body.candidates.clear();
    assert!(refused(FeedBlock { body, ..good.clone() }).await?, "another body");
    let mut claim = good.claim.clone();
    claim.term = 9;
    let seal = seal_by(&world, &claim, &keys::sequencer());
    assert!(refused(FeedBlock { claim, seal, ..good.clone() }).await?, "a term of no reason");

    // Unknown parent, too far ahead of time, a DA block not read yet: perhaps later.
    assert!(matches!(full.feed(fed(&sequencer, 2)?).await?, Fed::Later(_)));
    let genesis = full.pipeline().snapshot().block(0)?.context("genesis")?.plan.claim.clone();
    let ahead = world.claim_on(&genesis, world.now() + DRIFT_MS + 1, vec![]);
    let seal = seal_by(&world, &ahead.claim, &keys::sequencer());
    let (claim, body) = (ahead.claim, ahead.body);
    let answer = full.feed(FeedBlock { claim, body, seal, hash: B256::ZERO }).await?;
    assert!(!matches!(answer, Fed::Adopted | Fed::Known), "{answer:?}");

    assert_eq!(full.feed(good.clone()).await?, Fed::Adopted);
    assert_eq!(full.feed(good.clone()).await?, Fed::Known);
    // A sibling in the same term: the first seen stays.
    world.build(&rival).await?;
    assert_eq!(full.feed(fed(&rival, 1)?).await?, Fed::Known);
    assert_eq!(holds(&full).latest.hash, good.hash);
    assert_eq!(full.feed(fed(&sequencer, 2)?).await?, Fed::Adopted);
    world.publish(&sequencer, &[&sequencer, &full]).await?;

    // A block below the safe head changes nothing any more.
    assert_eq!(full.feed(fed(&rival, 1)?).await?, Fed::Known);
    assert_eq!((holds(&full).reorgs, holds(&full).safe.number), (0, 2));
    assert_eq!(chain_of(&full)?, chain_of(&sequencer)?);
    Ok(())
}

#[tokio::test]
async fn a_feed_block_waits_for_the_da_block_it_has_read() -> eyre::Result<()> {
    let world = World::quick("ledger", DEEP)?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    world.tick(&[&sequencer, &full]).await?;
    let raw = world.transfer(3, 0, 1);
    world.da.force(raw.clone()).await?;
    world.tick(&[&sequencer]).await?;
    world.clock.advance(FORCED_DELAY_MS);
    let block = world.build(&sequencer).await?;
    assert_eq!(block.txs[0].hash, keccak256(&raw));
    assert!(matches!(world.feed(&sequencer, &full, 1).await?, Fed::Later(_)));
    world.sync(&full).await?;
    assert_eq!(world.feed(&sequencer, &full, 1).await?, Fed::Adopted);
    assert_eq!(chain_of(&full)?, chain_of(&sequencer)?);
    Ok(())
}
