//! Random runs of a whole mesh against a checker that knows nothing of the module's books: every
//! transfer has a recipient and a refund account of its own, so that balances alone tell its fate.

use alloy_primitives::{Address, B256, U256};
use causeway_bridge::metalayer::view;
use causeway_chainspec::mailbox::{Coin, MAILBOX};
use causeway_chainspec::plan::{SUPPLY_SLOT, SYSTEM_ACCOUNT};
use causeway_node::rpc::backend::Backend;
use causeway_tests::drive::seeds;
use causeway_tests::keys;
use causeway_tests::mesh::{Mesh, THREE, Transfer};
use causeway_tests::txs::Rng;
use causeway_tests::world::chain_of;
use eyre::{ContextCompat, ensure};

/// Less than any amount moved, more than any fee.
const BETWEEN: u64 = 1_000_000_000_000_000_000;

/// A transfer as the test asked for it.
struct Asked {
    transfer: Transfer,
    tx: B256,
}

/// Where the coins of a transfer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Its transaction is in no block, or failed.
    Unsent,
    Underway,
    Delivered,
    Refunded,
}

fn address(seed: u64, number: u64, kind: u8) -> Address {
    let mut bytes = [kind; 20];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8..16].copy_from_slice(&number.to_be_bytes());
    Address::from(bytes)
}

/// What balances say of a transfer: never both, never in part.
fn fate(mesh: &Mesh, asked: &Asked) -> eyre::Result<Fate> {
    let Transfer { from, to, recipient, amount, refund_to, .. } = asked.transfer;
    let arrived = mesh.coins(to, recipient)?;
    let own = mesh.members[from].world.spec.metalayer.coin == Coin::Own;
    let back = mesh.coins(from, refund_to)?;
    let refunded = if own { back == amount } else { back > U256::from(BETWEEN) };
    ensure!(arrived.is_zero() || arrived == amount, "{arrived} of {amount} arrived");
    ensure!(!own || back.is_zero() || back == amount, "{back} of {amount} came back");
    match (arrived == amount, refunded) {
        (true, true) => eyre::bail!("delivered and paid back: {:?}", asked.transfer),
        (true, false) => Ok(Fate::Delivered),
        (false, true) => Ok(Fate::Refunded),
        (false, false) if mesh.succeeded(from, asked.tx)? => Ok(Fate::Underway),
        (false, false) => Ok(Fate::Unsent),
    }
}

/// What the hub has locked is exactly what is elsewhere, or on its way; and what the others have
/// is exactly what is there.
fn conserved(mesh: &Mesh, asked: &[Asked], seeded: U256) -> eyre::Result<()> {
    let mut elsewhere = seeded;
    for asked in asked {
        let Transfer { from, to, amount, .. } = asked.transfer;
        match fate(mesh, asked)? {
            // From the hub: locked until delivered there or paid back here.
            Fate::Underway => elsewhere += if from == 0 { amount } else { U256::ZERO },
            Fate::Delivered if from == 0 => elsewhere += amount,
            Fate::Delivered if to == 0 => elsewhere -= amount,
            Fate::Delivered | Fate::Refunded | Fate::Unsent => {}
        }
    }
    let mut there = supply(mesh, 2)? + tokens(mesh)?;
    for asked in asked {
        if fate(mesh, asked)? == Fate::Underway {
            there += asked.transfer.amount;
        }
    }
    ensure!(there == elsewhere, "{there} are on other chains or on their way, not {elsewhere}");
    let state = mesh.state(0)?;
    let escrow = view::supply(state.as_ref())?.escrow;
    let held = mesh.balance(0, MAILBOX)?;
    ensure!(held == elsewhere + escrow, "the hub holds {held}, {elsewhere} are elsewhere");
    Ok(())
}

/// Coins on a chain: all of them, whoever has them.
fn supply(mesh: &Mesh, at: usize) -> eyre::Result<U256> {
    Ok(mesh.state(at)?.slot(SYSTEM_ACCOUNT, SUPPLY_SLOT)?)
}

/// All ERC-20 of the hub's coin on beta.
fn tokens(mesh: &Mesh) -> eyre::Result<U256> {
    let token = view::supply(mesh.state(1)?.as_ref())?.token.context("beta has coins")?;
    Ok(U256::from_be_slice(&mesh.call(1, token, vec![0x18, 0x16, 0x0d, 0xdd])?))
}

async fn run(seed: u64, operations: u64) -> eyre::Result<[u64; 4]> {
    let mut rng = Rng::new(seed);
    let mut mesh = Mesh::started(&THREE, rng.below(2)).await?;
    // Beta's accounts get coins of the hub first.
    for account in 0..4 {
        let recipient = keys::accounts()[account].address();
        let amount = U256::from(500) * U256::from(BETWEEN);
        let (refund_to, ttl_s) = (recipient, 0);
        let first = Transfer { from: 0, to: 1, recipient, amount, ttl_s, refund_to };
        mesh.transfer(account, first).await?;
    }
    mesh.rounds(6).await?;
    let hub = supply(&mesh, 0)?;
    let state = mesh.state(0)?;
    let seeded = mesh.balance(0, MAILBOX)? - view::supply(state.as_ref())?.escrow;
    drop(state);
    let mut asked: Vec<Asked> = Vec::new();
    let mut done = 0;
    while done < operations {
        for _ in 0..1 + rng.below(6) {
            let from = rng.below(3) as usize;
            let to = (from + 1 + rng.below(2) as usize) % 3;
            let number = asked.len() as u64;
            let amount = U256::from(BETWEEN) + U256::from(1 + rng.below(BETWEEN));
            let transfer = Transfer {
                from,
                to,
                recipient: address(seed, number, 1),
                amount,
                ttl_s: if rng.percent(30) { 1 + rng.below(20) } else { 0 },
                refund_to: address(seed, number, 2),
            };
            let account = rng.below(4) as usize;
            if let Ok(tx) = mesh.transfer(account, transfer).await {
                asked.push(Asked { transfer, tx });
            }
            done += 1;
        }
        for _ in 0..1 + rng.below(5) {
            done += 1;
            step(&mut mesh, &mut rng).await?;
        }
        conserved(&mesh, &asked, seeded)?;
        ensure!(supply(&mesh, 0)? == hub, "coins of the hub were made or unmade at home");
    }
    mesh.rounds(12).await?;
    mesh.clock.advance(30_000);
    mesh.rounds(12).await?;
    conserved(&mesh, &asked, seeded)?;
    let mut ends = [0; 4];
    for asked in &asked {
        ends[fate(&mesh, asked)? as usize] += 1;
    }
    for member in &mesh.members {
        let (full, sequencer) = (chain_of(&member.full)?, chain_of(&member.sequencer)?);
        ensure!(sequencer.starts_with(&full), "seed {seed}: nodes of a chain disagree");
        let verified = member.full.verified().context("a member")?.head.number;
        ensure!(verified == member.full.heads().borrow().safe.number, "seed {seed}: {verified}");
    }
    Ok(ends)
}

/// One thing that happens to the mesh.
async fn step(mesh: &mut Mesh, rng: &mut Rng) -> eyre::Result<()> {
    let at = rng.below(3) as usize;
    match rng.below(100) {
        0..=44 => drop(mesh.build(at).await?),
        45..=84 => mesh.publish(at).await?,
        85..=89 => mesh.clock.advance(1_000 + rng.below(20_000)),
        90..=93 => {
            let depth = rng.below(2) as usize;
            if depth > 0 && mesh.members[at].world.final_depth > 0 {
                mesh.members[at].world.da.reorg(depth, |_, _| false);
                mesh.da_block(at).await?;
            }
        }
        94..=96 => mesh.restart(at).await?,
        _ => mesh.da_block(at).await?,
    }
    mesh.verify()
}

#[tokio::test]
async fn coins_are_conserved_whatever_happens() -> eyre::Result<()> {
    let mut ends = [0; 4];
    let operations = std::env::var("CAUSEWAY_OPERATIONS").ok().and_then(|n| n.parse().ok());
    for seed in seeds(1) {
        let counts = run(seed, operations.unwrap_or(150)).await?;
        ends.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let [unsent, underway, delivered, refunded] = ends;
    println!("{delivered} delivered, {refunded} paid back, {unsent} never sent");
    ensure!(underway == 0 && delivered > 10, "{ends:?}");
    Ok(())
}
