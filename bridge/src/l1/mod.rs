//! The contracts on the parent chain of a chain whose DA layer is `ethereum`: where they lie, and
//! what creates them there. Their source is in `bridge/contracts/src/l1`.

use alloy_primitives::{Address, B256, Bytes, Keccak256, U256, address};
use alloy_sol_types::{SolValue, sol};
use causeway_chainspec::ChainSpec;

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

/// Most gas of a message, unless a block of the chain has less.
const MESSAGE_GAS: u64 = 20_000_000;

/// First part of what the salt is made of: another version of the contracts is another deployment.
const SALT_DOMAIN: &[u8] = b"causeway/l1/1";

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
    /// Most gas of a message, at least 21,000.
    pub max_gas: u64,
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
    /// Salt of both.
    pub salt: B256,
    /// The way in: the forced lane, and messages.
    pub portal: Contract,
    /// Which keys the chain listens to.
    pub system_config: Contract,
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
        let keys = (terms.owner, terms.posters.to_vec(), terms.sequencers.to_vec());
        Self {
            salt,
            portal: contract(PORTAL_CODE, terms.max_gas.abi_encode()),
            system_config: contract(SYSTEM_CONFIG_CODE, keys.abi_encode_params()),
        }
    }

    /// The deployment of a chain as its spec is at block 0, for an owner.
    pub fn of(spec: &ChainSpec, owner: Address) -> Self {
        let time_ms = spec.genesis.time_ms;
        Self::new(&Terms {
            chain_id: spec.chain_id,
            owner,
            posters: spec.sequencer.posters_at(time_ms),
            sequencers: spec.sequencer.keys_at(time_ms),
            max_gas: spec.gas.limit.min(MESSAGE_GAS),
        })
    }

    /// What a transaction to [`DEPLOYER`] carries that creates `contract`.
    pub fn input(&self, contract: &Contract) -> Bytes {
        [self.salt.as_slice(), &contract.creation_code].concat().into()
    }
}

/// keccak256("causeway/l1/1" ‖ chain id, 32 bytes ‖ owner, 20 bytes).
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
            max_gas: 20_000_000,
        }
    }

    /// Where the contracts of a chain lie must not change by accident: change the salt's domain
    /// with the contracts.
    #[test]
    fn addresses_are_golden() {
        let deployment = Deployment::new(&terms());
        let code = |contract: &Contract| keccak256(&contract.creation_code);
        assert_eq!(
            (
                deployment.salt,
                deployment.portal.address,
                code(&deployment.portal),
                deployment.system_config.address,
                code(&deployment.system_config),
            ),
            (
                b256!("a3531e9cf003ff703ca131885b4820efbb272acd96ed4baa55ee5ea6a33f26f6"),
                address!("57F135814B3f649b94094B96b0B2eF07E92d9097"),
                b256!("c2ea0091d5f386206349a2713b929765e546788efa0aa09fee3a0aa12f728cdd"),
                address!("cdDd820ecdf60c7BF3333c62b27fC7bD14BfC133"),
                b256!("6ca3c4d42116edb3199bc1015b76478dca9f72a3da417ae7e7f0b72eba607c33"),
            )
        );
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
        assert_eq!(moved(Terms { posters: &KEYS[..2], ..terms() }), (false, true));
        assert_eq!(moved(Terms { sequencers: &KEYS[..1], ..terms() }), (false, true));
        assert_eq!(moved(Terms { max_gas: 20_000_001, ..terms() }), (true, false));
        let swapped = Terms { posters: &KEYS[1..], sequencers: &KEYS[..1], ..terms() };
        assert_eq!(moved(swapped), (false, true));
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
