//! `causeway metalayer` as a script meets it: what is on standard output, and how it ends.

use std::process::Output;

use eyre::{ContextCompat, ensure};
use jsonrpsee::RpcModule;
use jsonrpsee::server::{ServerBuilder, ServerHandle};
use serde_json::{Value, json};

const MAILBOX: &str = "0xca00000000000000000000000000000000000002";
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// keccak256("DispatchId(bytes32)").
const DISPATCH_ID: &str = "0x788dbc1b7152732178210e7f4d9d010ef016f9eafbe66786bd7169f56e0c353a";

fn id() -> String {
    format!("0x{}", "ab".repeat(32))
}

async fn causeway(arguments: &[&str]) -> eyre::Result<Output> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
    Ok(command.arg("metalayer").args(arguments).output().await?)
}

/// A node of alpha whose transactions succeed at once, and the end of whose messages is given.
async fn node(status: &'static str) -> eyre::Result<(String, ServerHandle)> {
    let mut module = RpcModule::new(());
    let log = json!({ "address": MAILBOX, "topics": [DISPATCH_ID, id()] });
    let member = |name: &str, domain: u32| json!({ "name": name, "domain": domain });
    let entry = json!({ "block": 1, "time": 1, "final": true });
    let message = json!({
        "id": id(), "originName": "alpha", "destinationName": "beta", "status": status,
        "settled": true, "hint": "Done.", "timeline": { "dispatched": entry, "settled": entry },
    });
    let answers = [
        ("eth_call", json!(format!("{:#066x}", 1000))),
        ("eth_chainId", json!("0x385")),
        ("eth_estimateGas", json!("0x186a0")),
        ("eth_getBlockByNumber", json!({ "baseFeePerGas": "0x10" })),
        ("eth_getTransactionCount", json!("0x7")),
        (
            "eth_getTransactionReceipt",
            json!({ "status": "0x1", "blockNumber": "0x5", "logs": [log] }),
        ),
        ("eth_maxPriorityFeePerGas", json!("0x2")),
        ("eth_sendRawTransaction", json!(id())),
        ("metalayer_getMessage", message),
        (
            "metalayer_getDirectory",
            json!({ "coin": "home", "members": [member("alpha", 901), member("beta", 902)] }),
        ),
    ];
    for (method, answer) in answers {
        module.register_method(method, move |_, (), _| answer.clone())?;
    }
    let server = ServerBuilder::new().build("127.0.0.1:0").await?;
    Ok((format!("alpha=http://{}", server.local_addr()?), server.start(module)))
}

/// Standard output as one JSON value and nothing else.
fn one(output: &Output) -> eyre::Result<Value> {
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = std::str::from_utf8(&output.stdout)?;
    serde_json::from_str(text).map_err(|error| eyre::eyre!("{error}: {text:?} {errors}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_prints_one_json_object() -> eyre::Result<()> {
    let (rpc, _server) = node("delivered").await?;
    let line = ["transfer", "--rpc", &rpc, "--from", "alpha", "--to", "beta", "--amount", "1ether"];
    let recipient = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    let line = [&line[..], &["--recipient", recipient, "--key", KEY, "--json"]].concat();
    let output = causeway(&line).await?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    ensure!(one(&output)? == json!({ "id": id() }), "{output:?}");
    let output = causeway(&[&line[..], &["--wait"]].concat()).await?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    let answer = one(&output)?;
    ensure!(answer["id"] == id() && answer["status"] == "delivered", "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_how_a_message_fares() -> eyre::Result<()> {
    for (status, code) in [("delivered", 0), ("reverted", 1)] {
        let (rpc, _server) = node(status).await?;
        let watched = causeway(&["watch", &id(), "--rpc", &rpc, "--json"]).await?;
        ensure!(watched.status.code() == Some(code), "{status}: {watched:?}");
        let lines = String::from_utf8(watched.stdout)?;
        let lines: Result<Vec<Value>, _> = lines.lines().map(serde_json::from_str).collect();
        let last = lines?.pop().context("a line")?;
        ensure!(last["status"] == status, "{last}");
        // To know how it fares is what was asked for.
        let asked = causeway(&["status", &id(), "--rpc", &rpc]).await?;
        ensure!(asked.status.code() == Some(0), "{asked:?}");
        ensure!(String::from_utf8(asked.stdout)?.contains(status));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_4_and_what_makes_no_sense_2() -> eyre::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let rpc = format!("alpha=http://{}", listener.local_addr()?);
    drop(listener);
    for line in [&["chains"][..], &["status", &id()], &["watch", &id()], &["doctor"]] {
        let output = causeway(&[line, &["--rpc", &rpc]].concat()).await?;
        ensure!(output.status.code() == Some(4), "{line:?}: {output:?}");
    }
    let dir = tempfile::TempDir::new()?;
    let dir = dir.path().to_str().context("a path")?;
    let output = causeway(&["chains", "--datadir", dir]).await?;
    ensure!(output.status.code() == Some(4), "{output:?}");
    ensure!(String::from_utf8_lossy(&output.stderr).contains("causeway devnet"), "{output:?}");
    let output = causeway(&["status", "0x12", "--rpc", &rpc]).await?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    let output = causeway(&["chains", "--rpc", "http://127.0.0.1:1"]).await?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    Ok(())
}
