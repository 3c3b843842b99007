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
    let dir = TempDir::new()?;
    let devnet = Devnet::start(&dir.path().join("devnet"), &[])?;
    let output = Command::new(home.join("bin/python"))
        .args(["-B", "-m", "pytest", "test_web3.py", "-rpfE"])
        .current_dir(&folder)
        .env("CAUSEWAY_RPC", devnet.endpoint("rpc"))
        .output()
        .wrap_err("pytest does not start")?;
    devnet.stop()?;
    let said = String::from_utf8_lossy(&output.stdout);
    // `PASSED file::class::test[parameters]`, and after failures ` - reason`.
    let named = |word: &str| -> BTreeSet<&str> {
        let lines = said.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        let names = lines.filter_map(|line| line.split(" - ").next()?.split("::test_").nth(1));
        names.map(|name| name.split('[').next().unwrap_or(name)).collect()
    };
    let passed = said.lines().filter(|line| line.starts_with("PASSED ")).count();
    let failed: BTreeSet<&str> = named("FAILED").union(&named("ERROR")).copied().collect();
    let exceptions = std::fs::read_to_string(folder.join("exceptions.txt"))?;
    let lines = exceptions.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let excepted: BTreeSet<&str> = lines.filter_map(|line| line.split(": ").next()).collect();
    let new: Vec<_> = failed.difference(&excepted).collect();
    ensure!(new.is_empty(), "these fail: {new:?}\n{said}");
    let sometimes = |name: &&&str| !exceptions.contains(&format!("{name}: sometimes"));
    let mended: Vec<_> = excepted.difference(&failed).filter(sometimes).collect();
    ensure!(mended.is_empty(), "these pass, take them off exceptions.txt: {mended:?}");
    ensure!(passed >= ANVIL, "only {passed} pass, {ANVIL} do on anvil:\n{said}");
    println!("{passed} of web3.py's module tests pass, {} kinds excepted", excepted.len());
    Ok(())
}
