//! Following a message until its end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alloy_primitives::B256;
use serde_json::{Value, json};

use super::super::client::{CallError, Chains};
use super::super::status;
use super::super::watch::{Outcome, follow};
use super::server::{FakeNode, chain, chains, nowhere};
use crate::exit::Exit;

const LONG: Duration = Duration::from_secs(30);

fn answer(status: &str, settled: bool) -> Value {
    let entry = json!({ "block": 1, "time": 1, "final": status != "dispatched" });
    let mut timeline = json!({ "dispatched": entry });
    if !matches!(status, "dispatched" | "final") {
        timeline["anchored"] = entry.clone();
    }
    if !matches!(status, "dispatched" | "final" | "anchored") {
        timeline["done"] = json!({ "block": 2, "status": status, "gasUsed": 1 });
    }
    if settled {
        timeline["settled"] = entry;
    }
    json!({
        "id": "0xab", "originName": "alpha", "destinationName": "beta", "status": status,
        "settled": settled, "hint": "", "timeline": timeline,
    })
}

/// A node that gives its answers one after the other, then the last for ever.
async fn node(answers: Vec<Value>) -> FakeNode {
    let asked = AtomicUsize::new(0);
    FakeNode::new(move |_, _| {
        let at = asked.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        match &answers[at] {
            Value::Null => Err((-32000, "message not found on this node", Value::Null)),
            answer => Ok(answer.clone()),
        }
    })
    .await
}

async fn watch(chains: &Chains, limit: Duration) -> (Vec<String>, Outcome) {
    let mut told = Vec::new();
    let outcome = follow(chains, B256::ZERO, limit, &mut |step| told.push(step.name.clone())).await;
    (told, outcome)
}

#[tokio::test]
async fn each_step_is_told_once() {
    let node = node(vec![
        Value::Null,
        answer("dispatched", false),
        answer("dispatched", false),
        answer("anchored", false),
        answer("delivered", false),
        answer("delivered", true),
    ])
    .await;
    let (told, outcome) = watch(&chains(&[("alpha", &node)]), LONG).await;
    assert_eq!(told, ["dispatched", "final", "anchored", "delivered", "settled"]);
    assert!(matches!(outcome, Outcome::Ended(_, Exit::Success)), "{outcome:?}");
}

#[tokio::test]
async fn a_failure_ends_it_with_1() {
    for (status, settled) in [("reverted", false), ("expired", true)] {
        let node = node(vec![answer(status, settled)]).await;
        let (told, outcome) = watch(&chains(&[("alpha", &node)]), LONG).await;
        assert!(told.contains(&status.to_owned()), "{told:?}");
        assert!(matches!(outcome, Outcome::Ended(_, Exit::Failure)), "{outcome:?}");
    }
}

#[tokio::test]
async fn time_and_silence_end_it_too() {
    let lost = Chains(vec![chain("alpha", &nowhere())]);
    let (_, outcome) = watch(&lost, LONG).await;
    assert!(matches!(outcome, Outcome::Unreachable(_)), "{outcome:?}");
    let slow = node(vec![answer("anchored", false)]).await;
    let (told, outcome) = watch(&chains(&[("alpha", &slow)]), Duration::ZERO).await;
    assert_eq!(told, ["dispatched", "final", "anchored"]);
    assert!(matches!(outcome, Outcome::TimedOut(Some(_))), "{outcome:?}");
    let ignorant = node(vec![Value::Null]).await;
    let (_, outcome) = watch(&chains(&[("alpha", &ignorant)]), Duration::ZERO).await;
    assert!(matches!(outcome, Outcome::TimedOut(None)), "{outcome:?}");
}

#[tokio::test]
async fn what_one_node_knows_is_enough() {
    let (knows, ignorant) =
        (node(vec![answer("final", false)]).await, node(vec![Value::Null]).await);
    let mut all = chains(&[("alpha", &ignorant), ("beta", &knows)]);
    all.0.push(chain("gamma", &nowhere()));
    assert_eq!(status::ask(&all, B256::ZERO).await.unwrap()["status"], "final");
    all.0.remove(1);
    // An answer says more than silence.
    let error = status::ask(&all, B256::ZERO).await.unwrap_err();
    assert!(matches!(error, CallError::Refused { code: -32000, .. }), "{error:?}");
    all.0.remove(0);
    let error = status::ask(&all, B256::ZERO).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable(_)), "{error:?}");
}
