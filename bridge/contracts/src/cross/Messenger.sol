// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Calls} from "./Calls.sol";

/// One of two messengers, one on each chain, in the shape of OP's: a message that is sent here is
/// called there by the other one, which tells the called contract who sent it. A message whose call
/// fails is kept, with its coins, and anybody can have it called again.
abstract contract Messenger {
    /// A message left.
    event SentMessage(
        address indexed target, address sender, bytes message, uint256 messageNonce, uint256 gasLimit
    );
    /// With so many coins.
    event SentMessageExtension1(address indexed sender, uint256 value);
    /// A message was called; it never will be again.
    event RelayedMessage(bytes32 indexed msgHash);
    /// The call failed, or had too little gas: it can be made again.
    event FailedRelayedMessage(bytes32 indexed msgHash);

    /// No messenger is named on the other side.
    error NoCounterpart();
    /// Nonces of this version name messages of another shape.
    error UnknownVersion(uint256 version);
    /// The coins that came are not those that the message has.
    error ValueDiffers(uint256 found, uint256 expected);
    /// Neither the other messenger's, nor one that failed.
    error NotFailed(bytes32 msgHash);
    /// The contract believes the messenger, or is it.
    error TargetReserved(address target);
    /// Called before.
    error AlreadyRelayed(bytes32 msgHash);
    /// It failed again.
    error FailedAgain(bytes32 msgHash);
    /// No message is being called.
    error NoMessage();

    uint16 public constant MESSAGE_VERSION = 1;

    uint64 private constant BASE_GAS = 21_000;
    /// A byte of a transaction (EIP-7623), or of reading and copying it several times.
    uint64 private constant BYTE_GAS = 40;
    /// Bytes of a call of `relayMessage` beside the message, which is filled up to whole words.
    uint64 private constant CALL_BYTES = 4 + 7 * 32;
    /// What `relayMessage` uses around the call: about 80,000, with what `Calls` wants to be left.
    uint64 private constant RELAY_GAS = 200_000;
    /// What is left after the call, to note that it failed.
    uint256 private constant RESERVED_GAS = 40_000;

    /// Messages whose call succeeded.
    mapping(bytes32 => bool) public successfulMessages;
    /// Messages whose call failed at least once.
    mapping(bytes32 => bool) public failedMessages;
    uint240 private _nonce;
    /// Whose message is being called; zero if none.
    address private transient _sender;
    bool private transient _relaying;

    /// Sends a message: the other messenger calls `target` with `message`, the coins, and at least
    /// `minGasLimit`.
    function sendMessage(address target, bytes calldata message, uint32 minGasLimit) external payable {
        if (otherMessenger() == address(0)) revert NoCounterpart();
        if (_reservedThere(target)) revert TargetReserved(target);
        uint256 nonce = messageNonce();
        _nonce++;
        bytes memory input = abi.encodeCall(
            this.relayMessage, (nonce, msg.sender, target, msg.value, minGasLimit, message)
        );
        emit SentMessage(target, msg.sender, message, nonce, minGasLimit);
        emit SentMessageExtension1(msg.sender, msg.value);
        _send(baseGas(message, minGasLimit), input);
    }

    /// Calls a message: one that comes from the other messenger, with its coins, or one that failed
    /// before, for anybody, without. What fails is kept; what failed and fails again reverts.
    function relayMessage(
        uint256 nonce,
        address sender,
        address target,
        uint256 value,
        uint256 minGasLimit,
        bytes calldata message
    ) external payable {
        if (nonce >> 240 != MESSAGE_VERSION) revert UnknownVersion(nonce >> 240);
        // All of the message names it; made anew, so it has one name.
        bytes memory input =
            abi.encodeCall(this.relayMessage, (nonce, sender, target, value, minGasLimit, message));
        bytes32 hash = keccak256(input);
        bool first = _fromOther();
        if (msg.value != (first ? value : 0)) revert ValueDiffers(msg.value, first ? value : 0);
        // Nomad: no message is believed because nothing is known of it.
        if (!first && !failedMessages[hash]) revert NotFailed(hash);
        // Poly: no message makes the messenger speak to those who believe it.
        if (target == address(this) || _reservedHere(target)) revert TargetReserved(target);
        if (successfulMessages[hash]) revert AlreadyRelayed(hash);
        // Before the call, so that nothing it does can have it a second time.
        successfulMessages[hash] = true;
        bool success = _call(sender, target, value, minGasLimit, message);
        if (success) {
            emit RelayedMessage(hash);
        } else if (first) {
            successfulMessages[hash] = false;
            failedMessages[hash] = true;
            emit FailedRelayedMessage(hash);
        } else {
            revert FailedAgain(hash);
        }
    }

    /// Who sent the message that is being called: who is called by the messenger asks it.
    function xDomainMessageSender() external view returns (address) {
        if (!_relaying) revert NoMessage();
        return _sender;
    }

    /// Nonce of the next message: the version in the upper two bytes.
    function messageNonce() public view returns (uint256) {
        return uint256(MESSAGE_VERSION) << 240 | _nonce;
    }

    /// Gas that the other messenger needs so that a message's call has `minGasLimit`.
    function baseGas(bytes calldata message, uint32 minGasLimit) public pure returns (uint64) {
        uint64 words = (uint64(message.length) + 31) / 32;
        uint64 relay = BASE_GAS + BYTE_GAS * (CALL_BYTES + 32 * words) + RELAY_GAS;
        return relay + (uint64(minGasLimit) * 64 + 62) / 63;
    }

    /// The messenger on the other chain; zero if there is none.
    function otherMessenger() public view virtual returns (address);

    /// Sends a call to the other messenger with `msg.value`.
    function _send(uint64 gasLimit, bytes memory input) internal virtual;

    /// Whether the caller speaks for the other messenger.
    function _fromOther() internal view virtual returns (bool);

    /// Whether a contract of this chain believes this messenger in other ways than by messages.
    function _reservedHere(address target) internal view virtual returns (bool);

    /// Whether the other messenger will refuse to call it: then the coins are better kept here.
    function _reservedThere(address target) internal view virtual returns (bool);

    /// Calls a message, if no other is being called and there is gas for it.
    function _call(
        address sender,
        address target,
        uint256 value,
        uint256 minGasLimit,
        bytes memory message
    ) private returns (bool success) {
        // Too little gas is no failure for ever: the message is kept.
        if (_relaying || gasleft() < Calls.least(minGasLimit, RESERVED_GAS) + 1000) return false;
        (_relaying, _sender) = (true, sender);
        success = Calls.withGas(target, minGasLimit, RESERVED_GAS, value, message);
        (_relaying, _sender) = (false, address(0));
    }
}
