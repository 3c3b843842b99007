//! Devnets with a parent chain: one chain's blocks are blobs of it, another's lie with a local service,
//! and both are members of one Metalayer.

use std::path::Path;
use std::process::Command;

use alloy_primitives::{Address, U256};
use causeway_tests::anvil::program_dir;
use causeway_tests::keys;
use causeway_tests::load::client;
use causeway_tests::process::{Begun, Devnet, Environment, causeway};
use eyre::{ContextCompat, WrapErr, bail, ensure};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use serde_json::Value;
use tempfile::TempDir;

const RECIPIENT: Address = Address::repeat_byte(0xc4);

/// Starts one that finds anvil on its PATH.
pub(super) fn start(dir: &Path, arguments: &[&str]) -> eyre::Result<Devnet> {
    let path = std::env::join_paths(
        [program_dir()?]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let environment: Environment<'_> = &[("PATH", path.to_string_lossy().into_owned())];
    match Devnet::begin(dir, arguments, environment)? {
        Begun::Ready(devnet) => Ok(devnet),
        Begun::Ended(status) => {
            let log = std::fs::read_to_string(dir.with_extension("log")).unwrap_or_default();
            bail!("the devnet ended with {status}:\n{log}")
        }
    }
}

fn chain(devnet: &Devnet, index: usize, field: &str) -> String {
    devnet.endpoints["chains"][index][field].as_str().unwrap_or_default().to_owned()
}

/// Sends a coin from one chain to the other, and waits until that has settled.
fn transfer(dir: &Path, from: &str, to: &str) -> eyre::Result<()> {
    let key = keys::accounts()[0].to_bytes().to_string();
    let recipient = RECIPIENT.to_string();
    let output = Command::new(causeway()?)
        .args(["metalayer", "transfer", "--from", from, "--to", to, "--amount", "1ether"])
        .args(["--recipient", &recipient, "--key", &key, "--wait", "--datadir"])
        .arg(dir)
        .output()
        .wrap_err("causeway metalayer transfer")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{from} to {to}: {errors}");
    Ok(())
}

async fn balance(devnet: &Devnet, index: usize, node: &str) -> eyre::Result<U256> {
    let url = chain(devnet, index, node);
    Ok(client(&url)?.request("eth_getBalance", rpc_params![RECIPIENT, "latest"]).await?)
}

/// Number of the parent's newest block.
async fn height(devnet: &Devnet) -> eyre::Result<U256> {
    Ok(client(&chain(devnet, 0, "da"))?.request("eth_blockNumber", rpc_params![]).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_on_blobs_and_a_local_one_send_each_other_coins() -> eyre::Result<()> {
    let temp = TempDir::new()?;
    let dir = temp.path().join("devnet");
    let arguments = ["--chains", "2", "--l1", "anvil", "--da", "ethereum,local"];
    let devnet = start(&dir, &arguments)?;
    ensure!(
        chain(&devnet, 0, "da_layer") == "ethereum" && chain(&devnet, 1, "da_layer") == "local"
    );
    let portal = devnet.endpoints["chains"][0]["contracts"]["Portal"].as_str().unwrap_or_default();
    let code: String = client(&chain(&devnet, 0, "da"))?
        .request("eth_getCode", rpc_params![portal, "latest"])
        .await?;
    ensure!(code.len() > 1000, "{portal} is no contract: {code}");
    transfer(&dir, "alpha", "beta")?;
    transfer(&dir, "beta", "alpha")?;
    let coin = U256::from(10).pow(U256::from(18));
    for index in [0, 1] {
        for node in ["rpc", "full_rpc"] {
            let has = balance(&devnet, index, node).await?;
            ensure!(has == coin, "{has} by {node} of chain {index}");
        }
    }
    let before = height(&devnet).await?;
    let (status, _) = devnet.stop()?;
    ensure!(status.success(), "the devnet ended with {status}");

    // Without a flag it goes on, and so does its parent.
    let again = start(&dir, &[])?;
    ensure!(height(&again).await? >= before, "the parent began anew");
    transfer(&dir, "alpha", "beta")?;
    ensure!(balance(&again, 1, "full_rpc").await? == coin * U256::from(2));
    // After a kill its anvil is still there, and ends before there is another.
    let parent = std::fs::read_to_string(dir.join("l1/anvil.pid"))?;
    again.kill()?;
    let alive = |pid: &str| Path::new("/proc").join(pid.trim()).join("exe").exists();
    ensure!(alive(&parent), "anvil {parent} was to outlive a kill");
    let third = start(&dir, &[])?;
    ensure!(!alive(&parent), "two anvils");
    let before: Value =
        client(&chain(&third, 0, "rpc"))?.request("rollup_syncStatus", rpc_params![]).await?;
    before["safe"]["number"].as_u64().context("safe blocks")?;
    let parent = std::fs::read_to_string(dir.join("l1/anvil.pid"))?;
    third.stop()?;
    ensure!(!alive(&parent), "anvil is left");
    Ok(())
}
