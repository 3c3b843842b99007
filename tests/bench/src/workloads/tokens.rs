//! W2: ERC-20 transfers to fresh recipients.

use alloy_primitives::{Address, U256};

use super::runs::{Run, Work, column, interleaved, tell};
use crate::bench::Bench;
use crate::contracts::{Deployer, balance_of, token_transfer};
use crate::load::{Plan, Transport};
use crate::node::Chain;
use crate::peers::{Who, anvil};
use crate::report::{Goal, Row, Section};
use crate::sign::{Sender, Signed, fresh, in_turn, senders};
use crate::verify::Expected;

const WHOM: [Who; 2] = [Who::Causeway, Who::Anvil];
/// Tokens of every sender: more than it sends.
const SHARE: u128 = 1 << 64;

/// A token, who has it, and transfers of it.
pub struct Tokens {
    /// Creates it and gives every sender a share.
    pub set_up: Vec<Signed>,
    /// Transfers.
    pub txs: Vec<Signed>,
    /// Holds after them.
    pub expected: Expected,
    /// The contract.
    pub token: Address,
    /// Need funds.
    pub funded: Vec<Address>,
}

/// So many transfers to fresh recipients.
pub fn transfers(count: usize) -> eyre::Result<Tokens> {
    let (mut deployer, mut senders) = (Deployer::new()?, senders()?);
    let token = deployer.token();
    senders.iter().for_each(|sender| deployer.give(token, sender.address(), SHARE));
    let amount = |index: usize| 1_000 + index as u128;
    let call = |index: usize| token_transfer(token, fresh(index as u64), amount(index));
    let txs = in_turn(&mut senders, count, call);
    let asked = |index: usize| (balance_of(fresh(index as u64)), U256::from(amount(index)));
    let expected = Expected {
        balances: Vec::new(),
        nonces: senders.iter().map(|sender| (sender.address(), sender.nonce)).collect(),
        calls: vec![(token, (0..count).map(asked).collect())],
    };
    let funded = senders.iter().map(Sender::address).chain([deployer.address()]).collect();
    Ok(Tokens { set_up: deployer.txs, txs, expected, token, funded })
}

pub fn run(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    let count = bench.size.pick(2_000, 15_000);
    section.title = format!("{count} ERC-20 transfers (OpenZeppelin) to fresh recipients");
    let Tokens { set_up, txs, expected, funded, .. } = transfers(count)?;
    let chain = Chain { funded, ..Chain::default() };
    let work = Work { chain: &chain, set_up: &set_up, txs: &txs, expected: &expected };
    let plan = Plan::closed(Transport::Http { batch: 100 }, 16);
    let rounds = interleaved(bench, section, "batched", &WHOM, &work, plan);
    tell(section, "batched", &WHOM, &rounds);
    let [ours, theirs] = [0, 1].map(|who| column(&rounds, who, Run::per_second));
    section.row(Row::ratio("causeway to anvil", &ours, &theirs).goal(Goal::AtLeast(3.0)));
    section.note(plan.describe());
    section.note(chain.describe());
    section.note(anvil::DESCRIPTION);
    Ok(())
}
