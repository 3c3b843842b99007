//! KZG work, on threads that may block: tens of milliseconds a blob for a commitment, more for proofs.

use std::collections::{HashMap, HashSet};

use alloy_eips::eip4844::env_settings::EnvKzgSettings;
use alloy_eips::eip4844::{
    AsCkzg, BYTES_PER_BLOB, Blob, BlobTransactionSidecar, c_kzg, kzg_to_versioned_hash,
};
use alloy_eips::eip7594::{
    BlobTransactionSidecarEip7594, BlobTransactionSidecarVariant, CELLS_PER_EXT_BLOB,
};
use alloy_primitives::{B256, Bytes};

use super::packing;
use crate::DaError;

/// Which proofs a blob transaction carries on its way to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proofs {
    /// One a blob (EIP-4844), before Osaka.
    Blob,
    /// 128 a blob (EIP-7594), from Osaka on.
    Cells,
}

/// The hash by which a transaction names a blob: 0x01, then SHA-256 of the commitment (EIP-4844).
/// `None` if the bytes are no blob, as when an element is above the modulus.
pub fn versioned_hash(blob: &[u8]) -> Option<B256> {
    let blob = Blob::try_from(blob).ok()?;
    // A commitment needs no precomputed tables, which take a second and 96 MiB.
    let settings = c_kzg::ethereum_kzg_settings(0);
    let commitment = settings.blob_to_kzg_commitment(blob.as_ckzg()).ok()?;
    Some(kzg_to_versioned_hash(commitment.as_slice()))
}

/// Of what somebody called blobs, those that are wanted, by their hashes. Looks at no more than
/// `most`, whatever was sent.
pub(super) async fn wanted(
    candidates: Vec<Bytes>,
    wanted: Vec<B256>,
    most: usize,
) -> Result<HashMap<B256, Bytes>, DaError> {
    blocking(move || {
        let mut missing: HashSet<B256> = wanted.into_iter().collect();
        let mut found = HashMap::new();
        for blob in candidates.into_iter().take(most) {
            if missing.is_empty() {
                break;
            }
            if blob.len() != BYTES_PER_BLOB {
                continue;
            }
            if let Some(hash) = versioned_hash(&blob).filter(|hash| missing.remove(hash)) {
                found.insert(hash, blob);
            }
        }
        Ok(found)
    })
    .await
}

/// Packs data into blobs, with commitments and proofs.
pub(super) async fn sidecar(
    data: Vec<Bytes>,
    proofs: Proofs,
) -> Result<BlobTransactionSidecarVariant, DaError> {
    blocking(move || {
        let mut blobs = Vec::with_capacity(data.len());
        for bytes in &data {
            let (bytes, most) = (bytes, packing::CAPACITY);
            let blob =
                packing::pack(bytes).ok_or(DaError::TooLarge { bytes: bytes.len(), most })?;
            blobs.push(*blob);
        }
        prove(blobs, proofs).map_err(|error| DaError::Refused(format!("kzg: {error}")))
    })
    .await
}

fn prove(blobs: Vec<Blob>, proofs: Proofs) -> Result<BlobTransactionSidecarVariant, c_kzg::Error> {
    let settings = EnvKzgSettings::Default;
    let settings = settings.get();
    match proofs {
        Proofs::Blob => {
            let sidecar = BlobTransactionSidecar::try_from_blobs_with_settings(blobs, settings)?;
            Ok(BlobTransactionSidecarVariant::Eip4844(sidecar))
        }
        Proofs::Cells => {
            let sidecar =
                BlobTransactionSidecarEip7594::try_from_blobs_with_settings(blobs, settings)?;
            debug_assert_eq!(sidecar.cell_proofs.len(), sidecar.blobs.len() * CELLS_PER_EXT_BLOB);
            Ok(BlobTransactionSidecarVariant::Eip7594(sidecar))
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DaError> + Send + 'static,
) -> Result<T, DaError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| DaError::Storage(format!("a kzg thread failed: {error}")))?
}
