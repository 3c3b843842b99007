// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

contract Mortal {
    constructor() payable {}

    function close(address payable to) external {
        selfdestruct(to);
    }
}

/// EIP-6780: only a contract created in the same transaction is deleted.
contract MortalFactory {
    event Closed(address mortal);

    function createAndClose(address payable to) external payable {
        Mortal mortal = new Mortal{value: msg.value}();
        mortal.close(to);
        emit Closed(address(mortal));
    }
}
