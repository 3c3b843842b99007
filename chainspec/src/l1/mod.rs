//! What contracts of the parent chain (L1) say to this one: events, as they are read out of the logs
//! of a parent block. Solidity in `bridge/contracts`.
//!
//! Messages have the shape of the OP stack's deposits (specs, "Deposits"): transactions of type 0x7E,
//! named by where their event stands, so that each is derived once and libraries know its hash.

pub mod bridge;

use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use alloy_sol_types::{SolEvent, SolValue, sol};
use op_alloy_consensus::TxDeposit;

use crate::tx::Tx;

sol! {
    /// An entry of the forced lane: a signed transaction, or a message to the protocol.
    #[derive(Debug, PartialEq, Eq)]
    event ForcedTransaction(address indexed from, uint256 indexed index, bytes data);

    /// A message: what `from`, or the alias of a contract, wants to have called. `opaqueData` is
    /// `abi.encodePacked(uint256 mint, uint256 value, uint64 gasLimit, bool isCreation, bytes data)`.
    #[derive(Debug, PartialEq, Eq)]
    event TransactionDeposited(
        address indexed from, address indexed to, uint256 indexed version, bytes opaqueData
    );

    /// A change of the system config: `data` is `abi.encode(address[])` for the types below.
    #[derive(Debug, PartialEq, Eq)]
    event ConfigUpdate(uint256 indexed version, uint8 indexed updateType, bytes data);

    /// Puts an entry into the forced lane: 1 to 120,000 bytes.
    #[derive(Debug)]
    function forceTransaction(bytes data);
}

/// First byte of a message (EIP-2718).
pub const MESSAGE_TYPE: u8 = 0x7e;
/// Most keys of a role.
pub const MOST_KEYS: usize = 16;

/// Whose keys an update replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRole {
    /// Those that sign what is posted to DA; `updateType` 0.
    Posters,
    /// Those that seal blocks; `updateType` 3.
    Sequencers,
}

/// All keys of a role, from now on.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct KeyUpdate {
    /// [`KeyRole`] as the event's `updateType`.
    kind: u8,
    /// 1 to [`MOST_KEYS`] addresses.
    pub keys: Vec<Address>,
}

impl KeyUpdate {
    /// Of a role.
    pub fn new(role: KeyRole, keys: Vec<Address>) -> Self {
        let kind = match role {
            KeyRole::Posters => 0,
            KeyRole::Sequencers => 3,
        };
        Self { kind, keys }
    }

    /// Whose keys; `None` for a type this program does not know.
    pub fn role(&self) -> Option<KeyRole> {
        match self.kind {
            0 => Some(KeyRole::Posters),
            3 => Some(KeyRole::Sequencers),
            _ => None,
        }
    }

    /// Reads a log of the system config contract; `None` for what says nothing of keys.
    pub fn read(log: &Log) -> Option<Self> {
        let event = ConfigUpdate::decode_log(log).ok()?;
        let keys = Vec::<Address>::abi_decode(&event.data.data).ok()?;
        let update = Self { kind: event.updateType, keys };
        let some = (1..=MOST_KEYS).contains(&update.keys.len());
        (event.version.is_zero() && some && update.role().is_some()).then_some(update)
    }
}

/// What a message may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most gas: a block's gas limit. One that asks for more gets that.
    pub gas: u64,
    /// Whether it may bring coins; where not, its mint counts as 0, and the portal refuses it.
    pub coins: bool,
}

/// Reads a log of the portal as an entry of the forced lane; `None` for another event. `index` is the
/// log's place in its block.
///
/// Only a `TransactionDeposited` gives bytes of type 0x7E: nobody can write a message by hand.
pub fn entry(log: &Log, block: B256, index: u64, bounds: Bounds) -> Option<Bytes> {
    if let Ok(event) = ForcedTransaction::decode_log(log) {
        let bytes = event.data.data;
        return (bytes.first() != Some(&MESSAGE_TYPE)).then_some(bytes);
    }
    message(log, block, index, bounds).map(|message| Tx::deposit(message).raw)
}

/// The message of a `TransactionDeposited`.
fn message(log: &Log, block: B256, index: u64, bounds: Bounds) -> Option<TxDeposit> {
    let event = TransactionDeposited::decode_log(log).ok()?.data;
    if !event.version.is_zero() {
        return None;
    }
    let (mint, rest) = event.opaqueData.split_at_checked(32)?;
    let (value, rest) = rest.split_at_checked(32)?;
    let (gas, rest) = rest.split_at_checked(8)?;
    let (is_creation, input) = rest.split_first()?;
    let mint: u128 = U256::from_be_slice(mint).try_into().ok()?;
    Some(TxDeposit {
        source_hash: source_hash(block, index),
        from: event.from,
        to: if *is_creation == 0 { TxKind::Call(event.to) } else { TxKind::Create },
        mint: if bounds.coins { mint } else { 0 },
        value: U256::from_be_slice(value),
        gas_limit: u64::from_be_bytes(gas.try_into().ok()?).min(bounds.gas),
        is_system_transaction: false,
        input: Bytes::copy_from_slice(input),
    })
}

/// keccak256(0 || keccak256(block hash || index)), each 32 bytes: domain 0 of the OP stack.
pub fn source_hash(block: B256, index: u64) -> B256 {
    let place = keccak256([block, U256::from(index).into()].concat());
    keccak256([B256::ZERO, place].concat())
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{address, b256};
    use alloy_sol_types::SolCall;

    use super::*;
    use crate::plan::Candidate;

    const FROM: Address = address!("0x1111000000000000000000000000000000001112");
    const TO: Address = address!("0x00000000000000000000000000000000000000aa");
    const BLOCK: B256 = B256::repeat_byte(7);
    const MUCH: Bounds = Bounds { gas: 1 << 30, coins: true };

    fn deposited(version: u64, opaque: Vec<u8>) -> Log {
        let event = TransactionDeposited {
            from: FROM,
            to: TO,
            version: U256::from(version),
            opaqueData: opaque.into(),
        };
        Log { address: Address::ZERO, data: event.encode_log_data() }
    }

    fn opaque(gas: u64, is_creation: bool, input: &[u8]) -> Vec<u8> {
        let numbers = [U256::from(5), U256::from(3)].map(|number| number.to_be_bytes::<32>());
        let flag = [u8::from(is_creation)];
        [numbers.as_flattened(), &gas.to_be_bytes(), &flag, input].concat()
    }

    fn forced(bytes: &[u8]) -> Log {
        let data = Bytes::copy_from_slice(bytes);
        let event = ForcedTransaction { from: FROM, index: U256::ONE, data };
        Log { address: Address::ZERO, data: event.encode_log_data() }
    }

    #[test]
    fn the_interface_is_fixed() {
        let topics = [
            (ForcedTransaction::SIGNATURE_HASH, "ForcedTransaction(address,uint256,bytes)"),
            (
                TransactionDeposited::SIGNATURE_HASH,
                "TransactionDeposited(address,address,uint256,bytes)",
            ),
            (ConfigUpdate::SIGNATURE_HASH, "ConfigUpdate(uint256,uint8,bytes)"),
        ];
        for (topic, text) in topics {
            assert_eq!(topic, keccak256(text), "{text}");
        }
        assert_eq!(forceTransactionCall::SELECTOR, keccak256("forceTransaction(bytes)")[..4]);
        // What viem's op-stack actions listen for.
        let theirs = b256!("0xb3813568d9991fc951961fcb4c784893574240a28925604d09fc577c55bb7c32");
        assert_eq!(TransactionDeposited::SIGNATURE_HASH, theirs);
    }

    #[test]
    fn a_message_is_read_as_it_was_sent() {
        let bytes = entry(&deposited(0, opaque(90_000, false, b"hello")), BLOCK, 4, MUCH);
        let Candidate::Tx(tx) = Candidate::forced(&bytes.clone().unwrap()) else { panic!("none") };
        let crate::TxEnvelope::Deposit(message) = &tx.envelope else { panic!("no message") };
        assert!(tx.is_deposit() && tx.sender == FROM);
        assert_eq!(message.source_hash, source_hash(BLOCK, 4));
        assert_eq!((message.from, message.to), (FROM, TxKind::Call(TO)));
        assert_eq!((message.mint, message.value), (5, U256::from(3)));
        assert_eq!((message.gas_limit, &message.input[..]), (90_000, &b"hello"[..]));
        // Among candidates that anybody may write it is none.
        assert!(matches!(Candidate::decode(&bytes.unwrap()), Candidate::Invalid(..)));
        // It gets no more gas than a block has.
        let message = message_of(&deposited(0, opaque(u64::MAX, true, b"")));
        assert_eq!((message.gas_limit, message.to), (30, TxKind::Create));
        // Nor coins that are not the chain's.
        assert_eq!(message.mint, 0);
    }

    fn message_of(log: &Log) -> TxDeposit {
        message(log, BLOCK, 0, Bounds { gas: 30, coins: false }).unwrap()
    }

    #[test]
    fn each_place_names_another_message() {
        let hashes = [source_hash(BLOCK, 0), source_hash(BLOCK, 1), source_hash(B256::ZERO, 0)];
        assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2]);
        // By @eth-optimism/core-utils: SourceHash of domain 0, block hash 0, log index 0.
        let place = keccak256([0; 64]);
        assert_eq!(hashes[2], keccak256([B256::ZERO.as_slice(), place.as_slice()].concat()));
    }

    #[test]
    fn what_is_no_entry_is_none() {
        let read = |log: &Log| entry(log, BLOCK, 0, MUCH);
        assert_eq!(read(&forced(b"\x02tx")), Some(Bytes::from_static(b"\x02tx")));
        assert_eq!(read(&forced(b"")), Some(Bytes::new()));
        // A message that somebody wrote by hand.
        assert_eq!(read(&forced(b"\x7e\xc0")), None);
        assert_eq!(read(&deposited(1, opaque(1, false, b""))), None);
        assert_eq!(read(&deposited(0, vec![0; 72])), None);
        assert_eq!(read(&deposited(0, vec![0xff; 73])), None, "mints more than there can be");
        assert_eq!(read(&Log::default()), None);
    }

    #[test]
    fn keys_are_read_as_they_were_set() {
        let event = |version: u64, kind: u8, keys: Vec<Address>| {
            let data = keys.abi_encode().into();
            let event = ConfigUpdate { version: U256::from(version), updateType: kind, data };
            KeyUpdate::read(&Log { address: TO, data: event.encode_log_data() })
        };
        let keys = vec![FROM, TO];
        let posters = event(0, 0, keys.clone()).unwrap();
        assert_eq!(posters, KeyUpdate::new(KeyRole::Posters, keys.clone()));
        assert_eq!(event(0, 3, keys.clone()).unwrap().role(), Some(KeyRole::Sequencers));
        assert_eq!(event(1, 0, keys.clone()), None, "of another version");
        assert_eq!(event(0, 1, keys), None, "of another kind");
        assert_eq!(event(0, 0, vec![]), None);
        assert_eq!(event(0, 0, vec![FROM; 17]), None);
    }
}
