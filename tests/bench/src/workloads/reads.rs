//! W7: what wallets and indexers ask, while nothing else happens and while transfers come in.

use std::time::Duration;

use alloy_primitives::Address;
use eyre::{ContextCompat, ensure, eyre};
use serde_json::{Value, json};

use super::runs::set_up;
use super::tokens::{self, Tokens};
use crate::bench::Bench;
use crate::contracts::balance_of;
use crate::load::{self, Pace, Plan, Transport};
use crate::node::Chain;
use crate::peers::{Server, Who, anvil};
use crate::read::{self, ReadOutcome, Reads};
use crate::report::{Curve, Goal, Row, Section};
use crate::rpc::Rpc;
use crate::sign::{Call, Sender, Signed, fresh};

const WHOM: [Who; 2] = [Who::Causeway, Who::Anvil];
/// Transfer logs of a page.
const LOGS: usize = 1_000;
const CONNECTIONS: usize = 8;
/// Transfers a second while reads are measured under load.
const RATE: f64 = 1_000.0;
/// What is asked and how much faster than anvil it should be.
const KINDS: [(&str, Option<f64>); 4] = [
    ("eth_call balanceOf, 100 a request", Some(4.0)),
    ("eth_getBalance", Some(1.0)),
    ("eth_getLogs, a page of 1,000", Some(5.0)),
    ("eth_getTransactionReceipt", None),
];

/// By kind: idle, then under load.
type Outcomes = Vec<[ReadOutcome; 2]>;

pub fn run(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    let time = bench.size.pick(Duration::from_millis(500), Duration::from_secs(3));
    section.title = format!(
        "reads, {CONNECTIONS} connections, {} ms each; idle, and while {RATE} transfers a second come in",
        time.as_millis()
    );
    let tokens = tokens::transfers(LOGS)?;
    let payers = payers()?;
    let seconds = time.as_secs_f64() * KINDS.len() as f64;
    let load = background(&payers, (RATE * (seconds + 2.0)) as usize);
    let funded = tokens.funded.iter().copied().chain(payers.iter().map(Sender::address)).collect();
    let chain = Chain { funded, ..Chain::default() };
    let mut rounds: Vec<Vec<Outcomes>> = Vec::new();
    for round in 1..=bench.pairs {
        let outcomes = WHOM.iter().map(|who| {
            let server = who.start(bench, &chain)?;
            let outcomes = on(bench, &server, &tokens, &load, time)?;
            eprintln!("  round {round}, {}: done", who.name());
            Ok(outcomes)
        });
        match outcomes.collect::<eyre::Result<Vec<_>>>() {
            Ok(outcomes) => rounds.push(outcomes),
            Err(error) => section.failed(&format!("round {round}"), &error),
        }
    }
    for (kind, (what, goal)) in KINDS.into_iter().enumerate() {
        tell(section, kind, what, goal, &rounds);
    }
    section.note("a round whose answers hold an error gives no figure");
    section.note(chain.describe());
    section.note(anvil::DESCRIPTION);
    Ok(())
}

/// Others than those who send tokens.
fn payers() -> eyre::Result<Vec<Sender>> {
    (1..=64).map(|index| Sender::numbered(index << 40)).collect()
}

fn background(payers: &[Sender], count: usize) -> Vec<Signed> {
    let mut payers = payers.to_vec();
    let call = |index: usize| Call::transfer(fresh((1 << 40) + index as u64), 1);
    crate::sign::in_turn(&mut payers, count, call)
}

/// All kinds on one server.
fn on(
    bench: &Bench,
    server: &Server,
    tokens: &Tokens,
    load: &[Signed],
    time: Duration,
) -> eyre::Result<Outcomes> {
    set_up(bench, server, &tokens.set_up)?;
    set_up(bench, server, &tokens.txs)?;
    let rpc = Rpc::new(server.rpc())?;
    let kinds = bench.runtime.block_on(kinds(&rpc, tokens))?;
    let measure = || -> eyre::Result<Vec<_>> {
        kinds.iter().map(|reads| read::run(server.rpc(), reads, CONNECTIONS, time)).collect()
    };
    let idle = measure()?;
    let plan = Plan { pace: Pace::Open(RATE), ..Plan::closed(Transport::Http { batch: 20 }, 16) };
    let (loaded, sent) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| load::run(server.rpc(), load, plan));
        // Until it runs.
        std::thread::sleep(Duration::from_secs(1));
        (measure(), sending.join())
    });
    sent.map_err(|_| eyre!("the load panicked"))??;
    Ok(idle.into_iter().zip(loaded?).map(|(idle, loaded)| [idle, loaded]).collect())
}

/// The requests, and that their answers are what they should be.
async fn kinds(rpc: &Rpc, tokens: &Tokens) -> eyre::Result<[Reads; 4]> {
    let recipients: Vec<Address> = (0..LOGS as u64).map(fresh).collect();
    let call = |of: &Address| json!([{ "to": tokens.token, "input": balance_of(*of) }, "latest"]);
    let calls: Vec<_> = recipients.iter().map(call).collect();
    let balances = tokens.funded.iter().map(|address| json!([address, "latest"]));
    let receipts = tokens.txs.iter().map(|tx| json!([tx.hash]));
    let page = page(rpc, tokens).await?;
    Ok([
        Reads::batched("eth_call", &calls, 100),
        Reads::single("eth_getBalance", balances),
        Reads::single("eth_getLogs", std::iter::once(page)),
        Reads::single("eth_getTransactionReceipt", receipts),
    ])
}

/// The range of blocks that hold the transfers, and nothing else of the token.
async fn page(rpc: &Rpc, tokens: &Tokens) -> eyre::Result<Value> {
    let ends = [tokens.txs.first(), tokens.txs.last()];
    let mut numbers = Vec::new();
    for tx in tokens.txs.iter().step_by(10).chain(ends.into_iter().flatten()) {
        let receipt = rpc.call("eth_getTransactionReceipt", json!([tx.hash])).await?;
        numbers.push(crate::rpc::number(&receipt["blockNumber"])?);
    }
    let first = numbers.iter().min().wrap_err("no transfers")?;
    let last = numbers.iter().max().wrap_err("no transfers")?;
    let page = json!([{ "fromBlock": first, "toBlock": last, "address": tokens.token }]);
    let logs = rpc.call("eth_getLogs", page.clone()).await?;
    let count = logs.as_array().map_or(0, Vec::len);
    ensure!(count == LOGS, "the page has {count} logs and should have {LOGS}");
    Ok(page)
}

fn tell(
    section: &mut Section,
    kind: usize,
    what: &str,
    goal: Option<f64>,
    rounds: &[Vec<Outcomes>],
) {
    let column = |who: usize, loaded: usize, value: fn(&ReadOutcome) -> f64| -> Vec<f64> {
        rounds.iter().map(|round| value(&round[who][kind][loaded])).collect()
    };
    let per_second = |outcome: &ReadOutcome| outcome.per_second;
    for (loaded, when) in [(0, "idle"), (1, "under load")] {
        for (index, who) in WHOM.into_iter().enumerate() {
            let name = format!("{what}, {when}: {}", who.name());
            section.row(Row::new(&name, "calls/s", column(index, loaded, per_second)));
            let p99 =
                |outcome: &ReadOutcome| outcome.latency.value_at_percentile(99.0) as f64 / 1e3;
            section.row(Row::new(format!("{name}, p99"), "ms", column(index, loaded, p99)));
        }
        let [ours, theirs] = [0, 1].map(|who| column(who, loaded, per_second));
        let ratio = Row::ratio(format!("{what}, {when}: causeway to anvil"), &ours, &theirs);
        section.row(match goal.filter(|_| loaded == 0) {
            Some(goal) => ratio.goal(Goal::AtLeast(goal)),
            None => ratio,
        });
    }
    let generator = column(0, 0, |outcome| outcome.generator_us);
    section.row(Row::new(format!("{what}: CPU time of the generator"), "us/request", generator));
    let Some(first) = rounds.first() else { return };
    for (outcomes, who) in first.iter().zip(WHOM) {
        for (outcome, when) in outcomes[kind].iter().zip(["idle", "under load"]) {
            let name = format!("{what}, {when}: {}", who.name());
            section.curves.push(Curve::of_us(name, &outcome.latency));
        }
    }
}
