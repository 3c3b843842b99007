//! A limit: the JSON-RPC server library with a method that only decodes a transaction and
//! recovers its sender. No pool, no execution, no storage.

use std::net::SocketAddr;
use std::process::Command;

use alloy_primitives::Bytes;
use causeway_chainspec::Tx;
use eyre::WrapErr;
use jsonrpsee::RpcModule;
use jsonrpsee::server::{BatchRequestConfig, ServerBuilder, ServerConfig};
use jsonrpsee::types::ErrorObjectOwned;
use tempfile::TempDir;

use crate::bench::Bench;
use crate::process::Process;

/// The limit as a process of its own, like the node.
#[derive(Debug)]
pub struct Limit {
    /// The process.
    pub process: Process,
    /// JSON-RPC, HTTP and WebSocket.
    pub rpc: SocketAddr,
    _dir: TempDir,
}

impl Limit {
    /// Starts this program as the limit.
    pub fn start(bench: &Bench) -> eyre::Result<Self> {
        let dir = TempDir::new()?;
        let log = dir.path().join("limit.log");
        let mut process = Process::start(Command::new(&bench.own).arg("limit"), &log)?;
        let rpc = process.wait_for(|said| said.lines().next()?.parse().ok())?;
        Ok(Self { process, rpc, _dir: dir })
    }
}

/// Serves on a free port, prints the address, never ends.
pub fn serve() -> eyre::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut module = RpcModule::new(());
        module.register_method("eth_sendRawTransaction", |params, (), _| {
            let raw: Bytes = params.one()?;
            let tx = Tx::decode(raw);
            tx.map(|tx| tx.hash)
                .map_err(|error| ErrorObjectOwned::owned(-32000, error.to_string(), None::<()>))
        })?;
        let config = ServerConfig::builder()
            .max_connections(1000)
            .set_batch_request_config(BatchRequestConfig::Limit(100))
            .set_tcp_no_delay(true)
            .build();
        let server = ServerBuilder::with_config(config)
            .build("127.0.0.1:0")
            .await
            .wrap_err("the limit cannot listen")?;
        println!("{}", server.local_addr()?);
        server.start(module).stopped().await;
        Ok(())
    })
}
