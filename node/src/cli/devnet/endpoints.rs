//! `devnet.json`: what tools need to know of a running devnet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Name of the file.
pub(super) const FILE: &str = "devnet.json";

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Endpoints {
    /// Process that runs it.
    pub(super) pid: u32,
    /// Chains; with several, the first is the hub.
    pub(super) chains: Vec<ChainEndpoints>,
    /// Accounts with funds on every chain.
    pub(super) accounts: Vec<Account>,
    /// Signs changes of the directory, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) governance: Option<Account>,
    /// The network's `metalayer.toml`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metalayer: Option<PathBuf>,
}

/// One chain. `full_rpc` is the node that lives from DA.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ChainEndpoints {
    pub(super) name: String,
    pub(super) chain_id: u64,
    /// Hyperlane domain.
    pub(super) domain: u32,
    pub(super) vm: String,
    /// What pays for gas: `own`, `hub` (the hub's coin) or `home` (this is the hub).
    pub(super) coin: String,
    pub(super) hub: bool,
    pub(super) rpc: String,
    pub(super) ws: String,
    pub(super) full_rpc: String,
    /// Where the sequencer tells its metrics; `None` in files of older versions.
    #[serde(default)]
    pub(super) metrics: Option<String>,
    /// Where the full node does.
    #[serde(default)]
    pub(super) full_metrics: Option<String>,
    pub(super) da: String,
    /// Name of the DA layer.
    #[serde(default)]
    pub(super) da_layer: String,
    /// The chain's contracts on its parent chain by name, if it has one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) contracts: BTreeMap<String, String>,
    pub(super) spec: PathBuf,
}

/// An account and its key, which is public.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) address: String,
    pub(super) key: String,
}

/// Reads the file of a directory, if it is there and whole.
pub(super) fn read(dir: &Path) -> Option<Endpoints> {
    serde_json::from_str(&std::fs::read_to_string(dir.join(FILE)).ok()?).ok()
}

/// Removes the file of a devnet that has ended, so that nobody takes what has its process number
/// or ports now for it.
pub(super) fn remove(dir: &Path) -> eyre::Result<()> {
    match std::fs::remove_file(dir.join(FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Written whole or not at all: readers poll for it.
pub(super) fn write(dir: &Path, endpoints: &Endpoints) -> eyre::Result<()> {
    let next = dir.join("devnet.json.next");
    std::fs::write(&next, serde_json::to_string_pretty(endpoints)?)?;
    std::fs::rename(&next, dir.join(FILE))?;
    Ok(())
}
