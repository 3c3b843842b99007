//! The lines against the server, and the page of the docs against the lines.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::wire::World;
use crate::rpc::openrpc::{DISCOVER, Method, Param, SCHEMAS, methods};
use crate::rpc::{RpcConfig, admin, table, table_of};

/// Registered by subscriptions under a name that nobody calls.
const NO_METHODS: [&str; 2] = ["eth_subscription", "rollup_feed"];

#[tokio::test]
async fn every_method_has_a_line_and_every_line_a_method() {
    let world = World::new(RpcConfig::default()).await;
    let document = world.call(DISCOVER, json!([])).await;
    let told: BTreeSet<_> = document["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|method| method["name"].as_str().unwrap().to_owned())
        .collect();
    let lines: BTreeSet<_> = methods().unwrap().iter().map(|it| it.name.to_owned()).collect();
    let (registered, _) = table(world.node.clone(), RpcConfig::default()).unwrap();
    let mut answers: BTreeSet<_> = registered.method_names().map(str::to_owned).collect();
    answers.retain(|name| !NO_METHODS.contains(&name.as_str()));
    assert_eq!(told, answers, "what is told, and what is registered");
    let config = RpcConfig::default();
    let (registered, _) = table_of(admin::MODULES, world.node.clone(), config).unwrap();
    let mut elsewhere: BTreeSet<_> = registered.method_names().map(str::to_owned).collect();
    elsewhere.retain(|name| !told.contains(name));
    elsewhere.insert("testing_buildBlockV1".to_owned());
    let others: BTreeSet<_> = lines.difference(&told).cloned().collect();
    assert_eq!(others, elsewhere);
}

#[tokio::test]
async fn a_required_parameter_that_is_missing_is_named() {
    let world = World::new(RpcConfig::default()).await;
    for method in methods().unwrap() {
        let required: Vec<_> = method.params.iter().filter(|param| param.required).collect();
        if required.is_empty() {
            continue;
        }
        if method.name.ends_with("ubscribe") || method.name.starts_with("testing_") {
            continue;
        }
        let answer = world.call(method.name, json!([])).await;
        let error = &answer["error"];
        // Some are not for this chain, whatever the parameters.
        if error["code"] == -32004 || error["code"] == -32601 {
            continue;
        }
        assert_eq!(error["code"], -32602, "{}: {answer}", method.name);
        let text = error["message"].as_str().unwrap();
        let named = |param: &&Param| text.contains(&format!("({})", param.name));
        assert!(required.iter().any(named), "{}: {text}", method.name);
    }
}

#[test]
fn schemas_are_all_known_and_all_used() {
    let schemas: Map<String, Value> = serde_json::from_str(SCHEMAS).unwrap();
    let mut used = BTreeSet::new();
    for method in methods().unwrap() {
        let all = method
            .params
            .iter()
            .map(|param| param.schema)
            .chain([method.result.trim_end_matches('?')]);
        used.extend(all.map(|name| name.trim_start_matches('[').trim_end_matches(']')));
    }
    let known: BTreeSet<_> = schemas.keys().map(String::as_str).collect();
    assert_eq!(used, known);
}

/// docs/json-rpc.md.
fn page() -> String {
    let mut page = "# JSON-RPC\n\nEvery method of the binary. Made from the table that `rpc.discover` \
                    serves as an OpenRPC\ndocument, and checked against it by a test \
                    (`CAUSEWAY_BLESS=1 cargo test --workspace page` writes it\nanew). A `?` marks what may \
                    be left out. Limits and error codes: [operating.md](operating.md).\n"
        .to_owned();
    let mut space = "";
    for method in methods().unwrap() {
        let (name, _) = method.name.split_once(['_', '.']).unwrap();
        if name != space {
            space = name;
            write!(page, "\n## {space}\n\n| method | parameters | result | |\n|---|---|---|---|\n")
                .unwrap();
        }
        let param = |param: &Param| {
            let mark = if param.required { "" } else { "?" };
            format!("{}{mark}: {}", param.name, param.schema)
        };
        let params: Vec<_> = method.params.iter().map(param).collect();
        let Method { name, result, summary, .. } = method;
        writeln!(page, "| `{name}` | {} | {result} | {summary} |", params.join(", ")).unwrap();
    }
    page
}

#[test]
fn the_page_of_the_docs_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json-rpc.md");
    if std::env::var_os("CAUSEWAY_BLESS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page(), "docs/json-rpc.md is not what methods.txt says: bless it");
}
