//! `debug` and `trace` over blocks that were really executed.

use std::time::{Duration, Instant};

use alloy_consensus::Header;
use alloy_primitives::{Bytes, U256, hex, keccak256};
use alloy_rlp::Decodable;
use serde_json::{Value, json};

use super::real::{FACTORY, PAYER, REVERTER, Real, SPINNER, STORER, words};
use super::wire::{FRIEND, alice, quantity};
use crate::rpc::RpcConfig;

fn tracer(name: &str) -> Value {
    json!({ "tracer": name })
}

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn call_traces_tell_what_receipts_tell() {
    let mut real = Real::new(RpcConfig::default()).await;
    for block in real.grow() {
        let number = quantity(block.header.number);
        let traces =
            real.ask("debug_traceBlockByNumber", json!([number, tracer("callTracer")])).await;
        let traces = traces.as_array().unwrap();
        assert_eq!(traces.len(), block.txs.len());
        for ((trace, tx), receipt) in traces.iter().zip(&block.txs).zip(&block.receipts) {
            assert_eq!(trace["txHash"], json!(tx.hash));
            let frame = &trace["result"];
            assert_eq!(frame["gasUsed"], quantity(receipt.gas_used), "{frame}");
            assert_eq!(frame["error"].is_null(), receipt.success, "{frame}");
            assert_eq!(frame["from"], json!(alice()));
            assert_eq!(&real.trace(tx.hash, tracer("callTracer")).await, frame);
        }
    }
    let [_, second, _] = [1, 2, 3].map(|n| real.pipeline.snapshot().block(n).unwrap().unwrap());
    let reverted = real.trace(second.txs[0].hash, tracer("callTracer")).await;
    assert_eq!(reverted["error"], "execution reverted");
    assert_eq!(reverted["output"], json!(Bytes::from(U256::from(0xff).to_be_bytes_vec())));
    let spun = real.trace(second.txs[1].hash, tracer("callTracer")).await;
    assert_eq!((&spun["error"], &spun["gasUsed"]), (&json!("out of gas"), &quantity(150_000)));
    let made = real.trace(second.txs[2].hash, tracer("callTracer")).await;
    assert_eq!((&made["to"], &made["calls"][0]["type"]), (&json!(FACTORY), &json!("CREATE")));
    assert_eq!(made["calls"][0]["to"], json!(FACTORY.create(0)));
}

#[tokio::test]
async fn every_tracer_answers_in_its_form() {
    let mut real = Real::new(RpcConfig::default()).await;
    let [first, second, _] = real.grow();
    let (store, pay) = (first.txs[1].hash, first.txs[2].hash);

    let logs = real.trace(store, json!({})).await;
    assert_eq!(
        (&logs["failed"], &logs["gas"]),
        (&json!(false), &json!(first.receipts[1].gas_used))
    );
    let steps = logs["structLogs"].as_array().unwrap();
    assert_eq!(
        steps.iter().map(|step| step["op"].as_str().unwrap()).collect::<Vec<_>>(),
        ["PUSH1", "CALLDATALOAD", "PUSH1", "CALLDATALOAD", "SSTORE", "STOP",]
    );
    let word = |n: u64| format!("0x{n:064x}");
    assert_eq!(steps[4]["storage"], json!({ word(1): word(2) }));
    assert_eq!(steps[4]["stack"].as_array().unwrap().len(), 2);
    let bare = json!({ "disableStack": true, "disableStorage": true, "limit": 3 });
    let bare = real.trace(store, bare).await;
    assert_eq!(bare["structLogs"].as_array().unwrap().len(), 3);
    assert!(bare["structLogs"][2].get("stack").is_none());

    let before = real.trace(store, tracer("prestateTracer")).await;
    assert_eq!(before[json!(STORER).as_str().unwrap()]["storage"], json!({ word(1): word(0) }));
    let diff = json!({ "tracer": "prestateTracer", "tracerConfig": { "diffMode": true } });
    let diff = real.trace(store, diff).await;
    assert_eq!(
        diff["post"][json!(STORER).as_str().unwrap()]["storage"],
        json!({ word(1): word(2) })
    );

    let selectors = real.trace(store, tracer("4byteTracer")).await;
    assert_eq!(selectors, json!({ "0x00000000-60": 1 }));
    assert_eq!(real.trace(store, tracer("noopTracer")).await, json!({}));
    let mux = json!({ "tracer": "muxTracer", "tracerConfig": {
        "callTracer": {}, "4byteTracer": null, "prestateTracer": { "diffMode": true },
    } });
    let mux = real.trace(store, mux).await;
    assert_eq!(mux["callTracer"], real.trace(store, tracer("callTracer")).await);
    assert_eq!((&mux["4byteTracer"], &mux["prestateTracer"]), (&selectors, &diff));

    let flat = real.trace(pay, tracer("flatCallTracer")).await;
    assert_eq!(flat.as_array().unwrap().len(), 2);
    assert_eq!(
        (&flat[1]["action"]["to"], &flat[1]["action"]["value"]),
        (&json!(FRIEND), &json!("0x1"))
    );
    assert_eq!(flat[1]["transactionHash"], json!(pay));
    assert_eq!(flat[1]["blockHash"], json!(first.hash));
    assert_eq!((&flat[1]["blockNumber"], &flat[1]["transactionPosition"]), (&json!(1), &json!(2)));

    let rules = real.trace(store, tracer("erc7562Tracer")).await;
    assert_eq!(rules["accessedSlots"]["writes"], json!({ word(1): 1 }));
    assert!(rules["usedOpcodes"].get("0x55").is_some(), "{rules}");
    let created = real.trace(second.txs[2].hash, tracer("erc7562Tracer")).await;
    assert_eq!(created["calls"][0]["type"], "CREATE");
}

#[tokio::test]
async fn calls_are_traced_on_any_state() {
    let mut real = Real::new(RpcConfig::default()).await;
    let [_, second, _] = real.grow();
    let diff = json!({ "tracer": "prestateTracer", "tracerConfig": { "diffMode": true } });
    let call = json!({ "from": alice(), "to": STORER, "input": words(1, 9) });
    let storer = json!(STORER).as_str().unwrap().to_owned();
    let word = |n: u64| format!("0x{n:064x}");
    let before = async |at: Value, more: Value| {
        let mut options = diff.clone();
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let trace = real.ask("debug_traceCall", json!([call, at, options])).await;
        trace["pre"][&storer]["storage"].clone()
    };
    // 2 after the first block, nothing since the last transaction of the second.
    assert_eq!(before(json!("0x1"), json!({})).await, json!({ word(1): word(2) }));
    assert_eq!(before(json!("latest"), json!({})).await, Value::Null);
    assert_eq!(
        before(json!("0x2"), json!({ "txIndex": "0x4" })).await,
        json!({ word(1): word(2) })
    );
    assert_eq!(before(json!("0x2"), json!({ "txIndex": "0x5" })).await, Value::Null);
    let at_hash = json!({ "blockHash": second.hash });
    assert_eq!(before(at_hash, json!({ "txIndex": "0x0" })).await, json!({ word(1): word(2) }));
    let overridden =
        json!({ "stateOverrides": { &storer: { "stateDiff": { word(1): word(7) } } } });
    assert_eq!(before(json!("latest"), overridden).await, json!({ word(1): word(7) }));
    let late = json!([call, "0x2", { "txIndex": "0x6" }]);
    let answer = real.ask("debug_traceCall", late).await;
    assert_eq!(message(&answer), "txIndex 6 is out of range: the block has 5 transactions");
    // NUMBER, as the block overrides have it.
    let number = json!({ "data": "0x4360005260206000f3" });
    let options = json!({ "tracer": "callTracer", "blockOverrides": { "number": "0x64" } });
    let trace = real.ask("debug_traceCall", json!([number, "latest", options])).await;
    assert_eq!(trace["output"], json!(word(100)));
}

#[tokio::test]
async fn what_cannot_be_traced_says_why() {
    let mut real = Real::new(RpcConfig::default()).await;
    let [first, ..] = real.grow();
    let unknown = json!(keccak256("nothing"));
    for (method, params, code, text) in [
        ("debug_traceTransaction", json!([unknown]), -32000, "transaction not found"),
        ("debug_traceBlockByNumber", json!(["0x0"]), -32000, "genesis is not traceable"),
        ("debug_traceBlockByNumber", json!(["0x9"]), -32000, "block #9 not found"),
        ("debug_traceBlock", json!(["0x1234"]), -32602, "invalid argument 0 (block)"),
        (
            "debug_traceTransaction",
            json!([first.txs[0].hash, tracer("x => y")]),
            -32602,
            "callTracer",
        ),
        (
            "debug_traceTransaction",
            json!([first.txs[0].hash, { "tracer": "callTracer", "tracerConfig": 7 }]),
            -32602,
            "invalid tracer config",
        ),
        (
            "debug_traceTransaction",
            json!([first.txs[0].hash, { "timeout": "soon" }]),
            -32602,
            "\"soon\" is no duration",
        ),
        ("trace_replayTransaction", json!([unknown, ["trace"]]), -32000, "transaction not found"),
        ("trace_call", json!([{ "to": STORER }]), -32602, "trace types"),
        ("debug_executionWitness", json!(["0x0"]), -32000, "genesis"),
    ] {
        let answer = real.ask(method, params.clone()).await;
        assert_eq!(answer["error"]["code"], code, "{method} {params}: {answer}");
        assert!(message(&answer).contains(text), "{method} {params}: {answer}");
    }
    let ledger = Real::of("ledger", None, RpcConfig::default()).await;
    ledger.block(&[]);
    let answer = ledger.ask("debug_traceCall", json!([{ "to": FRIEND }])).await;
    assert_eq!(answer["error"]["code"], -32004);
    assert!(message(&answer).starts_with("Method not supported"), "{answer}");
}

#[tokio::test]
async fn a_trace_that_does_not_end_is_stopped_and_its_worker_given_back() {
    let limit = Duration::from_millis(400);
    let config =
        RpcConfig { workers: 1, call_timeout: limit, call_gas: 1 << 60, ..Default::default() };
    let real = Real::new(config).await;
    real.block(&[]);
    let spin = json!({ "to": SPINNER, "gas": "0x1000000000000" });
    // The identity precompile, called for ever: JUMPDEST, then a STATICCALL with the whole memory.
    let calls = hex!("5b600060006202000060006004" "5afa50600056");
    let busy = json!({ "data": Bytes::from(calls), "gas": "0x1000000000000" });
    for (call, options) in [
        (&spin, tracer("noopTracer")),
        (&spin, tracer("prestateTracer")),
        (&busy, tracer("noopTracer")),
    ] {
        let begun = Instant::now();
        let answer = real.ask("debug_traceCall", json!([call, "latest", options])).await;
        assert!(
            message(&answer).starts_with("trace took longer than 0.4s: ask for less"),
            "{answer}"
        );
        assert!(message(&answer).contains("call_timeout_ms"));
        assert!(begun.elapsed() >= limit * 9 / 10);
        // There is but one worker: whoever asks next would wait for it in vain.
        let small = json!([{ "to": FRIEND }, "latest", tracer("callTracer")]);
        assert_eq!(real.ask("debug_traceCall", small).await["type"], "CALL");
    }
    let short = json!({ "tracer": "callTracer", "timeout": "20ms" });
    let answer = real.ask("debug_traceCall", json!([spin, "latest", short])).await;
    assert!(message(&answer).starts_with("trace took longer than 0.02s"), "{answer}");
    let parity = real.ask("trace_call", json!([spin, ["trace", "stateDiff"], "latest"])).await;
    assert!(message(&parity).starts_with("trace took longer than"), "{parity}");
}

#[tokio::test]
async fn a_trace_that_takes_too_much_memory_is_stopped() {
    let config = RpcConfig { response_bytes: 1 << 20, call_gas: 1 << 60, ..Default::default() };
    let real = Real::new(config).await;
    real.block(&[]);
    let spin = json!({ "to": SPINNER, "gas": "0x1000000000000" });
    // Calls itself nowhere, with a megabyte of input each time.
    let inputs = hex!("5b600060006210000060006000" "61ffff5af150600056");
    let shouting = json!({ "data": Bytes::from(inputs), "gas": "0x1000000000000" });
    for (call, options) in [
        (&spin, json!({})),
        (&spin, json!({ "disableStack": true, "disableStorage": true })),
        (&shouting, tracer("callTracer")),
        (&shouting, tracer("flatCallTracer")),
    ] {
        let answer = real.ask("debug_traceCall", json!([call, "latest", options])).await;
        assert!(message(&answer).starts_with("trace takes more than 8 MiB of memory"), "{answer}");
    }
}

#[tokio::test]
async fn raw_values_hash_to_what_the_chain_says() {
    let mut real = Real::new(RpcConfig::default()).await;
    let bytes = |value: &Value| value.as_str().unwrap().parse::<Bytes>().unwrap();
    for block in real.grow() {
        let at = json!([quantity(block.header.number)]);
        let header = bytes(&real.ask("debug_getRawHeader", at.clone()).await);
        assert_eq!(keccak256(&header), block.hash);
        let whole = bytes(&real.ask("debug_getRawBlock", json!([block.hash])).await);
        let mut fields = alloy_rlp::Header::decode_bytes(&mut &whole[..], true).unwrap();
        assert_eq!(Header::decode(&mut fields).unwrap(), block.header);
        let decoded =
            alloy_consensus::Block::<alloy_consensus::TxEnvelope>::decode(&mut &whole[..]).unwrap();
        let root = alloy_consensus::proofs::calculate_transaction_root(&decoded.body.transactions);
        assert_eq!(root, block.header.transactions_root);
        let receipts = real.ask("debug_getRawReceipts", at.clone()).await;
        let receipts: Vec<Bytes> = receipts.as_array().unwrap().iter().map(bytes).collect();
        let root =
            alloy_consensus::proofs::ordered_trie_root_with_encoder(&receipts, |raw, out| {
                out.extend_from_slice(raw);
            });
        assert_eq!(root, block.header.receipts_root);
        let txs = real.ask("debug_getRawTransactions", at.clone()).await;
        assert_eq!(txs, json!(block.txs.iter().map(|tx| &tx.raw).collect::<Vec<_>>()));
        for tx in &block.txs {
            let raw = real.ask("debug_getRawTransaction", json!([tx.hash])).await;
            assert_eq!(raw, json!(tx.raw));
        }
    }
    assert_eq!(real.ask("debug_getRawReceipts", json!(["0x0"])).await, json!([]));
    assert_eq!(real.ask("debug_getRawTransaction", json!([keccak256("no")])).await, "0x");
    let bare = "1".repeat(64);
    for (method, params) in [
        ("debug_getRawHeader", json!(["2"])),
        ("debug_getRawBlock", json!(["2"])),
        ("debug_getRawReceipts", json!(["2"])),
        ("debug_getRawTransaction", json!([bare])),
    ] {
        assert_eq!(real.ask(method, params).await["error"]["code"], -32602);
    }
    assert_eq!(message(&real.ask("debug_getRawHeader", json!(["0x9"])).await), "header not found");
    assert_eq!(real.ask("debug_getBadBlocks", json!([])).await, json!([]));
    let code = hex!("5b600056");
    let found = real.ask("debug_codeByHash", json!([keccak256(code)])).await;
    assert_eq!(found, json!(Bytes::from(code)));
    assert_eq!(real.ask("debug_codeByHash", json!([keccak256("no")])).await, Value::Null);
    let witness = real.ask("debug_executionWitness", json!(["0x2"])).await;
    let state = witness["state"].as_array().unwrap();
    let root = real.pipeline.snapshot().header(1).unwrap().unwrap().state_root;
    assert!(state.iter().any(|node| keccak256(bytes(node)) == root), "{witness}");
    assert!(witness["keys"].as_array().unwrap().contains(&json!(STORER)));
}

#[tokio::test]
async fn parity_traces_of_transactions_blocks_and_calls() {
    let mut real = Real::new(RpcConfig::default()).await;
    let [first, second, _] = real.grow();
    let pay = first.txs[2].hash;
    let traces = real.ask("trace_transaction", json!([pay])).await;
    assert_eq!(traces.as_array().unwrap().len(), 2);
    assert_eq!((&traces[0]["action"]["to"], &traces[0]["subtraces"]), (&json!(PAYER), &json!(1)));
    assert_eq!(traces[1]["traceAddress"], json!([0]));
    assert_eq!(
        (&traces[1]["blockHash"], &traces[1]["blockNumber"]),
        (&json!(first.hash), &json!(1))
    );
    assert_eq!(real.ask("trace_get", json!([pay, ["0x0"]])).await, traces[1]);
    assert_eq!(real.ask("trace_get", json!([pay, []])).await, traces[0]);
    assert_eq!(real.ask("trace_get", json!([pay, ["0x5"]])).await, Value::Null);
    assert_eq!(real.ask("trace_transaction", json!([keccak256("no")])).await, Value::Null);

    let block = real.ask("trace_block", json!(["0x1"])).await;
    assert_eq!(block.as_array().unwrap().len(), 4);
    assert_eq!(block[3], traces[1]);
    assert_eq!(real.ask("trace_block", json!(["0x0"])).await, json!([]));
    assert_eq!(real.ask("trace_block", json!(["0x9"])).await, Value::Null);

    let kinds = json!(["trace", "stateDiff", "vmTrace"]);
    let replayed = real.ask("trace_replayBlockTransactions", json!(["0x2", kinds])).await;
    for (found, tx) in replayed.as_array().unwrap().iter().zip(&second.txs) {
        assert_eq!(found["transactionHash"], json!(tx.hash));
        let mut alone = real.ask("trace_replayTransaction", json!([tx.hash, kinds])).await;
        alone["transactionHash"] = json!(tx.hash);
        assert_eq!(&alone, found);
    }
    assert_eq!(replayed[0]["trace"][0]["error"], "Reverted");
    let word = |n: u64| format!("0x{n:064x}");
    let storer = json!(STORER).as_str().unwrap().to_owned();
    let cleared = json!({ word(1): { "*": { "from": word(2), "to": word(0) } } });
    assert_eq!(replayed[4]["stateDiff"][&storer]["storage"], cleared);
    assert_eq!(replayed[4]["vmTrace"]["ops"].as_array().unwrap().len(), 6);

    let set = |value: u64| json!({ "from": alice(), "to": STORER, "input": words(1, value) });
    let many = json!([[[set(5), ["stateDiff"]], [set(6), ["stateDiff"]]], "0x2"]);
    let many = real.ask("trace_callMany", many).await;
    let change =
        |from: u64, to: u64| json!({ word(1): { "*": { "from": word(from), "to": word(to) } } });
    assert_eq!(many[0]["stateDiff"][&storer]["storage"], change(0, 5));
    assert_eq!(many[1]["stateDiff"][&storer]["storage"], change(5, 6), "on what the first left");
    let one = real.ask("trace_call", json!([set(8), ["stateDiff", "trace"], "0x1"])).await;
    assert_eq!(one["stateDiff"][&storer]["storage"], change(2, 8));
    assert_eq!(one["trace"].as_array().unwrap().len(), 1);

    let next = real.call(STORER, words(3, 4));
    let raw = real.ask("trace_rawTransaction", json!([next.raw, ["stateDiff", "trace"]])).await;
    assert_eq!(raw["trace"][0]["action"]["to"], json!(STORER));
    assert!(raw["stateDiff"][json!(alice()).as_str().unwrap()]["nonce"]["*"].is_object(), "{raw}");
    let old = real.ask("trace_rawTransaction", json!([second.txs[0].raw, ["trace"]])).await;
    assert!(message(&old).starts_with("nonce too low"), "{old}");
}

#[tokio::test]
async fn trace_filter_is_bounded_and_says_how_to_ask_again() {
    let config = RpcConfig { trace_blocks: 3, trace_results: 4, ..RpcConfig::default() };
    let mut real = Real::new(config).await;
    real.grow();
    let ask = async |filter: Value| real.ask("trace_filter", json!([filter])).await;
    let range = |from: &str, to: &str| json!({ "fromBlock": from, "toBlock": to });
    assert_eq!(message(&ask(range("0x0", "0x3")).await), "query exceeds max block range 3");
    assert_eq!(
        message(&ask(range("0x1", "0x2")).await),
        "query exceeds max results 4, retry with the range 1-1"
    );
    assert_eq!(ask(range("0x1", "0x1")).await, real.ask("trace_block", json!(["0x1"])).await);
    assert_eq!(message(&ask(range("0x2", "0x1")).await), "invalid block range params");
    let friend = json!({ "fromBlock": "0x1", "toBlock": "latest", "toAddress": [FRIEND] });
    let found = ask(friend.clone()).await;
    assert_eq!(found.as_array().unwrap().len(), 2);
    let mut page = friend;
    page["after"] = json!(1);
    page["count"] = json!(1);
    assert_eq!(ask(page).await, json!([found[1]]));
    let made = json!({ "fromBlock": "0x2", "toBlock": "0x2", "fromAddress": [FACTORY] });
    assert_eq!(ask(made).await[0]["type"], "create");
}

/// The whole of a block's trace stands in the answer, reverting calls too.
#[tokio::test]
async fn a_reverted_call_is_in_the_flat_trace() {
    let mut real = Real::new(RpcConfig::default()).await;
    let [_, second, _] = real.grow();
    let flat = real.trace(second.txs[0].hash, tracer("flatCallTracer")).await;
    assert_eq!(
        (&flat[0]["action"]["to"], &flat[0]["error"]),
        (&json!(REVERTER), &json!("Reverted"))
    );
}
