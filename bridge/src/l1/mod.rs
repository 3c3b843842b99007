//! The contracts on the parent chain of a chain whose DA layer is `ethereum`: where they lie, and
//! what creates them there. Their source is in `bridge/contracts/src/l1`.

mod module;

use alloy_primitives::{Address, B256, Bytes, Keccak256, U256, address};
use alloy_sol_types::{SolValue, sol};
use causeway_chainspec::ChainSpec;
use causeway_chainspec::l1::bridge::Bridge;
use causeway_chainspec::spec::units;

// What derivation reads, too.
pub use causeway_chainspec::l1::{
    ConfigUpdate, ForcedTransaction, TransactionDeposited, forceTransactionCall,
};

/// The deterministic deployment proxy, at this address on most chains: it takes a salt and creation
/// code one behind the other, and creates the contract with CREATE2.
pub const DEPLOYER: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// Code that creates a `Portal`, without its arguments, written by `just contracts`.
pub const PORTAL_CODE: &[u8] = include_bytes!("Portal.bin");
/// Code that creates a `SystemConfig`, without its arguments, written by `just contracts`.
pub const SYSTEM_CONFIG_CODE: &[u8] = include_bytes!("SystemConfig.bin");
/// The same of an `OutputOracle`.
pub const OUTPUT_ORACLE_CODE: &[u8] = include_bytes!("OutputOracle.bin");
/// The same of a `CrossDomainMessenger`.
pub const MESSENGER_CODE: &[u8] = include_bytes!("CrossDomainMessenger.bin");
/// The same of a `StandardBridge`.
pub const STANDARD_BRIDGE_CODE: &[u8] = include_bytes!("StandardBridge.bin");

pub use module::ParentModule;

/// Most gas of a message; the chain gives it no more than a block has.
const MESSAGE_GAS: u64 = 20_000_000;
/// Seconds that tools count for a block when they guess how long an output takes.
const BLOCK_SECONDS: u64 = 1;
/// How much longer than the challenge nobody must have proposed until anybody may, in seconds: a week.
const FALLBACK_SECONDS: u64 = 7 * 86_400;

/// First part of what the salt is made of: another version of the contracts is another deployment.
const SALT_DOMAIN: &[u8] = b"causeway/l1/2";

sol! {
    /// Who becomes the owner by accepting it.
    #[derive(Debug, PartialEq, Eq)]
    event OwnershipTransferStarted(address indexed previousOwner, address indexed newOwner);
    /// The owner is another.
    #[derive(Debug, PartialEq, Eq)]
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);

    /// Sends a message.
    #[derive(Debug)]
    function depositTransaction(address to, uint256 value, uint64 gasLimit, bool isCreation, bytes data);
    /// Least gas of a message with so many bytes of data.
    #[derive(Debug)]
    function minimumGasLimit(uint64 byteCount) returns (uint64);
    /// Most gas of a message.
    #[derive(Debug)]
    function maxGas() returns (uint64);
    /// Entries of the forced lane so far.
    #[derive(Debug)]
    function forced() returns (uint256);
    /// Replaces the keys whose blobs count: 1 to 16.
    #[derive(Debug)]
    function setPosters(address[] keys);
    /// Replaces the keys whose seals count: 1 to 16.
    #[derive(Debug)]
    function setSequencers(address[] keys);
    /// Keys whose blobs count.
    #[derive(Debug)]
    function posters() returns (address[]);
    /// Keys whose seals count.
    #[derive(Debug)]
    function sequencers() returns (address[]);
    /// Who may replace the keys.
    #[derive(Debug)]
    function owner() returns (address);
    /// Who may accept the ownership; zero if nobody.
    #[derive(Debug)]
    function pendingOwner() returns (address);
    /// Names who may become the owner.
    #[derive(Debug)]
    function transferOwnership(address newOwner);
    /// Makes the caller the owner, who was named.
    #[derive(Debug)]
    function acceptOwnership();
    /// The contract's version.
    #[derive(Debug)]
    function version() returns (string);
    /// Says what the state is after a block.
    #[derive(Debug)]
    function proposeL2Output(
        bytes32 outputRoot, uint256 l2BlockNumber, bytes32 l1BlockHash, uint256 l1BlockNumber
    );
    /// Says who proposes.
    #[derive(Debug)]
    function proposers() returns (address[]);
    /// The portal's output oracle.
    #[derive(Debug)]
    function l2Oracle() returns (address);
    /// What was said last; as of the chain's start, with the root zero, if nothing was.
    #[derive(Debug)]
    function latestOutputIndex() returns (uint256);
    /// An output: root, time of the parent, block of the chain.
    #[derive(Debug)]
    function getL2Output(uint256 index) returns (bytes32 outputRoot, uint128 timestamp, uint128 l2BlockNumber);
    /// Lowest block that the next output can be of.
    #[derive(Debug)]
    function nextBlockNumber() returns (uint256);

    /// Nothing to force.
    #[derive(Debug)]
    error DataEmpty();
    /// More bytes than an entry or a message may have.
    #[derive(Debug)]
    error DataTooLong(uint256 length, uint256 most);
    /// Transactions of this type are made of messages only.
    #[derive(Debug)]
    error TypeReserved(uint8 transactionType);
    /// Less gas than the message uses before it runs.
    #[derive(Debug)]
    error GasLimitTooLow(uint64 gasLimit, uint64 least);
    /// More gas than a message may use.
    #[derive(Debug)]
    error GasLimitTooHigh(uint64 gasLimit, uint64 most);
    /// What creates a contract goes to nobody.
    #[derive(Debug)]
    error CreationTo(address to);
    /// The chain's gas coin is not the parent chain's.
    #[derive(Debug)]
    error CoinsRefused(uint256 value);
    /// Only the owner may.
    #[derive(Debug)]
    error OnlyOwner(address caller);
    /// Only who was named may accept.
    #[derive(Debug)]
    error OnlyPendingOwner(address caller);
    /// A config without an owner could never change.
    #[derive(Debug)]
    error OwnerZero();
    /// A chain without keys stands still.
    #[derive(Debug)]
    error KeysEmpty();
    /// More keys than nodes look at.
    #[derive(Debug)]
    error TooManyKeys(uint256 count, uint256 most);
    /// Nobody has the key of this address.
    #[derive(Debug)]
    error KeyZero(uint256 index);
    /// The key stands in the list already.
    #[derive(Debug)]
    error KeyTwice(address key);
}

/// What a chain's contracts on its parent chain are made of.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Chain id of the chain, not of its parent.
    pub chain_id: u64,
    /// Who may replace the keys; not zero.
    pub owner: Address,
    /// The first keys whose blobs count: 1 to 16, none zero, none twice.
    pub posters: &'a [Address],
    /// The first keys whose seals count, on the same terms.
    pub sequencers: &'a [Address],
    /// Who says what the state of the chain is; the posters' keys if there is none.
    pub proposers: &'a [Address],
    /// Most gas of a message, at least 21,000.
    pub max_gas: u64,
    /// Of outputs.
    pub outputs: OutputTerms,
    /// Whether coins come in.
    pub takes_coins: bool,
}

/// Terms of the output oracle. Its guardian is the owner; after a challenge period and a week without an
/// output anybody may propose one.
#[derive(Clone, Copy, Debug)]
pub struct OutputTerms {
    /// Fewest blocks from one output to the next, at least 1.
    pub interval: u64,
    /// Time of a block that tools count with, in seconds, at least 1.
    pub block_seconds: u64,
    /// When the chain begins, unix seconds; not after the parent's block that creates the contract.
    pub start_seconds: u64,
    /// How long an output stands before coins leave by it, in seconds, at least 1.
    pub challenge_seconds: u64,
}

/// One contract of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Where it lies once it is created.
    pub address: Address,
    /// What creates it, with its arguments.
    pub creation_code: Bytes,
}

/// A chain's contracts on its parent chain. Whoever deploys them, and whenever, they are these: the
/// addresses are a function of the terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Salt of all.
    pub salt: B256,
    /// Which keys the chain listens to.
    pub system_config: Contract,
    /// What the state of the chain is said to be.
    pub output_oracle: Contract,
    /// The way in: the forced lane, and messages; and the way out.
    pub portal: Contract,
    /// Messages to contracts, with replies.
    pub messenger: Contract,
    /// Coins and tokens.
    pub standard_bridge: Contract,
}

impl Deployment {
    /// The deployment on these terms. Terms outside of their ranges have addresses too, but the
    /// contracts' constructors refuse them.
    pub fn new(terms: &Terms<'_>) -> Self {
        let salt = salt(terms.chain_id, terms.owner);
        let contract = |code: &[u8], arguments: Vec<u8>| {
            let creation_code: Bytes = [code, &arguments].concat().into();
            let address = DEPLOYER.create2_from_code(salt, &creation_code);
            Contract { address, creation_code }
        };
        let [posters, sequencers, proposers] =
            [terms.posters, terms.sequencers, terms.proposers].map(<[Address]>::to_vec);
        let keys = (terms.owner, posters, sequencers, proposers);
        let system_config = contract(SYSTEM_CONFIG_CODE, keys.abi_encode_params());
        let OutputTerms { interval, block_seconds, start_seconds, challenge_seconds } =
            terms.outputs;
        let numbers = [
            interval,
            block_seconds,
            0,
            start_seconds,
            challenge_seconds,
            challenge_seconds + FALLBACK_SECONDS,
        ];
        let oracle =
            (system_config.address, terms.owner, numbers.map(U256::from)).abi_encode_params();
        let output_oracle = contract(OUTPUT_ORACLE_CODE, oracle);
        let way = (terms.max_gas, output_oracle.address, terms.takes_coins);
        let portal = contract(PORTAL_CODE, way.abi_encode_params());
        let [messenger, standard_bridge] = counterparts(salt, portal.address);
        Self { salt, system_config, output_oracle, portal, messenger, standard_bridge }
    }

    /// The deployment of a chain as its spec is at block 0.
    pub fn of(spec: &ChainSpec, bridge: &Bridge) -> Self {
        let time_ms = spec.genesis.time_ms;
        let proposer = bridge.proposer;
        Self::new(&Terms {
            chain_id: spec.chain_id,
            owner: bridge.owner,
            posters: spec.sequencer.posters_at(time_ms),
            sequencers: spec.sequencer.keys_at(time_ms),
            proposers: proposer.as_slice(),
            max_gas: MESSAGE_GAS,
            outputs: OutputTerms {
                interval: bridge.output_interval,
                block_seconds: BLOCK_SECONDS,
                start_seconds: start_seconds(spec),
                challenge_seconds: bridge.challenge_ms.div_ceil(1000),
            },
            takes_coins: bridge.takes_coins,
        })
    }

    /// All that a chain needs, in the order in which they can be created, with their names. Without
    /// contracts on the chain there is nobody for a messenger to talk to.
    pub fn contracts(&self, bridge: &Bridge) -> Vec<(&'static str, &Contract)> {
        const NAMES: [&str; 5] =
            ["SystemConfig", "OutputOracle", "Portal", "CrossDomainMessenger", "StandardBridge"];
        let needed = if bridge.has_contracts { 5 } else { 3 };
        NAMES.into_iter().zip(self.all()).take(needed).collect()
    }

    /// All, in that order.
    pub fn all(&self) -> [&Contract; 5] {
        let Self { system_config, output_oracle, portal, messenger, standard_bridge, .. } = self;
        [system_config, output_oracle, portal, messenger, standard_bridge]
    }

    /// What a transaction to [`DEPLOYER`] carries that creates `contract`.
    pub fn input(&self, contract: &Contract) -> Bytes {
        [self.salt.as_slice(), &contract.creation_code].concat().into()
    }
}

/// From when on the contracts can be created, unix seconds of the parent: ten minutes before block 0, since
/// clocks differ and a parent's newest block may be old.
pub fn start_seconds(spec: &ChainSpec) -> u64 {
    (spec.genesis.time_ms / 1000).saturating_sub(600)
}

/// The bridge of a chain with its contracts on the parent; `None` for a chain without. An error that says
/// what to write if the spec names others: nodes must mint for no others, and coins must leave by no others.
pub fn deployment(spec: &ChainSpec) -> Result<Option<(Bridge, Deployment)>, String> {
    let Some(bridge) = Bridge::of(spec) else { return Ok(None) };
    let deployment = Deployment::of(spec, &bridge);
    let option =
        |name: &str| spec.da.options.get(name).and_then(|value| units::address(value).ok());
    let made = [
        ("portal", deployment.portal.address),
        ("system_config", deployment.system_config.address),
    ];
    let wrong: Vec<_> = made
        .iter()
        .filter(|(name, made)| option(name) != Some(*made))
        .map(|(name, made)| format!("\n  {name} = \"{made}\""))
        .collect();
    if wrong.is_empty() {
        return Ok(Some((bridge, deployment)));
    }
    Err(format!(
        "[da.ethereum] must name the contracts as this spec makes them, of chain id, genesis time, owner, \
         proposer, first keys, challenge, output_interval and coins. Undo the change if the chain is in use; \
         for a new one write:{}",
        wrong.concat()
    ))
}

/// The messenger and the standard bridge that belong to a portal: of what the identity of a chain has.
fn counterparts(salt: B256, portal: Address) -> [Contract; 2] {
    let contract = |code: &[u8], over: Address| {
        let creation_code: Bytes = [code, &over.abi_encode()].concat().into();
        Contract { address: DEPLOYER.create2_from_code(salt, &creation_code), creation_code }
    };
    let messenger = contract(MESSENGER_CODE, portal);
    let standard_bridge = contract(STANDARD_BRIDGE_CODE, messenger.address);
    [messenger, standard_bridge]
}

/// keccak256("causeway/l1/2" ‖ chain id, 32 bytes ‖ owner, 20 bytes).
pub fn salt(chain_id: u64, owner: Address) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(SALT_DOMAIN);
    hasher.update(U256::from(chain_id).to_be_bytes::<32>());
    hasher.update(owner);
    hasher.finalize()
}

/// Whom a contract of the parent chain is on the chain: its address plus
/// 0x1111000000000000000000000000000000001111, modulo 2^160.
pub fn alias(contract: Address) -> Address {
    const OFFSET: Address = address!("1111000000000000000000000000000000001111");
    let sum = U256::from_be_slice(contract.as_slice()) + U256::from_be_slice(OFFSET.as_slice());
    Address::from_word(sum.into())
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{b256, keccak256};

    use super::*;

    const KEYS: [Address; 3] =
        [Address::repeat_byte(0x11), Address::repeat_byte(0x22), Address::repeat_byte(0x33)];

    fn terms() -> Terms<'static> {
        Terms {
            chain_id: 7001,
            owner: Address::repeat_byte(0xaa),
            posters: &KEYS[..1],
            sequencers: &KEYS[1..],
            proposers: &[],
            max_gas: 20_000_000,
            outputs: OutputTerms {
                interval: 1,
                block_seconds: 1,
                start_seconds: 0,
                challenge_seconds: 604_800,
            },
            takes_coins: true,
        }
    }

    /// Where the contracts of a chain lie must not change by accident: change the salt's domain
    /// with the contracts.
    #[test]
    fn addresses_are_golden() {
        let deployment = Deployment::new(&terms());
        let golden = deployment.all().map(|made| (made.address, keccak256(&made.creation_code)));
        assert_eq!(
            deployment.salt,
            b256!("4aa46992f85d9ee2513ea88a5c67bc269c9cd9e7d59131bd309ee9c87a2ea347")
        );
        let expected = [
            (
                address!("c2b2bbec6fd4e49af21865df583ba76d34dbb2f5"),
                b256!("0cd15c5c17e40a5a3a1ee5af8ac69f1e0eb858af8c230cdccf2db5ebeecb1a8e"),
            ),
            (
                address!("3bf374507974d411c8fa0bb5b55a9ee793229d72"),
                b256!("de90c806ca2540fc186fd5eaa13fd2f737b439accff452d91f30153706c1496a"),
            ),
            (
                address!("334c7d0af611d764c12916d5f9ab61bf607c45f8"),
                b256!("ed297553880bad83189e2974aa4a711ecd3d85c032e5b44a2371c7e38b4bad48"),
            ),
            (
                address!("82fe3ba2d932b23f7367b9c0ef366c1c6b42decb"),
                b256!("5d656ec9dfa42a1b5909edc32d3340773019c5b9cf13bcb9ca56b9b2caa1cbc2"),
            ),
            (
                address!("da4c766a73ea8d6a67fb7276480f26b5201f1b72"),
                b256!("72fb8508314bb3920bd9628a1750a9b853350563dbbea6768134804c25acb4ee"),
            ),
        ];
        assert_eq!(golden, expected);
    }

    #[test]
    fn every_term_moves_what_it_should() {
        let first = Deployment::new(&terms());
        let moved = |change: Terms<'_>| {
            let other = Deployment::new(&change);
            (
                other.portal.address != first.portal.address,
                other.system_config.address != first.system_config.address,
            )
        };
        assert_eq!(moved(terms()), (false, false));
        assert_eq!(moved(Terms { chain_id: 7002, ..terms() }), (true, true));
        assert_eq!(moved(Terms { owner: KEYS[0], ..terms() }), (true, true));
        assert_eq!(moved(Terms { posters: &KEYS[..2], ..terms() }), (true, true));
        assert_eq!(moved(Terms { sequencers: &KEYS[..1], ..terms() }), (true, true));
        assert_eq!(moved(Terms { takes_coins: false, ..terms() }), (true, false));
        assert_eq!(moved(Terms { max_gas: 20_000_001, ..terms() }), (true, false));
        let swapped = Terms { posters: &KEYS[1..], sequencers: &KEYS[..1], ..terms() };
        assert_eq!(moved(swapped), (true, true));
    }

    #[test]
    fn aliases_wrap_around() {
        for (contract, expected) in [
            (Address::ZERO, address!("1111000000000000000000000000000000001111")),
            (
                address!("1234567890abcdef1234567890abcdef12345678"),
                address!("2345567890abcdef1234567890abcdef12346789"),
            ),
            (
                address!("eeeeffffffffffffffffffffffffffffffffeeef"),
                address!("0000000000000000000000000000000000000000"),
            ),
            (
                address!("ffffffffffffffffffffffffffffffffffffffff"),
                address!("1111000000000000000000000000000000001110"),
            ),
        ] {
            assert_eq!(alias(contract), expected);
        }
    }
}
