// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// What the chain knows of its parent chain, at 0x4200000000000000000000000000000000000015: the
/// block's origin, and what data costs there. The protocol writes these slots at the beginning of a
/// block, as OP's L1Block has them; no function does.
contract L1Block {
    // Slot 0.
    /// Number of the origin.
    uint64 public number;
    /// Its time, in seconds.
    uint64 public timestamp;
    // Slot 1.
    /// Its base fee, in wei.
    uint256 public basefee;
    // Slot 2.
    bytes32 public hash;
    // Slot 3.
    /// Blocks of the chain with the same origin before this one.
    uint64 public sequenceNumber;
    /// Share of the parent chain's price for a byte in a blob, in millionths.
    uint32 public blobBaseFeeScalar;
    /// Share of the parent chain's price for a byte in a transaction, in millionths.
    uint32 public baseFeeScalar;
    // Slot 4.
    /// Who posts, as a word.
    bytes32 public batcherHash;
    // Slots 5 and 6.
    /// Of fees as they were before Ecotone: always zero.
    uint256 public l1FeeOverhead;
    uint256 public l1FeeScalar;
    // Slot 7.
    /// Blob base fee of the origin, in wei.
    uint256 public blobBaseFee;
    // Slot 8.
    /// Wei for a transaction, beside all else.
    uint64 public operatorFeeConstant;
    /// Millionths of a wei for a unit of gas, beside all else.
    uint32 public operatorFeeScalar;

    string public constant version = "1.0.0";
}
