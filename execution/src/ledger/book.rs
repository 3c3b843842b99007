//! Accounts and Mailbox slots that were looked at: as they were, and as they are.

use std::collections::BTreeMap;

use alloy_primitives::{Address, KECCAK256_EMPTY, U256};
use causeway_chainspec::mailbox::MAILBOX;
use causeway_chainspec::{Account, AccountDiff, SkipReason, StateDiff, StateError, StateReader};

use crate::VmError;

/// State under change. What is written is never taken back: whoever writes has checked everything
/// before.
pub(super) struct Book<'a> {
    reader: &'a dyn StateReader,
    accounts: BTreeMap<Address, (Option<Account>, Option<Account>)>,
    /// Of the Mailbox, the only account whose storage this VM knows.
    slots: BTreeMap<U256, (U256, U256)>,
}

impl<'a> Book<'a> {
    /// Nothing changed yet.
    pub(super) fn new(reader: &'a dyn StateReader) -> Self {
        Self { reader, accounts: BTreeMap::new(), slots: BTreeMap::new() }
    }

    pub(super) fn account(&mut self, address: Address) -> Result<&mut Option<Account>, StateError> {
        if !self.accounts.contains_key(&address) {
            let account = self.reader.account(address)?;
            self.accounts.insert(address, (account, account));
        }
        Ok(&mut self.accounts.entry(address).or_default().1)
    }

    pub(super) fn balance(&mut self, address: Address) -> Result<U256, StateError> {
        Ok(self.account(address)?.map_or(U256::ZERO, |account| account.balance))
    }

    /// Whether an account has code: a contract of the protocol, which nobody can pay.
    pub(super) fn has_code(&mut self, address: Address) -> Result<bool, StateError> {
        Ok(self.account(address)?.is_some_and(|account| has_code(&account)))
    }

    /// A slot of the Mailbox; zero if unset.
    pub(super) fn slot(&mut self, slot: U256) -> Result<U256, StateError> {
        if let Some((_, value)) = self.slots.get(&slot) {
            return Ok(*value);
        }
        let value = self.reader.slot(MAILBOX, slot)?;
        self.slots.insert(slot, (value, value));
        Ok(value)
    }

    /// Writes a slot of the Mailbox.
    pub(super) fn set_slot(&mut self, slot: U256, value: U256) -> Result<(), StateError> {
        // A diff of slots names the account too, so both must have been read.
        self.account(MAILBOX)?;
        self.slot(slot)?;
        self.slots.entry(slot).or_default().1 = value;
        Ok(())
    }

    /// Adds to a balance. Nothing creates nothing (EIP-161); what does not fit is not added.
    pub(super) fn credit(&mut self, address: Address, wei: U256) -> Result<bool, StateError> {
        let account = self.account(address)?;
        let balance = account.map_or(U256::ZERO, |account| account.balance);
        let Some(sum) = balance.checked_add(wei) else { return Ok(false) };
        if !wei.is_zero() {
            account.get_or_insert_default().balance = sum;
        }
        Ok(true)
    }

    /// Moves wei, whoever gets them. False, and nothing moves, if the first has too little or the
    /// second too much.
    pub(super) fn shift(
        &mut self,
        from: Address,
        to: Address,
        wei: U256,
    ) -> Result<bool, StateError> {
        if self.balance(from)? < wei {
            return Ok(false);
        }
        if from == to {
            return Ok(true);
        }
        if !self.credit(to, wei)? {
            return Ok(false);
        }
        if let Some(sender) = self.account(from)? {
            sender.balance -= wei;
        }
        Ok(true)
    }

    /// That an account can cover a cost.
    pub(super) fn covers(&mut self, from: Address, cost: U256) -> Result<(), VmError> {
        let have = self.balance(from)?;
        if have < cost { Err(SkipReason::Funds { have, want: cost }.into()) } else { Ok(()) }
    }

    /// Moves value to an account without code; else nothing.
    pub(super) fn pay(&mut self, from: Address, to: Address, value: U256) -> Result<(), VmError> {
        self.covers(from, value)?;
        if self.has_code(to)? {
            return Err(SkipReason::Unsupported("contract calls".into()).into());
        }
        if self.shift(from, to, value)? {
            Ok(())
        } else {
            Err(SkipReason::Other("balance of the recipient overflows".into()).into())
        }
    }

    /// What differs from before.
    pub(super) fn diff(self) -> StateDiff {
        let mut diff = StateDiff::default();
        for (address, (before, account)) in &self.accounts {
            if before != account {
                let account = *account;
                diff.accounts.insert(*address, AccountDiff { account, ..Default::default() });
            }
        }
        let changed: BTreeMap<U256, U256> = self
            .slots
            .into_iter()
            .filter(|(_, (before, now))| before != now)
            .map(|(slot, (_, now))| (slot, now))
            .collect();
        if !changed.is_empty() {
            let account = self.accounts.get(&MAILBOX).and_then(|(_, account)| *account);
            let entry = diff.accounts.entry(MAILBOX).or_default();
            entry.account = account;
            entry.storage = changed;
        }
        diff
    }
}

pub(super) fn has_code(account: &Account) -> bool {
    account.get_bytecode_hash() != KECCAK256_EMPTY
}
