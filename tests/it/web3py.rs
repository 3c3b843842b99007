//! web3.py's own module tests against a devnet. Those that fail by no fault of the node are listed in
//! `tests/web3py/exceptions.txt`, each with its reason; any other failure fails this test, and so does
//! one of the list that passes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use causeway_tests::process::Devnet;
use causeway_tests::python;
use eyre::{WrapErr, ensure};
use tempfile::TempDir;

/// What passes on anvil 1.7.1.
const ANVIL: usize = 156;

#[test]
fn its_module_tests_pass() -> eyre::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web3py");
    let home = python::environment(&folder)?;
    // The two halves leave state behind that the other does not expect.
    let mut said = String::new();
    for half in ["not Async", "Async"] {
        said += &run(&folder, &home, half)?;
    }
    // `PASSED file::class::test[parameters]`, and after failures ` - reason`.
    let named = |word: &str| -> BTreeSet<&str> {
        let lines = said.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        let names = lines.filter_map(|line| line.split(" - ").next()?.split_once("::"));
        names.map(|(_, name)| name).collect()
    };
    let passed = named("PASSED").len();
    let failed: BTreeSet<&str> = named("FAILED").union(&named("ERROR")).copied().collect();
    ensure!(!said.contains("SKIPPED"), "some are skipped:\n{said}");
    let exceptions = std::fs::read_to_string(folder.join("exceptions.txt"))?;
    let lines = exceptions.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let excepted: BTreeSet<&str> = lines.filter_map(|line| line.split(": ").next()).collect();
    let new: Vec<_> = failed.difference(&excepted).collect();
    ensure!(new.is_empty(), "these fail: {new:?}\n{said}");
    let mended: Vec<_> = excepted.difference(&failed).collect();
    ensure!(mended.is_empty(), "these pass, take them off exceptions.txt: {mended:?}");
    ensure!(passed >= ANVIL, "only {passed} pass, {ANVIL} do on anvil:\n{said}");
    println!("{passed} of web3.py's module tests pass, {} are excepted", excepted.len());
    Ok(())
}

/// What pytest says of the tests that an expression selects, on a devnet of their own.
fn run(folder: &Path, home: &Path, tests: &str) -> eyre::Result<String> {
    let dir = TempDir::new()?;
    let devnet = Devnet::start(&dir.path().join("devnet"), &[])?;
    let output = Command::new(home.join("bin/python"))
        .args(["-B", "-m", "pytest", "test_web3.py", "-rpfEs", "-k", tests])
        .current_dir(folder)
        .env("CAUSEWAY_RPC", devnet.endpoint("rpc"))
        .output()
        .wrap_err("pytest does not start")?;
    devnet.stop()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // 1 is for tests that failed, and nothing else.
    ensure!(matches!(output.status.code(), Some(0 | 1)), "{}:\n{said}", output.status);
    Ok(said)
}
