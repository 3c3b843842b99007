// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Counterpart} from "../cross/Counterpart.sol";
import {Messenger} from "../cross/Messenger.sol";
import {Senders} from "../cross/Senders.sol";
import {L2ToL1MessagePasser} from "./L2ToL1MessagePasser.sol";

/// The messenger on the chain, at 0x4200000000000000000000000000000000000007. Messages of the other
/// one come as calls by its alias.
contract L2CrossDomainMessenger is Counterpart, Messenger {
    string public constant version = "1.0.0";

    address payable private constant MESSAGE_PASSER = payable(0x4200000000000000000000000000000000000016);

    /// The messenger on the parent chain; zero if there is none.
    function otherMessenger() public view override returns (address) {
        return _counterpart;
    }

    /// OP's older name.
    function l1CrossDomainMessenger() external view returns (address) {
        return _counterpart;
    }

    function _send(uint64 gasLimit, bytes memory input) internal override {
        L2ToL1MessagePasser(MESSAGE_PASSER).initiateWithdrawal{value: msg.value}(_counterpart, gasLimit, input);
    }

    function _fromOther() internal view override returns (bool) {
        return _counterpart != address(0) && msg.sender == Senders.aliasOf(_counterpart);
    }

    function _reservedHere(address target) internal pure override returns (bool) {
        return target == MESSAGE_PASSER;
    }

    function _reservedThere(address target) internal view override returns (bool) {
        return target == _counterpart;
    }
}
