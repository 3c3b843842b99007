//! A chain on a real parent chain: the binary as sequencer and as full nodes over an anvil that makes a
//! block a second, with the portal and the system config on it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy_sol_types::SolCall;
use causeway_bridge::l1::{self, Contract, DEPLOYER, Deployment, OutputTerms, Terms};
use causeway_chainspec::Clock;
use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_node::clock::SystemClock;
use causeway_node::devkeys;
use causeway_tests::anvil::{Anvil, CHAIN_ID};
use causeway_tests::keys;
use causeway_tests::load::client;
use causeway_tests::process::{Process, free_port};
use causeway_tests::txs::{Draft, Form};
use eyre::{ContextCompat, bail, ensure};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::amount;

/// Longest that something may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
pub(super) const RECEIVER: Address = Address::repeat_byte(0xee);
/// Of the chain's spec, in seconds, unless a test wants another window.
const WINDOW: u128 = 40;
const FORCED_DELAY: u128 = 8;
pub(super) const OWN_ID: u64 = 901;

/// A parent chain, and what runs on it.
pub(super) struct Chain {
    pub(super) anvil: Anvil,
    pub(super) deployment: Deployment,
    dir: TempDir,
    /// Nodes by name, with the URLs of their JSON-RPC.
    pub(super) nodes: Vec<(String, String, Process)>,
}

impl Chain {
    pub(super) async fn start() -> eyre::Result<Self> {
        Self::with("40s", &[]).await
    }

    /// With a window, and more arguments of anvil.
    pub(super) async fn with(window: &str, arguments: &[&str]) -> eyre::Result<Self> {
        let now = SystemClock.now_ms() / 1000;
        let time = (now - 5).to_string();
        let mut all = vec!["--block-time", "1", "--timestamp", time.as_str()];
        all.extend_from_slice(arguments);
        let anvil = Anvil::start(&all)?;
        let deployment = Deployment::new(&Terms {
            chain_id: OWN_ID,
            owner: keys::accounts()[1].address(),
            posters: &[Keys::DEV.poster],
            sequencers: &[Keys::DEV.sequencer],
            max_gas: 5_000_000,
            proposers: &[],
            outputs: OutputTerms {
                interval: 1,
                block_seconds: 1,
                start_seconds: 0,
                challenge_seconds: 10,
            },
            takes_coins: true,
        });
        let chain = Self { anvil, deployment, dir: TempDir::new()?, nodes: Vec::new() };
        for contract in chain.deployment.all() {
            chain.deploy(contract).await?;
        }
        let start = chain.anvil.height().await?;
        let text = devnet_chain("blobs", OWN_ID, "evm", Keys::DEV, (now - 3) * 1000);
        std::fs::write(chain.file("chain.toml"), chain.spec(&text, start, window)?)?;
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

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The devnet's spec on this parent chain, with short clocks.
    fn spec(&self, text: &str, start: u64, window: &str) -> eyre::Result<String> {
        let (head, rest) = text.split_once("[da]").context("a section [da]")?;
        let (_, tail) = rest.split_once("[sequencer]").context("a section [sequencer]")?;
        let tail = tail
            .replace("window = \"10m\"", &format!("window = {window:?}"))
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
    pub(super) async fn send(&self, from: Address, to: Address, input: Bytes) -> eyre::Result<()> {
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

    /// Replaces the parent's newest blocks by empty ones. Anvil sets its clock back with them, for
    /// good: it is set right again.
    pub(super) async fn reorg(&self, depth: u64) -> eyre::Result<()> {
        self.anvil.reorg(depth).await?;
        let now = SystemClock.now_ms() / 1000;
        self.anvil.call("evm_setTime", json!([now])).await.map(drop)
    }

    /// Waits until every node has derived more than the parent has now: after a reorg, what came
    /// instead.
    pub(super) async fn derived(&self) -> eyre::Result<()> {
        let height = self.anvil.height().await?;
        for (name, url, _) in &self.nodes {
            self.until(&format!("{name} derives more than {height}"), async || {
                let status: Value =
                    client(url)?.request("rollup_syncStatus", rpc_params![]).await?;
                Ok(status["safeDa"]["height"].as_u64().is_some_and(|derived| derived > height))
            })
            .await?;
        }
        Ok(())
    }

    /// Puts a signed transaction into the forced lane, by the portal; its hash.
    pub(super) async fn force(&self, raw: &Bytes) -> eyre::Result<B256> {
        let entry = l1::forceTransactionCall { data: raw.clone() };
        let (from, portal) = (keys::accounts()[5].address(), self.deployment.portal.address);
        self.send(from, portal, entry.abi_encode().into()).await?;
        Ok(keccak256(raw))
    }

    /// As [`Self::force`], until it stands in a safe block of a node, and no later than the rules have it:
    /// its hash, and the block's.
    pub(super) async fn force_in_time(&self, url: &str, raw: &Bytes) -> eyre::Result<(B256, B256)> {
        let latest = self.anvil.call("eth_getBlockByNumber", json!(["latest", false])).await?;
        let hash = self.force(raw).await?;
        let block = self.is_safe(url, hash).await?;
        let found: Value =
            client(url)?.request("eth_getBlockByHash", rpc_params![block, false]).await?;
        // In the parent's time, which is that of a block that derivation makes.
        let took = amount(&found, "timestamp").saturating_sub(amount(&latest, "timestamp"));
        ensure!(took <= 2 * FORCED_DELAY + WINDOW, "it took {took} s");
        Ok((hash, block))
    }

    /// Starts a node by name: the sequencer, or a full node that follows it if `feed`.
    pub(super) async fn run(&mut self, name: &str, feed: bool) -> eyre::Result<String> {
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

    pub(super) async fn until(
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
    pub(super) async fn is_safe(&self, url: &str, tx: B256) -> eyre::Result<B256> {
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
pub(super) async fn head(url: &str, tag: &str) -> eyre::Result<(u64, B256)> {
    let block: Value =
        client(url)?.request("eth_getBlockByNumber", rpc_params![tag, false]).await?;
    let number: U64 = serde_json::from_value(block["number"].clone())?;
    Ok((number.to(), serde_json::from_value(block["hash"].clone())?))
}

pub(super) async fn receipt(url: &str, tx: B256) -> eyre::Result<Value> {
    Ok(client(url)?.request("eth_getTransactionReceipt", rpc_params![tx]).await?)
}

pub(super) async fn balance(url: &str) -> eyre::Result<U256> {
    Ok(client(url)?.request("eth_getBalance", rpc_params![RECEIVER, "latest"]).await?)
}

pub(super) fn transfer(sender: usize, nonce: u64) -> Bytes {
    let mut draft = Draft::transfer(OWN_ID, nonce, RECEIVER, 1);
    draft.max_fee = 100_000_000_000;
    draft.sign(Form::Dynamic, &keys::accounts()[sender])
}

pub(super) async fn submit(url: &str, raw: Bytes) -> eyre::Result<B256> {
    Ok(client(url)?.request("eth_sendRawTransaction", rpc_params![raw]).await?)
}
