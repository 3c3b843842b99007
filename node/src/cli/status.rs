//! `causeway status`: where a running node stands, asked over its JSON-RPC.

use std::fmt::Write;

use clap::Args;
use jsonrpsee::core::client::ClientT;
use jsonrpsee::http_client::HttpClientBuilder;
use jsonrpsee::rpc_params;
use serde_json::Value;

use super::{block_on, print};
use crate::exit::{CommandResult, Exit, ExitError};

/// Show where a running node stands.
#[derive(Debug, Args)]
pub struct Status {
    /// JSON-RPC of the node.
    #[arg(long, env = "CAUSEWAY_RPC", default_value = "http://127.0.0.1:8545")]
    rpc: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Runs the command.
    pub fn run(self) -> CommandResult {
        let answer: Result<Value, _> = block_on(async {
            let client = HttpClientBuilder::default().build(&self.rpc)?;
            client.request("rollup_syncStatus", rpc_params![]).await
        })?;
        let status = answer.map_err(|error| {
            let report = eyre::eyre!("{} does not answer: {error}; is the node running?", self.rpc);
            ExitError::new(Exit::Unreachable, report)
        })?;
        let mut text = String::new();
        if self.json {
            writeln!(text, "{status:#}")?;
        } else {
            lines(&status, "", &mut text)?;
        }
        print(&text)?;
        Ok(Exit::Success)
    }
}

/// One line a value; what is nested is indented under its name.
fn lines(value: &Value, indent: &str, out: &mut String) -> std::fmt::Result {
    let Value::Object(fields) = value else { return Ok(()) };
    for (name, value) in fields {
        match value {
            Value::Object(_) => {
                writeln!(out, "{indent}{name}")?;
                lines(value, &format!("{indent}  "), out)?;
            }
            Value::String(text) => writeln!(out, "{indent}{name:<12} {text}")?,
            other => writeln!(out, "{indent}{name:<12} {other}")?,
        }
    }
    Ok(())
}
