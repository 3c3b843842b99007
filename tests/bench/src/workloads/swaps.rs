//! W3: swaps on Uniswap v2: all on one pair, and spread over several.

use alloy_primitives::{Address, U256};

use super::runs::{Run, Work, column, interleaved, tell};
use crate::bench::Bench;
use crate::contracts::{Deployer, approve, balance_of};
use crate::load::{Plan, Transport};
use crate::node::Chain;
use crate::peers::{Who, anvil};
use crate::report::{Goal, Row, Section};
use crate::sign::{Sender, Signed, in_turn, senders};
use crate::verify::Expected;

const WHOM: [Who; 2] = [Who::Causeway, Who::Anvil];
/// What a sender has of the token it sells, and how much of it a swap takes.
const SHARE: u128 = 1 << 80;
const AMOUNT: u128 = 1 << 60;

struct Swaps {
    set_up: Vec<Signed>,
    txs: Vec<Signed>,
    expected: Expected,
    funded: Vec<Address>,
}

/// Swaps over some pairs. Half of the senders of a pair sell one token, half the other, so that
/// its price stays where it is; each has in the end what it had less what it sold.
fn swaps(count: usize, pairs: usize) -> eyre::Result<Swaps> {
    let (mut deployer, mut senders) = (Deployer::new()?, senders()?);
    let uniswap = deployer.uniswap(pairs)?;
    let path = |sender: usize| {
        let [a, b] = uniswap.pairs[sender / 2 % pairs];
        if sender.is_multiple_of(2) { [a, b] } else { [b, a] }
    };
    let mut approvals = Vec::new();
    for (index, sender) in senders.iter_mut().enumerate() {
        deployer.give(path(index)[0], sender.address(), SHARE);
        approvals.push(sender.sign(index, approve(path(index)[0], uniswap.router)));
    }
    let addresses: Vec<_> = senders.iter().map(Sender::address).collect();
    let many = senders.len();
    let call = |index| uniswap.swap(path(index % many), AMOUNT, addresses[index % many]);
    let txs = in_turn(&mut senders, count, call);
    let left = |index: usize| {
        let swaps = (count + many - 1 - index) / many;
        U256::from(SHARE - AMOUNT * swaps as u128)
    };
    let asked =
        |(index, of): (usize, &Address)| (path(index)[0], vec![(balance_of(*of), left(index))]);
    let expected = Expected {
        balances: Vec::new(),
        nonces: senders.iter().map(|sender| (sender.address(), sender.nonce)).collect(),
        calls: addresses.iter().enumerate().map(asked).collect(),
    };
    let set_up = deployer.txs.iter().cloned().chain(approvals).collect();
    let funded = addresses.iter().copied().chain([deployer.address()]).collect();
    Ok(Swaps { set_up, txs, expected, funded })
}

pub fn run(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    let count = bench.size.pick(1_000, 8_000);
    section.title = format!("{count} swaps on Uniswap v2 by its router, on 1, 8 and 64 pairs");
    let plan = Plan::closed(Transport::Http { batch: 100 }, 16);
    let mut ours = Vec::new();
    for (what, pairs) in [("hot pair", 1), ("8 pairs", 8), ("64 pairs", 64)] {
        let Swaps { set_up, txs, expected, funded } = swaps(count, pairs)?;
        let chain = Chain { funded, ..Chain::default() };
        let work = Work { chain: &chain, set_up: &set_up, txs: &txs, expected: &expected };
        let rounds = interleaved(bench, section, what, &WHOM, &work, plan);
        tell(section, what, &WHOM, &rounds);
        let columns = [0, 1].map(|who| column(&rounds, who, Run::per_second));
        let gas = |run: &Run| run.gas as f64 / run.outcome.included as f64;
        section.row(Row::new(format!("{what}: gas of a swap"), "gas", column(&rounds, 0, gas)));
        let ratio = Row::ratio(format!("{what}: causeway to anvil"), &columns[0], &columns[1]);
        section.row(if pairs == 1 { ratio.goal(Goal::AtLeast(3.0)) } else { ratio });
        let [mine, _] = columns;
        ours.push(mine);
    }
    if let [hot, _, spread] = &ours[..] {
        section.row(Row::ratio("hot pair to 64 pairs, causeway", hot, spread));
    }
    section.note(plan.describe());
    section.note(
        "causeway executes in order, so one pair is as fast as its cache, not its conflicts, allow",
    );
    section.note(Chain::default().describe());
    section.note(anvil::DESCRIPTION);
    Ok(())
}
