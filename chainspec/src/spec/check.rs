//! The rules a spec must keep, beyond the form of its fields. One code a kind of finding:
//!
//! | Code | Finding |
//! |---|---|
//! | CS0001 | the text is no TOML |
//! | CS0002 | unknown field |
//! | CS0003, CS0004 | value of a wrong type, of a wrong form |
//! | CS0005 | required field missing |
//! | CS0006 | a file cannot be read, or is not what it should be |
//! | CS0007 | section of a module that is not chosen |
//! | CS0008 | module that this binary does not have |
//! | CS0009 | layout version |
//! | CS0010 | name, short name, chain id |
//! | CS0020 | forks |
//! | CS0030 | gas and byte budgets |
//! | CS0040, CS0041 | fees; gas token |
//! | CS0050, CS0051 | clocks (protocol, section 4); keys |
//! | CS0052 | DA layer that does not suit what the chain is for |
//! | CS0060, CS0061, CS0062 | genesis time and funds; addresses; preinstalls |
//! | CS0070 | membership in the Metalayer |
//! | CS0071, CS0072 | seed of the network: who is in it and its clock; coins on their way |
//! | CS0073 | this chain in the seed of its network |
//! | CS0080 | well-known development keys on a chain that is no devnet |
//! | CS0090 | public endpoints |

mod parent;

use alloy_primitives::{Address, address};

use super::genesis::repeated;
use super::issue::Report;
use super::presets::DEV_ACCOUNTS;
use super::units::{show_count, show_duration, show_time};
use super::{ChainSpec, Fork, KeyChange, Kind, network, units};
use crate::mailbox::Coin;

/// Largest chain id: Hyperlane domains are 32 bits.
const MAX_CHAIN_ID: u64 = u32::MAX as u64;
/// Largest gas or byte budget: sums and JavaScript numbers stay exact.
const MAX_BUDGET: u64 = 1 << 52;
/// Code that block 0 has anyway (EIP-4788, EIP-2935).
const SYSTEM_CONTRACTS: [Address; 2] = [
    address!("0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02"),
    address!("0x0000F90827F1C53a10cb7A02335B175320002935"),
];

/// Checks a spec and reports what breaks a rule.
pub(super) fn check(spec: &ChainSpec, report: &mut Report) {
    chain(spec, report);
    forks(spec, report);
    gas(spec, report);
    fees(spec, report);
    clocks(spec, report);
    let sequencer = &spec.sequencer;
    keys(&sequencer.keys, ["sequencer.key", "sequencer.keys"], report);
    keys(&sequencer.posters, ["sequencer.poster", "sequencer.posters"], report);
    local_da(spec, report);
    parent::check(spec, report);
    genesis(spec, report);
    dev_keys(spec, report);
    public(spec, report);
}

fn chain(spec: &ChainSpec, report: &mut Report) {
    if !(1..=64).contains(&spec.name.chars().count()) && !report.speaks_of("chain.name") {
        let reason = "the name is empty or longer than 64 characters";
        report.error("CS0010", "chain.name", reason, "write a name of 1 to 64 characters");
    }
    if spec.name.chars().any(char::is_control) {
        let reason = "the name holds control characters";
        report.error("CS0010", "chain.name", reason, "write letters, digits, spaces");
    }
    let short = &spec.short_name;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let follows = short.is_empty() && report.speaks_of("chain.name");
    if !(1..=64).contains(&short.len()) && !follows || !short.chars().all(plain) {
        let reason = format!("{short:?} is no short name");
        let fix = "write 1 to 64 of a-z, 0-9 and - (EIP-3770)";
        report.error("CS0010", "chain.short_name", reason, fix);
    }
    if !(1..=MAX_CHAIN_ID).contains(&spec.chain_id) && !report.speaks_of("chain.chain_id") {
        let reason = format!("{} is out of range", spec.chain_id);
        let fix = "use 1 to 4294967295: it is also the Hyperlane domain, which has 32 bits";
        report.error("CS0010", "chain.chain_id", reason, fix);
    }
}

fn forks(spec: &ChainSpec, report: &mut Report) {
    let path = "execution.forks";
    if report.speaks_of(path) {
        return;
    }
    if spec.forks.first() != Some(&(Fork::Prague, 0)) {
        let reason = "own chains start at prague";
        report.error("CS0020", path, reason, "write forks = { prague = 0, ... }");
        return;
    }
    for pair in spec.forks.windows(2) {
        let [(earlier, from), (later, to)] = pair else { continue };
        if to < from {
            let reason = format!(
                "{} comes at {}, before {} at {}",
                later.name(),
                show_time(to * 1000),
                earlier.name(),
                show_time(from * 1000)
            );
            let fix = format!("let {} come no earlier than {}", later.name(), earlier.name());
            report.error("CS0020", format!("{path}.{}", later.name()), reason, fix);
        }
    }
}

fn gas(spec: &ChainSpec, report: &mut Report) {
    let gas = &spec.gas;
    let mut at_least = |field: &str, value: u64, least: u64, what: &str| {
        let path = format!("execution.{field}");
        if value < least && !report.speaks_of(&path) {
            let reason = format!("{value} is below {what}");
            let fix = format!("use at least {}", show_count(&least));
            report.error("CS0030", path, reason, fix);
        } else if value > MAX_BUDGET {
            let fix = format!("use at most {MAX_BUDGET}");
            report.error("CS0030", path, format!("{value} is too large"), fix);
        }
    };
    at_least("gas_limit", gas.limit, 1_000_000, "what a useful transaction needs");
    at_least("gas_rate", gas.rate.saturating_mul(1000), 1000, "1000 a second");
    at_least("gas_burst", gas.burst, gas.limit, "the gas limit: no full block would ever fit");
    at_least("gas_target", gas.target.saturating_mul(1000), 1000, "1000 a second");
    at_least("bytes_limit", gas.limit_bytes, 131_072, "the size of one large transaction");
    at_least("bytes_rate", gas.rate_bytes.saturating_mul(1000), 1000, "1000 a second");
    at_least("bytes_burst", gas.burst_bytes, gas.limit_bytes, "bytes_limit");
    at_least("candidates_limit", gas.limit_candidates, 1, "one");
    if gas.target > gas.rate {
        let reason = "the target is above the rate: the base fee could never rise";
        let fix = format!("use at most {}", show_count(&gas.rate.saturating_mul(1000)));
        report.error("CS0030", "execution.gas_target", reason, fix);
    }
    let lane = spec.sequencer.lane_rate;
    if lane == 0 || lane >= gas.rate.max(1) {
        let (lane, rate) = (lane.saturating_mul(1000), gas.rate.saturating_mul(1000));
        let reason = format!("forced entries may use {lane} gas a second, the chain {rate}");
        let fix = "keep it above 0 and below execution.gas_rate, so that others get through too";
        report.error("CS0030", "sequencer.lane_rate", reason, fix);
    }
}

fn fees(spec: &ChainSpec, report: &mut Report) {
    let fees = &spec.fees;
    let most = 1_000_000_000_000_000_000;
    if !(1..=most).contains(&fees.min_base_fee) && !report.speaks_of("fees.min_base_fee") {
        let reason = format!("{} wei is out of range", fees.min_base_fee);
        let fix = "use 1 wei to 1 ether per gas; a fee of 0 could never rise";
        report.error("CS0040", "fees.min_base_fee", reason, fix);
    }
    if fees.floor > most {
        report.error("CS0040", "fees.floor", "over 1 ether per gas", "use at most 1 ether");
    }
    if fees.denominator == 0 || fees.denominator > MAX_BUDGET {
        let reason = format!("{} is out of range", fees.denominator);
        let fix = format!("use 1 to {MAX_BUDGET}, usually one minute of gas_target");
        report.error("CS0040", "fees.denominator", reason, fix);
    } else if fees.denominator < spec.gas.limit {
        let reason = "a single full block can multiply the base fee by more than e";
        report.warn("CS0040", "fees.denominator", reason, "use one minute of gas_target");
    }
    if fees.recipient.is_zero() && !report.speaks_of("sequencer") {
        let reason = "priority fees would go to the zero address";
        report.error("CS0061", "fees.recipient", reason, "write an address you hold the key of");
    }
    let token = &spec.token;
    for (path, text) in [("fees.token.name", &token.name), ("fees.token.symbol", &token.symbol)] {
        if !(1..=32).contains(&text.chars().count()) || text.chars().any(char::is_control) {
            let fix = "write 1 to 32 visible characters";
            report.error("CS0041", path, format!("{text:?} cannot be shown"), fix);
        }
    }
    match token.decimals {
        18 => {}
        0..=36 => {
            let reason = format!("wallets expect 18 decimals, not {}", token.decimals);
            report.warn("CS0041", "fees.token.decimals", reason, "leave it at 18");
        }
        other => {
            let reason = format!("{other} decimals");
            report.error("CS0041", "fees.token.decimals", reason, "use 18");
        }
    }
}

fn clocks(spec: &ChainSpec, report: &mut Report) {
    let (da, sequencer) = (spec.da.interval_ms, &spec.sequencer);
    let window = sequencer.window_ms;
    let ms = |ms: u64| show_duration(&ms);
    // (holds, place, other places it leans on, reason, fix)
    let rules = [
        (da >= 10, "da.interval", "", format!("{} is too short", ms(da)), "10ms or more".into()),
        (
            window >= 20 * da,
            "sequencer.window",
            "da.interval",
            format!("{} is less than 20 DA intervals of {}", ms(window), ms(da)),
            format!("{} or more", ms(20 * da)),
        ),
        (
            sequencer.drift_ms >= 2 * da,
            "sequencer.drift",
            "da.interval",
            format!("{} is less than 2 DA intervals of {}", ms(sequencer.drift_ms), ms(da)),
            format!("{} or more", ms(2 * da)),
        ),
        (
            sequencer.forced_delay_ms <= window / 2,
            "sequencer.forced_delay",
            "sequencer.window",
            format!("{} is more than half the window", ms(sequencer.forced_delay_ms)),
            format!("{} or less", ms(window / 2)),
        ),
        (
            // Otherwise a block ahead of DA would owe entries of the DA block that carries it.
            sequencer.forced_delay_ms >= sequencer.drift_ms,
            "sequencer.forced_delay",
            "sequencer.drift",
            format!("{} is less than the drift", ms(sequencer.forced_delay_ms)),
            format!("{} or more", ms(sequencer.drift_ms)),
        ),
        (
            sequencer.block_time_ms >= 10,
            "execution.block_time",
            "",
            format!("{} is too short", ms(sequencer.block_time_ms)),
            "10ms or more".into(),
        ),
        (
            sequencer.idle_ms >= sequencer.block_time_ms,
            "execution.idle",
            "execution.block_time",
            format!("{} is shorter than the block time", ms(sequencer.idle_ms)),
            format!("{} or more", ms(sequencer.block_time_ms)),
        ),
        (
            sequencer.idle_ms <= window / 4,
            "execution.idle",
            "sequencer.window",
            format!("{} is more than a quarter of the window", ms(sequencer.idle_ms)),
            format!("{} or less: idle blocks must reach DA in time", ms(window / 4)),
        ),
    ];
    for (holds, path, other, reason, fix) in rules {
        let told = report.speaks_of(path) || (!other.is_empty() && report.speaks_of(other));
        if !holds && !told {
            report.error("CS0050", path, reason, format!("use {fix}"));
        }
    }
}

fn keys(changes: &[KeyChange], [one, many]: [&str; 2], report: &mut Report) {
    if report.speaks_of(one) || report.speaks_of(many) {
        return;
    }
    let mut last = None;
    if changes.is_empty() {
        report.error("CS0051", many, "there are no keys", format!("write {one} = \"0x...\""));
    }
    for (at, change) in changes.iter().enumerate() {
        let path = format!("{many}[{at}]");
        let time = show_time(change.from_ms);
        match last {
            None if change.from_ms > 0 => {
                let reason = format!("no key is in force before {time}");
                report.error("CS0051", path.as_str(), reason, "let the first have from = 0");
            }
            Some(last) if change.from_ms <= last => {
                let reason = format!("{time} is not after the change before it");
                report.error("CS0051", path.as_str(), reason, "order the changes by time");
            }
            _ => {}
        }
        last = Some(change.from_ms);
        if change.keys.is_empty() {
            let fix = "list at least one address";
            report.error("CS0051", path.as_str(), "there are no keys in it", fix);
        }
        if change.keys.iter().any(|key| key.is_zero()) {
            let place = if changes.len() == 1 { one } else { path.as_str() };
            let fix = "write the address of the key";
            report.error("CS0061", place, "the zero address is nobody's key", fix);
        }
        for twice in repeated(&change.keys) {
            let reason = format!("{twice} is there twice");
            report.error("CS0061", path.as_str(), reason, "keep it once");
        }
    }
}

fn local_da(spec: &ChainSpec, report: &mut Report) {
    if spec.da.layer != "local" {
        return;
    }
    let path = "da.local.signer";
    match spec.da.options.get("signer").map(units::address) {
        _ if report.speaks_of("da.local") => {}
        None => {
            let fix = "add [da.local] signer = \"0x...\": the key that signs the service's blocks";
            report.error("CS0005", path, "this field is required", fix);
        }
        Some(Err(reason)) => report.error("CS0004", path, reason, "write 0x and 40 hex digits"),
        Some(Ok(signer)) if signer.is_zero() => {
            let fix = "write the address of the key";
            report.error("CS0061", path, "the zero address is nobody's key", fix);
        }
        Some(Ok(_)) => {}
    }
    if spec.kind != Kind::Devnet && spec.metalayer.enabled {
        let reason = "members of the Metalayer cannot re-read a local DA service";
        let fix = "choose another da.layer, or kind = \"devnet\"";
        report.error("CS0070", "metalayer.enabled", reason, fix);
    }
    if spec.kind == Kind::Mainnet {
        let reason = "local DA is one process: what it loses is lost";
        report.warn("CS0052", "da.layer", reason, "choose a public DA layer for a mainnet");
    }
}

fn genesis(spec: &ChainSpec, report: &mut Report) {
    let genesis = &spec.genesis;
    if genesis.time_ms == 0 && !report.speaks_of("genesis.timestamp") {
        let reason = "block 0 is of 1970, so the first block comes from DA and not the sequencer";
        let fix = "set it to about now, as \"2027-01-15T00:00:00Z\"";
        report.warn("CS0060", "genesis.timestamp", reason, fix);
    }
    let arriving = network::arriving(&spec.metalayer);
    if !arriving && genesis.alloc.values().all(|account| account.balance.is_zero()) {
        let reason = "no account has funds: nobody can pay for gas until funds are bridged in";
        let fix = match spec.metalayer.coin {
            Coin::Hub => "add [[transfers]] to this chain in metalayer.toml",
            Coin::Own | Coin::Home => "add [genesis.alloc.\"0x...\"] balance = \"1000 ether\"",
        };
        report.warn("CS0060", "genesis.alloc", reason, fix);
    }
    for (address, account) in &genesis.alloc {
        let path = format!("genesis.alloc.{address}");
        if address.is_zero() {
            let fix = "write the address of somebody who is to own this";
            report.error("CS0061", path, "the zero address is nobody's", fix);
        } else if reserved(address) && !(account.code.is_empty() && account.storage.is_empty()) {
            let reason = "this address belongs to the protocol";
            report.error("CS0061", path, reason, "remove it: block 0 has its own code there");
        }
    }
    let contracts = spec.vm != "ledger";
    for (at, preinstall) in genesis.preinstalls.iter().enumerate() {
        let path = format!("genesis.preinstalls[{at}]");
        let place = format!("{path}.address");
        let address = &preinstall.address;
        if !contracts {
            let reason = "the ledger vm has no contracts";
            report.error("CS0062", path, reason, "remove it, or choose vm = \"evm\"");
        } else if report.speaks_of(&place) {
        } else if address.is_zero() || reserved(address) {
            let reason = format!("{address} cannot hold a preinstall");
            report.error("CS0061", place, reason, "write the contract's own address");
        } else if genesis.alloc.get(address).is_some_and(|account| !account.code.is_empty()) {
            let reason = format!("{address} has code in genesis.alloc already");
            report.error("CS0061", place, reason, "keep one of them");
        }
    }
    for twice in repeated(genesis.preinstalls.iter().map(|preinstall| &preinstall.address)) {
        if !twice.is_zero() {
            let reason = format!("{twice} is there twice");
            report.error("CS0061", "genesis.preinstalls", reason, "keep one of them");
        }
    }
}

/// Addresses whose code the protocol puts itself: system contracts, `0x4200...0000` to `..ffff`
/// and `0xca00...0000` to `..00ff`.
fn reserved(address: &Address) -> bool {
    let predeploy = address[0] == 0x42 && address[1..18].iter().all(|byte| *byte == 0);
    let own = address[0] == 0xca && address[1..19].iter().all(|byte| *byte == 0);
    predeploy || own || SYSTEM_CONTRACTS.contains(address)
}

fn dev_keys(spec: &ChainSpec, report: &mut Report) {
    if spec.kind == Kind::Devnet {
        return;
    }
    let mut places: Vec<(String, Address)> = Vec::new();
    let sequencer = &spec.sequencer;
    for (path, changes) in
        [("sequencer.key", &sequencer.keys), ("sequencer.poster", &sequencer.posters)]
    {
        let keys = changes.iter().flat_map(|change| &change.keys);
        places.extend(keys.map(|key| (path.to_owned(), *key)));
    }
    places.push(("fees.recipient".to_owned(), spec.fees.recipient));
    if let Some(Ok(signer)) = spec.da.options.get("signer").map(units::address) {
        places.push((format!("da.{}.signer", spec.da.layer), signer));
    }
    let accounts = spec.genesis.alloc.keys();
    places.extend(accounts.map(|address| (format!("genesis.alloc.{address}"), *address)));
    places.retain(|(_, address)| DEV_ACCOUNTS.contains(address));
    places.dedup();
    for (path, address) in places {
        let reason = format!("everybody knows the private key of {address}");
        let fix = "make a key of your own (`causeway new` makes fresh ones), or kind = \"devnet\"";
        report.error("CS0080", path, reason, fix);
    }
}

fn public(spec: &ChainSpec, report: &mut Report) {
    let public = &spec.public;
    let http = ["http://", "https://"];
    let groups: [(&str, &[String], &[&str]); 3] = [
        ("public.rpc", &public.rpc, &http),
        ("public.ws", &public.ws, &["ws://", "wss://"]),
        ("public.explorer", &public.explorer, &http),
    ];
    let mut urls: Vec<(String, &str, &[&str])> = Vec::new();
    for (path, list, schemes) in groups {
        let list = list.iter().enumerate();
        urls.extend(list.map(|(at, url)| (format!("{path}[{at}]"), url.as_str(), schemes)));
    }
    urls.extend(
        public
            .info_url
            .iter()
            .map(|url| ("public.info_url".to_owned(), url.as_str(), http.as_slice())),
    );
    for (path, url, schemes) in urls {
        let host = schemes.iter().find_map(|scheme| url.strip_prefix(scheme));
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '`');
        if !host.is_some_and(|host| !host.is_empty() && host.chars().all(plain)) {
            let fix = format!("write a URL that starts with {}", schemes.join(" or "));
            report.error("CS0090", path, format!("{url:?} is no URL of this kind"), fix);
        }
    }
}
