//! `causeway metalayer`: send to other chains, watch what becomes of it, look after the network.

mod chains;
mod client;
mod dispatch;
mod doctor;
mod findings;
mod forced;
mod lines;
mod record;
mod reverts;
mod send;
mod status;
#[cfg(test)]
mod tests;
mod transfer;
mod wallet;
mod watch;

use clap::{Args, Subcommand};

use crate::exit::CommandResult;

/// Send to other chains, watch what becomes of it, look after the network.
///
/// Members are found in the devnet.json of a running devnet, or named one by one with `--rpc
/// alpha=http://127.0.0.1:8545`. Data goes to standard output, talk to standard error.
#[derive(Debug, Args)]
pub struct Metalayer {
    #[command(flatten)]
    reach: client::Reach,
    #[command(subcommand)]
    command: MetalayerCommand,
}

#[derive(Debug, Subcommand)]
enum MetalayerCommand {
    /// Show the members: coins, heads, lanes, endpoints.
    Chains(chains::ChainsArgs),
    /// Send a message to a contract or an account on another chain.
    Send(send::Send),
    /// Move the hub's coin to another chain.
    Transfer(transfer::Transfer),
    /// Show where a message stands.
    Status(status::Status),
    /// Follow a message until it is settled or has failed.
    Watch(watch::Watch),
    /// Look for what is wrong in the network, and say what to do.
    Doctor(doctor::Doctor),
    /// Change the directory by a record that governance signs.
    Record(record::RecordArgs),
    /// Demand that a chain take in another one, up to a height of its DA layer.
    Demand(forced::Demand),
}

impl Metalayer {
    /// Runs the command.
    pub fn run(self) -> CommandResult {
        let chains = client::Chains::open(&self.reach)?;
        super::block_on(async move { self.on(&chains).await })?
    }

    async fn on(self, chains: &client::Chains) -> CommandResult {
        match self.command {
            MetalayerCommand::Chains(command) => command.run(chains).await,
            MetalayerCommand::Send(command) => command.run(chains).await,
            MetalayerCommand::Transfer(command) => command.run(chains).await,
            MetalayerCommand::Status(command) => command.run(chains).await,
            MetalayerCommand::Watch(command) => command.run(chains).await,
            MetalayerCommand::Doctor(command) => command.run(chains).await,
            MetalayerCommand::Record(command) => command.run(chains).await,
            MetalayerCommand::Demand(command) => command.run(chains).await,
        }
    }
}
