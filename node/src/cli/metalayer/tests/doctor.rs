//! What the doctor finds, and what not.

use serde_json::{Value, json};

use super::super::findings::{Checkup, findings, supply_gap};
use super::server::directory;

const NOW_MS: u64 = 1_000_000;

fn checkup(name: &str, domain: u64) -> Checkup {
    Checkup {
        name: name.to_owned(),
        nodes: vec![("http://a".to_owned(), Ok(json!({ "problems": [] })))],
        spec: json!({ "blockTimeMs": 250 }),
        heads: json!({ "latest": { "number": 50, "timestamp": 999 }, "safe": { "number": 48 } }),
        no_member: None,
        directory: directory(domain, 3),
        anchors: json!({
            "verified": { "block": 47, "waiting": null, "alarm": null },
            "anchors": [{ "name": "other", "block": 49, "ageMs": 3000, "followedBlock": 40 }],
        }),
        lanes: vec![json!({ "name": "other", "status": "active", "in": { "parked": 0 } })],
    }
}

#[test]
fn a_healthy_network_has_no_findings() {
    assert_eq!(findings(&[checkup("alpha", 901), checkup("beta", 902)], NOW_MS), []);
}

#[test]
fn every_fault_is_found_alone() {
    type Fault = fn(&mut Checkup);
    let faults: [(&str, Fault); 16] = [
        ("does not answer", |c| c.nodes.push(("b".into(), Err("b does not answer".into())))),
        ("http://a: the da layer", |c| {
            c.nodes[0].1 = Ok(json!({ "problems": ["the da layer has not answered yet"] }));
        }),
        ("no block for 100.0 s: the newest is 50", |c| c.heads["latest"]["timestamp"] = 900.into()),
        ("block 50 is 100.0 s in the future", |c| c.heads["latest"]["timestamp"] = 1100.into()),
        ("not a member", |c| {
            (c.no_member, c.directory) = (Some("not a member".into()), Value::Null);
        }),
        ("false anchor: alpha lies", |c| c.anchors["verified"]["alarm"] = "alpha lies".into()),
        ("does not check", |c| c.anchors["verified"] = Value::Null),
        ("up to block 47 of 900 only: unverified (pruned)", |c| {
            c.heads["safe"]["number"] = 900.into();
            c.anchors["verified"]["waiting"] = "unverified (pruned)".into();
        }),
        ("nothing of other", |c| {
            c.anchors["anchors"][0]["block"] = Value::Null;
            c.lanes[0]["status"] = "stalled".into();
        }),
        ("is 31.0 s old", |c| c.anchors["anchors"][0]["ageMs"] = 31_000.into()),
        ("does not follow other", |c| c.anchors["anchors"][0]["followedBlock"] = Value::Null),
        ("to other is stalled: late", |c| {
            c.lanes[0] = json!({ "name": "other", "status": "stalled", "why": "late" });
        }),
        ("to other is paused: no reason is known", |c| c.lanes[0]["status"] = "paused".into()),
        ("2 messages from other wait", |c| c.lanes[0]["in"]["parked"] = 2.into()),
        ("different records of the directory: alpha 3, beta 4", |c| {
            c.directory["sequence"] = 4.into();
        }),
        ("chains of different networks", |c| c.directory["networkHash"] = "0x22".into()),
    ];
    for (what, fault) in faults {
        let mut sick = checkup("beta", 902);
        fault(&mut sick);
        let found = findings(&[checkup("alpha", 901), sick], NOW_MS);
        let told: String = found.iter().map(|finding| finding.text()).collect();
        assert_eq!(found.len(), 1, "{what}: {told}");
        assert!(found[0].what.contains(what), "{what}: {told}");
        assert!(!found[0].fix.is_empty() && found[0].json()["fix"] == found[0].fix);
    }
}

#[test]
fn a_chain_that_answers_nothing_is_one_finding() {
    let mut silent = checkup("beta", 902);
    silent.nodes = vec![("b".into(), Err("b does not answer".into()))];
    (silent.spec, silent.heads, silent.directory) = (Value::Null, Value::Null, Value::Null);
    (silent.anchors, silent.no_member) = (Value::Null, Some("b does not answer".into()));
    silent.lanes.clear();
    assert_eq!(findings(&[checkup("alpha", 901), silent], NOW_MS).len(), 1);
}

#[test]
fn coins_are_counted_over_all_members() {
    let member = |coin: &str, circulating: u64, locked: u64, in_flight: u64, escrow: u64| {
        let hex = |wei: u64| format!("{wei:#x}");
        json!({
            "coin": coin, "circulating": hex(circulating), "locked": hex(locked),
            "inFlight": hex(in_flight), "escrow": hex(escrow),
        })
    };
    let gap = |home: u64, way: u64, beta: [u64; 3], gamma: [u64; 3]| {
        supply_gap(&[
            member("home", 1_000_000, home, way, 99),
            member("hub", beta[0], 0, beta[1], beta[2]),
            member("own", gamma[0], 0, gamma[1], gamma[2]),
        ])
    };
    assert_eq!(gap(0, 0, [0, 0, 0], [0, 0, 0]), None);
    assert_eq!(gap(100, 0, [60, 0, 0], [40, 0, 0]), None);
    // On their way: in nobody's account, or in both counts until the receipt is back.
    assert_eq!(gap(100, 30, [30, 0, 0], [40, 0, 0]), None);
    assert_eq!(gap(100, 30, [60, 0, 0], [40, 0, 0]), None);
    assert_eq!(gap(100, 0, [50, 10, 0], [40, 0, 0]), None);
    // Fees in escrow are the hub's coin only where that is the gas coin.
    assert_eq!(gap(100, 0, [55, 0, 5], [40, 0, 0]), None);
    let lost = "100 wei are locked at home, but members and lanes have only 95 wei";
    assert_eq!(gap(100, 0, [55, 0, 0], [40, 0, 5]).unwrap(), lost);
    let made = "101 wei exist on members, but only 100 wei are locked at home";
    assert_eq!(gap(100, 50, [60, 0, 0], [41, 0, 0]).unwrap(), made);
    // Without the hub nothing can be said.
    assert_eq!(supply_gap(&[member("hub", 5, 0, 0, 0)]), None);
}
