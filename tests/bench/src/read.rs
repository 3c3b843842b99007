//! The other load: requests that read, repeated over some connections for a time.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use eyre::{ensure, eyre};
use hdrhistogram::Histogram;
use tokio::task::LocalSet;

use crate::http::{Http, find, post};
use crate::load::thread_cpu;

/// Answers up to this many bytes are searched for errors whole, longer ones at their beginning.
const SHORT: usize = 32 << 10;

/// Requests, rendered.
#[derive(Debug, Clone)]
pub struct Reads {
    /// One after the other, from the first again when all are sent.
    pub bodies: Vec<String>,
    /// Calls of each.
    pub calls: usize,
}

/// What came of them.
#[derive(Debug, Clone)]
pub struct ReadOutcome {
    /// Calls a second.
    pub per_second: f64,
    /// Microseconds of a request.
    pub latency: Histogram<u64>,
    /// Microseconds of the generator's CPU time a request.
    pub generator_us: f64,
}

impl Reads {
    /// Single calls of a method.
    pub fn single(method: &str, parameters: impl Iterator<Item = serde_json::Value>) -> Self {
        let bodies = parameters.map(|parameters| call(method, 0, &parameters)).collect();
        Self { bodies, calls: 1 }
    }

    /// Batches of a method; what does not fill one is left out.
    pub fn batched(method: &str, parameters: &[serde_json::Value], calls: usize) -> Self {
        let batch = |some: &[serde_json::Value]| {
            let calls: Vec<_> =
                some.iter().enumerate().map(|(id, one)| call(method, id, one)).collect();
            format!("[{}]", calls.join(","))
        };
        Self { bodies: parameters.chunks_exact(calls).map(batch).collect(), calls }
    }
}

fn call(method: &str, id: usize, parameters: &serde_json::Value) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{parameters}}}"#)
}

/// Reads for a time. An error answer is an error.
pub fn run(
    server: SocketAddr,
    reads: &Reads,
    connections: usize,
    time: Duration,
) -> eyre::Result<ReadOutcome> {
    ensure!(!reads.bodies.is_empty(), "nothing to read");
    let requests: Vec<_> = reads.bodies.iter().map(|body| post(server, body)).collect();
    let calls = reads.calls;
    let thread = std::thread::Builder::new().name("reads".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, drive(server, requests, calls, connections, time))
    })?;
    thread.join().map_err(|_| eyre!("the reader panicked"))?
}

async fn drive(
    server: SocketAddr,
    requests: Vec<Vec<u8>>,
    calls: usize,
    connections: usize,
    time: Duration,
) -> eyre::Result<ReadOutcome> {
    let requests = Rc::new(requests);
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Http::connect(server).await?);
    }
    let (started, cpu) = (Instant::now(), thread_cpu());
    let readers: Vec<_> = open
        .into_iter()
        .enumerate()
        .map(|(number, http)| {
            // Everybody begins elsewhere.
            let first = number * requests.len() / connections;
            tokio::task::spawn_local(read(http, requests.clone(), first, started + time))
        })
        .collect();
    let mut latency = Histogram::new_with_bounds(1, 600_000_000, 3)?;
    for reader in readers {
        latency.add(reader.await.map_err(|error| eyre!("a reader: {error}"))??)?;
    }
    let (took, count) = (started.elapsed().as_secs_f64(), latency.len());
    Ok(ReadOutcome {
        per_second: (count * calls as u64) as f64 / took,
        generator_us: (thread_cpu() - cpu).as_secs_f64() * 1e6 / count as f64,
        latency,
    })
}

async fn read(
    mut http: Http,
    requests: Rc<Vec<Vec<u8>>>,
    first: usize,
    until: Instant,
) -> eyre::Result<Histogram<u64>> {
    let mut latency = Histogram::new_with_bounds(1, 600_000_000, 3)?;
    for at in (0..requests.len()).cycle().skip(first) {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        let body = http.exchange(&requests[at]).await?;
        latency.saturating_record((begun.elapsed().as_micros() as u64).max(1));
        let looked = if body.len() > SHORT { &body[..1024] } else { body };
        ensure!(find(looked, b"\"error\"").is_none(), "{}", String::from_utf8_lossy(looked));
    }
    Ok(latency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_are_json_rpc() {
        let parameters = vec![json!(["0x1"]), json!(["0x2"]), json!(["0x3"])];
        let batched = Reads::batched("eth_x", &parameters, 2);
        let batch: serde_json::Value = serde_json::from_str(&batched.bodies[0]).unwrap();
        assert_eq!((batched.bodies.len(), batched.calls), (1, 2));
        assert_eq!((&batch[1]["id"], &batch[1]["params"][0]), (&1.into(), &"0x2".into()));
        let single = Reads::single("eth_x", parameters.into_iter());
        assert_eq!((single.bodies.len(), single.calls), (3, 1));
        assert!(serde_json::from_str::<serde_json::Value>(&single.bodies[2]).is_ok());
    }
}
