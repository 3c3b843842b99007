//! What a DA block costs before anything of it is executed: decoding it and recovering senders. It
//! depends on nothing derived, so that it is done for the next block while one is executed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::{Address, B256, Bytes, keccak256};
use causeway_chainspec::{ChainSpec, DaEntry, PostedSpan, Tx};
use causeway_consensus::mempool::Mempool;
use causeway_da::{DaBlock, codec};
use causeway_execution::ExecutionError;

use super::Node;

/// Most bytes of transactions whose senders are recovered ahead for one DA block; those of the
/// rest are recovered when their block is executed.
const MOST_BYTES: usize = 32 << 20;
/// Fewer transactions than this are not worth a thread.
const FEW: usize = 32;
/// Most threads that recover senders.
const THREADS: usize = 16;

/// Transactions by hash of their bytes.
pub(super) type Recovered = HashMap<B256, Arc<Tx>>;

/// A DA block that is decoded, with the senders of its transactions.
#[derive(Debug)]
pub struct Prepared {
    pub(super) block: DaBlock,
    /// Who may post at this block, as far as was known: derivation asks again.
    pub(super) posters: Vec<Address>,
    pub(super) entry: DaEntry,
    pub(super) dropped: codec::Dropped,
    pub(super) txs: Recovered,
}

impl Prepared {
    /// Hash of the DA block before this one.
    pub fn parent(&self) -> B256 {
        self.block.parent
    }
}

impl Node {
    /// Decodes a DA block and recovers the senders of what this node does not know yet, on all
    /// cores. Changes nothing; the block need not be the next.
    pub async fn prepare(&self, block: DaBlock) -> Result<Prepared, ExecutionError> {
        let (spec, pool) = (self.spec.clone(), self.pool.clone());
        let cursor = self.cursor();
        self.blocking(move |pipeline| {
            let posters = match cursor {
                Some(cursor) => cursor.posters(&spec, block.time_ms.max(cursor.time_ms)),
                None => spec.sequencer.posters_at(block.time_ms).to_vec(),
            };
            let (entry, dropped) = decode(&spec, &block, &posters);
            let latest = pipeline.snapshot().latest().number;
            let txs = recover(&unknown(&entry.spans, latest, &pool));
            Ok(Prepared { block, posters, entry, dropped, txs })
        })
        .await
    }
}

/// The spans of a DA block, by those who may post.
pub(super) fn decode(
    spec: &ChainSpec,
    block: &DaBlock,
    posters: &[Address],
) -> (DaEntry, codec::Dropped) {
    codec::decode(block, &codec::ReadContext { identity: spec.identity(), posters })
}

/// Candidates of blocks above `latest`, without those that the pool has. What this node has a block
/// for it knows, most likely, and where it does not, nothing is lost but time.
fn unknown(spans: &[PostedSpan], latest: u64, pool: &Mempool) -> Vec<(B256, Bytes)> {
    let mut found = Vec::new();
    let mut bytes = 0;
    for span in spans {
        let known = latest.saturating_add(1).saturating_sub(span.number);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        for raw in span.blocks.iter().skip(known).flat_map(|block| &block.body.candidates) {
            bytes += raw.len();
            if bytes > MOST_BYTES {
                return found;
            }
            let hash = keccak256(raw);
            if pool.get(hash).is_none() {
                found.push((hash, raw.clone()));
            }
        }
    }
    found
}

/// Decodes transactions and recovers their senders, on all cores. What is no transaction is left
/// out: finding that out again costs little.
fn recover(raws: &[(B256, Bytes)]) -> Recovered {
    let decode =
        |(hash, raw): &(B256, Bytes)| Some((*hash, Arc::new(Tx::decode(raw.clone()).ok()?)));
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let threads = cores.min(raws.len() / FEW);
    if threads < 2 {
        return raws.iter().filter_map(decode).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(raws) = raws.chunks(FEW).nth(next.fetch_add(1, Ordering::Relaxed)) {
            done.extend(raws.iter().filter_map(decode));
        }
        done
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut txs = Recovered::with_capacity(raws.len());
        for thread in threads {
            match thread.join() {
                Ok(done) => txs.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        txs
    })
}
