//! A member against the seed of its network.

use alloy_primitives::{Address, B256};

use super::LEAST_LAG_MS;
use crate::directory::Directory;
use crate::mailbox::{Coin, DEPLOY_GAS, LANE_BYTES, MAILBOX, TRANSFER_GAS};
use crate::message::DELIVERY_GAS;
use crate::spec::issue::Report;
use crate::spec::presets::DEV_ACCOUNTS;
use crate::spec::shape::inside;
use crate::spec::units::{show_count, show_duration};
use crate::spec::{ChainSpec, Kind, MetalayerSpec};

/// Whether coins are on their way to a chain at genesis.
pub(in crate::spec) fn arriving(spec: &MetalayerSpec) -> bool {
    let seed = spec.directory.as_ref();
    seed.is_some_and(|seed| seed.transfers.iter().any(|transfer| transfer.to == spec.domain))
}

/// Checks what a member must keep whatever the seed says of it.
pub(in crate::spec) fn check_member(spec: &ChainSpec, place: &str, report: &mut Report) {
    let Some(seed) = spec.metalayer.directory.as_ref() else { return };
    coin(spec, report);
    room(spec, report);
    if (LEAST_LAG_MS..spec.sequencer.window_ms).contains(&seed.max_lag_ms) {
        let reason = format!(
            "{} is less than this chain's window: if it posts late but in time, its lanes stall",
            show_duration(&seed.max_lag_ms)
        );
        let fix = format!("use {} or more", show_duration(&spec.sequencer.window_ms));
        report.warn("CS0071", inside(place, "max_lag"), reason, fix);
    }
    if spec.kind != Kind::Devnet {
        dev_keys(seed, place, report);
    }
}

fn coin(spec: &ChainSpec, report: &mut Report) {
    let accounts = spec.genesis.alloc.values();
    let funded = accounts.filter(|account| !account.balance.is_zero()).count();
    if spec.metalayer.coin == Coin::Hub && funded > 0 {
        let reason = format!(
            "accounts with funds: {funded}; but the coin is the hub's, and comes from there only"
        );
        let fix = "remove the balances; write [[transfers]] to this chain in metalayer.toml";
        report.error("CS0070", "genesis.alloc", reason, fix);
    }
    if spec.genesis.alloc.contains_key(&MAILBOX) {
        let reason = "what the Mailbox holds is counted: it begins with nothing";
        report.error("CS0070", format!("genesis.alloc.{MAILBOX}"), reason, "remove it");
    }
    if spec.vm == "ledger" && spec.metalayer.coin == Coin::Own {
        let reason = "the ledger vm holds no tokens: the hub's coin cannot come to this chain";
        report.warn("CS0070", "metalayer.coin", reason, "write coin = \"hub\"");
    }
}

/// Whether others' messages fit into this chain's blocks.
fn room(spec: &ChainSpec, report: &mut Report) {
    let gas = 2 * (DEPLOY_GAS + TRANSFER_GAS + DELIVERY_GAS);
    let bytes = 2 * u64::from(LANE_BYTES);
    let rules = [
        (
            "execution.gas_limit",
            spec.gas.limit,
            gas,
            "the first arrival of the hub's coin, which deploys its token, needs half a block",
        ),
        (
            "execution.bytes_limit",
            spec.gas.limit_bytes,
            bytes,
            "what one block of another member sends must fit into half a block",
        ),
    ];
    for (path, value, least, reason) in rules {
        if value < least && !report.speaks_of(path) {
            let fix = format!("use at least {} for a member", show_count(&least));
            report.error("CS0030", path, reason, fix);
        }
    }
}

fn dev_keys(seed: &Directory, place: &str, report: &mut Report) {
    let known = |address: &Address| DEV_ACCOUNTS.contains(address);
    let recipients = seed.transfers.iter().enumerate();
    let recipients = recipients.filter(|(_, transfer)| known(&transfer.recipient));
    let mut fields: Vec<_> =
        recipients.map(|(index, _)| format!("transfers[{index}].recipient")).collect();
    fields.extend(known(&seed.governance).then(|| "governance".to_owned()));
    for field in fields {
        let reason = "everybody knows the private key of this address";
        let fix = "use a key of your own, or kind = \"devnet\"";
        report.error("CS0080", inside(place, &field), reason, fix);
    }
}

/// Checks that the seed has this chain as it is. Asked only of a spec that is right otherwise:
/// the hashes of a wrong one say nothing.
pub(in crate::spec) fn check_listed(spec: &ChainSpec, place: &str, report: &mut Report) {
    let Some(seed) = spec.metalayer.directory.as_ref().filter(|_| !report.failed()) else { return };
    let (base, rules) = (spec.base_identity(), spec.rules_hash(spec.genesis.time_ms));
    let domain = spec.metalayer.domain;
    let Some(index) = seed.members.iter().position(|member| member.domain == domain) else {
        let reason = format!("this chain, domain {domain}, is no member");
        let fix = format!(
            "add [[members]] name = {:?}, domain = {domain}, base = \"{base}\", rules = \"{rules}\"",
            spec.short_name
        );
        report.error("CS0073", inside(place, "members"), reason, fix);
        return;
    };
    let member = &seed.members[index];
    let mut same = |field: &str, listed: B256, found: B256| {
        if listed != found {
            let path = inside(place, &format!("members[{index}].{field}"));
            let name = &member.name;
            let reason = format!("{name} is listed with {listed}, but its chain.toml has {found}");
            let fix = format!(
                "undo what changed in chain.toml; if the network has not begun yet, write \
                 {field} = \"{found}\" in every member's file"
            );
            report.error("CS0073", path, reason, fix);
        }
    };
    same("base", member.base, base);
    same("rules", member.rules, rules);
}
