// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MetaToken} from "./MetaToken.sol";
import {ICauseway} from "./interfaces/ICauseway.sol";

/// The Mailbox's storage, which the protocol shares, and what all its parts use.
abstract contract Slots is ICauseway {
    // The protocol shares these slots (`chainspec::mailbox::layout`): one value in each, and
    // nothing may be added. What else the protocol keeps here lies in hashed slots.
    uint256 internal _localDomain;
    uint256 internal _nonce;
    uint256 internal _defaultTtl;
    uint256 internal _coin;
    bytes32 internal _hubAsset;
    bytes32 internal _latestId;
    /// Status (8 bits), gas price (64), block of the last send (64), bytes sent in it (32).
    mapping(uint32 => uint256) internal _lanes;
    /// Status in the low byte, block number above.
    mapping(bytes32 => uint256) internal _received;
    mapping(bytes32 => address) internal _tokens;
    uint256 internal _treeCount;
    bytes32[32] internal _branch;

    uint256 internal constant HEADER_BYTES = 77;
    uint8 internal constant MESSAGE_VERSION = 3;
    /// Body of a transfer: recipient, amount, asset, sender.
    uint256 internal constant TRANSFER_BYTES = 128;

    uint8 internal constant LANE_UNKNOWN = 0;
    uint8 internal constant LANE_ACTIVE = 1;

    /// The gas coin is the chain's own.
    uint8 internal constant COIN_OWN = 0;

    /// Statuses of a delivery.
    uint8 internal constant DELIVERED = 1;
    uint8 internal constant REVERTED = 2;
    uint8 internal constant NO_RECIPIENT = 3;
    uint8 internal constant MALFORMED = 6;

    /// Calls without copying what comes back, which may be long.
    function _call(address to, uint256 value, uint256 gasLimit, bytes memory input)
        internal
        returns (bool success)
    {
        assembly ("memory-safe") {
            success := call(gasLimit, to, value, add(input, 32), mload(input), 0, 0)
        }
    }

    function _token(bytes32 asset) internal view returns (MetaToken) {
        address token = _tokens[asset];
        if (token == address(0)) revert NoToken(asset);
        return MetaToken(token);
    }

    /// Whether coins can go there.
    function _payable(bytes32 recipient) internal view returns (bool) {
        uint256 to = uint256(recipient);
        return to != 0 && to >> 160 == 0 && to != uint160(address(this));
    }

    function _word(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
