//! `causeway new --l1` and `causeway deploy`: from nothing to a chain that posts on a real anvil.

use std::path::Path;
use std::process::{Command, Output};

use causeway_chainspec::Clock;
use causeway_chainspec::spec::Lock;
use causeway_node::clock::SystemClock;
use causeway_tests::anvil::Anvil;
use causeway_tests::process::causeway;
use eyre::{ContextCompat, WrapErr, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

fn run(dir: &Path, arguments: &[&str]) -> eyre::Result<Output> {
    let mut command = Command::new(causeway()?);
    command.args(arguments).current_dir(dir).output().wrap_err("causeway")
}

fn text(output: &Output) -> String {
    let (out, errors) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(errors))
}

fn deploy(dir: &Path, arguments: &[&str]) -> eyre::Result<(Option<i32>, String)> {
    let output = run(dir, &[&["deploy"], arguments].concat())?;
    Ok((output.status.code(), text(&output)))
}

fn lock(dir: &Path) -> eyre::Result<Lock> {
    Ok(Lock::parse(&std::fs::read_to_string(dir.join("chain.lock"))?)?)
}

/// An anvil of now, with more arguments.
fn parent(arguments: &[&str]) -> eyre::Result<Anvil> {
    let now = (SystemClock.now_ms() / 1000).to_string();
    Anvil::start(&[&["--timestamp", now.as_str()], arguments].concat())
}

/// A new chain on an anvil; its directory, and the account that pays.
fn new(temp: &TempDir, anvil: &Anvil) -> eyre::Result<(std::path::PathBuf, Value)> {
    let url = anvil.url();
    let arguments =
        ["new", "chain", "--da", "ethereum", "--l1", url, "--chain-id", "7001", "--json"];
    let output = run(temp.path(), &arguments)?;
    ensure!(output.status.success(), "{}", text(&output));
    let made: Value = serde_json::from_slice(&output.stdout)?;
    Ok((temp.path().join("chain"), made["l1Payer"].clone()))
}

async fn fund(anvil: &Anvil, account: &Value) -> eyre::Result<()> {
    anvil.call("anvil_setBalance", json!([account, "0xde0b6b3a7640000"])).await.map(drop)
}

#[tokio::test]
async fn contracts_are_planned_paid_once_and_noted() -> eyre::Result<()> {
    let anvil = parent(&[])?;
    for _ in 0..3 {
        anvil.mine().await?;
    }
    let temp = TempDir::new()?;
    let (dir, payer) = new(&temp, &anvil)?;
    let spec = std::fs::read_to_string(dir.join("chain.toml"))?;
    ensure!(spec.contains("start = 3 ") && spec.contains("chain_id = 900"), "{spec}");

    let (code, said) = deploy(&dir, &["plan"])?;
    ensure!(
        code == Some(0) && said.contains("missing") && said.contains("5 transactions"),
        "{said}"
    );
    let (code, said) = deploy(&dir, &["status"])?;
    ensure!(code == Some(1) && said.matches("missing").count() == 5, "{said}");
    let (code, said) = deploy(&dir, &["resume"])?;
    ensure!(code == Some(1) && said.contains("nothing was begun"), "{said}");
    let (code, said) = deploy(&dir, &["apply", "--yes"])?;
    ensure!(code == Some(1) && said.contains("send it funds first"), "{said}");
    fund(&anvil, &payer).await?;
    let (code, said) = deploy(&dir, &["apply"])?;
    ensure!(code == Some(1) && said.contains("add --yes"), "{said}");
    ensure!(anvil.height().await? == 3 && !dir.join("chain.lock").exists(), "nothing was sent");

    let (code, said) = deploy(&dir, &["apply", "--yes"])?;
    ensure!(code == Some(0) && said.contains("chain.lock"), "{said}");
    let deployed = lock(&dir)?.deployed;
    ensure!(deployed.len() == 5, "{deployed:?}");
    for contract in &deployed {
        let code = anvil.call("eth_getCode", json!([contract.address, "latest"])).await?;
        ensure!(code.as_str().is_some_and(|code| code.len() > 1000), "{contract:?}");
        let tx = contract.tx.context("a transaction")?;
        let receipt = anvil.call("eth_getTransactionReceipt", json!([tx])).await?;
        ensure!(receipt["blockNumber"] == json!(format!("{:#x}", contract.height.unwrap_or(0))));
    }
    let height = anvil.height().await?;
    for again in [&["apply", "--yes"][..], &["resume"]] {
        let (code, said) = deploy(&dir, again)?;
        ensure!(code == Some(0), "{said}");
    }
    ensure!(anvil.height().await? == height, "paid twice");
    let (code, said) = deploy(&dir, &["status", "--json"])?;
    let status: Value = serde_json::from_str(&said).wrap_err(said)?;
    ensure!(code == Some(0) && status[0]["state"] == "there" && status[1]["state"] == "there");
    Ok(())
}

/// It dies once the first transaction is sent, whether that lands or is lost.
#[tokio::test]
async fn what_was_begun_is_resumed() -> eyre::Result<()> {
    for lost in [false, true] {
        let anvil = parent(&["--no-mining"])?;
        anvil.mine().await?;
        let temp = TempDir::new()?;
        let (dir, payer) = new(&temp, &anvil)?;
        fund(&anvil, &payer).await?;
        let mut child =
            Command::new(causeway()?).args(["deploy", "apply", "-y"]).current_dir(&dir).spawn()?;
        let waiting = loop {
            if let [tx] = &anvil.pool().await?[..] {
                break Anvil::hash(tx)?;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        child.kill()?;
        child.wait()?;
        let deployed = lock(&dir)?.deployed;
        ensure!(deployed.len() == 1 && deployed[0].tx == Some(waiting), "{deployed:?}");
        ensure!(deployed[0].height.is_none());
        let (code, said) = deploy(&dir, &["status"])?;
        ensure!(code == Some(1) && said.contains(&format!("waiting in {waiting}")), "{said}");
        if lost {
            anvil.call("anvil_dropTransaction", json!([waiting])).await?;
        }
        anvil.call("evm_setAutomine", json!([true])).await?;
        if !lost {
            anvil.mine().await?;
        }
        let (code, said) = deploy(&dir, &["resume"])?;
        ensure!(code == Some(0), "{said}");
        let deployed = lock(&dir)?.deployed;
        ensure!((deployed[0].tx == Some(waiting)) || lost, "{deployed:?}");
        ensure!(deployed.iter().all(|contract| contract.height.is_some()), "{deployed:?}");
        let nonce = anvil.call("eth_getTransactionCount", json!([payer, "latest"])).await?;
        ensure!(nonce == "0x5", "{nonce} transactions were paid");
    }
    Ok(())
}

#[tokio::test]
async fn a_spec_that_names_other_contracts_is_refused_with_what_to_write() -> eyre::Result<()> {
    let anvil = parent(&[])?;
    anvil.mine().await?;
    let temp = TempDir::new()?;
    let (dir, _) = new(&temp, &anvil)?;
    let file = dir.join("chain.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("chain_id = 7001", "chain_id = 7002"))?;
    let (code, said) = deploy(&dir, &["plan"])?;
    ensure!(code == Some(3) && said.contains("portal = \"0x") && said.contains("write"), "{said}");
    std::fs::write(&file, text)?;
    let (code, said) = deploy(&dir, &["plan", "--l1", "http://127.0.0.1:1"])?;
    ensure!(code == Some(0), "the other node of the settings answers: {said}");
    let output = run(temp.path(), &["new", "other", "--da", "ethereum"])?;
    ensure!(!output.status.success() && self::text(&output).contains("--l1 URL"));
    Ok(())
}
