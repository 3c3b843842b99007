//! `causeway da`: the `local` DA service by itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use causeway_chainspec::Clock;
use causeway_da::local::{LocalConfig, LocalDa, serve};
use clap::Args;
use eyre::WrapErr;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::block_on;
use crate::clock::SystemClock;
use crate::config::read_key;
use crate::exit::{CommandResult, Exit};
use crate::logging::{self, LogFormat};

/// Run the `local` DA service by itself.
#[derive(Debug, Args)]
pub struct Da {
    /// Directory of its segments.
    #[arg(long)]
    dir: PathBuf,
    /// Key file that signs its blocks; its address is `da.local.signer` of the chain spec.
    #[arg(long)]
    key: PathBuf,
    /// Address to serve on.
    #[arg(long, default_value = "127.0.0.1:8550")]
    listen: SocketAddr,
    /// Milliseconds between DA blocks.
    #[arg(long, default_value_t = 1000)]
    interval_ms: u64,
    /// A DA block is final when this many are above it.
    #[arg(long, default_value_t = 2)]
    final_depth: u64,
    /// Form of log lines.
    #[arg(long, value_enum, default_value_t)]
    log: LogFormat,
}

impl Da {
    /// Runs the command.
    pub fn run(self) -> CommandResult {
        logging::install(self.log, "info")?;
        let key = read_key(&self.key)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = LocalConfig {
            genesis_time_ms: clock.now_ms(),
            interval_ms: self.interval_ms,
            final_depth: self.final_depth,
            ..LocalConfig::default()
        };
        let da = Arc::new(LocalDa::open(&self.dir, key, config)?);
        block_on(async {
            let listener = tokio::net::TcpListener::bind(self.listen)
                .await
                .wrap_err_with(|| format!("cannot listen on {}", self.listen))?;
            info!(listen = %listener.local_addr()?, dir = %self.dir.display(), "local da");
            let stop = CancellationToken::new();
            let server = tokio::spawn(serve(listener, da, clock, stop.clone()));
            super::run::interrupted().await;
            stop.cancel();
            server.await??;
            eyre::Ok(())
        })??;
        Ok(Exit::Success)
    }
}
