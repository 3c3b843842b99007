//! What changes between two specs, and what each change costs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::ChainSpec;

/// What a change asks of the people who run the chain, from nothing to everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Concerns wallets, lists and checks only.
    Local,
    /// Concerns the sequencer, which restarts with it.
    Soft,
    /// Changes the rules: every node must have it before it comes into force. Values that are
    /// not scheduled by time hold for the whole history, so a chain that has blocks cannot
    /// change them without all its history being read by the new rule.
    HardFork,
    /// Makes it another chain.
    Incompatible,
}

impl Level {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Soft => "soft (restart)",
            Self::HardFork => "hard fork",
            Self::Incompatible => "incompatible",
        }
    }
}

/// One value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Path in the effective spec.
    pub path: String,
    /// What it costs.
    pub level: Level,
    /// Value before; none if it was added.
    pub from: Option<Value>,
    /// Value after; none if it was removed.
    pub to: Option<Value>,
}

/// Every value that differs, by path.
pub fn diff(from: &ChainSpec, to: &ChainSpec) -> Vec<Change> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    flatten(from.to_json(), String::new(), &mut before);
    flatten(to.to_json(), String::new(), &mut after);
    let mut paths: Vec<_> = before.keys().chain(after.keys()).cloned().collect();
    paths.sort();
    paths.dedup();
    let changes = paths.into_iter().filter_map(|path| {
        let (from_value, to_value) = (before.remove(&path), after.remove(&path));
        if from_value == to_value {
            return None;
        }
        let level = level(&path, [from, to]);
        Some(Change { path, level, from: from_value, to: to_value })
    });
    changes.collect()
}

fn flatten(value: Value, path: String, out: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(value, path, out);
            }
        }
        value => {
            out.insert(path, value);
        }
    }
}

fn level(path: &str, [from, to]: [&ChainSpec; 2]) -> Level {
    match path {
        "chain.chain_id" | "execution.vm" | "da.layer" | "da.start" => Level::Incompatible,
        "execution.block_time" | "execution.idle" => Level::Soft,
        "da.interval" => Level::HardFork,
        // A fork at genesis is part of the identity, a later one is not.
        _ if path.starts_with("execution.forks.") => {
            let at_genesis = |spec: &ChainSpec| spec.fork_at(spec.genesis.time_ms);
            if at_genesis(from) == at_genesis(to) { Level::HardFork } else { Level::Incompatible }
        }
        _ if path.starts_with("chain.") || path.starts_with("public.") => Level::Local,
        _ if path.starts_with("fees.token.") => Level::Local,
        _ if path.starts_with("genesis.preinstalls") => {
            // Names of preinstalls are for messages only.
            let same = from.identity() == to.identity();
            if same { Level::Local } else { Level::Incompatible }
        }
        _ if path.starts_with("genesis.") || path.starts_with("metalayer.") => Level::Incompatible,
        _ if path.starts_with("da.") => Level::Incompatible,
        _ => Level::HardFork,
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;
    use crate::spec::tests::{read, rich};

    #[test]
    fn each_change_says_what_it_costs() {
        let from = read(&rich());
        let level = |edit: &dyn Fn(&mut ChainSpec)| {
            let mut to = from.clone();
            edit(&mut to);
            let changes = diff(&from, &to);
            assert!(!changes.is_empty());
            changes.iter().map(|change| change.level).max().unwrap()
        };
        assert_eq!(level(&|s| s.public.rpc.clear()), Level::Local);
        assert_eq!(level(&|s| s.token.symbol.push('X')), Level::Local);
        assert_eq!(level(&|s| s.genesis.preinstalls[0].name.push('X')), Level::Local);
        assert_eq!(level(&|s| s.sequencer.block_time_ms *= 2), Level::Soft);
        assert_eq!(level(&|s| s.forks[1].1 += 1), Level::HardFork);
        assert_eq!(level(&|s| s.forks[1].1 = 0), Level::Incompatible);
        assert_eq!(level(&|s| s.gas.limit *= 2), Level::HardFork);
        assert_eq!(level(&|s| s.sequencer.keys[0].keys[0] = Address::ZERO), Level::HardFork);
        assert_eq!(level(&|s| s.da.interval_ms += 1000), Level::HardFork);
        assert_eq!(level(&|s| s.chain_id += 1), Level::Incompatible);
        assert_eq!(level(&|s| s.metalayer.enabled = true), Level::Incompatible);
        assert_eq!(level(&|s| s.genesis.alloc.clear()), Level::Incompatible);
        assert_eq!(level(&|s| s.da.options.clear()), Level::Incompatible);
    }
}
