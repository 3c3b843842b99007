//! The generator against a small chain in this process, which refuses, rejects and loses as told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use alloy_primitives::{Bytes, keccak256};
use jsonrpsee::RpcModule;
use jsonrpsee::server::{ServerBuilder, ServerHandle};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};

use super::*;
use crate::sign::{Call, fresh, in_turn, senders};

/// How often a transaction was sent, and the blocks.
#[derive(Default)]
struct Chain {
    seen: HashMap<B256, usize>,
    waiting: Vec<B256>,
    blocks: Vec<Vec<B256>>,
    /// The last byte of hashes that are refused at first, rejected, and taken but never included.
    refuse: Option<u8>,
    reject: Option<u8>,
    lose: Option<u8>,
}

impl Chain {
    fn take(&mut self, raw: &Bytes) -> Result<B256, ErrorObjectOwned> {
        let hash = keccak256(raw);
        let seen = self.seen.entry(hash).or_default();
        *seen += 1;
        let first = *seen == 1;
        let is = |byte: Option<u8>| byte.is_some_and(|byte| hash[31] % 8 == byte);
        let error = |text| Err(ErrorObjectOwned::owned(-32000, text, None::<()>));
        match () {
            () if is(self.reject) => error("nonce too low"),
            () if is(self.refuse) && first => error("txpool is full"),
            () => {
                if !is(self.lose) {
                    self.waiting.push(hash);
                }
                Ok(hash)
            }
        }
    }
}

async fn serve(chain: Chain) -> (SocketAddr, ServerHandle, Arc<Mutex<Chain>>) {
    let chain = Arc::new(Mutex::new(chain));
    let mut module = RpcModule::from_arc(chain.clone());
    module
        .register_method("eth_sendRawTransaction", |params, chain, _| {
            chain.lock().unwrap().take(&params.one()?)
        })
        .unwrap();
    module
        .register_method("eth_blockNumber", |_, chain, _| {
            format!("{:#x}", chain.lock().unwrap().blocks.len())
        })
        .unwrap();
    module
        .register_method("eth_getBlockByNumber", |params, chain, _| {
            let (number, _): (String, bool) = params.parse().unwrap();
            let number = usize::from_str_radix(&number[2..], 16).unwrap();
            json!({ "number": number, "transactions": chain.lock().unwrap().blocks[number - 1] })
        })
        .unwrap();
    module
        .register_subscription(
            "eth_subscribe",
            "eth_subscription",
            "eth_unsubscribe",
            |_, pending, chain, _| async move {
                let Ok(sink) = pending.accept().await else { return };
                loop {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    let number = {
                        let mut chain = chain.lock().unwrap();
                        let block = std::mem::take(&mut chain.waiting);
                        chain.blocks.push(block);
                        chain.blocks.len()
                    };
                    let head: Value = json!({ "number": format!("{number:#x}") });
                    let text = serde_json::value::to_raw_value(&head).unwrap();
                    if sink.send(text).await.is_err() {
                        return;
                    }
                }
            },
        )
        .unwrap();
    let server = ServerBuilder::default().build("127.0.0.1:0").await.unwrap();
    (server.local_addr().unwrap(), server.start(module), chain)
}

/// Sends some transfers to a chain; what the generator saw, and the chain.
fn sent(chain: Chain, plan: Plan) -> (eyre::Result<Outcome>, Arc<Mutex<Chain>>, Vec<Signed>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, _handle, chain) = runtime.block_on(serve(chain));
    let txs =
        in_turn(&mut senders().unwrap()[..10], 100, |index| Call::transfer(fresh(index as u64), 1));
    (run(server, &txs, plan), chain, txs)
}

fn plan(transport: Transport) -> Plan {
    Plan { patience: Duration::from_millis(300), ..Plan::closed(transport, 3) }
}

const WAYS: [Transport; 3] =
    [Transport::Http { batch: 1 }, Transport::Http { batch: 7 }, Transport::Ws { window: 4 }];

#[test]
fn what_is_refused_is_counted_and_sent_again_whatever_the_way() {
    for way in WAYS {
        let refusing = Chain { refuse: Some(3), ..Chain::default() };
        let (outcome, chain, txs) = sent(refusing, plan(way));
        let outcome = outcome.unwrap();
        let chain = chain.lock().unwrap();
        let refused = txs.iter().filter(|tx| tx.hash[31] % 8 == 3).count();
        assert!(refused > 0);
        assert_eq!((outcome.refused, outcome.included), (refused as u64, 100), "{way:?}");
        assert_eq!((outcome.answered.len(), outcome.sealed.len()), (100, 100), "{way:?}");
        let again = |tx: &&Signed| chain.seen[&tx.hash] == 2;
        assert_eq!(txs.iter().filter(again).count(), refused, "{way:?}");
        let (first, last) = outcome.blocks;
        let blocks = &chain.blocks[first as usize - 1..last as usize];
        assert_eq!(blocks.iter().map(Vec::len).sum::<usize>(), 100, "{way:?}");
        assert!(outcome.included_in >= outcome.answered_in && outcome.per_second() > 0.0);
    }
}

#[test]
fn a_rejected_and_a_lost_transaction_fail_the_run() {
    for way in WAYS {
        let rejecting = Chain { reject: Some(3), ..Chain::default() };
        let error = format!("{:#}", sent(rejecting, plan(way)).0.unwrap_err());
        assert!(error.contains("nonce too low"), "{way:?}: {error}");
        let losing = Chain { lose: Some(3), ..Chain::default() };
        let error = format!("{:#}", sent(losing, plan(way)).0.unwrap_err());
        assert!(error.contains("no block"), "{way:?}: {error}");
    }
}

#[test]
fn an_open_loop_keeps_its_rate_and_a_server_without_blocks_is_not_watched() {
    let open = Plan { pace: Pace::Open(1_000.0), seals: false, ..plan(WAYS[0]) };
    let outcome = sent(Chain::default(), open).0.unwrap();
    // The last of a hundred is due after 99 ms.
    assert!(outcome.answered_in >= Duration::from_millis(95), "{:?}", outcome.answered_in);
    assert_eq!((outcome.answered.len(), outcome.sealed.len()), (100, 0));
}
