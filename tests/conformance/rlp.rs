//! RLP tests: values to bytes and back, and bytes that no decoder may take.

use std::collections::BTreeMap;

use alloy_primitives::{Bytes, U512};
use alloy_rlp::{Decodable, Encodable, Header};
use causeway_chainspec::{Claim, Receipt, Tx};
use eyre::{OptionExt, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::source::{File, Sources};
use crate::tally::Tally;

#[derive(Deserialize)]
struct Test {
    #[serde(rename = "in")]
    value: Value,
    out: String,
}

/// Anything RLP can say.
#[derive(Debug, PartialEq)]
enum Item {
    Text(Vec<u8>),
    List(Vec<Item>),
}

impl Encodable for Item {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        match self {
            Self::Text(bytes) => bytes.as_slice().encode(out),
            Self::List(items) => alloy_rlp::encode_list::<_, Item>(items, out),
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Text(bytes) => bytes.as_slice().length(),
            Self::List(items) => alloy_rlp::list_length::<_, Item>(items),
        }
    }
}

impl Decodable for Item {
    fn decode(from: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let header = Header::decode(from)?;
        let (mut payload, rest) =
            from.split_at_checked(header.payload_length).ok_or(alloy_rlp::Error::InputTooShort)?;
        *from = rest;
        if !header.list {
            return Ok(Self::Text(payload.to_vec()));
        }
        let mut items = Vec::new();
        while !payload.is_empty() {
            items.push(Self::decode(&mut payload)?);
        }
        Ok(Self::List(items))
    }
}

/// Runs every test of a file.
pub(crate) fn run(file: &File, _: &Sources) -> eyre::Result<Tally> {
    let mut tally = Tally::default();
    if file.path.extension().is_none_or(|it| it != "json") {
        return Ok(tally);
    }
    let tests: BTreeMap<String, Test> = serde_json::from_slice(&file.read()?)?;
    for (name, test) in tests {
        tally.count(format!("{}/{name}", file.name()), check(&test));
    }
    Ok(tally)
}

fn check(test: &Test) -> eyre::Result<()> {
    let out: Bytes = test.out.parse()?;
    let decoded = alloy_rlp::decode_exact::<Item>(&out);
    match test.value.as_str() {
        Some("INVALID") => {
            ensure!(decoded.is_err(), "read as {decoded:?}");
            ensure!(Tx::decode(out.clone()).is_err(), "taken for a transaction");
            ensure!(Tx::foreign(out.clone()).is_err(), "taken for a foreign transaction");
            ensure!(alloy_rlp::decode_exact::<Claim>(&out).is_err(), "taken for a claim");
            ensure!(alloy_rlp::decode_exact::<Receipt>(&out).is_err(), "taken for a receipt");
        }
        Some("VALID") => ensure!(alloy_rlp::encode(decoded?) == out, "encodes to other bytes"),
        _ => {
            let value = item(&test.value)?;
            ensure!(alloy_rlp::encode(&value) == out, "encodes to {:?}", alloy_rlp::encode(&value));
            ensure!(decoded? == value, "decodes to another value");
        }
    }
    Ok(())
}

/// A value as the suite writes it: text, number, `#` and a large number, list.
fn item(value: &Value) -> eyre::Result<Item> {
    Ok(match value {
        Value::String(text) => match text.strip_prefix('#') {
            Some(digits) => number(digits.parse()?),
            None => Item::Text(text.as_bytes().to_vec()),
        },
        Value::Array(items) => Item::List(items.iter().map(item).collect::<Result<_, _>>()?),
        other => number(U512::from(other.as_u64().ok_or_eyre("not a value of RLP")?)),
    })
}

fn number(number: U512) -> Item {
    Item::Text(number.to_be_bytes_trimmed_vec())
}
