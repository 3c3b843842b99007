//! `chain.toml` as it is written: the fields, how their values look, and the JSON Schema of it all.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::network::NetworkFile;
use super::{Kind, units};

/// A value with a written form: the type, its name in the schema, what may be written, how it is
/// read and how it is shown.
macro_rules! written {
    ($name:ident($inner:ty), $format:literal, $types:tt, $read:path, $show:expr) => {
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(super) struct $name(pub(super) $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = toml::Value::deserialize(deserializer)?;
                $read(&value).map(Self).map_err(de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let show: fn(&$inner) -> String = $show;
                serializer.serialize_str(&show(&self.0))
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": $types, "format": $format })
            }
        }
    };
}

written!(Ms(u64), "duration", ["string", "integer"], units::duration, units::show_duration);
written!(Count(u64), "count", ["string", "integer"], units::count, units::show_count);
written!(Wei(U256), "wei", ["string", "integer"], units::wei, units::show_wei);
written!(Word(U256), "word", ["string", "integer"], units::word, |word| format!("{word:#x}"));
written!(Time(u64), "time", ["string", "integer"], units::time, |ms| units::show_time(*ms));
written!(Addr(Address), "address", "string", units::address, |address| address.to_checksum(None));
written!(Hex(Bytes), "bytes", "string", units::bytes, ToString::to_string);
written!(Digest(B256), "hash", "string", units::hash, ToString::to_string);

/// How to check a value of a format and what to write instead.
pub(super) struct Format {
    pub(super) name: &'static str,
    pub(super) check: fn(&toml::Value) -> Result<(), String>,
    pub(super) fix: &'static str,
}

/// Every format of the schema that is ours.
pub(super) const FORMATS: &[Format] = &[
    Format {
        name: "duration",
        check: |value| units::duration(value).map(drop),
        fix: "write a duration as \"250ms\", \"2s\", \"10m\" or \"1h\" (a bare number is ms)",
    },
    Format {
        name: "count",
        check: |value| units::count(value).map(drop),
        fix: "write a number as \"30M\", \"500k\" or 30000000",
    },
    Format {
        name: "wei",
        check: |value| units::wei(value).map(drop),
        fix: "write an amount as \"1 ether\", \"0.001 gwei\" or a number of wei",
    },
    Format {
        name: "word",
        check: |value| units::word(value).map(drop),
        fix: "write a number of at most 256 bits as \"0x1f\" or 31",
    },
    Format {
        name: "time",
        check: |value| units::time(value).map(drop),
        fix: "write unix seconds or a time as \"2027-01-15T00:00:00Z\"",
    },
    Format {
        name: "address",
        check: |value| units::address(value).map(drop),
        fix: "write 0x and 40 hex digits, in lower case or with the EIP-55 checksum",
    },
    Format {
        name: "bytes",
        check: |value| units::bytes(value).map(drop),
        fix: "write 0x and an even number of hex digits",
    },
    Format {
        name: "hash",
        check: |value| units::hash(value).map(drop),
        fix: "write 0x and 64 hex digits",
    },
];

/// `chain.toml`: everything two nodes of one chain must share.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "chain.toml", deny_unknown_fields)]
pub(super) struct File {
    /// Version of this file's layout: 1.
    pub(super) version: Option<u64>,
    pub(super) chain: ChainFile,
    pub(super) execution: ExecutionFile,
    pub(super) fees: FeesFile,
    pub(super) da: DaFile,
    pub(super) sequencer: SequencerFile,
    pub(super) genesis: GenesisFile,
    pub(super) metalayer: MetalayerFile,
    pub(super) public: PublicFile,
}

/// What the chain is called.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct ChainFile {
    /// Human name, 1 to 64 characters.
    pub(super) name: Option<String>,
    /// EIP-3770 short name, `[a-z0-9-]+`; from the name if not given.
    pub(super) short_name: Option<String>,
    /// EIP-155 chain id, 1 to 2^32 - 1.
    pub(super) chain_id: Option<u64>,
    /// What the chain is for: decides which safety checks apply. Default `devnet`.
    pub(super) kind: Option<Kind>,
}

/// What runs transactions, how often, and how much of it.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct ExecutionFile {
    /// Virtual machine. Default `evm`.
    pub(super) vm: Option<String>,
    /// Time between blocks; a knob of the sequencer, no rule. Default 1s.
    pub(super) block_time: Option<Ms>,
    /// Time between blocks while there are no transactions; a knob. Default 2s, or `block_time`.
    pub(super) idle: Option<Ms>,
    /// Gas limit of a block, in every header. Default 30M.
    pub(super) gas_limit: Option<Count>,
    /// Gas per second the chain may use on average; a multiple of 1000. Default `gas_limit`.
    pub(super) gas_rate: Option<Count>,
    /// Gas a burst may use. Default: the larger of two blocks and two seconds.
    pub(super) gas_burst: Option<Count>,
    /// Gas per second at which the base fee stays. Default half of `gas_rate`.
    pub(super) gas_target: Option<Count>,
    /// Most transaction bytes of a block. Default 1M, more for large gas limits.
    pub(super) bytes_limit: Option<Count>,
    /// Transaction bytes per second on average; a multiple of 1000. Default 1M, or more.
    pub(super) bytes_rate: Option<Count>,
    /// Transaction bytes of a burst. Default: the larger of two blocks and two seconds.
    pub(super) bytes_burst: Option<Count>,
    /// Most candidate transactions of a block. Default 10k, more for large gas limits.
    pub(super) candidates_limit: Option<Count>,
    /// Fork schedule: name = 0, unix seconds or RFC 3339. Default { prague = 0, osaka = 0 }.
    pub(super) forks: Option<BTreeMap<String, Time>>,
}

/// Base fee: max(floor, fake_exponential(min_base_fee, excess gas, denominator)).
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct FeesFile {
    /// Base fee of an idle chain per gas. Default 0.01 gwei.
    pub(super) min_base_fee: Option<Wei>,
    /// Least base fee per gas. Default 0.
    pub(super) floor: Option<Wei>,
    /// Gas of excess that multiplies the fee by e. Default one minute of `gas_target`.
    pub(super) denominator: Option<Count>,
    /// Receives priority fees. Default the first sequencer key.
    pub(super) recipient: Option<Addr>,
    pub(super) token: TokenFile,
}

/// The gas token as wallets show it.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct TokenFile {
    /// Default Ether.
    pub(super) name: Option<String>,
    /// Default ETH.
    pub(super) symbol: Option<String>,
    /// Default 18, which wallets expect.
    pub(super) decimals: Option<u8>,
}

/// Data availability. `[da.<layer>]` belongs to the backend.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = { "type": "object" }))]
pub(super) struct DaFile {
    /// Backend. Default `local`.
    pub(super) layer: Option<String>,
    /// Expected time between DA blocks. Default 1s for `local`, 6s for `celestia`, else 12s.
    pub(super) interval: Option<Ms>,
    /// First DA height that may carry this chain's data. Default 1.
    pub(super) start: Option<u64>,
    /// Sections of backends.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) sections: BTreeMap<String, toml::Value>,
}

/// Who may build, and the clocks of derivation. `[sequencer.<mode>]` belongs to the mode.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = { "type": "object" }))]
pub(super) struct SequencerFile {
    /// Mode. Default `single`.
    pub(super) mode: Option<String>,
    /// Address of the key that seals blocks.
    pub(super) key: Option<Addr>,
    /// Instead of `key`: which keys seal from which DA time on.
    pub(super) keys: Option<Vec<KeyChangeFile>>,
    /// Address of the key that posts to DA. Default the sealing keys.
    pub(super) poster: Option<Addr>,
    /// Instead of `poster`: which keys post from which DA time on.
    pub(super) posters: Option<Vec<KeyChangeFile>>,
    /// How late a block may be posted; at least 20 DA intervals. Default 1h.
    pub(super) window: Option<Ms>,
    /// How far a block may be ahead of the DA block that carries it. Default 1m.
    pub(super) drift: Option<Ms>,
    /// When a forced entry must be taken, after it is due; at most half the window. Default 1m.
    pub(super) forced_delay: Option<Ms>,
    /// Gas per second of forced entries; a multiple of 1000. Default a tenth of `gas_rate`.
    pub(super) lane_rate: Option<Count>,
    /// Sections of modes.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) sections: BTreeMap<String, toml::Value>,
}

/// Keys and when they come into force.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct KeyChangeFile {
    /// DA time; 0 for the first. Default 0.
    pub(super) from: Option<Time>,
    /// Addresses.
    pub(super) keys: Vec<Addr>,
}

/// What the chain starts with.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct GenesisFile {
    /// Time of block 0.
    pub(super) timestamp: Option<Time>,
    /// A file with more accounts: a geth genesis.json, or only its alloc.
    pub(super) alloc_file: Option<String>,
    /// Puts the CREATE2 proxy at 0x4e59b448...956C. Default true, unless the vm is `ledger`.
    pub(super) deterministic_deployer: Option<bool>,
    /// Accounts by address.
    pub(super) alloc: BTreeMap<String, AccountFile>,
    /// Contracts at well-known addresses.
    pub(super) preinstalls: Vec<PreinstallFile>,
}

/// An account of block 0.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct AccountFile {
    /// Balance. Default 0.
    pub(super) balance: Option<Wei>,
    /// Nonce. Default 0.
    pub(super) nonce: Option<Word>,
    /// Runtime code.
    pub(super) code: Option<Hex>,
    /// Storage by slot.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) storage: BTreeMap<String, Word>,
}

/// A contract whose creation code runs at genesis.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct PreinstallFile {
    /// Name, for messages.
    pub(super) name: Option<String>,
    /// Where its runtime code goes.
    pub(super) address: Option<Addr>,
    /// Creation code: a file of hex, or a JSON artifact with `bytecode`.
    pub(super) file: Option<String>,
    /// Instead of `file`: the creation code itself.
    pub(super) code: Option<Hex>,
}

/// Membership in the Metalayer.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct MetalayerFile {
    /// Whether the chain has an inbox and an outbox. Default false.
    pub(super) enabled: Option<bool>,
    /// Hyperlane domain, 1 to 2^32 - 1. Default the chain id.
    pub(super) domain: Option<u64>,
    /// What the gas coin is: the chain's own, or the hub's. Default `own`; the hub's coin is its own.
    pub(super) coin: Option<CoinFile>,
    /// Lifetime of a message whose sender names none, whole seconds, at least 1m. Default 24h.
    pub(super) ttl: Option<Ms>,
    /// File with the network this chain begins in. Default `metalayer.toml`.
    pub(super) directory: Option<String>,
    /// Instead of `directory`: what would be in that file.
    pub(super) seed: Option<NetworkFile>,
}

/// Whose coin pays for gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum CoinFile {
    Own,
    Hub,
}

/// Endpoints, for wallets, lists and explorers only; in no hash.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct PublicFile {
    /// JSON-RPC over HTTP.
    pub(super) rpc: Vec<String>,
    /// JSON-RPC over WebSocket.
    pub(super) ws: Vec<String>,
    /// Block explorers.
    pub(super) explorer: Vec<String>,
    /// Home page.
    pub(super) info_url: Option<String>,
}

/// JSON Schema (2020-12) of `chain.toml`.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(File).to_value();
    tidy(&mut schema);
    schema["required"] = serde_json::json!(["chain"]);
    schema["$defs"]["ChainFile"]["required"] = serde_json::json!(["name", "chain_id"]);
    schema
}

/// Schema of `genesis.alloc`, for alloc files.
pub(super) fn alloc_schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(BTreeMap<String, AccountFile>).to_value();
    tidy(&mut schema);
    schema
}

/// TOML has no null, and defaults are told in words: takes both out of a schema.
pub(super) fn tidy(schema: &mut serde_json::Value) {
    use serde_json::Value;
    match schema {
        Value::Object(map) => {
            map.remove("default");
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(mut choices)) = map.remove("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(only)] = choices.as_mut_slice() {
                    map.append(only);
                } else {
                    map.insert("anyOf".to_owned(), Value::Array(choices));
                }
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
