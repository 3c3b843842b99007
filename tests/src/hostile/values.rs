//! Values as texts of JSON: such as a schema wants, and such as nobody wants.

use alloy_primitives::{Address, B256, hex};

use crate::txs::Rng;

/// What is on the chain that is asked.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Hashes of blocks and transactions.
    pub hashes: Vec<B256>,
    /// Accounts and contracts.
    pub addresses: Vec<Address>,
    /// Signed transactions.
    pub raws: Vec<String>,
    /// Number of the newest block.
    pub latest: u64,
}

/// Wrong wherever they stand, or nearly.
const ODD: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1.5",
    "1e400",
    "-1e-400",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "\"\"",
    "\" \"",
    "\"0x\"",
    "\"0X1\"",
    "\"0x00\"",
    "\"0x0g\"",
    "\"-0x1\"",
    "\"0x1 \"",
    "\"1\"",
    "\"0xffffffffffffffff\"",
    "\"0x10000000000000000\"",
    "\"0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\"",
    "\"0x10000000000000000000000000000000000000000000000000000000000000000\"",
    "\"LATEST\"",
    "\"newest\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"../../etc/passwd\"",
    "[]",
    "{}",
    "[[]]",
    "[null]",
    "{\"\":null}",
    "{\"blockHash\":null}",
    "{\"blockNumber\":\"0x0\",\"blockHash\":\"0x0\"}",
    "{\"a\":1,\"a\":2}",
];

const TAGS: &[&str] = &["earliest", "latest", "pending", "safe", "finalized"];

/// Programs that cost: loops, memory, hashes, calls of themselves, copies, deep calls.
const COSTLY: &[&str] = &[
    "5b600056",
    "5b6000630fffffff5260005600",
    "5b630fffffff60002050600056",
    "5b60006000600060006000305af150600056",
    "5b6000620fffff6000600037600056",
    "5b5a6000526020600060003e60005600",
    "5b60003560010160005260206000a0600056",
    "60006000fd",
    "fe",
];

const KEYS: &[&str] = &[
    "from",
    "to",
    "gas",
    "gasPrice",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "value",
    "nonce",
    "input",
    "data",
    "accessList",
    "authorizationList",
    "chainId",
    "type",
    "blobVersionedHashes",
    "fromBlock",
    "toBlock",
    "blockHash",
    "blockNumber",
    "requireCanonical",
    "address",
    "topics",
    "tracer",
    "tracerConfig",
    "timeout",
    "blockStateCalls",
    "validation",
    "traceTransfers",
    "calls",
    "balance",
    "code",
    "state",
    "stateDiff",
    "movePrecompileToAddress",
    "fromAddress",
    "toAddress",
    "after",
    "count",
    "number",
    "time",
    "gasLimit",
    "baseFeePerGas",
    "x",
];

/// One of them, as a text of JSON.
pub(super) fn odd(rng: &mut Rng) -> String {
    match rng.below(12) {
        0 => {
            // Long hex, and rarely very long.
            let bytes = if rng.percent(3) { 1 << 19 } else { 1 << rng.below(12) };
            format!("\"0x{}\"", "f".repeat(bytes as usize))
        }
        1 => "9".repeat(1 + rng.below(500) as usize),
        2 => nested(rng, 200),
        3 => object(rng),
        4 => format!("[{}]", vec!["\"0x0\""; rng.below(3000) as usize].join(",")),
        5 => format!("\"{}\"", "\\u0000".repeat(rng.below(300) as usize)),
        _ => (*rng.pick(ODD)).to_owned(),
    }
}

/// Brackets, deeper or less deep than any parser goes.
pub(super) fn nested(rng: &mut Rng, most: u64) -> String {
    let depth = 1 + rng.below(most) as usize;
    match rng.below(3) {
        0 => format!("{}{}", "[".repeat(depth), "]".repeat(depth)),
        1 => format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)),
        _ => format!("{}1{}", "[{\"a\":".repeat(depth), "}]".repeat(depth)),
    }
}

/// An object of names that mean something, with anything behind them.
fn object(rng: &mut Rng) -> String {
    let fields: Vec<_> = (0..rng.below(6))
        .map(|_| {
            let key = *rng.pick(KEYS);
            format!("\"{key}\":{}", *rng.pick(ODD))
        })
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn quoted(text: impl std::fmt::Display) -> String {
    format!("\"{text}\"")
}

/// A value that a schema of the document allows, by the schema's name: in brackets for a list of it.
pub(super) fn fitting(rng: &mut Rng, known: &Known, schema: &str) -> String {
    if let Some(inner) = schema.strip_prefix('[') {
        let inner = inner.trim_end_matches(']');
        let items: Vec<_> = (0..rng.below(4)).map(|_| fitting(rng, known, inner)).collect();
        return format!("[{}]", items.join(","));
    }
    match schema {
        "Address" => address(rng, known),
        "Block" if rng.percent(30) => match rng.below(2) {
            0 => format!("{{\"blockHash\":{}}}", hash(rng, known)),
            _ => format!("{{\"blockNumber\":{}}}", number(rng, known)),
        },
        "Block" | "Tag" if rng.percent(60) => quoted(rng.pick(TAGS)),
        "Block" | "Tag" => number(rng, known),
        "Boolean" => rng.percent(50).to_string(),
        "Bytes" => bytes(rng, known),
        "Call" => call(rng, known),
        "Filter" => filter(rng, known),
        "Hash" => hash(rng, known),
        "Number" => rng.below(known.latest + 2).to_string(),
        "Quantity" => quoted(format!("{:#x}", rng.below(300))),
        "String" => {
            quoted(rng.pick(&["newHeads", "logs", "trace", "stateDiff", "vmTrace", "0x1", "x"]))
        }
        // "Any" and "Object": what the methods with such parameters take.
        _ => match rng.below(6) {
            0 => call(rng, known),
            1 => filter(rng, known),
            2 => simulation(rng, known),
            3 => tracer(rng),
            4 => overrides(rng, known),
            _ => hash(rng, known),
        },
    }
}

fn address(rng: &mut Rng, known: &Known) -> String {
    if known.addresses.is_empty() || rng.percent(30) {
        return quoted(Address::with_last_byte(rng.below(20) as u8));
    }
    quoted(rng.pick(&known.addresses))
}

fn hash(rng: &mut Rng, known: &Known) -> String {
    if known.hashes.is_empty() || rng.percent(20) {
        return quoted(B256::from_slice(&rng.bytes(32)));
    }
    quoted(rng.pick(&known.hashes))
}

fn number(rng: &mut Rng, known: &Known) -> String {
    quoted(format!("{:#x}", rng.below(known.latest + 3)))
}

fn bytes(rng: &mut Rng, known: &Known) -> String {
    if !known.raws.is_empty() && rng.percent(40) {
        return quoted(rng.pick(&known.raws));
    }
    let count = rng.below(200) as usize;
    quoted(hex::encode_prefixed(rng.bytes(count)))
}

fn call(rng: &mut Rng, known: &Known) -> String {
    let (from, to) = (address(rng, known), address(rng, known));
    let gas = rng.pick(&["0x5208", "0x30d40", "0x2dc6c0", "0xffffffffffffffff", "0x0"]);
    let data = match rng.percent(30) {
        true => quoted(format!("0x{}", rng.pick(COSTLY))),
        false => bytes(rng, known),
    };
    match rng.below(4) {
        0 => format!("{{\"from\":{from},\"to\":{to},\"gas\":\"{gas}\",\"data\":{data}}}"),
        1 => format!("{{\"from\":{from},\"gas\":\"{gas}\",\"input\":{data}}}"),
        2 => format!("{{\"to\":{to},\"value\":\"0x1\",\"maxFeePerGas\":\"{gas}\"}}"),
        _ => format!(
            "{{\"from\":{from},\"to\":{to},\"accessList\":[{{\"address\":{to},\"storageKeys\":[{}]}}]}}",
            hash(rng, known)
        ),
    }
}

fn overrides(rng: &mut Rng, known: &Known) -> String {
    let accounts: Vec<_> = (0..1 + rng.below(3))
        .map(|_| {
            let (account, code) = (address(rng, known), *rng.pick(COSTLY));
            let slot = hash(rng, known);
            format!("{account}:{{\"code\":\"0x{code}\",\"stateDiff\":{{{slot}:{slot}}}}}")
        })
        .collect();
    format!("{{{}}}", accounts.join(","))
}

/// Ranges of all widths, and as many topics.
fn filter(rng: &mut Rng, known: &Known) -> String {
    let to = match rng.below(4) {
        0 => quoted("0xffffffffffffffff"),
        1 => quoted("0x7fffffff"),
        2 => quoted("latest"),
        _ => number(rng, known),
    };
    let from = if rng.percent(50) { quoted("earliest") } else { number(rng, known) };
    let topics = vec![hash(rng, known); rng.below(6) as usize].join(",");
    let more = match rng.below(3) {
        0 => String::new(),
        1 => format!(",\"topics\":[{topics}]"),
        _ => format!(",\"topics\":[[{topics}],null],\"address\":[{}]", address(rng, known)),
    };
    format!("{{\"fromBlock\":{from},\"toBlock\":{to}{more}}}")
}

fn simulation(rng: &mut Rng, known: &Known) -> String {
    // More blocks than are allowed, and numbers far apart.
    let blocks = if rng.percent(20) { 300 } else { 1 + rng.below(4) };
    let one = format!(
        "{{\"stateOverrides\":{},\"calls\":[{}]}}",
        overrides(rng, known),
        call(rng, known)
    );
    let far = format!("{{\"blockOverrides\":{{\"number\":{}}}}}", number(rng, known));
    let mut all = vec![one; blocks as usize];
    if rng.percent(20) {
        all.push(far);
    }
    let flags = rng.pick(&["", ",\"validation\":true", ",\"traceTransfers\":true"]);
    format!("{{\"blockStateCalls\":[{}]{flags}}}", all.join(","))
}

fn tracer(rng: &mut Rng) -> String {
    let name = rng.pick(&[
        "callTracer",
        "prestateTracer",
        "4byteTracer",
        "flatCallTracer",
        "muxTracer",
        "noopTracer",
        "erc7562Tracer",
        "{result:function(){}}",
    ]);
    let timeout = rng.pick(&["1ns", "100ms", "10000h", "x", ""]);
    match rng.below(3) {
        0 => format!("{{\"tracer\":\"{name}\",\"timeout\":\"{timeout}\"}}"),
        1 => format!(
            "{{\"tracer\":\"{name}\",\"tracerConfig\":{{\"diffMode\":true,\"withLog\":true}}}}"
        ),
        _ => "{\"enableMemory\":true,\"enableReturnData\":true}".to_owned(),
    }
}
