// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// A contract of the genesis that has to know one of the parent chain. The genesis has its address
/// in slot 0; it never changes, and nothing here can set it.
abstract contract Counterpart {
    /// Zero if the chain has no parent chain, or no contracts there.
    address internal _counterpart;
}
