//! Power cuts, kills and failing disks at every operation of a whole pipeline, on a simulated disk.

mod damage;
mod walk;

use std::sync::Arc;

use causeway_chainspec::{Block, ChainSpec};
use causeway_execution::disk::{Fault, Faulty};
use causeway_execution::store::{Store, StoreConfig};
use causeway_execution::{ExecutionError, Pipeline};
use causeway_tests::drive::seeds;
use causeway_tests::txs::Rng;

use walk::{Seen, State, Walk, newest, open, refuses, spec};

/// Height at which a walk ends.
const BLOCKS: u64 = 20;

fn vm(seed: u64) -> &'static str {
    if seed.is_multiple_of(2) { "ledger" } else { "evm" }
}

/// Does something for each number below `end`, on two threads.
fn each(end: u64, work: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        for half in 0..2 {
            let work = &work;
            scope.spawn(move || (half..end).step_by(2).for_each(work));
        }
    });
}

/// Finds the state that an opened pipeline shows among those that it may; returns its index.
fn found(seen: &Seen, states: &[State], (least, most): (usize, usize), what: &str) -> usize {
    let index = states[least..=most].iter().rposition(|state| state.seen == *seen);
    index.map(|index| least + index).unwrap_or_else(|| {
        let before = states[..least].iter().any(|state| state.seen == *seen);
        let promised = &states[least].seen;
        panic!(
            "{what}: lost {before}\n found {seen:?}\n promised {promised:?}\n of {least}..={most}"
        )
    })
}

/// Opens the datadir and compares; returns the index of the state it is in.
fn recovers(
    disk: &Faulty,
    spec: &Arc<ChainSpec>,
    states: &[State],
    possible: (usize, usize),
    what: &str,
) -> (Pipeline, usize) {
    let (pipeline, recovered) =
        open(disk, spec).unwrap_or_else(|error| panic!("{what}: does not open: {error}"));
    let index = found(&Seen::of(&pipeline, &recovered).unwrap(), states, possible, what);
    (pipeline, index)
}

/// Closes a pipeline, and reads everything in its store.
fn verifies(pipeline: Pipeline, disk: &Faulty, spec: &ChainSpec, what: &str) {
    let newest = pipeline.snapshot().latest();
    let root = pipeline.snapshot().header(newest.number).unwrap().unwrap().state_root;
    pipeline.close().unwrap_or_else(|error| panic!("{what}: {error}"));
    let config = StoreConfig {
        identity: spec.identity(),
        archive: false,
        address_index: None,
        history_blocks: 128,
        cache_bytes: 2 << 20,
    };
    let store = Store::open(disk.folder("node"), config).unwrap();
    let verified = store.verify().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!((verified.blocks, verified.state_root), (newest.number + 1, root), "{what}");
}

/// A walk of twenty blocks from an empty disk, all of it remembered.
fn recorded(seed: u64) -> (Arc<ChainSpec>, Faulty, Walk) {
    let (spec, disk) = (spec(vm(seed)), Faulty::new(seed));
    disk.record();
    let (pipeline, _) = open(&disk, &spec).unwrap();
    let mut walk = Walk::new(&spec, State::genesis(&pipeline), seed);
    // Half of the walks leave the store behind the log, as a busy node does.
    walk.in_step = seed.is_multiple_of(4) || seed % 4 == 3;
    while walk.height() < BLOCKS {
        walk.step(&pipeline, &disk).unwrap();
    }
    drop(pipeline);
    (spec, disk, walk)
}

#[test]
fn nothing_promised_is_lost_wherever_the_power_goes() {
    for seed in seeds(2) {
        let (spec, disk, walk) = recorded(seed);
        assert!(disk.ops() > 300, "seed {seed}: {} operations", disk.ops());
        each(disk.ops() + 1, |op| {
            for variant in 0..2 {
                let what = format!("seed {seed}, cut at {op} of {}, variant {variant}", disk.ops());
                let left = disk.cut_at(op, op * 8 + variant).unwrap();
                let (pipeline, _) = recovers(&left, &spec, &walk.states, walk.possible(op), &what);
                if variant == 0 {
                    verifies(pipeline, &left, &spec, &what);
                }
            }
        });
    }
}

#[test]
fn crashes_in_a_row_lose_nothing_either() {
    for seed in seeds(2) {
        let (spec, disk, walk) = recorded(seed + 100);
        each(150, |case| {
            let mut rng = Rng::new(seed << 32 | case);
            let op = rng.below(disk.ops() + 1);
            let mut what = format!("seed {seed}, case {case}: cut at {op}");
            let mut left = if rng.percent(70) {
                disk.cut_at(op, rng.number()).unwrap()
            } else {
                what += " (killed)";
                disk.kill_at(op, rng.number()).unwrap()
            };
            let (mut states, mut possible) = (walk.states.clone(), walk.possible(op));
            for _ in 0..3 {
                let again = 1 + rng.below(40);
                what += &format!(", then at {again}");
                left.fail_at(again, Fault::Cut);
                if let Ok((pipeline, recovered)) = open(&left, &spec)
                    && let Ok(seen) = Seen::of(&pipeline, &recovered)
                {
                    let index = found(&seen, &states, possible, &what);
                    let mut next = Walk::new(&spec, states[index].clone(), rng.number());
                    while !left.failed() && next.step(&pipeline, &left).is_ok() {}
                    possible = next.possible(u64::MAX);
                    states = next.states;
                } else {
                    assert!(left.failed(), "{what}: it does not open, and nothing was cut");
                }
                left = left.after_cut(rng.number());
            }
            let (pipeline, _) = recovers(&left, &spec, &states, possible, &what);
            verifies(pipeline, &left, &spec, &what);
        });
    }
}

const FAULTS: [Fault; 4] = [Fault::ErrorOnce, Fault::ErrorForEver, Fault::Full, Fault::Short];

/// One step from a datadir as it lies, with a fault at an operation; `None` if the run has fewer.
fn faulty_step(start: &Start, op: u64, fault: Fault, what: &str) -> Option<()> {
    let disk = start.disk.copy(op);
    disk.fail_at(op, fault);
    let mut possible = (0, 0);
    let mut states = vec![start.state.clone()];
    match open(&disk, &start.spec) {
        Ok((pipeline, _)) => {
            let mut walk = Walk::new(&start.spec, start.state.clone(), start.seed);
            match walk.step(&pipeline, &disk) {
                Ok(()) if !disk.failed() => return None,
                // Not everything needs what it asked for: a write that takes no space is done on
                // a full disk.
                Ok(()) => {}
                // After a failed write the store takes no reads either.
                Err(ExecutionError::Storage(_) | ExecutionError::State(_)) => {
                    refuses(&pipeline, &disk, &start.block, what);
                }
                Err(error) => panic!("{what}: {error}"),
            }
            possible = walk.possible(u64::MAX);
            states = walk.states;
        }
        Err(ExecutionError::Storage(_) | ExecutionError::State(_)) => {}
        Err(error) => panic!("{what}: {error}"),
    }
    let cut = disk.after_cut(op);
    recovers(&cut, &start.spec, &states, possible, &format!("{what}, after a cut"));
    let next = disk.after_kill(op);
    let (pipeline, _) = recovers(&next, &start.spec, &states, possible, what);
    verifies(pipeline, &next, &start.spec, what);
    Some(())
}

/// Where a step begins.
struct Start {
    spec: Arc<ChainSpec>,
    disk: Faulty,
    state: State,
    /// The newest block.
    block: Arc<Block>,
    seed: u64,
}

#[test]
fn a_failing_disk_ends_the_pipeline_and_the_next_start_makes_good() {
    for seed in seeds(2) {
        let spec = spec(vm(seed));
        let (disk, mut starts) = (Faulty::new(seed), Vec::new());
        let mut state: Option<State> = None;
        while state.as_ref().is_none_or(|state| state.seen.chain.len() as u64 <= BLOCKS) {
            let before = disk.copy(seed);
            let (pipeline, _) = open(&disk, &spec).unwrap();
            let step = seed << 32 | starts.len() as u64;
            let first = state.unwrap_or_else(|| State::genesis(&pipeline));
            let block = newest(&pipeline).unwrap();
            let mut walk = Walk::new(&spec, first.clone(), step);
            let spec = spec.clone();
            starts.push(Start { spec, disk: before, state: first, block, seed: step });
            walk.step(&pipeline, &disk).unwrap();
            pipeline.close().unwrap();
            state = walk.states.pop();
        }
        each(starts.len() as u64, |index| {
            let start = &starts[index as usize];
            let mut op = 1;
            loop {
                // Two seeds in a row do each second fault, four all of them.
                let fault = FAULTS[((op + index + seed) % 4) as usize];
                let what = format!("seed {seed}, step {index}, {fault:?} at {op}");
                if faulty_step(start, op, fault, &what).is_none() {
                    break;
                }
                op += 1;
            }
            assert!(op > 5, "seed {seed}, step {index}: {op} operations");
        });
    }
}
