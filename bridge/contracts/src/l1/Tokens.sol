// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// What is asked of any token.
interface IERC20 {
    function balanceOf(address account) external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// Transfers of tokens that say what they did in different ways: true, nothing, or false.
library Tokens {
    /// The token did not do it.
    error TransferFailed(address token);

    /// Gives tokens.
    function send(address token, address to, uint256 amount) internal {
        _do(token, abi.encodeCall(IERC20.transfer, (to, amount)));
    }

    /// Takes tokens and returns how many came: some keep a part.
    function take(address token, address from, uint256 amount) internal returns (uint256) {
        uint256 before = IERC20(token).balanceOf(address(this));
        _do(token, abi.encodeCall(IERC20.transferFrom, (from, address(this), amount)));
        uint256 balance = IERC20(token).balanceOf(address(this));
        // No more than was asked for, whatever else the token did meanwhile.
        uint256 came = balance > before ? balance - before : 0;
        return came < amount ? came : amount;
    }

    /// A call that succeeds, and of which nothing or true comes back; what has no code does neither.
    function _do(address token, bytes memory input) private {
        bool success;
        uint256 length;
        uint256 answer;
        assembly ("memory-safe") {
            success := call(gas(), token, 0, add(input, 32), mload(input), 0, 32)
            length := returndatasize()
            answer := mload(0)
        }
        bool done = length == 0 ? token.code.length != 0 : length >= 32 && answer == 1;
        if (!success || !done) revert TransferFailed(token);
    }
}
