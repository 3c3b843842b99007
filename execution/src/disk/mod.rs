//! The disk as a seam: every file of a datadir is opened, written, named and synced through it.
//!
//! What a disk promises is little: bytes are durable after [`DiskFile::sync_data`], names after
//! [`Disk::sync_dir`]. Before that a power cut may keep any part of them, in any order.

mod faulty;
mod platter;
mod real;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_chainspec::crash;
use redb::{Builder, Database, DatabaseError};

use crate::ExecutionError;

pub use faulty::{Fault, Faulty};
pub use real::Real;

/// Held as long as a file is locked; dropping it lets go.
pub type Lock = Box<dyn Any + Send + Sync>;

/// Files by path. Relative paths are the disk's own affair.
pub trait Disk: Debug + Send + Sync {
    /// Makes a folder and those above it, durably. Nothing if it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Names of what lies in a folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// A file whole.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Length of a file in bytes; `None` if it is not there.
    fn len(&self, path: &Path) -> io::Result<Option<u64>>;

    /// Opens a file that is there, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a file, or empties it. Its name is durable after [`Disk::sync_dir`].
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name in the same folder; what had that name is gone. Whole or not at
    /// all, and durable after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`Disk::sync_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes everything done to the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a file, which is made if it is not there; `None` if another holder has it. A lock
    /// ends with its holder's process at the latest.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;

    /// Size at which a file that only grows is ended and another begun, in bytes.
    fn segment_bytes(&self) -> u64;

    /// Whether all operations must come in one order, the same in every run: then the store is
    /// written by whoever finds its queue full, not by a thread beside.
    fn in_step(&self) -> bool {
        false
    }

    /// Opens the database in a file, or with `create` makes it if the file is empty or missing.
    fn database(
        &self,
        path: &Path,
        builder: &Builder,
        create: bool,
    ) -> Result<Database, DatabaseError>;
}

/// An open file. Shared between threads.
#[allow(clippy::len_without_is_empty)]
pub trait DiskFile: Debug + Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Fills `out` from an offset; `UnexpectedEof` if the file ends before.
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `data`. After an error any part of it may be written.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file off, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes bytes and length durable. After an error they may never be: asking again may answer
    /// Ok for what is lost.
    fn sync_data(&self) -> io::Result<()>;
}

/// A folder on a disk: where a datadir, or a part of it, lies.
#[derive(Debug, Clone)]
pub struct Folder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Folder {
    /// A folder on a disk of the caller's; on the machine's own, convert a path.
    pub fn new(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Self {
        Self { disk, path: path.into() }
    }

    /// The disk.
    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Where on it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in this one.
    pub fn folder(&self, name: impl AsRef<Path>) -> Self {
        Self { disk: self.disk.clone(), path: self.path.join(name) }
    }

    /// Path of a file in this folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a small file durably, whole or not at all: it is renamed into place.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let draft = self.file(&format!("{name}.new"));
        let file = self.disk.create(&draft)?;
        file.write_at(bytes, 0)?;
        file.sync_data()?;
        drop(file);
        crash::point("replace.synced");
        self.disk.rename(&draft, &self.file(name))?;
        crash::point("replace.renamed");
        self.disk.sync_dir(&self.path)
    }
}

/// An operation that the system refused: what, why and, where it can be told, what to do.
pub fn failed(path: &Path, error: &io::Error) -> ExecutionError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ExecutionError::Datadir(format!(
                "{path}: {error}; the node writes to its datadir: let its user own all of it"
            ))
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            ExecutionError::Datadir(format!("{path}: {error}; a datadir is a folder"))
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ExecutionError::Storage(format!("{path}: {error}; make room and start again"))
        }
        _ => ExecutionError::Storage(format!("{path}: {error}")),
    }
}

impl From<PathBuf> for Folder {
    fn from(path: PathBuf) -> Self {
        Self::new(Arc::new(Real), path)
    }
}

impl From<&Path> for Folder {
    fn from(path: &Path) -> Self {
        path.to_path_buf().into()
    }
}
