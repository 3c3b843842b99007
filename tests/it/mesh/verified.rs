//! The verified head: what a chain says of others is checked beside it, and never trusted.

use std::sync::Arc;

use alloy_primitives::B256;
use causeway_chainspec::SpanBlock;
use causeway_node::rpc::backend::Backend;
use causeway_tests::keys;
use causeway_tests::mesh::{Mesh, THREE};
use causeway_tests::world::chain_of;
use eyre::{ContextCompat, ensure};

use super::{ALPHA, BETA, GAMMA, coins};

#[tokio::test]
async fn a_fresh_node_verifies_every_anchor_from_the_sources_da() -> eyre::Result<()> {
    let mut mesh = Mesh::started(&THREE, 1).await?;
    mesh.transfer(0, coins(ALPHA, GAMMA, 30, 900)).await?;
    mesh.rounds(6).await?;
    let remotes = mesh.more_remotes(7)?;
    let member = &mut mesh.members[GAMMA];
    member.world.remotes = remotes.clone();
    let fresh = member.world.full("fresh")?;
    member.world.sync(&fresh).await?;
    fresh.advance_verified(&remotes)?;
    let verified = fresh.verified().context("a member")?;
    ensure!(verified.head.number < fresh.heads().borrow().safe.number, "nothing is known yet");
    ensure!(verified.waiting.is_some() && verified.alarm.is_none());
    for member in &mesh.members {
        let follower = remotes.get(member.world.spec.metalayer.domain).context("followed")?;
        member.world.sync(follower).await?;
    }
    while remotes_move(&mesh, &remotes)? || fresh.advance_verified(&remotes)? {}
    let verified = fresh.verified().context("a member")?;
    assert_eq!(verified.head.number, fresh.heads().borrow().safe.number);
    assert_eq!((verified.waiting, verified.alarm), (None, None));
    Ok(())
}

fn remotes_move(mesh: &Mesh, remotes: &Arc<causeway_node::remote::Remotes>) -> eyre::Result<bool> {
    let mut moved = false;
    for member in &mesh.members {
        let follower = remotes.get(member.world.spec.metalayer.domain).context("followed")?;
        moved |= follower.advance_verified(remotes)?;
    }
    Ok(moved)
}

#[tokio::test]
async fn without_the_sources_data_the_chain_is_the_same_and_unverified() -> eyre::Result<()> {
    let mut mesh = Mesh::started(&THREE, 0).await?;
    mesh.transfer(0, coins(ALPHA, GAMMA, 31, 900)).await?;
    mesh.rounds(6).await?;
    let newest = mesh.members[ALPHA].full.cursor().context("a cursor")?.da.height;
    mesh.members[ALPHA].world.da.prune(newest);
    let remotes = mesh.more_remotes(8)?;
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(remotes.clone().run(stop.clone()));
    let mut changes = remotes.changes();
    while remotes.trouble(mesh.members[ALPHA].world.spec.metalayer.domain).is_none() {
        changes.changed().await?;
    }
    let member = &mut mesh.members[GAMMA];
    member.world.remotes = remotes.clone();
    let fresh = member.world.full("fresh")?;
    member.world.sync(&fresh).await?;
    assert_eq!(chain_of(&fresh)?, chain_of(&member.full)?);
    fresh.advance_verified(&remotes)?;
    let verified = fresh.verified().context("a member")?;
    let waiting = verified.waiting.unwrap_or_default();
    ensure!(waiting.starts_with("unverified (pruned)"), "{waiting}");
    assert_eq!(verified.alarm, None);
    stop.cancel();
    running.await??;
    Ok(())
}

/// A sequencer that seals an anchor of a block that never was.
#[tokio::test]
async fn a_false_anchor_stops_verified_never_safe_and_members_stay_away() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 0).await?;
    let member = &mesh.members[GAMMA];
    let before = member.full.verified().context("a member")?.head.number;
    // The next anchor gamma would seal, with another hash: its form is right, so blocks take it.
    mesh.transfer(0, coins(ALPHA, GAMMA, 32, 900)).await?;
    mesh.build(ALPHA).await?;
    mesh.publish(ALPHA).await?;
    mesh.verify()?;
    let honest = mesh.build(GAMMA).await?;
    let mut claim = honest.plan.claim.clone();
    let anchor = claim.anchors.first_mut().context("gamma anchors alpha")?;
    anchor.hash = B256::repeat_byte(0xfa);
    let body = honest.plan.body.clone();
    claim.candidates_root = body.candidates_root();
    let forged = SpanBlock { claim, body };
    let below = member.sequencer.pipeline().snapshot().block(forged.claim.number - 1)?;
    let below = below.context("the block below")?.plan.claim.clone();
    let span = member.world.span_by(&below, vec![forged], &keys::sequencer())?;
    for blob in member.world.encode_by(&span, &keys::poster())? {
        member.world.da.inject(blob);
    }
    mesh.da_block(GAMMA).await?;
    mesh.verify()?;
    let full = &member.full;
    ensure!(full.heads().borrow().safe.number > before, "safe goes on");
    let verified = full.verified().context("a member")?;
    ensure!(verified.alarm.is_some(), "an alarm: {verified:?}");
    ensure!(verified.head.number < full.heads().borrow().safe.number);
    // Whoever anchors gamma stays below the lie.
    for _ in 0..3 {
        for at in [ALPHA, BETA] {
            mesh.build(at).await?;
            mesh.publish(at).await?;
            mesh.verify()?;
        }
        mesh.da_block(GAMMA).await?;
    }
    let state = mesh.state(ALPHA)?;
    let (anchor, _) =
        causeway_bridge::metalayer::view::anchor(state.as_ref(), 903)?.context("anchored")?;
    ensure!(anchor.number <= verified.head.number, "alpha anchored a lie");
    Ok(())
}
