//! The service and its client, over real HTTP.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use alloy_signer_local::PrivateKeySigner;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use causeway_chainspec::Clock;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::block::{Block, BlockAnswer, SignedHeader};
use super::*;

const CHAIN: B256 = B256::repeat_byte(1);
const OTHER: B256 = B256::repeat_byte(2);

fn key(byte: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::with_last_byte(byte)).unwrap()
}

fn config() -> LocalConfig {
    LocalConfig {
        interval_ms: u64::MAX,
        min_interval_ms: 0,
        max_blob_bytes: 1000,
        max_block_bytes: 3000,
        max_forced_bytes: 100,
        forced_per_block: 2,
        max_pending_bytes: 6000,
        segment_bytes: 2000,
        ..Default::default()
    }
}

fn open(dir: &Path) -> Result<LocalDa, DaError> {
    LocalDa::open(dir, key(1), config())
}

fn blobs(bytes: &[u8]) -> Vec<Bytes> {
    bytes.iter().map(|byte| vec![*byte; 100].into()).collect()
}

fn all(da: &LocalDa) -> Vec<Block> {
    (0..).map_while(|height| da.read(height).ok()).collect()
}

/// Twelve blocks over several files.
fn filled(dir: &Path) -> Vec<Block> {
    let da = open(dir).unwrap();
    for time in 1..12 {
        da.submit(CHAIN, blobs(&[1, 2, time as u8])).unwrap();
        da.produce(time * 10).unwrap();
    }
    all(&da)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    files.sort();
    files
}

#[test]
fn blocks_survive_a_restart_over_many_files() {
    let dir = TempDir::new().unwrap();
    let before = filled(dir.path());
    assert!(files(dir.path()).len() > 1);
    let da = open(dir.path()).unwrap();
    assert_eq!(all(&da), before);
    assert_eq!(da.produce(5).unwrap().height, 12);
    let last = da.read(12).unwrap().signed.header;
    assert_eq!((last.time_ms, last.parent), (110, before[11].signed.header.hash()));
    let (latest, finalized) = da.heads().unwrap();
    assert_eq!((latest.header.height, finalized.header.height), (12, 10));
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_tears() {
    let dir = TempDir::new().unwrap();
    let before = filled(dir.path());
    let last = files(dir.path()).pop().unwrap();
    let whole = fs::read(&last).unwrap();
    let tear = |bytes: &[u8], expect: usize| {
        fs::write(&last, bytes).unwrap();
        let da = open(dir.path()).unwrap();
        assert_eq!(all(&da), before[..expect]);
    };
    tear(&[&whole[..], &[0; 5]].concat(), 12);
    tear(&[&whole[..], b"CWDA\xff\xff\xff\xff\0\0\0\0"].concat(), 12);
    for missing in [1, 100, 350] {
        tear(&whole[..whole.len() - missing], 11);
    }
    let mut changed = whole;
    *changed.last_mut().unwrap() ^= 1;
    tear(&changed, 11);
}

#[test]
fn damage_before_good_blocks_is_an_error_that_says_where() {
    let dir = TempDir::new().unwrap();
    filled(dir.path());
    let files = files(dir.path());
    for (file, at) in [(0, 30), (0, 5), (1, 2), (files.len() - 1, 6)] {
        let good = fs::read(&files[file]).unwrap();
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        fs::write(&files[file], bad).unwrap();
        let error = open(dir.path()).unwrap_err().to_string();
        let name = files[file].file_name().unwrap().to_str().unwrap();
        assert!(error.contains(name) && error.contains("at byte 0"), "{error}");
        assert!(error.contains("restore this file"), "{error}");
        fs::write(&files[file], good).unwrap();
    }
    fs::remove_file(&files[1]).unwrap();
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains(files[1].to_str().unwrap()) && error.contains("missing"), "{error}");
}

#[test]
fn a_blob_that_looks_like_blocks_is_no_damage_when_it_tears() {
    let dir = TempDir::new().unwrap();
    let stored = filled(dir.path());
    // Frames with right checksums: of nothing, of an old block, of a later one by another key.
    let frame = |payload: &[u8]| {
        let length = (payload.len() as u32).to_le_bytes();
        let sum = crc32c::crc32c_append(crc32c::crc32c(&length), payload);
        [b"CWDA", &length[..], &sum.to_le_bytes(), payload].concat()
    };
    let mut later = stored[0].clone();
    later.signed.header.height += 100;
    later.signed = SignedHeader::new(later.signed.header, &key(99)).unwrap();
    let payloads = [vec![1, 2, 3], alloy_rlp::encode(&stored[0]), alloy_rlp::encode(&later)];
    let blob: Vec<u8> = payloads.iter().flat_map(|payload| frame(payload)).collect();
    let da = open(dir.path()).unwrap();
    let _included = da.submit(CHAIN, vec![blob.into()]).unwrap();
    da.produce(10_000).unwrap();
    drop(da);
    let last = files(dir.path()).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(all(&open(dir.path()).unwrap()), stored);
}

#[test]
fn a_directory_has_one_process_and_one_key() {
    let dir = TempDir::new().unwrap();
    let da = open(dir.path()).unwrap();
    assert!(open(dir.path()).unwrap_err().to_string().contains("another process"));
    drop(da);
    let error = LocalDa::open(dir.path(), key(2), config()).unwrap_err().to_string();
    assert!(error.contains("use the key it began with"), "{error}");
    assert!(open(dir.path()).is_ok());
    let broken = LocalConfig { interval_ms: 0, ..config() };
    assert!(LocalDa::open(dir.path(), key(1), broken).is_err());
}

#[test]
fn a_block_takes_whole_submissions_in_order_and_few_forced_entries() {
    let dir = TempDir::new().unwrap();
    let da = open(dir.path()).unwrap();
    let big = || vec![Bytes::from(vec![7; 900]), vec![8; 900].into()];
    let mut waiting = vec![da.submit(CHAIN, big()).unwrap(), da.submit(OTHER, big()).unwrap()];
    waiting.push(da.submit(CHAIN, blobs(&[1])).unwrap());
    waiting.extend((0..5).map(|entry| da.force(CHAIN, vec![entry].into()).unwrap()));
    for time in 1..=3 {
        da.produce(time).unwrap();
    }
    let heights: Vec<u64> =
        waiting.iter_mut().map(|included| included.try_recv().unwrap().height).collect();
    assert_eq!(heights, [1, 2, 2, 1, 1, 2, 2, 3]);
    let second = da.read(2).unwrap();
    let namespaces: Vec<_> =
        second.entries.iter().map(|entry| (entry.namespace, entry.forced)).collect();
    let (own, other, forced) = ((CHAIN, false), (OTHER, false), (CHAIN, true));
    assert_eq!(namespaces, [other, other, own, forced, forced]);
}

#[test]
fn too_much_is_refused_and_what_waits_is_bounded() {
    let dir = TempDir::new().unwrap();
    let da = open(dir.path()).unwrap();
    let too_large = |result: Result<_, DaError>| match result.unwrap_err() {
        DaError::TooLarge { bytes, most } => assert!(bytes > most),
        other => panic!("{other}"),
    };
    too_large(da.submit(CHAIN, vec![vec![0; 1001].into()]).map(drop));
    too_large(da.submit(CHAIN, vec![vec![0; 1000].into(); 3]).map(drop));
    too_large(da.submit(CHAIN, vec![Bytes::new(); 47]).map(drop));
    too_large(da.force(CHAIN, vec![0; 101].into()).map(drop));
    assert!(matches!(da.submit(CHAIN, vec![]), Err(DaError::Refused(_))));
    let fill =
        |namespace| (0..1000).take_while(|_| da.submit(namespace, blobs(&[1; 18])).is_ok()).count();
    assert_eq!((fill(CHAIN), fill(OTHER)), (2, 2));
    assert!(da.submit(CHAIN, blobs(&[1; 18])).unwrap_err().is_temporary());
    assert_eq!((0..100).take_while(|_| da.force(CHAIN, Bytes::new()).is_ok()).count(), 8);
    da.produce(1).unwrap();
    assert_eq!(fill(CHAIN), 1, "a block makes room");
}

fn answer(dir: &Path) -> BlockAnswer {
    let da = open(dir).unwrap();
    da.submit(OTHER, blobs(&[1])).unwrap();
    da.submit(CHAIN, blobs(&[2, 3])).unwrap();
    da.force(CHAIN, Bytes::from_static(b"force")).unwrap();
    da.produce(7).unwrap();
    da.read(1).unwrap().answer(CHAIN)
}

#[test]
fn a_reader_believes_only_what_was_signed() {
    let dir = TempDir::new().unwrap();
    let good = answer(dir.path());
    let signer = key(1).address();
    let block = good.clone().verify(signer, 1, CHAIN).unwrap();
    assert_eq!((block.blobs, block.time_ms), (blobs(&[2, 3]), 7));
    assert_eq!(block.forced, [Bytes::from_static(b"force")]);
    assert_eq!(good.parts[0].bytes.len(), 32, "others' bytes are not sent");

    let damaged = |edit: &dyn Fn(&mut BlockAnswer)| {
        let mut bad = good.clone();
        edit(&mut bad);
        assert!(matches!(bad.verify(signer, 1, CHAIN), Err(DaError::Damaged(_))));
    };
    damaged(&|bad| bad.signed.header.time_ms += 1);
    damaged(&|bad| bad.signed.header.height = 2);
    damaged(&|bad| bad.signed.signature = Bytes::new());
    damaged(&|bad| bad.parts[1].bytes = Bytes::new());
    damaged(&|bad| drop(bad.parts.pop()));
    damaged(&|bad| bad.parts.swap(1, 2));
    damaged(&|bad| bad.parts[2].forced = true);
    damaged(&|bad| bad.parts[0].bytes = Bytes::from_static(b"short"));
    // One of ours, shown as if it were of another namespace.
    damaged(&|bad| {
        bad.parts[1].namespace = OTHER;
        bad.parts[1].bytes = alloy_primitives::keccak256(&bad.parts[1].bytes).into();
    });
    assert!(good.verify(key(2).address(), 1, CHAIN).is_err());
}

/// Stands still: blocks come from submissions alone.
struct Stopped;

impl Clock for Stopped {
    fn now_ms(&self) -> u64 {
        1000
    }
    fn sleep_until(&self, time_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if time_ms <= 1000 {
            Box::pin(std::future::ready(()))
        } else {
            Box::pin(std::future::pending())
        }
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn chains_share_a_service_and_see_only_their_own() {
    let dir = TempDir::new().unwrap();
    let da = Arc::new(open(dir.path()).unwrap());
    let (listener, url) = listen().await;
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(listener, da.clone(), Arc::new(Stopped), stop.clone()));
    let client = |namespace| LocalClient::new(&url, da.signer(), namespace).unwrap();
    let (own, other) = (client(CHAIN), client(OTHER));

    let first = own.submit(&blobs(&[1, 2])).await.unwrap();
    other.force(vec![9].into()).await.unwrap();
    let block = own.read(first.height).await.unwrap();
    assert_eq!((block.da, block.blobs, block.time_ms), (first, blobs(&[1, 2]), 1000));
    let forced = other.read(2).await.unwrap();
    assert_eq!((forced.blobs.len(), forced.forced), (0, vec![vec![9].into()]));
    assert_eq!(other.read(1).await.unwrap().blobs, Vec::<Bytes>::new());
    assert_eq!(own.read(9).await.unwrap_err(), DaError::NotYet { height: 9, latest: 2 });
    assert!(matches!(own.submit(&[]).await, Err(DaError::Refused(_))));
    let large = own.submit(&[vec![0; 2000].into()]).await.unwrap_err();
    assert_eq!(large, DaError::TooLarge { bytes: 2000, most: 1000 });
    assert!(matches!(own.submit(&[vec![0; 9000].into()]).await, Err(DaError::TooLarge { .. })));

    // A head that curl can read.
    let http = crate::http::client(std::time::Duration::from_secs(5), false).unwrap();
    let head = http.get(format!("{url}v1/head")).send().await.unwrap().text().await.unwrap();
    let head: serde_json::Value = serde_json::from_str(&head).unwrap();
    assert_eq!((&head["latest"]["height"], &head["finalized"]["height"]), (&2.into(), &0.into()));

    let stranger = LocalClient::new(&url, key(2).address(), CHAIN).unwrap();
    assert!(matches!(stranger.heads().await, Err(DaError::Damaged(_))));
    assert!(matches!(stranger.read(1).await, Err(DaError::Damaged(_))));
    assert!(LocalClient::new("https://example.org", da.signer(), CHAIN).is_err());

    stop.cancel();
    served.await.unwrap().unwrap();
    assert!(matches!(own.heads().await, Err(DaError::Unavailable(_))));
}

#[tokio::test]
async fn submissions_under_way_get_their_block_when_the_service_stops() {
    let dir = TempDir::new().unwrap();
    let slow = LocalConfig { min_interval_ms: u64::MAX, ..config() };
    let da = Arc::new(LocalDa::open(dir.path(), key(1), slow).unwrap());
    let (listener, url) = listen().await;
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(listener, da.clone(), Arc::new(Stopped), stop.clone()));
    let client = LocalClient::new(&url, da.signer(), CHAIN).unwrap();
    let submitted = tokio::spawn(async move { client.submit(&blobs(&[1])).await });
    while !da.has_pending() {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    assert_eq!(submitted.await.unwrap().unwrap().height, 1);
    served.await.unwrap().unwrap();
    assert_eq!(da.read(1).unwrap().entries.len(), 1);
}

#[tokio::test]
async fn answers_of_somebody_else_are_never_facts() {
    let redirect = (StatusCode::FOUND, [("location", "/v1/head")], "");
    let app = Router::new()
        .route("/none/{*rest}", any(|| async { (StatusCode::NOT_FOUND, "no such page") }))
        .route(
            "/lie/{*rest}",
            any(|| async {
                (StatusCode::BAD_GATEWAY, "{\"kind\":\"not_yet\",\"height\":1,\"latest\":0}")
            }),
        )
        .route("/junk/{*rest}", any(|| async { "hello" }))
        .route("/huge/{*rest}", any(|| async { vec![b' '; 1 << 20] }))
        .route("/loop/{*rest}", any(move || async move { redirect }));
    let (listener, url) = listen().await;
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let client =
        |path: &str| LocalClient::new(&format!("{url}{path}"), key(1).address(), CHAIN).unwrap();
    for path in ["none", "lie", "loop"] {
        let client = client(path);
        assert!(matches!(client.read(1).await, Err(DaError::Unavailable(_))), "{path}");
        assert!(matches!(client.heads().await, Err(DaError::Unavailable(_))), "{path}");
        assert!(
            matches!(client.submit(&blobs(&[1])).await, Err(DaError::Unavailable(_))),
            "{path}"
        );
    }
    for path in ["junk", "huge"] {
        assert!(matches!(client(path).heads().await, Err(DaError::Damaged(_))), "{path}");
        assert!(matches!(client(path).read(1).await, Err(DaError::Damaged(_))), "{path}");
    }
    server.abort();
}
