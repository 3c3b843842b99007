//! Applications in Solidity on both ends: one sends, the other answers from inside its delivery.

use std::path::PathBuf;

use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_sol_types::{SolCall, sol};
use causeway_chainspec::mailbox::word_of;
use causeway_tests::keys;
use causeway_tests::mesh::{Mesh, THREE};
use causeway_tests::npm;
use eyre::{ContextCompat, ensure};
use tempfile::TempDir;

use super::{ALPHA, BETA, GAMMA, someone};

sol! {
    function ping(uint32 domain, bytes32 recipient, bytes body) payable;
    function pay(uint32 domain, bytes32 recipient, uint256 amount) payable;
    function lastOrigin() view returns (uint32);
    function lastBody() view returns (bytes);
}

/// The compiler's output for `tests/e2e/contracts/Pinger.sol`.
fn pinger() -> eyre::Result<Bytes> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("e2e");
    npm::install(&folder)?;
    let out = TempDir::new()?;
    let script = format!(
        "import {{ compile }} from './compile.mjs'; compile({:?})",
        out.path().to_string_lossy()
    );
    npm::node(&folder, &["--input-type=module", "-e", &script])?;
    let text = std::fs::read_to_string(out.path().join("Pinger.json"))?;
    let artefact: serde_json::Value = serde_json::from_str(&text)?;
    Ok(artefact["bytecode"].as_str().context("bytecode")?.parse()?)
}

async fn deploy(mesh: &Mesh, at: usize, code: &Bytes) -> eyre::Result<Address> {
    let deployer = keys::accounts()[8].address();
    let nonce = mesh.state(at)?.account(deployer)?.map_or(0, |account| account.nonce);
    mesh.submit(at, 8, TxKind::Create, U256::ZERO, code.to_vec()).await?;
    mesh.build(at).await?;
    let address = deployer.create(nonce);
    mesh.submit(at, 8, TxKind::Call(address), U256::from(10u64.pow(18)), vec![]).await?;
    mesh.build(at).await?;
    Ok(address)
}

#[tokio::test]
async fn contracts_talk_and_answer_and_pay() -> eyre::Result<()> {
    let mesh = Mesh::started(&THREE, 0).await?;
    let code = pinger()?;
    let (here, there) = (deploy(&mesh, ALPHA, &code).await?, deploy(&mesh, BETA, &code).await?);
    mesh.round().await?;
    let call = pingCall { domain: 902, recipient: word_of(there), body: b"ping".into() };
    mesh.submit(ALPHA, 0, TxKind::Call(here), U256::ZERO, call.abi_encode()).await?;
    // What a contract sends to a ledger arrives as coins of an account.
    let amount = U256::from(12_345);
    let call = payCall { domain: 903, recipient: word_of(someone(0x42)), amount };
    mesh.submit(ALPHA, 1, TxKind::Call(here), U256::ZERO, call.abi_encode()).await?;
    mesh.rounds(6).await?;
    let last = |at, contract| -> eyre::Result<(u32, Bytes)> {
        let origin = mesh.call(at, contract, lastOriginCall {}.abi_encode())?;
        let body = mesh.call(at, contract, lastBodyCall {}.abi_encode())?;
        let origin = lastOriginCall::abi_decode_returns(&origin)?;
        Ok((origin, lastBodyCall::abi_decode_returns(&body)?))
    };
    assert_eq!(last(BETA, there)?, (901, Bytes::from_static(b"ping")));
    assert_eq!(last(ALPHA, here)?, (902, Bytes::from_static(b"pong")), "sent from inside handle");
    let arrived = mesh.coins(GAMMA, someone(0x42))?;
    ensure!(arrived == amount, "{arrived} arrived");
    Ok(())
}
