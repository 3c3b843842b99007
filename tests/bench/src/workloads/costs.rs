//! Unit costs and the bounds that follow from them, all measured in this run.

use eyre::ensure;

use crate::bench::Bench;
use crate::limits::costs::{self, Effort, TRANSFER_ACCOUNTS, TRANSFER_ROWS};
use crate::limits::{split_bound, two_core_bound};
use crate::report::{Goal, Row, Section};

/// The costs of a transfer, us of CPU time each.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// Decode, hash, recover.
    pub recover: f64,
    /// Everything behind it.
    pub rest: [f64; 5],
}

impl Transfer {
    /// A node that does nothing else, with cores that share perfectly; tx/s.
    pub fn bound(&self) -> f64 {
        let [execute, trie, roots, rows, log] = self.rest;
        two_core_bound(&[self.recover, execute, trie, roots, rows, log])
    }

    /// With one core for recovering; tx/s.
    pub fn split(&self) -> f64 {
        split_bound(self.recover, &self.rest)
    }
}

fn effort(bench: &Bench) -> Effort {
    Effort {
        repeats: bench.size.pick(5, 9),
        txs: bench.size.pick(1_000, 5_000),
        accounts: bench.size.pick(10_000, 100_000),
    }
}

/// Measures what a transfer costs at least, and writes it down.
pub fn transfer(bench: &Bench, section: &mut Section) -> eyre::Result<Transfer> {
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
    let execute = measured("execute a transfer in raw revm", costs::transfer(effort)?);
    let roots = measured("both ordered roots, a transfer", costs::roots(effort)?);
    let trie = measured("state trie in memory, an account", costs::trie_update(effort)?);
    let row = measured("raw redb, a row", costs::row(effort, dir.path())?);
    let (log, waits) = costs::log(effort, dir.path())?;
    let log = measured("raw log, a transfer", log);
    section.row(Row::new("one fdatasync", "ms", waits));
    section.row(
        Row::ratio("pure Rust against the node's recover", &pure, &ours).goal(Goal::AtLeast(3.0)),
    );
    let apart = Row::ratio("", &pure, &ours).median();
    ensure!(apart >= 3.0, "senders are not recovered through C secp256k1: only {apart:.1}x");
    section.note("recover goes through C secp256k1");
    Ok(Transfer {
        recover,
        rest: [execute, TRANSFER_ACCOUNTS * trie, roots, TRANSFER_ROWS * row, log],
    })
}

/// The workload `limits`.
pub fn run(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    section.title =
        "CPU time of each step a transfer needs, done by the leanest code for it".into();
    let costs = transfer(bench, section)?;
    let (bound, split) = (costs.bound(), costs.split());
    section.row(Row::new(
        "two-core bound of transfers, without JSON-RPC and client",
        "tx/s",
        vec![bound],
    ));
    section.row(Row::new(
        "bound with recovering on one core and the rest on the other",
        "tx/s",
        vec![split],
    ));
    section.note(format!(
        "two-core bound = 2 / (recover + execute + {TRANSFER_ACCOUNTS} account of trie + roots + {TRANSFER_ROWS} rows + log); fresh recipients, so senders and branches are shared by a block"
    ));
    section.note("the trie is the node's own code over nodes in memory, 2,000 accounts touched at once; a row is 100 bytes at a random key, in one durable commit for all");
    Ok(())
}
