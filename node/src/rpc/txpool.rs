//! `txpool`: what waits, in geth's shapes.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, U64};
use causeway_chainspec::Tx;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::json;
use super::table::Table;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("txpool_status", |api, _| {
        let (pending, queued) = api.backend.pool_status();
        Ok(json!({ "pending": U64::from(pending), "queued": U64::from(queued) }))
    })?;
    table.heavy("txpool_content", |api, _, _| {
        let pool = api.backend.pool_content();
        let by = |txs: &[Arc<Tx>]| by_sender(txs, json::pending_transaction);
        Ok(json!({ "pending": by(&pool.pending), "queued": by(&pool.queued) }))
    })?;
    table.heavy("txpool_contentFrom", |api, args, _| {
        let sender: Address = args.need(0, "address")?;
        let pool = api.backend.pool_content();
        let of = |txs: &[Arc<Tx>]| -> BTreeMap<String, Value> {
            let own = txs.iter().filter(|tx| tx.sender == sender);
            own.map(|tx| (nonce(tx), json::pending_transaction(tx))).collect()
        };
        Ok(json!({ "pending": of(&pool.pending), "queued": of(&pool.queued) }))
    })?;
    table.heavy("txpool_inspect", |api, _, _| {
        let pool = api.backend.pool_content();
        let by = |txs: &[Arc<Tx>]| by_sender(txs, |tx| json!(summary(tx)));
        Ok(json!({ "pending": by(&pool.pending), "queued": by(&pool.queued) }))
    })
}

/// Sender (checksummed) to nonce (decimal) to what `show` makes of the transaction.
fn by_sender(
    txs: &[Arc<Tx>],
    show: impl Fn(&Tx) -> Value,
) -> BTreeMap<String, BTreeMap<String, Value>> {
    let mut out: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for tx in txs {
        out.entry(tx.sender.to_checksum(None)).or_default().insert(nonce(tx), show(tx));
    }
    out
}

fn nonce(tx: &Tx) -> String {
    tx.envelope.nonce().to_string()
}

fn summary(tx: &Tx) -> String {
    let to = tx.envelope.to().map_or("contract creation".to_owned(), |to| to.to_checksum(None));
    format!(
        "{to}: {} wei + {} gas × {} wei",
        tx.envelope.value(),
        tx.envelope.gas_limit(),
        tx.envelope.max_fee_per_gas()
    )
}
