//! The spec as a whole: what is read, refused, hashed and written again.

use alloy_primitives::{B256, U256, address};
use alloy_signer_local::MnemonicBuilder;
use alloy_signer_local::coins_bip39::English;

use super::export::{Format, export};
use super::presets::{DEV_ACCOUNTS, DEV_MNEMONIC, Keys, devnet_chain};
use super::*;

const SMALLEST: &str = r#"
version = 1
[chain]
name = "Alpha One"
chain_id = 901
[da.local]
signer = "0x00000000000000000000000000000000000000d1"
[sequencer]
key = "0x00000000000000000000000000000000000000a1"
"#;

pub(super) fn read(text: &str) -> ChainSpec {
    parse(text, &Inputs::NONE).unwrap_or_else(|invalid| panic!("{invalid}")).0
}

fn issues(text: &str) -> Vec<Issue> {
    match parse(text, &Inputs::NONE) {
        Ok((_, warnings)) => warnings,
        Err(invalid) => invalid.issues,
    }
}

/// Codes and paths of the errors.
fn errors(text: &str) -> Vec<(&'static str, String)> {
    let errors = issues(text).into_iter().filter(|issue| issue.severity == Severity::Error);
    errors.map(|issue| (issue.code, issue.path)).collect()
}

fn with(section: &str, line: &str) -> String {
    let header = format!("[{section}]\n");
    if SMALLEST.contains(&header) {
        SMALLEST.replace(&header, &format!("{header}{line}\n"))
    } else {
        format!("{SMALLEST}{header}{line}\n")
    }
}

#[track_caller]
fn refused(section: &str, line: &str, code: &str, path: &str) {
    let found = errors(&with(section, line));
    assert_eq!(
        found,
        [(CODES.iter().find(|known| **known == code).copied().unwrap(), path.to_owned())]
    );
}

const CODES: &[&str] = &[
    "CS0001", "CS0002", "CS0003", "CS0004", "CS0005", "CS0006", "CS0007", "CS0008", "CS0009",
    "CS0010", "CS0020", "CS0030", "CS0040", "CS0041", "CS0050", "CS0051", "CS0052", "CS0060",
    "CS0061", "CS0062", "CS0070", "CS0071", "CS0072", "CS0073", "CS0080", "CS0090",
];

#[test]
fn the_smallest_spec_works_with_sensible_defaults() {
    let spec = read(SMALLEST);
    let key = address!("0x00000000000000000000000000000000000000a1");
    assert_eq!((spec.short_name.as_str(), spec.vm.as_str()), ("alpha-one", "evm"));
    assert_eq!((spec.gas.limit, spec.gas.rate, spec.gas.target), (30_000_000, 30_000, 15_000));
    assert_eq!(spec.gas.burst, 60_000_000);
    assert_eq!(spec.fees.recipient, key);
    assert_eq!(spec.fees.denominator, 900_000_000);
    assert_eq!(spec.forks, [(Fork::Prague, 0), (Fork::Osaka, 0)]);
    assert_eq!(spec.sequencer.posters_at(0), [key]);
    assert_eq!(spec.da.options["signer"].as_str().map(str::len), Some(42));
    assert_eq!(spec.metalayer, MetalayerSpec::none(901));
    let deployer = &spec.genesis.alloc[&DETERMINISTIC_DEPLOYER];
    assert_eq!((deployer.code.len(), deployer.nonce), (69, 1));
    let warned: Vec<_> = issues(SMALLEST).into_iter().map(|issue| issue.path).collect();
    assert_eq!(warned, ["genesis.timestamp", "genesis.alloc"]);
}

#[test]
fn every_error_is_reported_at_once_with_its_place() {
    let text = r#"
version = 1
typo = true
[chain]
name = 7
chain_id = -5
short_name = "Alpha!"
[execution]
block_tme = "1s"
gas_limit = "thirty"
forks = { prage = 0 }
[fees.token]
decimals = 300
[da]
layer = "local"
interval = "1m"
[da.celestia]
namespace = "x"
[sequencer]
window = "10m"
poster = "0x12"
[public]
rpc = ["ftp://x", 7]
"#;
    let found = errors(text);
    let expected = [
        ("CS0002", "typo"),
        ("CS0003", "chain.name"),
        ("CS0004", "chain.chain_id"),
        ("CS0010", "chain.short_name"),
        ("CS0002", "execution.block_tme"),
        ("CS0004", "execution.gas_limit"),
        ("CS0020", "execution.forks.prage"),
        ("CS0004", "fees.token.decimals"),
        ("CS0007", "da.celestia"),
        ("CS0005", "da.local.signer"),
        ("CS0050", "sequencer.window"),
        ("CS0050", "sequencer.drift"),
        ("CS0004", "sequencer.poster"),
        ("CS0005", "sequencer.key"),
        ("CS0090", "public.rpc[0]"),
        ("CS0003", "public.rpc[1]"),
    ];
    for (code, path) in expected {
        assert!(found.contains(&(code, path.to_owned())), "{code} {path} not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    let all = issues(text);
    let near = all.iter().find(|issue| issue.path == "execution.block_tme").unwrap();
    assert!(near.reason.contains("did you mean \"block_time\""), "{}", near.reason);
    assert_eq!((near.line, near.column), (Some(9), Some(1)));
    let deep = all.iter().find(|issue| issue.path == "fees.token.decimals").unwrap();
    assert_eq!(deep.line, Some(13));
    assert!(all.iter().all(|issue| CODES.contains(&issue.code) && !issue.fix.is_empty()));
}

#[test]
fn rules_of_the_protocol_are_checked() {
    refused("da", "interval = \"31s\"", "CS0050", "sequencer.drift");
    refused("da", "interval = \"0s\"", "CS0050", "da.interval");
    refused(
        "sequencer",
        "window = \"19s\"\nforced_delay = \"2s\"\ndrift=\"2s\"",
        "CS0050",
        "sequencer.window",
    );
    refused("sequencer", "forced_delay = \"31m\"", "CS0050", "sequencer.forced_delay");
    refused("sequencer", "forced_delay = \"59s\"", "CS0050", "sequencer.forced_delay");
    refused("sequencer", "lane_rate = \"30M\"", "CS0030", "sequencer.lane_rate");
    refused("sequencer", "lane_rate = 0", "CS0030", "sequencer.lane_rate");
    refused("execution", "gas_burst = \"20M\"", "CS0030", "execution.gas_burst");
    refused("execution", "gas_rate = 30000001", "CS0030", "execution.gas_rate");
    refused("execution", "gas_target = \"40M\"", "CS0030", "execution.gas_target");
    refused("execution", "block_time = \"9ms\"", "CS0050", "execution.block_time");
    refused("execution", "idle = \"500ms\"", "CS0050", "execution.idle");
    refused("execution", "idle = \"20m\"", "CS0050", "execution.idle");
    refused("execution", "forks = { cancun = 0, prague = 0 }", "CS0020", "execution.forks.cancun");
    // Forks of foreign blocks are no forks of ours.
    for fork in ["frontier", "homestead", "byzantium", "london", "paris"] {
        let path = format!("execution.forks.{fork}");
        refused("execution", &format!("forks = {{ {fork} = 0, prague = 0 }}"), "CS0020", &path);
    }
    refused("execution", "forks = { osaka = 0 }", "CS0020", "execution.forks");
    refused("execution", "forks = { prague = 5 }", "CS0020", "execution.forks");
    refused("fees", "denominator = 0", "CS0040", "fees.denominator");
    refused("fees", "min_base_fee = 0", "CS0040", "fees.min_base_fee");
    refused("fees", "min_base_fee = \"100 ether\"", "CS0040", "fees.min_base_fee");
    refused("metalayer", "domain = 4294967296", "CS0070", "metalayer.domain");
}

#[test]
fn names_ids_keys_and_addresses_are_checked() {
    for (id, path) in [("0", "chain.chain_id"), ("4294967296", "chain.chain_id")] {
        let text = SMALLEST.replace("chain_id = 901", &format!("chain_id = {id}"));
        let found = errors(&text);
        assert_eq!(found[0], ("CS0010", path.to_owned()), "{found:?}");
        assert_eq!(found.len(), 1);
    }
    let zero = "0x0000000000000000000000000000000000000000";
    refused("sequencer", &format!("poster = \"{zero}\""), "CS0061", "sequencer.poster");
    refused("fees", &format!("recipient = \"{zero}\""), "CS0061", "fees.recipient");
    refused("sequencer", "posters = []", "CS0051", "sequencer.posters");
    refused("sequencer", "posters = [{ keys = [] }]", "CS0051", "sequencer.posters[0]");
    let key = "0x00000000000000000000000000000000000000a1";
    let twice = format!("posters = [{{ keys = [\"{key}\", \"{key}\"] }}]");
    refused("sequencer", &twice, "CS0061", "sequencer.posters[0]");
    let late = format!("posters = [{{ from = 5, keys = [\"{key}\"] }}]");
    refused("sequencer", &late, "CS0051", "sequencer.posters[0]");
    let alloc =
        format!("[genesis.alloc.\"{key}\"]\n[genesis.alloc.\"{}\"]\n", key.replace("a1", "A1"));
    let text = format!("{SMALLEST}{alloc}");
    assert_eq!(errors(&text)[0].0, "CS0061");
    refused(
        "genesis.alloc",
        "\"0x4200000000000000000000000000000000000016\" = { code = \"0x00\" }",
        "CS0061",
        "genesis.alloc.0x4200000000000000000000000000000000000016",
    );
    refused("genesis.alloc", "nobody = {}", "CS0004", "genesis.alloc.nobody");
    refused("public", "ws = [\"http://x\"]", "CS0090", "public.ws[0]");
    refused("sequencer.raft", "", "CS0007", "sequencer.raft");
    assert!(errors(&with("sequencer.single", "")).is_empty());
}

#[test]
fn versions_syntax_and_modules_are_told_apart() {
    assert_eq!(errors(&SMALLEST.replace("version = 1", "version = 2"))[0].0, "CS0009");
    assert_eq!(errors(&SMALLEST.replace("version = 1", ""))[0], ("CS0005", "version".to_owned()));
    let found = issues("version = 1\n[chain\nname = \"x\"");
    assert_eq!((found[0].code, found[0].line), ("CS0001", Some(2)));
    let inputs = Inputs { vms: &["evm", "ledger"], ..Inputs::NONE };
    let invalid = parse(&with("execution", "vm = \"evn\""), &inputs).unwrap_err();
    assert_eq!(invalid.issues[0].code, "CS0008");
    assert!(invalid.to_string().contains("did you mean \"evm\""), "{invalid}");
}

#[test]
fn deep_nesting_is_refused_without_a_deep_stack() {
    for deep in [
        format!("x = {}{}", "[".repeat(50_000), "]".repeat(50_000)),
        format!("x = {}{}", "{x = ".repeat(50_000), "}".repeat(50_000)),
        format!("{}x = 1", "a.".repeat(50_000)),
        format!("[{}a]", "a.".repeat(50_000)),
        format!("[da.local]\n{}x = 1", "a.".repeat(50_000)),
    ] {
        assert!(parse(&deep, &Inputs::NONE).is_err());
    }
}

#[test]
fn well_known_keys_are_for_devnets_only() {
    let text = devnet_chain("Dev", 901, "evm", Keys::DEV, 1_700_000_000_000);
    read(&text);
    let text = text.replace("kind = \"devnet\"", "kind = \"testnet\"");
    let found = errors(&text);
    assert!(found.iter().all(|(code, _)| *code == "CS0080"), "{found:?}");
    for path in ["sequencer.key", "sequencer.poster", "fees.recipient", "da.local.signer"] {
        assert!(found.iter().any(|(_, at)| at == path), "{path} not in {found:?}");
    }
    let accounts = found.iter().filter(|(_, path)| path.starts_with("genesis.alloc."));
    assert_eq!(accounts.count(), 10);
}

#[test]
fn the_dev_accounts_are_those_of_the_mnemonic() {
    for (index, address) in (0..).zip(DEV_ACCOUNTS) {
        let builder = MnemonicBuilder::<English>::default().phrase(DEV_MNEMONIC);
        let signer = builder.index(index).unwrap().build().unwrap();
        assert_eq!(signer.address(), address);
    }
}

#[test]
fn files_are_read_through_the_reader() {
    let read_file = |name: &str| {
        match name {
        "alloc.json" => Ok(br#"{"alloc": {
            "00000000000000000000000000000000000000b1": {"balance": "0xde0b6b3a7640000", "nonce": "0x1",
                "code": "0x6001", "storage": {"0x01": "0x02", "0x03": "0x00"}},
            "0x00000000000000000000000000000000000000b2": {"balance": 18446744073709551615}
        }}"#
        .to_vec()),
        "rounded.json" => Ok(br#"{"0x00000000000000000000000000000000000000b2": {"balance": 1e30}}"#.to_vec()),
        "hex" => Ok(b"0x6001\n".to_vec()),
        "foundry.json" => Ok(br#"{"bytecode": {"object": "0x6002"}}"#.to_vec()),
        "hardhat.json" => Ok(br#"{"bytecode": "0x6003"}"#.to_vec()),
        "unlinked.json" => Ok(br#"{"bytecode": "0x60__$abc$__03"}"#.to_vec()),
        _ => Err("no such file".to_owned()),
    }
    };
    let inputs = Inputs { read: &read_file, ..Inputs::NONE };
    let preinstall = |at: usize, file: &str| {
        format!(
            "[[genesis.preinstalls]]\nname=\"c{at}\"\naddress = \"0x{:040x}\"\nfile = \"{file}\"\n",
            0xc0 + at
        )
    };
    let files = ["hex", "foundry.json", "hardhat.json"];
    let all: String = files.iter().enumerate().map(|(at, file)| preinstall(at, file)).collect();
    let text = format!("{}{all}", with("genesis", "alloc_file = \"alloc.json\""));
    let (spec, _) = parse(&text, &inputs).unwrap_or_else(|invalid| panic!("{invalid}"));
    let codes: Vec<_> = spec.genesis.preinstalls.iter().map(|p| p.creation_code[1]).collect();
    assert_eq!(codes, [1, 2, 3]);
    let account = &spec.genesis.alloc[&address!("0x00000000000000000000000000000000000000b1")];
    assert_eq!((account.nonce, account.storage.len()), (1, 1));
    assert_eq!(account.balance, U256::from(10).pow(U256::from(18)));
    for bad in ["missing", "unlinked.json"] {
        let invalid = parse(&format!("{SMALLEST}{}", preinstall(0, bad)), &inputs).unwrap_err();
        assert_eq!(invalid.issues[0].path, "genesis.preinstalls[0].file");
    }
    let rounded = with("genesis", "alloc_file = \"rounded.json\"");
    assert_eq!(parse(&rounded, &inputs).unwrap_err().issues[0].code, "CS0003");
    assert_eq!(
        errors(&with("genesis", "alloc_file = \"x\"")),
        [("CS0006", "genesis.alloc_file".to_owned())]
    );
}

/// A spec with something in every field.
pub(super) fn rich() -> String {
    let mut text = devnet_chain("Rich \"quoted\"", 902, "evm", Keys::DEV, 1_700_000_000_250);
    text = text.replace("poster = \"", "posters = [{ keys = [\"0x00000000000000000000000000000000000000b1\"] }, { from = \"2027-01-15T00:00:00Z\", keys = [\"0x00000000000000000000000000000000000000b2\", \"0x00000000000000000000000000000000000000b3\"] }] # \"");
    text = text.replace("osaka = 0", "osaka = \"2027-01-15T00:00:00Z\"");
    text.push_str(
        "\"0x00000000000000000000000000000000000000c1\" = { balance = \"1 wei\", nonce = 3, code = \"0x6001\", storage = { 0x01 = \"0xff\", 2 = 0 } }
[[genesis.preinstalls]]
name = \"Multicall3\"
address = \"0xcA11bde05977b3631167028862bE2a173976CA11\"
code = \"0x600160025500\"
[metalayer]
domain = 7
[public]
rpc = [\"https://rpc.rich.example\"]
ws = [\"wss://rpc.rich.example\"]
explorer = [\"https://explorer.rich.example\"]
info_url = \"https://rich.example\"
",
    );
    text
}

#[test]
fn the_effective_spec_reads_back_as_the_same_spec() {
    for text in [SMALLEST.to_owned(), rich()] {
        let spec = read(&text);
        let shown = spec.to_toml();
        let again = read(&shown);
        assert_eq!(again.identity(), spec.identity());
        assert_eq!(format!("{again:?}"), format!("{spec:?}"));
        assert_eq!(again.to_toml(), shown);
        assert!(diff::diff(&spec, &again).is_empty());
    }
    assert!(read(SMALLEST).to_toml().contains("gas_limit = \"30M\""));
    assert_eq!(read(SMALLEST).to_json()["sequencer"]["window"], "1h");
}

#[test]
fn exports_have_the_form_their_readers_want() {
    let (rich, small) = (read(&rich()), read(SMALLEST));
    let out = |spec: &ChainSpec, format| export(spec, format, &BTreeMap::new());
    let json = |spec: &ChainSpec, format| -> serde_json::Value {
        serde_json::from_str(&out(spec, format)).unwrap()
    };

    let genesis: alloy_genesis::Genesis =
        serde_json::from_str(&out(&rich, Format::Genesis)).unwrap();
    assert_eq!(genesis.config.chain_id, 902);
    assert_eq!(
        (genesis.config.prague_time, genesis.config.osaka_time),
        (Some(0), Some(1_799_971_200))
    );
    assert_eq!((genesis.gas_limit, genesis.timestamp), (60_000_000, 1_700_000_000));
    assert_eq!(genesis.base_fee_per_gas, Some(10_000_000));
    let account = &genesis.alloc[&address!("0x00000000000000000000000000000000000000c1")];
    assert_eq!((account.nonce, account.balance), (Some(3), U256::ONE));
    assert_eq!(
        account.storage.as_ref().unwrap()[&B256::with_last_byte(1)],
        B256::with_last_byte(0xff)
    );

    let wallet = json(&small, Format::Eip3085);
    assert_eq!((&wallet["chainId"], wallet.get("blockExplorerUrls")), (&"0x385".into(), None));
    assert_eq!(wallet["rpcUrls"][0], "http://127.0.0.1:8545");

    let allowed = [
        "name",
        "chain",
        "rpc",
        "faucets",
        "nativeCurrency",
        "infoURL",
        "shortName",
        "chainId",
        "networkId",
        "explorers",
    ];
    let list = json(&rich, Format::EthereumLists);
    let keys: Vec<_> = list.as_object().unwrap().keys().cloned().collect();
    assert!(keys.iter().all(|key| allowed.contains(&key.as_str())), "{keys:?}");
    assert_eq!(keys.len(), allowed.len());

    let viem = out(&rich, Format::Viem);
    assert!(viem.contains("export const richQuoted = defineChain({"), "{viem}");
    assert!(viem.contains(r#"name: "Rich \"quoted\"","#), "{viem}");
    assert!(viem.contains("multicall3") && viem.contains("testnet: true"), "{viem}");
    assert!(out(&small, Format::Viem).contains("alphaOne"));
}

#[test]
fn the_schema_names_every_field_and_its_form() {
    let schema = schema();
    let field = |section: &str, field: &str| {
        let pointer = format!("/$defs/{section}/properties/{field}");
        schema.pointer(&pointer).unwrap_or_else(|| panic!("{pointer}")).clone()
    };
    assert_eq!(field("ExecutionFile", "block_time")["format"], "duration");
    assert_eq!(field("ChainFile", "kind")["$ref"], "#/$defs/Kind");
    assert_eq!(schema["$defs"]["Kind"]["enum"][0], "devnet");
    assert_eq!(schema["$defs"]["DaFile"]["additionalProperties"]["type"], "object");
    assert_eq!(schema["additionalProperties"], false);
    let text = schema.to_string();
    assert!(!text.contains("\"null\""), "TOML has no null");
    assert!(field("FeesFile", "floor")["description"].is_string());
}

#[test]
fn a_ledger_chain_has_no_contracts() {
    let spec = read(&devnet_chain("L", 5, "ledger", Keys::DEV, 1_700_000_000_000));
    assert!(!spec.genesis.alloc.contains_key(&DETERMINISTIC_DEPLOYER));
    let line = "vm = \"ledger\"\n[[genesis.preinstalls]]\naddress = \"0xcA11bde05977b3631167028862bE2a173976CA11\"\ncode=\"0x00\"";
    refused("execution", line, "CS0062", "genesis.preinstalls[0]");
}

#[test]
fn a_long_name_is_not_compared_with_others() {
    let long = "x".repeat(1 << 20);
    let found = errors(&with("chain", &format!("{long} = 1")));
    assert_eq!(found, [("CS0002", format!("chain.{long}"))]);
    assert!(!issues(&with("chain", &format!("{long} = 1")))[0].reason.contains("did you mean"));
}

#[test]
fn a_chain_on_blobs_names_its_parent() {
    let found = |section: &str| -> Vec<_> {
        let text = format!("[da]\nlayer = \"ethereum\"\n[da.ethereum]\n{section}");
        let of_it = |(_, path): &(&str, String)| path.starts_with("da.");
        errors(&text).into_iter().filter(of_it).collect()
    };
    let portal = format!("portal = \"{}\"", alloy_primitives::Address::repeat_byte(1));
    assert_eq!(found(&format!("chain_id = 1\n{portal}")), []);
    assert_eq!(found(&portal), [("CS0005", "da.ethereum.chain_id".to_owned())]);
    for id in ["0", "-1", "\"one\""] {
        let section = format!("chain_id = {id}");
        assert_eq!(found(&section), [("CS0004", "da.ethereum.chain_id".to_owned())], "{id}");
    }
    let section = "chain_id = 1\ninbox = \"0x12\"";
    assert_eq!(found(section), [("CS0004", "da.ethereum.inbox".to_owned())]);
}
