//! One node's life: a state that grows large, memory under load on it, and starts after all kinds of
//! ends.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use causeway_tests::load::client;
use causeway_tests::txs::{Draft, Form};
use eyre::{ContextCompat, bail, ensure};
use futures::future::try_join_all;
use jsonrpsee::core::client::{ClientT, Error};
use jsonrpsee::core::params::BatchRequestBuilder;
use jsonrpsee::http_client::HttpClient;
use jsonrpsee::rpc_params;
use revm::bytecode::opcode::*;
use serde_json::Value;
use tempfile::TempDir;

use crate::bench::Bench;
use crate::made::{self, Mix};
use crate::node::{CHAIN_ID, Chain, Node};
use crate::report::{Goal, Row, Section};
use crate::usage::disk_bytes;

/// Cache of the store, MiB: what `node.toml` says.
const CACHE_MIB: u64 = 256;
/// What a node may use besides its caches, MiB.
const BESIDES_MIB: f64 = 512.0;
/// Senders of load: the pool guarantees each of them some places.
const SENDERS: u64 = 200;
/// Transactions of one HTTP request.
const BATCH: usize = 100;
/// Requests at the same time.
const LINES: usize = 8;
/// Gas of a transaction that makes accounts.
const GAS: u64 = 16_000_000;
/// Accounts that it makes: a call with a value to nobody costs about 34,500 gas.
const MADE: u64 = 450;
/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Runtime code that gives one wei to as many accounts as it was sent wei, in the order of their
/// addresses from the one in its call data on.
fn disperser() -> Vec<u8> {
    // [next, left]
    let body = [
        &[PUSH1, 0, CALLDATALOAD, CALLVALUE, JUMPDEST][..],
        // call(gas 0, next, 1 wei, nothing)
        &[PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 1, DUP7, PUSH1, 0, CALL, POP],
        // next + 1, left - 1, again while something is left
        &[SWAP1, PUSH1, 1, ADD, SWAP1, PUSH1, 1, SWAP1, SUB, DUP1, PUSH1, 4, JUMPI, STOP],
    ];
    body.concat()
}

/// Creation code that leaves `runtime`, which is shorter than 256 bytes.
fn creation(runtime: &[u8]) -> Bytes {
    let size = runtime.len() as u8;
    let head = [PUSH1, size, PUSH1, 12, PUSH1, 0, CODECOPY, PUSH1, size, PUSH1, 0, RETURN];
    [&head[..], runtime].concat().into()
}

/// Address of the first account that is made.
fn first() -> U256 {
    U256::from(0xacc0_u64) << 64
}

fn at(number: U256) -> Address {
    Address::from_slice(&number.to_be_bytes::<32>()[12..])
}

/// A creation of the disperser by the first sender, and calls of it that make so many accounts, one
/// each in turn of these senders, all of which have this nonce.
fn makers(senders: &[PrivateKeySigner], nonce: u64, accounts: u64) -> (Bytes, Vec<Bytes>) {
    let mut draft = Draft::transfer(CHAIN_ID, nonce, Address::ZERO, 0);
    draft.to = alloy_primitives::TxKind::Create;
    (draft.gas_limit, draft.input) = (1_000_000, creation(&disperser()));
    let (contract, from) = (senders[0].address().create(nonce), nonce);
    let call = |index: u64| {
        let sender = index % senders.len() as u64;
        let nonce = from + index / senders.len() as u64 + u64::from(sender == 0);
        let count = MADE.min(accounts - index * MADE);
        let mut draft = Draft::transfer(CHAIN_ID, nonce, contract, count.into());
        draft.gas_limit = GAS;
        draft.input = (first() + U256::from(index * MADE)).to_be_bytes::<32>().into();
        draft.sign(Form::Dynamic, &senders[sender as usize])
    };
    let calls = (0..accounts.div_ceil(MADE)).map(call).collect();
    (draft.sign(Form::Dynamic, &senders[0]), calls)
}

/// Sends one batch until all of it is taken or the node is gone; whether it is still there.
async fn send(client: &HttpClient, batch: &[Bytes]) -> eyre::Result<bool> {
    let started = Instant::now();
    let mut left: Vec<&Bytes> = batch.iter().collect();
    while !left.is_empty() {
        let mut calls = BatchRequestBuilder::new();
        for raw in &left {
            calls.insert("eth_sendRawTransaction", rpc_params![raw])?;
        }
        let answers = match client.batch_request::<Value>(calls).await {
            Ok(answers) => answers,
            Err(Error::Transport(_) | Error::RestartNeeded(_)) => return Ok(false),
            Err(Error::RequestTimeout) if started.elapsed() < PATIENCE => continue,
            Err(error) => return Err(error.into()),
        };
        let mut again = Vec::new();
        for (raw, answer) in left.iter().zip(answers) {
            match answer {
                Ok(_) => {}
                Err(error) if error.message().contains("already known") => {}
                Err(error) if error.message().contains("nonce too low") => {}
                // The pool is full: later.
                Err(_) if started.elapsed() < PATIENCE => again.push(*raw),
                Err(error) => bail!("a transaction is not taken: {error}"),
            }
        }
        left = again;
        if !left.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(true)
}

/// Sends everything on some connections, in the order given on each; whether the node stayed.
async fn send_all(url: &str, txs: &[Bytes]) -> eyre::Result<bool> {
    let lines = (0..LINES).map(|line| async move {
        let client = client(url)?;
        for batch in txs.chunks(BATCH).skip(line).step_by(LINES) {
            if !send(&client, batch).await? {
                return Ok(false);
            }
        }
        Ok::<_, eyre::Report>(true)
    });
    Ok(try_join_all(lines).await?.into_iter().all(|stayed| stayed))
}

/// Waits until an answer is what it should be.
async fn until(
    client: &HttpClient,
    what: &str,
    mut done: impl AsyncFnMut(&HttpClient) -> eyre::Result<bool>,
) -> eyre::Result<()> {
    let started = Instant::now();
    while !done(client).await? {
        ensure!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn balance(client: &HttpClient, address: Address) -> eyre::Result<U256> {
    Ok(client.request("eth_getBalance", rpc_params![address, "latest"]).await?)
}

/// Waits until so many transactions of each sender are in blocks.
async fn included(
    client: &HttpClient,
    senders: &[PrivateKeySigner],
    nonces: &[u64],
) -> eyre::Result<()> {
    for (key, nonce) in senders.iter().zip(nonces) {
        until(client, "inclusion", async |client| {
            let address = key.address();
            let count: U256 =
                client.request("eth_getTransactionCount", rpc_params![address, "latest"]).await?;
            Ok(count >= U256::from(*nonce))
        })
        .await?;
    }
    Ok(())
}

/// [`included`], and all of it is safe.
async fn settled(url: &str, senders: &[PrivateKeySigner], nonces: &[u64]) -> eyre::Result<()> {
    let client = client(url)?;
    included(&client, senders, nonces).await?;
    let latest: U256 = client.request("eth_blockNumber", rpc_params![]).await?;
    until(&client, "a safe head", async |client| {
        let status: Value = client.request("rollup_syncStatus", rpc_params![]).await?;
        Ok(U256::from(status["safe"]["number"].as_u64().wrap_err("a safe head")?) >= latest)
    })
    .await
}

/// How many transactions each sender has sent, if they take turns.
fn turns(senders: u64, count: u64) -> Vec<u64> {
    (0..senders).map(|sender| count / senders + u64::from(sender < count % senders)).collect()
}

/// Opens a node on a directory: from the start of the process to its first answer, ms.
fn opened(bench: &Bench, dir: TempDir) -> eyre::Result<(Node, f64)> {
    let started = Instant::now();
    let node = Node::open(bench, dir)?;
    bench.runtime.block_on(async {
        let client = client(&url(&node))?;
        client.request::<Value, _>("eth_blockNumber", rpc_params![]).await?;
        Ok::<_, eyre::Report>(())
    })?;
    Ok((node, started.elapsed().as_secs_f64() * 1e3))
}

fn url(node: &Node) -> String {
    format!("http://{}", node.rpc)
}

/// A node stopped in order and started again, some times.
fn restarts(bench: &Bench, mut node: Node, times: usize) -> eyre::Result<(Node, Vec<f64>)> {
    let mut samples = Vec::new();
    for _ in 0..times {
        let (again, ms) = opened(bench, node.stop()?)?;
        samples.push(ms);
        node = again;
    }
    Ok((node, samples))
}

/// What lies on the disk: (log, everything else of the datadir), bytes.
fn on_disk(node: &Node) -> eyre::Result<(f64, f64)> {
    let log = disk_bytes(&node.datadir().join("log"))?;
    Ok((log as f64, (node.disk_bytes()? - log) as f64))
}

/// The workload `w9-lifetime`: cold starts, memory and disk on one chain.
pub fn run(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    section.title =
        "A node's life: cold starts, memory under load, disk for each transaction".into();
    let times = bench.size.pick(2, 5);
    let accounts = bench.size.pick(9_000, 1_000_000);
    let senders = made::senders(SENDERS);
    let chain = Chain {
        block_ms: 250,
        funded: senders.iter().map(PrivateKeySigner::address).collect(),
        node_toml: format!("[store]\ncache_mib = {CACHE_MIB}\n"),
        ..Chain::default()
    };
    let node = Node::start(bench, &chain)?;
    let (node, samples) = restarts(bench, node, times)?;
    section.row(Row::new("start to first answer, empty", "ms", samples));

    let mut sent = vec![0_u64; senders.len()];
    let node = disk(bench, section, node, &senders, &mut sent)?;
    let started = Instant::now();
    grow(bench, &node, &senders, &mut sent, accounts)?;
    let seconds = started.elapsed().as_secs_f64();
    let what = format!("peak memory while {accounts} accounts are made");
    section.row(Row::new(what, "MiB", vec![mib(node.usage()?.peak_rss)]));
    section.note(format!(
        "{accounts} accounts made through JSON-RPC by a contract that pays {MADE} a transaction, in {seconds:.0} s"
    ));
    let (node, samples) = restarts(bench, node, times)?;
    let what = format!("start to first answer, {accounts} accounts");
    section.row(Row::new(what, "ms", samples));
    memory(bench, section, &node, &senders, &mut sent)?;
    killed(bench, section, node, &senders, &mut sent, times)?;
    section.note(format!("{}; one process: sequencer and DA service", chain.describe()));
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Makes accounts.
fn grow(
    bench: &Bench,
    node: &Node,
    senders: &[PrivateKeySigner],
    sent: &mut [u64],
    accounts: u64,
) -> eyre::Result<()> {
    let (creation, calls) = makers(senders, sent[0], accounts);
    let created = sent[0] + 1;
    let more = turns(senders.len() as u64, calls.len() as u64);
    sent.iter_mut().zip(more).for_each(|(sent, more)| *sent += more);
    sent[0] += 1;
    bench.runtime.block_on(async {
        let url = url(node);
        let client = client(&url)?;
        ensure!(send_all(&url, &[creation]).await?, "the node went away");
        // A call of nobody would succeed.
        included(&client, &senders[..1], &[created]).await?;
        ensure!(send_all(&url, &calls).await?, "the node went away");
        settled(&url, senders, sent).await?;
        let end = first() + U256::from(accounts);
        ensure!(balance(&client, at(end - U256::ONE)).await? == U256::ONE, "the last is not there");
        ensure!(balance(&client, at(end)).await?.is_zero(), "there are more than asked for");
        Ok(())
    })
}

/// So many transfers of all senders in turn, from the nonces they are at.
fn load(senders: &[PrivateKeySigner], sent: &[u64], fresh: u64, rounds: u64) -> Vec<Bytes> {
    let each = |(key, nonce): (&PrivateKeySigner, &u64)| {
        let own = u64::from_be_bytes(*key.address()[..8].first_chunk().expect("8 bytes"));
        let from = (own >> 8) + (fresh << 32);
        let recipients = made::Recipients::Fresh(from);
        let mix = Mix { recipients, nonce: *nonce, ..Mix::FRESH };
        mix.sign(fresh, std::slice::from_ref(key), rounds)
    };
    let all: Vec<_> = senders.iter().zip(sent).map(each).collect();
    (0..rounds as usize).flat_map(|round| all.iter().map(move |own| own[round].clone())).collect()
}

/// Sends so many transfers of each sender and waits until all are safe: how many, and seconds.
fn loaded(
    bench: &Bench,
    node: &Node,
    senders: &[PrivateKeySigner],
    sent: &mut [u64],
    (fresh, rounds): (u64, u64),
) -> eyre::Result<(usize, f64)> {
    let txs = load(senders, sent, fresh, rounds);
    let seconds = bench.runtime.block_on(async {
        let (url, started) = (url(node), Instant::now());
        ensure!(send_all(&url, &txs).await?, "the node went away");
        sent.iter_mut().for_each(|nonce| *nonce += rounds);
        settled(&url, senders, sent).await?;
        Ok::<_, eyre::Report>(started.elapsed().as_secs_f64())
    })?;
    Ok((txs.len(), seconds))
}

/// Disk for each transfer on a chain that holds nothing else.
fn disk(
    bench: &Bench,
    section: &mut Section,
    node: Node,
    senders: &[PrivateKeySigner],
    sent: &mut [u64],
) -> eyre::Result<Node> {
    let before = on_disk(&node)?;
    let rounds = bench.size.pick(10, 300);
    let (count, _) = loaded(bench, &node, senders, sent, (0, rounds))?;
    // Nothing is on its way any more, and what is not needed has been let go.
    let node = Node::open(bench, node.stop()?)?;
    let after = on_disk(&node)?;
    let each = |after: f64, before: f64| vec![(after - before) / count as f64];
    section.row(Row::new("disk: log", "B/tx", each(after.0, before.0)));
    section.row(Row::new("disk: store", "B/tx", each(after.1, before.1)));
    section.note(format!(
        "disk: {count} transfers on a new chain, in blocks of the file system, after a stop and a start"
    ));
    Ok(node)
}

/// Memory while transfers are sent, on a process that did nothing else.
fn memory(
    bench: &Bench,
    section: &mut Section,
    node: &Node,
    senders: &[PrivateKeySigner],
    sent: &mut [u64],
) -> eyre::Result<()> {
    let rounds = bench.size.pick(10, 300);
    let (count, seconds) = loaded(bench, node, senders, sent, (1, rounds))?;
    let peak = mib(node.usage()?.peak_rss);
    section.row(Row::new("peak memory under load", "MiB", vec![peak]));
    let what = "peak memory beside the configured caches";
    let over = Row::new(what, "MiB", vec![peak - CACHE_MIB as f64]);
    section.row(over.goal(Goal::AtMost(BESIDES_MIB)));
    section.note(format!(
        "load: {count} transfers to fresh recipients, batches of {BATCH} on {LINES} connections, all safe after {seconds:.1} s; the configured caches are the store's {CACHE_MIB} MiB"
    ));
    Ok(())
}

/// Starts after `kill -9` in the middle of load. What was acknowledged is there again.
fn killed(
    bench: &Bench,
    section: &mut Section,
    mut node: Node,
    senders: &[PrivateKeySigner],
    sent: &mut [u64],
    times: usize,
) -> eyre::Result<()> {
    let rounds = bench.size.pick(20, 100);
    let mut samples = Vec::new();
    for time in 0..times as u64 {
        let txs = load(senders, sent, 2 + time, rounds);
        let (address, middle) = (url(&node), txs.len() / 2);
        let stayed = bench.runtime.block_on(async {
            ensure!(send_all(&address, &txs[..middle]).await?, "the node went away");
            let sending = tokio::spawn({
                let (address, txs) = (address.clone(), txs[middle..].to_vec());
                async move { send_all(&address, &txs).await }
            });
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, eyre::Report>(sending)
        })?;
        let (again, ms) = opened(bench, node.kill()?)?;
        samples.push(ms);
        node = again;
        let url = url(&node);
        bench.runtime.block_on(async {
            let _went = stayed.await?;
            // All once more: what was acknowledged is known, the rest is not.
            ensure!(send_all(&url, &txs).await?, "the node went away");
            sent.iter_mut().for_each(|nonce| *nonce += rounds);
            settled(&url, senders, sent).await
        })?;
    }
    let row = Row::new("start to first answer, after kill -9 under load", "ms", samples);
    section.row(row.goal(Goal::AtMost(1_000.0)));
    ensure!(node.stop()?.path().exists(), "the directory is gone");
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use causeway_execution::genesis;

    use super::*;
    use crate::raw::{Raw, tx_env};

    #[test]
    fn makers_pay_every_account_one_wei_within_their_gas() {
        let senders = made::senders(2);
        let accounts = 3 * MADE + 7;
        let (creation, calls) = makers(&senders, 0, accounts);
        assert_eq!(calls.len(), 4);
        let spec = made::spec(0, &senders, 0, &[]).unwrap();
        let mut raw = Raw::new(&genesis::env(&spec), spec.genesis.alloc.iter()).unwrap();
        let txs = made::decode(&[vec![creation], calls].concat()).unwrap();
        for tx in &txs {
            assert!(raw.run(tx_env(tx).unwrap()).unwrap() < GAS);
        }
        for (number, wei) in [(0, 1), (MADE, 1), (accounts - 1, 1), (accounts, 0)] {
            let balance = raw.balance(at(first() + U256::from(number))).unwrap();
            assert_eq!(balance, U256::from(wei), "{number}");
        }
    }

    #[test]
    fn load_goes_on_from_the_nonces_that_were_used() {
        assert_eq!(turns(3, 7), [3, 2, 2]);
        let senders = made::senders(2);
        let txs = made::decode(&load(&senders, &[4, 9], 1, 2)).unwrap();
        let nonces: Vec<_> =
            txs.iter().map(|tx| alloy_consensus::Transaction::nonce(&tx.envelope)).collect();
        assert_eq!(nonces, [4, 9, 5, 10]);
        assert_eq!(txs[1].sender, senders[1].address());
    }
}
