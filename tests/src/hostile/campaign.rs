//! Hostile calls against a running sequencer, and what becomes of those who mean well meanwhile.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, TxKind, U256, hex};
use causeway_da::http;
use causeway_node::rpc::RpcConfig;
use eyre::{WrapErr, bail, ensure, eyre};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Generator, Known};
use crate::contracts::Asm;
use crate::live::{CHAIN_ID, Live};
use crate::openrpc::OpenRpc;
use crate::txs::{Draft, Form};
use crate::{answers, keys};

/// Connections that send hostile calls.
const CALLERS: usize = 8;
/// Connections that ask for much and read nothing.
const SLOW: usize = 4;
/// Longest that an answer may take: several limits of the node, one after the other.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two honest reads.
const PAUSE: Duration = Duration::from_millis(5);

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Hostile requests that were answered by JSON-RPC.
    pub answered: u64,
    /// Those that HTTP refused, as too large.
    pub refused: u64,
    /// Honest reads.
    pub reads: usize,
    /// Of a hundred honest reads, 99 took no longer.
    pub p99: Duration,
    /// Blocks made meanwhile.
    pub blocks: u64,
    /// The longest time between two of them.
    pub longest_gap: Duration,
}

/// What blocks did.
#[derive(Default)]
struct Seen {
    blocks: u64,
    longest_gap: Duration,
}

/// What results look like: by the server's own document, and by that of Ethereum's execution APIs
/// where a copy is at hand.
struct Schemas {
    own: OpenRpc,
    official: Option<OpenRpc>,
    /// The first answer of each method that is not as its schema has it.
    wrong: Mutex<BTreeMap<String, String>>,
}

impl Schemas {
    fn new(document: &Value) -> eyre::Result<Self> {
        let suites = std::env::var_os("CAUSEWAY_SUITES").map(PathBuf::from);
        let path = suites.map(|suites| suites.join("execution-apis/openrpc.json"));
        let official =
            path.filter(|path| path.exists()).map(std::fs::read_to_string).transpose()?;
        let official = official.map(|text| OpenRpc::parse(&text)).transpose()?;
        let own = OpenRpc::parse(&document.to_string())?;
        Ok(Self { own, official, wrong: Mutex::default() })
    }

    /// Holds the result of a single call against its method's schema.
    fn check(&self, asked: &[u8], answer: &[u8]) {
        let Ok(asked) = serde_json::from_slice::<Value>(asked) else { return };
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let (Some(method), Some(result)) = (asked["method"].as_str(), answer.get("result")) else {
            return;
        };
        let checked = self.allowed(method, &asked, result);
        if let Err(error) = checked {
            let told: String = format!("{error}; asked {asked}").chars().take(600).collect();
            self.wrong.lock().entry(method.to_owned()).or_insert(told);
        }
    }

    fn allowed(&self, method: &str, asked: &Value, result: &Value) -> eyre::Result<()> {
        self.own.check_result(method, result)?;
        // A pending block has no hash and no nonce yet, which the official schema does not know; and
        // to that an empty list is one of two things at once.
        let pending = asked["params"].get(0).is_some_and(|block| block == "pending");
        let empty = result.as_array().is_some_and(Vec::is_empty);
        match &self.official {
            Some(official) if !pending && !empty => official.check_result(method, result),
            _ => Ok(()),
        }
    }
}

/// Sends the requests of these numbers. Fails if one is answered by anything but JSON-RPC, or by a
/// failure of the node.
pub async fn campaign(numbers: std::ops::Range<u64>) -> eyre::Result<Figures> {
    let mut live = Live::start(RpcConfig::default()).await?;
    let known = settle(&live).await?;
    let document = live.call("rpc.discover", json!([])).await?;
    let schemas = Arc::new(Schemas::new(&document["result"])?);
    let generator = Arc::new(Generator::new(&document["result"], known)?);
    let url = format!("http://{}", live.running.addr());
    let stop = CancellationToken::new();
    let honest = tokio::spawn(honest(url.clone(), stop.clone()));
    let watched = tokio::spawn(watch(live.node().blocks(), stop.clone()));
    let slow: Vec<_> =
        (0..SLOW).map(|_| tokio::spawn(slow(live.running.addr(), stop.clone()))).collect();

    let counted = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let (next, failed) =
        (Arc::new(AtomicU64::new(numbers.start)), Arc::new(AtomicBool::new(false)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (generator, url, next) = (generator.clone(), url.clone(), next.clone());
        let schemas = schemas.clone();
        let ([answered, refused], failed) = (counted.clone(), failed.clone());
        callers.spawn(async move {
            let client = http::client(PATIENCE, false)?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end || failed.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let body = generator.body(number);
                let told = || {
                    let start: String = String::from_utf8_lossy(&body).chars().take(2000).collect();
                    format!("CAUSEWAY_SEED={number} CAUSEWAY_CASES=1: {start}")
                };
                match one(&client, &url, &body, &schemas).await.wrap_err_with(told) {
                    Ok(true) => &answered,
                    Ok(false) => &refused,
                    Err(error) => {
                        failed.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                }
                .fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(caller) = tokio::select! {
        ended = callers.join_next() => ended,
        error = live.running.failed() => bail!("the node failed: {error}"),
    } {
        caller??;
    }
    let wrong = std::mem::take(&mut *schemas.wrong.lock());
    ensure!(wrong.is_empty(), "not as their schemas have them: {wrong:#?}");
    stop.cancel();
    for slow in slow {
        slow.await?.wrap_err("a slow reader")?;
    }
    let mut reads = honest.await?.wrap_err("an honest read")?;
    let watched = watched.await?;
    reads.sort_unstable();
    ensure!(!reads.is_empty(), "no honest read");
    let p99 = reads[(reads.len() * 99 / 100).min(reads.len() - 1)];
    live.stop().await?;
    let [answered, refused] = counted.map(|count| count.load(Ordering::Relaxed));
    let Seen { blocks, longest_gap } = watched;
    Ok(Figures { answered, refused, reads: reads.len(), p99, blocks, longest_gap })
}

/// Something to ask for: transfers, a contract with logs, and blocks that hold them.
async fn settle(live: &Live) -> eyre::Result<Known> {
    let mut known = Known::default();
    let key = &keys::accounts()[0];
    let log = Asm::new().ops(&[0x60, 0x01, 0x60, 0x00, 0x60, 0x00, 0xa1, 0x00]).code();
    let transfer = |nonce| Draft::transfer(CHAIN_ID, nonce, Address::repeat_byte(0xa5), 7);
    let create = Draft {
        to: TxKind::Create,
        value: U256::ZERO,
        gas_limit: 500_000,
        input: Asm::new().deploy(&log).into(),
        ..transfer(1)
    };
    for draft in [transfer(0), create, transfer(2)] {
        let raw = hex::encode_prefixed(draft.sign(Form::Dynamic, key));
        let answer = live.call("eth_sendRawTransactionSync", json!([raw, "0x7530"])).await?;
        let receipt = &answer["result"];
        ensure!(receipt["status"] == "0x1", "{answer}");
        for name in ["transactionHash", "blockHash"] {
            known.hashes.push(receipt[name].as_str().unwrap_or_default().parse()?);
        }
        if let Some(contract) = receipt["contractAddress"].as_str() {
            known.addresses.push(contract.parse()?);
        }
        known.raws.push(raw);
    }
    let spare = &keys::accounts()[1];
    let waiting = Draft::transfer(CHAIN_ID, 5, key.address(), 1).sign(Form::Dynamic, spare);
    known.raws.push(hex::encode_prefixed(waiting));
    known.addresses.extend([key.address(), spare.address(), Address::repeat_byte(0xa5)]);
    known.latest = live.latest();
    Ok(known)
}

/// Sends a body; true if it was answered by JSON-RPC, false if HTTP refused it as too large.
async fn one(
    client: &reqwest::Client,
    url: &str,
    body: &[u8],
    schemas: &Schemas,
) -> eyre::Result<bool> {
    let post = || client.post(url).header("content-type", "application/json").body(body.to_vec());
    let answer = match post().send().await {
        Ok(answer) => answer,
        // A server may close a connection just when it is used again; what ends one connection by
        // itself ends the next, too.
        Err(_) => post().send().await.wrap_err("no answer: a panic, or too slow")?,
    };
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.wrap_err("half an answer")?;
    match status {
        // 400 if it is no JSON at all.
        200 | 400 => catch_unwind(AssertUnwindSafe(|| answers::check(body, &bytes)))
            .map(|()| schemas.check(body, &bytes))
            .map(|()| true)
            .map_err(|_| eyre!("answered by {}", String::from_utf8_lossy(&bytes))),
        413 => Ok(false),
        _ => bail!("HTTP {status}: {}", String::from_utf8_lossy(&bytes)),
    }
}

/// What a wallet asks, one after the other, each timed.
async fn honest(url: String, stop: CancellationToken) -> eyre::Result<Vec<Duration>> {
    let client = http::client(PATIENCE, false)?;
    let account = keys::accounts()[0].address();
    let asked: Vec<Value> = [
        ("eth_blockNumber", json!([])),
        ("eth_getBalance", json!([account, "latest"])),
        ("eth_getBlockByNumber", json!(["latest", false])),
        ("eth_getTransactionCount", json!([account, "pending"])),
        ("eth_chainId", json!([])),
    ]
    .into_iter()
    .map(
        |(method, params)| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }),
    )
    .collect();
    let mut took = Vec::new();
    for request in asked.iter().cycle() {
        if stop.is_cancelled() {
            break;
        }
        let started = Instant::now();
        let answer: Value = client.post(&url).json(request).send().await?.json().await?;
        took.push(started.elapsed());
        ensure!(!answer["result"].is_null(), "{request}: {answer}");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(took)
}

/// Counts blocks, and the time between them.
async fn watch(
    mut blocks: tokio::sync::broadcast::Receiver<causeway_node::rpc::BlockEvent>,
    stop: CancellationToken,
) -> Seen {
    let mut seen = Seen::default();
    let mut last = Instant::now();
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return seen,
            event = blocks.recv() => event,
        };
        match event {
            Ok(_) => seen.blocks += 1,
            Err(RecvError::Lagged(missed)) => seen.blocks += missed,
            Err(RecvError::Closed) => return seen,
        }
        seen.longest_gap = seen.longest_gap.max(last.elapsed());
        last = Instant::now();
    }
}

/// Asks again and again for a large answer, and reads a byte now and then.
async fn slow(addr: std::net::SocketAddr, stop: CancellationToken) -> eyre::Result<()> {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "rpc.discover", "params": [] });
    let body = Value::Array(vec![call; 50]).to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    while !stop.is_cancelled() {
        let mut stream = TcpStream::connect(addr).await?;
        for _ in 0..20 {
            // The node may have had enough of it: then another.
            let write = stream.write_all(request.as_bytes());
            let written = tokio::time::timeout(Duration::from_millis(500), write).await;
            let mut byte = [0];
            let read =
                tokio::time::timeout(Duration::from_millis(100), stream.read(&mut byte)).await;
            if stop.is_cancelled() || matches!(written, Ok(Err(_))) || matches!(read, Ok(Err(_))) {
                break;
            }
        }
    }
    Ok(())
}
