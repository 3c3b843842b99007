// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Whoever takes messages of other chains (Hyperlane v3 ABI).
interface IMessageRecipient {
    /// Takes a message. Only the Mailbox may be believed as caller; `sender` is an address in 32
    /// bytes and means nothing without `origin`.
    function handle(uint32 origin, bytes32 sender, bytes calldata message) external payable;
}
