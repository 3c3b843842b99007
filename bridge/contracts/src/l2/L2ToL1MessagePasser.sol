// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Senders} from "../cross/Senders.sol";

/// What leaves the chain, at 0x4200000000000000000000000000000000000016: the header's
/// `withdrawalsRoot` is the root of this contract's storage, and the portal on the parent chain
/// calls what is proven to be in it. Coins that leave stay here for ever: that is how they are
/// burnt, so the chain's supply is what all accounts but this one have.
contract L2ToL1MessagePasser {
    /// A call of the parent chain was sent.
    event MessagePassed(
        uint256 indexed nonce,
        address indexed sender,
        address indexed target,
        uint256 value,
        uint256 gasLimit,
        bytes data,
        bytes32 withdrawalHash
    );

    /// More bytes than a transaction of the parent chain should carry.
    error DataTooLong(uint256 length, uint256 most);
    /// More gas than a transaction of the parent chain could give (EIP-7825), beside what it needs
    /// itself: the call could never be made.
    error GasLimitTooHigh(uint256 gasLimit, uint256 most);
    /// The chain's gas coin is not the parent chain's, and leaves another way.
    error CoinsRefused(uint256 value);
    /// Coins without a call go to the sender's address on the parent chain, which for a contract may
    /// be nobody's: it names who gets them by `initiateWithdrawal`.
    error OnlyAccounts(address caller);

    string public constant version = "1.0.0";
    uint16 public constant MESSAGE_VERSION = 1;
    /// Most bytes of a call's data.
    uint256 public constant maxData = 65_536;
    /// Most gas of a call.
    uint256 public constant maxGas = 12_000_000;

    /// Gas of a call that is made of coins alone.
    uint256 private constant COINS_GAS = 100_000;

    /// What was sent, by its hash. The portal proves slots of this mapping, which is in slot 0.
    mapping(bytes32 => bool) public sentMessages;
    uint240 private _nonce;
    /// Not zero on a chain whose gas coin is not the parent chain's; set in genesis (slot 2).
    uint256 private _refusesCoins;

    /// Coins for the sender's own address on the parent chain.
    receive() external payable {
        if (!Senders.callerHasKey()) revert OnlyAccounts(msg.sender);
        initiateWithdrawal(msg.sender, COINS_GAS, "");
    }

    /// Sends a call: `target` is called on the parent chain with at least `gasLimit`, the coins, and
    /// `data`. Two calls are never the same, because their nonces are not.
    function initiateWithdrawal(address target, uint256 gasLimit, bytes memory data) public payable {
        if (data.length > maxData) revert DataTooLong(data.length, maxData);
        if (gasLimit > maxGas) revert GasLimitTooHigh(gasLimit, maxGas);
        if (msg.value != 0 && _refusesCoins != 0) revert CoinsRefused(msg.value);
        uint256 nonce = messageNonce();
        _nonce++;
        bytes32 hash = keccak256(abi.encode(nonce, msg.sender, target, msg.value, gasLimit, data));
        sentMessages[hash] = true;
        emit MessagePassed(nonce, msg.sender, target, msg.value, gasLimit, data, hash);
    }

    /// Nonce of the next call: the version in the upper two bytes.
    function messageNonce() public view returns (uint256) {
        return uint256(MESSAGE_VERSION) << 240 | _nonce;
    }

    /// Whether coins can leave this way.
    function takesCoins() external view returns (bool) {
        return _refusesCoins == 0;
    }
}
