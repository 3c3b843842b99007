//! An Ethereum chain in the form of a chain spec, as far as there is a place for it: what asks for
//! forks by block, or for blobs, asks its schedule.

use alloy_primitives::Address;
use causeway_chainspec::directory::MetalayerSpec;
use causeway_chainspec::ethereum::{Activation, Schedule};
use causeway_chainspec::spec::{
    DaSpec, Fees, Gas, GenesisSpec, Kind, Public, SequencerSpec, Token,
};
use causeway_chainspec::{ChainSpec, Fork};

/// Stands where our chains name their DA layer and their sequencer.
const NONE: &str = "none";

/// A spec with the chain's id, its VM and its forks by time. The rest says "none", and no method that
/// is served for such a chain reads it.
pub(super) fn of(schedule: &Schedule) -> ChainSpec {
    let by_time = schedule.forks().filter_map(|(fork, begins)| match begins {
        Activation::Time(second) => Some((fork, second)),
        Activation::Block(_) => None,
    });
    let gas = Gas {
        limit: 0,
        rate: 0,
        burst: 0,
        target: 0,
        rate_bytes: 0,
        burst_bytes: 0,
        limit_bytes: u64::MAX,
        limit_candidates: u64::MAX,
    };
    let sequencer = SequencerSpec {
        mode: NONE.into(),
        keys: vec![],
        posters: vec![],
        window_ms: 0,
        drift_ms: 0,
        forced_delay_ms: 0,
        lane_rate: 0,
        block_time_ms: 0,
        idle_ms: 0,
        options: toml::Table::new(),
    };
    ChainSpec {
        name: format!("Ethereum chain {}", schedule.chain_id),
        short_name: format!("eth-{}", schedule.chain_id),
        chain_id: schedule.chain_id,
        kind: Kind::Devnet,
        vm: "evm".into(),
        gas,
        fees: Fees { min_base_fee: 1, floor: 0, denominator: 1, recipient: Address::ZERO },
        token: Token { name: "Ether".into(), symbol: "ETH".into(), decimals: 18 },
        forks: std::iter::once((Fork::Paris, 0)).chain(by_time).collect(),
        da: DaSpec { layer: NONE.into(), interval_ms: 0, start: 0, options: toml::Table::new() },
        sequencer,
        genesis: GenesisSpec { time_ms: 0, alloc: Default::default(), preinstalls: vec![] },
        metalayer: MetalayerSpec::none(0),
        public: Public::default(),
        memo: Default::default(),
    }
}
