//! `rpc.discover`: what this server answers, as an OpenRPC document (EIP-1901).
//!
//! `methods.txt` has a line for each method of this binary; tests hold it against the methods that
//! are registered, and docs/json-rpc.md against it. A server tells those that it answers.

use eyre::{ContextCompat, WrapErr};
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Map, Value, json};

use super::table::Table;

/// A line for each method.
const METHODS: &str = include_str!("methods.txt");
/// Schemas by the names that the lines use.
pub(super) const SCHEMAS: &str = include_str!("schemas.json");
/// The specification's version.
const VERSION: &str = "1.3.2";
/// The method itself.
pub(super) const DISCOVER: &str = "rpc.discover";

/// A method as its line tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) params: Vec<Param>,
    pub(super) result: &'static str,
    pub(super) summary: &'static str,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) schema: &'static str,
    pub(super) required: bool,
}

/// All methods, in the order of the lines.
pub(super) fn methods() -> eyre::Result<Vec<Method>> {
    let lines = METHODS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| parse(line).wrap_err_with(|| format!("methods.txt: {line}"))).collect()
}

fn parse(line: &'static str) -> eyre::Result<Method> {
    let (name, rest) = line.split_once('(').context("no parameters")?;
    let (params, rest) = rest.split_once(") -> ").context("no result")?;
    let (result, summary) = rest.split_once(": ").context("no summary")?;
    let param = |text: &'static str| {
        let (name, schema) = text.split_once(": ").context("a parameter has a type")?;
        let required = !name.ends_with('?');
        Ok(Param { name: name.trim_end_matches('?'), schema, required })
    };
    let params = params.split(", ").filter(|param| !param.is_empty());
    let params = params.map(param).collect::<eyre::Result<_>>()?;
    Ok(Method { name, params, result, summary })
}

/// A schema by its name; of a list of it in brackets, and with a `?`, of what may be null.
fn schema(name: &str) -> Value {
    if let Some(name) = name.strip_suffix('?') {
        return json!({ "anyOf": [schema(name), { "type": "null" }] });
    }
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(name) => json!({ "type": ["array", "null"], "items": schema(name) }),
        None => json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}

/// The document of a server that answers these methods.
fn document(version: &str, answers: &[String]) -> eyre::Result<Value> {
    let schemas: Map<String, Value> = serde_json::from_str(SCHEMAS)?;
    let told = |method: &Method| {
        let params: Vec<Value> = method
            .params
            .iter()
            .map(|param| {
                json!({
                    "name": param.name,
                    "required": param.required,
                    "schema": schema(param.schema),
                })
            })
            .collect();
        json!({
            "name": method.name,
            "summary": method.summary,
            "paramStructure": "by-position",
            "params": params,
            "result": { "name": "result", "schema": schema(method.result) },
        })
    };
    let mut methods = methods()?;
    methods.retain(|method| answers.iter().any(|name| name == method.name));
    Ok(json!({
        "openrpc": VERSION,
        "info": { "title": "Causeway JSON-RPC", "version": version },
        "methods": methods.iter().map(told).collect::<Vec<_>>(),
        "components": { "schemas": schemas },
    }))
}

/// Adds the method; after all others, which it tells.
pub(super) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    let mut answers: Vec<String> = table.module.method_names().map(str::to_owned).collect();
    answers.push(DISCOVER.to_owned());
    let version = env!("CARGO_PKG_VERSION");
    let document = document(version, &answers).unwrap_or_else(|error| {
        // A test reads the lines; what is wrong with them cannot get here.
        json!({ "error": format!("{error:#}") })
    });
    // Written once: it is long, and always the same.
    let text = serde_json::value::to_raw_value(&document).unwrap_or_default();
    table.quick(DISCOVER, move |_, _| Ok(text.clone()))
}
