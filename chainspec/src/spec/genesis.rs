//! Block 0 as the file describes it: accounts, alloc files, preinstalls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use alloy_primitives::{Address, Bytes, U256, address, bytes};

use super::file::{self, AccountFile, GenesisFile, PreinstallFile};
use super::issue::Report;
use super::parse::ReadFile;
use super::{GenesisAccount, GenesisSpec, Preinstall, shape, units};

/// Where the CREATE2 proxy lives that forge, hardhat and viem expect.
pub const DETERMINISTIC_DEPLOYER: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");
/// Its runtime code, 69 bytes: public-domain data of the ecosystem, as deployed on Ethereum
/// (Arachnid/deterministic-deployment-proxy).
pub const DETERMINISTIC_DEPLOYER_CODE: Bytes = bytes!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

/// [`file::alloc_schema`], made once.
static ALLOC: LazyLock<serde_json::Value> = LazyLock::new(file::alloc_schema);

/// Resolves `[genesis]`. Files are read through `read`.
pub(super) fn resolve(
    file: GenesisFile,
    vm: &str,
    read: ReadFile<'_>,
    report: &mut Report,
) -> GenesisSpec {
    let mut alloc = BTreeMap::new();
    if let Some(name) = &file.alloc_file {
        let accounts = alloc_file(name, read, report);
        add(accounts, "genesis.alloc_file", &mut alloc, report);
    }
    add(file.alloc, "genesis.alloc", &mut alloc, report);
    if file.deterministic_deployer.unwrap_or(vm != "ledger") {
        alloc.entry(DETERMINISTIC_DEPLOYER).or_insert_with(|| GenesisAccount {
            nonce: 1,
            code: DETERMINISTIC_DEPLOYER_CODE,
            ..Default::default()
        });
    }
    let preinstalls = file.preinstalls.into_iter().enumerate();
    GenesisSpec {
        time_ms: file.timestamp.map_or(0, |time| time.0),
        alloc,
        preinstalls: preinstalls.map(|(at, file)| preinstall(at, file, read, report)).collect(),
    }
}

fn add(
    accounts: BTreeMap<String, AccountFile>,
    path: &str,
    alloc: &mut BTreeMap<Address, GenesisAccount>,
    report: &mut Report,
) {
    for (text, account) in accounts {
        let place = format!("{path}.{text}");
        let address = match units::parse_address(&text) {
            Ok(address) => address,
            Err(reason) => {
                report.error("CS0004", place, reason, "write 0x and 40 hex digits");
                continue;
            }
        };
        let account = resolve_account(account, &place, report);
        if alloc.insert(address, account).is_some() {
            let reason = format!("{address} is there twice");
            report.error("CS0061", place, reason, "keep one entry an address");
        }
    }
}

fn resolve_account(file: AccountFile, path: &str, report: &mut Report) -> GenesisAccount {
    let mut storage = BTreeMap::new();
    for (slot, value) in file.storage {
        match units::parse_word(&slot) {
            Ok(slot) if storage.insert(slot, value.0).is_some() => {
                let reason = format!("slot {slot:#x} is there twice");
                report.error("CS0061", format!("{path}.storage"), reason, "keep one entry a slot");
            }
            Ok(_) => {}
            Err(reason) => {
                let place = format!("{path}.storage.{slot}");
                report.error("CS0004", place, reason, "write the slot as \"0x1f\"");
            }
        }
    }
    // A zero word is no entry of the storage trie.
    storage.retain(|_, value: &mut U256| !value.is_zero());
    let nonce = file.nonce.map_or(U256::ZERO, |nonce| nonce.0);
    let nonce = u64::try_from(nonce).unwrap_or_else(|_| {
        let reason = format!("{nonce} is over 64 bits");
        report.error("CS0004", format!("{path}.nonce"), reason, "write a smaller nonce");
        0
    });
    GenesisAccount {
        balance: file.balance.map_or(U256::ZERO, |wei| wei.0),
        nonce,
        code: file.code.map_or_else(Bytes::new, |code| code.0),
        storage,
    }
}

/// Reads a geth genesis.json, or its alloc alone.
fn alloc_file(
    name: &str,
    read: ReadFile<'_>,
    report: &mut Report,
) -> BTreeMap<String, AccountFile> {
    let path = "genesis.alloc_file";
    let json = read(name).and_then(|text| {
        serde_json::from_slice::<serde_json::Value>(&text).map_err(|error| error.to_string())
    });
    let json = match json {
        Ok(json) => json,
        Err(reason) => {
            let fix = "give a JSON file of geth's alloc form, relative to chain.toml";
            report.error("CS0006", path, format!("{name}: {reason}"), fix);
            return BTreeMap::new();
        }
    };
    let alloc = json.get("alloc").cloned().unwrap_or(json);
    let Some(toml::Value::Table(table)) = to_toml(alloc) else {
        let fix = "give an object of accounts by address";
        report.error("CS0006", path, format!("{name} holds no alloc"), fix);
        return BTreeMap::new();
    };
    // geth writes addresses with and without 0x.
    let prefixed = |key: String| if key.starts_with("0x") { key } else { format!("0x{key}") };
    let mut table = table.into_iter().map(|(key, value)| (prefixed(key), value)).collect();
    shape::check(&mut table, &ALLOC, path, report);
    table.try_into().unwrap_or_else(|error: toml::de::Error| {
        report.error("CS0006", path, format!("{name}: {error}"), "use geth's alloc form");
        BTreeMap::new()
    })
}

/// JSON as TOML: nulls are left out, numbers of 64 bits become texts,
/// and larger ones have lost digits already: they stay floats, which no field takes.
fn to_toml(json: serde_json::Value) -> Option<toml::Value> {
    use serde_json::Value;
    Some(match json {
        Value::Null => return None,
        Value::Bool(value) => toml::Value::Boolean(value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => toml::Value::Integer(number),
            (None, Some(number)) => toml::Value::String(number.to_string()),
            (None, None) => toml::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => toml::Value::String(text),
        Value::Array(items) => toml::Value::Array(items.into_iter().filter_map(to_toml).collect()),
        Value::Object(map) => toml::Value::Table(
            map.into_iter().filter_map(|(key, value)| Some((key, to_toml(value)?))).collect(),
        ),
    })
}

fn preinstall(
    at: usize,
    file: PreinstallFile,
    read: ReadFile<'_>,
    report: &mut Report,
) -> Preinstall {
    let path = format!("genesis.preinstalls[{at}]");
    let address = file.address.map(|address| address.0);
    if address.is_none() && !report.speaks_of(&format!("{path}.address")) {
        let fix = "add address = \"0x...\"";
        report.error("CS0005", format!("{path}.address"), "this field is required", fix);
    }
    let code = match (file.file, file.code) {
        (Some(name), None) => read(&name)
            .and_then(|content| creation_code(&content))
            .map_err(|reason| ("CS0006", "file", format!("{name}: {reason}"))),
        (None, Some(code)) => Ok(code.0),
        (Some(_), Some(_)) => Err(("CS0062", "code", "file and code are both given".to_owned())),
        (None, None) => Err(("CS0005", "file", "the creation code is missing".to_owned())),
    };
    let creation_code = code.unwrap_or_else(|(code, field, reason)| {
        let place = format!("{path}.{field}");
        if code != "CS0005" || !report.speaks_of(&place) {
            let fix = "give one file of creation code: hex, or a JSON artifact with bytecode";
            report.error(code, place, reason, fix);
        }
        Bytes::new()
    });
    let name = file.name.unwrap_or_else(|| address.unwrap_or_default().to_string());
    Preinstall { name, address: address.unwrap_or_default(), creation_code }
}

/// Creation code from a file: hex text, or a JSON artifact of solc, hardhat or foundry with
/// `bytecode`, `bytecode.object` or `evm.bytecode.object`.
pub fn creation_code(content: &[u8]) -> Result<Bytes, String> {
    let text = std::str::from_utf8(content).map_err(|_| "the file is no text".to_owned())?.trim();
    let code = if text.starts_with('{') {
        let json: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        ["/bytecode", "/bytecode/object", "/evm/bytecode/object"]
            .iter()
            .find_map(|pointer| json.pointer(pointer)?.as_str())
            .map(|code| {
                if code.contains("__") {
                    return Err("the bytecode has libraries that are not linked".to_owned());
                }
                units::parse_bytes(code)
            })
            .ok_or("the JSON has no bytecode")??
    } else {
        units::parse_bytes(text)?
    };
    if code.is_empty() { Err("there is no code in it".to_owned()) } else { Ok(code) }
}

/// The addresses in a list that occur more than once.
pub(super) fn repeated<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> BTreeSet<Address> {
    let mut seen = BTreeSet::new();
    addresses.into_iter().copied().filter(|address| !seen.insert(*address)).collect()
}
