//! Restarts: kills, torn logs, failing stores, damaged datadirs.

use super::*;
use crate::disk::Faulty;

#[test]
fn a_killed_node_comes_back_with_everything_it_acknowledged() {
    for held in [true, false] {
        let dir = TempDir::new().unwrap();
        let pipeline = open(&dir);
        if held {
            hold(&pipeline);
        }
        let (included, waiting) = (transfer(0, 0, BOB, 5), transfer(1, 3, BOB, 5));
        pipeline.accept(&[included.clone(), waiting.clone()]).unwrap();
        pipeline.append_vote(Bytes::from_static(b"one")).unwrap();
        pipeline.append_vote(Bytes::from_static(b"two")).unwrap();
        let built = pipeline
            .build(draft(&newest(&pipeline), &[included, waiting.clone()]), &Stop::never())
            .unwrap();
        let id = BlockId { number: 1, claim: built.block.claim_hash, hash: built.block.hash };
        let seal = Seal { view: 0, proof: Bytes::from_static(b"seal") };
        let identity = B256::ZERO;
        let tuple = SealTuple { identity, term: 0, view: 0, number: 1, claim: id.claim };
        pipeline.commit(id.claim, Some(seal.clone()), Some(tuple)).unwrap();
        for nonce in 1..6 {
            grow(&pipeline, &[transfer(0, nonce, BOB, 1)]);
        }
        pipeline.derived(7, Bytes::from_static(b"seven"), 2, 1).unwrap();
        pipeline.sync().unwrap();
        let (before, heads) = (ids(&pipeline), pipeline.core.picture().heads);
        drop(pipeline);

        let (pipeline, recovered) = Pipeline::open(config(dir.path())).unwrap();
        assert_eq!(ids(&pipeline), before);
        assert_eq!(pipeline.core.picture().heads, heads);
        assert_eq!(recovered.accepted, vec![waiting]);
        assert_eq!(recovered.last_signed, Some(tuple));
        assert_eq!(recovered.votes, vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
        let snapshot = pipeline.snapshot();
        assert_eq!(snapshot.seal(1).unwrap(), Some(seal));
        assert_eq!(snapshot.seal(2).unwrap(), None);
        assert_eq!(snapshot.last_derived().unwrap(), Some((7, Bytes::from_static(b"seven"))));
        let block = grow(&pipeline, &[transfer(0, 6, BOB, 1)]);
        assert_eq!(block.txs.len(), 1);
        pipeline.close().unwrap();
        let (pipeline, _) = Pipeline::open(config(dir.path())).unwrap();
        assert_eq!(pipeline.snapshot().latest().hash, block.hash);
        assert!(pipeline.core.picture().layers.is_empty());
    }
}

#[test]
fn what_was_final_is_final_after_the_power_was_cut() {
    for seed in 0..16 {
        let on = |disk: &Faulty| PipelineConfig {
            datadir: disk.folder("/datadir"),
            ..config(Path::new(""))
        };
        let disk = Faulty::in_step(seed);
        let (pipeline, _) = Pipeline::open(on(&disk)).unwrap();
        grow(&pipeline, &[transfer(0, 0, BOB, 1)]);
        pipeline.derived(7, Bytes::from_static(b"seven"), 1, 1).unwrap();
        let found = disk.after_cut(seed);
        drop(pipeline);
        let (pipeline, _) = Pipeline::open(on(&found)).unwrap();
        assert_eq!(pipeline.snapshot().finalized().number, 1, "seed {seed}");
    }
}

#[test]
fn adopted_blocks_are_durable_together_and_seen_only_then() {
    let dir = TempDir::new().unwrap();
    let maker = open(&dir);
    let blocks: Vec<_> = (0..5).map(|nonce| grow(&maker, &[transfer(0, nonce, BOB, 1)])).collect();
    let whole = ids(&maker);
    let seal = |at: usize| Seal { view: 0, proof: vec![at as u8].into() };
    let plans = |from: usize| -> Vec<_> {
        let blocks = blocks.iter().enumerate().skip(from);
        blocks.map(|(at, block)| (block.plan.clone(), Some(seal(at)))).collect()
    };
    for seed in 0..6 {
        let on = |disk: &Faulty| PipelineConfig {
            datadir: disk.folder("/datadir"),
            ..config(Path::new(""))
        };
        let disk = Faulty::in_step(seed);
        let (pipeline, _) = Pipeline::open(on(&disk)).unwrap();
        // On a block that is executed and not the newest: nothing happens.
        pipeline.execute(blocks[0].plan.clone()).unwrap();
        assert!(matches!(pipeline.adopt(plans(1)), Err(ExecutionError::Unknown(_))));
        assert_eq!(pipeline.snapshot().latest().number, 0);
        disk.record();
        let adopted = pipeline.adopt(plans(0)).unwrap();
        assert!(adopted.iter().map(|block| block.hash).eq(blocks.iter().map(|block| block.hash)));
        assert_eq!(ids(&pipeline), whole);
        for op in 0..=disk.ops() {
            let Some(found) = disk.cut_at(op, seed) else { continue };
            let (pipeline, _) = Pipeline::open(on(&found)).unwrap();
            assert!(whole.starts_with(&ids(&pipeline)), "seed {seed}, operation {op}");
        }
        let found = disk.after_cut(seed);
        drop(pipeline);
        let (pipeline, _) = Pipeline::open(on(&found)).unwrap();
        assert_eq!(ids(&pipeline), whole, "seed {seed}");
        assert_eq!(pipeline.snapshot().seal(3).unwrap(), Some(seal(2)));
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

#[test]
fn a_torn_log_gives_a_shorter_chain_and_never_another() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    hold(&pipeline);
    for nonce in 0..6 {
        grow(&pipeline, &[transfer(0, nonce, BOB, 1)]);
    }
    let whole = ids(&pipeline);
    drop(pipeline);
    let log = std::fs::read_dir(dir.path().join("log")).unwrap().next().unwrap().unwrap();
    let size = log.metadata().unwrap().len();
    let mut lengths = std::collections::BTreeSet::new();
    for part in 0..=14 {
        let copy = TempDir::new().unwrap();
        copy_dir(dir.path(), copy.path());
        let torn = copy.path().join("log").join(log.file_name());
        std::fs::File::options().write(true).open(torn).unwrap().set_len(size * part / 14).unwrap();
        let pipeline = open(&copy);
        let kept = ids(&pipeline);
        assert!(whole.starts_with(&kept));
        lengths.insert(kept.len());
        grow(&pipeline, &[]);
        let grown = ids(&pipeline);
        drop(pipeline);
        assert_eq!(ids(&open(&copy)), grown);
    }
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), (1..=7).collect::<Vec<_>>());
}

/// An empty block on the newest one, and what was signed of it.
fn grow_signed(pipeline: &Pipeline) -> SealTuple {
    let built = pipeline.build(draft(&newest(pipeline), &[]), &Stop::never()).unwrap();
    let (claim, number) = (built.block.claim_hash, built.block.plan.claim.number);
    let tuple = SealTuple { identity: B256::ZERO, term: 0, view: 0, number, claim };
    pipeline.commit(claim, None, Some(tuple)).unwrap();
    tuple
}

#[test]
fn a_torn_log_never_keeps_a_signature_without_its_block() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    hold(&pipeline);
    let signed: Vec<_> = (0..2).map(|_| grow_signed(&pipeline)).collect();
    drop(pipeline);
    let log = std::fs::read_dir(dir.path().join("log")).unwrap().next().unwrap().unwrap();
    let size = log.metadata().unwrap().len();
    for cut in (0..size).step_by(16) {
        let copy = TempDir::new().unwrap();
        copy_dir(dir.path(), copy.path());
        let torn = copy.path().join("log").join(log.file_name());
        std::fs::File::options().write(true).open(torn).unwrap().set_len(cut).unwrap();
        let (pipeline, recovered) = Pipeline::open(config(copy.path())).unwrap();
        let latest = pipeline.snapshot().latest().number as usize;
        let want = latest.checked_sub(1).map(|last| signed[last]);
        assert_eq!(recovered.last_signed, want, "cut at {cut}");
    }
}

#[test]
fn a_store_that_fails_stops_everything() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let layer = pipeline.core.rules.genesis().unwrap();
    // A second genesis is nothing the store can take.
    pipeline.persist.send(Change::Block(Arc::new(layer)), 0).unwrap();
    let fatal = |result: Result<(), ExecutionError>| {
        assert!(matches!(result, Err(ExecutionError::Storage(_))), "{result:?}");
    };
    fatal(pipeline.persist.flush());
    fatal(pipeline.sync());
    fatal(pipeline.accept(&[]));
    fatal(pipeline.execute(draft(&newest(&pipeline), &[])).map(|_| ()));
    fatal(pipeline.commit(B256::ZERO, None, None));
    fatal(pipeline.close());
}

#[test]
fn a_damaged_or_foreign_datadir_is_refused() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    hold(&pipeline);
    let block = newest(&pipeline);
    let plan = draft(&block, &[transfer(0, 0, BOB, 1)]);
    let mut entry = BlockEntry::new(&pipeline.execute(plan).unwrap(), None, None);
    entry.hash = B256::repeat_byte(0xbb);
    let end = pipeline.core.log.append(&[Entry::Block(Box::new(entry))]).unwrap();
    pipeline.core.log.sync(end).unwrap();
    drop(pipeline);
    for _ in 0..2 {
        let error = Pipeline::open(config(dir.path())).err().unwrap();
        assert!(matches!(error, ExecutionError::Damaged(_)), "another hash: {error}");
    }
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let pipeline = open(&dir);
    grow(&pipeline, &[]);
    pipeline.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let error = Pipeline::open(config(dir.path())).err().unwrap();
    assert!(matches!(error, ExecutionError::Damaged(_)), "a lost log: {error}");

    std::fs::remove_file(dir.path().join("state.redb")).unwrap();
    let error = Pipeline::open(config(dir.path())).err().unwrap();
    assert!(matches!(error, ExecutionError::Damaged(_)), "a lost store: {error}");
    assert!(!dir.path().join("state.redb").exists());
    let text = std::fs::read_to_string(dir.path().join("identity")).unwrap();
    let ours = config(dir.path()).spec.identity().to_string();
    let other = text.replace(&ours, &B256::repeat_byte(1).to_string());
    assert_ne!(text, other);
    std::fs::write(dir.path().join("identity"), other).unwrap();
    let error = Pipeline::open(config(dir.path())).err().unwrap();
    assert!(matches!(error, ExecutionError::Datadir(_)), "another chain: {error}");
}

#[test]
fn old_log_segments_go_and_waiting_transactions_stay() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let waiting = [transfer(2, 5, BOB, 1), transfer(3, 5, BOB, 1), transfer(2, 6, BOB, 1)];
    pipeline.accept(&waiting).unwrap();
    let tuple = grow_signed(&pipeline);
    for nonce in 0..60 {
        let tx = transfer(0, nonce, BOB, 1);
        pipeline.accept(std::slice::from_ref(&tx)).unwrap();
        pipeline.append_vote(Bytes::from(vec![nonce as u8; 4])).unwrap();
        grow(&pipeline, &[tx]);
        if nonce % 10 == 9 {
            pipeline.derived(nonce, Bytes::new(), nonce + 2, nonce - 4).unwrap();
        }
    }
    pipeline.persist.flush().unwrap();
    assert!(pipeline.core.log.start() > 0, "segments were dropped");
    let before = ids(&pipeline);
    drop(pipeline);
    let (pipeline, recovered) = Pipeline::open(config(dir.path())).unwrap();
    assert_eq!(recovered.accepted, waiting);
    assert_eq!(recovered.last_signed, Some(tuple));
    assert_eq!(ids(&pipeline), before);
    let votes: Vec<u8> = recovered.votes.iter().map(|vote| vote[0]).collect();
    assert!(votes.windows(2).all(|pair| pair[0] < pair[1]), "in order: {votes:?}");
    assert!(votes.ends_with(&(54..60).collect::<Vec<_>>()), "since the final block: {votes:?}");
}

#[test]
fn the_newest_records_of_the_sequencer_outlive_finality() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let vote = |n: u8| Bytes::from(vec![n; 4]);
    (0..12).for_each(|n| pipeline.append_vote(vote(n)).unwrap());
    for nonce in 0..60 {
        grow(&pipeline, &[transfer(0, nonce, BOB, 1)]);
        pipeline.derived(nonce, Bytes::new(), nonce + 1, nonce + 1).unwrap();
    }
    pipeline.persist.flush().unwrap();
    assert!(pipeline.core.log.start() > 0, "segments were dropped");
    drop(pipeline);
    let (_, recovered) = Pipeline::open(config(dir.path())).unwrap();
    assert_eq!(recovered.votes, (4..12).map(vote).collect::<Vec<_>>());
}

#[test]
fn candidates_decode_to_what_the_log_keeps() {
    let dir = TempDir::new().unwrap();
    let pipeline = open(&dir);
    let parent = newest(&pipeline);
    let claim = claim_on(&parent, parent.plan.claim.time_ms + 250);
    let body = BlockBody {
        inbound: vec![],
        candidates: vec![Bytes::from_static(b"junk"), transfer(0, 0, BOB, 1).raw.clone()],
    };
    let mut plan = BlockPlan::new(claim, body, vec![], &|_| None);
    plan.claim.candidates_root = plan.body.candidates_root();
    let block = pipeline.execute(plan).unwrap();
    let again = BlockEntry::new(&block, None, None).plan().unwrap();
    for (one, two) in again.candidates.iter().zip(&block.plan.candidates) {
        match (one, two) {
            (Candidate::Tx(one), Candidate::Tx(two)) => {
                assert_eq!((one.hash, one.sender), (two.hash, two.sender));
            }
            (Candidate::Invalid(one, why), Candidate::Invalid(two, reason)) => {
                assert_eq!((one, why), (two, reason));
            }
            _ => panic!("{one:?} is not {two:?}"),
        }
    }
}
