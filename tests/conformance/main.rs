//! Official suites of Ethereum against this program: what `CAUSEWAY_SUITES` holds, or a plain word
//! that it is absent. No harness: a suite that did not run must not look like one that passed.

mod exceptions;
mod execution_apis;
mod mainnet;
mod memory;
mod rlp;
mod source;
mod state;
mod tally;
mod transactions;
mod tries;

use std::process::ExitCode;
use std::time::Instant;

use source::Sources;
use tally::Tally;

/// A suite: its name, the folders its files lie in, and what runs one file.
struct Suite {
    name: &'static str,
    folders: &'static [&'static str],
    run: fn(&source::File, &Sources) -> eyre::Result<Tally>,
}

/// Every suite. To add one: a file beside this one, and a line here.
const SUITES: &[Suite] = &[
    Suite { name: "state tests", folders: &["GeneralStateTests", "state_tests"], run: state::run },
    Suite {
        name: "transaction tests",
        folders: &["TransactionTests", "transaction_tests"],
        run: transactions::run,
    },
    Suite { name: "rlp tests", folders: &["RLPTests"], run: rlp::run },
    Suite { name: "trie tests", folders: &["TrieTests"], run: tries::run },
    Suite { name: "execution apis", folders: &["execution-apis"], run: execution_apis::run },
    Suite { name: "mainnet blocks", folders: &["mainnet-blocks"], run: mainnet::run },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        return ExitCode::SUCCESS;
    }
    let wanted = words.iter().find(|word| !word.starts_with('-'));
    let suites = SUITES.iter().filter(|suite| wanted.is_none_or(|word| suite.name.contains(word)));
    let sources = match Sources::find() {
        Ok(Some(sources)) => sources,
        Ok(None) => {
            for suite in suites {
                println!("{}: absent, 0 passed, 0 failed, 0 excepted, 1 skipped", suite.name);
            }
            println!(
                "official suites are absent: `just suites` fetches them; then set CAUSEWAY_SUITES"
            );
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("CAUSEWAY_SUITES cannot be read: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut code = ExitCode::SUCCESS;
    for suite in suites {
        let started = Instant::now();
        let tally = sources.run(suite);
        println!("{}: {tally} ({:.1} s)", suite.name, started.elapsed().as_secs_f32());
        if tally.is_empty() {
            println!("{}: its files hold no case", suite.name);
            code = ExitCode::FAILURE;
        }
        if !tally.failed.is_empty() {
            code = ExitCode::FAILURE;
        }
    }
    code
}
