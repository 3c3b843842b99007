//! The machine's own disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use causeway_chainspec::crash;
use redb::{Builder, Database, DatabaseError};

use super::{Disk, DiskFile, Lock};

/// `std::fs`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Real;

/// The folder's own path: an empty one is the current folder.
fn named(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

/// A locked file. Closing it is not enough: a process that this one is just starting has it open,
/// too, until it becomes another program.
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // Nothing more can be done; closing it follows.
        let _ = self.0.unlock();
    }
}

impl Disk for Real {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = named(dir);
        match fs::create_dir(dir) {
            Ok(()) => {}
            // Whoever made it may have died before its name was durable.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => {
                return match self.sync_dir(dir.parent().unwrap_or(dir)) {
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
                    synced => synced,
                };
            }
            Err(error) => match dir.parent() {
                Some(above) if error.kind() == ErrorKind::NotFound => {
                    self.create_dir(above)?;
                    return self.create_dir(dir);
                }
                _ => return Err(error),
            },
        }
        self.sync_dir(dir.parent().unwrap_or(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(named(dir))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        Ok(Arc::new(options.read(true).write(true).create(true).truncate(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(named(dir))?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(Locked(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn segment_bytes(&self) -> u64 {
        crash::log_segment_bytes(if cfg!(test) { 8 << 10 } else { 16 << 20 })
    }

    fn database(
        &self,
        path: &Path,
        builder: &Builder,
        create: bool,
    ) -> Result<Database, DatabaseError> {
        // redb's own backend: it reads without copies, and locks the file.
        if create { builder.create(path) } else { builder.open(path) }
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(data, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}
