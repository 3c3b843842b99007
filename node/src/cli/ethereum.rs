//! `causeway import --genesis`: an Ethereum chain from a file, executed and, if wanted, served.

use std::fs::File;
use std::io::BufReader;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_chainspec::ethereum::EthereumChain;
use causeway_execution::ethereum::ImportError;
use clap::Args;
use eyre::WrapErr;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::block_on;
use super::run::{interrupted, listen};
use crate::clock::SystemClock;
use crate::config::{DEFAULT_CACHE_MIB, DEFAULT_HTTP};
use crate::exit::{CommandResult, Exit, ExitError};
use crate::import::ImportedChain;
use crate::logging::{self, LogFormat};
use crate::rpc;

/// What makes an import one of an Ethereum chain.
#[derive(Debug, Args)]
pub(super) struct Ethereum {
    /// Genesis of an Ethereum chain, as geth takes it: FILE then holds its blocks in RLP, and the
    /// datadir becomes an archive of that chain. `--chain` is not read.
    #[arg(long, value_name = "GENESIS")]
    genesis: Option<PathBuf>,
    /// Serve the chain over JSON-RPC once it is imported, until stopped.
    #[arg(long, requires = "genesis")]
    serve: bool,
    /// Address of JSON-RPC, HTTP and WebSocket.
    #[arg(long, requires = "serve", value_name = "ADDRESS", default_value = DEFAULT_HTTP)]
    http: SocketAddr,
}

impl Ethereum {
    /// Whether `--genesis` was given.
    pub(super) fn is_wanted(&self) -> bool {
        self.genesis.is_some()
    }

    /// Runs the command.
    pub(super) fn run(&self, datadir: &Path, file: File) -> CommandResult {
        let genesis = self.genesis.as_deref().unwrap_or_else(|| Path::new("genesis.json"));
        let text = std::fs::read_to_string(genesis)
            .wrap_err_with(|| format!("cannot read {}", genesis.display()))?;
        let chain = EthereumChain::parse(&text).wrap_err_with(|| genesis.display().to_string());
        let chain = chain.map_err(|report| ExitError::new(Exit::Spec, report))?;
        // Before hours of work: an address in use is found at once.
        let listener = self.serve.then(|| listen(self.http)).transpose()?;
        let clock = Arc::new(SystemClock);
        let cache = DEFAULT_CACHE_MIB << 20;
        let imported = ImportedChain::open(datadir.to_owned(), &chain, cache, clock)?;
        let bar = progress(file.metadata()?.len())?;
        let done = imported.import(&mut BufReader::new(file), &mut |done, bytes| {
            bar.set_position(bytes);
            bar.set_message(format!("{} blocks", done.new + done.known));
        });
        bar.finish();
        let done = done.map_err(own_failure)?;
        let newest = imported.heads().latest;
        println!(
            "imported {} blocks, {} were there; the newest is {} {}",
            done.new, done.known, newest.number, newest.hash
        );
        match listener {
            Some(listener) => serve(imported, listener),
            None => Ok(Exit::Success),
        }
    }
}

/// Tells our own failures, which have exit codes of their own, from bad blocks.
fn own_failure(report: eyre::Report) -> ExitError {
    match report.downcast::<ImportError>() {
        Ok(ImportError::Execution(error)) => error.into(),
        Ok(invalid) => eyre::Report::new(invalid).wrap_err("what came before is imported").into(),
        Err(report) => report.into(),
    }
}

fn progress(bytes: u64) -> eyre::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}  {msg}  {eta} left")?;
    Ok(ProgressBar::new(bytes).with_style(style))
}

fn serve(chain: ImportedChain, listener: TcpListener) -> CommandResult {
    logging::install(LogFormat::default(), "info")?;
    block_on(async move {
        let stop = CancellationToken::new();
        let server =
            rpc::serve(listener, Arc::new(chain), ImportedChain::rpc_config(), stop.clone())
                .await?;
        // Before anybody is told that it is there to be stopped.
        let interrupted = interrupted();
        tracing::info!(rpc = %format!("http://{}", server.local_addr), "ready");
        interrupted.await;
        stop.cancel();
        server.stopped().await;
        Ok(Exit::Success)
    })?
}
