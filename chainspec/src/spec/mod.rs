//! `chain.toml`, resolved: every value that two nodes of one chain must share, and how it hashes.

pub mod check;
pub mod diff;
pub mod export;
pub mod lock;
pub mod network;
pub mod presets;
pub mod units;

mod effective;
mod file;
mod genesis;
mod hash;
mod issue;
#[cfg(test)]
mod noise;
mod parse;
mod resolve;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};

pub use crate::directory::MetalayerSpec;

pub use file::schema;
pub use genesis::{DETERMINISTIC_DEPLOYER, DETERMINISTIC_DEPLOYER_CODE, creation_code};
pub use hash::{IdentityMemo, SYSTEM_VERSION};
#[cfg(test)]
pub(crate) use hash::{identity_preimage, rules_preimage};
pub use issue::{Invalid, Issue, Severity};
pub use lock::{Deployed, Lock};
pub use parse::{Inputs, ReadFile, parse};

/// Rules of the EVM in force, in order. Own chains start at `Prague`; the forks before it are
/// those of foreign blocks. Constantinople is left out: on every public chain it came into force
/// together with Petersburg, which took half of it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Fork {
    Frontier,
    Homestead,
    TangerineWhistle,
    SpuriousDragon,
    Byzantium,
    Petersburg,
    Istanbul,
    Berlin,
    London,
    Paris,
    Shanghai,
    Cancun,
    Prague,
    Osaka,
}

/// What the chain is for; decides which safety checks apply.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Kind {
    Devnet,
    Testnet,
    Mainnet,
}

/// A chain spec, checked: holding one means that every rule of `chainspec check` holds.
#[derive(Debug, Clone)]
pub struct ChainSpec {
    /// Human name.
    pub name: String,
    /// `[a-z0-9-]+`, EIP-3770 short name.
    pub short_name: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Devnet, testnet or mainnet.
    pub kind: Kind,
    /// Name in the table of VMs.
    pub vm: String,
    /// Gas and byte budgets.
    pub gas: Gas,
    /// Base fee rule.
    pub fees: Fees,
    /// Gas token, for wallets and lists.
    pub token: Token,
    /// Fork schedule: (fork, unix seconds), ascending; the first is 0.
    pub forks: Vec<(Fork, u64)>,
    /// Data availability.
    pub da: DaSpec,
    /// Who may build, and the clocks of derivation.
    pub sequencer: SequencerSpec,
    /// State and time the chain starts with.
    pub genesis: GenesisSpec,
    /// Metalayer membership.
    pub metalayer: MetalayerSpec,
    /// Endpoints for wallets and lists; in no hash.
    pub public: Public,
    /// The identity, once computed.
    pub memo: IdentityMemo,
}

/// Budgets of a block and of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gas {
    /// Gas limit in every header.
    pub limit: u64,
    /// Gas the chain may use per ms, on average.
    pub rate: u64,
    /// Gas a burst may use: at least `limit`.
    pub burst: u64,
    /// Gas per ms at which the base fee stays as it is.
    pub target: u64,
    /// Transaction bytes the chain may include per ms, on average.
    pub rate_bytes: u64,
    /// Transaction bytes of a burst: at least `limit_bytes`.
    pub burst_bytes: u64,
    /// Most transaction bytes of one claim.
    pub limit_bytes: u64,
    /// Most candidates of one claim.
    pub limit_candidates: u64,
}

/// base fee = max(floor, fake_exponential(min_base_fee, excess gas, denominator)), wei per gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    /// Factor of the exponential, wei per gas, at least 1.
    pub min_base_fee: u64,
    /// Least base fee, wei per gas; may be 0.
    pub floor: u64,
    /// Gas of excess that multiplies the fee by e.
    pub denominator: u64,
    /// Receives priority fees, and base fees if `base_fee_to_recipient`.
    pub recipient: Address,
}

/// The gas token as wallets show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Name.
    pub name: String,
    /// Symbol.
    pub symbol: String,
    /// Decimals; wallets expect 18.
    pub decimals: u8,
}

/// Which DA backend, with the section it owns.
#[derive(Debug, Clone)]
pub struct DaSpec {
    /// Name in the table of backends.
    pub layer: String,
    /// Expected time between DA blocks, in ms.
    pub interval_ms: u64,
    /// First DA height that may carry this chain's data.
    pub start: u64,
    /// `[da.<layer>]`, read by the backend.
    pub options: toml::Table,
}

impl DaSpec {
    /// Whether DA blocks are those of a parent chain (L1): then they are the origins of blocks, and
    /// their contracts may send messages and set keys.
    pub fn is_parent_chain(&self) -> bool {
        self.layer == "ethereum"
    }
}

/// Sequencer and the clocks of derivation (protocol, section 4).
#[derive(Debug, Clone)]
pub struct SequencerSpec {
    /// Name in the table of sequencers.
    pub mode: String,
    /// Keys that may seal, by the time from which they are in force (ms), ascending.
    pub keys: Vec<KeyChange>,
    /// Keys that may post to DA, likewise.
    pub posters: Vec<KeyChange>,
    /// How late a claim may be posted, ms.
    pub window_ms: u64,
    /// How far a claim may be ahead of the DA block that carries it, ms.
    pub drift_ms: u64,
    /// A forced entry must be taken this long after it is due, ms; at most half the window.
    pub forced_delay_ms: u64,
    /// Gas of forced entries per ms of DA time.
    pub lane_rate: u64,
    /// Time between blocks in ms, a knob of the sequencer and no rule.
    pub block_time_ms: u64,
    /// Without transactions, time between blocks in ms; a knob.
    pub idle_ms: u64,
    /// `[sequencer.<mode>]`, read by the sequencer.
    pub options: toml::Table,
}

/// A set of keys and when it comes into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// DA time in ms; the first change has 0.
    pub from_ms: u64,
    /// Addresses of the keys.
    pub keys: Vec<Address>,
}

/// What the chain starts with.
#[derive(Debug, Clone)]
pub struct GenesisSpec {
    /// Time of block 0, ms.
    pub time_ms: u64,
    /// Accounts.
    pub alloc: BTreeMap<Address, GenesisAccount>,
    /// Creation code run in our VM at genesis, in order, with the real chain id.
    pub preinstalls: Vec<Preinstall>,
}

/// An account of block 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GenesisAccount {
    /// Wei.
    pub balance: U256,
    /// Nonce.
    pub nonce: u64,
    /// Runtime code.
    pub code: Bytes,
    /// Storage.
    pub storage: BTreeMap<U256, U256>,
}

/// A contract put at a well-known address by running its creation code at genesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preinstall {
    /// Name, for messages.
    pub name: String,
    /// Where the runtime code goes.
    pub address: Address,
    /// Creation code with constructor arguments.
    pub creation_code: Bytes,
}

/// Endpoints; in no hash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Public {
    pub rpc: Vec<String>,
    pub ws: Vec<String>,
    pub explorer: Vec<String>,
    pub info_url: Option<String>,
}

impl ChainSpec {
    /// Fork in force at a block time.
    pub fn fork_at(&self, time_ms: u64) -> Fork {
        let seconds = time_ms / 1000;
        self.forks
            .iter()
            .rev()
            .find(|(_, from)| *from <= seconds)
            .map_or(Fork::Prague, |(fork, _)| *fork)
    }

    /// Chain identity: hash of the genesis part of the spec, fixed for ever. Computed once for a
    /// value: do not change a spec after asking it; a clone computes its own.
    pub fn identity(&self) -> B256 {
        hash::identity(self)
    }

    /// The identity without the seed of the Metalayer's directory, which names members by it.
    pub fn base_identity(&self) -> B256 {
        hash::base(self)
    }

    /// Rules hash: hash of the consensus part in force at `time_ms`. Cheap: a few hundred bytes.
    pub fn rules_hash(&self, time_ms: u64) -> B256 {
        hash::rules(self, time_ms)
    }

    /// The spec as a `chain.toml` with every default written out: it reads back as the same spec.
    pub fn to_toml(&self) -> String {
        effective::to_toml(self)
    }

    /// As [`ChainSpec::to_toml`], in JSON.
    pub fn to_json(&self) -> serde_json::Value {
        effective::to_json(self)
    }
}

impl Fork {
    /// Every fork, in order.
    pub const ALL: [Fork; 14] = [
        Fork::Frontier,
        Fork::Homestead,
        Fork::TangerineWhistle,
        Fork::SpuriousDragon,
        Fork::Byzantium,
        Fork::Petersburg,
        Fork::Istanbul,
        Fork::Berlin,
        Fork::London,
        Fork::Paris,
        Fork::Shanghai,
        Fork::Cancun,
        Fork::Prague,
        Fork::Osaka,
    ];

    /// Name, as in `execution.forks`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Frontier => "frontier",
            Self::Homestead => "homestead",
            Self::TangerineWhistle => "tangerine_whistle",
            Self::SpuriousDragon => "spurious_dragon",
            Self::Byzantium => "byzantium",
            Self::Petersburg => "petersburg",
            Self::Istanbul => "istanbul",
            Self::Berlin => "berlin",
            Self::London => "london",
            Self::Paris => "paris",
            Self::Shanghai => "shanghai",
            Self::Cancun => "cancun",
            Self::Prague => "prague",
            Self::Osaka => "osaka",
        }
    }
}

impl Kind {
    /// Name, as in `chain.kind`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Devnet => "devnet",
            Self::Testnet => "testnet",
            Self::Mainnet => "mainnet",
        }
    }
}

impl SequencerSpec {
    /// Sealing keys in force at a DA time.
    pub fn keys_at(&self, time_ms: u64) -> &[Address] {
        keys_at(&self.keys, time_ms)
    }

    /// Posting keys in force at a DA time.
    pub fn posters_at(&self, time_ms: u64) -> &[Address] {
        keys_at(&self.posters, time_ms)
    }
}

fn keys_at(changes: &[KeyChange], time_ms: u64) -> &[Address] {
    changes
        .iter()
        .rev()
        .find(|change| change.from_ms <= time_ms)
        .map_or(&[], |change| change.keys.as_slice())
}
