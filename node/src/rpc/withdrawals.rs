//! `rollup`: what it takes to have on the parent chain what was sent there.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rpc_types_eth::BlockNumberOrTag;
use alloy_sol_types::{SolCall, SolEvent, SolValue, sol};
use causeway_chainspec::l1::bridge::{MESSAGE_PASSER, OUTPUT_V0, output_root};
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::error::{RpcError, RpcResult};
use super::table::{Api, Args, Table};
use super::target;

sol! {
    /// A call of the parent chain was sent.
    event MessagePassed(
        uint256 indexed nonce,
        address indexed sender,
        address indexed target,
        uint256 value,
        uint256 gasLimit,
        bytes data,
        bytes32 withdrawalHash
    );

    struct Withdrawal {
        uint256 nonce;
        address sender;
        address target;
        uint256 value;
        uint256 gasLimit;
        bytes data;
    }

    struct OutputProof {
        bytes32 version;
        bytes32 stateRoot;
        bytes32 messagePasserStorageRoot;
        bytes32 latestBlockhash;
    }

    function proveWithdrawalTransaction(
        Withdrawal tx, uint256 l2OutputIndex, OutputProof outputRootProof, bytes[] withdrawalProof
    );

    function finalizeWithdrawalTransaction(Withdrawal tx);
}

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("rollup_getWithdrawalProof", |api, args, _| withdrawal_proof(api, args))
}

/// The withdrawal of a transaction, by its place among those of it, proven by the state after a block
/// of which the parent has an output, and ready to be sent there.
fn withdrawal_proof(api: &Api, args: &Args) -> RpcResult<Value> {
    let hash: B256 = args.need(0, "transaction hash")?;
    let tag: BlockNumberOrTag = args.need(1, "block of the output")?;
    let index: U256 = args.need(2, "index of the output")?;
    let place: usize = args.option(3, "place in the transaction")?.unwrap_or(0);
    let chain = api.backend.chain();
    let Some((block, at)) = chain.tx(hash)? else { return Ok(Value::Null) };
    let logs = block.receipts[at].logs.iter();
    let sent = logs.filter(|log| log.address == MESSAGE_PASSER);
    let sent: Vec<_> = sent.filter_map(|log| MessagePassed::decode_log(log).ok()).collect();
    let Some(sent) = sent.get(place) else {
        return Err(RpcError::server(format!(
            "transaction {hash} sends {} withdrawals to the parent chain",
            sent.len()
        )));
    };
    let (number, sent_at) = (target::number(&*chain, tag), block.header.number);
    if number < sent_at {
        return Err(RpcError::server(format!(
            "block {number} does not know it: it was sent in block {sent_at}; wait for an output of that \
             block or a later one"
        )));
    }
    let header = chain.header(number)?.ok_or_else(RpcError::no_header)?;
    let slot = keccak256((sent.withdrawalHash, U256::ZERO).abi_encode());
    let proven = chain.prove(number, MESSAGE_PASSER, &[slot.into()])?;
    let proven = proven.ok_or_else(RpcError::pruned)?;
    let proof: Vec<Bytes> = proven.slots.into_iter().flat_map(|(_, _, proof)| proof).collect();

    let withdrawal = Withdrawal {
        nonce: sent.nonce,
        sender: sent.sender,
        target: sent.target,
        value: sent.value,
        gasLimit: sent.gasLimit,
        data: sent.data.data.clone(),
    };
    let output = OutputProof {
        version: OUTPUT_V0,
        stateRoot: header.state_root,
        messagePasserStorageRoot: header.withdrawals_root.unwrap_or_default(),
        latestBlockhash: header.hash_slow(),
    };
    Ok(shown(sent.withdrawalHash, withdrawal, (number, index, output), proof, &header))
}

fn shown(
    hash: B256,
    withdrawal: Withdrawal,
    (number, index, output): (u64, U256, OutputProof),
    proof: Vec<Bytes>,
    header: &alloy_consensus::Header,
) -> Value {
    let show = |Withdrawal { nonce, sender, target, value, gasLimit, data }: &Withdrawal| {
        let [sender, target]: [Address; 2] = [*sender, *target];
        json!({
            "nonce": nonce, "sender": sender, "target": target, "value": value,
            "gasLimit": gasLimit, "data": data,
        })
    };
    let prove = proveWithdrawalTransactionCall {
        tx: withdrawal.clone(),
        l2OutputIndex: index,
        outputRootProof: output.clone(),
        withdrawalProof: proof.clone(),
    };
    json!({
        "withdrawalHash": hash,
        "withdrawal": show(&withdrawal),
        "blockNumber": number,
        "outputRoot": output_root(header, output.latestBlockhash),
        "outputRootProof": {
            "version": output.version,
            "stateRoot": output.stateRoot,
            "messagePasserStorageRoot": output.messagePasserStorageRoot,
            "latestBlockhash": output.latestBlockhash,
        },
        "withdrawalProof": proof,
        "proveCalldata": Bytes::from(prove.abi_encode()),
        "finalizeCalldata":
            Bytes::from(finalizeWithdrawalTransactionCall { tx: withdrawal }.abi_encode()),
    })
}
