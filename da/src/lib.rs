//! Bytes in an agreed order. Knows nothing of how blocks are made.

pub mod codec;
pub mod ethereum;
pub mod http;
pub mod local;
pub mod memory;

use std::sync::Arc;

use alloy_primitives::{B256, Bytes, U256};
use async_trait::async_trait;
use causeway_chainspec::{ChainSpec, DaRef, KeyUpdate};

/// What one submission may hold; asked before each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaLimits {
    /// Most bytes of one blob.
    pub max_blob_bytes: usize,
    /// Most bytes of all blobs of one submission; they land in one DA block or not at all.
    pub max_submission_bytes: usize,
}

/// Newest and final block of the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaHeads {
    /// Newest block.
    pub latest: DaRef,
    /// Newest block that can no longer change.
    pub finalized: DaRef,
}

/// Price of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaFee {
    /// Wei per byte; 0 for a layer that is free.
    pub wei_per_byte: u128,
}

/// How long what pays for posting lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runway {
    /// What the paying account has, in wei.
    pub balance_wei: U256,
    /// What posting costs lately, in wei an hour.
    pub wei_per_hour: u128,
    /// What this process has spent since it began, in wei.
    pub spent_wei: u128,
}

impl Runway {
    /// Hours until the account is empty at the recent rate; `None` if nothing was spent lately.
    pub fn hours(&self) -> Option<f64> {
        (self.wei_per_hour > 0).then(|| f64::from(self.balance_wei) / self.wei_per_hour as f64)
    }
}

/// One block of the layer, as far as it concerns our namespace. An empty block is a `DaBlock`
/// without blobs: never an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaBlock {
    /// Height and hash.
    pub da: DaRef,
    /// Hash of the previous block.
    pub parent: B256,
    /// The layer's own time for it, ms.
    pub time_ms: u64,
    /// Blobs of our namespace, in the layer's order. Anybody may have put them there.
    pub blobs: Vec<Bytes>,
    /// Entries of our forced lane, in the layer's order.
    pub forced: Vec<Bytes>,
    /// Keys set on the parent chain, in order; none on a layer that is not one.
    pub keys: Vec<KeyUpdate>,
}

/// Why the layer gave no answer. `NotYet` and `Pruned` are facts, `Withheld` and `Unavailable` may
/// pass, the others need a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DaError {
    /// The height lies in the future.
    #[error("da height {height} is not there yet: the newest is {latest}")]
    NotYet {
        /// Asked for.
        height: u64,
        /// Newest.
        latest: u64,
    },
    /// The layer no longer has the block.
    #[error(
        "da height {height} is pruned: the oldest kept is {oldest}; use an archive of the data"
    )]
    Pruned {
        /// Asked for.
        height: u64,
        /// Oldest kept.
        oldest: u64,
    },
    /// The layer has the block, and nobody gives the data that it must still keep: asked again, and
    /// never passed over.
    #[error(
        "da height {height}: {missing} blobs are withheld: their hashes are on chain, and none of \
         these has them: {asked}; add another beacon endpoint or a blob archive"
    )]
    Withheld {
        /// Asked for.
        height: u64,
        /// Blobs that nobody gave.
        missing: usize,
        /// Who was asked.
        asked: String,
    },
    /// More bytes than [`DaLimits`] allow.
    #[error("submission of {bytes} bytes is over the limit of {most}")]
    TooLarge {
        /// Bytes given.
        bytes: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// No answer, or one that says "try again": the caller retries.
    #[error("da layer is unavailable: {0}")]
    Unavailable(String),
    /// The layer refused for good: wrong key, wrong chain, wrong request.
    #[error("da layer refused: {0}")]
    Refused(String),
    /// What came back contradicts itself or what was read before: nothing of it is used.
    #[error("da layer gave damaged data: {0}")]
    Damaged(String),
    /// The section of the spec or of the node's settings is wrong.
    #[error("da settings: {0}")]
    Config(String),
    /// This process's own files failed: it must stop, since what the disk holds is unknown.
    #[error("da storage failed: {0}")]
    Storage(String),
}

impl DaError {
    /// Whether asking again later may help without anybody's doing.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::NotYet { .. } | Self::Withheld { .. } | Self::Unavailable(_))
    }
}

/// A data availability layer: every blob of our namespace in the layer's order. Authenticity is
/// checked by the codec's signature, not here.
#[async_trait]
pub trait DaBackend: Send + Sync + 'static {
    /// Limits in force now.
    async fn limits(&self) -> Result<DaLimits, DaError>;

    /// Publishes blobs together, in order, in one DA block. May publish twice after a lost
    /// answer: readers drop repeats. Returns where it expects them; only reading proves it.
    async fn submit(&self, blobs: &[Bytes]) -> Result<DaRef, DaError>;

    /// As [`submit`](Self::submit), for blobs made of the chain as derived up to a DA block. A layer
    /// that knows what its own account posted refuses with `Unavailable` if something of it landed
    /// above that block: the caller derives it first, so that no range is posted twice.
    async fn submit_after(
        &self,
        blobs: &[Bytes],
        derived: Option<DaRef>,
    ) -> Result<DaRef, DaError> {
        let _ = derived;
        self.submit(blobs).await
    }

    /// The block at `height`. The same answer for ever once final; before, a reorg may change it,
    /// which shows as another `parent` above.
    async fn read(&self, height: u64) -> Result<DaBlock, DaError>;

    /// Newest and final block.
    async fn heads(&self) -> Result<DaHeads, DaError>;

    /// Price of data now.
    async fn fee(&self) -> Result<DaFee, DaError>;

    /// How long the account that pays for posts lasts; `None` where posting costs nothing or this
    /// node does not post.
    async fn runway(&self) -> Result<Option<Runway>, DaError> {
        Ok(None)
    }

    /// Puts bytes into the forced lane, as any user may. Returns once the layer took them.
    async fn force(&self, entry: Bytes) -> Result<(), DaError>;
}

/// Opens a backend from `[da.<layer>]` of the spec and `[da]` of the node's own settings.
pub type Open = fn(&ChainSpec, &toml::Table) -> Result<Arc<dyn DaBackend>, DaError>;

/// Every backend by name. To add one: a file beside this one, and a line here.
pub const BACKENDS: &[(&str, Open)] = &[("local", local::open), ("ethereum", ethereum::open)];

/// Opens the backend the spec names.
pub fn open(spec: &ChainSpec, settings: &toml::Table) -> Result<Arc<dyn DaBackend>, DaError> {
    let (_, open) = BACKENDS.iter().find(|(name, _)| *name == spec.da.layer).ok_or_else(|| {
        let known: Vec<_> = BACKENDS.iter().map(|(name, _)| *name).collect();
        DaError::Config(format!("unknown layer {:?}: this binary has {known:?}", spec.da.layer))
    })?;
    open(spec, settings)
}
