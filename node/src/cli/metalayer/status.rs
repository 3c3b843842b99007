//! `causeway metalayer status`: where a message stands, by every node that can be asked.

use std::fmt::Write;

use alloy_primitives::B256;
use clap::Args;
use futures::future::join_all;
use serde_json::{Value, json};

use super::client::{CallError, Chains};
use super::lines::{coins_of, steps, word};
use crate::cli::print;
use crate::exit::{CommandResult, Exit};

/// Show where a message stands.
///
/// Asks every node that is known, and puts together what they say. Ends with 0 if any of them
/// knows the message, however it fares.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// Id of the message, as send and transfer print it.
    id: B256,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Runs the command.
    pub(super) async fn run(self, chains: &Chains) -> CommandResult {
        let answer = ask(chains, self.id).await.map_err(CallError::exit)?;
        let text = if self.json { format!("{answer:#}\n") } else { text(&answer) };
        print(&text)?;
        Ok(Exit::Success)
    }
}

/// What all nodes together know of a message. An error if none knows it: unreachable only if
/// none answered.
pub(super) async fn ask(chains: &Chains, id: B256) -> Result<Value, CallError> {
    let endpoints = chains.0.iter().flat_map(|chain| &chain.endpoints);
    let calls = endpoints.map(|endpoint| endpoint.call("metalayer_getMessage", json!([id])));
    let mut known = Vec::new();
    let mut failed: Option<CallError> = None;
    for answer in join_all(calls).await {
        match (answer, &failed) {
            (Ok(answer), _) => known.push(answer),
            // An answer says more than silence.
            (Err(error @ CallError::Refused { .. }), None | Some(CallError::Unreachable(_)))
            | (Err(error), None) => failed = Some(error),
            (Err(_), Some(_)) => {}
        }
    }
    let failed = failed.unwrap_or_else(|| CallError::Unreachable("no node is known".into()));
    merge(known).ok_or(failed)
}

/// How far an answer has followed the message.
fn rank(answer: &Value) -> u8 {
    match answer["status"].as_str() {
        _ if answer["settled"] == true => 5,
        Some("dispatched") => 1,
        Some("final") => 2,
        Some("anchored") => 3,
        Some(_) => 4,
        None => 0,
    }
}

/// The answer that is furthest, with what only others know.
pub(super) fn merge(mut answers: Vec<Value>) -> Option<Value> {
    answers.sort_by_key(|answer| (std::cmp::Reverse(rank(answer)), answer["body"].is_null()));
    let mut answers = answers.into_iter();
    let mut best = answers.next()?;
    for other in answers {
        fill(&mut best, &other);
        fill(&mut best["timeline"], &other["timeline"]);
    }
    Some(best)
}

/// Adds the fields that are not there.
fn fill(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        for (name, value) in from {
            into.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// A message for people.
pub(super) fn text(answer: &Value) -> String {
    let mut text = String::new();
    let (from, to) = (word(&answer["originName"]), word(&answer["destinationName"]));
    let what = match &answer["transfer"] {
        Value::Null => match answer["recipient"].as_str() {
            Some(recipient) => format!("message to {}", address(recipient)),
            None => "message".to_owned(),
        },
        transfer => format!(
            "transfer of {} to {}",
            coins_of(&transfer["amount"]),
            address(word(&transfer["recipient"]))
        ),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}\n{from} -> {to}: {what}\n", word(&answer["id"]));
    for step in steps(answer) {
        let _ = writeln!(text, "  {}", step.text());
    }
    let settled = if answer["settled"] == true { ", settled" } else { "" };
    let _ = writeln!(text, "\n{}{settled}. {}", word(&answer["status"]), word(&answer["hint"]));
    text
}

/// An address that stands in 32 bytes, in its own 20 if it fits.
fn address(text: &str) -> String {
    match text.strip_prefix("0x000000000000000000000000") {
        Some(digits) if digits.len() == 40 => format!("0x{digits}"),
        _ => text.to_owned(),
    }
}
