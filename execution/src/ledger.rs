//! A tiny native VM: plain transfers and deposits, on Ethereum's envelope, accounts and fees.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, Bytes, KECCAK256_EMPTY, TxKind, U256};
use causeway_chainspec::{
    Account, AccountDiff, BlockEnv, CallOutcome, ChainSpec, Fork, Receipt, SkipReason, StateDiff,
    StateError, StateReader, Tx, TxEnvelope, TxError, mailbox,
};

use crate::vm::{CallResult, Vm};
use crate::{BlockOutput, Call, CallOutput, ExecutionError, Stop, TxFacts, VmError, envelope};

/// Gas of a transfer.
const TRANSFER_GAS: u64 = 21_000;

/// Opens it.
pub fn open(_spec: &ChainSpec) -> Result<Arc<dyn Vm>, ExecutionError> {
    Ok(Arc::new(Ledger))
}

struct Ledger;

impl Vm for Ledger {
    fn check(&self, tx: &Tx, env: &BlockEnv) -> Result<TxFacts, SkipReason> {
        let intrinsic_gas = transfer_gas(tx.envelope.input(), env.fork);
        let facts = TxFacts { intrinsic_gas, max_cost: envelope::max_cost(tx) };
        if tx.is_deposit() {
            return Ok(facts);
        }
        envelope::check(tx, env)?;
        match &tx.envelope {
            TxEnvelope::Eip7702(_) if env.fork < Fork::Prague => return Err(TxError::Type.into()),
            TxEnvelope::Eip7702(_) => return Err(SkipReason::Unsupported("authorizations".into())),
            _ if tx.envelope.is_create() => return Err(SkipReason::Unsupported("creation".into())),
            _ if tx.envelope.access_list().is_some_and(|list| !list.is_empty()) => {
                return Err(SkipReason::Unsupported("access lists".into()));
            }
            _ => {}
        }
        let (have, want) = (tx.envelope.gas_limit(), intrinsic_gas);
        if have < want { Err(SkipReason::IntrinsicGas { have, want }) } else { Ok(facts) }
    }

    fn execute(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        txs: &[Arc<Tx>],
        stop: &Stop,
    ) -> Result<BlockOutput, VmError> {
        let mut output = BlockOutput::default();
        let mut room = envelope::Room::new(env);
        let mut book = Book { reader: state, accounts: BTreeMap::new() };
        for (index, tx) in txs.iter().enumerate() {
            if stop.is_raised() && !tx.is_deposit() {
                break;
            }
            output.attempted = index + 1;
            let done = if tx.is_deposit() {
                book.deposit(tx, env, &mut output)
            } else {
                self.check(tx, env)
                    .and_then(|facts| room.fits(tx).map(|()| facts.intrinsic_gas))
                    .map_err(VmError::from)
                    .and_then(|gas| book.signed(tx, env, gas, &mut output))
            };
            match done {
                Ok(receipt) => {
                    room.take(tx, receipt.gas_used);
                    include(&mut output, index, tx, receipt);
                }
                Err(VmError::Invalid(reason)) => output.skipped.push((index, reason)),
                Err(error) => return Err(error),
            }
        }
        output.diff = book.diff();
        let logs = output.receipts.iter().flat_map(|receipt| &receipt.logs);
        output.outbox = mailbox::dispatched(logs);
        Ok(output)
    }

    fn call(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        call: &Call,
    ) -> Result<CallOutput, VmError> {
        let TxKind::Call(to) = call.to else {
            return Err(SkipReason::Unsupported("creation".into()).into());
        };
        let mut book = Book { reader: state, accounts: BTreeMap::new() };
        for (address, diff) in &call.overrides.accounts {
            book.accounts.insert(*address, (diff.account, diff.account));
        }
        let (have, want) = (call.gas_limit, transfer_gas(&call.input, env.fork));
        if have < want {
            return Err(SkipReason::IntrinsicGas { have, want }.into());
        }
        if call.gas_price != 0 && call.gas_price < u128::from(env.base_fee) {
            let (max_fee, base_fee) = (call.gas_price, env.base_fee);
            return Err(SkipReason::FeeTooLow { max_fee, base_fee }.into());
        }
        let fee = U256::from(have) * U256::from(call.gas_price);
        book.pay(call.from, to, call.value, fee.saturating_add(call.value))?;
        Ok(CallOutput {
            result: CallResult::Success,
            gas_used: want,
            gas_refunded: 0,
            output: Bytes::new(),
            logs: Vec::new(),
            created: None,
        })
    }

    fn preinstall(
        &self,
        _state: &dyn StateReader,
        _env: &BlockEnv,
        _address: Address,
        _creation_code: &Bytes,
    ) -> Result<StateDiff, VmError> {
        Err(SkipReason::Unsupported("preinstalls".into()).into())
    }
}

/// 21,000 and the calldata, or the EIP-7623 floor if that is more: what the EVM charges for a
/// transfer, so that wallets estimate the same.
fn transfer_gas(input: &Bytes, fork: Fork) -> u64 {
    let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
    let tokens = zeros + 4 * (input.len() as u64 - zeros);
    TRANSFER_GAS + tokens * if fork >= Fork::Prague { 10 } else { 4 }
}

fn has_code(account: &Account) -> bool {
    account.get_bytecode_hash() != KECCAK256_EMPTY
}

fn include(output: &mut BlockOutput, index: usize, tx: &Tx, mut receipt: Receipt) {
    output.gas_used = output.gas_used.saturating_add(receipt.gas_used);
    receipt.cumulative_gas_used = output.gas_used;
    if tx.is_deposit() {
        let (success, gas_used) = (receipt.success, receipt.gas_used);
        output.outcomes.push(CallOutcome { success, gas_used, output: Bytes::new() });
    }
    output.included.push(index);
    output.receipts.push(receipt);
}

fn receipt(success: bool, gas_used: u64, deposit_nonce: u64) -> Receipt {
    Receipt {
        success,
        gas_used,
        cumulative_gas_used: 0,
        logs: Vec::new(),
        deposit_nonce,
        contract_address: None,
    }
}

/// Accounts that were looked at: as they were, and as they are.
struct Book<'a> {
    reader: &'a dyn StateReader,
    accounts: BTreeMap<Address, (Option<Account>, Option<Account>)>,
}

impl Book<'_> {
    fn account(&mut self, address: Address) -> Result<&mut Option<Account>, StateError> {
        if !self.accounts.contains_key(&address) {
            let account = self.reader.account(address)?;
            self.accounts.insert(address, (account, account));
        }
        Ok(&mut self.accounts.entry(address).or_default().1)
    }

    /// Adds to a balance. Nothing creates nothing (EIP-161); what does not fit is not added.
    fn credit(&mut self, address: Address, wei: U256) -> Result<bool, StateError> {
        let account = self.account(address)?;
        let balance = account.map_or(U256::ZERO, |account| account.balance);
        let Some(sum) = balance.checked_add(wei) else { return Ok(false) };
        if !wei.is_zero() {
            account.get_or_insert_default().balance = sum;
        }
        Ok(true)
    }

    /// Moves value to an account without code if the sender can cover `cost`; else nothing.
    fn pay(&mut self, from: Address, to: Address, value: U256, cost: U256) -> Result<(), VmError> {
        let have = self.account(from)?.map_or(U256::ZERO, |account| account.balance);
        if have < cost {
            return Err(SkipReason::Funds { have, want: cost }.into());
        }
        if self.account(to)?.is_some_and(|account| has_code(&account)) {
            return Err(SkipReason::Unsupported("contract calls".into()).into());
        }
        if from != to && !self.credit(to, value)? {
            return Err(SkipReason::Other("balance of the recipient overflows".into()).into());
        }
        if from != to
            && let Some(sender) = self.account(from)?
        {
            sender.balance -= value;
        }
        Ok(())
    }

    fn signed(
        &mut self,
        tx: &Tx,
        env: &BlockEnv,
        gas_used: u64,
        output: &mut BlockOutput,
    ) -> Result<Receipt, VmError> {
        let max_fee = tx.envelope.max_fee_per_gas();
        let base_fee = env.base_fee;
        if max_fee < u128::from(base_fee) {
            return Err(SkipReason::FeeTooLow { max_fee, base_fee }.into());
        }
        let sender = self.account(tx.sender)?.unwrap_or_default();
        let (state, nonce) = (sender.nonce, tx.envelope.nonce());
        if has_code(&sender) {
            return Err(SkipReason::SenderNotEoa.into());
        }
        if nonce < state {
            return Err(SkipReason::NonceTooLow { state, tx: nonce }.into());
        }
        if nonce > state {
            return Err(SkipReason::NonceTooHigh { state, tx: nonce }.into());
        }
        let to = tx.envelope.to().ok_or_else(|| SkipReason::Unsupported("creation".into()))?;
        self.pay(tx.sender, to, tx.envelope.value(), envelope::max_cost(tx))?;
        let price = U256::from(tx.effective_gas_price(base_fee));
        let (gas, burnt) = (U256::from(gas_used), U256::from(base_fee) * U256::from(gas_used));
        if let Some(sender) = self.account(tx.sender)? {
            sender.nonce += 1;
            sender.balance -= price * gas;
        }
        let tip = price * gas - burnt;
        let paid = self.credit(env.beneficiary, tip)?;
        output.burnt += if paid { burnt } else { burnt + tip };
        Ok(receipt(true, gas_used, 0))
    }

    /// By the rules of the OP stack: mint and nonce stay whatever happens, no fees; a deposit that
    /// cannot begin uses its whole gas limit.
    fn deposit(
        &mut self,
        tx: &Tx,
        env: &BlockEnv,
        output: &mut BlockOutput,
    ) -> Result<Receipt, VmError> {
        let TxEnvelope::Deposit(deposit) = &tx.envelope else {
            return Err(VmError::Broken("a signed transaction as a deposit".into()));
        };
        let mint = U256::from(deposit.mint);
        if self.credit(deposit.from, mint)? {
            output.minted += mint;
        }
        let sender = self.account(deposit.from)?.get_or_insert_default();
        let nonce = sender.nonce;
        sender.nonce = nonce.saturating_add(1);
        let gas_used = transfer_gas(&deposit.input, env.fork);
        let paid = match deposit.to {
            TxKind::Call(to) if gas_used <= deposit.gas_limit => {
                self.pay(deposit.from, to, deposit.value, deposit.value)
            }
            _ => Err(SkipReason::Unsupported("creation".into()).into()),
        };
        match paid {
            Ok(()) => Ok(receipt(true, gas_used, nonce)),
            Err(VmError::Invalid(_)) => Ok(receipt(false, deposit.gas_limit, nonce)),
            Err(error) => Err(error),
        }
    }

    fn diff(self) -> StateDiff {
        let changed = self.accounts.into_iter().filter(|(_, (before, now))| before != now);
        let accounts = changed.map(|(address, (_, account))| {
            (address, AccountDiff { account, ..Default::default() })
        });
        StateDiff { accounts: accounts.collect(), ..Default::default() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_consensus::{SignableTransaction, TxEip2930, TxEip7702};
    use alloy_eips::eip2930::{AccessList, AccessListItem};
    use alloy_primitives::{B256, Signature};

    use super::*;

    fn reason(envelope: TxEnvelope, fork: Fork) -> Option<SkipReason> {
        let env = BlockEnv {
            chain_id: 1,
            number: 1,
            time_ms: 0,
            fork,
            beneficiary: Address::ZERO,
            gas_limit: 1 << 30,
            gas_available: 1 << 30,
            bytes_available: 1 << 20,
            base_fee: 1,
            mix_hash: B256::ZERO,
        };
        let (raw, hash, sender) = (Bytes::new(), B256::ZERO, Address::ZERO);
        Ledger.check(&Tx { raw, hash, sender, envelope }, &env).err()
    }

    #[test]
    fn what_needs_a_machine_is_refused_before_it_is_taken() {
        let sign = Signature::test_signature;
        let to = TxKind::Call(Address::ZERO);
        let plain = TxEip2930 { chain_id: 1, gas_limit: 50_000, to, ..Default::default() };
        let envelope = |tx: TxEip2930| TxEnvelope::Eip2930(tx.into_signed(sign()));
        assert_eq!(reason(envelope(plain.clone()), Fork::Prague), None);
        let item = AccessListItem { address: Address::ZERO, storage_keys: Vec::new() };
        let listed = TxEip2930 { access_list: AccessList(vec![item]), ..plain.clone() };
        let unsupported = |what: &str| Some(SkipReason::Unsupported(what.into()));
        assert_eq!(reason(envelope(listed), Fork::Prague), unsupported("access lists"));
        let creation = TxEip2930 { to: TxKind::Create, ..plain.clone() };
        assert_eq!(reason(envelope(creation), Fork::Prague), unsupported("creation"));
        let authorize = TxEip7702 { chain_id: 1, gas_limit: 50_000, ..Default::default() };
        let authorize = || TxEnvelope::Eip7702(authorize.clone().into_signed(sign()));
        assert_eq!(reason(authorize(), Fork::Prague), unsupported("authorizations"));
        assert_eq!(reason(authorize(), Fork::Cancun), Some(TxError::Type.into()));
        let big = TxEip2930 { gas_limit: (1 << 24) + 1, ..plain };
        let cap = SkipReason::GasLimit { have: (1 << 24) + 1, most: 1 << 24 };
        assert_eq!(reason(envelope(big), Fork::Osaka), Some(cap));
    }
}
