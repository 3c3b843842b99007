//! Unit costs and the bounds that follow from them, all measured in this run.

use eyre::ensure;

use crate::bench::Bench;
use crate::limits::costs::{self, Effort};
use crate::limits::{split_bound, two_core_bound};
use crate::report::{Goal, Row, Section};

/// What each step costs at least, us of CPU time.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    /// Decode, hash and recover a transaction.
    pub recover: f64,
    /// Execute a transfer in raw revm.
    pub transfer: f64,
    /// Both ordered roots, a transaction.
    pub roots: f64,
    /// A leaf of a state or storage trie.
    pub leaf: f64,
    /// A row of the store.
    pub row: f64,
    /// A transaction in the log.
    pub log: f64,
}

/// How much of it a transaction needs. What a whole block shares is not counted: a limit that is too
/// high is fair, one that is too low is not.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Execution in raw revm, us.
    pub execute: f64,
    /// Leaves of tries that are its own.
    pub leaves: f64,
    /// Rows of the store that are its own.
    pub rows: f64,
}

impl Unit {
    /// A transfer to a fresh recipient: its account, that account's leaf and row, and the
    /// transaction's place. The sender and the branches above are shared by a block.
    pub fn transfer(&self) -> Need {
        Need { execute: self.transfer, leaves: 1.0, rows: costs::TRANSFER_ROWS }
    }

    /// Everything behind recovering the sender.
    fn rest(&self, need: &Need) -> [f64; 5] {
        let (trie, rows) = (need.leaves * self.leaf, need.rows * self.row);
        [need.execute, trie, self.roots, rows, self.log]
    }

    /// Transactions a second on two cores that share perfectly; `beside` is what else they do for
    /// each (JSON-RPC, the client), us.
    pub fn bound(&self, need: &Need, beside: &[f64]) -> f64 {
        two_core_bound(&[&[self.recover][..], &self.rest(need), beside].concat())
    }

    /// Transactions a second with one core for recovering and one for the rest.
    pub fn split(&self, need: &Need) -> f64 {
        split_bound(self.recover, &self.rest(need))
    }
}

fn effort(bench: &Bench) -> Effort {
    Effort {
        repeats: bench.size.pick(5, 9),
        txs: bench.size.pick(1_000, 5_000),
        accounts: bench.size.pick(10_000, 100_000),
    }
}

/// Measures what steps cost at least, and writes it down.
pub fn measure(bench: &Bench, section: &mut Section) -> eyre::Result<Unit> {
    let effort = effort(bench);
    let dir = tempfile::TempDir::new()?;
    let mut measured = |what: &str, samples: Vec<f64>| {
        let row = Row::new(what, "us", samples);
        let median = row.median();
        section.row(row);
        median
    };
    let (ours, pure) = costs::recover(effort)?;
    let recover = measured("decode, hash and recover a transfer", ours.clone());
    measured("recover in pure Rust (k256)", pure.clone());
    let transfer = measured("execute a transfer in raw revm", costs::transfer(effort)?);
    let roots = measured("both ordered roots, a transfer", costs::roots(effort)?);
    let leaf = measured("state trie in memory, an account", costs::trie_update(effort)?);
    let row = measured("raw redb, a row", costs::row(effort, dir.path())?);
    let (log, waits) = costs::log(effort, dir.path())?;
    let log = measured("raw log, a transfer", log);
    section.row(Row::new("one fdatasync", "ms", waits));
    let apart = Row::ratio("pure Rust against the node's recover", &pure, &ours);
    let times = apart.median();
    section.row(apart.goal(Goal::AtLeast(3.0)));
    ensure!(times >= 3.0, "senders are not recovered through C secp256k1: only {times:.1}x");
    section.note("recover goes through C secp256k1");
    Ok(Unit { recover, transfer, roots, leaf, row, log })
}

/// The workload `limits`.
pub fn run(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    section.title =
        "CPU time of each step a transfer needs, done by the leanest code for it".into();
    let unit = measure(bench, section)?;
    let need = unit.transfer();
    let bound = |what: &str, bound: f64| Row::new(what, "tx/s", vec![bound]);
    section.row(bound("two-core bound of transfers, without JSON-RPC", unit.bound(&need, &[])));
    section.row(bound("the same, recovering on a core of its own", unit.split(&need)));
    section.note(format!(
        "two-core bound = 2 / (recover + execute + {} leaf + roots + {} rows + log); fresh recipients, so senders and branches are shared by a block",
        need.leaves, need.rows
    ));
    section.note("the trie is the node's own code over nodes in memory, 2,000 accounts touched at once; a row is 100 bytes at a random key, in one durable commit for all");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_count_what_a_transaction_needs() {
        let (recover, transfer, roots, leaf, row, log) = (40.0, 2.0, 3.0, 5.0, 4.0, 1.0);
        let unit = Unit { recover, transfer, roots, leaf, row, log };
        let need = unit.transfer();
        // 40 + 2 + 5 + 3 + 12 + 1, and 2 for a client.
        assert_eq!(unit.bound(&need, &[]), 2e6 / 63.0);
        assert_eq!(unit.bound(&need, &[2.0]), 2e6 / 65.0);
        assert_eq!(unit.split(&need), 1e6 / 40.0);
        let heavy = Need { execute: 100.0, leaves: 0.0, rows: 0.0 };
        assert_eq!(unit.split(&heavy), 1e6 / 104.0);
    }
}
