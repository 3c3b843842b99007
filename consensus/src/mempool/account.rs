//! The transactions of one sender: by nonce, ready as far as nonces and funds reach.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, U256};
use causeway_chainspec::{Tx, TxEnvelope};

/// What the pool must be told of a sender; it never reads state itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountFacts {
    /// Next nonce.
    pub nonce: u64,
    /// Balance, wei.
    pub balance: U256,
    /// Whether its code is an EIP-7702 delegation.
    pub delegated: bool,
}

/// Order in which accounts lose their last transaction: the cheapest first, then the youngest.
pub(super) type VictimKey = (u128, Reverse<u64>, Address);

/// One waiting transaction.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) tx: Arc<Tx>,
    /// Most it can cost, wei.
    pub(super) cost: U256,
    /// Order of arrival.
    pub(super) seq: u64,
    /// It was in a block that derivation replaced: first in line, and never evicted.
    pub(super) kept: bool,
}

impl Entry {
    pub(super) fn new(tx: Arc<Tx>, seq: u64, kept: bool) -> Self {
        Self { cost: max_cost(&tx), tx, seq, kept }
    }
}

/// Most a transaction can cost its sender: gas limit x fee cap + value, wei.
pub(super) fn max_cost(tx: &Tx) -> U256 {
    let gas = U256::from(tx.envelope.gas_limit()) * U256::from(tx.envelope.max_fee_per_gas());
    gas.saturating_add(tx.envelope.value())
}

/// What a transaction bids for its place: its priority fee cap, wei per gas.
pub fn bid(envelope: &TxEnvelope) -> u128 {
    envelope.max_priority_fee_per_gas().unwrap_or_else(|| envelope.max_fee_per_gas())
}

#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) facts: AccountFacts,
    pub(super) txs: BTreeMap<u64, Entry>,
    /// How many, from the state nonce on, can be executed one after the other.
    pub(super) ready: usize,
    /// Cost of all.
    pub(super) total_cost: U256,
    /// Its key in the pool's order of eviction.
    pub(super) key: Option<VictimKey>,
    ready_cost: U256,
    least_tip: u128,
}

impl Account {
    /// The nonce that would become ready next.
    pub(super) fn next(&self) -> u64 {
        self.facts.nonce + self.ready as u64
    }

    pub(super) fn queued(&self) -> usize {
        self.txs.len() - self.ready
    }

    /// Puts a transaction in; returns the one whose nonce it takes.
    pub(super) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let tip = bid(&entry.tx.envelope);
        self.least_tip = if self.txs.is_empty() { tip } else { self.least_tip.min(tip) };
        self.total_cost = self.total_cost.saturating_add(entry.cost);
        let old = self.txs.insert(entry.tx.envelope.nonce(), entry);
        match &old {
            Some(_) => self.settle(),
            None => self.extend(),
        }
        old
    }

    /// Counts again from the state nonce, after a removal or new facts.
    pub(super) fn settle(&mut self) {
        (self.ready, self.ready_cost) = (0, U256::ZERO);
        let costs = self.txs.values().map(|entry| entry.cost);
        self.total_cost = costs.fold(U256::ZERO, U256::saturating_add);
        self.least_tip = self.txs.values().map(|entry| bid(&entry.tx.envelope)).min().unwrap_or(0);
        self.extend();
    }

    fn extend(&mut self) {
        while let Some(entry) = self.txs.get(&self.next()) {
            let cost = self.ready_cost.saturating_add(entry.cost);
            if cost > self.facts.balance {
                break;
            }
            self.ready_cost = cost;
            self.ready += 1;
        }
    }

    /// Where its last transaction stands in the order of eviction; a kept one stands nowhere.
    pub(super) fn victim(&self, address: Address) -> Option<VictimKey> {
        let last = self.txs.last_key_value().map(|(_, entry)| entry)?;
        // A transaction is worth no more than the cheapest it depends on.
        (!last.kept).then_some((self.least_tip, Reverse(last.seq), address))
    }
}
