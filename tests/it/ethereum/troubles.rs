//! Trouble on a real parent chain: deaths around posts, dear gas, a nonce that is taken, a rival
//! with the same keys, and a dead sequencer.

use alloy_primitives::{Address, B256, U256};
use causeway_tests::anvil::Anvil;
use causeway_tests::drive::seeds;
use causeway_tests::keys;
use causeway_tests::load::client;
use causeway_tests::process::{Process, free_port, signal};
use eyre::{ContextCompat, ensure};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::amount;
use super::chain::{Chain, balance, head, receipt, submit, transfer};

const GWEI: u128 = 1_000_000_000;
/// Most that the poster offers for a unit of gas, if its settings do not say otherwise.
const MAX_FEE: u128 = 200 * GWEI;
/// So dear that six blocks go by before it is below that.
const SPIKE: u128 = 500 * GWEI;
/// The account that pays for posts.
fn payer() -> Address {
    keys::accounts()[3].address()
}

/// A sequencer and a full node that follows it, with their URLs; the first transfer is safe.
async fn running() -> eyre::Result<(Chain, String, String)> {
    let mut chain = Chain::start().await?;
    let sequencer = chain.run("sequencer", false).await?;
    let full = chain.run("full", true).await?;
    let first = submit(&sequencer, transfer(0, 0)).await?;
    chain.is_safe(&full, first).await?;
    Ok((chain, sequencer, full))
}

/// Starts a sequencer with the chain's keys, on the datadir of a name and at a URL.
async fn sequence(chain: &mut Chain, name: &str, url: &str) -> eyre::Result<()> {
    let file = |name: &str| chain.file(name).to_string_lossy().into_owned();
    let files = ["chain.toml", "sequencer.toml", name, "sequencer.key", "poster.key"];
    let [spec, settings, data, seals, posts] = files.map(file);
    let listen = url.trim_start_matches("http://");
    let mut arguments = vec!["run", "--chain", &spec, "--node", &settings, "--datadir", &data];
    arguments.extend(["--http", listen, "--log-filter", "info", "--role", "sequencer"]);
    arguments.extend(["--sequencer-key", &seals, "--poster-key", &posts]);
    let process = Process::start(&arguments, &[], &chain.file(&format!("{name}.log")))?;
    chain.nodes.push((name.to_owned(), url.to_owned(), process));
    chain.until(&format!("{name} serves"), async || Ok(head(url, "latest").await.is_ok())).await
}

/// Takes a node out of the fixture, for its end.
fn take(chain: &mut Chain, name: &str) -> eyre::Result<Process> {
    let at = chain.nodes.iter().position(|(found, ..)| found == name);
    Ok(chain.nodes.remove(at.context("a node of that name")?).2)
}

/// What a node has said, over all its lives.
fn said(chain: &Chain, name: &str) -> String {
    let found = chain.nodes.iter().find(|(found, ..)| found == name);
    found.map(|(.., process)| process.said()).unwrap_or_default()
}

/// The parent makes a block every so many seconds from now on; none if 0.
async fn block_every(anvil: &Anvil, seconds: u64) -> eyre::Result<()> {
    anvil.call("evm_setIntervalMining", json!([seconds])).await.map(drop)
}

/// Waits for the parent's next block.
async fn next_block(chain: &Chain) -> eyre::Result<()> {
    let height = chain.anvil.height().await?;
    chain.until("a block of the parent", async || Ok(chain.anvil.height().await? > height)).await
}

/// A block of the parent with its transactions.
async fn parent(anvil: &Anvil, at: &str) -> eyre::Result<Value> {
    anvil.call("eth_getBlockByNumber", json!([at, true])).await
}

/// The payer's transactions in a block of the parent.
async fn landed(anvil: &Anvil, at: &str) -> eyre::Result<Vec<Value>> {
    let block = parent(anvil, at).await?;
    let mut txs = block["transactions"].as_array().cloned().unwrap_or_default();
    txs.retain(|tx| tx["from"] == json!(payer()));
    Ok(txs)
}

/// The payer's transactions in the pool.
async fn waiting(anvil: &Anvil) -> eyre::Result<Vec<Value>> {
    let mut txs = anvil.pool().await?;
    txs.retain(|tx| tx["from"] == json!(payer()));
    Ok(txs)
}

/// Waits until none of the payer's transactions is in the pool.
async fn none_waits(chain: &Chain) -> eyre::Result<()> {
    chain.until("nothing in the pool", async || Ok(waiting(&chain.anvil).await?.is_empty())).await
}

/// Hashes of the payer's transactions in the pool and in the newest block.
async fn posts(anvil: &Anvil) -> eyre::Result<Vec<B256>> {
    let mut txs = waiting(anvil).await?;
    txs.extend(landed(anvil, "latest").await?);
    txs.iter().map(Anvil::hash).collect()
}

/// The other has the same blocks as the first, as far as those are safe.
async fn agree(chain: &Chain, first: &str, other: &str) -> eyre::Result<()> {
    let (number, hash) = head(first, "safe").await?;
    chain.until("as many safe blocks", async || Ok(head(other, "safe").await?.0 >= number)).await?;
    let theirs = head(other, &format!("{number:#x}")).await?.1;
    ensure!(theirs == hash, "block {number} is {hash} and {theirs}");
    Ok(())
}

/// Hashes of all transactions in the safe blocks of a node.
async fn safe_txs(url: &str) -> eyre::Result<Vec<B256>> {
    let client = client(url)?;
    let mut found: Vec<B256> = Vec::new();
    for number in 1..=head(url, "safe").await?.0 {
        let at = format!("{number:#x}");
        let mut block: Value =
            client.request("eth_getBlockByNumber", rpc_params![at, false]).await?;
        found.extend(serde_json::from_value::<Vec<B256>>(block["transactions"].take())?);
    }
    Ok(found)
}

/// A full node says so if a span comes whose blocks are all safe: it was posted twice.
fn posted_once(chain: &Chain) -> eyre::Result<()> {
    let said = said(chain, "full");
    let twice: Vec<_> = said.lines().filter(|line| line.contains("is safe already")).collect();
    ensure!(twice.is_empty(), "posted twice: {twice:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_minus_nine_around_posts_loses_and_doubles_nothing() -> eyre::Result<()> {
    let (mut chain, sequencer, full) = running().await?;
    let mut sent = Vec::new();
    for round in seeds(4) {
        // In every second round a post waits for its block for up to three seconds.
        block_every(&chain.anvil, 1 + 2 * (round % 2)).await?;
        let before = posts(&chain.anvil).await?;
        for _ in 0..3 {
            let nonce = 1 + sent.len() as u64;
            sent.push(submit(&sequencer, transfer(0, nonce)).await?);
        }
        chain
            .until("a post", async || {
                Ok(posts(&chain.anvil).await?.iter().any(|post| !before.contains(post)))
            })
            .await?;
        take(&mut chain, "sequencer")?.kill()?;
        if round % 4 == 3 {
            // It lands while nobody is there.
            none_waits(&chain).await?;
        }
        sequence(&mut chain, "sequencer", &sequencer).await?;
    }
    block_every(&chain.anvil, 1).await?;
    for tx in &sent {
        chain.is_safe(&full, *tx).await?;
    }
    let received = balance(&full).await?;
    ensure!(received == U256::from(1 + sent.len()), "{received} of {} transfers", 1 + sent.len());
    agree(&chain, &full, &sequencer).await?;
    posted_once(&chain)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fee_spike_delays_posts_and_loses_nothing() -> eyre::Result<()> {
    let (chain, sequencer, full) = running().await?;
    let anvil = &chain.anvil;
    chain
        .until("a dear block", async || {
            anvil.set_base_fee(SPIKE).await?;
            Ok(amount(&parent(anvil, "latest").await?, "baseFeePerGas") > MAX_FEE)
        })
        .await?;
    let mut sent = Vec::new();
    let end = anvil.height().await? + 8;
    while anvil.height().await? < end {
        let tx = submit(&sequencer, transfer(0, 1 + sent.len() as u64)).await?;
        chain
            .until("a block in the spike", async || {
                anvil.set_base_fee(SPIKE).await?;
                Ok(receipt(&full, tx).await?["status"] == "0x1")
            })
            .await?;
        sent.push(tx);
    }
    // Nothing of it is posted at that price; it is when the price has come down.
    let number = amount(&receipt(&full, sent[0]).await?, "blockNumber");
    let safe = u128::from(head(&full, "safe").await?.0);
    ensure!(number > safe, "block {number} of the spike is posted: {safe} is safe");
    for tx in &sent {
        chain.is_safe(&full, *tx).await?;
    }
    agree(&chain, &full, &sequencer).await?;

    let mut count = 0;
    for height in 0..=anvil.height().await? {
        for tx in landed(anvil, &format!("{height:#x}")).await? {
            let found = anvil.call("eth_getTransactionReceipt", json!([tx["hash"]])).await?;
            let paid = amount(&found, "effectiveGasPrice");
            ensure!((1..=MAX_FEE).contains(&paid), "{paid} wei a gas: {found}");
            count += 1;
        }
    }
    ensure!(count >= 2, "{count} posts");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_nonce_is_replaced() -> eyre::Result<()> {
    let (chain, sequencer, full) = running().await?;
    let id = chain.nodes[0].2.id();
    // The post takes the place of what waits; or it does not come before that has landed.
    for (nonce, replaced) in [(1, true), (2, false)] {
        // While the sequencer sleeps, a transfer takes the payer's next nonce.
        signal(id, Signal::STOP)?;
        next_block(&chain).await?;
        none_waits(&chain).await?;
        if replaced {
            block_every(&chain.anvil, 0).await?;
        }
        let request = json!([{ "from": payer(), "to": payer(), "gas": "0x5208",
            "maxFeePerGas": format!("{:#x}", 5 * GWEI), "maxPriorityFeePerGas": "0x1" }]);
        let stuck = chain.anvil.call("eth_sendTransaction", request).await?;
        if !replaced {
            none_waits(&chain).await?;
        }
        signal(id, Signal::CONT)?;
        let sent = submit(&sequencer, transfer(0, nonce)).await?;
        if replaced {
            chain
                .until("a higher bid", async || {
                    let txs = waiting(&chain.anvil).await?;
                    Ok(txs.iter().any(|tx| tx["hash"] != stuck))
                })
                .await?;
            block_every(&chain.anvil, 1).await?;
        }
        let block = chain.is_safe(&full, sent).await?;
        ensure!(chain.is_safe(&sequencer, sent).await? == block, "both have it in one block");
        let found = chain.anvil.call("eth_getTransactionReceipt", json!([stuck])).await?;
        ensure!(found.is_null() == replaced, "replaced is {replaced}: {found}");
    }
    posted_once(&chain)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sequencers_with_one_key_do_not_double() -> eyre::Result<()> {
    let (mut chain, sequencer, full) = running().await?;
    let rival = format!("http://127.0.0.1:{}", free_port()?);
    sequence(&mut chain, "rival", &rival).await?;
    let mut sent = Vec::new();
    for nonce in 1..=8 {
        sent.push(submit(&sequencer, transfer(0, nonce)).await?);
        next_block(&chain).await?;
    }
    // The blocks of one of them get to the parent first, and the other leaves its own.
    let left = |name: &str| said(&chain, name).contains("blocks dropped");
    chain.until("one that steps back", async || Ok(left("sequencer") || left("rival"))).await?;
    let (status, _) = take(&mut chain, "rival")?.stop()?;
    ensure!(status.success(), "the rival ended with {status}");

    // The first goes on, if it had to leave blocks then in a new term.
    let last = submit(&sequencer, transfer(0, 9)).await?;
    sent.push(last);
    for tx in &sent {
        chain.is_safe(&full, *tx).await?;
    }
    // Receipts may have been those of blocks that were left meanwhile: safe blocks say it.
    chain
        .until("all transfers in safe blocks", async || {
            let found = safe_txs(&full).await?;
            Ok(sent.iter().all(|tx| found.contains(tx)))
        })
        .await?;
    let found = safe_txs(&full).await?;
    for tx in &sent {
        let count = found.iter().filter(|found| *found == tx).count();
        ensure!(count == 1, "{tx} is in {count} safe blocks");
    }
    let received = balance(&full).await?;
    ensure!(received == U256::from(1 + sent.len()), "{received} of {} transfers", 1 + sent.len());
    if said(&chain, "sequencer").contains("blocks dropped") {
        let finality: Value =
            client(&full)?.request("rollup_getFinality", rpc_params![last]).await?;
        let term = finality["sequenced"]["term"].as_u64().context("a term")?;
        ensure!(term > 0, "blocks were left, and the term is the old one: {finality}");
    }
    agree(&chain, &full, &sequencer).await?;
    posted_once(&chain)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_transaction_lands_with_a_dead_sequencer() -> eyre::Result<()> {
    let (mut chain, sequencer, full) = running().await?;
    let kept = submit(&sequencer, transfer(0, 1)).await?;
    take(&mut chain, "sequencer")?.kill()?;

    let (forced, _) = chain.force_in_time(&full, &transfer(6, 0)).await?;

    // The sequencer comes back to a chain that went on without it, with what it had acknowledged.
    sequence(&mut chain, "sequencer", &sequencer).await?;
    let next = submit(&sequencer, transfer(0, 2)).await?;
    for tx in [forced, kept, next] {
        let block = chain.is_safe(&full, tx).await?;
        ensure!(chain.is_safe(&sequencer, tx).await? == block, "{tx} is in two blocks");
    }
    agree(&chain, &full, &sequencer).await
}
