//! Devnets of several chains as the binary runs them: each chain answers, everybody has funds, and
//! it goes on after a stop.

use std::path::Path;
use std::process::Command;

use alloy_primitives::U256;
use causeway_node::devkeys;
use causeway_tests::process::{Devnet, causeway};
use causeway_tests::txs::{Draft, Form};
use eyre::ensure;
use jsonrpsee::core::client::ClientT;
use jsonrpsee::http_client::HttpClientBuilder;
use jsonrpsee::rpc_params;
use serde_json::{Value, json};
use tempfile::TempDir;

async fn ask(url: &Value, method: &str, account: impl ToString) -> eyre::Result<U256> {
    let client = HttpClientBuilder::default().build(url.as_str().unwrap_or_default())?;
    Ok(client.request(method, rpc_params![account.to_string(), "latest"]).await?)
}

/// Everybody has 10000 ether on sequencer and full node of every chain.
async fn all_have_funds(devnet: &Devnet) -> eyre::Result<()> {
    let wanted = U256::from(10_000) * U256::from(10).pow(U256::from(18));
    for chain in devnet.endpoints["chains"].as_array().unwrap() {
        for account in devkeys::accounts() {
            for node in ["rpc", "full_rpc"] {
                let balance = ask(&chain[node], "eth_getBalance", account.address()).await?;
                ensure!(balance == wanted, "{balance} at {} of {}", node, chain["name"]);
            }
        }
    }
    Ok(())
}

fn field(devnet: &Devnet, name: &str) -> Vec<Value> {
    let chains = devnet.endpoints["chains"].as_array().unwrap();
    chains.iter().map(|chain| chain[name].clone()).collect()
}

fn down(dir: &Path) -> eyre::Result<String> {
    let output =
        Command::new(causeway()?).args(["devnet", "down", "--datadir"]).arg(dir).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_chains_start_with_funds_and_go_on_after_a_stop() -> eyre::Result<()> {
    let temp = TempDir::new()?;
    let dir = temp.path().join("devnet");
    let devnet = Devnet::start(&dir, &["--chains", "3", "--vm", "evm,evm,ledger"])?;
    ensure!(field(&devnet, "name") == ["alpha", "beta", "gamma"]);
    ensure!(field(&devnet, "vm") == ["evm", "evm", "ledger"]);
    ensure!(field(&devnet, "coin") == ["home", "hub", "hub"]);
    ensure!(field(&devnet, "hub") == [json!(true), json!(false), json!(false)]);
    ensure!(field(&devnet, "domain") == [json!(901), json!(902), json!(903)]);
    let governance = &devnet.endpoints["governance"]["address"];
    ensure!(*governance == devkeys::governance().address().to_string(), "{governance}");
    let network = devnet.endpoints["metalayer"].as_str().unwrap_or_default();
    ensure!(Path::new(network).exists(), "{network}");
    all_have_funds(&devnet).await?;
    ensure!(down(&dir)?.contains("stopped"));
    let (status, _) = devnet.stop()?;
    ensure!(status.success(), "the devnet ended with {status}");

    let again = Devnet::start(&dir, &[])?;
    ensure!(field(&again, "name") == ["alpha", "beta", "gamma"]);
    all_have_funds(&again).await?;
    again.stop()?;

    let fresh = Devnet::start(&dir, &["--fresh"])?;
    ensure!(field(&fresh, "name") == ["alpha"]);
    ensure!(!dir.join("beta").exists() && !dir.join("metalayer.toml").exists());
    fresh.stop()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_with_a_coin_of_its_own_has_funds_from_genesis() -> eyre::Result<()> {
    let temp = TempDir::new()?;
    let devnet = Devnet::start(&temp.path().join("devnet"), &["--chains", "2", "--coin", "own"])?;
    ensure!(field(&devnet, "coin") == ["home", "own"]);
    all_have_funds(&devnet).await?;
    devnet.stop()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_of_ten_milliseconds_are_made_on_demand_alone() -> eyre::Result<()> {
    const SENT: u64 = 20;
    let temp = TempDir::new()?;
    let devnet = Devnet::start(&temp.path().join("devnet"), &["--preset", "low-latency"])?;
    let client = HttpClientBuilder::default().build(devnet.endpoint("rpc"))?;
    let number = async || client.request::<U256, _>("eth_blockNumber", rpc_params![]).await;
    let before = number().await?;
    let key = &devkeys::accounts()[0];
    for nonce in 0..SENT {
        let raw = Draft::transfer(901, nonce, key.address(), 1).sign(Form::Dynamic, key);
        let receipt: Value = client.request("eth_sendRawTransactionSync", rpc_params![raw]).await?;
        ensure!(receipt["status"] == "0x1", "{receipt}");
    }
    // One a transaction; at most the first block, which is due when a node starts, is empty.
    let made = number().await? - before;
    ensure!(made >= U256::from(SENT) && made <= U256::from(SENT + 1), "{made} blocks");
    let spec = std::fs::read_to_string(devnet.endpoint("spec"))?;
    ensure!(spec.contains("block_time = \"10ms\""), "{spec}");
    devnet.stop()?;
    Ok(())
}
