//! The JSON that the local service and its clients exchange.

use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::{Decodable, Header};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::block::SignedHeader;
use super::chain::ENTRY_COST;
use crate::DaError;

/// A signed header with its hash spelled out, for people; clients compute it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// Hash of the header.
    pub hash: B256,
    /// Header and signature.
    #[serde(flatten)]
    pub signed: SignedHeader,
}

impl From<SignedHeader> for Stated {
    fn from(signed: SignedHeader) -> Self {
        Self { hash: signed.header.hash(), signed }
    }
}

/// Answer to `GET /v1/head`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadAnswer {
    /// Newest block.
    pub latest: Stated,
    /// Newest final block.
    pub finalized: Stated,
    /// Who signs.
    pub signer: Address,
    /// Most bytes of one blob.
    pub max_blob_bytes: usize,
    /// Most bytes of one submission.
    pub max_submission_bytes: usize,
    /// Most bytes of one forced entry.
    pub max_forced_bytes: usize,
}

/// Answer to a submission: where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitAnswer {
    /// Height of the block.
    pub height: u64,
    /// Its hash.
    pub hash: B256,
}

/// Reads the body of a submission, an RLP list of blobs, as long as each of them with its
/// [`ENTRY_COST`] keeps within `most`: the smallest blob is a byte of the body, and much more in
/// memory.
pub fn read_blobs(body: &[u8], most: usize) -> Result<Vec<Bytes>, DaError> {
    let malformed = |_| DaError::Refused("the body is no RLP list of blobs".into());
    let mut rest = body;
    let mut list = Header::decode_bytes(&mut rest, true).map_err(malformed)?;
    if !rest.is_empty() {
        return Err(malformed(alloy_rlp::Error::UnexpectedLength));
    }
    let (mut blobs, mut cost) = (Vec::new(), 0);
    while !list.is_empty() {
        let blob = Bytes::decode(&mut list).map_err(malformed)?;
        cost += blob.len() + ENTRY_COST;
        if cost > most {
            return Err(DaError::TooLarge { bytes: cost, most });
        }
        blobs.push(blob);
    }
    Ok(blobs)
}

/// An error as the service states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ErrorAnswer {
    /// 404: the height lies in the future.
    NotYet {
        /// Asked for.
        height: u64,
        /// Newest.
        latest: u64,
    },
    /// 413: over a limit.
    TooLarge {
        /// Bytes given.
        bytes: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// 400: never right, however often it is asked.
    Refused {
        /// Why.
        error: String,
    },
    /// 503: try again.
    Unavailable {
        /// Why.
        error: String,
    },
}

impl ErrorAnswer {
    /// Its HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotYet { .. } => StatusCode::NOT_FOUND,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Refused { .. } => StatusCode::BAD_REQUEST,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<DaError> for ErrorAnswer {
    fn from(error: DaError) -> Self {
        match error {
            DaError::NotYet { height, latest } => Self::NotYet { height, latest },
            DaError::TooLarge { bytes, most } => Self::TooLarge { bytes, most },
            DaError::Refused(error) => Self::Refused { error },
            other => Self::Unavailable { error: other.to_string() },
        }
    }
}

impl From<ErrorAnswer> for DaError {
    fn from(answer: ErrorAnswer) -> Self {
        match answer {
            ErrorAnswer::NotYet { height, latest } => Self::NotYet { height, latest },
            ErrorAnswer::TooLarge { bytes, most } => Self::TooLarge { bytes, most },
            ErrorAnswer::Refused { error } => Self::Refused(error),
            ErrorAnswer::Unavailable { error } => Self::Unavailable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_blobs_are_counted_before_they_are_kept() {
        let blobs = vec![Bytes::new(); 10];
        let body = alloy_rlp::encode(&blobs);
        assert_eq!(read_blobs(&body, 10 * ENTRY_COST), Ok(blobs));
        // A million of one byte each: reading ends with the eleventh.
        let many = alloy_rlp::encode(vec![Bytes::new(); 1 << 20]);
        let (bytes, most) = (11 * ENTRY_COST, 10 * ENTRY_COST);
        assert_eq!(read_blobs(&many, most), Err(DaError::TooLarge { bytes, most }));
    }

    #[test]
    fn other_bodies_are_refused() {
        let refused = |body: &[u8]| matches!(read_blobs(body, 1000), Err(DaError::Refused(_)));
        assert!(refused(&[]) && refused(&[0x80]) && refused(&[0xc1]));
        assert!(refused(&[0xc0, 0x00]), "bytes behind the list");
        assert!(refused(&[0xc1, 0xc0]), "a list for a blob");
    }
}
