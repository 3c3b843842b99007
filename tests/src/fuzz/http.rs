//! HTTP: raw bytes of a connection, to the JSON-RPC of a real node.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{lab, rpc};

/// Longest time for one input. A connection whose client says no more ends by itself.
const LONGEST: Duration = Duration::from_secs(20);

/// All bytes of a client, in pieces, and then no more.
pub(super) fn connection(bytes: &[u8]) {
    let piece = 1 + bytes.len() % 97;
    let server = rpc::server();
    let answer = lab::lab().runtime.block_on(async {
        let mut client = server.connect();
        tokio::time::timeout(LONGEST, async {
            for piece in bytes.chunks(piece) {
                // The server may have closed.
                let _ = client.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            let _ = client.shutdown().await;
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer).await;
            answer
        })
        .await
        .expect("a connection ends when its client does")
    });
    if bytes.starts_with(b"POST / HTTP/1.1\r\n") {
        responses(&answer, bytes);
    }
}

/// One response of HTTP/1.1 after the other.
fn responses(mut answer: &[u8], asked: &[u8]) {
    while !answer.is_empty() {
        let shown = || String::from_utf8_lossy(answer).into_owned();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("a head without end: {}", shown()));
        let head = std::str::from_utf8(&answer[..end]).expect("a head is ASCII");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")).unwrap_or("");
        let status: u16 = status.get(2..5).and_then(|code| code.parse().ok()).unwrap_or(0);
        assert!((100..600).contains(&status), "{}", shown());
        let value = |name: &str| {
            let of = |line: &str| Some(line.strip_prefix(name)?.trim().to_owned());
            head.lines().find_map(of)
        };
        let length = value("content-length:").map_or(0, |length| length.parse().expect("digits"));
        // What follows is not HTTP/1.1, or a length without a body.
        if status == 101 || asked.windows(4).any(|window| window == b"HEAD") {
            return;
        }
        let body = answer.get(end + 4..end + 4 + length);
        let body = body.unwrap_or_else(|| panic!("a body that is cut off: {}", shown()));
        let json = value("content-type:").is_some_and(|kind| kind.starts_with("application/json"));
        if json && !body.is_empty() {
            let _: Value = serde_json::from_slice(body).unwrap_or_else(|_| panic!("{}", shown()));
        }
        answer = &answer[end + 4 + length..];
    }
}

pub(super) fn connection_seeds() -> Vec<Vec<u8>> {
    let post = |more: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{more}\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    let plain = post("", call);
    let with =
        |from: &str, to: &str| String::from_utf8_lossy(&plain).replacen(from, to, 1).into_bytes();
    let mut seeds: Vec<Vec<u8>> =
        rpc::request_seeds().iter().step_by(4).map(|body| post("", body)).collect();
    seeds.push(plain.repeat(3));
    for headers in [
        "Connection: close\r\n",
        "Connection: keep-alive\r\nAccept: */*\r\n",
        "Expect: 100-continue\r\n",
        "Origin: https://app.example\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
    ] {
        seeds.push(post(headers, call));
    }
    for (from, to) in [
        ("POST", "OPTIONS"),
        ("1.1", "1.0"),
        ("/ ", "/a/path "),
        ("Host: localhost\r\n", ""),
        ("Content-Length: ", "Content-Length: 9"),
        ("Content-Length", "X"),
    ] {
        seeds.push(with(from, to));
    }
    let health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    seeds.push([plain.clone(), health.clone(), plain.clone()].concat());
    let chunks = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n";
    seeds.push([chunks.to_vec(), plain.clone()].concat());
    let upgrade = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n\x81\x82\0\0\0\0[]";
    seeds.push(upgrade.to_vec());
    seeds.push(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec());
    seeds.push(health);
    seeds
}
