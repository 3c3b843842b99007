//! What an answer to a call, or to a batch of them, says.

use eyre::{WrapErr, bail, ensure};
use serde_json::Value;

use crate::http::find;

/// JSON-RPC code of a server at its limits.
const LIMIT_EXCEEDED: i64 = -32005;

/// The calls of a batch, by their ids, that were refused for want of room and can be sent again.
/// Any other error is an error here.
pub(super) fn refused(body: &[u8], calls: usize) -> eyre::Result<Vec<usize>> {
    if find(body, b"\"error\"").is_none() {
        // The usual case, without reading any of it.
        let results = count(body, b"\"result\"");
        ensure!(results == calls, "{results} results for {calls} calls");
        return Ok(Vec::new());
    }
    let answers: Value = serde_json::from_slice(body).wrap_err("an answer that is no JSON")?;
    let answers = match answers {
        Value::Array(answers) => answers,
        one => vec![one],
    };
    // A batch may be refused as a whole, with one error without id.
    if let [only] = &answers[..]
        && calls > 1
    {
        check(&only["error"])?;
        return Ok((0..calls).collect());
    }
    ensure!(answers.len() == calls, "{} answers for {calls} calls", answers.len());
    let mut refused = Vec::new();
    for answer in answers.iter().filter(|answer| !answer["error"].is_null()) {
        if !is_known(&answer["error"]) {
            check(&answer["error"])?;
            let id = answer["id"].as_u64().map_or(usize::MAX, |id| id as usize);
            // Over WebSocket a single call has the id of its transaction.
            refused.push(if calls == 1 { 0 } else { id });
        }
    }
    refused.sort_unstable();
    ensure!(refused.last().is_none_or(|id| *id < calls), "an answer to no call");
    Ok(refused)
}

/// The id of a single answer, without reading the rest.
pub(super) fn id(body: &[u8]) -> eyre::Result<usize> {
    let at = find(body, b"\"id\":").map(|at| at + 5);
    let digits = at.map(|at| &body[at..]).unwrap_or_default();
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let mut id = None;
    for digit in digits {
        id = Some(id.unwrap_or(0) * 10 + usize::from(digit - b'0'));
    }
    match id {
        Some(id) => Ok(id),
        None => bail!("an answer without id: {}", String::from_utf8_lossy(body)),
    }
}

/// Sent again after its answer was lost: it is in the pool all the same.
fn is_known(error: &Value) -> bool {
    error["message"].as_str().is_some_and(|text| text.contains("already known"))
}

/// Fails unless it is a refusal for want of room.
fn check(error: &Value) -> eyre::Result<()> {
    let full = error["message"].as_str().is_some_and(|text| {
        text.contains("txpool is full") || text.contains("account limit exceeded")
    });
    ensure!(full || error["code"] == LIMIT_EXCEEDED, "rejected: {error}");
    Ok(())
}

fn count(mut bytes: &[u8], pattern: &[u8]) -> usize {
    let mut count = 0;
    while let Some(at) = find(bytes, pattern) {
        count += 1;
        bytes = &bytes[at + pattern.len()..];
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_from_results_and_from_errors() {
        let ok = br#"[{"id":0,"result":"0x1"},{"id":1,"result":"0x2"}]"#;
        assert_eq!(refused(ok, 2).unwrap(), Vec::<usize>::new());
        assert!(refused(ok, 3).is_err(), "a call without answer is lost");
        let full = br#"[{"id":1,"error":{"code":-32000,"message":"txpool is full"}},
            {"id":0,"result":"0x2"},{"id":2,"error":{"code":-32005,"message":"busy"}},
            {"id":3,"error":{"code":-32000,"message":"already known"}}]"#;
        assert_eq!(refused(full, 4).unwrap(), [1, 2]);
        assert!(refused(full, 2).is_err());
        let nonce = br#"{"id":0,"error":{"code":-32000,"message":"nonce too low"}}"#;
        assert!(refused(nonce, 1).unwrap_err().to_string().contains("nonce too low"));
        let single = br#"{"id":42,"error":{"code":-32000,"message":"txpool is full"}}"#;
        assert_eq!(refused(single, 1).unwrap(), [0]);
        let whole = br#"{"id":null,"error":{"code":-32005,"message":"busy"}}"#;
        assert_eq!(refused(whole, 3).unwrap(), [0, 1, 2]);
    }

    #[test]
    fn ids_are_read() {
        assert_eq!(id(br#"{"jsonrpc":"2.0","id":123,"result":"0x"}"#).unwrap(), 123);
        assert!(id(br#"{"jsonrpc":"2.0","id":null}"#).is_err());
        assert!(id(b"").is_err());
    }
}
