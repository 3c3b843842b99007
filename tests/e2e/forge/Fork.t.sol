// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {Probe} from "../contracts/Probe.sol";

interface Vm {
    function envAddress(string calldata name) external view returns (address);
    function rollFork(uint256 number) external;
}

/// Runs on a copy of the chain that forge reads from the node, value by value.
contract Fork {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bool public constant IS_TEST = true;

    function test_reads_and_writes_a_copy() external {
        Probe probe = Probe(vm.envAddress("PROBE"));
        require(probe.values(1) == 11, "not what the script stored");
        probe.store(1, 12);
        require(probe.values(1) == 12 && probe.writes() == 2, "not what the test stored");
    }

    function test_the_contract_was_not_there_at_genesis() external {
        address probe = vm.envAddress("PROBE");
        require(probe.code.length > 0, "not there");
        vm.rollFork(0);
        require(probe.code.length == 0, "there at genesis");
    }
}
