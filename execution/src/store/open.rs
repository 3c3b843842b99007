//! Opening: the identity file, creation, and every reason to refuse a datadir.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use alloy_primitives::B256;
use causeway_chainspec::{StateError, crash};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError};

use super::tables::{ReadTables, SCHEMA, WriteTables};
use super::{StoreConfig, index, meta};
use crate::ExecutionError;
use crate::disk::{Folder, Lock, failed};

/// Name of the database in a datadir, of the identity file and of the lock beside it.
const DATABASE_FILE: &str = "state.redb";
const IDENTITY_FILE: &str = "identity";
const LOCK_FILE: &str = "lock";

/// A database up to this size is read whole when it is opened, so that what a disk changed behind
/// our back is found before anybody is told of it. Takes about a second a GiB; a larger one is
/// read whole by `causeway db verify`.
const READ_WHOLE_BYTES: u64 = 512 << 20;

const WHAT_TO_DO: &str = "restore the datadir from a backup, or move it away and start again: \
    the node rebuilds the chain from DA";

/// An open database, and what opening it brought.
pub(super) struct Opened {
    pub(super) db: Database,
    /// The identity file is still to be written: there is no genesis block yet.
    pub(super) unnamed: bool,
    /// Keeps other processes out of the folder.
    pub(super) lock: Lock,
}

/// Opens or creates.
pub(super) fn open(folder: &Folder, config: &StoreConfig) -> Result<Opened, ExecutionError> {
    let disk = folder.disk();
    disk.create_dir(folder.path()).map_err(|error| failed(folder.path(), &error))?;
    // The database has a lock of its own, but not while it is made, and there is more than it.
    let lock_file = folder.file(LOCK_FILE);
    let lock = disk.lock(&lock_file).map_err(|error| failed(&lock_file, &error))?;
    let lock = lock.ok_or_else(|| in_use(folder.path()))?;
    let (path, identity_file) = (folder.file(DATABASE_FILE), folder.file(IDENTITY_FILE));
    let named = match disk.read(&identity_file) {
        Ok(bytes) => {
            check_identity(&identity_file, &String::from_utf8_lossy(&bytes), config.identity)?;
            true
        }
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(failed(&identity_file, &error)),
    };
    let size = disk.len(&path).map_err(|error| failed(&path, &error))?;
    match size {
        None | Some(0) if named => {
            let what = if size.is_none() { "missing" } else { "empty" };
            return Err(ExecutionError::Damaged(format!(
                "{} says that this datadir holds a chain, but {} is {what}; {WHAT_TO_DO}",
                identity_file.display(),
                path.display(),
            )));
        }
        None | Some(0) => create(folder, config)?,
        Some(_) => {}
    }
    let mut builder = builder(config);
    builder.set_check_integrity_on_open(size.unwrap_or(0) <= READ_WHOLE_BYTES);
    let db = guarded(&path, || disk.database(&path, &builder, false))?;
    let has_blocks = admit(&db, config)?;
    if named && !has_blocks {
        return Err(ExecutionError::Damaged(format!(
            "{} holds no block, though {} says it does; {WHAT_TO_DO}",
            path.display(),
            identity_file.display(),
        )));
    }
    if !named && has_blocks {
        write_identity(folder, config.identity)?;
    }
    Ok(Opened { db, unnamed: !named && !has_blocks, lock })
}

/// Makes a database under another name first, so that a crash leaves none that is half made.
fn create(folder: &Folder, config: &StoreConfig) -> Result<(), ExecutionError> {
    let disk = folder.disk();
    let path = folder.file(DATABASE_FILE);
    let new = folder.file(&format!("{DATABASE_FILE}.new"));
    let make = || guarded(&new, || disk.database(&new, &builder(config), true));
    let db = match make() {
        Err(ExecutionError::Damaged(_)) => {
            disk.remove(&new).map_err(|error| failed(&new, &error))?;
            make()?
        }
        other => other?,
    };
    crash::point("store.create.begun");
    initialise(&db, config)?;
    drop(db);
    crash::point("store.create.written");
    disk.rename(&new, &path).map_err(|error| failed(&path, &error))?;
    crash::point("store.create.renamed");
    disk.sync_dir(folder.path()).map_err(|error| failed(&path, &error))
}

fn builder(config: &StoreConfig) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(config.cache_bytes / 2);
    builder
}

fn initialise(db: &Database, config: &StoreConfig) -> Result<(), ExecutionError> {
    let txn = super::commit::begin(db)?;
    let mut tables = WriteTables::open(&txn).map_err(storage)?;
    meta::initialise(&mut tables.meta, config.identity).map_err(storage)?;
    drop(tables);
    txn.commit().map_err(storage)
}

/// Whether the store has blocks; an error if it is not for this chain and this program.
fn admit(db: &Database, config: &StoreConfig) -> Result<bool, ExecutionError> {
    let txn = db.begin_read().map_err(storage)?;
    let tables = ReadTables::open(&txn).map_err(|error| match error {
        redb::TableError::TableDoesNotExist(_) => not_a_store(),
        other => storage(other),
    })?;
    let (schema, identity) =
        meta::pinned(&tables.meta).map_err(storage)?.ok_or_else(not_a_store)?;
    check_pinned("the store", schema, identity, config.identity)?;
    let facts = meta::Facts::read(&tables.meta)?;
    let has_blocks = facts.next > 0;
    drop((tables, txn));
    if has_blocks {
        index::admit(db, &facts, config.address_index)?;
    }
    Ok(has_blocks)
}

fn not_a_store() -> ExecutionError {
    ExecutionError::Damaged(format!("the database holds no store of this program; {WHAT_TO_DO}"))
}

fn check_pinned(
    what: &str,
    schema: u64,
    identity: B256,
    wanted: B256,
) -> Result<(), ExecutionError> {
    if schema != SCHEMA {
        let advice = if schema > SCHEMA {
            "run the newer version of the program that wrote it"
        } else {
            "move the datadir away and start again: the node rebuilds the chain from DA"
        };
        return Err(ExecutionError::Datadir(format!(
            "{what} has schema {schema}, this program writes schema {SCHEMA}; {advice}"
        )));
    }
    if identity != wanted {
        return Err(ExecutionError::Datadir(format!(
            "{what} is of chain {identity}, the chain spec is of chain {wanted}; use another \
             datadir, or the spec that belongs to this one"
        )));
    }
    Ok(())
}

fn check_identity(file: &Path, text: &str, wanted: B256) -> Result<(), ExecutionError> {
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix("= "))
    };
    let schema = field("schema").and_then(|value| value.parse().ok());
    let identity = field("identity").and_then(|value| value.parse().ok());
    let (Some(schema), Some(identity)) = (schema, identity) else {
        return Err(ExecutionError::Damaged(format!(
            "{} does not say whose datadir this is; {WHAT_TO_DO}",
            file.display()
        )));
    };
    check_pinned(&file.display().to_string(), schema, identity, wanted)
}

/// Writes the identity file durably, whole or not at all.
pub(super) fn write_identity(folder: &Folder, identity: B256) -> Result<(), ExecutionError> {
    let text = format!("schema = {SCHEMA}\nidentity = {identity}\n");
    crash::point("identity.before");
    folder
        .replace(IDENTITY_FILE, text.as_bytes())
        .map_err(|error| failed(&folder.file(IDENTITY_FILE), &error))?;
    crash::point("identity.after");
    Ok(())
}

fn in_use(path: &Path) -> ExecutionError {
    ExecutionError::Datadir(format!(
        "{} is in use by another process; stop it, or use another datadir",
        path.display()
    ))
}

/// Opens a database, with an answer for each way it can fail. redb may panic on a file that was
/// altered behind its back; that is damage too.
fn guarded(
    path: &Path,
    open: impl FnOnce() -> Result<Database, DatabaseError>,
) -> Result<Database, ExecutionError> {
    let damaged =
        |what: &str| ExecutionError::Damaged(format!("{}: {what}; {WHAT_TO_DO}", path.display()));
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(db)) => Ok(db),
        Err(_) => Err(damaged("the database cannot be read")),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch)) => {
            Err(in_use(path))
        }
        Ok(Err(DatabaseError::Storage(StorageError::Io(error)))) => match error.kind() {
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::InvalidInput => {
                Err(damaged(&error.to_string()))
            }
            _ => Err(failed(path, &error)),
        },
        Ok(Err(DatabaseError::Storage(StorageError::Corrupted(what)))) => Err(damaged(&what)),
        Ok(Err(error @ DatabaseError::UpgradeRequired(_))) => Err(damaged(&error.to_string())),
        Ok(Err(error)) => Err(ExecutionError::Storage(format!("{}: {error}", path.display()))),
    }
}

/// Checks every page; `false` if something had to be repaired.
pub(super) fn check_pages(db: &mut Database) -> Result<bool, ExecutionError> {
    match catch_unwind(AssertUnwindSafe(|| db.check_integrity())) {
        Ok(result) => result.map_err(storage),
        Err(_) => {
            Err(ExecutionError::Damaged(format!("the database cannot be read; {WHAT_TO_DO}")))
        }
    }
}

/// An error of redb while reading or writing for ourselves.
pub(super) fn storage(error: impl Into<redb::Error>) -> ExecutionError {
    match error.into() {
        redb::Error::Corrupted(what) => ExecutionError::Damaged(format!("{what}; {WHAT_TO_DO}")),
        redb::Error::Io(error) => failed(Path::new(DATABASE_FILE), &error),
        error => ExecutionError::Storage(error.to_string()),
    }
}

/// An error of redb while reading for others.
pub(super) fn unreadable(error: impl Into<redb::Error>) -> StateError {
    StateError(error.into().to_string())
}
