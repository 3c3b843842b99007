//! Blobs kept beyond the 18 days of the parent chain: a folder, and HTTP for peers.
//!
//! `GET /blob/0x..` answers the 131,072 bytes of the blob with that versioned hash, or 404. Whoever
//! reads checks the hash, here and at the other end: a damaged file is as good as none.

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_eips::eip4844::BYTES_PER_BLOB;
use alloy_primitives::{B256, Bytes};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::kzg::versioned_hash;
use crate::DaError;

/// A folder of blobs, each in a file named by its versioned hash.
#[derive(Debug, Clone)]
pub struct Archive {
    dir: Arc<Path>,
}

impl Archive {
    /// In this folder, which is made if it is not there.
    pub fn open(dir: &Path) -> Result<Self, DaError> {
        std::fs::create_dir_all(dir)
            .map_err(|error| DaError::Config(format!("blob archive {}: {error}", dir.display())))?;
        Ok(Self { dir: dir.into() })
    }

    /// The file of a blob; a folder holds 1/256 of them.
    fn path(&self, hash: B256) -> PathBuf {
        self.dir.join(format!("{:02x}", hash[1])).join(hash.to_string())
    }

    fn read(&self, hash: B256) -> Option<Bytes> {
        let bytes = std::fs::read(self.path(hash)).ok()?;
        (bytes.len() == BYTES_PER_BLOB).then(|| bytes.into())
    }

    /// Those of these blobs that are there and whole.
    pub(super) async fn load(&self, hashes: &[B256]) -> Result<HashMap<B256, Bytes>, DaError> {
        let (archive, hashes) = (self.clone(), hashes.to_vec());
        blocking(move || {
            let right = |hash: &B256| {
                let blob = archive.read(*hash)?;
                (versioned_hash(&blob) == Some(*hash)).then_some((*hash, blob))
            };
            Ok(hashes.iter().filter_map(right).collect())
        })
        .await
    }

    /// Keeps blobs that are known to hash to their names.
    pub(super) async fn store(&self, blobs: &HashMap<B256, Bytes>) -> Result<(), DaError> {
        let (archive, blobs) = (self.clone(), blobs.clone());
        blocking(move || blobs.iter().try_for_each(|(hash, blob)| archive.write(*hash, blob))).await
    }

    /// A file is there whole or not at all.
    fn write(&self, hash: B256, blob: &Bytes) -> Result<(), DaError> {
        let path = self.path(hash);
        if self.read(hash).as_ref() == Some(blob) {
            return Ok(());
        }
        let failed = |error: std::io::Error| {
            DaError::Storage(format!("blob archive {}: {error}", path.display()))
        };
        let folder = path.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let unfinished = path.with_extension("part");
        let mut file = std::fs::File::create(&unfinished).map_err(failed)?;
        file.write_all(blob).and_then(|()| file.sync_data()).map_err(failed)?;
        match std::fs::rename(&unfinished, &path) {
            // Another process keeps the same blob in the same folder.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            renamed => renamed.map_err(failed),
        }
    }
}

/// Serves an archive to peers until `stop`.
pub async fn serve(
    listener: TcpListener,
    archive: Archive,
    stop: CancellationToken,
) -> Result<(), DaError> {
    let app = Router::new().route("/blob/{hash}", get(blob)).with_state(archive);
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
        .map_err(|error| DaError::Storage(format!("blob archive: {error}")))
}

async fn blob(
    State(archive): State<Archive>,
    axum::extract::Path(hash): axum::extract::Path<String>,
) -> Result<axum::body::Bytes, (StatusCode, String)> {
    let hash: B256 = hash
        .parse()
        .map_err(|_| (StatusCode::BAD_REQUEST, "give 0x and 64 hex digits".to_owned()))?;
    let found = blocking(move || Ok(archive.read(hash))).await.ok().flatten();
    found
        .map(|blob| blob.0)
        .ok_or_else(|| (StatusCode::NOT_FOUND, format!("{hash} is not kept here")))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DaError> + Send + 'static,
) -> Result<T, DaError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| DaError::Storage(format!("blob archive: {error}")))?
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::ethereum::packing::pack;

    #[tokio::test]
    async fn what_is_kept_is_served_and_a_damaged_file_is_as_good_as_none() {
        let dir = TempDir::new().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        let blob = Bytes::copy_from_slice(&pack(b"kept").unwrap()[..]);
        let hash = versioned_hash(&blob).unwrap();
        assert!(archive.load(&[hash]).await.unwrap().is_empty());
        archive.store(&HashMap::from([(hash, blob.clone())])).await.unwrap();
        assert_eq!(archive.load(&[hash, B256::ZERO]).await.unwrap()[&hash], blob);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, archive.clone(), stop.clone()));
        let http = crate::http::client(std::time::Duration::from_secs(5), false).unwrap();
        let get = |name: String| http.get(format!("{url}/blob/{name}")).send();
        let answer = get(hash.to_string()).await.unwrap();
        assert_eq!(answer.bytes().await.unwrap(), blob.0);
        assert_eq!(get(B256::ZERO.to_string()).await.unwrap().status(), 404);
        assert_eq!(get("..%2f..%2fsecret".into()).await.unwrap().status(), 400);
        stop.cancel();
        served.await.unwrap().unwrap();

        let mut bytes = blob.to_vec();
        bytes[1000] ^= 1;
        std::fs::write(archive.path(hash), &bytes).unwrap();
        assert!(archive.load(&[hash]).await.unwrap().is_empty());
        archive.store(&HashMap::from([(hash, blob.clone())])).await.unwrap();
        assert_eq!(archive.load(&[hash]).await.unwrap()[&hash], blob, "and is written anew");
    }
}
