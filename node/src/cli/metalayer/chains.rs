//! `causeway metalayer chains`: the members at a glance.

use clap::Args;
use futures::future::join_all;
use serde_json::{Value, json};

use super::client::{CallError, Chain, Chains};
use super::lines::{number, table, word};
use crate::cli::print;
use crate::exit::{CommandResult, Exit};

/// Show the members: coins, heads, lanes, endpoints.
#[derive(Debug, Args)]
pub(super) struct ChainsArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl ChainsArgs {
    /// Runs the command.
    pub(super) async fn run(self, chains: &Chains) -> CommandResult {
        let rows = join_all(chains.0.iter().map(look)).await;
        let silent = rows.iter().all(|row| row["reachable"] == false);
        let text = match self.json {
            true => format!("{:#}\n", Value::Array(rows)),
            false => text(&rows),
        };
        print(&text)?;
        Ok(if silent { Exit::Unreachable } else { Exit::Success })
    }
}

/// One chain as its nodes tell it.
async fn look(chain: &Chain) -> Value {
    let ask = |method| async move { chain.call(method, json!([])).await };
    let (spec, heads, directory, anchors) = futures::join!(
        ask("rollup_chainSpec"),
        ask("rollup_syncStatus"),
        ask("metalayer_getDirectory"),
        ask("metalayer_getAnchors"),
    );
    let reachable = !matches!(spec, Err(CallError::Unreachable(_)));
    let error = [&spec, &heads, &directory, &anchors]
        .iter()
        .find_map(|answer| answer.as_ref().err().map(|error| error.text().to_owned()));
    let (spec, heads) = (spec.unwrap_or_default(), heads.unwrap_or_default());
    let (directory, anchors) = (directory.unwrap_or_default(), anchors.unwrap_or_default());
    let urls: Vec<_> = chain.endpoints.iter().map(|endpoint| endpoint.url.as_str()).collect();
    json!({
        "name": chain.name,
        "reachable": reachable,
        "domain": spec["metalayer"]["domain"].as_u64().or(chain.domain.map(u64::from)),
        "chainId": spec["chainId"],
        "vm": spec["vm"],
        "token": spec["token"]["symbol"],
        "coin": directory["coin"],
        "latest": heads["latest"]["number"],
        "safe": heads["safe"]["number"],
        "finalized": heads["finalized"]["number"],
        "verified": anchors["verified"]["block"],
        "alarm": anchors["verified"]["alarm"],
        "lanes": lanes(&directory),
        "endpoints": urls,
        "error": error,
    })
}

/// Status of the lane to each other member, by name.
fn lanes(directory: &Value) -> Value {
    let members = directory["members"].as_array().into_iter().flatten();
    let lanes = members
        .filter(|member| member["status"] != "self")
        .filter_map(|member| Some((member["name"].as_str()?.to_owned(), member["status"].clone())));
    Value::Object(lanes.collect())
}

/// The table for people.
pub(super) fn text(rows: &[Value]) -> String {
    let head = ["NAME", "DOMAIN", "VM", "COIN", "LATEST", "SAFE", "VERIFIED", "LANES", "ENDPOINTS"];
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let known = |text: String| if text == "?" { "-".to_owned() } else { text };
            let lanes = row["lanes"].as_object().into_iter().flatten();
            let lanes: Vec<_> =
                lanes.map(|(name, status)| format!("{name} {}", word(status))).collect();
            let urls = row["endpoints"].as_array().into_iter().flatten().map(word);
            vec![
                word(&row["name"]).to_owned(),
                known(number(&row["domain"])),
                known(word(&row["vm"]).to_owned()),
                known(coin(row)),
                known(number(&row["latest"])),
                known(number(&row["safe"])),
                known(number(&row["verified"])),
                if lanes.is_empty() { "-".to_owned() } else { lanes.join(", ") },
                urls.collect::<Vec<_>>().join(" "),
            ]
        })
        .collect();
    let mut text = table(&head, &cells);
    for row in rows {
        for field in ["error", "alarm"] {
            if let Some(error) = row[field].as_str() {
                text.push_str(&format!("\n{}: {error}", word(&row["name"])));
            }
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// The gas coin, and how it relates to the hub's.
fn coin(row: &Value) -> String {
    let token = word(&row["token"]);
    match row["coin"].as_str() {
        Some("home") => format!("{token} (home)"),
        Some("hub") => format!("{token} (hub's)"),
        Some(_) | None => token.to_owned(),
    }
}
