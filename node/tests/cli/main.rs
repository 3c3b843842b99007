//! The binary as a person at a shell meets it: files it writes, what it prints, how it ends.

mod ethereum;
mod refusals;

use std::path::Path;
use std::process::{Command, Output};

use eyre::{ContextCompat, ensure};
use tempfile::TempDir;

fn causeway(dir: &Path, arguments: &[&str]) -> eyre::Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_causeway")).args(arguments).current_dir(dir).output()?)
}

/// Standard output of a command that must succeed.
fn text(dir: &Path, arguments: &[&str]) -> eyre::Result<String> {
    let output = causeway(dir, arguments)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?} ended with {}: {errors}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn a_new_chain_is_valid_and_exports() -> eyre::Result<()> {
    let dir = TempDir::new()?;
    let new = ["new", "mychain", "--name", "My chain", "--chain-id", "4242", "--symbol", "MYC"];
    text(dir.path(), &[&new[..], &["--yes"]].concat())?;
    let chain = dir.path().join("mychain");
    for file in ["chain.toml", "node.toml", "README.md", "keys/sequencer.key", "keys/poster.key"] {
        ensure!(chain.join(file).exists(), "no {file}");
    }
    ensure!(text(&chain, &["chainspec", "check"])?.contains("valid"));
    ensure!(text(&chain, &["chainspec", "hash"])?.contains("0x"));
    ensure!(text(&chain, &["chainspec", "export", "--format", "viem"])?.contains("defineChain"));
    let wallet = text(&chain, &["chainspec", "export", "--format", "eip3085"])?;
    let wallet: serde_json::Value = serde_json::from_str(&wallet)?;
    ensure!(wallet["chainId"] == "0x1092", "{wallet}");
    ensure!(wallet["nativeCurrency"]["symbol"] == "MYC", "{wallet}");
    let again = causeway(dir.path(), &["new", "mychain", "--yes"])?;
    ensure!(!again.status.success(), "a directory that is not empty was written to");
    Ok(())
}

#[test]
fn a_chain_of_short_waits_is_one_flag() -> eyre::Result<()> {
    let dir = TempDir::new()?;
    text(dir.path(), &["new", "quick", "--preset", "low-latency", "--yes"])?;
    let chain = dir.path().join("quick");
    ensure!(text(&chain, &["chainspec", "check"])?.contains("valid"));
    let shown = text(&chain, &["chainspec", "show"])?;
    for line in ["block_time = \"10ms\"", "idle = \"2m\"", "interval = \"250ms\""] {
        ensure!(shown.contains(line), "no {line} in {shown}");
    }
    let unknown = causeway(dir.path(), &["new", "slow", "--preset", "slow", "--yes"])?;
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    ensure!(unknown.status.code() == Some(2) && said.contains("low-latency"), "{said}");
    Ok(())
}

#[test]
fn settings_that_are_slips_say_what_would_be_right_and_exit_with_3() -> eyre::Result<()> {
    let dir = TempDir::new()?;
    text(dir.path(), &["new", ".", "--name", "x", "--yes"])?;
    let path = dir.path().join("node.toml");
    let settings = std::fs::read_to_string(&path)?;
    for (slip, known) in [
        ("[pool]\nsize = 1\n", "account_queued"),
        ("[rpc]\nbatches = 1\n", "response_bytes"),
        ("[metrics]\nport = 9101\n", "listen"),
        ("[store]\ncache = 1\n", "cache_mib"),
    ] {
        std::fs::write(&path, format!("{settings}\n{slip}"))?;
        let output = causeway(dir.path(), &["run"])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(3), "{slip} ended with {}: {said}", output.status);
        ensure!(said.contains(known) && said.contains("node.toml"), "{said}");
    }
    Ok(())
}

#[test]
fn a_wrong_spec_tells_every_error_and_exits_with_3() -> eyre::Result<()> {
    let dir = TempDir::new()?;
    text(dir.path(), &["new", ".", "--name", "x", "--yes"])?;
    let path = dir.path().join("chain.toml");
    let spec = std::fs::read_to_string(&path)?;
    let wrong = spec.replace("block_time", "blok_time").replace("chain_id", "chain_id = 0 #");
    std::fs::write(&path, wrong)?;
    for arguments in [&["chainspec", "check"][..], &["run", "--datadir", "data"]] {
        let output = causeway(dir.path(), arguments)?;
        ensure!(output.status.code() == Some(3), "{arguments:?} ended with {}", output.status);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(said.contains("blok_time") && said.contains("block_time"), "{said}");
        ensure!(said.contains("chain_id"), "{said}");
    }
    Ok(())
}

#[test]
fn a_missing_spec_says_how_to_make_one() -> eyre::Result<()> {
    let dir = TempDir::new()?;
    let output = causeway(dir.path(), &["run", "--datadir", "data"])?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && errors.contains("causeway new"), "{errors}");
    Ok(())
}

#[test]
fn completions_name_the_commands() -> eyre::Result<()> {
    let dir = TempDir::new()?;
    for shell in ["bash", "zsh", "fish"] {
        let script = text(dir.path(), &["completions", shell])?;
        ensure!(script.contains("devnet") && script.contains("chainspec"), "{shell}: {script}");
    }
    Ok(())
}

#[test]
fn status_of_nothing_exits_with_4() -> eyre::Result<()> {
    let dir = TempDir::new()?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    drop(listener);
    let output = causeway(dir.path(), &["status", "--rpc", &url])?;
    ensure!(output.status.code() == Some(4), "ended with {}", output.status);
    let errors = String::from_utf8_lossy(&output.stderr);
    errors.contains("is the node running").then_some(()).context("the error gives no hint")
}
