//! Chains of Ethereum's own kind, with their own fork schedule: what `causeway import` runs, so that
//! execution and JSON-RPC can be tested on blocks that others made.

mod difficulty;
mod encode;
mod header;
mod schedule;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod uncles;

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{B64, B256, Bytes, U256, keccak256};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};

use crate::spec::Fork;
use crate::state::{Account, AccountDiff, StateDiff};
pub use header::{Mismatch, RawBlock, check, compare};
pub use schedule::{Activation, Schedule};
pub use uncles::check as check_uncles;

/// What an executed block of an Ethereum chain has beyond one of ours.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
pub struct EthereumParts {
    /// Sum of the difficulties of all blocks up to and with it.
    pub total_difficulty: U256,
    /// Price of blob gas in it, wei; the least there is before Cancun.
    pub blob_base_fee: u128,
    /// Headers of its uncles.
    pub uncles: Vec<Header>,
    /// State root after each transaction, in its receipt before Byzantium (EIP-658); else none.
    pub post_states: Vec<B256>,
    /// Withdrawals, from Shanghai on (EIP-4895).
    pub withdrawals: Option<Vec<Withdrawal>>,
}

/// Why a genesis file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// No JSON of the form that geth reads.
    #[error("not a genesis file of an Ethereum chain: {0}")]
    Form(String),
    /// Rules that this program does not have.
    #[error("config: {0}")]
    Unsupported(String),
}

/// An Ethereum chain before its first block: schedule and state of block 0.
#[derive(Debug, Clone)]
pub struct EthereumChain {
    /// Its forks, by block and by time.
    pub schedule: Arc<Schedule>,
    /// Fields of block 0; its state root is zero until the state is hashed.
    header: Header,
    /// State of block 0.
    pub state: StateDiff,
}

impl EthereumChain {
    /// Reads a `genesis.json` as geth does.
    pub fn parse(json: &str) -> Result<Self, GenesisError> {
        let form = |error: serde_json::Error| GenesisError::Form(error.to_string());
        // What is left out has a default, but there is none for whose chain it is.
        let whole: serde_json::Value = serde_json::from_str(json).map_err(form)?;
        if whole.pointer("/config/chainId").is_none() {
            return Err(GenesisError::Form("config.chainId is missing".into()));
        }
        let genesis: alloy_genesis::Genesis = serde_json::from_str(json).map_err(form)?;
        let schedule = Schedule::new(&genesis.config)?;
        let (number, time) = (genesis.number.unwrap_or(0), genesis.timestamp);
        if number != 0 {
            return Err(GenesisError::Unsupported(format!("block {number} is not block 0")));
        }
        if !schedule.is_payable(genesis.excess_blob_gas.unwrap_or(0)) {
            return Err(GenesisError::Unsupported(
                "excessBlobGas: nobody could pay for blobs".into(),
            ));
        }
        let fork = schedule.fork(number, time, genesis.difficulty.is_zero());
        let since = |first: Fork| fork >= first;
        let base_fee = genesis.base_fee_per_gas.map(u64::try_from).transpose();
        let base_fee = base_fee.map_err(|_| GenesisError::Form("baseFeePerGas".into()))?;
        let initial = alloy_eips::eip1559::INITIAL_BASE_FEE;
        let header = Header {
            parent_hash: genesis.parent_hash.unwrap_or_default(),
            beneficiary: genesis.coinbase,
            difficulty: genesis.difficulty,
            gas_limit: genesis.gas_limit,
            timestamp: time,
            extra_data: genesis.extra_data,
            mix_hash: genesis.mix_hash,
            nonce: B64::from(genesis.nonce),
            base_fee_per_gas: since(Fork::London).then_some(base_fee.unwrap_or(initial)),
            withdrawals_root: since(Fork::Shanghai).then_some(EMPTY_WITHDRAWALS),
            blob_gas_used: since(Fork::Cancun).then(|| genesis.blob_gas_used.unwrap_or(0)),
            excess_blob_gas: since(Fork::Cancun).then(|| genesis.excess_blob_gas.unwrap_or(0)),
            parent_beacon_block_root: since(Fork::Cancun).then_some(B256::ZERO),
            requests_hash: since(Fork::Prague).then_some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        };
        let mut state = StateDiff::default();
        for (address, given) in genesis.alloc {
            let code = given.code.filter(|code| !code.is_empty());
            let bytecode_hash = code.as_ref().map(keccak256);
            state.codes.extend(bytecode_hash.zip(code));
            let nonce = given.nonce.unwrap_or(0);
            let account = Some(Account { nonce, balance: given.balance, bytecode_hash });
            let slots = given.storage.unwrap_or_default().into_iter();
            let slots = slots.map(|(slot, value)| (slot.into(), value.into()));
            let storage = slots.filter(|(_, value): &(U256, U256)| !value.is_zero()).collect();
            state.accounts.insert(address, AccountDiff { account, wiped: false, storage });
        }
        Ok(Self { schedule: Arc::new(schedule), header, state })
    }

    /// Block 0's header, given the root of [`EthereumChain::state`].
    pub fn header(&self, state_root: B256) -> Header {
        Header { state_root, ..self.header.clone() }
    }

    /// What a store of this chain is pinned to: block 0 and the whole schedule.
    pub fn identity(&self, genesis_hash: B256) -> B256 {
        let mut bytes = b"causeway/ethereum/1".to_vec();
        bytes.extend_from_slice(genesis_hash.as_slice());
        self.schedule.encode(&mut bytes);
        keccak256(bytes)
    }
}

impl RawBlock {
    /// Decodes a block in the form in which chains are exported: RLP of header, transactions,
    /// uncles and, from Shanghai on, withdrawals.
    pub fn decode(bytes: &[u8]) -> alloy_rlp::Result<Self> {
        let mut at = bytes;
        let mut fields = alloy_rlp::Header::decode_bytes(&mut at, true)?;
        if !at.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        let header = Header::decode(&mut fields)?;
        let mut list = alloy_rlp::Header::decode_bytes(&mut fields, true)?;
        let mut txs = Vec::new();
        while !list.is_empty() {
            // Typed transactions stand as strings of their bytes, legacy ones as lists.
            let (whole, mut rest) = (list, list);
            let item = alloy_rlp::Header::decode(&mut rest)?;
            let (head, payload) = (whole.len() - rest.len(), item.payload_length);
            let raw = if item.list { &whole[..head + payload] } else { &rest[..payload] };
            txs.push(Bytes::copy_from_slice(raw));
            list = &whole[head + payload..];
        }
        let uncles = Vec::decode(&mut fields)?;
        let withdrawals = (!fields.is_empty()).then(|| Vec::decode(&mut fields)).transpose()?;
        if !fields.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        Ok(Self { header, txs, uncles, withdrawals, size: bytes.len() })
    }
}
