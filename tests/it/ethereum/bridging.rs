//! The bridge as people use it: a devnet on a real anvil, and viem's op-stack actions as they are.

use std::path::Path;

use causeway_tests::npm;
use tempfile::TempDir;

use super::devnets::start;

#[test]
fn coins_and_tokens_go_there_and_back_with_viem() -> eyre::Result<()> {
    let e2e = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e");
    npm::install(&e2e)?;
    let temp = TempDir::new()?;
    let dir = temp.path().join("devnet");
    let devnet = start(&dir, &["--l1", "anvil"])?;
    let file = dir.join("devnet.json");
    npm::node_with(
        &e2e,
        &["--test", "bridge/flow.mjs"],
        &[("E2E_DEVNET", file.to_string_lossy().into_owned())],
    )?;
    devnet.stop()?;
    Ok(())
}
