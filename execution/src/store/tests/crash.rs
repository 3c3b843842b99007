//! Power cuts: the storage stops at every write and sync, and keeps what it must and a random
//! part of what it may.

use std::io;

use redb::StorageBackend;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Write(u64, Vec<u8>),
    Resize(u64),
}

impl Op {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Resize(len) => file.resize(*len as usize, 0),
            Self::Write(offset, data) => {
                let (start, end) = (*offset as usize, *offset as usize + data.len());
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[start..end].copy_from_slice(data);
            }
        }
    }
}

#[derive(Debug, Default)]
struct DiskState {
    /// As the process sees it.
    seen: Vec<u8>,
    /// As the last sync left it.
    synced: Vec<u8>,
    /// Since then.
    pending: Vec<Op>,
    /// Operations so far.
    count: u64,
    /// The operation that fails, and whether all after it fail too.
    fail: Option<(u64, bool)>,
}

/// A disk whose power can be cut.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<DiskState>>);

impl Disk {
    fn holding(bytes: Vec<u8>) -> Self {
        let state = DiskState { seen: bytes.clone(), synced: bytes, ..Default::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn step(&self, op: Option<Op>) -> io::Result<()> {
        let disk = &mut *self.0.lock();
        disk.count += 1;
        if let Some((at, for_ever)) = disk.fail
            && (disk.count == at || (for_ever && disk.count > at))
        {
            return Err(io::Error::other("no power"));
        }
        match op {
            Some(op) => {
                op.apply(&mut disk.seen);
                disk.pending.push(op);
            }
            None => {
                disk.pending.clear();
                disk.synced = disk.seen.clone();
            }
        }
        Ok(())
    }

    /// What is on the platter after a power cut: everything synced, and of the rest a prefix or
    /// any part, writes torn at sectors.
    fn after_cut(&self, chance: &mut Chance) -> Vec<u8> {
        let disk = self.0.lock();
        let mut file = disk.synced.clone();
        let prefix = (chance.below(2) == 0).then(|| chance.below(disk.pending.len() as u64 + 1));
        for (index, op) in disk.pending.iter().enumerate() {
            match (prefix, op) {
                (Some(end), op) if (index as u64) < end => op.apply(&mut file),
                (Some(_), _) => {}
                (None, Op::Resize(_)) => op.apply(&mut file),
                (None, Op::Write(offset, data)) => {
                    for (sector, part) in data.chunks(512).enumerate() {
                        if chance.below(2) == 0 {
                            Op::Write(offset + sector as u64 * 512, part.to_vec()).apply(&mut file);
                        }
                    }
                }
            }
        }
        file
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().seen.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (disk, start) = (self.0.lock(), offset as usize);
        let part = disk.seen.get(start..start + out.len());
        out.copy_from_slice(part.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(Some(Op::Resize(len)))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.step(None)
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(Some(Op::Write(offset, data.to_vec())))
    }
}

type Rows = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

/// A store with some blocks, the batches that follow, and its rows before and after each.
fn workload() -> (Vec<u8>, Vec<Batch>, Vec<Rows>) {
    let disk = Disk::default();
    let store = Store::with_backend(disk.clone(), config()).unwrap();
    let mut chain = Chain::default();
    chain.grow(&store, 6, 3, 50);
    let start = {
        drop(store);
        disk.0.lock().seen.clone()
    };
    let store = Store::with_backend(Disk::holding(start.clone()), config()).unwrap();
    let mut rows = vec![dump(&store)];
    let mut batches = Vec::new();
    for round in 0..8u64 {
        let mut batch = Batch { log_offset: 1000 + round, ..Default::default() };
        let mut from = chain.blocks.len();
        if round % 3 == 2 {
            // Leave the last two blocks for one other.
            batch.unwind_to = Some(from as u64 - 3);
            chain.truncate(from as u64 - 3);
            store.commit(&Batch { unwind_to: batch.unwind_to, ..Default::default() }).unwrap();
            from -= 2;
        }
        chain.grow(&store, 2, 2, 51 + round);
        batch.blocks = chain.blocks[from..].to_vec();
        batch.derived = vec![(round, Bytes::from_static(b"derived"))];
        batch.safe = Some(from as u64 - 1);
        let step =
            Batch { blocks: Vec::new(), unwind_to: None, derived: batch.derived.clone(), ..batch };
        store.commit(&step).unwrap();
        batch = Batch { blocks: chain.blocks[from..].to_vec(), unwind_to: batch.unwind_to, ..step };
        batches.push(batch);
        rows.push(dump(&store));
    }
    (start, batches, rows)
}

/// Runs the batches until one fails; returns how many were acknowledged.
fn run(disk: &Disk, batches: &[Batch]) -> usize {
    let Ok(store) = Store::with_backend(disk.clone(), config()) else { return 0 };
    let done = batches.iter().take_while(|batch| store.commit(batch).is_ok()).count();
    if done < batches.len() {
        // It does not try again, whatever the disk says now.
        assert!(matches!(store.commit(&batches[done]), Err(ExecutionError::Storage(_))));
    }
    done
}

#[test]
fn after_a_power_cut_the_store_is_before_or_after_the_batch() {
    let (start, batches, rows) = workload();
    let disk = Disk::holding(start.clone());
    assert_eq!(run(&disk, &batches), batches.len());
    let total = disk.0.lock().count;
    assert!(total > 30, "{total} operations");
    let (mut before, mut after) = (0, 0);
    for cut in 1..=total {
        let disk = Disk::holding(start.clone());
        disk.0.lock().fail = Some((cut, true));
        let done = run(&disk, &batches);
        for variant in 0..3 {
            let left = disk.after_cut(&mut Chance::new(cut * 3 + variant));
            let store = Store::with_backend(Disk::holding(left), config())
                .unwrap_or_else(|error| panic!("cut {cut}, variant {variant}: {error}"));
            let found = dump(&store);
            if found == rows[done] {
                before += 1;
            } else {
                assert!(
                    rows.get(done + 1) == Some(&found),
                    "cut {cut}, variant {variant}: neither state {done} nor {}",
                    done + 1
                );
                after += 1;
            }
        }
    }
    assert!(before > 0 && after > 0, "{before} before, {after} after");
}

#[test]
fn after_one_failed_write_or_sync_nothing_is_written_any_more() {
    let (start, batches, rows) = workload();
    let disk = Disk::holding(start.clone());
    run(&disk, &batches);
    let total = disk.0.lock().count;
    for cut in 1..=total {
        let disk = Disk::holding(start.clone());
        disk.0.lock().fail = Some((cut, false));
        let done = run(&disk, &batches);
        let left = disk.after_cut(&mut Chance::new(cut));
        let store = Store::with_backend(Disk::holding(left), config()).unwrap();
        let found = dump(&store);
        assert!(found == rows[done] || rows.get(done + 1) == Some(&found), "failure {cut}");
    }
}
