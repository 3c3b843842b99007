//! What people write is read, what they read is written.

use alloy_primitives::U256;
use clap::Parser;
use serde_json::json;

use super::super::chains::text as chains_text;
use super::super::client::{Chains, member_domain};
use super::super::dispatch::ttl_seconds;
use super::super::lines::{clock, coins, span, steps, table};
use super::super::reverts::explain;
use super::super::status::{merge, text};
use super::super::transfer::amount;
use super::server::directory;
use crate::cli::Cli;

#[test]
fn arguments_are_complete_or_refused() {
    let ether = "--from alpha --to beta --amount 1ether";
    let to = "--recipient 0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    let key = "--key 0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    let id = format!("0x{}", "ab".repeat(32));
    let hash = format!("--identity {id} --rules {id}");
    let parse = |line: &str| {
        let words = ["causeway", "metalayer"].into_iter().chain(line.split_whitespace());
        Cli::try_parse_from(words).map(drop)
    };
    for line in [
        "chains --json".to_owned(),
        "chains --rpc alpha=http://a --rpc beta=http://b".to_owned(),
        "--rpc alpha=http://a chains".to_owned(),
        format!("transfer {ether} {to} {key} --ttl 10m --wait --json"),
        format!("transfer {ether} {to} --key-file k"),
        format!("send --from a --to 0x386 {to} --body 0x1234 --gas 5 {key}"),
        format!("send --from a --to b {to} --text hello {key}"),
        format!("status {id} --json"),
        format!("watch {id} --timeout 60s"),
        "doctor --json".to_owned(),
        format!("record pause beta {key}"),
        format!("record resume beta {key} --sequence 3 --at 5"),
        format!("record add --node http://c {key}"),
        format!("record add --name c --domain 7 {hash} {key}"),
        "demand --on beta --of alpha --height 5".to_owned(),
    ] {
        parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    for line in [
        String::new(),
        format!("transfer {ether} {to}"),
        format!("transfer {ether} {to} {key} --key-file k"),
        format!("transfer {ether} --recipient 0x12 {key}"),
        format!("send --from a --to b {to} {key}"),
        format!("send --from a --to b {to} --text t --body 0x {key}"),
        "status 0x12".to_owned(),
        format!("record add --name c {key}"),
        "record pause beta".to_owned(),
        "demand --on beta".to_owned(),
    ] {
        assert!(parse(&line).is_err(), "{line}");
    }
}

#[test]
fn amounts_and_times_are_read_and_written() {
    let ether = U256::from(10).pow(U256::from(18));
    for (text, wei) in [
        ("1ether", ether),
        ("0.5 ether", ether / U256::from(2)),
        ("100gwei", U256::from(100_000_000_000u64)),
        ("12345", U256::from(12_345)),
    ] {
        assert_eq!(amount(text).unwrap(), wei, "{text}");
    }
    for text in ["0", "-1", "1 dollar", "0.5", ""] {
        assert!(amount(text).is_err(), "{text}");
    }
    assert_eq!(ttl_seconds(None).unwrap(), 0);
    assert_eq!(ttl_seconds(Some("10m")).unwrap(), 600);
    assert_eq!(ttl_seconds(Some("1500ms")).unwrap(), 2);
    assert!(ttl_seconds(Some("5")).is_err(), "five ms");
    for (wei, text) in [
        (ether, "1 ether"),
        (ether * U256::from(3) / U256::from(2), "1.5 ether"),
        (ether / U256::from(1000), "0.001 ether"),
        (U256::from(20_000_000_000u64), "20 gwei"),
        (U256::from(1_500_000u64), "0.0015 gwei"),
        (U256::from(7), "7 wei"),
        (U256::ZERO, "0 wei"),
        (ether + U256::from(7), "1.000000 ether"),
    ] {
        assert_eq!(coins(wei), text);
    }
    assert_eq!(clock(86_400_000 + 3_723_004), "01:02:03.004");
    let spans = [span(5), span(1250), span(180_000), span(9_000_000)];
    assert_eq!(spans, ["5 ms", "1.2 s", "3 min", "2 h"]);
    let rows = [vec!["a".to_owned(), "bcd".to_owned()]];
    assert_eq!(table(&["LONG", "X"], &rows), "LONG  X\na     bcd\n");
}

#[test]
fn devnet_json_is_read_leniently() {
    let file = json!({
        "pid": 1,
        "chains": [
            { "name": "alpha", "chain_id": 901, "rpc": "http://127.0.0.1:1", "new": {},
              "full_rpc": "http://127.0.0.1:2" },
            { "name": "beta", "chain_id": 902, "domain": 7, "rpc": "http://127.0.0.1:3" },
            { "name": "silent" },
        ],
    });
    let chains = Chains::from_devnet(&file.to_string()).unwrap();
    let known: Vec<_> =
        chains.0.iter().map(|c| (c.name.as_str(), c.domain, c.endpoints.len())).collect();
    assert_eq!(known, [("alpha", Some(901), 2), ("beta", Some(7), 1)]);
    assert_eq!(chains.find("0x385").unwrap().name, "alpha");
    assert_eq!(chains.find("7").unwrap().name, "beta");
    let error = chains.find("delta").unwrap_err().to_string();
    assert!(error.contains("known are alpha, beta"), "{error}");
    assert!(Chains::from_devnet("{}").is_err());
    let directory = directory(901, 0);
    assert_eq!(member_domain(&directory, "beta").unwrap(), 902);
    assert_eq!(member_domain(&directory, "0x386").unwrap(), 902);
    let error = member_domain(&directory, "902x").unwrap_err().to_string();
    assert!(error.contains("members are alpha, beta"), "{error}");
}

#[test]
fn answers_of_nodes_are_put_together() {
    let dispatched = json!({ "block": 5, "time": 1000, "final": true, "txHash": "0x77" });
    let source = json!({
        "id": "0xab", "originName": "alpha", "destinationName": "beta", "status": "final",
        "settled": false, "hint": "wait", "timeline": { "dispatched": dispatched },
        "transfer": {
            "amount": "0xde0b6b3a7640000",
            "recipient": format!("0x{}{}", "0".repeat(24), "12".repeat(20)),
        },
    });
    let taker = json!({
        "id": "0xab", "originName": "alpha", "destinationName": "beta", "status": "delivered",
        "settled": false, "hint": "Delivered on beta.",
        "timeline": {
            "anchored": { "block": 8, "time": 2500, "sourceBlock": 5, "daHeight": 3 },
            "done": { "block": 8, "time": 2500, "status": "delivered", "gasUsed": 21 },
        },
    });
    let merged = merge(vec![source.clone(), taker]).unwrap();
    assert_eq!(merged["status"], "delivered");
    assert_eq!(merged["timeline"]["dispatched"], dispatched);
    let names: Vec<_> = steps(&merged).into_iter().map(|step| step.name).collect();
    assert_eq!(names, ["dispatched", "final", "anchored", "delivered"]);
    let told = text(&merged);
    let transfer = format!("alpha -> beta: transfer of 1 ether to 0x{}", "12".repeat(20));
    assert!(told.contains(&transfer), "{told}");
    assert!(told.contains("beta block 8         +1.5 s         gas used 21"), "{told}");
    assert!(told.contains("00:00:01.000   tx 0x77"), "{told}");
    assert!(told.ends_with("delivered. Delivered on beta.\n"), "{told}");
    assert_eq!(merge(Vec::new()), None);
    let line = steps(&source)[1].json(&json!("0xab"));
    assert_eq!(line, json!({ "id": "0xab", "step": "final", "chain": "alpha", "block": 5 }));
}

#[test]
fn chains_are_a_table() {
    let rows = [
        json!({
            "name": "alpha", "domain": 901, "vm": "evm", "token": "ERA", "coin": "home",
            "latest": 12, "safe": 10, "verified": 9, "lanes": { "beta": "active" },
            "endpoints": ["http://a", "http://b"],
        }),
        json!({ "name": "beta", "lanes": {}, "endpoints": [], "error": "no answer" }),
    ];
    let told = chains_text(&rows);
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0].starts_with("NAME   DOMAIN  VM   COIN"), "{told}");
    assert!(lines[1].contains("ERA (home)  12      10    9"), "{told}");
    assert!(lines[1].contains("beta active  http://a http://b"), "{told}");
    assert!(told.ends_with("beta: no answer\n"), "{told}");
}

#[test]
fn refusals_are_explained() {
    use alloy_primitives::hex;
    let closed = hex!(
        "0000000000000000000000000000000000000000000000000000000000000386"
        "0000000000000000000000000000000000000000000000000000000000000003"
    );
    let selector = |signature: &str| alloy_primitives::keccak256(signature)[..4].to_vec();
    let data = [selector("LaneClosed(uint32,uint8)"), closed.to_vec()].concat();
    assert_eq!(explain(&data).unwrap(), "the directory has paused domain 902");
    let data = [selector("ValueTooLow(uint256,uint256)"), closed.to_vec()].concat();
    let words = explain(&data).unwrap();
    assert!(words.starts_with("902 wei are needed, 3 wei are missing"), "{words}");
    assert_eq!(explain(&selector("AmountZero()")).unwrap(), "nothing to move");
    let mut text = hex!("08c379a0").to_vec();
    text.extend(alloy_sol_types::SolValue::abi_encode("too late"));
    assert_eq!(explain(&text).unwrap(), "too late");
    assert_eq!(explain(&hex!("deadbeef")), None);
}
