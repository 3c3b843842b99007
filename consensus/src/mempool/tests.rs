//! The pool against a model that does everything the slow way, and its rules one by one.

use std::collections::BTreeSet;

use alloy_consensus::Transaction;
use alloy_primitives::U256;
use proptest::prelude::*;

use super::account::{bid, max_cost};
use super::*;
use crate::testkit::tx;

fn rich(nonce: u64) -> AccountFacts {
    AccountFacts { nonce, balance: U256::from(10u64).pow(U256::from(30)), delegated: false }
}

fn address(sender: u8) -> Address {
    Address::repeat_byte(sender)
}

fn pool(count: usize) -> Mempool {
    Mempool::new(Limits { queued: 3, count, bytes: 1 << 20, tx_bytes: 1_000 })
}

fn nonces(txs: &[Arc<Tx>]) -> Vec<(u8, u64)> {
    txs.iter().map(|tx| (tx.sender.0[0], tx.envelope.nonce())).collect()
}

fn all(pool: &Mempool) -> Vec<(u8, u64)> {
    nonces(&pool.best(0, u64::MAX, u64::MAX, usize::MAX))
}

#[test]
fn refusals_have_the_texts_clients_know() {
    let pool = pool(10);
    let first = tx(1, 5, 10, 100, 0);
    pool.add(first.clone(), rich(5)).unwrap();
    let text = |result: Result<(), PoolError>| result.unwrap_err().to_string();
    assert_eq!(text(pool.add(first, rich(5))), "already known");
    let cheap = tx(1, 5, 11, 109, 0);
    assert_eq!(text(pool.add(cheap, rich(5))), "replacement transaction underpriced");
    let low = tx(1, 3, 10, 100, 0);
    assert_eq!(text(pool.add(low, rich(5))), "nonce too low: next nonce 5, tx nonce 3");
    let large = tx(1, 6, 10, 100, 1_000);
    assert!(text(pool.add(large, rich(5))).starts_with("oversized data"));
    let poor = AccountFacts { balance: U256::from(4_200_001u64), ..rich(5) };
    assert_eq!(
        text(pool.add(tx(1, 6, 10, 100, 0), poor)),
        "insufficient funds for gas * price + value: have 4200001 want 4200002"
    );
    let delegated = AccountFacts { delegated: true, ..rich(5) };
    assert!(text(pool.add(tx(1, 6, 10, 100, 0), delegated)).starts_with("in-flight"));
}

#[test]
fn a_replacement_pays_ten_percent_more() {
    let pool = pool(10);
    let old = tx(1, 0, 10, 100, 0);
    let new = tx(1, 0, 11, 110, 0);
    pool.add(old.clone(), rich(0)).unwrap();
    pool.add(new.clone(), rich(0)).unwrap();
    assert_eq!(pool.dropped(old.hash), Some(DropReason::Replaced(new.hash)));
    assert_eq!(pool.get(old.hash), None);
    assert_eq!(pool.get(new.hash), Some(new));
    assert_eq!(pool.status(), Status { pending: 1, queued: 0 });
}

#[test]
fn nonces_decide_what_is_pending() {
    let pool = pool(10);
    pool.add(tx(1, 2, 1, 1, 0), rich(0)).unwrap();
    pool.add(tx(1, 0, 1, 1, 0), rich(0)).unwrap();
    assert_eq!(pool.status(), Status { pending: 1, queued: 1 });
    assert_eq!(pool.pending_nonce(address(1), 0), 1);
    assert_eq!(pool.content().queued[&address(1)].keys().collect::<Vec<_>>(), [&2]);
    pool.add(tx(1, 1, 1, 1, 0), rich(0)).unwrap();
    assert_eq!(pool.pending_nonce(address(1), 0), 3);
    assert_eq!(pool.pending_nonce(address(9), 4), 4);
    assert_eq!(all(&pool), [(1, 0), (1, 1), (1, 2)]);
    assert_eq!(pool.content_of(address(1)).pending[&address(1)].len(), 3);
    // Behind a gap only so many.
    for nonce in [11, 12, 13] {
        pool.add(tx(1, nonce, 1, 1, 0), rich(0)).unwrap();
    }
    let error = pool.add(tx(1, 14, 1, 1, 0), rich(0)).unwrap_err();
    assert_eq!(error, PoolError::AccountLimit { most: 3, next: 3 });
}

#[test]
fn best_is_by_tip_then_arrival_within_what_fits() {
    let pool = pool(10);
    pool.add(tx(1, 0, 1, 50, 0), rich(0)).unwrap();
    pool.add(tx(1, 1, 9, 50, 0), rich(0)).unwrap();
    pool.add(tx(2, 0, 5, 50, 0), rich(0)).unwrap();
    pool.add(tx(3, 0, 5, 50, 0), rich(0)).unwrap();
    pool.add(tx(4, 0, 50, 50, 700), rich(0)).unwrap();
    assert_eq!(all(&pool), [(4, 0), (2, 0), (3, 0), (1, 0), (1, 1)]);
    // At a base fee of 48 the cap leaves 2 of tip at most.
    let at = |fee, bytes, count| nonces(&pool.best(fee, u64::MAX, bytes, count));
    assert_eq!(at(48, u64::MAX, 9), [(2, 0), (3, 0), (4, 0), (1, 0), (1, 1)]);
    assert_eq!(at(51, u64::MAX, 9), []);
    assert_eq!(at(0, 600, 3), [(2, 0), (3, 0), (1, 0)]);
    let by_gas = |gas| nonces(&pool.best(0, gas, u64::MAX, usize::MAX));
    assert_eq!(by_gas(20_999), []);
    assert_eq!(by_gas(3 * 21_000 - 1), [(4, 0), (2, 0)]);
    assert_eq!(by_gas(3 * 21_000), [(4, 0), (2, 0), (3, 0)]);
}

#[test]
fn a_full_pool_puts_out_what_bids_less_and_nothing_else() {
    let pool = pool(4);
    let gap = tx(1, 7, 3, 99, 0);
    pool.add(gap.clone(), rich(0)).unwrap();
    for nonce in 0..3 {
        pool.add(tx(2, nonce, 2, 99, 0), rich(0)).unwrap();
    }
    // Who pays no more gets no room, however much of it one sender has.
    assert_eq!(pool.add(tx(3, 0, 2, 99, 0), rich(0)), Err(PoolError::Full));
    assert_eq!(all(&pool), [(2, 0), (2, 1), (2, 2)]);
    let last = pool.content().pending[&address(2)][&2].hash;
    pool.add(tx(3, 0, 5, 99, 0), rich(0)).unwrap();
    assert_eq!(pool.dropped(last), Some(DropReason::Evicted));
    pool.add(tx(4, 0, 4, 99, 0), rich(0)).unwrap();
    assert_eq!(all(&pool), [(3, 0), (4, 0), (2, 0)]);
    // The one behind a gap goes by its bid, like all.
    pool.add(tx(5, 0, 4, 99, 0), rich(0)).unwrap();
    pool.add(tx(6, 0, 4, 99, 0), rich(0)).unwrap();
    assert_eq!(pool.dropped(gap.hash), Some(DropReason::Evicted));
}

#[test]
fn what_cannot_run_takes_a_quarter_of_the_room_at_most() {
    let pool = pool(8);
    pool.add(tx(1, 7, 99, 99, 0), rich(0)).unwrap();
    pool.add(tx(2, 7, 99, 99, 0), rich(0)).unwrap();
    assert_eq!(pool.add(tx(3, 7, 99, 99, 0), rich(0)), Err(PoolError::Full));
    // In the place of another it takes no room.
    pool.add(tx(2, 7, 200, 200, 0), rich(0)).unwrap();
    for nonce in 0..6 {
        pool.add(tx(3, nonce, 1, 99, 0), rich(0)).unwrap();
    }
    assert_eq!(pool.status(), Status { pending: 6, queued: 2 });
    // A gap that is filled makes room.
    pool.add(tx(1, 6, 99, 99, 0), rich(6)).unwrap();
    assert_eq!(pool.status().queued, 1);
}

#[test]
fn a_block_removes_what_it_holds_and_what_it_outdates() {
    let pool = pool(10);
    let txs: Vec<_> = (0..3).map(|nonce| tx(1, nonce, 1, 1, 0)).collect();
    for tx in &txs {
        pool.add(tx.clone(), rich(0)).unwrap();
    }
    pool.add(tx(2, 0, 1, 1, 0), rich(0)).unwrap();
    let mut waiting = pool.waiting();
    assert_eq!(*waiting.borrow_and_update(), 4);
    // A rival used nonce 1.
    pool.on_block(&[txs[0].hash], &[(address(1), rich(2)), (address(9), rich(1))]);
    assert_eq!(all(&pool), [(1, 2), (2, 0)]);
    assert_eq!(pool.dropped(txs[0].hash), None);
    assert_eq!(pool.dropped(txs[1].hash), Some(DropReason::NonceUsed));
    assert!(waiting.has_changed().unwrap());
    assert_eq!(*waiting.borrow(), 2);
    // What was read before that block does not turn it back.
    assert!(matches!(
        pool.add(tx(1, 0, 1, 1, 0), rich(0)),
        Err(PoolError::NonceTooLow { state: 2, tx: 0 })
    ));
    // Facts may be missing: the included nonce says enough.
    pool.on_block(&[tx(2, 0, 1, 1, 0).hash], &[]);
    assert_eq!(all(&pool), [(1, 2)]);
    // Without funds it waits, and comes back with them.
    pool.on_block(&[], &[(address(1), AccountFacts { balance: U256::ZERO, ..rich(2) })]);
    assert_eq!(pool.status(), Status { pending: 0, queued: 1 });
    pool.on_block(&[], &[(address(1), rich(2))]);
    assert_eq!(pool.status(), Status { pending: 1, queued: 0 });
}

#[test]
fn transactions_of_replaced_blocks_come_first_and_stay() {
    let pool = pool(2);
    let back = [tx(1, 0, 1, 9, 0), tx(2, 0, 9, 9, 0), tx(1, 1, 1, 9, 0), tx(3, 4, 1, 9, 0)];
    let rival = tx(2, 0, 99, 99, 0);
    pool.add(rival.clone(), rich(0)).unwrap();
    pool.add(tx(4, 0, 99, 99, 0), rich(0)).unwrap();
    let facts = [(address(1), rich(0)), (address(2), rich(0)), (address(3), rich(5))];
    pool.reinsert(back.to_vec(), &facts);
    // Old order, ahead of all, outside the limits; a used nonce is over, a rival gives way.
    assert_eq!(all(&pool), [(1, 0), (2, 0), (1, 1), (4, 0)]);
    assert_eq!(pool.dropped(rival.hash), Some(DropReason::Replaced(back[1].hash)));
    assert_eq!(nonces(&pool.acknowledged()), [(1, 0), (2, 0), (1, 1), (4, 0)]);
    // They take no room, and nothing puts them out.
    pool.add(tx(5, 0, 1, 99, 0), rich(0)).unwrap();
    pool.add(tx(6, 0, 2, 99, 0), rich(0)).unwrap();
    assert_eq!(pool.status().pending, 5);
    assert!(back[..3].iter().all(|tx| pool.get(tx.hash).is_some()));
    pool.on_block(&[back[0].hash, back[1].hash, back[2].hash], &[]);
    assert_eq!(all(&pool), [(4, 0), (6, 0)]);
}

#[test]
fn who_left_for_a_used_nonce_comes_back_when_the_nonce_does() {
    let pool = pool(10);
    let (one, two) = (tx(1, 1, 1, 1, 0), tx(2, 0, 1, 1, 0));
    pool.add(one.clone(), rich(1)).unwrap();
    pool.add(two.clone(), rich(0)).unwrap();
    // A block uses both nonces: one by an authorization, one by a transaction it got elsewhere.
    let rival = tx(2, 0, 2, 2, 0);
    pool.on_block(&[rival.hash], &[(address(1), rich(2)), (address(2), rich(1))]);
    assert_eq!(pool.dropped(one.hash), Some(DropReason::NonceUsed));
    assert_eq!((all(&pool), pool.accounts()), (vec![], vec![address(1), address(2)]));
    // The block is replaced: its own transaction is first in line for its nonce.
    pool.reinsert(vec![rival], &[(address(1), rich(1)), (address(2), rich(0))]);
    assert_eq!(all(&pool), [(2, 0), (1, 1)]);
    assert_eq!((pool.dropped(one.hash), pool.get(one.hash)), (None, Some(one)));
    assert_eq!(pool.dropped(two.hash), Some(DropReason::NonceUsed));
}

#[test]
fn a_restart_tells_whose_nonce_was_used_meanwhile() {
    let pool = pool(10);
    let late = tx(1, 0, 1, 1, 0);
    pool.reinsert(vec![late.clone()], &[(address(1), rich(1))]);
    assert_eq!((all(&pool), pool.dropped(late.hash)), (vec![], Some(DropReason::NonceUsed)));
}

#[test]
fn quarantined_and_impossible_transactions_leave() {
    let pool = pool(10);
    let (bad, odd, fine) = (tx(1, 0, 1, 1, 0), tx(2, 0, 1, 1, 0), tx(3, 0, 1, 1, 0));
    for tx in [&bad, &odd, &fine] {
        pool.add(tx.clone(), rich(0)).unwrap();
    }
    pool.quarantine(bad.hash);
    assert_eq!(pool.dropped(bad.hash), Some(DropReason::Quarantined));
    assert_eq!(pool.add(bad.clone(), rich(0)), Err(PoolError::Quarantined));
    pool.reinsert(vec![bad], &[(address(1), rich(0))]);
    pool.skipped(&[
        (odd.hash, SkipReason::TipAboveFee),
        (fine.hash, SkipReason::FeeTooLow { max_fee: 1, base_fee: 2 }),
    ]);
    assert_eq!(pool.dropped(odd.hash), Some(DropReason::Invalid(SkipReason::TipAboveFee)));
    assert_eq!(all(&pool), [(3, 0)]);
}

#[test]
fn what_is_quarantined_does_not_come_back_with_its_nonce() {
    let pool = pool(10);
    let bad = tx(1, 0, 1, 1, 0);
    pool.reinsert(vec![bad.clone()], &[(address(1), rich(1))]);
    pool.quarantine(bad.hash);
    pool.reinsert(vec![], &[(address(1), rich(0))]);
    assert_eq!((all(&pool), pool.accounts()), (vec![], vec![]));
}

#[test]
fn what_a_block_says_of_a_nonce_makes_later_ones_ready() {
    let pool = pool(10);
    let txs: Vec<_> = [0, 2].map(|nonce| tx(1, nonce, 1, 1, 0)).into();
    for tx in &txs {
        pool.add(tx.clone(), rich(0)).unwrap();
    }
    pool.add(tx(2, 0, 1, 1, 0), rich(0)).unwrap();
    assert_eq!(pool.accounts_waiting(), [address(1)]);
    // A forced entry used nonces 0 and 1.
    pool.skipped(&[(txs[0].hash, SkipReason::NonceTooLow { state: 2, tx: 0 })]);
    assert_eq!(pool.dropped(txs[0].hash), Some(DropReason::NonceUsed));
    assert_eq!(all(&pool), [(1, 2), (2, 0)]);
    assert!(pool.accounts_waiting().is_empty());
    // Facts that are read later replace what was known, in both directions.
    let poor = AccountFacts { balance: U256::ZERO, ..rich(0) };
    pool.learn(&[(address(1), rich(1)), (address(2), poor), (address(9), rich(3))]);
    assert_eq!(pool.status(), Status { pending: 0, queued: 2 });
    let waiting: BTreeSet<_> = pool.accounts_waiting().into_iter().collect();
    assert_eq!(waiting, [address(1), address(2)].into());
    pool.learn(&[(address(1), rich(2)), (address(2), rich(0))]);
    assert_eq!(all(&pool), [(1, 2), (2, 0)]);
}

#[test]
fn what_only_found_no_room_stays() {
    let pool = pool(10);
    let tx = tx(1, 0, 1, 1, 0);
    pool.add(tx.clone(), rich(0)).unwrap();
    let bytes = SkipReason::BytesFull { have: 100, left: 99 };
    pool.skipped(&[(tx.hash, SkipReason::BlockFull { have: 2, left: 1 }), (tx.hash, bytes)]);
    assert_eq!(pool.dropped(tx.hash), None);
    assert_eq!(all(&pool), [(1, 0)]);
}

#[test]
fn subscribers_hear_of_what_is_durable() {
    let pool = pool(10);
    let mut added = pool.subscribe();
    let tx = tx(1, 0, 1, 1, 0);
    pool.add(tx.clone(), rich(0)).unwrap();
    assert!(added.try_recv().is_err());
    pool.announce(tx.clone());
    assert_eq!(added.try_recv(), Ok(tx));
    assert!(added.try_recv().is_err());
}

/// The pool without limits in all, as lists that are searched.
#[derive(Default)]
struct Model {
    txs: Vec<(Arc<Tx>, bool)>,
    facts: BTreeMap<Address, AccountFacts>,
}

impl Model {
    fn of(&self, sender: Address) -> BTreeMap<u64, Arc<Tx>> {
        let own = self.txs.iter().filter(|(tx, _)| tx.sender == sender);
        own.map(|(tx, _)| (tx.envelope.nonce(), tx.clone())).collect()
    }

    fn ready(&self, sender: Address) -> Vec<Arc<Tx>> {
        let facts = self.facts.get(&sender).copied().unwrap_or_default();
        let own = self.of(sender);
        let mut funds = facts.balance;
        (facts.nonce..)
            .map_while(|nonce| own.get(&nonce).cloned())
            .take_while(|tx| match funds.checked_sub(max_cost(tx)) {
                Some(rest) => {
                    funds = rest;
                    true
                }
                None => false,
            })
            .collect()
    }

    fn add(&mut self, tx: Arc<Tx>) -> bool {
        let facts = self.facts.get(&tx.sender).copied().unwrap_or_default();
        let nonce = tx.envelope.nonce();
        let own = self.of(tx.sender);
        let next = facts.nonce + self.ready(tx.sender).len() as u64;
        let others = own.values().filter(|old| old.envelope.nonce() != nonce);
        let cost = others.map(|old| max_cost(old)).fold(max_cost(&tx), |a, b| a + b);
        let replaces = own.get(&nonce);
        let bump = replaces.is_none_or(|old| {
            tx.envelope.max_fee_per_gas() * 10 >= old.envelope.max_fee_per_gas() * 11
                && bid(&tx.envelope) * 10 >= bid(&old.envelope) * 11
        });
        let queued = own.len() - self.ready(tx.sender).len();
        let crowded = nonce > next && replaces.is_none() && queued >= 3;
        let known = self.txs.iter().any(|(old, _)| old.hash == tx.hash);
        if known || nonce < facts.nonce || !bump || cost > facts.balance || crowded {
            return false;
        }
        self.put(tx, false);
        true
    }

    fn put(&mut self, tx: Arc<Tx>, kept: bool) {
        let at = (tx.sender, tx.envelope.nonce());
        self.txs.retain(|(old, _)| (old.sender, old.envelope.nonce()) != at);
        self.txs.push((tx, kept));
    }

    fn learn(&mut self, sender: Address, facts: AccountFacts) {
        self.facts.insert(sender, facts);
        self.txs.retain(|(tx, _)| tx.sender != sender || tx.envelope.nonce() >= facts.nonce);
    }

    fn best(&self, base_fee: u64, count: usize) -> Vec<Arc<Tx>> {
        let senders: BTreeSet<_> = self.txs.iter().map(|(tx, _)| tx.sender).collect();
        let mut lines: Vec<_> = senders.iter().map(|sender| self.ready(*sender)).collect();
        let rank = |tx: &Arc<Tx>| {
            let at = self.txs.iter().position(|(old, _)| old.hash == tx.hash).unwrap();
            let tip = tx.envelope.effective_tip_per_gas(base_fee)?;
            let kept = self.txs[at].1;
            Some((kept, if kept { 0 } else { tip }, std::cmp::Reverse(at)))
        };
        let mut best = Vec::new();
        while best.len() < count {
            let heads = lines.iter_mut().filter(|line| line.first().and_then(rank).is_some());
            let Some(line) = heads.max_by_key(|line| rank(&line[0])) else { break };
            best.push(line.remove(0));
        }
        best
    }
}

#[derive(Debug, Clone)]
enum Op {
    Add { sender: u8, nonce: u64, tip: u128, fee: u128 },
    Block { base_fee: u64, count: usize },
    Replace,
    Facts { sender: u8, nonce: u64, balance: u64 },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let add = (1..5u8, 0..8u64, 1..40u128, 0..40u128)
        .prop_map(|(sender, nonce, tip, more)| Op::Add { sender, nonce, tip, fee: tip + more });
    let block = (0..40u64, 0..6usize).prop_map(|(base_fee, count)| Op::Block { base_fee, count });
    let facts = (1..5u8, 0..5u64, 0..8_000_000u64).prop_map(|(sender, nonce, balance)| Op::Facts {
        sender,
        nonce,
        balance,
    });
    prop::collection::vec(
        prop_oneof![12 => add, 3 => block, 1 => Just(Op::Replace), 2 => facts],
        1..80,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn agrees_with_the_model(ops in ops()) {
        let pool = pool(1_000);
        let mut model = Model::default();
        for sender in 1..5 {
            let facts = AccountFacts { balance: U256::from(4_000_000u64), ..Default::default() };
            model.learn(address(sender), facts);
        }
        let mut last: Vec<Arc<Tx>> = Vec::new();
        for op in ops {
            match op {
                Op::Add { sender, nonce, tip, fee } => {
                    let tx = tx(sender, nonce, tip, fee, 0);
                    let facts = model.facts[&address(sender)];
                    prop_assert_eq!(pool.add(tx.clone(), facts).is_ok(), model.add(tx));
                }
                Op::Block { base_fee, count } => {
                    let best = pool.best(base_fee, u64::MAX, u64::MAX, count);
                    prop_assert_eq!(&best, &model.best(base_fee, count));
                    let mut touched = BTreeMap::new();
                    for tx in &best {
                        let facts = touched.entry(tx.sender).or_insert(model.facts[&tx.sender]);
                        facts.nonce = tx.envelope.nonce() + 1;
                        facts.balance -= max_cost(tx);
                    }
                    for (sender, facts) in &touched {
                        model.learn(*sender, *facts);
                    }
                    let included: Vec<_> = best.iter().map(|tx| tx.hash).collect();
                    pool.on_block(&included, &touched.into_iter().collect::<Vec<_>>());
                    last = best;
                }
                Op::Replace => {
                    let mut facts = BTreeMap::new();
                    for tx in last.iter().rev() {
                        let entry = facts.entry(tx.sender).or_insert(model.facts[&tx.sender]);
                        entry.nonce = entry.nonce.min(tx.envelope.nonce());
                    }
                    for (sender, facts) in &facts {
                        model.learn(*sender, *facts);
                    }
                    for tx in &last {
                        model.put(tx.clone(), true);
                    }
                    let facts: Vec<_> = facts.into_iter().collect();
                    pool.reinsert(std::mem::take(&mut last), &facts);
                }
                Op::Facts { sender, nonce, balance } => {
                    last.clear();
                    let nonce = nonce.max(model.facts[&address(sender)].nonce);
                    let facts =
                        AccountFacts { nonce, balance: U256::from(balance), delegated: false };
                    model.learn(address(sender), facts);
                    pool.on_block(&[], &[(address(sender), facts)]);
                }
            }
            let pending: usize = (1..5).map(|s| model.ready(address(s)).len()).sum();
            let queued = model.txs.len() - pending;
            prop_assert_eq!(pool.status(), Status { pending, queued });
            prop_assert_eq!(*pool.waiting().borrow(), pending);
            prop_assert_eq!(pool.acknowledged().len(), pending + queued);
        }
    }

    /// Whatever comes, the bounds hold and every transaction that was let in has a fate.
    #[test]
    fn stays_within_its_bounds(ops in ops(), count in 1..6usize) {
        let pool = pool(count);
        let mut entered = Vec::new();
        for op in ops {
            let Op::Add { sender, nonce, tip, fee } = op else { continue };
            let tx = tx(sender, nonce, tip, fee, 0);
            if pool.add(tx.clone(), rich(0)).is_ok() {
                entered.push(tx.hash);
            }
            let status = pool.status();
            prop_assert!(status.pending + status.queued <= count);
            for hash in &entered {
                prop_assert!(pool.get(*hash).is_some() != pool.dropped(*hash).is_some());
            }
        }
    }
}
