//! Blocks and receipts in the bytes that Ethereum hashes and its nodes exchange.

use alloy_consensus::{Eip658Value, Header, TxReceipt, Typed2718};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::{BufMut, Encodable, Header as RlpHeader, encode_list};

use crate::block::{Block, Receipt};

impl Receipt {
    /// As it stands in the receipts trie. Before Byzantium that is with the state root after the
    /// transaction in place of its success (EIP-658); only legacy transactions are so old.
    pub(crate) fn encode_in_trie(
        &self,
        tx_type: u8,
        post_state: Option<&B256>,
        out: &mut dyn BufMut,
    ) {
        let Some(root) = post_state else { return self.encode_2718(tx_type, out) };
        alloy_consensus::Receipt {
            status: Eip658Value::PostState(*root),
            cumulative_gas_used: self.cumulative_gas_used,
            logs: self.logs.clone(),
        }
        .into_with_bloom()
        .encode(out);
    }
}

impl Block {
    /// Its receipts as they stand in the receipts trie, of any fork.
    pub fn encoded_receipts(&self) -> Vec<Bytes> {
        let roots = self.ethereum.as_deref().map_or(&[][..], |parts| &parts.post_states);
        let pairs = self.txs.iter().zip(&self.receipts).enumerate();
        let encode = |(at, (tx, receipt)): (usize, (&std::sync::Arc<crate::Tx>, &Receipt))| {
            let mut out = Vec::new();
            receipt.encode_in_trie(tx.envelope.ty(), roots.get(at), &mut out);
            out.into()
        };
        pairs.map(encode).collect()
    }

    /// Its RLP: header, transactions, uncles, and from Shanghai on withdrawals (EIP-4895).
    pub fn encoded(&self) -> Bytes {
        let mut txs = Vec::new();
        for tx in &self.txs {
            // A legacy transaction is a list itself; others stand inside a string (EIP-2718).
            if tx.envelope.is_legacy() { txs.put_slice(&tx.raw) } else { tx.raw.encode(&mut txs) }
        }
        let parts = self.ethereum.as_deref();
        let mut fields = alloy_rlp::encode(&self.header);
        list(&txs, &mut fields);
        let uncles = parts.map_or(&[][..], |parts| &parts.uncles);
        encode_list::<_, Header>(uncles, &mut fields);
        let none = self.header.withdrawals_root.is_some().then_some(&[][..]);
        let withdrawals = parts.map_or(none, |parts| parts.withdrawals.as_deref());
        if let Some(withdrawals) = withdrawals {
            encode_list::<_, Withdrawal>(withdrawals, &mut fields);
        }
        let mut out = Vec::with_capacity(fields.len() + 4);
        list(&fields, &mut out);
        out.into()
    }
}

fn list(items: &[u8], out: &mut Vec<u8>) {
    RlpHeader { list: true, payload_length: items.len() }.encode(out);
    out.put_slice(items);
}
