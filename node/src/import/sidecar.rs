//! Blob transactions as they are sent: with their blobs, which blocks and pool leave out (EIP-4844,
//! EIP-7594).

use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip4844WithSidecar};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip4844::{Blob, Bytes48, kzg_to_versioned_hash};
use alloy_eips::eip7594::{BlobTransactionSidecarVariant as Sidecar, CELLS_PER_EXT_BLOB};
use alloy_primitives::{B256, Bytes};
use c_kzg::KzgSettings;
use causeway_chainspec::{Fork, TxEnvelope, TxError};

use crate::rpc::SubmitError;

/// First byte of a blob transaction.
const BLOB_TX: u8 = 0x03;

/// Stack of the thread that checks blobs: each is 128 KiB, and decoders move them by value.
const STACK_BYTES: usize = 16 << 20;

/// Whether bytes may be a blob transaction.
pub(super) fn has_blobs(raw: &[u8]) -> bool {
    raw.first() == Some(&BLOB_TX)
}

/// Checks blobs, one transaction at a time: it takes a core for tens of milliseconds.
#[derive(Default)]
pub(super) struct Sidecars(tokio::sync::Mutex<()>);

impl Sidecars {
    /// The transaction alone, once its blobs, commitments and proofs are found to be what it names.
    /// Blobs come with proofs of cells from Osaka on, and with proofs of blobs before.
    pub(super) async fn strip(&self, raw: Bytes, fork: Fork) -> Result<Bytes, SubmitError> {
        let _one = self.0.lock().await;
        let (answer, checked) = tokio::sync::oneshot::channel();
        // Nobody waits any more if the client has gone.
        let check = move || drop(answer.send(strip(&raw, fork)));
        let thread = std::thread::Builder::new().name("blobs".into()).stack_size(STACK_BYTES);
        let failed = |error: String| SubmitError::Failed(format!("checking blobs: {error}"));
        thread.spawn(check).map_err(|error| failed(error.to_string()))?;
        checked.await.map_err(|error| failed(error.to_string()))?
    }
}

fn strip(raw: &[u8], fork: Fork) -> Result<Bytes, SubmitError> {
    type Sent = EthereumTxEnvelope<TxEip4844WithSidecar<Sidecar>>;
    let sent = Sent::decode_2718_exact(raw).map_err(|_| TxError::Encoding)?;
    let Sent::Eip4844(signed) = sent else { return Err(TxError::Encoding.into()) };
    let signature = *signed.signature();
    let TxEip4844WithSidecar { tx, sidecar } = signed.strip_signature();
    check(&sidecar, &tx.blob_versioned_hashes, fork).map_err(SubmitError::Rejected)?;
    Ok(TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into())
}

/// That a sidecar holds the blobs with these hashes, and proofs of the kind that the fork takes.
fn check(sidecar: &Sidecar, hashes: &[B256], fork: Fork) -> Result<(), String> {
    let (blobs, commitments) = match sidecar {
        Sidecar::Eip4844(it) => (&it.blobs, &it.commitments),
        Sidecar::Eip7594(it) => (&it.blobs, &it.commitments),
    };
    if blobs.len() != hashes.len() || commitments.len() != hashes.len() {
        return Err(format!("{} blobs for {} hashes", blobs.len(), hashes.len()));
    }
    for (commitment, hash) in commitments.iter().zip(hashes) {
        if kzg_to_versioned_hash(commitment.as_slice()) != *hash {
            return Err(format!("no commitment has the hash {hash}"));
        }
    }
    // Half a second for the first to ask: the tables of the trusted setup.
    let settings = c_kzg::ethereum_kzg_settings(0);
    let proven = match sidecar {
        Sidecar::Eip4844(it) if fork < Fork::Osaka => {
            prove_blobs(settings, blobs, commitments, &it.proofs)
        }
        Sidecar::Eip7594(it) if fork >= Fork::Osaka => {
            prove_cells(settings, blobs, commitments, &it.cell_proofs)
        }
        Sidecar::Eip4844(_) => return Err("blobs need proofs of cells since Osaka".into()),
        Sidecar::Eip7594(_) => return Err("proofs of cells are taken from Osaka on".into()),
    };
    match proven {
        Ok(true) => Ok(()),
        Ok(false) => Err("the proofs do not hold for the blobs".into()),
        Err(error) => Err(format!("blobs, commitments or proofs are malformed: {error:?}")),
    }
}

fn prove_blobs(
    settings: &KzgSettings,
    blobs: &[Blob],
    commitments: &[Bytes48],
    proofs: &[Bytes48],
) -> Result<bool, c_kzg::Error> {
    settings.verify_blob_kzg_proof_batch(&blobs_of(blobs)?, &points(commitments), &points(proofs))
}

fn prove_cells(
    settings: &KzgSettings,
    blobs: &[Blob],
    commitments: &[Bytes48],
    proofs: &[Bytes48],
) -> Result<bool, c_kzg::Error> {
    let mut cells = Vec::with_capacity(blobs.len() * CELLS_PER_EXT_BLOB);
    for blob in blobs_of(blobs)? {
        cells.extend_from_slice(settings.compute_cells(&blob)?.as_ref());
    }
    let each = |commitment: &Bytes48| std::iter::repeat_n(*commitment, CELLS_PER_EXT_BLOB);
    let commitments: Vec<Bytes48> = commitments.iter().flat_map(each).collect();
    let indices: Vec<u64> = blobs.iter().flat_map(|_| 0..CELLS_PER_EXT_BLOB as u64).collect();
    settings.verify_cell_kzg_proof_batch(&points(&commitments), &indices, &cells, &points(proofs))
}

fn blobs_of(blobs: &[Blob]) -> Result<Vec<c_kzg::Blob>, c_kzg::Error> {
    blobs.iter().map(|blob| c_kzg::Blob::from_bytes(blob.as_slice())).collect()
}

fn points(points: &[Bytes48]) -> Vec<c_kzg::Bytes48> {
    points.iter().map(|point| c_kzg::Bytes48::new(point.0)).collect()
}
