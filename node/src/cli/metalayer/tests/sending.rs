//! Transactions are signed as asked, and the id is that of the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent};
use causeway_chainspec::Tx;
use causeway_chainspec::directory::{Change, ForcedMessage};
use causeway_chainspec::mailbox::{DispatchId, MAILBOX, quoteTransferCall};
use clap::Parser;
use serde_json::{Value, json};

use super::super::Metalayer;
use super::super::dispatch::{Dispatch, dispatched_id, quote};
use super::super::record::agreed;
use super::server::{Answer, FakeNode, chains, directory};
use crate::devkeys;
use crate::exit::Exit;

const REVERTED: (i32, &str) = (3, "execution reverted");

fn id() -> B256 {
    B256::repeat_byte(0xab)
}

fn receipt(status: &str) -> Value {
    let topics = [DispatchId::SIGNATURE_HASH, id()];
    let foreign = json!({ "address": Address::ZERO, "topics": [topics[0], B256::ZERO] });
    let log = json!({ "address": MAILBOX, "topics": topics });
    json!({ "status": status, "blockNumber": "0x5", "logs": [foreign, log] })
}

/// A chain whose Mailbox asks for 1000 wei; keeps what it is sent.
async fn node(
    domain: u64,
    sent: Arc<Mutex<Vec<Bytes>>>,
    answers: fn(&str) -> Option<Answer>,
) -> FakeNode {
    let asked = AtomicU64::new(0);
    FakeNode::new(move |method, params| {
        if let Some(answer) = answers(method) {
            return answer;
        }
        Ok(match method {
            "eth_call" => json!(B256::from(U256::from(1000))),
            "eth_chainId" => json!("0x385"),
            "eth_estimateGas" => json!("0x186a0"),
            "eth_getBlockByNumber" => json!({ "baseFeePerGas": "0x10" }),
            "eth_getTransactionCount" => json!("0x7"),
            "eth_getTransactionReceipt" => receipt("0x1"),
            "eth_maxPriorityFeePerGas" => json!("0x2"),
            "eth_sendRawTransaction" | "rollup_sendForced" => {
                let raw: Bytes = serde_json::from_value(params[0].clone()).unwrap();
                sent.lock().unwrap().push(raw.clone());
                json!(keccak256(raw))
            }
            // Whoever asks a third time finds that a record was taken in.
            "metalayer_getDirectory" => {
                directory(domain, 3 + asked.fetch_add(1, Ordering::Relaxed) / 2)
            }
            _ => return Err((-32601, "no such method", Value::Null)),
        })
    })
    .await
}

#[tokio::test]
async fn a_dispatch_is_signed_and_its_id_found() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let node = node(901, sent.clone(), |_| None).await;
    let (chain, signer) = (node.chain("alpha"), devkeys::accounts().remove(0));
    let fee = quote(&chain, signer.address(), quoteTransferCall { destination: 902 }).await;
    let fee = fee.unwrap_or_else(|error| panic!("{:?}", error.report));
    assert_eq!(fee, U256::from(1000));
    let call = Bytes::from(quoteTransferCall { destination: 902 }.abi_encode());
    let dispatch = Dispatch { call: call.clone(), amount: U256::from(5), fee };
    let found = dispatch.send(&chain, &signer).await;
    assert_eq!(found.unwrap_or_else(|error| panic!("{:?}", error.report)), id());
    let raw = sent.lock().unwrap().remove(0);
    let tx = Tx::decode(raw).unwrap();
    assert_eq!((tx.sender, tx.envelope.to()), (signer.address(), Some(MAILBOX)));
    use alloy_consensus::Transaction;
    // The fee may rise before the block comes: a quarter more goes along.
    assert_eq!(tx.envelope.value(), U256::from(1255));
    assert_eq!((tx.envelope.nonce(), tx.envelope.chain_id()), (7, Some(901)));
    assert_eq!((tx.envelope.gas_limit(), tx.envelope.input()), (120_000, &call));
    assert_eq!(tx.envelope.max_fee_per_gas(), 34);
    assert_eq!(dispatched_id(&json!({ "logs": [] })), None);
}

#[tokio::test]
async fn refusals_end_with_words() {
    let refused = |method: &str| -> Option<Answer> {
        let closed = format!("{:#x}", U256::from(902));
        let selector = &keccak256("OwnDomain(uint32)")[..4];
        let data = [selector, &U256::from(902).to_be_bytes::<32>()].concat();
        let _ = closed;
        let data = json!(Bytes::from(data));
        (method == "eth_estimateGas").then_some(Err((REVERTED.0, REVERTED.1, data)))
    };
    let node = node(901, Arc::default(), refused).await;
    let dispatch = Dispatch { call: Bytes::new(), amount: U256::ZERO, fee: U256::ZERO };
    let error = dispatch.send(&node.chain("alpha"), &devkeys::accounts()[0]).await.unwrap_err();
    let text = error.report.to_string();
    assert_eq!(text, "alpha refuses: a chain sends to other chains, not to itself");
    assert_eq!(error.exit, Exit::Failure);
}

#[tokio::test]
async fn a_transaction_that_reverts_is_a_failure() {
    let reverts = |method: &str| -> Option<Answer> {
        (method == "eth_getTransactionReceipt").then(|| Ok(receipt("0x0")))
    };
    let node = node(901, Arc::default(), reverts).await;
    let dispatch = Dispatch { call: Bytes::new(), amount: U256::ZERO, fee: U256::ZERO };
    let error = dispatch.send(&node.chain("alpha"), &devkeys::accounts()[0]).await.unwrap_err();
    assert!(error.report.to_string().contains("reverted on alpha: it would succeed now"));
}

#[test]
fn members_must_agree_on_the_directory() {
    let names = ["alpha", "beta"];
    let same = [directory(901, 3), directory(902, 3)];
    assert_eq!(agreed(&names, &same, false).unwrap()["sequence"], 3);
    let behind = [directory(901, 3), directory(902, 4)];
    let error = agreed(&names, &behind, false).unwrap_err().to_string();
    assert!(error.contains("alpha holds record 3, others hold 4"), "{error}");
    assert_eq!(agreed(&names, &behind, true).unwrap()["sequence"], 4);
    let mut other = same;
    other[1]["networkHash"] = "0x22".into();
    assert!(agreed(&names, &other, true).is_err());
    assert!(agreed(&[], &[], false).is_err());
}

/// `causeway metalayer` with arguments, on chains of a test.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    metalayer: Metalayer,
}

/// Runs `record ...` or `demand ...`.
async fn run(nodes: &[(&str, &FakeNode)], line: &str) -> Result<Exit, String> {
    let line = Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace())).unwrap();
    let run = line.metalayer.on(&chains(nodes)).await;
    run.map_err(|error| error.report.to_string())
}

#[tokio::test]
async fn records_are_signed_by_governance_and_reach_every_member() {
    let sent: [Arc<Mutex<Vec<Bytes>>>; 2] = Default::default();
    let alpha = node(901, sent[0].clone(), |_| None).await;
    let beta = node(902, sent[1].clone(), |_| None).await;
    let nodes = [("alpha", &alpha), ("beta", &beta)];
    let key = |at: usize| format!("--key {}", devkeys::accounts()[at].to_bytes());
    let error = run(&nodes, &format!("record pause beta {}", key(1))).await.unwrap_err();
    assert!(error.contains("members would ignore the record"), "{error}");
    // Ends when all members hold it.
    run(&nodes, &format!("record pause beta --at 77 {}", key(0))).await.unwrap();
    let (one, two) = (sent[0].lock().unwrap().clone(), sent[1].lock().unwrap().clone());
    assert_eq!(one, two);
    let Some(ForcedMessage::Record(signed)) = ForcedMessage::decode(&one[0]) else {
        panic!("no record: {one:?}");
    };
    assert_eq!(signed.signer(), Some(devkeys::accounts()[0].address()));
    assert_eq!((signed.record.sequence, signed.record.active_ms), (4, 77));
    assert_eq!(signed.record.network, B256::repeat_byte(0x11));
    assert_eq!(signed.record.change, Change::Pause(902));
    // The same record again: the same bytes.
    run(&nodes, &format!("record pause beta --at 77 --sequence 4 --no-wait {}", key(0)))
        .await
        .unwrap();
    assert_eq!(sent[0].lock().unwrap()[1], one[0]);
    run(&nodes, "demand --on alpha --of beta --height 9").await.unwrap();
    let demand = ForcedMessage::decode(&sent[0].lock().unwrap()[2]);
    assert_eq!(demand, Some(ForcedMessage::Demand { domain: 902, height: 9 }));
    assert_eq!(sent[1].lock().unwrap().len(), 2);
}
