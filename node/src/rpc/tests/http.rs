//! The way of plain requests: what comes out is what the whole server would say.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::fake::FakeNode;
use super::wire::{World, chain};
use crate::rpc::calls::Dispatch;
use crate::rpc::http::Port;
use crate::rpc::{RpcConfig, port, serve};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":"0x1092"}"#;

fn config() -> RpcConfig {
    RpcConfig { batch: 3, request_bytes: 1000, response_bytes: 3000, ..RpcConfig::default() }
}

fn post(headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nHost: localhost:80\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    )
}

fn call(method: &str, params: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

/// Requests of all kinds, plain and not.
fn requests() -> Vec<String> {
    let bodies = [
        CALL.to_owned(),
        format!(" \r\n\t{CALL}\n"),
        format!("{}{CALL}", " ".repeat(127)),
        format!("{}{CALL}", " ".repeat(128)),
        call("eth_chainId", Value::Null),
        call("eth_chainId", json!({ "a": 1 })),
        call("eth_getBlockReceipts", json!(["0x1"])),
        call("eth_getBlockReceipts", json!([])),
        call("eth_subscribe", json!(["newHeads"])),
        call("eth_nothing", json!([])),
        call("web3_sha3", json!(["é\u{0}"])),
        r#"{"jsonrpc":"2.0","id":"a\"b","method":"eth_chainId"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":null,"method":"eth_chainId"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":-1,"method":"eth_chainId"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1.5,"method":"eth_chainId"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":true,"method":"eth_chainId"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"eth_chainId"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":"eth_chainId","params":[1]}"#.to_owned(),
        r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1}"#.to_owned(),
        "{".to_owned(),
        "{}".to_owned(),
        "null".to_owned(),
        " 1".to_owned(),
        "[]".to_owned(),
        "[1]".to_owned(),
        "[".to_owned(),
        format!("[{CALL}]"),
        format!("[{CALL},{CALL},{CALL},{CALL}]"),
        format!("[{CALL},5,{}]", call("eth_nothing", json!([]))),
        format!(r#" [{CALL},{{}},{{"jsonrpc":"2.0","id":-1,"method":"eth_chainId"}}]"#),
        format!("[{CALL}] x"),
        r#"[{"jsonrpc":"2.0","method":"eth_chainId"}]"#.to_owned(),
        format!(r#"[{{"jsonrpc":"2.0","method":"eth_chainId"}},{CALL}]"#),
        format!("[{},{CALL}]", call("eth_getBlockReceipts", json!(["0x1"]))),
        format!("[{},{CALL}]", call("eth_getBlockReceipts", json!(["0x2"]))),
        format!("[{CALL},{}]", call("eth_getBlockReceipts", json!(["0x99"]))),
        format!("{}{}", "[".repeat(500), "]".repeat(400)),
        "x".repeat(1000),
        "{".to_owned() + &" ".repeat(1001),
    ];
    let mut requests: Vec<String> = bodies.iter().map(|body| post("", body)).collect();
    let plain = post("", CALL);
    requests.extend(
        [
            ("POST", "GET"),
            ("POST", "PUT"),
            ("POST /", "GET /health"),
            ("POST", "p"),
            ("/ ", "/some/path-1_2.x "),
            ("/ ", "/?key=1 "),
            ("/ ", "http://localhost:80/ "),
            ("/ ", "http://elsewhere/ "),
            ("/ ", "/{} "),
            ("1.1", "1.0"),
            ("1.1", "3.0"),
            ("Host: localhost:80\r\n", ""),
            ("localhost:80", "evil.example"),
            ("localhost:80", "localhost:80\r\nHost: localhost:80"),
            ("localhost:80", "local host"),
            ("localhost", "LOCALHOST"),
            ("application/json", "text/plain"),
            ("application/json", "Application/JSON; charset=utf-8"),
            ("application/json", "application/json; charset=latin1"),
            ("application/json", "application/json-rpc"),
            ("Content-Type: application/json\r\n", ""),
            ("Content-Length: 59", "Content-Length: 0"),
            ("Content-Length: 59", "Content-Length: 58"),
            ("Content-Length: 59", "Content-Length: 059"),
            ("Content-Length: 59", "Content-Length: x"),
            ("Content-Length: 59", "Content-Length: 99999999999"),
            ("Content-Length: 59", "Content-Length: 59\r\nContent-Length: 59"),
            ("Content-Length: 59", "Content-Length: 59\r\nContent-Length: 61"),
            ("Content-Length: 59\r\n", ""),
            ("\r\n\r\n", "\r\n folded: x\r\n\r\n"),
            ("\r\n\r\n", "\r\nbad header\r\n\r\n"),
            ("POST", "\r\nPOST"),
        ]
        .map(|(from, to)| plain.replacen(from, to, 1)),
    );
    requests.extend(
        [
            "Connection: close\r\n",
            "Connection: keep-alive\r\n",
            "Connection: close, x\r\n",
            "Origin: https://app.example\r\n",
            "Origin: https://evil.example\r\n",
            "Upgrade: websocket\r\nConnection: Upgrade\r\n",
            "Authorization: Bearer x\r\nAccept: */*\r\nUser-Agent: y\r\n",
        ]
        .map(|headers| post(headers, CALL)),
    );
    let length = format!("Content-Length: {}\r\n", CALL.len());
    let chunks = post("Transfer-Encoding: chunked\r\n", &format!("3b\r\n{CALL}\r\n0\r\n\r\n"));
    requests.push(chunks.clone());
    requests.push(chunks.replacen(&length, "", 1));
    requests.push("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned());
    requests.push(post(&"a: b\r\n".repeat(40), CALL));
    requests.push(post(&format!("a: {}\r\n", "b".repeat(9000)), CALL));
    // Several on one connection, the last of each being plain or not.
    requests.push(plain.repeat(3));
    requests.push(format!("{plain}{}", post("Connection: close\r\n", CALL)));
    requests.push(format!("{plain}GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n{plain}"));
    requests.push(format!("{plain}{}{plain}", post("", "x")));
    requests.push(format!("{plain}nonsense\r\n\r\n"));
    requests
}

/// All that comes back until the other side is silent, with its headers in one order and without
/// the date.
async fn exchange(mut client: DuplexStream, request: &str) -> Vec<String> {
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let silence = Duration::from_millis(500);
    while let Ok(Ok(1..)) = timeout(silence, client.read_buf(&mut answer)).await {}
    let text = String::from_utf8_lossy(&answer).into_owned();
    // Each answer begins with the protocol, which stands in no body.
    text.split("HTTP/1.1 ")
        .map(|answer| {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
            let mut lines: Vec<&str> = head.lines().collect();
            lines.retain(|line| !line.starts_with("date: "));
            if let Some(headers) = lines.get_mut(1..) {
                headers.sort_unstable();
            }
            format!("{}\n{body}", lines.join("\n"))
        })
        .collect()
}

async fn both(port: &Arc<Port<impl Dispatch>>, request: &str) -> [Vec<String>; 2] {
    let (client, server) = duplex(1 << 20);
    let lean = port.clone();
    let task = tokio::spawn(async move { lean.connection(server).await });
    let lean = exchange(client, request).await;
    task.abort();
    let (client, server) = duplex(1 << 20);
    let task = tokio::spawn((port.full.serve)(Box::new(server)));
    let full = exchange(client, request).await;
    task.abort();
    [lean, full]
}

#[tokio::test]
async fn answers_are_those_of_the_whole_server() {
    let hosts = Some(vec!["localhost:*".to_owned(), "localhost".to_owned()]);
    let origins = vec!["https://app.example".to_owned()];
    for config in [
        config(),
        RpcConfig { origins: vec!["*".to_owned()], ..config() },
        RpcConfig { hosts, origins, ..config() },
        RpcConfig { namespaces: vec!["net".to_owned()], ..config() },
        RpcConfig { connections: 0, ..config() },
    ] {
        let stop = CancellationToken::new();
        let (port, _handle) = port(FakeNode::new(chain()), config, stop).unwrap();
        let port = Arc::new(port);
        let requests = requests();
        let answers = join_all(requests.iter().map(|request| both(&port, request))).await;
        for (request, [lean, full]) in requests.iter().zip(answers) {
            assert_eq!(lean, full, "{request:.500}");
        }
    }
}

/// What a client in gzip gets, sent by the plain way or another.
async fn packed(addr: std::net::SocketAddr, headers: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end..].to_vec())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bodies_may_be_compressed() {
    let config = RpcConfig { request_bytes: 1 << 20, ..RpcConfig::default() };
    let world = World::new(config).await;
    let sent = "Content-Encoding: gzip\r\n";
    let (head, body) = packed(world.addr, sent, &gzip(CALL.as_bytes())).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, ANSWER.as_bytes());
    // A bomb, something else, and what is no gzip.
    let bomb = gzip(&vec![b' '; 2 << 20]);
    assert!(packed(world.addr, sent, &bomb).await.0.starts_with("HTTP/1.1 413"));
    assert!(packed(world.addr, sent, CALL.as_bytes()).await.0.starts_with("HTTP/1.1 400"));
    let (head, _) = packed(world.addr, "Content-Encoding: br\r\n", b"x").await;
    assert!(head.starts_with("HTTP/1.1 415") && head.contains("accept-encoding: gzip"), "{head}");
    // A long answer, by both ways; a short one is sent as it is.
    let long = format!("[{}]", vec![call("eth_getBlockReceipts", json!(["0x1"])); 50].join(","));
    let plain = packed(world.addr, "", long.as_bytes()).await.1;
    assert!(plain.len() > 64 << 10, "{}", plain.len());
    for other in ["", "Origin: https://app.example\r\n"] {
        let headers = format!("Accept-Encoding: gzip, br\r\n{other}");
        let (head, body) = packed(world.addr, &headers, long.as_bytes()).await;
        assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
        assert!(head.contains("accept-encoding"), "a cache must know: {head}");
        let mut inflated = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(body.as_slice());
        std::io::Read::read_to_end(&mut decoder, &mut inflated).unwrap();
        assert!(inflated == plain, "another answer");
        let (head, body) = packed(world.addr, &headers, CALL.as_bytes()).await;
        assert!(!head.contains("content-encoding"), "{head}");
        assert_eq!(body, ANSWER.as_bytes());
    }
}

/// Bytes that come until the connection ends or is silent.
async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let silence = Duration::from_millis(300);
    while let Ok(Ok(1..)) = timeout(silence, stream.read_buf(&mut answer)).await {}
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn requests_in_any_pieces() {
    let world = World::new(RpcConfig::default()).await;
    let request = post("", CALL);
    for size in [1, 7, request.len() - 1, request.len() + 1] {
        let mut stream = TcpStream::connect(world.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in request.repeat(2).as_bytes().chunks(size) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = read(&mut stream).await;
        assert_eq!(answer.matches(ANSWER).count(), 2, "{size}: {answer}");
    }
}

#[tokio::test]
async fn connections_go_on_after_anything_well_formed() {
    let world = World::new(RpcConfig::default()).await;
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    let health = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned();
    let large = post("", &format!("[{}]", vec![CALL; 100].join(",")));
    for request in [post("", CALL), large, health, post("", CALL)] {
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

/// A client that has a slow call running.
async fn slow(world: &World) -> TcpStream {
    let body = call("eth_call", json!([{ "to": super::wire::CONTRACT, "input": "0x0a" }]));
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    stream.write_all(post("", &body).as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the worker waits for it, this thread does not")]
async fn more_requests_than_connections_are_told_so() {
    let world = World::new(RpcConfig { connections: 1, ..RpcConfig::default() }).await;
    let gate = world.node.gate.clone();
    let held = gate.lock();
    let mut first = slow(&world).await;
    let (status, _, _) = world.http("POST", "/", &[], CALL).await;
    assert_eq!(status, 429);
    drop(held);
    assert!(read(&mut first).await.contains("result"));
    let (status, _, _) = world.http("POST", "/", &[], CALL).await;
    assert_eq!(status, 200);
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the worker waits for it, this thread does not")]
async fn a_client_that_leaves_makes_room() {
    let world = World::new(RpcConfig { connections: 1, ..RpcConfig::default() }).await;
    let gate = world.node.gate.clone();
    let _held = gate.lock();
    drop(slow(&world).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (status, _, _) = world.http("POST", "/", &[], CALL).await;
    assert_eq!(status, 200);
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the worker waits for it, this thread does not")]
async fn a_request_that_has_begun_is_answered_before_the_end() {
    let world = World::new(RpcConfig::default()).await;
    let gate = world.node.gate.clone();
    let held = gate.lock();
    let mut idle = TcpStream::connect(world.addr).await.unwrap();
    idle.write_all(post("", CALL).as_bytes()).await.unwrap();
    assert!(read(&mut idle).await.contains(ANSWER));
    let mut begun = slow(&world).await;
    world.stop.cancel();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
    let stopped = tokio::spawn(world.server.stopped());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!stopped.is_finished());
    drop(held);
    let mut answer = String::new();
    begun.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("connection: close") && answer.contains("result"), "{answer}");
    stopped.await.unwrap();
}

#[tokio::test]
async fn the_port_is_free_when_it_has_stopped() {
    let world = World::new(RpcConfig::default()).await;
    world.stop.cancel();
    world.server.stopped().await;
    let listener = TcpListener::bind(world.addr).unwrap();
    let (node, stop) = (FakeNode::new(chain()), CancellationToken::new());
    serve(listener, node, RpcConfig::default(), stop).await.unwrap();
}
