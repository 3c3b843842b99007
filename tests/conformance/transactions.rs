//! Transaction tests: bytes to a sender and an intrinsic gas by fork, or to an error.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::{BlockEnv, Fork, NO_BLOBS, Tx, TxEnvelope, TxType};
use causeway_execution::Vm;
use causeway_tests::world::World;
use eyre::{OptionExt, bail, ensure, eyre};
use serde::Deserialize;
use serde_json::Value;

use crate::source::{File, Sources};
use crate::tally::Tally;

/// The EVM, as a node opens it.
pub(crate) fn vm() -> Arc<dyn Vm> {
    static VM: OnceLock<Arc<dyn Vm>> = OnceLock::new();
    let open = || {
        let world = World::new("evm").expect("a world opens");
        causeway_execution::open(&world.spec).expect("there is an EVM")
    };
    VM.get_or_init(open).clone()
}

/// A fork by its name in the suites.
pub(crate) fn fork_named(name: &str) -> Option<Fork> {
    Some(match name {
        "Frontier" => Fork::Frontier,
        "Homestead" => Fork::Homestead,
        "EIP150" => Fork::TangerineWhistle,
        "EIP158" => Fork::SpuriousDragon,
        "Byzantium" => Fork::Byzantium,
        "ConstantinopleFix" => Fork::Petersburg,
        "Istanbul" => Fork::Istanbul,
        "Berlin" => Fork::Berlin,
        "London" => Fork::London,
        "Merge" | "Paris" => Fork::Paris,
        "Shanghai" => Fork::Shanghai,
        "Cancun" => Fork::Cancun,
        "Prague" => Fork::Prague,
        "Osaka" => Fork::Osaka,
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Test {
    txbytes: Bytes,
    result: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expected {
    exception: Option<Value>,
    hash: Option<B256>,
    sender: Option<Address>,
    intrinsic_gas: Option<U256>,
}

/// Runs every fork of every transaction of a file.
pub(crate) fn run(file: &File, _: &Sources) -> eyre::Result<Tally> {
    let mut tally = Tally::default();
    if file.path.extension().is_none_or(|it| it != "json") {
        return Ok(tally);
    }
    let tests: BTreeMap<String, Test> = serde_json::from_slice(&file.read()?)?;
    for (name, test) in tests {
        for (fork, expected) in &test.result {
            // What differs between them is not about transactions.
            let known = if fork == "Constantinople" { "ConstantinopleFix" } else { fork };
            let result = match fork_named(known) {
                Some(fork) => check(&test.txbytes, fork, expected),
                None => Err(eyre!("unknown fork {fork}")),
            };
            tally.count(format!("{}/{name}/{fork}", file.name()), result);
        }
        tally.count(format!("{}/{name}/own", file.name()), own(&test.txbytes));
    }
    Ok(tally)
}

fn check(raw: &Bytes, fork: Fork, expected: &Expected) -> eyre::Result<()> {
    let env = BlockEnv {
        chain_id: 1,
        number: 1,
        time_ms: 0,
        fork,
        beneficiary: Address::ZERO,
        gas_limit: u64::MAX,
        gas_available: u64::MAX,
        bytes_available: u64::MAX,
        base_fee: 0,
        mix_hash: B256::ZERO,
        difficulty: U256::ZERO,
        blob_base_fee: NO_BLOBS,
    };
    let checked = Tx::foreign(raw.clone())
        .map_err(eyre::Report::from)
        .and_then(|tx| Ok((vm().check(&tx, &env)?, tx)));
    match (checked, &expected.exception) {
        (Err(_), Some(_)) => Ok(()),
        (Err(error), None) => Err(error.wrap_err("refused")),
        (Ok(_), Some(exception)) => bail!("taken in spite of {exception}"),
        (Ok((facts, tx)), None) => {
            ensure!(Some(tx.sender) == expected.sender, "sender {}", tx.sender);
            ensure!(Some(tx.hash) == expected.hash, "hash {}", tx.hash);
            // Before EIP-7623 there is no floor, so both are the same.
            let gas = U256::from(facts.intrinsic_gas);
            ensure!(Some(gas) == expected.intrinsic_gas, "intrinsic gas {gas}");
            Ok(())
        }
    }
}

/// Our own chains take what any fork takes, but no blobs and no signature in the upper half.
fn own(raw: &Bytes) -> eyre::Result<()> {
    let own = Tx::decode(raw.clone());
    let fits = |tx: &Tx| {
        let high = tx.envelope.signature().is_some_and(|it| it.normalize_s().is_some());
        tx.envelope.tx_type() != TxType::Eip4844 && !high
    };
    match (own, Tx::foreign(raw.clone()).ok().filter(fits)) {
        (Ok(own), Some(foreign)) if (own.sender, own.hash) == (foreign.sender, foreign.hash) => {
            ensure!(own.envelope.encoded_2718() == raw.as_ref(), "encodes to other bytes");
            Ok(())
        }
        (Err(_), None) => Ok(()),
        (own, foreign) => bail!("own chain: {own:?}, foreign: {foreign:?}"),
    }
}

/// Which of the values of a state test make a case.
#[derive(Deserialize)]
pub(crate) struct Indexes {
    data: usize,
    gas: usize,
    value: usize,
}

/// The transaction of a case of an old state test, which has no bytes: signed with its key.
pub(crate) fn sign(tx: &Value, at: &Indexes, env: &BlockEnv) -> eyre::Result<Bytes> {
    let number =
        |value: &Value| -> eyre::Result<U256> { Ok(serde_json::from_value(value.clone())?) };
    let field = |name: &str| tx.get(name).ok_or_eyre(format!("no {name}")).and_then(number);
    let listed = |name: &str, at: usize| tx[name].get(at).ok_or_eyre(format!("no {name} {at}"));
    let key: B256 = serde_json::from_value(tx["secretKey"].clone())?;
    let signer = PrivateKeySigner::from_bytes(&key)?;
    let to = tx["to"].as_str().filter(|to| !to.is_empty());
    let to = to.map_or(Ok(TxKind::Create), |to| to.parse().map(TxKind::Call))?;
    let nonce = field("nonce")?.try_into()?;
    let gas_limit = number(listed("gasLimit", at.gas)?)?.try_into()?;
    let value = number(listed("value", at.value)?)?;
    let input: Bytes = serde_json::from_value(listed("data", at.data)?.clone())?;
    let list = tx.get("accessLists").and_then(|lists| lists.get(at.data));
    let list = list.filter(|list| !list.is_null());
    let chain_id = env.chain_id;
    macro_rules! signed {
        ($tx:expr) => {{
            let tx = $tx;
            let signature = signer.sign_hash_sync(&tx.signature_hash())?;
            TxEnvelope::from(tx.into_signed(signature))
        }};
    }
    let access_list = |list: Option<&Value>| -> eyre::Result<AccessList> {
        Ok(list.map(|list| serde_json::from_value(list.clone())).transpose()?.unwrap_or_default())
    };
    let envelope = if tx.get("maxFeePerGas").is_some() {
        ensure!(tx.get("maxFeePerBlobGas").is_none(), "a blob transaction without bytes");
        signed!(TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: field("maxFeePerGas")?.try_into()?,
            max_priority_fee_per_gas: field("maxPriorityFeePerGas")?.try_into()?,
            to,
            value,
            access_list: access_list(list)?,
            input,
        })
    } else {
        let gas_price = field("gasPrice")?.try_into()?;
        match list {
            Some(list) => signed!(TxEip2930 {
                chain_id,
                nonce,
                gas_price,
                gas_limit,
                to,
                value,
                access_list: access_list(Some(list))?,
                input,
            }),
            None => {
                signed!(TxLegacy { chain_id: None, nonce, gas_price, gas_limit, to, value, input })
            }
        }
    };
    Ok(envelope.encoded_2718().into())
}
