//! Settings of one node: flags over environment over `node.toml` over defaults. None of them can
//! fork the chain: what can lies in `chain.toml`.

mod limits;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_chainspec::spec::units;
use clap::ValueEnum;
use eyre::{WrapErr, eyre};
use serde::Deserialize;

pub use limits::{AdminFile, MetricsFile, PoolFile, RpcFile};

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Builds blocks and posts them to DA.
    Sequencer,
    /// Follows DA and the sequencer's feed; forwards transactions.
    Full,
}

/// `node.toml`. Relative paths are relative to the file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFile {
    /// What the node does.
    pub role: Option<Role>,
    /// Address of JSON-RPC, HTTP and WebSocket.
    pub http: Option<SocketAddr>,
    /// WebSocket URL of the sequencer: its feed is followed and transactions go there.
    pub sequencer: Option<String>,
    /// Settings of the DA backend; `url` for `local`. Its files `key` and `archive` are relative to
    /// this file.
    #[serde(default)]
    pub da: toml::Table,
    /// Blobs that are served to peers, if any.
    pub blob_archive: Option<BlobArchiveFile>,
    /// The DA service to run inside this process, if any.
    pub da_service: Option<DaServiceFile>,
    /// Outputs that this node proposes on the parent chain, if it does.
    pub proposer: Option<ProposerFile>,
    /// Key files: 32 bytes of hex each.
    #[serde(default)]
    pub keys: KeysFile,
    /// Storage.
    #[serde(default)]
    pub store: StoreFile,
    /// Transactions that wait.
    #[serde(default)]
    pub pool: PoolFile,
    /// Limits of JSON-RPC.
    #[serde(default)]
    pub rpc: RpcFile,
    /// Where the node tells what it counts.
    #[serde(default)]
    pub metrics: MetricsFile,
    /// Where it can be acted on.
    #[serde(default)]
    pub admin: AdminFile,
    /// Other members of the Metalayer to follow, by name.
    #[serde(default)]
    pub remotes: BTreeMap<String, RemoteFile>,
}

/// `[remotes.<name>]`: a member that this node re-derives from its DA layer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteFile {
    /// Its chain spec.
    pub spec: PathBuf,
    /// Settings of its DA backend; `url` for `local`.
    #[serde(default)]
    pub da: toml::Table,
}

/// `[da_service]`: the `local` DA service inside the node's process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaServiceFile {
    /// Address to serve on.
    pub listen: SocketAddr,
    /// Directory of its segments.
    pub dir: PathBuf,
    /// Key that signs its blocks.
    pub key: PathBuf,
}

/// `[blob_archive]`: blobs of the parent chain, kept and served to peers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobArchiveFile {
    /// Address to serve on.
    pub listen: SocketAddr,
    /// Folder of the blobs: the one that `archive` in `[da]` names.
    pub dir: PathBuf,
}

/// `[proposer]`: outputs on the parent chain, by which withdrawals are proven.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposerFile {
    /// Key of the account that pays; the system config names it as a proposer.
    pub key: PathBuf,
    /// Time from one output to the next. Default 10m.
    #[serde(default = "ten_minutes", deserialize_with = "duration")]
    pub every: Duration,
}

fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let ms = units::duration(&toml::Value::deserialize(deserializer)?);
    ms.map(Duration::from_millis).map_err(serde::de::Error::custom)
}

/// `[keys]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysFile {
    /// Seals blocks.
    pub sequencer: Option<PathBuf>,
    /// Signs what is posted to DA.
    pub poster: Option<PathBuf>,
}

/// `[store]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreFile {
    /// Keep the state of every block.
    pub archive: Option<bool>,
    /// Keep an index from addresses to transactions, which `ots_*` and
    /// `eth_getTransactionBySenderAndNonce` need. A new datadir has one unless this is false; false
    /// drops it for good, and true refuses a datadir that has none.
    pub address_index: Option<bool>,
    /// Blocks of state history below `finalized`, at least 128.
    pub history_blocks: Option<u64>,
    /// Cache of the store in MiB.
    pub cache_mib: Option<usize>,
}

/// Default address of JSON-RPC: loopback only.
pub const DEFAULT_HTTP: &str = "127.0.0.1:8545";
/// Default blocks of state history.
pub const DEFAULT_HISTORY: u64 = 4096;
/// Default cache of the store in MiB.
pub const DEFAULT_CACHE_MIB: usize = 256;

impl NodeFile {
    /// Reads a file; a missing one is empty. Unknown fields are errors that name the known ones.
    pub fn read(path: &Path) -> eyre::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(error).wrap_err_with(|| format!("cannot read {}", path.display()));
            }
        };
        let mut file: Self =
            toml::from_str(&text).map_err(|error| eyre!("{}: {error}", path.display()))?;
        let base = path.parent().unwrap_or(Path::new("."));
        let absolute = |path: &mut PathBuf| *path = base.join(&*path);
        file.keys.sequencer.iter_mut().for_each(absolute);
        file.keys.poster.iter_mut().for_each(absolute);
        file.admin.jwt.iter_mut().for_each(absolute);
        file.proposer.iter_mut().for_each(|proposer| absolute(&mut proposer.key));
        file.remotes.values_mut().for_each(|remote| absolute(&mut remote.spec));
        file.blob_archive.iter_mut().for_each(|archive| absolute(&mut archive.dir));
        let layers = file.remotes.values_mut().map(|remote| &mut remote.da);
        for table in layers.chain([&mut file.da]) {
            for name in ["key", "archive"] {
                if let Some(toml::Value::String(path)) = table.get_mut(name) {
                    *path = base.join(&*path).to_string_lossy().into_owned();
                }
            }
        }
        if let Some(service) = &mut file.da_service {
            absolute(&mut service.dir);
            absolute(&mut service.key);
        }
        Ok(file)
    }
}

/// Reads a key file: 32 bytes of hex, with or without `0x`.
pub fn read_key(path: &Path) -> eyre::Result<alloy_signer_local::PrivateKeySigner> {
    let text = std::fs::read_to_string(path)
        .wrap_err_with(|| format!("cannot read the key file {}", path.display()))?;
    text.trim().parse().map_err(|_| {
        eyre!("{} holds no private key: it must be 64 hex digits on one line", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_lie_relative_to_the_file() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("node.toml");
        let text =
            "[remotes.beta]\nspec = \"beta/chain.toml\"\n[remotes.beta.da]\nurl = \"http://x\"\n";
        std::fs::write(&path, text).unwrap();
        let file = NodeFile::read(&path).unwrap();
        assert_eq!(file.remotes["beta"].spec, dir.path().join("beta/chain.toml"));
        assert_eq!(file.remotes["beta"].da["url"].as_str(), Some("http://x"));
        let more = "[da]\nkey = \"l1.key\"\narchive = \"/blobs\"\n[blob_archive]\n\
                    listen = \"127.0.0.1:0\"\ndir = \"kept\"\n";
        std::fs::write(&path, more).unwrap();
        let file = NodeFile::read(&path).unwrap();
        let key = dir.path().join("l1.key");
        assert_eq!(file.da["key"].as_str(), key.to_str());
        assert_eq!(file.da["archive"].as_str(), Some("/blobs"));
        assert_eq!(file.blob_archive.unwrap().dir, dir.path().join("kept"));
        std::fs::write(&path, text.replace("spec", "chain")).unwrap();
        assert!(NodeFile::read(&path).unwrap_err().to_string().contains("chain"), "unknown field");
    }
}
