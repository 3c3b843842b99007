//! The bridge's contracts with viem on anvils: coins, tokens and messages both ways, forged proofs,
//! random steps against a model, and prices. The scripts are in `tests/e2e/bridge`.

use std::path::Path;

use causeway_tests::npm;

/// Runs a script; shows its line of figures.
fn run(name: &str) -> eyre::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e");
    npm::install(&folder)?;
    let told = npm::node(&folder, &["--test", &format!("bridge/{name}.mjs")])?;
    for line in told.lines().filter(|line| line.contains(&format!("{name}: seed"))) {
        println!("{line}");
    }
    Ok(())
}

#[test]
fn coins_tokens_and_messages_go_both_ways_and_attacks_go_nowhere() -> eyre::Result<()> {
    run("contracts")
}

#[test]
fn only_true_proofs_prove_anything() -> eyre::Result<()> {
    run("proofs")
}

#[test]
fn random_steps_go_as_a_model_says() -> eyre::Result<()> {
    run("random")
}

#[test]
fn prices_are_what_tools_compute() -> eyre::Result<()> {
    run("prices")
}
