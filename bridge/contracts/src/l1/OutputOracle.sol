// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IOutputOracle, OutputProposal} from "./IOutputOracle.sol";

/// What the oracle asks a system config.
interface IProposers {
    /// Whose outputs count.
    function proposers() external view returns (address[] memory);
}

/// What an oracle is made of.
struct OracleTerms {
    /// Tells who proposes.
    address systemConfig;
    /// Who may delete outputs and pause withdrawals; zero if nobody.
    address guardian;
    /// Least number of blocks from an output to the next.
    uint256 submissionInterval;
    /// Seconds for a block that tools count with to guess when an output comes.
    uint256 blockTime;
    /// The chain's first block, and its time in seconds.
    uint256 startingBlockNumber;
    uint256 startingTimestamp;
    /// How long an output, and a proof by it, can be looked at before coins leave, in seconds.
    uint256 finalizationPeriod;
    /// After so many seconds without an output anybody may propose one.
    uint256 fallbackDelay;
}

/// Outputs of the chain: what its state is after a block, said by its proposers, in the shape of
/// OP's oracle. Nothing here proves one: the guardian has the finalization period to delete one that
/// is wrong. No owner, no upgrade, no coins.
contract OutputOracle is IOutputOracle {
    /// An output, as OP's oracle tells it.
    event OutputProposed(
        bytes32 indexed outputRoot,
        uint256 indexed l2OutputIndex,
        uint256 indexed l2BlockNumber,
        uint256 l1Timestamp
    );
    /// Outputs from `newNextOutputIndex` on were wrong.
    event OutputsDeleted(uint256 indexed prevNextOutputIndex, uint256 indexed newNextOutputIndex);

    /// A term outside of its range.
    error TermOutOfRange(string term, uint256 value, uint256 least, uint256 most);
    /// Nothing lies there that could tell who proposes.
    error NoSystemConfig(address systemConfig);
    /// Only a proposer may until `fallbackFrom`, in seconds.
    error OnlyProposer(address caller, uint256 fallbackFrom);
    /// Only the guardian may.
    error OnlyGuardian(address caller);
    /// Zero is the root of nothing.
    error RootZero();
    /// Too near to the output before, or not a block number.
    error BlockOutOfRange(uint256 l2BlockNumber, uint256 least, uint256 most);
    /// The parent chain's block is another, or too old to know: what the output is about may be
    /// gone.
    error ParentBlockDiffers(uint256 number, bytes32 expected, bytes32 found);
    /// There is no such output.
    error OutputMissing(uint256 index, uint256 count);
    /// The output was there for long enough, so coins may have left by it.
    error OutputFinalized(uint256 index, uint256 finalizedAt);

    string public constant version = "1.0.0";

    uint256 private constant MOST_BLOCKS = 1_000_000;
    uint256 private constant MOST_SECONDS = 365 days;

    address public immutable systemConfig;
    /// Who may delete outputs and pause withdrawals; zero if nobody.
    address public immutable challenger;
    /// Least number of blocks from an output to the next.
    uint256 public immutable SUBMISSION_INTERVAL;
    /// Seconds for a block that tools count with. The chain's blocks come as they are needed: they
    /// have no fixed time.
    uint256 public immutable L2_BLOCK_TIME;
    uint256 public immutable FINALIZATION_PERIOD_SECONDS;
    uint256 public immutable startingBlockNumber;
    uint256 public immutable startingTimestamp;
    /// After so many seconds without an output anybody may propose one.
    uint256 public immutable fallbackDelay;

    OutputProposal[] private _outputs;
    /// When outputs last came or went, in seconds.
    uint256 private _changedAt;

    /// Checks the terms; the time until anybody may propose begins.
    constructor(OracleTerms memory terms) {
        if (terms.systemConfig.code.length == 0) revert NoSystemConfig(terms.systemConfig);
        _check("submissionInterval", terms.submissionInterval, 1, MOST_BLOCKS);
        _check("blockTime", terms.blockTime, 1, MOST_SECONDS);
        _check("startingBlockNumber", terms.startingBlockNumber, 0, type(uint64).max);
        _check("startingTimestamp", terms.startingTimestamp, 0, block.timestamp);
        _check("finalizationPeriod", terms.finalizationPeriod, 1, MOST_SECONDS);
        _check("fallbackDelay", terms.fallbackDelay, 1, MOST_SECONDS);
        systemConfig = terms.systemConfig;
        challenger = terms.guardian;
        SUBMISSION_INTERVAL = terms.submissionInterval;
        L2_BLOCK_TIME = terms.blockTime;
        startingBlockNumber = terms.startingBlockNumber;
        startingTimestamp = terms.startingTimestamp;
        FINALIZATION_PERIOD_SECONDS = terms.finalizationPeriod;
        fallbackDelay = terms.fallbackDelay;
        _changedAt = block.timestamp;
    }

    // ---- outputs come and go ----

    /// Says what the state is after a block: any block that is at least the interval above the one
    /// before. With a hash of the parent chain's block, of the last 256, the output counts only on
    /// the branch that it was made on.
    function proposeL2Output(
        bytes32 outputRoot,
        uint256 l2BlockNumber,
        bytes32 l1BlockHash,
        uint256 l1BlockNumber
    ) external {
        if (block.timestamp <= fallbackFrom() && !_isProposer(msg.sender)) {
            revert OnlyProposer(msg.sender, fallbackFrom());
        }
        // Nomad: a root that is zero was one that everything was proven by.
        if (outputRoot == 0) revert RootZero();
        uint256 least = nextBlockNumber();
        if (l2BlockNumber < least || l2BlockNumber > type(uint64).max) {
            revert BlockOutOfRange(l2BlockNumber, least, type(uint64).max);
        }
        if (l1BlockHash != 0 && blockhash(l1BlockNumber) != l1BlockHash) {
            revert ParentBlockDiffers(l1BlockNumber, l1BlockHash, blockhash(l1BlockNumber));
        }
        emit OutputProposed(outputRoot, _outputs.length, l2BlockNumber, block.timestamp);
        _outputs.push(OutputProposal(outputRoot, uint128(block.timestamp), uint128(l2BlockNumber)));
        _changedAt = block.timestamp;
    }

    /// Deletes an output and those after it, as long as no coins can have left by it. The time
    /// until anybody may propose begins anew, so that who proposed a wrong output waits.
    function deleteL2Outputs(uint256 index) external {
        if (msg.sender != challenger) revert OnlyGuardian(msg.sender);
        uint256 count = _outputs.length;
        if (index >= count) revert OutputMissing(index, count);
        uint256 finalizedAt = _outputs[index].timestamp + FINALIZATION_PERIOD_SECONDS;
        if (block.timestamp > finalizedAt) revert OutputFinalized(index, finalizedAt);
        while (_outputs.length > index) _outputs.pop();
        _changedAt = block.timestamp;
        emit OutputsDeleted(count, index);
    }

    // ---- what is ----

    /// An output. Until there is one, index 0 is the chain's start with the root zero, which no
    /// proof has: tools that guess when the next output comes count from it.
    function getL2Output(uint256 index) public view returns (OutputProposal memory) {
        uint256 count = _outputs.length;
        if (count == 0 && index == 0) {
            return OutputProposal(0, uint128(startingTimestamp), uint128(startingBlockNumber));
        }
        if (index >= count) revert OutputMissing(index, count);
        return _outputs[index];
    }

    /// The first output that has a block in it.
    function getL2OutputIndexAfter(uint256 l2BlockNumber) public view returns (uint256) {
        // Word by word OP's: by this text tools know that a withdrawal has to wait.
        require(
            _outputs.length != 0 && l2BlockNumber <= latestBlockNumber(),
            "L2OutputOracle: cannot get output for a block that has not been proposed"
        );
        uint256 low;
        uint256 high = _outputs.length - 1;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (_outputs[middle].l2BlockNumber < l2BlockNumber) low = middle + 1;
            else high = middle;
        }
        return low;
    }

    /// The first output that has a block in it.
    function getL2OutputAfter(uint256 l2BlockNumber) external view returns (OutputProposal memory) {
        return _outputs[getL2OutputIndexAfter(l2BlockNumber)];
    }

    /// Index of the newest output; 0 if there is none.
    function latestOutputIndex() external view returns (uint256) {
        return _outputs.length == 0 ? 0 : _outputs.length - 1;
    }

    /// Outputs so far: the index of the next one.
    function nextOutputIndex() external view returns (uint256) {
        return _outputs.length;
    }

    /// Block of the newest output; the first block if there is none.
    function latestBlockNumber() public view returns (uint256) {
        return _outputs.length == 0 ? startingBlockNumber : _outputs[_outputs.length - 1].l2BlockNumber;
    }

    /// Lowest block that the next output can be of.
    function nextBlockNumber() public view returns (uint256) {
        return latestBlockNumber() + SUBMISSION_INTERVAL;
    }

    /// When it was said last what the state is, or taken back, and the delay: after that second
    /// anybody may propose.
    function fallbackFrom() public view returns (uint256) {
        return _changedAt + fallbackDelay;
    }

    /// OP's newer name.
    function finalizationPeriodSeconds() external view returns (uint256) {
        return FINALIZATION_PERIOD_SECONDS;
    }

    /// One of those whose outputs count: the first. The system config tells all.
    function proposer() external view returns (address) {
        return IProposers(systemConfig).proposers()[0];
    }

    function _isProposer(address account) private view returns (bool) {
        address[] memory keys = IProposers(systemConfig).proposers();
        for (uint256 index; index < keys.length; index++) {
            if (keys[index] == account) return true;
        }
        return false;
    }

    function _check(string memory term, uint256 value, uint256 least, uint256 most) private pure {
        if (value < least || value > most) revert TermOutOfRange(term, value, least, most);
    }
}
