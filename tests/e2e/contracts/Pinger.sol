// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

interface Mailbox {
    function dispatch(uint32 domain, bytes32 recipient, bytes calldata body) external payable returns (bytes32);
    function quoteDispatch(uint32 domain, bytes32 recipient, bytes calldata body) external view returns (uint256);
    function transferRemote(uint32 domain, bytes32 recipient, uint256 amount) external payable returns (bytes32);
    function quoteTransfer(uint32 domain) external view returns (uint256);
    function localDomain() external view returns (uint32);
}

/// Sends, answers what it gets, and remembers both: an application as its authors write it.
contract Pinger {
    Mailbox constant MAILBOX = Mailbox(0xca00000000000000000000000000000000000002);

    bytes32 public lastId;
    uint32 public lastOrigin;
    bytes32 public lastSender;
    bytes public lastBody;

    receive() external payable {}

    function ping(uint32 domain, bytes32 recipient, bytes calldata body) external payable {
        uint256 fee = MAILBOX.quoteDispatch(domain, recipient, body);
        lastId = MAILBOX.dispatch{value: fee}(domain, recipient, body);
    }

    function pay(uint32 domain, bytes32 recipient, uint256 amount) external payable {
        uint256 fee = MAILBOX.quoteTransfer(domain);
        lastId = MAILBOX.transferRemote{value: amount + fee}(domain, recipient, amount);
    }

    function handle(uint32 origin, bytes32 sender, bytes calldata body) external payable {
        require(msg.sender == address(MAILBOX), "only the mailbox");
        (lastOrigin, lastSender, lastBody) = (origin, sender, body);
        if (keccak256(body) == keccak256("ping")) {
            uint256 fee = MAILBOX.quoteDispatch(origin, sender, "pong");
            lastId = MAILBOX.dispatch{value: fee}(origin, sender, "pong");
        }
    }
}
