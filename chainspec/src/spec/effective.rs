//! A spec as a file again, with every default written out and every value in units.

use std::collections::BTreeMap;

use alloy_primitives::U256;

use super::file::{
    AccountFile, Addr, ChainFile, CoinFile, Count, DaFile, ExecutionFile, FeesFile, File,
    GenesisFile, Hex, KeyChangeFile, MetalayerFile, Ms, PreinstallFile, PublicFile, SequencerFile,
    Time, TokenFile, Wei, Word,
};
use super::{ChainSpec, GenesisAccount, KeyChange, MetalayerSpec, network};
use crate::mailbox::Coin;

/// The spec as TOML.
pub(super) fn to_toml(spec: &ChainSpec) -> String {
    toml::to_string(&file(spec)).expect("the fields of a file are texts, numbers and tables")
}

/// The spec as JSON.
pub(super) fn to_json(spec: &ChainSpec) -> serde_json::Value {
    let value = toml::Value::try_from(file(spec)).expect("what is TOML text is a TOML value");
    serde_json::to_value(value).expect("TOML without floats is JSON")
}

fn file(spec: &ChainSpec) -> File {
    let rate = |per_ms: u64| Some(Count(per_ms.saturating_mul(1000)));
    let (gas, fees, public) = (&spec.gas, &spec.fees, &spec.public);
    File {
        version: Some(1),
        chain: ChainFile {
            name: Some(spec.name.clone()),
            short_name: Some(spec.short_name.clone()),
            chain_id: Some(spec.chain_id),
            kind: Some(spec.kind),
        },
        execution: ExecutionFile {
            vm: Some(spec.vm.clone()),
            block_time: Some(Ms(spec.sequencer.block_time_ms)),
            idle: Some(Ms(spec.sequencer.idle_ms)),
            gas_limit: Some(Count(gas.limit)),
            gas_rate: rate(gas.rate),
            gas_burst: Some(Count(gas.burst)),
            gas_target: rate(gas.target),
            bytes_limit: Some(Count(gas.limit_bytes)),
            bytes_rate: rate(gas.rate_bytes),
            bytes_burst: Some(Count(gas.burst_bytes)),
            candidates_limit: Some(Count(gas.limit_candidates)),
            forks: Some(
                spec.forks
                    .iter()
                    .map(|(fork, seconds)| (fork.name().to_owned(), Time(seconds * 1000)))
                    .collect(),
            ),
        },
        fees: FeesFile {
            min_base_fee: Some(Wei(U256::from(fees.min_base_fee))),
            floor: Some(Wei(U256::from(fees.floor))),
            denominator: Some(Count(fees.denominator)),
            recipient: Some(Addr(fees.recipient)),
            token: TokenFile {
                name: Some(spec.token.name.clone()),
                symbol: Some(spec.token.symbol.clone()),
                decimals: Some(spec.token.decimals),
            },
        },
        da: DaFile {
            layer: Some(spec.da.layer.clone()),
            interval: Some(Ms(spec.da.interval_ms)),
            start: Some(spec.da.start),
            sections: section(&spec.da.layer, &spec.da.options),
        },
        sequencer: sequencer(spec),
        genesis: genesis(spec),
        metalayer: metalayer(&spec.metalayer),
        public: PublicFile {
            rpc: public.rpc.clone(),
            ws: public.ws.clone(),
            explorer: public.explorer.clone(),
            info_url: public.info_url.clone(),
        },
    }
}

fn metalayer(spec: &MetalayerSpec) -> MetalayerFile {
    let coin = if spec.coin == Coin::Hub { CoinFile::Hub } else { CoinFile::Own };
    MetalayerFile {
        enabled: Some(spec.enabled),
        domain: Some(spec.domain.into()),
        coin: spec.enabled.then_some(coin),
        ttl: spec.enabled.then_some(Ms(spec.ttl_ms)),
        directory: None,
        seed: spec.directory.as_ref().map(network::file),
    }
}

fn section(name: &str, options: &toml::Table) -> BTreeMap<String, toml::Value> {
    let section = (name.to_owned(), toml::Value::Table(options.clone()));
    if options.is_empty() { BTreeMap::new() } else { BTreeMap::from([section]) }
}

fn sequencer(spec: &ChainSpec) -> SequencerFile {
    let sequencer = &spec.sequencer;
    let (key, keys) = keys(&sequencer.keys);
    let (poster, posters) = self::keys(&sequencer.posters);
    SequencerFile {
        mode: Some(sequencer.mode.clone()),
        key,
        keys,
        poster,
        posters,
        window: Some(Ms(sequencer.window_ms)),
        drift: Some(Ms(sequencer.drift_ms)),
        forced_delay: Some(Ms(sequencer.forced_delay_ms)),
        lane_rate: Some(Count(sequencer.lane_rate.saturating_mul(1000))),
        sections: section(&sequencer.mode, &sequencer.options),
    }
}

fn keys(changes: &[KeyChange]) -> (Option<Addr>, Option<Vec<KeyChangeFile>>) {
    if let [KeyChange { from_ms: 0, keys }] = changes
        && let [key] = keys.as_slice()
    {
        return (Some(Addr(*key)), None);
    }
    let change = |change: &KeyChange| KeyChangeFile {
        from: Some(Time(change.from_ms)),
        keys: change.keys.iter().copied().map(Addr).collect(),
    };
    (None, Some(changes.iter().map(change).collect()))
}

fn genesis(spec: &ChainSpec) -> GenesisFile {
    let account = |account: &GenesisAccount| AccountFile {
        balance: Some(Wei(account.balance)),
        nonce: (account.nonce > 0).then(|| Word(U256::from(account.nonce))),
        code: (!account.code.is_empty()).then(|| Hex(account.code.clone())),
        storage: account
            .storage
            .iter()
            .map(|(slot, value)| (format!("{slot:#x}"), Word(*value)))
            .collect(),
    };
    GenesisFile {
        timestamp: Some(Time(spec.genesis.time_ms)),
        alloc_file: None,
        // The deployer is among the accounts.
        deterministic_deployer: Some(false),
        alloc: spec
            .genesis
            .alloc
            .iter()
            .map(|(address, value)| (address.to_checksum(None), account(value)))
            .collect(),
        preinstalls: spec
            .genesis
            .preinstalls
            .iter()
            .map(|preinstall| PreinstallFile {
                name: Some(preinstall.name.clone()),
                address: Some(Addr(preinstall.address)),
                file: None,
                code: Some(Hex(preinstall.creation_code.clone())),
            })
            .collect(),
    }
}
