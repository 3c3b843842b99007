//! The admin listener in front of a fake node: who is let in, and what is there.

use std::net::TcpListener;

use alloy_primitives::B256;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::fake::{FakeNode, START_MS};
use super::wire::{World, chain};
use crate::rpc::RpcConfig;
use crate::rpc::admin::{self, Secret};

const NOW_S: u64 = (START_MS + 60_000) / 1000;

fn secret() -> Secret {
    Secret::new(B256::repeat_byte(3))
}

async fn served() -> World {
    let (node, stop) = (FakeNode::new(chain()), CancellationToken::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = admin::serve(listener, node.clone(), secret(), stop.clone()).await.unwrap();
    World { node, addr: server.local_addr, server, stop }
}

async fn ask(world: &World, token: &str, method: &str) -> (u16, String) {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method }).to_string();
    let bearer = format!("Bearer {token}");
    let headers: &[(&str, &str)] = match token {
        "" => &[],
        _ => &[("Authorization", &bearer)],
    };
    let (status, _, body) = world.http("POST", "/", headers, &body).await;
    (status, body)
}

#[tokio::test]
async fn only_who_has_a_token_is_let_in() {
    let world = served().await;
    let (status, said) = ask(&world, "", "admin_nodeInfo").await;
    assert!(status == 401 && said.contains("missing token"), "{status} {said}");
    let (status, said) = ask(&world, &secret().token(NOW_S - 100), "admin_nodeInfo").await;
    assert!(status == 401 && said.contains("100 s away"), "{status} {said}");
    let other = Secret::new(B256::repeat_byte(4)).token(NOW_S);
    let (status, said) = ask(&world, &other, "sequencer_stop").await;
    assert!(status == 401 && said.contains("another secret"), "{status} {said}");
    let (status, said) = ask(&world, &secret().token(NOW_S), "admin_nodeInfo").await;
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &answer["result"]["protocols"]["rollup"]["network"]), (200, &json!(4242)));
    // A preflight or an upgrade is a request like any other.
    for (method, headers) in [
        ("OPTIONS", [("Origin", "http://a.example"), ("Access-Control-Request-Method", "POST")]),
        ("GET", [("Connection", "Upgrade"), ("Upgrade", "websocket")]),
    ] {
        let (status, _, _) = world.http(method, "/", &headers, "").await;
        assert_eq!(status, 401, "{method}");
    }
}

#[tokio::test]
async fn a_full_node_has_nothing_to_stop_and_says_so() {
    let world = served().await;
    for method in ["sequencer_stop", "sequencer_start", "batcher_status", "batcher_flush"] {
        let (_, said) = ask(&world, &secret().token(NOW_S), method).await;
        let error = &serde_json::from_str::<Value>(&said).unwrap()["error"];
        assert_eq!(error["code"], -32004, "{method}: {said}");
        assert!(error["message"].as_str().unwrap().contains("--role sequencer"), "{said}");
    }
}

#[tokio::test]
async fn each_listener_has_its_own_methods() {
    let public = World::new(RpcConfig::default()).await;
    for method in ["admin_nodeInfo", "sequencer_stop", "batcher_flush"] {
        let error = &public.call(method, json!([])).await["error"];
        assert_eq!(error["code"], -32004, "{error}");
        assert!(error["message"].as_str().unwrap().contains("--admin"), "{error}");
    }
    let admin = served().await;
    let token = secret().token(NOW_S);
    let (_, said) = ask(&admin, &token, "rpc_modules").await;
    let answer: Value = serde_json::from_str(&said).unwrap();
    let namespaces: Vec<_> = answer["result"].as_object().unwrap().keys().collect();
    assert_eq!(namespaces, ["admin", "batcher", "rpc", "sequencer"]);
    for method in ["eth_chainId", "admin_addPeer"] {
        let (_, said) = ask(&admin, &token, method).await;
        assert!(said.contains(&format!("the method {method} does not exist")), "{said}");
    }
}

#[tokio::test]
async fn it_is_on_loopback_or_not_at_all() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let (node, stop) = (FakeNode::new(chain()), CancellationToken::new());
    let error = admin::serve(listener, node, secret(), stop).await.unwrap_err().to_string();
    assert!(error.contains("loopback"), "{error}");
}
