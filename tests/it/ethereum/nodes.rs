//! Whole nodes on a real parent chain: the binary as sequencer and as full node over an anvil that
//! makes a block a second, with the portal and the system config on it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy_sol_types::SolCall;
use causeway_bridge::l1::{self, Contract, DEPLOYER, Deployment, Terms};
use causeway_chainspec::Clock;
use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_node::clock::SystemClock;
use causeway_node::devkeys;
use causeway_tests::anvil::{Anvil, CHAIN_ID};
use causeway_tests::keys;
use causeway_tests::load::client;
use causeway_tests::process::{Process, free_port, signal};
use causeway_tests::txs::{Draft, Form};
use eyre::{ContextCompat, bail, ensure};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest that something may take.
const PATIENCE: Duration = Duration::from_secs(90);
const RECEIVER: Address = Address::repeat_byte(0xee);
const OWN_ID: u64 = 901;

/// A parent chain, and what runs on it.
struct Chain {
    anvil: Anvil,
    deployment: Deployment,
    dir: TempDir,
    /// Nodes by name, with the URLs of their JSON-RPC.
    nodes: Vec<(String, String, Process)>,
}

impl Chain {
    async fn start() -> eyre::Result<Self> {
        let now = SystemClock.now_ms() / 1000;
        let anvil = Anvil::start(&["--block-time", "1", "--timestamp", &(now - 5).to_string()])?;
        let deployment = Deployment::new(&Terms {
            chain_id: OWN_ID,
            owner: keys::accounts()[1].address(),
            posters: &[Keys::DEV.poster],
            sequencers: &[Keys::DEV.sequencer],
            max_gas: 5_000_000,
        });
        let chain = Self { anvil, deployment, dir: TempDir::new()?, nodes: Vec::new() };
        for contract in [&chain.deployment.portal, &chain.deployment.system_config] {
            chain.deploy(contract).await?;
        }
        let start = chain.anvil.height().await?;
        let text = devnet_chain("blobs", OWN_ID, "evm", Keys::DEV, (now - 3) * 1000);
        std::fs::write(chain.file("chain.toml"), chain.spec(&text, start)?)?;
        std::fs::write(chain.file("l1.key"), keys::accounts()[3].to_bytes().to_string())?;
        for (name, key) in [("sequencer", devkeys::sequencer()), ("poster", devkeys::poster())] {
            std::fs::write(chain.file(&format!("{name}.key")), key.to_bytes().to_string())?;
        }
        let url = chain.anvil.url();
        let da =
            format!("[da]\nrpc = [{url:?}]\nbeacon = [{url:?}]\ntrust_roots = \"development\"\n");
        std::fs::write(chain.file("full.toml"), &da)?;
        std::fs::write(chain.file("sequencer.toml"), da + "key = \"l1.key\"\n")?;
        Ok(chain)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The devnet's spec on this parent chain, with short clocks.
    fn spec(&self, text: &str, start: u64) -> eyre::Result<String> {
        let (head, rest) = text.split_once("[da]").context("a section [da]")?;
        let (_, tail) = rest.split_once("[sequencer]").context("a section [sequencer]")?;
        let tail = tail
            .replace("window = \"10m\"", "window = \"40s\"")
            .replace("drift = \"1m\"", "drift = \"6s\"")
            .replace("forced_delay = \"1m\"", "forced_delay = \"8s\"");
        let Deployment { portal, system_config, .. } = &self.deployment;
        Ok(format!(
            "{head}[da]\nlayer = \"ethereum\"\ninterval = \"1s\"\nstart = {start}\n\n[da.ethereum]\n\
             chain_id = {CHAIN_ID}\nportal = \"{}\"\nsystem_config = \"{}\"\n\n[sequencer]{tail}",
            portal.address, system_config.address
        ))
    }

    async fn deploy(&self, contract: &Contract) -> eyre::Result<()> {
        self.send(keys::accounts()[0].address(), DEPLOYER, self.deployment.input(contract)).await
    }

    /// A transaction on the parent chain, until it is in a block and did what it should.
    async fn send(&self, from: Address, to: Address, input: Bytes) -> eyre::Result<()> {
        let request = json!([{ "from": from, "to": to, "input": input, "gas": "0x5b8d80" }]);
        let hash = self.anvil.call("eth_sendTransaction", request).await?;
        let started = Instant::now();
        loop {
            let asked = self.anvil.call("eth_getTransactionReceipt", json!([hash])).await?;
            if !asked.is_null() {
                ensure!(asked["status"] == "0x1", "failed on the parent: {asked}");
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "in no block of the parent");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts a node by name: the sequencer, or a full node that follows it if `feed`.
    async fn run(&mut self, name: &str, feed: bool) -> eyre::Result<String> {
        let port = free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let is_sequencer = name == "sequencer";
        let settings = if is_sequencer { "sequencer.toml" } else { "full.toml" };
        let (chain, node) = (text(self.file("chain.toml")), text(self.file(settings)));
        let data = text(self.file(name));
        let mut arguments = vec!["run", "--chain", &chain, "--node", &node, "--datadir", &data];
        arguments.extend(["--http", &listen, "--log-filter", "info"]);
        let keys = ["sequencer.key", "poster.key"].map(|name| text(self.file(name)));
        let url = self.nodes.first().map(|(_, url, _)| url.replace("http", "ws"));
        match (is_sequencer, url.as_deref().filter(|_| feed)) {
            (true, _) => arguments.extend([
                "--role",
                "sequencer",
                "--sequencer-key",
                &keys[0],
                "--poster-key",
                &keys[1],
            ]),
            (false, Some(url)) => arguments.extend(["--sequencer", url]),
            (false, None) => {}
        }
        let process = Process::start(&arguments, &[], &self.file(&format!("{name}.log")))?;
        let url = format!("http://{listen}");
        self.nodes.push((name.to_owned(), url.clone(), process));
        self.until(&format!("{name} serves"), async || Ok(head(&url, "latest").await.is_ok()))
            .await?;
        Ok(url)
    }

    async fn until(
        &self,
        what: &str,
        mut done: impl AsyncFnMut() -> eyre::Result<bool>,
    ) -> eyre::Result<()> {
        let started = Instant::now();
        while !done().await? {
            if started.elapsed() > PATIENCE {
                let said = self.nodes.iter().map(|(name, _, process)| {
                    let said = process.said();
                    let last: Vec<_> = said.lines().rev().take(25).collect();
                    format!("{name}:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"))
                });
                bail!("{what}: not within {PATIENCE:?}\n{}", said.collect::<Vec<_>>().join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Waits until a transaction stands in a safe block of a node; its block's hash.
    async fn is_safe(&self, url: &str, tx: B256) -> eyre::Result<B256> {
        let mut block = B256::ZERO;
        self.until("a transaction in a safe block", async || {
            let receipt = receipt(url, tx).await?;
            let Some(number) = receipt["blockNumber"].as_str() else { return Ok(false) };
            ensure!(receipt["status"] == "0x1", "{receipt}");
            block = serde_json::from_value(receipt["blockHash"].clone())?;
            let number: U64 = number.parse()?;
            Ok(head(url, "safe").await?.0 >= number.to::<u64>())
        })
        .await?;
        Ok(block)
    }
}

/// Number and hash of a block.
async fn head(url: &str, tag: &str) -> eyre::Result<(u64, B256)> {
    let block: Value =
        client(url)?.request("eth_getBlockByNumber", rpc_params![tag, false]).await?;
    let number: U64 = serde_json::from_value(block["number"].clone())?;
    Ok((number.to(), serde_json::from_value(block["hash"].clone())?))
}

async fn receipt(url: &str, tx: B256) -> eyre::Result<Value> {
    Ok(client(url)?.request("eth_getTransactionReceipt", rpc_params![tx]).await?)
}

async fn balance(url: &str) -> eyre::Result<U256> {
    Ok(client(url)?.request("eth_getBalance", rpc_params![RECEIVER, "latest"]).await?)
}

fn transfer(sender: usize, nonce: u64) -> Bytes {
    let mut draft = Draft::transfer(OWN_ID, nonce, RECEIVER, 1);
    draft.max_fee = 100_000_000_000;
    draft.sign(Form::Dynamic, &keys::accounts()[sender])
}

async fn submit(url: &str, raw: Bytes) -> eyre::Result<B256> {
    Ok(client(url)?.request("eth_sendRawTransaction", rpc_params![raw]).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_on_blobs_is_posted_read_back_and_rebuilt() -> eyre::Result<()> {
    let mut chain = Chain::start().await?;
    let sequencer = chain.run("sequencer", false).await?;
    let full = chain.run("full", true).await?;
    let first = submit(&full, transfer(0, 0)).await?;
    let block = chain.is_safe(&full, first).await?;
    ensure!(chain.is_safe(&sequencer, first).await? == block, "both have it in one block");

    // A message of an account and an entry anybody wrote, by the portal.
    let from = keys::accounts()[5].address();
    let message = l1::depositTransactionCall {
        to: RECEIVER,
        value: U256::ZERO,
        gasLimit: 100_000,
        isCreation: false,
        data: Bytes::from_static(b"hello"),
    };
    let portal = chain.deployment.portal.address;
    chain.send(from, portal, message.abi_encode().into()).await?;
    let forced = transfer(6, 0);
    let entry = l1::forceTransactionCall { data: forced.clone() };
    chain.send(from, portal, entry.abi_encode().into()).await?;
    let block = chain.is_safe(&full, keccak256(&forced)).await?;
    let in_block = async |url: &str| -> eyre::Result<Vec<Value>> {
        // It came before the entry, so it is in this block or one before.
        let mut found = Vec::new();
        for number in 0..=head(url, "safe").await?.0 {
            let at = format!("{number:#x}");
            let block: Value =
                client(url)?.request("eth_getBlockByNumber", rpc_params![at, true]).await?;
            let txs = block["transactions"].as_array().cloned().unwrap_or_default();
            found.extend(txs.into_iter().filter(|tx| tx["type"] == "0x7e"));
        }
        Ok(found)
    };
    let messages = in_block(&full).await?;
    ensure!(messages.len() == 1, "derived once: {messages:?}");
    ensure!(messages[0]["from"] == json!(from) && messages[0]["input"] == "0x68656c6c6f");
    ensure!(chain.is_safe(&sequencer, keccak256(&forced)).await? == block);

    // The parent reorganizes; what was posted is posted again if it is gone.
    for depth in [1, 3] {
        chain.anvil.reorg(depth).await?;
        let sent = submit(&sequencer, transfer(0, depth.min(2))).await?;
        let block = chain.is_safe(&full, sent).await?;
        ensure!(chain.is_safe(&sequencer, sent).await? == block, "after a reorg of {depth}");
    }

    // The parent is away for a while; blocks go on, and become safe when it is back.
    signal(chain.anvil.id(), Signal::STOP)?;
    let sent = submit(&sequencer, transfer(0, 3)).await?;
    let on_the_feed = async || Ok(receipt(&full, sent).await?["status"] == "0x1");
    let went_on = chain.until("a block without the parent", on_the_feed).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    signal(chain.anvil.id(), Signal::CONT)?;
    went_on?;
    chain.is_safe(&full, sent).await?;

    // From the parent alone: the same chain.
    let fresh = chain.run("fresh", false).await?;
    chain.is_safe(&fresh, sent).await?;
    ensure!(balance(&fresh).await? >= U256::from(5), "all transfers");
    let number = head(&fresh, "safe").await?.0;
    let at = format!("{number:#x}");
    let mut hashes = Vec::new();
    for url in [&sequencer, &full, &fresh] {
        hashes.push(head(url, &at).await?);
    }
    ensure!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{hashes:?}");
    chain.until("final blocks", async || Ok(head(&fresh, "finalized").await?.0 > 0)).await?;
    for (name, _, process) in chain.nodes {
        let (status, _) = process.stop()?;
        ensure!(status.success(), "{name} ended with {status}");
    }
    Ok(())
}
