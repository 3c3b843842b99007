//! A datadir unwound by hand, as `causeway db unwind` does: the node goes on from there.

use std::sync::Arc;

use causeway_execution::{Pipeline, PipelineConfig};
use causeway_node::node::{Node, note_abandoned};
use causeway_tests::world::{World, chain_of};
use eyre::ensure;

/// Drops a node and takes its datadir back to a block.
fn unwind(world: &World, node: Arc<Node>, name: &str, to: u64) -> eyre::Result<()> {
    ensure!(Arc::strong_count(&node) == 1, "{name} is still in use");
    drop(node);
    let (pipeline, _) = Pipeline::open(PipelineConfig {
        datadir: world.datadir(name).into(),
        spec: world.spec.clone(),
        modules: Vec::new(),
        archive: false,
        address_index: None,
        history_blocks: 1024,
        cache_bytes: 16 << 20,
    })?;
    note_abandoned(&pipeline, to, false)?;
    pipeline.unwind(to)?;
    Ok(pipeline.close()?)
}

#[tokio::test]
async fn a_node_unwound_below_its_safe_head_derives_the_same_again() -> eyre::Result<()> {
    let world = World::quick("ledger", 40)?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    world.tick(&[&sequencer, &full]).await?;
    for nonce in 0..6 {
        sequencer.submit(world.transfer(0, nonce, 1)).await?;
        world.build(&sequencer).await?;
        world.post(&sequencer).await?;
        world.tick(&[&sequencer, &full]).await?;
    }
    let before = chain_of(&full)?;
    ensure!(before.len() == 7 && full.heads().borrow().safe.number == 6, "six blocks are safe");
    unwind(&world, full, "full", 2)?;
    let full = world.full("full")?;
    ensure!(full.heads().borrow().latest.number == 2, "it was unwound to block 2");
    world.sync(&full).await?;
    ensure!(chain_of(&full)? == before, "the same DA gives the same chain");

    // A sequencer finds its own blocks on DA again, and builds on them in the same term.
    unwind(&world, sequencer, "sequencer", 3)?;
    let sequencer = world.sequencer()?;
    world.sync(&sequencer).await?;
    ensure!(chain_of(&sequencer)? == before, "the same DA gives the same chain");
    sequencer.submit(world.transfer(0, 6, 1)).await?;
    let block = world.build(&sequencer).await?;
    ensure!(block.header.number == 7 && block.plan.claim.takeover.is_none(), "it goes on");
    world.post(&sequencer).await?;
    world.tick(&[&sequencer, &full]).await?;
    ensure!(chain_of(&full)? == chain_of(&sequencer)?, "the nodes agree");
    Ok(())
}
