//! `kill -9` in a loop under load: nothing that was acknowledged is lost, and DA tells the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use causeway_node::devkeys;
use causeway_tests::process::Devnet;
use eyre::{ContextCompat, WrapErr, ensure};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use jsonrpsee::rpc_params;
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;

/// Kills in CI; a campaign sets more.
const KILLS: u64 = 6;

/// Senders that send at the same time.
const SENDERS: usize = 3;

fn transfer(sender: usize, nonce: u64) -> Bytes {
    let tx = TxEip1559 {
        chain_id: 901,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::with_last_byte(0xaa)),
        value: U256::from(1),
        ..Default::default()
    };
    let signer = devkeys::accounts().swap_remove(sender);
    let signature = signer.sign_hash_sync(&tx.signature_hash()).expect("a local key signs");
    tx.into_signed(signature).encoded_2718().into()
}

/// Sends until the node dies; every hash that was answered goes to `acknowledged`.
async fn load(rpc: String, sender: usize, acknowledged: Arc<Mutex<Vec<B256>>>) {
    let Ok(client) = HttpClientBuilder::default().build(&rpc) else { return };
    let address = devkeys::accounts().swap_remove(sender).address();
    let count: Result<U256, _> =
        client.request("eth_getTransactionCount", rpc_params![address, "pending"]).await;
    let Ok(mut nonce) = count.map(|count| count.to::<u64>()) else { return };
    loop {
        let sent: Result<B256, _> =
            client.request("eth_sendRawTransaction", rpc_params![transfer(sender, nonce)]).await;
        let Ok(hash) = sent else { return };
        acknowledged.lock().push(hash);
        nonce += 1;
    }
}

/// Waits until every transaction has a receipt.
async fn all_included(client: &HttpClient, hashes: &[B256]) -> eyre::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    for hash in hashes {
        loop {
            let receipt: Value =
                client.request("eth_getTransactionReceipt", rpc_params![hash]).await?;
            if !receipt.is_null() {
                break;
            }
            ensure!(Instant::now() < deadline, "{hash} was acknowledged and is in no block");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// The full node, rebuilt from DA, has the same block at the sequencer's safe head.
async fn full_node_agrees(devnet: &Devnet) -> eyre::Result<()> {
    let sequencer = HttpClientBuilder::default().build(devnet.endpoint("rpc"))?;
    let full = HttpClientBuilder::default().build(devnet.endpoint("full_rpc"))?;
    let latest: Value =
        sequencer.request("eth_getBlockByNumber", rpc_params!["latest", false]).await?;
    let (number, hash) = (latest["number"].clone(), latest["hash"].clone());
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let safe: Value = full.request("eth_getBlockByNumber", rpc_params!["safe", false]).await?;
        let height = |block: &Value| {
            let number: U256 = serde_json::from_value(block["number"].clone()).ok()?;
            Some(number)
        };
        if height(&safe) >= height(&latest) {
            break;
        }
        ensure!(Instant::now() < deadline, "the full node stays at {safe}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let theirs: Value = full.request("eth_getBlockByNumber", rpc_params![number, false]).await?;
    ensure!(theirs["hash"] == hash, "the full node has another block: {theirs}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost() -> eyre::Result<()> {
    let kills = std::env::var("CAUSEWAY_KILLS").ok().and_then(|text| text.parse().ok());
    let dir = TempDir::new()?;
    let datadir = dir.path().join("devnet");
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    for round in 0..kills.unwrap_or(KILLS) {
        let devnet = Devnet::start(&datadir, &["--block-time", "20ms"])
            .wrap_err_with(|| format!("start {round}"))?;
        let loads: Vec<_> = (0..SENDERS)
            .map(|sender| tokio::spawn(load(devnet.endpoint("rpc"), sender, acknowledged.clone())))
            .collect();
        // Not a wait for anything: the moment of the kill is what varies.
        tokio::time::sleep(Duration::from_millis(300 + round * 137 % 700)).await;
        devnet.kill()?;
        for load in loads {
            load.await?;
        }
    }
    let acknowledged = acknowledged.lock().clone();
    ensure!(acknowledged.len() > 10, "only {} transactions were sent", acknowledged.len());
    let devnet = Devnet::start(&datadir, &[])?;
    let client = HttpClientBuilder::default().build(devnet.endpoint("rpc"))?;
    all_included(&client, &acknowledged).await?;
    full_node_agrees(&devnet).await?;
    let last = acknowledged.last().context("there is one")?;
    println!("{} transactions survived, the last is {last}", acknowledged.len());
    devnet.stop()?;
    Ok(())
}
