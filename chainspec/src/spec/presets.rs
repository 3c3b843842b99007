//! The text of a `chain.toml`, commented for people, from a few choices.

mod network;
mod parent;

use std::fmt::Write;

use alloy_primitives::{Address, address};

use super::{Kind, resolve, units};

pub use network::{Membership, NetworkFiles, NetworkTemplate, NewMember};
pub use parent::{Contracts, Parent};

/// The ten accounts of the mnemonic "test test test test test test test test test test test junk".
/// Their private keys are public knowledge: only devnets may use them.
pub const DEV_ACCOUNTS: [Address; 10] = [
    address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("0x976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("0x14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];
/// The mnemonic of [`DEV_ACCOUNTS`].
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Governs the network of a devnet: account 6 of [`DEV_ACCOUNTS`].
pub const DEV_GOVERNANCE: Address = DEV_ACCOUNTS[6];

/// Addresses of the keys a chain needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// Seals blocks.
    pub sequencer: Address,
    /// Posts to DA.
    pub poster: Address,
    /// Signs the blocks of a local DA service.
    pub da: Address,
}

impl Keys {
    /// The keys of a devnet: accounts 9, 8 and 7 of [`DEV_ACCOUNTS`].
    pub const DEV: Self =
        Self { sequencer: DEV_ACCOUNTS[9], poster: DEV_ACCOUNTS[8], da: DEV_ACCOUNTS[7] };
}

/// The choices. Texts of durations and amounts are written as they are; the parser judges them.
#[derive(Debug, Clone)]
pub struct Template {
    /// Human name.
    pub name: String,
    /// Short name; from the name if empty.
    pub short_name: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Devnet, testnet or mainnet.
    pub kind: Kind,
    /// Virtual machine.
    pub vm: String,
    /// DA backend.
    pub da: String,
    /// Sequencer mode.
    pub sequencer: String,
    /// Time between blocks.
    pub block_time: String,
    /// Time between blocks while there are no transactions; left to its default if empty.
    pub idle: String,
    /// Time between DA blocks, for a layer that this chain's own service makes.
    pub da_interval: String,
    /// Gas limit of a block.
    pub gas_limit: String,
    /// Gas a second.
    pub gas_rate: String,
    /// How late a block may be posted.
    pub window: String,
    /// Symbol of the gas token.
    pub symbol: String,
    /// Keys.
    pub keys: Keys,
    /// Time of block 0, ms.
    pub genesis_time_ms: u64,
    /// Who has how much at genesis. With the hub's coin it is not written: it is to come from
    /// the hub.
    pub funds: Vec<(Address, String)>,
    /// Name, address and file of contracts installed at genesis.
    pub preinstalls: Vec<(String, Address, String)>,
    /// Membership in the Metalayer, if it is a member.
    pub metalayer: Option<Membership>,
    /// The chain that carries its blobs, if one does.
    pub parent: Option<Parent>,
}

impl Template {
    /// A devnet in which the ten dev accounts have 10000 ether each.
    pub fn devnet(name: &str, chain_id: u64, vm: &str, keys: Keys, genesis_time_ms: u64) -> Self {
        Self {
            name: name.to_owned(),
            short_name: String::new(),
            chain_id,
            kind: Kind::Devnet,
            vm: vm.to_owned(),
            da: "local".to_owned(),
            sequencer: "single".to_owned(),
            block_time: "250ms".to_owned(),
            idle: "2s".to_owned(),
            da_interval: "1s".to_owned(),
            gas_limit: "60M".to_owned(),
            gas_rate: "60M".to_owned(),
            window: "10m".to_owned(),
            symbol: "ETH".to_owned(),
            keys,
            genesis_time_ms,
            funds: DEV_ACCOUNTS.iter().map(|a| (*a, "10000 ether".to_owned())).collect(),
            preinstalls: Vec::new(),
            metalayer: None,
            parent: None,
        }
    }

    /// Makes it a chain of short waits: the shortest block time, blocks on demand only (idle
    /// blocks are as far apart as a window of 10 minutes lets them be, nearly), and a quick DA.
    pub fn low_latency(&mut self) {
        "10ms".clone_into(&mut self.block_time);
        "2m".clone_into(&mut self.idle);
        "250ms".clone_into(&mut self.da_interval);
    }

    /// The text of `chain.toml`.
    pub fn to_toml(&self) -> String {
        let mut out = self.rules();
        if let Some(membership) = &self.metalayer {
            out.push_str(&self.membership(membership));
        }
        let time = units::show_time(self.genesis_time_ms);
        let _ = write!(
            out,
            "
# What the chain starts with. Fixed for ever: changing anything here makes another chain.
[genesis]
timestamp = \"{time}\"
"
        );
        for (name, address, file) in &self.preinstalls {
            let (name, file) = (quoted(name), quoted(file));
            let _ = write!(
                out,
                "\n[[genesis.preinstalls]]\nname = {name}\naddress = \"{address}\"\nfile = {file}\n"
            );
        }
        let funds: &[_] = if self.takes_hub_coin() { &[] } else { &self.funds };
        if !funds.is_empty() {
            out.push_str("\n[genesis.alloc]\n");
        }
        if funds.iter().any(|(address, _)| DEV_ACCOUNTS.contains(address)) {
            let _ = writeln!(out, "# \"{DEV_MNEMONIC}\":\n# everybody knows these keys.");
        }
        for (address, balance) in funds {
            let _ = writeln!(out, "\"{address}\" = {{ balance = {} }}", quoted(balance));
        }
        out
    }

    /// Whether its gas coin is another chain's.
    fn takes_hub_coin(&self) -> bool {
        self.metalayer.as_ref().is_some_and(|membership| membership.hub_coin)
    }

    fn slug(&self) -> String {
        match self.short_name.as_str() {
            "" => resolve::slug(&self.name),
            given => given.to_owned(),
        }
    }

    fn membership(&self, membership: &Membership) -> String {
        let mut file = Lines(String::new());
        file.section("metalayer");
        file.line("enabled", "true", "");
        let (coin, told) = match membership.hub_coin {
            true => ("hub", "the hub's coin pays for gas: it comes from there only"),
            false => ("own", ""),
        };
        file.line("coin", &quoted(coin), told);
        file.line("ttl", "\"24h\"", "lifetime of a message whose sender names none");
        file.line("directory", &quoted(&membership.directory), "who is in the network");
        file.0
    }

    fn rules(&self) -> String {
        let Keys { sequencer, poster, da: signer } = self.keys;
        let token = if self.symbol == "ETH" { "Ether" } else { self.symbol.as_str() };
        let address = |key: Address| quoted(&key.to_string());
        let mut file = Lines(String::from(
            "# Everything the nodes of this chain must share. Settings of one node are in node.toml.
# `causeway chainspec check` finds mistakes, `causeway chainspec show` writes out every default.
",
        ));
        file.line("version", "1", "");
        file.section("chain");
        file.line("name", &quoted(&self.name), "");
        file.line("short_name", &quoted(&self.slug()), "");
        file.line("chain_id", &self.chain_id.to_string(), "");
        let kinds = "devnet, testnet or mainnet: which safety checks apply";
        file.line("kind", &quoted(self.kind.name()), kinds);
        file.section("execution");
        file.line("vm", &quoted(&self.vm), "");
        file.line("block_time", &quoted(&self.block_time), "while there are transactions");
        if !self.idle.is_empty() {
            file.line("idle", &quoted(&self.idle), "while there are none");
        }
        file.line("gas_limit", &quoted(&self.gas_limit), "of a block");
        file.line("gas_rate", &quoted(&self.gas_rate), "a second, on average");
        file.line("forks", "{ prague = 0, osaka = 0 }", "0, unix seconds or a date");
        file.section("fees");
        file.line("min_base_fee", "\"0.01 gwei\"", "per gas, when the chain is idle");
        file.line("recipient", &address(sequencer), "");
        file.section("fees.token");
        file.line("name", &quoted(token), "");
        file.line("symbol", &quoted(&self.symbol), "");
        file.section("da");
        file.line("layer", &quoted(&self.da), "");
        let start = self.parent.as_ref().map_or(1, |parent| parent.start);
        file.line("start", &start.to_string(), "first DA height that may carry this chain");
        if let Some(parent) = &self.parent {
            parent.write(&mut file);
        }
        if self.da == "local" {
            file.line("interval", &quoted(&self.da_interval), "between DA blocks");
            file.section("da.local");
            file.line("signer", &address(signer), "signs the blocks of the DA service");
        }
        file.section("sequencer");
        file.line("mode", &quoted(&self.sequencer), "");
        file.line("key", &address(sequencer), "seals blocks");
        file.line("poster", &address(poster), "posts them to DA");
        file.line("window", &quoted(&self.window), "how late a block may reach DA");
        let delay = self.parent.as_ref().map_or(60, Parent::forced_delay);
        let delay = quoted(&units::show_duration(&(delay * 1000)));
        file.line("drift", &delay, "how far a block may be ahead of DA");
        file.line("forced_delay", &delay, "when a forced transaction must be taken");
        file.0
    }
}

/// Lines of TOML with their comments in one column where they fit.
struct Lines(String);

impl Lines {
    fn section(&mut self, name: &str) {
        let _ = writeln!(self.0, "\n[{name}]");
    }

    fn line(&mut self, key: &str, value: &str, comment: &str) {
        let line = format!("{key} = {value}");
        let _ = match comment {
            "" => writeln!(self.0, "{line}"),
            comment => writeln!(self.0, "{line:<34}  # {comment}"),
        };
    }
}

/// A devnet's `chain.toml` (see [`Template::devnet`]). Equal arguments give equal text.
pub fn devnet_chain(
    name: &str,
    chain_id: u64,
    vm: &str,
    keys: Keys,
    genesis_time_ms: u64,
) -> String {
    Template::devnet(name, chain_id, vm, keys, genesis_time_ms).to_toml()
}

/// A text as a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
