//! Random chains through the whole pipeline against models that share no code with it: plain revm
//! over maps in memory, and a ledger of a hundred lines.

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

/// What must happen on chains of the EVM.
const EVM: &[(&str, u64)] = &[];

/// What must happen on chains of the ledger.
const LEDGER: &[(&str, u64)] = &[];

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
        for (what, times) in chain.seen {
            *seen.entry(what).or_default() += times;
        }
    }
    println!("{seen:#?}");
    for (what, least) in wanted.iter().filter(|_| whole) {
        let times = seen.get(what).copied().unwrap_or_default();
        ensure!(times >= *least, "{what} happened {times} times, not {least}");
    }
    Ok(())
}

#[test]
fn the_evm_is_plain_revm_through_the_whole_pipeline() -> eyre::Result<()> {
    cases(&stock::Stock, 30, EVM)
}

#[test]
fn the_ledger_is_its_model_through_the_whole_pipeline() -> eyre::Result<()> {
    cases(&ledger::Ledger, 30, LEDGER)
}
