//! Finds the files of official suites: folders and archives under `CAUSEWAY_SUITES`.

use std::ffi::OsStr;
use std::io::{BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use eyre::WrapErr;
use flate2::read::GzDecoder;
use rayon::prelude::*;

use crate::Suite;
use crate::tally::Tally;

/// A file of a suite.
pub(crate) struct File {
    /// Where it lies, on disk or in its archive.
    pub(crate) path: PathBuf,
    /// Its content, if it came out of an archive.
    content: Option<Vec<u8>>,
}

impl File {
    /// File name and the folder it is in.
    pub(crate) fn name(&self) -> String {
        let parts = self.path.components().rev().take(2).map(|part| part.as_os_str());
        let parts: Vec<_> = parts.map(OsStr::to_string_lossy).collect();
        parts.into_iter().rev().collect::<Vec<_>>().join("/")
    }

    /// Whether its name ends so.
    pub(crate) fn is(&self, extension: &str) -> bool {
        self.path.extension() == Some(OsStr::new(extension))
    }

    /// The content, unzipped if its name ends in `.gz`.
    pub(crate) fn read(&self) -> eyre::Result<Vec<u8>> {
        let raw = match &self.content {
            Some(content) => content.clone(),
            None => std::fs::read(&self.path).wrap_err_with(|| self.path.display().to_string())?,
        };
        if self.path.extension() != Some(OsStr::new("gz")) {
            return Ok(raw);
        }
        let mut plain = Vec::new();
        GzDecoder::new(&raw[..]).read_to_end(&mut plain)?;
        Ok(plain)
    }

    /// Not as a block test, which has another form below the same names.
    fn lies_in(&self, folders: &[&str]) -> bool {
        let mut parts = self.path.components();
        !self.path.components().any(|part| part.as_os_str() == "BlockchainTests")
            && parts.any(|part| folders.iter().any(|folder| part.as_os_str() == *folder))
    }
}

/// Every file at hand.
pub(crate) struct Sources {
    files: Vec<File>,
}

impl Sources {
    /// What `CAUSEWAY_SUITES` holds; `None` if it is not set.
    pub(crate) fn find() -> eyre::Result<Option<Self>> {
        let Some(root) = std::env::var_os("CAUSEWAY_SUITES").filter(|root| !root.is_empty()) else {
            return Ok(None);
        };
        let mut files = Vec::new();
        walk(&std::fs::canonicalize(root)?, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Some(Self { files }))
    }

    /// The file of this name beside another one.
    pub(crate) fn beside(&self, file: &File, name: &str) -> eyre::Result<Vec<u8>> {
        let path = file.path.with_file_name(name);
        let found = self.files.iter().find(|file| file.path == path);
        found.ok_or_else(|| eyre::eyre!("{} is missing", path.display()))?.read()
    }

    /// The files in the folder of another one and below it, in the order of their paths.
    pub(crate) fn around<'a>(&'a self, file: &'a File) -> impl Iterator<Item = &'a File> {
        let folder = file.path.parent();
        self.files.iter().filter(move |it| folder.is_some_and(|folder| it.path.starts_with(folder)))
    }

    /// Runs a suite on both cores. A panic is a failure of the file it comes from.
    pub(crate) fn run(&self, suite: &Suite) -> Tally {
        let files: Vec<_> = self.files.iter().filter(|file| file.lies_in(suite.folders)).collect();
        if files.is_empty() {
            return Tally { skipped: 1, ..Tally::default() };
        }
        let run = |file: &&File| {
            let result = catch_unwind(AssertUnwindSafe(|| (suite.run)(file, self)));
            let result = result.unwrap_or_else(|_| Err(eyre::eyre!("panicked")));
            result.unwrap_or_else(|error| {
                let mut tally = Tally::default();
                tally.count(file.name(), Err(error));
                tally
            })
        };
        files.par_iter().map(run).reduce(Tally::default, Tally::and)
    }
}

fn walk(folder: &Path, files: &mut Vec<File>) -> eyre::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if path.is_dir() {
            walk(&path, files)?;
        } else if name.ends_with(".tar.xz") {
            let mut plain = Vec::new();
            let mut packed = BufReader::new(std::fs::File::open(&path)?);
            lzma_rs::xz_decompress(&mut packed, &mut plain)
                .map_err(|error| eyre::eyre!("{}: {error:?}", path.display()))?;
            unpack(&plain[..], &path, files)?;
        } else if name.ends_with(".tar.gz") {
            unpack(GzDecoder::new(std::fs::File::open(&path)?), &path, files)?;
        } else {
            files.push(File { path, content: None });
        }
    }
    Ok(())
}

/// The files of an archive, as if it were a folder.
fn unpack(tar: impl Read, archive: &Path, files: &mut Vec<File>) -> eyre::Result<()> {
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let path = archive.join(entry.path()?);
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.push(File { path, content: Some(content) });
        }
    }
    Ok(())
}
