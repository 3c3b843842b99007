//! The DA layer changes its mind: nodes roll back, go on, and end where a fresh node ends.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes, keccak256};
use causeway_consensus::ChainError;
use causeway_da::DaBackend;
use causeway_node::config::Role;
use causeway_node::node::{Node, NodeError};
use causeway_node::rpc::backend::SubmitError;
use causeway_tests::drive::{WINDOW_MS, holds, reopen, seeds};
use causeway_tests::txs::Rng;
use causeway_tests::world::{World, chain_of};
use eyre::{bail, ensure};

/// A chain with posted spans, taken forced entries and unsafe blocks, on DA that is not final.
struct Scene {
    world: World,
    sequencer: Arc<Node>,
    full: Arc<Node>,
    /// Acknowledged transactions.
    sent: Vec<B256>,
}

impl Scene {
    async fn new() -> eyre::Result<Self> {
        let world = World::quick("ledger", 40)?;
        let (sequencer, full) = (world.sequencer()?, world.full("full")?);
        let mut scene = Self { world, sequencer, full, sent: Vec::new() };
        scene.tick().await?;
        for nonce in 0..14 {
            if nonce % 4 == 1 {
                scene.world.da.force(scene.world.transfer(7, nonce / 4, 9)).await?;
            }
            let raw = scene.world.transfer(0, nonce, 1);
            scene.sent.push(scene.sequencer.submit(raw).await?);
            scene.world.builds(&scene.sequencer, 2).await?;
            if nonce % 3 != 2 {
                scene.world.post(&scene.sequencer).await?;
            }
            scene.world.follow(&scene.sequencer, &scene.full).await?;
            scene.tick().await?;
        }
        scene.world.builds(&scene.sequencer, 2).await?;
        scene.world.follow(&scene.sequencer, &scene.full).await?;
        Ok(scene)
    }

    async fn tick(&self) -> eyre::Result<()> {
        self.world.tick(&[&self.sequencer, &self.full]).await
    }

    /// Goes on until everything is safe; then nothing acknowledged is lost and all nodes agree.
    async fn recovers(self) -> eyre::Result<()> {
        let Self { world, sequencer, full, sent } = &self;
        for _ in 0..2 * WINDOW_MS / world.spec.da.interval_ms {
            let built = match world.build(sequencer).await {
                Ok(_) => true,
                Err(ChainError::Paused(_)) => false,
                Err(error) => bail!(error),
            };
            let heads = holds(sequencer);
            if heads.latest.number > heads.safe.number {
                world.post(sequencer).await?;
            }
            self.tick().await?;
            let heads = holds(sequencer);
            if built && heads.latest == heads.safe {
                let chain = chain_of(sequencer)?;
                for hash in sent {
                    let found = sequencer.pipeline().snapshot().tx(*hash)?;
                    ensure!(found.is_some(), "acknowledged transaction {hash} is lost");
                }
                ensure!(chain_of(full)? == chain, "the full node differs");
                let fresh = world.full("fresh")?;
                world.sync(&fresh).await?;
                ensure!(chain_of(&fresh)? == chain, "a fresh node differs");
                return Ok(());
            }
        }
        let paused = world.build(sequencer).await.err();
        bail!("nothing becomes safe: {:?}, {paused:?}", sequencer.heads().borrow())
    }
}

#[tokio::test]
async fn nodes_follow_reorgs_of_every_depth() -> eyre::Result<()> {
    for depth in [1, 2, 5, 13] {
        // Everything stays, nothing stays, spans stay, forced entries stay.
        let kept: [fn(&Bytes) -> bool; 4] = [
            |_| true,
            |_| false,
            |bytes| bytes.starts_with(b"CWSP"),
            |bytes| !bytes.starts_with(b"CWSP"),
        ];
        for (case, keep) in kept.into_iter().enumerate() {
            let scene = Scene::new().await?;
            let before = holds(&scene.full);
            scene.world.da.reorg(depth, |_, bytes| keep(bytes));
            scene.tick().await?;
            let after = holds(&scene.full);
            ensure!(before.safe_da.height < after.safe_da.height, "derivation stands still");
            scene.recovers().await.map_err(|error| error.wrap_err(format!("{depth} {case}")))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn nodes_follow_reorgs_one_after_the_other() -> eyre::Result<()> {
    for seed in seeds(4) {
        let mut rng = Rng::new(seed);
        let mut scene = Scene::new().await?;
        for nonce in 14..40 {
            if rng.percent(25) {
                let depth = 1 + rng.below(6) as usize;
                let lost = rng.below(4);
                scene.world.da.reorg(depth, |height, bytes| {
                    (height + keccak256(bytes)[0] as u64) % 4 != lost
                });
            }
            if rng.percent(10) {
                let name = "sequencer";
                drop(std::mem::replace(&mut scene.sequencer, scene.full.clone()));
                scene.sequencer = scene.world.open(name, Role::Sequencer)?;
            }
            let raw = scene.world.transfer(0, nonce, 1);
            scene.sent.push(scene.sequencer.submit(raw).await?);
            match scene.world.build(&scene.sequencer).await {
                Ok(_) | Err(ChainError::Paused(_)) => {}
                Err(error) => bail!(error),
            }
            let heads = holds(&scene.sequencer);
            if heads.latest.number > heads.safe.number && rng.percent(60) {
                scene.world.post(&scene.sequencer).await?;
            }
            scene.world.follow(&scene.sequencer, &scene.full).await?;
            scene.tick().await?;
        }
        scene.recovers().await.map_err(|error| error.wrap_err(format!("seed {seed}")))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_takeover_whose_reference_is_gone_is_left_too() -> eyre::Result<()> {
    let scene = Scene::new().await?;
    let Scene { world, sequencer, full, .. } = &scene;
    let silent = WINDOW_MS / world.spec.da.interval_ms + 2;
    world.ticks(&[sequencer, full], silent).await?;
    let block = world.build(sequencer).await?;
    ensure!(block.plan.claim.takeover.is_some(), "no takeover");
    world.da.reorg(1, |_, _| true);
    scene.tick().await?;
    scene.recovers().await
}

#[tokio::test]
async fn abandoned_blocks_that_become_safe_after_all_stop_nobody() -> eyre::Result<()> {
    let mut world = World::quick("ledger", 1_000)?;
    // Two layers that are equal until one gets our span in time and the other does not.
    let other = World::quick("ledger", 1_000)?.da;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    let step = || {
        world.da_block();
        other.produce(world.now());
    };
    step();
    world.sync(&sequencer).await?;
    world.sync(&full).await?;
    let sent = sequencer.submit(world.transfer(0, 0, 1)).await?;
    let ours = world.builds(&sequencer, 3).await?;
    world.follow(&sequencer, &full).await?;
    other.submit(&world.blobs(&sequencer)?).await?;
    while sequencer.pipeline().snapshot().number_of_claim(ours[0].claim_hash)?.is_some() {
        step();
        world.sync(&sequencer).await?;
        world.sync(&full).await?;
    }
    // The sequencer has left its blocks. Now the layer turns out to be the other one.
    drop((sequencer, full));
    world.da = other;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    let scene = Scene { world, sequencer, full, sent: vec![sent] };
    scene.tick().await?;
    let snapshot = scene.full.pipeline().snapshot();
    assert_eq!(snapshot.number_of_claim(ours[2].claim_hash)?, Some(3));
    scene.recovers().await
}

#[tokio::test]
async fn a_sequencer_rebuilt_from_da_posts_again_what_a_reorg_took() -> eyre::Result<()> {
    let Scene { world, sequencer, full, sent } = Scene::new().await?;
    world.publish(&sequencer, &[&sequencer, &full]).await?;
    drop(sequencer);
    let sequencer = world.open("rebuilt", Role::Sequencer)?;
    world.sync(&sequencer).await?;
    let before = chain_of(&full)?;
    ensure!(chain_of(&sequencer)? == before, "the rebuilt node differs");
    world.da.reorg(2, |_, _| false);
    world.tick(&[&sequencer, &full]).await?;
    let scene = Scene { world, sequencer, full, sent };
    ensure!(chain_of(&scene.sequencer)? == before, "blocks that can be posted again were dropped");
    scene.recovers().await
}

#[tokio::test]
async fn a_reorg_of_the_first_da_block_moves_where_derivation_starts() -> eyre::Result<()> {
    let world = World::quick("ledger", 40)?;
    let full = world.full("full")?;
    world.ticks(&[&full], 3).await?;
    world.da.rewrite(3, |block| {
        block.time_ms += 700;
        true
    });
    world.tick(&[&full]).await?;
    let fresh = world.full("fresh")?;
    world.sync(&fresh).await?;
    ensure!(fresh.cursor().is_some_and(|cursor| cursor.da.height == 4), "nothing was derived");
    ensure!(full.cursor() == fresh.cursor(), "{:?} {:?}", full.cursor(), fresh.cursor());
    Ok(())
}

#[tokio::test]
async fn a_reorg_below_finality_stops_the_node() -> eyre::Result<()> {
    let world = World::quick("ledger", 2)?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    let all = [&sequencer, &full];
    world.tick(&all).await?;
    for _ in 0..6 {
        world.build(&sequencer).await?;
        world.publish(&sequencer, &all).await?;
    }
    let before = chain_of(&full)?;
    world.da.reorg(5, |_, _| false);
    world.da_block();
    let error = world.sync(&full).await.expect_err("a final block would be replaced");
    assert!(matches!(error, NodeError::Safety(_)), "{error}");
    assert_eq!(chain_of(&full)?, before);
    assert!(holds(&full).finalized.number > 0);
    Ok(())
}

#[tokio::test]
async fn who_is_known_only_since_a_reorg_is_kept_when_sent_again() -> eyre::Result<()> {
    let world = World::quick("ledger", 40)?;
    let sequencer = world.sequencer()?;
    world.tick(&[&sequencer]).await?;
    let raw = world.transfer(7, 0, 9);
    let hash = keccak256(&raw);
    world.da.force(raw.clone()).await?;
    while sequencer.pipeline().snapshot().tx(hash)?.is_none() {
        world.tick(&[&sequencer]).await?;
        world.build(&sequencer).await?;
    }
    // Its entry is gone: the block that took it is left, and only the pool has it.
    world.da.reorg(30, |_, bytes| *bytes != raw);
    world.tick(&[&sequencer]).await?;
    ensure!(sequencer.pipeline().snapshot().tx(hash)?.is_none(), "the block is still there");
    let again = sequencer.submit(raw).await;
    ensure!(matches!(again, Err(SubmitError::AlreadyKnown)), "{again:?}");
    let sequencer = reopen(&world, sequencer, "sequencer")?;
    ensure!(sequencer.pool().get(hash).is_some(), "acknowledged, and lost at the restart");
    Ok(())
}
