//! Files that may come from elsewhere or be damaged: blocks to import, the durable log, the local
//! DA service's blocks.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use causeway_da::DaError;
use causeway_da::local::{LocalConfig, LocalDa};
use causeway_execution::ExecutionError;
use causeway_execution::disk::Faulty;
use causeway_execution::log::{Entry, Log};
use causeway_node::cli::blocks::{FileBlock, read_record};
use tempfile::TempDir;

use super::lab;
use super::values::canonical;
use crate::keys;

/// Where files of inputs are written: in memory where the system has such a place.
static PLACE: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    made.expect("a directory can be made")
});

/// An empty directory of this thread.
fn empty(name: &str) -> PathBuf {
    let thread = format!("{name}-{:?}", std::thread::current().id());
    let dir = PLACE.path().join(thread);
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => std::fs::create_dir_all(&dir).expect("a directory can be made"),
    }
    dir
}

/// A file of blocks behind its head: lengths and records.
pub(super) fn blocks(bytes: &[u8]) {
    let mut rest = bytes;
    let (mut read, mut count) = (0, 0);
    // An error ends the import, as the end does.
    while let Ok(Some(record)) = read_record(&mut rest) {
        read += record.len() + 4;
        count += 1;
        if let Some(block) = canonical::<FileBlock>(&record) {
            assert!(block.forced.len() + block.body.candidates.len() <= record.len());
        }
    }
    assert!(read <= bytes.len() && count <= bytes.len() / 4);
}

/// The only segment of a log: frames whatever their checksums are.
pub(super) fn log(bytes: &[u8]) {
    let folder = Faulty::new(0).folder("log");
    let (disk, name) = (folder.disk(), folder.file(&format!("{:020}.log", 0)));
    disk.create_dir(folder.path()).expect("memory takes a folder");
    let file = disk.create(&name).expect("memory takes a file");
    file.write_at(bytes, 0).expect("memory takes bytes");
    let log = match Log::open(folder.clone()) {
        Ok(log) => log,
        Err(error) => return assert!(matches!(error, ExecutionError::Damaged(_)), "{error}"),
    };
    let mut entries = Vec::new();
    let read = log.replay(0, &mut |record| {
        assert!(record.offset < record.end && record.end <= log.end());
        entries.push(record.entry);
        Ok(())
    });
    match read {
        // What was read is there again when it is opened again, and what is appended follows it.
        Ok(()) => {
            let end = log.append(&[Entry::Vote(Default::default())]).expect("it can be appended");
            log.sync(end).expect("and synced");
            drop(log);
            let mut again = Vec::new();
            let log = Log::open(folder).expect("what was synced opens");
            log.replay(0, &mut |record| {
                again.push(record.entry);
                Ok(())
            })
            .expect("and reads");
            assert_eq!(again.pop(), Some(Entry::Vote(Default::default())));
            assert_eq!(again, entries);
        }
        // Frames that hold, with something in them that is no entry of ours.
        Err(ExecutionError::Damaged(_) | ExecutionError::Datadir(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

/// The only segment of a DA service.
pub(super) fn da(bytes: &[u8]) {
    let dir = empty("da");
    std::fs::write(dir.join(format!("{:020}.seg", 0)), bytes).expect("a file can be written");
    match LocalDa::open(&dir, keys::sequencer(), LocalConfig::default()) {
        Ok(da) => {
            let (latest, finalized) = da.heads().expect("it has block 0");
            assert!(finalized.header.height <= latest.header.height);
            for height in 0..=latest.header.height {
                da.read(height).expect("what it has can be read");
            }
        }
        // Another key's blocks are an error of settings.
        Err(DaError::Damaged(_) | DaError::Config(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

pub(super) fn blocks_seeds() -> Vec<Vec<u8>> {
    let block = lab::a_block();
    let record = alloy_rlp::encode(FileBlock {
        claim: block.claim,
        body: block.body,
        forced: Vec::new(),
        seal: vec![causeway_chainspec::Seal { view: 0, proof: lab::good_seal() }],
        hash: Default::default(),
    });
    let length = u32::try_from(record.len()).expect("seeds are short").to_be_bytes();
    let one = [&length[..], &record].concat();
    vec![one.repeat(2), one, vec![0xff; 8]]
}

fn first_file(dir: &Path) -> Vec<u8> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .expect("the directory is readable")
        .map(|entry| entry.expect("an entry is readable").path())
        .filter(|path| path.extension().is_some_and(|end| end == "log" || end == "seg"))
        .collect();
    names.sort();
    std::fs::read(&names[0]).expect("a segment is readable")
}

pub(super) fn log_seeds() -> Vec<Vec<u8>> {
    let dir = empty("log-seeds");
    let log = Log::open(dir.as_path()).expect("a new log");
    let mut seeds = vec![first_file(&dir)];
    for (_, bytes) in lab::records().into_iter().filter(|(kind, _)| *kind == 4) {
        let (_, entry) = Entry::decode(&bytes).expect("a record of ours");
        if entry.encode().len() < 1000 {
            let end = log.append(&[entry]).expect("it can be appended");
            log.sync(end).expect("and synced");
        }
        seeds.push(first_file(&dir));
    }
    seeds.retain(|seed| seed.len() < 4000);
    seeds.dedup();
    seeds.split_off(seeds.len().saturating_sub(6))
}

pub(super) fn da_seeds() -> Vec<Vec<u8>> {
    let dir = empty("da-seeds");
    let open = || LocalDa::open(&dir, keys::sequencer(), LocalConfig::default());
    let da = open().expect("a new service");
    let mut seeds = vec![first_file(&dir)];
    for height in 1..4 {
        let blob = vec![height as u8; 50].into();
        let _waits = da.submit(lab::IDENTITY, vec![blob]).expect("there is room");
        da.produce(height * 1000).expect("a block is made");
        seeds.push(first_file(&dir));
    }
    seeds
}
