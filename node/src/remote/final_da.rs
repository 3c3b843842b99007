//! A DA layer of which only final blocks are seen: whoever derives from it never has to go back.

use std::sync::Arc;

use alloy_primitives::Bytes;
use async_trait::async_trait;
use causeway_chainspec::DaRef;
use causeway_da::{DaBackend, DaBlock, DaError, DaFee, DaHeads, DaLimits};
use parking_lot::Mutex;

/// Shows the final blocks of a layer. Reads only: nothing is submitted through it.
pub struct FinalDa {
    inner: Arc<dyn DaBackend>,
    /// Newest final block the layer told of.
    newest: Mutex<Option<DaRef>>,
}

impl FinalDa {
    /// Over a layer.
    pub fn new(inner: Arc<dyn DaBackend>) -> Self {
        Self { inner, newest: Mutex::new(None) }
    }

    /// Takes in what the layer calls final now. One of its servers may lag behind another, so an
    /// older block changes nothing.
    pub(super) fn learn(&self, finalized: DaRef) -> Result<DaRef, DaError> {
        let mut newest = self.newest.lock();
        match *newest {
            Some(known) if known.height == finalized.height && known.hash != finalized.hash => {
                Err(DaError::Damaged(format!(
                    "two blocks of height {} were called final: {} and {}",
                    known.height, known.hash, finalized.hash
                )))
            }
            Some(known) if known.height >= finalized.height => Ok(known),
            _ => Ok(*newest.insert(finalized)),
        }
    }

    async fn newest(&self) -> Result<DaRef, DaError> {
        self.learn(self.inner.heads().await?.finalized)
    }
}

#[async_trait]
impl DaBackend for FinalDa {
    async fn limits(&self) -> Result<DaLimits, DaError> {
        self.inner.limits().await
    }

    async fn submit(&self, _blobs: &[Bytes]) -> Result<DaRef, DaError> {
        Err(DaError::Refused("a follower posts nothing".into()))
    }

    async fn read(&self, height: u64) -> Result<DaBlock, DaError> {
        let known = *self.newest.lock();
        let newest = match known {
            Some(known) if known.height >= height => known,
            _ => self.newest().await?,
        };
        if height > newest.height {
            return Err(DaError::NotYet { height, latest: newest.height });
        }
        let block = self.inner.read(height).await?;
        if height == newest.height && block.da != newest {
            return Err(DaError::Damaged(format!(
                "block {height} was called final as {}, and is {} now",
                newest.hash, block.da.hash
            )));
        }
        Ok(block)
    }

    async fn heads(&self) -> Result<DaHeads, DaError> {
        let newest = self.newest().await?;
        Ok(DaHeads { latest: newest, finalized: newest })
    }

    async fn fee(&self) -> Result<DaFee, DaError> {
        self.inner.fee().await
    }

    async fn force(&self, _entry: Bytes) -> Result<(), DaError> {
        Err(DaError::Refused("a follower forces nothing".into()))
    }
}
