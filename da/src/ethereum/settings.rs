//! `[da.ethereum]` of the chain spec, and `[da]` of a node's own settings.

use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::ChainSpec;
use causeway_chainspec::spec::{Kind, units};
use serde::{Deserialize, Deserializer};

use super::block::Roots;
use super::fees::Caps;
use super::kzg::Proofs;
use crate::DaError;

/// `[da.ethereum]` of a chain spec: part of the chain's identity.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Chain id of the parent chain.
    pub chain_id: u64,
    /// Where blob transactions are sent; made of the chain's identity if left out.
    pub inbox: Option<Address>,
    /// The contract whose events are the forced lane, its messages included; no lane if left out.
    pub portal: Option<Address>,
    /// The contract whose events change keys; those of the spec stay if left out.
    pub system_config: Option<Address>,
    /// Who may change keys by that contract; what `causeway deploy` makes it with.
    pub owner: Option<Address>,
    /// Of the bridge, which reads it itself (`causeway_chainspec::l1::bridge`): who proposes outputs.
    pub proposer: Option<Address>,
    /// Of the bridge: how long an output stands before coins leave by it.
    pub challenge: Option<toml::Value>,
    /// Of the bridge: fewest blocks from an output to the next.
    pub output_interval: Option<u64>,
    /// Of the bridge: whether the gas coin is the parent's.
    pub coins: Option<bool>,
}

impl Options {
    /// Of a spec.
    pub fn of(spec: &ChainSpec) -> Result<Self, DaError> {
        let options = spec.da.options.clone();
        let options: Self = options
            .try_into()
            .map_err(|error| DaError::Config(format!("chain spec, [da.ethereum]: {error}")))?;
        if options.chain_id == 0 {
            let text = "chain spec, da.ethereum.chain_id: 0 is no chain".to_owned();
            return Err(DaError::Config(text));
        }
        Ok(options)
    }

    /// Where blob transactions go: an address that nobody has the key of, unless the spec names one.
    pub fn inbox(&self, identity: B256) -> Address {
        let derived = || keccak256([b"causeway/inbox/1", &identity[..]].concat());
        self.inbox.unwrap_or_else(|| Address::from_word(derived()))
    }
}

/// `[da]` of a node's settings, for the layer `ethereum`. Amounts and durations take units, as
/// `"30 gwei"` and `"2m"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Execution node, if there is one only; what `--da-url` sets.
    pub url: Option<String>,
    /// Execution nodes, the preferred first.
    #[serde(default)]
    pub rpc: Vec<String>,
    /// Consensus nodes. Default the execution nodes, which is right for anvil alone.
    #[serde(default)]
    pub beacon: Vec<String>,
    /// Blob archives of peers, asked when no consensus node has a blob.
    #[serde(default)]
    pub archives: Vec<String>,
    /// Folder in which blobs are kept that were read; none if left out.
    pub archive: Option<PathBuf>,
    /// File with the key whose account pays for posts: 32 bytes of hex.
    pub key: Option<PathBuf>,
    /// `"development"`: roots of transactions and receipts are as the node says. Anvil computes
    /// them in its own way. Refused for a chain of `kind = "mainnet"`.
    pub trust_roots: Option<TrustRoots>,
    /// `"auto"` asks the node for its fork.
    #[serde(default)]
    pub proofs: ProofsSetting,
    /// Most blobs of a transaction, at most what the parent chain lets in.
    pub max_blobs: Option<u64>,
    /// Most paid for a unit of gas. Default 200 gwei.
    #[serde(default, deserialize_with = "wei")]
    pub max_fee: Option<u128>,
    /// Most of it that goes to the proposer. Default 20 gwei.
    #[serde(default, deserialize_with = "wei")]
    pub max_tip: Option<u128>,
    /// Most paid for a unit of blob gas, of which a blob is 131,072. Default 100 gwei.
    #[serde(default, deserialize_with = "wei")]
    pub max_blob_fee: Option<u128>,
    /// Most spent in an hour, counted by what transactions may cost at most. Default no limit.
    #[serde(default, deserialize_with = "wei")]
    pub budget_per_hour: Option<u128>,
    /// A transaction that is in no block after so many is replaced. Default 3.
    pub replace_after: Option<u64>,
    /// A submission that is in no block after so long is given back, to be made anew. Default 2m.
    #[serde(default, deserialize_with = "duration")]
    pub patience: Option<Duration>,
}

/// The value of `trust_roots`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrustRoots {
    /// A development chain.
    Development,
}

/// The value of `proofs`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofsSetting {
    /// By `eth_config`: cell proofs if the chain has EIP-7951, which came with them, or if the node
    /// does not say.
    #[default]
    Auto,
    /// One proof a blob (EIP-4844).
    Blob,
    /// 128 proofs a blob (EIP-7594).
    Cells,
}

impl ProofsSetting {
    pub(super) fn fixed(self) -> Option<Proofs> {
        match self {
            Self::Auto => None,
            Self::Blob => Some(Proofs::Blob),
            Self::Cells => Some(Proofs::Cells),
        }
    }
}

impl Settings {
    /// Of the table in a node's settings.
    pub fn of(spec: &ChainSpec, table: &toml::Table) -> Result<Self, DaError> {
        let config = |text: String| DaError::Config(format!("node settings, [da]: {text}"));
        let mut settings: Self =
            table.clone().try_into().map_err(|error: toml::de::Error| config(error.to_string()))?;
        settings.rpc.splice(0..0, settings.url.take());
        if settings.rpc.is_empty() {
            let example = "rpc = [\"http://127.0.0.1:8545\"]";
            return Err(config(format!("no address of an execution node; set {example}")));
        }
        if settings.beacon.is_empty() {
            settings.beacon.clone_from(&settings.rpc);
        }
        if settings.trust_roots.is_some() && spec.kind == Kind::Mainnet {
            let text = "trust_roots is for development chains, and this spec is kind = \"mainnet\"";
            return Err(config(text.to_owned()));
        }
        if settings.max_blobs == Some(0) {
            return Err(config("max_blobs must be at least 1".to_owned()));
        }
        Ok(settings)
    }

    pub(super) fn roots(&self) -> Roots {
        self.trust_roots.map_or(Roots::Checked, |TrustRoots::Development| Roots::Trusted)
    }

    pub(super) fn caps(&self) -> Caps {
        const GWEI: u128 = 1_000_000_000;
        Caps {
            max_fee: self.max_fee.unwrap_or(200 * GWEI),
            max_tip: self.max_tip.unwrap_or(20 * GWEI),
            max_blob_fee: self.max_blob_fee.unwrap_or(100 * GWEI),
            budget_per_hour: self.budget_per_hour,
            replace_after: self.replace_after.unwrap_or(3).max(1),
            patience: self.patience.unwrap_or(Duration::from_secs(120)),
        }
    }

    /// The key whose account pays, if there is one.
    pub(super) fn key(&self) -> Result<Option<PrivateKeySigner>, DaError> {
        let Some(path) = &self.key else { return Ok(None) };
        let config = |text: String| DaError::Config(format!("key file {}: {text}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| config(error.to_string()))?;
        let key = text.trim().parse();
        key.map(Some).map_err(|_| config("it must hold 64 hex digits on one line".to_owned()))
    }
}

fn wei<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u128>, D::Error> {
    let amount: U256 =
        units::wei(&toml::Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)?;
    u128::try_from(amount).map(Some).map_err(serde::de::Error::custom)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let ms = units::duration(&toml::Value::deserialize(deserializer)?);
    ms.map(|ms| Some(Duration::from_millis(ms))).map_err(serde::de::Error::custom)
}
