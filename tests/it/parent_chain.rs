//! A chain whose DA blocks are those of a parent chain: messages run exactly once, blocks name
//! origins, and keys change by what the parent says. The layer is in memory, so that it can be told
//! what to say; `ethereum` runs the same against anvil.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use causeway_chainspec::{KeyRole, KeyUpdate, Origin, Tx, l1};
use causeway_da::DaBackend;
use causeway_da::codec::{self, EncodeOptions};
use causeway_node::node::Node;
use causeway_tests::clock::ManualClock;
use causeway_tests::drive::{DRIFT_MS, WINDOW_MS, quick_spec};
use causeway_tests::keys;
use causeway_tests::world::{GENESIS_MS, World, chain_of};
use eyre::{ContextCompat, ensure};
use op_alloy_consensus::TxDeposit;

const MINTER: Address = Address::repeat_byte(0x31);
const RECEIVER: Address = Address::repeat_byte(0x32);

fn world(vm: &str) -> eyre::Result<World> {
    let mut spec = quick_spec(vm)?;
    spec.da.layer = "ethereum".into();
    World::of(Arc::new(spec), Arc::new(ManualClock::new(GENESIS_MS + 1000)), 40)
}

/// A message as the portal's event is read: mints 5 to its sender and sends 3 on.
fn message(place: u64) -> Tx {
    Tx::deposit(TxDeposit {
        source_hash: l1::source_hash(B256::ZERO, place),
        from: MINTER,
        to: TxKind::Call(RECEIVER),
        mint: 5,
        value: U256::from(3),
        gas_limit: 100_000,
        is_system_transaction: false,
        input: Bytes::new(),
    })
}

/// How often a transaction stands on the chain of a node.
fn count(node: &Node, hash: B256) -> eyre::Result<usize> {
    let snapshot = node.pipeline().snapshot();
    let mut found = 0;
    for number in 0..=snapshot.latest().number {
        let block = snapshot.block(number)?.context("a block of the chain")?;
        found += block.txs.iter().filter(|tx| tx.hash == hash).count();
    }
    Ok(found)
}

async fn messages_run_exactly_once(vm: &str, alive: bool) -> eyre::Result<()> {
    let world = world(vm)?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    let nodes = [&sequencer, &full];
    world.tick(&nodes).await?;
    // The second cannot begin: 100 gas. Its mint stays. The third is a signed transaction.
    let mut poor = message(2);
    if let causeway_chainspec::TxEnvelope::Deposit(deposit) = &poor.envelope {
        poor = Tx::deposit(TxDeposit { gas_limit: 100, ..deposit.clone().into_inner() });
    }
    let (first, transfer) = (message(1), world.transfer(3, 0, 11));
    for entry in [&first.raw, &poor.raw, &transfer] {
        world.da.force(entry.clone()).await?;
    }
    for _ in 0..(WINDOW_MS + DRIFT_MS + 20_000) / world.spec.da.interval_ms {
        if alive {
            world.builds(&sequencer, 2).await?;
            world.post(&sequencer).await?;
        }
        world.tick(&nodes).await?;
    }
    for node in nodes {
        for hash in [first.hash, poor.hash, alloy_primitives::keccak256(&transfer)] {
            ensure!(count(node, hash)? == 1, "{hash} stands {} times", count(node, hash)?);
        }
        let snapshot = node.pipeline().snapshot();
        let state = snapshot.state(snapshot.latest().number)?.context("the newest state")?;
        let [minter, receiver] = [MINTER, RECEIVER].map(|address| state.account(address));
        let (minter, receiver) = (minter?.context("a minter")?, receiver?.context("a receiver")?);
        ensure!(minter.balance == U256::from(7), "minted 5 twice, sent 3 on once: {minter:?}");
        ensure!((minter.nonce, receiver.balance) == (2, U256::from(3)));
        let (block, at) = snapshot.tx(poor.hash)?.context("it is on the chain")?;
        ensure!(!block.receipts[at].success && block.receipts[at].gas_used == 100);
    }
    ensure!(chain_of(&full)? == chain_of(&sequencer)?, "the full node differs");
    // Replayed from the log, and rebuilt from DA alone.
    let chain = chain_of(&sequencer)?;
    drop(full);
    let full = world.full("full")?;
    ensure!(chain_of(&full)? == chain, "it differs after a restart");
    let fresh = world.full("fresh")?;
    world.sync(&fresh).await?;
    ensure!(chain_of(&fresh)? == chain, "a fresh node differs");
    Ok(())
}

#[tokio::test]
async fn messages_run_exactly_once_on_the_evm() -> eyre::Result<()> {
    messages_run_exactly_once("evm", true).await
}

#[tokio::test]
async fn messages_run_exactly_once_on_the_ledger() -> eyre::Result<()> {
    messages_run_exactly_once("ledger", true).await
}

#[tokio::test]
async fn messages_run_without_a_sequencer() -> eyre::Result<()> {
    messages_run_exactly_once("evm", false).await
}

/// Origins by number of a node's blocks above genesis.
fn origins(node: &Node) -> eyre::Result<Vec<Option<Origin>>> {
    let snapshot = node.pipeline().snapshot();
    let numbers = 1..=snapshot.latest().number;
    let blocks = numbers.map(|number| snapshot.block(number)?.context("a block of the chain"));
    blocks.map(|block| Ok(block?.plan.claim.origin)).collect()
}

#[tokio::test]
async fn blocks_name_origins_that_a_reorg_takes_back() -> eyre::Result<()> {
    let world = world("ledger")?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    let nodes = [&sequencer, &full];
    for round in 0..12 {
        world.tick(&nodes).await?;
        if round == 5 {
            world.post(&sequencer).await?;
        }
        world.builds(&sequencer, 2).await?;
        world.follow(&sequencer, &full).await?;
    }
    let named = origins(&sequencer)?;
    ensure!(origins(&full)? == named, "the feed carries them");
    let known: Vec<Origin> = named.iter().copied().flatten().collect();
    ensure!(known.len() > 6 && known.is_sorted_by_key(|origin| origin.number), "{known:?}");
    let newest = *known.last().context("some")?;
    let cursor = sequencer.cursor().context("a cursor")?;
    ensure!(newest.number + 4 == cursor.da.height, "{newest:?} under {:?}", cursor.da);
    ensure!(world.da.read(newest.number).await?.da.hash == newest.hash);
    let header = sequencer.pipeline().snapshot().header(named.len() as u64)?;
    let header = header.context("the newest header")?;
    ensure!(header.parent_beacon_block_root == Some(newest.hash), "what contracts see of it");

    // Six blocks of the parent go, the origin of the newest of ours with them.
    world.da.reorg(6, |_, _| true);
    world.ticks(&nodes, 8).await?;
    let gone = cursor.da.height - 6;
    for node in nodes {
        let left = origins(node)?;
        ensure!(left.len() < named.len(), "blocks that lean on it are dropped");
        ensure!(left.iter().flatten().all(|origin| origin.number <= gone), "{left:?}");
    }
    // All goes on, in a new term: it signed blocks that are gone.
    world.publish(&sequencer, &nodes).await?;
    world.tick(&nodes).await?;
    world.builds(&sequencer, 2).await?;
    world.publish(&sequencer, &nodes).await?;
    ensure!(chain_of(&full)? == chain_of(&sequencer)?, "the full node differs");
    let safe = full.heads().borrow().safe;
    ensure!(safe.number == full.heads().borrow().latest.number, "all of it is safe");
    let newest = origins(&full)?.last().copied().flatten().context("it has an origin")?;
    ensure!(world.da.read(newest.number).await?.da.hash == newest.hash);
    Ok(())
}

#[tokio::test]
async fn a_poster_is_changed_by_the_parent_chain() -> eyre::Result<()> {
    let world = world("ledger")?;
    let (sequencer, full) = (world.sequencer()?, world.full("full")?);
    let nodes = [&sequencer, &full];
    world.tick(&nodes).await?;
    let new = &keys::accounts()[7];
    world.da.set_keys(KeyUpdate::new(KeyRole::Posters, vec![new.address()]));
    world.tick(&nodes).await?;
    let due = full.cursor().context("a cursor")?.time_ms + WINDOW_MS + DRIFT_MS;
    let safe = |node: &Node| node.heads().borrow().safe.number;
    while full.cursor().context("a cursor")?.time_ms + world.spec.da.interval_ms < due {
        world.builds(&sequencer, 1).await?;
        let before = safe(&full);
        world.publish(&sequencer, &nodes).await?;
        ensure!(safe(&full) > before, "the old key posts until then");
    }
    world.builds(&sequencer, 2).await?;
    let before = safe(&full);
    world.publish(&sequencer, &nodes).await?;
    ensure!(safe(&full) == before, "the old key posts no more");
    ensure!(full.dropped_blobs() == 1, "and its blob was dropped unread");
    let span = sequencer.span_from(before + 1, 4 << 20)?.context("blocks to post")?;
    let options = EncodeOptions::default();
    let blobs = codec::encode(&span, &world.spec.vm, new, &options, 128 << 10)?;
    world.da.submit(&blobs).await?;
    world.tick(&nodes).await?;
    ensure!(safe(&full) == before + 2, "the new one does");
    // A node that comes later finds the same.
    let fresh = world.full("fresh")?;
    world.sync(&fresh).await?;
    ensure!(chain_of(&fresh)? == chain_of(&full)?, "a fresh node differs");
    Ok(())
}
