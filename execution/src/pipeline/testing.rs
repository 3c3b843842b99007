//! A chain for tests: a spec, funded keys, and VMs that misbehave on purpose.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::spec::{
    DaSpec, Fees, Gas, GenesisAccount, GenesisSpec, KeyChange, Kind, MetalayerSpec, Public,
    SequencerSpec, Token,
};
use causeway_chainspec::{
    BlockEnv, ChainSpec, Fork, SkipReason, StateDiff, StateReader, Tx, TxEnvelope,
};

use crate::{BlockOutput, Call, CallOutput, Stop, TxFacts, Vm, VmError};

/// Chain id of the test chain.
pub(crate) const CHAIN_ID: u64 = 4242;

/// The `n`th funded key.
pub(crate) fn key(n: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[n + 1; 32]).unwrap()
}

/// A chain with five funded keys.
pub(crate) fn spec(vm: &str) -> Arc<ChainSpec> {
    let rich = GenesisAccount { balance: U256::from(10).pow(U256::from(20)), ..Default::default() };
    let alloc: BTreeMap<_, _> = (0..5).map(|n| (key(n).address(), rich.clone())).collect();
    let keys = vec![KeyChange { from_ms: 0, keys: vec![key(0).address()] }];
    Arc::new(ChainSpec {
        name: "Test".into(),
        short_name: "test".into(),
        chain_id: CHAIN_ID,
        kind: Kind::Devnet,
        vm: vm.into(),
        gas: Gas {
            limit: 30_000_000,
            rate: 15_000,
            burst: 60_000_000,
            target: 7_500,
            rate_bytes: 500,
            burst_bytes: 2_000_000,
            limit_bytes: 1_000_000,
            limit_candidates: 10_000,
        },
        fees: Fees {
            min_base_fee: 1_000_000,
            floor: 1_000_000,
            denominator: 100_000_000,
            recipient: Address::repeat_byte(0xfe),
        },
        token: Token { name: "Ether".into(), symbol: "ETH".into(), decimals: 18 },
        forks: vec![(Fork::Prague, 0)],
        da: DaSpec {
            layer: "local".into(),
            interval_ms: 1_000,
            start: 0,
            options: Default::default(),
        },
        sequencer: SequencerSpec {
            mode: "single".into(),
            keys: keys.clone(),
            posters: keys,
            window_ms: 600_000,
            drift_ms: 10_000,
            forced_delay_ms: 60_000,
            lane_rate: 1_000,
            block_time_ms: 250,
            idle_ms: 1_000,
            options: Default::default(),
        },
        genesis: GenesisSpec { time_ms: 1_700_000_000_000, alloc, preinstalls: vec![] },
        metalayer: MetalayerSpec::none(CHAIN_ID as u32),
        public: Public::default(),
        memo: Default::default(),
    })
}

/// A signed transfer.
pub(crate) fn transfer(from: u8, nonce: u64, to: Address, value: u64) -> Arc<Tx> {
    transfer_with(from, nonce, to, value, 21_000)
}

/// A signed transfer that asks for more gas than it needs.
pub(crate) fn transfer_with(
    from: u8,
    nonce: u64,
    to: Address,
    value: u64,
    gas_limit: u64,
) -> Arc<Tx> {
    signed(from, nonce, to.into(), value, gas_limit, Bytes::new())
}

/// A signed transaction.
pub(crate) fn signed(
    from: u8,
    nonce: u64,
    to: TxKind,
    value: u64,
    gas_limit: u64,
    input: Bytes,
) -> Arc<Tx> {
    let tx = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit,
        max_fee_per_gas: 1_000_000_000_000,
        max_priority_fee_per_gas: 1,
        to,
        value: U256::from(value),
        input,
        ..Default::default()
    };
    let signature = key(from).sign_hash_sync(&tx.signature_hash()).unwrap();
    let envelope = TxEnvelope::Eip1559(tx.into_signed(signature));
    Arc::new(Tx::decode(Bytes::from(envelope.encoded_2718())).unwrap())
}

/// Executes nothing.
pub(crate) struct Refuser;

impl Vm for Refuser {
    fn check(&self, _: &Tx, _: &BlockEnv) -> Result<TxFacts, SkipReason> {
        Err(SkipReason::Unsupported("anything".into()))
    }
    fn execute(
        &self,
        _: &dyn StateReader,
        _: &BlockEnv,
        txs: &[Arc<Tx>],
        _: &Stop,
    ) -> Result<BlockOutput, VmError> {
        let skipped =
            (0..txs.len()).map(|at| (at, SkipReason::Unsupported("anything".into()))).collect();
        Ok(BlockOutput { skipped, attempted: txs.len(), ..Default::default() })
    }
    fn call(&self, _: &dyn StateReader, _: &BlockEnv, _: &Call) -> Result<CallOutput, VmError> {
        Err(SkipReason::Unsupported("calls".into()).into())
    }
    fn preinstall(
        &self,
        _: &dyn StateReader,
        _: &BlockEnv,
        _: Address,
        _: &Bytes,
    ) -> Result<StateDiff, VmError> {
        Err(SkipReason::Unsupported("contracts".into()).into())
    }
}
