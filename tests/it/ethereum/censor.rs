//! A sequencer that sees nothing of the portal, and so leaves out what others must find: its execution node
//! hides the portal's events.

use alloy_primitives::Address;
use axum::extract::State;
use axum::response::Json;
use axum::routing::post;
use axum::{Router, http::StatusCode};
use eyre::ensure;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::chain::{Chain, head, receipt, submit, transfer};

/// An execution node in front of anvil that knows of no event of one contract.
struct Liar {
    url: String,
    served: JoinHandle<()>,
}

#[derive(Clone)]
struct Hides {
    anvil: String,
    contract: Address,
    http: reqwest::Client,
}

impl Liar {
    async fn start(anvil: &str, contract: Address) -> eyre::Result<Self> {
        let http = causeway_da::http::client(std::time::Duration::from_secs(30), false)?;
        let hides = Hides { anvil: anvil.to_owned(), contract, http };
        let app = Router::new().route("/", post(answer)).with_state(hides);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let served = tokio::spawn(async move {
            let _ended = axum::serve(listener, app).await;
        });
        Ok(Self { url, served })
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn answer(
    State(hides): State<Hides>,
    Json(call): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let sent = hides.http.post(&hides.anvil).json(&call).send().await;
    let sent = sent.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let mut reply: Value = sent.json().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    if call["method"] == "eth_getBlockReceipts" {
        for receipt in reply["result"].as_array_mut().into_iter().flatten() {
            if let Some(logs) = receipt["logs"].as_array_mut() {
                logs.retain(|log| log["address"] != json!(hides.contract));
            }
        }
    }
    Ok(Json(reply))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_transaction_lands_with_a_censoring_sequencer() -> eyre::Result<()> {
    let mut chain = Chain::start().await?;
    let (anvil, portal) = (chain.anvil.url().to_owned(), chain.deployment.portal.address);
    let liar = Liar::start(&anvil, portal).await?;
    let file = chain.file("sequencer.toml");
    let settings = std::fs::read_to_string(&file)?;
    let told = format!("rpc = [{anvil:?}]");
    ensure!(settings.contains(&told), "{settings}");
    std::fs::write(&file, settings.replace(&told, &format!("rpc = [{:?}]", liar.url)))?;
    let sequencer = chain.run("sequencer", false).await?;
    let full = chain.run("full", true).await?;
    let first = submit(&sequencer, transfer(0, 0)).await?;
    chain.is_safe(&full, first).await?;

    let (forced, block) = chain.force_in_time(&full, &transfer(6, 0)).await?;
    ensure!(receipt(&sequencer, forced).await?.is_null(), "the sequencer was to leave it out");

    // Who reads the parent alone sees the same, and what was there before stays.
    let fresh = chain.run("fresh", false).await?;
    ensure!(chain.is_safe(&fresh, forced).await? == block, "another block");
    ensure!(chain.is_safe(&fresh, first).await? == chain.is_safe(&full, first).await?);
    ensure!(head(&full, "safe").await?.0 > 0);
    Ok(())
}
