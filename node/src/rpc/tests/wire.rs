//! A served fake node, and the plainest HTTP client there is.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::{Receipt, Tx, TxEnvelope};
use op_alloy_consensus::TxDeposit;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::fake::{BASE_FEE, CHAIN_ID, FakeChain, FakeNode, FakeState};
use crate::rpc::{RpcConfig, RpcServer, serve};

/// An account with code, storage and logs.
pub(super) const CONTRACT: Address = Address::repeat_byte(0xc0);
/// Receives value.
pub(super) const FRIEND: Address = Address::repeat_byte(0xf1);
/// First topic of the contract's logs.
pub(super) const TOPIC: B256 = B256::repeat_byte(0x70);

pub(super) fn signer() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x11)).unwrap()
}

/// The account of [`signer`].
pub(super) fn alice() -> Address {
    signer().address()
}

fn sign<T>(tx: T) -> Tx
where
    T: SignableTransaction<alloy_primitives::Signature>,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = signer().sign_hash_sync(&tx.signature_hash()).unwrap();
    let envelope = TxEnvelope::from(tx.into_signed(signature));
    Tx::decode(envelope.encoded_2718().into()).unwrap()
}

/// A transfer of type 2.
pub(super) fn transfer(nonce: u64, tip: u128) -> Tx {
    sign(TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 10_000,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(FRIEND),
        value: U256::from(5),
        access_list: AccessList::default(),
        input: Bytes::new(),
    })
}

/// A creation of type 0; unprotected without a chain id.
pub(super) fn legacy(nonce: u64, chain_id: Option<u64>) -> Tx {
    sign(TxLegacy {
        chain_id,
        nonce,
        gas_price: 3000,
        gas_limit: 60_000,
        to: TxKind::Create,
        value: U256::ZERO,
        input: Bytes::from_static(&[0x60, 0x00]),
    })
}

/// A transaction of type 1 with an access list.
pub(super) fn access_list(nonce: u64) -> Tx {
    sign(TxEip2930 {
        chain_id: CHAIN_ID,
        nonce,
        gas_price: 2000,
        gas_limit: 50_000,
        to: TxKind::Call(CONTRACT),
        value: U256::ZERO,
        access_list: AccessList(vec![AccessListItem {
            address: CONTRACT,
            storage_keys: vec![B256::with_last_byte(1)],
        }]),
        input: Bytes::from_static(&[0x0e]),
    })
}

/// A transaction of type 4 with one authorization.
pub(super) fn set_code(nonce: u64) -> Tx {
    let authorization =
        Authorization { chain_id: U256::from(CHAIN_ID), address: CONTRACT, nonce: nonce + 1 };
    let signature = signer().sign_hash_sync(&authorization.signature_hash()).unwrap();
    sign(TxEip7702 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 80_000,
        max_fee_per_gas: 4000,
        max_priority_fee_per_gas: 7,
        to: alice(),
        value: U256::ZERO,
        access_list: AccessList::default(),
        authorization_list: vec![authorization.into_signed(signature)],
        input: Bytes::new(),
    })
}

/// A message of the protocol.
pub(super) fn deposit() -> Tx {
    Tx::deposit(TxDeposit {
        source_hash: B256::repeat_byte(0x5e),
        from: Address::repeat_byte(0xde),
        to: TxKind::Call(FRIEND),
        mint: 12,
        value: U256::from(12),
        gas_limit: 100_000,
        is_system_transaction: false,
        input: Bytes::from_static(&[0xab]),
    })
}

pub(super) fn receipt(gas_used: u64, cumulative_gas_used: u64, logs: Vec<Log>) -> Receipt {
    Receipt {
        success: true,
        gas_used,
        cumulative_gas_used,
        logs,
        deposit_nonce: 0,
        contract_address: None,
    }
}

/// A log of the contract.
pub(super) fn log(data: u8) -> Log {
    let topics = vec![TOPIC, B256::with_last_byte(data)];
    Log::new_unchecked(CONTRACT, topics, Bytes::copy_from_slice(&[data]))
}

fn state(alice_nonce: u64) -> FakeState {
    let mut state = FakeState::default()
        .fund(alice(), 1_000_000_000, alice_nonce)
        .fund(FRIEND, 77, 0)
        .contract(CONTRACT, Bytes::from_static(&[0x60, 0x01]));
    state.slots.insert((CONTRACT, U256::from(1)), U256::from(0x1234));
    state
}

/// Genesis; a block with each type of transaction; a block with two transfers and a log; an empty
/// block. Safe is 2, finalized 1, and the state of genesis is pruned.
pub(super) fn chain() -> FakeChain {
    let mut chain = FakeChain::default();
    chain.push(Vec::new(), state(0));
    let created = Receipt {
        contract_address: Some(Address::repeat_byte(0xcc)),
        ..receipt(53_000, 153_000, Vec::new())
    };
    let minted = Receipt { deposit_nonce: 9, ..receipt(100_000, 100_000, Vec::new()) };
    let failed = Receipt { success: false, ..receipt(40_000, 225_000, Vec::new()) };
    chain.push(
        vec![
            (deposit(), minted),
            (legacy(0, Some(CHAIN_ID)), created),
            (access_list(1), receipt(32_000, 185_000, vec![log(1), log(2)])),
            (set_code(2), failed),
        ],
        state(4),
    );
    chain.push(
        vec![
            (transfer(4, 9), receipt(21_000, 21_000, vec![log(3)])),
            (transfer(5, 20_000), receipt(63_000, 84_000, Vec::new())),
        ],
        state(6),
    );
    chain.push(Vec::new(), state(6));
    (chain.safe, chain.finalized, chain.oldest_state) = (2, 1, 1);
    chain
}

/// A fake node behind a real socket.
pub(super) struct World {
    pub(super) node: Arc<FakeNode>,
    pub(super) addr: SocketAddr,
    pub(super) server: RpcServer,
    pub(super) stop: CancellationToken,
}

impl World {
    pub(super) async fn new(config: RpcConfig) -> Self {
        Self::of(FakeNode::new(chain()), config).await
    }

    /// Serves a node.
    pub(super) async fn of(node: Arc<FakeNode>, config: RpcConfig) -> Self {
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = serve(listener, node.clone(), config, stop.clone()).await.unwrap();
        Self { node, addr: server.local_addr, server, stop }
    }

    /// Result or error of one call.
    pub(super) async fn call(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let answer = self.post(&request.to_string()).await;
        assert_eq!(answer["jsonrpc"], "2.0", "{method}: {answer}");
        assert_eq!(answer["id"], 7, "{method}: {answer}");
        match answer.get("error") {
            Some(error) => json!({ "error": error }),
            None => answer["result"].clone(),
        }
    }

    /// The JSON answer to a body.
    pub(super) async fn post(&self, body: &str) -> Value {
        let (status, _, answer) = self.http("POST", "/", &[], body).await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// Status, head and body of one HTTP exchange.
    pub(super) async fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String, String) {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n",
            body.len()
        );
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head.push_str(&format!("Host: {}\r\n", self.addr));
        }
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (status, head.to_lowercase(), body.to_owned())
    }
}

/// A quantity as it stands on the wire.
pub(super) fn quantity(value: u64) -> Value {
    json!(format!("{value:#x}"))
}

/// Base fee as a quantity.
pub(super) fn base_fee() -> Value {
    quantity(BASE_FEE)
}
