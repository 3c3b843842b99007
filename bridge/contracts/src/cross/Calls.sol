// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Calls that others asked for: with as much gas as they were promised, and without reading the
/// answer, which may be long.
library Calls {
    /// A call that could not be given what it was promised.
    error GasTooLow(uint256 left, uint256 least);

    /// Most that a call takes before the callee runs: an account never seen (2,600), with a
    /// delegation (2,600), that gets coins (9,000) and is new (25,000); and some for reprices.
    uint256 private constant CALL_GAS = 50_000;
    /// For the steps from the look at what is left to the call.
    uint256 private constant STEPS_GAS = 1_000;

    /// Least gas of a caller so that the callee has `gasLimit`, and `reserved` is left afterwards.
    /// A call passes at most 63 of 64 parts of what there is (EIP-150).
    function least(uint256 gasLimit, uint256 reserved) internal pure returns (uint256) {
        if (gasLimit > type(uint64).max) return type(uint256).max;
        unchecked {
            return (gasLimit * 64 + 62) / 63 + CALL_GAS + STEPS_GAS + reserved;
        }
    }

    /// Calls with all gas but what is `reserved` for afterwards, if `gasLimit` of it arrives:
    /// nobody can make a call fail by calling with little gas.
    function withGas(address to, uint256 gasLimit, uint256 reserved, uint256 value, bytes memory input)
        internal
        returns (bool success)
    {
        uint256 needed = least(gasLimit, reserved);
        uint256 left = gasleft();
        if (left < needed) revert GasTooLow(left, needed);
        uint256 keep = CALL_GAS + reserved;
        assembly ("memory-safe") {
            success := call(sub(gas(), keep), to, value, add(input, 32), mload(input), 0, 0)
        }
    }
}
