//! What the node is measured against: another program, and a limit. All look the same to a load.

pub mod anvil;
pub mod limit;

use std::net::SocketAddr;

use alloy_primitives::{Address, U256};
use serde_json::json;

use crate::bench::Bench;
use crate::node::{Chain, FUNDS_WEI, Node, Stages};
use crate::rpc::Rpc;
use crate::usage::Usage;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Our node: its answer says that a transaction is durable.
    Causeway,
    /// Anvil: nothing is ever durable.
    Anvil,
    /// A JSON-RPC server that only recovers senders.
    Limit,
}

/// A running server.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Server {
    /// Our node.
    Causeway(Node),
    /// Anvil.
    Anvil(anvil::Anvil),
    /// The limit.
    Limit(limit::Limit),
}

impl Who {
    /// As in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Causeway => "causeway",
            Self::Anvil => "anvil",
            Self::Limit => "jsonrpsee + recover",
        }
    }

    /// Starts a new one, in which the accounts have their funds.
    pub fn start(self, bench: &Bench, chain: &Chain) -> eyre::Result<Server> {
        match self {
            Self::Causeway => Node::start(bench, chain).map(Server::Causeway),
            Self::Anvil => {
                let anvil = anvil::Anvil::start()?;
                bench.runtime.block_on(fund(&Rpc::new(anvil.rpc)?, &chain.funded))?;
                Ok(Server::Anvil(anvil))
            }
            Self::Limit => limit::Limit::start(bench).map(Server::Limit),
        }
    }
}

async fn fund(rpc: &Rpc, accounts: &[Address]) -> eyre::Result<()> {
    let wei = U256::from(FUNDS_WEI);
    let parameters: Vec<_> = accounts.iter().map(|address| json!([address, wei])).collect();
    rpc.calls("anvil_setBalance", &parameters).await.map(drop)
}

impl Server {
    /// JSON-RPC, HTTP and WebSocket.
    pub fn rpc(&self) -> SocketAddr {
        match self {
            Self::Causeway(node) => node.rpc,
            Self::Anvil(anvil) => anvil.rpc,
            Self::Limit(limit) => limit.rpc,
        }
    }

    /// Where our node's time went so far; nothing of others.
    pub async fn stages(&self) -> eyre::Result<Stages> {
        match self {
            Self::Causeway(node) => node.stages().await,
            Self::Anvil(_) | Self::Limit(_) => Ok(Stages::default()),
        }
    }

    /// CPU time and memory so far.
    pub fn usage(&self) -> eyre::Result<Usage> {
        match self {
            Self::Causeway(node) => node.usage(),
            Self::Anvil(anvil) => anvil.process.usage(),
            Self::Limit(limit) => limit.process.usage(),
        }
    }
}
