//! The bridge between a chain and its parent: the contracts that lie in genesis for it, and the choices
//! that those on the parent are made of. Solidity in `bridge/contracts/src/l2`, at the addresses that the
//! OP stack has them at.

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, address, keccak256};

use crate::ChainSpec;
use crate::mailbox::Coin;
use crate::spec::units;

/// Sends calls to the parent chain: its storage root stands in every header.
pub const MESSAGE_PASSER: Address = address!("4200000000000000000000000000000000000016");
/// Sends messages to the parent's messenger, and calls those that come from there.
pub const MESSENGER: Address = address!("4200000000000000000000000000000000000007");
/// Moves coins and tokens.
pub const STANDARD_BRIDGE: Address = address!("4200000000000000000000000000000000000010");
/// Tells of the parent chain.
pub const L1_BLOCK: Address = address!("4200000000000000000000000000000000000015");
/// Tells what data costs.
pub const GAS_PRICE_ORACLE: Address = address!("420000000000000000000000000000000000000F");
/// Makes tokens that stand for those of the parent.
pub const TOKEN_FACTORY: Address = address!("4200000000000000000000000000000000000012");

/// The contracts of genesis with their code, written by `just contracts`.
pub const PREDEPLOYS: [(Address, &[u8]); 6] = [
    (MESSENGER, include_bytes!("../../predeploys/L2CrossDomainMessenger.bin")),
    (GAS_PRICE_ORACLE, include_bytes!("../../predeploys/GasPriceOracle.bin")),
    (STANDARD_BRIDGE, include_bytes!("../../predeploys/L2StandardBridge.bin")),
    (TOKEN_FACTORY, include_bytes!("../../predeploys/BridgedTokenFactory.bin")),
    (L1_BLOCK, include_bytes!("../../predeploys/L1Block.bin")),
    (MESSAGE_PASSER, include_bytes!("../../predeploys/L2ToL1MessagePasser.bin")),
];

/// Version of what the bridge puts into genesis and expects on the parent: part of the identity of a chain
/// that has one. Another code of any of its contracts is another version; a test misses it.
pub const BRIDGE_VERSION: u64 = 1;

/// How long an output can be disputed if the spec does not say: 7 days, in ms.
const CHALLENGE_MS: u64 = 7 * 86_400_000;
/// Longest challenge that the output oracle takes: 365 days, in ms.
pub const MOST_CHALLENGE_MS: u64 = 365 * 86_400_000;
/// Most blocks from one output to the next that it takes.
pub const MOST_OUTPUT_INTERVAL: u64 = 1_000_000;

/// The bridge of a chain: `[da.ethereum]` as far as it speaks of it. All of it is part of the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bridge {
    /// Changes keys, deletes outputs within the challenge, and may pause withdrawals for a time.
    pub owner: Address,
    /// The way in and out on the parent.
    pub portal: Address,
    /// Says on the parent what the state of the chain is; the posters' keys if left out.
    pub proposer: Option<Address>,
    /// How long an output stands before coins leave by it, in ms.
    pub challenge_ms: u64,
    /// Fewest blocks from an output to the next.
    pub output_interval: u64,
    /// Whether contracts run on the chain: those of the bridge are there if so. Without, there are messages
    /// in and no way out.
    pub has_contracts: bool,
    /// Whether the gas coin is the parent's: it comes in by the portal, and leaves by the message passer.
    pub takes_coins: bool,
}

impl Bridge {
    /// That of a chain on a parent chain whose spec names an owner; `None` for any other. The portal is the
    /// zero address as long as the spec names none.
    pub fn of(spec: &ChainSpec) -> Option<Self> {
        let option = |name: &str| spec.da.options.get(name);
        if !spec.da.is_parent_chain() {
            return None;
        }
        let address = |name| option(name).and_then(|value| units::address(value).ok());
        let challenge = option("challenge").and_then(|value| units::duration(value).ok());
        let interval = option("output_interval").and_then(toml::Value::as_integer);
        let coins = option("coins").and_then(toml::Value::as_bool).unwrap_or(true);
        let has_contracts = spec.vm == "evm";
        Some(Self {
            owner: address("owner")?,
            portal: address("portal").unwrap_or_default(),
            proposer: address("proposer"),
            challenge_ms: challenge.unwrap_or(CHALLENGE_MS),
            output_interval: interval.and_then(|count| count.try_into().ok()).unwrap_or(1),
            has_contracts,
            takes_coins: coins && has_contracts && spec.metalayer.coin != Coin::Hub,
        })
    }
}

/// Version of the output root, as the OP stack counts them.
pub const OUTPUT_V0: B256 = B256::ZERO;

/// The output root of a block, version 0 of the OP stack: keccak256(version || state root || storage
/// root of the message passer || block hash).
pub fn output_root(header: &Header, hash: B256) -> B256 {
    let passer = header.withdrawals_root.unwrap_or_default();
    keccak256([OUTPUT_V0, header.state_root, passer, hash].concat())
}
