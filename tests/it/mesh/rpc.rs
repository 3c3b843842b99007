//! What `metalayer_*` says of a running network, asked over HTTP as anybody asks.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes, U256, keccak256};
use causeway_chainspec::block::requests_hash;
use causeway_node::node::Node;
use causeway_node::rpc::{RpcConfig, serve};
use causeway_tests::mesh::{Mesh, THREE};
use eyre::{ContextCompat, ensure, eyre};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{ALPHA, BETA, GAMMA, coins};

/// A node's JSON-RPC; ends when dropped.
struct Rpc {
    client: HttpClient,
    stop: CancellationToken,
}

impl Drop for Rpc {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Rpc {
    async fn of(node: &Arc<Node>) -> eyre::Result<Self> {
        let (listener, stop) =
            (std::net::TcpListener::bind("127.0.0.1:0")?, CancellationToken::new());
        let server = serve(listener, node.clone(), RpcConfig::default(), stop.clone()).await?;
        let url = format!("http://{}", server.local_addr);
        Ok(Self { client: HttpClientBuilder::default().build(url)?, stop })
    }

    async fn call(&self, method: &str, params: Value) -> eyre::Result<Value> {
        let params = params.as_array().cloned().unwrap_or_default();
        Ok(self.client.request(method, params).await?)
    }

    /// A wei quantity of an answer's field.
    async fn wei(&self, method: &str, field: &str) -> eyre::Result<U256> {
        Ok(serde_json::from_value(self.call(method, json!([])).await?[field].clone())?)
    }
}

async fn all(mesh: &Mesh) -> eyre::Result<Vec<Rpc>> {
    let mut nodes = Vec::new();
    for member in &mesh.members {
        nodes.push(Rpc::of(&member.sequencer).await?);
    }
    for member in &mesh.members {
        nodes.push(Rpc::of(&member.full).await?);
    }
    Ok(nodes)
}

#[tokio::test]
async fn every_member_tells_the_way_of_a_message() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 0).await?;
    let nodes = all(&mesh).await?;
    mesh.transfer(0, coins(GAMMA, ALPHA, 0x31, 700)).await?;
    let block = mesh.build(GAMMA).await?;
    let id = Mesh::ids(&block).first().copied().context("a message")?;

    let answer = nodes[GAMMA].call("metalayer_getMessage", json!([id])).await?;
    assert_eq!((&answer["status"], &answer["settled"]), (&json!("dispatched"), &json!(false)));
    assert_eq!(answer["kind"], "transfer");
    assert_eq!(answer["transfer"]["amount"], "0x2bc");
    assert_eq!(answer["timeline"]["dispatched"]["txHash"], json!(block.txs[0].hash));
    let early = nodes[ALPHA].call("metalayer_getMessage", json!([id])).await;
    let early = early.err().context("alpha cannot know it yet")?.to_string();
    ensure!(early.contains("message not found on this node"), "{early}");
    ensure!(early.contains("followed here: beta, gamma"), "{early}");

    mesh.publish(GAMMA).await?;
    let answer = nodes[BETA].call("metalayer_getMessage", json!([id])).await?;
    assert_eq!(answer["status"], "final", "{answer}");
    mesh.rounds(5).await?;
    for (at, node) in nodes.iter().enumerate() {
        let answer = node.call("metalayer_getMessage", json!([id])).await?;
        let told = (&answer["status"], &answer["settled"], &answer["destinationName"]);
        assert_eq!(told, (&json!("delivered"), &json!(true), &json!("alpha")), "{at}: {answer}");
        for step in ["dispatched", "anchored", "done", "settled"] {
            let step = &answer["timeline"][step];
            ensure!(step["block"].is_u64() && step["blockHash"].is_string(), "{at}: {answer}");
            assert_eq!(step["verified"], true, "{at}: {answer}");
        }
        ensure!(answer["timeline"]["anchored"]["daHeight"].is_u64(), "{answer}");
    }
    Ok(())
}

/// Checks a proof as a stranger who knows a header hash, and returns the leaf's root.
fn check(proof: &Value) -> eyre::Result<B256> {
    let read = |value: &Value| -> eyre::Result<B256> { Ok(serde_json::from_value(value.clone())?) };
    let index = proof["index"].as_u64().context("index")?;
    let mut node = read(&proof["leaf"])?;
    let siblings: Vec<B256> = serde_json::from_value(proof["proof"].clone())?;
    assert_eq!(siblings.len(), 32);
    for (height, sibling) in siblings.iter().enumerate() {
        let pair = if index >> height & 1 == 1 { [sibling.0, node.0] } else { [node.0, sibling.0] };
        node = keccak256(pair.concat());
    }
    assert_eq!(node, read(&proof["commitment"]["root"])?);
    let lanes = proof["lanes"].as_array().context("lanes")?;
    let mut hashes = Vec::new();
    for lane in lanes {
        let rlp: Bytes = serde_json::from_value(lane["rlp"].clone())?;
        hashes.extend_from_slice(keccak256(rlp).as_slice());
    }
    assert_eq!(keccak256(hashes), read(&proof["commitment"]["lanes"])?);
    let commitment = causeway_chainspec::Commitment {
        root: node,
        count: u32::try_from(proof["commitment"]["count"].as_u64().context("count")?)?,
        lanes: read(&proof["commitment"]["lanes"])?,
        directory: proof["commitment"]["directory"].as_u64().context("directory")?,
    };
    let requests = requests_hash(read(&proof["claimHash"])?, commitment.hash());
    let header: Bytes = serde_json::from_value(proof["header"].clone())?;
    ensure!(header.ends_with(requests.as_slice()), "requestsHash is the header's last field");
    assert_eq!(keccak256(header), read(&proof["blockHash"])?);
    Ok(node)
}

#[tokio::test]
async fn a_proof_holds_on_every_node_against_the_header_of_the_source() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 0).await?;
    mesh.transfer(0, coins(GAMMA, ALPHA, 0x41, 5)).await?;
    mesh.transfer(1, coins(GAMMA, BETA, 0x42, 6)).await?;
    let ids = Mesh::ids(&*mesh.build(GAMMA).await?);
    mesh.transfer(0, coins(GAMMA, BETA, 0x43, 7)).await?;
    mesh.rounds(3).await?;
    let nodes = all(&mesh).await?;
    for id in ids {
        for node in &nodes {
            let proof = node.call("metalayer_getMessageProof", json!([id])).await?;
            check(&proof)?;
            let params =
                json!([format!("{:#x}", proof["block"].as_u64().context("block")?), false]);
            let block = nodes[GAMMA].call("eth_getBlockByNumber", params).await?;
            assert_eq!(proof["blockHash"], block["hash"]);
            assert_eq!(proof["final"], true);
        }
    }
    // What the hub's block 0 sends has no transaction, but a proof as everything else.
    let seed = mesh.members[ALPHA].sequencer.pipeline().snapshot().block(0)?.context("block 0")?;
    let id = *Mesh::ids(&seed).first().context("a transfer of the seed")?;
    let answer = nodes[BETA].call("metalayer_getMessage", json!([id])).await?;
    assert_eq!(answer["timeline"]["dispatched"]["txHash"], Value::Null);
    check(&nodes[BETA].call("metalayer_getMessageProof", json!([id, "latest"])).await?)?;
    let early = nodes[GAMMA].call("metalayer_getMessageProof", json!([B256::ZERO])).await;
    ensure!(early.is_err_and(|error| error.to_string().contains("message not found")));
    Ok(())
}

#[tokio::test]
async fn anchors_lanes_coins_and_members_are_told() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 0).await?;
    let nodes = all(&mesh).await?;
    let anchors = nodes[BETA].call("metalayer_getAnchors", json!([])).await?;
    let list = anchors["anchors"].as_array().context("anchors")?;
    assert_eq!(list.len(), 2, "{anchors}");
    for anchor in list {
        ensure!(anchor["number"].is_u64() && anchor["ageMs"].is_u64(), "{anchor}");
        ensure!(anchor["followedBlock"].is_u64() && anchor["why"].is_null(), "{anchor}");
        assert_eq!((&anchor["verified"], &anchor["status"]), (&json!(true), &json!("active")));
    }
    for wanted in [json!("gamma"), json!(903), json!("0x387"), json!("903")] {
        let lane = nodes[ALPHA].call("metalayer_getLane", json!([wanted])).await?;
        assert_eq!((&lane["name"], &lane["status"]), (&json!("gamma"), &json!("active")));
        assert_eq!((&lane["out"]["unsettled"], &lane["in"]["queued"]), (&json!(0), &json!(0)));
        ensure!(lane["gasPrice"].is_string(), "{lane}");
    }
    for wanted in [json!("delta"), json!("alpha"), json!(null)] {
        let refused = nodes[ALPHA].call("metalayer_getLane", json!([wanted])).await;
        ensure!(refused.is_err(), "{wanted}");
    }
    let directory = nodes[GAMMA].call("metalayer_getDirectory", json!([])).await?;
    assert_eq!((&directory["sequence"], &directory["hub"]), (&json!(0), &json!(901)));
    let members = directory["members"].as_array().context("members")?;
    let names: Vec<_> = members.iter().map(|member| member["name"].as_str()).collect();
    assert_eq!(names, [Some("alpha"), Some("beta"), Some("gamma")]);
    // Nothing is on its way: what is locked at home is on the others, fees in escrow aside.
    let supply = "metalayer_getSupply";
    let locked = nodes[ALPHA].wei(supply, "locked").await?;
    let mut elsewhere = U256::ZERO;
    for node in [&nodes[BETA], &nodes[GAMMA]] {
        elsewhere += node.wei(supply, "circulating").await?;
    }
    assert_eq!(locked, elsewhere);
    let rows = nodes[ALPHA].call(supply, json!([])).await?;
    ensure!(rows["rows"].as_array().is_some_and(|rows| rows.len() == 3), "{rows}");
    let first = rows["rows"].get(0).ok_or_else(|| eyre!("a row"))?;
    assert_eq!((&first["name"], &first["holds"]), (&json!("alpha"), &Value::Null));
    Ok(())
}
