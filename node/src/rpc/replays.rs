//! Blocks and calls under a tracer: what is executed before, how long it may take, what is said
//! when it takes longer.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use alloy_rpc_types_eth::BlockId as Target;
use causeway_chainspec::{BlockEnv, StateReader};
use causeway_execution::overlay::Patched;
use causeway_execution::pipeline::Replay;
use causeway_execution::trace::{Trace, TraceLimits, Traced, Tracer, TxPlace};
use causeway_execution::{Stop, VmError};

use super::backend::ChainReader;
use super::error::{RpcError, RpcResult};
use super::table::Api;
use super::target;

/// What is written down may take this many times the memory of the longest answer: structures
/// are larger than their JSON in the worst case, and what cannot be answered is not worth more.
const MEMORY_SHARE: usize = 8;
/// A trace gives up this part of its time early, so that the client learns why.
const EARLY: u32 = 20;

/// One request under way.
pub(crate) struct Tracing<'a> {
    api: &'a Api,
    /// When to give up, and after how long that is.
    until: Instant,
    limit: Duration,
}

impl<'a> Tracing<'a> {
    /// Until the deadline of a worker, or for as long as the client asks if that is shorter.
    pub(crate) fn new(api: &'a Api, deadline: Instant, asked: Option<Duration>) -> Self {
        let limit = api.config.call_timeout;
        let until = deadline - limit / EARLY;
        match asked.filter(|asked| *asked < limit) {
            Some(asked) => Self { api, until: until.min(Instant::now() + asked), limit: asked },
            None => Self { api, until, limit },
        }
    }

    /// Whether time is up.
    pub(crate) fn expired(&self) -> bool {
        Instant::now() >= self.until
    }

    /// What is said then.
    pub(crate) fn late(&self) -> RpcError {
        RpcError::server(format!(
            "trace took longer than {}s: ask for less (one transaction, a tracer that writes less, \
             fewer blocks), or raise call_timeout_ms in [rpc] of node.toml",
            self.limit.as_secs_f32()
        ))
    }

    /// Traces some of a block's transactions.
    pub(crate) fn txs(
        &self,
        replay: &Replay,
        which: Range<usize>,
        tracer: &Tracer,
    ) -> RpcResult<Vec<Trace>> {
        let state = self.before(replay, which.start)?;
        let block = Some(replay.block.hash);
        let steps: Vec<_> = which
            .map(|index| {
                let place = TxPlace { block, index: Some(index as u64) };
                (Traced::Tx(replay.block.txs[index].clone(), place), tracer.clone())
            })
            .collect();
        self.run(&*state, &replay.env, &steps)
    }

    /// State before a transaction of a block.
    pub(crate) fn before(&self, replay: &Replay, index: usize) -> RpcResult<Arc<dyn StateReader>> {
        let txs = &replay.block.txs[..index];
        if txs.is_empty() {
            return Ok(replay.state.clone());
        }
        let vm = self.api.backend.vm();
        let output = vm.execute(&*replay.state, &replay.env, txs, &Stop::never())?;
        if let Some((at, why)) = output.skipped.first() {
            let (number, hash) = (replay.block.header.number, txs[*at].hash);
            return Err(RpcError::internal(format!("block {number}: {hash} runs no more: {why}")));
        }
        Ok(Arc::new(Patched { diff: output.diff, below: replay.state.clone() }))
    }

    /// Traces one thing after the other.
    pub(crate) fn run(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        steps: &[(Traced, Tracer)],
    ) -> RpcResult<Vec<Trace>> {
        let most_bytes = MEMORY_SHARE * self.api.config.response_bytes as usize;
        let until = self.until;
        let expired = move || Instant::now() >= until;
        let limits = TraceLimits { expired: &expired, most_bytes };
        self.api.backend.vm().trace(state, env, steps, limits).map_err(|error| match error {
            VmError::Expired => self.late(),
            VmError::TooLarge(bytes) => RpcError::server(format!(
                "trace takes more than {} MiB of memory: ask for less (one transaction, \
                 disableStack, disableStorage, no enableMemory, a limit), or raise response_bytes \
                 in [rpc] of node.toml",
                bytes >> 20
            )),
            other => other.into(),
        })
    }
}

/// The block meant, ready to be executed again.
pub(crate) fn block(chain: &dyn ChainReader, target: Target) -> RpcResult<Replay> {
    let latest = chain.latest().number;
    let number = target::find(chain, target)?.filter(|number| *number <= latest);
    let number = number.ok_or_else(|| match target {
        Target::Hash(hash) => RpcError::server(format!("block {} not found", hash.block_hash)),
        Target::Number(tag) => {
            RpcError::server(format!("block #{} not found", target::number(chain, tag)))
        }
    })?;
    at(chain, number)
}

/// A block that is there.
pub(crate) fn at(chain: &dyn ChainReader, number: u64) -> RpcResult<Replay> {
    if number == 0 {
        return Err(RpcError::server("genesis is not traceable"));
    }
    chain.replay(number)?.ok_or_else(RpcError::pruned)
}

/// The block of an included transaction, ready to be executed again, and the index in it.
pub(crate) fn tx(chain: &dyn ChainReader, hash: B256) -> RpcResult<Option<(Replay, usize)>> {
    let Some((block, index)) = chain.tx(hash)? else { return Ok(None) };
    Ok(Some((at(chain, block.header.number)?, index)))
}
