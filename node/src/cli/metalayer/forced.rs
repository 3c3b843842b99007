//! What goes through the forced lane: records to every member, and demands.

use alloy_primitives::{B256, Bytes, keccak256};
use causeway_chainspec::directory::ForcedMessage;
use clap::Args;
use eyre::{bail, eyre};
use futures::future::join_all;
use serde_json::json;

use super::client::{CallError, Chain, Chains, member_domain};
use super::dispatch::directory;
use crate::cli::print;
use crate::exit::{CommandResult, Exit};

/// Demand that a chain take in another one, up to a height of its DA layer.
///
/// A sequencer that does not follow a demand in time cannot make valid blocks, unless it declares
/// the lane stalled. Anybody may demand.
#[derive(Debug, Args)]
pub(super) struct Demand {
    /// Chain that is to take in the other.
    #[arg(long)]
    on: String,
    /// Chain that is to be taken in: name or domain.
    #[arg(long)]
    of: String,
    /// Height of the DA layer of --of; the height it is derived to now if not given.
    #[arg(long)]
    height: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Demand {
    /// Runs the command.
    pub(super) async fn run(self, chains: &Chains) -> CommandResult {
        let on = chains.find(&self.on)?;
        let domain = member_domain(&directory(on).await?, &self.of)?;
        let height = match self.height {
            Some(height) => height,
            None => {
                let of = chains.find(&self.of)?;
                let status = of.call("rollup_syncStatus", json!([])).await;
                let status = status.map_err(CallError::exit)?;
                status["safeDa"]["height"]
                    .as_u64()
                    .ok_or_else(|| eyre!("{} tells no DA height: give --height", of.name))?
            }
        };
        let bytes = ForcedMessage::Demand { domain, height }.encode();
        let hash = force(on, &bytes).await.map_err(CallError::exit)?;
        let text = match self.json {
            true => json!({ "hash": hash, "domain": domain, "height": height }).to_string(),
            false => {
                format!("{} is to take in {} up to da height {height}: {hash}", on.name, self.of)
            }
        };
        print(&format!("{text}\n"))?;
        Ok(Exit::Success)
    }
}

/// Puts bytes into a chain's forced lane.
async fn force(chain: &Chain, bytes: &Bytes) -> Result<B256, CallError> {
    chain.call("rollup_sendForced", json!([bytes])).await?;
    Ok(keccak256(bytes))
}

/// Puts the same bytes into the forced lane of every chain. Sending again does no harm, so a
/// chain that cannot be reached is told, and does not keep the others from having it.
pub(super) async fn force_all(chains: &Chains, bytes: &Bytes) -> eyre::Result<()> {
    let sent = join_all(chains.0.iter().map(|chain| force(chain, bytes))).await;
    let mut failed = Vec::new();
    for (chain, sent) in chains.0.iter().zip(sent) {
        match sent {
            Ok(_) => eprintln!("{}: in the forced lane", chain.name),
            Err(error) => failed.push(format!("{}: {}", chain.name, error.text())),
        }
    }
    if !failed.is_empty() {
        bail!(
            "not every member has it; send the same record again with --sequence and --at as \
             printed:\n  {}",
            failed.join("\n  ")
        );
    }
    Ok(())
}
