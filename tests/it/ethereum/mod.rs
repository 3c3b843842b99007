//! The DA backend `ethereum` against a real anvil.

mod beacons;
mod bridging;
mod censor;
mod chain;
mod deploys;
mod devnets;
mod nodes;
mod outages;
mod posts;
mod races;
mod reorgs;
mod shim;
mod throughput;
mod troubles;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use causeway_chainspec::DaRef;
use causeway_chainspec::l1::Bounds;
use causeway_da::ethereum::{EthereumDa, Options, Settings};
use causeway_da::{DaBackend, DaError};
use causeway_tests::anvil::{Anvil, CHAIN_ID};
use tokio::task::JoinHandle;

/// The backend looks at the chain every 50 ms.
const INTERVAL: Duration = Duration::from_millis(200);
/// Longest that something may take.
const PATIENCE: Duration = Duration::from_secs(60);
const PORTAL: Address = Address::repeat_byte(0x9a);

/// A poster over an anvil, with more lines of settings.
fn poster(anvil: &Anvil, more: &str) -> eyre::Result<Arc<EthereumDa>> {
    let key = anvil.key_file()?;
    open(&[anvil.url()], &format!("beacon = [{:?}]\nkey = {key:?}\n{more}", anvil.url()))
}

/// A reader of these execution nodes, with these lines of settings.
fn open(rpc: &[&str], more: &str) -> eyre::Result<Arc<EthereumDa>> {
    let text = format!("rpc = {rpc:?}\ntrust_roots = \"development\"\n{more}");
    let settings: Settings = toml::from_str(&text)?;
    let portal = Some(PORTAL);
    let options = Options { chain_id: CHAIN_ID, portal, ..Options::default() };
    Ok(Arc::new(EthereumDa::new(
        (B256::repeat_byte(0xaa), Bounds { gas: 30_000_000, coins: true }),
        INTERVAL,
        &options,
        &settings,
    )?))
}

fn blob(byte: u8) -> Bytes {
    vec![byte; 100].into()
}

/// Submits in a task of its own.
fn submit(
    da: &Arc<EthereumDa>,
    blob: Bytes,
    derived: Option<DaRef>,
) -> JoinHandle<Result<DaRef, DaError>> {
    let da = da.clone();
    tokio::spawn(async move { da.submit_after(&[blob], derived).await })
}

/// Waits until so many transactions wait in the pool, and another than `not`; the last of them.
async fn pooled(anvil: &Anvil, not: Option<B256>) -> eyre::Result<serde_json::Value> {
    tokio::time::timeout(PATIENCE, async {
        loop {
            if let [one] = &anvil.pool().await?[..]
                && Some(Anvil::hash(one)?) != not
            {
                return Ok(one.clone());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await?
}

/// All blobs on the chain, in order.
async fn all(da: &EthereumDa) -> eyre::Result<Vec<Bytes>> {
    let mut blobs = Vec::new();
    for height in 0..=da.heads().await?.latest.height {
        blobs.extend(da.read(height).await?.blobs);
    }
    Ok(blobs)
}

async fn latest(da: &EthereumDa) -> eyre::Result<DaRef> {
    Ok(da.heads().await?.latest)
}

fn amount(transaction: &serde_json::Value, field: &str) -> u128 {
    let text = transaction[field].as_str().unwrap_or_default();
    u128::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_default()
}
