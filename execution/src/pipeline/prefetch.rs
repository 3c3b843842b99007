//! Reading ahead: what waiting transactions will need comes into memory before they run.

use std::sync::Arc;

use alloy_consensus::Transaction;
use causeway_chainspec::Tx;

use super::Pipeline;

impl Pipeline {
    /// Reads sender and recipient of transactions that wait, and the way to them in the trie, into
    /// the store's cache. What is there already costs one look, so calling it with every
    /// transaction that comes in is fine; what cannot be read is left to whoever executes.
    pub fn prefetch(&self, txs: &[Arc<Tx>]) {
        let view = self.core.picture().view.clone();
        for tx in txs {
            for address in [Some(tx.sender), tx.envelope.to()].into_iter().flatten() {
                view.prefetch(address);
            }
        }
    }
}
