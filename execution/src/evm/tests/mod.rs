//! A chain state in memory, hand-made transactions and hand-made bytecode for the EVM's tests.
#![allow(clippy::unwrap_used)]

mod calls;
mod contracts;
mod deposits;
mod foreign;
mod skips;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{Signed, TxEip1559, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use causeway_chainspec::{
    Account, BlockEnv, Fork, StateDiff, StateError, StateReader, Tx, TxEnvelope,
};
use op_alloy_consensus::TxDeposit;

use super::{Evm, Vm};
use crate::{BlockOutput, Stop};

pub(super) const CHAIN: u64 = 4242;
pub(super) const BASE_FEE: u64 = 7;
pub(super) const ETHER: u128 = 1_000_000_000_000_000_000;

/// A state that applies differences as a store does.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Memory {
    pub(super) accounts: BTreeMap<Address, Account>,
    pub(super) slots: BTreeMap<Address, BTreeMap<U256, U256>>,
    pub(super) codes: BTreeMap<B256, Bytes>,
    pub(super) broken: bool,
}

impl Memory {
    /// The three users, each with 100 ether.
    pub(super) fn users() -> Self {
        let mut state = Self::default();
        for user in 1..=3 {
            state.fund(addr(user), 100 * ETHER);
        }
        state
    }

    pub(super) fn fund(&mut self, address: Address, wei: u128) {
        self.accounts.entry(address).or_default().balance = U256::from(wei);
    }

    pub(super) fn contract(&mut self, address: Address, code: impl Into<Bytes>) {
        let code = code.into();
        let hash = keccak256(&code);
        let account = self.accounts.entry(address).or_default();
        (account.nonce, account.bytecode_hash) = (1, Some(hash));
        self.codes.insert(hash, code);
    }

    pub(super) fn set(&mut self, address: Address, key: u64, value: u64) {
        let slots = self.slots.entry(address).or_default();
        slots.insert(U256::from(key), U256::from(value));
    }

    pub(super) fn get(&self, address: Address, key: u64) -> u64 {
        self.slot(address, U256::from(key)).unwrap().to()
    }

    pub(super) fn apply(&mut self, diff: &StateDiff) {
        for (address, change) in &diff.accounts {
            match change.account {
                Some(account) => drop(self.accounts.insert(*address, account)),
                None => drop(self.accounts.remove(address)),
            }
            let slots = self.slots.entry(*address).or_default();
            if change.wiped || change.account.is_none() {
                slots.clear();
            }
            slots.extend(change.storage.iter().map(|(key, value)| (*key, *value)));
            slots.retain(|_, value| !value.is_zero());
        }
        self.slots.retain(|_, slots| !slots.is_empty());
        self.codes.extend(diff.codes.iter().map(|(hash, code)| (*hash, code.clone())));
    }

    pub(super) fn supply(&self) -> U256 {
        self.accounts.values().map(|account| account.balance).sum()
    }
}

impl StateReader for Memory {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        if self.broken {
            return Err(StateError("disk gone".into()));
        }
        Ok(self.accounts.get(&address).copied())
    }
    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let slots = self.slots.get(&address);
        Ok(slots.and_then(|slots| slots.get(&slot)).copied().unwrap_or_default())
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.codes.get(&hash).cloned())
    }
    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        Ok((number < 10).then(|| B256::with_last_byte(number as u8)))
    }
}

pub(super) fn addr(last: u8) -> Address {
    Address::with_last_byte(last).create(0)
}

pub(super) fn env(fork: Fork) -> BlockEnv {
    BlockEnv {
        chain_id: CHAIN,
        number: 10,
        time_ms: 1_700_000_000_123,
        fork,
        beneficiary: addr(0xbe),
        gas_limit: 30_000_000,
        gas_available: 30_000_000,
        bytes_available: 1 << 20,
        base_fee: BASE_FEE,
        mix_hash: B256::repeat_byte(0x33),
        difficulty: U256::ZERO,
        blob_base_fee: 1,
    }
}

/// Puts a sender on an envelope without signing it: the VM takes senders as they are.
pub(super) fn unsigned(sender: Address, envelope: TxEnvelope) -> Arc<Tx> {
    let raw = Bytes::from(envelope.encoded_2718());
    Arc::new(Tx { hash: keccak256(&raw), raw, sender, envelope })
}

pub(super) fn signed<T: alloy_consensus::SignableTransaction<Signature>>(tx: T) -> Signed<T> {
    tx.into_signed(Signature::test_signature())
}

/// An EIP-1559 transaction with 1 wei of tip and 2 million gas.
pub(super) fn tx(from: u8, nonce: u64, to: TxKind, value: u128, input: &[u8]) -> Arc<Tx> {
    edit(from, nonce, to, value, input, |_| {})
}

pub(super) fn edit(
    from: u8,
    nonce: u64,
    to: TxKind,
    value: u128,
    input: &[u8],
    edit: impl FnOnce(&mut TxEip1559),
) -> Arc<Tx> {
    let mut tx = TxEip1559 {
        chain_id: CHAIN,
        nonce,
        gas_limit: 2_000_000,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 1,
        to,
        value: U256::from(value),
        input: Bytes::copy_from_slice(input),
        ..Default::default()
    };
    edit(&mut tx);
    unsigned(addr(from), TxEnvelope::Eip1559(signed(tx)))
}

pub(super) fn call(from: u8, nonce: u64, to: Address) -> Arc<Tx> {
    tx(from, nonce, to.into(), 0, &[])
}

/// A legacy transaction; unprotected without a chain id.
pub(super) fn legacy(from: u8, nonce: u64, chain_id: Option<u64>, gas_price: u128) -> Arc<Tx> {
    let to = TxKind::Call(addr(0x99));
    let tx = TxLegacy { chain_id, nonce, gas_price, gas_limit: 21_000, to, ..Default::default() };
    unsigned(addr(from), TxEnvelope::Legacy(signed(tx)))
}

pub(super) fn deposit(from: u8, to: TxKind, mint: u128, value: u128, input: &[u8]) -> Arc<Tx> {
    Arc::new(Tx::deposit(TxDeposit {
        source_hash: B256::ZERO,
        from: addr(from),
        to,
        mint,
        value: U256::from(value),
        gas_limit: 1_000_000,
        is_system_transaction: false,
        input: Bytes::copy_from_slice(input),
    }))
}

pub(super) fn run(state: &Memory, env: &BlockEnv, txs: &[Arc<Tx>]) -> BlockOutput {
    Evm::default().execute(state, env, txs, &Stop::never()).unwrap()
}

/// Runs a block in which nothing is skipped, applies it, and checks the supply.
pub(super) fn advance(state: &mut Memory, fork: Fork, txs: &[Arc<Tx>]) -> BlockOutput {
    let before = state.supply();
    let output = run(state, &env(fork), txs);
    assert_eq!(output.skipped, vec![]);
    state.apply(&output.diff);
    assert_eq!(state.supply(), before + output.minted - output.burnt);
    output
}

/// Creation code that leaves `runtime` behind.
pub(super) fn init(runtime: &[u8]) -> Vec<u8> {
    let [high, low] = (runtime.len() as u16).to_be_bytes();
    let mut code = vec![0x61, high, low, 0x80, 0x60, 0x0a, 0x5f, 0x39, 0x5f, 0xf3];
    code.extend_from_slice(runtime);
    code
}

/// MSTORE8 of each byte from memory 0 on.
pub(super) fn memory(bytes: &[u8]) -> Vec<u8> {
    let store = |(at, byte): (usize, &u8)| [0x60, *byte, 0x61, (at >> 8) as u8, at as u8, 0x53];
    bytes.iter().enumerate().flat_map(store).collect()
}
