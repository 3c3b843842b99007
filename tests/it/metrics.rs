//! The metrics of a running devnet: what the documentation lists is there, nothing else is, and it
//! moves as the chain does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use causeway_node::devkeys;
use causeway_tests::process::Devnet;
use causeway_tests::txs::{Draft, Form};
use eyre::{ContextCompat, ensure};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::http_client::HttpClientBuilder;
use jsonrpsee::rpc_params;
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

async fn get(url: &str) -> eyre::Result<reqwest::Response> {
    Ok(causeway_da::http::client(PATIENCE, false)?.get(url).send().await?)
}

/// One answer of a node.
struct Scrape {
    /// Type by name of the family.
    types: BTreeMap<String, String>,
    /// Value by name and labels, as they are written.
    values: BTreeMap<String, f64>,
}

impl Scrape {
    async fn of(url: &str) -> eyre::Result<Self> {
        let response = get(url).await?.error_for_status()?;
        let kind = response.headers()["content-type"].to_str()?.to_owned();
        ensure!(kind.starts_with("application/openmetrics-text"), "{kind}");
        let text = response.text().await?;
        ensure!(text.ends_with("# EOF\n"), "it is cut off");
        let (mut types, mut values) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(line) = line.strip_prefix("# TYPE ") {
                let (name, kind) = line.split_once(' ').context("a type")?;
                ensure!(types.insert(name.into(), kind.into()).is_none(), "{name} is there twice");
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').context("a value")?;
                values.insert(name.to_owned(), value.parse()?);
            }
        }
        Ok(Self { types, values })
    }

    /// Sum of the values of a name whose labels contain a text.
    fn sum(&self, name: &str, label: &str) -> f64 {
        let matches = |key: &str| {
            let (found, labels) = key.split_once('{').unwrap_or((key, ""));
            found == name && labels.contains(label)
        };
        self.values.iter().filter(|(key, _)| matches(key)).map(|(_, value)| value).sum()
    }
}

/// Name of the family and type of each metric in the table of docs/operating.md.
fn documented() -> eyre::Result<BTreeSet<(String, String)>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let text = std::fs::read_to_string(path)?;
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, kind, ..] = &cells[..] else { continue };
        let name = name.split(['`', '{']).nth(1).unwrap_or_default();
        // A devnet's DA layer costs nothing.
        let paid = name.starts_with("causeway_poster_");
        let ours = name.starts_with("causeway_") && !paid || name.starts_with("process_");
        let suffix = match *kind {
            "counter" => "_total",
            "info" => "_info",
            "gauge" | "histogram" => "",
            _ => continue,
        };
        if ours {
            let family = name.strip_suffix(suffix).context("a suffix that fits its type")?;
            ensure!(found.insert((family.into(), (*kind).into())), "{name} is listed twice");
        }
    }
    Ok(found)
}

async fn send(rpc: &str, to: Address) -> eyre::Result<()> {
    let client = HttpClientBuilder::default().build(rpc)?;
    let transfer = Draft::transfer(901, 0, to, 1);
    let raw = transfer.sign(Form::Dynamic, &devkeys::accounts()[0]);
    let receipt: Value = client.request("eth_sendRawTransactionSync", rpc_params![&raw]).await?;
    ensure!(receipt["status"] == "0x1", "{receipt}");
    ensure!(client.request::<Value, _>("eth_sendRawTransaction", rpc_params![&raw]).await.is_err());
    ensure!(client.request::<Value, _>("eth_getBalance", rpc_params!["0x1"]).await.is_err());
    ensure!(client.request::<Value, _>("eth_nothing", rpc_params![]).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_metric_is_told_and_moves() -> eyre::Result<()> {
    let dir = TempDir::new()?;
    let devnet = Devnet::start(&dir.path().join("devnet"), &["--preset", "low-latency"])?;
    let [sequencer, full] = ["metrics", "full_metrics"].map(|name| devnet.endpoint(name));
    let before = Scrape::of(&sequencer).await?;
    let exported: BTreeSet<_> = before.types.clone().into_iter().collect();
    let documented = documented()?;
    let only = |one: &BTreeSet<(String, String)>, other: &BTreeSet<(String, String)>| {
        one.difference(other).map(|(name, kind)| format!("{name} ({kind})")).collect::<Vec<_>>()
    };
    let missing = (only(&documented, &exported), only(&exported, &documented));
    ensure!(
        missing.0.is_empty() && missing.1.is_empty(),
        "only in docs/operating.md: {:?}; only exported: {:?}",
        missing.0,
        missing.1
    );
    ensure!(before.types == Scrape::of(&full).await?.types, "the full node tells something else");
    let labels = r#"chain="alpha",role="sequencer""#;
    ensure!(before.values.keys().all(|key| key.contains(labels)), "a value says not whose it is");

    send(&devnet.endpoint("rpc"), Address::repeat_byte(0xa1)).await?;
    let after = Scrape::of(&sequencer).await?;
    for (name, label, least) in [
        ("causeway_block_build_seconds_count", "", 1.0),
        ("causeway_execute_seconds_count", "run=\"draft\"", 1.0),
        ("causeway_execute_seconds_count", "run=\"clean\"", 1.0),
        ("causeway_root_seconds_count", "", 1.0),
        ("causeway_commit_seconds_count", "", 1.0),
        ("causeway_journal_sync_seconds_count", "", 2.0),
        ("causeway_recover_seconds_count", "", 2.0),
        ("causeway_transactions_accepted_total", "", 1.0),
        ("causeway_transactions_included_total", "", 1.0),
        ("causeway_blocks_total", "", 1.0),
        ("causeway_gas_total", "", 21_000.0),
        ("causeway_head_number", "head=\"latest\"", 1.0),
        ("causeway_rpc_calls_total", "method=\"eth_sendRawTransactionSync\",outcome=\"ok\"", 1.0),
        ("causeway_rpc_calls_total", "method=\"eth_sendRawTransaction\",outcome=\"refused\"", 1.0),
        ("causeway_rpc_calls_total", "method=\"eth_getBalance\",outcome=\"refused\"", 1.0),
        ("causeway_rpc_calls_total", "method=\"unknown\",outcome=\"refused\"", 1.0),
    ] {
        let grown = after.sum(name, label) - before.sum(name, label);
        ensure!(grown >= least, "{name} {label} grew by {grown}, not by {least}");
    }
    ensure!(after.sum("causeway_transactions_refused_total", "") >= 1.0);
    ensure!(after.sum("causeway_cache_limit_bytes", "pages") > 0.0);
    ensure!(after.sum("causeway_cache_limit_bytes", "rows") > 0.0);
    ensure!(after.sum("causeway_rpc_calls_in_flight", "") == 0.0, "a call never ended");
    // A histogram's last bucket holds all.
    let last = after.sum("causeway_commit_seconds_bucket", "le=\"+Inf\"");
    ensure!(last == after.sum("causeway_commit_seconds_count", ""), "{last}");

    // The full node executes the block as well, DA gets it, both derive it.
    let started = Instant::now();
    loop {
        let (posted, derived) = (Scrape::of(&sequencer).await?, Scrape::of(&full).await?);
        let done = [
            posted.sum("causeway_da_posts_total", "taken"),
            posted.sum("causeway_da_posted_bytes_total", ""),
            posted.sum("causeway_publish_seconds_count", ""),
            posted.sum("causeway_store_commit_seconds_count", ""),
            posted.sum("causeway_store_commit_blocks_sum", ""),
            posted.sum("causeway_derive_seconds_count", ""),
            posted.sum("causeway_head_number", "head=\"safe\""),
            derived.sum("causeway_head_number", "head=\"safe\""),
            derived.sum("causeway_execute_seconds_count", "run=\"follow\""),
            derived.sum("causeway_da_height", "of=\"derived\""),
        ];
        if done.iter().all(|value| *value > 0.0) {
            ensure!(derived.sum("causeway_block_build_seconds_count", "") == 0.0, "nodes share");
            ensure!(derived.sum("causeway_transactions_accepted_total", "") == 0.0, "nodes share");
            break;
        }
        ensure!(started.elapsed() < PATIENCE, "something stays 0: {done:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let gone = get(&sequencer.replace("/metrics", "/")).await?;
    ensure!(gone.status() == 404, "{}", gone.status());
    let (status, _) = devnet.stop()?;
    ensure!(status.success(), "the devnet ended with {status}");
    Ok(())
}
