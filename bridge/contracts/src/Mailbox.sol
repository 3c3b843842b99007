// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Inbox} from "./Inbox.sol";
import {Outbox} from "./Outbox.sol";

/// Outbox, inbox and escrow of a member chain, part of its genesis. Users send here; the protocol
/// writes lanes and the tree natively, and delivers by calls of the courier. No owner, no upgrade.
contract Mailbox is Outbox, Inbox {
    function process(bytes calldata, bytes calldata) external payable {
        revert BlocksDeliver();
    }

    function localDomain() external view returns (uint32) {
        return uint32(_localDomain);
    }

    function nonce() external view returns (uint32) {
        return uint32(_nonce);
    }

    function latestDispatchedId() external view returns (bytes32) {
        return _latestId;
    }

    function delivered(bytes32 messageId) public view returns (bool) {
        return uint8(_received[messageId]) == DELIVERED;
    }

    function processedAt(bytes32 messageId) external view returns (uint48) {
        return delivered(messageId) ? uint48(_received[messageId] >> 8) : 0;
    }

    function processor(bytes32 messageId) external view returns (address) {
        return delivered(messageId) ? COURIER : address(0);
    }

    function defaultIsm() external view returns (address) {
        return address(this);
    }

    function recipientIsm(address) external view returns (address) {
        return address(this);
    }

    function defaultHook() external view returns (address) {
        return address(this);
    }

    function requiredHook() external view returns (address) {
        return address(this);
    }

    function VERSION() external pure returns (uint8) {
        return MESSAGE_VERSION;
    }

    function deployedBlock() external pure returns (uint256) {
        return 0;
    }

    function count() external view returns (uint32) {
        return uint32(_treeCount);
    }

    function root() public view returns (bytes32 node) {
        bytes32 empty;
        uint256 leaves = _treeCount;
        for (uint256 level; level < 32; level++) {
            node = (leaves >> level) & 1 == 1 ? _hash(_branch[level], node) : _hash(node, empty);
            empty = _hash(empty, empty);
        }
    }

    function tree() external view returns (Tree memory) {
        return Tree(_branch, _treeCount);
    }

    function latestCheckpoint() external view returns (bytes32, uint32) {
        return (root(), uint32(_treeCount - 1));
    }

    function routerAddresses(uint32 domain) external view returns (address) {
        bool member = domain == _localDomain || laneStatus(domain) != LANE_UNKNOWN;
        return member ? address(this) : address(0);
    }

    function igp() external view returns (address) {
        return address(this);
    }

    function tokenOf(bytes32 asset) external view returns (address) {
        return _tokens[asset];
    }

    function hubAsset() external view returns (bytes32) {
        return _hubAsset;
    }

    function coin() external view returns (uint8) {
        return uint8(_coin);
    }

    function _hash(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(left, right));
    }
}
