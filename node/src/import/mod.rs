//! An Ethereum chain from a file: read, executed, kept, and served by the same JSON-RPC as our own.

mod backend;
mod file;
mod reader;
mod sidecar;
mod spec;

use std::io::Read;
use std::sync::Arc;

use causeway_chainspec::ethereum::{EthereumChain, RawBlock};
use causeway_chainspec::{ChainSpec, Clock, DaRef, Heads};
use causeway_consensus::mempool::{Limits, Mempool};
use causeway_execution::ExecutionError;
use causeway_execution::disk::Folder;
use causeway_execution::ethereum::{Chain, ImportError, Imported};
use eyre::WrapErr;
use tokio::sync::{broadcast, watch};

use crate::node::recent::Recent;
use crate::rpc::{BlockEvent, RpcConfig};
use sidecar::Sidecars;

/// Blocks that are read before they are executed, and bytes of them.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 16 << 20;
/// Blocks of proofs that are kept.
const PROOFS: u64 = 4096;

/// An imported chain with what JSON-RPC needs besides.
pub struct ImportedChain {
    chain: Chain,
    spec: ChainSpec,
    clock: Arc<dyn Clock>,
    /// Transactions that were sent here. No block takes them, and nothing keeps them.
    pool: Mempool,
    sidecars: Sidecars,
    recent: Arc<Recent>,
    heads: watch::Sender<Heads>,
    blocks: broadcast::Sender<BlockEvent>,
}

impl ImportedChain {
    /// Opens the datadir of a chain, or begins it.
    pub fn open(
        datadir: impl Into<Folder>,
        genesis: &EthereumChain,
        cache_bytes: usize,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ExecutionError> {
        let chain = Chain::open(datadir, genesis, PROOFS, cache_bytes)?;
        let (heads, _) = watch::channel(heads(&chain));
        let (blocks, _) = broadcast::channel(BATCH);
        Ok(Self {
            spec: spec::of(&genesis.schedule),
            chain,
            clock,
            pool: Mempool::new(Limits::default()),
            sidecars: Sidecars::default(),
            recent: Arc::default(),
            heads,
            blocks,
        })
    }

    /// Executes and commits the blocks of a file, one after the other; blocks that are there already
    /// are passed over. `progress` is told what is durable and the bytes read, after every batch.
    /// Memory is bounded by a batch.
    pub fn import(
        &self,
        file: &mut impl Read,
        progress: &mut dyn FnMut(Imported, u64),
    ) -> eyre::Result<Imported> {
        let (mut done, mut read) = (Imported::default(), 0);
        loop {
            let (mut batch, mut bytes, mut damage) = (Vec::new(), 0, None);
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                match next(file) {
                    Ok(Some(block)) => {
                        bytes += block.size;
                        batch.push(block);
                    }
                    Ok(None) => break,
                    Err(error) => {
                        damage = Some(error);
                        break;
                    }
                }
            }
            let last = batch.is_empty();
            let result = self.extend(&batch);
            if let Ok(imported) = &result {
                done.new += imported.new;
                done.known += imported.known;
                read += bytes as u64;
                progress(done, read);
            }
            result.wrap_err("what came before is imported")?;
            match damage {
                Some(error) => return Err(error),
                None if last => return Ok(done),
                None => {}
            }
        }
    }

    fn extend(&self, batch: &[RawBlock]) -> Result<Imported, ImportError> {
        let result = self.chain.import(batch);
        self.heads.send_replace(heads(&self.chain));
        result
    }

    /// Its newest block.
    pub fn heads(&self) -> Heads {
        *self.heads.borrow()
    }

    /// Limits and namespaces of its JSON-RPC: those that mean something without a rollup.
    pub fn rpc_config() -> RpcConfig {
        let namespaces = crate::rpc::namespaces_of_ethereum();
        RpcConfig { namespaces, ..RpcConfig::default() }
    }
}

/// All heads are the newest block: what is imported is final.
fn heads(chain: &Chain) -> Heads {
    let latest = chain.snapshot().latest();
    Heads { latest, safe: latest, finalized: latest, safe_da: DaRef::default(), reorgs: 0 }
}

/// The next block of a file; `None` at its end.
fn next(file: &mut impl Read) -> eyre::Result<Option<RawBlock>> {
    let Some(item) = file::read_item(file)? else { return Ok(None) };
    RawBlock::decode(&item).map(Some).wrap_err("the file holds something that is no block")
}
