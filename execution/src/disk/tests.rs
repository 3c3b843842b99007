//! What the simulated disk promises, and that the real one answers alike.

use std::collections::BTreeSet;

use super::*;

fn both() -> (Vec<Folder>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (vec![dir.path().join("a/b").into(), Faulty::new(0).folder("/a/b")], dir)
}

fn names(folder: &Folder) -> BTreeSet<String> {
    folder.disk().list(folder.path()).unwrap().into_iter().collect()
}

#[test]
fn both_disks_answer_alike() {
    let (folders, _dir) = both();
    for folder in folders {
        let disk = folder.disk();
        let missing = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let (one, two) = (folder.file("one"), folder.file("two"));
        missing(disk.list(folder.path()).unwrap_err());
        missing(disk.create(&one).unwrap_err());
        disk.create_dir(folder.path()).unwrap();
        disk.create_dir(folder.path()).unwrap();
        missing(disk.open(&one).unwrap_err());
        missing(disk.read(&one).unwrap_err());
        missing(disk.remove(&one).unwrap_err());
        missing(disk.rename(&one, &two).unwrap_err());
        assert_eq!(disk.len(&one).unwrap(), None);

        let file = disk.create(&one).unwrap();
        file.write_at(b"hello", 2).unwrap();
        assert_eq!(disk.read(&one).unwrap(), b"\0\0hello");
        file.set_len(4).unwrap();
        file.set_len(5).unwrap();
        file.sync_data().unwrap();
        assert_eq!((file.len().unwrap(), disk.len(&one).unwrap()), (5, Some(5)));
        let mut out = [9; 3];
        disk.open(&one).unwrap().read_at(&mut out, 2).unwrap();
        assert_eq!(&out, b"he\0");
        let error = file.read_at(&mut out, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);

        disk.create(&two).unwrap().write_at(b"two", 0).unwrap();
        disk.rename(&two, &one).unwrap();
        assert_eq!(disk.read(&one).unwrap(), b"two");
        folder.replace("one", b"replaced").unwrap();
        assert_eq!(disk.read(&one).unwrap(), b"replaced");
        assert_eq!(names(&folder), BTreeSet::from(["one".into()]));
        assert!(disk.create(&one).unwrap().len().unwrap() == 0);
        disk.remove(&one).unwrap();
        disk.sync_dir(folder.path()).unwrap();

        let lock = disk.lock(&two).unwrap();
        assert!(lock.is_some() && disk.lock(&two).unwrap().is_none());
        drop(lock);
        assert!(disk.lock(&two).unwrap().is_some());
    }
}

#[test]
fn what_is_synced_survives_and_what_is_not_may() {
    let disk = Faulty::new(1);
    let folder = disk.folder("/d");
    disk.create_dir(folder.path()).unwrap();
    let kept = disk.create(&folder.file("kept")).unwrap();
    kept.write_at(&[1; 2000], 0).unwrap();
    kept.sync_data().unwrap();
    disk.sync_dir(folder.path()).unwrap();
    kept.write_at(&[2; 1000], 1000).unwrap();
    kept.write_at(&[3; 1000], 2000).unwrap();
    let lost = disk.create(&folder.file("lost")).unwrap();
    lost.write_at(b"synced, but the name is not", 0).unwrap();
    lost.sync_data().unwrap();
    disk.rename(&folder.file("lost"), &folder.file("renamed")).unwrap();

    let (mut contents, mut listed) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..200 {
        let after = disk.after_cut(seed);
        let bytes = Disk::read(&after, &folder.file("kept")).unwrap();
        assert_eq!(bytes, Disk::read(&disk.after_cut(seed), &folder.file("kept")).unwrap());
        assert!(bytes[..1000] == [1; 1000] && bytes.len() <= 3000);
        // Torn at sectors of the file, not of the write.
        assert!([[1; 24], [2; 24]].concat().chunks(24).any(|part| part == &bytes[1000..1024]));
        contents.insert(bytes);
        listed.insert(after.list(folder.path()).unwrap());
    }
    assert!(contents.len() > 10, "{} outcomes", contents.len());
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let outcomes = [names(&["kept"]), names(&["kept", "lost"]), names(&["kept", "renamed"])];
    assert_eq!(listed, BTreeSet::from(outcomes));
    assert!(kept.len().is_err() && disk.read(&folder.file("kept")).is_err(), "no power");
}

#[test]
fn faults_come_when_they_are_due() {
    let run = |fault| {
        let disk = Faulty::new(2);
        let folder = disk.folder("/d");
        disk.create_dir(folder.path()).unwrap();
        let file = disk.create(&folder.file("f")).unwrap();
        disk.fail_at(disk.ops() + 2, fault);
        let results = [
            file.write_at(&[1; 100], 0),
            file.write_at(&[2; 100], 100),
            file.write_at(&[3; 10], 0),
            file.sync_data(),
            file.set_len(500),
        ];
        assert!(disk.failed());
        let ok: Vec<bool> = results.iter().map(Result::is_ok).collect();
        let code = results[1].as_ref().unwrap_err().raw_os_error();
        (disk, ok, code)
    };
    assert_eq!(run(Fault::Cut).1, [true, false, false, false, false]);
    let (_, ok, code) = run(Fault::ErrorOnce);
    assert_eq!((ok, code), (vec![true, false, true, true, true], Some(5)));
    let (_, ok, code) = run(Fault::ErrorForEver);
    assert_eq!((ok, code), (vec![true, false, false, false, false], Some(5)));
    let (_, ok, code) = run(Fault::Short);
    assert_eq!((ok, code), (vec![true, false, true, true, true], Some(28)));
    let (disk, ok, code) = run(Fault::Full);
    assert_eq!((ok, code), (vec![true, false, true, true, false], Some(28)));
    disk.free_space();
    disk.open(Path::new("/d/f")).unwrap().set_len(500).unwrap();
}

#[test]
fn after_a_failed_sync_a_second_one_answers_for_nothing() {
    let mut lengths = BTreeSet::new();
    for seed in 0..40 {
        let disk = Faulty::new(seed);
        disk.create_dir(Path::new("/d")).unwrap();
        let file = disk.create(Path::new("/d/f")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(b"gone", 0).unwrap();
        disk.fail_at(disk.ops() + 1, Fault::ErrorOnce);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(disk.read(Path::new("/d/f")).unwrap(), b"gone", "still seen");
        lengths.insert(Disk::len(&disk.after_cut(seed), Path::new("/d/f")).unwrap());
    }
    assert_eq!(lengths, BTreeSet::from([Some(0), Some(4)]));
}

#[test]
fn a_recorded_run_can_be_cut_anywhere_afterwards() {
    let disk = Faulty::new(3);
    disk.create_dir(Path::new("/d")).unwrap();
    disk.record();
    let file = disk.create(Path::new("/d/f")).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    for byte in 0..4 {
        file.write_at(&[byte], u64::from(byte)).unwrap();
        file.sync_data().unwrap();
    }
    assert_eq!(disk.ops(), 10);
    for op in 0..=10 {
        let after = disk.cut_at(op, op).unwrap();
        // The name is durable behind operation 2, and a byte behind each second one after it.
        let len = Disk::len(&after, Path::new("/d/f")).unwrap();
        let least = (op > 2).then(|| (op - 3) / 2);
        assert!(len >= least && len.is_none_or(|len| len <= (op.max(2) - 1) / 2), "{op}: {len:?}");
    }
    assert!(disk.cut_at(11, 0).is_none());
    assert_eq!(disk.copy(0).read(Path::new("/d/f")).unwrap(), [0, 1, 2, 3]);
    assert_eq!(disk.after_kill(0).read(Path::new("/d/f")).unwrap(), [0, 1, 2, 3]);
}
