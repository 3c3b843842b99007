// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// More logs than one answer holds.
contract Crowd {
    event Tick(uint256 indexed number);

    function tick(uint256 from, uint256 to) external {
        for (uint256 number = from; number < to; number++) emit Tick(number);
    }
}
