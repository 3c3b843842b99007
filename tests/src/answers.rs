//! Whether an answer is one by the JSON-RPC 2.0 specification, whatever was asked.

use serde_json::{Map, Value};

/// Panics if it is none, or says that the node failed.
pub fn check(asked: &[u8], answer: &[u8]) {
    let Ok(asked) = serde_json::from_slice::<Value>(asked) else {
        // What the server does not read it does not check: it may be silent about a bad text where
        // it needs none of it, as behind the id of a notification, or answer each part of a batch.
        if !answer.is_empty() {
            match parsed(answer) {
                Value::Array(answers) => answers.iter().for_each(|answer| one(answer, None)),
                answer => one(&answer, None),
            }
        }
        return;
    };
    match asked {
        Value::Object(call) => {
            if answer.is_empty() {
                assert!(!call.contains_key("id"), "no answer to a call");
            } else {
                one(&parsed(answer), Some(&call));
            }
        }
        Value::Array(calls) => batch(answer, &calls),
        _ => one(&parsed(answer), None),
    }
}

fn parsed(answer: &[u8]) -> Value {
    serde_json::from_slice(answer).unwrap_or_else(|error| {
        panic!("an answer that is no JSON ({error}): {}", String::from_utf8_lossy(answer))
    })
}

fn batch(answer: &[u8], calls: &[Value]) {
    // Of notifications alone.
    if answer.is_empty() {
        let silent = |call: &Value| call.is_object() && call.get("id").is_none();
        return assert!(calls.iter().all(silent), "no answer to a batch");
    }
    match parsed(answer) {
        Value::Array(answers) => {
            assert!(answers.len() <= calls.len(), "more answers than calls");
            answers.iter().for_each(|answer| one(answer, None));
            for answer in &answers {
                let known = |call: &Value| call.get("id") == answer.get("id");
                let null = answer["id"].is_null();
                assert!(null || calls.iter().any(known), "an id nobody gave: {answer}");
            }
        }
        // Refused whole: empty, or too large.
        other => one(&other, None),
    }
}

/// An answer by the JSON-RPC 2.0 specification, section 5; of a call that has an id, with that id.
fn one(answer: &Value, call: Option<&Map<String, Value>>) {
    assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
    let id = answer.get("id").unwrap_or_else(|| panic!("no id: {answer}"));
    assert!(id.is_null() || id.is_u64() || id.is_string(), "{answer}");
    match (answer.get("result"), answer.get("error")) {
        (Some(_), None) => {}
        (None, Some(error)) => {
            assert!(error["code"].is_i64() && error["message"].is_string(), "{answer}");
            // Our own failure. Nothing that a client sends may be one.
            assert_ne!(error["code"], -32603, "{answer}");
        }
        _ => panic!("neither result nor error, or both: {answer}"),
    }
    let Some(asked) = call.and_then(|call| call.get("id")) else { return };
    // A request that is none has no id that counts, as one with the same field twice.
    let none = matches!(answer["error"]["code"].as_i64(), Some(-32600 | -32700));
    assert!(id == asked || id.is_null() && (none || !is_id(asked)), "{answer}");
}

/// What may be an id; a call with any other is refused, with the id null.
fn is_id(id: &Value) -> bool {
    id.is_u64() || id.is_string() || id.is_null()
}
