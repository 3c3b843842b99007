//! `[pool]`, `[rpc]`, `[metrics]` and `[admin]` of node.toml: what is left out keeps its default.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use causeway_consensus::mempool::Limits;
use serde::Deserialize;

use crate::rpc::RpcConfig;

/// `[pool]`: bounds of the transactions that wait.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolFile {
    /// Most transactions in all.
    pub count: Option<NonZeroUsize>,
    /// Most bytes in all.
    pub bytes: Option<NonZeroUsize>,
    /// Most transactions of an account behind a gap of nonces or of funds; all together may have a
    /// quarter of `count` there.
    pub account_queued: Option<usize>,
    /// Most bytes of one transaction.
    pub tx_bytes: Option<NonZeroUsize>,
}

impl PoolFile {
    /// The limits, with defaults for what the file does not name.
    pub fn limits(&self) -> Limits {
        let default = Limits::default();
        let some = |number: Option<NonZeroUsize>, default| number.map_or(default, usize::from);
        Limits {
            queued: self.account_queued.unwrap_or(default.queued),
            count: some(self.count, default.count),
            bytes: some(self.bytes, default.bytes),
            tx_bytes: some(self.tx_bytes, default.tx_bytes),
        }
    }
}

/// `[rpc]`: limits and manners of JSON-RPC.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RpcFile {
    /// Namespaces that answer; all if empty.
    pub api: Option<Vec<String>>,
    /// Origins of web pages that may call; `*` for all.
    pub origins: Option<Vec<String>>,
    /// `Host` values let in, as `localhost:*`; all if left out.
    pub hosts: Option<Vec<String>>,
    /// Whether `eth_sendRawTransactionConditional` takes transactions; false if left out.
    pub conditional: Option<bool>,
    /// Largest request in bytes.
    pub request_bytes: Option<NonZeroU32>,
    /// Largest response in bytes, of a whole batch, too.
    pub response_bytes: Option<NonZeroU32>,
    /// Most calls of a batch.
    pub batch: Option<NonZeroU32>,
    /// Most connections at a time.
    pub connections: Option<NonZeroU32>,
    /// Most subscriptions of a connection.
    pub subscriptions: Option<u32>,
    /// Calls and searches that run at the same time.
    pub workers: Option<NonZeroUsize>,
    /// Filters kept for clients that poll.
    pub filters: Option<NonZeroUsize>,
    /// Most blocks of one `eth_getLogs`.
    pub log_blocks: Option<NonZeroU64>,
    /// Most logs of one `eth_getLogs` over several blocks.
    pub log_results: Option<NonZeroUsize>,
    /// Most blocks of one `trace_filter`.
    pub trace_blocks: Option<NonZeroU64>,
    /// Most traces of one `trace_filter` over several blocks.
    pub trace_results: Option<NonZeroUsize>,
    /// Most gas of `eth_call` and `eth_estimateGas`.
    pub call_gas: Option<NonZeroU64>,
    /// Longest a call or a search is waited for, in milliseconds.
    pub call_timeout_ms: Option<NonZeroU64>,
    /// Longest a whole HTTP request may take, in milliseconds.
    pub request_timeout_ms: Option<NonZeroU64>,
}

impl RpcFile {
    /// The settings, with defaults for what the file does not name.
    pub fn config(&self) -> RpcConfig {
        let default = RpcConfig::default();
        let some = |number: Option<NonZeroU32>, default| number.map_or(default, u32::from);
        let size = |number: Option<NonZeroUsize>, default| number.map_or(default, usize::from);
        let ms = |number: Option<NonZeroU64>, default| {
            number.map_or(default, |ms| Duration::from_millis(ms.into()))
        };
        RpcConfig {
            namespaces: self.api.clone().unwrap_or_default(),
            origins: self.origins.clone().unwrap_or_default(),
            hosts: self.hosts.clone(),
            conditional: self.conditional.unwrap_or(default.conditional),
            request_bytes: some(self.request_bytes, default.request_bytes),
            response_bytes: some(self.response_bytes, default.response_bytes),
            batch: some(self.batch, default.batch),
            connections: some(self.connections, default.connections),
            subscriptions: self.subscriptions.unwrap_or(default.subscriptions),
            workers: size(self.workers, default.workers),
            filters: size(self.filters, default.filters),
            log_blocks: self.log_blocks.map_or(default.log_blocks, u64::from),
            log_results: size(self.log_results, default.log_results),
            trace_blocks: self.trace_blocks.map_or(default.trace_blocks, u64::from),
            trace_results: size(self.trace_results, default.trace_results),
            call_gas: self.call_gas.map_or(default.call_gas, u64::from),
            call_timeout: ms(self.call_timeout_ms, default.call_timeout),
            request_timeout: ms(self.request_timeout_ms, default.request_timeout),
            ..default
        }
    }
}

/// `[metrics]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsFile {
    /// Address that tells the metrics; none if left out.
    pub listen: Option<SocketAddr>,
}

/// `[admin]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminFile {
    /// Address of the admin listener, on loopback; none if left out.
    pub listen: Option<SocketAddr>,
    /// The secret of its tokens: 64 hex digits, made if it is missing.
    pub jwt: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NodeFile;

    fn file(text: &str) -> Result<NodeFile, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_keeps_its_default() {
        let empty = file("").unwrap();
        assert_eq!(empty.pool.limits(), Limits::default());
        assert_eq!(format!("{:?}", empty.rpc.config()), format!("{:?}", RpcConfig::default()));
        let text = "[metrics]\nlisten = \"127.0.0.1:9101\"\n[pool]\ncount = 7\nbytes = 800\n\
                    account_queued = 0\ntx_bytes = 9\n";
        let some = file(text).unwrap();
        let limits = Limits { queued: 0, count: 7, bytes: 800, tx_bytes: 9 };
        assert_eq!(some.pool.limits(), limits);
        assert_eq!(some.metrics.listen, Some("127.0.0.1:9101".parse().unwrap()));
    }

    #[test]
    fn every_limit_of_the_rpc_can_be_set() {
        let text = "[rpc]\napi = [\"eth\"]\norigins = [\"*\"]\nhosts = [\"localhost:*\"]\nconditional = true\n\
                    request_bytes = 1\nresponse_bytes = 2\nbatch = 3\nconnections = 4\n\
                    subscriptions = 0\nworkers = 6\nfilters = 7\nlog_blocks = 8\nlog_results = 9\n\
                    trace_blocks = 13\ntrace_results = 14\ncall_gas = 10\ncall_timeout_ms = 11\nrequest_timeout_ms = 12\n";
        let config = file(text).unwrap().rpc.config();
        assert_eq!((config.namespaces, config.origins), (vec!["eth".into()], vec!["*".into()]));
        assert_eq!(config.hosts, Some(vec!["localhost:*".into()]));
        assert_eq!((config.request_bytes, config.response_bytes, config.batch), (1, 2, 3));
        assert_eq!((config.connections, config.subscriptions, config.workers), (4, 0, 6));
        assert_eq!((config.filters, config.log_blocks, config.log_results), (7, 8, 9));
        assert_eq!((config.call_gas, config.call_timeout), (10, Duration::from_millis(11)));
        assert!(config.conditional && config.request_timeout == Duration::from_millis(12));
    }

    #[test]
    fn slips_are_errors_that_say_what_would_be_right() {
        for (text, words) in [
            ("[pool]\nsize = 1", "account_queued"),
            ("[rpc]\nbatches = 1", "request_bytes"),
            ("[metrics]\nport = 1", "listen"),
            ("[admin]\nsecret = 1", "jwt"),
            ("[pool]\ncount = 0", "nonzero"),
            ("[rpc]\nworkers = -1", "nonzero"),
            ("[metrics]\nlisten = \"9101\"", "socket address"),
        ] {
            let error = file(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
