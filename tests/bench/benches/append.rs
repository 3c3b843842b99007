//! Whether bodies and receipts belong into the B-tree: what a batch of blocks costs to store with
//! its append-only data as values of redb, against an appended file with redb holding the offsets.
//! Either way one commit is durable (`Immediate`, two-phase) at the end, as in the node's store.

use std::fs::File;
use std::io::Write;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use redb::{Database, TableDefinition};
use tempfile::TempDir;

/// What the persist thread gathers under load: blocks of a third of a second.
const BLOCKS: u64 = 6;
/// Transactions of a block, each with its receipt.
const TXS: usize = 1_000;
/// Bytes a transaction and its receipt take, about.
const BYTES: usize = 250;
/// Batches written before one is measured, so that the tree has some depth.
const BEFORE: u64 = 50;
/// Rows of state that the same commit writes besides.
const ROWS: u64 = 4_000;

const BODIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bodies");
const PLACES: TableDefinition<'_, u64, (u64, u64)> = TableDefinition::new("places");
const STATE: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("state");

struct Stored {
    _dir: TempDir,
    db: Database,
    file: File,
    end: u64,
    next: u64,
    body: Vec<u8>,
}

impl Stored {
    fn new(in_tree: bool) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let db = Database::create(dir.path().join("db")).expect("an empty directory");
        let file = File::create(dir.path().join("bodies")).expect("an empty directory");
        // Signatures and hashes do not compress, and redb does not try.
        let mut state = 1_u64;
        let body = (0..TXS * BYTES)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        let mut stored = Self { _dir: dir, db, file, end: 0, next: 0, body };
        for _ in 0..BEFORE {
            stored.batch(in_tree);
        }
        stored
    }

    /// Writes a batch of blocks, durably.
    fn batch(&mut self, in_tree: bool) {
        let mut write = self.db.begin_write().expect("the disk works");
        write.set_two_phase_commit(true);
        write.set_quick_repair(true);
        let numbers = self.next..self.next + BLOCKS;
        self.next = numbers.end;
        if in_tree {
            let mut bodies = write.open_table(BODIES).expect("a table");
            for number in numbers.clone() {
                bodies.insert(number, self.body.as_slice()).expect("the disk works");
            }
        } else {
            let mut places = write.open_table(PLACES).expect("a table");
            for number in numbers.clone() {
                self.file.write_all(&self.body).expect("the disk works");
                let length = self.body.len() as u64;
                places.insert(number, (self.end, length)).expect("the disk works");
                self.end += length;
            }
            self.file.sync_data().expect("the disk works");
        }
        {
            let mut state = write.open_table(STATE).expect("a table");
            for row in 0..ROWS {
                let mixed = (numbers.start * ROWS + row).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let mut key = [0; 32];
                key[..8].copy_from_slice(&mixed.to_be_bytes());
                state.insert(key, [7; 70].as_slice()).expect("the disk works");
            }
        }
        write.commit().expect("the disk works");
    }
}

fn append_only(c: &mut Criterion) {
    let mut group = c.benchmark_group("append_only");
    group.throughput(Throughput::Elements(BLOCKS * TXS as u64));
    group.sample_size(20);
    for (name, in_tree) in [("in_the_tree", true), ("in_a_file", false)] {
        let mut stored = Stored::new(in_tree);
        group.bench_function(name, |b| {
            b.iter_batched(|| (), |()| stored.batch(in_tree), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(append, append_only);
criterion_main!(append);
