//! Error codes and texts, exactly: client libraries match on them.

use alloy_primitives::{Address, B256, U256};
use causeway_chainspec::{SkipReason, TxError};
use causeway_da::DaError;
use serde_json::{Value, json};

use super::fake_vm::{ASSERT, USER_ERROR};
use super::wire::{CONTRACT, FRIEND, World, alice, deposit, transfer};
use crate::rpc::{RpcConfig, SubmitError};

fn error(code: i32, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message } })
}

fn revert(message: &str, data: &str) -> Value {
    json!({ "error": { "code": 3, "message": message, "data": data } })
}

async fn check(world: &World, cases: Vec<(&str, Value, Value)>) {
    for (method, params, expected) in cases {
        let answer = world.call(method, params.clone()).await;
        assert_eq!(answer, expected, "{method} {params}");
    }
}

#[tokio::test]
async fn calls_that_fail() {
    let world = World::new(RpcConfig::default()).await;
    let call = |input: &str| json!([{ "to": CONTRACT, "input": input }, "latest"]);
    for method in ["eth_call", "eth_estimateGas"] {
        check(
            &world,
            vec![
                (method, call("0x01"), revert("execution reverted: user error", USER_ERROR)),
                (method, call("0x00"), revert("execution reverted: assert(false)", ASSERT)),
                (method, call("0x02"), revert("execution reverted", "0x")),
                (method, call("0x04"), error(-32000, "invalid opcode: INVALID")),
                (
                    method,
                    call("0x08"),
                    error(-32000, "insufficient funds for gas * price + value: have 1 want 2"),
                ),
                // Our own failures are logged, not told.
                (method, call("0x09"), error(-32603, "internal error")),
                (method, call("0xff"), error(-32603, "internal error")),
            ],
        )
        .await;
    }
    let priced = |fee: Value| {
        let mut request = json!({ "from": alice(), "to": CONTRACT, "input": "0x05" });
        request.as_object_mut().unwrap().extend(fee.as_object().unwrap().clone());
        json!([request])
    };
    let low = "max fee per gas less than block base fee: maxFeePerGas: 5, baseFee: 1000";
    check(
        &world,
        vec![
            ("eth_call", call("0x03"), error(-32000, "out of gas")),
            (
                "eth_estimateGas",
                call("0x03"),
                error(-32000, "gas required exceeds allowance (30000000)"),
            ),
            ("eth_call", priced(json!({ "gasPrice": "0x5" })), error(-32000, low)),
            ("eth_call", priced(json!({ "maxFeePerGas": "0x5" })), error(-32000, low)),
            (
                "eth_call",
                priced(json!({ "maxFeePerGas": "0x7d0", "maxPriorityFeePerGas": "0x7d1" })),
                error(-32000, "max priority fee per gas higher than max fee per gas"),
            ),
            (
                "eth_call",
                priced(json!({ "maxFeePerGas": "0x7d0", "gasPrice": "0x7d0" })),
                error(-32602, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"),
            ),
            (
                "eth_call",
                priced(json!({ "chainId": "0x1" })),
                error(-32000, "invalid chain id for signer: have 1 want 4242"),
            ),
            (
                "eth_call",
                priced(json!({ "blobVersionedHashes": [B256::ZERO] })),
                error(-32000, &TxError::Blob.to_string()),
            ),
            // Alice owns 10^9 wei: at 50,000 wei a gas she can pay for 20,000.
            (
                "eth_estimateGas",
                priced(json!({ "gasPrice": "0xc350" })),
                error(-32000, "gas required exceeds allowance (20000)"),
            ),
            (
                "eth_estimateGas",
                priced(json!({ "gasPrice": "0x3e8", "value": "0x3b9aca01" })),
                error(-32000, "insufficient funds for transfer"),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn submissions_that_fail() {
    let world = World::new(RpcConfig::default()).await;
    let raw = transfer(6, 1).raw;
    let funds = SkipReason::Funds { have: U256::from(3), want: U256::from(9) };
    let fee = SkipReason::FeeTooLow { max_fee: 5, base_fee: 7 };
    let intrinsic = SkipReason::IntrinsicGas { have: 20_000, want: 21_000 };
    let limit = SkipReason::GasLimit { have: 90, most: 80 };
    let remote = SubmitError::Remote {
        code: -32003,
        message: "transaction rejected".into(),
        data: Some(json!({ "hint": "x" })),
    };
    for (refusal, expected) in [
        (
            SkipReason::NonceTooLow { state: 7, tx: 3 }.into(),
            error(-32000, "nonce too low: next nonce 7, tx nonce 3"),
        ),
        (
            SkipReason::NonceTooHigh { state: 7, tx: 300 }.into(),
            error(-32000, "nonce too high: next nonce 7, tx nonce 300"),
        ),
        (funds.into(), error(-32000, "insufficient funds for gas * price + value: have 3 want 9")),
        (SubmitError::Underpriced, error(-32000, "replacement transaction underpriced")),
        (
            fee.into(),
            error(-32000, "max fee per gas less than block base fee: maxFeePerGas: 5, baseFee: 7"),
        ),
        (
            SkipReason::TipAboveFee.into(),
            error(-32000, "max priority fee per gas higher than max fee per gas"),
        ),
        (intrinsic.into(), error(-32000, "intrinsic gas too low: have 20000, want 21000")),
        (limit.into(), error(-32000, "exceeds block gas limit: gas limit 90, most 80")),
        (
            SubmitError::Unprotected,
            error(-32000, "only replay-protected (EIP-155) transactions allowed over RPC"),
        ),
        (SubmitError::AlreadyKnown, error(-32000, "already known")),
        (
            SubmitError::PoolFull,
            json!({ "error": {
                "code": -32000,
                "message": "txpool is full",
                "data": { "hint": "pay more than what waits, or send it again later" },
            }}),
        ),
        (SubmitError::Rejected("too many".into()), error(-32000, "too many")),
        (
            SubmitError::Unreachable("tried http://seq, 3 s".into()),
            error(-32002, "Resource unavailable: sequencer unreachable (tried http://seq, 3 s)"),
        ),
        (
            SubmitError::Halted("why".into()),
            error(-32002, "Resource unavailable: this node halted, and only reads: why"),
        ),
        (SubmitError::Failed("disk /secret".into()), error(-32603, "internal error")),
        (
            remote,
            json!({ "error": { "code": -32003, "message": "transaction rejected",
                               "data": { "hint": "x" } } }),
        ),
    ] {
        *world.node.refuse.lock() = Some(refusal);
        let answer = world.call("eth_sendRawTransaction", json!([raw])).await;
        assert_eq!(answer, expected);
    }
    let unsupported = "transaction type not valid: transaction type not supported";
    for (raw, message) in [
        ("0x03c0".to_owned(), TxError::Blob.to_string()),
        ("0x05c0".to_owned(), unsupported.to_owned()),
        (deposit().raw.to_string(), unsupported.to_owned()),
        ("0x02c0".to_owned(), TxError::Encoding.to_string()),
        ("0x".to_owned(), TxError::Encoding.to_string()),
    ] {
        let answer = world.call("eth_sendRawTransaction", json!([raw])).await;
        assert_eq!(answer, error(-32000, &message), "{raw}");
    }
}

#[tokio::test]
async fn parameters_that_are_wrong() {
    let world = World::new(RpcConfig::default()).await;
    let nobody = Address::repeat_byte(0x99);
    let long = format!("0x{}", "0".repeat(65));
    let too_long = format!("storage key too long (want at most 32 bytes): {long:?}");
    let topics = vec![B256::ZERO; 5];
    check(
        &world,
        vec![
            (
                "eth_getBalance",
                json!([]),
                error(-32602, "missing value for required argument 0 (address)"),
            ),
            (
                "eth_getBalance",
                json!([null, "latest"]),
                error(-32602, "missing value for required argument 0 (address)"),
            ),
            (
                "eth_getBalance",
                json!({ "address": nobody }),
                error(-32602, "non-array args: params must be a list"),
            ),
            ("eth_getStorageAt", json!([nobody, long, "latest"]), error(-32602, &too_long)),
            (
                "eth_getStorageAt",
                json!([nobody, "0xasdf", "latest"]),
                error(-32602, "invalid hex in storage key: \"0xasdf\""),
            ),
            (
                "eth_getLogs",
                json!([{ "fromBlock": "0x2", "toBlock": "0x1" }]),
                error(-32602, "invalid block range params"),
            ),
            (
                "eth_getLogs",
                json!([{ "blockHash": B256::repeat_byte(0xbd) }]),
                error(-32000, "unknown block"),
            ),
            (
                "eth_feeHistory",
                json!(["0x1", "0x64", []]),
                error(-32000, "request beyond head block: requested 100, head 3"),
            ),
            (
                "eth_feeHistory",
                json!(["0x1", "latest", [101]]),
                error(-32602, "invalid reward percentile: 101"),
            ),
            (
                "eth_feeHistory",
                json!(["0x1", "latest", [50, 10]]),
                error(-32602, "invalid reward percentile: #0:50 >= #1:10"),
            ),
        ],
    )
    .await;
    for (method, params, begin) in [
        ("eth_getBalance", json!(["0x12"]), "invalid argument 0 (address): "),
        ("eth_getBalance", json!([nobody, "newest"]), "invalid argument 1 (block): "),
        ("eth_getBlockByNumber", json!(["0x1", "yes"]), "invalid argument 1 (full transactions): "),
        ("eth_call", json!([[]]), "invalid argument 0 (transaction): "),
        ("eth_getLogs", json!([{ "topics": topics }]), "invalid argument 0 (filter): "),
        ("eth_sendRawTransaction", json!(["0xzz"]), "invalid argument 0 (transaction): "),
    ] {
        let answer = world.call(method, params).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        let text = answer["error"]["message"].as_str().unwrap();
        assert!(text.starts_with(begin) && text.len() > begin.len(), "{answer}");
        assert!(!text.contains(" at line "), "{answer}");
    }
}

#[tokio::test]
async fn blocks_and_states_that_are_gone_or_never_were() {
    let world = World::new(RpcConfig::default()).await;
    let gone = error(4444, "Pruned history unavailable");
    let nothing = B256::repeat_byte(0xbd);
    check(
        &world,
        vec![
            ("eth_getBalance", json!([FRIEND, "earliest"]), gone.clone()),
            ("eth_getCode", json!([FRIEND, "0x0"]), gone.clone()),
            ("eth_call", json!([{ "to": CONTRACT, "input": "0x05" }, "0x0"]), gone.clone()),
            ("eth_getProof", json!([FRIEND, [], "0x0"]), gone),
            ("eth_getBalance", json!([FRIEND, "0x64"]), error(-32000, "header not found")),
            (
                "eth_getBalance",
                json!([FRIEND, { "blockHash": nothing }]),
                error(-32000, "header for hash not found"),
            ),
            (
                "eth_call",
                json!([{ "to": CONTRACT }, nothing]),
                error(-32000, "header for hash not found"),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn methods_that_are_not_there() {
    let config = RpcConfig {
        namespaces: vec!["eth".into(), "net".into(), "rpc".into()],
        ..RpcConfig::default()
    };
    let world = World::new(config).await;
    check(
        &world,
        vec![
            (
                "foo_bar",
                json!([]),
                error(-32601, "the method foo_bar does not exist/is not available"),
            ),
            (
                "nonsense",
                json!([]),
                error(-32601, "the method nonsense does not exist/is not available"),
            ),
            (
                "txpool_status",
                json!([]),
                error(-32004, "Method not supported: enable it with --rpc-api txpool"),
            ),
            (
                "eth_subscribe",
                json!(["newHeads"]),
                error(-32601, "notifications not supported: subscribe over WebSocket"),
            ),
            ("rpc_modules", json!([]), json!({ "eth": "1.0", "net": "1.0", "rpc": "1.0" })),
        ],
    )
    .await;
}

#[test]
fn unknown_namespaces_are_refused() {
    let error =
        crate::rpc::namespaces(crate::rpc::MODULES, &["eht".into()]).unwrap_err().to_string();
    assert!(error.contains("\"eht\"") && error.contains("\"eth\""), "{error}");
}

#[tokio::test]
async fn a_chain_outside_the_metalayer_says_so() {
    let world = World::new(RpcConfig::default()).await;
    let text = "this chain is not a member of a metalayer: set [metalayer] enabled in its \
                chain.toml before block 0";
    for method in ["Message", "MessageProof", "Anchors", "Lane", "Supply", "Directory"] {
        let answer = world.call(&format!("metalayer_get{method}"), json!([B256::ZERO])).await;
        assert_eq!(answer, error(-32601, text), "{method}");
    }
}

#[tokio::test]
async fn forced_bytes_reach_the_da_layer_or_say_why_not() {
    let world = World::new(RpcConfig::default()).await;
    let send = |params| world.call("rollup_sendForced", params);
    assert_eq!(send(json!(["0x7c01"])).await, json!(alloy_primitives::keccak256([0x7c, 1])));
    assert_eq!(*world.node.forced.lock(), [alloy_primitives::Bytes::from(vec![0x7c, 1])]);
    let empty = error(-32602, "invalid argument 0 (bytes): nothing to send");
    assert_eq!(send(json!(["0x"])).await, empty);
    let cases = [
        (
            DaError::Unavailable("no answer".into()),
            error(-32002, "Resource unavailable: da layer is unavailable: no answer"),
        ),
        (
            DaError::TooLarge { bytes: 9, most: 8 },
            error(-32000, "submission of 9 bytes is over the limit of 8"),
        ),
        (DaError::Storage("/secret".into()), error(-32603, "internal error")),
    ];
    for (failure, expected) in cases {
        *world.node.da_error.lock() = Some(failure);
        assert_eq!(send(json!(["0x01"])).await, expected);
    }
    assert_eq!(world.node.forced.lock().len(), 1);
}
