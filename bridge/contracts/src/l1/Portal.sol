// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// The way into a chain from its parent chain, which no sequencer can close: every node of the
/// chain reads these events. It holds no coins, and has no owner and no upgrade.
contract Portal {
    /// An entry of the forced lane: a transaction that its sender signed for the chain.
    event ForcedTransaction(address indexed from, uint256 indexed index, bytes data);
    /// A message, in the shape of OP's portal, version 0: `opaqueData` is mint (32 bytes), value
    /// (32), gas limit (8), whether it creates a contract (1), and the data, one behind the other.
    event TransactionDeposited(
        address indexed from, address indexed to, uint256 indexed version, bytes opaqueData
    );

    /// Nothing to force.
    error DataEmpty();
    /// More bytes than an entry or a message may have.
    error DataTooLong(uint256 length, uint256 most);
    /// Transactions of this type are made of messages only.
    error TypeReserved(uint8 transactionType);
    /// Less gas than the message uses before it runs.
    error GasLimitTooLow(uint64 gasLimit, uint64 least);
    /// More gas than a message may use.
    error GasLimitTooHigh(uint64 gasLimit, uint64 most);
    /// What creates a contract goes to nobody.
    error CreationTo(address to);

    string public constant version = "1.0.0";
    /// Most bytes of an entry, and of a message's data.
    uint256 public constant maxData = 120_000;

    /// The type of a message's transaction on the chain.
    uint8 private constant MESSAGE_TYPE = 0x7e;
    uint64 private constant BASE_GAS = 21_000;
    /// The floor of EIP-7623 for a byte that is not zero.
    uint64 private constant BYTE_GAS = 40;
    /// Added to a contract's address, so that it is not taken for who has that address on the chain.
    uint160 private constant ALIAS = uint160(0x1111000000000000000000000000000000001111);
    /// EIP-7702: what stands before the address that an account delegates to.
    bytes3 private constant DELEGATION = 0xef0100;
    uint256 private constant DELEGATION_BYTES = 23;

    /// Most gas of a message.
    uint64 public immutable maxGas;

    /// Entries so far: the index of the next one.
    uint256 public forced;

    constructor(uint64 maxGas_) {
        if (maxGas_ < BASE_GAS) revert GasLimitTooLow(maxGas_, BASE_GAS);
        maxGas = maxGas_;
    }

    /// Puts a signed transaction of the chain into the forced lane. Whoever calls, the transaction
    /// is of its signer; one that is not valid when its turn comes is skipped.
    function forceTransaction(bytes calldata data) external {
        if (data.length == 0) revert DataEmpty();
        if (data.length > maxData) revert DataTooLong(data.length, maxData);
        if (uint8(data[0]) == MESSAGE_TYPE) revert TypeReserved(MESSAGE_TYPE);
        emit ForcedTransaction(msg.sender, forced++, data);
    }

    /// Sends a message: a call on the chain by the caller, or by a contract's alias. It takes no
    /// coins, so mint is 0 and `value` is of what the sender has there: coins could not come back,
    /// because nothing can be withdrawn to the parent chain yet.
    function depositTransaction(
        address to,
        uint256 value,
        uint64 gasLimit,
        bool isCreation,
        bytes calldata data
    ) external {
        if (isCreation && to != address(0)) revert CreationTo(to);
        if (data.length > maxData) revert DataTooLong(data.length, maxData);
        uint64 least = minimumGasLimit(uint64(data.length));
        if (gasLimit < least) revert GasLimitTooLow(gasLimit, least);
        if (gasLimit > maxGas) revert GasLimitTooHigh(gasLimit, maxGas);
        bytes memory opaqueData = abi.encodePacked(uint256(0), value, gasLimit, isCreation, data);
        emit TransactionDeposited(_sender(), to, 0, opaqueData);
    }

    /// Least gas of a message with so many bytes of data.
    function minimumGasLimit(uint64 byteCount) public pure returns (uint64) {
        return BASE_GAS + BYTE_GAS * byteCount;
    }

    /// Who sends a message: an account with a key is itself on the chain too. An account that
    /// delegates (EIP-7702) has a key, but only a transaction of its own shows that it was used.
    function _sender() private view returns (address) {
        if (msg.sender == tx.origin) {
            uint256 length = msg.sender.code.length;
            if (length == 0) return msg.sender;
            if (length == DELEGATION_BYTES && bytes3(msg.sender.code) == DELEGATION) return msg.sender;
        }
        unchecked {
            return address(uint160(msg.sender) + ALIAS);
        }
    }
}
