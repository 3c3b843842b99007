//! State growth: what a block costs on a chain with no other accounts, with many, with very many.

use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::U256;
use causeway_chainspec::Tx;
use jsonrpsee::core::client::ClientT;
use jsonrpsee::core::params::BatchRequestBuilder;
use jsonrpsee::rpc_params;
use serde_json::Value;
use tempfile::TempDir;

use crate::bench::Bench;
use crate::made::{self, Line, Mix, Recipients};
use crate::peers::anvil::Anvil;
use crate::report::{Goal, Row, Section};

/// Senders of a block; accounts that a block touches besides.
const SENDERS: u64 = 200;
/// Cache of the store, bytes: the node's default.
const CACHE: usize = 256 << 20;

/// A chain with so many accounts more than it needs.
struct Grown {
    accounts: u64,
    line: Line,
    rounds: u64,
    empty: Vec<f64>,
    touched: Vec<f64>,
    _dir: TempDir,
}

impl Grown {
    fn open(accounts: u64) -> eyre::Result<Self> {
        let dir = TempDir::new()?;
        let spec = Arc::new(made::spec(0, &made::senders(SENDERS), accounts, &[])?);
        let line = Line::open(dir.path(), spec, CACHE)?;
        Ok(Self { accounts, line, rounds: 0, empty: vec![], touched: vec![], _dir: dir })
    }

    /// The next block of transfers, each to a random one of the accounts, or to somebody new if
    /// there are none.
    fn transfers(&mut self, count: u64) -> eyre::Result<Vec<Arc<Tx>>> {
        let recipients = match self.accounts {
            0 => Recipients::Fresh(self.rounds * count),
            accounts => Recipients::Any(accounts),
        };
        let mix = Mix { recipients, nonce: self.rounds * (count / SENDERS), ..Mix::FRESH };
        self.rounds += 1;
        made::decode(&mix.sign(self.accounts + self.rounds, &made::senders(SENDERS), count))
    }

    /// One block: built, committed durably, and in the store; ms.
    fn block(&mut self, txs: Vec<Arc<Tx>>) -> eyre::Result<f64> {
        let plan = self.line.plan(txs);
        let started = Instant::now();
        let block = self.line.build(plan)?;
        self.line.commit(&block)?;
        self.line.pipeline.flush()?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    }
}

/// The workload `w5-growth`.
pub fn run(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    section.title = "State growth: one block on chains with few and with many accounts".into();
    let sizes = bench.size.pick([0, 2_000, 20_000], [0, 100_000, 1_000_000]);
    let touch = bench.size.pick(400, 2_000);
    let rounds = bench.size.pick(5, 11);
    let mut chains = Vec::new();
    for accounts in sizes {
        let started = Instant::now();
        chains.push(Grown::open(accounts)?);
        let seconds = started.elapsed().as_secs_f64();
        section.note(format!(
            "{} accounts: genesis made and stored in {seconds:.1} s",
            named(accounts)
        ));
    }
    // The first blocks fill caches, and are not counted.
    for round in 0..rounds + 2 {
        for chain in &mut chains {
            let txs = chain.transfers(touch)?;
            let touched = chain.block(txs)?;
            // What the store puts off is paid by the block after.
            chain.block(Vec::new())?;
            let empty = chain.block(Vec::new())?;
            if round >= 2 {
                chain.touched.push(touched);
                chain.empty.push(empty);
            }
        }
    }
    for chain in &chains {
        let name = named(chain.accounts);
        section.row(Row::new(format!("empty block, {name} accounts"), "ms", chain.empty.clone()));
        section.row(Row::new(
            format!("{touch} touched, {name} accounts"),
            "ms",
            chain.touched.clone(),
        ));
    }
    let [none, some, most] = &chains[..] else { eyre::bail!("three chains were opened") };
    let most_of = |what: &str, chain: &Grown| {
        format!("{what}, {} against {} accounts", named(most.accounts), named(chain.accounts))
    };
    let goal = Goal::AtMost(2.0);
    section.row(Row::ratio(most_of("empty block", none), &most.empty, &none.empty).goal(goal));
    let what = format!("{touch} touched");
    section.row(Row::ratio(most_of(&what, some), &most.touched, &some.touched).goal(goal));
    section.note(format!(
        "a block is built, executed again, hashed, synced to the log and written to the store; cache of the store {} MiB; chains interleaved",
        CACHE >> 20
    ));
    peer(bench, section)
}

/// Anvil's empty block, on the same sizes as far as it goes.
fn peer(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    let sizes: &[u64] = bench.size.pick(&[0, 2_000], &[0, 20_000, 60_000]);
    let anvil = Anvil::start()?;
    bench.runtime.block_on(async {
        let client = causeway_tests::load::client(&format!("http://{}", anvil.rpc))?;
        client.request::<Value, _>("evm_setIntervalMining", rpc_params![0]).await?;
        let mut there = 0;
        for accounts in sizes {
            let missing: Vec<u64> = (there..*accounts).collect();
            for some in missing.chunks(500) {
                let mut calls = BatchRequestBuilder::new();
                for index in some {
                    let address = made::account(made::THERE, *index);
                    calls.insert("anvil_setBalance", rpc_params![address, U256::from(1)])?;
                }
                client.batch_request::<Value>(calls).await?;
            }
            there = *accounts;
            let mut samples = Vec::new();
            for round in 0..bench.size.pick(4, 8) {
                let started = Instant::now();
                client.request::<Value, _>("evm_mine", rpc_params![]).await?;
                if round > 0 {
                    samples.push(started.elapsed().as_secs_f64() * 1e3);
                }
            }
            let what = format!("anvil: empty block, {} accounts", named(*accounts));
            section.row(Row::new(what, "ms", samples));
        }
        Ok(())
    })
}

/// A number of accounts in words.
fn named(accounts: u64) -> String {
    match accounts {
        0 => "0".into(),
        millions if millions % 1_000_000 == 0 => format!("{}M", millions / 1_000_000),
        thousands => format!("{}k", thousands / 1_000),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn chains_grow_by_blocks_that_are_taken_whole() {
        for accounts in [0, 1_000] {
            let mut chain = Grown::open(accounts).unwrap();
            for _ in 0..2 {
                let txs = chain.transfers(2 * SENDERS).unwrap();
                assert_eq!(txs.len() as u64, 2 * SENDERS);
                assert!(chain.block(txs).unwrap() > 0.0);
            }
            assert!(chain.block(Vec::new()).unwrap() > 0.0);
            assert_eq!(chain.line.tip.number, 3);
        }
        assert_eq!([named(0), named(20_000), named(1_000_000)], ["0", "20k", "1M"]);
    }
}
