//! Random chains through the whole pipeline against models that share no code with it: plain revm
//! over maps in memory, and a ledger of a hundred lines.

mod again;
mod chain;
mod compare;
mod ledger;
mod machine;
mod mailbox;
mod make;
mod predict;
mod second;
mod state;
mod stock;
mod world;

use causeway_tests::drive::seeds;
use eyre::{WrapErr, ensure};

use chain::{Chain, Seen};
use machine::Model;

/// Steps of one chain.
const STEPS: u64 = 120;

/// What must happen in all chains of a VM.
const BOTH: &[(&str, u64)] = &[
    ("blocks on Prague", 300),
    ("blocks on Osaka", 200),
    ("blocks on uncommitted ones", 200),
    ("siblings dropped", 200),
    ("unwinds", 50),
    ("blocks executed again", 10),
    ("restarts", 50),
    ("old snapshots", 40),
    ("past states", 150),
    ("proofs", 400),
    ("proofs of absence", 200),
    ("calls", 300),
    ("calls refused", 100),
    ("differences", 100),
    ("witnesses", 100),
    ("histories", 300),
    ("deposits", 400),
    ("legacy", 400),
    ("listed", 100),
    ("dynamic", 700),
    ("successes", 1000),
    ("reverts", 80),
    ("halts", 300),
    ("logs", 100),
    ("skip: undecodable", 80),
    ("skip: chain id", 30),
    ("skip: nonce low", 100),
    ("skip: nonce high", 100),
    ("skip: funds", 200),
    ("skip: fee", 20),
    ("skip: tip", 20),
    ("skip: intrinsic gas", 30),
    ("skip: gas limit", 30),
    ("skip: block full", 15),
    ("skip: sender", 150),
    ("skip: other", 30),
];

/// What must happen on chains of the EVM.
const EVM: &[(&str, u64)] = &[
    ("blocks on older forks", 100),
    ("delegating", 150),
    ("delegations", 500),
    ("creations", 300),
    ("contracts born", 200),
    ("contracts destroyed", 50),
    ("accounts gone", 1),
    ("skip: initcode", 10),
    ("skip: bytes full", 15),
    ("traces", 300),
];

/// What must happen on chains of the ledger.
const LEDGER: &[(&str, u64)] = &[("skip: unsupported", 300)];

/// Prints the seed if a case panics.
struct Seed(&'static str, u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("vm {}: CAUSEWAY_SEED={} CAUSEWAY_CASES=1", self.0, self.1);
        }
    }
}

/// Runs the chains of all seeds; each of `wanted` must have happened so often.
fn cases(model: &dyn Model, usual: u64, wanted: &[(&str, u64)]) -> eyre::Result<()> {
    let seeds = seeds(usual);
    let whole = seeds.end - seeds.start >= usual;
    let mut seen = Seen::new();
    for seed in seeds {
        let vm = model.vm();
        let _seed = Seed(vm, seed);
        let mut chain = Chain::new(seed, model)?;
        for step in 0..STEPS {
            chain.step().wrap_err_with(|| {
                format!("vm {vm}, step {step}: CAUSEWAY_SEED={seed} CAUSEWAY_CASES=1")
            })?;
        }
        for (what, times) in chain.finish()? {
            *seen.entry(what).or_default() += times;
        }
    }
    for (what, least) in BOTH.iter().chain(wanted).filter(|_| whole) {
        let times = seen.get(what).copied().unwrap_or_default();
        ensure!(times >= *least, "{what} happened {times} times, not {least}: {seen:#?}");
    }
    Ok(())
}

#[test]
fn the_evm_is_plain_revm_through_the_whole_pipeline() -> eyre::Result<()> {
    cases(&stock::Stock, 24, EVM)
}

#[test]
fn the_ledger_is_its_model_through_the_whole_pipeline() -> eyre::Result<()> {
    cases(&ledger::Ledger, 24, LEDGER)
}
