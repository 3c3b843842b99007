//! Members of one Metalayer, node by node: messages and coins between an EVM hub, an EVM chain with
//! a coin of its own, and a ledger chain.

mod faults;
mod random;
mod rpc;
mod solidity;
mod verified;

use alloy_primitives::{Address, TxKind, U256};
use causeway_bridge::metalayer::view;
use causeway_chainspec::DeliveryStatus;
use causeway_tests::contracts::Contract;
use causeway_tests::keys;
use causeway_tests::mesh::{Mesh, THREE, Transfer, Words};
use causeway_tests::world::chain_of;
use eyre::{ContextCompat, ensure};

const ALPHA: usize = 0;
const BETA: usize = 1;
const GAMMA: usize = 2;

fn someone(tag: u8) -> Address {
    Address::repeat_byte(tag)
}

fn coins(from: usize, to: usize, tag: u8, amount: u64) -> Transfer {
    let refund_to = someone(tag ^ 0x80);
    let (recipient, amount, ttl_s) = (someone(tag), U256::from(amount), 0);
    Transfer { from, to, recipient, amount, ttl_s, refund_to }
}

/// A contract on an EVM chain, deployed by the last dev account.
async fn deploy(mesh: &Mesh, at: usize, contract: Contract) -> eyre::Result<Address> {
    let deployer = &keys::accounts()[9];
    let state = mesh.state(at)?.account(deployer.address())?.unwrap_or_default();
    mesh.submit(at, 9, TxKind::Create, U256::ZERO, contract.init().to_vec()).await?;
    mesh.build(at).await?;
    Ok(deployer.address().create(state.nonce))
}

#[tokio::test]
async fn the_seeds_coins_are_there_when_the_network_has_started() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 0).await?;
    let account = keys::accounts()[0].address();
    assert!(mesh.balance(GAMMA, account)? > U256::ZERO);
    for at in [ALPHA, BETA, GAMMA] {
        let state = mesh.state(at)?;
        for other in view::members(state.as_ref())? {
            let lane = view::lane(state.as_ref(), other.domain)?;
            ensure!(lane.is_none_or(|lane| lane.unsettled == 0 && lane.queued == 0));
        }
    }
    Ok(())
}

#[tokio::test]
async fn coins_go_from_every_chain_to_every_other_and_back() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 0).await?;
    // Beta's accounts have no coins of the hub yet.
    for account in 0..4 {
        let recipient = keys::accounts()[account].address();
        let transfer = Transfer { recipient, ..coins(ALPHA, BETA, 1, 1_000_000) };
        mesh.transfer(account, transfer).await?;
    }
    mesh.rounds(4).await?;
    let pairs = [(ALPHA, BETA), (ALPHA, GAMMA), (BETA, ALPHA), (BETA, GAMMA), (GAMMA, ALPHA)];
    let pairs = pairs.into_iter().chain([(GAMMA, BETA)]);
    for (tag, (from, to)) in (10u8..).zip(pairs.clone()) {
        mesh.transfer(usize::from(tag % 4), coins(from, to, tag, 700)).await?;
    }
    mesh.rounds(6).await?;
    for (tag, (from, to)) in (10u8..).zip(pairs) {
        let arrived = mesh.coins(to, someone(tag))?;
        ensure!(arrived == U256::from(700), "{from} to {to}: {arrived} arrived");
        let refund = mesh.balance(from, someone(tag ^ 0x80))?;
        ensure!(!refund.is_zero(), "{from} to {to}: unused gas comes back");
    }
    Ok(())
}

#[tokio::test]
async fn a_contract_receives_what_a_ledger_sends_and_a_failure_comes_back() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 0).await?;
    let logger = deploy(&mesh, ALPHA, Contract::Logger).await?;
    let reverter = deploy(&mesh, ALPHA, Contract::Reverter).await?;
    let words = |recipient| Words {
        from: GAMMA,
        to: ALPHA,
        recipient,
        body: b"hello".to_vec(),
        gas: 100_000,
        ttl_s: 0,
    };
    mesh.message(0, words(logger)).await?;
    mesh.message(1, words(reverter)).await?;
    mesh.message(2, words(someone(0x99))).await?;
    let block = mesh.build(GAMMA).await?;
    let ids = Mesh::ids(&block);
    assert_eq!(ids.len(), 3);
    mesh.rounds(5).await?;
    let state = mesh.state(GAMMA)?;
    let mut ends = Vec::new();
    for id in ids {
        let sent = view::sent(state.as_ref(), id)?.context("sent")?;
        ends.push(sent.settled.context("settled")?.status);
    }
    ends.sort_unstable();
    use DeliveryStatus::{Delivered, NoRecipient, Reverted};
    assert_eq!(ends, [Delivered, Reverted, NoRecipient]);
    Ok(())
}

#[tokio::test]
async fn every_node_agrees_and_a_fresh_one_needs_only_its_own_da() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 1).await?;
    for (tag, (from, to)) in (20u8..).zip([(ALPHA, BETA), (ALPHA, GAMMA), (GAMMA, ALPHA)]) {
        mesh.transfer(0, coins(from, to, tag, 900)).await?;
    }
    mesh.rounds(8).await?;
    for member in &mesh.members {
        let mut world_chain = chain_of(&member.full)?;
        let fresh = member.world.full("fresh")?;
        member.world.sync(&fresh).await?;
        assert_eq!(chain_of(&fresh)?, world_chain);
        let mut sequenced = chain_of(&member.sequencer)?;
        sequenced.truncate(world_chain.len());
        world_chain.truncate(sequenced.len());
        assert_eq!(sequenced, world_chain);
    }
    Ok(())
}
