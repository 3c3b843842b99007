//! Confirmation: 10 ms blocks, 500 transactions a second, each waits for its receipt.

use super::runs::{Run, Work, column, interleaved};
use super::transfers::transfers;
use crate::bench::Bench;
use crate::load::{Pace, Plan, Transport};
use crate::node::Chain;
use crate::peers::Who;
use crate::report::{Curve, Goal, Row, Section};
use crate::sign::Sender;

/// Transactions a second.
const RATE: f64 = 500.0;

pub fn run(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    let count = bench.size.pick(1_000, 5_000);
    let (txs, expected, senders) = transfers(count)?;
    section.title = format!(
        "{count} transfers at {RATE} a second, 10 ms blocks; eth_sendRawTransactionSync answers when sealed and durable"
    );
    let funded = senders.iter().map(Sender::address).collect();
    let chain = Chain { funded, ..Chain::every_ms(10) };
    let work = Work { chain: &chain, set_up: &[], txs: &txs, expected: &expected };
    let plan = Plan {
        pace: Pace::Open(RATE),
        method: "eth_sendRawTransactionSync",
        ..Plan::closed(Transport::Http { batch: 1 }, 64)
    };
    let rounds = interleaved(bench, section, "confirmation", &[Who::Causeway], &work, plan);
    let at = |percentile: f64| {
        let ms = move |run: &Run| run.outcome.answered.value_at_percentile(percentile) as f64 / 1e3;
        column(&rounds, 0, ms)
    };
    section.row(Row::new("p50", "ms", at(50.0)).goal(Goal::AtMost(15.0)));
    section.row(Row::new("p90", "ms", at(90.0)));
    section.row(Row::new("p99", "ms", at(99.0)).goal(Goal::AtMost(40.0)));
    section.row(Row::new("CPU time of the server", "us/tx", column(&rounds, 0, Run::server_us)));
    for (round, runs) in (1..).zip(&rounds) {
        let name = format!("round {round}: answered, sealed and durable");
        section.curves.push(Curve::of_us(name, &runs[0].outcome.answered));
    }
    section.note(plan.describe());
    section.note("latency counts from the moment at which a transaction was due, whatever the server did with those before it");
    section.note(chain.describe());
    Ok(())
}
