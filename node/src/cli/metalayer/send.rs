//! `causeway metalayer send`: a message to anybody on another chain.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_chainspec::mailbox::{DEFAULT_GAS, dispatchWithCall, quoteDispatchWithCall, word_of};
use clap::Args;

use super::client::{Chains, member_domain};
use super::dispatch::{Dispatch, directory, finish, quote, ttl_seconds};
use super::wallet::KeyArgs;
use crate::exit::CommandResult;

/// Send a message to a contract or an account on another chain.
///
/// Prints the id of the message once its transaction is in a block. A contract gets it as
/// handle(uint32 origin, bytes32 sender, bytes body).
#[derive(Debug, Args)]
pub(super) struct Send {
    /// Chain that sends.
    #[arg(long)]
    from: String,
    /// Member that receives: name or domain.
    #[arg(long)]
    to: String,
    /// Address there.
    #[arg(long)]
    recipient: Address,
    #[command(flatten)]
    body: Body,
    /// Gas its recipient may use; what it does not use is paid back.
    #[arg(long, default_value_t = DEFAULT_GAS)]
    gas: u64,
    /// Lifetime, as 10m: what is not delivered by then is paid back. The chain's own if not given.
    #[arg(long)]
    ttl: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    /// Follow it until it is settled or has failed.
    #[arg(long)]
    wait: bool,
    /// Print one JSON object: {"id": ..}, with --wait the whole message.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Body {
    /// What it says, as hex bytes.
    #[arg(long)]
    body: Option<Bytes>,
    /// What it says, as text.
    #[arg(long)]
    text: Option<String>,
}

impl Send {
    /// Runs the command.
    pub(super) async fn run(self, chains: &Chains) -> CommandResult {
        let signer = self.key.signer()?;
        let ttl = ttl_seconds(self.ttl.as_deref())?;
        let chain = chains.find(&self.from)?;
        let domain = member_domain(&directory(chain).await?, &self.to)?;
        let text = self.body.text.map(|text| Bytes::from(text.into_bytes()));
        let body = self.body.body.or(text).unwrap_or_default();
        let question = quoteDispatchWithCall {
            destinationDomain: domain,
            bodyBytes: U256::from(body.len()),
            gasLimit: self.gas,
        };
        let fee = quote(chain, signer.address(), question).await?;
        let call = dispatchWithCall {
            destinationDomain: domain,
            recipientAddress: word_of(self.recipient),
            messageBody: body,
            gasLimit: self.gas,
            ttlSeconds: ttl,
            refundTo: signer.address(),
        };
        let dispatch = Dispatch { call: call.abi_encode().into(), amount: U256::ZERO, fee };
        let id = dispatch.send(chain, &signer).await?;
        finish(chains, id, self.wait, self.json).await
    }
}
