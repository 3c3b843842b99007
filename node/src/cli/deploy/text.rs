//! What `causeway deploy` tells, as lines or as JSON.

use std::fmt::Write;

use alloy_primitives::U256;
use alloy_primitives::utils::format_ether;
use causeway_chainspec::spec::Deployed;
use serde_json::{Value, json};

use super::steps::{Plan, Standing, Step};

/// An amount in ether, with no more digits than are of use.
pub(super) fn ether(wei: U256) -> String {
    let text = format_ether(wei);
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let leading = part.len() - part.trim_start_matches('0').len();
    let shown = part.get(..(leading + 3).min(part.len())).unwrap_or(part).trim_end_matches('0');
    if shown.is_empty() { whole.to_owned() } else { format!("{whole}.{shown}") }
}

fn standing(standing: &Standing) -> &'static str {
    match standing {
        Standing::Missing => "missing",
        Standing::Waiting(_) => "waiting",
        Standing::There(_) => "there",
    }
}

pub(super) fn plan(plan: &Plan, steps: &[Step], standings: &[Standing], as_json: bool) -> String {
    let rows = steps.iter().zip(standings).zip(&plan.prices);
    if as_json {
        let contracts: Vec<_> = rows
            .map(|((step, found), price)| {
                json!({
                    "contract": step.contract,
                    "address": step.address,
                    "state": standing(found),
                    "gas": price.map(|price| price.gas),
                    "wei": price.map(|price| price.wei.to_string()),
                    "mostWei": price.map(|price| price.most_wei.to_string()),
                })
            })
            .collect();
        let whole = json!({
            "payer": plan.payer,
            "balanceWei": plan.balance.to_string(),
            "contracts": contracts,
            "wei": plan.wei().to_string(),
            "mostWei": plan.most_wei().to_string(),
        });
        return format!("{whole:#}\n");
    }
    let mut out = String::new();
    for ((step, found), price) in rows {
        let _ = write!(out, "{:<20} {}  {}", step.contract, step.address, standing(found));
        let _ = match price {
            Some(price) => {
                writeln!(out, "  {} gas, {} ether", price.gas, ether(U256::from(price.wei)))
            }
            None => writeln!(out),
        };
    }
    let _ = writeln!(out, "Payer                {}  has {} ether", plan.payer, ether(plan.balance));
    let _ = match plan.prices.iter().flatten().count() {
        0 => writeln!(out, "Nothing to pay"),
        count => writeln!(
            out,
            "Cost                 {count} transactions, {} ether now, at most {}",
            ether(plan.wei()),
            ether(plan.most_wei())
        ),
    };
    out
}

pub(super) fn status(steps: &[Step], standings: &[Standing], as_json: bool) -> String {
    let rows = steps.iter().zip(standings);
    if as_json {
        let row = |(step, found): (&Step, &Standing)| {
            let (tx, height) = match found {
                Standing::Missing => (None, None),
                Standing::Waiting(tx) => (Some(*tx), None),
                Standing::There(height) => (None, *height),
            };
            json!({
                "contract": step.contract, "address": step.address, "state": standing(found),
                "tx": tx, "height": height,
            })
        };
        return format!("{:#}\n", Value::Array(rows.map(row).collect()));
    }
    let mut out = String::new();
    for (step, found) in rows {
        let _ = write!(out, "{:<20} {}  {}", step.contract, step.address, standing(found));
        let _ = match found {
            Standing::There(Some(height)) => writeln!(out, " since block {height}"),
            Standing::Waiting(tx) => writeln!(out, " in {tx}"),
            Standing::There(None) | Standing::Missing => writeln!(out),
        };
    }
    out
}

pub(super) fn done(deployed: &[Deployed], as_json: bool) -> String {
    if as_json {
        return format!("{:#}\n", json!(deployed));
    }
    let mut out = String::new();
    for Deployed { contract, address, height, .. } in deployed {
        let height = height.unwrap_or_default();
        let _ = writeln!(out, "{contract:<20} {address}  there since block {height}");
    }
    out.push_str(
        "Noted in chain.lock; share it with chain.toml. Until these blocks are final a reorg can undo \
         them: look again later with `causeway deploy status`.\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short_and_true() {
        let shown = |wei: u128| ether(U256::from(wei));
        assert_eq!(shown(0), "0");
        assert_eq!(shown(1_000_000_000_000_000_000), "1");
        assert_eq!(shown(9_999_123_456_000_000_000_000), "9999.123");
        assert_eq!(shown(1_234_567_000_000_000), "0.00123");
        assert_eq!(shown(7), "0.000000000000000007");
    }
}
