// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// A token as there are odd ones: with a fee on transfers, with a hook, and with its own way to answer.
contract OddToken {
    /// Nothing, true, or false.
    uint8 public immutable answers;
    /// In parts of a hundred.
    uint256 public immutable fee;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    /// Called once, within the next transfer.
    address public hook;
    bytes public hookInput;
    bool public hookWent;
    bool public hookCalled;

    constructor(uint256 fee_, uint8 answers_) {
        fee = fee_;
        answers = answers_;
        balanceOf[msg.sender] = 1e30;
    }

    /// Makes tokens for `to`, who approves `spender`.
    function give(address to, uint256 amount, address spender) external {
        balanceOf[to] += amount;
        allowance[to][spender] = amount;
    }

    function setHook(address to, bytes calldata input) external {
        hook = to;
        hookInput = input;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        balanceOf[from] -= amount;
        balanceOf[to] += amount - amount * fee / 100;
        if (hook != address(0)) {
            address called = hook;
            (hook, hookCalled) = (address(0), true);
            (hookWent,) = called.call(hookInput);
        }
        if (answers == 0) return;
        bool answer = answers == 1;
        assembly {
            mstore(0, answer)
            return(0, 32)
        }
    }
}

/// Made up on the chain: says whose pair it is, and that all is well.
contract MadeUpToken {
    address public immutable remoteToken;
    address public immutable bridge;

    constructor(address remoteToken_, address bridge_) {
        remoteToken = remoteToken_;
        bridge = bridge_;
    }

    fallback() external {}
}
