//! What both models have in common: the block they run in, and what they say of a transaction.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, Log, U256};
use causeway_chainspec::{Fork, Receipt, SkipReason, Tx};
use causeway_execution::{Call, CallOutput};

use super::state::{Entry, State};

/// A block as its transactions see it.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) chain_id: u64,
    pub(super) number: u64,
    pub(super) time_ms: u64,
    pub(super) fork: Fork,
    pub(super) beneficiary: Address,
    pub(super) gas_limit: u64,
    pub(super) base_fee: u64,
    pub(super) mix_hash: B256,
    /// Hashes of its ancestors by number.
    pub(super) hashes: Arc<Vec<B256>>,
}

/// What became of one transaction.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It ran. Cumulative gas is counted by the caller; the returned data is for system calls.
    Ran(Receipt, Bytes),
    /// It is not to be in a block; in the model's own words.
    Refused(String),
}

impl Verdict {
    pub(super) fn ran(success: bool, gas_used: u64, logs: Vec<Log>, output: Bytes) -> Self {
        let (cumulative_gas_used, deposit_nonce, contract_address) = (0, 0, None);
        let receipt = Receipt {
            success,
            gas_used,
            cumulative_gas_used,
            logs,
            deposit_nonce,
            contract_address,
        };
        Self::Ran(receipt, output)
    }
}

/// A model of a VM, in the middle of a block.
pub(super) trait Machine {
    /// An account as it is now.
    fn account(&mut self, address: Address) -> Entry;
    /// Runs one transaction and keeps what it did.
    fn run(&mut self, tx: &Tx) -> Verdict;
    /// The state now.
    fn state(&self) -> State;
    /// Contracts that ceased to exist so far.
    fn destroyed(&self) -> u64 {
        0
    }
}

/// A kind of machine.
pub(super) trait Model {
    /// Name of the VM it is a model of.
    fn vm(&self) -> &'static str;
    /// Begins a block.
    fn open(&self, state: State, head: &Head) -> Box<dyn Machine>;
    /// What a call gives; `None` if it is refused.
    fn call(&self, state: &State, head: &Head, call: &Call) -> Option<CallOutput>;
}

/// Checks that what our VM says of a skipped transaction is so, whatever else is wrong with it.
pub(super) fn is_true(
    reason: &SkipReason,
    tx: &Tx,
    head: &Head,
    machine: &mut dyn Machine,
) -> bool {
    use alloy_consensus::Transaction;
    let envelope = &tx.envelope;
    let sender = machine.account(tx.sender);
    let max_fee = envelope.max_fee_per_gas();
    let cost = U256::from(envelope.gas_limit()) * U256::from(max_fee);
    match *reason {
        SkipReason::ChainId { have, want } => {
            envelope.chain_id() == Some(have) && want == head.chain_id && have != want
        }
        SkipReason::NonceTooLow { state, tx: own } => {
            state == sender.nonce && own == envelope.nonce() && own < state
        }
        SkipReason::NonceTooHigh { state, tx: own } => {
            state == sender.nonce && own == envelope.nonce() && own > state
        }
        SkipReason::Funds { have, want } => {
            let cost = cost.saturating_add(envelope.value());
            have == sender.balance && want == cost && have < want
        }
        SkipReason::FeeTooLow { max_fee: fee, base_fee } => {
            fee == max_fee && base_fee == head.base_fee && fee < u128::from(base_fee)
        }
        SkipReason::TipAboveFee => envelope.max_priority_fee_per_gas() > Some(max_fee),
        SkipReason::IntrinsicGas { have, want } => have == envelope.gas_limit() && have < want,
        SkipReason::GasLimit { have, most } => {
            let cap = if head.fork >= Fork::Osaka { 1 << 24 } else { u64::MAX };
            have == envelope.gas_limit() && most == head.gas_limit.min(cap) && have > most
        }
        SkipReason::SenderNotEoa => {
            !sender.code.is_empty() && !sender.code.starts_with(&[0xef, 0x01, 0x00])
        }
        SkipReason::InitCode { have, most } => {
            envelope.is_create() && have == envelope.input().len() && most == 49_152 && have > most
        }
        SkipReason::Undecodable(_) => head.fork < Fork::Prague && envelope.tx_type() as u8 == 4,
        SkipReason::Unsupported(ref what) => match what.as_str() {
            "authorizations" => envelope.tx_type() as u8 == 4,
            "creation" => envelope.is_create(),
            "access lists" => envelope.access_list().is_some_and(|list| !list.is_empty()),
            "contract calls" => {
                envelope.to().is_some_and(|to| !machine.account(to).code.is_empty())
            }
            _ => false,
        },
        SkipReason::Other(ref what) => match what.as_str() {
            "EIP-7702 transaction with empty auth list" => {
                envelope.authorization_list().is_some_and(<[_]>::is_empty)
            }
            "nonce has max value" => envelope.nonce() == u64::MAX,
            "balance of the recipient overflows" => envelope.to().is_some_and(|to| {
                machine.account(to).balance.checked_add(envelope.value()).is_none()
            }),
            _ => false,
        },
        // The room in the block is the caller's.
        SkipReason::BlockFull { .. } | SkipReason::BytesFull { .. } => false,
    }
}
