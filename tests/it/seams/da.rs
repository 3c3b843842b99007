//! The contract of `DaBackend`. To put another layer under it: a function and a line in `LAYERS`.

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::l1::Bounds;
use causeway_chainspec::{Clock, DaRef};
use causeway_da::ethereum::{EthereumDa, Options, Settings};
use causeway_da::local::{LocalClient, LocalConfig, LocalDa, serve};
use causeway_da::memory::{MemoryConfig, MemoryDa};
use causeway_da::{DaBackend, DaError};
use causeway_tests::anvil::{self, Anvil};
use futures::future::{BoxFuture, join_all};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Final when so many blocks follow.
const FINAL_DEPTH: u64 = 4;
const NAMESPACE: B256 = B256::repeat_byte(0xaa);
const PORTAL: Address = Address::repeat_byte(0x9a);

/// A layer under test, and what a test may do to it from behind. Submissions get their block
/// without anybody's doing.
trait Layer: Send {
    /// As a node sees it.
    fn da(&self) -> Arc<dyn DaBackend>;
    /// Makes an empty block at a time in whole seconds.
    fn produce(&self, time_ms: u64) -> BoxFuture<'_, ()>;
    /// Whether data costs something.
    fn costs(&self) -> bool {
        false
    }
    /// Stops it and starts it again, if it outlives its process.
    fn restart(self: Box<Self>) -> BoxFuture<'static, Option<Box<dyn Layer>>>;
}

type Start = fn() -> BoxFuture<'static, Box<dyn Layer>>;

const LAYERS: &[(&str, Start)] = &[
    ("memory", || Box::pin(memory())),
    ("local", || Box::pin(local(TempDir::new().unwrap()))),
    ("ethereum", || Box::pin(ethereum())),
];

impl Layer for MemoryDa {
    fn da(&self) -> Arc<dyn DaBackend> {
        Arc::new(self.clone())
    }
    fn produce(&self, time_ms: u64) -> BoxFuture<'_, ()> {
        MemoryDa::produce(self, time_ms);
        Box::pin(ready(()))
    }
    fn restart(self: Box<Self>) -> BoxFuture<'static, Option<Box<dyn Layer>>> {
        Box::pin(ready(None))
    }
}

async fn memory() -> Box<dyn Layer> {
    let config =
        MemoryConfig { final_depth: FINAL_DEPTH, auto_ms: Some(1), ..MemoryConfig::default() };
    Box::new(MemoryDa::new(config))
}

/// The real service, on loopback.
struct Local {
    dir: TempDir,
    served: Arc<LocalDa>,
    client: Arc<LocalClient>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), DaError>>,
}

async fn local(dir: TempDir) -> Box<dyn Layer> {
    let key = PrivateKeySigner::from_bytes(&B256::with_last_byte(1)).unwrap();
    let config = LocalConfig {
        interval_ms: u64::MAX,
        min_interval_ms: 0,
        final_depth: FINAL_DEPTH,
        ..LocalConfig::default()
    };
    let served = Arc::new(LocalDa::open(dir.path(), key, config).unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(listener, served.clone(), Arc::new(Stopped), stop.clone()));
    let client = Arc::new(LocalClient::new(&url, served.signer(), NAMESPACE).unwrap());
    Box::new(Local { dir, served, client, stop, task })
}

impl Layer for Local {
    fn da(&self) -> Arc<dyn DaBackend> {
        self.client.clone()
    }
    fn produce(&self, time_ms: u64) -> BoxFuture<'_, ()> {
        self.served.produce(time_ms).unwrap();
        Box::pin(ready(()))
    }
    fn restart(self: Box<Self>) -> BoxFuture<'static, Option<Box<dyn Layer>>> {
        let Self { dir, served, client, stop, task } = *self;
        Box::pin(async move {
            stop.cancel();
            task.await.unwrap().unwrap();
            drop((served, client));
            Some(local(dir).await)
        })
    }
}

/// Blobs and a portal on a real anvil, which makes a block for each transaction.
struct Ethereum {
    anvil: Anvil,
    da: Arc<EthereumDa>,
}

async fn ethereum() -> Box<dyn Layer> {
    let anvil = Anvil::start(&[]).unwrap();
    anvil.set_code(PORTAL, anvil::PORTAL).await.unwrap();
    Box::new(Ethereum { da: client(&anvil), anvil })
}

fn client(anvil: &Anvil) -> Arc<EthereumDa> {
    let (url, key) = (anvil.url(), anvil.key_file().unwrap());
    let settings = format!(
        "rpc = [{url:?}]\nbeacon = [{url:?}]\nkey = {key:?}\ntrust_roots = \"development\""
    );
    let options = Options { chain_id: anvil::CHAIN_ID, portal: Some(PORTAL), ..Options::default() };
    let settings: Settings = toml::from_str(&settings).unwrap();
    let interval = Duration::from_millis(200);
    Arc::new(
        EthereumDa::new(
            (NAMESPACE, Bounds { gas: 30_000_000, coins: true }),
            interval,
            &options,
            &settings,
        )
        .unwrap(),
    )
}

impl Layer for Ethereum {
    fn da(&self) -> Arc<dyn DaBackend> {
        self.da.clone()
    }
    fn produce(&self, time_ms: u64) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.anvil.mine_at(time_ms / 1000).await.unwrap() })
    }
    fn costs(&self) -> bool {
        true
    }
    /// The chain goes on without us.
    fn restart(self: Box<Self>) -> BoxFuture<'static, Option<Box<dyn Layer>>> {
        let da = client(&self.anvil);
        Box::pin(ready(Some(Box::new(Self { da, ..*self }) as Box<dyn Layer>)))
    }
}

/// Stands still, so that time passes only where a test says so.
struct Stopped;

impl Clock for Stopped {
    fn now_ms(&self) -> u64 {
        0
    }
    fn sleep_until(&self, time_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if time_ms == 0 { Box::pin(ready(())) } else { Box::pin(pending()) }
    }
}

/// Runs one test over every layer.
async fn each<F: Future<Output = ()>>(test: impl Fn(&'static str, Box<dyn Layer>) -> F) {
    for (name, start) in LAYERS {
        test(name, start().await).await;
    }
}

fn blobs(bytes: &[u8]) -> Vec<Bytes> {
    bytes.iter().map(|byte| vec![*byte; 1 + usize::from(*byte)].into()).collect()
}

/// Every block so far, checked to be a chain.
async fn chain(da: &dyn DaBackend) -> Vec<causeway_da::DaBlock> {
    let latest = da.heads().await.unwrap().latest;
    let mut blocks: Vec<causeway_da::DaBlock> = Vec::new();
    for height in 0..=latest.height {
        let block = da.read(height).await.unwrap();
        assert_eq!(block.da.height, height);
        if let Some(last) = blocks.last() {
            assert_eq!(block.parent, last.da.hash);
        }
        blocks.push(block);
    }
    assert_eq!(blocks.last().unwrap().da, latest);
    blocks
}

#[tokio::test]
async fn what_was_submitted_is_read_back_in_order() {
    each(|name, layer| async move {
        let da = layer.da();
        let mut expected = Vec::new();
        for submission in [blobs(&[1]), blobs(&[3, 2, 3]), blobs(&[0, 0])] {
            let at = da.submit(&submission).await.unwrap();
            let block = da.read(at.height).await.unwrap();
            assert_eq!((block.da, &block.blobs), (at, &submission), "{name}");
            assert_eq!(da.read(at.height).await.unwrap(), block, "{name}: equal answers");
            expected.extend(submission);
        }
        let all: Vec<_> = chain(&*da).await.into_iter().flat_map(|block| block.blobs).collect();
        assert_eq!(all, expected, "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_submission_is_in_one_block_even_when_many_submit() {
    each(|name, layer| async move {
        let da = layer.da();
        let submissions: Vec<_> =
            (0..12u8).map(|i| blobs(&[i * 3, i * 3 + 1, i * 3 + 2])).collect();
        let places = join_all(submissions.iter().map(|submission| da.submit(submission))).await;
        let blocks = chain(&*da).await;
        for (submission, place) in submissions.iter().zip(places) {
            let DaRef { height, hash } = place.unwrap();
            let block = &blocks[height as usize];
            assert_eq!(block.da.hash, hash, "{name}");
            let together = block.blobs.windows(3).filter(|window| *window == &submission[..]);
            assert_eq!(together.count(), 1, "{name}: in order, and next to each other");
        }
        assert_eq!(blocks.iter().map(|block| block.blobs.len()).sum::<usize>(), 36, "{name}");
    })
    .await;
}

#[tokio::test]
async fn not_yet_is_not_empty() {
    each(|name, layer| async move {
        let da = layer.da();
        let latest = da.heads().await.unwrap().latest.height;
        for height in [latest + 1, latest + 1000, u64::MAX] {
            let error = da.read(height).await.unwrap_err();
            assert_eq!(error, DaError::NotYet { height, latest }, "{name}");
            assert!(error.is_temporary(), "{name}");
        }
        layer.produce(50_000).await;
        let empty = da.read(latest + 1).await.unwrap();
        assert_eq!(
            (empty.blobs.len(), empty.forced.len(), empty.time_ms),
            (0, 0, 50_000),
            "{name}"
        );
    })
    .await;
}

#[tokio::test]
async fn heads_only_rise_and_the_final_one_follows() {
    each(|name, layer| async move {
        let da = layer.da();
        let mut before = da.heads().await.unwrap();
        for step in 1..8u64 {
            if step % 2 == 0 {
                da.submit(&blobs(&[1])).await.unwrap();
            } else {
                layer.produce(step * 100_000).await;
            }
            let heads = da.heads().await.unwrap();
            assert_eq!(heads.latest.height, before.latest.height + 1, "{name}");
            let expected = heads.latest.height.saturating_sub(FINAL_DEPTH);
            assert_eq!(heads.finalized.height, expected, "{name}");
            let finalized = da.read(expected).await.unwrap();
            assert_eq!(finalized.da, heads.finalized, "{name}");
            before = heads;
        }
        assert!(chain(&*da).await.is_sorted_by_key(|block| block.time_ms), "{name}");
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_leaves_nothing() {
    each(|name, layer| async move {
        let da = layer.da();
        let limits = da.limits().await.unwrap();
        let blob = |size| Bytes::from(vec![7; size]);
        let count = limits.max_submission_bytes / limits.max_blob_bytes + 1;
        for submission in
            [vec![blob(limits.max_blob_bytes + 1)], vec![blob(limits.max_blob_bytes); count]]
        {
            let error = da.submit(&submission).await.unwrap_err();
            assert!(matches!(error, DaError::TooLarge { .. }), "{name}: {error}");
            assert!(!error.is_temporary(), "{name}");
        }
        assert!(matches!(da.submit(&[]).await, Err(DaError::Refused(_))), "{name}");
        let error = da.force(blob(limits.max_blob_bytes * 2)).await.unwrap_err();
        assert!(matches!(error, DaError::TooLarge { .. }), "{name}: {error}");
        let largest = [blob(limits.max_blob_bytes)];
        let at = da.submit(&largest).await.unwrap();
        assert_eq!(at.height, 1, "{name}");
        assert_eq!(da.read(1).await.unwrap().blobs, largest, "{name}");
    })
    .await;
}

#[tokio::test]
async fn the_forced_lane_keeps_its_order_and_is_no_blob() {
    each(|name, layer| async move {
        let da = layer.da();
        for entry in blobs(&[5, 4, 6]) {
            da.force(entry).await.unwrap();
            da.submit(&blobs(&[1])).await.unwrap();
        }
        let blocks = chain(&*da).await;
        let forced: Vec<_> = blocks.iter().flat_map(|block| block.forced.clone()).collect();
        let others: Vec<_> = blocks.iter().flat_map(|block| block.blobs.clone()).collect();
        assert_eq!((forced, others), (blobs(&[5, 4, 6]), blobs(&[1, 1, 1])), "{name}");
    })
    .await;
}

#[tokio::test]
async fn the_price_has_an_answer() {
    each(|name, layer| async move {
        let fee = layer.da().fee().await.unwrap().wei_per_byte;
        assert_eq!(fee > 0, layer.costs(), "{name}: {fee}");
        let runway = layer.da().runway().await.unwrap();
        assert_eq!(runway.is_some(), layer.costs(), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    each(|name, layer| async move {
        let da = layer.da();
        da.submit(&blobs(&[1, 2])).await.unwrap();
        da.force(Bytes::from_static(b"forced")).await.unwrap();
        let (blocks, heads) = (chain(&*da).await, da.heads().await.unwrap());
        drop(da);
        let Some(layer) = layer.restart().await else { return };
        let da = layer.da();
        assert_eq!((chain(&*da).await, da.heads().await.unwrap()), (blocks, heads), "{name}");
        let at = da.submit(&blobs(&[3])).await.unwrap();
        assert_eq!(at.height, heads.latest.height + 1, "{name}");
        assert_eq!(da.read(at.height).await.unwrap().parent, heads.latest.hash, "{name}");
    })
    .await;
}
