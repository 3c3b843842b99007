//! Blocks that were really executed, in memory, with contracts worth tracing.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, hex};
use alloy_signer::SignerSync;
use causeway_chainspec::spec::GenesisAccount;
use causeway_chainspec::{Block, BlockBody, BlockPlan, ChainSpec, Tx, TxEnvelope};
use causeway_execution::disk::Faulty;
use causeway_execution::{Pipeline, PipelineConfig};
use serde_json::{Value, json};

use super::fake::{CHAIN_ID, FakeNode, spec};
use super::wire::{FRIEND, World, alice, signer};
use crate::rpc::RpcConfig;

/// Stores the second word of its input at the first.
pub(super) const STORER: Address = address!("0x0000000000000000000000000000000000005101");
/// Never ends.
pub(super) const SPINNER: Address = address!("0x0000000000000000000000000000000000005102");
/// Sends one wei to [`FRIEND`].
pub(super) const PAYER: Address = address!("0x0000000000000000000000000000000000005103");
/// Reverts with a word.
pub(super) const REVERTER: Address = address!("0x0000000000000000000000000000000000005104");
/// Makes a contract of one byte.
pub(super) const FACTORY: Address = address!("0x0000000000000000000000000000000000005105");

/// A served node over a pipeline.
pub(super) struct Real {
    pub(super) world: World,
    pub(super) pipeline: Arc<Pipeline>,
    nonce: u64,
}

fn rich(code: impl Into<Bytes>) -> GenesisAccount {
    let balance = U256::from(10).pow(U256::from(18));
    GenesisAccount { balance, code: code.into(), ..Default::default() }
}

fn real_spec(vm: &str) -> ChainSpec {
    let payer = [&hex!("6000600060006000600173")[..], FRIEND.as_slice(), &hex!("5af100")].concat();
    let mut spec = ChainSpec { vm: vm.into(), ..spec() };
    spec.fees.min_base_fee = 1_000_000;
    spec.fees.floor = 1_000_000;
    spec.fees.denominator = 100_000_000;
    spec.genesis.alloc.insert(alice(), rich(Bytes::new()));
    if vm == "evm" {
        for (address, code) in [
            (STORER, hex!("6020356000355500").to_vec()),
            (SPINNER, hex!("5b600056").to_vec()),
            (PAYER, payer),
            (REVERTER, hex!("60ff60005260206000fd").to_vec()),
            (FACTORY, hex!("6460016000f36000526005601b6000f000").to_vec()),
        ] {
            spec.genesis.alloc.insert(address, rich(code));
        }
    }
    spec
}

pub(super) fn words(first: u64, second: u64) -> Bytes {
    [U256::from(first), U256::from(second)].iter().flat_map(U256::to_be_bytes::<32>).collect()
}

impl Real {
    pub(super) async fn new(config: RpcConfig) -> Self {
        Self::of("evm", None, config).await
    }

    pub(super) async fn of(vm: &str, address_index: Option<bool>, config: RpcConfig) -> Self {
        let spec = real_spec(vm);
        let (pipeline, _) = Pipeline::open(PipelineConfig {
            datadir: Faulty::new(0).folder("node"),
            spec: Arc::new(spec.clone()),
            modules: vec![],
            archive: false,
            address_index,
            history_blocks: 128,
            cache_bytes: 8 << 20,
        })
        .unwrap();
        let pipeline = Arc::new(pipeline);
        let node = FakeNode::over(pipeline.clone(), spec);
        Self { world: World::of(node, config).await, pipeline, nonce: 0 }
    }

    /// A signed transaction with Alice's next nonce.
    pub(super) fn tx(&mut self, to: TxKind, value: u64, gas_limit: u64, input: Bytes) -> Arc<Tx> {
        let tx = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: self.nonce,
            gas_limit,
            max_fee_per_gas: 1_000_000_000,
            max_priority_fee_per_gas: 1,
            to,
            value: U256::from(value),
            input,
            ..Default::default()
        };
        self.nonce += 1;
        let signature = signer().sign_hash_sync(&tx.signature_hash()).unwrap();
        let raw = TxEnvelope::Eip1559(tx.into_signed(signature)).encoded_2718();
        Arc::new(Tx::decode(raw.into()).unwrap())
    }

    /// A call of a contract.
    pub(super) fn call(&mut self, to: Address, input: Bytes) -> Arc<Tx> {
        self.tx(to.into(), 0, 150_000, input)
    }

    /// Adds a block of transactions.
    pub(super) fn block(&self, txs: &[Arc<Tx>]) -> Arc<Block> {
        let snapshot = self.pipeline.snapshot();
        let parent = snapshot.block(snapshot.latest().number).unwrap().unwrap();
        let candidates = txs.iter().map(|tx| tx.raw.clone()).collect();
        let body = BlockBody { inbound: vec![], candidates };
        let mut claim = parent.plan.claim.clone();
        (claim.number, claim.parent) = (claim.number + 1, parent.claim_hash);
        claim.time_ms += 1000;
        claim.candidates_root = body.candidates_root();
        let plan = BlockPlan::new(claim, body, vec![], &|_| None);
        let block = self.pipeline.execute(plan).unwrap();
        self.pipeline.commit(block.claim_hash, None, None).unwrap();
        assert_eq!(block.txs.len(), txs.len(), "{:?}", block.skipped);
        block
    }

    /// Three blocks: transfer, storage, payment; revert, out of gas, two creations; nothing.
    pub(super) fn grow(&mut self) -> [Arc<Block>; 3] {
        let creation = hex!("60016000f3");
        let first = [
            self.tx(FRIEND.into(), 7, 21_000, Bytes::new()),
            self.call(STORER, words(1, 2)),
            self.call(PAYER, Bytes::new()),
        ];
        let first = self.block(&first);
        let second = [
            self.call(REVERTER, Bytes::new()),
            self.call(SPINNER, Bytes::new()),
            self.call(FACTORY, Bytes::new()),
            self.tx(TxKind::Create, 0, 90_000, creation.into()),
            self.call(STORER, words(1, 0)),
        ];
        let second = self.block(&second);
        [first, second, self.block(&[])]
    }

    pub(super) async fn ask(&self, method: &str, params: Value) -> Value {
        self.world.call(method, params).await
    }

    /// A trace of a transaction.
    pub(super) async fn trace(&self, hash: B256, options: Value) -> Value {
        self.ask("debug_traceTransaction", json!([hash, options])).await
    }
}
