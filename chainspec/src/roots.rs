//! What a header says of a body and of what its execution gave: roots of tries, and the bloom.

use std::sync::Arc;

use alloy_consensus::Typed2718;
use alloy_consensus::proofs::ordered_trie_root_with_encoder;
use alloy_primitives::{B256, Bloom, logs_bloom};

use crate::block::Receipt;
use crate::tx::Tx;

/// Root of the trie of transactions.
pub fn transactions_root(txs: &[Arc<Tx>]) -> B256 {
    ordered_trie_root_with_encoder(txs, |tx, out| out.extend_from_slice(&tx.raw))
}

/// Root of the trie of receipts, one for each transaction. `post_states` is empty, or before
/// Byzantium the state root after each transaction (EIP-658).
pub fn receipts_root(txs: &[Arc<Tx>], receipts: &[Receipt], post_states: &[B256]) -> B256 {
    let receipts: Vec<_> = txs.iter().zip(receipts).enumerate().collect();
    ordered_trie_root_with_encoder(&receipts, |(at, (tx, receipt)), out| {
        receipt.encode_in_trie(tx.envelope.ty(), post_states.get(*at), out);
    })
}

/// Bloom of the logs of receipts.
pub fn bloom(receipts: &[Receipt]) -> Bloom {
    logs_bloom(receipts.iter().flat_map(|receipt| &receipt.logs))
}
