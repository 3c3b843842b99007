//! Sees transactions in blocks: heads announced over WebSocket, their hashes fetched over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use eyre::{ContextCompat, WrapErr, bail, ensure};
use tokio::time::timeout;

use super::shared::Shared;
use crate::http::{Http, find, post};
use crate::ws::{Ws, text};

#[derive(Debug)]
pub(super) struct Watcher {
    server: SocketAddr,
    ws: Ws,
    http: Http,
    newest: u64,
}

impl Watcher {
    /// Subscribes; whatever comes after this is seen.
    pub(super) async fn open(server: SocketAddr) -> eyre::Result<Self> {
        let mut ws = Ws::connect(server).await?;
        let subscribe =
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;
        ws.send(&text(subscribe)).await?;
        let answer = ws.next().await?;
        ensure!(find(answer, b"\"result\"").is_some(), "{}", String::from_utf8_lossy(answer));
        let mut http = Http::connect(server).await?;
        let ask = r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#;
        let newest = quantity(http.exchange(&post(server, ask)).await?, b"\"result\":\"0x")?;
        Ok(Self { server, ws, http, newest })
    }

    /// Number of the newest block looked at.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Looks at every block until none of the transactions is missing.
    pub(super) async fn run(&mut self, shared: &Shared, patience: Duration) -> eyre::Result<()> {
        let mut missing = (shared.missing(), tokio::time::Instant::now());
        while shared.missing() > 0 {
            let head = timeout(patience, self.ws.next()).await.wrap_err("no block comes")??;
            let number = quantity(head, b"\"number\":\"0x")?;
            while self.newest < number {
                self.look(shared, self.newest + 1).await?;
                self.newest += 1;
                shared.block_done();
            }
            if shared.missing() < missing.0 {
                missing = (shared.missing(), tokio::time::Instant::now());
            } else if missing.1.elapsed() > patience {
                bail!("{} transactions get into no block", missing.0);
            }
        }
        Ok(())
    }

    async fn look(&mut self, shared: &Shared, number: u64) -> eyre::Result<()> {
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["{number:#x}",false]}}"#
        );
        let body = self.http.exchange(&post(self.server, &call)).await?;
        let list = find(body, b"\"transactions\":[").wrap_err("a block without transactions")?;
        let list = &body[list..];
        let end = list.iter().position(|byte| *byte == b']').wrap_err("half a block")?;
        let mut list = &list[..end];
        while let Some(at) = find(list, b"\"0x") {
            let hash = list.get(at + 3..at + 67).wrap_err("half a hash")?;
            shared.in_block(&hash[..16]);
            list = &list[at + 67..];
        }
        Ok(())
    }
}

/// The hexadecimal number behind a pattern.
fn quantity(body: &[u8], behind: &[u8]) -> eyre::Result<u64> {
    let at = find(body, behind).map(|at| at + behind.len());
    let digits = at.and_then(|at| body[at..].split(|byte| !byte.is_ascii_hexdigit()).next());
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.with_context(|| format!("no number in {}", String::from_utf8_lossy(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_found_behind_their_names() {
        let head = br#"{"parentNumber":"0x9","number":"0x1f","x":"0x2"}"#;
        assert_eq!(quantity(head, b"\"number\":\"0x").unwrap(), 31);
        assert!(quantity(head, b"\"hash\":\"0x").is_err());
        assert!(quantity(br#""number":"0x""#, b"\"number\":\"0x").is_err());
    }
}
