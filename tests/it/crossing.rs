//! Messages between real processes: sent by the command line, killed with -9 at any step, and how
//! long a delivery takes.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use causeway_node::devkeys;
use causeway_tests::process::{Devnet, causeway};
use eyre::{ContextCompat, WrapErr, ensure};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use jsonrpsee::rpc_params;
use serde_json::Value;
use tempfile::TempDir;

/// Kills and measured messages in CI; a campaign sets more.
const KILLS: u64 = 3;
const MESSAGES: u64 = 4;
/// DA blocks above one that make it final, on the devnet's layer.
const FINAL_DEPTH: u64 = 2;
const CHAINS: [&str; 5] = ["--chains", "3", "--vm", "evm,evm,ledger", "--coin=hub"];

fn size(usual: u64) -> u64 {
    let set = std::env::var("CAUSEWAY_KILLS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn run(dir: &Path, arguments: &[&str]) -> eyre::Result<Output> {
    let mut command = Command::new(causeway()?);
    command.arg("metalayer").args(arguments).arg("--datadir").arg(dir);
    command.output().wrap_err("causeway metalayer")
}

/// Sends one coin to an account of its own; the id if the process lived long enough to say it.
fn transfer(
    dir: &Path,
    (from, to): (&str, &str),
    sender: usize,
    to_whom: Address,
    more: &[&str],
) -> eyre::Result<Value> {
    let key = devkeys::accounts().swap_remove(sender).to_bytes().to_string();
    let recipient = to_whom.to_string();
    let mut arguments = vec!["transfer", "--from", from, "--to", to, "--amount", "1ether"];
    arguments.extend(["--recipient", &recipient, "--key", &key, "--json"]);
    arguments.extend(more);
    let output = run(dir, &arguments)?;
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
}

fn client(devnet: &Devnet, chain: usize, node: &str) -> eyre::Result<HttpClient> {
    let url = devnet.endpoints["chains"][chain][node].as_str().context("an endpoint")?;
    Ok(HttpClientBuilder::default().build(url)?)
}

async fn balance(devnet: &Devnet, chain: usize, account: Address) -> eyre::Result<U256> {
    let client = client(devnet, chain, "rpc")?;
    Ok(client.request("eth_getBalance", rpc_params![account, "latest"]).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_arrives_once_whenever_it_is_killed() -> eyre::Result<()> {
    let temp = TempDir::new()?;
    let dir = temp.path().join("devnet");
    let lanes = [("alpha", "gamma", 2), ("gamma", "alpha", 0), ("beta", "alpha", 0)];
    let (mut sent, mut number) = (Vec::new(), 0u64);
    for round in 0..size(KILLS) {
        let arguments: &[&str] = if round == 0 { &CHAINS } else { &[] };
        let devnet = Devnet::start(&dir, arguments).wrap_err_with(|| format!("start {round}"))?;
        let mut senders = Vec::new();
        for (sender, (from, to, at)) in lanes.into_iter().enumerate() {
            let recipient = Address::left_padding_from(&(0xaa_0000 + number).to_be_bytes());
            number += 1;
            let dir = dir.clone();
            let work = move || transfer(&dir, (from, to), sender, recipient, &[]);
            senders.push((tokio::task::spawn_blocking(work), at, recipient));
        }
        let mut told = Vec::new();
        for (sender, at, recipient) in senders {
            told.push((sender.await??["id"].as_str().map(str::to_owned), at, recipient));
        }
        // Not a wait for anything: the moment of the kill is what varies.
        tokio::time::sleep(Duration::from_millis(100 + round * 433 % 4_000)).await;
        devnet.kill()?;
        sent.extend(told);
    }
    let devnet = Devnet::start(&dir, &[])?;
    for (id, at, recipient) in &sent {
        let id = id.as_ref().context("the command says the id of what it sent")?;
        let output = run(&dir, &["watch", id, "--timeout", "60s"])?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let ether = U256::from(10).pow(U256::from(18));
        ensure!(balance(&devnet, *at, *recipient).await? == ether, "{id} did not arrive once");
    }
    let doctor = run(&dir, &["doctor"])?;
    ensure!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
    devnet.stop()?;
    Ok(())
}

/// Blocks that the destination made after the source's block was final, up to the delivery.
async fn blocks_waited(devnet: &Devnet, message: &Value, final_ms: u64) -> eyre::Result<u64> {
    let gamma = client(devnet, 2, "rpc")?;
    let done = message["timeline"]["done"]["block"].as_u64().context("delivered")?;
    let mut waited = 0;
    for number in (0..=done).rev() {
        let number = format!("{number:#x}");
        let block: Value =
            gamma.request("eth_getBlockByNumber", rpc_params![number, false]).await?;
        let seconds: U256 = serde_json::from_value(block["timestamp"].clone())?;
        let extra: alloy_primitives::Bytes = serde_json::from_value(block["extraData"].clone())?;
        let ms = seconds.to::<u64>() * 1000 + u64::from(u16::from_be_bytes([extra[1], extra[2]]));
        if ms < final_ms {
            break;
        }
        waited += 1;
    }
    Ok(waited)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_follow_finality_within_two_blocks() -> eyre::Result<()> {
    let temp = TempDir::new()?;
    let dir = temp.path().join("devnet");
    let devnet = Devnet::start(&dir, &CHAINS)?;
    let alpha = &devnet.endpoints["chains"][0];
    let path = alpha["spec"].as_str().context("alpha's spec")?;
    let (spec, _) = causeway_node::cli::chainspec::load(Path::new(path))?;
    let settings = [("url".to_owned(), alpha["da"].as_str().context("alpha's da")?.into())];
    let da = causeway_da::open(&spec, &settings.into_iter().collect())?;
    let (mut blocks, mut after) = (Vec::new(), Vec::new());
    for number in 0..size(MESSAGES) {
        let recipient = Address::from_word(B256::from(U256::from(0xbb_0000 + number)));
        let path = dir.clone();
        let sending = move || transfer(&path, ("alpha", "gamma"), 0, recipient, &["--wait"]);
        let message = tokio::task::spawn_blocking(sending).await??;
        let height = message["timeline"]["anchored"]["daHeight"].as_u64().context("anchored")?;
        let final_ms = da.read(height + FINAL_DEPTH).await?.time_ms;
        let done_ms = message["timeline"]["done"]["time"].as_u64().context("delivered")?;
        after.push(done_ms.saturating_sub(final_ms));
        blocks.push(blocks_waited(&devnet, &message, final_ms).await?);
    }
    blocks.sort_unstable();
    after.sort_unstable();
    let middle = blocks.len() / 2;
    println!(
        "blocks after finality {blocks:?}, ms {after:?}, medians {} and {}",
        blocks[middle], after[middle]
    );
    ensure!(blocks[middle] <= 2, "half the deliveries took more than {} blocks", blocks[middle]);
    devnet.stop()?;
    Ok(())
}
