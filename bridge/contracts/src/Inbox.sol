// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MetaToken} from "./MetaToken.sol";
import {Slots} from "./Slots.sol";
import {IMailbox} from "./interfaces/IMailbox.sol";
import {IMessageRecipient} from "./interfaces/IMessageRecipient.sol";

/// Messages and coins that arrive, in calls of the courier at the beginning of a block.
abstract contract Inbox is Slots {
    /// Calls on behalf of the protocol. Nobody has its key.
    address internal constant COURIER = 0xCA00000000000000000000000000000000000003;

    uint256 private constant DEPLOY_GAS = 2_000_000;
    /// What `deliver` needs itself around and after the recipient's call: events, and the look at
    /// what an EIP-7702 account delegates to.
    uint256 private constant RESERVE_GAS = 6_500;
    /// What a call with value to a cold account that does not exist costs its caller.
    uint256 private constant CALL_GAS = 36_600;

    modifier onlyCourier() {
        if (msg.sender != COURIER) revert OnlyCourier();
        _;
    }

    function deliver(bytes calldata message, uint64 gasLimit)
        external
        onlyCourier
        returns (uint8 status, uint64 gasUsed)
    {
        if (
            message.length < HEADER_BYTES || uint8(message[0]) != MESSAGE_VERSION
                || uint32(bytes4(message[41:45])) != _localDomain
        ) revert MessageInvalid();
        bytes32 id = keccak256(message);
        uint256 before = _received[id];
        if (uint8(before) == DELIVERED) revert AlreadyDelivered(id);
        // Before the recipient runs, so that it finds its message delivered, and never twice.
        _received[id] = DELIVERED | (block.number << 8);

        uint32 origin = uint32(bytes4(message[5:9]));
        bytes32 sender = bytes32(message[9:41]);
        bytes32 recipient = bytes32(message[45:77]);
        bytes calldata body = message[77:];
        bool transfer = sender == _word(address(this)) && recipient == sender;
        uint256 used;
        (status, used) = transfer ? _pay(body, gasLimit) : _handle(origin, sender, recipient, body, gasLimit);
        gasUsed = used < gasLimit ? uint64(used) : gasLimit;
        if (status != DELIVERED) {
            _received[id] = before;
            return (status, gasUsed);
        }
        emit IMailbox.Process(origin, sender, address(uint160(uint256(recipient))));
        emit IMailbox.ProcessId(id);
        if (transfer) {
            emit ReceivedTransferRemote(origin, bytes32(body[:32]), uint256(bytes32(body[32:64])));
        }
    }

    function refund(bytes32, bytes32 asset, address to, uint256 amount) external onlyCourier {
        _token(asset).mint(to, amount);
    }

    /// Gives a message to its recipient with exactly `gasLimit` gas.
    function _handle(uint32 origin, bytes32 sender, bytes32 recipient, bytes calldata body, uint64 gasLimit)
        private
        returns (uint8 status, uint256 used)
    {
        if (uint256(recipient) >> 160 != 0) return (NO_RECIPIENT, 0);
        address to = address(uint160(uint256(recipient)));
        if (to == address(this)) return (MALFORMED, 0);
        if (to.code.length == 0) return (NO_RECIPIENT, 0);
        bytes memory input = abi.encodeCall(IMessageRecipient.handle, (origin, sender, body));
        _checkGas(gasLimit, 0);
        uint256 start = gasleft();
        status = _call(to, 0, gasLimit, input) ? DELIVERED : REVERTED;
        used = start - gasleft();
    }

    /// Pays what a transfer brings; all that this costs is within `gasLimit`, deploying the
    /// token aside.
    function _pay(bytes calldata body, uint64 gasLimit) private returns (uint8 status, uint256 used) {
        if (body.length != TRANSFER_BYTES) return (MALFORMED, 0);
        (bytes32 recipient, uint256 amount, bytes32 asset) = abi.decode(body, (bytes32, uint256, bytes32));
        if (amount == 0 || asset != _hubAsset || !_payable(recipient)) return (MALFORMED, 0);
        address to = address(uint160(uint256(recipient)));
        uint256 start;
        if (_coin != COIN_OWN) {
            _checkGas(gasLimit, 0);
            start = gasleft();
            uint256 gasForRecipient = gasLimit < CALL_GAS ? 0 : gasLimit - CALL_GAS;
            status = _call(to, amount, gasForRecipient, "") ? DELIVERED : REVERTED;
            return (status, start - gasleft());
        }
        address token = _tokens[asset];
        if (token == address(0)) {
            _checkGas(gasLimit, DEPLOY_GAS);
            // The address is a function of the asset alone.
            token = address(new MetaToken{salt: asset}());
            _tokens[asset] = token;
        }
        _checkGas(gasLimit, 0);
        start = gasleft();
        try MetaToken(token).mint(to, amount) {
            status = DELIVERED;
        } catch {
            status = REVERTED;
        }
        used = start - gasleft();
    }

    /// Reverts the whole delivery unless a call can get all of `gasLimit`: a call gets at most
    /// 63/64 of what is left (EIP-150). `besides` is for what comes before that call.
    function _checkGas(uint256 gasLimit, uint256 besides) private view {
        if (gasleft() < gasLimit + gasLimit / 63 + besides + RESERVE_GAS) revert OutOfGas();
    }
}
