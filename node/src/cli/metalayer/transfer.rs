//! `causeway metalayer transfer`: the hub's coin to another chain.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use causeway_chainspec::mailbox::{quoteTransferCall, transferRemoteWithCall, word_of};
use causeway_chainspec::spec::units;
use clap::Args;
use eyre::eyre;

use super::client::{Chains, member_domain};
use super::dispatch::{Dispatch, directory, finish, quote, ttl_seconds};
use super::wallet::KeyArgs;
use crate::exit::CommandResult;

/// Move the hub's coin to another chain.
///
/// Prints the id of the transfer once its transaction is in a block. A transfer that is not
/// delivered is paid back to the sender, with what is left of its fee.
#[derive(Debug, Args)]
pub(super) struct Transfer {
    /// Chain that sends.
    #[arg(long)]
    from: String,
    /// Member that receives: name or domain.
    #[arg(long)]
    to: String,
    /// How much, as 1ether, "0.5 ether", 100gwei or a number of wei.
    #[arg(long)]
    amount: String,
    /// Who gets it there.
    #[arg(long)]
    recipient: Address,
    #[command(flatten)]
    key: KeyArgs,
    /// Lifetime, as 10m: what is not delivered by then is paid back. The chain's own if not given.
    #[arg(long)]
    ttl: Option<String>,
    /// Follow it until it is settled or has failed.
    #[arg(long)]
    wait: bool,
    /// Print one JSON object: {"id": ..}, with --wait the whole message.
    #[arg(long)]
    json: bool,
}

impl Transfer {
    /// Runs the command.
    pub(super) async fn run(self, chains: &Chains) -> CommandResult {
        let amount = amount(&self.amount)?;
        let signer = self.key.signer()?;
        let ttl = ttl_seconds(self.ttl.as_deref())?;
        let chain = chains.find(&self.from)?;
        let directory = directory(chain).await?;
        let domain = member_domain(&directory, &self.to)?;
        let question = quoteTransferCall { destination: domain };
        let fee = quote(chain, signer.address(), question).await?;
        let call = transferRemoteWithCall {
            destination: domain,
            recipient: word_of(self.recipient),
            amount,
            ttlSeconds: ttl,
            refundTo: signer.address(),
        };
        // Where the gas coin is another, the amount is taken from the sender's ERC-20.
        let native = directory["coin"] != "own";
        let dispatch = Dispatch {
            call: call.abi_encode().into(),
            amount: if native { amount } else { U256::ZERO },
            fee,
        };
        let id = dispatch.send(chain, &signer).await?;
        finish(chains, id, self.wait, self.json).await
    }
}

/// An amount as people write it, in wei.
pub(super) fn amount(text: &str) -> eyre::Result<U256> {
    let wei = units::wei(&toml::Value::String(text.to_owned()))
        .map_err(|error| eyre!("--amount: {error}"))?;
    if wei.is_zero() {
        return Err(eyre!("--amount {text}: nothing to move"));
    }
    Ok(wei)
}
