//! Values in the form people read: amounts, times, tables, and the steps of a message.

use alloy_primitives::U256;
use serde_json::{Value, json};

const UNITS: &[(&str, u32)] = &[("ether", 18), ("gwei", 9)];

/// Wei in the largest unit that needs few digits: "1.5 ether", "20 gwei", "7 wei".
pub(super) fn coins(wei: U256) -> String {
    for (name, digits) in UNITS {
        let unit = U256::from(10).pow(U256::from(*digits));
        let step = unit / U256::from(1_000_000);
        if !wei.is_zero() && (wei % step).is_zero() {
            let (whole, rest) = (wei / unit, (wei % unit) / step);
            let rest = format!("{rest:0>6}");
            let rest = rest.trim_end_matches('0');
            let dot = if rest.is_empty() { "" } else { "." };
            return format!("{whole}{dot}{rest} {name}");
        }
    }
    match wei.checked_div(U256::from(1_000_000_000_000u64)) {
        // Too odd for six digits, too long for wei.
        Some(micros) if !micros.is_zero() => {
            format!(
                "{}.{:0>6} ether",
                micros / U256::from(1_000_000),
                micros % U256::from(1_000_000)
            )
        }
        _ => format!("{wei} wei"),
    }
}

/// Coins in a JSON quantity.
pub(super) fn coins_of(value: &Value) -> String {
    wei_of(value).map_or_else(|| "?".to_owned(), coins)
}

/// A JSON quantity.
pub(super) fn wei_of(value: &Value) -> Option<U256> {
    serde_json::from_value(value.clone()).ok()
}

/// A number, be it plain or hex; "?" for anything else.
pub(super) fn number(value: &Value) -> String {
    match (value.as_u64(), value.as_str().and_then(|text| text.strip_prefix("0x"))) {
        (Some(number), _) => number.to_string(),
        (_, Some(digits)) => u64::from_str_radix(digits, 16)
            .map_or_else(|_| "?".to_owned(), |number| number.to_string()),
        _ => "?".to_owned(),
    }
}

/// A text, or "?".
pub(super) fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// Time of day in UTC of unix ms.
pub(super) fn clock(ms: u64) -> String {
    let (seconds, ms) = (ms / 1000 % 86_400, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A span of time.
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

/// Rows under a head, each column as wide as its widest cell.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<_> =
            widths.iter().zip(cells).map(|(width, cell)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// One step of a message's way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// dispatched, final, anchored, a delivery status, settled.
    pub(super) name: String,
    /// Chain on which it happened.
    chain: String,
    /// The entry of the timeline.
    entry: Value,
    /// Ms since it was dispatched.
    after: Option<u64>,
}

impl Step {
    /// One line for people.
    pub(super) fn text(&self) -> String {
        let entry = &self.entry;
        let more = match self.name.as_str() {
            "dispatched" => entry["txHash"].as_str().map(|tx| format!("tx {tx}")),
            "anchored" => entry["daHeight"].as_u64().map(|height| {
                format!("with block {} at da height {height}", number(&entry["sourceBlock"]))
            }),
            "settled" => Some(format!("{} of the fee paid back", coins_of(&entry["feeRefund"]))),
            "final" => None,
            _ => entry["gasUsed"].as_u64().map(|gas| format!("gas used {gas}")),
        };
        let time = match (self.after, entry["time"].as_u64()) {
            (_, None) => String::new(),
            (Some(after), Some(_)) if after > 0 => format!("+{}", span(after)),
            (_, Some(time)) => clock(time),
        };
        // What can still change is not verified either; that says nothing.
        let doubtful = entry["verified"] == false && entry["final"] == true;
        let unverified = if doubtful { "  (not verified here)" } else { "" };
        let at = format!("{} block {}", self.chain, number(&entry["block"]));
        let line = format!("{:<12} {at:<20} {time:<14} {}", self.name, more.unwrap_or_default());
        format!("{}{unverified}", line.trim_end())
    }

    /// One object for programs.
    pub(super) fn json(&self, id: &Value) -> Value {
        let mut object = json!({ "id": id, "step": self.name, "chain": self.chain });
        if let (Some(object), Some(entry)) = (object.as_object_mut(), self.entry.as_object()) {
            object.extend(entry.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        object
    }
}

/// What has happened to a message so far, in order.
pub(super) fn steps(answer: &Value) -> Vec<Step> {
    let timeline = &answer["timeline"];
    let (from, to) = (word(&answer["originName"]), word(&answer["destinationName"]));
    let start = timeline["dispatched"]["time"].as_u64();
    let done = timeline["done"]["status"].as_str().unwrap_or("done");
    let names = [
        ("dispatched", "dispatched", from),
        ("anchored", "anchored", to),
        ("done", done, to),
        ("settled", "settled", from),
    ];
    let mut steps = Vec::new();
    for (field, name, chain) in names {
        let entry = &timeline[field];
        if !entry.is_object() {
            continue;
        }
        // Clocks of chains may differ: a step before the first one tells no span.
        let after = start.zip(entry["time"].as_u64()).and_then(|(start, at)| at.checked_sub(start));
        let step =
            Step { name: name.to_owned(), chain: chain.to_owned(), entry: entry.clone(), after };
        let is_final = field == "dispatched" && entry["final"] == true;
        steps.push(step.clone());
        if is_final {
            let entry = json!({ "block": entry["block"] });
            steps.push(Step { name: "final".to_owned(), entry, after: None, ..step });
        }
    }
    steps
}
