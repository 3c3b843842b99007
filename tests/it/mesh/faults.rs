//! What goes wrong between chains: reorgs, crashes, held-back lanes, late messages, replays, feeds
//! that lie, recipients that burn.

use alloy_primitives::U256;
use causeway_bridge::metalayer::view;
use causeway_chainspec::DeliveryStatus;
use causeway_chainspec::directory::ForcedMessage;
use causeway_chainspec::mailbox::LaneStatus;
use causeway_da::DaBackend;
use causeway_tests::contracts::Contract;
use causeway_tests::mesh::{Mesh, THREE, Transfer, Words};
use eyre::{ContextCompat, ensure};

use super::{ALPHA, BETA, GAMMA, coins, deploy, someone};

/// A reorg of the source's DA below finality: nobody had taken what is gone.
#[tokio::test]
async fn a_reorg_of_the_sources_da_moves_nothing_twice() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 2).await?;
    mesh.transfer(0, coins(ALPHA, GAMMA, 40, 900)).await?;
    mesh.build(ALPHA).await?;
    mesh.publish(ALPHA).await?;
    mesh.verify()?;
    // The block with the message is on DA, and the DA block is replaced before it is final.
    let alpha = &mesh.members[ALPHA];
    alpha.world.da.reorg(1, |_, _| false);
    mesh.da_block(ALPHA).await?;
    ensure!(mesh.coins(GAMMA, someone(40))?.is_zero());
    mesh.rounds(12).await?;
    assert_eq!(mesh.coins(GAMMA, someone(40))?, U256::from(900), "exactly once");
    Ok(())
}

/// A feed that shows a message which DA never has: followers never see the feed.
#[tokio::test]
async fn a_feed_that_contradicts_da_delivers_nothing() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 0).await?;
    let alpha = &mesh.members[ALPHA];
    mesh.transfer(0, coins(ALPHA, GAMMA, 41, 900)).await?;
    let shown = mesh.build(ALPHA).await?;
    alpha.world.follow(&alpha.sequencer, &alpha.full).await?;
    assert_eq!(alpha.full.heads().borrow().latest.hash, shown.hash, "the full node saw it");
    // On DA the sequencer seals another block of that number.
    let parent = alpha.sequencer.heads().borrow().safe;
    let snapshot = alpha.sequencer.pipeline().snapshot();
    let parent = snapshot.block(parent.number)?.context("the safe head")?;
    let claim = alpha.world.claim_on(&parent.plan.claim, shown.plan.claim.time_ms, vec![]);
    let key = causeway_tests::keys::sequencer();
    let span = alpha.world.span_by(&parent.plan.claim, vec![claim], &key)?;
    for blob in alpha.world.encode_by(&span, &causeway_tests::keys::poster())? {
        alpha.world.da.inject(blob);
    }
    mesh.da_block(ALPHA).await?;
    mesh.verify()?;
    ensure!(alpha.full.heads().borrow().latest.hash != shown.hash, "da decides");
    let block = mesh.build(GAMMA).await?;
    ensure!(block.plan.body.inbound.iter().all(|inbound| inbound.items.is_empty()));
    ensure!(mesh.coins(GAMMA, someone(41))?.is_zero());
    // The transaction was acknowledged: it comes back, in a block that is on DA.
    mesh.rounds(8).await?;
    assert_eq!(mesh.coins(GAMMA, someone(41))?, U256::from(900));
    Ok(())
}

#[tokio::test]
async fn sequencers_and_full_nodes_that_restart_go_on_where_they_were() -> eyre::Result<()> {
    let mut mesh = Mesh::started(&THREE, 0).await?;
    for (tag, steps) in (50u8..).zip(0..6) {
        mesh.transfer(0, coins(ALPHA, GAMMA, tag, 900)).await?;
        // Restarted after so many of the steps that a message takes.
        for step in 0..6 {
            let at = [ALPHA, ALPHA, GAMMA, GAMMA, ALPHA, ALPHA][step];
            match step % 2 {
                0 => drop(mesh.build(at).await?),
                _ => mesh.publish(at).await?,
            }
            mesh.verify()?;
            if step == steps {
                mesh.restart(ALPHA).await?;
                mesh.restart(GAMMA).await?;
            }
        }
    }
    mesh.rounds(5).await?;
    for tag in 50..56 {
        assert_eq!(mesh.coins(GAMMA, someone(tag))?, U256::from(900));
    }
    let lane = view::lane(mesh.state(ALPHA)?.as_ref(), 903)?.context("a lane")?;
    assert_eq!(lane.unsettled, 0);
    Ok(())
}

/// Gamma's sequencer holds alpha's lane back: messages expire and are paid back, the lane stalls,
/// and opens again.
#[tokio::test]
async fn a_censored_lane_stalls_and_every_coin_comes_back_once() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 0).await?;
    let late = Transfer { ttl_s: 100, ..coins(ALPHA, GAMMA, 60, 900) };
    mesh.transfer(0, late).await?;
    mesh.build(ALPHA).await?;
    let gamma = &mesh.members[GAMMA];
    // Alpha's blocks do not reach gamma's followers, so gamma builds without them.
    let alpha = &mesh.members[ALPHA].world;
    alpha.post(&mesh.members[ALPHA].sequencer).await?;
    for _ in 0..6 {
        mesh.clock.advance(60_000);
        alpha.da_block();
        alpha.sync(&mesh.members[ALPHA].sequencer).await?;
        mesh.build(GAMMA).await?;
        mesh.publish(GAMMA).await?;
        mesh.verify()?;
    }
    mesh.clock.advance(60_000);
    gamma.world.da.force(ForcedMessage::Demand { domain: 901, height: 5 }.encode()).await?;
    for _ in 0..4 {
        mesh.build(GAMMA).await?;
        mesh.publish(GAMMA).await?;
        mesh.clock.advance(60_000);
    }
    mesh.build(GAMMA).await?;
    let lane = view::lane(mesh.state(GAMMA)?.as_ref(), 901)?.context("a lane")?;
    assert_eq!(lane.status, LaneStatus::Stalled);
    // Alpha sees gamma's final block past the expiry that never took the message.
    mesh.publish(GAMMA).await?;
    mesh.verify()?;
    mesh.build(ALPHA).await?;
    mesh.build(ALPHA).await?;
    let refund = mesh.balance(ALPHA, someone(60 ^ 0x80))?;
    ensure!(refund > U256::from(900), "coins and the whole fee: {refund}");
    // Now the lane moves; what comes too late stays undelivered, and nothing is paid twice.
    mesh.rounds(6).await?;
    ensure!(mesh.coins(GAMMA, someone(60))?.is_zero());
    assert_eq!(mesh.balance(ALPHA, someone(60 ^ 0x80))?, refund);
    let lane = view::lane(mesh.state(GAMMA)?.as_ref(), 901)?.context("a lane")?;
    assert_eq!(lane.status, LaneStatus::Active);
    Ok(())
}

#[tokio::test]
async fn a_recipient_that_burns_all_gas_costs_only_its_sender() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 0).await?;
    let burner = deploy(&mesh, BETA, Contract::Burner).await?;
    let words =
        |gas| Words { from: ALPHA, to: BETA, recipient: burner, body: vec![1; 64], gas, ttl_s: 0 };
    mesh.message(0, words(2_000_000)).await?;
    // More than deliveries of a block may use at all.
    mesh.message(1, words(40_000_000)).await?;
    mesh.transfer(2, coins(ALPHA, BETA, 70, 900)).await?;
    let block = mesh.build(ALPHA).await?;
    let ids = Mesh::ids(&block);
    mesh.rounds(6).await?;
    assert_eq!(mesh.coins(BETA, someone(70))?, U256::from(900), "the lane goes on");
    let state = mesh.state(ALPHA)?;
    let mut ends = Vec::new();
    for id in ids {
        let sent = view::sent(state.as_ref(), id)?.context("sent")?;
        ends.push(sent.settled.context("settled")?.status);
    }
    ends.sort_unstable();
    use DeliveryStatus::{Delivered, GasLimit, Reverted};
    assert_eq!(ends, [Delivered, Reverted, GasLimit]);
    Ok(())
}
