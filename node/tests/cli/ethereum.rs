//! `causeway import --genesis` at a shell.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use eyre::{OptionExt, ensure};
use tempfile::TempDir;

use crate::{causeway, text};

const GENESIS: &str = r#"{"config": {"chainId": 7, "homesteadBlock": 0}, "nonce": "0x0",
    "timestamp": "0x0", "extraData": "0x", "gasLimit": "0x1c9c380", "difficulty": "0x20000",
    "mixHash": "0x0000000000000000000000000000000000000000000000000000000000000000",
    "coinbase": "0x0000000000000000000000000000000000000000", "alloc": {}}"#;

/// A directory with a genesis file and a chain without blocks.
fn files(genesis: &str) -> eyre::Result<TempDir> {
    let dir = TempDir::new()?;
    std::fs::write(dir.path().join("genesis.json"), genesis)?;
    std::fs::write(dir.path().join("chain.rlp"), [])?;
    Ok(dir)
}

const IMPORT: [&str; 6] = ["import", "--genesis", "genesis.json", "chain.rlp", "--datadir", "eth"];

#[test]
fn an_ethereum_chain_is_begun_and_found_again() -> eyre::Result<()> {
    let dir = files(GENESIS)?;
    let first = text(dir.path(), &IMPORT)?;
    ensure!(first.contains("imported 0 blocks, 0 were there; the newest is 0 0x"), "{first}");
    ensure!(text(dir.path(), &IMPORT)? == first);
    // The same datadir under other rules.
    std::fs::write(
        dir.path().join("genesis.json"),
        GENESIS.replace("\"chainId\": 7", "\"chainId\": 8"),
    )?;
    let other = causeway(dir.path(), &IMPORT)?;
    ensure!(other.status.code() == Some(6), "{other:?}");
    Ok(())
}

#[test]
fn what_is_refused_says_why() -> eyre::Result<()> {
    let clique = GENESIS.replace("\"homesteadBlock\": 0", "\"clique\": {\"period\": 1}");
    let dir = files(&clique)?;
    let refused = causeway(dir.path(), &IMPORT)?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(3) && said.contains("clique"), "{said}");
    let dir = files(GENESIS)?;
    for (bytes, why) in [
        (&b"junk"[..], "no chain of blocks in RLP"),
        (&[0xc3, 1, 2][..], "ends in the middle of a block"),
        (&[0xc0][..], "no block"),
    ] {
        std::fs::write(dir.path().join("chain.rlp"), bytes)?;
        let refused = causeway(dir.path(), &IMPORT)?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(refused.status.code() == Some(1) && said.contains(why), "{said}");
    }
    let serve = causeway(dir.path(), &["import", "--serve", "chain.rlp"])?;
    ensure!(serve.status.code() == Some(2), "{serve:?}");
    Ok(())
}

#[test]
fn a_served_chain_ends_at_a_signal() -> eyre::Result<()> {
    let dir = files(GENESIS)?;
    let mut served = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(IMPORT)
        .args(["--serve", "--http", "127.0.0.1:0"])
        .current_dir(dir.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let lines = BufReader::new(served.stderr.take().ok_or_eyre("no standard error")?).lines();
    let mut ready = lines.map_while(Result::ok).filter(|line| line.contains("ready"));
    let said = ready.next();
    let id = i32::try_from(served.id())?;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(id).ok_or_eyre("no process")?,
        rustix::process::Signal::TERM,
    )?;
    let status = served.wait()?;
    ensure!(said.is_some_and(|line| line.contains("http://127.0.0.1:")) && status.success());
    Ok(())
}
