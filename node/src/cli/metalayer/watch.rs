//! `causeway metalayer watch`: each step of a message when it happens.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use causeway_chainspec::spec::units;
use clap::Args;
use eyre::eyre;
use serde_json::{Value, json};

use super::client::{CallError, Chains};
use super::lines::{Step, steps, word};
use super::status;
use crate::cli::print;
use crate::exit::{CommandResult, Exit, ExitError};

const POLL: Duration = Duration::from_millis(200);
/// How long all nodes may be silent once one of them has answered.
const SILENCE: Duration = Duration::from_secs(10);

/// Follow a message until it is settled or has failed.
///
/// Prints each step when it happens. Ends with 0 if it was delivered and settled, 1 if it failed
/// or the time is over, 4 if no node answers.
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Id of the message, as send and transfer print it.
    id: B256,
    /// How long to watch, as 60s.
    #[arg(long, default_value = "10m")]
    timeout: String,
    /// Print one JSON object a line: each step, then the whole message.
    #[arg(long)]
    json: bool,
}

/// How watching ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Settled or failed.
    Ended(Value, Exit),
    /// The time was over; what was known last, if anything.
    TimedOut(Option<Value>),
    /// Nobody answers.
    Unreachable(String),
}

impl Watch {
    /// Runs the command.
    pub(super) async fn run(self, chains: &Chains) -> CommandResult {
        let timeout = units::duration(&toml::Value::String(self.timeout.clone()))
            .map_err(|error| eyre!("--timeout: {error}"))?;
        let id = json!(self.id);
        let mut printed = Ok(());
        let mut show = |step: &Step| {
            let line = if self.json { step.json(&id).to_string() } else { step.text() };
            if printed.is_ok() {
                printed = print(&format!("{line}\n"));
            }
        };
        let outcome = follow(chains, self.id, Duration::from_millis(timeout), &mut show).await;
        printed?;
        match outcome {
            Outcome::Ended(answer, exit) => {
                self.last(&answer)?;
                Ok(exit)
            }
            Outcome::TimedOut(Some(answer)) => {
                self.last(&answer)?;
                let report = eyre!("not settled after {}", self.timeout);
                Err(ExitError::new(Exit::Failure, report))
            }
            Outcome::TimedOut(None) => {
                let report = eyre!(
                    "no node knew the message within {}: compare the id and the chains asked",
                    self.timeout
                );
                Err(ExitError::new(Exit::Failure, report))
            }
            Outcome::Unreachable(error) => Err(ExitError::new(Exit::Unreachable, eyre!("{error}"))),
        }
    }

    fn last(&self, answer: &Value) -> eyre::Result<()> {
        if self.json {
            return print(&format!("{answer}\n"));
        }
        print(&format!("{}. {}\n", word(&answer["status"]), word(&answer["hint"])))
    }
}

/// Polls until the message is settled or has failed, and tells each step once.
pub(super) async fn follow(
    chains: &Chains,
    id: B256,
    limit: Duration,
    tell: &mut dyn FnMut(&Step),
) -> Outcome {
    let started = Instant::now();
    let mut heard: Option<Instant> = None;
    let mut told = BTreeSet::new();
    let mut last = None;
    loop {
        match status::ask(chains, id).await {
            Ok(answer) => {
                heard = Some(Instant::now());
                for step in steps(&answer) {
                    if told.insert(step.name.clone()) {
                        tell(&step);
                    }
                }
                if let Some(exit) = end(&answer) {
                    return Outcome::Ended(answer, exit);
                }
                last = Some(answer);
            }
            // Its block is not there yet, or not final.
            Err(CallError::Refused { .. }) => heard = Some(Instant::now()),
            Err(CallError::Unreachable(error)) => {
                if heard.is_none_or(|heard| heard.elapsed() > SILENCE) {
                    return Outcome::Unreachable(error);
                }
            }
        }
        if started.elapsed() >= limit {
            return Outcome::TimedOut(last);
        }
        tokio::time::sleep(POLL.min(limit)).await;
    }
}

/// How a command ends on an answer, if the message is at its end.
pub(super) fn end(answer: &Value) -> Option<Exit> {
    match answer["status"].as_str()? {
        "dispatched" | "final" | "anchored" => None,
        "delivered" => (answer["settled"] == true).then_some(Exit::Success),
        _ => Some(Exit::Failure),
    }
}
