//! Datadirs that cannot be used, as a person meets them: what, why and what to do, exit code 6.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::Bytes;
use causeway_chainspec::spec::{Inputs, parse};
use causeway_chainspec::{BlockBody, BlockPlan, ChainSpec, Claim};
use causeway_execution::log::{Entry, Log};
use causeway_execution::{Pipeline, PipelineConfig};
use eyre::eyre;

use super::*;

/// A chain of three blocks in the folder `data`, beside its spec.
struct Chain {
    dir: TempDir,
    spec: Arc<ChainSpec>,
}

impl Chain {
    fn new() -> eyre::Result<Self> {
        let dir = TempDir::new()?;
        text(dir.path(), &["new", ".", "--name", "x", "--yes"])?;
        let spec = fs::read_to_string(dir.path().join("chain.toml"))?;
        let (spec, _) = parse(&spec, &Inputs::NONE).map_err(|invalid| eyre!("{invalid}"))?;
        let chain = Self { dir, spec: Arc::new(spec) };
        let pipeline = chain.open()?;
        for _ in 0..3 {
            grow(&pipeline)?;
        }
        pipeline.close()?;
        Ok(chain)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn open(&self) -> eyre::Result<Pipeline> {
        let (pipeline, _) = Pipeline::open(PipelineConfig {
            datadir: self.data().into(),
            spec: self.spec.clone(),
            modules: causeway_bridge::modules(&self.spec),
            archive: false,
            address_index: None,
            history_blocks: 128,
            cache_bytes: 8 << 20,
        })?;
        Ok(pipeline)
    }

    /// Splits the log's end into files of a few entries.
    fn split_log(&self) -> eyre::Result<Vec<PathBuf>> {
        let log = Log::open_with(self.data().join("log"), 100)?;
        for n in 0..9 {
            let end = log.append(&[Entry::Vote(Bytes::from(vec![n; 30]))])?;
            log.sync(end)?;
        }
        let mut files = files(&self.data().join("log"));
        files.sort();
        ensure!(files.len() > 4, "{files:?}");
        Ok(files)
    }

    /// What `db verify` of the datadir says on standard error, and its exit code.
    fn verify(&self) -> eyre::Result<(String, Option<i32>)> {
        let output = causeway(self.dir.path(), &["db", "verify"])?;
        Ok((String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code()))
    }

    /// It is refused, and told so in these words, and no file of it is written anew.
    fn refused(&self, words: &[&str]) -> eyre::Result<()> {
        let before = contents(&self.data());
        let (said, code) = self.verify()?;
        ensure!(code == Some(6), "ended with {code:?}: {said}");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            ensure!(said.contains(word), "{word:?} is not in: {said}");
        }
        let after = contents(&self.data());
        let kept = before.iter().all(|file| after.contains(file));
        ensure!(kept, "a refused datadir was changed: {said}");
        let known = |path: &PathBuf| before.iter().any(|(old, _)| old == path);
        let new = after.iter().find(|(path, _)| !known(path) && !path.ends_with("lock"));
        ensure!(new.is_none(), "{new:?} was made anew: {said}");
        Ok(())
    }
}

/// A block without transactions on the newest one.
fn grow(pipeline: &Pipeline) -> eyre::Result<()> {
    let snapshot = pipeline.snapshot();
    let parent = snapshot.block(snapshot.latest().number)?.context("the newest block")?;
    let before = &parent.plan.claim;
    let claim = Claim {
        number: before.number + 1,
        parent: parent.claim_hash,
        time_ms: before.time_ms + 1000,
        ..before.clone()
    };
    let block =
        pipeline.execute(BlockPlan::new(claim, BlockBody::default(), Vec::new(), &|_| None))?;
    pipeline.commit(block.claim_hash, None, None)?;
    Ok(pipeline.flush()?)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// Every file below a folder and what is in it; of a database, which notes that it was opened, only
/// whether it is empty.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_path_buf()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(files(&path));
        } else {
            let mut bytes = fs::read(&path).unwrap_or_default();
            if path.ends_with("state.redb") {
                bytes.truncate(1);
                bytes.fill(0);
            }
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

fn flip(file: &Path, at: usize) -> eyre::Result<()> {
    let mut bytes = fs::read(file)?;
    bytes[at] ^= 4;
    Ok(fs::write(file, bytes)?)
}

const AGAIN: &str = "move it away and start again";

#[test]
fn a_damaged_database_is_refused_and_never_made_anew() -> eyre::Result<()> {
    let chain = Chain::new()?;
    let file = chain.data().join("state.redb");
    let whole = fs::read(&file)?;
    fs::write(&file, b"")?;
    chain.refused(&[
        "state.redb is empty",
        "identity says that this datadir holds a chain",
        AGAIN,
    ])?;
    fs::remove_file(&file)?;
    chain.refused(&["state.redb is missing", AGAIN])?;
    for keep in [100, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(&file, &whole[..keep])?;
        chain.refused(&["damaged", "state.redb", AGAIN])?;
    }
    fs::write(&file, vec![7; 100_000])?;
    chain.refused(&["damaged", "state.redb", AGAIN])?;
    // The header of a database says where everything else is.
    fs::write(&file, [&vec![0xff; 4096], &whole[4096..]].concat())?;
    chain.refused(&["damaged", "state.redb", AGAIN])?;
    fs::write(&file, &whole)?;
    let (said, code) = chain.verify()?;
    ensure!(code == Some(0), "{said}");
    Ok(())
}

#[test]
fn a_datadir_of_others_is_refused() -> eyre::Result<()> {
    let chain = Chain::new()?;
    let file = chain.data().join("identity");
    let ours = fs::read_to_string(&file)?;
    for text in ["", "nothing\n", "schema = 1\nidentity = 0x12\n"] {
        fs::write(&file, text)?;
        chain.refused(&["identity does not say whose datadir this is", AGAIN])?;
    }
    fs::write(&file, [0xff, 0xfe, 0x00])?;
    chain.refused(&["identity does not say whose datadir this is", AGAIN])?;
    fs::write(&file, ours.replace("schema = ", "schema = 9"))?;
    chain.refused(&["has schema 9", "run the newer version of the program that wrote it"])?;
    fs::write(&file, ours.replace("schema = 3", "schema = 0"))?;
    chain.refused(&["has schema 0", "move the datadir away and start again"])?;
    let other = Chain::new()?;
    fs::copy(other.data().join("identity"), &file)?;
    let (identity, stranger) = (chain.spec.identity(), other.spec.identity());
    ensure!(identity != stranger, "two new chains have one identity");
    let is_of = format!("is of chain {stranger}, the chain spec is of chain {identity}");
    chain.refused(&[&is_of, "use another datadir, or the spec that belongs to this one"])?;
    // The database says so itself if the file is gone.
    fs::remove_file(&file)?;
    fs::copy(other.data().join("state.redb"), chain.data().join("state.redb"))?;
    chain.refused(&[&is_of, "use another datadir"])?;
    Ok(())
}

#[test]
fn a_damaged_log_is_refused() -> eyre::Result<()> {
    let chain = Chain::new()?;
    let segments = chain.split_log()?;
    let durable =
        ["cannot be read, though it was durable once", "restore the datadir from a backup"];
    let refused = |file: &Path, alter: &dyn Fn() -> eyre::Result<()>| {
        let whole = fs::read(file)?;
        alter()?;
        chain.refused(&durable)?;
        Ok::<_, eyre::Report>(fs::write(file, whole)?)
    };
    for file in [&segments[0], &segments[2]] {
        let size = fs::metadata(file)?.len();
        refused(file, &|| flip(file, 3))?;
        refused(file, &|| flip(file, 40))?;
        refused(file, &|| flip(file, size as usize - 1))?;
        for keep in [0, 20, 32, size - 5] {
            refused(file, &|| Ok(fs::File::options().write(true).open(file)?.set_len(keep)?))?;
        }
    }
    refused(&segments[2], &|| Ok(fs::remove_file(&segments[2])?))?;
    let away = chain.dir.path().join("away");
    fs::rename(chain.data().join("log"), &away)?;
    chain.refused(&["the log holds offsets 0 to 0", "restore both from one backup"])?;
    fs::rename(&away, chain.data().join("log"))?;
    let (said, code) = chain.verify()?;
    ensure!(code == Some(0), "{said}");
    Ok(())
}

#[test]
fn what_a_crash_may_leave_is_mended() -> eyre::Result<()> {
    let chain = Chain::new()?;
    fs::remove_file(chain.data().join("identity"))?;
    for stray in ["state.redb.new", "identity.new", "verified.new"] {
        fs::write(chain.data().join(stray), b"half")?;
    }
    let newest = chain.split_log()?.pop().context("segments")?;
    fs::File::options().write(true).open(&newest)?.set_len(fs::metadata(&newest)?.len() - 7)?;
    let (said, code) = chain.verify()?;
    ensure!(code == Some(0), "{said}");
    ensure!(chain.data().join("identity").exists(), "the identity file did not come back");
    ensure!(chain.open()?.snapshot().latest().number == 3, "a block is gone");
    Ok(())
}

#[test]
fn a_second_process_is_kept_out_and_the_first_unharmed() -> eyre::Result<()> {
    let chain = Chain::new()?;
    let pipeline = chain.open()?;
    for _ in 0..2 {
        chain.refused(&["in use by another process", "stop it, or use another datadir"])?;
        let to = causeway(chain.dir.path(), &["db", "unwind", "--to", "0"])?;
        ensure!(to.status.code() == Some(6), "unwinding ended with {}", to.status);
        fs::write(chain.dir.path().join("plain.toml"), "")?;
        let settings = ["--node", "plain.toml", "--http", "127.0.0.1:0", "--datadir", "data"];
        let da = ["--role", "full", "--da-url", "http://127.0.0.1:1"];
        let second = causeway(chain.dir.path(), &[&["run"], &settings[..], &da].concat())?;
        let said = String::from_utf8_lossy(&second.stderr);
        ensure!(second.status.code() == Some(6), "{}: {said}", second.status);
        ensure!(said.contains("in use by another process"), "{said}");
        grow(&pipeline)?;
    }
    // Nor is there a moment while the database is made.
    let pending = chain.dir.path().join("fresh");
    fs::create_dir(&pending)?;
    let lock = fs::File::create(pending.join("lock"))?;
    lock.lock()?;
    let fresh = causeway(chain.dir.path(), &["db", "verify", "--datadir", "fresh"])?;
    ensure!(fresh.status.code() == Some(6), "ended with {}", fresh.status);
    ensure!(files(&pending).len() == 1, "{:?}", files(&pending));
    pipeline.close()?;
    let (said, code) = chain.verify()?;
    ensure!(code == Some(0), "{said}");
    ensure!(chain.open()?.snapshot().latest().number == 5, "a block is gone");
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_written_says_so() -> eyre::Result<()> {
    let chain = Chain::new()?;
    let file = chain.dir.path().join("file");
    fs::write(&file, b"")?;
    let output = causeway(chain.dir.path(), &["db", "verify", "--datadir", "file"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(6) && said.contains("a datadir is a folder"), "{said}");

    // Root may write anywhere, so that root's test is run as somebody else.
    let program = chain.dir.path().join("causeway");
    fs::copy(env!("CARGO_BIN_EXE_causeway"), &program)?;
    for path in [chain.dir.path(), &chain.data(), &chain.data().join("log")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o555))?;
    }
    let mut command = Command::new(&program);
    command.args(["db", "verify"]).current_dir(chain.dir.path());
    let is_root = fs::write(chain.dir.path().join("probe"), b"").is_ok();
    if is_root {
        command.uid(65_534).gid(65_534);
    }
    let output = command.output()?;
    for path in [chain.dir.path(), &chain.data(), &chain.data().join("log")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(6), "ended with {}: {said}", output.status);
    ensure!(said.contains("Permission denied") && said.contains("let its user own"), "{said}");
    Ok(())
}

#[test]
fn a_disk_without_room_says_so_and_the_next_start_makes_good() -> eyre::Result<()> {
    let chain = Chain::new()?;
    // A file may not grow beyond so many blocks of 512 bytes: less than a new database takes.
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" db verify --datadir fresh";
    let limited = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_causeway")])
        .current_dir(chain.dir.path())
        .output()?;
    let said = String::from_utf8_lossy(&limited.stderr);
    ensure!(limited.status.code() == Some(6), "ended with {}: {said}", limited.status);
    ensure!(said.contains("make room and start again"), "{said}");
    let fresh = chain.dir.path().join("fresh");
    ensure!(!fresh.join("identity").exists(), "a datadir without genesis says it holds a chain");
    let output = causeway(chain.dir.path(), &["db", "verify", "--datadir", "fresh"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "with room again: {}: {said}", output.status);
    Ok(())
}
