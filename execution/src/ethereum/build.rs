//! A block that could come next, made and forgotten: what `testing_buildBlockV1` answers.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_consensus::proofs::calculate_withdrawals_root;
use alloy_eips::eip1559::{BaseFeeParams, calculate_block_gas_limit};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_chainspec::{Fork, Tx, roots};

use super::Chain;
use super::run::{self, Failure, Run};
use crate::overlay::StateOver;
use crate::{ExecutionError, Stop, Vm};

/// Gas limit that blocks move to, by as much as a block may: what Ethereum's clients propose.
const GAS_LIMIT: u64 = 60_000_000;

/// What the consensus layer says of a block to build.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    /// Its time, unix seconds.
    pub timestamp: u64,
    /// Its randomness.
    pub prev_randao: B256,
    /// Who gets the tips.
    pub fee_recipient: Address,
    /// Withdrawals, from Shanghai on.
    pub withdrawals: Option<Vec<Withdrawal>>,
    /// Root of the beacon block before it, from Cancun on.
    pub parent_beacon_block_root: Option<B256>,
    /// Up to 32 bytes.
    pub extra_data: Bytes,
}

/// A block that nobody has committed.
#[derive(Debug, Clone)]
pub struct BuiltBlock {
    /// Its header.
    pub header: Header,
    /// Its transactions.
    pub txs: Vec<Arc<Tx>>,
    /// Its withdrawals.
    pub withdrawals: Vec<Withdrawal>,
    /// Its requests (EIP-7685).
    pub requests: Vec<Bytes>,
    /// Tips it pays, wei.
    pub value: U256,
}

/// Why a block was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// Our own failure.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
}

impl From<Failure> for BuildError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Invalid(reason) => Self::Invalid(reason),
            Failure::Execution(error) => Self::Execution(error),
        }
    }
}

fn invalid(reason: impl Into<String>) -> BuildError {
    BuildError::Invalid(reason.into())
}

impl Chain {
    /// Builds a block of proof of stake on a block of this chain. With `choose`, transactions that
    /// cannot be in it are left out; else the first such is the error. Nothing is kept of it.
    pub fn build(
        &self,
        parent: B256,
        attributes: Attributes,
        mut txs: Vec<Arc<Tx>>,
        choose: bool,
    ) -> Result<BuiltBlock, BuildError> {
        let snapshot = self.snapshot();
        let unknown = || invalid(format!("unknown parent block {parent}"));
        let number = snapshot.number_of_hash(parent)?.ok_or_else(unknown)?;
        let state = snapshot.overlay(number)?.ok_or_else(|| invalid("its state is pruned"))?;
        let block = snapshot.block(number)?.ok_or_else(unknown)?;
        let total = block.ethereum.as_ref().map_or(U256::ZERO, |parts| parts.total_difficulty);
        if !self.schedule.merged_after(total) {
            return Err(invalid("the block would need proof of work"));
        }
        let header = self.draft(&block.header, parent, attributes.clone())?;
        let env = self.schedule.env(&header);
        let run = Run { evm: &self.evm, schedule: &self.schedule, state: &state };
        if choose {
            let opened = run::open(&self.evm, &state, &env, &header)?;
            let over = StateOver { diff: &opened, below: &state };
            let tried = self.evm.execute(&over, &env, &txs, &Stop::never());
            let tried = tried.map_err(ExecutionError::from)?;
            txs = tried.included.iter().map(|at| txs[*at].clone()).collect();
        }
        let outcome = run.execute(&env, &header, &txs, (&[], attributes.withdrawals.as_deref()))?;
        let base_fee = header.base_fee_per_gas.unwrap_or_default();
        let tip = |tx: &Tx| tx.effective_gas_price(base_fee).saturating_sub(base_fee.into());
        let paid = txs.iter().zip(&outcome.ran.receipts);
        let paid = paid.map(|(tx, receipt)| U256::from(tip(tx)) * U256::from(receipt.gas_used));
        let header = Header {
            state_root: outcome.state_root,
            transactions_root: roots::transactions_root(&txs),
            receipts_root: outcome.ran.receipts_root(&txs),
            logs_bloom: roots::bloom(&outcome.ran.receipts),
            gas_used: outcome.ran.gas_used,
            blob_gas_used: header.blob_gas_used.map(|_| run::blob_gas_used(&txs)),
            requests_hash: outcome.requests.as_ref().map(|requests| requests.requests_hash()),
            ..header
        };
        let value = paid.sum();
        let requests = outcome.requests.map(|requests| requests.take()).unwrap_or_default();
        let withdrawals = attributes.withdrawals.unwrap_or_default();
        Ok(BuiltBlock { header, txs, withdrawals, requests, value })
    }

    /// The header as far as it is known before anything runs.
    fn draft(
        &self,
        parent: &Header,
        parent_hash: B256,
        attributes: Attributes,
    ) -> Result<Header, BuildError> {
        let (number, timestamp) = (parent.number + 1, attributes.timestamp);
        if timestamp <= parent.timestamp {
            return Err(invalid(format!("timestamp {timestamp} is not after the parent's")));
        }
        if attributes.extra_data.len() > 32 {
            return Err(invalid("extra data of more than 32 bytes"));
        }
        let fork = self.schedule.fork(number, timestamp, true);
        let withdrawals = attributes.withdrawals.as_deref();
        if withdrawals.is_some() != (fork >= Fork::Shanghai) {
            return Err(invalid(format!("withdrawals do not fit the fork {}", fork.name())));
        }
        let root = attributes.parent_beacon_block_root;
        if root.is_some() != (fork >= Fork::Cancun) {
            let what = "parentBeaconBlockRoot does not fit the fork";
            return Err(invalid(format!("{what} {}", fork.name())));
        }
        let blobs = self.schedule.blobs(timestamp);
        let excess = blobs.map(|it| parent.next_block_excess_blob_gas(it).unwrap_or(0));
        Ok(Header {
            parent_hash,
            number,
            timestamp,
            beneficiary: attributes.fee_recipient,
            mix_hash: attributes.prev_randao,
            gas_limit: calculate_block_gas_limit(parent.gas_limit, GAS_LIMIT),
            base_fee_per_gas: parent.next_block_base_fee(BaseFeeParams::ethereum()),
            withdrawals_root: withdrawals.map(calculate_withdrawals_root),
            blob_gas_used: blobs.map(|_| 0),
            excess_blob_gas: excess,
            parent_beacon_block_root: root,
            requests_hash: (fork >= Fork::Prague).then_some(B256::ZERO),
            extra_data: attributes.extra_data,
            ..Header::default()
        })
    }
}
