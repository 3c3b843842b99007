//! Anvil as a parent chain, from the npm package pinned in `tests/e2e`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U64, U256};
use eyre::{OptionExt, WrapErr, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::npm;

/// Chain id of every anvil here.
pub const CHAIN_ID: u64 = 900;
/// Key of anvil's first account, which has 10,000 coins.
pub const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// Address of that account.
pub const ACCOUNT: Address = alloy_primitives::address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
/// Its second account.
const OTHER: Address = alloy_primitives::address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");
/// Longest until it listens.
const START: Duration = Duration::from_secs(30);

/// A contract that takes calls of `forceTransaction(bytes)` and emits `ForcedTransaction` for each,
/// as a portal does: `bytes` of the call are, as they are encoded, the data of the event.
///
/// Copies the call behind its selector to memory, logs it with three topics (signature, caller, the
/// index in slot 0), and counts the index up.
pub const PORTAL: &str = "0x6004360360045f375f54337ff7811f15f075ab4d26456717a6829e7d09bbc38880d70\
                          9a282363e5ffd0d556c600436035fa35f546001015f5500";

/// The folder of the program, installed if it is not there.
pub fn program_dir() -> eyre::Result<PathBuf> {
    let e2e = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e");
    npm::install(&e2e)?;
    Ok(e2e.join("node_modules/@foundry-rs/anvil-linux-amd64/bin"))
}

/// A running anvil; it dies with this value.
#[derive(Debug)]
pub struct Anvil {
    process: Child,
    url: String,
    http: reqwest::Client,
    dir: TempDir,
}

impl Anvil {
    /// Starts one on a free port of loopback: a block for each transaction, final after four more,
    /// in 1970, unless `arguments` say otherwise; they come last.
    pub fn start(arguments: &[&str]) -> eyre::Result<Self> {
        let program = program_dir()?.join("anvil");
        let dir = TempDir::new()?;
        let chain_id = CHAIN_ID.to_string();
        let usual =
            [("--chain-id", chain_id.as_str()), ("--slots-in-an-epoch", "2"), ("--timestamp", "1")];
        // It refuses what is given twice.
        let usual = usual.into_iter().filter(|(name, _)| !arguments.contains(name));
        let mut process = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .args(usual.flat_map(|(name, value)| [name, value]))
            .args(arguments)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .wrap_err("anvil does not start")?;
        let output = process.stdout.take().ok_or_eyre("anvil has no output")?;
        let (said, heard) = mpsc::channel();
        // It goes on reading, so that anvil never waits for room in the pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("Listening on ") {
                    let _gone = said.send(address.trim().to_owned());
                }
            }
        });
        let address = heard.recv_timeout(START);
        let http = causeway_da::http::client(Duration::from_secs(30), false)?;
        let url = format!("http://{}", address.as_deref().unwrap_or_default());
        let anvil = Self { process, url, http, dir };
        ensure!(address.is_ok(), "anvil does not listen after {START:?}");
        Ok(anvil)
    }

    /// Number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Of JSON-RPC, and of its beacon API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A file with its first account's key.
    pub fn key_file(&self) -> eyre::Result<std::path::PathBuf> {
        let path = self.dir.path().join("l1.key");
        std::fs::write(&path, KEY)?;
        Ok(path)
    }

    /// Calls a method.
    pub async fn call(&self, method: &str, params: Value) -> eyre::Result<Value> {
        let mut reply = self.reply(method, params).await?;
        ensure!(reply["error"].is_null(), "{method}: {}", reply["error"]);
        Ok(reply["result"].take())
    }

    /// Calls a method: the whole reply, which may be an error.
    pub async fn reply(&self, method: &str, params: Value) -> eyre::Result<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        Ok(self.http.post(&self.url).json(&request).send().await?.json().await?)
    }

    /// Makes a block of what waits.
    pub async fn mine(&self) -> eyre::Result<()> {
        self.call("evm_mine", json!([])).await.map(drop)
    }

    /// Makes a block without what waits, which cannot pay for it.
    pub async fn mine_dear(&self, base_fee: u128) -> eyre::Result<()> {
        self.set_base_fee(base_fee).await?;
        self.mine().await
    }

    /// Puts a transfer of its second account into the pool, which goes before all that pay less to
    /// the proposer.
    pub async fn send_dear(&self, tip: u128) -> eyre::Result<()> {
        let (from, fee) = (OTHER, format!("{tip:#x}"));
        let transfer = json!([{ "from": from, "to": from, "gas": "0x5208",
            "maxFeePerGas": format!("{:#x}", 2 * tip), "maxPriorityFeePerGas": fee }]);
        self.call("eth_sendTransaction", transfer).await.map(drop)
    }

    /// The next block's base fee.
    pub async fn set_base_fee(&self, base_fee: u128) -> eyre::Result<()> {
        let fee = format!("{base_fee:#x}");
        self.call("anvil_setNextBlockBaseFeePerGas", json!([fee])).await.map(drop)
    }

    /// Makes a block at a time, unix seconds.
    pub async fn mine_at(&self, time: u64) -> eyre::Result<()> {
        self.call("evm_setNextBlockTimestamp", json!([time])).await?;
        self.mine().await
    }

    /// Height of the newest block.
    pub async fn height(&self) -> eyre::Result<u64> {
        let height: U64 = serde_json::from_value(self.call("eth_blockNumber", json!([])).await?)?;
        Ok(height.to())
    }

    /// Replaces so many of the newest blocks by others without transactions.
    pub async fn reorg(&self, depth: u64) -> eyre::Result<()> {
        self.call("anvil_reorg", json!([depth, []])).await.map(drop)
    }

    /// Transactions that wait, as the pool tells them.
    pub async fn pool(&self) -> eyre::Result<Vec<Value>> {
        let content = self.call("txpool_content", json!([])).await?;
        let accounts = content["pending"].as_object().cloned().unwrap_or_default();
        Ok(accounts
            .values()
            .filter_map(Value::as_object)
            .flat_map(|txs| txs.values().cloned())
            .collect())
    }

    /// Puts code at an address, without a block.
    pub async fn set_code(&self, address: Address, code: &str) -> eyre::Result<()> {
        self.call("anvil_setCode", json!([address, code])).await.map(drop)
    }

    /// What the first account has, in wei.
    pub async fn balance(&self) -> eyre::Result<U256> {
        let balance = self.call("eth_getBalance", json!([ACCOUNT, "latest"])).await?;
        Ok(serde_json::from_value(balance)?)
    }

    /// The hash of a transaction, as the pool or a block tells it.
    pub fn hash(transaction: &Value) -> eyre::Result<B256> {
        Ok(serde_json::from_value(transaction["hash"].clone())?)
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}
