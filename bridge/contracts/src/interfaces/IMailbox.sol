// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Sending and receiving with the ABI of Hyperlane v3's Mailbox, its MerkleTreeHook and its
/// gas paymaster, all at one address.
interface IMailbox {
    /// A message was sent; `message` is its packed form.
    event Dispatch(address indexed sender, uint32 indexed destination, bytes32 indexed recipient, bytes message);
    /// Its id: keccak256 of the packed form.
    event DispatchId(bytes32 indexed messageId);
    /// Its place in the outbox tree.
    event InsertedIntoTree(bytes32 messageId, uint32 index);
    /// Gas at the destination that was paid for, and the whole fee in wei.
    event GasPayment(
        bytes32 indexed messageId, uint32 indexed destinationDomain, uint256 gasAmount, uint256 payment
    );
    /// A message was delivered.
    event Process(uint32 indexed origin, bytes32 indexed sender, address indexed recipient);
    /// Its id.
    event ProcessId(bytes32 indexed messageId);

    /// The incremental tree: one node for each level, and the number of leaves.
    struct Tree {
        bytes32[32] branch;
        uint256 count;
    }

    /// Sends a message with default gas and lifetime; what is not used comes back to the caller.
    function dispatch(uint32 destinationDomain, bytes32 recipientAddress, bytes calldata messageBody)
        external
        payable
        returns (bytes32 messageId);

    /// Sends a message; `hookMetadata` is empty or of variant 1: uint16 variant, uint256 value
    /// (zero), uint256 gas limit, address that gets back what is not used. Fields that are
    /// missing or zero have their defaults.
    function dispatch(
        uint32 destinationDomain,
        bytes32 recipientAddress,
        bytes calldata messageBody,
        bytes calldata hookMetadata
    ) external payable returns (bytes32 messageId);

    /// The same; `hook` is zero or this contract: there is no other.
    function dispatch(
        uint32 destinationDomain,
        bytes32 recipientAddress,
        bytes calldata messageBody,
        bytes calldata hookMetadata,
        address hook
    ) external payable returns (bytes32 messageId);

    /// Wei that the first `dispatch` costs now.
    function quoteDispatch(uint32 destinationDomain, bytes32 recipientAddress, bytes calldata messageBody)
        external
        view
        returns (uint256 fee);

    /// Wei that the second `dispatch` costs now.
    function quoteDispatch(
        uint32 destinationDomain,
        bytes32 recipientAddress,
        bytes calldata messageBody,
        bytes calldata hookMetadata
    ) external view returns (uint256 fee);

    /// Wei that the third `dispatch` costs now.
    function quoteDispatch(
        uint32 destinationDomain,
        bytes32 recipientAddress,
        bytes calldata messageBody,
        bytes calldata hookMetadata,
        address hook
    ) external view returns (uint256 fee);

    /// Always reverts: blocks deliver, nobody has to.
    function process(bytes calldata metadata, bytes calldata message) external payable;

    /// Domain of this chain.
    function localDomain() external view returns (uint32);
    /// Messages sent so far.
    function nonce() external view returns (uint32);
    /// Id of the message that was sent last.
    function latestDispatchedId() external view returns (bytes32);
    /// Whether a message of another chain was delivered here.
    function delivered(bytes32 messageId) external view returns (bool);
    /// Block in which it was delivered; 0 if it was not.
    function processedAt(bytes32 messageId) external view returns (uint48);
    /// Who delivered it: the protocol's courier; zero if nobody did.
    function processor(bytes32 messageId) external view returns (address);
    /// This contract: what a block delivers was verified before.
    function defaultIsm() external view returns (address);
    /// This contract, whatever the recipient says.
    function recipientIsm(address recipient) external view returns (address);
    /// This contract: it is its own tree and paymaster.
    function defaultHook() external view returns (address);
    /// This contract.
    function requiredHook() external view returns (address);
    /// Version of the message format.
    function VERSION() external view returns (uint8);
    /// Block from which agents have to read: it is here since genesis.
    function deployedBlock() external view returns (uint256);

    /// Leaves of the outbox tree as of the end of the last block.
    function count() external view returns (uint32);
    /// Its root.
    function root() external view returns (bytes32);
    /// The tree itself.
    function tree() external view returns (Tree memory);
    /// Root and index of the newest leaf; reverts while there is none.
    function latestCheckpoint() external view returns (bytes32 root, uint32 index);

    /// Wei that so much gas for an empty message costs now.
    function quoteGasPayment(uint32 destinationDomain, uint256 gasAmount) external view returns (uint256);
}
