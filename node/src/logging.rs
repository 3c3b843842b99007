//! Log output: lines for people on a terminal, JSON for machines; always on standard error.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum LogFormat {
    /// Time, level, message, fields.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Installs the log output of this process. `filter` as in `RUST_LOG` ("info,causeway=debug").
pub fn install(format: LogFormat, filter: &str) -> eyre::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| eyre::eyre!("--log-filter {filter:?} is no filter: {error}"))?;
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi)
        .with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    installed.map_err(|error| eyre::eyre!("log output is installed already: {error}"))
}
