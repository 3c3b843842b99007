//! One block: the protocol's calls, its transactions, requests, withdrawals and rewards; and whether
//! the header says what they give.

use std::sync::Arc;

use alloy_consensus::{Header, Transaction};
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_chainspec::ethereum::{EthereumParts, Mismatch, RawBlock, Schedule, check, compare};
use causeway_chainspec::{
    Block, BlockEnv, Fork, Receipt, StateDiff, StateError, StateReader, Tx, TxError, roots,
};
use rayon::prelude::*;

use super::plan;
use super::requests::{self, RequestError};
use crate::evm::Evm;
use crate::overlay::{Overlay, StateOver};
use crate::store::ExecutedBlock;
use crate::trie::{self, TrieDiff};
use crate::{ExecutionError, Stop, Vm};

/// Ancestors that uncles are checked against.
pub(super) const ANCESTORS: u64 = 7;

/// Why a block did not come out.
pub(super) enum Failure {
    /// It is the block's fault.
    Invalid(String),
    /// It is ours.
    Execution(ExecutionError),
}

impl<E: Into<ExecutionError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Execution(error.into())
    }
}

fn invalid(reason: impl ToString) -> Failure {
    Failure::Invalid(reason.to_string())
}

fn agree(compared: Result<(), Mismatch>) -> Result<(), Failure> {
    compared.map_err(invalid)
}

/// Checks a block's uncles against its ancestors, newest first.
pub(super) fn check_uncles(
    schedule: &Schedule,
    raw: &RawBlock,
    ancestors: &[Arc<Block>],
) -> Result<(), String> {
    let uncles = |block: &Block| {
        let parts = block.ethereum.as_deref();
        parts.map(|it| it.uncles.iter().map(Header::hash_slow).collect()).unwrap_or_default()
    };
    let ancestor = |block: &Arc<Block>| (block.hash, block.header.clone(), uncles(block));
    let ancestors: Vec<_> = ancestors.iter().map(ancestor).collect();
    causeway_chainspec::ethereum::check_uncles(schedule, &raw.uncles, &ancestors)
}

/// What the transactions of a block gave.
#[derive(Default)]
pub(super) struct Ran {
    pub(super) receipts: Vec<Receipt>,
    post_states: Vec<B256>,
    pub(super) gas_used: u64,
}

impl Ran {
    /// Root of the trie of receipts.
    pub(super) fn receipts_root(&self, txs: &[Arc<Tx>]) -> B256 {
        roots::receipts_root(txs, &self.receipts, &self.post_states)
    }
}

/// What a whole block gave.
pub(super) struct Outcome {
    pub(super) ran: Ran,
    diff: StateDiff,
    /// EIP-7685, from Prague on.
    pub(super) requests: Option<Requests>,
    pub(super) state_root: B256,
    trie: TrieDiff,
}

/// Gas of the blobs of transactions.
pub(super) fn blob_gas_used(txs: &[Arc<Tx>]) -> u64 {
    txs.iter().filter_map(|tx| tx.envelope.blob_gas_used()).sum()
}

/// Everything a block is executed with.
pub(super) struct Run<'a> {
    pub(super) evm: &'a Evm,
    pub(super) schedule: &'a Schedule,
    /// State and trie after its parent.
    pub(super) state: &'a Overlay,
}

impl Run<'_> {
    /// Executes a block and compares every field of its header.
    pub(super) fn block(
        &self,
        identity: B256,
        parent: &Block,
        raw: &RawBlock,
    ) -> Result<ExecutedBlock, Failure> {
        let header = &raw.header;
        let missing = || StateError("a block of another kind stands below".into());
        let below = parent.ethereum.as_deref().ok_or_else(missing)?;
        agree(check(self.schedule, (&parent.header, below), parent.hash, raw))?;
        let txs = senders(raw)?;
        let root = roots::transactions_root(&txs);
        agree(compare("transactionsRoot", header.transactions_root, root))?;

        let env = self.schedule.env(header);
        let outcome =
            self.execute(&env, header, &txs, (&raw.uncles, raw.withdrawals.as_deref()))?;
        agree(compare("gasUsed", header.gas_used, outcome.ran.gas_used))?;
        let blob_gas = header.blob_gas_used.map(|_| blob_gas_used(&txs));
        agree(compare("blobGasUsed", header.blob_gas_used, blob_gas))?;
        let receipts_root = outcome.ran.receipts_root(&txs);
        agree(compare("receiptsRoot", header.receipts_root, receipts_root))?;
        agree(compare("logsBloom", header.logs_bloom, roots::bloom(&outcome.ran.receipts)))?;
        let requests_hash = outcome.requests.map(|requests| requests.requests_hash());
        agree(compare("requestsHash", header.requests_hash, requests_hash))?;
        agree(compare("stateRoot", header.state_root, outcome.state_root))?;

        let Outcome { ran, diff, trie, .. } = outcome;
        let parts = EthereumParts {
            total_difficulty: below.total_difficulty.saturating_add(header.difficulty),
            blob_base_fee: env.blob_base_fee,
            uncles: raw.uncles.clone(),
            post_states: ran.post_states,
            withdrawals: raw.withdrawals.clone(),
        };
        let plan = plan(identity, (header.number, parent.claim_hash), header.timestamp, &txs);
        let block = Block {
            claim_hash: plan.claim.hash(),
            plan,
            hash: header.hash_slow(),
            header: header.clone(),
            txs,
            receipts: ran.receipts,
            skipped: vec![],
            outbox: vec![],
            ethereum: Some(Arc::new(parts)),
        };
        let (diff, trie) = (Arc::new(diff), Arc::new(trie));
        Ok(ExecutedBlock { block: Arc::new(block), seal: None, diff, trie })
    }

    /// Runs everything of a block, and hashes the state after it.
    pub(super) fn execute(
        &self,
        env: &BlockEnv,
        header: &Header,
        txs: &[Arc<Tx>],
        (uncles, withdrawals): (&[Header], Option<&[Withdrawal]>),
    ) -> Result<Outcome, Failure> {
        let mut diff = open(self.evm, self.state, env, header)?;
        let ran = if env.fork < Fork::Byzantium {
            self.one_by_one(env, txs, &mut diff)?
        } else {
            self.at_once(env, txs, &mut diff)?
        };
        let requests = self.requests(env, &ran, &mut diff)?;
        self.close(env, uncles, withdrawals, &mut diff)?;
        let (state_root, trie) = trie::state_root(self.state, &diff)?;
        Ok(Outcome { ran, diff, requests, state_root, trie })
    }

    fn at_once(
        &self,
        env: &BlockEnv,
        txs: &[Arc<Tx>],
        diff: &mut StateDiff,
    ) -> Result<Ran, Failure> {
        let over = StateOver { diff, below: self.state };
        let output = self.evm.execute(&over, env, txs, &Stop::never())?;
        if let Some((at, reason)) = output.skipped.first() {
            return Err(invalid(format!("transaction {at}, {}: {reason}", txs[*at].hash)));
        }
        diff.merge(&output.diff);
        let (receipts, gas_used) = (output.receipts, output.gas_used);
        Ok(Ran { receipts, gas_used, post_states: vec![] })
    }

    /// Before Byzantium receipts hold the state root after each transaction.
    fn one_by_one(
        &self,
        env: &BlockEnv,
        txs: &[Arc<Tx>],
        diff: &mut StateDiff,
    ) -> Result<Ran, Failure> {
        let mut ran = Ran::default();
        for (at, tx) in txs.iter().enumerate() {
            let left = env.gas_available.saturating_sub(ran.gas_used);
            let env = BlockEnv { gas_available: left, ..env.clone() };
            let one =
                self.at_once(&env, std::slice::from_ref(tx), diff).map_err(
                    |error| match error {
                        Failure::Invalid(why) => {
                            invalid(why.replacen("transaction 0", &format!("transaction {at}"), 1))
                        }
                        ours => ours,
                    },
                )?;
            for mut receipt in one.receipts {
                receipt.cumulative_gas_used += ran.gas_used;
                ran.receipts.push(receipt);
            }
            ran.gas_used += one.gas_used;
            ran.post_states.push(trie::state_root(self.state, diff)?.0);
        }
        Ok(ran)
    }

    /// EIP-7685: what a block asks of the consensus layer; `None` before Prague.
    fn requests(
        &self,
        env: &BlockEnv,
        ran: &Ran,
        diff: &mut StateDiff,
    ) -> Result<Option<Requests>, Failure> {
        if env.fork < Fork::Prague {
            return Ok(None);
        }
        let logs = ran.receipts.iter().flat_map(|receipt| &receipt.logs);
        let mut requests = Requests::default();
        let deposits = requests::deposits(self.schedule.deposit_contract, logs);
        let deposits = deposits.map_err(invalid)?;
        requests::push(&mut requests, requests::DEPOSIT, &deposits);
        for (kind, contract) in requests::QUEUES {
            let queue = requests::dequeue(self.evm, self.state, env, contract, diff);
            let queue = queue.map_err(|error| match error {
                RequestError::Failed(why) => invalid(why),
                RequestError::Vm(error) => Failure::Execution(error.into()),
            })?;
            requests::push(&mut requests, kind, &queue);
        }
        Ok(Some(requests))
    }

    /// Withdrawals, and before the merge the rewards of the miner and of uncles.
    fn close(
        &self,
        env: &BlockEnv,
        uncles: &[Header],
        withdrawals: Option<&[Withdrawal]>,
        diff: &mut StateDiff,
    ) -> Result<(), StateError> {
        for withdrawal in withdrawals.unwrap_or_default() {
            self.credit(diff, withdrawal.address, withdrawal.amount_wei())?;
        }
        if env.fork >= Fork::Paris {
            return Ok(());
        }
        let reward = self.schedule.reward(env.number);
        let mut miner = reward;
        for uncle in uncles {
            let share = U256::from((uncle.number + 8).saturating_sub(env.number));
            self.credit(diff, uncle.beneficiary, reward * share / U256::from(8))?;
            miner += reward / U256::from(32);
        }
        self.credit(diff, env.beneficiary, miner)
    }

    fn credit(&self, diff: &mut StateDiff, address: Address, wei: U256) -> Result<(), StateError> {
        let known = StateOver { diff, below: self.state }.account(address)?;
        // Nothing, given to nobody, makes no account (EIP-161).
        if wei.is_zero() {
            return Ok(());
        }
        let mut account = known.unwrap_or_default();
        account.balance = account.balance.saturating_add(wei);
        diff.accounts.entry(address).or_default().account = Some(account);
        Ok(())
    }
}

/// What the protocol does before the first transaction: roots of the beacon chain (EIP-4788) and
/// hashes of blocks (EIP-2935), each if its contract is there.
pub(super) fn open(
    evm: &Evm,
    state: &dyn StateReader,
    env: &BlockEnv,
    header: &Header,
) -> Result<StateDiff, ExecutionError> {
    let history = (env.fork >= Fork::Prague).then_some(header.parent_hash);
    let calls = [
        (BEACON_ROOTS_ADDRESS, header.parent_beacon_block_root),
        (HISTORY_STORAGE_ADDRESS, history),
    ];
    let mut diff = StateDiff::default();
    for (contract, word) in calls {
        let Some(word) = word else { continue };
        let over = StateOver { diff: &diff, below: state };
        if over.account(contract)?.is_none_or(|account| account.bytecode_hash.is_none()) {
            continue;
        }
        let input = Bytes::copy_from_slice(word.as_slice());
        // A call that fails changes nothing, and the block stands.
        let (_, changed) = evm.system_call(&over, env, contract, input)?;
        diff.merge(&changed);
    }
    Ok(diff)
}

/// Decodes transactions and recovers their senders, on all cores.
fn senders(raw: &RawBlock) -> Result<Vec<Arc<Tx>>, Failure> {
    let decoded: Vec<Result<Tx, TxError>> =
        raw.txs.par_iter().map(|tx| Tx::foreign(tx.clone())).collect();
    let named = decoded.into_iter().enumerate();
    named
        .map(|(at, tx)| match tx {
            Ok(tx) => Ok(Arc::new(tx)),
            Err(error) => Err(invalid(format!("transaction {at}: {error}"))),
        })
        .collect()
}
