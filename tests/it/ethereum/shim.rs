//! A consensus node in front of anvil's blobs: by slot, as real ones are, and with faults.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// One byte of each blob is another.
    Wrong,
    /// The first blob is left out.
    Missing,
    /// The order is turned around.
    Reordered,
    /// Blobs that nobody asked for come first, and bytes that are no blob.
    Extra,
    /// It has no blobs of that slot any more.
    Pruned,
    /// It answers with an error of its own.
    Down,
    /// It answers with something else.
    Garbage,
    /// It is from before `/eth/v1/beacon/blobs`.
    Old,
}

/// Times of the beacon chain it shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) genesis: u64,
    pub(super) epochs: u64,
}

/// A shim that is served; it ends with this value.
pub(super) struct Shim {
    pub(super) url: String,
    state: Arc<Shown>,
    served: JoinHandle<()>,
}

struct Shown {
    anvil: String,
    times: Times,
    fault: Mutex<Fault>,
    asked: Mutex<Vec<String>>,
}

impl Shim {
    pub(super) async fn start(anvil: &str, times: Times) -> eyre::Result<Self> {
        let state = Arc::new(Shown {
            anvil: anvil.to_owned(),
            times,
            fault: Mutex::new(Fault::None),
            asked: Mutex::default(),
        });
        let app = Router::new()
            .route("/eth/v1/beacon/genesis", get(genesis))
            .route("/eth/v1/config/spec", get(spec))
            .route("/eth/v1/beacon/blobs/{slot}", get(blobs))
            .route("/eth/v1/beacon/blob_sidecars/{slot}", get(sidecars))
            .with_state(state.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let served = tokio::spawn(async move {
            let _ended = axum::serve(listener, app).await;
        });
        Ok(Self { url, state, served })
    }

    pub(super) fn fail(&self, fault: Fault) {
        *self.state.fault.lock() = fault;
    }

    /// Slots that were asked for.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.asked.lock())
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn genesis(State(shown): State<Arc<Shown>>) -> Response {
    let genesis = json!({ "data": {
        "genesis_time": shown.times.genesis.to_string(),
        "genesis_validators_root":
            "0x4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95",
        "genesis_fork_version": "0x00000000",
    } });
    axum::Json(genesis).into_response()
}

/// Some of what the mainnet's nodes answer: numbers are texts, and a few values are no numbers.
async fn spec(State(shown): State<Arc<Shown>>) -> Response {
    let spec = json!({ "data": {
        "CONFIG_NAME": "mainnet",
        "PRESET_BASE": "mainnet",
        "SECONDS_PER_SLOT": "12",
        "SLOTS_PER_EPOCH": "1",
        "MIN_EPOCHS_FOR_BLOB_SIDECARS_REQUESTS": shown.times.epochs.to_string(),
        "FIELD_ELEMENTS_PER_BLOB": "4096",
        "BLOB_SCHEDULE": [
            { "EPOCH": "412672", "MAX_BLOBS_PER_BLOCK": "15" },
            { "EPOCH": "419072", "MAX_BLOBS_PER_BLOCK": "21" },
        ],
        "DEPOSIT_CONTRACT_ADDRESS": "0x00000000219ab540356cbb839cbe05303d7705fa",
    } });
    axum::Json(spec).into_response()
}

#[derive(serde::Deserialize)]
struct Hashes {
    versioned_hashes: Option<String>,
}

async fn blobs(
    State(shown): State<Arc<Shown>>,
    Path(slot): Path<String>,
    Query(hashes): Query<Hashes>,
) -> Response {
    if *shown.fault.lock() == Fault::Old {
        return StatusCode::NOT_FOUND.into_response();
    }
    shown.asked.lock().push(slot.clone());
    answer(&shown, &slot, hashes.versioned_hashes, |blobs| json!(blobs)).await
}

async fn sidecars(State(shown): State<Arc<Shown>>, Path(slot): Path<String>) -> Response {
    if *shown.fault.lock() != Fault::Old {
        return StatusCode::GONE.into_response();
    }
    shown.asked.lock().push(slot.clone());
    let sidecar = |(index, blob): (usize, Value)| json!({ "index": index.to_string(), "blob": blob, "kzg_commitment": "0x", "kzg_proof": "0x" });
    answer(&shown, &slot, None, |blobs| blobs.into_iter().enumerate().map(sidecar).collect()).await
}

async fn answer(
    shown: &Shown,
    slot: &str,
    hashes: Option<String>,
    form: impl FnOnce(Vec<Value>) -> Value,
) -> Response {
    let fault = *shown.fault.lock();
    match fault {
        Fault::Down => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Fault::Garbage => return "hello".into_response(),
        Fault::Pruned => return not_found().into_response(),
        _ => {}
    }
    let Ok(Some(mut blobs)) = of_slot(shown, slot, hashes).await else {
        return not_found().into_response();
    };
    match fault {
        Fault::Wrong => blobs.iter_mut().for_each(|blob| {
            let text = blob.as_str().unwrap_or_default();
            *blob = json!(format!("{}02{}", &text[..2000], &text[2002..]));
        }),
        Fault::Missing => drop(blobs.remove(0)),
        Fault::Reordered => blobs.reverse(),
        Fault::Extra => {
            let zero = json!(format!("0x{}", "00".repeat(131_072)));
            let above = json!(format!("0x{}", "ff".repeat(131_072)));
            blobs.splice(0..0, [zero, above, json!("0x"), json!("0x1234")]);
        }
        _ => {}
    }
    let body = json!({ "execution_optimistic": false, "finalized": true, "data": form(blobs) });
    axum::Json(body).into_response()
}

fn not_found() -> impl IntoResponse {
    let body = json!({ "code": 404, "message": "Block header/data has not been found" });
    (StatusCode::NOT_FOUND, axum::Json(body))
}

/// Anvil's blobs of the block whose time is in a slot.
async fn of_slot(
    shown: &Shown,
    slot: &str,
    hashes: Option<String>,
) -> eyre::Result<Option<Vec<Value>>> {
    let slot: u64 = slot.parse()?;
    let http = causeway_da::http::client(std::time::Duration::from_secs(10), false)?;
    for height in 0.. {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber",
            "params": [format!("{height:#x}"), false] });
        let reply: Value = http.post(&shown.anvil).json(&request).send().await?.json().await?;
        let Some(time) = reply["result"]["timestamp"].as_str() else { return Ok(None) };
        let time = u64::from_str_radix(time.trim_start_matches("0x"), 16)?;
        if time.saturating_sub(shown.times.genesis) / 12 != slot {
            continue;
        }
        let filter = hashes.map(|hashes| format!("?versioned_hashes={hashes}"));
        let filter = filter.unwrap_or_default();
        let url = format!("{}/eth/v1/beacon/blobs/{height}{filter}", shown.anvil);
        let mut blobs: Value = http.get(url).send().await?.json().await?;
        return Ok(serde_json::from_value(blobs["data"].take())?);
    }
    Ok(None)
}
