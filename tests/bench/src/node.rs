//! A sequencer of our own: `causeway run` with the DA service in its process, on free ports.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use alloy_primitives::Address;
use causeway_chainspec::Clock;
use causeway_chainspec::spec::presets::{Keys, Template};
use causeway_node::clock::SystemClock;
use causeway_node::metrics::PATH;
use causeway_tests::keys;
use eyre::{ContextCompat, WrapErr};
use tempfile::TempDir;

use crate::bench::Bench;
use crate::http::Http;
use crate::process::Process;
use crate::usage::{Usage, disk_bytes};

/// Chain id of every chain that is measured, the peers' too: one set of signed transactions for
/// all of them.
pub const CHAIN_ID: u64 = 901;

/// The chain that is measured. Budgets of gas and bytes are far above what two cores can do.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Time between blocks, ms.
    pub block_ms: u64,
    /// Gas limit of a block.
    pub gas_limit: u64,
    /// Gas a second.
    pub gas_rate: u64,
    /// Transaction bytes of a block.
    pub bytes_limit: u64,
    /// Transaction bytes a second.
    pub bytes_rate: u64,
    /// Transactions of a block.
    pub candidates: u64,
    /// Who has [`FUNDS_WEI`] at genesis, besides the dev accounts.
    pub funded: Vec<Address>,
    /// Appended to `node.toml`.
    pub node_toml: String,
}

/// What every funded account has at genesis, wei: a million ether.
pub const FUNDS_WEI: u128 = 1_000_000_000_000_000_000_000_000;

impl Default for Chain {
    fn default() -> Self {
        Self {
            block_ms: 50,
            gas_limit: 1_000_000_000,
            gas_rate: 20_000_000_000,
            bytes_limit: 8 << 20,
            bytes_rate: 100_000_000,
            candidates: 20_000,
            funded: Vec::new(),
            node_toml: String::new(),
        }
    }
}

/// A running sequencer with its directory, which is removed with it.
#[derive(Debug)]
pub struct Node {
    /// The process.
    pub process: Process,
    /// JSON-RPC, HTTP and WebSocket.
    pub rpc: SocketAddr,
    metrics: SocketAddr,
    dir: TempDir,
}

/// Stages of a block that the node times itself, the sums of them in its metrics, and their label.
const STAGES: [(&str, &str, &str); 6] = [
    ("draft run", "causeway_execute_seconds_sum", "run=\"draft\""),
    ("clean run", "causeway_execute_seconds_sum", "run=\"clean\""),
    ("roots", "causeway_root_seconds_sum", ""),
    ("commit", "causeway_commit_seconds_sum", ""),
    ("journal syncs", "causeway_journal_sync_seconds_sum", ""),
    ("store commits", "causeway_store_commit_seconds_sum", ""),
];

/// Seconds of each of [`STAGES`] since the node began, as time passed: some are side by side, and
/// some wait for the disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stages([f64; STAGES.len()]);

impl Stages {
    /// Of OpenMetrics text.
    fn parse(text: &str) -> eyre::Result<Self> {
        let mut seconds = [0.0; STAGES.len()];
        for (second, (_, name, label)) in seconds.iter_mut().zip(STAGES) {
            let value = text.lines().find_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                (series.starts_with(name) && series.contains(label)).then_some(value)
            });
            *second = value.wrap_err_with(|| format!("no metric {name} {label}"))?.parse()?;
        }
        Ok(Self(seconds))
    }

    /// What was added since, by stage.
    pub fn since(self, before: Self) -> Vec<(&'static str, f64)> {
        let seconds = self.0.into_iter().zip(before.0).map(|(now, then)| now - then);
        STAGES.into_iter().map(|(stage, ..)| stage).zip(seconds).collect()
    }
}

impl Chain {
    /// Blocks of another cadence.
    pub fn every_ms(block_ms: u64) -> Self {
        Self { block_ms, ..Self::default() }
    }

    /// In words, for the report.
    pub fn describe(&self) -> String {
        format!(
            "chain: a block every {} ms, {} M gas and {} transactions a block at most, {} M gas a second",
            self.block_ms,
            self.gas_limit / 1_000_000,
            self.candidates,
            self.gas_rate / 1_000_000
        )
    }

    fn spec(&self, now_ms: u64) -> eyre::Result<String> {
        let mut template = Template::devnet("bench", CHAIN_ID, "evm", Keys::DEV, now_ms);
        template.block_time = format!("{}ms", self.block_ms);
        template.gas_limit = self.gas_limit.to_string();
        template.gas_rate = self.gas_rate.to_string();
        template.funds.extend(self.funded.iter().map(|address| (*address, FUNDS_WEI.to_string())));
        let mut file: toml::Table = template.to_toml().parse()?;
        let execution = file.get_mut("execution").and_then(toml::Value::as_table_mut);
        let execution = execution.wrap_err("a spec has [execution]")?;
        for (name, value) in [
            ("bytes_limit", self.bytes_limit),
            ("bytes_rate", self.bytes_rate),
            ("candidates_limit", self.candidates),
        ] {
            execution.insert(name.to_owned(), i64::try_from(value)?.into());
        }
        Ok(file.to_string())
    }

    /// Writes `chain.toml`, `node.toml` and the keys into a directory.
    pub fn write(&self, dir: &Path) -> eyre::Result<()> {
        // Whole seconds, as block 0 wants it.
        std::fs::write(dir.join("chain.toml"), self.spec(SystemClock.now_ms() / 1000 * 1000)?)?;
        let da = free_address()?;
        let text = format!(
            "role = \"sequencer\"\nhttp = \"127.0.0.1:0\"\n[da]\nurl = \"http://{da}\"\n[da_service]\nlisten = \"{da}\"\ndir = \"da\"\nkey = \"da.key\"\n[keys]\nsequencer = \"sequencer.key\"\nposter = \"poster.key\"\n{}",
            self.node_toml
        );
        std::fs::write(dir.join("node.toml"), text)?;
        for (name, address) in
            [("sequencer", Keys::DEV.sequencer), ("poster", Keys::DEV.poster), ("da", Keys::DEV.da)]
        {
            let key = keys::accounts().iter().find(|key| key.address() == address);
            let key = key.wrap_err("a devnet's keys are dev accounts")?;
            std::fs::write(dir.join(format!("{name}.key")), format!("{}\n", key.to_bytes()))?;
        }
        Ok(())
    }
}

impl Node {
    /// Starts a new chain and waits until it serves.
    pub fn start(bench: &Bench, chain: &Chain) -> eyre::Result<Self> {
        let dir = TempDir::new()?;
        chain.write(dir.path())?;
        Self::open(bench, dir)
    }

    /// Starts it on a directory that has been used before.
    pub fn open(bench: &Bench, dir: TempDir) -> eyre::Result<Self> {
        let log = dir.path().join(format!("node-{}.log", logs_in(dir.path())?));
        let mut process = Process::start(
            Command::new(&bench.causeway)
                .args(["run", "--chain", "chain.toml", "--datadir", "data", "--log", "json"])
                .args(["--metrics", "127.0.0.1:0"])
                .env_remove("CAUSEWAY_LOG")
                .current_dir(dir.path()),
            &log,
        )?;
        let rpc = process.wait_for(ready)?;
        let metrics = process.wait_for(|said| address(said, "metrics", "serving metrics"))?;
        Ok(Self { process, rpc, metrics, dir })
    }

    /// Where its time went so far.
    pub async fn stages(&self) -> eyre::Result<Stages> {
        let request = format!("GET {PATH} HTTP/1.1\r\nHost: {}\r\n\r\n", self.metrics);
        let mut http = Http::connect(self.metrics).await?;
        let text = http.exchange(request.as_bytes()).await?;
        Stages::parse(std::str::from_utf8(text)?)
    }

    /// Its store and log.
    pub fn datadir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// CPU time and memory so far.
    pub fn usage(&self) -> eyre::Result<Usage> {
        self.process.usage()
    }

    /// Bytes of its store and log on the disk, without those of the DA service.
    pub fn disk_bytes(&self) -> eyre::Result<u64> {
        disk_bytes(&self.datadir())
    }

    /// Stops it in order and keeps the directory.
    pub fn stop(self) -> eyre::Result<TempDir> {
        let status = self.process.stop()?;
        eyre::ensure!(status.success(), "the node ended with {status}");
        Ok(self.dir)
    }

    /// Kills it and keeps the directory.
    pub fn kill(self) -> eyre::Result<TempDir> {
        self.process.kill()?;
        Ok(self.dir)
    }
}

/// The address in the line that says it is ready.
pub fn ready(said: &str) -> Option<SocketAddr> {
    address(said, "rpc", "ready")
}

/// The address in a field of the line with a message.
fn address(said: &str, field: &str, message: &str) -> Option<SocketAddr> {
    said.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let url = line[field].as_str().filter(|_| line["message"] == message)?;
        url.strip_prefix("http://")?.split('/').next()?.parse().ok()
    })
}

fn logs_in(dir: &Path) -> eyre::Result<usize> {
    let entries = std::fs::read_dir(dir)?.filter_map(Result::ok);
    Ok(entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".log")).count())
}

/// A loopback address that nobody listens on.
pub fn free_address() -> eyre::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").wrap_err("no free port")?;
    Ok(listener.local_addr()?)
}
