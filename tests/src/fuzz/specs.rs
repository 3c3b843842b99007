//! Texts people exchange: chain specs, networks, locks, genesis files, settings.

use causeway_chainspec::spec::diff::diff;
use causeway_chainspec::spec::export::{Format, export};
use causeway_chainspec::spec::lock::Lock;
use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_chainspec::spec::{Inputs, creation_code, network, parse, units};
use causeway_node::config::NodeFile;

use super::lab;
use crate::mesh::{THREE, specs};
use crate::world::GENESIS_MS;

/// What files of a spec hold here: a network of one, which is none of the fuzzer's chains.
fn files(name: &str) -> Result<Vec<u8>, String> {
    match name {
        "alloc.json" => Ok(ALLOC.into()),
        "code.hex" => Ok(b"0x6001600155".to_vec()),
        other => Err(format!("there is no {other}")),
    }
}

const ALLOC: &str = r#"{"alloc":{"0000000000000000000000000000000000000abc":{"balance":"0x10","nonce":"1",
"code":"0x6001","storage":{"0x01":"0x02"}}}}"#;

/// A whole chain.toml.
pub(super) fn chain(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let inputs = Inputs { read: &files, ..Inputs::NONE };
    let spec = match parse(text, &inputs) {
        Ok((spec, _warnings)) => spec,
        Err(invalid) => {
            assert!(!invalid.issues.is_empty(), "invalid, and nothing is said");
            let said = invalid.to_string();
            // Findings repeat keys and values, each a few times.
            assert!(said.len() <= 4096 * (invalid.issues.len() + text.len()), "{}", said.len());
            return;
        }
    };
    // It reads back as the same chain, with everything written out.
    let written = spec.to_toml();
    let (again, _) = parse(&written, &inputs)
        .unwrap_or_else(|invalid| panic!("does not read back: {invalid}\n{written}"));
    assert_eq!(again.identity(), spec.identity(), "another chain:\n{written}");
    assert_eq!(again.rules_hash(0), spec.rules_hash(0));
    let changes = diff(&spec, &again);
    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!(again.to_toml(), written);
    for format in [Format::Genesis, Format::Eip3085, Format::Viem, Format::EthereumLists] {
        let one = export(&spec, format, &Default::default());
        assert_eq!(one, export(&again, format, &Default::default()), "{format:?}");
    }
    for time_ms in [0, GENESIS_MS, u64::MAX] {
        assert_eq!(spec.rules_hash(time_ms), again.rules_hash(time_ms));
        assert_eq!(spec.fork_at(time_ms), again.fork_at(time_ms));
    }
}

/// A metalayer.toml by itself.
pub(super) fn network(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match network::parse(text) {
        Ok(seed) => {
            let written = seed.to_toml();
            let again = network::parse(&written)
                .unwrap_or_else(|invalid| panic!("does not read back: {invalid}\n{written}"));
            assert_eq!(again, seed, "another network:\n{written}");
            assert_eq!(again.hash(), seed.hash());
            assert!(seed.member(seed.hub).is_some());
        }
        Err(invalid) => assert!(!invalid.issues.is_empty(), "invalid, and nothing is said"),
    }
}

/// A chain.lock.
pub(super) fn lock(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(lock) = Lock::parse(text) {
        assert_eq!(Lock::parse(&lock.to_toml()).as_ref(), Ok(&lock));
        assert_eq!(lock.check(&lock), Ok(()));
    }
}

/// Durations and amounts, and addresses and words through the spec.
pub(super) fn units(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let value = toml::Value::String(text.to_owned());
    let read = |text: String| toml::Value::String(text);
    if let Ok(ms) = units::duration(&value) {
        assert_eq!(units::duration(&read(units::show_duration(&ms))), Ok(ms), "{text}");
    }
    if let Ok(wei) = units::wei(&value) {
        assert_eq!(units::wei(&read(units::show_wei(&wei))), Ok(wei), "{text}");
    }
    if let Ok(code) = creation_code(bytes) {
        assert!(code.len() <= text.len());
    }
    if let Ok(number) = text.parse::<u64>() {
        let count = units::show_count(&number);
        assert!(!count.is_empty() && !units::show_time(number % (1 << 46)).is_empty());
    }
}

/// A genesis file in geth's form, as a spec takes it.
pub(super) fn alloc(bytes: &[u8]) {
    let read = |_: &str| Ok(bytes.to_vec());
    let text = format!("{}\n[genesis]\nalloc_file = \"it\"\n", alloc_spec());
    let inputs = Inputs { read: &read, ..Inputs::NONE };
    if let Ok((spec, _)) = parse(&text, &inputs) {
        let (again, _) = parse(&spec.to_toml(), &Inputs::NONE)
            .unwrap_or_else(|invalid| panic!("does not read back: {invalid}"));
        assert_eq!(again.identity(), spec.identity());
        assert_eq!(again.genesis.alloc, spec.genesis.alloc);
    }
    let _ = creation_code(bytes);
}

/// A spec that says nothing of genesis.
fn alloc_spec() -> &'static str {
    "version = 1\n[chain]\nname = \"a\"\nchain_id = 901\n[sequencer]\n\
     key = \"0x00000000000000000000000000000000000000aa\"\n\
     [da.local]\nsigner = \"0x00000000000000000000000000000000000000bb\"\n"
}

/// A node.toml.
pub(super) fn node_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(file) = toml::from_str::<NodeFile>(text) {
        assert!(file.remotes.len() <= text.len());
    }
}

pub(super) fn chain_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<String> =
        ["evm", "ledger"].map(|vm| devnet_chain("one", 901, vm, Keys::DEV, GENESIS_MS)).into();
    seeds.push(format!(
        "{}\n[genesis]\nalloc_file = \"alloc.json\"\n[[genesis.preinstalls]]\n\
         address = \"0x00000000000000000000000000000000000000cc\"\nfile = \"code.hex\"\n",
        alloc_spec()
    ));
    seeds.push(alloc_spec().to_owned());
    seeds.extend(lab::vector_specs());
    seeds.extend(specs(&THREE).expect("the network's specs are right").iter().map(|s| s.to_toml()));
    seeds.into_iter().map(String::into_bytes).filter(|seed| seed.len() < 8000).collect()
}

pub(super) fn network_seeds() -> Vec<Vec<u8>> {
    let specs = specs(&THREE).expect("the network's specs are right");
    let seed = specs[0].metalayer.directory.as_ref().expect("a member").to_toml();
    vec![seed.into_bytes()]
}

pub(super) fn lock_seeds() -> Vec<Vec<u8>> {
    let specs = specs(&THREE).expect("the network's specs are right");
    let lock = Lock::new(&specs[0], Default::default(), Default::default());
    vec![lock.to_toml().into_bytes(), b"version = 2\nmore = 1\n".to_vec()]
}

pub(super) fn units_seeds() -> Vec<Vec<u8>> {
    ["250ms", "1.5 s", "10m", "0.001 gwei", "10000 ether", "0x10", "60_000_000", "0.5", "7"]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .chain([b"{\"bytecode\":{\"object\":\"0x6001\"}}".to_vec()])
        .collect()
}

pub(super) fn alloc_seeds() -> Vec<Vec<u8>> {
    let bare = r#"{"0x00000000000000000000000000000000000000aa":{"balance":18446744073709551615}}"#;
    let artifact = r#"{"evm":{"bytecode":{"object":"6001"}}}"#;
    [ALLOC, bare, artifact, "{}", "0x6001"].map(|text| text.as_bytes().to_vec()).into()
}

pub(super) fn node_file_seeds() -> Vec<Vec<u8>> {
    let full = "role = \"full\"\nhttp = \"127.0.0.1:8545\"\nsequencer = \"ws://x\"\n\
                [da]\nurl = \"http://x\"\n[da_service]\nlisten = \"127.0.0.1:1\"\ndir = \"d\"\n\
                key = \"k\"\n[keys]\nsequencer = \"a\"\nposter = \"b\"\n[store]\narchive = true\n\
                address_index = true\nhistory_blocks = 128\ncache_mib = 64\n[remotes.beta]\nspec = \"beta/chain.toml\"\n\
                [remotes.beta.da]\nurl = \"http://y\"\n";
    vec![full.as_bytes().to_vec(), b"role = \"sequencer\"\n".to_vec()]
}
