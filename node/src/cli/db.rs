//! `causeway db`: look at, check and unwind a datadir that no node uses.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use causeway_chainspec::ChainSpec;
use causeway_execution::store::{Store, StoreConfig};
use causeway_execution::{Pipeline, PipelineConfig};
use clap::{Args, Subcommand};

use super::{load_spec, print};
use crate::config::{DEFAULT_CACHE_MIB, DEFAULT_HISTORY};
use crate::exit::{CommandResult, Exit, ExitError};
use crate::node::note_abandoned;

/// Which datadir, of which chain.
#[derive(Debug, Args)]
pub struct Datadir {
    /// Chain spec.
    #[arg(long, env = "CAUSEWAY_CHAIN", default_value = "chain.toml")]
    pub chain: PathBuf,
    /// Directory of the node's data.
    #[arg(long, env = "CAUSEWAY_DATADIR", default_value = "data")]
    pub datadir: PathBuf,
    /// Keep the state of every block.
    #[arg(long)]
    pub archive: bool,
}

impl Datadir {
    /// Opens the pipeline on it.
    pub fn open(&self) -> Result<(Arc<ChainSpec>, Pipeline), ExitError> {
        let spec = Arc::new(load_spec(&self.chain)?);
        let (pipeline, _) = Pipeline::open(PipelineConfig {
            datadir: self.datadir.clone().into(),
            spec: spec.clone(),
            modules: causeway_bridge::modules(&spec),
            archive: self.archive,
            address_index: None,
            history_blocks: DEFAULT_HISTORY,
            cache_bytes: DEFAULT_CACHE_MIB << 20,
        })?;
        Ok((spec, pipeline))
    }

    fn store(&self) -> Result<Store, ExitError> {
        let spec = load_spec(&self.chain)?;
        let config = StoreConfig {
            identity: spec.identity(),
            archive: self.archive,
            address_index: None,
            history_blocks: DEFAULT_HISTORY,
            cache_bytes: DEFAULT_CACHE_MIB << 20,
        };
        Ok(Store::open(self.datadir.clone(), config)?)
    }
}

/// Look at, check and unwind a datadir that no node uses.
#[derive(Debug, Args)]
pub struct Db {
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    /// Rows and bytes of each table.
    Stats {
        #[command(flatten)]
        datadir: Datadir,
    },
    /// Recompute the state root from the flat state, and check trie and chain against it.
    Verify {
        #[command(flatten)]
        datadir: Datadir,
    },
    /// Go back to a block; never below the finalized one.
    Unwind {
        #[command(flatten)]
        datadir: Datadir,
        /// Number of the block to go back to.
        #[arg(long)]
        to: u64,
    },
}

impl Db {
    /// Runs the command.
    pub fn run(self) -> CommandResult {
        match self.command {
            DbCommand::Stats { datadir } => {
                let mut text = format!("{:<24} {:>14} {:>16}\n", "table", "rows", "bytes");
                for table in datadir.store()?.stats()? {
                    writeln!(text, "{:<24} {:>14} {:>16}", table.name, table.rows, table.bytes)?;
                }
                print(&text)?;
            }
            DbCommand::Verify { datadir } => {
                // Open the pipeline first: it brings the store up to the end of the log.
                let (_, pipeline) = datadir.open()?;
                pipeline.close()?;
                let verified = datadir.store()?.verify()?;
                println!(
                    "{} blocks, {} accounts, {} slots, {} trie nodes; state root {} holds",
                    verified.blocks,
                    verified.accounts,
                    verified.slots,
                    verified.nodes,
                    verified.state_root
                );
            }
            DbCommand::Unwind { datadir, to } => {
                let (_, pipeline) = datadir.open()?;
                note_abandoned(&pipeline, to, false)?;
                let dropped = pipeline.unwind(to)?;
                pipeline.close()?;
                println!("unwound {} blocks; the newest is {to}", dropped.len());
            }
        }
        Ok(Exit::Success)
    }
}
