//! A chain whose blobs a parent chain carries.

use alloy_primitives::Address;

use super::super::issue::Report;
use super::super::{ChainSpec, Kind, units};
use crate::l1::bridge::{Bridge, MOST_CHALLENGE_MS, MOST_OUTPUT_INTERVAL};

/// `[da.ethereum]`.
pub(super) fn check(spec: &ChainSpec, report: &mut Report) {
    if spec.da.layer != "ethereum" {
        return;
    }
    let path = "da.ethereum.chain_id";
    match spec.da.options.get("chain_id") {
        _ if report.speaks_of("da.ethereum") => {}
        None => {
            let fix = "add [da.ethereum] chain_id = N: the chain id of the parent chain";
            report.error("CS0005", path, "this field is required", fix);
        }
        Some(toml::Value::Integer(1..)) => {}
        Some(_) => report.error("CS0004", path, "it is no chain id", "write a number above 0"),
    }
    for name in ["inbox", "portal", "system_config", "owner", "proposer"] {
        if let Some(Err(reason)) = spec.da.options.get(name).map(units::address) {
            let path = format!("da.ethereum.{name}");
            report.error("CS0004", path, reason, "write 0x and 40 hex digits");
        }
    }
    parent_bridge(spec, report);
}

/// What the contracts on the parent chain are made of: their constructors refuse the rest, once the
/// identity is fixed.
fn parent_bridge(spec: &ChainSpec, report: &mut Report) {
    let option = |name: &str| spec.da.options.get(name);
    let path = |name: &str| format!("da.ethereum.{name}");
    for name in ["owner", "proposer"] {
        if option(name).is_some_and(|value| units::address(value) == Ok(Address::ZERO)) {
            let fix = "write the address of a key, or of a contract for the owner";
            report.error("CS0061", path(name), "the zero address is nobody's key", fix);
        }
    }
    let of_owner = ["proposer", "challenge", "output_interval", "coins"];
    if let Some(name) = of_owner.iter().find(|name| option(name).is_some())
        && option("owner").is_none()
    {
        let fix = "add owner = \"0x..\", or leave it out";
        report.error("CS0005", path(name), "it does nothing without an owner", fix);
    }
    if spec.kind != Kind::Devnet && option("portal").is_some() && option("owner").is_none() {
        let fix = "add owner = \"0x..\": who guards the way out (docs/ethereum.md)";
        report.error("CS0005", path("owner"), "a portal without an owner has no way out", fix);
    }
    match option("challenge").map(units::duration) {
        None | Some(Ok(1000..=MOST_CHALLENGE_MS)) => {}
        Some(Ok(_)) => {
            let fix = "write 1s to 365d; what has value wants days";
            report.error("CS0061", path("challenge"), "outputs cannot be challenged so", fix);
        }
        Some(Err(reason)) => {
            report.error("CS0004", path("challenge"), reason, "write a duration as \"7d\"");
        }
    }
    if spec.kind == Kind::Mainnet
        && Bridge::of(spec).is_some_and(|bridge| bridge.challenge_ms < 86_400_000)
    {
        let reason = "whoever watches outputs has less than a day";
        report.error("CS0061", path("challenge"), reason, "write \"1d\" or more; 7d is usual");
    }
    let interval = option("output_interval").and_then(toml::Value::as_integer);
    let count = interval.and_then(|count| u64::try_from(count).ok()).unwrap_or_default();
    if option("output_interval").is_some() && !(1..=MOST_OUTPUT_INTERVAL).contains(&count) {
        let fix = "write a number of blocks from 1 to 1000000";
        report.error("CS0004", path("output_interval"), "the output oracle does not take it", fix);
    }
    if option("coins").is_some_and(|value| !value.is_bool()) {
        report.error(
            "CS0004",
            path("coins"),
            "it is neither true nor false",
            "write true or false",
        );
    }
    let unbacked = spec.genesis.alloc.values().any(|account| !account.balance.is_zero());
    if spec.kind != Kind::Devnet
        && unbacked
        && Bridge::of(spec).is_some_and(|bridge| bridge.takes_coins)
    {
        let reason = "coins of genesis can leave by the portal, which holds only what came by it";
        let fix = "fund accounts by deposits, or lock as much by the portal's donateETH, or set \
                   da.ethereum.coins = false";
        report.warn("CS0052", "genesis.alloc", reason, fix);
    }
}
