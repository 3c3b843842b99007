//! Hostile calls of JSON-RPC, made from the OpenRPC document of the server that gets them: the same
//! call for the same number, everywhere.

mod campaign;
mod values;

use eyre::{ContextCompat, ensure};
use serde_json::Value;

pub use campaign::{Figures, campaign};
pub use values::Known;

use crate::txs::Rng;
use values::{fitting, nested, odd};

/// Ids that are none, or hardly.
const IDS: &[&str] = &[
    "null",
    "true",
    "-1",
    "1.5",
    "1e400",
    "18446744073709551615",
    "18446744073709551616",
    "[]",
    "{}",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "[1]",
];

/// A method as the document tells it.
struct Shape {
    name: String,
    /// Name of each parameter's schema.
    params: Vec<String>,
}

/// Makes bodies of requests.
pub struct Generator {
    shapes: Vec<Shape>,
    known: Known,
}

impl Generator {
    /// From the answer to `rpc.discover`.
    pub fn new(document: &Value, known: Known) -> eyre::Result<Self> {
        let methods = document["methods"].as_array().context("no OpenRPC document")?;
        let shape = |method: &Value| {
            let params = method["params"].as_array()?.iter();
            let params = params.map(|param| schema(&param["schema"])).collect();
            Some(Shape { name: method["name"].as_str()?.to_owned(), params })
        };
        let shapes: Vec<_> = methods.iter().filter_map(shape).collect();
        ensure!(shapes.len() == methods.len() && !shapes.is_empty(), "a method without a shape");
        Ok(Self { shapes, known })
    }

    /// The body of a request, by its number.
    pub fn body(&self, number: u64) -> Vec<u8> {
        let rng = &mut Rng::new(number);
        let mut body = match rng.below(100) {
            0..70 => self.call(rng).into_bytes(),
            70..80 => self.batch(rng).into_bytes(),
            80..84 => nested(rng, 20_000).into_bytes(),
            84..88 => {
                let deep = nested(rng, 2_000);
                let name = &rng.pick(&self.shapes).name;
                format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{name}\",\"params\":[{deep}]}}"
                )
                .into_bytes()
            }
            88..94 => {
                // The connection says how long the body is, so that the rest does not come.
                let mut body = self.call(rng).into_bytes();
                body.truncate(rng.below(body.len() as u64) as usize);
                body
            }
            _ => {
                let count = rng.below(300) as usize;
                rng.bytes(count)
            }
        };
        if rng.percent(3) && !body.is_empty() {
            let at = rng.below(body.len() as u64) as usize;
            // No byte of UTF-8, or the end of a text, or a bit of another letter.
            body[at] = *rng.pick(&[0xff, 0x00, b'"', 0xc0, body[at] ^ 1]);
        }
        body
    }

    fn call(&self, rng: &mut Rng) -> String {
        let shape = rng.pick(&self.shapes);
        let mut params: Vec<_> = shape
            .params
            .iter()
            .map(|schema| match rng.percent(75) {
                true => fitting(rng, &self.known, schema),
                false => odd(rng),
            })
            .collect();
        match rng.below(20) {
            0 => params.clear(),
            1 => drop(params.pop()),
            2 => params.extend((0..1 + rng.below(50)).map(|_| "1".to_owned())),
            3 => params.reverse(),
            _ => {}
        }
        let params = match rng.below(20) {
            0 => odd(rng),
            _ => format!("[{}]", params.join(",")),
        };
        let id = match rng.percent(10) {
            true => (*rng.pick(IDS)).to_owned(),
            false => rng.below(1000).to_string(),
        };
        let name = match rng.below(50) {
            0 => shape.name.to_uppercase(),
            1 => format!("{}\\u0000", shape.name),
            2 => "x".repeat(rng.below(3000) as usize),
            _ => shape.name.clone(),
        };
        match rng.below(40) {
            0 => format!("{{\"id\":{id},\"method\":\"{name}\",\"params\":{params}}}"),
            1 => format!(
                "{{\"jsonrpc\":\"1.0\",\"id\":{id},\"method\":\"{name}\",\"params\":{params}}}"
            ),
            2 => format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{name}\",\"params\":{params}}}"),
            3 => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{params}}}"),
            4 => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"id\":2,\"method\":\"{name}\"}}"),
            5 => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{name}\"}}"),
            _ => format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{name}\",\"params\":{params}}}"
            ),
        }
    }

    fn batch(&self, rng: &mut Rng) -> String {
        match rng.below(10) {
            // Bombs: more calls than are allowed, or batches in batches.
            0 => {
                let call = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\"}";
                format!("[{}]", vec![call; 1001 + rng.below(10_000) as usize].join(","))
            }
            1 => format!("[[{}]]", self.call(rng)),
            2 => format!("[{}]", vec!["1"; rng.below(200) as usize].join(",")),
            3 => {
                let call = self.call(rng);
                format!("[{}]", vec![call; 1 + rng.below(30) as usize].join(","))
            }
            _ => {
                let calls: Vec<_> = (0..rng.below(10)).map(|_| self.call(rng)).collect();
                format!("[{}]", calls.join(","))
            }
        }
    }
}

/// Name of a schema of the document, in brackets if it is a list of it.
fn schema(schema: &Value) -> String {
    let name = |value: &Value| {
        let path = value["$ref"].as_str().unwrap_or("Any");
        path.rsplit('/').next().unwrap_or("Any").to_owned()
    };
    match schema.get("items") {
        Some(items) => format!("[{}]", name(items)),
        None => name(schema),
    }
}
