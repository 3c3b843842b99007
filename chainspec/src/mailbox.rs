//! The Mailbox predeploy as the protocol sees it: addresses, ABI, events and storage layout. Its
//! source is `bridge/contracts/src/Mailbox.sol`; the layout below is checked against the compiler's.

use alloy_primitives::{Address, B256, Bytes, Log, U256, address, keccak256};
use alloy_sol_types::{SolEvent, sol};

use crate::message::{Message, Terms};

/// The Mailbox: outbox, inbox and escrow of every member. All state of the Metalayer lies in its
/// storage.
pub const MAILBOX: Address = address!("0xca00000000000000000000000000000000000002");
/// Who calls it on behalf of the protocol. Nobody has its key, and 0x7E cannot be signed.
pub const COURIER: Address = address!("0xca00000000000000000000000000000000000003");
/// Where base fees go on chains whose gas coin is the hub's (OP's BaseFeeVault).
pub const FEE_VAULT: Address = address!("0x4200000000000000000000000000000000000019");

/// Runtime code of the Mailbox, written by `just contracts`.
pub const CODE: &[u8] = include_bytes!("../predeploys/Mailbox.bin");

sol! {
    /// A message was sent (Hyperlane `IMailbox`).
    #[derive(Debug)]
    event Dispatch(address indexed sender, uint32 indexed destination, bytes32 indexed recipient, bytes message);
    /// Its id (Hyperlane `IMailbox`).
    #[derive(Debug)]
    event DispatchId(bytes32 indexed messageId);
    /// The terms of its delivery: directly after `DispatchId`.
    #[derive(Debug)]
    event DispatchTerms(bytes32 indexed messageId, uint64 gasLimit, uint64 gasPrice, uint64 expiryMs, address refundTo);
    /// Gas that was paid for (Hyperlane `IInterchainGasPaymaster`).
    #[derive(Debug)]
    event GasPayment(bytes32 indexed messageId, uint32 indexed destinationDomain, uint256 gasAmount, uint256 payment);
    /// Its place in the tree (Hyperlane `MerkleTreeHook`).
    #[derive(Debug)]
    event InsertedIntoTree(bytes32 messageId, uint32 index);
    /// A message was delivered (Hyperlane `IMailbox`).
    #[derive(Debug)]
    event Process(uint32 indexed origin, bytes32 indexed sender, address indexed recipient);
    /// Its id (Hyperlane `IMailbox`).
    #[derive(Debug)]
    event ProcessId(bytes32 indexed messageId);
    /// Coins left for another chain (Hyperlane warp route).
    #[derive(Debug)]
    event SentTransferRemote(uint32 indexed destination, bytes32 indexed recipient, uint256 amount);
    /// Coins arrived from another chain (Hyperlane warp route).
    #[derive(Debug)]
    event ReceivedTransferRemote(uint32 indexed origin, bytes32 indexed recipient, uint256 amount);

    /// Sends a message with the default gas.
    #[derive(Debug)]
    function dispatch(uint32 destinationDomain, bytes32 recipientAddress, bytes messageBody) payable returns (bytes32 messageId);
    /// Sends a message with all terms chosen; `ttlSeconds` 0 is the chain's default.
    #[derive(Debug)]
    function dispatchWith(uint32 destinationDomain, bytes32 recipientAddress, bytes messageBody, uint64 gasLimit, uint64 ttlSeconds, address refundTo) payable returns (bytes32 messageId);
    /// Moves the hub's coin to another chain.
    #[derive(Debug)]
    function transferRemote(uint32 destination, bytes32 recipient, uint256 amount) payable returns (bytes32 messageId);
    /// As `transferRemote`, with a lifetime in seconds; 0 is the chain's default.
    #[derive(Debug)]
    function transferRemoteWith(uint32 destination, bytes32 recipient, uint256 amount, uint64 ttlSeconds, address refundTo) payable returns (bytes32 messageId);
    /// Wei that `dispatch` costs.
    #[derive(Debug)]
    function quoteDispatch(uint32 destinationDomain, bytes32 recipientAddress, bytes messageBody) view returns (uint256 fee);
    /// Wei that `dispatchWith` costs.
    #[derive(Debug)]
    function quoteDispatchWith(uint32 destinationDomain, uint256 bodyBytes, uint64 gasLimit) view returns (uint256 fee);
    /// Wei that `transferRemote` costs beside the amount.
    #[derive(Debug)]
    function quoteTransfer(uint32 destination) view returns (uint256 fee);
    /// Delivers a packed message; only the courier may call. A transfer is a message from one
    /// Mailbox to another. `status` is a `DeliveryStatus`.
    #[derive(Debug)]
    function deliver(bytes message, uint64 gasLimit) returns (uint8 status, uint64 gasUsed);
    /// Mints back what a transfer burnt here as ERC-20; only the courier may call.
    #[derive(Debug)]
    function refund(bytes32 messageId, bytes32 asset, address to, uint256 amount);

    /// What the body of a transfer says.
    #[derive(Debug, PartialEq, Eq)]
    struct TransferBody {
        bytes32 recipient;
        uint256 amount;
        bytes32 asset;
        bytes32 from;
    }
}

/// Gas of a recipient if the sender names none (`dispatch` without metadata).
pub const DEFAULT_GAS: u64 = 200_000;
/// Gas of a transfer's recipient (its `receive`), and of minting an ERC-20.
pub const TRANSFER_GAS: u64 = 150_000;
/// Gas that deploying the ERC-20 of an asset adds to the first transfer of it.
pub const DEPLOY_GAS: u64 = 2_000_000;
/// Most bytes of lane items that one block may send to one destination.
pub const LANE_BYTES: u32 = 64 * 1024;

/// Slots that the contract, the ledger VM and the module share.
pub mod layout {
    use alloy_primitives::{B256, U256, keccak256};

    /// `uint32 localDomain`.
    pub const LOCAL_DOMAIN: U256 = U256::from_limbs([0, 0, 0, 0]);
    /// `uint32 nonce`: messages dispatched so far.
    pub const NONCE: U256 = U256::from_limbs([1, 0, 0, 0]);
    /// `uint64 defaultTtl`, seconds.
    pub const TTL: U256 = U256::from_limbs([2, 0, 0, 0]);
    /// `uint8 coin`: see [`super::Coin`].
    pub const COIN: U256 = U256::from_limbs([3, 0, 0, 0]);
    /// `bytes32 hubAsset`: the hub's gas coin.
    pub const HUB_ASSET: U256 = U256::from_limbs([4, 0, 0, 0]);
    /// `bytes32 latestDispatchedId`.
    pub const LATEST_ID: U256 = U256::from_limbs([5, 0, 0, 0]);
    /// `mapping(uint32 => uint256) lanes`: see [`super::LaneWord`].
    pub const LANES: u64 = 6;
    /// `mapping(bytes32 => uint256) received`: status in the low byte, block number above.
    pub const RECEIVED: u64 = 7;
    /// `mapping(bytes32 => address) tokens`: ERC-20 of each asset.
    pub const TOKENS: u64 = 8;
    /// `uint32 treeCount`, as of the last block's end.
    pub const TREE_COUNT: U256 = U256::from_limbs([9, 0, 0, 0]);
    /// `bytes32[32] branch`: slots 10 to 41.
    pub const BRANCH: u64 = 10;

    /// Slot of a mapping's entry, as Solidity places it.
    pub fn entry(key: B256, mapping: u64) -> U256 {
        let mut bytes = [0u8; 64];
        bytes[..32].copy_from_slice(key.as_slice());
        bytes[56..].copy_from_slice(&mapping.to_be_bytes());
        keccak256(bytes).into()
    }

    /// Slot of a lane's word.
    pub fn lane(domain: u32) -> U256 {
        entry(B256::left_padding_from(&domain.to_be_bytes()), LANES)
    }
}

/// What the chain's gas coin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Coin {
    /// Its own; the hub's coin is an ERC-20 here.
    Own = 0,
    /// The hub's, minted when it arrives.
    Hub = 1,
    /// The hub's, and this is the hub.
    Home = 2,
}

/// Whether one may send to a chain now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum LaneStatus {
    /// No member.
    #[default]
    Unknown = 0,
    /// Open.
    Active = 1,
    /// Nothing of it was taken in for too long, or it knows records of the directory that this
    /// chain does not: sends are refused until it moves again.
    Stalled = 2,
    /// Paused by the directory: no sends, no deliveries.
    Paused = 3,
}

/// What `lanes[domain]` packs: status (8 bits), gas price (64), block of `used` (64), bytes sent
/// in that block (32), from the low end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneWord {
    /// Whether one may send.
    pub status: LaneStatus,
    /// Wei of this chain's coin asked for a unit of the other's gas.
    pub gas_price: u64,
    /// Block in which something was sent last.
    pub block: u64,
    /// Bytes sent in that block.
    pub used: u32,
}

impl LaneWord {
    /// Packs.
    pub fn to_slot(self) -> U256 {
        U256::from(self.status as u8)
            | U256::from(self.gas_price) << 8
            | U256::from(self.block) << 72
            | U256::from(self.used) << 136
    }

    /// Reads what [`LaneWord::to_slot`] wrote.
    pub fn from_slot(slot: U256) -> Self {
        let bits = |shift: usize, mask: u64| {
            u64::try_from((slot >> shift) & U256::from(mask)).unwrap_or_default()
        };
        let status = match bits(0, 0xff) {
            1 => LaneStatus::Active,
            2 => LaneStatus::Stalled,
            3 => LaneStatus::Paused,
            _ => LaneStatus::Unknown,
        };
        Self {
            status,
            gas_price: bits(8, u64::MAX),
            block: bits(72, u64::MAX),
            used: u32::try_from(bits(136, u32::MAX.into())).unwrap_or_default(),
        }
    }
}

/// The messages that logs say were dispatched, in order. Only logs of the Mailbox count, and only
/// whole triples of `Dispatch`, `DispatchId` and `DispatchTerms`.
pub fn dispatched<'a>(logs: impl IntoIterator<Item = &'a Log>) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut packed: Option<Bytes> = None;
    for log in logs.into_iter().filter(|log| log.address == MAILBOX) {
        match log.topics().first() {
            Some(topic) if *topic == Dispatch::SIGNATURE_HASH => {
                packed = Dispatch::decode_log(log).ok().map(|log| log.data.message);
            }
            Some(topic) if *topic == DispatchTerms::SIGNATURE_HASH => {
                let (Some(packed), Ok(log)) = (packed.take(), DispatchTerms::decode_log(log))
                else {
                    continue;
                };
                let terms = Terms {
                    gas_limit: log.gasLimit,
                    gas_price: log.gasPrice,
                    expiry_ms: log.expiryMs,
                    refund_to: log.refundTo,
                };
                messages.extend(Message::decode_packed(&packed, terms));
            }
            _ => {}
        }
    }
    messages
}

/// An address as Hyperlane writes it in 32 bytes.
pub fn word_of(address: Address) -> B256 {
    address.into_word()
}

/// The address in 32 bytes, if its upper twelve are zero.
pub fn address_of(word: B256) -> Option<Address> {
    word[..12].iter().all(|byte| *byte == 0).then(|| Address::from_word(word))
}

/// Whether a message moves coins: from one Mailbox to another.
pub fn is_transfer(message: &Message) -> bool {
    let mailbox = word_of(MAILBOX);
    message.sender == mailbox && message.recipient == mailbox
}

/// Reads the body of a transfer: exactly 128 bytes.
pub fn transfer_body(body: &[u8]) -> Option<TransferBody> {
    let words: [[u8; 32]; 4] = (body.len() == 128)
        .then(|| std::array::from_fn(|at| body[32 * at..32 * at + 32].try_into().ok()))
        .and_then(|words: [Option<[u8; 32]>; 4]| {
            let [a, b, c, d] = words;
            Some([a?, b?, c?, d?])
        })?;
    Some(TransferBody {
        recipient: words[0].into(),
        amount: U256::from_be_bytes(words[1]),
        asset: words[2].into(),
        from: words[3].into(),
    })
}

/// Salt and address of an asset's ERC-20 are functions of the asset alone: CREATE2 by the Mailbox.
pub fn token_address(asset: B256, init_code_hash: B256) -> Address {
    let mut bytes = vec![0xff];
    bytes.extend_from_slice(MAILBOX.as_slice());
    bytes.extend_from_slice(asset.as_slice());
    bytes.extend_from_slice(init_code_hash.as_slice());
    Address::from_slice(&keccak256(bytes)[12..])
}
