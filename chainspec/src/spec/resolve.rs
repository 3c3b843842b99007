//! From the fields of the file to a spec: defaults, units, sections of the chosen modules.

use alloy_primitives::Address;

use super::file::{Addr, Count, DaFile, ExecutionFile, FeesFile, File, KeyChangeFile};
use super::file::{SequencerFile, Time};
use super::issue::Report;
use super::parse::Inputs;
use super::shape::did_you_mean;
use super::{
    ChainSpec, DaSpec, Fees, Fork, Gas, KeyChange, Kind, Public, SequencerSpec, Token, genesis,
    network,
};

/// Builds the spec. Where something is missing or wrong it reports that and goes on with a
/// placeholder, so that everything else is checked too.
pub(super) fn resolve(file: File, inputs: &Inputs<'_>, report: &mut Report) -> ChainSpec {
    match file.version {
        Some(1) => {}
        None if report.speaks_of("version") => {}
        None => report.error("CS0005", "version", "the version is missing", "write version = 1"),
        Some(other) => {
            let reason = format!("this binary reads version 1, the file has {other}");
            report.error("CS0009", "version", reason, "write version = 1, or upgrade causeway");
        }
    }
    let name = file.chain.name.unwrap_or_else(|| missing(report, "chain.name", "name = \"Alpha\""));
    let chain_id =
        file.chain.chain_id.unwrap_or_else(|| missing(report, "chain.chain_id", "chain_id = 901"));
    let vm = file.execution.vm.clone().unwrap_or_else(|| "evm".to_owned());
    known(report, "execution.vm", &vm, inputs.vms);
    let (block_time_ms, idle_ms) = block_times(&file.execution);
    let gas = gas(&file.execution, report);
    let forks = forks(file.execution.forks, report);
    let sequencer = sequencer(file.sequencer, &gas, [block_time_ms, idle_ms], inputs, report);
    let first_key = sequencer.keys.first().and_then(|change| change.keys.first()).copied();
    let genesis = genesis::resolve(file.genesis, &vm, inputs.read, report);
    ChainSpec {
        short_name: file.chain.short_name.unwrap_or_else(|| slug(&name)),
        name,
        chain_id,
        kind: file.chain.kind.unwrap_or(Kind::Devnet),
        vm,
        fees: fees(&file.fees, &gas, first_key.unwrap_or_default(), report),
        gas,
        token: Token {
            name: file.fees.token.name.unwrap_or_else(|| "Ether".to_owned()),
            symbol: file.fees.token.symbol.unwrap_or_else(|| "ETH".to_owned()),
            decimals: file.fees.token.decimals.unwrap_or(18),
        },
        forks,
        da: da(file.da, inputs, report),
        sequencer,
        genesis,
        metalayer: network::membership(file.metalayer, chain_id, inputs, report),
        public: Public {
            rpc: file.public.rpc,
            ws: file.public.ws,
            explorer: file.public.explorer,
            info_url: file.public.info_url,
        },
        memo: Default::default(),
    }
}

/// Reports a missing field, unless what stood there was already refused.
pub(super) fn missing<T: Default>(report: &mut Report, path: &str, example: &str) -> T {
    if !report.speaks_of(path) {
        report.error("CS0005", path, "this field is required", format!("add {example}"));
    }
    T::default()
}

fn known(report: &mut Report, path: &str, name: &str, names: &[&str]) {
    if names.is_empty() || names.contains(&name) {
        return;
    }
    let reason = format!("this binary has no {name:?}{}", did_you_mean(name, names));
    report.error("CS0008", path, reason, format!("use one of {}", names.join(", ")));
}

/// A short name from a human one: lower case, anything else than letters and digits as `-`.
pub(super) fn slug(name: &str) -> String {
    let dashed: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

fn block_times(file: &ExecutionFile) -> (u64, u64) {
    let block_time_ms = file.block_time.as_ref().map_or(1000, |ms| ms.0);
    (block_time_ms, file.idle.as_ref().map_or(block_time_ms.max(2000), |ms| ms.0))
}

/// A rate per second in the file, per ms in the spec.
fn per_ms(value: &Option<Count>, default: u64, path: &str, report: &mut Report) -> u64 {
    let Some(Count(rate)) = value else { return default };
    if rate % 1000 != 0 {
        let reason = format!("{rate} per second is no whole number per ms");
        let fix =
            format!("use a multiple of 1000, as {}", rate.div_ceil(1000).saturating_mul(1000));
        report.error("CS0030", path, reason, fix);
    }
    rate / 1000
}

fn gas(file: &ExecutionFile, report: &mut Report) -> Gas {
    let or = |value: &Option<Count>, default: u64| value.as_ref().map_or(default, |count| count.0);
    let limit = or(&file.gas_limit, 30_000_000);
    let rate = per_ms(&file.gas_rate, (limit / 1000).max(1), "execution.gas_rate", report);
    let target = per_ms(&file.gas_target, (rate / 2).max(1), "execution.gas_target", report);
    // Call data costs at least 16 gas a byte, and most transactions far more than 30.
    let limit_bytes = or(&file.bytes_limit, (limit / 30).clamp(1_000_000, 8_000_000));
    let default = (rate / 30).clamp(1000, 32_000);
    let rate_bytes = per_ms(&file.bytes_rate, default, "execution.bytes_rate", report);
    let burst = |limit: u64, rate: u64| limit.saturating_mul(2).max(rate.saturating_mul(2000));
    Gas {
        limit,
        rate,
        burst: or(&file.gas_burst, burst(limit, rate)),
        target,
        rate_bytes,
        burst_bytes: or(&file.bytes_burst, burst(limit_bytes, rate_bytes)),
        limit_bytes,
        limit_candidates: or(&file.candidates_limit, (limit / 3000).max(10_000)),
    }
}

fn fees(file: &FeesFile, gas: &Gas, first_key: Address, report: &mut Report) -> Fees {
    let mut wei = |value: &Option<super::file::Wei>, default: u64, path: &str| {
        value.as_ref().map_or(default, |wei| {
            u64::try_from(wei.0).unwrap_or_else(|_| {
                let reason = format!("{} wei per gas is over 64 bits", wei.0);
                report.error("CS0040", path, reason, "write an amount as \"1 gwei\"");
                default
            })
        })
    };
    Fees {
        min_base_fee: wei(&file.min_base_fee, 10_000_000, "fees.min_base_fee"),
        floor: wei(&file.floor, 0, "fees.floor"),
        denominator: file
            .denominator
            .as_ref()
            .map_or(gas.target.saturating_mul(60_000), |count| count.0),
        recipient: file.recipient.as_ref().map_or(first_key, |address| address.0),
    }
}

fn forks(
    file: Option<std::collections::BTreeMap<String, Time>>,
    report: &mut Report,
) -> Vec<(Fork, u64)> {
    let Some(file) = file else { return vec![(Fork::Prague, 0), (Fork::Osaka, 0)] };
    let mut forks = Vec::new();
    for (name, time) in file {
        let path = format!("execution.forks.{name}");
        match Fork::ALL.iter().find(|fork| fork.name() == name) {
            Some(fork) if *fork < Fork::Prague => {
                let reason = format!("{name} is part of every chain: own chains start at prague");
                report.error("CS0020", path, reason, "remove it and keep prague = 0");
            }
            Some(fork) if time.0 % 1000 != 0 => {
                let reason = "forks come into force at a whole second";
                report.error("CS0020", path, reason, "leave the fraction of the second out");
                forks.push((*fork, time.0 / 1000));
            }
            Some(fork) => forks.push((*fork, time.0 / 1000)),
            None => {
                let names = ["prague", "osaka"];
                let reason = format!("unknown fork {name:?}{}", did_you_mean(&name, &names));
                report.error("CS0020", path, reason, format!("forks: {}", names.join(", ")));
            }
        }
    }
    forks.sort();
    forks
}

/// The section of the chosen module; sections of others are errors.
fn section(
    sections: std::collections::BTreeMap<String, toml::Value>,
    chosen: &str,
    (outer, selector): (&str, &str),
    report: &mut Report,
) -> toml::Table {
    let mut options = toml::Table::new();
    for (name, value) in sections {
        match value {
            toml::Value::Table(table) if name == chosen => options = table,
            _ => {
                let reason = format!("[{outer}.{name}] does nothing: {selector} is {chosen:?}");
                let fix = format!("remove the section, or write {selector} = {name:?}");
                report.error("CS0007", format!("{outer}.{name}"), reason, fix);
            }
        }
    }
    options
}

fn da(file: DaFile, inputs: &Inputs<'_>, report: &mut Report) -> DaSpec {
    let layer = file.layer.unwrap_or_else(|| "local".to_owned());
    known(report, "da.layer", &layer, inputs.layers);
    let interval_ms = match layer.as_str() {
        "local" => 1000,
        "celestia" => 6000,
        _ => 12_000,
    };
    let options = section(file.sections, &layer, ("da", "layer"), report);
    DaSpec {
        interval_ms: file.interval.map_or(interval_ms, |ms| ms.0),
        start: file.start.unwrap_or(1),
        layer,
        options,
    }
}

fn sequencer(
    file: SequencerFile,
    gas: &Gas,
    [block_time_ms, idle_ms]: [u64; 2],
    inputs: &Inputs<'_>,
    report: &mut Report,
) -> SequencerSpec {
    let mode = file.mode.unwrap_or_else(|| "single".to_owned());
    known(report, "sequencer.mode", &mode, inputs.modes);
    let keys = key_changes(file.key, file.keys, ["sequencer.key", "sequencer.keys"], report);
    let keys = keys.unwrap_or_else(|| missing(report, "sequencer.key", "key = \"0x...\""));
    let places = ["sequencer.poster", "sequencer.posters"];
    let posters = key_changes(file.poster, file.posters, places, report);
    let lane_rate = (gas.rate / 10).max(1);
    let options = section(file.sections, &mode, ("sequencer", "mode"), report);
    SequencerSpec {
        posters: posters.unwrap_or_else(|| keys.clone()),
        keys,
        window_ms: file.window.map_or(3_600_000, |ms| ms.0),
        drift_ms: file.drift.map_or(60_000, |ms| ms.0),
        forced_delay_ms: file.forced_delay.map_or(60_000, |ms| ms.0),
        lane_rate: per_ms(&file.lane_rate, lane_rate, "sequencer.lane_rate", report),
        block_time_ms,
        idle_ms,
        mode,
        options,
    }
}

fn key_changes(
    one: Option<Addr>,
    many: Option<Vec<KeyChangeFile>>,
    [one_path, many_path]: [&str; 2],
    report: &mut Report,
) -> Option<Vec<KeyChange>> {
    if one.is_some() && many.is_some() {
        let reason = format!("{one_path} and {many_path} say the same thing");
        report.error("CS0051", one_path, reason, "keep one of them");
    }
    let change = |change: KeyChangeFile| KeyChange {
        from_ms: change.from.map_or(0, |time| time.0),
        keys: change.keys.into_iter().map(|key| key.0).collect(),
    };
    match (one, many) {
        (Some(key), _) => Some(vec![KeyChange { from_ms: 0, keys: vec![key.0] }]),
        (None, Some(many)) => Some(many.into_iter().map(change).collect()),
        (None, None) => None,
    }
}
