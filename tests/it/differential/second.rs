//! The same blocks on an EVM of other people in another language, so that revm is not on both
//! sides. The script is in `tests/ethereumjs`.

use std::path::Path;

use alloy_primitives::B256;
use causeway_chainspec::{Fork, Receipt};
use causeway_tests::drive::seeds;
use causeway_tests::npm;
use eyre::{WrapErr, ensure};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::STEPS;
use super::chain::Chain;
use super::predict::Predicted;
use super::state::State;
use super::stock::Stock;

/// Forks as `@ethereumjs/common` names them.
const NAMES: [(Fork, &str); 5] = [
    (Fork::Paris, "paris"),
    (Fork::Shanghai, "shanghai"),
    (Fork::Cancun, "cancun"),
    (Fork::Prague, "prague"),
    (Fork::Osaka, "osaka"),
];

/// A block's candidates between the protocol's own work, as one line.
pub(super) fn line(hash: B256, predicted: &Predicted) -> String {
    let (head, before, after) = (&predicted.head, &predicted.before, &predicted.after);
    let (_, fork) = NAMES.into_iter().find(|(fork, _)| *fork == head.fork).expect("a known fork");
    let txs: Vec<_> = predicted
        .tried
        .iter()
        .map(|(raw, receipt)| json!({ "raw": raw, "want": receipt.as_ref().map(outcome) }))
        .collect();
    json!({
        "name": format!("block {} {hash} on {fork}", head.number),
        "chainId": head.chain_id,
        "fork": fork,
        "number": head.number,
        "time": head.time_ms / 1000,
        "beneficiary": head.beneficiary,
        "gasLimit": head.gas_limit,
        "baseFee": head.base_fee,
        "mixHash": head.mix_hash,
        "hashes": &*head.hashes,
        "pre": accounts(before),
        "preRoot": before.root(),
        "txs": txs,
        "root": after.root(),
    })
    .to_string()
}

fn outcome(receipt: &Receipt) -> Value {
    let logs: Vec<_> = receipt
        .logs
        .iter()
        .map(|log| {
            let address = format!("{:#x}", log.address);
            Value::Object(Map::from_iter([
                ("address".into(), address.into()),
                ("topics".into(), json!(log.topics())),
                ("data".into(), json!(log.data.data)),
            ]))
        })
        .collect();
    json!({ "status": receipt.success, "gasUsed": receipt.gas_used, "logs": logs })
}

fn accounts(state: &State) -> Value {
    let accounts = state.0.iter().map(|(address, entry)| {
        let account = json!({
            "nonce": entry.nonce,
            "balance": entry.balance,
            "code": entry.code,
            "storage": entry.storage,
        });
        (format!("{address:#x}"), account)
    });
    Value::Object(accounts.collect())
}

#[test]
fn another_evm_agrees_on_random_blocks() -> eyre::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ethereumjs");
    npm::install(&folder)?;
    let dir = TempDir::new()?;
    for seed in seeds(1) {
        let mut chain = Chain::new(seed, &Stock)?;
        chain.lines = Some(Vec::new());
        for step in 0..STEPS {
            chain.step().wrap_err_with(|| format!("step {step} of seed {seed}"))?;
        }
        let lines = chain.lines.take().unwrap_or_default();
        ensure!(lines.len() > 10, "seed {seed} gave {} blocks", lines.len());
        let file = dir.path().join(format!("{seed}.jsonl"));
        std::fs::write(&file, lines.join("\n"))?;
        let file = file.to_string_lossy().into_owned();
        let told = npm::node(&folder, &["run.mjs", &file])
            .wrap_err_with(|| format!("CAUSEWAY_SEED={seed} CAUSEWAY_CASES=1"))?;
        print!("seed {seed}: {told}");
    }
    Ok(())
}
