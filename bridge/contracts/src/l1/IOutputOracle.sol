// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// What somebody said the chain's state is after a block, in the shape of OP's oracle.
struct OutputProposal {
    /// keccak256(0 . state root . storage root of the message passer . block hash), 32 bytes each.
    bytes32 outputRoot;
    /// When it was said: seconds, on the parent chain.
    uint128 timestamp;
    /// After which block.
    uint128 l2BlockNumber;
}

/// What the portal asks an oracle of outputs.
interface IOutputOracle {
    /// Outputs so far: the index of the next one.
    function nextOutputIndex() external view returns (uint256);
    /// An output that there is.
    function getL2Output(uint256 index) external view returns (OutputProposal memory);
    /// How long an output, and a proof by it, can be looked at before coins leave, in seconds.
    function FINALIZATION_PERIOD_SECONDS() external view returns (uint256);
    /// Who may delete outputs and pause withdrawals; zero if nobody.
    function challenger() external view returns (address);
    /// Which keys the chain listens to.
    function systemConfig() external view returns (address);
}
