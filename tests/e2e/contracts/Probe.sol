// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// Storage, an event, and every kind of revert.
contract Probe {
    mapping(uint256 => uint256) public values; // slot 0
    uint256 public writes; // slot 1

    event Stored(address indexed caller, uint256 indexed key, uint256 value);

    error Refused(uint256 code, address caller);

    function store(uint256 key, uint256 value) external {
        values[key] = value;
        writes += 1;
        emit Stored(msg.sender, key, value);
    }

    function refuse(uint256 code) external {
        writes += 1;
        revert Refused(code, msg.sender);
    }

    function fail() external {
        writes += 1;
        revert("not today");
    }

    function share(uint256 parts) external returns (uint256) {
        writes += 1;
        return 100 / parts;
    }
}
