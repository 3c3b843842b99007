//! Anvil, from the npm package pinned in `tests/e2e`.

use std::net::SocketAddr;
use std::process::Command;

use causeway_tests::npm;
use tempfile::TempDir;

use crate::contracts::e2e;
use crate::node::{CHAIN_ID, free_address};
use crate::process::Process;

/// A running anvil. It keeps its chain in memory and is never durable.
#[derive(Debug)]
pub struct Anvil {
    /// The process.
    pub process: Process,
    /// JSON-RPC, HTTP and WebSocket.
    pub rpc: SocketAddr,
    _dir: TempDir,
}

/// How it is started, for the report.
pub const DESCRIPTION: &str = "anvil 1.7.1 --block-time 1 --gas-limit 1000000000: in memory, never durable; its answer says that a transaction is in its pool";

impl Anvil {
    /// Starts it, with a block a second and room for all that is sent in one.
    pub fn start() -> eyre::Result<Self> {
        let e2e = e2e();
        npm::install(&e2e)?;
        let (dir, rpc) = (TempDir::new()?, free_address()?);
        let mut process = Process::start(
            Command::new(e2e.join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"))
                .args(["--host", "127.0.0.1", "--port", &rpc.port().to_string()])
                .args(["--block-time", "1", "--quiet"])
                .args(["--gas-limit", "1000000000", "--hardfork", "osaka"])
                .args(["--chain-id", &CHAIN_ID.to_string()])
                .current_dir(dir.path()),
            &dir.path().join("anvil.log"),
        )?;
        // It says nothing when it is quiet, and it writes a line a request when it is not.
        process.wait_for(|_| std::net::TcpStream::connect(rpc).ok())?;
        Ok(Self { process, rpc, _dir: dir })
    }
}
