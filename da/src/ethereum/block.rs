//! Blocks of the parent chain, of which nothing is used that does not hash to what names it.

use alloy_consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy_consensus::{Header, ReceiptEnvelope, Transaction, TxEnvelope, Typed2718};
use alloy_primitives::{Address, B256, Log};
use alloy_rpc_types_eth::TransactionReceipt;
use serde_json::{Value, json};

use super::rpc::{Node, Rpc};
use super::sources::Fault;
use crate::DaError;

/// How much of a block its header proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Roots {
    /// Transactions and receipts hash to the roots in the header.
    Checked,
    /// Roots are as the node says: for development chains that compute them in another way.
    Trusted,
}

/// A block that hashes to its name.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) hash: B256,
    pub(super) header: Header,
    pub(super) transactions: Vec<TxEnvelope>,
}

impl Block {
    /// Hashes of the blobs that transactions brought to an address, in their order.
    pub(super) fn blobs_to(&self, inbox: Address) -> Vec<B256> {
        let to_inbox = |tx: &&TxEnvelope| tx.is_eip4844() && Transaction::to(*tx) == Some(inbox);
        self.transactions
            .iter()
            .filter(to_inbox)
            .flat_map(|tx| tx.blob_versioned_hashes().unwrap_or_default())
            .copied()
            .collect()
    }
}

impl Rpc {
    /// The header at a tag or a number; `None` if there is no such block.
    pub(super) async fn header(
        &self,
        node: &Node,
        at: Value,
    ) -> Result<Option<(B256, Header)>, Fault> {
        let block: Value = self.call(node, "eth_getBlockByNumber", json!([at, false])).await?;
        if block.is_null() { Ok(None) } else { header(block).map(Some) }
    }

    /// The block at a height; `None` if there is none yet.
    pub(super) async fn block(
        &self,
        node: &Node,
        height: u64,
        roots: Roots,
    ) -> Result<Option<Block>, Fault> {
        let at = format!("{height:#x}");
        let block: Value = self.call(node, "eth_getBlockByNumber", json!([at, true])).await?;
        if block.is_null() { Ok(None) } else { checked_block(block, height, roots).map(Some) }
    }

    /// Logs of contracts in a block, each with its place in it, in order; receipts are read only if
    /// the header's bloom filter names one of them with one of the topics.
    pub(super) async fn logs(
        &self,
        block: &Block,
        watched: &[(Address, &[B256])],
        roots: Roots,
    ) -> Result<Vec<(u64, Log)>, DaError> {
        let bloom = block.header.logs_bloom;
        let named = |(address, topics): &(Address, &[B256])| {
            topics.iter().any(|topic| bloom.contains_raw_log(*address, &[*topic]))
        };
        if !watched.iter().any(named) {
            return Ok(Vec::new());
        }
        let receipts = self
            .nodes
            .first(move |node| Box::pin(async move { self.receipts(node, block, roots).await }))
            .await?;
        let logs = receipts.iter().flat_map(ReceiptEnvelope::logs).cloned();
        let of_them = |(_, log): &(u64, Log)| watched.iter().any(|(it, _)| *it == log.address);
        Ok((0..).zip(logs).filter(of_them).collect())
    }

    async fn receipts(
        &self,
        node: &Node,
        block: &Block,
        roots: Roots,
    ) -> Result<Vec<ReceiptEnvelope>, Fault> {
        let height = block.header.number;
        let at = format!("{height:#x}");
        let receipts: Option<Vec<TransactionReceipt>> =
            self.call(node, "eth_getBlockReceipts", json!([at])).await?;
        let receipts = receipts.ok_or_else(|| Fault::Wrong(format!("no receipts of {height}")))?;
        checked_receipts(receipts, block.hash, block.header.receipts_root, roots)
    }
}

/// A block of which the header is right, and its transactions if the roots are checked.
fn checked_block(mut block: Value, height: u64, roots: Roots) -> Result<Block, Fault> {
    let fields = block.as_object_mut();
    let transactions = fields.and_then(|fields| fields.remove("transactions")).unwrap_or_default();
    let (hash, header) = header(block)?;
    if header.number != height {
        return Err(Fault::Wrong(format!("block {} for {height}", header.number)));
    }
    // With a transaction of a type that this binary does not know, the root cannot be checked.
    let transactions: Vec<TxEnvelope> = serde_json::from_value(transactions)
        .map_err(|error| Fault::Wrong(format!("transactions of {height}: {error}")))?;
    if roots == Roots::Checked
        && calculate_transaction_root(&transactions) != header.transactions_root
    {
        return Err(Fault::Wrong(format!(
            "transactions of {height} do not hash to the header's root (on a development chain, set \
             trust_roots = \"development\")"
        )));
    }
    Ok(Block { hash, header, transactions })
}

/// Receipts of a block that hash to its header's root, if that is checked.
fn checked_receipts(
    receipts: Vec<TransactionReceipt>,
    block: B256,
    root: B256,
    roots: Roots,
) -> Result<Vec<ReceiptEnvelope>, Fault> {
    let of_it = |receipt: &TransactionReceipt| receipt.block_hash == Some(block);
    if roots == Roots::Trusted && !receipts.iter().all(of_it) {
        return Err(Fault::Wrong(format!("receipts of another block than {block}")));
    }
    let receipts: Vec<ReceiptEnvelope> = receipts
        .into_iter()
        .map(|receipt| receipt.into_primitives_receipt().into_inner())
        .collect();
    if roots == Roots::Checked && calculate_receipt_root(&receipts) != root {
        return Err(Fault::Wrong(format!("receipts of {block} do not hash to the header's root")));
    }
    Ok(receipts)
}

/// A header, if it hashes to what the node calls its hash.
fn header(block: Value) -> Result<(B256, Header), Fault> {
    let wrong = |error: &dyn std::fmt::Display| Fault::Wrong(format!("a header: {error}"));
    let said = block.get("hash").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let said: B256 = said.ok_or_else(|| wrong(&"it has no hash"))?;
    let header: Header = serde_json::from_value(block).map_err(|error| wrong(&error))?;
    let hash = header.hash_slow();
    if hash != said {
        return Err(wrong(&format!("{} hashes to {hash}, and not {said}", header.number)));
    }
    Ok((hash, header))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;

    use super::*;

    /// As geth gives it: block 42 of the chain of ethereum/execution-apis, the first of Cancun.
    fn recorded() -> Value {
        serde_json::from_str(include_str!("testdata/cancun-block.json")).unwrap()
    }

    #[test]
    fn a_block_with_blobs_hashes_to_its_name() {
        let block = checked_block(recorded(), 42, Roots::Checked).unwrap();
        let named = b256!("9e5e1e79c57f257def6a0e882d10863e2a98b034e6e0fdaccd7ff7b31312105d");
        assert_eq!((block.hash, block.transactions.len()), (named, 4));
        let inbox = alloy_primitives::address!("7dcd17433742f4c0ca53122ab541d0ba67fc27df");
        let blob = b256!("015a4cab4911426699ed34483de6640cf55a568afc5c5edffdcbd8bcd4452f68");
        assert_eq!(block.blobs_to(inbox), [blob]);
        assert!(block.blobs_to(Address::ZERO).is_empty());
    }

    #[test]
    fn a_block_that_was_touched_is_wrong() {
        let wrong = |edit: &dyn Fn(&mut Value)| {
            let mut block = recorded();
            edit(&mut block);
            let checked = checked_block(block, 42, Roots::Checked);
            assert!(matches!(checked, Err(Fault::Wrong(_))), "{checked:?}");
        };
        wrong(&|block| drop(block["transactions"].as_array_mut().unwrap().remove(0)));
        wrong(&|block| block["transactions"].as_array_mut().unwrap().swap(0, 3));
        wrong(&|block| block["transactions"] = json!([]));
        wrong(&|block| {
            let twice = block["transactions"][0].clone();
            block["transactions"].as_array_mut().unwrap().push(twice);
        });
        wrong(&|block| {
            let other = B256::with_last_byte(1);
            block["transactions"][0]["blobVersionedHashes"] = json!([other]);
        });
        wrong(&|block| block["transactions"][0]["to"] = json!(Address::ZERO));
        wrong(&|block| block["transactions"][3]["type"] = json!("0x7d"));
        wrong(&|block| block["timestamp"] = json!("0x1a5"));
        wrong(&|block| block["parentHash"] = json!(B256::ZERO));
        wrong(&|block| block["hash"] = json!(B256::ZERO));
        wrong(&|block| block["hash"] = json!("0x"));
        wrong(&|block| *block = json!("hello"));
        assert!(checked_block(recorded(), 43, Roots::Checked).is_err(), "of another height");
        // A development chain's roots are taken as they are, its headers are not.
        let mut block = recorded();
        block["transactions"].as_array_mut().unwrap().pop();
        assert!(checked_block(block.clone(), 42, Roots::Trusted).is_ok());
        block["timestamp"] = json!("0x1a5");
        assert!(checked_block(block, 42, Roots::Trusted).is_err());
    }

    /// Receipts of block 54 of the same chain, as geth gives them.
    #[test]
    fn receipts_hash_to_the_headers_root() {
        let text = include_str!("testdata/osaka-receipts.json");
        let recorded: Vec<TransactionReceipt> = serde_json::from_str(text).unwrap();
        let block = recorded[0].block_hash.unwrap();
        let root = b256!("1a7a488c0a3a5c1f846f03b8f37243cadc7e2b085d95f93612da2bdf3973d5dd");
        let check = |receipts: &[TransactionReceipt], roots| {
            checked_receipts(receipts.to_vec(), block, root, roots)
        };
        let receipts = check(&recorded, Roots::Checked).unwrap();
        assert_eq!(receipts.iter().flat_map(ReceiptEnvelope::logs).count(), 11);
        assert!(check(&recorded[1..], Roots::Checked).is_err());
        assert!(check(&recorded[1..], Roots::Trusted).is_ok());
        let mut of_another = recorded;
        of_another[0].block_hash = Some(B256::ZERO);
        assert!(check(&of_another, Roots::Trusted).is_err());
    }
}
