//! The pool behind its lock: accounts, the order of eviction, and what was dropped.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256, U256};
use causeway_chainspec::{SkipReason, Tx};

use super::account::{Account, AccountFacts, Entry, VictimKey, bid, max_cost};
use super::{Content, DropReason, Limits, PoolError, Status};
use crate::lane::MIN_COST;

/// How many drop reasons, and how many quarantined hashes, are remembered.
const REMEMBERED: usize = 16_384;
/// One of so many places may be taken by what waits behind a gap of nonces or of funds.
const QUEUED_SHARE: usize = 4;

pub(super) struct Inner {
    limits: Limits,
    accounts: HashMap<Address, Account>,
    by_hash: HashMap<B256, (Address, u64)>,
    victims: BTreeSet<VictimKey>,
    /// Without the kept ones, which are outside the limits.
    count: usize,
    bytes: usize,
    ready: usize,
    seq: u64,
    dropped: HashMap<B256, DropReason>,
    dropped_order: VecDeque<B256>,
    quarantined: HashSet<B256>,
    quarantined_order: VecDeque<B256>,
    /// Left because their nonce was used, oldest first: the block that used it may be replaced.
    spent: VecDeque<Arc<Tx>>,
    spent_bytes: usize,
}

impl Inner {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            accounts: HashMap::new(),
            by_hash: HashMap::new(),
            victims: BTreeSet::new(),
            count: 0,
            bytes: 0,
            ready: 0,
            seq: 0,
            dropped: HashMap::new(),
            dropped_order: VecDeque::new(),
            quarantined: HashSet::new(),
            quarantined_order: VecDeque::new(),
            spent: VecDeque::new(),
            spent_bytes: 0,
        }
    }

    pub(super) fn add(&mut self, tx: Arc<Tx>, facts: AccountFacts) -> Result<(), PoolError> {
        let size = tx.raw.len();
        if size > self.limits.tx_bytes {
            return Err(PoolError::Oversized { bytes: size, most: self.limits.tx_bytes });
        }
        if self.by_hash.contains_key(&tx.hash) {
            return Err(PoolError::AlreadyKnown);
        }
        if self.quarantined.contains(&tx.hash) {
            return Err(PoolError::Quarantined);
        }
        let facts = self.refresh(tx.sender, facts);
        self.admit(&tx, facts)?;
        self.make_room(&tx)?;
        self.seq += 1;
        self.insert(Entry::new(tx, self.seq, false), facts);
        Ok(())
    }

    pub(super) fn may_fit(&self, bid: u128, bytes: usize) -> bool {
        let room = self.count < self.limits.count && self.bytes + bytes <= self.limits.bytes;
        room || self.victims.first().is_some_and(|victim| victim.0 < bid)
    }

    /// Learns what a caller says of a sender, unless it read that before the pool's newest block;
    /// returns what holds.
    fn refresh(&mut self, sender: Address, facts: AccountFacts) -> AccountFacts {
        match self.accounts.get(&sender).map(|account| account.facts) {
            Some(known) if known.nonce > facts.nonce => known,
            Some(known) if known != facts => {
                self.learn(sender, |known| *known = facts);
                facts
            }
            _ => facts,
        }
    }

    /// What the sender's other transactions say about a new one.
    fn admit(&self, tx: &Tx, facts: AccountFacts) -> Result<(), PoolError> {
        let nonce = tx.envelope.nonce();
        if nonce < facts.nonce {
            return Err(PoolError::NonceTooLow { state: facts.nonce, tx: nonce });
        }
        let none = Account::default();
        let account = self.accounts.get(&tx.sender).unwrap_or(&none);
        let old = account.txs.get(&nonce);
        if let Some(old) = old
            && !outbids(tx, &old.tx)
        {
            return Err(PoolError::Underpriced);
        }
        if facts.delegated && old.is_none() && !account.txs.is_empty() {
            return Err(PoolError::InFlight);
        }
        let replaced = old.map(|old| old.cost).unwrap_or_default();
        let want = account.total_cost.saturating_sub(replaced).saturating_add(max_cost(tx));
        if want > facts.balance {
            return Err(PoolError::Funds { have: facts.balance, want });
        }
        let next = account.next().max(facts.nonce);
        if nonce > next && old.is_none() {
            if account.queued() >= self.limits.queued {
                return Err(PoolError::AccountLimit { most: self.limits.queued, next });
            }
            // What cannot run, whatever it bids, leaves most of the room to what can.
            if self.queued() >= self.limits.count.div_ceil(QUEUED_SHARE) {
                return Err(PoolError::Full);
            }
        }
        Ok(())
    }

    /// Evicts what bids less than `tx` until it fits. Nothing else: what was taken in was
    /// acknowledged, and who pays no more has no better right to the room.
    fn make_room(&mut self, tx: &Tx) -> Result<(), PoolError> {
        let nonce = tx.envelope.nonce();
        let old = self.accounts.get(&tx.sender).and_then(|account| account.txs.get(&nonce));
        let (more, freed) = match old.filter(|old| !old.kept) {
            Some(old) => (0, old.tx.raw.len()),
            None => (1, 0),
        };
        let size = tx.raw.len();
        while self.count + more > self.limits.count || self.bytes - freed + size > self.limits.bytes
        {
            let bid = bid(&tx.envelope);
            let victim = self.victims.iter().find(|victim| victim.2 != tx.sender);
            let victim = victim.filter(|victim| victim.0 < bid);
            let Some(&(.., address)) = victim else { return Err(PoolError::Full) };
            let last = self.accounts[&address].txs.last_key_value();
            let hash = last.map(|(_, entry)| entry.tx.hash);
            let hash = hash.expect("an account in the order of eviction has a transaction");
            self.remove(hash, Some(DropReason::Evicted));
        }
        Ok(())
    }

    /// Puts a transaction in; `facts` count if its sender has no other.
    fn insert(&mut self, entry: Entry, facts: AccountFacts) {
        let (tx, kept) = (entry.tx.clone(), entry.kept);
        let old = self.update(tx.sender, |account| {
            if account.txs.is_empty() {
                account.facts = facts;
            }
            account.insert(entry)
        });
        self.dropped.remove(&tx.hash);
        if let Some(old) = old {
            self.forget(&old, Some(DropReason::Replaced(tx.hash)));
        }
        self.by_hash.insert(tx.hash, (tx.sender, tx.envelope.nonce()));
        if !kept {
            self.count += 1;
            self.bytes += tx.raw.len();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn best(
        &self,
        base_fee: u64,
        max_gas: u64,
        max_bytes: u64,
        max_count: usize,
    ) -> Vec<Arc<Tx>> {
        let rank = |entry: &Entry| -> Option<(bool, u128, Reverse<u64>)> {
            let tip = entry.tx.envelope.effective_tip_per_gas(base_fee)?;
            Some((entry.kept, if entry.kept { 0 } else { tip }, Reverse(entry.seq)))
        };
        let offer = |address: Address, nonce: u64| {
            let account = self.accounts.get(&address).filter(|account| nonce < account.next())?;
            let entry = account.txs.get(&nonce)?;
            Some((rank(entry)?, address, nonce))
        };
        let heads = self.accounts.iter().map(|(address, account)| (*address, account.facts.nonce));
        let mut heap: BinaryHeap<_> =
            heads.filter_map(|(address, nonce)| offer(address, nonce)).collect();
        let (mut best, mut gas, mut bytes) = (Vec::new(), max_gas, max_bytes);
        while best.len() < max_count && gas >= MIN_COST {
            let Some((_, address, nonce)) = heap.pop() else { break };
            let tx = &self.accounts[&address].txs[&nonce].tx;
            let gas_left = gas.checked_sub(tx.envelope.gas_limit());
            let bytes_left = bytes.checked_sub(tx.raw.len() as u64);
            let (Some(gas_left), Some(bytes_left)) = (gas_left, bytes_left) else { continue };
            (gas, bytes) = (gas_left, bytes_left);
            best.push(tx.clone());
            heap.extend(offer(address, nonce + 1));
        }
        best
    }

    pub(super) fn on_block(&mut self, included: &[B256], facts: &[(Address, AccountFacts)]) {
        let mut used: HashMap<Address, u64> = HashMap::new();
        for hash in included {
            let Some((address, nonce)) = self.by_hash.remove(hash) else { continue };
            // Settled once a sender below, however many of its transactions are in.
            let account = self.accounts.get_mut(&address);
            let entry = account.and_then(|account| account.txs.remove(&nonce));
            if let Some(entry) = entry {
                self.forget(&entry, None);
            }
            let next = used.entry(address).or_default();
            *next = (*next).max(nonce + 1);
        }
        for (address, facts) in facts {
            used.remove(address);
            self.learn(*address, |old| *old = *facts);
        }
        for (address, nonce) in used {
            self.learn(address, |old| old.nonce = old.nonce.max(nonce));
        }
    }

    pub(super) fn reinsert(&mut self, txs: Vec<Arc<Tx>>, facts: &[(Address, AccountFacts)]) {
        let known: HashMap<_, _> = facts.iter().copied().collect();
        for (address, facts) in facts {
            self.learn(*address, |old| *old = *facts);
        }
        for tx in txs {
            let (nonce, sender) = (tx.envelope.nonce(), tx.sender);
            let facts = known.get(&sender).copied();
            let used = facts.is_some_and(|facts| nonce < facts.nonce);
            if tx.is_deposit() || self.quarantined.contains(&tx.hash) {
                continue;
            }
            if used {
                // Its author may ask why it is not in the chain: the pool has just begun to know.
                self.spend(tx);
                continue;
            }
            self.remove(tx.hash, None);
            self.seq += 1;
            let unknown = AccountFacts { nonce, balance: U256::MAX, delegated: false };
            self.insert(Entry::new(tx, self.seq, true), facts.unwrap_or(unknown));
        }
        self.unspend(&known);
    }

    /// Remembers a transaction whose nonce is used; forgets the oldest of those beyond the bounds.
    fn spend(&mut self, tx: Arc<Tx>) {
        self.note(tx.hash, DropReason::NonceUsed);
        self.spent_bytes += tx.raw.len();
        self.spent.push_back(tx);
        while self.spent.len() > REMEMBERED || self.spent_bytes > self.limits.bytes {
            let Some(oldest) = self.spent.pop_front() else { break };
            self.spent_bytes -= oldest.raw.len();
        }
    }

    /// Takes in again whose nonce is free again, unless who used it waits in its place.
    fn unspend(&mut self, known: &HashMap<Address, AccountFacts>) {
        for tx in std::mem::take(&mut self.spent) {
            if self.quarantined.contains(&tx.hash) || self.by_hash.contains_key(&tx.hash) {
                self.spent_bytes -= tx.raw.len();
                continue;
            }
            let (nonce, sender) = (tx.envelope.nonce(), tx.sender);
            let facts = known.get(&sender).filter(|facts| facts.nonce <= nonce);
            let account = self.accounts.get(&sender);
            let taken = account.is_some_and(|account| account.txs.contains_key(&nonce));
            match facts {
                Some(facts) if !taken => {
                    self.spent_bytes -= tx.raw.len();
                    self.seq += 1;
                    self.insert(Entry::new(tx, self.seq, true), *facts);
                }
                _ => self.spent.push_back(tx),
            }
        }
    }

    pub(super) fn skipped(&mut self, skipped: &[(B256, SkipReason)]) {
        for (hash, reason) in skipped {
            match reason {
                SkipReason::FeeTooLow { .. }
                | SkipReason::BlockFull { .. }
                | SkipReason::BytesFull { .. }
                | SkipReason::Funds { .. }
                | SkipReason::NonceTooHigh { .. } => {}
                // What the block knew of the sender makes later nonces ready.
                SkipReason::NonceTooLow { state, .. } => {
                    let Some(tx) = self.get(*hash) else { continue };
                    let sender = tx.sender;
                    self.remove(*hash, None);
                    self.spend(tx);
                    self.learn(sender, |facts| facts.nonce = facts.nonce.max(*state));
                }
                // One by one: a new reason must say here whether it is for ever.
                SkipReason::Undecodable(_)
                | SkipReason::ChainId { .. }
                | SkipReason::TipAboveFee
                | SkipReason::IntrinsicGas { .. }
                | SkipReason::GasLimit { .. }
                | SkipReason::SenderNotEoa
                | SkipReason::InitCode { .. }
                | SkipReason::Unsupported(_)
                | SkipReason::Other(_) => {
                    self.remove(*hash, Some(DropReason::Invalid(reason.clone())));
                }
            }
        }
    }

    pub(super) fn accounts_waiting(&self) -> Vec<Address> {
        let held = self.accounts.iter().filter(|(_, account)| account.queued() > 0);
        held.map(|(address, _)| *address).collect()
    }

    pub(super) fn accounts(&self) -> Vec<Address> {
        self.accounts.keys().copied().chain(self.spent.iter().map(|tx| tx.sender)).collect()
    }

    pub(super) fn quarantine(&mut self, hash: B256) {
        self.remove(hash, None);
        self.note(hash, DropReason::Quarantined);
        if self.quarantined.insert(hash) {
            self.quarantined_order.push_back(hash);
        }
        if self.quarantined_order.len() > REMEMBERED
            && let Some(oldest) = self.quarantined_order.pop_front()
        {
            self.quarantined.remove(&oldest);
        }
    }

    pub(super) fn pending_nonce(&self, address: Address, state_nonce: u64) -> u64 {
        let Some(account) = self.accounts.get(&address) else { return state_nonce };
        let nonces = account.txs.range(state_nonce..).map(|(nonce, _)| *nonce);
        nonces.fold(state_nonce, |next, nonce| if nonce == next { next + 1 } else { next })
    }

    pub(super) fn get(&self, hash: B256) -> Option<Arc<Tx>> {
        let (address, nonce) = self.by_hash.get(&hash)?;
        Some(self.accounts.get(address)?.txs.get(nonce)?.tx.clone())
    }

    pub(super) fn dropped(&self, hash: B256) -> Option<DropReason> {
        self.dropped.get(&hash).cloned()
    }

    pub(super) fn content(&self, only: Option<Address>) -> Content {
        let mut content = Content::default();
        for (address, account) in &self.accounts {
            if only.is_some_and(|only| only != *address) {
                continue;
            }
            for (nonce, entry) in &account.txs {
                let ready = (account.facts.nonce..account.next()).contains(nonce);
                let side = if ready { &mut content.pending } else { &mut content.queued };
                side.entry(*address).or_default().insert(*nonce, entry.tx.clone());
            }
        }
        content
    }

    pub(super) fn acknowledged(&self) -> Vec<Arc<Tx>> {
        let entries = self.accounts.values().flat_map(|account| account.txs.values());
        let mut entries: Vec<_> = entries.collect();
        entries.sort_unstable_by_key(|entry| (!entry.kept, entry.seq));
        entries.into_iter().map(|entry| entry.tx.clone()).collect()
    }

    pub(super) fn status(&self) -> Status {
        Status { pending: self.ready, queued: self.queued() }
    }

    fn queued(&self) -> usize {
        self.by_hash.len() - self.ready
    }

    /// Takes new facts of a sender in and forgets its transactions whose nonce is used.
    fn learn(&mut self, address: Address, change: impl FnOnce(&mut AccountFacts)) {
        if !self.accounts.contains_key(&address) {
            return;
        }
        let stale = self.update(address, |account| {
            change(&mut account.facts);
            let rest = account.txs.split_off(&account.facts.nonce);
            let stale = std::mem::replace(&mut account.txs, rest);
            account.settle();
            stale
        });
        for entry in stale.into_values() {
            self.forget(&entry, None);
            self.spend(entry.tx);
        }
    }

    fn remove(&mut self, hash: B256, reason: Option<DropReason>) {
        let Some((address, nonce)) = self.by_hash.get(&hash).copied() else { return };
        let entry = self.update(address, |account| {
            let entry = account.txs.remove(&nonce);
            account.settle();
            entry
        });
        if let Some(entry) = entry {
            self.forget(&entry, reason);
        }
    }

    /// Books a transaction out that its account no longer has.
    fn forget(&mut self, entry: &Entry, reason: Option<DropReason>) {
        self.by_hash.remove(&entry.tx.hash);
        if !entry.kept {
            self.count -= 1;
            self.bytes -= entry.tx.raw.len();
        }
        if let Some(reason) = reason {
            self.note(entry.tx.hash, reason);
        }
    }

    fn note(&mut self, hash: B256, reason: DropReason) {
        if self.dropped.insert(hash, reason).is_none() {
            self.dropped_order.push_back(hash);
        }
        if self.dropped_order.len() > REMEMBERED
            && let Some(oldest) = self.dropped_order.pop_front()
        {
            self.dropped.remove(&oldest);
        }
    }

    /// Changes an account and keeps counts and the order of eviction right around it.
    fn update<T>(&mut self, address: Address, change: impl FnOnce(&mut Account) -> T) -> T {
        let account = self.accounts.entry(address).or_default();
        let ready = account.ready;
        let result = change(account);
        self.ready = self.ready + account.ready - ready;
        let key = account.victim(address);
        let old = std::mem::replace(&mut account.key, key);
        let empty = account.txs.is_empty();
        if old != key {
            if let Some(old) = old {
                self.victims.remove(&old);
            }
            self.victims.extend(key);
        }
        if empty {
            self.accounts.remove(&address);
        }
        result
    }
}

/// A replacement pays at least 10 % more by both fee caps.
fn outbids(new: &Tx, old: &Tx) -> bool {
    let more = |new: u128, old: u128| new.saturating_mul(100) >= old.saturating_mul(110);
    more(new.envelope.max_fee_per_gas(), old.envelope.max_fee_per_gas())
        && more(bid(&new.envelope), bid(&old.envelope))
}
