//! Answers of JSON-RPC against an OpenRPC document: the one of Ethereum's execution APIs, or ours.

use std::collections::BTreeMap;

use eyre::{WrapErr, bail, ensure, eyre};
use jsonschema::Validator;
use serde_json::Value;

/// Most differences told of one answer.
const SHOWN: usize = 3;

/// The results that a document allows, by method.
pub struct OpenRpc {
    results: BTreeMap<String, Validator>,
}

impl OpenRpc {
    /// Reads a document. References must be resolved or point into it (`#/components/...`).
    pub fn parse(text: &str) -> eyre::Result<Self> {
        let document: Value = serde_json::from_str(text).wrap_err("no JSON")?;
        let methods = document["methods"].as_array().ok_or_else(|| eyre!("no methods"))?;
        let mut results = BTreeMap::new();
        for method in methods {
            let name = method["name"].as_str().ok_or_else(|| eyre!("a method without name"))?;
            let Some(schema) = method.pointer("/result/schema") else { continue };
            // What references point into travels with each schema.
            let mut schema = schema.clone();
            if let (Some(schema), Some(components)) =
                (schema.as_object_mut(), document.get("components"))
                && text.contains("\"#/components/")
            {
                schema.insert("components".into(), components.clone());
            }
            let validator = jsonschema::draft7::new(&schema)
                .map_err(|error| eyre!("schema of {name}: {error}"))?;
            results.insert(name.to_owned(), validator);
        }
        ensure!(!results.is_empty(), "no method says what it returns");
        Ok(Self { results })
    }

    /// Whether the document says what a method returns.
    pub fn knows(&self, method: &str) -> bool {
        self.results.contains_key(method)
    }

    /// Checks a whole answer: that it is one by JSON-RPC 2.0, and that its result is one of the
    /// method, if the document knows it. A missing method is an answer like another.
    pub fn check(&self, method: &str, answer: &Value) -> eyre::Result<()> {
        ensure!(answer["jsonrpc"] == "2.0", "{method}: \"jsonrpc\" is not \"2.0\"");
        ensure!(answer.get("id").is_some(), "{method}: no id");
        match (answer.get("result"), answer.get("error")) {
            (Some(result), None) => self.check_result(method, result),
            (None, Some(error)) => {
                let whole = error["code"].is_i64() && error["message"].is_string();
                ensure!(whole, "{method}: an error without code or message: {error}");
                Ok(())
            }
            _ => bail!("{method}: neither a result nor an error, or both"),
        }
    }

    /// Checks the result of a method.
    pub fn check_result(&self, method: &str, result: &Value) -> eyre::Result<()> {
        let Some(validator) = self.results.get(method) else { return Ok(()) };
        let differences: Vec<_> = validator
            .iter_errors(result)
            .take(SHOWN)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        let told: String = differences.join("; ").chars().take(1000).collect();
        ensure!(differences.is_empty(), "{method} returns what its schema does not allow: {told}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> OpenRpc {
        let text = json!({
            "methods": [
                { "name": "a_plain", "result": { "schema": { "type": "string", "pattern": "^0x" } } },
                { "name": "a_named",
                  "result": { "schema": { "$ref": "#/components/schemas/Pair" } } },
                { "name": "a_silent" },
            ],
            "components": { "schemas": { "Pair": {
                "type": "object", "required": ["x"], "additionalProperties": false,
                "properties": { "x": { "type": "integer" } },
            } } },
        });
        OpenRpc::parse(&text.to_string()).unwrap()
    }

    #[test]
    fn results_are_held_against_their_schema() {
        let document = document();
        let answer = |result: Value| json!({ "jsonrpc": "2.0", "id": 1, "result": result });
        let ok = |method, result| document.check(method, &answer(result)).is_ok();
        assert!(ok("a_plain", json!("0x1")) && !ok("a_plain", json!("1")));
        assert!(ok("a_named", json!({ "x": 1 })) && !ok("a_named", json!({ "y": 1 })));
        assert!(ok("a_silent", json!(5)) && ok("b_unknown", json!(null)));
        assert!(document.knows("a_named") && !document.knows("a_silent"));
    }

    #[test]
    fn answers_are_answers() {
        let document = document();
        let ok = |answer: Value| document.check("a_plain", &answer).is_ok();
        let error = json!({ "code": -32000, "message": "no" });
        assert!(ok(json!({ "jsonrpc": "2.0", "id": null, "error": error })));
        assert!(!ok(json!({ "jsonrpc": "2.0", "id": 1 })));
        assert!(!ok(json!({ "jsonrpc": "2.0", "id": 1, "result": "0x", "error": error })));
        assert!(!ok(json!({ "jsonrpc": "2.0", "result": "0x" })));
        assert!(!ok(json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": 1 } })));
    }
}
