// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {Coin} from "../contracts/Coin.sol";
import {Probe} from "../contracts/Probe.sol";

interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// What a team runs when it launches: contracts, one of them by CREATE2, and their first calls.
contract Launch {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bool public constant IS_SCRIPT = true;

    function run(bytes32 salt, address holder) external {
        vm.startBroadcast();
        Probe probe = new Probe();
        Coin coin = new Coin{salt: salt}(1000);
        probe.store(1, 11);
        payable(holder).transfer(5);
        vm.stopBroadcast();
        require(probe.values(1) == 11 && coin.totalSupply() == 1000, "not as expected");
    }
}
