//! `eth_sendRawTransactionConditional` (ERC-7796): a transaction that is taken only if the chain is as
//! its sender expects. Bundlers of account abstraction use it. Off unless it is turned on.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use jsonrpsee::core::RegisterMethodError;
use serde::Deserialize;

use super::error::{RpcError, RpcResult};
use super::table::{Api, Args, Table};

/// Most accounts and slots that a condition may look at, as the OP stack has it.
const MOST_COST: usize = 1000;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.waiting("eth_sendRawTransactionConditional", send)
}

/// Bounds are inclusive.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Condition {
    known_accounts: BTreeMap<Address, Known>,
    block_number_min: Option<U64>,
    block_number_max: Option<U64>,
    timestamp_min: Option<U64>,
    timestamp_max: Option<U64>,
}

/// What is expected of an account: its storage root, or values of slots.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Known {
    Root(B256),
    Slots(BTreeMap<U256, U256>),
}

/// The condition is checked on the newest block, when the transaction comes in; what happens before
/// it is in a block is the sender's risk.
async fn send(api: Arc<Api>, args: Args) -> RpcResult<B256> {
    if !api.config.conditional {
        return Err(RpcError::unsupported(
            "eth_sendRawTransactionConditional is off: set conditional = true in [rpc] of node.toml",
        ));
    }
    let raw: Bytes = args.need(0, "transaction")?;
    let condition: Condition = args.option(1, "condition")?.unwrap_or_default();
    let cost: usize = condition.known_accounts.values().map(Known::cost).sum();
    if cost > MOST_COST {
        return Err(RpcError::limit(format!("conditional cost, {cost}, exceeds {MOST_COST}")));
    }
    api.clone().heavy(move |api, _| condition.check(api)).await?;
    Ok(api.backend.submit(raw).await?)
}

impl Known {
    fn cost(&self) -> usize {
        match self {
            Self::Root(_) => 1,
            Self::Slots(slots) => slots.len().max(1),
        }
    }
}

impl Condition {
    fn check(&self, api: &Api) -> RpcResult<()> {
        let chain = api.backend.chain();
        let number = chain.latest().number;
        let header = chain.header(number)?.ok_or_else(RpcError::pruned)?;
        let within = |what: &str, value: u64, [min, max]: [Option<U64>; 2]| {
            if min.is_some_and(|min| value < min.to()) {
                return Err(RpcError::rejected(format!("{what} minimum condition not met")));
            }
            if max.is_some_and(|max| value > max.to()) {
                return Err(RpcError::rejected(format!("{what} maximum condition not met")));
            }
            Ok(())
        };
        within("block number", number, [self.block_number_min, self.block_number_max])?;
        within("timestamp", header.timestamp, [self.timestamp_min, self.timestamp_max])?;
        let state = chain.state(number)?.ok_or_else(RpcError::pruned)?;
        for (address, known) in &self.known_accounts {
            let met = match known {
                Known::Root(root) => {
                    let proof = chain.prove(number, *address, &[])?.ok_or_else(RpcError::pruned)?;
                    proof.storage_root == *root
                }
                Known::Slots(slots) => {
                    let mut met = true;
                    for (slot, value) in slots {
                        met &= state.slot(*address, *slot)? == *value;
                    }
                    met
                }
            };
            if !met {
                let text = format!("storage of {address} is not as the condition knows it");
                return Err(RpcError::rejected(text));
            }
        }
        Ok(())
    }
}
