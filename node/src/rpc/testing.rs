//! `testing`: blocks that could come next on an imported Ethereum chain, made and forgotten.

use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes, U64};
use causeway_execution::ethereum::{Attributes, BuildError, BuiltBlock};
use jsonrpsee::core::RegisterMethodError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::{RpcError, RpcResult};
use super::table::{Api, Args, Table};

/// The method is there, and not for chains of ours.
const UNSUPPORTED: i32 = -32004;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("testing_buildBlockV1", |api, args, _| build(api, args))
}

/// Payload attributes, as the engine API has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttributesJson {
    timestamp: U64,
    prev_randao: B256,
    suggested_fee_recipient: Address,
    withdrawals: Option<Vec<Withdrawal>>,
    parent_beacon_block_root: Option<B256>,
}

fn build(api: &Api, args: &Args) -> RpcResult<Value> {
    let Some(ethereum) = api.backend.ethereum() else {
        return Err(RpcError::new(
            UNSUPPORTED,
            "testing_buildBlockV1 builds on Ethereum chains: causeway import --genesis ... --serve",
        ));
    };
    let parent: B256 = args.need(0, "parent block hash")?;
    let given: AttributesJson = args.need(1, "payload attributes")?;
    let txs: Option<Vec<Bytes>> = args.option(2, "transactions")?;
    let extra_data: Option<Bytes> = args.option(3, "extra data")?;
    let attributes = Attributes {
        timestamp: given.timestamp.to(),
        prev_randao: given.prev_randao,
        fee_recipient: given.suggested_fee_recipient,
        withdrawals: given.withdrawals,
        parent_beacon_block_root: given.parent_beacon_block_root,
        extra_data: extra_data.unwrap_or_default(),
    };
    match ethereum.build(parent, attributes, txs) {
        Ok(built) => Ok(payload(&built)),
        Err(BuildError::Invalid(reason)) => Err(RpcError::server(reason)),
        Err(BuildError::Execution(error)) => Err(error.into()),
    }
}

/// A built block as `engine_getPayload` gives one; fields of later forks only in them.
fn payload(built: &BuiltBlock) -> Value {
    let header = &built.header;
    let txs: Vec<&Bytes> = built.txs.iter().map(|tx| &tx.raw).collect();
    let mut payload = Map::new();
    let mut put = |name: &str, value: Value| payload.insert(name.into(), value);
    put("parentHash", json!(header.parent_hash));
    put("feeRecipient", json!(header.beneficiary));
    put("stateRoot", json!(header.state_root));
    put("receiptsRoot", json!(header.receipts_root));
    put("logsBloom", json!(header.logs_bloom));
    put("prevRandao", json!(header.mix_hash));
    put("blockNumber", json!(U64::from(header.number)));
    put("gasLimit", json!(U64::from(header.gas_limit)));
    put("gasUsed", json!(U64::from(header.gas_used)));
    put("timestamp", json!(U64::from(header.timestamp)));
    put("extraData", json!(header.extra_data));
    put("baseFeePerGas", json!(U64::from(header.base_fee_per_gas.unwrap_or_default())));
    put("blockHash", json!(header.hash_slow()));
    put("transactions", json!(txs));
    if header.withdrawals_root.is_some() {
        put("withdrawals", json!(built.withdrawals));
    }
    if let (Some(used), Some(excess)) = (header.blob_gas_used, header.excess_blob_gas) {
        put("blobGasUsed", json!(U64::from(used)));
        put("excessBlobGas", json!(U64::from(excess)));
    }
    json!({
        "executionPayload": payload,
        "blockValue": built.value,
        "blobsBundle": { "commitments": [], "proofs": [], "blobs": [] },
        "executionRequests": built.requests,
        "shouldOverrideBuilder": false,
    })
}
