//! `chain.lock`: what the machine found out about a chain, so that nobody copies it by hand.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::ChainSpec;

/// Name of the file, beside `chain.toml`.
pub const FILE_NAME: &str = "chain.lock";

/// Facts of a chain that follow from its spec and its first start. Share it with `chain.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Layout of this file: 1.
    pub version: u64,
    /// [`ChainSpec::identity`].
    pub identity: B256,
    /// Header hash of block 0.
    pub genesis_hash: B256,
    /// State root of block 0.
    pub genesis_state_root: B256,
    /// First DA height that may carry this chain's data.
    pub da_start: u64,
    /// What `causeway deploy` did on the parent chain; nothing where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployed: Vec<Deployed>,
}

/// A contract on the parent chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployed {
    /// Its name.
    pub contract: String,
    /// Where it lies, or will.
    pub address: Address,
    /// The last transaction that was to create it, noted before it was sent; none if somebody else did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx: Option<B256>,
    /// Height of the parent block by which it was there; none until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
}

/// Why a lock cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not a lock file.
    #[error(
        "chain.lock cannot be read: {0}. Get it again from whoever gave you chain.toml; if this is a new chain that nobody uses yet, delete chain.lock and start again"
    )]
    Malformed(String),
    /// Written by a newer program.
    #[error("chain.lock has version {0}, this binary reads version 1: upgrade causeway")]
    Version(u64),
    /// The lock belongs to another chain than the spec.
    #[error(
        "chain.lock and chain.toml are not of the same chain: {field} is {locked} in the lock, but {found} by chain.toml and this binary. If chain.toml was edited, undo the edit (`causeway chainspec diff` shows what an edit changes); if a new chain is meant, delete chain.lock and use an empty datadir"
    )]
    Mismatch {
        /// Field of the lock.
        field: &'static str,
        /// What the lock says.
        locked: String,
        /// What the spec and this binary say.
        found: String,
    },
}

impl Lock {
    /// The lock of a spec whose block 0 was made.
    pub fn new(spec: &ChainSpec, genesis_hash: B256, genesis_state_root: B256) -> Self {
        Self {
            version: 1,
            identity: spec.identity(),
            genesis_hash,
            genesis_state_root,
            da_start: spec.da.start,
            deployed: Vec::new(),
        }
    }

    /// Reads the text of a lock file.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let malformed = |error: toml::de::Error| LockError::Malformed(error.message().to_owned());
        let Version { version } = toml::from_str(text).map_err(malformed)?;
        if version != 1 {
            return Err(LockError::Version(version));
        }
        toml::from_str(text).map_err(malformed)
    }

    /// The text of the file.
    pub fn to_toml(&self) -> String {
        let fields = toml::to_string(self).expect("the fields of a lock are texts and numbers");
        format!(
            "# Written by causeway. Share it together with chain.toml; do not edit it.\n{fields}"
        )
    }

    /// Compares with the lock this binary computes from the spec.
    pub fn check(&self, computed: &Lock) -> Result<(), LockError> {
        self.check_spec(computed.identity, computed.da_start)?;
        same("genesis_state_root", self.genesis_state_root, computed.genesis_state_root)?;
        same("genesis_hash", self.genesis_hash, computed.genesis_hash)
    }

    /// Compares with what is known before block 0 is made.
    pub fn check_spec(&self, identity: B256, da_start: u64) -> Result<(), LockError> {
        same("identity", self.identity, identity)?;
        same("da_start", self.da_start, da_start)
    }
}

fn same<T: PartialEq + ToString>(
    field: &'static str,
    locked: T,
    found: T,
) -> Result<(), LockError> {
    if locked == found {
        return Ok(());
    }
    Err(LockError::Mismatch { field, locked: locked.to_string(), found: found.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        Lock {
            version: 1,
            identity: B256::repeat_byte(1),
            genesis_hash: B256::repeat_byte(2),
            genesis_state_root: B256::repeat_byte(3),
            da_start: 7,
            deployed: Vec::new(),
        }
    }

    #[test]
    fn a_lock_reads_back() {
        assert_eq!(Lock::parse(&lock().to_toml()), Ok(lock()));
        let contract = |name: &str, height| Deployed {
            contract: name.to_owned(),
            address: Address::repeat_byte(4),
            tx: Some(B256::repeat_byte(5)),
            height,
        };
        let deployed = vec![contract("Portal", Some(9)), contract("SystemConfig", None)];
        let lock = Lock { deployed, ..lock() };
        assert_eq!(Lock::parse(&lock.to_toml()), Ok(lock));
    }

    #[test]
    fn another_chain_is_refused_with_the_field_that_differs() {
        assert_eq!(lock().check(&lock()), Ok(()));
        let other = Lock { genesis_hash: B256::ZERO, ..lock() };
        let error = lock().check(&other).unwrap_err();
        assert!(matches!(error, LockError::Mismatch { field: "genesis_hash", .. }), "{error}");
        assert!(error.to_string().contains("delete chain.lock"));
        assert!(lock().check_spec(B256::ZERO, 7).is_err());
        assert!(lock().check_spec(lock().identity, 8).is_err());
    }

    #[test]
    fn damage_and_newer_versions_are_told_apart() {
        assert!(matches!(Lock::parse(""), Err(LockError::Malformed(_))));
        assert!(matches!(Lock::parse("version = 1"), Err(LockError::Malformed(_))));
        assert_eq!(Lock::parse("version = 2\nnew = true"), Err(LockError::Version(2)));
        let extra = format!("{}extra = 1\n", lock().to_toml());
        assert!(matches!(Lock::parse(&extra), Err(LockError::Malformed(_))));
    }
}
