//! Power cuts, kills and failing disks at every operation of the log alone.

use super::*;

/// What a test asked of a log, and what was answered.
#[derive(Default)]
struct Told {
    /// Entries appended, or about to be.
    asked: u64,
    /// Of these, how many are promised, after how many operations.
    acked: Vec<(u64, u64)>,
}

impl Told {
    /// How many entries a cut in the middle of an operation must leave.
    fn least(&self, op: u64) -> u64 {
        self.acked.iter().filter(|(ops, _)| *ops < op).map(|(_, count)| *count).max().unwrap_or(0)
    }
}

fn open(disk: &Faulty) -> Result<Log, ExecutionError> {
    Log::open_with(disk.folder("log"), 150)
}

/// Appends groups, syncs some of them, and drops old segments in between: several at once, with
/// everything in them carried forward.
fn work(log: &Log, disk: &Faulty, told: &mut Told) -> Result<(), ExecutionError> {
    for group in 0..16 {
        let many = 1 + group % 3;
        let entries: Vec<_> = (told.asked..told.asked + many).map(vote).collect();
        told.asked += many;
        let end = log.append(&entries)?;
        if group % 4 != 1 {
            log.sync(end)?;
            told.acked.push((disk.ops(), told.asked));
        }
        if group % 5 == 4 {
            log.truncate(log.end(), &mut Ok)?;
        }
    }
    Ok(())
}

/// Votes by age, copies once.
fn votes(log: &Log) -> Vec<Entry> {
    let mut records = read(log, 0);
    records.sort_by_key(|record| record.first);
    records.dedup_by_key(|record| record.first);
    records.into_iter().map(|record| record.entry).collect()
}

/// A prefix of what was asked is there, and no less than was promised. Returns how many.
fn holds(log: &Log, least: u64, most: u64, what: &str) -> u64 {
    let found = votes(log);
    let count = found.len() as u64;
    assert_eq!(found, (0..count).map(vote).collect::<Vec<_>>(), "{what}");
    assert!((least..=most).contains(&count), "{what}: {count} entries of {least} to {most}");
    count
}

fn opened(disk: &Faulty, what: &str) -> Log {
    open(disk).unwrap_or_else(|error| panic!("{what}: {error}"))
}

#[test]
fn nothing_promised_is_lost_wherever_the_power_goes() {
    let disk = Faulty::new(0);
    disk.record();
    let mut told = Told::default();
    work(&open(&disk).unwrap(), &disk, &mut told).unwrap();
    assert!(disk.ops() > 80, "{} operations", disk.ops());
    for op in 0..=disk.ops() {
        for seed in 0..8 {
            let what = format!("cut at {op}, seed {seed}");
            let first = disk.cut_at(op, seed).unwrap();
            // The second run is cut as well: while it opens, or when it has appended.
            first.fail_at(1 + seed, Fault::Cut);
            let mut least = told.least(op);
            let mut most = told.asked;
            if let Ok(log) = open(&first) {
                least = holds(&log, least, most, &what);
                most = least + 1;
                if let Ok(()) = log.append(&[vote(least)]).and_then(|end| log.sync(end)) {
                    least += 1;
                }
            }
            holds(&opened(&first.after_cut(seed), &what), least, most, &what);
        }
    }
}

#[test]
fn a_process_killed_anywhere_leaves_no_doubt_to_the_next_power_cut() {
    let disk = Faulty::new(0);
    disk.record();
    let mut told = Told::default();
    work(&open(&disk).unwrap(), &disk, &mut told).unwrap();
    for op in 0..=disk.ops() {
        let what = format!("killed at {op}");
        let killed = disk.kill_at(op, op).unwrap();
        let log = opened(&killed, &what);
        let count = holds(&log, told.least(op), told.asked, &what);
        let end = log.append(&[vote(count)]).unwrap();
        log.sync(end).unwrap();
        for seed in 0..4 {
            holds(&opened(&killed.after_cut(seed), &what), count + 1, count + 1, &what);
        }
    }
}

#[test]
fn a_failing_disk_ends_the_log_and_the_next_start_makes_good() {
    let whole = Faulty::new(0);
    work(&open(&whole).unwrap(), &whole, &mut Told::default()).unwrap();
    for op in 1..=whole.ops() {
        for fault in [Fault::ErrorOnce, Fault::ErrorForEver, Fault::Full, Fault::Short] {
            let what = format!("{fault:?} at {op}");
            let disk = Faulty::new(op);
            disk.fail_at(op, fault);
            let mut told = Told::default();
            if let Ok(log) = open(&disk)
                && work(&log, &disk, &mut told).is_err()
                && log.healthy().is_err()
            {
                let ops = disk.ops();
                assert!(matches!(log.sync(0), Err(ExecutionError::Storage(_))), "{what}");
                let appended = log.append(&[vote(0)]);
                assert!(matches!(appended, Err(ExecutionError::Storage(_))), "{what}");
                assert_eq!(disk.ops(), ops, "{what}: it is tried again");
            }
            let (least, most) = (told.least(u64::MAX), told.asked);
            holds(&opened(&disk.after_cut(op), &what), least, most, &what);
            // Started again without a power cut, the kernel may show what the disk never got.
            let next = disk.after_kill(op);
            let count = holds(&opened(&next, &what), least, most, &what);
            let log = opened(&next, &what);
            let end = log.append(&[vote(count)]).unwrap();
            log.sync(end).unwrap();
            holds(&opened(&next.after_cut(op), &what), count + 1, count + 1, &what);
        }
    }
}
