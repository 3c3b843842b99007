//! Interleaved runs of one load against several servers, verified, and the rows they give.

use std::time::Duration;

use crate::bench::Bench;
use crate::load::{self, Outcome, Plan};
use crate::node::Chain;
use crate::peers::{Server, Who};
use crate::report::{Curve, Row, Section};
use crate::rpc::Rpc;
use crate::sign::{Call, Sender, Signed, fresh};
use crate::verify::{Expected, verify};

/// What a load is made of.
pub struct Work<'a> {
    /// The chain.
    pub chain: &'a Chain,
    /// Sent first, in order, and not measured: contracts and who may use them.
    pub set_up: &'a [Signed],
    /// Sent.
    pub txs: &'a [Signed],
    /// Holds afterwards, on a server that makes blocks.
    pub expected: &'a Expected,
}

/// One verified run.
pub struct Run {
    /// What the generator saw.
    pub outcome: Outcome,
    /// CPU time of the server during it.
    pub server_cpu: Duration,
    /// Seconds of each stage that it timed itself, our node only.
    pub stages: Vec<(&'static str, f64)>,
    /// Its resident memory behind it, bytes.
    pub rss: u64,
    /// Gas of what was sent.
    pub gas: u64,
}

impl Run {
    /// Transactions a second.
    pub fn per_second(&self) -> f64 {
        self.outcome.per_second()
    }

    /// Transactions a second that were answered, whether included or not yet.
    pub fn answered_per_second(&self) -> f64 {
        self.outcome.included as f64 / self.outcome.answered_in.as_secs_f64()
    }

    /// Microseconds of the server's CPU time a transaction.
    pub fn server_us(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.outcome.included as f64
    }
}

/// Starts a new server, sets up, sends, verifies.
pub fn once(bench: &Bench, who: Who, work: &Work<'_>, plan: Plan) -> eyre::Result<Run> {
    let server = who.start(bench, work.chain)?;
    let plan = Plan { seals: who != Who::Limit, ..plan };
    if plan.seals {
        set_up(bench, &server, work.set_up)?;
        set_up(bench, &server, &warm_up())?;
    }
    on(bench, &server, work, plan)
}

/// A few transfers, so that a chain makes blocks when the measured window begins: the first ones
/// wait for the first block of the DA layer.
fn warm_up() -> Vec<Signed> {
    let mut sender = Sender::dev();
    (0..50).map(|index| sender.sign(0, Call::transfer(fresh(u64::MAX - index), 1))).collect()
}

/// Sends what a workload needs first and sees that it succeeded.
pub fn set_up(bench: &Bench, server: &Server, txs: &[Signed]) -> eyre::Result<()> {
    if txs.is_empty() {
        return Ok(());
    }
    let plan = Plan::closed(load::Transport::Http { batch: 50 }, 1);
    let outcome = load::run(server.rpc(), txs, plan)?;
    let rpc = Rpc::new(server.rpc())?;
    bench.runtime.block_on(verify(&rpc, txs, &outcome, &Expected::default())).map(drop)
}

/// Sends to a server that is set up, and verifies.
pub fn on(bench: &Bench, server: &Server, work: &Work<'_>, plan: Plan) -> eyre::Result<Run> {
    let (before, began) = (server.usage()?, bench.runtime.block_on(server.stages())?);
    let outcome = load::run(server.rpc(), work.txs, plan)?;
    let (after, ended) = (server.usage()?, bench.runtime.block_on(server.stages())?);
    let gas = match plan.seals {
        true => {
            let rpc = Rpc::new(server.rpc())?;
            bench.runtime.block_on(verify(&rpc, work.txs, &outcome, work.expected))?
        }
        false => 0,
    };
    let (server_cpu, stages) = (after.cpu - before.cpu, ended.since(began));
    Ok(Run { outcome, server_cpu, stages, rss: after.rss, gas })
}

/// As many rounds as pairs are asked for; in each, one run against everybody, in turn. A round in
/// which one fails gives no figure and is told as a failure.
pub fn interleaved(
    bench: &Bench,
    section: &mut Section,
    what: &str,
    whom: &[Who],
    work: &Work<'_>,
    plan: Plan,
) -> Vec<Vec<Run>> {
    let mut rounds = Vec::new();
    for round in 1..=bench.pairs {
        let mut runs = Vec::new();
        for who in whom {
            match once(bench, *who, work, plan) {
                Ok(run) => {
                    eprintln!(
                        "  {what}, round {round}, {}: {:.0} tx/s",
                        who.name(),
                        run.per_second()
                    );
                    runs.push(run);
                }
                Err(error) => {
                    section.failed(&format!("{what}, round {round}, {}", who.name()), &error);
                }
            }
        }
        if runs.len() == whom.len() {
            rounds.push(runs);
        }
    }
    rounds
}

/// A value of everybody's runs: by server, then by round.
pub fn column(rounds: &[Vec<Run>], who: usize, value: impl Fn(&Run) -> f64) -> Vec<f64> {
    rounds.iter().map(|runs| value(&runs[who])).collect()
}

/// What each stage took, as time passed: stages run side by side, and some wait for the disk.
fn stages(section: &mut Section, name: &str, runs: &[&Run]) {
    let Some(first) = runs.first() else { return };
    for (at, (stage, _)) in first.stages.iter().enumerate() {
        let us = |run: &&Run| run.stages[at].1 * 1e6 / run.outcome.included as f64;
        section.row(Row::new(format!("{name}, {stage}"), "us/tx", runs.iter().map(us).collect()));
    }
}

/// The rows and curves that every load has.
pub fn tell(section: &mut Section, what: &str, whom: &[Who], rounds: &[Vec<Run>]) {
    for (index, who) in whom.iter().enumerate() {
        let name = format!("{what}: {}", who.name());
        let row = |more: &str, unit: &str, value: fn(&Run) -> f64| {
            Row::new(format!("{name}{more}"), unit, column(rounds, index, value))
        };
        section.row(row("", "tx/s", Run::per_second));
        if *who != Who::Limit {
            section.row(row(", answered", "tx/s", Run::answered_per_second));
            section.row(row(", resident memory", "MB", |run| run.rss as f64 / 1e6));
        }
        section.row(row(", CPU time of the server", "us/tx", Run::server_us));
        if *who == Who::Causeway {
            stages(section, &name, &rounds.iter().map(|runs| &runs[index]).collect::<Vec<_>>());
        }
        let refused: u64 = rounds.iter().map(|runs| runs[index].outcome.refused).sum();
        if refused > 0 {
            section.note(format!("{name}: {refused} refusals for want of room, each sent again"));
        }
    }
    let generator = |run: &Run| run.outcome.generator_us();
    section.row(Row::new(
        format!("{what}: CPU time of the generator"),
        "us/tx",
        column(rounds, 0, generator),
    ));
    // One round stands for all: distributions are not averaged.
    let Some(runs) = rounds.first() else { return };
    for (run, who) in runs.iter().zip(whom) {
        let name = who.name();
        section
            .curves
            .push(Curve::of_us(format!("{what}: {name}, answered"), &run.outcome.answered));
        section.curves.push(Curve::of_us(format!("{what}: {name}, sealed"), &run.outcome.sealed));
    }
}
