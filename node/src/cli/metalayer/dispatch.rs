//! From a call of the Mailbox to the id of the message it sent.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolEvent};
use causeway_chainspec::mailbox::{DispatchId, MAILBOX};
use causeway_chainspec::spec::units;
use eyre::{bail, eyre};
use serde_json::{Value, json};

use super::client::{CallError, Chain, Chains};
use super::wallet::{self, Request};
use super::watch::{self, Outcome};
use super::{lines, status};
use crate::cli::print;
use crate::exit::{CommandResult, Exit, ExitError};

/// How long `--wait` waits.
pub(super) const WAIT: Duration = Duration::from_secs(600);

/// A call of the Mailbox that sends.
pub(super) struct Dispatch {
    /// The call.
    pub(super) call: Bytes,
    /// Wei that go along beside the fee.
    pub(super) amount: U256,
    /// Wei that the contract quotes.
    pub(super) fee: U256,
}

impl Dispatch {
    /// Sends it with a margin on the fee, which may rise before it is in a block; what is too
    /// much comes straight back.
    pub(super) async fn send(
        &self,
        chain: &Chain,
        signer: &PrivateKeySigner,
    ) -> Result<B256, ExitError> {
        let margin = self.fee / U256::from(4);
        let value = self.amount.saturating_add(self.fee).saturating_add(margin);
        let request = Request { to: MAILBOX, value, input: self.call.clone() };
        let receipt = wallet::send(chain, signer, &request).await?;
        let id = dispatched_id(&receipt).ok_or_else(|| {
            eyre!("the transaction succeeded, but {} says of no message: {receipt}", chain.name)
        })?;
        eprintln!("sent from {} in block {}", chain.name, lines::number(&receipt["blockNumber"]));
        Ok(id)
    }
}

/// Asks the Mailbox for a fee.
pub(super) async fn quote<C: SolCall<Return = U256>>(
    chain: &Chain,
    from: Address,
    call: C,
) -> Result<U256, ExitError> {
    let request = Request { to: MAILBOX, value: U256::ZERO, input: call.abi_encode().into() };
    let answer = wallet::view(chain, from, &request).await?;
    let fee = C::abi_decode_returns(&answer).map_err(|_| {
        eyre!("the Mailbox of {} gave no quote: is the chain a member?", chain.name)
    })?;
    Ok(fee)
}

/// The directory of a chain that is to send, which must be the member it is called: the same key
/// has coins on every member, and would spend those of another.
pub(super) async fn directory(chain: &Chain) -> Result<Value, ExitError> {
    let directory = chain.call("metalayer_getDirectory", json!([])).await;
    let directory = directory.map_err(CallError::exit)?;
    let mut members = directory["members"].as_array().into_iter().flatten();
    let own = members.find(|member| member["status"] == "self").map(|member| &member["name"]);
    match own.and_then(Value::as_str) {
        Some(name) if name != chain.name => Err(ExitError::new(
            Exit::Failure,
            eyre!("the node given for {} is one of {name}: check --rpc", chain.name),
        )),
        _ => Ok(directory),
    }
}

/// The id that a receipt's logs tell.
pub(super) fn dispatched_id(receipt: &Value) -> Option<B256> {
    receipt["logs"].as_array()?.iter().find_map(|log| {
        let address: Address = serde_json::from_value(log["address"].clone()).ok()?;
        let topics: Vec<B256> = serde_json::from_value(log["topics"].clone()).ok()?;
        match topics[..] {
            [DispatchId::SIGNATURE_HASH, id] if address == MAILBOX => Some(id),
            _ => None,
        }
    })
}

/// Prints the id, or with `wait` where the message ended.
pub(super) async fn finish(chains: &Chains, id: B256, wait: bool, json: bool) -> CommandResult {
    if !wait {
        let text = if json { json!({ "id": id }).to_string() } else { id.to_string() };
        print(&format!("{text}\n"))?;
        return Ok(Exit::Success);
    }
    if !json {
        print(&format!("{id}\n"))?;
    }
    let outcome = watch::follow(chains, id, WAIT, &mut |line| eprintln!("{}", line.text())).await;
    let (answer, exit) = match outcome {
        Outcome::Ended(answer, exit) => (Some(answer), exit),
        Outcome::TimedOut(answer) => {
            eprintln!("not settled after {} s; `causeway metalayer watch {id}`", WAIT.as_secs());
            (answer, Exit::Failure)
        }
        Outcome::Unreachable(error) => {
            eprintln!("{error}");
            (None, Exit::Unreachable)
        }
    };
    // One object, whatever happened: the message is sent, and its id must not get lost.
    let answer = answer.unwrap_or_else(|| json!({ "id": id, "status": "dispatched" }));
    print(&if json { format!("{answer}\n") } else { status::text(&answer) })?;
    Ok(exit)
}

/// Whole seconds of a lifetime as people write it; 0 stands for the chain's default.
pub(super) fn ttl_seconds(text: Option<&str>) -> eyre::Result<u64> {
    let Some(text) = text else { return Ok(0) };
    let ms = units::duration(&toml::Value::String(text.to_owned()))
        .map_err(|error| eyre!("--ttl: {error}"))?;
    if ms < 1000 {
        bail!("--ttl {text}: at least 1s");
    }
    Ok(ms.div_ceil(1000))
}
