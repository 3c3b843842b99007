//! A JSON-RPC server that answers what a test says.

use std::sync::Arc;

use jsonrpsee::RpcModule;
use jsonrpsee::server::{ServerBuilder, ServerHandle};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};

use super::super::client::{Chain, Chains, Endpoint};

/// Result or error object of a method with its parameters.
pub(super) type Answer = Result<Value, (i32, &'static str, Value)>;

type Answers = Arc<dyn Fn(&str, &Value) -> Answer + Send + Sync>;

const METHODS: &[&str] = &[
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_estimateGas",
    "eth_getBlockByNumber",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas",
    "eth_sendRawTransaction",
    "metalayer_getAnchors",
    "metalayer_getDirectory",
    "metalayer_getLane",
    "metalayer_getMessage",
    "metalayer_getSupply",
    "rollup_chainSpec",
    "rollup_health",
    "rollup_sendForced",
    "rollup_syncStatus",
];

/// A node on a port of its own; ends when dropped.
pub(super) struct FakeNode {
    pub(super) url: String,
    handle: ServerHandle,
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        let _ = self.handle.stop();
    }
}

impl FakeNode {
    pub(super) async fn new(
        answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let mut module = RpcModule::new(Arc::new(answer) as Answers);
        for method in METHODS {
            module
                .register_method(method, move |params, answers, _| {
                    let params = params.parse().unwrap_or(json!([]));
                    (*answers)(method, &params).map_err(|(code, message, data)| {
                        ErrorObjectOwned::owned(code, message, Some(data))
                    })
                })
                .unwrap();
        }
        let server = ServerBuilder::new().build("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        Self { url, handle: server.start(module) }
    }

    /// As the only node of a chain.
    pub(super) fn chain(&self, name: &str) -> Chain {
        chain(name, &self.url)
    }
}

pub(super) fn chain(name: &str, url: &str) -> Chain {
    let endpoints = vec![Endpoint::new(url).unwrap()];
    Chain { name: name.to_owned(), domain: None, endpoints }
}

/// A URL nobody listens on.
pub(super) fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

pub(super) fn chains(nodes: &[(&str, &FakeNode)]) -> Chains {
    Chains(nodes.iter().map(|(name, node)| node.chain(name)).collect())
}

/// A directory of alpha (hub, 901) and beta (902), as one of them holds it.
pub(super) fn directory(own: u64, sequence: u64) -> Value {
    let member = |name: &str, domain: u64| {
        let status = if domain == own { "self" } else { "active" };
        json!({ "name": name, "domain": domain, "status": status, "followed": domain != own })
    };
    json!({
        "network": "devnet",
        "networkHash": format!("0x{}", "11".repeat(32)),
        "governance": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
        "hub": 901,
        "maxLagMs": 60_000,
        "sequence": sequence,
        "domain": own,
        "coin": if own == 901 { "home" } else { "hub" },
        "members": [member("alpha", 901), member("beta", 902)],
    })
}
