//! `causeway da`: the `local` DA service by itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use causeway_chainspec::Clock;
use causeway_da::DaError;
use causeway_da::local::{LocalConfig, LocalDa, serve};
use clap::Args;
use eyre::WrapErr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
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
            let listener = TcpListener::bind(self.listen)
                .await
                .wrap_err_with(|| format!("cannot listen on {}", self.listen))?;
            info!(listen = %listener.local_addr()?, dir = %self.dir.display(), "local da");
            let mut service = Service::start(listener, da, clock);
            tokio::select! {
                () = super::run::interrupted() => Ok(service.stop().await?),
                error = service.failed() => Err(error.into()),
            }
        })?
        .map(|()| Exit::Success)
    }
}

/// A DA service that runs inside this process.
pub(super) struct Service {
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), DaError>>>,
}

impl Service {
    /// Serves until it is stopped.
    pub(super) fn start(listener: TcpListener, da: Arc<LocalDa>, clock: Arc<dyn Clock>) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, da, clock, stop.clone()));
        Self { stop, task: Some(task) }
    }

    /// Waits until it fails: nothing may go on as if it were still there.
    pub(super) async fn failed(&mut self) -> DaError {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let ended = task.await;
        self.task = None;
        match ended {
            Ok(Err(error)) => error,
            Ok(Ok(())) => DaError::Storage("the da service ended by itself".into()),
            Err(error) => DaError::Storage(format!("the da service panicked: {error}")),
        }
    }

    /// Answers what is under way, and ends.
    pub(super) async fn stop(self) -> Result<(), DaError> {
        self.stop.cancel();
        let Some(task) = self.task else { return Ok(()) };
        task.await.unwrap_or_else(|error| Err(DaError::Storage(format!("the da service: {error}"))))
    }
}
