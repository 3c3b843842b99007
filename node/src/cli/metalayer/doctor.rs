//! `causeway metalayer doctor`: asks every node everything, and says what is wrong.

use std::time::Duration;

use causeway_chainspec::Clock;
use clap::Args;
use futures::future::join_all;
use serde_json::{Value, json};

use super::client::{CallError, Chain, Chains};
use super::findings::{Checkup, Finding, findings, supply_gap};
use crate::cli::print;
use crate::clock::SystemClock;
use crate::exit::{CommandResult, Exit};

/// How often the coins are counted before a difference counts: chains are not asked at the same
/// moment.
const COUNTS: usize = 5;
const BETWEEN_COUNTS: Duration = Duration::from_millis(500);

/// Look for what is wrong in the network, and say what to do.
///
/// Asks every known node: does it answer, is it a member, does its head move, does it follow the
/// others and find their anchors true, do lanes move, are the coins of all members those that are
/// locked on the hub, are clocks right. Ends with 0 if all is well, 1 if not, 4 if no node
/// answers.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Runs the command.
    pub(super) async fn run(self, chains: &Chains) -> CommandResult {
        let checkups = join_all(chains.0.iter().map(examine)).await;
        let mut found = findings(&checkups, SystemClock.now_ms());
        found.extend(coins(chains, &checkups).await);
        let text = match self.json {
            true => {
                let list: Vec<_> = found.iter().map(Finding::json).collect();
                format!("{:#}\n", json!({ "healthy": found.is_empty(), "findings": list }))
            }
            false => text(&checkups, &found),
        };
        print(&text)?;
        if checkups.iter().all(|checkup| checkup.spec.is_null()) {
            return Ok(Exit::Unreachable);
        }
        Ok(if found.is_empty() { Exit::Success } else { Exit::Failure })
    }
}

fn text(checkups: &[Checkup], found: &[Finding]) -> String {
    if found.is_empty() {
        let names: Vec<_> = checkups.iter().map(|checkup| checkup.name.as_str()).collect();
        return format!("{}: nothing is wrong\n", names.join(", "));
    }
    found.iter().map(Finding::text).collect()
}

/// Asks one chain everything; every one of its nodes whether it is there.
async fn examine(chain: &Chain) -> Checkup {
    let pings = chain.endpoints.iter().map(|endpoint| async move {
        let answer = endpoint.call("rollup_health", json!([])).await;
        (endpoint.url.clone(), answer.map_err(|error| error.text().to_owned()))
    });
    let ask = |method| async move { chain.call(method, json!([])).await };
    let (nodes, spec, heads, directory, anchors) = futures::join!(
        join_all(pings),
        ask("rollup_chainSpec"),
        ask("rollup_syncStatus"),
        ask("metalayer_getDirectory"),
        ask("metalayer_getAnchors"),
    );
    let no_member = directory.as_ref().err().map(|error| error.text().to_owned());
    let directory = directory.unwrap_or_default();
    let others = directory["members"].as_array().into_iter().flatten();
    let others = others.filter(|member| member["status"] != "self");
    let lanes = others.map(|member| chain.call("metalayer_getLane", json!([member["domain"]])));
    let lanes = join_all(lanes).await.into_iter().filter_map(Result::ok).collect();
    Checkup {
        name: chain.name.clone(),
        nodes,
        spec: spec.unwrap_or_default(),
        heads: heads.unwrap_or_default(),
        no_member,
        directory,
        anchors: anchors.unwrap_or_default(),
        lanes,
    }
}

/// Counts the coins until they agree, or often enough. Says nothing unless every member that the
/// directory names can be asked: what is missing could be there.
async fn coins(chains: &Chains, checkups: &[Checkup]) -> Option<Finding> {
    let named = checkups.iter().map(|checkup| checkup.directory["members"].as_array());
    let named = named.map(|members| members.map_or(0, Vec::len)).max().unwrap_or_default();
    if named > chains.0.len() {
        eprintln!("coins were not counted: {named} members, {} known here", chains.0.len());
        return None;
    }
    let mut gap = None;
    for count in 0..COUNTS {
        if count > 0 {
            tokio::time::sleep(BETWEEN_COUNTS).await;
        }
        let calls = chains.0.iter().map(|chain| chain.call("metalayer_getSupply", json!([])));
        let supplies: Result<Vec<Value>, CallError> = join_all(calls).await.into_iter().collect();
        // A chain that does not answer is a finding of its own.
        gap = supply_gap(&supplies.ok()?);
        gap.as_ref()?;
    }
    gap.map(|what| Finding {
        chain: "all".to_owned(),
        what,
        fix: "stop transfers (`causeway metalayer record pause`), keep the data directories, and \
              compare metalayer_getSupply and metalayer_getLane of the members",
    })
}
