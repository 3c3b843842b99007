//! What answers of nodes say is wrong: a pure function, so that it can be tested.

use std::collections::BTreeSet;

use alloy_primitives::U256;
use serde_json::{Value, json};

use super::lines::{coins, number, span, wei_of, word};

/// A head older than this does not move any more: chains make a block every few seconds, with or
/// without transactions.
const STILL_MS: u64 = 30_000;
/// A block further in the future than this means that a clock is wrong.
const SKEW_MS: u64 = 5_000;
/// Checking may be so many blocks behind.
const UNVERIFIED_BLOCKS: u64 = 120;

/// What one chain answered; null where it did not.
pub(super) struct Checkup {
    /// Name.
    pub(super) name: String,
    /// Each of its nodes: `rollup_health`, or why there is none.
    pub(super) nodes: Vec<(String, Result<Value, String>)>,
    /// `rollup_chainSpec`.
    pub(super) spec: Value,
    /// `rollup_syncStatus`.
    pub(super) heads: Value,
    /// Why `metalayer_getDirectory` gave nothing.
    pub(super) no_member: Option<String>,
    /// `metalayer_getDirectory`.
    pub(super) directory: Value,
    /// `metalayer_getAnchors`.
    pub(super) anchors: Value,
    /// `metalayer_getLane` of each other member.
    pub(super) lanes: Vec<Value>,
}

/// Something wrong, and what to do about it.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    /// Where.
    pub(super) chain: String,
    /// What is wrong.
    pub(super) what: String,
    /// What to do.
    pub(super) fix: &'static str,
}

impl Finding {
    /// For people.
    pub(super) fn text(&self) -> String {
        format!("{}: {}\n  -> {}\n", self.chain, self.what, self.fix)
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({ "chain": self.chain, "what": self.what, "fix": self.fix })
    }
}

/// Everything wrong that the answers tell, chain by chain.
pub(super) fn findings(checkups: &[Checkup], now_ms: u64) -> Vec<Finding> {
    let mut found = Vec::new();
    for checkup in checkups {
        let mut add = |what: String, fix: &'static str| {
            found.push(Finding { chain: checkup.name.clone(), what, fix });
        };
        nodes(checkup, &mut add);
        if checkup.spec.is_null() {
            continue;
        }
        head(checkup, now_ms, &mut add);
        match &checkup.no_member {
            Some(error) => add(
                error.clone(),
                "set [metalayer] enabled in its chain.toml before block 0, or leave it out here",
            ),
            None => {
                verified(checkup, &mut add);
                anchors(checkup, &mut add);
                lanes(checkup, &mut add);
            }
        }
    }
    found.extend(directories(checkups));
    found
}

fn nodes(checkup: &Checkup, add: &mut dyn FnMut(String, &'static str)) {
    for (url, health) in &checkup.nodes {
        match health {
            Err(error) => add(error.clone(), "start the node, or correct its address"),
            Ok(health) => {
                for problem in health["problems"].as_array().into_iter().flatten() {
                    add(format!("{url}: {}", word(problem)), "look at the log of this node");
                }
            }
        }
    }
}

fn head(checkup: &Checkup, now_ms: u64, add: &mut dyn FnMut(String, &'static str)) {
    let Some(seconds) = checkup.heads["latest"]["timestamp"].as_u64() else { return };
    let time_ms = seconds.saturating_mul(1000);
    let latest = number(&checkup.heads["latest"]["number"]);
    let still = checkup.spec["blockTimeMs"].as_u64().unwrap_or(0).saturating_mul(20).max(STILL_MS);
    if now_ms.saturating_sub(time_ms) > still {
        add(
            format!("no block for {}: the newest is {latest}", span(now_ms - time_ms)),
            "look at its sequencer, and whether its DA layer answers",
        );
    }
    if time_ms.saturating_sub(now_ms) > SKEW_MS {
        add(
            format!("block {latest} is {} in the future", span(time_ms - now_ms)),
            "set the clock of this machine, or that of the sequencer, by NTP",
        );
    }
}

fn verified(checkup: &Checkup, add: &mut dyn FnMut(String, &'static str)) {
    let verified = &checkup.anchors["verified"];
    if let Some(alarm) = verified["alarm"].as_str() {
        add(
            format!("false anchor: {alarm}"),
            "believe nothing this chain says of others from that block on; pause it in the \
             directory and ask its operator",
        );
        return;
    }
    let safe = checkup.heads["safe"]["number"].as_u64();
    match (verified["block"].as_u64(), safe) {
        (None, _) => add(
            "this node does not check what its chain says of other members".to_owned(),
            "give it the specs and DA layers of the members to follow",
        ),
        (Some(block), Some(safe)) if safe.saturating_sub(block) > UNVERIFIED_BLOCKS => {
            let waiting = verified["waiting"].as_str().unwrap_or("it does not say why");
            add(
                format!("anchors are checked up to block {block} of {safe} only: {waiting}"),
                "see whether the DA layers of the members answer; where data are pruned, use an \
                 archive of them",
            );
        }
        _ => {}
    }
}

fn anchors(checkup: &Checkup, add: &mut dyn FnMut(String, &'static str)) {
    let max_lag = checkup.directory["maxLagMs"].as_u64().unwrap_or(u64::MAX);
    for anchor in checkup.anchors["anchors"].as_array().into_iter().flatten() {
        let name = word(&anchor["name"]);
        match (anchor["block"].as_u64(), anchor["ageMs"].as_u64()) {
            (None, _) => add(
                format!("has taken in nothing of {name} yet"),
                "wait for its first final block; if that is there, see whether this chain's \
                 sequencer follows it",
            ),
            // Half of the time it may lag is used up: say so before the lane closes.
            (_, Some(age)) if age > max_lag / 2 => add(
                format!("the newest block of {name} it has taken in is {} old", span(age)),
                "see whether blocks become final there, and whether this chain's sequencer \
                 follows it; `causeway metalayer demand` obliges it to",
            ),
            _ => {}
        }
        if anchor["followedBlock"].is_null() {
            add(
                format!("its node does not follow {name}"),
                "give it the spec and the DA layer of that member",
            );
        }
    }
}

fn lanes(checkup: &Checkup, add: &mut dyn FnMut(String, &'static str)) {
    for lane in &checkup.lanes {
        let name = word(&lane["name"]);
        let why = || lane["why"].as_str().unwrap_or("no reason is known").to_owned();
        // That nothing was taken in yet is a finding of its own.
        let fresh = checkup.anchors["anchors"].as_array().into_iter().flatten();
        let fresh = fresh
            .filter(|anchor| anchor["block"].is_null())
            .any(|anchor| anchor["name"] == lane["name"]);
        match lane["status"].as_str() {
            Some("stalled") if !fresh => add(
                format!("the lane to {name} is stalled: {}", why()),
                "bring the follower or the member back; the lane opens by itself",
            ),
            Some("paused") => add(
                format!("the lane to {name} is paused: {}", why()),
                "governance ends it with `causeway metalayer record resume`",
            ),
            _ => {}
        }
        if let Some(parked) = lane["in"]["parked"].as_u64().filter(|parked| *parked > 0) {
            add(
                format!(
                    "{parked} messages from {name} wait for fees to fall or coins to be \
                         covered"
                ),
                "they go on by themselves, or are paid back when they expire",
            );
        }
    }
}

/// Members of one network hold the same records.
fn directories(checkups: &[Checkup]) -> Option<Finding> {
    let known = checkups.iter().filter(|checkup| !checkup.directory.is_null());
    let held: Vec<_> = known
        .map(|checkup| {
            let directory = &checkup.directory;
            (word(&directory["networkHash"]), number(&directory["sequence"]), &checkup.name)
        })
        .collect();
    let networks: BTreeSet<_> = held.iter().map(|(network, ..)| network).collect();
    let records: BTreeSet<_> = held.iter().map(|(_, sequence, _)| sequence).collect();
    let list = |what: &dyn Fn(&(&str, String, &String)) -> String| {
        held.iter().map(what).collect::<Vec<_>>().join(", ")
    };
    let (what, fix) = if networks.len() > 1 {
        let list = list(&|(network, _, name)| format!("{name} {network}"));
        (
            format!("chains of different networks: {list}"),
            "name the members of one network only; their metalayer.toml must be the same file",
        )
    } else if records.len() > 1 {
        let list = list(&|(_, sequence, name)| format!("{name} {sequence}"));
        (
            format!("members hold different records of the directory: {list}"),
            "wait for the forced lane; if it stays, send the record again to those that lack it",
        )
    } else {
        return None;
    };
    Some(Finding { chain: "all".to_owned(), what, fix })
}

/// Whether coins exist on members that are not locked at home, or are locked and nowhere.
/// Coins on their way count at their source until the receipt is back there, so they may count
/// twice, never less than once.
pub(super) fn supply_gap(supplies: &[Value]) -> Option<String> {
    let (home, others): (Vec<_>, Vec<_>) =
        supplies.iter().partition(|supply| supply["coin"] == "home");
    let [home] = home[..] else { return None };
    let wei = |supply: &Value, field: &str| wei_of(&supply[field]).unwrap_or_default();
    let sum = |field: &str| {
        others.iter().fold(U256::ZERO, |sum, supply| sum.saturating_add(wei(supply, field)))
    };
    let escrow = others.iter().filter(|supply| supply["coin"] == "hub");
    let escrow = escrow.fold(U256::ZERO, |sum, supply| sum.saturating_add(wei(supply, "escrow")));
    let (locked, elsewhere) = (wei(home, "locked"), sum("circulating"));
    let most = elsewhere
        .saturating_add(escrow)
        .saturating_add(sum("inFlight"))
        .saturating_add(wei(home, "inFlight"));
    if elsewhere > locked {
        let (elsewhere, locked) = (coins(elsewhere), coins(locked));
        return Some(format!("{elsewhere} exist on members, but only {locked} are locked at home"));
    }
    (locked > most).then(|| {
        let (locked, most) = (coins(locked), coins(most));
        format!("{locked} are locked at home, but members and lanes have only {most}")
    })
}
