//! Opening: the identity file, creation, and every reason to refuse a datadir.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use causeway_chainspec::{StateError, crash};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError};

use super::tables::{ReadTables, SCHEMA, WriteTables};
use super::{StoreConfig, meta};
use crate::ExecutionError;

/// Name of the database in a datadir, and of the identity file beside it.
const DATABASE_FILE: &str = "state.redb";
const IDENTITY_FILE: &str = "identity";

const WHAT_TO_DO: &str = "restore the datadir from a backup, or move it away and start again: \
    the node rebuilds the chain from DA";

/// Opens or creates; also returns where the identity file is to be written, if it is not there.
pub(super) fn open(
    path: &Path,
    config: &StoreConfig,
) -> Result<(Database, Option<PathBuf>), ExecutionError> {
    let path = if path.is_dir() { path.join(DATABASE_FILE) } else { path.to_path_buf() };
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Err(ExecutionError::Datadir(format!("{} is no file", path.display()))),
    };
    fs::create_dir_all(folder).map_err(|error| refused(folder, &error))?;
    let identity_file = folder.join(IDENTITY_FILE);
    let named = match fs::read_to_string(&identity_file) {
        Ok(text) => {
            check_identity(&identity_file, &text, config.identity)?;
            true
        }
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(refused(&identity_file, &error)),
    };
    let size = match fs::metadata(&path) {
        Ok(metadata) => Some(metadata.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(refused(&path, &error)),
    };
    match size {
        None | Some(0) if named => {
            let what = if size.is_none() { "missing" } else { "empty" };
            return Err(ExecutionError::Damaged(format!(
                "{} says that this datadir holds a chain, but {} is {what}; {WHAT_TO_DO}",
                identity_file.display(),
                path.display(),
            )));
        }
        None | Some(0) => create(&path, config)?,
        Some(_) => {}
    }
    let db = guarded(&path, || builder(config).open(&path))?;
    let has_blocks = admit(&db, config)?;
    if named && !has_blocks {
        return Err(ExecutionError::Damaged(format!(
            "{} holds no block, though {} says it does; {WHAT_TO_DO}",
            path.display(),
            identity_file.display(),
        )));
    }
    if !named && has_blocks {
        write_identity(&identity_file, config.identity)?;
    }
    Ok((db, (!named && !has_blocks).then_some(identity_file)))
}

/// Makes a database under another name first, so that a crash leaves none that is half made.
fn create(path: &Path, config: &StoreConfig) -> Result<(), ExecutionError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let new = path.with_file_name(name);
    let db = match guarded(&new, || builder(config).create(&new)) {
        Err(ExecutionError::Damaged(_)) => {
            fs::remove_file(&new).map_err(|error| refused(&new, &error))?;
            guarded(&new, || builder(config).create(&new))?
        }
        other => other?,
    };
    crash::point("store.create.begun");
    initialise(&db, config)?;
    drop(db);
    crash::point("store.create.written");
    fs::rename(&new, path).map_err(|error| refused(path, &error))?;
    crash::point("store.create.renamed");
    sync_folder(path)
}

/// A store on a storage of the caller's: created if it is empty.
pub(super) fn with_backend(
    backend: impl StorageBackend,
    config: &StoreConfig,
) -> Result<Database, ExecutionError> {
    let fresh = backend.len().map_err(|error| ExecutionError::Storage(error.to_string()))? == 0;
    let place = Path::new("the given storage");
    let db = guarded(place, || builder(config).create_with_backend(backend))?;
    if fresh {
        initialise(&db, config)?;
    } else if db.begin_read().map_err(storage)?.list_tables().map_err(storage)?.next().is_none() {
        // Created, but never initialised: nothing was ever in it.
        initialise(&db, config)?;
    }
    admit(&db, config)?;
    Ok(db)
}

fn builder(config: &StoreConfig) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(config.cache_bytes);
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
    Ok(meta::Facts::read(&tables.meta)?.next > 0)
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
pub(super) fn write_identity(file: &Path, identity: B256) -> Result<(), ExecutionError> {
    let new = file.with_extension("new");
    let text = format!("schema = {SCHEMA}\nidentity = {identity}\n");
    crash::point("identity.before");
    let write = || {
        let mut out = File::create(&new)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        crash::point("identity.synced");
        fs::rename(&new, file)
    };
    write().map_err(|error: std::io::Error| {
        ExecutionError::Storage(format!("{}: {error}", file.display()))
    })?;
    crash::point("identity.renamed");
    sync_folder(file)
}

/// Makes a rename in the folder of `file` durable.
fn sync_folder(file: &Path) -> Result<(), ExecutionError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| ExecutionError::Storage(format!("{}: {error}", folder.display())))
}

fn refused(path: &Path, error: &std::io::Error) -> ExecutionError {
    ExecutionError::Datadir(format!("{}: {error}", path.display()))
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
            Err(ExecutionError::Datadir(format!(
                "{} is in use by another process; stop it, or use another datadir",
                path.display()
            )))
        }
        Ok(Err(DatabaseError::Storage(StorageError::Io(error)))) => match error.kind() {
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::InvalidInput => {
                Err(damaged(&error.to_string()))
            }
            _ => Err(refused(path, &error)),
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
        error => ExecutionError::Storage(error.to_string()),
    }
}

/// An error of redb while reading for others.
pub(super) fn unreadable(error: impl Into<redb::Error>) -> StateError {
    StateError(error.into().to_string())
}
