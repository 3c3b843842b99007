//! Derivation: a fresh full node reads a whole history from the DA service, as fast as it can.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, Bytes};
use alloy_signer::SignerSync;
use causeway_chainspec::{Block, ChainSpec, Clock, Seal, SealTuple, Span, SpanBlock, Tip};
use causeway_da::codec::{self, EncodeOptions};
use causeway_da::local::{LocalConfig, LocalDa};
use causeway_node::clock::SystemClock;
use causeway_node::devkeys;
use causeway_tests::keys;
use eyre::{ContextCompat, bail, ensure};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use serde_json::Value;
use tempfile::TempDir;

use super::{compute, costs};
use crate::bench::Bench;
use crate::limits;
use crate::made::{self, BLOCK_MS, Line, Mix};
use crate::node::free_address;
use crate::process::Process;
use crate::report::{Goal, Row, Section};

/// How long a node may need for a history.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at its safe head.
const LOOK: Duration = Duration::from_millis(10);
/// Blocks of a span; each span has a DA block.
const SPAN: usize = 4;
/// How long ago the history begins.
const AGO_MS: u64 = 3_600_000;
const SENDERS: u64 = 200;

/// What lies on DA, and what a node must make of it.
struct History {
    dir: TempDir,
    number: u64,
    hash: B256,
    txs: u64,
    gas: u64,
}

impl History {
    /// Blocks of transactions, executed here once, and posted as a sequencer posts them.
    fn make(spec: ChainSpec, blocks: &[Vec<Bytes>]) -> eyre::Result<Self> {
        let dir = TempDir::new()?;
        std::fs::write(dir.path().join("chain.toml"), spec.to_toml())?;
        std::fs::write(dir.path().join("da.key"), devkeys::da().to_bytes().to_string())?;
        let spec = Arc::new(spec);
        let mut line = Line::open(&dir.path().join("maker"), spec.clone(), 64 << 20)?;
        let genesis_time_ms = spec.genesis.time_ms;
        let config = LocalConfig { genesis_time_ms, ..LocalConfig::default() };
        let da = LocalDa::open(&dir.path().join("da"), devkeys::da(), config)?;
        let (mut txs, mut gas) = (0, 0);
        let mut below = Tip::of(&causeway_execution::genesis::claim(&spec));
        let mut waiting: Vec<Arc<Block>> = Vec::new();
        for (at, raw) in blocks.iter().enumerate() {
            let block = line.pipeline.execute(line.plan(made::decode(raw)?))?;
            made::all_taken(&block, raw.len())?;
            line.commit(&block)?;
            txs += raw.len() as u64;
            gas += block.header.gas_used;
            waiting.push(block);
            if waiting.len() == SPAN || at + 1 == blocks.len() {
                post(&spec, &da, &below, &waiting)?;
                if let Some(last) = waiting.drain(..).next_back() {
                    below = Tip::of(&last.plan.claim);
                }
            }
        }
        let latest = line.pipeline.snapshot().latest();
        drop(line);
        std::fs::remove_dir_all(dir.path().join("maker"))?;
        Ok(Self { dir, number: latest.number, hash: latest.hash, txs, gas })
    }

    /// Starts the DA service on it.
    fn serve(&self, bench: &Bench) -> eyre::Result<(Process, String)> {
        let address = free_address()?;
        let mut service = Process::start(
            Command::new(&bench.causeway)
                .args(["da", "--dir", "da", "--key", "da.key", "--listen", &address.to_string()])
                .current_dir(self.dir.path()),
            &self.dir.path().join("da.log"),
        )?;
        service.wait_for(|said| said.contains("local da").then_some(()))?;
        Ok((service, format!("http://{address}")))
    }

    /// A fresh node derives all of it: seconds from its start, and of its CPU time.
    fn derive(&self, bench: &Bench, da: &str) -> eyre::Result<(f64, f64)> {
        let data = TempDir::new_in(self.dir.path())?;
        let started = Instant::now();
        let node = start(bench, self.dir.path(), data.path(), da)?;
        let (node, url) = node;
        let (safe, hash) = bench.runtime.block_on(async {
            let client = causeway_tests::load::client(&url)?;
            loop {
                let status: Value = client.request("rollup_syncStatus", rpc_params![]).await?;
                let safe = status["safe"]["number"].as_u64().wrap_err("a safe head")?;
                if safe >= self.number {
                    let number = format!("{:#x}", self.number);
                    let block: Value =
                        client.request("eth_getBlockByNumber", rpc_params![number, false]).await?;
                    return Ok((started.elapsed(), block["hash"].clone()));
                }
                if started.elapsed() > PATIENCE {
                    bail!("only block {safe} of {} in {PATIENCE:?}", self.number);
                }
                tokio::time::sleep(LOOK).await;
            }
        })?;
        ensure!(hash == self.hash.to_string(), "derived {hash}, not {}", self.hash);
        let cpu = node.usage()?.cpu.as_secs_f64();
        ensure!(node.stop()?.success(), "the node did not stop well");
        Ok((safe.as_secs_f64(), cpu))
    }
}

/// Starts a full node without a feed; returns once it serves.
fn start(bench: &Bench, dir: &Path, data: &Path, da: &str) -> eyre::Result<(Process, String)> {
    let mut node = Process::start(
        Command::new(&bench.causeway)
            .args(["run", "--chain", "chain.toml", "--role", "full", "--log", "json"])
            .args(["--http", "127.0.0.1:0", "--da-url", da, "--datadir"])
            .arg(data)
            .env_remove("CAUSEWAY_LOG")
            .current_dir(dir),
        &data.join("node.log"),
    )?;
    let address = node.wait_for(crate::node::ready)?;
    Ok((node, format!("http://{address}")))
}

/// Puts blocks into one span, and the span into a DA block of its own.
fn post(spec: &ChainSpec, da: &LocalDa, below: &Tip, blocks: &[Arc<Block>]) -> eyre::Result<()> {
    let last = blocks.last().wrap_err("a span has blocks")?;
    let claim = &last.plan.claim;
    let identity = spec.identity();
    let tuple = SealTuple {
        identity,
        term: claim.term,
        view: 0,
        number: claim.number,
        claim: last.claim_hash,
    };
    let proof = keys::sequencer().sign_hash_sync(&tuple.digest())?.as_bytes();
    let block = |block: &Arc<Block>| SpanBlock {
        claim: block.plan.claim.clone(),
        body: block.plan.body.clone(),
    };
    let span = Span {
        identity,
        rules_hash: spec.rules_hash(claim.time_ms),
        parent: below.clone(),
        blocks: blocks.iter().map(block).collect(),
        seal: Seal { view: 0, proof: proof.into() },
        last_header: last.hash,
    };
    let most = da.limits().max_blob_bytes;
    let blobs = codec::encode(&span, &spec.vm, &keys::poster(), &EncodeOptions::default(), most)?;
    let _included = da.submit(identity, blobs)?;
    da.produce(claim.time_ms + BLOCK_MS)?;
    Ok(())
}

/// Measures fresh nodes on a history; (seconds, CPU seconds) of each.
fn measure(bench: &Bench, history: &History) -> eyre::Result<Vec<(f64, f64)>> {
    let (service, da) = history.serve(bench)?;
    let runs = (0..bench.pairs).map(|_| history.derive(bench, &da)).collect::<eyre::Result<_>>()?;
    ensure!(service.stop()?.success(), "the da service did not stop well");
    Ok(runs)
}

/// The workload `w6-derivation`.
pub fn run(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    section.title = "Derivation: a fresh full node reads a history from DA".into();
    let genesis_ms = (SystemClock.now_ms() - AGO_MS) / 1000 * 1000;
    transfers(bench, section, genesis_ms)?;
    computing(bench, section, genesis_ms)?;
    section.note(format!(
        "real processes: the DA service, and `causeway run --role full` without a feed; {BLOCK_MS} ms blocks, {SPAN} in a span, a DA block a span; from the start of the process to a safe head with the expected hash, start-up included; every sender is recovered"
    ));
    Ok(())
}

fn transfers(bench: &Bench, section: &mut Section, genesis_ms: u64) -> eyre::Result<()> {
    let unit = costs::measure(bench, &mut Section::default())?;
    let senders = made::senders(SENDERS);
    let raw = Mix::FRESH.sign(70, &senders, bench.size.pick(4_000, 100_000));
    let blocks: Vec<_> = raw.chunks(1_000).map(<[Bytes]>::to_vec).collect();
    let history = History::make(made::spec(genesis_ms, &senders, 0, &[])?, &blocks)?;
    let runs = measure(bench, &history)?;
    let rate: Vec<_> = runs.iter().map(|(seconds, _)| history.txs as f64 / seconds).collect();
    let cpu = runs.iter().map(|(_, cpu)| cpu * 1e6 / history.txs as f64).collect();
    let gas = history.gas as f64 / history.txs as f64 / 1e6;
    section.row(Row::new("transfers", "tx/s", rate.clone()));
    section.row(Row::new("transfers", "Mgas/s", rate.iter().map(|rate| rate * gas).collect()));
    section.row(Row::new("transfers: CPU time of the node", "us/tx", cpu));
    let need = unit.transfer();
    let (split, bound) = (unit.split(&need), unit.bound(&need, &[]));
    section.row(Row::new("transfers: bound, 1 / max(recover, rest)", "tx/s", vec![split]));
    section.row(Row::new("transfers: bound, 2 / (recover + rest)", "tx/s", vec![bound]));
    let percent = |bound: f64| rate.iter().map(|rate| 100.0 * rate / bound).collect();
    let what = "transfers, of 1 / max(recover, rest)";
    section.row(Row::new(what, "%", percent(split)).goal(Goal::AtLeast(70.0)));
    section.row(Row::new("transfers, of 2 / (recover + rest)", "%", percent(bound)));
    section.note(format!("{} transfers to fresh recipients in blocks of 1,000", history.txs));
    Ok(())
}

fn computing(bench: &Bench, section: &mut Section, genesis_ms: u64) -> eyre::Result<()> {
    let key = made::sender(0);
    let (contract, calls) = compute::computing(&key, bench.size.pick(10, 150));
    let spec = made::spec(genesis_ms, &[key], 0, &[contract])?;
    let raw = limits::costs::execute(&spec, &[], &calls[..5], bench.size.pick(3, 7))?;
    let blocks: Vec<_> = calls.chunks(10).map(<[Bytes]>::to_vec).collect();
    let history = History::make(spec, &blocks)?;
    let runs = measure(bench, &history)?;
    let rate: Vec<_> = runs.iter().map(|(seconds, _)| history.gas as f64 / 1e6 / seconds).collect();
    section.row(Row::new("compute", "Mgas/s", rate.clone()));
    let gas = history.gas as f64 / history.txs as f64;
    let raw = Row::new("", "us", raw).median();
    let bound = gas / raw;
    section.row(Row::new("compute: bound, raw revm on one core", "Mgas/s", vec![bound]));
    let percent = rate.iter().map(|rate| 100.0 * rate / bound).collect();
    section.row(Row::new("compute, of raw revm", "%", percent).goal(Goal::AtLeast(70.0)));
    section.note(format!("{} transactions of {:.1} M gas in blocks of 10", history.txs, gas / 1e6));
    Ok(())
}
