// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Messenger} from "../cross/Messenger.sol";

/// What the messenger asks the portal.
interface IPortal {
    /// Sends a message to the chain.
    function depositTransaction(
        address to,
        uint256 value,
        uint64 gasLimit,
        bool isCreation,
        bytes calldata data
    ) external payable;
    /// Whose withdrawal is being called.
    function l2Sender() external view returns (address);
}

/// The messenger on the parent chain (OP's L1CrossDomainMessenger). It keeps only the coins of
/// messages that failed. No owner, no upgrade.
contract CrossDomainMessenger is Messenger {
    /// Nothing lies there that could send.
    error NoPortal(address portal);

    string public constant version = "1.0.0";

    address private constant L2_MESSENGER = 0x4200000000000000000000000000000000000007;
    address private constant L2_MESSAGE_PASSER = 0x4200000000000000000000000000000000000016;

    /// The way to the chain, and from it.
    IPortal public immutable portal;

    /// For one portal, and so for one chain.
    constructor(IPortal portal_) {
        if (address(portal_).code.length == 0) revert NoPortal(address(portal_));
        portal = portal_;
    }

    /// The messenger on the chain.
    function otherMessenger() public pure override returns (address) {
        return L2_MESSENGER;
    }

    function _send(uint64 gasLimit, bytes memory input) internal override {
        portal.depositTransaction{value: msg.value}(L2_MESSENGER, msg.value, gasLimit, false, input);
    }

    function _fromOther() internal view override returns (bool) {
        return msg.sender == address(portal) && portal.l2Sender() == L2_MESSENGER;
    }

    function _reservedHere(address target) internal view override returns (bool) {
        return target == address(portal);
    }

    function _reservedThere(address target) internal pure override returns (bool) {
        return target == L2_MESSENGER || target == L2_MESSAGE_PASSER;
    }
}
