// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Who an account of one chain is on another.
library Senders {
    /// Added to a contract's address, so that it is not taken for who has that address on the chain.
    uint160 private constant ALIAS = uint160(0x1111000000000000000000000000000000001111);
    /// EIP-7702: what stands before the address that an account delegates to.
    bytes3 private constant DELEGATION = 0xef0100;
    uint256 private constant DELEGATION_BYTES = 23;

    /// Whether the caller is an account with a key, which has the same address on every chain. An
    /// account that delegates (EIP-7702) has a key, but only a transaction of its own shows that it
    /// was used.
    function callerHasKey() internal view returns (bool) {
        if (msg.sender != tx.origin) return false;
        uint256 length = msg.sender.code.length;
        if (length == 0) return true;
        return length == DELEGATION_BYTES && bytes3(msg.sender.code) == DELEGATION;
    }

    /// Whom a contract of the parent chain is on the chain.
    function aliasOf(address sender) internal pure returns (address) {
        unchecked {
            return address(uint160(sender) + ALIAS);
        }
    }
}
