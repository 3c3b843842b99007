//! `causeway status`: where a running node stands, asked over its JSON-RPC.

use clap::Args;
use jsonrpsee::core::client::ClientT;
use jsonrpsee::http_client::HttpClientBuilder;
use jsonrpsee::rpc_params;
use serde_json::Value;

use super::block_on;
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
        if self.json {
            println!("{}", serde_json::to_string_pretty(&status)?);
        } else {
            print(&status, "");
        }
        Ok(Exit::Success)
    }
}

/// One line a value; what is nested is indented under its name.
fn print(value: &Value, indent: &str) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        match value {
            Value::Object(_) => {
                println!("{indent}{name}");
                print(value, &format!("{indent}  "));
            }
            Value::String(text) => println!("{indent}{name:<12} {text}"),
            other => println!("{indent}{name:<12} {other}"),
        }
    }
}
