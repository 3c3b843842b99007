//! W1: transfers of many senders to fresh recipients, batched, unbatched and over WebSocket.

use alloy_primitives::U256;

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

pub fn run(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    let count = bench.size.pick(2_000, 50_000);
    let (txs, expected, senders) = transfers(count)?;
    section.title = format!(
        "{count} transfers of {} senders to fresh recipients; included, durable, and verified",
        senders.len()
    );
    let funded = senders.iter().map(Sender::address).collect();
    let chain = Chain { funded, ..Chain::default() };
    let work = Work { chain: &chain, set_up: &[], txs: &txs, expected: &expected };
    for (what, transport, connections, anvil_goal, limit_goal) in [
        ("batched", Transport::Http { batch: 100 }, 16, 3.0, None),
        ("unbatched", Transport::Http { batch: 1 }, 128, 2.0, Some(0.85)),
        ("WebSocket", Transport::Ws { window: 16 }, 16, 3.0, None),
    ] {
        let plan = Plan::closed(transport, connections);
        section.note(format!("{what}: {}", plan.describe()));
        let rounds = interleaved(bench, section, what, &WHOM, &work, plan);
        tell(section, what, &WHOM, &rounds);
        let [ours, anvil, limit] = [0, 1, 2].map(|who| column(&rounds, who, Run::per_second));
        let ratio = Row::ratio(format!("{what}: causeway to anvil"), &ours, &anvil);
        section.row(ratio.goal(Goal::AtLeast(anvil_goal)));
        let ratio = Row::ratio(format!("{what}: causeway to jsonrpsee + recover"), &ours, &limit);
        section.row(match limit_goal {
            Some(goal) => ratio.goal(Goal::AtLeast(goal)),
            None => ratio,
        });
    }
    section.note(chain.describe());
    section.note(anvil::DESCRIPTION);
    section.note("causeway answers when a transaction is durable: answered is durable");
    Ok(())
}
