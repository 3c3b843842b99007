//! The metrics of a node under their names, read anew for each scrape.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::U256;
use causeway_execution::metrics::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::rpc::RpcMetrics;
use super::{NodeMetrics, REASONS};
use crate::node::Node;
use crate::rpc::Backend;

/// Reads a node.
pub(super) struct Export {
    pub(super) node: Arc<Node>,
    pub(super) rpc: Arc<RpcMetrics>,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").finish_non_exhaustive()
    }
}

impl Collector for Export {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        out.about()?;
        out.stages(&self.node)?;
        out.pool(&self.node)?;
        out.storage(&self.node)?;
        out.heads(&self.node)?;
        out.da(&self.node)?;
        out.followers(&self.node)?;
        out.rpc(&self.rpc)
    }
}

/// Label and value of each line of a metric.
type Rows = Vec<(String, u64)>;

struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn begin<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.begin(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, rows: Rows) -> fmt::Result {
        let mut encoder = self.begin(name, help, None, MetricType::Counter)?;
        for (row, value) in rows {
            let labels = [(label, row.as_str())];
            ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.begin(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn gauges(&mut self, name: &str, help: &str, label: &str, rows: Rows) -> fmt::Result {
        let mut encoder = self.begin(name, help, None, MetricType::Gauge)?;
        for (row, value) in rows {
            let labels = [(label, row.as_str())];
            ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn seconds(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        let encoder = self.begin(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        write(encoder, histogram)
    }

    fn about(&mut self) -> fmt::Result {
        let mut encoder = self.begin("causeway_build", "What runs", None, MetricType::Info)?;
        encoder.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        match resident_bytes() {
            Some(bytes) => {
                let help = "Memory of the whole process that is in RAM";
                self.gauge("process_resident_memory_bytes", help, bytes)
            }
            None => Ok(()),
        }
    }

    fn stages(&mut self, node: &Node) -> fmt::Result {
        let (pipeline, own) = (node.pipeline().metrics(), node.metrics());
        let help = "Building a block: both runs and its roots";
        self.seconds("causeway_block_build", help, &pipeline.build)?;
        let help = "Running a block's transactions: the draft, the clean run of what is kept, or a \
                    block that was built elsewhere";
        let name = "causeway_execute";
        let mut encoder = self.begin(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (run, histogram) in [
            ("draft", &pipeline.execute_draft),
            ("clean", &pipeline.execute_clean),
            ("follow", &pipeline.execute_follow),
        ] {
            write(encoder.encode_family(&[("run", run)])?, histogram)?;
        }
        let help = "Hashing a block: state root, roots of transactions and receipts";
        self.seconds("causeway_root", help, &pipeline.root)?;
        let help = "Committing a block: durable in the log, visible, handed to the store";
        self.seconds("causeway_commit", help, &pipeline.commit)?;
        let help = "One fdatasync of the log";
        self.seconds("causeway_journal_sync", help, &pipeline.journal_sync)?;
        let help = "One transaction of the store";
        self.seconds("causeway_store_commit", help, &pipeline.store_commit)?;
        let help = "Blocks in one transaction of the store";
        let name = "causeway_store_commit_blocks";
        let encoder = self.begin(name, help, None, MetricType::Histogram)?;
        write(encoder, &pipeline.store_blocks)?;
        let help = "Recovering the sender of a transaction from its signature";
        self.seconds("causeway_recover", help, &own.recover)?;
        let help = "Deriving from a DA block: decoding it, executing what is new";
        self.seconds("causeway_derive", help, &own.derive)?;
        let help = "Posting a span: encoding it, and the DA layer's answer";
        self.seconds("causeway_publish", help, &own.publish)?;
        let help = "Commits that waited because too much waited for the store";
        self.counter("causeway_commit_waits", help, pipeline.commit_waits.get())
    }

    fn pool(&mut self, node: &Node) -> fmt::Result {
        let (pool, own) = (node.pool(), node.metrics());
        let status = pool.status();
        let rows = vec![
            ("pending".into(), status.pending as u64),
            ("queued".into(), status.queued as u64),
        ];
        let help = "Transactions that wait: executable now, or behind a gap";
        self.gauges("causeway_pool_transactions", help, "state", rows)?;
        let help = "Bytes of transactions that wait";
        self.gauge("causeway_pool_bytes", help, pool.bytes() as u64)?;
        let NodeMetrics { pool: limits, .. } = own;
        let help = "Most transactions that may wait";
        self.gauge("causeway_pool_limit_transactions", help, limits.count as u64)?;
        let help = "Most bytes of transactions that may wait";
        self.gauge("causeway_pool_limit_bytes", help, limits.bytes as u64)?;
        let help = "Transactions taken";
        self.counter("causeway_transactions_accepted", help, own.accepted.get())?;
        let refused = REASONS.iter().zip(&own.refused);
        let rows = refused.map(|(reason, count)| ((*reason).to_owned(), count.get())).collect();
        let help = "Transactions refused";
        self.counters("causeway_transactions_refused", help, "reason", rows)
    }

    fn storage(&mut self, node: &Node) -> fmt::Result {
        let load = node.pipeline().load();
        let help = "Changes handed over and not yet in a transaction of the store";
        let waits = node.pipeline().metrics().persist_queue.get();
        self.gauge("causeway_persist_queue", help, waits)?;
        let help = "Blocks in the log and in memory that are not in the store";
        self.gauge("causeway_overlay_blocks", help, load.unstored_blocks)?;
        let help = "Bytes of the log that no fdatasync has covered";
        self.gauge("causeway_journal_undurable_bytes", help, load.undurable_bytes)?;
        let caches = || load.caches.iter();
        let used = caches().map(|(name, used, _)| ((*name).to_owned(), *used)).collect();
        self.gauges("causeway_cache_bytes", "Bytes that caches hold", "cache", used)?;
        let most = caches().map(|(name, _, most)| ((*name).to_owned(), *most)).collect();
        self.gauges("causeway_cache_limit_bytes", "Bytes that caches may hold", "cache", most)
    }

    fn heads(&mut self, node: &Node) -> fmt::Result {
        let heads = *node.heads().borrow();
        let rows = [
            ("latest", heads.latest.number),
            ("safe", heads.safe.number),
            ("finalized", heads.finalized.number),
        ];
        let rows = rows.map(|(head, number)| (head.to_owned(), number)).into();
        self.gauges("causeway_head_number", "Block numbers of the heads", "head", rows)?;
        self.counter("causeway_reorgs", "Times that latest left blocks behind", heads.reorgs)?;
        let own = node.metrics();
        self.counter("causeway_blocks", "Blocks that became part of the chain", own.blocks.get())?;
        let help = "Transactions in those blocks";
        self.counter("causeway_transactions_included", help, own.txs.get())?;
        self.counter("causeway_gas", "Gas used by those blocks", own.gas.get())?;
        let status = node.status();
        let paused = u64::from(status.sequencer.paused.is_some());
        self.gauge("causeway_building_paused", "1 while a sequencer does not build", paused)?;
        let help = "What is wrong, as rollup_health tells it in words";
        self.gauge("causeway_problems", help, status.problems.len() as u64)
    }

    fn da(&mut self, node: &Node) -> fmt::Result {
        let head = node.da_head().map_or(0, |head| head.height);
        let derived = node.cursor().map_or(0, |cursor| cursor.da.height);
        let rows = vec![("head".to_owned(), head), ("derived".to_owned(), derived)];
        let help = "DA heights: the newest known, and the newest derived from";
        self.gauges("causeway_da_height", help, "of", rows)?;
        let help = "DA blocks that are known and not derived from";
        self.gauge("causeway_da_behind", help, head.saturating_sub(derived))?;
        let own = node.metrics();
        let help = "Bytes of blobs that the DA layer took";
        self.counter("causeway_da_posted_bytes", help, own.posted_bytes.get())?;
        let rows = vec![
            ("taken".to_owned(), own.posts.get()),
            ("failed".to_owned(), own.failed_posts.get()),
        ];
        self.counters("causeway_da_posts", "Spans posted", "outcome", rows)?;
        if let Some(runway) = node.runway() {
            let gwei = U256::from(1_000_000_000);
            let help = "What the account that pays for posts has";
            self.gauge("causeway_poster_gwei", help, (runway.balance_wei / gwei).saturating_to())?;
            let help = "What this process has spent on posts";
            let spent = U256::from(runway.spent_wei) / gwei;
            self.counter("causeway_poster_spent_gwei", help, spent.saturating_to())?;
            if let Some(hours) = runway.hours() {
                let help = "Hours until the account that pays for posts is empty";
                self.gauge("causeway_poster_hours", help, hours as u64)?;
            }
        }
        let help = "Whether the node halted, and only reads";
        self.gauge("causeway_halted", help, u64::from(node.halted().is_some()))?;
        let help = "Blobs of our namespace that derivation dropped";
        self.counter("causeway_blobs_dropped", help, node.dropped_blobs())
    }

    fn followers(&mut self, node: &Node) -> fmt::Result {
        let remotes = node.remotes();
        let all: Vec<u32> = remotes.domains().collect();
        let stopped = all.iter().filter(|domain| remotes.trouble(**domain).is_some()).count();
        let rows = vec![
            ("following".to_owned(), (all.len() - stopped) as u64),
            ("stopped".to_owned(), stopped as u64),
        ];
        let help = "Members that this process re-derives";
        self.gauges("causeway_followers", help, "state", rows)?;
        let rows = all.iter().filter_map(|domain| {
            let follower = remotes.get(*domain)?;
            let number = follower.heads().borrow().latest.number;
            Some((follower.spec().short_name.clone(), number))
        });
        let help = "Newest final block of each of them";
        self.gauges("causeway_follower_number", help, "member", rows.collect())
    }

    fn rpc(&mut self, rpc: &RpcMetrics) -> fmt::Result {
        let help = "HTTP requests being answered, and WebSocket connections";
        self.gauge("causeway_rpc_connections", help, rpc.connections())?;
        let help = "Calls being answered";
        self.gauge("causeway_rpc_calls_in_flight", help, rpc.calls.get())?;
        let help = "Calls that have ended";
        let mut encoder = self.begin("causeway_rpc_calls", help, None, MetricType::Counter)?;
        for (method, outcome, count) in rpc.read() {
            let labels = [("method", method), ("outcome", outcome)];
            ConstCounter::new(count).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn write(mut encoder: MetricEncoder<'_>, histogram: &Histogram) -> fmt::Result {
    let read = histogram.read();
    encoder.encode_histogram::<NoLabelSet>(read.sum, read.count, &read.buckets, None)
}

/// `None` where the kernel does not tell.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
