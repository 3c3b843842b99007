//! A spec in the forms other tools read.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256, address};
use serde_json::{Value, json};

use super::{ChainSpec, Fork, GenesisAccount, Kind};

/// Where a chain without public endpoints is looked for.
const DEFAULT_RPC: &str = "http://127.0.0.1:8545";
const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");

/// A form of export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// geth's genesis.json, for `geth init` and `anvil --init`.
    Genesis,
    /// Parameter of `wallet_addEthereumChain` (EIP-3085).
    Eip3085,
    /// TypeScript with viem's `defineChain`.
    Viem,
    /// A file of ethereum-lists/chains.
    EthereumLists,
}

/// Exports a spec. `preinstalled` are accounts that preinstalls left in block 0, if they were
/// run; only the genesis form holds them.
pub fn export(
    spec: &ChainSpec,
    format: Format,
    preinstalled: &BTreeMap<Address, GenesisAccount>,
) -> String {
    let json = match format {
        Format::Genesis => genesis(spec, preinstalled),
        Format::Eip3085 => eip3085(spec),
        Format::EthereumLists => ethereum_lists(spec),
        Format::Viem => return viem(spec),
    };
    format!("{json:#}\n")
}

/// The `config` of geth's genesis.json: chain id and forks. Blobs are as mainnet has them, since tools
/// want some; the chain takes none.
pub fn chain_config(spec: &ChainSpec) -> Value {
    let mut config = json!({
        "chainId": spec.chain_id,
        "terminalTotalDifficulty": 0,
        "shanghaiTime": 0,
        "cancunTime": 0,
    });
    for block in [
        "homesteadBlock",
        "eip150Block",
        "eip155Block",
        "eip158Block",
        "byzantiumBlock",
        "constantinopleBlock",
        "petersburgBlock",
        "istanbulBlock",
        "berlinBlock",
        "londonBlock",
    ] {
        config[block] = json!(0);
    }
    let mut blobs = json!({
        "cancun": { "target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477 },
    });
    for (fork, seconds) in &spec.forks {
        config[format!("{}Time", fork.name())] = json!(seconds);
        if *fork >= Fork::Prague {
            blobs[fork.name()] =
                json!({ "target": 6, "max": 9, "baseFeeUpdateFraction": 5_007_716 });
        }
    }
    config["blobSchedule"] = blobs;
    config
}

fn genesis(spec: &ChainSpec, preinstalled: &BTreeMap<Address, GenesisAccount>) -> Value {
    let config = chain_config(spec);
    let alloc: serde_json::Map<String, Value> = spec
        .genesis
        .alloc
        .iter()
        .chain(preinstalled)
        .map(|(address, account)| (address.to_checksum(None), genesis_account(account)))
        .collect();
    json!({
        "config": config,
        "nonce": "0x0",
        "timestamp": format!("{:#x}", spec.genesis.time_ms / 1000),
        "extraData": "0x",
        "gasLimit": format!("{:#x}", spec.gas.limit),
        "difficulty": "0x0",
        "mixHash": format!("{:#066x}", U256::ZERO),
        "coinbase": format!("{:#x}", spec.fees.recipient),
        "baseFeePerGas": format!("{:#x}", spec.fees.min_base_fee.max(spec.fees.floor)),
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "alloc": alloc,
    })
}

fn genesis_account(account: &GenesisAccount) -> Value {
    let mut json = json!({ "balance": format!("{:#x}", account.balance) });
    if account.nonce > 0 {
        json["nonce"] = json!(format!("{:#x}", account.nonce));
    }
    if !account.code.is_empty() {
        json["code"] = json!(account.code.to_string());
    }
    if !account.storage.is_empty() {
        let slots = account.storage.iter();
        json["storage"] = slots
            .map(|(slot, value)| (format!("{slot:#066x}"), json!(format!("{value:#066x}"))))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    json
}

fn rpc(spec: &ChainSpec) -> Vec<String> {
    let rpc = &spec.public.rpc;
    if rpc.is_empty() { vec![DEFAULT_RPC.to_owned()] } else { rpc.clone() }
}

fn currency(spec: &ChainSpec) -> Value {
    let token = &spec.token;
    json!({ "name": token.name, "symbol": token.symbol, "decimals": token.decimals })
}

fn eip3085(spec: &ChainSpec) -> Value {
    let mut json = json!({
        "chainId": format!("{:#x}", spec.chain_id),
        "chainName": spec.name,
        "nativeCurrency": currency(spec),
        "rpcUrls": rpc(spec),
    });
    // EIP-3085 takes no empty list here.
    if !spec.public.explorer.is_empty() {
        json["blockExplorerUrls"] = json!(spec.public.explorer);
    }
    json
}

fn ethereum_lists(spec: &ChainSpec) -> Value {
    let mut json = json!({
        "name": spec.name,
        "chain": spec.token.symbol,
        "rpc": spec.public.rpc.iter().chain(&spec.public.ws).collect::<Vec<_>>(),
        "faucets": [],
        "nativeCurrency": currency(spec),
        "infoURL": spec.public.info_url.as_deref().unwrap_or_default(),
        "shortName": spec.short_name,
        "chainId": spec.chain_id,
        "networkId": spec.chain_id,
    });
    if !spec.public.explorer.is_empty() {
        let explorer = |url| json!({ "name": spec.name, "url": url, "standard": "none" });
        json["explorers"] = spec.public.explorer.iter().map(explorer).collect();
    }
    json
}

fn viem(spec: &ChainSpec) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let mut urls = format!("http: {}", json!(rpc(spec)));
    if !spec.public.ws.is_empty() {
        urls.push_str(&format!(", webSocket: {}", json!(spec.public.ws)));
    }
    let mut more = String::new();
    if let Some(url) = spec.public.explorer.first() {
        let (name, url) = (text(&spec.name), text(url));
        more.push_str(&format!(
            "  blockExplorers: {{ default: {{ name: {name}, url: {url} }} }},\n"
        ));
    }
    if spec.genesis.preinstalls.iter().any(|preinstall| preinstall.address == MULTICALL3) {
        let address = format!("\"{MULTICALL3}\"");
        let multicall = format!("{{ address: {address}, blockCreated: 0 }}");
        more.push_str(&format!("  contracts: {{ multicall3: {multicall} }},\n"));
    }
    if spec.kind != Kind::Mainnet {
        more.push_str("  testnet: true,\n");
    }
    format!(
        "import {{ defineChain }} from \"viem\";

export const {} = defineChain({{
  id: {},
  name: {},
  nativeCurrency: {{ name: {}, symbol: {}, decimals: {} }},
  rpcUrls: {{ default: {{ {urls} }} }},
  blockTime: {},
{more}}});
",
        identifier(&spec.short_name),
        spec.chain_id,
        text(&spec.name),
        text(&spec.token.name),
        text(&spec.token.symbol),
        spec.token.decimals,
        spec.sequencer.block_time_ms,
    )
}

/// A short name as an identifier: `my-chain` is `myChain`. What begins with a digit or might be
/// a word of the language gets `Chain` or `chain` around it.
fn identifier(short_name: &str) -> String {
    let mut out = String::new();
    for part in short_name.split('-').filter(|part| !part.is_empty()) {
        let (first, rest) = part.split_at(1);
        let upper = first.to_ascii_uppercase();
        out.push_str(if out.is_empty() { first } else { &upper });
        out.push_str(rest);
    }
    match out.chars().next() {
        Some(first) if first.is_ascii_digit() => format!("chain{out}"),
        Some(_) if short_name.contains('-') => out,
        _ => format!("{out}Chain"),
    }
}
