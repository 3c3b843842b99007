//! "Already known" is an acknowledgement, too: a transaction that another request is still writing
//! down is durable before anybody is told that it is known.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, keccak256};
use causeway_tests::crashing::Crashing;
use causeway_tests::keys;
use causeway_tests::load::client;
use causeway_tests::process::Begun;
use causeway_tests::txs::{Draft, Form};
use eyre::{bail, ensure};
use jsonrpsee::core::client::{ClientT, Error};
use jsonrpsee::rpc_params;
use serde_json::Value;

/// How long an answer that must not come is waited for.
const MOMENT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_is_durable() -> eyre::Result<()> {
    let mut chain = Crashing::new()?;
    let trap = [("CAUSEWAY_CRASH_AT", "accept.before:1:block".to_owned())];
    let Begun::Ready(devnet) = chain.begin(&trap)? else { bail!("{}", chain.said()) };
    let node = client(&devnet.endpoint("rpc"))?;
    // With a gap before it, so that no block makes it durable.
    let raw = Draft::transfer(901, 5, Address::with_last_byte(0xaa), 1)
        .sign(Form::Dynamic, &keys::accounts()[0]);
    let hash = keccak256(&raw);
    let (first, sent) = (node.clone(), raw.clone());
    let waiting = tokio::spawn(async move {
        let answer: Result<B256, Error> =
            first.request("eth_sendRawTransaction", rpc_params![sent]).await;
        answer
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let tx: Value = node.request("eth_getTransactionByHash", rpc_params![hash]).await?;
        if !tx.is_null() {
            break;
        }
        ensure!(Instant::now() < deadline, "{hash} is not in the pool");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let again = node.request("eth_sendRawTransaction", rpc_params![raw.clone()]);
    let again: Result<Result<B256, Error>, _> = tokio::time::timeout(MOMENT, again).await;
    ensure!(again.is_err(), "answered while it is not durable: {again:?}");
    devnet.kill()?;
    ensure!(waiting.await?.is_err(), "the first request was answered");

    // Nobody was told anything. Once somebody is, it stays.
    let devnet = chain.start()?;
    let node = client(&devnet.endpoint("rpc"))?;
    let _first: B256 = node.request("eth_sendRawTransaction", rpc_params![raw.clone()]).await?;
    let again: Result<B256, Error> = node.request("eth_sendRawTransaction", rpc_params![raw]).await;
    let Err(Error::Call(error)) = again else { bail!("{again:?}") };
    ensure!(error.message().contains("already known"), "{error}");
    devnet.kill()?;
    let devnet = chain.start()?;
    let node = client(&devnet.endpoint("rpc"))?;
    let tx: Value = node.request("eth_getTransactionByHash", rpc_params![hash]).await?;
    ensure!(!tx.is_null(), "it was known, and is gone");
    devnet.kill()
}
