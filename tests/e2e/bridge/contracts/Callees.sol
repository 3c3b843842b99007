// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

interface IPortal {
    function l2Sender() external view returns (address);
}

interface IMessenger {
    function xDomainMessageSender() external view returns (address);
}

/// Calls back whoever calls it, with an input of somebody's choice.
contract Reentrant {
    bytes public input;
    /// Whether the call back went through, and what it answered if not.
    bool public inside;
    bytes public answer;
    /// Whom the portal said the withdrawal is from.
    address public sender;

    function set(bytes calldata next) external {
        input = next;
    }

    fallback() external payable {
        sender = IPortal(msg.sender).l2Sender();
        if (input.length != 0) (inside, answer) = msg.sender.call(input);
    }
}

/// What callees do with gas.
contract Gas {
    /// Gas that was there.
    uint256 public had;

    function keep() external payable {
        had = gasleft();
    }

    function fail() external payable {
        revert("no");
    }

    function answerLong() external payable {
        assembly {
            return(0, 1000000)
        }
    }

    function loop() external payable {
        while (true) {}
    }
}

/// Remembers the message that a messenger brought, if it is open.
contract Receiver {
    bool public open = true;
    address public sender;
    uint256 public coins;
    bytes32 public word;

    function set(bool value) external {
        open = value;
    }

    function ping(bytes32 value) external payable {
        require(open, "closed");
        word = value;
        coins += msg.value;
        sender = IMessenger(msg.sender).xDomainMessageSender();
    }
}
