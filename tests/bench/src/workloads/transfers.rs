//! W1: transfers of many senders to fresh recipients, batched, unbatched and over WebSocket.

use alloy_primitives::U256;

use super::costs;
use super::runs::{Run, Work, column, interleaved, tell};
use crate::bench::Bench;
use crate::load::{Plan, Transport};
use crate::node::Chain;
use crate::peers::{Who, anvil};
use crate::report::{Goal, Row, Section};
use crate::sign::{Call, Sender, Signed, fresh, in_turn, senders};
use crate::verify::Expected;

const WHOM: [Who; 3] = [Who::Causeway, Who::Anvil, Who::Limit];

/// Transfers to fresh recipients, what holds after them, and who pays.
pub fn transfers(count: usize) -> eyre::Result<(Vec<Signed>, Expected, Vec<Sender>)> {
    let mut senders = senders()?;
    let wei = |index: usize| 1_000_000 + index as u64;
    let call = |index: usize| Call::transfer(fresh(index as u64), wei(index));
    let txs = in_turn(&mut senders, count, call);
    let balance = |index: usize| (fresh(index as u64), U256::from(wei(index)));
    let expected = Expected {
        balances: (0..count).map(balance).collect(),
        nonces: senders.iter().map(|sender| (sender.address(), sender.nonce)).collect(),
        calls: Vec::new(),
    };
    Ok((txs, expected, senders))
}

/// A way in, and what is asked of it.
struct Way {
    what: &'static str,
    plan: Plan,
    to_anvil: f64,
    to_limit: Option<f64>,
    /// Share of the two-core bound, if it is asked for.
    of_bound: Option<f64>,
}

/// HTTP, a hundred calls a request.
pub fn batched(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    let plan = Plan::closed(Transport::Http { batch: 100 }, 16);
    let way = Way { what: "batched", plan, to_anvil: 3.0, to_limit: None, of_bound: Some(75.0) };
    measure(bench, section, &way)
}

/// HTTP, one call a request.
pub fn unbatched(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    let plan = Plan::closed(Transport::Http { batch: 1 }, 128);
    let (to_limit, of_bound) = (Some(0.85), None);
    measure(bench, section, &Way { what: "unbatched", plan, to_anvil: 2.0, to_limit, of_bound })
}

/// WebSocket.
pub fn ws(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    let plan = Plan::closed(Transport::Ws { window: 16 }, 16);
    let (to_limit, of_bound) = (None, None);
    measure(bench, section, &Way { what: "WebSocket", plan, to_anvil: 3.0, to_limit, of_bound })
}

fn measure(bench: &Bench, section: &mut Section, way: &Way) -> eyre::Result<()> {
    let count = bench.size.pick(2_000, 20_000);
    let (txs, expected, senders) = transfers(count)?;
    section.title = format!(
        "{count} transfers of {} senders to fresh recipients; included, durable, and verified",
        senders.len()
    );
    let funded = senders.iter().map(Sender::address).collect();
    let chain = Chain { funded, ..Chain::default() };
    let work = Work { chain: &chain, set_up: &[], txs: &txs, expected: &expected };
    let Way { what, plan, to_anvil, to_limit, of_bound } = *way;
    let rounds = interleaved(bench, section, what, &WHOM, &work, plan);
    tell(section, what, &WHOM, &rounds);
    let [ours, anvil, limit] = [0, 1, 2].map(|who| column(&rounds, who, Run::per_second));
    let ratio = Row::ratio(format!("{what}: causeway to anvil"), &ours, &anvil);
    section.row(ratio.goal(Goal::AtLeast(to_anvil)));
    let ratio = Row::ratio(format!("{what}: causeway to jsonrpsee + recover"), &ours, &limit);
    section.row(match to_limit {
        Some(goal) => ratio.goal(Goal::AtLeast(goal)),
        None => ratio,
    });
    if let Some(percent) = of_bound {
        bound(bench, section, &rounds, percent)?;
    }
    section.note(plan.describe());
    section.note(chain.describe());
    section.note(anvil::DESCRIPTION);
    section.note("causeway answers when a transaction is durable: answered is durable");
    Ok(())
}

/// The share of the two-core bound: unit costs measured now, and beside them what the JSON-RPC
/// library costs the limit (all its CPU time but recovering) and what the generator costs.
fn bound(
    bench: &Bench,
    section: &mut Section,
    rounds: &[Vec<Run>],
    percent: f64,
) -> eyre::Result<()> {
    let unit = costs::measure(bench, section)?;
    let of = |runs: &Vec<Run>| {
        let rpc = (runs[2].server_us() - unit.recover).max(0.0);
        unit.bound(&unit.transfer(), &[rpc, runs[0].outcome.generator_us()])
    };
    let bounds: Vec<_> = rounds.iter().map(of).collect();
    let shares =
        rounds.iter().zip(&bounds).map(|(runs, bound)| 100.0 * runs[0].per_second() / bound);
    let share = Row::new("share of the two-core bound", "%", shares.collect());
    section.row(Row::new("two-core bound", "tx/s", bounds));
    section.row(share.goal(Goal::AtLeast(percent)));
    section.note("two-core bound = 2 / (unit costs of a transfer + the limit's CPU time beyond recovering + the generator's)");
    Ok(())
}
